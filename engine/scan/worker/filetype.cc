// SPDX-License-Identifier: Apache-2.0
// The order in which types are looked for, and what libmagic is asked.
#include "engine/scan/worker/filetype.h"

#include <magic.h>

#include <algorithm>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/filetype_parts.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

// libmagic decides nothing: it gives a MIME type to what the table has no name for. Its text checks cost most and say
// least, so they are off, and it sees the beginning only.
constexpr size_t kMagicBytes = 256u << 10;
constexpr size_t kFormBytes = 4096;
magic_t g_magic = nullptr;  // one thread scans in a worker

std::string ask_magic(std::string_view bytes) {
  if (g_magic == nullptr) return {};
  const std::string_view head = bytes.substr(0, kMagicBytes);
  const char* answer = magic_buffer(g_magic, head.data(), head.size());
  return answer == nullptr ? std::string() : std::string(answer);
}

// What holds other things by libmagic's word. Only marks that nothing else begins with: what is wrongly called an
// archive is mail that nobody may see.
constexpr std::string_view kPacked[] = {
    "application/vnd.gentoo.xpak",
    "application/vnd.sar",
    "application/x-acronis-tib",
    "application/x-aes-encrypted",
    "application/x-amiga-disk-format",
    "application/x-avira-qua",
    "application/x-compress-cazip",
    "application/x-compress-ftcomp",
    "application/x-compress-jar",
    "application/x-compressed-iso",
    "application/x-dc42-floppy-image",
    "application/x-edi-pack-lzss",
    "application/x-installshield",
    "application/x-installshield-compress-szdd",
    "application/x-ms-compress-kwaj",
    "application/x-ms-compress-sz",
    "application/x-ms-compress-szdd",
    "application/x-ms-dbx",
    "application/x-nrg",
    "application/x-os2-wpi",
    "application/x-qpress",
    "application/x-svr4-package",
};
// And what libmagic has no MIME type for: ZPAQ, LZFSE, KGB, UC2, Amiga's packers, Apple's archives and pbzx, sparse
// images, UHARC, DAA, CISO, Microsoft Reader.
constexpr std::string_view kPackedMarks[] = {"7kSt\xa0\x31\x83\xd3\x8c\xb2\x28\xb0\xd3",
                                             "zPQ\x01\x01",
                                             "zPQ\x02\x01",
                                             "bvx2",
                                             "bvxn",
                                             "bvx1",
                                             "KGB_arch",
                                             "UC2\x1a",
                                             "XPKF",
                                             "PP20",
                                             "AA01",
                                             "pbze",
                                             "pbzx",
                                             "sprs",
                                             "UHA\x06",
                                             "DAA\0"sv,
                                             "CISO",
                                             "ITOLITLS"};

bool is_packed(std::string_view bytes, std::string_view mime) {
  return std::ranges::find(kPacked, mime) != std::end(kPacked) ||
         std::ranges::any_of(kPackedMarks, [&](std::string_view mark) { return bytes.starts_with(mark); });
}

// A mail reader shows what is called text as text, whatever else it looks like: marks of pictures and sound are short
// enough for a text to begin so. Of what nothing is known, the name says it.
bool is_read_as_text(Textual how, const Found& found) {
  const auto carried = [](FileType type) {
    return type == FileType::uuencode || type == FileType::yenc || type == FileType::binhex || type == FileType::pgp ||
           type == FileType::pgp_keys || type == FileType::smime;
  };
  const auto mistaken = [](FileType type) { return info(type).in(Group::image) || info(type).in(Group::media); };
  if (std::ranges::all_of(found.types, carried)) return how != Textual::no;
  return how >= Textual::declared &&
         std::ranges::all_of(found.types, [&](FileType type) { return carried(type) || mistaken(type); });
}

// is_archive tells whether something is an archive from its first byte on: what stands in it is its reader's to find.
bool is_archive(std::string_view bytes, const Found& found) {
  constexpr FileType kOthers[] = {FileType::uuencode, FileType::yenc, FileType::binhex,
                                  FileType::mbox,     FileType::pst,  FileType::sis};
  return std::ranges::any_of(found.types, [&](FileType type) {
    if (!info(type).in(Group::compressed) || std::ranges::find(kOthers, type) != std::end(kOthers)) return false;
    return (type != FileType::zip && type != FileType::jar && type != FileType::epub) || bytes.starts_with("PK");
  });
}

// holds_files tells whether files stand in a kind of file as they are, and are found by its reader.
bool holds_files(const Found& found) {
  return std::ranges::any_of(found.types, [](FileType type) {
    if (type == FileType::rtf || type == FileType::ps) return false;
    return info(type).in(Group::document) || type == FileType::msi || type == FileType::smime ||
           type == FileType::pgp || type == FileType::pst || type == FileType::zip;
  });
}

// holds_mark tells whether marks of archives that unpackers look for in anything called one stand in the bytes.
bool holds_mark(std::string_view bytes) {
  for (const std::string_view mark : {"MSCF\0\0\0\0"sv, "MSWIM\0\0\0"sv, "\xfd\x37zXZ\0"sv,
                                      "\x31\x41\x59\x26\x53\x59"sv, "ustar\0"sv, "ustar  \0"sv}) {
    if (bytes.find(mark) != std::string_view::npos) return true;
  }
  constexpr std::string_view kGzip = "\x1f\x8b\x08";
  for (size_t at = bytes.find(kGzip); at != std::string_view::npos; at = bytes.find(kGzip, at + 1)) {
    const uint8_t level = byte_at(bytes, at + 8);
    const uint8_t system = byte_at(bytes, at + 9);
    if (byte_at(bytes, at + 3) < 32 && (level == 0 || level == 2 || level == 4) && (system < 14 || system == 255)) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool is_called_packed(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot + 1 == name.size()) return false;
  const std::string_view extension = name.substr(dot + 1);
  const auto digits = [](std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  };
  // A volume of several: x.001, x.r00, x.z01. Other numbers are parts of names, but after an archive's.
  if (extension.size() == 3 && digits(extension.substr(1)) &&
      (extension[0] == '0' || extension[0] == 'r' || extension[0] == 'z')) {
    return true;
  }
  if (digits(extension)) {
    const std::string_view before = name.substr(0, dot);
    const size_t inner = before.rfind('.');
    return inner != std::string_view::npos && !digits(before.substr(inner + 1)) && is_called_packed(before);
  }
  constexpr std::string_view kOthers[] = {"vmdk", "vdi", "vhd", "qcow", "qcow2", "b64",   "br",          "pmd",
                                          "aar",  "wim", "swm", "esd",  "tzst",  "taz",   "sparseimage", "squashfs",
                                          "sqfs", "nrg", "xxe", "zipx", "zpaq",  "dar",   "pea",         "uha",
                                          "daa",  "cso", "hfs", "apm",  "paq",   "lzfse", "uif"};
  if (std::ranges::find(kOthers, extension) != std::end(kOthers)) return true;
  // Names that more than archives have.
  const std::optional<FileType> type = type_of_extension(name);
  return type && info(*type).in(Group::compressed) && extension != "dat" && extension != "mbox" &&
         *type != FileType::pst && *type != FileType::epub;
}

bool prepare_types() {
  if (g_magic != nullptr) return true;
  g_magic = magic_open(MAGIC_MIME_TYPE | MAGIC_NO_CHECK_TEXT | MAGIC_NO_CHECK_TOKENS | MAGIC_NO_CHECK_ENCODING |
                       MAGIC_NO_CHECK_CSV | MAGIC_NO_CHECK_JSON | MAGIC_NO_CHECK_COMPRESS | MAGIC_NO_CHECK_TAR);
  if (g_magic == nullptr) return false;
  if (magic_load(g_magic, nullptr) == 0) return true;
  magic_close(g_magic);
  g_magic = nullptr;
  return false;
}

void Found::add(FileType type, std::string_view its_mime) {
  if (has(type)) return;
  if (types.empty()) mime = its_mime;
  types.push_back(type);
}

void Found::put_first(FileType type, std::string_view its_mime) {
  std::erase(types, type);
  types.insert(types.begin(), type);
  mime = its_mime;
}

bool Found::has(FileType type) const { return std::ranges::find(types, type) != types.end(); }

bool Found::any(Group group) const {
  return std::ranges::any_of(types, [&](FileType type) { return info(type).in(group); });
}

FileType find_mime(std::string_view mime) {
  for (size_t i = 0; i < file_types().size(); ++i) {
    if (base::iequals(file_types()[i].mime, mime)) return static_cast<FileType>(i);
  }
  return FileType::unknown;
}

TypeGuess guess_types(std::string_view bytes, std::string_view name, std::string_view declared_mime) {
  const std::string plain = plain_name(name);
  Found found;
  add_signatures(bytes, plain, found);
  add_media_signatures(bytes, found);
  add_program_signatures(bytes, plain, found);
  add_ole_types(bytes, found);
  add_zip_types(bytes, found);
  const Textual how = textual(bytes, plain, declared_mime);
  add_text_types(bytes, plain, declared_mime, how, found);
  const bool disk = found.has(FileType::img) || found.has(FileType::vhd) || found.has(FileType::udf);
  const bool pictures = found.any(Group::image) || found.any(Group::media);
  if (found.empty() || disk || pictures || found.has(FileType::pdf)) add_appended_program(bytes, found);
  const bool archive = is_archive(bytes, found);
  const bool called = is_called_packed(plain);
  if (disk || pictures || found.has(FileType::pdf) || (!archive && (called || !holds_files(found)))) {
    add_appended_archives(bytes, found);
  }
  // Text of a form that only its first lines tell is that form to who goes by MIME types; what is called text is text.
  const bool form = found.types.size() == 1 && found.has(FileType::txt) && !declared_mime.starts_with("text/");
  if (found.empty() || found.ask_magic || form) {
    const std::string answer = ask_magic(form ? bytes.substr(0, kFormBytes) : bytes);
    const FileType type = find_mime(answer);
    // A text type that the own rules did not see is no text.
    if (found.empty() && type != FileType::unknown && !info(type).in(Group::text)) found.add(type);
    if (!answer.empty() && answer != "application/octet-stream" && answer.find('/') != std::string::npos &&
        !answer.starts_with("text/") && answer != "application/x-empty") {
      found.mime = answer;
    }
  }
  TypeGuess guess;
  guess.as_text = is_read_as_text(how, found);
  guess.packed = (found.empty() && is_packed(bytes, found.mime)) ||
                 (called && !archive && !found.any(Group::compressed) && holds_mark(bytes));
  add_called_types(bytes, plain, declared_mime, found);
  add_name_types(plain, found);
  guess.types = std::move(found.types);
  if (guess.types.empty()) guess.types.push_back(FileType::unknown);
  guess.mime = found.mime.empty() ? std::string(info(guess.types.front()).mime) : std::move(found.mime);
  return guess;
}

}  // namespace postern::scan::worker
