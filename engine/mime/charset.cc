// SPDX-License-Identifier: Apache-2.0
// UTF-8, UTF-16 and UTF-32 are decoded here; everything else by ICU converters from a table of names. A label that is
// not in the table never reaches ICU. Converters are opened at first use and kept per thread, since opening one costs
// far more than converting a header.
#include "engine/mime/charset.h"

#include <unicode/ucnv.h>
#include <unicode/ucnv_cb.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "engine/base/text.h"

namespace postern::mime {
namespace {

constexpr size_t kLongestLabel = 64;

enum class Kind { utf8, utf16, utf16le, utf16be, utf32, utf32le, utf32be, icu };

// Charset is one row: labels without anything but letters and digits, separated by blanks; the ICU converter that reads
// it (often a superset, as mail programs label loosely) and the one that writes it ("" = never written).
struct Charset {
  Kind kind;
  std::string_view labels;
  const char* reads;
  const char* writes;
};

constexpr Charset kCharsets[] = {
    {Kind::utf8, "utf8 unicode11utf8 cp65001 csutf8 unicodeutf8 utf8mb4", "", "UTF-8"},
    {Kind::utf16, "utf16 unicode ucs2 iso10646ucs2 csunicode csutf16", "", ""},
    {Kind::utf16le, "utf16le unicodelittle xutf16le ucs2le csutf16le", "", ""},
    {Kind::utf16be, "utf16be unicodebig xutf16be ucs2be csutf16be", "", ""},
    {Kind::utf32, "utf32 ucs4 iso10646ucs4 csucs4 csutf32", "", ""},
    {Kind::utf32le, "utf32le ucs4le csutf32le", "", ""},
    {Kind::utf32be, "utf32be ucs4be csutf32be", "", ""},
    {Kind::icu, "utf7 unicode11utf7 unicode20utf7 xunicode20utf7 cp65000 csutf7", "UTF-7", ""},
    {Kind::icu, "iso88591 latin1 l1 iso885911987 ibm819 cp819 isoir100 iso88591l csisolatin1", "windows-1252",
     "ISO-8859-1"},
    {Kind::icu, "iso88592 latin2 l2 isoir101 iso885921987 csisolatin2", "ibm-912_P100-1995", "ibm-912_P100-1995"},
    {Kind::icu, "iso88593 latin3 l3 isoir109 iso885931988 csisolatin3", "ISO-8859-3", "ISO-8859-3"},
    {Kind::icu, "iso88594 latin4 l4 isoir110 iso885941988 csisolatin4", "ISO-8859-4", "ISO-8859-4"},
    {Kind::icu, "iso88595 cyrillic isoir144 iso885951988 csisolatincyrillic", "ISO-8859-5", "ISO-8859-5"},
    {Kind::icu, "iso88596 iso88596i iso88596e arabic isoir127 csisolatinarabic csiso88596i csiso88596e ecma114 asmo708",
     "ISO-8859-6", "ISO-8859-6"},
    {Kind::icu, "iso88597 greek greek8 isoir126 iso885971987 csisolatingreek ecma118 elot928", "ISO-8859-7",
     "ISO-8859-7"},
    {Kind::icu, "iso88598 iso88598i iso88598e logical hebrew isoir138 visual csisolatinhebrew csiso88598i csiso88598e",
     "ISO-8859-8", "ISO-8859-8"},
    {Kind::icu, "iso88599 latin5 l5 isoir148 iso885991989 csisolatin5", "windows-1254", "ISO-8859-9"},
    {Kind::icu, "iso885910 latin6 l6 isoir157 csisolatin6", "iso-8859_10-1998", "iso-8859_10-1998"},
    {Kind::icu, "iso885911 tis620 tis6200 windows874 cp874 xwindows874 ibm874 cstis620 cswindows874",
     "windows-874-2000", "windows-874-2000"},
    {Kind::icu, "iso885913 latin7 l7 csiso885913", "ibm-921_P100-1995", "ibm-921_P100-1995"},
    {Kind::icu, "iso885914 latin8 l8 csiso885914", "iso-8859_14-1998", "iso-8859_14-1998"},
    {Kind::icu, "iso885915 latin9 l9 csiso885915", "ibm-923_P100-1998", "ibm-923_P100-1998"},
    {Kind::icu, "windows1250 cp1250 xcp1250 cswindows1250", "windows-1250", "windows-1250"},
    {Kind::icu, "windows1251 cp1251 xcp1251 win1251 cswindows1251", "windows-1251", "windows-1251"},
    {Kind::icu, "windows1252 cp1252 xcp1252 ansi xansi cswindows1252", "windows-1252", "windows-1252"},
    {Kind::icu, "windows1253 cp1253 xcp1253 cswindows1253", "windows-1253", "windows-1253"},
    {Kind::icu, "windows1254 cp1254 xcp1254 cswindows1254", "windows-1254", "windows-1254"},
    {Kind::icu, "windows1255 cp1255 xcp1255 cswindows1255", "windows-1255", "windows-1255"},
    {Kind::icu, "windows1256 cp1256 xcp1256 cswindows1256", "windows-1256", "windows-1256"},
    {Kind::icu, "windows1257 cp1257 xcp1257 cswindows1257", "windows-1257", "windows-1257"},
    {Kind::icu, "windows1258 cp1258 xcp1258 cswindows1258", "windows-1258", "windows-1258"},
    {Kind::icu, "koi8r koi8 koi cskoi8r", "KOI8-R", "KOI8-R"},
    {Kind::icu, "koi8u koi8ru cskoi8u", "KOI8-U", "KOI8-U"},
    {Kind::icu, "macintosh mac macroman xmacroman csmacintosh", "macintosh", "macintosh"},
    {Kind::icu, "xmaccyrillic xmacukrainian maccyrillic", "x-mac-cyrillic", "x-mac-cyrillic"},
    {Kind::icu, "xmacgreek macgreek", "x-mac-greek", "x-mac-greek"},
    {Kind::icu, "ibm437 cp437 437 cspc8codepage437", "ibm-437_P100-1995", "ibm-437_P100-1995"},
    {Kind::icu, "ibm850 cp850 850 cspc850multilingual", "ibm-850_P100-1995", "ibm-850_P100-1995"},
    {Kind::icu, "ibm852 cp852 852 cspcp852", "ibm-852_P100-1995", "ibm-852_P100-1995"},
    {Kind::icu, "ibm855 cp855 855 csibm855", "ibm-855_P100-1995", "ibm-855_P100-1995"},
    {Kind::icu, "ibm857 cp857 857 csibm857", "ibm-857_P100-1995", "ibm-857_P100-1995"},
    {Kind::icu, "ibm858 cp858 ibm00858 csibm00858 ccsid00858", "ibm-858_P100-1997", "ibm-858_P100-1997"},
    {Kind::icu, "ibm862 cp862 862 cspc862latinhebrew", "ibm-862_P100-1995", "ibm-862_P100-1995"},
    {Kind::icu, "ibm866 cp866 866 csibm866", "ibm-866_P100-1995", "ibm-866_P100-1995"},
    {Kind::icu, "gb18030 csgb18030", "gb18030", "gb18030"},
    {Kind::icu, "gbk cp936 ms936 windows936 xgbk csgbk", "gb18030", "windows-936-2000"},
    {Kind::icu, "gb2312 euccn xeuccn csgb2312 gb231280 csiso58gb231280 isoir58 chinese", "gb18030",
     "ibm-1383_P110-1999"},
    {Kind::icu, "hz hzgb2312 cshzgb2312", "HZ", ""},
    {Kind::icu, "iso2022cn csiso2022cn", "ISO_2022,locale=zh,version=0", ""},
    {Kind::icu, "big5 csbig5 xxbig5 cnbig5 cp950 windows950 ms950", "windows-950-2000", "windows-950-2000"},
    {Kind::icu, "big5hkscs big5hk csbig5hkscs", "ibm-1375_P100-2008", "ibm-1375_P100-2008"},
    {Kind::icu, "euctw cseuctw", "euc-tw-2014", ""},
    {Kind::icu, "eucjp xeucjp cseucpkdfmtjapanese eucjpms", "euc-jp-2007", "euc-jp-2007"},
    {Kind::icu, "shiftjis sjis xsjis windows31j ms932 cp932 mskanji csshiftjis xmscp932 cswindows31j",
     "ibm-943_P15A-2003", "ibm-943_P15A-2003"},
    {Kind::icu, "iso2022jp csiso2022jp iso2022jp1 iso2022jpms cp50220 cp50221 cp50222 jis7",
     "ISO_2022,locale=ja,version=3", "ISO_2022,locale=ja,version=0"},
    {Kind::icu, "iso2022jp2 csiso2022jp2", "ISO_2022,locale=ja,version=2", ""},
    {Kind::icu,
     "euckr ksc56011987 ksc5601 ksc56011989 cseuckr isoir149 korean windows949 cp949 uhc ms949 ksc5601 csksc56011987",
     "windows-949-2000", "windows-949-2000"},
    {Kind::icu, "iso2022kr csiso2022kr", "ISO_2022,locale=ko,version=0", ""},
};
constexpr size_t kCount = std::size(kCharsets);

constexpr std::string_view kAsciiLabels =
    "usascii ascii ansix341968 ansix341986 isoir6 iso646us us ibm367 cp367 csascii 646";

std::string plain_label(std::string_view label) {
  std::string out;
  for (const char c : label.substr(0, kLongestLabel)) {
    const char low = base::ascii_lower(c);
    if ((low >= 'a' && low <= 'z') || (low >= '0' && low <= '9')) out += low;
  }
  return out;
}

bool has_label(std::string_view labels, std::string_view label) {
  for (size_t at = labels.find(label); at != std::string_view::npos; at = labels.find(label, at + 1)) {
    const size_t end = at + label.size();
    if ((at == 0 || labels[at - 1] == ' ') && (end == labels.size() || labels[end] == ' ')) return true;
  }
  return false;
}

constexpr size_t kUnknown = kCount;
constexpr size_t kAscii = kCount + 1;

size_t look_up(std::string_view charset) {
  const std::string label = plain_label(charset);
  if (label.empty()) return base::trim(charset).empty() ? kAscii : kUnknown;
  if (has_label(kAsciiLabels, label)) return kAscii;
  for (size_t i = 0; i < kCount; ++i) {
    if (has_label(kCharsets[i].labels, label)) return i;
  }
  return kUnknown;
}

struct CloseConverter {
  void operator()(UConverter* converter) const { ucnv_close(converter); }
};
using Converter = std::unique_ptr<UConverter, CloseConverter>;

// Cache is one thread's converters, opened when first used.
struct Cache {
  std::array<Converter, kCount> readers;
  std::array<Converter, kCount> writers;
  bool damaged = false;
};

Cache& cache() {
  thread_local Cache mine;
  return mine;
}

// substitute puts U+FFFD for what cannot be read and notes that it did. (ICU's own callback puts SUB for some.)
void substitute(const void* context, UConverterToUnicodeArgs* args, const char*, int32_t,
                UConverterCallbackReason reason, UErrorCode* error) {
  if (reason > UCNV_IRREGULAR) return;
  *const_cast<bool*>(static_cast<const bool*>(context)) = true;
  *error = U_ZERO_ERROR;
  const UChar replacement = 0xFFFD;
  ucnv_cbToUWriteUChars(args, &replacement, 1, 0, error);
}

UConverter* reader(size_t index) {
  Converter& slot = cache().readers[index];
  if (!slot) {
    UErrorCode error = U_ZERO_ERROR;
    slot.reset(ucnv_open(kCharsets[index].reads, &error));
    if (U_FAILURE(error)) {
      slot.reset();
      return nullptr;
    }
    ucnv_setToUCallBack(slot.get(), substitute, &cache().damaged, nullptr, nullptr, &error);
  }
  ucnv_resetToUnicode(slot.get());
  return slot.get();
}

UConverter* writer(size_t index) {
  Converter& slot = cache().writers[index];
  if (!slot) {
    UErrorCode error = U_ZERO_ERROR;
    slot.reset(ucnv_open(kCharsets[index].writes, &error));
    if (U_FAILURE(error)) {
      slot.reset();
      return nullptr;
    }
    ucnv_setFallback(slot.get(), false);
    ucnv_setFromUCallBack(slot.get(), UCNV_FROM_U_CALLBACK_STOP, nullptr, nullptr, nullptr, &error);
  }
  ucnv_resetFromUnicode(slot.get());
  return slot.get();
}

void append_utf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

constexpr uint32_t kReplacement = 0xFFFD;

// room is what is reserved for an output of about `guess` that ends soon after `most`.
size_t room(size_t guess, size_t most) { return std::min(guess, most < SIZE_MAX - 8192 ? most + 8192 : most); }

// Utf16Sink turns UTF-16 units into UTF-8; halves of a pair may come in separate calls.
struct Utf16Sink {
  Converted& out;
  uint32_t high = 0;

  void put(uint32_t unit) {
    if (high != 0) {
      if (unit >= 0xDC00 && unit <= 0xDFFF) {
        append_utf8(0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00), out.utf8);
        high = 0;
        return;
      }
      fail();
    }
    if (unit >= 0xD800 && unit <= 0xDBFF) {
      high = unit;
    } else if (unit >= 0xDC00 && unit <= 0xDFFF) {
      fail();
    } else {
      append_utf8(unit, out.utf8);
    }
  }
  void fail() {
    append_utf8(kReplacement, out.utf8);
    out.damaged = true;
    high = 0;
  }
  // full tells whether `most` bytes came out and no half of a pair waits for the other.
  bool full(size_t most) const { return out.utf8.size() >= most && high == 0; }
  void finish() {
    if (high != 0) fail();
  }
};

// from_utf16 reads UTF-16. A byte order mark decides over the label; without one, "UTF-16" alone is read as the order
// that makes more of the text Latin, big end first when that does not tell (RFC 2781 4.3).
Converted from_utf16(std::string_view in, Kind kind, size_t from, size_t most) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(in[i]); };
  Converted out;
  bool little = kind == Kind::utf16le;
  size_t i = 0;
  if (in.size() >= 2 && at(0) == 0xFF && at(1) == 0xFE) {
    little = true;
    i = 2;
  } else if (in.size() >= 2 && at(0) == 0xFE && at(1) == 0xFF) {
    little = false;
    i = 2;
  } else if (kind == Kind::utf16) {
    size_t even = 0;
    size_t odd = 0;
    for (size_t k = 0; k + 1 < std::min<size_t>(in.size(), 4096); k += 2) {
      even += at(k) == 0 ? 1 : 0;
      odd += at(k + 1) == 0 ? 1 : 0;
    }
    little = odd > even;
  }
  i = std::max(i, from);
  out.utf8.reserve(room(in.size() - std::min(i, in.size()), most));
  Utf16Sink sink{out};
  for (; i + 1 < in.size() && !sink.full(most); i += 2) {
    const bool damaged = out.damaged;
    sink.put(little ? at(i) | at(i + 1) << 8 : at(i) << 8 | at(i + 1));
    if (out.damaged && !damaged) out.damaged_at = i;
  }
  sink.finish();
  if (i + 1 == in.size() && !sink.full(most)) {
    if (!out.damaged) out.damaged_at = i;
    sink.fail();
    ++i;
  }
  out.end = i;
  out.whole = i >= in.size();
  return out;
}

Converted from_utf32(std::string_view in, Kind kind, size_t from, size_t most) {
  const auto at = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(in[i])); };
  Converted out;
  bool little = kind == Kind::utf32le;
  size_t i = 0;
  if (in.size() >= 4 && at(0) == 0xFF && at(1) == 0xFE && at(2) == 0 && at(3) == 0) {
    little = true;
    i = 4;
  } else if (in.size() >= 4 && at(0) == 0 && at(1) == 0 && at(2) == 0xFE && at(3) == 0xFF) {
    little = false;
    i = 4;
  } else if (kind == Kind::utf32 && in.size() >= 4) {
    little = at(0) != 0 && at(3) == 0;
  }
  i = std::max(i, from);
  out.utf8.reserve(room((in.size() - std::min(i, in.size())) / 2, most));
  const auto damage = [&] {
    append_utf8(kReplacement, out.utf8);
    if (!out.damaged) out.damaged_at = i;
    out.damaged = true;
  };
  for (; i + 3 < in.size() && out.utf8.size() < most; i += 4) {
    const uint32_t code = little ? at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24
                                 : at(i) << 24 | at(i + 1) << 16 | at(i + 2) << 8 | at(i + 3);
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
      damage();
    } else {
      append_utf8(code, out.utf8);
    }
  }
  if (i < in.size() && in.size() - i < 4 && out.utf8.size() < most) {
    damage();
    i = in.size();
  }
  out.end = i;
  out.whole = i >= in.size();
  return out;
}

// sequence_length returns the length of the well-formed UTF-8 sequence at `at`, or 0 with `bad` set to how many bytes
// one U+FFFD stands for (Unicode, "maximal subpart").
size_t sequence_length(std::string_view in, size_t at, size_t& bad) {
  const auto byte = [&](size_t i) { return i < in.size() ? static_cast<unsigned char>(in[i]) : 0u; };
  const unsigned first = byte(at);
  bad = 1;
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  const size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  const unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte(at + 1) < low || byte(at + 1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    bad = i;
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

Converted from_utf8_bytes(std::string_view in, size_t most) {
  if (in.size() <= most && base::is_valid_utf8(in)) return {std::string(in)};
  Converted out;
  out.utf8.reserve(room(in.size() + in.size() / 4, most));
  for (size_t i = 0; i < in.size();) {
    if (out.utf8.size() >= most) {
      out.whole = false;
      break;
    }
    size_t bad = 0;
    const size_t length = sequence_length(in, i, bad);
    if (length == 0) {
      append_utf8(kReplacement, out.utf8);
      out.damaged = true;
      i += bad;
    } else {
      out.utf8.append(in.substr(i, length));
      i += length;
    }
  }
  return out;
}

Converted from_latin1(std::string_view in, size_t most) {
  Converted out;
  out.utf8.reserve(room(in.size() + in.size() / 4, most));
  for (const char c : in) {
    if (out.utf8.size() >= most) {
      out.whole = false;
      break;
    }
    append_utf8(static_cast<unsigned char>(c), out.utf8);
  }
  return out;
}

Converted by_icu(std::string_view in, size_t index, size_t most) {
  UConverter* converter = reader(index);
  if (converter == nullptr) {
    Converted out = from_latin1(in, most);
    out.known = false;
    return out;
  }
  Converted out;
  out.utf8.reserve(room(in.size() + in.size() / 2, most));
  cache().damaged = false;
  Utf16Sink sink{out};
  std::array<UChar, 2048> units;
  const char* from = in.data();
  const char* const end = from + in.size();
  UErrorCode error = U_BUFFER_OVERFLOW_ERROR;
  while (error == U_BUFFER_OVERFLOW_ERROR) {
    if (out.utf8.size() >= most) {
      out.whole = false;
      break;
    }
    error = U_ZERO_ERROR;
    UChar* to = units.data();
    ucnv_toUnicode(converter, &to, units.data() + units.size(), &from, end, nullptr, true, &error);
    for (const UChar* unit = units.data(); unit < to; ++unit) sink.put(*unit);
  }
  sink.finish();
  if ((U_FAILURE(error) && out.whole) || cache().damaged) out.damaged = true;
  return out;
}

}  // namespace

bool is_known_charset(std::string_view charset) { return look_up(charset) != kUnknown; }

std::vector<std::string_view> charset_names() {
  std::vector<std::string_view> out;
  for (const Charset& row : kCharsets) out.push_back(row.labels.substr(0, row.labels.find(' ')));
  return out;
}

Converted to_utf8(std::string_view bytes, std::string_view charset, size_t most) {
  const size_t index = look_up(charset);
  if (index == kUnknown) {
    Converted out = from_latin1(bytes, most);
    out.known = false;
    return out;
  }
  if (index == kAscii) {
    if (base::is_valid_utf8(bytes)) return from_utf8_bytes(bytes, most);
    return to_utf8(bytes, "windows-1252", most);
  }
  switch (kCharsets[index].kind) {
    case Kind::utf8:
      return from_utf8_bytes(bytes, most);
    case Kind::utf16:
    case Kind::utf16le:
    case Kind::utf16be:
      return from_utf16(bytes, kCharsets[index].kind, 0, most);
    case Kind::utf32:
    case Kind::utf32le:
    case Kind::utf32be:
      return from_utf32(bytes, kCharsets[index].kind, 0, most);
    case Kind::icu:
      break;
  }
  return by_icu(bytes, index, most);
}

Converted wide_to_utf8(std::string_view bytes, std::string_view charset, size_t from, size_t most) {
  const size_t index = look_up(charset);
  const Kind kind = index < kCount ? kCharsets[index].kind : Kind::utf8;
  if (kind == Kind::utf32 || kind == Kind::utf32le || kind == Kind::utf32be) {
    return from_utf32(bytes, kind, from, most);
  }
  return from_utf16(bytes, kind, from, most);
}

bool is_wide_charset(std::string_view charset) {
  const size_t index = look_up(charset);
  return index < kCount && kCharsets[index].kind != Kind::utf8 && kCharsets[index].kind != Kind::icu;
}

std::string_view sniff_charset(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.starts_with("\xFF\xFE\0\0"sv) || bytes.starts_with("\0\0\xFE\xFF"sv)) return "utf-32";
  if (bytes.starts_with("\xFF\xFE"sv) || bytes.starts_with("\xFE\xFF"sv)) return "utf-16";
  if (bytes.starts_with("\xEF\xBB\xBF"sv)) return "utf-8";
  constexpr size_t kLookedAt = 4096;
  std::array<size_t, 4> zeros{};
  const size_t size = std::min(bytes.size(), kLookedAt) & ~size_t{3};
  for (size_t i = 0; i < size; ++i) zeros[i % 4] += bytes[i] == '\0' ? 1 : 0;
  const size_t units = size / 4;
  if (units == 0) {
    if (bytes.size() < 2 || (bytes[0] == '\0') == (bytes[1] == '\0')) return {};
    return bytes[0] == '\0' ? "utf-16be"sv : "utf-16le"sv;
  }
  // UTF-32 has two zero bytes in every character; in UTF-16 blanks and digits alone make a tenth of any text.
  if (zeros[0] == units && zeros[1] >= units * 9 / 10) return "utf-32be";
  if (zeros[3] == units && zeros[2] >= units * 9 / 10) return "utf-32le";
  const size_t even = zeros[0] + zeros[2];
  const size_t odd = zeros[1] + zeros[3];
  if (even * 10 >= units && even > odd * 4) return "utf-16be";
  if (odd * 10 >= units && odd > even * 4) return "utf-16le";
  return {};
}

bool from_utf8(std::string_view utf8, std::string_view charset, std::string& out) {
  out.clear();
  if (!base::is_valid_utf8(utf8)) return false;
  const size_t index = look_up(charset);
  if (index == kUnknown) return false;
  if (index == kAscii) {
    if (!std::ranges::all_of(utf8, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) return false;
    out.assign(utf8);
    return true;
  }
  if (kCharsets[index].kind == Kind::utf8) {
    out.assign(utf8);
    return true;
  }
  if (*kCharsets[index].writes == '\0') return false;
  UConverter* converter = writer(index);
  if (converter == nullptr) return false;
  // UTF-8 to UTF-16 first; `utf8` is valid, so every sequence is whole.
  std::u16string units;
  units.reserve(utf8.size());
  for (size_t i = 0; i < utf8.size();) {
    size_t bad = 0;
    const size_t length = sequence_length(utf8, i, bad);
    uint32_t code = static_cast<unsigned char>(utf8[i]);
    if (length > 1) code &= 0x7Fu >> length;
    for (size_t k = 1; k < length; ++k) code = code << 6 | (static_cast<unsigned char>(utf8[i + k]) & 0x3F);
    if (code >= 0x10000) {
      units += static_cast<char16_t>(0xD800 + ((code - 0x10000) >> 10));
      units += static_cast<char16_t>(0xDC00 + ((code - 0x10000) & 0x3FF));
    } else {
      units += static_cast<char16_t>(code);
    }
    i += length;
  }
  std::array<char, 4096> bytes;
  const UChar* from = units.data();
  UErrorCode error = U_BUFFER_OVERFLOW_ERROR;
  while (error == U_BUFFER_OVERFLOW_ERROR) {
    error = U_ZERO_ERROR;
    char* to = bytes.data();
    ucnv_fromUnicode(converter, &to, bytes.data() + bytes.size(), &from, units.data() + units.size(), nullptr, true,
                     &error);
    out.append(bytes.data(), to);
  }
  if (U_FAILURE(error)) out.clear();
  return U_SUCCESS(error);
}

}  // namespace postern::mime
