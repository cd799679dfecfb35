// SPDX-License-Identifier: Apache-2.0
// Alternatives in OOXML (ISO 29500-3): content in a form for newer and one for older programs. Text is given once where
// both show the same, and neither is lost.
#include <algorithm>
#include <utility>

#include "engine/base/text.h"
#include "engine/scan/worker/document_xml.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kAlternative = 1u << 20;  // text of one

}  // namespace

// Text inside alternatives is kept with them: what is for older programs is given only where it differs.
void OoxmlHandler::route(std::string_view utf8, char separator, size_t from) {
  for (size_t i = from; i-- > 0;) {
    Alternative& each = alternatives_[i];
    std::string& kept = each.in_fallback ? each.fallback : each.choice;
    if (!each.in_fallback && !each.in_choice) continue;
    if (kept.size() < kAlternative) {
      kept.append(utf8);
      if (separator != '\0') kept.push_back(separator);
    } else if (each.in_fallback) {
      each.more = true;
      continue;
    }
    if (each.in_fallback) return;
  }
  if (kind_ == Kind::master) {
    if (!in_shape_ || shape_.size() >= 65536) return;
    shape_.append(utf8);
    if (separator != '\0' && !shape_.empty()) shape_.push_back(separator);
  } else if (separator == '\n') {
    state_.sink.line();
  } else if (separator == '\t') {
    state_.sink.tab();
  } else {
    state_.sink.text(utf8);
  }
}
void OoxmlHandler::put(std::string_view utf8) { route(utf8, '\0', alternatives_.size()); }
void OoxmlHandler::line() { route({}, '\n', alternatives_.size()); }
void OoxmlHandler::tab() { route({}, '\t', alternatives_.size()); }
void OoxmlHandler::own_line(std::string_view utf8) {
  line();
  put(utf8);
  line();
}

// end_fallback gives the text for older programs unless a newer one shows the same.
void OoxmlHandler::end_fallback() {
  Alternative& here = alternatives_.back();
  here.in_fallback = false;
  const auto bare = [](std::string text) {
    std::erase_if(text, [](char c) { return c == ' ' || c == '\n' || c == '\t'; });
    return text;
  };
  const bool same = !here.more && bare(here.choice) == bare(here.fallback);
  const std::string text = std::exchange(here.fallback, {});
  if (same || text.empty()) return;
  const size_t outer = alternatives_.size() - 1;
  route({}, '\n', outer);
  route(base::trim(text), '\0', outer);
  route({}, '\n', outer);
}

// field_text adds to an instruction, also what is the result of a field in it; alternatives are read each by itself.
void OoxmlHandler::field_text(std::string_view utf8) {
  Fields::Form form = Fields::Form::any;
  for (const Alternative& each : alternatives_) {
    if (each.in_choice && form == Fields::Form::any) form = Fields::Form::newer;
    if (each.in_fallback) form = Fields::Form::older;
  }
  if (fields_.in_instruction()) fields_.text(utf8, form);
}

}  // namespace postern::scan::worker
