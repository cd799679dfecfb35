// SPDX-License-Identifier: Apache-2.0
// Address lists and paths from arbitrary bytes: what is read is clean, bounded, and written again it is the same
// address and nothing else.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/base/text.h"
#include "engine/message/address.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

bool has_control(std::string_view text) {
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F) return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string_view raw(reinterpret_cast<const char*>(data), size);
  constexpr size_t kMax = 50;
  const message::AddressList list = message::parse_address_list(raw, kMax);
  require(list.mailboxes.size() <= kMax);
  require(!list.truncated || list.mailboxes.size() == kMax);
  for (const message::Mailbox& mailbox : list.mailboxes) {
    for (const std::string* text : {&mailbox.display, &mailbox.local, &mailbox.domain, &mailbox.group}) {
      require(base::is_valid_utf8(*text));
      require(text->find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
    }
    require(!has_control(mailbox.local) && !has_control(mailbox.domain));
    if (mailbox.domain.empty()) {
      require(list.malformed);
      continue;
    }
    const std::string spec = mailbox.addr_spec();
    const message::AddressList again = message::parse_address_list(spec, kMax);
    require(again.mailboxes.size() == 1);
    require(again.mailboxes[0].local == mailbox.local && again.mailboxes[0].domain == mailbox.domain);
    require(message::domain_of(spec) == base::lower(mailbox.domain));
  }
  if (const auto path = message::parse_path(raw)) {
    require(!has_control(*path) && path->size() <= size);
    const auto bracketed = message::parse_path("<" + *path + ">");
    require(bracketed.has_value() && *bracketed == *path);
    require(message::local_of(*path).size() <= path->size());
  }
  return 0;
}
