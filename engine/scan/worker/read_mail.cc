// SPDX-License-Identifier: Apache-2.0
// Mail in anything, and mailboxes: each leaf of each reading of the message is found, with its part number as path. The
// cutting is engine/mime's.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/parser.h"
#include "engine/mime/readings.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/filetype.h"
#include "engine/scan/worker/text_readers.h"

namespace postern::scan::worker {
namespace {

// is_mail_only tells whether no other reader gives the text that is none of a message's parts.
bool is_mail_only(const Leaf& leaf) {
  return std::ranges::all_of(leaf.types,
                             [](FileType type) { return type == FileType::rfc822 || type == FileType::unknown; });
}

class MailReader {
 public:
  // With `files`, text that is as it stands is no leaf of its own.
  explicit MailReader(Context& context, bool files = false) : context_(context), files_(files) {}

  // false: there is no header, and nothing was found.
  bool read(std::string_view bytes) {
    constexpr std::string_view kMark = "\xEF\xBB\xBF";
    if (bytes.starts_with(kMark)) bytes.remove_prefix(kMark.size());
    mime::ParsedFile file = mime::parse_file_header(bytes, limits_);
    if (file.header.size() == 0) {
      // What stands before its header is skipped; without one, all would be the body, which is the same file again.
      const size_t header = find_header(bytes);
      if (header == std::string_view::npos && file.body_offset == 0) return false;
      if (header != std::string_view::npos) {
        if (is_mail_only(context_.leaf())) context_.text(mime::to_utf8(bytes.substr(0, header), {}).utf8);
        bytes.remove_prefix(header);
        file = mime::parse_file_header(bytes, limits_);
        if (file.body_offset == 0) return false;
      }
    }
    read_parts(file, bytes);
    return true;
  }

 private:
  // find_header returns where a line begins that a message's header has.
  static size_t find_header(std::string_view bytes) {
    constexpr size_t kWithin = 1u << 20;
    constexpr std::array<std::string_view, 11> kFields = {
        "from:", "to:",       "subject:",     "date:",         "received:",    "message-id:",
        "cc:",   "reply-to:", "return-path:", "mime-version:", "content-type:"};
    const std::string_view head = bytes.substr(0, kWithin);
    for (size_t at = 0; at < head.size();) {
      const std::string_view line = head.substr(at);
      if (std::ranges::any_of(kFields, [&](std::string_view field) { return base::istarts_with(line, field); }))
        return at;
      at = head.find_first_of("\r\n", at);
      at = at == std::string_view::npos ? head.size() : at + 1;
    }
    return std::string_view::npos;
  }

  void read_parts(const mime::ParsedFile& file, std::string_view bytes) {
    const std::string_view body = bytes.substr(std::min(file.body_offset, bytes.size()));
    const mime::Structure structure = mime::parse(file.header, body, limits_);
    if (!structure.complete) context_.fail(Reason::members);
    mime::Defects decoding;
    std::vector<uint32_t> odd;
    for (uint32_t i = 0; i < structure.parts.size(); ++i) {
      const mime::Part& part = structure.parts[i];
      if (!part.is_leaf() || is_shown(part)) continue;
      const mime::Decoded decoded = mime::decode_content(part, body);
      if (decoded.odd) odd.push_back(i);
      if (decoded.damaged) decoding.add(mime::Defect::damaged_encoding);
      if (!give(part.path, decoded.bytes, part.type.value, part.type.get("charset"), part.file_names)) return;
    }
    const mime::OtherReadings others = mime::other_readings(file.header, structure, body, limits_, odd);
    if (!others.complete) context_.fail(Reason::members);
    if (!others.list.empty() || mime::ambiguous(structure, decoding)) context_.mark(Mark::inconsistent);
    for (const mime::OtherReading& other : others.list) {
      if (!give(other.path, other.bytes(body), other.type, other.charset, other.file_names)) return;
    }
  }

  bool is_shown(const mime::Part& part) const {
    return files_ && part.is_text() && part.encoding != mime::TransferEncoding::base64;
  }

  bool give(const std::string& path, std::string_view bytes, std::string_view type, std::string_view charset,
            const std::vector<std::string>& names) {
    const Reason limit = context_.budget().out(bytes.size(), 0, context_.bytes().size());
    if (limit != Reason::none) {
      context_.fail(limit);
      return false;
    }
    // A fragment, or a pointer to something elsewhere: what is here is not all.
    const bool partial = type == "message/partial" || type == "message/external-body";
    std::vector<std::string_view> shown = {names.empty() ? std::string_view() : std::string_view(names.front())};
    // Another reading of the name matters where it makes another kind of file of it.
    for (const std::string& name : names) {
      const auto kind = [](std::string_view text) { return type_of_extension(plain_name(text)); };
      if (std::ranges::none_of(shown, [&](std::string_view had) { return kind(had) == kind(name); })) {
        shown.push_back(name);
      }
    }
    for (const std::string_view name : shown) {
      const std::string label = name.empty() ? path : path + "/";
      Child found;
      found.bytes = bytes;
      found.name = name;
      found.declared_mime = type;
      found.label = label;
      found.charset = charset;
      found.separator = '/';
      found.lost = partial ? Reason::partial : Reason::none;
      if (!context_.child(found)) return false;
    }
    return true;
  }

  Context& context_;
  bool files_;
  base::Limits limits_;
};

}  // namespace

void read_mail(Context& context) {
  const std::string_view bytes = context.bytes();
  bool found = MailReader(context).read(bytes);
  const std::string_view charset = mime::sniff_charset(bytes);
  if (mime::is_wide_charset(charset)) {
    constexpr size_t kMostWide = 28u << 20;
    const mime::Converted whole = mime::to_utf8(bytes, charset, kMostWide);
    if (!whole.whole) context.fail(Reason::size);
    found |= MailReader(context).read(whole.utf8);
  }
  // Without a header it is text, where it is nothing else either.
  if (found || !is_mail_only(context.leaf())) return;
  read_text_carriers(context);
  read_text(context);
}

void read_part_in_text(Context& context, std::string_view part) { MailReader(context, true).read(part); }

void read_mbox(Context& context) {
  std::string_view rest = context.bytes();
  for (uint32_t number = 1; !rest.empty(); ++number) {
    // A message ends before the next line that begins one, which has an empty line before it where it is well made.
    size_t end = rest.find("\nFrom ");
    end = end == std::string_view::npos ? rest.size() : end + 1;
    std::string_view message = rest.substr(0, end);
    rest.remove_prefix(end);
    if (message.starts_with("From ")) message.remove_prefix(std::min(message.find('\n'), message.size() - 1) + 1);
    const std::string label = std::to_string(number);
    Child found;
    found.bytes = message;
    found.declared_mime = "message/rfc822";
    found.label = label;
    found.separator = '/';
    found.is_message = true;
    if (!context.child(found)) return;
  }
}

}  // namespace postern::scan::worker
