// SPDX-License-Identifier: Apache-2.0
// The state directory: owner, mode and lock; what damage and deletion are taken for; zeroising step by step.
#include "keystore/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/unit/vault_support.h"

namespace postern::keystore {
namespace {

using base::Cause;
using test::failed_with;
using test::slurp;
using test::spill;
using test::succeeded;
using test::VaultDirectory;
using testing::HasSubstr;

// An operational directory, closed again.
void prepare(const std::string& path) {
  auto directory = StateDirectory::open(path);
  ASSERT_TRUE(succeeded(directory));
  ASSERT_TRUE(succeeded(Kek::create(*directory, "")));
  ASSERT_TRUE(succeeded(directory->write("officer", "a line")));
  ASSERT_TRUE(succeeded(directory->write("catalogue", std::string(10000, 'c'))));
  ASSERT_TRUE(succeeded(directory->set_durable(Condition::operational)));
}

TEST(VaultState, AnEmptyDirectoryBecomesUninitialised) {
  const VaultDirectory place;
  {
    auto directory = StateDirectory::open(place.path());
    ASSERT_TRUE(succeeded(directory));
    EXPECT_EQ(directory->durable(), Condition::uninitialised);
    EXPECT_EQ(directory->failures(), 0u);
  }
  EXPECT_EQ(slurp(place / "state"), "uninitialised\n");
  EXPECT_EQ(StateDirectory::open(place.path())->durable(), Condition::uninitialised);
  EXPECT_TRUE(failed_with(Cause::not_found, StateDirectory::open(place / "missing")));
}

TEST(VaultState, OwnerAndModeMustBeRight) {
  const VaultDirectory place;
  for (const mode_t mode : {0755, 0750, 0701, 0500, 01700}) {
    chmod(place.path().c_str(), mode);
    const auto directory = StateDirectory::open(place.path());
    ASSERT_TRUE(failed_with(Cause::denied, directory)) << mode;
    EXPECT_THAT(directory.error().text(), HasSubstr(place.path() + " must belong to uid"));
    EXPECT_THAT(directory.error().text(), HasSubstr("with mode 0700"));
  }
  chmod(place.path().c_str(), 0700);
  prepare(place.path());
  for (const char* name : {"state", "lock"}) {
    chmod((place / name).c_str(), 0640);
    const auto directory = StateDirectory::open(place.path());
    ASSERT_TRUE(failed_with(Cause::denied, directory)) << name;
    EXPECT_THAT(directory.error().text(), HasSubstr((place / name) + " must be a plain file"));
    chmod((place / name).c_str(), 0600);
  }
  EXPECT_TRUE(succeeded(StateDirectory::open(place.path())));
  for (const auto& entry : std::filesystem::directory_iterator(place.path())) {
    struct stat info{};
    ASSERT_EQ(lstat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode, S_IFREG | 0600u) << entry.path();
  }
}

TEST(VaultState, SymbolicLinksAndFifosAreNotFollowed) {
  const VaultDirectory place;
  const VaultDirectory other;
  prepare(place.path());
  const std::string link = other / "link";
  ASSERT_EQ(symlink(place.path().c_str(), link.c_str()), 0);
  EXPECT_FALSE(StateDirectory::open(link));

  auto directory = StateDirectory::open(place.path());
  ASSERT_TRUE(succeeded(directory));
  spill(other / "aim", "aim");
  ASSERT_EQ(unlink((place / "officer").c_str()), 0);
  ASSERT_EQ(symlink((other / "aim").c_str(), (place / "officer").c_str()), 0);
  EXPECT_FALSE(directory->read("officer"));
  EXPECT_TRUE(succeeded(directory->write("officer", "new")));
  EXPECT_EQ(slurp(other / "aim"), "aim") << "the link was replaced, not followed";
  EXPECT_EQ(directory->read("officer")->view(), "new");
  ASSERT_EQ(unlink((place / "officer").c_str()), 0);
  ASSERT_EQ(symlink((other / "aim").c_str(), (place / "officer").c_str()), 0);
  EXPECT_FALSE(directory->remove("officer")) << "it is removed, but nothing was overwritten and that is told";
  EXPECT_FALSE(directory->exists("officer"));
  EXPECT_EQ(slurp(other / "aim"), "aim");
  ASSERT_EQ(mkfifo((place / "officer").c_str(), 0600), 0);
  EXPECT_TRUE(failed_with(Cause::denied, directory->read("officer")));
}

TEST(VaultState, ASecondOneIsRefused) {
  const VaultDirectory place;
  auto directory = StateDirectory::open(place.path());
  ASSERT_TRUE(succeeded(directory));
  const auto second = StateDirectory::open(place.path());
  ASSERT_TRUE(failed_with(Cause::unavailable, second));
  EXPECT_THAT(second.error().text(), HasSubstr("another fipsd holds"));
  StateDirectory moved = std::move(*directory);
  EXPECT_TRUE(failed_with(Cause::unavailable, StateDirectory::open(place.path())));
}

TEST(VaultState, ReadHasABoundAndRemoveIsFineWithNothing) {
  const VaultDirectory place;
  auto directory = StateDirectory::open(place.path());
  ASSERT_TRUE(succeeded(directory));
  ASSERT_TRUE(succeeded(directory->write("officer", "12345")));
  EXPECT_EQ(directory->read("officer", 5)->view(), "12345");
  EXPECT_TRUE(failed_with(Cause::limit, directory->read("officer", 4)));
  EXPECT_TRUE(succeeded(directory->write("officer", "")));
  EXPECT_EQ(directory->read("officer", 5)->size(), 0u);
  EXPECT_TRUE(succeeded(directory->remove("officer")));
  EXPECT_TRUE(succeeded(directory->remove("officer")));
  EXPECT_FALSE(directory->exists("officer"));
  EXPECT_TRUE(failed_with(Cause::not_found, directory->read("officer")));
}

TEST(VaultState, WhatIsRemovedIsOverwrittenFirst) {
  const VaultDirectory place;
  prepare(place.path());
  auto directory = StateDirectory::open(place.path());
  ASSERT_TRUE(succeeded(directory));
  // A second name keeps the bytes within reach.
  for (const char* name : {"kek", "catalogue"}) {
    ASSERT_EQ(link((place / name).c_str(), (place / "kept").c_str()), 0);
    const size_t size = slurp(place / name).size();
    ASSERT_TRUE(succeeded(directory->remove(name)));
    EXPECT_EQ(slurp(place / "kept"), std::string(size, '\0'));
    ASSERT_EQ(unlink((place / "kept").c_str()), 0);
  }
}

TEST(VaultState, HalfWrittenFilesAreOverwrittenAndRemoved) {
  const VaultDirectory place;
  prepare(place.path());
  spill(place / ".kek.new", "half a key");
  spill(place / "note", "of somebody's");
  ASSERT_EQ(link((place / ".kek.new").c_str(), (place / "kept").c_str()), 0);
  ASSERT_TRUE(succeeded(StateDirectory::open(place.path())));
  EXPECT_FALSE(std::filesystem::exists(place / ".kek.new"));
  EXPECT_EQ(slurp(place / "kept"), std::string(10, '\0'));
  EXPECT_TRUE(std::filesystem::exists(place / "note"));
}

TEST(VaultState, AttemptsAreCountedBeforeAndAcrossOpenings) {
  const VaultDirectory place;
  prepare(place.path());
  for (uint32_t expected = 1; expected <= kMaxFailures; ++expected) {
    auto directory = StateDirectory::open(place.path());
    ASSERT_TRUE(succeeded(directory));
    EXPECT_EQ(directory->failures(), expected - 1);
    const auto counted = directory->begin_attempt();
    ASSERT_TRUE(succeeded(counted));
    EXPECT_EQ(*counted, expected);
    EXPECT_EQ(directory->failures(), expected);
  }
  auto directory = StateDirectory::open(place.path());
  EXPECT_EQ(directory->failures(), kMaxFailures);
  EXPECT_TRUE(failed_with(Cause::denied, directory->begin_attempt()));
  EXPECT_TRUE(succeeded(directory->withdraw_attempt()));
  EXPECT_EQ(directory->failures(), kMaxFailures - 1);
  EXPECT_TRUE(succeeded(directory->succeed_attempt()));
  EXPECT_EQ(directory->failures(), 0u);
  EXPECT_TRUE(succeeded(directory->withdraw_attempt()));
  EXPECT_EQ(directory->failures(), 0u);
}

TEST(VaultState, AMissingOrDamagedCounterLeavesOneAttempt) {
  const VaultDirectory place;
  prepare(place.path());
  const std::string good = slurp(place / "failures");
  ASSERT_THAT(good, testing::StartsWith("failures 0 "));
  const auto failures = [&] { return StateDirectory::open(place.path())->failures(); };
  EXPECT_EQ(failures(), 0u);
  for (size_t i = 0; i < good.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      if (static_cast<char>(value) == good[i] || (value % 16 != 0 && (value < '0' || value > '9'))) continue;
      std::string changed = good;
      changed[i] = static_cast<char>(value);
      spill(place / "failures", changed);
      ASSERT_EQ(failures(), kMaxFailures - 1) << i << " " << value;
    }
    spill(place / "failures", good.substr(0, i));
    ASSERT_EQ(failures(), kMaxFailures - 1) << i;
  }
  spill(place / "failures", good + "\n");
  EXPECT_EQ(failures(), kMaxFailures - 1);
  ASSERT_EQ(unlink((place / "failures").c_str()), 0);
  EXPECT_EQ(failures(), kMaxFailures - 1);
  ASSERT_EQ(mkdir((place / "failures").c_str(), 0700), 0);
  EXPECT_EQ(failures(), kMaxFailures - 1);
  ASSERT_EQ(rmdir((place / "failures").c_str()), 0);
  // A right password brings it back.
  EXPECT_TRUE(succeeded(StateDirectory::open(place.path())->succeed_attempt()));
  EXPECT_EQ(failures(), 0u);
}

TEST(VaultState, AMissingOrDamagedStateIsNoNewBeginning) {
  const VaultDirectory place;
  prepare(place.path());
  for (const char* text :
       {"", "operational", "operational\n\n", "Operational\n", "zeroising\n", "officer\n", "error\n"}) {
    spill(place / "state", text);
    EXPECT_TRUE(failed_with(Cause::malformed, StateDirectory::open(place.path()))) << text;
  }
  ASSERT_EQ(unlink((place / "state").c_str()), 0);
  for (const char* name : {"kek", "officer", "catalogue", "failures"}) {
    const auto directory = StateDirectory::open(place.path());
    ASSERT_TRUE(failed_with(Cause::misconfigured, directory)) << name;
    EXPECT_THAT(directory.error().text(), HasSubstr(place / "state"));
    ASSERT_EQ(unlink((place / name).c_str()), 0);
  }
  EXPECT_EQ(StateDirectory::open(place.path())->durable(), Condition::uninitialised);
}

TEST(VaultState, OnlyDurableStatesAreWrittenAndABeginningHasACounter) {
  const VaultDirectory place;
  auto directory = StateDirectory::open(place.path());
  ASSERT_TRUE(succeeded(directory));
  for (const Condition condition : {Condition::officer, Condition::zeroising, Condition::error}) {
    EXPECT_TRUE(failed_with(Cause::internal, directory->set_durable(condition)));
  }
  EXPECT_FALSE(directory->exists("failures"));
  ASSERT_TRUE(succeeded(directory->set_durable(Condition::operational)));
  EXPECT_TRUE(directory->exists("failures"));
  // Said again it gives no new attempts.
  ASSERT_TRUE(succeeded(directory->begin_attempt()));
  ASSERT_TRUE(succeeded(directory->set_durable(Condition::operational)));
  EXPECT_EQ(directory->failures(), 1u);
}

TEST(VaultState, ZeroisingStepByStepEachTwice) {
  const VaultDirectory place;
  prepare(place.path());
  auto directory = StateDirectory::open(place.path());
  ASSERT_TRUE(succeeded(directory));
  EXPECT_TRUE(failed_with(Cause::internal, directory->destroy_kek())) << "the marker comes first";
  EXPECT_TRUE(failed_with(Cause::internal, directory->destroy_rest()));
  EXPECT_TRUE(failed_with(Cause::internal, directory->finish()));
  ASSERT_TRUE(directory->exists("kek"));
  for (int i = 0; i < 2; ++i) {
    // What a second call brings is not believed: the PIN may be computed from a kek that is gone by then.
    ASSERT_TRUE(succeeded(directory->mark(Secret(i == 0 ? "so pin" : "another"))));
    EXPECT_EQ(directory->durable(), Condition::zeroising);
    EXPECT_EQ(directory->marker()->so_pin.view(), "so pin");
    EXPECT_EQ(directory->marker()->serial, "");
  }
  EXPECT_TRUE(failed_with(Cause::denied, directory->set_durable(Condition::operational)));
  EXPECT_TRUE(failed_with(Cause::internal, directory->finish())) << "with the kek there";
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(succeeded(directory->destroy_kek()));
    EXPECT_FALSE(directory->exists("kek"));
  }
  ASSERT_TRUE(succeeded(directory->mark_token("0123 x")));
  EXPECT_EQ(directory->marker()->so_pin.view(), "so pin");
  EXPECT_EQ(directory->marker()->serial, "0123 x");
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(succeeded(directory->destroy_rest()));
    for (const char* name : {"officer", "catalogue", "failures"}) EXPECT_FALSE(directory->exists(name));
  }
  EXPECT_EQ(slurp(place / "state"), "operational\n");
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(succeeded(directory->finish()));
    EXPECT_EQ(directory->durable(), Condition::zeroised);
    EXPECT_FALSE(directory->exists("zeroising"));
    EXPECT_EQ(slurp(place / "state"), "zeroised\n");
  }
  // And a new life.
  ASSERT_TRUE(succeeded(Kek::create(*directory, "")));
  ASSERT_TRUE(succeeded(directory->set_durable(Condition::operational)));
  EXPECT_EQ(directory->failures(), 0u);
}

TEST(VaultState, AMarkerWinsOverEverythingDamagedOrNot) {
  const VaultDirectory place;
  prepare(place.path());
  ASSERT_TRUE(succeeded(StateDirectory::open(place.path())->mark(Secret("so pin"))));
  spill(place / "state", "damaged");
  {
    auto directory = StateDirectory::open(place.path());
    ASSERT_TRUE(succeeded(directory));
    EXPECT_EQ(directory->durable(), Condition::zeroising);
    EXPECT_EQ(directory->marker()->so_pin.view(), "so pin");
  }
  const std::string good = slurp(place / "zeroising");
  for (size_t i = 0; i < good.size(); ++i) {
    std::string changed = good;
    changed[i] ^= 1;
    spill(place / "zeroising", changed);
    auto directory = StateDirectory::open(place.path());
    ASSERT_TRUE(succeeded(directory));
    EXPECT_EQ(directory->durable(), Condition::zeroising);
    EXPECT_TRUE(failed_with(Cause::malformed, directory->marker())) << i;
  }
}

TEST(VaultState, ConditionsHaveTheirWords) {
  const std::pair<Condition, std::string_view> words[] = {{Condition::uninitialised, "uninitialised"},
                                                          {Condition::operational, "operational"},
                                                          {Condition::officer, "officer"},
                                                          {Condition::zeroising, "zeroising"},
                                                          {Condition::zeroised, "zeroised"},
                                                          {Condition::error, "error"}};
  for (const auto& [condition, word] : words) EXPECT_EQ(condition_name(condition), word);
}

}  // namespace
}  // namespace postern::keystore
