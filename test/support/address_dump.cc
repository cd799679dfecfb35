// SPDX-License-Identifier: Apache-2.0
// Reads header values separated by NUL from standard input and prints what parse_address_list makes of each, one JSON
// line a value: {"malformed": …, "mailboxes": [[display, local, domain, group], …]}.
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/base/text.h"
#include "engine/message/address.h"

int main() {
  const std::string input((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  for (const std::string_view value : postern::base::split(input, '\0')) {
    const auto list = postern::message::parse_address_list(value, 10000);
    nlohmann::json mailboxes = nlohmann::json::array();
    for (const auto& mailbox : list.mailboxes) {
      mailboxes.push_back({mailbox.display, mailbox.local, mailbox.domain, mailbox.group});
    }
    std::cout << nlohmann::json{{"malformed", list.malformed}, {"mailboxes", mailboxes}}.dump() << "\n";
  }
  return 0;
}
