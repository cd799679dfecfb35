// SPDX-License-Identifier: Apache-2.0
// verify_audit: every change of a small log is noticed and the right record named; long chains hold. How many records
// the long chain has is told by POSTERN_AUDIT_RECORDS (20,000 by default).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "keystore/audit_record.h"
#include "test/unit/vault_audit_support.h"

namespace postern::keystore {
namespace {

using base::Cause;
using test::everything;
using test::failed_with;
using test::small_log;
using test::succeeded;
using test::VaultDirectory;
using test::verify_all;
using testing::HasSubstr;

class VaultAuditVerify : public testing::Test {
 protected:
  void SetUp() override {
    auto log = Audit::open(small_log(place_));
    ASSERT_TRUE(succeeded(log));
    for (int i = 1; i <= 6; ++i)
      ASSERT_TRUE(succeeded((*log)->append(Weight::use, "sign", {{"key", "dkim-" + std::to_string(i)}})));
    text_ = everything(**log);
    hash_ = (*log)->head().hash;
    for (const auto line : base::split(text_, '\n')) {
      if (!line.empty()) lines_.emplace_back(line);
    }
    ASSERT_EQ(lines_.size(), 6u);
  }
  std::string joined(std::vector<std::string> lines) const {
    std::string out;
    for (const std::string& line : lines) out += line + "\n";
    return out;
  }
  std::string complaint(const std::string& text, std::string_view before = "") {
    uint64_t records = 0;
    const auto verified = verify_audit(text, before, records);
    return verified ? "" : verified.error().text();
  }

  VaultDirectory place_;
  std::string text_;
  std::string hash_;
  std::vector<std::string> lines_;
};

TEST_F(VaultAuditVerify, EveryChangeOfEveryByteIsNoticed) {
  for (size_t i = 0; i < text_.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      if (static_cast<char>(value) == text_[i]) continue;
      std::string changed = text_;
      changed[i] = static_cast<char>(value);
      uint64_t records = 0;
      const auto verified = verify_audit(changed, "", records);
      // A change of the last record shows in the hash that is compared with the head's.
      ASSERT_TRUE(!verified || *verified != hash_) << i << " " << value;
      if (verified) {
        ASSERT_GE(i, text_.size() - lines_.back().size() - 1);
      }
    }
    // A byte more and a byte less.
    for (std::string changed : {std::string(text_).erase(i, 1), std::string(text_).insert(i, 1, 'x'),
                                std::string(text_).insert(i, 1, '\n')}) {
      uint64_t records = 0;
      const auto verified = verify_audit(changed, "", records);
      ASSERT_TRUE(!verified || *verified != hash_) << i;
    }
  }
}

TEST_F(VaultAuditVerify, TheRecordThatWasChangedIsNamed) {
  for (size_t i = 0; i < lines_.size(); ++i) {
    auto lines = lines_;
    const std::string name = "record " + std::to_string(i + 1);
    // Its content: the next one shows it.
    lines[i].replace(lines[i].find("dkim-"), 5, "smim-");
    if (i + 1 == lines.size()) {
      EXPECT_EQ(complaint(joined(lines)), "");
    } else if (i + 2 == lines.size()) {
      EXPECT_THAT(complaint(joined(lines)), HasSubstr(name + " or 6 is not as it was written"));
    } else {
      EXPECT_THAT(complaint(joined(lines)), HasSubstr(name + " is not as it was written"));
    }
    // Its shape.
    lines = lines_;
    lines[i].back() = ']';
    EXPECT_THAT(complaint(joined(lines)),
                HasSubstr(i == 0 ? "the first line is no record" : name + " is not as it was written"));
    // Its hash of the one before.
    if (i > 0 && i + 1 < lines.size()) {
      lines = lines_;
      char& digit = lines[i][lines[i].size() - 3];
      digit = digit == '0' ? '1' : '0';
      EXPECT_THAT(complaint(joined(lines)), HasSubstr(name + " is not as it was written"));
    }
    // It is missing, or there twice, or in the wrong place.
    if (i > 0 && i + 1 < lines.size()) {
      lines = lines_;
      lines.erase(lines.begin() + static_cast<long>(i));
      EXPECT_THAT(complaint(joined(lines)), HasSubstr("where " + name + " should be"));
      lines = lines_;
      std::swap(lines[i], lines[i + 1]);
      EXPECT_THAT(complaint(joined(lines)), HasSubstr("where " + name + " should be"));
    }
    lines = lines_;
    lines.insert(lines.begin() + static_cast<long>(i), lines[i]);
    EXPECT_THAT(complaint(joined(lines)), HasSubstr(name));
  }
}

TEST_F(VaultAuditVerify, PartsFollowEachOther) {
  std::string before;
  uint64_t records = 0;
  for (const std::string& line : lines_) {
    const auto verified = verify_audit(line + "\n", before, records);
    ASSERT_TRUE(succeeded(verified));
    EXPECT_EQ(records, 1u);
    before = *verified;
  }
  EXPECT_EQ(before, hash_);
  EXPECT_TRUE(succeeded(verify_audit(joined({lines_.begin() + 3, lines_.end()}), "", records)))
      << "a ring begins anywhere";
  EXPECT_EQ(records, 3u);
  EXPECT_THAT(complaint(joined({lines_.begin() + 3, lines_.end()}), hash_), HasSubstr("record 4 does not follow"));
  EXPECT_EQ(*verify_audit("", hash_, records), hash_);
  EXPECT_EQ(records, 0u);
  EXPECT_THAT(complaint(text_.substr(0, text_.size() - 1)), HasSubstr("after 5 records: the last line has no end"));
}

TEST_F(VaultAuditVerify, OnlyOurOwnShapeIsARecord) {
  EXPECT_TRUE(parse_record(lines_[0]));
  EXPECT_EQ(parse_record(lines_[0])->segment, 1u);
  EXPECT_EQ(parse_record(lines_[1])->segment, 0u);
  const std::string line =
      R"({"seq":1,"time":"2026-01-02T03:04:05.678Z","action":"a","prev":")" + std::string(kNoHash) + R"("})";
  EXPECT_TRUE(parse_record(line));
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string changed = line;
    changed.replace(changed.find(from), from.size(), to);
    return parse_record(changed).has_value();
  };
  EXPECT_TRUE(with(R"("a",)", R"("a","segment":7,)"));
  EXPECT_TRUE(with(R"("a",)", R"("a","x":"\"\\",)"));
  for (const std::string_view number : {"0", "01", "-1", "1.0", "18446744073709551616", "", " 1", "\"1\""})
    EXPECT_FALSE(with("1", number)) << number;
  EXPECT_FALSE(with(R"("a",)", R"("a","segment":0,)"));
  EXPECT_FALSE(with(R"("a",)", R"("a","x":1,)"));
  EXPECT_FALSE(with(R"("a",)", R"("a","x":"\n",)"));
  EXPECT_FALSE(with(R"("a",)", "\"a\",\"x\":\"\t\","));
  EXPECT_FALSE(with(R"("a",)", R"("a", "x":"",)"));
  EXPECT_FALSE(with("678Z", "678z"));
  EXPECT_FALSE(with("2026", "20x6"));
  EXPECT_FALSE(with("prev", "prex"));
  EXPECT_FALSE(with("0000", "000A"));
  EXPECT_FALSE(with("0000", "000"));
  EXPECT_FALSE(parse_record(line + " "));
  EXPECT_FALSE(parse_record(" " + line));
  for (size_t i = 0; i < line.size(); ++i) EXPECT_FALSE(parse_record(line.substr(0, i)));
}

TEST(VaultAuditChain, HoldsOverManyRecords) {
  const char* wanted = std::getenv("POSTERN_AUDIT_RECORDS");
  const uint64_t count = wanted == nullptr ? 20'000 : std::strtoull(wanted, nullptr, 10);
  const VaultDirectory place;
  AuditOptions options = small_log(place);
  options.segment = count > 100'000 ? 16ull << 20 : 1ull << 20;
  auto log = Audit::open(options);
  ASSERT_TRUE(succeeded(log));
  for (uint64_t i = 0; i < count; ++i) {
    ASSERT_TRUE(succeeded((*log)->append(
        Weight::use, "sign", {{"key", "dkim-r2026"}, {"socket", "milter"}, {"pid", "4711"}, {"uid", "110"}})));
  }
  // In pages, as fipsconfig does it.
  std::string before;
  uint64_t total = 0;
  uint64_t next = 0;
  for (uint64_t from = 1;; from = next) {
    const auto page = (*log)->read(from, 48u << 10, next);
    ASSERT_TRUE(succeeded(page));
    if (page->empty()) break;
    uint64_t records = 0;
    const auto verified = verify_audit(*page, before, records);
    ASSERT_TRUE(succeeded(verified));
    before = *verified;
    total += records;
  }
  EXPECT_EQ(total, count);
  EXPECT_EQ(before, (*log)->head().hash);
}

}  // namespace
}  // namespace postern::keystore
