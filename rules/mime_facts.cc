// SPDX-License-Identifier: Apache-2.0
// Questions about single MIME parts. The kind of a CMS object is read from its first bytes: ContentInfo begins with a
// SEQUENCE header and the content type's object identifier (RFC 5652 section 3).
#include "rules/mime_facts.h"

#include <algorithm>
#include <string>

#include "engine/base/text.h"
#include "rules/tests.h"

namespace postern::rules {

bool type_matches(std::string_view pattern, std::string_view type) {
  const size_t slash = pattern.find('/');
  const std::string_view major = pattern.substr(0, slash);
  const std::string_view minor = slash == std::string_view::npos ? "*" : pattern.substr(slash + 1);
  const size_t cut = type.find('/');
  if (cut == std::string_view::npos) return false;
  const auto fits = [](std::string_view wanted, std::string_view found) {
    return wanted == "*" || base::iequals(wanted, found);
  };
  return fits(major, type.substr(0, cut)) && fits(minor, type.substr(cut + 1));
}

bool part_type_matches(std::string_view pattern, const mime::Part& part) {
  if (type_matches(pattern, part.type.value)) return true;
  return std::ranges::any_of(part.file_names, [&](const std::string& name) {
    const std::string_view type = mime::type_from_extension(name);
    return !type.empty() && type_matches(pattern, type);
  });
}

SmimeKind smime_kind(const mime::Part& part, std::string_view body) {
  const std::string& type = part.type.value;
  const auto is_p7m = [](const std::string& name) {
    return name.size() > 4 && base::iequals(std::string_view(name).substr(name.size() - 4), ".p7m");
  };
  if (type != "application/pkcs7-mime" && type != "application/x-pkcs7-mime" &&
      !(type == "application/octet-stream" && std::ranges::any_of(part.file_names, is_p7m))) {
    return SmimeKind::none;
  }
  // 600 encoded bytes are enough for the header in any transfer encoding.
  const std::string_view head = part.content.of(body).substr(0, 600);
  const std::string bytes = mime::decode_transfer(part.encoding, head).bytes;
  const std::string_view start = std::string_view(bytes).substr(0, 40);
  using namespace std::string_view_literals;
  constexpr std::string_view kPkcs7 = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07"sv;  // 1.2.840.113549.1.7.
  constexpr std::string_view kAuthEnveloped = "\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17"sv;
  if (const size_t at = start.find(kPkcs7); at != start.npos && at + kPkcs7.size() < start.size()) {
    switch (start[at + kPkcs7.size()]) {
      case 2:
        return SmimeKind::signed_data;
      case 3:
      case 4:
        return SmimeKind::enveloped_data;
      default:
        return SmimeKind::other;
    }
  }
  if (start.find(kAuthEnveloped) != start.npos) return SmimeKind::enveloped_data;
  const std::string_view claimed = part.type.get("smime-type");
  if (base::iequals(claimed, "signed-data")) return SmimeKind::signed_data;
  if (base::iequals(claimed, "enveloped-data") || base::iequals(claimed, "authEnveloped-data") ||
      base::iequals(claimed, "authenveloped-data")) {
    return SmimeKind::enveloped_data;
  }
  return SmimeKind::other;
}

Truth text_has_armor(Facts& facts, uint32_t part, std::string_view armor) {
  const mime::Text& text = facts.message().text(part);
  for (size_t at = text.utf8.find(armor); at != std::string::npos; at = text.utf8.find(armor, at + 1)) {
    if (at == 0 || text.utf8[at - 1] == '\n' || text.utf8[at - 1] == '\r') return Truth::of(true);
  }
  return text.damaged || text.undecodable ? not_known() : Truth::of(false);
}

}  // namespace postern::rules
