// SPDX-License-Identifier: Apache-2.0
// The first field of a name counts, as in most readers; that there was another is a defect. Names are taken from all of
// them, and where another field would make other content of the part, the part has another reading.
#include "engine/mime/part_header.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/loose_header.h"

namespace postern::mime {
namespace {

constexpr size_t kLongestFieldName = 256;
constexpr size_t kLongestStandardBoundary = 70;

bool has_eight_bit(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

bool is_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) { return c > ' ' && c < 127 && c != ':'; });
}

// is_odd_name tells whether a name is one that some reader cleans up to a Content field: Content-Type(x),
// Content_Transfer_Encoding.
bool is_odd_name(std::string_view name) {
  return base::istarts_with(name, "Content") && std::ranges::any_of(name, [](char c) {
           return c != '-' && !(c >= '0' && c <= '9') && !(base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z');
         });
}

bool has_bare_cr(std::string_view text) {
  for (size_t at = text.find('\r'); at != std::string_view::npos; at = text.find('\r', at + 1)) {
    if (at + 1 >= text.size() || text[at + 1] != '\n') return true;
  }
  return false;
}

// without_comments removes RFC 5322 comments; what is not closed is dropped too.
std::string without_comments(std::string_view text) {
  std::string out;
  unsigned depth = 0;
  for (const char c : text) {
    if (c == '(') {
      ++depth;
    } else if (c == ')' && depth > 0) {
      --depth;
    } else if (depth == 0) {
      out += c;
    }
  }
  return out;
}

// is_plain_encoding tells whether a Content-Transfer-Encoding is written in a way that no reader can take for another.
bool is_plain_encoding(std::string_view raw) {
  const std::string_view word = base::trim(raw);
  return std::ranges::all_of(word, [](char c) {
    return c == '-' || (c >= '0' && c <= '9') || (base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z');
  });
}

struct Named {
  static constexpr size_t kMostOthers = 8;
  const HeaderField* first = nullptr;
  bool repeated = false;
  std::vector<std::string_view> others;  // values unlike the first one's
  bool more = false;                     // there were more of them

  void note(const HeaderField& field) {
    repeated = first != nullptr;
    if (first == nullptr) {
      first = &field;
    } else {
      note_other(field.value);
    }
  }
  void note_other(std::string_view value) {
    if (first != nullptr && base::trim(value) == base::trim(first->value)) return;
    if (others.size() < kMostOthers) {
      others.push_back(value);
    } else {
      more = true;
    }
  }
};

// names_two_encodings tells whether a value that readers may clean up differently names more than one encoding.
bool names_two_encodings(std::string_view raw) {
  constexpr std::string_view kWords[] = {"7bit", "8bit", "binary", "base64", "quoted-printable", "uu"};
  const std::string low = base::lower(raw.substr(0, 1024));
  return std::ranges::count_if(kWords, [&](std::string_view word) { return low.find(word) != std::string::npos; }) > 1;
}

// add_names adds to the part's file names those it lacks.
void add_names(Part& part, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (part.file_names.size() >= kMostFileNames) {
      part.other_reading = part.cut = true;
      return;
    }
    if (std::ranges::find(part.file_names, name) == part.file_names.end()) part.file_names.push_back(name);
  }
}

// add_loose_names does so for a value that readers take apart in different ways.
void add_loose_names(Part& part, const StructuredValue& value, std::string_view raw) {
  if (value.truncated) part.other_reading = part.cut = true;
  if (!value.malformed && raw.find('(') == std::string_view::npos) return;
  const std::vector<std::string> names = loose_names(raw);
  if (names.size() >= kMostLooseNames) part.other_reading = part.cut = true;
  add_names(part, names);
}

}  // namespace

FieldLine split_field(std::string_view line) {
  const size_t colon = line.substr(0, kLongestFieldName + 1).find(':');
  if (colon == std::string_view::npos || colon == 0) return {};
  std::string_view name = line.substr(0, colon);
  FieldLine out;
  while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) {
    name.remove_suffix(1);
    out.blank_before_colon = true;
  }
  if (!is_name(name)) return {};
  out.name = name;
  out.value = line.substr(colon + 1);
  return out;
}

bool is_message_type(std::string_view type) {
  return type == "message/rfc822" || type == "message/global" || type == "message/news";
}

std::string_view usable_boundary(const Part& part) {
  std::string_view boundary = part.type.get("boundary");
  // RFC 2046 5.1.1: no blanks at the end, because they may be lost on the way.
  while (!boundary.empty() && (boundary.back() == ' ' || boundary.back() == '\t')) boundary.remove_suffix(1);
  if (boundary.size() > kLongestBoundary) return {};
  const bool line_text = std::ranges::none_of(boundary, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
  return line_text ? boundary : std::string_view();
}

void describe_part(Part& part, std::span<const HeaderField> fields, HeaderRole role) {
  Named type;
  Named disposition;
  Named encoding;
  Named version;
  Named content_id;
  for (const HeaderField& field : fields) {
    if (has_eight_bit(field.value) || has_eight_bit(field.name)) part.defects.add(Defect::eight_bit_header);
    if (field.value.find('\0') != std::string::npos || has_bare_cr(field.value) || !is_name(field.name) ||
        is_odd_name(field.name)) {
      part.defects.add(Defect::malformed_header);
    }
    if (is_odd_name(field.name)) {
      const std::string name = loose_name(field.name);
      if (name.starts_with("content-type")) type.note_other(field.value);
      if (name.starts_with("content-disposition")) disposition.note_other(field.value);
      if (name.starts_with("content-transfer-encoding")) encoding.note_other(field.value);
    }
    const char first = field.name.empty() ? '\0' : base::ascii_lower(field.name[0]);
    if (first == 'c') {
      if (base::iequals(field.name, "Content-Type")) type.note(field);
      if (base::iequals(field.name, "Content-Transfer-Encoding")) encoding.note(field);
      if (base::iequals(field.name, "Content-Disposition")) disposition.note(field);
      if (base::iequals(field.name, "Content-ID")) content_id.note(field);
    } else if (first == 'm' && base::iequals(field.name, "MIME-Version")) {
      version.note(field);
    }
  }
  if (type.repeated) part.defects.add(Defect::duplicate_content_type);
  if (encoding.repeated) part.defects.add(Defect::duplicate_transfer_encoding);
  if (disposition.repeated) part.defects.add(Defect::duplicate_disposition);

  if (role == HeaderRole::message && version.first != nullptr) {
    if (version.repeated) part.defects.add(Defect::duplicate_mime_version);
    if (base::trim(without_comments(version.first->value)) != "1.0") part.defects.add(Defect::invalid_mime_version);
  }

  if (type.first != nullptr) {
    part.type_declared = true;
    part.type = parse_content_type(type.first->value);
    if (part.type.malformed) part.defects.add(Defect::malformed_content_type);
    // RFC 2045 5.2: what cannot be read is plain text.
    if (part.type.value.empty()) part.type.value = "text/plain";
  } else {
    part.type.value = role == HeaderRole::digest_part ? "message/rfc822" : "text/plain";
  }
  if (disposition.first != nullptr) {
    part.disposition = parse_disposition(disposition.first->value);
    if (part.disposition.malformed) part.defects.add(Defect::malformed_disposition);
  }
  if (part.type.duplicate_parameter || part.disposition.duplicate_parameter) {
    part.defects.add(Defect::duplicate_parameter);
  }
  if (encoding.first != nullptr) {
    part.encoding = parse_transfer_encoding(encoding.first->value);
    if (part.encoding == TransferEncoding::unknown || !is_plain_encoding(encoding.first->value)) {
      part.defects.add(Defect::unknown_transfer_encoding);
      part.other_encoding = part.encoding == TransferEncoding::unknown || names_two_encodings(encoding.first->value);
    }
  }
  if (!encoding.others.empty()) part.other_encoding = true;
  if (content_id.first != nullptr) {
    std::string_view id = base::trim(content_id.first->value);
    if (id.starts_with('<')) id.remove_prefix(1);
    if (id.ends_with('>')) id.remove_suffix(1);
    part.content_id = unfold(id);
  }
  part.file_names = file_names(part.type, part.disposition);
  if (part.file_names.size() >= kMostFileNames) part.other_reading = part.cut = true;
  if (type.first != nullptr) add_loose_names(part, part.type, type.first->value);
  if (disposition.first != nullptr) add_loose_names(part, part.disposition, disposition.first->value);
  for (const std::string_view other : type.others) {
    const StructuredValue value = parse_content_type(other);
    add_names(part, file_names(value, {}));
    add_loose_names(part, value, other);
  }
  for (const std::string_view other : disposition.others) {
    const StructuredValue value = parse_disposition(other);
    add_names(part, file_names({}, value));
    add_loose_names(part, value, other);
  }
  if (!type.others.empty() || disposition.more) part.other_reading = true;

  const std::string_view charset = part.type.get("charset");
  for (const Parameter& parameter : part.type.parameters) {
    if (parameter.name == "charset" && !base::iequals(parameter.value, charset)) part.other_encoding = true;
  }
  if (part.is_text() && !charset.empty() && !is_known_charset(charset)) part.defects.add(Defect::unknown_charset);

  const bool multipart = part.type.value.starts_with("multipart/");
  const bool encoded = part.encoding == TransferEncoding::base64 ||
                       part.encoding == TransferEncoding::quoted_printable ||
                       part.encoding == TransferEncoding::uuencode;
  if (encoded && (multipart || is_message_type(part.type.value))) {
    part.defects.add(Defect::encoding_on_multipart);
    // Delimiters that show before decoding show in no reader's base64; where they do not, the multipart lacks its
    // first.
    if (!multipart || part.encoding != TransferEncoding::base64) part.other_reading = true;
  }
  // A fragment: the message it belongs to is put together by the reader.
  if (part.type.value == "message/partial") part.other_reading = part.cut = true;
  // What was meant to be a multipart may still be one to some reader.
  if (!multipart && part.type.malformed && !part.type.get("boundary").empty()) part.other_reading = true;
  if (multipart) {
    const auto is_boundary = [](const Parameter& parameter) { return parameter.name == "boundary"; };
    if (std::ranges::count_if(part.type.parameters, is_boundary) > 1) {
      part.defects.add(Defect::duplicate_boundary);
      part.other_reading = true;
    }
    const std::string_view boundary = usable_boundary(part);
    if (boundary.empty()) {
      part.defects.add(Defect::missing_boundary);
      part.other_reading = true;
    }
    if (boundary.size() > kLongestStandardBoundary) part.defects.add(Defect::malformed_content_type);
  }
}

}  // namespace postern::mime
