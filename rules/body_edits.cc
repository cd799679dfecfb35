// SPDX-License-Identifier: Apache-2.0
// Writing body edits. Each text goes into the first text/plain and the first text/html part of the body, in the part's
// own charset and transfer encoding where that can hold it; else that part becomes UTF-8; else, and always where a
// signature or encryption covers the text, the whole content is wrapped. A text from outside may look like a MIME
// delimiter: what would be read as one is written in base64.
#include "rules/body_edits.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "rules/facts.h"
#include "rules/html_reader.h"
#include "rules/html_text.h"
#include "rules/mime_facts.h"

namespace postern::rules {
namespace {

constexpr size_t kLongestLine = 900;  // RFC 5322 allows 998

bool has_long_line(std::string_view text) {
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end - begin > kLongestLine) return true;
    begin = end + 1;
  }
  return false;
}

// Whether `text` holds what some multipart of the message uses as a delimiter.
bool holds_delimiter(const mime::Structure& tree, std::string_view text) {
  if (text.find("--") == std::string_view::npos) return false;
  for (const mime::Part& part : tree.parts) {
    if (part.kind != mime::PartKind::multipart) continue;
    for (const mime::Parameter& parameter : part.type.parameters) {
      if (parameter.name != "boundary") continue;
      const std::string_view boundary = base::trim(parameter.value);
      if (!boundary.empty() && text.find("--" + std::string(boundary)) != std::string_view::npos) return true;
    }
  }
  return false;
}

// Rendered is a text leaf ready to be written. `content` ends with CRLF.
struct Rendered {
  bool new_header = false;
  std::string content_type;  // folds as CRLF and a blank
  std::string encoding;
  std::string content;
};

std::string quoted_printable(std::string_view bytes) {
  std::string out = mime::encode_quoted_printable(bytes);
  if (!out.ends_with("\r\n")) out += "\r\n";
  return out;
}

// Writes `bytes`, complete lines in a charset that contains ASCII, in the coding that fits best. `encode`: not as they
// are, because lines of them may look like a delimiter.
void encode_lines(std::string_view bytes, bool encode, Rendered& out) {
  const size_t high =
      static_cast<size_t>(std::ranges::count_if(bytes, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }));
  if (high * 3 > bytes.size()) {
    out.encoding = "base64";
    out.content = mime::encode_base64(bytes);
  } else if (encode || high > 0 || has_long_line(bytes)) {
    out.encoding = "quoted-printable";
    out.content = quoted_printable(bytes);
  } else {
    out.encoding = "7bit";
    out.content = bytes;
  }
  if (!out.content.ends_with("\r\n")) out.content += "\r\n";
}

// A text/plain leaf of our own.
Rendered plain_leaf(const mime::Structure& tree, std::string_view utf8) {
  const std::string lines = crlf_lines(utf8);
  Rendered out;
  out.new_header = true;
  out.content_type = base::is_ascii(lines) ? "text/plain; charset=us-ascii" : "text/plain; charset=utf-8";
  encode_lines(lines, holds_delimiter(tree, lines), out);
  return out;
}

std::string leaf_header(const Rendered& leaf) {
  return "Content-Type: " + leaf.content_type + "\r\nContent-Transfer-Encoding: " + leaf.encoding +
         "\r\nContent-Disposition: inline\r\n";
}

// Charsets in which the bytes of ASCII text do not stand for that text.
bool contains_ascii(std::string_view charset) {
  constexpr std::array<std::string_view, 7> kOthers = {"utf-16", "utf16", "utf-32",   "utf32",
                                                       "utf-7",  "ucs-",  "iso-10646"};
  return std::ranges::none_of(kOthers, [&](std::string_view each) { return base::istarts_with(charset, each); }) &&
         !base::istarts_with(charset, "unicode") && !base::istarts_with(charset, "csunicode");
}

std::string joined(const std::vector<std::string>& texts, bool reverse) {
  std::string out;
  for (size_t i = 0; i < texts.size(); ++i) out += crlf_lines(texts[reverse ? texts.size() - 1 - i : i]);
  return out;
}

struct Added {
  std::string heading;  // UTF-8, CRLF lines; may be empty
  std::string footer;
};

std::string compose_plain(const std::string& heading, std::string_view text, const std::string& footer) {
  std::string out = heading;
  out += text;
  if (!footer.empty()) {
    if (!out.empty() && out.back() != '\n') out += "\r\n";
    out += footer;
  }
  return out;
}

std::string compose(bool html, std::string_view text, const Added& added) {
  return html ? html_with_texts(text, added.heading, added.footer) : compose_plain(added.heading, text, added.footer);
}

// The Content-Type of a part whose charset changes; its other parameters stay.
std::string type_with_utf8(const mime::StructuredValue& type) {
  std::string out = type.value.empty() ? "text/plain" : type.value;
  out += "; charset=utf-8";
  for (const mime::Parameter& parameter : type.parameters) {
    if (parameter.name == "charset") continue;
    out += ";\r\n " + mime::encode_parameter(parameter.name, parameter.value);
  }
  return out;
}

std::string with_crlf_folds(std::string_view value) {
  std::string out;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\n' && (i == 0 || value[i - 1] != '\r')) out += '\r';
    out += value[i];
  }
  return out;
}

// Whether `after` has lines too long for mail that `before` has not.
bool added_long_line(std::string_view after, std::string_view before) {
  return has_long_line(after) && !has_long_line(before);
}

// The value of field `name` in the header of part `index`, wherever that is kept.
std::string_view field_of(Facts& facts, const mime::Structure& tree, uint32_t index, std::string_view name) {
  if (index != 0) return base::trim(tree.parts[index].field(name));
  for (const auto& [field, value] : *facts.body_edits.content_fields) {
    if (base::iequals(field, name)) return base::trim(value);
  }
  return {};
}

// The text that filters gave text leaf `index`; nullopt where it keeps its own.
std::optional<std::string> new_text(Facts& facts, uint32_t index) {
  const auto at = facts.body_edits.texts.find(index);
  const bool convert = facts.body_edits.to_plain.contains(index);
  if (at == facts.body_edits.texts.end() && !convert) return std::nullopt;
  const std::string& text = at != facts.body_edits.texts.end() ? at->second : facts.message().text(index).utf8;
  return crlf_lines(convert ? html_shown(text, {.links = true}) : text);
}

// render gives text leaf `index` with the text it is to have and the texts added; nullopt when its own text cannot be
// kept as it is.
std::optional<Rendered> render(Facts& facts, const mime::Structure& tree, uint32_t index, const Added& added) {
  const mime::Part& part = tree.parts[index];
  const bool convert = facts.body_edits.to_plain.contains(index);
  const bool html = part.type.value == "text/html" && !convert;
  const std::optional<std::string> text = new_text(facts, index);
  const std::string charset(part.type.get("charset"));
  if (part.encoding == mime::TransferEncoding::unknown || part.encoding == mime::TransferEncoding::uuencode) {
    return std::nullopt;
  }
  mime::Decoded decoded = mime::decode_content(part, facts.message().received_body());
  if (decoded.damaged) return std::nullopt;

  Added own = added;  // in the part's charset
  // Text of an unknown charset may be EBCDIC.
  bool fits = contains_ascii(charset) && (charset.empty() || mime::is_known_charset(charset));
  if (fits && !html) {
    for (std::string* each : {&own.heading, &own.footer}) {
      if (base::is_ascii(*each)) continue;
      std::string converted;
      fits = fits && mime::from_utf8(*each, charset.empty() ? "us-ascii" : charset, converted);
      *each = std::move(converted);
    }
  }
  std::string own_text = text ? std::string() : std::move(decoded.bytes);
  fits = fits && (!text || mime::from_utf8(*text, charset.empty() ? "us-ascii" : charset, own_text));
  Rendered out;
  std::string bytes;
  bool eight_bit_added = false;
  if (fits) {
    bytes = compose(html, own_text, own);
    // html_with_texts writes character references: it adds ASCII only.
    eight_bit_added =
        (!html && (!base::is_ascii(own.heading) || !base::is_ascii(own.footer))) || (text && !base::is_ascii(own_text));
    out.content_type = convert ? "text/plain; charset=" + (charset.empty() ? "us-ascii" : charset)
                               : with_crlf_folds(field_of(facts, tree, index, "Content-Type"));
    out.new_header = convert;
  } else {
    const mime::Text& received = facts.message().text(index);
    if (received.damaged || received.undecodable) return std::nullopt;
    bytes = compose(html, text ? *text : received.utf8, added);
    out.content_type = convert ? "text/plain; charset=utf-8" : type_with_utf8(part.type);
    out.new_header = true;
  }
  switch (part.encoding) {
    case mime::TransferEncoding::base64:
      out.encoding = "base64";
      out.content = mime::encode_base64(bytes);
      break;
    case mime::TransferEncoding::quoted_printable:
      out.encoding = "quoted-printable";
      out.content = quoted_printable(bytes);
      break;
    default: {
      const std::string_view declared = field_of(facts, tree, index, "Content-Transfer-Encoding");
      const bool eight_bit = base::iequals(declared, "8bit") || base::iequals(declared, "binary");
      // What stands in the part as it came is no delimiter; only what is added, or newly converted, may be.
      const bool delimiter = !fits || holds_delimiter(tree, own.heading) || holds_delimiter(tree, own.footer) ||
                             (text && holds_delimiter(tree, bytes));
      if (!delimiter && (!eight_bit_added || eight_bit) && !(added_long_line(bytes, own_text))) {
        out.encoding = declared;
        out.content = std::move(bytes);
      } else {
        encode_lines(bytes, delimiter, out);
        out.new_header = true;
      }
      if (out.new_header && out.encoding.empty()) out.encoding = "7bit";
      break;
    }
  }
  if (!out.content.ends_with("\r\n")) out.content += "\r\n";
  if (out.content_type.empty()) out.content_type = "text/plain; charset=us-ascii";
  return out;
}

// The header of part `index` with the content described by `leaf`; other fields stay.
std::string rewritten_header(const mime::Part& part, const Rendered& leaf) {
  std::string out;
  for (const mime::HeaderField& field : part.fields) {
    if (base::iequals(field.name, "Content-Type") || base::iequals(field.name, "Content-Transfer-Encoding") ||
        base::iequals(field.name, "Content-MD5") || base::iequals(field.name, "Content-Length")) {
      continue;
    }
    out += field.name + ":" + with_crlf_folds(field.value) + "\r\n";
  }
  return out + "Content-Type: " + leaf.content_type + "\r\nContent-Transfer-Encoding: " + leaf.encoding + "\r\n";
}

// The header of part `index` as it came, without the blank line.
std::string same_header(const mime::Part& part, std::string_view body) {
  std::string_view header = part.header.of(body);
  if (header.ends_with("\r\n\r\n")) {
    header.remove_suffix(2);
  } else if (header.ends_with("\n\n")) {
    header.remove_suffix(1);
  } else if (header == "\r\n" || header == "\n") {
    header = {};
  }
  return std::string(header);
}

// The line end before the next delimiter is not the part's.
std::string without_last_line_end(std::string content) {
  if (content.ends_with("\r\n")) content.resize(content.size() - 2);
  return content;
}

mime::PartEdit text_edit(const mime::Structure& tree, uint32_t index, const Rendered& leaf, std::string_view body) {
  const mime::Part& part = tree.parts[index];
  return {index, false, leaf.new_header ? rewritten_header(part, leaf) : same_header(part, body),
          without_last_line_end(leaf.content)};
}

mime::PartEdit drop_edit(const mime::Structure& tree, const BodyEdits::Drop& drop) {
  if (drop.notice.empty() && tree.parts[tree.parts[drop.part].parent].kind == mime::PartKind::multipart) {
    return {drop.part, true, {}, {}};
  }
  const Rendered leaf = plain_leaf(tree, drop.notice);
  std::string header = leaf_header(leaf);
  const mime::Part& part = tree.parts[drop.part];
  if (tree.parts[part.parent].kind == mime::PartKind::message) {
    // The part is the body of an attached message: that message's own header stays.
    std::string kept;
    for (const mime::HeaderField& field : part.fields) {
      if (base::istarts_with(field.name, "Content-")) continue;
      kept += field.name + ":" + with_crlf_folds(field.value) + "\r\n";
    }
    header.insert(0, kept);
  }
  return {drop.part, false, std::move(header), without_last_line_end(leaf.content)};
}

// The leaves that take the texts; none when the content has to be wrapped.
std::vector<uint32_t> text_targets(Facts& facts, const mime::Structure& tree) {
  std::optional<uint32_t> plain;
  std::optional<uint32_t> html;
  for (uint32_t i = 0; i < tree.parts.size(); ++i) {
    if (!facts.is_body_text(i)) continue;
    if (!plain && tree.parts[i].type.value == "text/plain") plain = i;
    if (!html && tree.parts[i].type.value == "text/html") html = i;
  }
  std::vector<uint32_t> out;
  for (const std::optional<uint32_t>& target : {plain, html}) {
    if (!target) continue;
    for (uint32_t up = *target; up != 0; up = tree.parts[up].parent) {
      if (tree.parts[tree.parts[up].parent].kind == mime::PartKind::message) return {};
    }
    if (!protection_of(facts, *target).empty()) return {};
    out.push_back(*target);
  }
  return out;
}

bool holds_text(const mime::Pieces& pieces, std::string_view text) {
  std::string tail;  // the end of what was searched, in case `text` spans pieces
  for (const std::string_view view : pieces.views()) {
    if (view.find(text) != std::string_view::npos) return true;
    if ((tail + std::string(view.substr(0, text.size()))).find(text) != std::string::npos) return true;
    tail += view.substr(view.size() - std::min(view.size(), text.size()));
    if (tail.size() > text.size()) tail.erase(0, tail.size() - text.size());
  }
  return false;
}

// A boundary that neither occurs in the content nor can be foreseen by who wrote it; the same for the same message.
std::string new_boundary(const message::Message& message, const mime::Pieces& inner, std::string_view heading,
                         std::string_view footer) {
  uint64_t hash = 0xCBF29CE484222325ull ^ message.mid;
  for (const std::string_view view : inner.views()) {
    for (const char c : view.substr(0, 65536)) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
    hash = (hash ^ view.size()) * 0x100000001B3ull;
  }
  for (;; hash = hash * 0x9E3779B97F4A7C15ull + 1) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out = "=_postern_";
    for (int shift = 60; shift >= 0; shift -= 4) out += kDigits[hash >> shift & 15];
    if (!holds_text(inner, out) && heading.find(out) == std::string_view::npos &&
        footer.find(out) == std::string_view::npos) {
      return out;
    }
  }
}

// The whole content as the first (or second) part of a new multipart/mixed, the texts beside it.
void wrap(Facts& facts, const mime::Structure& tree, const mime::Pieces& inner, const Added& added) {
  message::Message& message = facts.message();
  const std::string_view body = message.received_body();
  const Rendered heading = plain_leaf(tree, added.heading);
  const Rendered footer = plain_leaf(tree, added.footer);
  const std::string boundary = new_boundary(message, inner, heading.content, footer.content);
  const std::string delimiter = "--" + boundary + "\r\n";
  mime::Pieces out;
  if (!added.heading.empty()) {
    out.add_text(delimiter + leaf_header(heading) + "\r\n" + without_last_line_end(heading.content) + "\r\n");
  }
  std::string header = delimiter;
  bool binary = false;
  for (const auto& [name, value] : *facts.body_edits.content_fields) {
    header += name + ":" + with_crlf_folds(value) + "\r\n";
    binary = binary || (base::iequals(name, "Content-Transfer-Encoding") && base::iequals(base::trim(value), "binary"));
  }
  out.add_text(header + "\r\n");
  bool eight_bit = false;
  for (const std::string_view view : inner.views()) {
    eight_bit = eight_bit || !base::is_ascii(view);
    const bool received = view.data() >= body.data() && view.data() + view.size() <= body.data() + body.size();
    if (received) {
      out.add_view(view);
    } else {
      out.add_text(std::string(view));
    }
  }
  out.add_text("\r\n");
  if (!added.footer.empty()) {
    out.add_text(delimiter + leaf_header(footer) + "\r\n" + without_last_line_end(footer.content) + "\r\n");
  }
  out.add_text("--" + boundary + "--\r\n");
  message.replace_body("multipart/mixed;\n boundary=\"" + boundary + "\"",
                       binary      ? "binary"
                       : eight_bit ? "8bit"
                                   : "7bit",
                       std::move(out));
}

mime::Pieces owned(std::string text) {
  mime::Pieces out;
  out.add_text(std::move(text));
  return out;
}

std::string with_lf_folds(std::string text) {
  std::erase(text, '\r');
  return text;
}

}  // namespace

std::string crlf_lines(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 16 + 2);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\0') continue;
    if (text[i] == '\r' || text[i] == '\n') {
      if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') ++i;
      out += "\r\n";
    } else {
      out += text[i];
    }
  }
  if (!out.ends_with("\r\n")) out += "\r\n";
  return out;
}

bool inside_type(Facts& facts, uint32_t part, std::string_view type) {
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr || part >= tree->parts.size()) return false;
  for (;;) {
    if (tree->parts[part].type.value == type) return true;
    if (part == 0) return false;
    part = tree->parts[part].parent;
  }
}

std::string_view protection_of(Facts& facts, uint32_t part) {
  if (inside_type(facts, part, "multipart/encrypted")) return "encrypted";
  if (inside_type(facts, part, "multipart/signed")) return "signed";
  if (text_has_armor(facts, part, "-----BEGIN PGP MESSAGE-----").is_yes()) return "encrypted";
  return text_has_armor(facts, part, "-----BEGIN PGP ").is_yes() ? "signed" : std::string_view();
}

void apply_body_edits(Facts& facts) {
  BodyEdits& plan = facts.body_edits;
  if (!plan.pending) return;
  plan.pending = false;
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return;
  message::Message& message = facts.message();
  const std::string_view body = message.received_body();
  if (!plan.content_fields) {
    plan.content_fields.emplace();
    for (const mime::HeaderField& field : message.headers) {
      if (base::iequals(field.name, "Content-Type") || base::iequals(field.name, "Content-Transfer-Encoding") ||
          base::iequals(field.name, "Content-Disposition")) {
        plan.content_fields->emplace_back(field.name, field.value);
      }
    }
  }
  const Added added{joined(plan.headings, true), joined(plan.footers, false)};
  const bool texts = !added.heading.empty() || !added.footer.empty();

  // A message that was one attachment becomes a plain text.
  for (const BodyEdits::Drop& drop : plan.drops) {
    if (drop.part != 0) continue;
    const std::string notice = drop.notice.empty() ? std::string() : crlf_lines(drop.notice);
    const Rendered leaf = plain_leaf(*tree, added.heading + notice + added.footer);
    message.replace_body(leaf.content_type, leaf.encoding, owned(leaf.content));
    return;
  }

  std::vector<mime::PartEdit> edits;
  for (const BodyEdits::Drop& drop : plan.drops) edits.push_back(drop_edit(*tree, drop));
  bool wrapped = false;
  std::optional<Rendered> root;
  std::set<uint32_t> changed = plan.to_plain;
  for (const auto& [part, text] : plan.texts) changed.insert(part);
  if (texts) {
    const std::vector<uint32_t> targets = text_targets(facts, *tree);
    std::vector<mime::PartEdit> text_edits;
    wrapped = targets.empty();
    for (const uint32_t target : targets) {
      changed.erase(target);
      std::optional<Rendered> leaf = render(facts, *tree, target, added);
      if (!leaf) {
        wrapped = true;
        root.reset();
        break;
      }
      if (target == 0) {
        root = std::move(leaf);
      } else {
        text_edits.push_back(text_edit(*tree, target, *leaf, body));
      }
    }
    if (wrapped) {
      for (const uint32_t target : targets) changed.insert(target);
    } else {
      std::ranges::move(text_edits, std::back_inserter(edits));
    }
  }
  for (const uint32_t part : changed) {
    if (facts.dropped(part) || (!plan.texts.contains(part) && !plan.to_plain.contains(part))) continue;
    std::optional<Rendered> leaf = render(facts, *tree, part, {});
    if (!leaf) continue;  // the actions refuse what render cannot keep
    if (part == 0) {
      root = std::move(leaf);
    } else {
      edits.push_back(text_edit(*tree, part, *leaf, body));
    }
  }
  if (wrapped) {
    const mime::Pieces inner = mime::write_body(*tree, body, edits);
    wrap(facts, *tree, inner, added);
    plan.replaced = true;
  } else if (root && (root->new_header || plan.replaced)) {
    message.replace_body(with_lf_folds(root->content_type), with_lf_folds(root->encoding), owned(root->content));
    plan.replaced = true;
  } else if (root) {
    message.edit_part({0, false, {}, std::move(root->content)});
  } else {
    for (mime::PartEdit& edit : edits) message.edit_part(std::move(edit));
  }
}

}  // namespace postern::rules
