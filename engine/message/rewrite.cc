// SPDX-License-Identifier: Apache-2.0
// What is written is read again before it is given out: the check that the result holds the mailboxes wanted does not
// trust the code that wrote it.
#include "engine/message/rewrite.h"

#include <algorithm>

#include "engine/base/limits.h"
#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/encoded_word.h"
#include "engine/mime/header.h"

namespace postern::message {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// has_hidden tells whether the decoded text holds what no reader shows as it is.
bool has_hidden(std::string_view text) {
  return text.find("\xEF\xBF\xBD") != std::string_view::npos ||
         std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

// all_encoded tells whether `text` is nothing but encoded words with white space between them. What stands inside the
// words may be anything but '?' and white space.
bool all_encoded(std::string_view text) {
  size_t at = 0;
  bool any = false;
  for (;;) {
    while (at < text.size() && is_space(text[at])) ++at;
    if (at == text.size()) return any;
    if (!text.substr(at).starts_with("=?")) return false;
    // charset ? encoding ? text ?=
    const size_t coding = text.find('?', at + 2);
    if (coding == std::string_view::npos || coding + 2 >= text.size() || text[coding + 2] != '?') return false;
    const char letter = base::ascii_lower(text[coding + 1]);
    const size_t end = text.find("?=", coding + 3);
    if ((letter != 'b' && letter != 'q') || end == std::string_view::npos) return false;
    if (std::ranges::any_of(text.substr(at, end - at), is_space)) return false;
    at = end + 2;
    any = true;
  }
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'f'); }

// is_sound tells whether every reader gets the same out of these encoded words: charsets that are known, base64 that is
// whole, no escape cut off.
bool is_sound(std::string_view words) {
  size_t at = 0;
  while ((at = words.find("=?", at)) != std::string_view::npos) {
    const size_t charset = at + 2;
    const size_t coding = words.find('?', charset) + 1;
    const std::string_view label = words.substr(charset, coding - 1 - charset);
    const size_t end = words.find("?=", coding + 2);
    if (!mime::is_known_charset(label.substr(0, label.find('*')))) return false;
    const std::string_view text = words.substr(coding + 2, end - coding - 2);
    if (base::ascii_lower(words[coding]) == 'b') {
      const std::string_view digits = text.substr(0, text.find('='));
      const bool padded = text.size() % 4 == 0 && text.size() - digits.size() <= 2 &&
                          text.substr(digits.size()).find_first_not_of('=') == std::string_view::npos;
      const auto digit = [](char c) {
        const char l = base::ascii_lower(c);
        return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
      };
      if (!padded || !std::ranges::all_of(digits, digit)) return false;
    } else {
      for (size_t i = text.find('='); i != std::string_view::npos; i = text.find('=', i + 3)) {
        if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) return false;
      }
    }
    at = end + 2;
  }
  return true;
}

// written_out returns `encoded` as a mailbox of the usual form, or nullopt when it does not decode to exactly one.
std::optional<std::string> written_out(std::string_view encoded) {
  if (!is_sound(encoded)) return std::nullopt;
  const std::string decoded = mime::decode_words(encoded);
  if (has_hidden(decoded) || decoded.find("=?") != std::string::npos) return std::nullopt;
  const AddressList list = parse_address_list(decoded, 2);
  if (list.malformed || list.mailboxes.size() != 1 || !list.mailboxes[0].group.empty()) return std::nullopt;
  const Mailbox& mailbox = list.mailboxes[0];
  const std::string spec = mailbox.addr_spec();
  if (!base::is_ascii(spec) || !is_one_address(spec, false)) return std::nullopt;
  if (mailbox.display.empty()) return spec;
  return mime::encode_phrase(mailbox.display) + " <" + spec + ">";
}

Span trimmed(std::string_view text, Span span) {
  while (span.begin < span.end && is_space(text[span.begin])) ++span.begin;
  while (span.end > span.begin && is_space(text[span.end - 1])) --span.end;
  return span;
}

std::string_view cut(std::string_view text, Span span) { return text.substr(span.begin, span.end - span.begin); }

}  // namespace

bool is_one_address(std::string_view text, bool utf8) {
  if (text.size() > base::kMaxAddress || (!utf8 && !base::is_ascii(text)) || !base::is_valid_utf8(text)) return false;
  const AddressList list = parse_address_list(text, 2);
  if (list.malformed || list.mailboxes.size() != 1) return false;
  const Mailbox& mailbox = list.mailboxes[0];
  return mailbox.group.empty() && mailbox.display.empty() && !mailbox.local.empty() && !mailbox.domain.empty() &&
         mailbox.addr_spec() == text && !has_hidden(text) && parse_path(text).has_value();
}

AddressField read_address_field(std::string_view raw, size_t max_addresses) {
  AddressField field;
  field.value = raw;
  if (all_encoded(raw)) {
    // Specials inside a word are no specials: the words are one item, whatever stands in them.
    const auto mailbox = written_out(base::trim(raw));
    if (!mailbox) {
      field.doubt = "encoded words that are not exactly one address";
      return field;
    }
    field.value = " " + *mailbox;
    field.repaired = true;
  }
  field.list = locate_addresses(field.value, max_addresses);
  if (field.list.truncated) {
    field.doubt = "more addresses than limits.addresses";
    return field;
  }
  if (!field.list.malformed) return field;
  // Items of encoded words only are written out; nothing else may be wrong then.
  std::string value;
  size_t done = 0;
  for (const auto& item : field.list.items) {
    const Span span = trimmed(field.value, item.span);
    if (item.count != 0 || !all_encoded(cut(field.value, span))) continue;
    const auto mailbox = written_out(cut(field.value, span));
    if (!mailbox) {
      field.doubt = "encoded words that are not exactly one address";
      return field;
    }
    value.append(field.value, done, span.begin - done) += *mailbox;
    done = span.end;
    field.repaired = true;
  }
  value.append(field.value, done);
  field.value = std::move(value);
  field.list = locate_addresses(field.value, max_addresses);
  if (field.list.malformed) field.doubt = "not the syntax of addresses";
  return field;
}

std::optional<std::string> rewrite_field(const AddressField& field,
                                         std::span<const std::optional<Replacement>> replacements) {
  const std::vector<Mailbox>& old = field.list.mailboxes;
  if (!field.doubt.empty() || replacements.size() != old.size()) return std::nullopt;
  std::string out;
  size_t done = 0;
  for (const ListItem& item : field.list.items) {
    for (size_t i = item.first; i < item.first + item.count; ++i) {
      if (!replacements[i]) continue;
      const Replacement& with = *replacements[i];
      // A new name takes the place of everything between the separators, comments among it.
      const Span span = with.name ? trimmed(field.value, item.span) : field.list.spans[i];
      if (with.name && item.count != 1) return std::nullopt;
      out.append(field.value, done, span.begin - done);
      if (with.name && !with.name->empty()) {
        out += mime::encode_phrase(*with.name);
        out += " <" + with.address + ">";
      } else {
        out += with.address;
      }
      done = span.end;
    }
  }
  out.append(field.value, done);
  const size_t begin = static_cast<size_t>(std::ranges::find_if_not(out, is_space) - out.begin());
  out.erase(0, begin);
  out = mime::fold_value("Reply-To", out);

  const AddressList now = parse_address_list(out, old.size() + 1);
  if (now.malformed || now.truncated || now.mailboxes.size() != old.size()) return std::nullopt;
  for (size_t i = 0; i < old.size(); ++i) {
    const Mailbox& got = now.mailboxes[i];
    const std::string wanted = replacements[i] ? replacements[i]->address : old[i].addr_spec();
    const std::string& name = replacements[i] && replacements[i]->name ? *replacements[i]->name : old[i].display;
    if (got.addr_spec() != wanted || got.display != name || got.group != old[i].group) return std::nullopt;
  }
  return out;
}

}  // namespace postern::message
