// SPDX-License-Identifier: Apache-2.0
// One pass over the value; an entry is kept until its comma, because only then it is known whether it has a display
// name to quote.
#include "milter/stages/sendmail_form.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"

namespace postern::stages {
namespace {

// The fields that Sendmail's configuration (conf.c) takes for lists of addresses and rewrites.
constexpr std::array<std::string_view, 18> kAddressFields = {"From",
                                                             "Sender",
                                                             "Reply-To",
                                                             "To",
                                                             "Cc",
                                                             "Bcc",
                                                             "Resent-From",
                                                             "Resent-Sender",
                                                             "Resent-Reply-To",
                                                             "Resent-To",
                                                             "Resent-Cc",
                                                             "Resent-Bcc",
                                                             "Full-Name",
                                                             "Return-Receipt-To",
                                                             "Errors-To",
                                                             "Apparently-To",
                                                             "Disposition-Notification-To",
                                                             "Mail-From"};

bool is_white(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Characters for whose sake Sendmail quotes a name (MustQuoteChars, its default).
bool must_be_quoted(std::string_view name) { return name.find_first_of(".'") != std::string_view::npos; }

// Entry is one address of the list as far as it was read.
struct Entry {
  std::string text;
  size_t angle = std::string::npos;  // where '<' stands, outside of quotes and comments
  bool special = false;              // a quoted string, comment, group or backslash stands before that

  void finish() {
    while (!text.empty() && is_white(text.back())) text.pop_back();
    if (angle == std::string::npos || special) return;
    size_t begin = 0;
    while (begin < angle && is_white(text[begin])) ++begin;
    size_t end = angle;
    while (end > begin && is_white(text[end - 1])) --end;
    if (begin == end || !must_be_quoted(std::string_view(text).substr(begin, end - begin))) return;
    text.insert(end, 1, '"');
    text.insert(begin, 1, '"');
  }
};

}  // namespace

std::string sendmail_form(std::string_view value) {
  std::string out;
  Entry entry;
  size_t comment = 0;
  bool quoted = false;
  bool angle = false;
  bool first = true;
  const auto close = [&] {
    entry.finish();
    if (!first && !entry.text.empty() && !is_white(entry.text.front())) out += ' ';
    out += entry.text;
    entry = {};
    first = false;
  };
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (c == '\\' && i + 1 < value.size() && (quoted || comment > 0)) {
      entry.text += c;
      entry.text += value[++i];
      continue;
    }
    if (quoted) {
      quoted = c != '"';
    } else if (comment > 0) {
      if (c == '(') ++comment;
      if (c == ')') --comment;
    } else if (c == '"' || c == '(' || c == ':' || c == '\\') {
      quoted = c == '"';
      comment = c == '(' ? 1 : 0;
      entry.special = entry.special || (entry.angle == std::string::npos);
    } else if (c == '<' && !angle) {
      angle = true;
      if (entry.angle == std::string::npos) entry.angle = entry.text.size();
    } else if (c == '>') {
      angle = false;
    } else if (c == ',' && !angle) {
      close();
      out += ',';
      continue;
    }
    entry.text += c;
  }
  close();
  return out;
}

void use_sendmail_form(mime::HeaderList& headers) {
  for (size_t i = 0; i < headers.size(); ++i) {
    const std::string& name = headers[i].name;
    if (std::ranges::none_of(kAddressFields, [&](std::string_view each) { return base::iequals(each, name); }))
      continue;
    std::string_view value = headers[i].value;
    const std::string written = sendmail_form(value);
    if (written == value) continue;
    value = written;
    if (value.starts_with(' ')) value.remove_prefix(1);
    headers.change(i, value);
  }
}

}  // namespace postern::stages
