// SPDX-License-Identifier: Apache-2.0
// Kinds of programs: PE with its offspring, older DOS and Windows programs, ELF, Mach-O, Java; and names that make a
// program of anything.
#include <algorithm>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/filetype.h"
#include "engine/scan/worker/filetype_parts.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

// How far an appended program and the name of an Excel add-in's entry are looked for.
constexpr size_t kSearch = 64u << 20;

bool is_pe(std::string_view bytes) {
  if (!has(bytes, 0, "MZ") && !has(bytes, 0, "ZM")) return false;
  const uint32_t header = little32(bytes, 60);
  return header >= 4 && has(bytes, header, "PE\0\0"sv);
}

bool is_dos(std::string_view bytes) {
  if ((!has(bytes, 0, "MZ") && !has(bytes, 0, "ZM")) || bytes.size() < 28) return false;
  // Text may begin so; a program's header is none.
  if (std::ranges::all_of(bytes.substr(2, 26),
                          [](char c) { return c >= 0x20 || c == '\n' || c == '\r' || c == '\t'; })) {
    return false;
  }
  return true;
}

void add_pe(std::string_view bytes, std::string_view name, Found& found) {
  const uint64_t header = little32(bytes, 60);
  const bool library = (little16(bytes, header + 22) & 0x2000) != 0;
  const std::optional<FileType> named = type_of_extension(name);
  if (library) {
    const std::string_view head = bytes.substr(0, kSearch);
    if (head.find("xlAutoOpen") != std::string_view::npos || named == FileType::xll) found.add(FileType::xll);
    found.add(FileType::dll);
  }
  if (named == FileType::scr) found.add(FileType::scr);
  found.add(FileType::exe);
  // What the content is goes by one MIME type whatever the name.
  if (found.types.front() == FileType::dll || found.types.front() == FileType::xll ||
      found.types.front() == FileType::scr) {
    found.mime = info(FileType::exe).mime;
  }
}

}  // namespace

void add_program_signatures(std::string_view bytes, std::string_view name, Found& found) {
  if (is_pe(bytes)) {
    add_pe(bytes, name, found);
  } else if (is_dos(bytes)) {
    found.add(FileType::exe);
  }
  if (has(bytes, 0,
          "\x7f"
          "ELF")) {
    found.add(FileType::elf);
    found.ask_magic = true;
  }
  for (const std::string_view mark :
       {"\xfe\xed\xfa\xce"sv, "\xfe\xed\xfa\xcf"sv, "\xce\xfa\xed\xfe"sv, "\xcf\xfa\xed\xfe"sv, "\xca\xfe\xba\xbf"sv}) {
    if (has(bytes, 0, mark)) found.add(FileType::macho);
  }
  if (has(bytes, 0, "\xca\xfe\xba\xbe")) {
    // A fat binary tells how many programs it has, a class its version, whose lower half is 45 or more.
    if (big32(bytes, 4) > 0 && big32(bytes, 4) < 40) {
      found.add(FileType::macho);
    } else {
      found.add(FileType::java);
    }
  }
  if (has(bytes, 0, "\xca\xfe\xd0\x0d")) found.add(FileType::java, "application/x-java-pack200");
  // Programs that unpack themselves are archives too.
  if (found.has(FileType::exe) || found.has(FileType::elf)) add_appended_archives(bytes, found);
  if (has(bytes, 0, "#@~^")) {
    found.add(FileType::vbs);
    found.add(FileType::js);
  }
}

void add_appended_archives(std::string_view bytes, Found& found) {
  if (find_7z(bytes) != std::string_view::npos) found.add(FileType::type_7z);
  if (find_rar(bytes) != std::string_view::npos) found.add(FileType::rar);
}

void add_appended_program(std::string_view bytes, Found& found) {
  const std::string_view head = bytes.substr(0, kSearch);
  size_t at = 0;
  while ((at = head.find("MZ", at + 1)) != std::string_view::npos) {
    const uint32_t header = little32(bytes, at + 60);
    if (header >= 64 && header < (1u << 20) && has(bytes, at + header, "PE\0\0"sv)) {
      found.add(FileType::exe);
      return;
    }
  }
}

std::string plain_name(std::string_view name) {
  const size_t slash = name.find_last_of("/\\");
  if (slash != std::string_view::npos) name.remove_prefix(slash + 1);
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    if (byte < 0x20 || byte == 0x7f) continue;
    // U+200B to U+200F, U+202A to U+202E, U+2060 to U+206F: invisible, or turning the direction of what follows.
    if (has(name, i, "\xe2\x80") || has(name, i, "\xe2\x81")) {
      const uint8_t last = byte_at(name, i + 2);
      const bool hidden = byte_at(name, i + 1) == 0x80
                              ? (last >= 0x8b && last <= 0x8f) || (last >= 0xaa && last <= 0xae)
                              : last >= 0xa0 && last <= 0xaf;
      if (hidden) {
        i += 2;
        continue;
      }
    }
    if (has(name, i, "\xef\xbb\xbf") || has(name, i, "\xc2\xad")) {
      i += has(name, i, "\xc2\xad") ? 1 : 2;
      continue;
    }
    out.push_back(base::ascii_lower(name[i]));
  }
  // The stream of a file is the file.
  const size_t colon = out.find(':', 2);
  if (colon != std::string::npos) out.resize(colon);
  while (!out.empty()) {
    const std::string_view text = out;
    if (text.back() == '.' || text.back() == ' ') {
      out.pop_back();
    } else if (text.ends_with("\xc2\xa0")) {
      out.resize(out.size() - 2);
    } else {
      break;
    }
  }
  return out;
}

void add_name_types(std::string_view name, Found& found) {
  const std::optional<FileType> named = type_of_extension(name);
  if (!named || !info(*named).in(Group::executable) || found.has(*named)) return;
  // Text or nothing known: what Windows does with it is what its name says. Anything else is what its content is; but
  // what runs scripts skips the lines, or bytes, that it does not understand.
  const bool text = std::ranges::all_of(found.types, [](FileType type) {
    return info(type).in(Group::text) || info(type).in(Group::executable) || type == FileType::rfc822;
  });
  constexpr FileType kScripts[] = {FileType::js,  FileType::vbs,    FileType::ps1,  FileType::bat,
                                   FileType::sh,  FileType::python, FileType::perl, FileType::wsf,
                                   FileType::hta, FileType::reg,    FileType::url};
  if (!text && std::ranges::find(kScripts, *named) == std::end(kScripts)) return;
  if (*named == FileType::jar || *named == FileType::chm || *named == FileType::java) return;
  found.add(*named, info(found.empty() ? *named : found.types.front()).mime);
}

namespace {

// has_mail tells whether a line near the beginning begins a MIME message. Word opens one that is called a document, a
// PDF's head before it or not.
bool has_mail(std::string_view bytes) {
  constexpr size_t kWithin = 1u << 20;
  constexpr std::string_view kField = "mime-version:";
  if (has(bytes, 0, "\xd0\xcf\x11\xe0") || has(bytes, 0, "PK") || has(bytes, 0, "{\\rtf")) return false;
  const std::string_view head = bytes.substr(0, kWithin);
  for (size_t at = 0; at < head.size();) {
    if (base::istarts_with(head.substr(at), kField)) return true;
    at = head.find_first_of("\r\n", at);
    at = at == std::string_view::npos ? head.size() : at + 1;
  }
  return false;
}

}  // namespace

void add_called_types(std::string_view bytes, std::string_view name, std::string_view declared_mime, Found& found) {
  if (bytes.empty()) return;
  constexpr FileType kCalled[] = {FileType::html,   FileType::xhtml, FileType::svg,
                                  FileType::rfc822, FileType::vcard, FileType::ics};
  const auto add = [&](FileType type) {
    if (std::ranges::find(kCalled, type) == std::end(kCalled) || found.has(type)) return;
    // Fields of a header that stand alone are no mail, and XHTML is read as HTML.
    if (type == FileType::rfc822 && (found.has(FileType::mbox) || found.has(FileType::rfc822_headers))) return;
    if ((type == FileType::html && found.has(FileType::xhtml)) ||
        (type == FileType::xhtml && found.has(FileType::html))) {
      return;
    }
    found.add(type, info(found.empty() ? type : found.types.front()).mime);
  };
  const std::optional<FileType> named = type_of_extension(name);
  if (named) add(*named);
  add(base::iequals(declared_mime, "text/x-vcard") ? FileType::vcard : find_mime(declared_mime));
  const bool document = named == FileType::doc || named == FileType::xls || named == FileType::ppt ||
                        named == FileType::rtf || named == FileType::docx;
  if (document && has_mail(bytes)) add(FileType::rfc822);
}

}  // namespace postern::scan::worker
