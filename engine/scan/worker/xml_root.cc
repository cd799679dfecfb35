// SPDX-License-Identifier: Apache-2.0
// The root of an XML document, behind declarations, comments and instructions.
#include "engine/scan/worker/xml_root.h"

#include <algorithm>
#include <iterator>

#include "engine/scan/worker/bytes.h"

namespace postern::scan::worker {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

// take_until cuts `rest` behind the next `end` and returns what is before; all of it when there is none.
std::string_view take_until(std::string_view& rest, std::string_view end) {
  const size_t at = rest.find(end);
  const std::string_view taken = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + end.size());
  return taken;
}

void skip_blanks(std::string_view& rest) { rest.remove_prefix(std::min(rest.find_first_not_of(kBlanks), rest.size())); }

}  // namespace

XmlRoot root_of(std::string_view head) {
  std::string narrow;
  if (head.starts_with("\xff\xfe") || head.starts_with("\xfe\xff")) {
    std::ranges::copy_if(head.substr(2), std::back_inserter(narrow), [](char c) { return c != '\0'; });
    head = narrow;
  }
  std::string_view rest = head.substr(head.starts_with("\xef\xbb\xbf") ? 3 : 0);
  while (true) {
    skip_blanks(rest);
    if (rest.starts_with("<!--")) {
      take_until(rest, "-->");
    } else if (rest.starts_with("<?")) {
      take_until(rest, "?>");
    } else if (rest.starts_with("<!")) {
      take_until(rest, ">");
    } else {
      break;
    }
  }
  if (!rest.starts_with('<')) return {};
  rest.remove_prefix(1);
  const std::string_view tag = rest.substr(0, rest.find_first_of(" \t\r\n/>"));
  rest.remove_prefix(tag.size());
  const size_t colon = tag.find(':');
  const std::string key =
      colon == std::string_view::npos ? std::string("xmlns") : "xmlns:" + std::string(tag.substr(0, colon));
  XmlRoot root;
  while (true) {
    skip_blanks(rest);
    if (rest.empty()) return {};
    if (rest.front() == '>' || rest.front() == '/') break;
    std::string_view name = take_until(rest, "=");
    name = name.substr(0, name.find_first_of(kBlanks));
    skip_blanks(rest);
    if (rest.empty() || (rest.front() != '"' && rest.front() != '\'')) return {};
    const std::string_view quote = rest.substr(0, 1);
    rest.remove_prefix(1);
    const std::string_view value = take_until(rest, quote);
    if (name == key && value.find('&') == std::string_view::npos) root.space = value;
  }
  root.name = tag.substr(colon == std::string_view::npos ? 0 : colon + 1);
  return root;
}

}  // namespace postern::scan::worker
