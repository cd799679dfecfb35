// SPDX-License-Identifier: Apache-2.0
// The audit log as it is meant to work: shape of records, chain over segments and restarts, ring, torn ends, pages,
// threads.
#include "keystore/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "keystore/audit_record.h"
#include "test/unit/vault_audit_support.h"

namespace postern::keystore {
namespace {

using base::Cause;
using test::everything;
using test::failed_with;
using test::slurp;
using test::small_log;
using test::spill;
using test::succeeded;
using test::VaultDirectory;
using test::verify_all;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

TEST(VaultAudit, ARecordIsOneLineOfJson) {
  const VaultDirectory place;
  auto log = Audit::open(small_log(place));
  ASSERT_TRUE(succeeded(log));
  ASSERT_TRUE(succeeded((*log)->append(Weight::use, "sign", {{"key", "dkim-1"}, {"socket", "milter"}})));
  ASSERT_TRUE(succeeded((*log)->append(Weight::officer, "login", {{"result", "wrong password"}})));
  const std::string text = slurp(place / "log/audit-000001.log");
  const auto lines = base::split(text, '\n');
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(
      std::string(lines[0]),
      MatchesRegex(
          R"(\{"seq":1,"time":"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z","action":"sign",)"
          R"("segment":1,"key":"dkim-1","socket":"milter","prev":"0{64}"\})"));
  EXPECT_THAT(
      std::string(lines[1]),
      MatchesRegex(R"(\{"seq":2,"time":".*","action":"login","result":"wrong password","prev":"[0-9a-f]{64}"\})"));
  const auto head = (*log)->head();
  EXPECT_EQ(head.sequence, 2u);
  EXPECT_EQ(head.first, 1u);
  EXPECT_FALSE(head.full);
  uint64_t records = 0;
  EXPECT_EQ(*verify_audit(text, "", records), head.hash);
  EXPECT_EQ(records, 2u);
  struct stat info{};
  ASSERT_EQ(stat((place / "log").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  ASSERT_EQ(stat((place / "log/audit-000001.log").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_GE(info.st_blocks * 512, 128 << 10) << "the room of the whole segment is taken";
}

TEST(VaultAudit, ValuesFromOutsideForgeNothing) {
  const VaultDirectory place;
  auto log = Audit::open(small_log(place));
  ASSERT_TRUE(succeeded(log));
  const std::string nasty[] = {"\"}\n{\"seq\":9,",
                               "\\\"",
                               "\\",
                               "a\r\nb",
                               std::string("\0\x1b[2J\x7f", 7),
                               "\xff\xfe",
                               "\xe2\x80\xae",
                               std::string(100000, 'x'),
                               std::string(5000, '\\'),
                               std::string(5000, '"'),
                               "\xc3\xa4"};
  for (const std::string& value : nasty) {
    ASSERT_TRUE(succeeded((*log)->append(Weight::use, value.substr(0, 40),
                                         {{"a", value},
                                          {value.substr(0, 30), value},
                                          {"c", value},
                                          {"d", value},
                                          {"e", value},
                                          {"f", value},
                                          {"g", value},
                                          {"h", value}})));
  }
  const std::string text = slurp(place / "log/audit-000001.log");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), static_cast<long>(std::size(nasty)));
  EXPECT_TRUE(
      std::none_of(text.begin(), text.end(), [](char c) { return c != '\n' && c >= 0 && (c < 0x20 || c == 0x7f); }));
  EXPECT_EQ(verify_all(**log), std::size(nasty));
  for (const auto line : base::split(text, '\n')) EXPECT_LE(line.size(), kMaxRecord);
}

TEST(VaultAudit, TheChainGoesOnOverRestartsAndSegments) {
  const VaultDirectory place;
  for (int round = 0; round < 5; ++round) {
    auto log = Audit::open(small_log(place));
    ASSERT_TRUE(succeeded(log));
    EXPECT_EQ((*log)->head().sequence, static_cast<uint64_t>(round) * 400);
    for (int i = 0; i < 400; ++i) {
      ASSERT_TRUE(succeeded((*log)->append(Weight::use, "sign", {{"key", "dkim-1"}, {"n", std::string(100, 'n')}})));
    }
  }
  auto log = Audit::open(small_log(place));
  EXPECT_EQ((*log)->head().first, 1u);
  EXPECT_EQ(verify_all(**log), 2000u);
  // Each file by itself says which it is and holds no more than it may.
  for (int number = 1; number <= 5; ++number) {
    const std::string text = slurp(place / ("log/audit-00000" + std::to_string(number) + ".log"));
    if (number == 5) break;
    EXPECT_THAT(text, StartsWith("{\"seq\":"));
    EXPECT_THAT(text.substr(0, 120), HasSubstr("\"segment\":" + std::to_string(number) + ","));
    EXPECT_LE(text.size(), (128u << 10) - (32u << 10));
    EXPECT_GT(text.size(), (128u << 10) - (32u << 10) - 1000);
  }
}

TEST(VaultAudit, ARingForgetsTheOldestWithOneAlert) {
  const VaultDirectory place;
  auto options = small_log(place);
  options.keep = 2;
  auto log = Audit::open(options);
  ASSERT_TRUE(succeeded(log));
  std::vector<std::string> alerts;
  (*log)->on_alert = [&](std::string_view text) { alerts.emplace_back(text); };
  for (int i = 0; i < 3000; ++i)
    ASSERT_TRUE(succeeded((*log)->append(Weight::use, "sign", {{"n", std::string(100, 'n')}})));
  const auto head = (*log)->head();
  EXPECT_GT(head.first, 1000u);
  ASSERT_EQ(alerts.size(), 1u) << "though several segments went";
  EXPECT_THAT(alerts[0], MatchesRegex(R"(records 1 to [0-9]+ \([0-9]+ of them\) were removed.*)"));
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(place / "log")) ++files;
  EXPECT_EQ(files, 2u);
  const std::string text = everything(**log);
  EXPECT_THAT(text, StartsWith("{\"seq\":" + std::to_string(head.first) + ","));
  EXPECT_THAT(text, HasSubstr("\"action\":\"removed\""));
  EXPECT_THAT(text, HasSubstr("\"last\":\"" + std::to_string(head.first - 1) + "\""));
  verify_all(**log);
  EXPECT_EQ(alerts.size(), 1u);
}

TEST(VaultAudit, WhatAPowerCutToreOffIsRecordedAndTheChainGoesOn) {
  const VaultDirectory place;
  const std::string path = place / "log/audit-000001.log";
  std::string whole;
  {
    auto log = Audit::open(small_log(place));
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(succeeded((*log)->append(Weight::use, "sign", {{"key", "dkim-1"}})));
    whole = slurp(path);
  }
  const size_t third = whole.rfind("{\"seq\"");
  const std::string tails[] = {"{",
                               "{\"seq\":4,\"time\":\"2026",
                               whole.substr(third, 100),
                               whole.substr(third, whole.size() - third - 1),
                               std::string(1, '\0'),
                               std::string(5000, '\0'),
                               std::string(4096, '\0') + whole.substr(third),
                               "half a\n line\n" + std::string(10, '\0'),
                               std::string(20000, 'x')};
  for (const std::string& tail : tails) {
    spill(path, whole + tail);
    auto log = Audit::open(small_log(place));
    ASSERT_TRUE(succeeded(log));
    ASSERT_TRUE(succeeded((*log)->append(Weight::use, "sign", {})));
    const std::string text = slurp(path);
    ASSERT_THAT(text, StartsWith(whole));
    EXPECT_THAT(text.substr(whole.size()),
                HasSubstr("\"action\":\"torn\",\"bytes\":\"" + std::to_string(tail.size()) + "\",\"sha256\":\""));
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 5);
    EXPECT_EQ(verify_all(**log), 5u);
  }
  // Every cut of the last record.
  for (size_t size = third + 1; size < whole.size(); ++size) {
    spill(path, whole.substr(0, size));
    auto log = Audit::open(small_log(place));
    ASSERT_TRUE(succeeded(log));
    EXPECT_EQ((*log)->head().sequence, 3u);
    EXPECT_EQ(verify_all(**log), 3u);
    EXPECT_THAT(everything(**log), HasSubstr("\"torn\""));
  }
  // Even the very first record.
  spill(path, "{\"seq\":1,");
  auto log = Audit::open(small_log(place));
  ASSERT_TRUE(succeeded(log));
  EXPECT_THAT(slurp(path), MatchesRegex("\\{\"seq\":1,\"time\":\"[^\"]*\",\"action\":\"torn\",\"segment\":1,.*\n"));
}

TEST(VaultAudit, WholeRecordsThatDoNotChainAreNoAccident) {
  const VaultDirectory place;
  const std::string path = place / "log/audit-000001.log";
  {
    auto log = Audit::open(small_log(place));
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(succeeded((*log)->append(Weight::use, "sign", {{"key", "dkim-1"}})));
  }
  std::string text = slurp(path);
  text[text.find("dkim-1", 300) + 5] = '2';
  spill(path, text);
  const auto log = Audit::open(small_log(place));
  ASSERT_TRUE(failed_with(Cause::malformed, log));
  EXPECT_THAT(log.error().text(), HasSubstr(path + " was changed or is damaged after record"));
}

TEST(VaultAudit, AnEmptySegmentAfterACrashIsUsed) {
  const VaultDirectory place;
  {
    auto log = Audit::open(small_log(place));
    ASSERT_TRUE(succeeded((*log)->append(Weight::use, "sign", {})));
  }
  spill(place / "log/audit-000002.log", "");
  spill(place / "log/audit-2.log", "of somebody's");
  auto log = Audit::open(small_log(place));
  ASSERT_TRUE(succeeded(log));
  ASSERT_TRUE(succeeded((*log)->append(Weight::use, "sign", {})));
  EXPECT_THAT(slurp(place / "log/audit-000002.log"), HasSubstr("\"segment\":2"));
  EXPECT_EQ(verify_all(**log), 2u);
}

TEST(VaultAudit, PagesHoldWholeRecordsFromWhereverAsked) {
  const VaultDirectory place;
  auto log = Audit::open(small_log(place));
  for (int i = 0; i < 1500; ++i)
    ASSERT_TRUE(succeeded((*log)->append(Weight::use, "sign", {{"n", std::string(100, 'n')}})));
  for (const size_t most : {700u, 5000u, 48u << 10}) {
    uint64_t next = 0;
    for (const uint64_t from : {1u, 2u, 399u, 400u, 700u, 1499u, 1500u}) {
      const auto page = (*log)->read(from, most, next);
      ASSERT_TRUE(succeeded(page));
      EXPECT_LE(page->size(), most);
      EXPECT_THAT(*page, StartsWith("{\"seq\":" + std::to_string(from) + ","));
      EXPECT_EQ(next, from + static_cast<uint64_t>(std::count(page->begin(), page->end(), '\n')));
    }
    EXPECT_EQ(everything(**log, most).size(), everything(**log).size());
  }
  uint64_t next = 0;
  EXPECT_EQ(*(*log)->read(1501, 5000, next), "");
  EXPECT_EQ(next, 1501u);
  EXPECT_EQ(*(*log)->read(2000, 5000, next), "");
  EXPECT_EQ(next, 2000u);
  EXPECT_THAT(*(*log)->read(0, 5000, next), StartsWith("{\"seq\":1,"));
  EXPECT_TRUE(failed_with(Cause::limit, (*log)->read(1, 100, next)));
  // What was not there yet is found when it is, by whoever asked too early.
  for (int i = 0; i < 600; ++i) ASSERT_TRUE(succeeded((*log)->append(Weight::use, "sign", {})));
  EXPECT_THAT(*(*log)->read(2000, 5000, next), StartsWith("{\"seq\":2000,"));
}

TEST(VaultAudit, ManyWriteWhileOneReads) {
  const VaultDirectory place;
  auto options = small_log(place);
  options.keep = 3;
  auto log = Audit::open(options);
  ASSERT_TRUE(succeeded(log));
  std::atomic<int> alerts{0};
  (*log)->on_alert = [&](std::string_view) { ++alerts; };
  std::atomic<int> writing{4};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 1000; ++i) {
        const Weight weight = i % 250 == 0 ? Weight::officer : Weight::use;
        EXPECT_TRUE(
            succeeded((*log)->append(weight, "sign", {{"thread", std::to_string(t)}, {"n", std::to_string(i)}})));
      }
      --writing;
    });
  }
  uint64_t pages = 0;
  while (writing > 0 || pages == 0) {
    uint64_t next = 0;
    const uint64_t from = (*log)->head().first;
    const auto page = (*log)->read(from, 48u << 10, next);
    ASSERT_TRUE(succeeded(page));
    uint64_t records = 0;
    EXPECT_TRUE(succeeded(verify_audit(*page, "", records)));
    EXPECT_EQ(next - records, from < next - records ? next - records : from);
    ++pages;
  }
  for (std::thread& thread : threads) thread.join();
  verify_all(**log);
  EXPECT_GE((*log)->head().sequence, 4000u);
}

TEST(VaultAudit, OneWriterOnlyAndOnlyInAPrivateDirectory) {
  const VaultDirectory place;
  auto log = Audit::open(small_log(place));
  ASSERT_TRUE(succeeded(log));
  EXPECT_TRUE(failed_with(Cause::unavailable, Audit::open(small_log(place))));
  log->reset();
  chmod((place / "log").c_str(), 0750);
  EXPECT_TRUE(failed_with(Cause::denied, Audit::open(small_log(place))));
  chmod((place / "log").c_str(), 0700);
  AuditOptions options = small_log(place);
  options.reserve = 33u << 10;
  EXPECT_TRUE(failed_with(Cause::misconfigured, Audit::open(options)));
  options.segment = 2ull << 30;
  EXPECT_TRUE(failed_with(Cause::misconfigured, Audit::open(options)));
  options = small_log(place);
  options.reserve = 1000;
  EXPECT_TRUE(failed_with(Cause::misconfigured, Audit::open(options)));
}

TEST(VaultAudit, TooManyValuesAreRefused) {
  const VaultDirectory place;
  auto log = Audit::open(small_log(place));
  const std::string x(600, '\\');
  EXPECT_TRUE(failed_with(Cause::limit, (*log)->append(Weight::officer, std::string(2000, 'a'), {{"a", x}})));
  EXPECT_EQ((*log)->head().sequence, 0u);
}

}  // namespace
}  // namespace postern::keystore
