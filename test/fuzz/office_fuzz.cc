// SPDX-License-Identifier: Apache-2.0
// Pieces of office documents, each by the first byte of the input: Word's piece table, workbooks, slides, Ole10Native,
// links, ActiveMime, VBA's compression, the headers of office encryption, RTF, XML of OOXML and OpenDocument, OneNote
// and others; and by other first bytes a whole file. What must hold: an answer, within the limits, and nothing grows
// out of bounds.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/formula.h"
#include "engine/scan/worker/office.h"
#include "test/fuzz/scan_reader.h"

using namespace postern::scan;
using namespace postern::scan::worker;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  Alone context(input);
  // Two streams are apart by the length of the first.
  const std::string_view first = slice(input, 2, little16(input, 0));
  const std::string_view second = slice(input, 2ull + little16(input, 0));
  switch (data[0]) {
    case 'w':
      read_word(context, first, second, second);
      break;
    case 'x':
      read_workbook(context, input);
      break;
    case 'p':
      read_slides(context, input, {});
      break;
    case 'o':
      read_ole10native(context, input);
      break;
    case 'a':
      read_activemime(context);
      break;
    case 'l':
      read_ole_link(context, input, false);
      break;
    case 'F':
      is_dde(input);
      is_dde_formula(input);
      calls_dde(input);
      break;
    case 'v':
      decompress_vba(input, 1u << 20);
      break;
    case 'e':
      read_encrypted_package(context, first, second);
      break;
    case 'r':
      read_rtf(context);
      break;
    case 's':
      read_properties(context, input);
      break;
    case '1':
      read_one(context);
      break;
    case 'W':
      read_wordperfect(context);
      break;
    case 'V':
      read_visio(context, input);
      break;
    case 'b': {
      TextSink sink(context);
      OoxmlState state{context, sink, {}, {}, {}};
      read_binary_part(state, input, true);
      break;
    }
    case '0':
    case '2':
    case '3': {
      TextSink sink(context);
      OoxmlState state{context, sink, {}, {}, {}};
      using Kind = OoxmlHandler::Kind;
      OoxmlHandler handler(state, data[0] == '0' ? Kind::text : data[0] == '2' ? Kind::sheet : Kind::strings);
      parse_xml(input, handler, false);
      break;
    }
    case 'd': {
      TextSink sink(context);
      OdfHandler handler(context, sink);
      parse_xml(input, handler, true);
      handler.finish();
      break;
    }
    case 'f': {
      const size_t bar = input.find('|');
      if (input.size() < 8 || bar == std::string_view::npos || bar < 8) break;
      format_number(little_double(input, 0), input.substr(8), false);
      break;
    }
    default: {
      Job job;
      job.bytes = {reinterpret_cast<const char*>(data), size};
      job.limits = Alone::limits();
      scan_job(job);
    }
  }
  return 0;
}
