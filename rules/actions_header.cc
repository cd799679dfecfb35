// SPDX-License-Identifier: Apache-2.0
// Actions on header fields. Values are written for a reader in UTF-8 and encoded here: unstructured fields by RFC 2047,
// address fields with encoded words in display names only, so that the list of addresses stays the one that was meant
// (RFC 2047 section 5). Fields this program wrote about the message itself (trace and results) are never taken away or
// changed by a filter.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "engine/base/text.h"
#include "engine/message/address.h"
#include "engine/mime/charset.h"
#include "engine/mime/encoded_word.h"
#include "rules/actions.h"

namespace postern::rules {
namespace {

constexpr size_t kMaxEdited = 128 * 1024;

template <size_t N>
bool is_one_of(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::ranges::any_of(names, [&](std::string_view each) { return base::iequals(each, name); });
}

// Fields whose value is a list of addresses.
bool is_address_field(std::string_view name) {
  constexpr std::array<std::string_view, 16> kNames = {"From",
                                                       "To",
                                                       "Cc",
                                                       "Bcc",
                                                       "Reply-To",
                                                       "Sender",
                                                       "Resent-From",
                                                       "Resent-To",
                                                       "Resent-Cc",
                                                       "Resent-Bcc",
                                                       "Resent-Reply-To",
                                                       "Resent-Sender",
                                                       "Errors-To",
                                                       "Apparently-To",
                                                       "Mail-Followup-To",
                                                       "Disposition-Notification-To"};
  return is_one_of(name, kNames);
}

// Fields with a syntax of their own, in which an encoded word at the wrong place would break the value.
bool is_syntax_field(std::string_view name) {
  constexpr std::array<std::string_view, 10> kNames = {
      "Received",    "Message-ID", "In-Reply-To",  "References",         "DKIM-Signature", "Authentication-Results",
      "Return-Path", "Date",       "MIME-Version", "DomainKey-Signature"};
  return is_one_of(name, kNames) || base::istarts_with(name, "Content-") || base::istarts_with(name, "ARC-") ||
         base::istarts_with(name, "List-");
}

// Fields we write about a message: of those, what we added stays.
bool is_own_trace(const mime::HeaderField& field) {
  constexpr std::array<std::string_view, 4> kNames = {"Received", "Authentication-Results", "Received-SPF",
                                                      "DKIM-Signature"};
  return field.received < 0 && (is_one_of(field.name, kNames) || base::istarts_with(field.name, "ARC-") ||
                                base::istarts_with(field.name, "X-Postern-"));
}

std::string as_utf8(std::string text) {
  return base::is_valid_utf8(text) ? std::move(text) : mime::to_utf8(text, "windows-1252").utf8;
}

// The end of the encoded word that begins at `at`, or npos when none does. No word is longer than kMaxWord, so that
// many beginnings without an end cost little.
constexpr size_t kMaxWord = 1024;
size_t encoded_word_end(std::string_view whole, size_t at) {
  if (whole.substr(at, 2) != "=?") return std::string_view::npos;
  const std::string_view text = whole.substr(0, at + kMaxWord);
  const size_t encoding = text.find('?', at + 2);
  if (encoding == std::string_view::npos || encoding + 2 >= text.size() || text[encoding + 2] != '?') {
    return std::string_view::npos;
  }
  const size_t end = text.find("?=", encoding + 3);
  if (end == std::string_view::npos) return std::string_view::npos;
  const std::string_view word = text.substr(at, end - at);
  return word.find_first_of(" \t\"<>(),;") == std::string_view::npos ? end + 2 : std::string_view::npos;
}

// The decoded text of the run of encoded words at `at` (white space between them goes); `at` moves past it.
std::string decode_run(std::string_view text, size_t& at) {
  const size_t begin = at;
  size_t end = encoded_word_end(text, at);
  for (;;) {
    const size_t next = text.find_first_not_of(" \t\r\n", end);
    if (next == std::string_view::npos || next == end) break;
    const size_t more = encoded_word_end(text, next);
    if (more == std::string_view::npos) break;
    end = more;
  }
  at = end;
  std::string out = base::one_line(mime::decode_words(text.substr(begin, end - begin)));
  blank_controls(out);
  return out;
}

void append_escaped(std::string& out, std::string_view text, std::string_view special) {
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out.push_back('\\');
    out.push_back(c);
  }
}

// readable_addresses gives an address field's value with its encoded words decoded and everything else as it stands: a
// decoded word that holds a comma, an '@' or the like is put in quotes, so that it can never become an address.
std::string readable_addresses(std::string_view raw) {
  const std::string text = as_utf8(mime::unfold(raw));
  std::string out;
  out.reserve(text.size());
  bool quoted = false;
  uint32_t comment = 0;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (encoded_word_end(text, i) != std::string_view::npos) {
      const std::string decoded = decode_run(text, i);
      if (quoted) {
        append_escaped(out, decoded, "\"\\");
      } else if (comment > 0) {
        append_escaped(out, decoded, "()\\");
      } else if (decoded.find_first_of("()<>[]:;@\\,.\"") != std::string::npos) {
        out.push_back('"');
        append_escaped(out, decoded, "\"\\");
        out.push_back('"');
      } else {
        out += decoded;
      }
      continue;
    }
    if (c == '\\' && (quoted || comment > 0) && i + 1 < text.size()) {
      out.append(text, i, 2);
      i += 2;
      continue;
    }
    if (c == '"' && comment == 0) quoted = !quoted;
    if (c == '(' && !quoted) ++comment;
    if (c == ')' && !quoted && comment > 0) --comment;
    out.push_back(c);
    ++i;
  }
  return out;
}

// write_addresses writes a list as a header value: ASCII only, folded with LF; false when an address itself is not
// ASCII.
bool write_addresses(const message::AddressList& list, size_t name_size, std::string& out) {
  size_t column = name_size + 2;
  const auto put = [&](const std::string& item, bool first) {
    if (!first) {
      if (column + 1 + item.size() > 76) {
        out += "\n ";
        column = 1;
      } else {
        out += ' ';
        ++column;
      }
    }
    out += item;
    const size_t line = item.rfind('\n');
    column = line == std::string::npos ? column + item.size() : item.size() - line - 1;
  };
  for (size_t i = 0; i < list.mailboxes.size(); ++i) {
    const message::Mailbox& mailbox = list.mailboxes[i];
    const bool group_begins = !mailbox.group.empty() && (i == 0 || list.mailboxes[i - 1].group != mailbox.group);
    const bool last = i + 1 == list.mailboxes.size();
    const bool group_ends = !mailbox.group.empty() && (last || list.mailboxes[i + 1].group != mailbox.group);
    if (group_begins) {
      // A blank keeps an encoded word from touching the colon (RFC 2047 section 5).
      const std::string name = mime::encode_phrase(mailbox.group);
      put(name + (name.ends_with("?=") ? " :" : ":"), i == 0);
    }
    const std::string spec = mailbox.addr_spec();
    if (!base::is_ascii(spec)) return false;
    std::string item = mailbox.display.empty() ? spec : mime::encode_phrase(mailbox.display) + " <" + spec + ">";
    if (group_ends) item += ';';
    if (!last) item += ',';
    put(item, i == 0 && !group_begins);
  }
  return true;
}

// What an edited address field shall hold; an empty value when `text` is no usable list.
std::string encode_addresses(std::string_view name, const std::string& text, Facts& facts, std::string& why) {
  const message::AddressList list = message::parse_address_list(text, facts.message().limits().addresses);
  if (list.malformed || list.truncated) {
    why = "the result is not an address list";
    return {};
  }
  const bool ascii = base::is_ascii(text);
  if (list.mailboxes.empty()) {
    // Only an empty group ("undisclosed-recipients:;") is a list without addresses.
    if (ascii && text.find(':') != std::string::npos && text.find(';') != std::string::npos) return text;
    why = "the result holds no address";
    return {};
  }
  if (facts.message().envelope.smtputf8 || (ascii && text.find("=?") == std::string::npos)) return text;
  std::string out;
  if (write_addresses(list, name.size(), out)) return out;
  why = "the result holds an address that is not ASCII";
  return {};
}

ActionResult insert_header(const Action& action, ActionContext& context) {
  const std::string& name = action.texts[0];
  const std::string text = header_text_of(action, 1, context);
  ActionResult result;
  result.text = "insert-header " + name + ": " + text;
  if (context.dry) return result;
  if (!context.facts.message().headers.append(name, encode_header_value(name, text, context.facts))) {
    result.detail = "insert-header: not a field name";
  }
  return result;
}

ActionResult strip_header(const Action& action, ActionContext& context) {
  const std::string& name = action.texts[0];
  mime::HeaderList& headers = context.facts.message().headers;
  size_t found = 0;
  for (size_t at = headers.find(name); at != mime::HeaderList::npos; at = headers.find(name, at + 1)) {
    found += is_own_trace(headers[at]) ? 0 : 1;
  }
  ActionResult result;
  result.text = "strip-header " + name + " (" + std::to_string(found) + ")";
  if (context.dry || found == 0) return result;
  context.facts.remember_stripped(name);
  headers.remove_received(name);
  // What an earlier filter inserted goes too; only our own trace stays.
  for (size_t at = headers.find(name); at != mime::HeaderList::npos;) {
    if (is_own_trace(headers[at])) {
      ++at;
    } else {
      headers.remove(at);
    }
    at = headers.find(name, at);
  }
  return result;
}

std::string one_clean_line(std::string_view text) {
  std::string out = base::one_line(text);
  blank_controls(out);
  return std::string(base::trim(out));
}

ActionResult edit_header_text(const Action& action, ActionContext& context) {
  const std::string& name = action.texts[0];
  const std::string_view replacement = action.texts.size() > 2 ? std::string_view(action.texts[2]) : "";
  mime::HeaderList& headers = context.facts.message().headers;
  const bool utf8 = context.facts.message().envelope.smtputf8;
  ActionResult result;
  size_t changed = 0;
  for (size_t at = headers.find(name); action.regex && at != mime::HeaderList::npos; at = headers.find(name, at + 1)) {
    const mime::HeaderField& field = headers[at];
    if (is_own_trace(field)) continue;
    const bool addresses = is_address_field(field.name);
    const bool syntax = !addresses && is_syntax_field(field.name);
    const std::string text = addresses ? readable_addresses(field.value)
                             : syntax  ? as_utf8(mime::unfold(field.value))
                                       : mime::decode_words(field.value);
    const auto edited = action.regex->replace_all(text, replacement, kMaxEdited);
    if (!edited) {
      result.problem = Unknown::regex_limit;
      result.detail = "edit-header-text " + field.name + ": " + edited.error().text();
      continue;
    }
    const std::string wanted = one_clean_line(*edited);
    if (wanted == one_clean_line(text)) continue;
    std::string value;
    if (addresses) {
      std::string why;
      value = encode_addresses(field.name, wanted, context.facts, why);
      if (value.empty()) {
        result.problem = Unknown::unscannable;
        result.detail = "edit-header-text " + field.name + ": left as it was, " + why;
        continue;
      }
    } else if (syntax) {
      if (!base::is_ascii(wanted) && !utf8) {
        result.problem = Unknown::unscannable;
        result.detail = "edit-header-text " + field.name + ": left as it was, the result is not ASCII";
        continue;
      }
      value = wanted;
    } else {
      value = encode_header_value(field.name, wanted, context.facts);
    }
    ++changed;
    if (!context.dry) headers.change(at, value);
  }
  result.text = "edit-header-text " + name + " (" + std::to_string(changed) + ")";
  return result;
}

// A field of ours that stands at most once; the last one that is set wins.
void set_field(mime::HeaderList& headers, std::string_view field, std::string_view value) {
  for (size_t at = headers.find(field); at != mime::HeaderList::npos; at = headers.find(field, at)) headers.remove(at);
  headers.append(field, value);
}

ActionResult set_route(std::string_view field, const Action& action, ActionContext& context) {
  ActionResult result;
  result.text = std::string(action.row->name) + " " + action.texts[0];
  if (!context.dry) set_field(context.facts.message().headers, field, action.texts[0]);
  return result;
}

ActionResult alt_mailhost(const Action& action, ActionContext& context) {
  return set_route(kAltMailhostHeader, action, context);
}

ActionResult alt_src_host(const Action& action, ActionContext& context) {
  return set_route(kAltSrcHostHeader, action, context);
}

constexpr NamedAction kActions[] = {
    {"insert-header", insert_header}, {"strip-header", strip_header}, {"edit-header-text", edit_header_text},
    {"alt-mailhost", alt_mailhost},   {"alt-src-host", alt_src_host},
};

}  // namespace

std::span<const NamedAction> header_actions() { return kActions; }

std::string encode_header_value(std::string_view name, const std::string& utf8, Facts& facts) {
  const std::string text = as_utf8(utf8);
  if (facts.message().envelope.smtputf8) return text;
  if (base::is_ascii(text) && text.find("=?") == std::string::npos) return text;
  if (is_address_field(name)) {
    std::string why;
    std::string value = encode_addresses(name, text, facts, why);
    if (!value.empty()) return value;
  }
  return mime::encode_words(text, name.size() + 2);
}

void set_next_hop(message::Message& message, std::string_view host) {
  set_field(message.headers, kAltMailhostHeader, host);
}

void strip_route_headers(Facts& facts) {
  mime::HeaderList& headers = facts.message().headers;
  headers.remove_received(kAltMailhostHeader);
  headers.remove_received(kAltSrcHostHeader);
}

}  // namespace postern::rules
