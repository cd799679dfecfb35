// SPDX-License-Identifier: Apache-2.0
// Kinds of files that a fixed mark tells: archives, documents of their own formats, disk images, mail carriers.
#include <algorithm>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/filetype_parts.h"
#include "engine/scan/worker/inflater.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr Signature kMarks[] = {
    {FileType::lnk, 0, "\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"sv},
    {FileType::chm, 0, "ITSF"sv},
    {FileType::one, 0, "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3"sv},
    {FileType::one, 0, "\xa1\x2f\xff\x43\xd9\xef\x76\x4c\x9e\xe2\x10\xea\x57\x22\x76\x5f"sv},
    {FileType::rtf, 0, "{\\rt"sv},
    {FileType::ps, 0, "%!PS"sv},
    {FileType::ps, 0, "\x04%!PS"sv},
    {FileType::ps, 0, "\xc5\xd0\xd3\xc6"sv},
    {FileType::mdb, 4, "Standard Jet DB"sv},
    {FileType::mdb, 4, "Standard ACE DB"sv},
    {FileType::pst, 0, "!BDN"sv},
    {FileType::wordperfect, 0, "\xffWPC"sv},
    {FileType::lotus123, 0, "\0\0\x1a\0\0\x10\x04\0"sv},
    {FileType::lotus123, 0, "\0\0\x1a\0\x02\x10\x04\0"sv},
    {FileType::lotus123, 0, "\0\0\x02\0\x06\x04\x06\0"sv},
    {FileType::hwp, 0, "HWP Document File V"sv},
    {FileType::djvu, 0, "AT&TFORM"sv},
    {FileType::activemime, 0, "ActiveMime"sv},
    {FileType::gzip, 0, "\x1f\x8b\x08"sv},
    {FileType::bz, 0, "BZ0"sv},
    {FileType::xz, 0,
     "\xfd"
     "7zXZ\0"sv},
    {FileType::zstd, 0, "\x28\xb5\x2f\xfd"sv},
    {FileType::lz4, 0, "\x04\x22\x4d\x18"sv},
    {FileType::lz4, 0, "\x02\x21\x4c\x18"sv},
    {FileType::lzip, 0, "LZIP\x01"sv},
    {FileType::lzop, 0, "\x89LZO\0\r\n\x1a\n"sv},
    {FileType::lrzip, 0, "LRZI"sv},
    {FileType::snappy, 0, "\xff\x06\0\0sNaPpY"sv},
    {FileType::compress, 0, "\x1f\x9d"sv},
    {FileType::compress, 0, "\x1f\xa0"sv},
    {FileType::szdd, 0, "SZDD\x88\xf0\x27\x33"sv},
    {FileType::szdd, 0, "SZ\x20\x88\xf0\x27\x33\xd1"sv},
    {FileType::szdd, 0, "KWAJ\x88\xf0\x27\xd1"sv},
    {FileType::sis, 8, "\x19\x04\0\x10"sv},
    {FileType::sis, 0, "\x7a\x1a\x20\x10"sv},
    {FileType::type_7z, 0, "7z\xbc\xaf\x27\x1c"sv},
    {FileType::rar, 0, "Rar!\x1a\x07"sv},
    {FileType::rar, 0, "RE~^"sv},
    {FileType::cpio, 0, "070701"sv},
    {FileType::cpio, 0, "070702"sv},
    {FileType::cpio, 0, "070707"sv},
    {FileType::ar, 0, "!<arch>\n"sv},
    {FileType::ar, 0, "!<thin>\n"sv},
    {FileType::rpm, 0, "\xed\xab\xee\xdb"sv},
    {FileType::cab, 0, "MSCF\0\0\0\0"sv},
    {FileType::cab, 0, "ISc("sv},
    {FileType::ace, 7, "**ACE**"sv},
    {FileType::alz, 0, "ALZ\x01"sv},
    {FileType::alz, 0, "EGGA"sv},
    {FileType::sit, 0, "SIT!"sv},
    {FileType::sit, 0, "StuffIt (c)"sv},
    {FileType::sit, 0, "StuffIt?"sv},
    {FileType::zoo, 20, "\xdc\xa7\xc4\xfd"sv},
    {FileType::xar, 0, "xar!"sv},
    {FileType::tnef, 0, "\x78\x9f\x3e\x22"sv},
    {FileType::appledouble, 0, "\0\x05\x16\x07"sv},
    {FileType::appledouble, 0, "\0\x05\x16\0"sv},
    {FileType::sqlite, 0, "SQLite format 3\0"sv},
    {FileType::vhd, 0, "conectix"sv},
    {FileType::vhdx, 0, "vhdxfile"sv},
    {FileType::img, 3, "NTFS    "sv},
    {FileType::img, 3, "EXFAT   "sv},
    {FileType::arc, 0, "ArC\x01"sv},
};

// Images of disks, with or without compression, of which it matters only that they are some.
constexpr Signature kImages[] = {
    {FileType::img, 0, "MSWIM\0\0\0"sv},
    {FileType::img, 0, "WLPWM\0\0\0"sv},
    {FileType::img, 0, "hsqs"sv},
    {FileType::img, 0, "sqsh"sv},
    {FileType::img, 0, "QFI\xfb"sv},
    {FileType::img, 0, "KDMV"sv},
    {FileType::img, 0, "COWD"sv},
    {FileType::img, 0, "<<< "sv},
    {FileType::img, 0, "LUKS\xba\xbe"sv},
    {FileType::img, 0, "encrcdsa"sv},
    {FileType::img, 0, "\x45\x3d\xcd\x28"sv},
    {FileType::img, 0, "-rom1fs-"sv},
    {FileType::img, 0, "shsq"sv},
    {FileType::img, 0, "XFSB"sv},
    {FileType::img, 0, "\x3a\xff\x26\xed"sv},
    {FileType::img, 0, "\x8f\xaf\xac\x84"sv},
    {FileType::img, 32, "NXSB"sv},
    {FileType::img, 64, "\x7f\x10\xda\xbe"sv},
    {FileType::img, 512, "EFI PART"sv},
    {FileType::img, 65600, "_BHRfS_M"sv},
    {FileType::img, 1080, "\x53\xef"sv},
    {FileType::img, 1024, "H+\0\x04"sv},
    {FileType::img, 1024, "HX\0\x05"sv},
};

// PDF readers look for the mark in the first 1024 bytes; some a bit further.
constexpr size_t kPdfWithin = 1100;

bool is_tar(std::string_view bytes) {
  if (bytes.size() < 512 || bytes[0] == '\0') return has(bytes, 257, "ustar");
  uint32_t sum = 0;
  int32_t signed_sum = 0;
  for (size_t i = 0; i < 512; ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : bytes[i];
    sum += static_cast<unsigned char>(c);
    signed_sum += static_cast<signed char>(c);
  }
  uint32_t stated = 0;
  bool digits = false;
  for (size_t i = 148; i < 156; ++i) {
    const char c = bytes[i];
    if (c == ' ' && !digits) continue;
    if (c < '0' || c > '7') break;
    digits = true;
    stated = stated * 8 + static_cast<uint32_t>(c - '0');
  }
  return has(bytes, 257, "ustar") || (digits && (stated == sum || stated == static_cast<uint32_t>(signed_sum)));
}

// LZMA of its own has no mark: properties, a dictionary of 2^n or 2^n+2^(n-1), and a size that is unknown or likely.
bool is_lzma(std::string_view bytes) {
  if (bytes.size() < 14 || byte_at(bytes, 0) >= 225 || byte_at(bytes, 13) != 0) return false;
  const uint32_t dictionary = little32(bytes, 1);
  const uint64_t size = little64(bytes, 5);
  if (size != UINT64_MAX && size > (1ull << 40)) return false;
  if (byte_at(bytes, 0) != 0x5d && size != UINT64_MAX) return false;
  if (dictionary == UINT32_MAX) return true;
  for (int bit = 12; bit < 32; ++bit) {
    if (dictionary == (1u << bit) || dictionary == (3ull << (bit - 1))) return true;
  }
  return false;
}

bool is_arj(std::string_view bytes) {
  if (!has(bytes, 0, "\x60\xea")) return false;
  const uint32_t basic = little16(bytes, 2);
  return basic >= 30 && basic <= 2600 && byte_at(bytes, 4) >= 30 && byte_at(bytes, 4) <= basic;
}

bool is_lha(std::string_view bytes) {
  if (bytes.size() < 21 || bytes[2] != '-' || bytes[6] != '-') return false;
  const std::string_view method = bytes.substr(3, 3);
  return (method.starts_with("lh") || method.starts_with("lz") || method.starts_with("pm")) && byte_at(bytes, 20) <= 3;
}

// ARC: 0x1a, a method, a name of 13 bytes with its NUL.
bool is_arc(std::string_view bytes) {
  if (bytes.size() < 29 || bytes[0] != '\x1a' || byte_at(bytes, 1) == 0 || byte_at(bytes, 1) > 11) return false;
  const size_t nul = bytes.substr(2, 13).find('\0');
  if (nul == std::string_view::npos || nul == 0) return false;
  // What is packed is there, or a name with a dot; a few programs' tables begin so too.
  if (uint64_t{little32(bytes, 15)} + 25 > bytes.size() && bytes.substr(2, nul).find('.') == std::string_view::npos) {
    return false;
  }
  return std::ranges::all_of(bytes.substr(2, nul), [](char c) { return c > 0x20 && c < 0x7f; });
}

void add_disks(std::string_view bytes, Found& found) {
  for (const Signature& mark : kImages) {
    if (!found.empty() || !has(bytes, mark.at, mark.bytes)) continue;
    if (mark.bytes == "<<< " && slice(bytes, 0, 64).find("Disk Image") == std::string_view::npos) continue;
    found.add(mark.type, "application/octet-stream");
    found.ask_magic = true;
  }
  // A sector of 2048 bytes, or raw sectors of 2352 with their headers of 16 or 24 bytes.
  for (const uint64_t at : {32769u, 37649u, 37657u}) {
    if (has(bytes, at, "CD001")) found.add(FileType::iso);
  }
  for (uint64_t at = 32769; at <= 32769 + 2048 * 16; at += 2048) {
    if (has(bytes, at, "NSR02") || has(bytes, at, "NSR03")) found.add(FileType::udf);
  }
  if (bytes.size() >= 512) {
    if (has(bytes, bytes.size() - 512, "conectix")) found.add(FileType::vhd);
    if (has(bytes, bytes.size() - 512, "koly")) found.add(FileType::dmg);
    if (has(bytes, 510, "\x55\xaa")) {
      const bool jump = byte_at(bytes, 0) == 0xeb || byte_at(bytes, 0) == 0xe9;
      const bool fat = has(bytes, 54, "FAT1") || has(bytes, 82, "FAT32") ||
                       (jump && little16(bytes, 11) == 512 && byte_at(bytes, 16) <= 2 && byte_at(bytes, 16) > 0);
      const uint8_t status = byte_at(bytes, 446);
      const bool partitions = (status == 0 || status == 0x80) && byte_at(bytes, 450) != 0 && little32(bytes, 458) != 0;
      if (fat || partitions) found.add(FileType::img);
    }
  }
}

// The content of PKCS #7 is named by one of a few object identifiers right behind the outer header.
void add_pkcs7(std::string_view bytes, Found& found) {
  if (byte_at(bytes, 0) != 0x30) return;
  const uint8_t length = byte_at(bytes, 1);
  const uint64_t at = length < 0x80 ? 2 : 2 + static_cast<uint64_t>(length & 0x7f);
  constexpr std::string_view kOid = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07";
  constexpr std::string_view kOidCompressed = "\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01";
  if (has(bytes, at, kOidCompressed)) found.add(FileType::smime);
  if (!has(bytes, at, kOid)) return;
  const uint8_t kind = byte_at(bytes, at + kOid.size());
  if (kind < 2 || kind > 6) return;
  // Signed data without content: the inner content info holds an object identifier and nothing else.
  const std::string_view head = slice(bytes, at + kOid.size() + 1, 256);
  const size_t inner = head.find("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"sv);
  if (kind == 2 && inner != std::string_view::npos) {
    found.add(FileType::smime_signature);
  } else {
    found.add(FileType::smime);
  }
}

// Packet is the head of an OpenPGP packet (RFC 4880 section 4.2); tag 0 is none.
struct Packet {
  uint8_t tag = 0;
  uint64_t body = 0;
  uint64_t length = 0;  // of its first part, where it comes in several
  uint64_t end = 0;     // of the packet; past the bytes where it does not fit
};

Packet pgp_packet(std::string_view bytes) {
  Packet packet;
  const uint8_t head = byte_at(bytes, 0);
  if ((head & 0x80) == 0) return packet;
  if ((head & 0x40) == 0) {
    const uint8_t kind = head & 3;
    if (kind == 3) return packet;
    packet.tag = static_cast<uint8_t>((head & 0x3c) >> 2);
    packet.length = kind == 0 ? byte_at(bytes, 1) : kind == 1 ? big16(bytes, 1) : big32(bytes, 1);
    packet.body = kind == 0 ? 2 : kind == 1 ? 3 : 5;
    packet.end = packet.body + packet.length;
    return packet;
  }
  packet.tag = head & 0x3f;
  // Each part but the last says of itself that it is one, by a length of 2^n.
  for (uint64_t at = 1; at < bytes.size();) {
    const uint8_t first = byte_at(bytes, at);
    const bool part = first >= 224 && first < 255;
    const uint64_t size = first < 192 ? 1 : first < 224 ? 2 : first == 255 ? 5 : 1;
    const uint64_t length = first < 192    ? first
                            : first < 224  ? (first - 192u) * 256u + byte_at(bytes, at + 1) + 192u
                            : first == 255 ? big32(bytes, at + 1)
                                           : 1ull << (first & 0x1f);
    if (packet.body == 0) {
      packet.body = at + size;
      packet.length = length;
    }
    at += size + length;
    packet.end = at;
    if (!part) return packet;
  }
  packet.end = UINT64_MAX;
  return packet;
}

// Packets that begin a key or a message: tag, length and version must go together.
void add_pgp(std::string_view bytes, Found& found) {
  const Packet packet = pgp_packet(bytes);
  if (packet.tag == 0 || packet.end > bytes.size()) return;
  const uint64_t body = packet.body;
  const uint64_t length = packet.length;
  const uint8_t version = byte_at(bytes, body);
  const auto algorithm = [&](uint64_t at) {
    const uint8_t value = byte_at(bytes, at);
    return (value >= 1 && value <= 3) || (value >= 16 && value <= 28);
  };
  constexpr uint64_t kLongest = 16384;
  // Encrypted data without a session key before it: what is in it looks like nothing, so it must be all there is.
  constexpr uint64_t kShortest = 12;
  const bool all = packet.end == bytes.size() && length >= kShortest;
  if (all && (packet.tag == 9 || (packet.tag == 18 && (version == 1 || version == 2)))) found.add(FileType::pgp);
  if (length > kLongest) return;
  const bool old_key = (version == 2 || version == 3) && length >= 8 && algorithm(body + 7);
  const bool new_key = version >= 4 && version <= 6 && length >= 6 && algorithm(body + 5);
  if ((packet.tag == 5 || packet.tag == 6) && (old_key || new_key)) found.add(FileType::pgp_keys);
  // By a public key: version, key, algorithm, a number; by a password: version, cipher, how to make a key of it, hash.
  const bool public_key = packet.tag == 1 && length >= 10 && version == 3 && algorithm(body + 9);
  const bool password = packet.tag == 3 && length >= 4 && version >= 4 && version <= 6 &&
                        byte_at(bytes, body + 1) <= 13 && (length >= 6 || (byte_at(bytes, packet.end) & 0x80) != 0);
  if (public_key || password) found.add(FileType::pgp);
}

// A workbook of Excel before compound files, or without one, begins with its first record: what it is and its length, a
// version, and a kind of sheet.
void add_bare_workbook(std::string_view bytes, Found& found) {
  const uint32_t record = little16(bytes, 0);
  const uint32_t length = little16(bytes, 2);
  const uint32_t kind = little16(bytes, 6);
  if (record != 0x0009 && record != 0x0209 && record != 0x0409 && record != 0x0809) return;
  if (length < 4 || length > 16 || bytes.size() < length + 8) return;
  if (kind == 0x05 || kind == 0x06 || kind == 0x10 || kind == 0x20 || kind == 0x40 || kind == 0x100) {
    found.add(FileType::xls);
  }
}

}  // namespace

void add_signatures(std::string_view bytes, std::string_view, Found& found) {
  for (const Signature& mark : kMarks) {
    if (has(bytes, mark.at, mark.bytes)) found.add(mark.type);
  }
  // A frame to be skipped may begin both kinds.
  if (has(bytes, 1, "\x2a\x4d\x18") && (byte_at(bytes, 0) & 0xf0) == 0x50) {
    found.add(FileType::lz4);
    found.add(FileType::zstd);
  }
  // Zstandard before its format was settled.
  if (has(bytes, 1, "\xb5\x2f\xfd") && byte_at(bytes, 0) >= 0x1e && byte_at(bytes, 0) <= 0x27) {
    found.add(FileType::zstd);
  }
  if (has(bytes, 0, "BZh") && byte_at(bytes, 3) >= '1' && byte_at(bytes, 3) <= '9' &&
      (has(bytes, 4, "\x31\x41\x59\x26\x53\x59") || has(bytes, 4, "\x17\x72\x45\x38\x50\x90"))) {
    found.add(FileType::bz2);
  }
  if (has(bytes, 0, "\xc7\x71") || has(bytes, 0, "\x71\xc7")) found.add(FileType::cpio);
  if (bytes.size() > 16 && is_tar(bytes)) found.add(FileType::tar);
  if (is_arj(bytes)) found.add(FileType::arj);
  if (is_lha(bytes)) found.add(FileType::lha);
  if (is_arc(bytes)) found.add(FileType::arc);
  if (is_zlib(bytes)) found.add(FileType::zlib);
  if (found.empty() && is_lzma(bytes)) found.add(FileType::lzma);
  // Sheets of Lotus and Quattro begin with their record of version.
  if (has(bytes, 0, "\0\0\x02\0"sv) && (has(bytes, 4, "\x01\x10"sv) || has(bytes, 4, "\x02\x10"sv) ||
                                        has(bytes, 4, "\x20\x51"sv) || has(bytes, 4, "\x21\x51"sv))) {
    found.add(FileType::lotus123);
  }
  const size_t pdf = bytes.substr(0, kPdfWithin).find("%PDF-");
  if (pdf != std::string_view::npos) {
    if (pdf == 0) found.put_first(FileType::pdf);
    found.add(FileType::pdf);
  }
  if (pdf == std::string_view::npos && has(bytes, 0, "%PDF")) found.add(FileType::pdf);
  // RTF behind a byte order mark or white space is opened by Word all the same.
  if (!found.has(FileType::rtf)) {
    const std::string_view head = bytes.substr(0, 64);
    const size_t start = head.find_first_not_of(" \t\r\n\xef\xbb\xbf");
    if (start != std::string_view::npos && base::istarts_with(head.substr(start), "{\\rt")) found.add(FileType::rtf);
  }
  add_disks(bytes, found);
  add_pkcs7(bytes, found);
  if (found.empty()) add_bare_workbook(bytes, found);
  if (found.empty()) add_pgp(bytes, found);
}

}  // namespace postern::scan::worker
