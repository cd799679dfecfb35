// SPDX-License-Identifier: Apache-2.0
// rewrite-dump: one raw header value (JSON string of Latin-1 characters) a line in; out, what masquerading makes of it:
// every address at old.example gets the domain new.example, those whose local part begins with "named" the name
// "Zoë, Q." too. With it, the addresses GMime reads in the result.
#include <gmime/gmime.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/message/rewrite.h"

namespace {

using nlohmann::json;
using namespace postern;

std::string to_bytes(const std::string& utf8) {
  std::string out;
  for (size_t i = 0; i < utf8.size(); ++i) {
    const auto byte = static_cast<unsigned char>(utf8[i]);
    if (byte < 0x80) {
      out += utf8[i];
    } else {
      out += static_cast<char>((byte & 3) << 6 | (static_cast<unsigned char>(utf8[++i]) & 0x3F));
    }
  }
  return out;
}

std::string to_latin1_text(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xC0 | byte >> 6);
      out += static_cast<char>(0x80 | (byte & 0x3F));
    }
  }
  return out;
}

void collect(InternetAddressList* list, json& out) {
  for (int i = 0; list != nullptr && i < internet_address_list_length(list); ++i) {
    InternetAddress* address = internet_address_list_get_address(list, i);
    if (INTERNET_ADDRESS_IS_GROUP(address)) {
      collect(internet_address_group_get_members(INTERNET_ADDRESS_GROUP(address)), out);
      continue;
    }
    const char* name = internet_address_get_name(address);
    const char* spec = internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(address));
    out.push_back({name != nullptr ? name : "", spec != nullptr ? spec : ""});
  }
}

json gmime_reads(const std::string& value) {
  json out = json::array();
  InternetAddressList* list = internet_address_list_parse(nullptr, value.c_str());
  collect(list, out);
  if (list != nullptr) g_object_unref(list);
  return out;
}

}  // namespace

int main() {
  g_mime_init();
  std::string line;
  while (std::getline(std::cin, line)) {
    const std::string raw = to_bytes(json::parse(line).get<std::string>());
    const message::AddressField field = message::read_address_field(raw, 10000);
    json out = {{"doubt", field.doubt}, {"value", nullptr}};
    if (field.doubt.empty()) {
      std::vector<std::optional<message::Replacement>> replacements;
      for (const message::Mailbox& mailbox : field.list.mailboxes) {
        replacements.emplace_back();
        if (mailbox.domain != "old.example") continue;
        message::Mailbox now = mailbox;
        now.domain = "new.example";
        replacements.back() = message::Replacement{now.addr_spec(), std::nullopt};
        if (mailbox.local.starts_with("named")) replacements.back()->name = "Zo\xC3\xAB, Q.";
      }
      if (const auto value = message::rewrite_field(field, replacements)) {
        out["value"] = to_latin1_text(*value);
        out["gmime"] = gmime_reads(*value);
        out["before"] = to_latin1_text(field.value);
        out["gmime_before"] = gmime_reads(field.value);
      }
    }
    std::cout << out.dump(-1, ' ', false, json::error_handler_t::replace) << "\n";
  }
  return 0;
}
