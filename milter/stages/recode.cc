// SPDX-License-Identifier: Apache-2.0
// The final body is parsed as a message of its own (filters may have edited it), and what changes is spliced in: header
// blocks of parts and contents of leaves, each a range of bytes; all else stays as it is.
#include "milter/stages/recode.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "engine/mime/parser.h"
#include "engine/mime/part.h"

namespace postern::stages {
namespace {

using mime::Defect;
using mime::Part;
using mime::PartKind;
using mime::TransferEncoding;

constexpr size_t kLongestLine = 998;  // RFC 5322 section 2.1.1
constexpr std::string_view kEncodingField = "Content-Transfer-Encoding";

bool declares(std::string_view value, std::string_view word) { return base::iequals(base::trim(value), word); }
bool declares_eight_bit(std::string_view value) { return declares(value, "8bit") || declares(value, "binary"); }

// Fit says what of some bytes does not pass every server unchanged.
struct Fit {
  bool eight_bit = false;
  bool other = false;     // NUL, a lone CR, a line too long
  bool declared = false;  // a line looks like a part's field that says 8bit or binary
  bool good() const { return !eight_bit && !other; }
};

Fit fit_of(std::string_view bytes) {
  Fit fit;
  if (bytes.empty()) return fit;
  fit.eight_bit = !base::is_ascii(bytes);
  fit.other = std::memchr(bytes.data(), 0, bytes.size()) != nullptr;
  for (size_t begin = 0; begin < bytes.size() && !fit.other;) {
    const size_t end = std::min(bytes.find('\n', begin), bytes.size());
    std::string_view line = bytes.substr(begin, end - begin);
    if (line.ends_with('\r') && end < bytes.size()) line.remove_suffix(1);
    fit.other = line.size() > kLongestLine || line.find('\r') != std::string_view::npos;
    if (!line.empty() && base::ascii_lower(line.front()) == 'c' && base::istarts_with(line, kEncodingField)) {
      const size_t colon = line.find(':');
      fit.declared = fit.declared || (colon != std::string_view::npos && declares_eight_bit(line.substr(colon + 1)));
    }
    begin = end + 1;
  }
  return fit;
}

// Charsets in which line ends and "=" are not the bytes they are in ASCII.
bool contains_ascii(std::string_view charset) {
  constexpr std::array<std::string_view, 6> kOthers = {"utf-16", "utf16", "utf-32", "utf32", "ucs-", "iso-10646"};
  return std::ranges::none_of(kOthers, [&](std::string_view each) { return base::istarts_with(charset, each); });
}

// Whether every reader finds the same header and content in the part.
bool unambiguous(const Part& part) {
  if (part.other_reading || part.other_encoding) return false;
  constexpr Defect kDoubtful[] = {Defect::duplicate_content_type, Defect::duplicate_transfer_encoding,
                                  Defect::malformed_content_type, Defect::unknown_transfer_encoding,
                                  Defect::encoding_on_multipart,  Defect::missing_blank_line,
                                  Defect::malformed_header,       Defect::header_too_large,
                                  Defect::ambiguous_delimiter,    Defect::missing_boundary,
                                  Defect::missing_first_boundary, Defect::duplicate_boundary};
  return std::ranges::none_of(kDoubtful, [&](Defect defect) { return part.defects.has(defect); });
}

// with_encoding returns a part's header block, blank line and all, with `word` as its transfer encoding.
std::string with_encoding(std::string_view block, std::string_view word) {
  std::string field(kEncodingField);
  field += ": ";
  field += word;
  field += "\r\n";
  std::string out;
  bool placed = false;
  bool inside = false;  // the field that goes
  for (size_t begin = 0; begin < block.size();) {
    const size_t end = std::min(block.find('\n', begin), block.size() - 1) + 1;
    const std::string_view line = block.substr(begin, end - begin);
    begin = end;
    const bool blank_line = base::trim(line).empty() && begin >= block.size();
    const bool continues = line.front() == ' ' || line.front() == '\t';
    if (!continues || blank_line) {
      inside = base::istarts_with(line, kEncodingField) && line.substr(kEncodingField.size()).starts_with(':');
    }
    if ((inside || blank_line) && !placed) {
      out += field;
      placed = true;
    }
    if (!inside) out += line;
  }
  return out;
}

struct Replacement {
  mime::Span span;
  std::string text;
};

class Recoder {
 public:
  Recoder(message::Message& message, std::string_view body)
      : message_(message), body_(body), tree_(mime::parse(message.headers, body, message.limits())) {}

  Recoded run(bool declared_only) {
    declared_only_ = declared_only;
    if (!tree_.complete) return {0, "its structure passes a limit"};
    sealed_.resize(tree_.parts.size());
    clean_.assign(tree_.parts.size(), true);
    for (uint32_t i = 0; i < tree_.parts.size(); ++i) {
      const Part& part = tree_.parts[i];
      sealed_[i] = (i != 0 && sealed_[part.parent]) || part.type.value == "multipart/signed" ||
                   part.type.value == "multipart/encrypted";
      if (part.is_leaf()) leaf(i);
    }
    // What is left as it is lies in leaves, or between and before parts; every container of such a place may hold 8-bit
    // bytes for good.
    for (auto i = static_cast<uint32_t>(tree_.parts.size()); i-- > 0;) {
      if (!tree_.parts[i].is_leaf()) container(i);
      if (!clean_[i]) clean_[tree_.parts[i].parent] = false;
    }
    if (!replacements_.empty()) splice();
    return std::move(done_);
  }

 private:
  void leave(uint32_t index, std::string why) {
    clean_[index] = false;
    if (done_.left.empty()) {
      const std::string& path = tree_.parts[index].path;
      done_.left = (path.empty() ? "the message" : "part " + path) + (" " + why);
    }
  }

  std::string_view declared(uint32_t index) const {
    if (index != 0) return tree_.parts[index].field(kEncodingField);
    const size_t at = message_.headers.find(kEncodingField);
    return at == mime::HeaderList::npos ? std::string_view() : std::string_view(message_.headers[at].value);
  }

  bool usable_header(uint32_t index) const {
    const std::string_view block = tree_.parts[index].header.of(body_);
    return index == 0 || block == "\r\n" || block.ends_with("\r\n\r\n");
  }

  void leaf(uint32_t index) {
    const Part& part = tree_.parts[index];
    const std::string_view content = part.content.of(body_);
    const Fit fit = declared_only_ ? Fit{} : fit_of(content);
    if (fit.good() && !declares_eight_bit(declared(index))) return;
    if (sealed_[index]) return leave(index, "is signed or encrypted");
    if (!unambiguous(part) || !usable_header(index)) return leave(index, "can be read in more than one way");
    if (fit.good()) return set_encoding(index, "7bit");

    std::string encoded;
    std::string_view word;
    if (part.encoding == TransferEncoding::identity) {
      const bool text = part.is_text() && contains_ascii(part.type.get("charset"));
      if (index == 0 && !name_charset(content)) return leave(index, "does not say what its 8-bit text is");
      const auto high = static_cast<size_t>(
          std::ranges::count_if(content, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }));
      word = text && high * 3 <= content.size() ? "quoted-printable" : "base64";
      encoded = word == "base64" ? mime::encode_base64(content) : mime::encode_quoted_printable(content);
    } else {
      const mime::Decoded decoded = mime::decode_content(part, body_);
      const bool base64 = part.encoding == TransferEncoding::base64;
      if (decoded.damaged || (!base64 && part.encoding != TransferEncoding::quoted_printable)) {
        return leave(index, "is damaged");
      }
      word = base64 ? "base64" : "quoted-printable";
      encoded = base64 ? mime::encode_base64(decoded.bytes) : mime::encode_quoted_printable(decoded.bytes);
    }
    // The line end before a delimiter belongs to it.
    if (index != 0 && word == "base64" && encoded.ends_with("\r\n")) encoded.resize(encoded.size() - 2);
    set_encoding(index, word);
    replacements_.push_back({part.content, std::move(encoded)});
    ++done_.parts;
  }

  // name_charset makes a message without MIME fields one with them; false when its text is of no known charset.
  bool name_charset(std::string_view content) {
    if (message_.headers.find("Content-Type") != mime::HeaderList::npos) return true;
    const bool ascii = base::is_ascii(content);
    if (!ascii && !base::is_valid_utf8(content)) return false;
    message_.headers.append("Content-Type", ascii ? "text/plain; charset=us-ascii" : "text/plain; charset=utf-8");
    return true;
  }

  void container(uint32_t index) {
    if (!declares_eight_bit(declared(index))) return;
    if (!clean_[index] || sealed_[index] || !unambiguous(tree_.parts[index]) || !usable_header(index)) return;
    if (!fit_outside_leaves(index)) return;
    set_encoding(index, "7bit");
  }

  // Whether nothing in the container but its leaves has 8-bit bytes: preamble, part headers, epilogue.
  bool fit_outside_leaves(uint32_t index) const {
    uint64_t at = tree_.parts[index].content.begin;
    for (uint32_t i = index + 1; i < tree_.parts.size() && tree_.parts[i].outer.begin < tree_.parts[index].content.end;
         ++i) {
      if (!tree_.parts[i].is_leaf()) continue;
      const mime::Span& content = tree_.parts[i].content;
      if (!base::is_ascii(body_.substr(at, content.begin - at))) return false;
      at = content.end;
    }
    return base::is_ascii(body_.substr(at, tree_.parts[index].content.end - at));
  }

  void set_encoding(uint32_t index, std::string_view word) {
    if (declares(declared(index), word)) return;
    if (index != 0) {
      const mime::Span& header = tree_.parts[index].header;
      replacements_.push_back({header, with_encoding(header.of(body_), word)});
      return;
    }
    const size_t at = message_.headers.find(kEncodingField);
    if (at == mime::HeaderList::npos) {
      if (message_.headers.find("MIME-Version") == mime::HeaderList::npos) {
        message_.headers.append("MIME-Version", "1.0");
      }
      message_.headers.append(kEncodingField, word);
    } else {
      message_.headers.change(at, word);
    }
  }

  void splice() {
    std::ranges::stable_sort(replacements_, {}, [](const Replacement& each) { return each.span.begin; });
    mime::Pieces out;
    uint64_t at = 0;
    const bool keep_views = !message_.body_edited();  // then the body is the received one, which outlives the message
    const auto add = [&](std::string_view bytes) {
      if (keep_views) {
        out.add_view(bytes);
      } else {
        out.add_text(std::string(bytes));
      }
    };
    for (Replacement& each : replacements_) {
      add(body_.substr(at, each.span.begin - at));
      out.add_text(std::move(each.text));
      at = each.span.end;
    }
    add(body_.substr(at));
    message_.recode_body(std::move(out));
  }

  message::Message& message_;
  std::string_view body_;
  const mime::Structure tree_;
  bool declared_only_ = false;
  std::vector<bool> sealed_;  // inside, or itself, what a signature or encryption covers
  std::vector<bool> clean_;   // all of it passes every server
  std::vector<Replacement> replacements_;
  Recoded done_;
};

}  // namespace

Recoded recode_for_transport(message::Message& message) {
  if (!message.has_body()) return {};
  std::string flat;
  std::string_view body = message.received_body();
  if (message.body_edited()) {
    flat = message.final_body().flatten();
    body = flat;
  }
  const Fit fit = fit_of(body);
  if (fit.good() && !fit.declared) {
    const size_t at = message.headers.find(kEncodingField);
    if (at == mime::HeaderList::npos || !declares_eight_bit(message.headers[at].value)) return {};
  }
  return Recoder(message, body).run(fit.good());
}

}  // namespace postern::stages
