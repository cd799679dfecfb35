// SPDX-License-Identifier: Apache-2.0
// Deterministic sample mails: the same seed, number, size and shape give the same bytes on every machine. Addresses and
// hosts are those of RFC 2606 and RFC 5737.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace postern::bench {

// Shape says what the body is: one text/plain, or multipart/mixed with a short text and a base64 attachment.
enum class Shape : uint8_t { text, attachment };

// Mail is one message as an MTA hands it to a filter: field values begin with their blank and fold with LF alone, the
// body has CRLF lines.
struct Mail {
  std::string sender;
  std::string recipient;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// Plant is something a filter is to find: a line put into the middle of the text, and fields added to the header.
struct Plant {
  std::string line;
  std::vector<std::pair<std::string, std::string>> headers;
};

// make_mail writes mail `number` of the series `seed`; header and body together have `size` octets (at least a small
// message's), give or take one line.
Mail make_mail(uint64_t seed, uint32_t number, size_t size, Shape shape, const Plant& plant);

// read_mail takes the mail in a file, header and body with CRLF or LF lines; nullopt where there is none.
std::optional<Mail> read_mail(const std::string& path);

}  // namespace postern::bench
