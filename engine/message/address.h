// SPDX-License-Identifier: Apache-2.0
// Addresses: address lists of header fields (RFC 5322 section 3.4 with groups, comments, quoted strings, obsolete
// forms; RFC 6531 UTF-8) and addr-specs of the envelope (RFC 5321). Parsing works on the undecoded syntax: an encoded
// word never becomes an address or a separator.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace postern::message {

// Mailbox is one address of a list. `local` and `domain` are unquoted; `display` is decoded UTF-8.
struct Mailbox {
  std::string display;
  std::string local;
  std::string domain;
  std::string group;  // name of the group it stands in, or empty
  // addr_spec writes local@domain, quoting the local part where RFC 5321 needs it.
  std::string addr_spec() const;
};

// Span is a range of bytes of a field's raw value.
struct Span {
  size_t begin = 0;
  size_t end = 0;
};

// ListItem is what stands between two separators of a list: `span` in the raw value, and its mailboxes, of which there
// is one where all is well.
struct ListItem {
  Span span;
  size_t first = 0;
  size_t count = 0;
};

// AddressList is a parsed field; `malformed` when some of it could not be read as addresses (what could be read is
// there), `truncated` past `max_addresses`.
struct AddressList {
  std::vector<Mailbox> mailboxes;
  bool malformed = false;
  bool truncated = false;
  // Where it stands, filled by locate_addresses only: the addr-spec of each mailbox, and the items.
  std::vector<Span> spans;
  std::vector<ListItem> items;
};

// parse_address_list reads the raw value of From, To, Cc, Reply-To, Sender… Linear in the input.
AddressList parse_address_list(std::string_view raw, size_t max_addresses);

// locate_addresses is parse_address_list that also tells where everything stands.
AddressList locate_addresses(std::string_view raw, size_t max_addresses);

// parse_path reads an envelope path as an MTA hands it over ("<a@b>", "a@b", "<>"): the addr-spec without angle
// brackets and source route; "" for the null path. malformed when it is no path, or holds control bytes.
base::Result<std::string> parse_path(std::string_view path);

// domain_of and local_of cut an addr-spec at its last '@'; domain_of is lower case and "" when there is none.
std::string domain_of(std::string_view addr_spec);
std::string_view local_of(std::string_view addr_spec);

// a_labels writes a domain as it stands in DNS: lower case, without a final dot, U-labels as A-labels (RFC 5891), so
// that two spellings of one domain are equal. What is no valid name comes back in lower case.
std::string a_labels(std::string_view domain);

}  // namespace postern::message
