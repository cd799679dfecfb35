// SPDX-License-Identifier: Apache-2.0
// Documents of which text and attachments are found, little more: OneNote, Access, HWP, Publisher, Visio.
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <unordered_set>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

// FileDataStoreObject, as OneNote stores files (MS-ONESTORE 2.6.13).
constexpr std::string_view kOneFile("\xe7\x16\xe3\xbd\x65\x26\x11\x45\xa4\xc4\x8d\x4d\x0b\x7a\x9e\xac", 16);

// What a section or notebook says that it is built by (MS-ONESTORE 2.3.1). As OneNote sends it to others, a file is
// built otherwise, and what is in it is not read.
constexpr std::string_view kOneStore("\x3f\xdd\x9a\x10\x1b\x91\xf5\x49\xa5\xd0\x17\x91\xed\xc8\xae\xd8", 16);

// file_names finds names of files, in UTF-16, in the order in which they stand.
std::vector<std::string> file_names(std::string_view bytes) {
  std::vector<std::string> out;
  std::unordered_set<std::string> known;
  std::string run;
  for (size_t at = 0; at + 1 < bytes.size() && out.size() < 1000; at += 2) {
    const uint32_t code = little16(bytes, at);
    if (code >= 0x20 && code < 0xd800 && run.size() < 512) {
      append_code_point(run, code);
      continue;
    }
    const size_t dot = run.rfind('.');
    if (code == 0 && dot != std::string::npos && dot > 0 && run.size() - dot >= 3 && run.size() - dot <= 6 &&
        run.find_first_of("\\/<>|?*\"") == std::string::npos && std::ranges::all_of(run.substr(dot + 1), [](char c) {
          return (c >= '0' && c <= '9') || (base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z');
        })) {
      if (known.insert(run).second) out.push_back(run);
    }
    run.clear();
  }
  return out;
}

// hwp_records reads the text of a section: records with a head of 32 bits, paragraphs among them.
void hwp_records(TextSink& sink, std::string_view bytes) {
  for (size_t at = 0; at + 4 <= bytes.size() && sink.wanted();) {
    const uint32_t head = little32(bytes, at);
    at += 4;
    uint64_t length = head >> 20;
    if (length == 0xfff) {
      length = little32(bytes, at);
      at += 4;
    }
    const std::string_view body = slice(bytes, at, length);
    at += body.size();
    if ((head & 0x3ff) != 0x43) continue;
    std::string text;
    for (size_t i = 0; i + 1 < body.size(); i += 2) {
      const uint32_t code = little16(body, i);
      if (code >= 0x20) {
        append_utf16(text, slice(body, i, 2));
      } else if (code == 10 || code == 13) {
        text.push_back('\n');
      } else if (code == 9) {
        text.push_back('\t');
        i += 14;
      } else if (code != 0 && code < 24) {
        i += 14;  // a control of eight units
      }
    }
    sink.paragraph(text);
  }
}

// hwp_distributed decrypts a section of a document made for distribution: its key is in its first record.
std::string hwp_distributed(std::string_view bytes) {
  const uint32_t head = little32(bytes, 0);
  if ((head & 0x3ff) != 0x1c || bytes.size() < 260) return {};
  std::string key_data(bytes.substr(4, 256));
  uint32_t seed = little32(key_data, 0);
  const auto random = [&seed] {
    seed = seed * 214013 + 2531011;
    return seed >> 16 & 0x7fff;
  };
  uint32_t mask = 0, left = 0;
  for (size_t i = 0; i < 256; ++i, --left) {
    if (left == 0) {
      mask = random() & 0xff;
      left = (random() & 0xf) + 1;
    }
    if (i >= 4) key_data[i] = static_cast<char>(byte_at(key_data, i) ^ mask);
  }
  const std::string key = key_data.substr(4 + (byte_at(bytes, 4) & 0x0f), 16);
  const std::string_view packed = bytes.substr(260, (bytes.size() - 260) / 16 * 16);
  std::string out(packed.size(), '\0');
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> cipher(EVP_CIPHER_CTX_new(),
                                                                               EVP_CIPHER_CTX_free);
  int length = 0;
  if (EVP_DecryptInit_ex(cipher.get(), EVP_aes_128_ecb(), nullptr, reinterpret_cast<const unsigned char*>(key.data()),
                         nullptr) != 1 ||
      EVP_CIPHER_CTX_set_padding(cipher.get(), 0) != 1 ||
      EVP_DecryptUpdate(cipher.get(), reinterpret_cast<unsigned char*>(out.data()), &length,
                        reinterpret_cast<const unsigned char*>(packed.data()), static_cast<int>(packed.size())) != 1) {
    return {};
  }
  return out;
}

// visio_unpack undoes Visio's compression: as LZSS, with a window of 4096 bytes.
std::string visio_unpack(std::string_view bytes, size_t most) {
  std::array<char, 4096> window{};
  std::string out;
  size_t write = 0;
  const auto put = [&](char c) {
    window[write & 4095] = c;
    ++write;
    out.push_back(c);
  };
  for (size_t at = 0; at < bytes.size() && out.size() < most;) {
    const uint32_t flags = byte_at(bytes, at++);
    for (uint32_t bit = 0; bit < 8 && at < bytes.size(); ++bit) {
      if ((flags >> bit & 1) != 0) {
        put(bytes[at++]);
        continue;
      }
      if (at + 1 >= bytes.size()) return out;
      const uint32_t low = byte_at(bytes, at), high = byte_at(bytes, at + 1);
      at += 2;
      const size_t length = (high & 15) + 3;
      // Places count from 18 before the window's begin.
      size_t from = low | (high & 0xf0) << 4;
      from = from > 4078 ? from - 4078 : from + 18;
      for (size_t i = 0; i < length; ++i) put(window[(from + i) & 4095]);
    }
  }
  return out;
}

}  // namespace

void read_one(Context& context) {
  const std::string_view bytes = context.bytes();
  if (slice(bytes, 48, 16) != kOneStore) context.fail(Reason::unsupported);
  {
    TextSink sink(context);
    text_runs(sink, bytes, true, 4);
    text_runs(sink, slice(bytes, 1), true, 4);
    text_runs(sink, bytes, false, 6);
  }
  std::vector<std::string> names;
  size_t index = 0;
  for (size_t at = bytes.find(kOneFile); at != std::string_view::npos; at = bytes.find(kOneFile, at + 16)) {
    if (index == 0) {
      names = file_names(bytes);
      for (std::string& more : file_names(slice(bytes, 1))) names.push_back(std::move(more));
    }
    const std::string_view data = slice(bytes, at + 36, little64(bytes, at + 16));
    if (data.empty()) continue;
    if (!embed(context, data, index < names.size() ? names[index] : "")) return;
    ++index;
    at += data.size();
  }
  if (index == 0) carve(context, bytes);
}

// Databases up to Access 2003 (Jet 3 and 4): the head is masked, and says whether there is a password and whether
// pages are encoded.
namespace {

std::string rc4_key(uint32_t value) {
  std::string out;
  for (size_t i = 0; i < 4; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

struct JetHead {
  bool password = false;
  uint32_t key = 0;  // of the pages; 0 where they are in clear
};

JetHead jet_head(std::string_view bytes) {
  const bool jet4 = byte_at(bytes, 0x14) != 0;
  const std::string head = std::string(0x18, '\0') + rc4(rc4_key(0x6b39dac7), slice(bytes, 0x18, jet4 ? 128 : 126));
  JetHead out;
  out.key = little32(head, 0x3e);
  // Jet 4 masks the password by the day on which the database was made.
  const double day = little_double(head, 0x72);
  const bool dated = jet4 && day > -2e9 && day < 2e9;
  const std::string mask = rc4_key(dated ? static_cast<uint32_t>(static_cast<int32_t>(day)) : 0);
  for (size_t i = 0; i < (jet4 ? 40u : 20u); ++i) {
    if (byte_at(head, 0x42 + i) != byte_at(mask, i % 4)) out.password = true;
  }
  return out;
}

}  // namespace

void read_access(Context& context) {
  std::string_view bytes = context.bytes();
  if (slice(bytes, 4, 12) != "Standard Jet"sv && slice(bytes, 4, 12) != "Standard ACE"sv) return;
  // Access 2007 and later describe their encryption in the first page; the key before that is in a masked head.
  const std::string_view page = slice(bytes, 0, 4096);
  if (page.find("<encryption") != std::string_view::npos || page.find("Microsoft Enhanced") != std::string_view::npos ||
      page.find("M\0i\0c\0r\0o\0s\0o\0f\0t\0 \0"sv) != std::string_view::npos) {
    context.leaf().protection = Protection::yes;
    context.fail(Reason::password);
    return;
  }
  std::string clear;
  if (byte_at(bytes, 0x14) < 2) {
    const JetHead head = jet_head(bytes);
    if (head.password) {
      context.leaf().protection = Protection::yes;
      context.fail(Reason::password);
    }
    if (head.key != 0) {
      // Encoded pages open for everybody: the key is in the file.
      if (const Reason limit = context.budget().out(bytes.size(), 0, bytes.size()); limit != Reason::none) {
        return context.fail(limit);
      }
      context.mark(Mark::encrypted_default);
      const size_t step = byte_at(bytes, 0x14) == 0 ? 2048 : 4096;
      clear.reserve(bytes.size());
      clear = slice(bytes, 0, step);
      for (size_t at = step; at < bytes.size(); at += step) {
        clear += rc4(rc4_key(head.key ^ static_cast<uint32_t>(at / step)), slice(bytes, at, step));
        if (at / step % 4096 == 0 && context.budget().expired()) return context.fail(Reason::time);
      }
      bytes = clear;
    }
  }
  TextSink sink(context);
  text_runs(sink, bytes, true, 4);
  text_runs(sink, bytes, false, 6);
  sink.flush();
  carve(context, bytes);
}

void read_hwp(Context& context, CompoundFile& file) {
  const auto header_entry = file.find(0, "FileHeader");
  if (!header_entry) return context.fail(Reason::unsupported);
  const CompoundStream header = file.read(*header_entry);
  if (!header.bytes().starts_with("HWP Document File")) return context.fail(Reason::unsupported);
  const uint32_t flags = little32(header.bytes(), 36);
  if ((flags & 2) != 0 || (flags & 0x10) != 0) {
    context.leaf().protection = Protection::yes;
    context.fail(Reason::password);
    return;
  }
  const bool packed = (flags & 1) != 0;
  const bool distributed = (flags & 4) != 0;
  TextSink sink(context);
  const auto body = file.find(0, distributed ? "ViewText" : "BodyText");
  if (body) {
    for (const uint32_t child : file.entries()[*body].children) {
      if (file.entries()[child].is_storage) continue;
      const CompoundStream stream = file.read(child);
      const Reason limit = context.budget().out(stream.bytes().size(), 0, context.bytes().size());
      if (limit != Reason::none) return context.fail(limit);
      std::string clear = distributed ? hwp_distributed(stream.bytes()) : std::string(stream.bytes());
      if (packed) {
        std::string inflated;
        // What padding follows is no concern.
        const Reason before = context.leaf().reason;
        inflate_zlib(context, clear, inflated, true);
        if (distributed && !inflated.empty() && before == Reason::none && context.leaf().reason == Reason::corrupt) {
          context.leaf().reason = Reason::none;
        }
        clear = std::move(inflated);
      }
      hwp_records(sink, clear);
    }
  }
  sink.flush();
  if (const auto data = file.find(0, "BinData")) {
    for (const uint32_t child : file.entries()[*data].children) {
      if (file.entries()[child].is_storage) continue;
      const CompoundStream stream = file.read(child);
      std::string clear;
      if (packed && inflate_zlib(context, stream.bytes(), clear, true)) {
        if (!embed(context, clear, file.entries()[child].name)) return;
      } else if (!packed && !embed(context, stream.bytes(), file.entries()[child].name)) {
        return;
      }
    }
  }
}

void read_publisher(Context& context, std::string_view quill) {
  TextSink sink(context);
  text_runs(sink, quill, true, 3);
}

void read_visio(Context& context, std::string_view stream) {
  if (!stream.starts_with("Visio (TM) Drawing")) return context.fail(Reason::unsupported);
  TextSink sink(context);
  // The trailer at 0x24 lists streams, which list streams in turn: type, place, length, format.
  struct Pointer {
    uint32_t place, length, format;
  };
  std::vector<Pointer> open{{little32(stream, 0x2c), little32(stream, 0x30), little16(stream, 0x34)}};
  constexpr size_t kStreams = 20000;
  uint64_t out = 0;
  size_t count = 0;
  while (!open.empty() && sink.wanted()) {
    if (++count > kStreams || open.size() > kStreams) {
      context.fail(Reason::members);
      return;
    }
    const Pointer now = open.back();
    open.pop_back();
    const std::string_view raw = slice(stream, now.place, now.length);
    const bool packed = (now.format & 2) != 0;
    std::string clear;
    if (packed) clear = visio_unpack(raw, 16u << 20);
    // Several may be the same bytes, so those that are not packed cost, too.
    const uint64_t size = packed ? clear.size() : raw.size();
    if (const Reason reason = context.budget().out(size, out, stream.size()); reason != Reason::none) {
      context.fail(reason);
      return;
    }
    out += size;
    const std::string_view bytes = packed ? slice(clear, 4) : raw;
    if (now.format == 0 || raw.empty()) continue;
    // Streams of pointers have 4 or 5 in the second digit of their format; the others hold chunks.
    const uint32_t kind = now.format >> 4;
    if (kind == 5 || count == 1 || kind == 4) {
      const uint32_t offset = little32(bytes, 0);
      const uint32_t number = std::min<uint32_t>(little32(bytes, offset), 10000);
      for (uint32_t i = 0; i < number && offset + 8 + (i + 1) * 18ull <= bytes.size() && offset < bytes.size(); ++i) {
        const size_t row = offset + 8 + i * 18ull;
        open.push_back({little32(bytes, row + 8), little32(bytes, row + 12), little16(bytes, row + 16)});
      }
    }
    if (kind == 0xd || kind == 0xc || kind == 0x8 || kind == 0) {
      text_runs(sink, bytes, false, 5);
      text_runs(sink, bytes, true, 4);
    }
  }
}

}  // namespace postern::scan::worker
