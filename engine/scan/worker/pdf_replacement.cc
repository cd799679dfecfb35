// SPDX-License-Identifier: Apache-2.0
// What is replaced keeps its length: a name is renamed in place.
#include "engine/scan/worker/pdf_replacement.h"

#include <algorithm>
#include <qpdf/Buffer.hh>
#include <qpdf/Pl_Buffer.hh>
#include <qpdf/Pl_Flate.hh>
#include <qpdf/Pl_String.hh>
#include <string>

namespace postern::scan::worker {

bool is_replacement(std::string_view name, bool cut) {
  const auto digit = [](char c) -> unsigned {
    const char low = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    return low >= 'a' && low <= 'f' ? static_cast<unsigned>(low - 'a' + 10) : 16;
  };
  size_t at = 0;
  for (const char wanted : std::string_view(kReplacement)) {
    if (at >= name.size()) return cut;
    char c = name[at++];
    if (cut && c == '#' && at + 2 > name.size()) return true;
    if (c == '#' && at + 2 <= name.size() && digit(name[at]) < 16 && digit(name[at + 1]) < 16) {
      c = static_cast<char>(digit(name[at]) << 4 | digit(name[at + 1]));
      at += 2;
    }
    if (c != wanted) return false;
  }
  return at == name.size();
}

namespace {

// rename gives replacements in content another name of the same length, also where strings that are shown spell it.
void rename(std::string& content) {
  for (size_t at = 0; (at = content.find('/', at)) != std::string::npos;) {
    const size_t end = std::min(content.find_first_of(kNameEnds, at + 1), content.size());
    if (is_replacement(std::string_view(content).substr(at, end - at)))
      content.replace(at + 1, end - at - 1, end - at - 1, 'R');
    at = end;
  }
}

}  // namespace

bool remove_replacements(std::vector<QPDFObjectHandle>& replacing, Budget& budget) {
  Pl_Flate::setCompressionLevel(1);
  for (QPDFObjectHandle& each : replacing) {
    if (budget.expired()) return false;
    if (!each.isStream()) {
      each.removeKey(kReplacement);
      continue;
    }
    std::string content;
    Pl_String whole("content", nullptr, content);
    each.pipeStreamData(&whole, nullptr, 0, qpdf_dl_specialized, true, false);
    rename(content);
    Pl_Buffer buffer("content");
    Pl_Flate packed("deflate", &buffer, Pl_Flate::a_deflate);
    packed.writeString(content);
    packed.finish();
    each.replaceStreamData(buffer.getBufferSharedPointer(), QPDFObjectHandle::newName("/FlateDecode"),
                           QPDFObjectHandle::newNull());
  }
  return true;
}

}  // namespace postern::scan::worker
