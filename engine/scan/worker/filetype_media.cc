// SPDX-License-Identifier: Apache-2.0
// Kinds of pictures, sound, films and fonts.
#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/filetype_parts.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr Signature kMarks[] = {
    {FileType::png, 0, "\x89PNG\r\n\x1a\n"sv},
    {FileType::gif, 0, "GIF87a"sv},
    {FileType::gif, 0, "GIF89a"sv},
    {FileType::jpeg, 0, "\xff\xd8\xff"sv},
    {FileType::jp2, 0, "\0\0\0\x0cjP  \r\n\x87\n"sv},
    {FileType::jxl, 0, "\xff\x0a"sv},
    {FileType::jxl, 0, "\0\0\0\x0cJXL \r\n\x87\n"sv},
    {FileType::psd, 0, "8BPS\0"sv},
    {FileType::psp, 0, "Paint Shop Pro Image File"sv},
    {FileType::x_wmf, 0, "\xd7\xcd\xc6\x9a"sv},
    {FileType::x_wmf, 0, "\x01\0\x09\0\0\x03"sv},
    {FileType::x_wmf, 0, "\x02\0\x09\0\0\x03"sv},
    {FileType::emf, 40, " EMF"sv},
    {FileType::icns, 0, "icns\0"sv},
    {FileType::dxf, 0, "AutoCAD Binary DXF"sv},
    {FileType::aiff, 8, "AIFF"sv},
    {FileType::aiff, 8, "AIFC"sv},
    {FileType::asf, 0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c"sv},
    {FileType::flac, 0, "fLaC"sv},
    {FileType::flv, 0, "FLV\x01"sv},
    {FileType::matroska, 0, "\x1a\x45\xdf\xa3"sv},
    {FileType::midi, 0, "MThd\0\0\0\x06"sv},
    {FileType::mpeg, 0, "\0\0\x01\xba"sv},
    {FileType::mpeg, 0, "\0\0\x01\xb3"sv},
    {FileType::ogg, 0, "OggS\0"sv},
    {FileType::ram, 0, ".ra\xfd"sv},
    {FileType::snd, 0, ".snd\0"sv},
    {FileType::font, 0, "\0\x01\0\0\0"sv},
    {FileType::font, 0, "true\0"sv},
    {FileType::font, 0, "OTTO\0"sv},
    {FileType::font, 0, "ttcf\0"sv},
    {FileType::font, 0, "wOFF"sv},
    {FileType::font, 0, "wOF2"sv},
};

void add_riff(std::string_view bytes, Found& found) {
  if (!has(bytes, 0, "RIFF") && !has(bytes, 0, "RIFX")) return;
  if (has(bytes, 8, "WEBP")) found.add(FileType::webp);
  if (has(bytes, 8, "WAVE")) found.add(FileType::wav);
  if (has(bytes, 8, "AVI ")) found.add(FileType::avi);
  if (has(bytes, 8, "ACON")) found.add(FileType::cur, "application/x-navi-animation");
  if (has(bytes, 8, "RMID")) found.add(FileType::midi);
}

// Marks that words begin with count with the version that stands behind them.
void add_versioned(std::string_view bytes, Found& found) {
  const uint8_t third = byte_at(bytes, 3);
  if (has(bytes, 0, "ID3") && third >= 2 && third <= 4) found.add(FileType::mp3);
  if ((has(bytes, 0, "FWS") || has(bytes, 0, "CWS") || has(bytes, 0, "ZWS")) && third >= 1 && third <= 51) {
    found.add(FileType::flash);
  }
  const auto digit = [&](uint64_t at) { return byte_at(bytes, at) >= '0' && byte_at(bytes, at) <= '9'; };
  if (has(bytes, 0, "AC10") && digit(4) && digit(5)) found.add(FileType::dwg);
}

// Films and pictures of the ISO base format say their kind by a brand.
void add_brand(std::string_view bytes, Found& found) {
  if (!has(bytes, 4, "ftyp")) {
    for (const std::string_view atom : {"moov"sv, "mdat"sv, "wide"sv, "free"sv, "skip"sv, "pnot"sv}) {
      const uint32_t size = big32(bytes, 0);
      if (has(bytes, 4, atom) && (size == 0 || size == 1 || (size >= 8 && size < 0x10000000))) {
        found.add(FileType::mov);
      }
    }
    return;
  }
  const std::string_view brand = slice(bytes, 8, 4);
  if (brand.starts_with("qt")) return found.add(FileType::mov);
  if (brand.starts_with("jp2") || brand.starts_with("jpx") || brand.starts_with("jpm")) return found.add(FileType::jp2);
  if (brand == "avif" || brand == "avis") return found.add(FileType::heif, "image/avif");
  for (const std::string_view heif : {"heic"sv, "heix"sv, "hevc"sv, "hevx"sv, "heim"sv, "heis"sv}) {
    if (brand == heif) return found.add(FileType::heif);
  }
  if (brand == "mif1" || brand == "msf1") return found.add(FileType::heif, "image/heif");
  if (brand.starts_with("M4A") || brand.starts_with("M4B")) return found.add(FileType::mp4, "audio/x-m4a");
  if (brand.starts_with("M4V")) return found.add(FileType::mp4, "video/x-m4v");
  if (brand.starts_with("3gp") || brand.starts_with("3ge")) return found.add(FileType::mp4, "video/3gpp");
  if (brand.starts_with("3g2")) return found.add(FileType::mp4, "video/3gpp2");
  found.add(FileType::mp4);
}

void add_sound_frames(std::string_view bytes, Found& found) {
  if (byte_at(bytes, 0) != 0xff || bytes.size() < 16) return;
  const uint8_t second = byte_at(bytes, 1);
  if ((second & 0xf6) == 0xf0) return found.add(FileType::aac);
  const uint8_t third = byte_at(bytes, 2);
  const bool layer = (second & 0xe0) == 0xe0 && (second & 0x06) != 0 && (second & 0x18) != 0x08;
  if (layer && (third & 0xf0) != 0xf0 && (third & 0xf0) != 0 && (third & 0x0c) != 0x0c && second != 0xfe &&
      second != 0xff) {
    found.add(FileType::mp3);
  }
}

void add_small_headers(std::string_view bytes, Found& found) {
  if (has(bytes, 0, "II*\0"sv) || has(bytes, 0, "MM\0*"sv) || has(bytes, 0, "II+\0"sv) || has(bytes, 0, "MM\0+"sv)) {
    found.add(FileType::tiff, has(bytes, 8, "CR\x02\0"sv) ? "image/x-canon-cr2"sv : ""sv);
  }
  if (has(bytes, 0, "BM")) {
    const uint32_t header = little32(bytes, 14);
    const bool known = header == 12 || header == 16 || header == 40 || header == 52 || header == 56 || header == 64 ||
                       header == 108 || header == 124;
    if (known && little32(bytes, 10) >= 26) found.add(FileType::bmp);
  }
  const uint32_t images = little16(bytes, 4);
  if (has(bytes, 0, "\0\0"sv) && images > 0 && images < 256 && byte_at(bytes, 9) == 0 &&
      6 + 16ull * images <= bytes.size() && little32(bytes, 18) >= 6 + 16 * images && little32(bytes, 14) > 0) {
    if (little16(bytes, 2) == 1) found.add(FileType::ico);
    if (little16(bytes, 2) == 2) found.add(FileType::cur);
  }
  if (byte_at(bytes, 0) == 0x0a && byte_at(bytes, 1) <= 5 && byte_at(bytes, 2) <= 1 && bytes.size() >= 128 &&
      (byte_at(bytes, 3) == 1 || byte_at(bytes, 3) == 2 || byte_at(bytes, 3) == 4 || byte_at(bytes, 3) == 8) &&
      byte_at(bytes, 64) == 0) {
    found.add(FileType::pcx);
  }
  if (bytes.size() >= 44 && slice(bytes, bytes.size() - 18, 16) == "TRUEVISION-XFILE") found.add(FileType::tga);
}

}  // namespace

void add_media_signatures(std::string_view bytes, Found& found) {
  for (const Signature& mark : kMarks) {
    if (has(bytes, mark.at, mark.bytes)) found.add(mark.type);
  }
  if (has(bytes, 0, "\xff\x4f\xff\x51"sv)) found.add(FileType::jp2, "image/x-jp2-codestream");
  if (has(bytes, 0, ".RMF"sv)) found.add(FileType::ram, "application/vnd.rn-realmedia");
  // EMF's mark stands far in; its record type stands first.
  if (found.has(FileType::emf) && little32(bytes, 0) != 1) std::erase(found.types, FileType::emf);
  if (!found.has(FileType::aiff) || !has(bytes, 0, "FORM")) std::erase(found.types, FileType::aiff);
  if (found.has(FileType::ogg) && has(bytes, 28, "\x80theora"sv)) found.mime = "video/ogg";
  if (found.has(FileType::matroska)) {
    const std::string_view head = bytes.substr(0, 64);
    if (head.find("webm") != std::string_view::npos) found.mime = "video/webm";
  }
  if (found.has(FileType::font)) found.ask_magic = true;
  add_versioned(bytes, found);
  add_riff(bytes, found);
  add_brand(bytes, found);
  add_sound_frames(bytes, found);
  add_small_headers(bytes, found);
  if (found.has(FileType::asf)) {
    // Which streams there are is said by their GUIDs, of sound and of pictures.
    const std::string_view head = bytes.substr(0, 16384);
    const bool sound = head.find("\x40\x9e\x69\xf8\x4d\x5b\xcf\x11"sv) != std::string_view::npos;
    const bool picture = head.find("\xc0\xef\x19\xbc\x4d\x5b\xcf\x11"sv) != std::string_view::npos;
    if (sound && !picture) found.add(FileType::wma);
    if (picture) found.add(FileType::wmv);
  }
}

}  // namespace postern::scan::worker
