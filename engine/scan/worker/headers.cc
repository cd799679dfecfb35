// SPDX-License-Identifier: Apache-2.0
// Header fields as a reader sees them: unfolded, encoded words decoded. Lines that are no field are text, and so is
// what follows an empty line: delivery reports have several groups of fields.
#include "engine/base/text.h"
#include "engine/mime/encoded_word.h"
#include "engine/mime/header.h"
#include "engine/scan/worker/decoded_text.h"
#include "engine/scan/worker/text_readers.h"
#include "engine/scan/worker/text_sink.h"

namespace postern::scan::worker {
namespace {

size_t line_end(std::string_view text, size_t at) {
  const size_t end = text.find_first_of("\r\n", at);
  return end == std::string_view::npos ? text.size() : end;
}

size_t next_line(std::string_view text, size_t end) {
  if (end < text.size() && text[end] == '\r') ++end;
  if (end < text.size() && text[end] == '\n') ++end;
  return end;
}

}  // namespace

void read_headers(Context& context) {
  if (!context.wants_text()) return;
  const DecodedText decoded(context, context.bytes(), {}, text_bytes_wanted(context.job().limits));
  const std::string_view text = decoded.view();
  TextSink sink(context);
  size_t fields = 0;
  for (size_t at = 0; at < text.size() && sink.wanted();) {
    size_t end = line_end(text, at);
    size_t next = next_line(text, end);
    if (end == at) {
      at = next == at ? at + 1 : next;
      continue;
    }
    while (next < text.size() && (text[next] == ' ' || text[next] == '\t')) {
      end = line_end(text, next);
      next = next_line(text, end);
    }
    const std::string_view field = text.substr(at, end - at);
    const size_t colon = field.find(':');
    if (colon != std::string_view::npos && mime::is_field_name(base::trim(field.substr(0, colon)))) {
      sink.text(field.substr(0, colon + 1));
      sink.text(" ");
      sink.text(mime::decode_words(field.substr(colon + 1)));
    } else {
      sink.text(field);
    }
    sink.line();
    at = next;
    if (++fields % 256 == 0 && context.budget().expired()) {
      context.fail(Reason::time);
      return;
    }
  }
}

}  // namespace postern::scan::worker
