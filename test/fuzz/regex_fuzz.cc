// SPDX-License-Identifier: Apache-2.0
// A pattern (up to the first NUL) and a subject, both any bytes: searches stay inside the subject, the same question
// has the same answer, and what is found, counted and replaced agrees. Long subjects are made by repeating the input,
// so that searches by windows run too.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <source_location>
#include <string>

#include "engine/match/regex.h"

namespace {
using postern::match::Regex;
using postern::match::Verdict;

void require(bool condition, const std::source_location& where = std::source_location::current()) {
  if (condition) return;
  std::fprintf(stderr, "line %u: this does not hold\n", where.line());
  std::abort();
}

void check(const Regex& regex, std::string_view subject) {
  std::string_view matched;
  const Verdict first = regex.search(subject, &matched);
  if (first == Verdict::yes && !matched.empty()) {
    require(matched.data() >= subject.data() && matched.data() + matched.size() <= subject.data() + subject.size());
  }
  uint32_t found = 0;
  const Verdict counted = regex.count(subject, 5, found);
  if (first == Verdict::no && counted != Verdict::limit) require(found == 0);
  if (first == Verdict::yes && counted != Verdict::limit) require(found >= 1);
  require(found <= 5 && (counted == Verdict::yes) == (found == 5));
  const auto replaced = regex.replace_all(subject, "$0", subject.size() + 1000);
  // Putting back what was found changes nothing, unless \K or a look-around moved a match over another.
  if (replaced && regex.pattern().find_first_of("\\(") == std::string::npos) require(*replaced == subject);
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\0');
  if (end == std::string::npos || end > 200) return 0;
  size_t offset = 0;
  const auto regex = Regex::compile(input.substr(0, end), &offset);
  if (!regex) {
    require(offset <= end && regex.error().cause() == postern::base::Cause::malformed);
    return 0;
  }
  postern::match::set_regex_limits({.match = 5000, .milliseconds = 1});
  const std::string subject = input.substr(end + 1);
  check(*regex, subject);
  std::string longer;
  while (!subject.empty() && longer.size() < 1500) longer += subject;
  check(*regex, longer);
  return 0;
}
