// SPDX-License-Identifier: Apache-2.0
// Text helpers, errors, limits and handles, by table.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>

#include "engine/base/error.h"
#include "engine/base/guarded.h"
#include "engine/base/handle.h"
#include "engine/base/limits.h"
#include "engine/base/text.h"

namespace postern::base {
namespace {

using testing::ElementsAre;

TEST(Text, ComparesAsciiOnly) {
  EXPECT_TRUE(iequals("X-Header", "x-hEADER"));
  EXPECT_FALSE(iequals("Ä", "ä"));
  EXPECT_FALSE(iequals("a", "ab"));
  EXPECT_FALSE(iequals("@", "`"));
  EXPECT_FALSE(iequals("[", "{"));
  EXPECT_TRUE(iequals("", ""));
  EXPECT_TRUE(istarts_with("Content-Type", "content-"));
  EXPECT_FALSE(istarts_with("Con", "content"));
  EXPECT_EQ(lower("ÄBC-xYZ@[`"), "Äbc-xyz@[`");
}

TEST(Text, Trims) {
  EXPECT_EQ(trim(" \t\r\n a b \n"), "a b");
  EXPECT_EQ(trim(" \t "), "");
  EXPECT_EQ(trim(""), "");
  EXPECT_EQ(trim("\v a"), "\v a");
}

TEST(Text, EscapesForLogs) {
  struct Case {
    std::string_view text;
    std::string_view escaped;
    size_t limit = 512;
  };
  constexpr Case kCases[] = {
      {"plain text", "plain text"},
      {"a\nb\r\tc", R"(a\x0ab\x0d\x09c)"},
      {std::string_view("a\0b", 3), R"(a\x00b)"},
      {"\x1b[31m\x7f", R"(\x1b[31m\x7f)"},
      {R"(a\x0a)", R"(a\\x0a)"},
      {"Grüße €𝄞", "Grüße €𝄞"},
      {"\xff\xc3", R"(\xff\xc3)"},
      {"\xc0\xaf", R"(\xc0\xaf)"},
      {"\xed\xa0\x80", R"(\xed\xa0\x80)"},
      {"\xf4\x90\x80\x80", R"(\xf4\x90\x80\x80)"},
      {"\xc2\x85", R"(\xc2\x85)"},
      {"\xe2\x80\xae"
       "x",
       R"(\xe2\x80\xaex)"},
      {"\xe2\x81\xa6", R"(\xe2\x81\xa6)"},
      {"\xef\xbb\xbf", R"(\xef\xbb\xbf)"},
      {"abcdef", "abc...", 3},
      {"abc", "abc", 3},
      {"äb", "ä...", 1},
      {"", "", 0},
      {"a", "...", 0},
  };
  for (const Case& c : kCases) {
    EXPECT_EQ(escape_for_log(c.text, c.limit), c.escaped);
    std::string appended = "before ";
    append_escaped(appended, c.text, c.limit);
    EXPECT_EQ(appended, "before " + std::string(c.escaped));
  }
}

TEST(Text, OneLine) {
  EXPECT_EQ(one_line("a\r\nb"), "a b");
  EXPECT_EQ(one_line("a \r\n\t b"), "a b");
  EXPECT_EQ(one_line(std::string_view("a\0b", 3)), "a b");
  EXPECT_EQ(one_line("\r\na\n"), "a");
  EXPECT_EQ(one_line("a b"), "a b");
  EXPECT_EQ(one_line("a\x1b[2J\tb\x7f."), "a [2J\tb .");
  EXPECT_EQ(one_line(""), "");
}

TEST(Text, Utf8) {
  for (const std::string_view good : {"", "a", "ä", "€", "𝄞", "\x7f", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_valid_utf8(good)) << good;
  }
  for (const std::string_view bad : {"\x80", "\xc3", "\xc1\x81", "\xe0\x80\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80",
                                     "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "a\xff"}) {
    EXPECT_FALSE(is_valid_utf8(bad));
  }
}

TEST(Text, Sizes) {
  struct Case {
    std::string_view text;
    std::optional<uint64_t> bytes;
  };
  constexpr Case kCases[] = {
      {"0", 0},
      {"10", 10},
      {"10b", 10},
      {"13k", 13u << 10},
      {"5M", 5u << 20},
      {"40G", 40ull << 30},
      {"5m", 5u << 20},
      {"1K", 1024},
      {"", {}},
      {"M", {}},
      {"-1", {}},
      {"+1", {}},
      {"1 M", {}},
      {" 1M", {}},
      {"1.5M", {}},
      {"0x10", {}},
      {"1MB", {}},
      {"99999999999999999999", {}},
      {"18446744073709551615", UINT64_MAX},
      {"18446744073709551615k", {}},
      {"1e3", {}},
  };
  for (const Case& c : kCases) EXPECT_EQ(parse_size(c.text), c.bytes) << c.text;
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{1023}, uint64_t{1024}, uint64_t{50} << 20,
                               uint64_t{7} << 30, uint64_t{1025}, UINT64_MAX}) {
    EXPECT_EQ(parse_size(format_size(bytes)), bytes);
  }
  EXPECT_EQ(format_size(50u << 20), "50M");
  EXPECT_EQ(format_size(0), "0b");
}

TEST(Text, Durations) {
  struct Case {
    std::string_view text;
    std::optional<uint64_t> seconds;
  };
  constexpr Case kCases[] = {
      {"20s", 20},  {"5m", 300},
      {"2h", 7200}, {"30d", 2592000},
      {"0s", 0},    {"1D", 86400},
      {"10", {}},   {"", {}},
      {"s", {}},    {"1w", {}},
      {"-1s", {}},  {"1 s", {}},
      {"1.5h", {}}, {"18446744073709551615d", {}},
  };
  for (const Case& c : kCases) EXPECT_EQ(parse_duration(c.text), c.seconds) << c.text;
  for (const uint64_t seconds : {0, 1, 59, 60, 3600, 86400, 90000, 61}) {
    EXPECT_EQ(parse_duration(format_duration(seconds)), seconds);
  }
  EXPECT_EQ(format_duration(2592000), "30d");
}

TEST(Text, NearestWord) {
  constexpr std::string_view kWords[] = {"subject", "body-size", "mail-from", "rcpt-to", "header"};
  EXPECT_EQ(nearest("subjct", kWords), "subject");
  EXPECT_EQ(nearest("Subject", kWords), "subject");
  EXPECT_EQ(nearest("mailfrom", kWords), "mail-from");
  EXPECT_EQ(nearest("quarantine", kWords), "");
  EXPECT_EQ(nearest("", kWords), "");
  EXPECT_EQ(nearest(std::string(1000, 'x'), kWords), "");
  EXPECT_EQ(nearest("x", {}), "");
}

TEST(Text, Splits) {
  EXPECT_THAT(split("a,b,,c", ','), ElementsAre("a", "b", "", "c"));
  EXPECT_THAT(split("", ','), ElementsAre(""));
  EXPECT_THAT(split(",", ','), ElementsAre("", ""));
}

TEST(Errors, CausesAndContext) {
  EXPECT_EQ(system_error("open x", ENOENT).cause(), Cause::not_found);
  EXPECT_EQ(system_error("open x", EACCES).cause(), Cause::denied);
  EXPECT_EQ(system_error("write", ENOSPC).cause(), Cause::unavailable);
  EXPECT_EQ(system_error("odd", EINVAL).cause(), Cause::internal);
  EXPECT_EQ(system_error("open x", ENOENT).text(), "open x: No such file or directory");
  EXPECT_EQ(Error(Cause::limit, "too long").in("header 3").in("message 7").text(), "message 7: header 3: too long");
  const Result<int> failed = fail(Cause::malformed, "no");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause(), Cause::malformed);
  const std::pair<Cause, std::string_view> names[] = {
      {Cause::malformed, "malformed"},     {Cause::limit, "limit"},
      {Cause::not_found, "not-found"},     {Cause::denied, "denied"},
      {Cause::unavailable, "unavailable"}, {Cause::misconfigured, "misconfigured"},
      {Cause::internal, "internal"}};
  for (const auto& [cause, name] : names) EXPECT_EQ(cause_name(cause), name);
}

TEST(Limits, MemoryIsAccountedFor) {
  MemoryAccount account(100);
  {
    MemoryLease first(&account);
    MemoryLease second(&account);
    EXPECT_TRUE(first.grow(60));
    EXPECT_FALSE(second.grow(50));
    EXPECT_EQ(account.used(), 60u);
    EXPECT_TRUE(second.grow(40));
    first.shrink(10);
    EXPECT_EQ(first.held(), 50u);
    EXPECT_EQ(account.used(), 90u);
  }
  EXPECT_EQ(account.used(), 0u);
  MemoryLease unlimited;
  EXPECT_TRUE(unlimited.grow(UINT64_MAX / 2));
}

TEST(Handles, CloseOnce) {
  const int raw = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(raw, 0);
  {
    UniqueFd first(raw);
    UniqueFd second = std::move(first);
    EXPECT_FALSE(first);
    EXPECT_EQ(second.get(), raw);
    EXPECT_GE(::fcntl(raw, F_GETFD), 0);
  }
  EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
  Guarded<int> number(5);
  *number.lock() += 2;
  EXPECT_EQ(*number.lock(), 7);
}

}  // namespace
}  // namespace postern::base
