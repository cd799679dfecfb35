// SPDX-License-Identifier: Apache-2.0
// Reading configuration files, positions in them, and diagnostics for people: every entry with its line and a caret.
#include "engine/config/source.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <tuple>

#include "engine/base/handle.h"

namespace postern::config {
namespace {

constexpr size_t kMaxFile = 16u << 20;
constexpr size_t kMaxEntries = 1000;
constexpr size_t kShownBefore = 100;  // bytes of a long line shown before and after the place
constexpr size_t kShownAfter = 60;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// What stands under `text` so that the next character lines up: tabs stay, every other character becomes a blank.
std::string blanks_for(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (!is_continuation(c)) out += c == '\t' ? '\t' : ' ';
  }
  return out;
}

// A line of the file as it may be shown on a terminal: controls become '?', one for one, so that columns hold.
std::string shown(std::string_view line) {
  std::string out(line);
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7F) c = '?';
  }
  return out;
}

// Covers what follows the first line of a private key in PEM form, one character for one.
std::string without_keys(std::string_view line) {
  constexpr std::string_view kMark = "PRIVATE KEY-----";
  std::string out(line);
  for (size_t at = out.find(kMark); at != std::string::npos; at = out.find(kMark, at + 1)) {
    const size_t begin = at + kMark.size();
    const size_t end = std::min(out.find("-----END", begin), out.size());
    std::fill(out.begin() + static_cast<ptrdiff_t>(begin), out.begin() + static_cast<ptrdiff_t>(end), '*');
  }
  return out;
}

}  // namespace

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string(".") : slash == 0 ? std::string("/") : path.substr(0, slash);
}

std::string absolute_path(const std::string& folder, const std::string& path) {
  return path.starts_with('/') ? path : folder + "/" + path;
}

std::string real_path(const std::string& path) {
  char* resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return path;
  std::string out(resolved);
  std::free(resolved);
  return out;
}

uint32_t Sources::add_text(std::string path, std::string text) {
  Entry& entry = entries_.emplace_back();
  entry.path = std::move(path);
  entry.text = std::move(text);
  // A byte order mark is no part of the first line, so that columns count what an editor shows.
  entry.line_starts.push_back(entry.text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0);
  for (size_t at = entry.text.find('\n'); at != std::string::npos; at = entry.text.find('\n', at + 1)) {
    entry.line_starts.push_back(at + 1);
  }
  return static_cast<uint32_t>(entries_.size() - 1);
}

base::Result<uint32_t> Sources::add_file(const std::string& path) {
  // Not blocking, so that a FIFO of that name cannot hold up a reload for ever.
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) return std::unexpected(base::system_error("cannot open " + path, errno));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return std::unexpected(base::system_error("cannot read " + path, errno));
  if (!S_ISREG(status.st_mode)) return base::fail(base::Cause::misconfigured, path + " is not a regular file");
  std::string text;
  char buffer[64u << 10];
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(base::system_error("cannot read " + path, errno));
    if (got == 0) break;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > kMaxFile) return base::fail(base::Cause::limit, path + " is larger than 16 MiB");
  }
  return add_text(path, std::move(text));
}

std::string_view Sources::line(uint32_t source, uint32_t number) const {
  if (source >= entries_.size()) return {};
  const Entry& entry = entries_[source];
  if (number == 0 || number > entry.line_starts.size()) return {};
  const size_t start = entry.line_starts[number - 1];
  const size_t end = number < entry.line_starts.size() ? entry.line_starts[number] - 1 : entry.text.size();
  std::string_view line = std::string_view(entry.text).substr(start, end - start);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

Position Sources::position_at(uint32_t source, size_t offset) const {
  const Entry& entry = entries_[source];
  offset = std::min(offset, entry.text.size());
  const auto next = std::ranges::upper_bound(entry.line_starts, offset);
  if (next == entry.line_starts.begin()) return {source, 1, 1};  // inside the byte order mark
  const auto line = static_cast<uint32_t>(next - entry.line_starts.begin());
  return {source, line, static_cast<uint32_t>(offset - entry.line_starts[line - 1] + 1)};
}

size_t Sources::offset_of(const Position& position) const {
  const Entry& entry = entries_[position.source];
  if (position.line == 0 || position.line > entry.line_starts.size()) return entry.text.size();
  return std::min(entry.line_starts[position.line - 1] + (position.column > 0 ? position.column - 1 : 0),
                  entry.text.size());
}

void Diagnostics::error(Position position, uint32_t length, std::string message, std::string hint) {
  ++errors_;
  add({Severity::error, position, length, std::move(message), std::move(hint)});
}

void Diagnostics::warning(Position position, uint32_t length, std::string message, std::string hint) {
  add({Severity::warning, position, length, std::move(message), std::move(hint)});
}

void Diagnostics::add(Diagnostic diagnostic) {
  if (entries_.size() < kMaxEntries) {
    entries_.push_back(std::move(diagnostic));
  } else if (entries_.size() == kMaxEntries) {
    entries_.push_back(
        {Severity::warning, {UINT32_MAX, 0, 0}, 0, "more than 1,000 messages; the rest is not shown", {}});
  }
}

std::vector<Diagnostic> Diagnostics::all() const {
  std::vector<Diagnostic> sorted = entries_;
  std::ranges::stable_sort(sorted, [](const Diagnostic& a, const Diagnostic& b) {
    const Position& p = a.position;
    const Position& q = b.position;
    return std::tie(p.source, p.line, p.column) < std::tie(q.source, q.line, q.column);
  });
  return sorted;
}

std::string Diagnostics::render() const {
  std::string out;
  for (const Diagnostic& entry : all()) {
    const Position& at = entry.position;
    if (at.source < sources_.size()) {
      out += sources_.path(at.source);
      if (at.line > 0) out += ':' + std::to_string(at.line) + ':' + std::to_string(at.column);
      out += ": ";
    }
    out += entry.severity == Severity::error ? "error: " : "warning: ";
    out += entry.message + '\n';
    if (at.source < sources_.size() && at.line > 0 && at.column > 0) {
      const std::string whole = without_keys(sources_.line(at.source, at.line));
      std::string_view line = whole;
      size_t column = std::min<size_t>(at.column - 1, line.size());
      // Of a very long line only the part round the place is shown.
      size_t cut = column > kShownBefore ? column - kShownBefore : 0;
      while (cut > 0 && cut < column && is_continuation(line[cut])) ++cut;
      line.remove_prefix(cut);
      column -= cut;
      size_t shown_length = std::min(line.size(), column + std::max<size_t>(entry.length, kShownAfter));
      while (shown_length < line.size() && is_continuation(line[shown_length])) ++shown_length;
      if (shown_length - column > 2 * kShownBefore) shown_length = column + 2 * kShownBefore;
      while (shown_length < line.size() && shown_length > column && is_continuation(line[shown_length])) --shown_length;
      line = line.substr(0, shown_length);
      out += "  " + shown(line) + "\n  " + blanks_for(line.substr(0, column)) + '^';
      const std::string_view marked = line.substr(column, entry.length);
      const auto characters = std::ranges::count_if(marked, [](char c) { return !is_continuation(c); });
      if (characters > 1) out.append(static_cast<size_t>(characters - 1), '~');
      out += '\n';
    }
    if (!entry.hint.empty()) out += "  hint: " + entry.hint + '\n';
  }
  return out;
}

}  // namespace postern::config
