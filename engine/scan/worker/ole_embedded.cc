// SPDX-License-Identifier: Apache-2.0
// What is embedded in documents: packages ("Ole10Native"), programs hidden in streams, property sets.
#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/inflater.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr int kCarved = 16;
constexpr int kMostBeginnings = 4096;  // of what may be packed

// Cursor reads the fields of a package one after the other.
struct Cursor {
  std::string_view bytes;
  size_t at = 0;
  bool good = true;

  uint32_t number16() { return number(2); }
  uint32_t number32() { return number(4); }
  uint32_t number(size_t octets) {
    if (at + octets > bytes.size()) good = false;
    const uint32_t value = octets == 2 ? little16(bytes, at) : little32(bytes, at);
    at += octets;
    return value;
  }
  std::string_view string() {
    const std::string_view rest = slice(bytes, at);
    const size_t end = rest.find('\0');
    if (end == std::string_view::npos || end > 1024) {
      good = false;
      return {};
    }
    at += end + 1;
    return rest.substr(0, end);
  }
  std::string_view counted(uint64_t count) {
    const std::string_view out = slice(bytes, at, count);
    if (out.size() < count) good = false;
    at += out.size();
    return out;
  }
};

std::string_view base_name(std::string_view path) {
  const size_t slash = path.find_last_of("/\\");
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

bool embed(Context& context, std::string_view bytes, std::string_view name, std::string_view label) {
  Child child;
  child.bytes = bytes;
  child.name = name;
  child.label = label;
  child.embedded = true;
  return context.child(child);
}

bool has_known_head(std::string_view bytes) {
  static constexpr std::array kHeads = {"PK\x03\x04"sv,
                                        "%PDF-"sv,
                                        "Rar!\x1a"sv,
                                        "7z\xbc\xaf\x27\x1c"sv,
                                        "{\\rt"sv,
                                        "MSCF\0\0\0\0"sv,
                                        "\x7f"
                                        "ELF"sv,
                                        "ITSF\x03"sv,
                                        "\x1f\x8b\x08"sv,
                                        "BZh"sv,
                                        "ActiveMime"sv,
                                        "L\0\0\0\x01\x14\x02\0"sv};
  if (bytes.starts_with(kCompoundFileMagic)) return true;
  if (bytes.starts_with("MZ")) return bytes.size() > 64;
  return std::ranges::any_of(kHeads, [&](std::string_view head) { return bytes.starts_with(head); });
}

bool read_package(Context& context, std::string_view bytes) {
  Cursor cursor{bytes};
  if (cursor.number16() != 2) return false;
  const std::string_view label = cursor.string();
  const std::string_view source = cursor.string();
  const uint32_t kind = cursor.number16();
  cursor.number16();
  if (!cursor.good) return false;
  if (kind != 0 || byte_at(bytes, cursor.at - 2) != 3) {
    // Linked, not packed: nothing but a path.
    if (kind == 0 && byte_at(bytes, cursor.at - 2) != 1) return false;
    if (is_remote(source)) context.mark(Mark::remote_template);
    // What a click on it starts is a shortcut, kept in the document; arguments may follow the program's name.
    for (size_t blank = source.find(' ');; blank = source.find(' ', blank + 1)) {
      const std::string_view program = base_name(source.substr(0, blank));
      const std::optional<FileType> named = type_of_extension(program);
      if (named && info(*named).in(Group::executable)) {
        embed(context, source, windows_1252(program) + ".lnk", "Ole10Native:");
        return true;
      }
      if (blank == std::string_view::npos) break;
    }
    return true;
  }
  const uint32_t path_length = cursor.number32();
  const std::string_view path = until_nul(cursor.counted(path_length));
  const uint32_t size = cursor.number32();
  if (!cursor.good) return false;
  const std::string_view data = cursor.counted(size);
  if (data.size() < size) context.fail(Reason::corrupt);
  // The label is what people see; the file itself may write the same name otherwise. Where it is in no Unicode, the
  // same names in Unicode follow: path, label, source.
  std::string name = windows_1252(base::iequals(base_name(source), label) ? base_name(source) : base_name(label));
  if (cursor.good && cursor.at < bytes.size() && (name.empty() || name.find('?') != std::string::npos)) {
    cursor.counted(2ull * cursor.number32());
    const uint32_t length = cursor.number32();
    const std::string_view wide = cursor.counted(2ull * length);
    if (cursor.good && length > 0 && length < 1024) name = utf16(until_nul16(wide));
  }
  if (name.empty()) name = windows_1252(base_name(source));
  if (name.empty()) name = windows_1252(base_name(path));
  embed(context, data, name, "Ole10Native:");
  return true;
}

bool read_ole10native(Context& context, std::string_view stream) {
  const uint32_t size = little32(stream, 0);
  std::string_view body = slice(stream, 4);
  if (size < body.size()) body = body.substr(0, size);
  // The size is not always right; what follows it is looked at whole.
  if (read_package(context, body) || read_package(context, slice(stream, 4)) || read_package(context, stream))
    return true;
  if (has_known_head(stream)) return embed(context, stream, "", "Ole10Native");
  return embed(context, slice(stream, 4), "", "Ole10Native");
}

void read_ole_link(Context& context, std::string_view stream, bool link) {
  // Where a link goes is a moniker, alone or put together of several; each begins with its class.
  static constexpr std::array kUrl = {"\xe0\xc9\xea\x79\xf9\xba\xce\x11\x8c\x82\x00\xaa\x00\x4b\xa9\x0b"sv,
                                      "\xc7\xb0\xab\xec\x19\x7f\xd2\x11\x97\x8e\x00\x00\xf8\x75\x7e\x2a"sv};
  static constexpr auto kFile = "\x03\x03\x00\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46"sv;
  constexpr size_t kClass = 16;
  constexpr int kMonikers = 64;
  TextSink sink(context);
  const auto target = [&](std::string_view text) {
    // Of SOAP: "wsdl=http://…".
    if (base::istarts_with(text, "wsdl=")) text.remove_prefix(5);
    if (!is_remote(text)) return;
    context.mark(Mark::remote_template);
    sink.paragraph(text);
  };
  const auto each = [&](std::string_view name, auto read) {
    size_t at = stream.find(name);
    for (int i = 0; i < kMonikers && at != std::string_view::npos; ++i, at = stream.find(name, at + 1)) {
      read(slice(stream, at + kClass));
    }
  };
  each(kUrl[0], [&](std::string_view url) { target(utf16(until_nul16(slice(url, 4, little32(url, 0))))); });
  each(kUrl[1], [&](std::string_view url) { target(utf16(until_nul16(slice(url, 8, little32(url, 4))))); });
  // An object that is here may say by a file where it comes from.
  if (!link && (little32(stream, 4) & 1) == 0) return;
  each(kFile, [&](std::string_view file) {
    const uint64_t length = little32(file, 2);
    target(windows_1252(until_nul(slice(file, 6, length))));
    const uint64_t wide = 6 + length + 24;
    if (little32(file, wide) > 6) target(utf16(until_nul16(slice(file, wide + 10, little32(file, wide + 4)))));
  });
}

bool carve(Context& context, std::string_view bytes) {
  int found = 0;
  for (size_t at = bytes.find("MZ"); at != std::string_view::npos; at = bytes.find("MZ", at + 2)) {
    const uint32_t header = little32(bytes, at + 0x3c);
    if (header < 4 || header > 0x4000 || slice(bytes, at + header, 4) != "PE\0\0"sv) continue;
    if (++found > kCarved) return true;
    if (!embed(context, bytes.substr(at), "", "carved")) return false;
    at += header;
  }
  return true;
}

void read_properties(Context& context, std::string_view stream) {
  if (!context.job().want_metadata || !context.wants_text() || little16(stream, 0) != 0xfffe) return;
  TextSink sink(context);
  const uint32_t sets = std::min<uint32_t>(little32(stream, 24), 4);
  for (uint32_t i = 0; i < sets; ++i) {
    const std::string_view set = slice(stream, little32(stream, 28 + i * 20ull + 16));
    const uint32_t count = std::min<uint32_t>(little32(set, 4), 1000);
    uint32_t code_page = 1252;
    for (uint32_t k = 0; k < count; ++k) {
      if (little32(set, 8 + k * 8ull) == 1) code_page = little16(set, little32(set, 12 + k * 8ull) + 4ull);
    }
    const auto string = [&](size_t& at, uint32_t type) {
      const uint32_t length = little32(set, at);
      const uint64_t octets = type == 31 ? 2ull * length : length;
      const std::string_view raw = slice(set, at + 4, octets);
      at += 4 + (type == 31 ? (octets + 3) / 4 * 4 : code_page == 1200 ? (octets + 3) / 4 * 4 : octets);
      sink.paragraph(type == 31 || code_page == 1200 ? utf16(until_nul16(raw)) : ansi(until_nul(raw), code_page));
    };
    for (uint32_t k = 0; k < count && sink.wanted(); ++k) {
      const uint32_t id = little32(set, 8 + k * 8ull);
      size_t at = little32(set, 12 + k * 8ull);
      const uint32_t type = little16(set, at) | (little16(set, at + 2) != 0 ? 0x10000u : 0u);
      at += 4;
      if (id == 0 || id == 1) continue;
      if (type == 30 || type == 31) string(at, type);
      if (type == 0x101e || type == 0x101f) {
        const uint32_t strings = std::min<uint32_t>(little32(set, at), 1000);
        at += 4;
        for (uint32_t n = 0; n < strings && at < set.size(); ++n) string(at, type & 0xff);
      }
    }
  }
}

bool inflate_zlib(Context& context, std::string_view packed, std::string& out, bool raw) {
  Inflater inflater(packed, raw ? Inflater::Format::raw : Inflater::Format::zlib);
  char buffer[16384];
  Reason reason = Reason::none;
  while (inflater.going() && reason == Reason::none) {
    const size_t got = inflater.next(buffer, sizeof buffer);
    reason = context.budget().out(got, out.size(), packed.size());
    out.append(buffer, got);
  }
  if (reason == Reason::none) reason = inflater.reason();
  if (reason != Reason::none) context.fail(reason);
  return !out.empty();
}

void read_activemime(Context& context) {
  const std::string_view bytes = context.bytes();
  // What is packed begins where the header says, or where it mostly does; Office finds it elsewhere as well.
  size_t at = little16(bytes, 0x1e) + 46ull;
  for (const size_t place : {at, size_t{0x32}, size_t{0x22a}}) {
    at = place;
    if (is_zlib(slice(bytes, at))) break;
  }
  int tried = 0;
  if (!is_zlib(slice(bytes, at))) at = bytes.find('\x78');
  while (at != std::string_view::npos && !is_zlib(slice(bytes, at))) {
    if (++tried > kMostBeginnings) return context.fail(Reason::corrupt);
    at = bytes.find('\x78', at + 1);
  }
  if (at == std::string_view::npos) return context.fail(Reason::corrupt);
  std::string clear;
  if (!inflate_zlib(context, slice(bytes, at), clear)) return context.fail(Reason::corrupt);
  embed(context, clear, "");
}

void text_runs(TextSink& sink, std::string_view bytes, bool wide, size_t least) {
  const size_t step = wide ? 2 : 1;
  std::string run;
  size_t length = 0;
  const auto end = [&] {
    if (length >= least) sink.paragraph(run);
    run.clear();
    length = 0;
  };
  for (size_t at = 0; at + step <= bytes.size() && sink.wanted(); at += step) {
    const uint32_t code = wide ? little16(bytes, at) : byte_at(bytes, at);
    const bool printable = wide ? (code >= 0x20 && code < 0x7f) || (code >= 0xa0 && code < 0x2100) ||
                                      (code >= 0x3040 && code < 0x3100) || (code >= 0x4e00 && code < 0xa000) ||
                                      (code >= 0xac00 && code < 0xd7a4) || code == '\t'
                                : (code >= 0x20 && code < 0x7f) || code == '\t';
    if (!printable) {
      end();
      continue;
    }
    append_code_point(run, code);
    if (++length > 16384) end();
  }
  end();
}

}  // namespace postern::scan::worker
