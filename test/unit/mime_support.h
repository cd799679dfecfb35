// SPDX-License-Identifier: Apache-2.0
// Helpers of the MIME tests: messages written with LF, parsed as CRLF; defects as text; the accounting of every byte.
#pragma once
#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mime/parser.h"

namespace postern::mime::test {

// crlf turns each LF into CRLF.
inline std::string crlf(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') out += '\r';
    out += c;
  }
  return out;
}

// Mail is a message cut into header and body, and its parse.
struct Mail {
  HeaderList header;
  Defects file_defects;
  std::string body;
  Structure structure;
};

inline Mail read(std::string_view file, const base::Limits& limits = {}) {
  Mail out;
  ParsedFile parsed = parse_file_header(file, limits);
  out.header = std::move(parsed.header);
  out.file_defects = parsed.defects;
  out.body = file.substr(parsed.body_offset);
  out.structure = parse(out.header, out.body, limits);
  return out;
}

inline Mail read_lf(std::string_view text, const base::Limits& limits = {}) { return read(crlf(text), limits); }

// names lists a set of defects, blank separated.
inline std::string names(Defects defects) {
  std::string out;
  for (unsigned i = 0; i < static_cast<unsigned>(Defect::count_); ++i) {
    if (!defects.has(static_cast<Defect>(i))) continue;
    if (!out.empty()) out += ' ';
    out += defect_name(static_cast<Defect>(i));
  }
  return out;
}

// describe writes everything a parse says, spans and fields too, for comparing two parses of one message.
inline std::string describe(const Structure& structure) {
  std::string out = dump(structure) + (structure.complete ? "" : " incomplete") + "\n";
  const auto span = [](const Span& s) { return std::to_string(s.begin) + "-" + std::to_string(s.end) + " "; };
  for (const Part& part : structure.parts) {
    out += "[" + part.path + "] <" + std::to_string(part.parent) + " " + std::to_string(part.depth) + " " +
           span(part.outer) + span(part.header) + span(part.content) + part.type.value + " " + part.content_id + " " +
           names(part.defects);
    for (const std::string& name : part.file_names) out += " '" + name + "'";
    for (const HeaderField& field : part.fields) out += "\n  " + field.name + ":" + field.value;
    out += "\n";
  }
  return out;
}

// check_accounting proves that the spans of a structure cover the body: each byte is in exactly one of preamble,
// delimiter line, header, leaf content, line end before a delimiter, closing delimiter and epilogue.
inline void check_accounting(const Structure& structure, std::string_view body) {
  const std::vector<Part>& parts = structure.parts;
  ASSERT_FALSE(parts.empty());
  EXPECT_EQ(parts[0].outer.begin, 0u);
  EXPECT_EQ(parts[0].outer.end, body.size());
  EXPECT_EQ(parts[0].content.begin, 0u);
  EXPECT_EQ(parts[0].content.end, body.size());
  std::vector<uint64_t> inner_end(parts.size());  // where the last child seen so far ends
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    ASSERT_LE(part.outer.begin, part.header.begin);
    ASSERT_LE(part.header.begin, part.header.end);
    ASSERT_EQ(part.header.end, part.content.begin);
    ASSERT_LE(part.content.begin, part.content.end);
    ASSERT_LE(part.content.end, part.outer.end);
    ASSERT_LE(part.outer.end, body.size());
    inner_end[i] = part.content.begin;
    if (i == 0) continue;
    ASSERT_LT(part.parent, i);
    const Part& parent = parts[part.parent];
    ASSERT_FALSE(parent.is_leaf());
    ASSERT_EQ(part.depth, parent.depth + 1);
    ASSERT_GE(part.outer.begin, inner_end[part.parent]) << "parts overlap";
    ASSERT_LE(part.outer.end, parent.content.end) << "part leaves its container";
    inner_end[part.parent] = part.outer.end;
    const std::string_view delimiter = Span{part.outer.begin, part.header.begin}.of(body);
    if (parent.kind == PartKind::message) {
      EXPECT_EQ(delimiter, "");
      EXPECT_EQ(part.outer.begin, parent.content.begin);
      EXPECT_EQ(part.outer.end, parent.content.end);
    } else {
      EXPECT_TRUE(delimiter.starts_with("--")) << delimiter;
    }
    const std::string_view gap = Span{part.content.end, part.outer.end}.of(body);
    EXPECT_EQ(gap.find_first_not_of("\r\n"), std::string_view::npos) << "text between content and delimiter";
  }
}

// CpuTime measures this thread's processor time.
class CpuTime {
 public:
  CpuTime() : begin_(now()) {}
  double seconds() const { return now() - begin_; }

 private:
  static double now() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
  }
  double begin_;
};

// kCpuBound is what the attacks on complexity may take: a guard against time that grows with the square of the size,
// which for a megabyte is minutes. There is room for sanitizers, and for a processor that is slow and shared.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr double kCpuBound = 40.0;
#else
inline constexpr double kCpuBound = 5.0;
#endif

}  // namespace postern::mime::test
