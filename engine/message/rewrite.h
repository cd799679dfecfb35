// SPDX-License-Identifier: Apache-2.0
// Rewriting the addresses of a header field: only the bytes of the addresses that change are replaced, so that groups,
// comments, folds and names stay as they came. A field that readers may take apart differently is not touched: an
// AddressField says so before anybody decides anything. RFC 5322 section 3.4, RFC 2047 section 5.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/message/address.h"

namespace postern::message {

// AddressField is a From, To, Cc, Reply-To field as read for rewriting.
struct AddressField {
  std::string value;      // as received, or with addresses that stood inside encoded words written out
  AddressList list;       // of `value`, located
  bool repaired = false;  // `value` is not what was received
  std::string doubt;      // why the field must be left alone; empty: it can be rewritten
};

// read_address_field reads the raw value of a field. An item that is nothing but encoded words and decodes to exactly
// one mailbox is written out; every other departure from the syntax is a doubt.
AddressField read_address_field(std::string_view raw, size_t max_addresses);

// Replacement is what an address becomes: a new addr-spec, and a name (UTF-8) where the name is to change too.
struct Replacement {
  std::string address;
  std::optional<std::string> name;
};

// rewrite_field returns the new value, without leading white space: one replacement or none for each mailbox of
// `field.list`. nullopt when the result would not read back as exactly the mailboxes wanted.
std::optional<std::string> rewrite_field(const AddressField& field,
                                         std::span<const std::optional<Replacement>> replacements);

// is_one_address tells whether `text` is one addr-spec with local part and domain and nothing else, at most 320 bytes
// long, so that it may stand wherever an address may; with bytes above 0x7F only when `utf8`.
bool is_one_address(std::string_view text, bool utf8);

}  // namespace postern::message
