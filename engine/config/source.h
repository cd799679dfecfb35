// SPDX-License-Identifier: Apache-2.0
// Sources and diagnostics: the texts of all configuration files of one load, positions in them, and every error found,
// reported together as "file:line:col: error: message", the line, a caret under the word, and a hint where one helps.
// Used by one thread during a load.
#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace postern::config {

// folder_of returns what stands before the last '/' of `path` ("." where there is none); absolute_path puts `folder`
// before a relative `path`; real_path resolves symbolic links, and is `path` itself where that fails.
std::string folder_of(const std::string& path);
std::string absolute_path(const std::string& folder, const std::string& path);
std::string real_path(const std::string& path);

// Position is a place in a source; line and column count from 1, column in bytes. Line 0 means "the file as a whole".
struct Position {
  uint32_t source = 0;
  uint32_t line = 0;
  uint32_t column = 0;
};

// Sources owns the texts of one load; ids are indexes in order of adding. Views stay valid as long as the object.
class Sources {
 public:
  // add_text takes over `text` under the name `path` (also "<command line>").
  uint32_t add_text(std::string path, std::string text);
  // add_file reads a file of at most 16 MiB.
  base::Result<uint32_t> add_file(const std::string& path);

  const std::string& path(uint32_t source) const { return entries_[source].path; }
  std::string_view text(uint32_t source) const { return entries_[source].text; }
  // line returns line `number` without its line end, or an empty view.
  std::string_view line(uint32_t source, uint32_t number) const;
  // position_at turns a byte offset of the text into line and column; an offset past the end gives the end.
  Position position_at(uint32_t source, size_t offset) const;
  // offset_of is the way back; a line that does not exist gives the end of the text.
  size_t offset_of(const Position& position) const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string path;
    std::string text;
    std::vector<size_t> line_starts;
  };
  std::deque<Entry> entries_;
};

enum class Severity { error, warning };

struct Diagnostic {
  Severity severity = Severity::error;
  Position position;
  uint32_t length = 1;  // bytes to underline
  std::string message;
  std::string hint;  // "did you mean 'subject'?"; may be empty
};

// Diagnostics collects what is wrong in one load. It stops storing (and says so) after 1,000 entries.
class Diagnostics {
 public:
  explicit Diagnostics(const Sources& sources) : sources_(sources) {}
  void error(Position position, uint32_t length, std::string message, std::string hint = {});
  void warning(Position position, uint32_t length, std::string message, std::string hint = {});

  size_t error_count() const { return errors_; }
  bool ok() const { return errors_ == 0; }
  // all returns the entries in order of file, line and column.
  std::vector<Diagnostic> all() const;
  // render writes every entry for people, in the form above.
  std::string render() const;

 private:
  void add(Diagnostic diagnostic);
  const Sources& sources_;
  std::vector<Diagnostic> entries_;
  size_t errors_ = 0;
};

}  // namespace postern::config
