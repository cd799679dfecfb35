// SPDX-License-Identifier: Apache-2.0
// The audit log when something fails: no room, failed syncs, each file operation failing once. Whatever happens, a
// record that was reported as written is there, key use is refused where it cannot be recorded, and the chain verifies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <future>
#include <thread>

#include "test/support/faulty_disk.h"
#include "test/unit/vault_audit_support.h"

namespace postern::keystore {
namespace {

using base::Cause;
using test::everything;
using test::failed_with;
using test::FaultyDisk;
using test::slurp;
using test::small_log;
using test::spill;
using test::succeeded;
using test::VaultDirectory;
using test::verify_all;
using testing::HasSubstr;

class VaultAuditFault : public testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void TearDown() override { FaultyDisk::heal(); }

  void reopen() {
    log_.reset();
    auto opened = Audit::open(options_);
    ASSERT_TRUE(succeeded(opened));
    log_ = std::move(*opened);
    log_->on_alert = [this](std::string_view text) { alerts_.emplace_back(text); };
  }
  bool use(std::string_view name = "k") { return log_->append(Weight::use, "sign", {{"key", name}}).has_value(); }
  // until_used tries until a key may be used again: looking for room is not done every time.
  void until_used(std::string_view name) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!use(name)) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::yield();
    }
  }
  size_t lines_with(std::string_view what) {
    size_t count = 0;
    const std::string text = everything(*log_);
    for (const auto line : base::split(text, '\n')) count += line.find(what) != std::string_view::npos ? 1 : 0;
    return count;
  }

  VaultDirectory place_;
  AuditOptions options_ = small_log(place_);
  std::vector<std::string> alerts_;
  std::unique_ptr<Audit> log_;
};

TEST_F(VaultAuditFault, AFullDiskStopsKeyUseAndNothingElse) {
  FaultyDisk::fill();
  uint64_t used = 0;
  while (use()) ++used;
  EXPECT_GT(used, 300u) << "what was set aside is used first";
  EXPECT_TRUE(log_->head().full);
  const auto refused = log_->append(Weight::use, "sign", {});
  ASSERT_TRUE(failed_with(Cause::unavailable, refused));
  EXPECT_THAT(refused.error().text(), HasSubstr("no key is used without a record"));
  EXPECT_THAT(refused.error().text(), HasSubstr("No space left on device"));
  for (int i = 0; i < 20; ++i)
    EXPECT_TRUE(succeeded(log_->append(Weight::officer, "login", {{"n", std::to_string(i)}})));
  EXPECT_FALSE(use());
  EXPECT_EQ(alerts_.size(), 1u);
  EXPECT_THAT(alerts_[0], HasSubstr("No space left on device"));

  // The officer's share ends, that of zeroising does not end with it.
  uint64_t officer = 20;
  while (log_->append(Weight::officer, "login", {})) ++officer;
  EXPECT_GT(officer, 60u);
  for (int i = 0; i < 40; ++i)
    EXPECT_TRUE(succeeded(log_->append(Weight::zeroise, "zeroise", {{"step", std::to_string(i)}})));
  EXPECT_EQ(verify_all(*log_), used + officer + 40);
  EXPECT_EQ(alerts_.size(), 1u);

  FaultyDisk::heal();
  until_used("after");
  EXPECT_FALSE(log_->head().full);
  EXPECT_EQ(lines_with("\"action\":\"resumed\""), 1u);
  EXPECT_TRUE(use());
  EXPECT_TRUE(succeeded(log_->append(Weight::officer, "login", {})));
  EXPECT_EQ(lines_with("\"action\":\"resumed\""), 1u);
  EXPECT_EQ(alerts_.size(), 1u);
  verify_all(*log_);
  reopen();
  verify_all(*log_);

  // A second episode has an alert of its own.
  FaultyDisk::fill();
  while (use()) {
  }
  EXPECT_EQ(alerts_.size(), 2u);
}

TEST_F(VaultAuditFault, AStartWithAFullDiskStillRecordsTheOfficer) {
  while (use()) {
    if (log_->head().sequence == 300) FaultyDisk::fill();
  }
  reopen();
  EXPECT_FALSE(use());
  EXPECT_TRUE(succeeded(log_->append(Weight::officer, "login", {})));
  EXPECT_TRUE(succeeded(log_->append(Weight::zeroise, "zeroise", {})));
  verify_all(*log_);
}

TEST_F(VaultAuditFault, ABeginningWithoutAnyRoomIsABeginning) {
  const VaultDirectory other;
  std::filesystem::create_directory(other / "log");
  std::filesystem::permissions(other / "log", std::filesystem::perms::owner_all);
  options_ = small_log(other);
  FaultyDisk::fill();
  alerts_.clear();
  reopen();
  EXPECT_FALSE(use());
  EXPECT_FALSE(log_->append(Weight::zeroise, "zeroise", {})) << "there is nothing to write to; zeroising goes on";
  EXPECT_EQ(alerts_.size(), 1u);
  EXPECT_EQ(everything(*log_), "");
  FaultyDisk::heal();
  until_used("k");
  EXPECT_EQ(verify_all(*log_), 2u);
}

TEST_F(VaultAuditFault, ARingMakesItsOwnRoom) {
  options_.keep = 4;
  reopen();
  while (log_->head().sequence < 1500) ASSERT_TRUE(use());
  const uint64_t first = log_->head().first;
  FaultyDisk::fill(true);
  // Removing the oldest gives room for one more.
  while (log_->head().first == first) {
    ASSERT_TRUE(use());
    ASSERT_LT(log_->head().sequence, 5000u);
  }
  verify_all(*log_);
}

TEST_F(VaultAuditFault, WithoutRoomInAdvanceTheLogWorksAndSaysSoOnce) {
  FaultyDisk::without_fallocate();
  const VaultDirectory other;
  options_ = small_log(other);
  alerts_.clear();
  reopen();
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(use());
  ASSERT_EQ(alerts_.size(), 1u);
  EXPECT_THAT(alerts_[0], HasSubstr("cannot set room aside"));
  EXPECT_EQ(verify_all(*log_), 2000u);
  reopen();
  FaultyDisk::fill();
  FaultyDisk::without_fallocate();
  while (use()) {
  }
  EXPECT_EQ(alerts_.size(), 3u) << "again that there is no room in advance, and that it ran out";
  // A last block may have been begun; then nothing is left for anybody.
  while (log_->append(Weight::officer, "login", {})) ASSERT_LT(log_->head().sequence, 5000u);
  FaultyDisk::heal();
  until_used("after");
  EXPECT_EQ(lines_with("\"action\":\"resumed\""), 1u);
  verify_all(*log_);
}

TEST_F(VaultAuditFault, AFailedSyncIsFinalForItsSegment) {
  ASSERT_TRUE(use("before"));
  FaultyDisk::fail_sync();
  EXPECT_TRUE(failed_with(Cause::unavailable, log_->append(Weight::officer, "login", {})));
  ASSERT_EQ(alerts_.size(), 1u);
  EXPECT_THAT(alerts_[0], HasSubstr("may be lost"));
  // A new segment cannot be made durable either.
  EXPECT_FALSE(use());
  EXPECT_FALSE(log_->append(Weight::officer, "login", {}));
  EXPECT_FALSE(log_->append(Weight::zeroise, "zeroise", {})) << "not sure to last, and said so";
  EXPECT_EQ(lines_with("\"action\":\"zeroise\""), 1u) << "but written";
  EXPECT_EQ(alerts_.size(), 1u);
  FaultyDisk::heal();
  until_used("after");
  EXPECT_TRUE(succeeded(log_->append(Weight::officer, "login", {})));
  EXPECT_THAT(slurp(place_ / "log/audit-000002.log"), HasSubstr("\"action\":\"resumed\",\"segment\":2"));
  EXPECT_EQ(lines_with("\"action\":\"resumed\""), 1u);
  EXPECT_EQ(alerts_.size(), 1u);
  verify_all(*log_);
  reopen();
  verify_all(*log_);
}

TEST_F(VaultAuditFault, TheSyncerNoticesAFailureByItself) {
  FaultyDisk::fail_sync();
  std::atomic<int> alerts{0};
  std::promise<void> told;
  log_->on_alert = [&](std::string_view) {
    if (++alerts == 1) told.set_value();
  };
  ASSERT_TRUE(use("k")) << "key use is synced later";
  // At the latest after a second; the deadline is against hanging only.
  ASSERT_EQ(told.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
  EXPECT_EQ(alerts, 1);
  EXPECT_FALSE(use());
  EXPECT_EQ(alerts, 1);
}

// Every operation that can fail, failing once, in a log that begins, rolls over and ends.
TEST_F(VaultAuditFault, TheKthFailureLosesNoRecordThatWasReported) {
  for (const int error : {EIO, ENOSPC}) {
    for (uint64_t k = 1;; k = k < 40 ? k + 1 : k + 37) {
      SCOPED_TRACE("call " + std::to_string(k) + " fails with " + std::to_string(error));
      const VaultDirectory place;
      options_ = small_log(place);
      options_.keep = k % 2 == 0 ? 2 : 0;
      std::vector<std::string> reported;
      FaultyDisk::fail_call(k, error);
      auto opened = Audit::open(options_);
      bool reached = true;
      if (opened) {
        log_ = std::move(*opened);
        for (int i = 0; i < 700; ++i) {
          const std::string name = "<" + std::to_string(i) + std::string(150, '.') + ">";
          const Weight weight = i % 50 == 7 ? Weight::officer : i % 50 == 8 ? Weight::zeroise : Weight::use;
          if (log_->append(weight, "sign", {{"key", name}})) reported.push_back(name);
        }
        reached = FaultyDisk::calls() >= k;
        EXPECT_GE(reported.size(), 1u);
      }
      FaultyDisk::heal();
      for (int round = 0; round < 2; ++round) {
        reopen();
        ASSERT_NE(log_, nullptr);
        verify_all(*log_);
        const std::string text = everything(*log_);
        size_t at = 0;
        for (const std::string& name : reported) {
          const size_t found = text.find("\"" + name + "\"", at);
          if (found == std::string::npos && options_.keep != 0 && at == 0) continue;  // left the ring
          ASSERT_NE(found, std::string::npos) << name;
          at = found;
        }
        ASSERT_TRUE(use("at the end"));
      }
      if (HasFailure()) return;
      if (!reached) break;
      ASSERT_LT(k, 5000u);
    }
  }
}

TEST_F(VaultAuditFault, TornEndsAreRecordedEvenWhenThatFailsAtFirst) {
  ASSERT_TRUE(use("whole"));
  for (uint64_t k = 1; k < 12; ++k) {
    log_.reset();
    const std::string path = place_ / "log/audit-000001.log";
    const std::string before = slurp(path);
    spill(path, before + "{\"seq\":torn");
    FaultyDisk::fail_call(k, EIO);
    auto opened = Audit::open(options_);
    FaultyDisk::heal();
    if (opened) {
      log_ = std::move(*opened);
      until_used("after");
    }
    reopen();
    EXPECT_GE(lines_with("\"action\":\"torn\""), 1u) << k;
    verify_all(*log_);
    if (std::filesystem::exists(place_ / "log/audit-000002.log")) return;
  }
}

}  // namespace
}  // namespace postern::keystore
