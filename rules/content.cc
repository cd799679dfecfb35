// SPDX-License-Identifier: Apache-2.0
// Which leaves give text by themselves, and in which readings. What a label claims is believed only where the bytes do
// not speak against it: an attacker writes the label.
#include "rules/content.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/encoded_word.h"
#include "rules/html_reader.h"
#include "rules/mime_facts.h"

namespace postern::rules {
namespace {

constexpr size_t kMaxHeaderText = 64u << 10;  // of an attached message

// Types whose content is text though they are not called so.
bool is_text_type(std::string_view type) {
  constexpr std::array<std::string_view, 17> kTypes = {
      "application/json",       "application/xml",      "application/javascript",    "application/x-javascript",
      "application/ecmascript", "application/x-sh",     "application/sql",           "application/x-httpd-php",
      "application/x-perl",     "application/pgp-keys", "application/pgp-signature", "application/yaml",
      "application/xhtml+xml",  "application/x-yaml",   "application/x-bat",         "application/x-powershell",
      "application/hta"};
  if (type.starts_with("text/")) return true;
  // A message that is no container here is a report or a header; the other two hold bytes of something else.
  if (type.starts_with("message/")) {
    return type != "message/partial" && type != "message/external-body" && type != "message/rfc822" &&
           type != "message/global" && type != "message/news";
  }
  return std::ranges::find(kTypes, type) != kTypes.end() || type.ends_with("+xml") || type.ends_with("+json");
}

bool is_html_type(std::string_view type) {
  return type == "text/html" || type == "application/xhtml+xml" || type == "image/svg+xml" || type == "application/hta";
}

// Whether bytes that nobody calls text are nothing else: no zero or control byte, and no start of a format that is
// written in ASCII but is more than its characters.
bool is_plain_bytes(std::string_view bytes) {
  constexpr std::array<std::string_view, 8> kFormats = {"{\\rtf", "%PDF",  "%!PS", "From ",
                                                        "begin ", "<?xml", "PK",   "TNEF"};
  for (const std::string_view format : kFormats) {
    if (base::trim(bytes.substr(0, 64)).starts_with(format)) return false;
  }
  return base::is_valid_utf8(bytes) && std::ranges::none_of(bytes, [](char c) {
           return (static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f') ||
                  c == 0x7F;
         });
}

// Whether what is called text is more than its characters, or none: the start of a format in its bytes, or controls by
// the dozen in its text. A control here and there is no file of another kind.
bool is_other_than_text(std::string_view bytes, std::string_view text) {
  using namespace std::string_view_literals;
  constexpr std::array<std::string_view, 4> kFormats = {"PK\3\4"sv, "%PDF"sv, "{\\rtf"sv,
                                                        "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"sv};
  if (std::ranges::any_of(kFormats, [&](std::string_view each) { return bytes.starts_with(each); })) return true;
  constexpr size_t kTextForOneControl = 128;
  const auto controls = static_cast<size_t>(std::ranges::count_if(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 && (byte < 9 || byte > 13) && byte != 0x1B;
  }));
  return controls > text.size() / kTextForOneControl;
}

// The first bytes of leaf `part`, decoded.
std::string head_of(const mime::Part& part, std::string_view body) {
  constexpr size_t kHead = 256;
  return mime::decode_transfer(part.encoding, part.content.of(body).substr(0, kHead)).bytes;
}

// Whether a browser would take `text` for HTML whatever it is called.
bool begins_like_html(std::string_view text) {
  constexpr std::array<std::string_view, 3> kStarts = {"<!doctype html", "<html", "<?xml"};
  const std::string_view head = base::trim(text.substr(0, 256));
  return std::ranges::any_of(kStarts, [&](std::string_view start) { return base::istarts_with(head, start); });
}

bool is_html_name(std::string_view name) { return is_html_type(mime::type_from_extension(name)); }

// The first name of the leaf that a system would open as something else than text; empty when there is none.
std::string_view other_name(const mime::Part& leaf) {
  for (const std::string& name : leaf.file_names) {
    const std::string_view named = mime::type_from_extension(name);
    if (!named.empty() && !is_text_type(named)) return name;
  }
  return {};
}

// The charset that an HTML document says itself, which readers follow where the part has no label.
std::string_view meta_charset(std::string_view bytes) {
  const std::string_view head = bytes.substr(0, 2048);
  constexpr std::string_view kWord = "charset";
  for (size_t i = 0; i + kWord.size() < head.size(); ++i) {
    if (!base::istarts_with(head.substr(i, kWord.size()), kWord)) continue;
    size_t at = i + kWord.size();
    while (at < head.size() && (head[at] == ' ' || head[at] == '=' || head[at] == '"' || head[at] == '\'')) ++at;
    const size_t end = std::min(head.find_first_of("\"' ;/>\r\n", at), head.size());
    if (end > at) return head.substr(at, end - at);
  }
  return {};
}

bool is_one_line_end(std::string_view text, size_t at) { return at + 1 < text.size() && text[at + 1] == '\n'; }

// The length of the invisible character at `at`, or 0.
size_t invisible(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(at);
  if (first < 0x20) {
    if (first == '\t' || first == '\n' || first == '\f' || first == '\v') return 0;
    return first == '\r' && is_one_line_end(text, at) ? 0 : 1;
  }
  switch (first) {
    case 0x7F:
      return 1;
    case 0xC2:  // U+00AD
      return byte(at + 1) == 0xAD ? 2 : 0;
    case 0xCD:  // U+034F
      return byte(at + 1) == 0x8F ? 2 : 0;
    case 0xD8:  // U+061C
      return byte(at + 1) == 0x9C ? 2 : 0;
    case 0xE1:  // U+115F, U+1160, U+17B4, U+17B5, U+180B–U+180F
      if (byte(at + 1) == 0x85 && (byte(at + 2) == 0x9F || byte(at + 2) == 0xA0)) return 3;
      if (byte(at + 1) == 0x9E && (byte(at + 2) == 0xB4 || byte(at + 2) == 0xB5)) return 3;
      return byte(at + 1) == 0xA0 && byte(at + 2) >= 0x8B && byte(at + 2) <= 0x8F ? 3 : 0;
    case 0xE2:  // U+200B–U+200F, U+202A–U+202E, U+2060–U+206F
      if (byte(at + 1) == 0x80) {
        return (byte(at + 2) >= 0x8B && byte(at + 2) <= 0x8F) || (byte(at + 2) >= 0xAA && byte(at + 2) <= 0xAE) ? 3 : 0;
      }
      return byte(at + 1) == 0x81 && byte(at + 2) >= 0xA0 && byte(at + 2) <= 0xAF ? 3 : 0;
    case 0xE3:  // U+3164
      return byte(at + 1) == 0x85 && byte(at + 2) == 0xA4 ? 3 : 0;
    case 0xEF:  // U+FE00–U+FE0F, U+FEFF
      if (byte(at + 1) == 0xB8 && byte(at + 2) >= 0x80 && byte(at + 2) <= 0x8F) return 3;
      return byte(at + 1) == 0xBB && byte(at + 2) == 0xBF ? 3 : 0;
    case 0xF3:  // U+E0000–U+E01FF
      return byte(at + 1) == 0xA0 && byte(at + 2) >= 0x80 && byte(at + 2) <= 0x87 ? 4 : 0;
    default:
      return 0;
  }
}

// Whether `text` is ASCII in which every control is white space, as most text is. One pass that a compiler vectorises.
bool is_ordinary(std::string_view text) {
  unsigned char odd = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    odd |=
        static_cast<unsigned char>(byte >= 0x7F) | static_cast<unsigned char>(byte < 0x20 && (byte < 9 || byte > 13));
  }
  if (odd != 0) return false;
  for (size_t at = text.find('\r'); at != std::string_view::npos; at = text.find('\r', at + 1)) {
    if (!is_one_line_end(text, at)) return false;
  }
  return true;
}

// Where the line at `at` ends, and where the next one begins: at CR, LF or both, as readers of uuencoded files do.
size_t line_end(std::string_view text, size_t at) { return std::min(text.find_first_of("\r\n", at), text.size()); }
size_t next_line(std::string_view text, size_t end) {
  return std::min(text.substr(end).starts_with("\r\n") ? end + 2 : end + 1, text.size());
}

// Reads the lines behind the first one of a uuencoded file; false where none of them is of one.
bool read_uu_lines(std::string_view text, UuFile& file) {
  bool data = false;
  bool ended = false;  // by a line that says that it holds nothing
  while (file.end < text.size()) {
    const size_t stop = line_end(text, file.end);
    const std::string_view line = text.substr(file.end, stop - file.end);
    if (base::trim(line) == "end") {
      file.whole = data || ended;
      if (file.whole) file.end = next_line(text, stop);
      break;
    }
    if (ended || (!line.empty() && !mime::is_uu_data(line))) break;
    ended = line.empty() || line == " " || line == "`";
    data = data || !ended;
    file.end = next_line(text, stop);
  }
  return data || file.whole;
}

}  // namespace

std::optional<std::string> visible(std::string_view text) {
  if (is_ordinary(text)) return std::nullopt;
  size_t at = 0;
  while (at < text.size() && invisible(text, at) == 0) ++at;
  if (at == text.size()) return std::nullopt;
  std::string out(text.substr(0, at));
  out.reserve(text.size());
  while (at < text.size()) {
    const size_t size = invisible(text, at);
    if (size == 0) {
      out += text[at++];
    } else {
      at += size;
    }
  }
  return out;
}

std::vector<UuFile> find_uuencoded(std::string_view text, bool& more) {
  more = false;
  std::vector<UuFile> out;
  for (size_t at = text.find("begin "); at != std::string_view::npos; at = text.find("begin ", at)) {
    const size_t begin = at;
    const size_t end = line_end(text, at);
    const std::string_view line = text.substr(at, end - at);
    at = next_line(text, end);
    if (begin != 0 && text[begin - 1] != '\n' && text[begin - 1] != '\r') continue;
    if (!mime::is_uu_begin(line)) continue;
    UuFile file{begin, at, std::string(base::trim(line.substr(line.find(' ', 6))))};
    if (!read_uu_lines(text, file)) continue;
    if (out.size() == kMaxUuFiles) {
      more = true;
      break;
    }
    at = file.end;
    out.push_back(std::move(file));
  }
  return out;
}

std::vector<ContentText>& Content::texts(uint32_t part) {
  const mime::Structure& tree = message_.structure();
  if (parts_.size() < tree.parts.size()) parts_.resize(tree.parts.size());
  std::unique_ptr<std::vector<ContentText>>& texts = parts_[part];
  if (texts) return *texts;
  texts = std::make_unique<std::vector<ContentText>>();
  if (tree.parts[part].is_leaf()) {
    read_leaf(part, *texts);
  } else if (tree.parts[part].kind == mime::PartKind::message && part != 0) {
    read_header(part, *texts);
  }
  for (ContentText& text : *texts) text.candidates.resize(text.readings.size());
  return *texts;
}

const UuFiles& Content::uuencoded(uint32_t part) {
  const mime::Structure& tree = message_.structure();
  if (uu_files_.size() < tree.parts.size()) uu_files_.resize(tree.parts.size());
  std::optional<UuFiles>& out = uu_files_[part];
  if (out) return *out;
  out.emplace();
  // In HTML they are no files to any reader.
  if (is_html_type(tree.parts[part].type.value)) return *out;
  const mime::Text& text = message_.text(part);
  bool more = false;
  out->list = find_uuencoded(text.utf8, more);
  out->complete = !more && !text.undecodable;
  return *out;
}

void Content::read_leaf(uint32_t part, std::vector<ContentText>& out) {
  const mime::Part& leaf = message_.structure().parts[part];
  const std::string& type = leaf.type.value;
  if (is_text_type(type)) {
    read_text(leaf, part, out);
    return;
  }
  bool damaged = false;
  const std::string_view content = inspection_.bytes(part, damaged);
  const std::string_view name = leaf.file_names.empty() ? std::string_view() : leaf.file_names.front();
  const std::string_view named = mime::type_from_extension(name);
  if (type == "application/octet-stream" && (named.empty() || is_text_type(named)) && is_plain_bytes(content)) {
    read_text(leaf, part, out);
    return;
  }
  add_scanned(inspection_.of(part), out, false);
}

void Content::add_scanned(const scan::Verdict& verdict, std::vector<ContentText>& out, bool uuencoded) {
  ContentText& whole = out.emplace_back();
  whole.uuencoded = uuencoded;
  whole.complete = verdict.complete();
  if (!whole.complete) whole.reason = "unscannable: " + std::string(reason_name(verdict.reason()));
  // Each document is a text of its own: hits are summed over them, not compared.
  for (const scan::Leaf& leaf : verdict.leaves) {
    if (leaf.text.empty()) continue;
    ContentText& each = out.emplace_back();
    each.uuencoded = uuencoded;
    add_own(each, leaf.text, false);
  }
}

void Content::read_text(const mime::Part& part, uint32_t index, std::vector<ContentText>& out) {
  const mime::Text& text = message_.text(index);
  const bool called_html = is_html_type(part.type.value);
  const bool html = called_html || std::ranges::any_of(part.file_names, is_html_name) || begins_like_html(text.utf8);
  const size_t first = out.size();
  ContentText& main = out.emplace_back();
  if (text.damaged || text.undecodable) {
    main.complete = false;
    main.reason = text.undecodable ? "its charset is not known" : "its encoding is damaged";
  }
  std::vector<ContentText> files;
  if (!called_html) {
    std::string rest;
    const bool cut = read_uuencoded(text.utf8, files, rest);
    if (cut) add_own(main, std::move(rest), html);
  }
  // Readers that know no uuencoded files show them as they stand.
  add(main, text.utf8, html);
  const std::string_view best = read_against_label(part, index, main, html);
  const std::string_view name = other_name(part);
  if (!name.empty() || is_other_than_text(head_of(part, message_.received_body()), best)) {
    add_scanned(inspection_.of(index), out, false);
    // The one text of a document is another reading of what is read here, not more of it.
    if (out.size() == first + 3) {
      std::ranges::move(out.back().readings, std::back_inserter(out[first].readings));
      if (out[first].complete && !out.back().complete) {
        out[first].complete = false;
        out[first].reason = std::move(out.back().reason);
      }
      out.pop_back();
    }
  }
  std::ranges::move(files, std::back_inserter(out));
}

// What the bytes say against the label: adds that text, and returns the one that fits them best.
std::string_view Content::read_against_label(const mime::Part& part, uint32_t index, ContentText& main, bool html) {
  const std::string& text = message_.text(index).utf8;
  const std::string_view label = part.type.get("charset");
  const bool wide = mime::is_wide_charset(label);
  const bool suspicious = wide || text.find('\0') != std::string::npos || text.starts_with("\xC3\xBF\xC3\xBE") ||
                          text.starts_with("\xC3\xBE\xC3\xBF") || text.starts_with("\xEF\xBF\xBD") ||
                          (html && label.empty() && !base::is_ascii(text));
  if (!suspicious) return text;
  bool damaged = false;
  const std::string_view content = inspection_.bytes(index, damaged);
  std::string_view sniffed = mime::sniff_charset(content);
  if (sniffed.empty() && wide && base::is_valid_utf8(content)) sniffed = "utf-8";
  if (sniffed.empty() && html && label.empty()) sniffed = meta_charset(content);
  if (sniffed.empty() || !mime::is_known_charset(sniffed)) return text;
  mime::Converted converted = mime::to_utf8(content, sniffed);
  if (converted.utf8 == text) return text;
  const auto kept = keep(main, std::move(converted.utf8));
  if (!kept) return text;
  add(main, *kept, html);
  return *kept;
}

bool Content::read_uuencoded(std::string_view text, std::vector<ContentText>& out, std::string& rest) {
  bool more = false;
  const std::vector<UuFile> files = find_uuencoded(text, more);
  size_t done = 0;
  for (const UuFile& file : files) {
    if (file.whole) {
      rest += text.substr(done, file.begin - done);
      done = file.end;
    }
    mime::Decoded decoded =
        mime::decode_transfer(mime::TransferEncoding::uuencode, text.substr(file.begin, file.end - file.begin));
    const std::string_view named = mime::type_from_extension(file.name);
    const size_t first = out.size();
    if ((named.empty() || is_text_type(named)) && is_plain_bytes(decoded.bytes)) {
      ContentText& each = out.emplace_back();
      each.uuencoded = true;
      const bool html = is_html_type(named) || begins_like_html(decoded.bytes);
      add_own(each, std::move(decoded.bytes), html);
    } else {
      add_scanned(inspection_.of_bytes(decoded.bytes, file.name, {}), out, true);
    }
    if (decoded.damaged) {
      out[first].complete = false;
      out[first].reason = "its encoding is damaged";
    }
  }
  // Without such a file the text is as it was, and not copied.
  if (done != 0) rest += text.substr(done);
  if (!more) return done != 0;
  ContentText& each = out.emplace_back();
  each.uuencoded = true;
  each.complete = false;
  each.reason = "more uuencoded files than are looked at";
  return done != 0;
}

// The fields of an attached message that a reader shows with it.
void Content::read_header(uint32_t part, std::vector<ContentText>& out) {
  const std::vector<mime::Part>& parts = message_.structure().parts;
  if (part + 1 >= parts.size() || parts[part + 1].parent != part) return;
  std::string shown;
  bool cut = false;
  for (const mime::HeaderField& field : parts[part + 1].fields) {
    constexpr std::array<std::string_view, 4> kShown = {"subject", "from", "to", "cc"};
    if (std::ranges::none_of(kShown, [&](std::string_view name) { return base::iequals(name, field.name); })) continue;
    cut = shown.size() > kMaxHeaderText;
    if (cut) break;
    shown += base::one_line(mime::decode_words(field.value)) + "\n";
  }
  if (shown.empty()) return;
  ContentText& header = out.emplace_back();
  if (cut) {
    header.complete = false;
    header.reason = "its header is longer than is looked at";
  }
  add_own(header, std::move(shown), false);
}

std::optional<std::string_view> Content::keep(ContentText& to, std::string text) {
  if (owned_bytes_ + text.size() > message_.limits().decoded_text) {
    to.complete = false;
    to.reason = "past limits.decoded-text";
    return std::nullopt;
  }
  if (!message_.take(text.size())) {
    to.complete = false;
    to.reason = "past limits.memory";
    return std::nullopt;
  }
  owned_bytes_ += text.size();
  owned_.push_back(std::make_unique<std::string>(std::move(text)));
  return *owned_.back();
}

void Content::add_reading(ContentText& to, std::string text) {
  if (std::ranges::find(to.readings, std::string_view(text)) != to.readings.end()) return;
  if (const auto kept = keep(to, std::move(text))) to.readings.push_back(*kept);
}

void Content::add_own(ContentText& to, std::string text, bool html) {
  if (const auto kept = keep(to, std::move(text))) add(to, *kept, html);
}

void Content::add(ContentText& to, std::string_view text, bool html) {
  to.readings.push_back(text);
  if (std::optional<std::string> seen = visible(text)) add_reading(to, std::move(*seen));
  if (!html) return;
  HtmlReadings readings = html_readings(text);
  if (readings.unsure) {
    to.complete = false;
    to.reason = "its HTML hides text in a way that readers differ in";
  }
  for (std::string& shown : readings.texts) {
    if (std::optional<std::string> seen = visible(shown)) add_reading(to, std::move(*seen));
    add_reading(to, std::move(shown));
  }
}

}  // namespace postern::rules
