// SPDX-License-Identifier: Apache-2.0
// VBA projects (MS-OVBA): the source of their modules as text, and whether source and compiled code tell the same.
#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr size_t kMostSource = 16u << 20;
constexpr uint64_t kMostRead = 256u << 20;      // of streams, which may all be the same bytes
constexpr int kBeginnings = 64;                 // of source in one stream
constexpr uint64_t kMostSearched = 256u << 20;  // for constants that are no literals, of one module
constexpr uint64_t kMostSearchedInAll = 4 * kMostSearched;

struct Module {
  std::string stream;
  uint32_t offset = 0;
};

struct Project {
  uint32_t code_page = 1252;
  std::vector<Module> modules;
};

// read_dir reads the records of the decompressed "dir" stream.
Project read_dir(std::string_view dir) {
  Project project;
  for (size_t at = 0; at + 6 <= dir.size();) {
    const uint32_t id = little16(dir, at);
    // The version has two bytes more than it says.
    const uint64_t length = id == 0x0009 ? 6 : little32(dir, at + 2);
    const std::string_view body = slice(dir, at + 6, length);
    if (id == 0x0003) project.code_page = little16(body, 0);
    if (id == 0x001a && project.modules.size() < 4096) project.modules.push_back({ansi(body, project.code_page), 0});
    if (id == 0x0032 && !project.modules.empty()) project.modules.back().stream = utf16(body);
    if (id == 0x0031 && !project.modules.empty()) project.modules.back().offset = little32(body, 0);
    at += 6 + body.size();
  }
  return project;
}

// find_source looks for compressed source in a module stream: every one begins with the word Attribute. `given_up` is
// set when there were too many beginnings to be tried, `made` grows by what came out of all of them.
std::optional<std::string> find_source(std::string_view stream, bool& given_up, uint64_t& made) {
  size_t at = stream.find("\0Attribut"sv);
  for (int tried = 0; at != std::string_view::npos; ++tried) {
    if (tried >= kBeginnings || made > kMostSource) {
      given_up = true;
      break;
    }
    if (at >= 3) {
      if (auto source = decompress_vba(stream.substr(at - 3), kMostSource, &made)) return source;
    }
    at = stream.find("\0Attribut"sv, at + 1);
  }
  return std::nullopt;
}

// without_attributes cuts the lines that only describe a module.
std::string without_attributes(std::string_view source) {
  std::string out;
  while (!source.empty()) {
    const size_t end = source.find('\n');
    const std::string_view line = source.substr(0, end);
    if (!line.starts_with("Attribute ")) {
      out += base::trim(line).empty() ? std::string_view() : line;
      out += '\n';
    }
    source.remove_prefix(end == std::string_view::npos ? source.size() : end + 1);
  }
  return std::string(base::trim(out));
}

// is_stomped tells whether compiled code holds string constants that the source lacks. A constant is stored as the
// instruction 0x00b9, its length, its bytes. `searched` grows by what was searched for them.
bool is_stomped(std::string_view compiled, std::string_view source, uint64_t& searched) {
  size_t at = compiled.find("\xb9\0"sv);
  if (at == std::string_view::npos) return false;
  // Most are literals, which are looked up; only for others the source is searched.
  constexpr size_t kLiterals = 200000;
  std::unordered_set<std::string_view> literals;
  for (std::string_view rest = source; !rest.empty();) {
    const size_t end = rest.find_first_of("\"\r\n");
    const std::string_view literal = rest.substr(0, end);
    if (literal.size() >= 6 && literals.size() < kLiterals) literals.insert(literal);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  const uint64_t before = searched;
  for (; at != std::string_view::npos; at = compiled.find("\xb9\0"sv, at + 1)) {
    const size_t length = little16(compiled, at + 2);
    const std::string_view text = slice(compiled, at + 4, length);
    if (length < 6 || length > 1024 || text.size() < length) continue;
    if (!std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f && c != '"'; })) continue;
    if (literals.contains(text)) continue;
    searched += source.size();
    // What no compiler makes of this source, whatever a longer search would say.
    if (searched - before > kMostSearched || source.find(text) == std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

namespace {

// expand adds what comes out to `out`; false when `bytes` is not so compressed.
bool expand(std::string_view bytes, size_t most, std::string& out) {
  if (byte_at(bytes, 0) != 1) return false;
  size_t at = 1;
  while (at + 2 <= bytes.size() && out.size() < most) {
    const uint32_t header = little16(bytes, at);
    if ((header >> 12 & 7) != 3) break;
    const std::string_view chunk = slice(bytes, at + 2, (header & 0x0fff) + 1u);
    at += 2 + (header & 0x0fff) + 1u;
    if ((header & 0x8000) == 0) {
      out.append(chunk.substr(0, 4096));
      continue;
    }
    const size_t begin = out.size();
    for (size_t place = 0; place < chunk.size() && out.size() - begin < 4096;) {
      const uint32_t flags = byte_at(chunk, place++);
      for (uint32_t bit = 0; bit < 8 && place < chunk.size() && out.size() - begin < 4096; ++bit) {
        if ((flags >> bit & 1) == 0) {
          out.push_back(chunk[place++]);
          continue;
        }
        const size_t written = out.size() - begin;
        if (written == 0 || place + 2 > chunk.size()) return false;
        uint32_t bits = 4;
        while (bits < 12 && (size_t{1} << bits) < written) ++bits;
        const uint32_t token = little16(chunk, place);
        place += 2;
        const uint32_t mask = 0xffffu >> bits;
        const size_t length = (token & mask) + 3;
        const size_t back = (token >> (16 - bits)) + 1;
        if (back > written) return false;
        for (size_t i = 0; i < length && out.size() - begin < 4096; ++i) out.push_back(out[out.size() - back]);
      }
    }
  }
  return !out.empty();
}

}  // namespace

std::optional<std::string> decompress_vba(std::string_view bytes, size_t most, uint64_t* made) {
  std::string out;
  const bool good = expand(bytes, most, out);
  if (made != nullptr) *made += out.size();
  return good ? std::optional(std::move(out)) : std::nullopt;
}

namespace {

// Told is what a look at a project tells.
struct Told {
  bool code = false;        // source that does something
  bool stomped = false;     // compiled code that the source lacks
  bool unreadable = false;  // nothing could be told
  bool broken_dir = false;
  bool cut = false;
};

template <typename Take>
Told look_at(Context& context, CompoundFile& file, uint32_t storage, Take take) {
  const auto dir_entry = file.find(storage, "dir");
  Told told;
  Project project;
  told.broken_dir = true;
  if (dir_entry) {
    const CompoundStream packed = file.read(*dir_entry);
    if (const auto dir = decompress_vba(packed.bytes(), kMostSource)) {
      project = read_dir(*dir);
      told.broken_dir = false;
    }
  }
  uint64_t made = 0;
  uint64_t read = 0;
  uint64_t searched = 0;
  // What a module costs beyond its bytes is bounded as well.
  const auto enough = [&] {
    return made > kMostSource || read > kMostRead || searched > kMostSearchedInAll || context.budget().expired();
  };
  const auto module = [&](std::string_view stream, uint32_t offset, bool known) {
    read += stream.size();
    std::optional<std::string> source;
    if (known && offset < stream.size()) source = decompress_vba(stream.substr(offset), kMostSource, &made);
    if (!source) source = find_source(stream, told.unreadable, made);
    // Compiled code may be left while the source is gone.
    const std::string_view compiled = known ? slice(stream, 0, offset) : std::string_view();
    if ((!source && compiled.size() > 2048) || is_stomped(compiled, source ? *source : std::string(), searched)) {
      told.stomped = true;
    }
    const std::string text = source ? without_attributes(*source) : std::string();
    if (text.empty()) return;
    told.code = true;
    take(ansi(text, project.code_page));
  };
  std::unordered_map<std::string, uint32_t> streams;
  for (const uint32_t child : file.entries()[storage].children) {
    streams.emplace(base::lower(file.entries()[child].name), child);
  }
  // Rows may all name the same stream, which tells the same again.
  std::set<std::pair<uint32_t, uint32_t>> looked_at;
  for (const Module& one : project.modules) {
    const auto entry = streams.find(base::lower(one.stream));
    if (entry == streams.end() || !looked_at.emplace(entry->second, one.offset).second) continue;
    const CompoundStream stream = file.read(entry->second);
    module(stream.bytes(), one.offset, true);
    if (enough()) break;
  }
  if (project.modules.empty()) {
    for (const uint32_t child : file.entries()[storage].children) {
      if (file.entries()[child].is_storage || child == dir_entry) continue;
      const CompoundStream stream = file.read(child);
      module(stream.bytes(), 0, false);
      if (enough()) break;
    }
    told.unreadable = told.unreadable || !told.code;
  }
  if (context.budget().expired()) context.fail(Reason::time);
  told.cut = enough();
  told.unreadable = told.unreadable || told.cut;
  return told;
}

}  // namespace

bool has_vba_code(Context& context, CompoundFile& file, uint32_t storage) {
  const Told told = look_at(context, file, storage, [](const std::string&) {});
  return told.code || told.stomped || told.unreadable;
}

void read_vba(Context& context, CompoundFile& file, uint32_t storage) {
  TextSink sink(context);
  const Told told = look_at(context, file, storage, [&](const std::string& text) { sink.paragraph(text); });
  if (told.code || told.stomped || told.unreadable) context.mark(Mark::macro_vba);
  if (told.stomped || told.broken_dir) context.mark(Mark::inconsistent);
  if (told.cut) context.fail(Reason::size);
}

}  // namespace postern::scan::worker
