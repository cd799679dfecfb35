// SPDX-License-Identifier: Apache-2.0
// Names are compared by their letters, digits and hyphens alone, with an underscore for a hyphen and without comments:
// whatever a reader skips in a name is skipped here. A boundary is looked for behind every "boundary" of a value, with
// each way to find its end.
#include "engine/mime/loose_header.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/mime/part_header.h"

namespace postern::mime {
namespace {

constexpr size_t kLongestName = 256;
constexpr size_t kLongestValue = 16384;  // of one field, looked at

bool is_white(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_word(char c) {
  const char low = base::ascii_lower(c);
  return c == '-' || (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9');
}

bool is_odd(std::string_view name) { return name.size() > kLongestName || !std::ranges::all_of(name, is_word); }

void add_value(std::vector<std::string>& values, std::string_view raw, bool& more) {
  const std::string_view value = base::trim(raw.substr(0, kLongestValue));
  if (raw.size() > kLongestValue) more = true;
  if (std::ranges::find(values, value) != values.end()) return;
  if (values.size() >= LooseHeader::kMostValues) {
    more = true;
  } else {
    values.emplace_back(value);
  }
}

void add_field(LooseHeader& out, std::string_view name, std::string_view value) {
  const std::string clean = loose_name(name);
  if (!clean.starts_with("content-t") && !clean.starts_with("content-d")) return;
  std::vector<std::string>* values = nullptr;
  if (clean.starts_with("content-type")) values = &out.types;
  if (clean.starts_with("content-transfer-encoding")) values = &out.encodings;
  if (clean.starts_with("content-disposition")) values = &out.dispositions;
  if (values == nullptr) return;
  add_value(*values, value, out.more);
  out.odd = out.odd || is_odd(name);
}

// Boundaries collects candidates.
class Boundaries {
 public:
  void add(std::string_view raw) {
    while (!raw.empty() && (raw.back() == ' ' || raw.back() == '\t')) raw.remove_suffix(1);
    if (raw.size() > kLongestBoundary || raw.find_first_of("\r\n") != std::string_view::npos) return;
    if (out_.size() < kMostBoundaries && std::ranges::find(out_, raw) == out_.end()) out_.emplace_back(raw);
  }

  // add_forms adds what is left of `raw` when a reader takes things out of it.
  void add_forms(std::string_view raw) {
    add(raw);
    add_without(raw, "\r\n");
    add_without(raw, " \t\r\n");
    add(raw.substr(0, raw.find_first_of("\r\n")));
    add_without(raw, "\"");
    add_without(raw, "'");
    add_without(raw, "\\");
    add_without(raw, std::string_view("\0", 1));
    if (raw.find('\\') != std::string_view::npos) add(raw.substr(0, raw.find('\\')));
    add(raw.substr(0, raw.find('\0')));
    const size_t last_quote = raw.rfind('\'');
    if (last_quote != std::string_view::npos && last_quote + 1 < raw.size()) add(raw.substr(last_quote + 1));
    const size_t comment = raw.find('(');
    if (comment != std::string_view::npos) {
      add(base::trim(raw.substr(0, comment)));
      const size_t end = raw.find(')', comment);
      if (end != std::string_view::npos) {
        add(base::trim(std::string(raw.substr(0, comment)) + std::string(raw.substr(end + 1))));
      }
    }
    constexpr size_t kLongestStandard = 70;
    if (raw.size() > kLongestStandard) add(raw.substr(0, kLongestStandard));
  }

  std::vector<std::string> take() { return std::move(out_); }

 private:
  void add_without(std::string_view raw, std::string_view chars) {
    if (raw.find_first_of(chars) == std::string_view::npos) return;
    std::string out;
    for (const char c : raw) {
      if (chars.find(c) == std::string_view::npos) out += c;
    }
    add(out);
  }

  std::vector<std::string> out_;
};

// add_behind adds the boundaries that may stand at the beginning of `text`, behind an equals sign.
void add_behind(Boundaries& out, std::string_view text) {
  while (!text.empty() && is_white(text.front())) text.remove_prefix(1);
  const std::string_view item = base::trim(text.substr(0, text.find(';')));
  if (text.starts_with('"')) {
    const std::string_view inner = text.substr(1);
    const size_t close = inner.find('"');
    out.add_forms(inner.substr(0, close));
    out.add_forms(item);
    if (item.size() > 1) out.add_forms(item.substr(1));
    // The quote that ends it may be an escaped one.
    for (size_t end = inner.find('"'); end != std::string_view::npos; end = inner.find('"', end + 1)) {
      if (end > 0 && inner[end - 1] == '\\') continue;
      out.add_forms(inner.substr(0, end));
      break;
    }
  } else {
    out.add_forms(item);
    out.add_forms(text.substr(0, text.find_first_of(" \t\r\n;")));
    out.add_forms(text.substr(0, text.find_first_of(" \t\r\n;,\"()<>@:\\/[]?=")));
    out.add_forms(text.substr(0, text.find_first_of("\r\n")));
    // A comment before the value.
    if (text.starts_with('(')) {
      const size_t end = text.find(')');
      if (end != std::string_view::npos) {
        const std::string_view rest = base::trim(text.substr(end + 1));
        out.add_forms(rest.substr(rest.starts_with('"') ? 1 : 0,
                                  rest.find_first_of(" ;\"", 1) - (rest.starts_with('"') ? 1 : 0)));
      }
    }
  }
}

void add_parsed(Boundaries& out, const StructuredValue& value) {
  for (const Parameter& each : value.parameters) {
    if (each.name == "boundary") out.add_forms(each.value);
  }
  for (const Parameter& each : value.candidates) {
    if (each.name == "boundary") out.add_forms(each.value);
  }
}

void add_scanned(Boundaries& out, std::string_view raw) {
  constexpr size_t kMostBetween = 24;  // bytes from the word to its equals sign
  constexpr unsigned kMostWords = 8;
  const std::string low = base::lower(raw);
  unsigned words = 0;
  for (size_t at = low.find("boundary"); at != std::string::npos && ++words <= kMostWords;
       at = low.find("boundary", at + 1)) {
    const size_t equals = low.find('=', at);
    if (equals == std::string::npos || equals - at > kMostBetween + 8) continue;
    add_behind(out, raw.substr(equals + 1));
  }
}

void read_block(LooseHeader& out, std::string_view block, std::string_view ends) {
  std::string_view name;
  size_t value_begin = 0;
  size_t value_end = 0;
  const auto finish = [&] {
    if (!name.empty()) add_field(out, name, block.substr(value_begin, value_end - value_begin));
    name = {};
  };
  for (size_t at = 0; at < block.size();) {
    const size_t end = std::min(block.find_first_of(ends, at), block.size());
    const std::string_view line = block.substr(at, end - at);
    const bool continues = !line.empty() && (line.front() == ' ' || line.front() == '\t');
    if (continues && !name.empty()) value_end = end;
    const size_t colon = line.substr(0, kLongestName + 1).find(':');
    if (colon != std::string_view::npos && is_content_line(line)) {
      finish();
      name = line.substr(0, colon);
      value_begin = at + colon + 1;
      value_end = end;
    } else if (!continues && !line.empty()) {
      finish();
    }
    at = end + 1;
  }
  finish();
}

// plain_word is a value's letters, digits and hyphens.
std::string plain_word(std::string_view raw, bool comments) {
  std::string out;
  unsigned depth = 0;
  for (const char c : raw.substr(0, 1024)) {
    if (!comments && c == '(') ++depth;
    if (depth == 0 && is_word(c)) out += base::ascii_lower(c);
    if (!comments && c == ')' && depth > 0) --depth;
  }
  return out;
}

}  // namespace

std::string loose_name(std::string_view raw) {
  std::string out;
  unsigned comment = 0;
  for (const char c : raw.substr(0, kLongestName)) {
    if (c == '(') {
      ++comment;
    } else if (c == ')' && comment > 0) {
      --comment;
    } else if (comment == 0 && (is_word(c) || c == '_')) {
      out += c == '_' ? '-' : base::ascii_lower(c);
    }
  }
  return out;
}

LooseHeader loose_header(std::string_view block) {
  LooseHeader out;
  read_block(out, block, "\r\n");
  // For some readers a CR alone ends no line.
  LooseHeader without_cr;
  read_block(without_cr, block, "\n");
  if (without_cr.types != out.types || without_cr.encodings != out.encodings ||
      without_cr.dispositions != out.dispositions) {
    merge(out, without_cr);
    out.odd = true;
  }
  return out;
}

LooseHeader loose_header(std::span<const HeaderField> fields) {
  LooseHeader out;
  for (const HeaderField& field : fields) add_field(out, field.name, field.value);
  return out;
}

void merge(LooseHeader& header, const LooseHeader& more) {
  for (const std::string& value : more.types) add_value(header.types, value, header.more);
  for (const std::string& value : more.encodings) add_value(header.encodings, value, header.more);
  for (const std::string& value : more.dispositions) add_value(header.dispositions, value, header.more);
  header.odd = header.odd || more.odd;
  header.more = header.more || more.more;
}

bool is_content_line(std::string_view line) {
  const size_t colon = line.substr(0, kLongestName + 1).find(':');
  if (colon == std::string_view::npos || colon < 8) return false;
  return loose_name(line.substr(0, colon)).starts_with("content-");
}

std::vector<std::string> loose_boundaries(const LooseHeader& header) {
  Boundaries out;
  for (const std::string& value : header.types) add_parsed(out, parse_content_type(value));
  for (const std::string& value : header.types) add_scanned(out, value);
  for (const std::string& value : header.dispositions) add_scanned(out, value);
  return out.take();
}

std::vector<TransferEncoding> loose_encodings(const LooseHeader& header, bool& certain) {
  std::vector<TransferEncoding> out;
  const auto add = [&](TransferEncoding encoding) {
    if (encoding != TransferEncoding::unknown && std::ranges::find(out, encoding) == out.end()) out.push_back(encoding);
  };
  struct Word {
    std::string_view name;
    TransferEncoding encoding;
  };
  constexpr Word kWords[] = {
      {"base64", TransferEncoding::base64},   {"quoted-printable", TransferEncoding::quoted_printable},
      {"uue", TransferEncoding::uuencode},    {"x-uu", TransferEncoding::uuencode},
      {"7bit", TransferEncoding::identity},   {"8bit", TransferEncoding::identity},
      {"binary", TransferEncoding::identity}, {"quotedprintable", TransferEncoding::quoted_printable},
  };
  certain = header.encodings.size() == 1 && !header.odd;
  for (const std::string& value : header.encodings) {
    add(parse_transfer_encoding(value));
    for (const bool comments : {false, true}) {
      const std::string word = plain_word(value, comments);
      for (const Word& each : kWords) {
        if (word.find(each.name) != std::string::npos) add(each.encoding);
      }
    }
    if (!std::ranges::all_of(value, is_word) || parse_transfer_encoding(value) == TransferEncoding::unknown) {
      certain = false;
    }
  }
  certain = certain && out.size() == 1;
  return out;
}

}  // namespace postern::mime
