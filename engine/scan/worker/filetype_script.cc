// SPDX-License-Identifier: Apache-2.0
// Script languages by how their programs look. Text about programs must not count as one, so several signs must come
// together, and most lines must look like a program's.
#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/scan/worker/filetype_parts.h"

namespace postern::scan::worker {
namespace {

// Sign is a piece of text and what it counts for; a program has four points or more.
struct Sign {
  FileType type;
  std::string_view text;
  int points;
};
constexpr int kProgram = 4;

// Lower case; matched in lower-cased text.
constexpr Sign kSigns[] = {
    {FileType::js, "new activexobject(", 4},
    {FileType::js, "wscript.createobject(", 3},
    {FileType::js, "wscript.shell", 1},
    {FileType::js, "var ", 1},
    {FileType::js, "let ", 1},
    {FileType::js, "const ", 1},
    {FileType::js, "function(", 1},
    {FileType::js, "function (", 1},
    {FileType::js, "){", 1},
    {FileType::js, ") {", 1},
    {FileType::js, "};", 1},
    {FileType::js, "===", 1},
    {FileType::js, "eval(", 1},
    {FileType::js, "string.fromcharcode(", 2},
    {FileType::js, ".prototype.", 2},
    {FileType::js, "document.", 1},
    {FileType::js, "window.", 1},
    {FileType::js, "require(", 1},
    {FileType::js, "module.exports", 2},
    {FileType::vbs, "createobject(", 2},
    {FileType::vbs, "wscript.", 1},
    {FileType::vbs, "msgbox ", 1},
    {FileType::vbs, "on error resume next", 3},
    {FileType::vbs, "end sub", 2},
    {FileType::vbs, "end function", 2},
    {FileType::vbs, "end if", 1},
    {FileType::vbs, "\ndim ", 1},
    {FileType::vbs, "\nset ", 1},
    {FileType::vbs, "chr(", 1},
    {FileType::vbs, "execute(", 1},
    {FileType::vbs, "executeglobal ", 2},
    {FileType::ps1, "invoke-expression", 2},
    {FileType::ps1, "invoke-webrequest", 2},
    {FileType::ps1, "new-object ", 2},
    {FileType::ps1, "$env:", 1},
    {FileType::ps1, "write-host ", 2},
    {FileType::ps1, "write-output ", 2},
    {FileType::ps1, "[system.", 1},
    {FileType::ps1, "downloadstring(", 2},
    {FileType::ps1, "start-process", 2},
    {FileType::ps1, "set-executionpolicy", 2},
    {FileType::ps1, "-erroraction", 2},
    {FileType::ps1, "\nparam(", 2},
    {FileType::ps1, "\nparam (", 2},
    {FileType::ps1, "\n$", 1},
    {FileType::ps1, "frombase64string(", 2},
    {FileType::bat, "@echo off", 4},
    {FileType::bat, "setlocal", 2},
    {FileType::bat, "%~dp0", 2},
    {FileType::bat, "\ngoto ", 1},
    {FileType::bat, "\nrem ", 1},
    {FileType::bat, "\nset ", 1},
    {FileType::bat, "%errorlevel%", 2},
    {FileType::bat, "cmd /c ", 2},
    {FileType::bat, "if exist ", 1},
    {FileType::bat, "\nstart ", 1},
    {FileType::python, "\nimport ", 1},
    {FileType::python, "\nfrom ", 1},
    {FileType::python, "\ndef ", 2},
    {FileType::python, "if __name__ ==", 4},
    {FileType::python, "    return ", 1},
    {FileType::python, "print(", 1},
    {FileType::perl, "\nuse strict;", 4},
    {FileType::perl, "\nuse warnings;", 4},
    {FileType::perl, "\nmy $", 1},
    {FileType::perl, "\nsub ", 1},
};

struct Interpreter {
  std::string_view name;
  FileType type;
};
constexpr Interpreter kInterpreters[] = {
    {"python", FileType::python}, {"perl", FileType::perl}, {"node", FileType::js},  {"pwsh", FileType::ps1},
    {"bash", FileType::sh},       {"dash", FileType::sh},   {"zsh", FileType::sh},   {"ksh", FileType::sh},
    {"csh", FileType::sh},        {"ash", FileType::sh},    {"fish", FileType::sh},  {"ruby", FileType::sh},
    {"php", FileType::sh},        {"lua", FileType::sh},    {"tclsh", FileType::sh}, {"awk", FileType::sh},
    {"env", FileType::sh},        {"sh", FileType::sh},     {"make", FileType::sh}};

// A line of a program ends with punctuation that prose does not end with, or holds an assignment or call.
bool like_code(std::string_view line) {
  constexpr std::string_view kEnds = ";{}()[],_:\\|&+=>";
  if (kEnds.find(line.back()) != std::string_view::npos) return true;
  if (line.starts_with("//") || line.front() == '#' || line.front() == '\'' || line.front() == '@' ||
      line.front() == '$' || line.front() == ':' || line.front() == '%') {
    return true;
  }
  if (line.find('=') != std::string_view::npos || line.find('(') != std::string_view::npos) return true;
  const std::string first = base::lower(line.substr(0, line.find_first_of(" \t")));
  for (const std::string_view word :
       {"dim",      "set",   "end",    "next",   "else", "loop",  "do",     "on",    "option", "sub",
        "function", "if",    "for",    "while",  "rem",  "echo",  "goto",   "start", "call",   "exit",
        "del",      "copy",  "msgbox", "import", "from", "def",   "return", "class", "use",    "my",
        "sub",      "print", "then",   "fi",     "done", "const", "let",    "var"}) {
    if (first == word) return true;
  }
  return false;
}

bool mostly_code(std::string_view text) {
  size_t lines = 0;
  size_t code = 0;
  for (std::string_view rest = text; !rest.empty() && lines < 200;) {
    const size_t end = rest.find('\n');
    const std::string_view line = base::trim(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (line.empty()) continue;
    ++lines;
    if (like_code(line)) ++code;
  }
  return lines > 0 && code * 10 >= lines * 7;
}

}  // namespace

std::vector<FileType> script_types(std::string_view text) {
  constexpr size_t kLook = 16u << 10;
  std::vector<FileType> out;
  const std::string head = "\n" + base::lower(text.substr(0, kLook));
  const std::string_view first = base::trim(std::string_view(head).substr(1).substr(0, head.find('\n', 1)));
  if (first.starts_with("#!")) {
    for (const Interpreter& row : kInterpreters) {
      const size_t at = first.find(row.name);
      if (at == std::string_view::npos || (first[at - 1] != '/' && first[at - 1] != ' ')) continue;
      if (row.name == "env" && first.find("env ", at) != std::string_view::npos) continue;
      out.push_back(row.type);
      return out;
    }
    out.push_back(FileType::sh);
    return out;
  }
  if (!mostly_code(head)) return out;
  std::array<int, static_cast<size_t>(FileType::count_)> points{};
  for (const Sign& sign : kSigns) {
    if (head.find(sign.text) != std::string::npos) points[static_cast<size_t>(sign.type)] += sign.points;
  }
  for (const FileType type :
       {FileType::js, FileType::vbs, FileType::ps1, FileType::bat, FileType::python, FileType::perl}) {
    if (points[static_cast<size_t>(type)] >= kProgram) out.push_back(type);
  }
  return out;
}

}  // namespace postern::scan::worker
