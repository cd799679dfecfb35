// SPDX-License-Identifier: Apache-2.0
// Every file operation fails once, at every place, with EIO and ENOSPC: no attempt is lost, no success is reported that
// is not on disk, and what is on disk is always whole. And a disk that is full still lets an officer zeroise.
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>

#include "keystore/catalogue.h"
#include "keystore/officer.h"
#include "keystore/state.h"
#include "test/support/faulty_disk.h"
#include "test/unit/vault_support.h"

namespace postern::keystore {
namespace {

using base::Cause;
using test::failed_with;
using test::FaultyDisk;
using test::slurp;
using test::succeeded;
using test::VaultDirectory;

constexpr int kErrors[] = {EIO, ENOSPC};

class VaultFault : public testing::Test {
 protected:
  void TearDown() override { FaultyDisk::heal(); }

  static void prepare(const VaultDirectory& place) {
    auto directory = StateDirectory::open(place.path());
    ASSERT_TRUE(succeeded(directory));
    auto kek = Kek::create(*directory, "");
    ASSERT_TRUE(succeeded(kek));
    ASSERT_TRUE(succeeded(directory->write("officer", "line")));
    Catalogue catalogue;
    ASSERT_TRUE(succeeded(save_catalogue(*directory, *kek, catalogue)));
    ASSERT_TRUE(succeeded(directory->set_durable(Condition::operational)));
  }

  // sweep runs `step` on a fresh operational directory with the k-th call failing, for every k until a run makes fewer
  // calls than k; `check` sees the directory opened again, the fault gone. `attempts` are on record before.
  static void sweep(const std::function<bool(StateDirectory&)>& step,
                    const std::function<void(StateDirectory&, bool succeeded, const std::string& place)>& check,
                    int attempts = 0) {
    for (const int error : kErrors) {
      for (uint64_t k = 1;; ++k) {
        ASSERT_LT(k, 200u);
        SCOPED_TRACE("call " + std::to_string(k) + " fails with " + std::to_string(error));
        const VaultDirectory place;
        prepare(place);
        bool done = false;
        bool reached = false;
        {
          auto directory = StateDirectory::open(place.path());
          ASSERT_TRUE(succeeded(directory));
          for (int i = 0; i < attempts; ++i) ASSERT_TRUE(succeeded(directory->begin_attempt()));
          FaultyDisk::fail_call(k, error);
          done = step(*directory);
          reached = FaultyDisk::calls() >= k;
          FaultyDisk::heal();
        }
        auto again = StateDirectory::open(place.path());
        ASSERT_TRUE(succeeded(again));
        check(*again, done, place.path());
        if (testing::Test::HasFailure()) return;
        if (!reached) {
          EXPECT_TRUE(done);
          break;
        }
      }
    }
  }
};

TEST_F(VaultFault, AnAttemptIsCountedOrNotBegun) {
  sweep([](StateDirectory& directory) { return directory.begin_attempt().has_value(); },
        [](StateDirectory& again, bool done, const std::string&) {
          EXPECT_GE(again.failures(), done ? 1u : 0u);
          EXPECT_LE(again.failures(), 1u);
        });
}

TEST_F(VaultFault, AFailingDiskDoesNotUseUpAttempts) {
  const VaultDirectory place;
  prepare(place);
  auto directory = StateDirectory::open(place.path());
  ASSERT_TRUE(succeeded(directory));
  FaultyDisk::fail_sync();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(failed_with(Cause::unavailable, directory->begin_attempt()));
  EXPECT_EQ(directory->failures(), 0u);
  FaultyDisk::heal();
  EXPECT_EQ(*directory->begin_attempt(), 1u);
  // Neither does one that takes the count but not its return to 0, three times and more.
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(succeeded(directory->begin_attempt()));
    FaultyDisk::fail_sync();
    EXPECT_TRUE(failed_with(Cause::unavailable, directory->succeed_attempt()));
    EXPECT_EQ(directory->failures(), 0u);
    FaultyDisk::heal();
  }
}

TEST_F(VaultFault, SettingBackIsDoneOrSaidNotToBe) {
  sweep([](StateDirectory& directory) { return directory.succeed_attempt().has_value(); },
        [](StateDirectory& again, bool done, const std::string&) {
          if (done) {
            EXPECT_EQ(again.failures(), 0u);
          } else {
            EXPECT_TRUE(again.failures() == 0 || again.failures() == 2);
          }
        },
        2);
}

TEST_F(VaultFault, ACatalogueIsTheOldOneOrTheNewOne) {
  sweep(
      [](StateDirectory& directory) {
        auto kek = Kek::load(directory, "");
        EXPECT_TRUE(succeeded(kek));
        auto catalogue = load_catalogue(directory, *kek);
        EXPECT_TRUE(succeeded(catalogue));
        catalogue->distrust = {"spki:00"};
        return save_catalogue(directory, *kek, *catalogue).has_value();
      },
      [](StateDirectory& again, bool done, const std::string&) {
        const auto kek = Kek::load(again, "");
        const auto catalogue = load_catalogue(again, *kek);
        ASSERT_TRUE(succeeded(catalogue));
        EXPECT_EQ(catalogue->distrust.size(), catalogue->generation - 1);
        if (done) {
          EXPECT_EQ(catalogue->generation, 2u);
        }
      });
}

TEST_F(VaultFault, InitialisingIsDoneOrCanBeDoneAgain) {
  sweep(
      [](StateDirectory& directory) {
        return directory.mark(Secret("pin")) && directory.destroy_kek() && directory.destroy_rest() &&
               directory.finish() && Kek::create(directory, "") && directory.write("officer", "line") &&
               directory.set_durable(Condition::operational);
      },
      [](StateDirectory& again, bool done, const std::string& place) {
        if (done) {
          EXPECT_EQ(again.durable(), Condition::operational);
        }
        if (again.durable() == Condition::zeroising) {
          EXPECT_TRUE(succeeded(again.destroy_kek()));
          EXPECT_TRUE(succeeded(again.destroy_rest()));
          EXPECT_TRUE(succeeded(again.finish()));
        }
        if (again.durable() == Condition::operational) return;
        EXPECT_TRUE(succeeded(Kek::create(again, "")));
        EXPECT_TRUE(succeeded(again.write("officer", "line")));
        EXPECT_TRUE(succeeded(again.set_durable(Condition::operational)));
        EXPECT_EQ(slurp(place + "/state"), "operational\n");
      });
}

// The service goes on after a failed step; the next start finishes.
TEST_F(VaultFault, ZeroisingEndsZeroisedWhateverFails) {
  sweep(
      [](StateDirectory& directory) {
        bool done = directory.mark(Secret("so pin")).has_value();
        done = directory.destroy_kek().has_value() && done;
        done = directory.destroy_rest().has_value() && done;
        return directory.finish().has_value() && done;
      },
      [](StateDirectory& again, bool done, const std::string& place) {
        EXPECT_NE(again.durable(), Condition::uninitialised);
        if (done) {
          EXPECT_EQ(again.durable(), Condition::zeroised);
        }
        if (again.durable() == Condition::zeroising) {
          EXPECT_EQ(again.marker()->so_pin.view(), "so pin");
          EXPECT_TRUE(succeeded(again.destroy_kek()));
          EXPECT_TRUE(succeeded(again.destroy_rest()));
          EXPECT_TRUE(succeeded(again.finish()));
        }
        EXPECT_FALSE(std::filesystem::exists(place + "/kek"));
        EXPECT_FALSE(Kek::load(again, ""));
      });
}

TEST_F(VaultFault, AFullDiskStillCountsAttemptsAndZeroises) {
  const VaultDirectory place;
  prepare(place);
  FaultyDisk::fill();
  for (uint32_t failures = 1; failures <= kMaxFailures; ++failures) {
    auto directory = StateDirectory::open(place.path());
    ASSERT_TRUE(succeeded(directory));
    EXPECT_TRUE(succeeded(directory->begin_attempt()));
  }
  {
    auto directory = StateDirectory::open(place.path());
    ASSERT_TRUE(succeeded(directory));
    EXPECT_EQ(directory->failures(), kMaxFailures);
    EXPECT_TRUE(succeeded(directory->mark(Secret("so pin"))));
    EXPECT_EQ(slurp(place / "zeroising").size(), std::string_view("zeroising so pin\t 0123456789abcdef\n").size());
    EXPECT_EQ(directory->marker()->so_pin.view(), "so pin");
    EXPECT_TRUE(succeeded(directory->destroy_kek()));
    EXPECT_TRUE(succeeded(directory->destroy_rest()));
    EXPECT_TRUE(succeeded(directory->finish()));
  }
  FaultyDisk::heal();
  auto directory = StateDirectory::open(place.path());
  EXPECT_EQ(directory->durable(), Condition::zeroised);
  for (const char* name : {"ballast-1", "ballast-6"}) EXPECT_TRUE(directory->exists(name)) << "room again";
}

TEST_F(VaultFault, ACatalogueDoesNotEatTheBallast) {
  const VaultDirectory place;
  prepare(place);
  auto directory = StateDirectory::open(place.path());
  const auto kek = Kek::load(*directory, "");
  Catalogue catalogue;
  catalogue.distrust.assign(100, "issuer:" + std::string(100, 'x'));
  FaultyDisk::fill();
  EXPECT_TRUE(failed_with(Cause::unavailable, save_catalogue(*directory, *kek, catalogue)));
  EXPECT_TRUE(directory->exists("ballast-1"));
  EXPECT_EQ(catalogue.generation, 0u);
}

TEST_F(VaultFault, WithoutABallastAFullDiskIsAnErrorAndNoAttempt) {
  const VaultDirectory place;
  prepare(place);
  auto directory = StateDirectory::open(place.path());
  for (char digit = '1'; digit <= '6'; ++digit) std::filesystem::remove(place / (std::string("ballast-") + digit));
  FaultyDisk::fill();
  EXPECT_TRUE(failed_with(Cause::unavailable, directory->begin_attempt()));
  EXPECT_EQ(directory->failures(), 0u);
}

}  // namespace
}  // namespace postern::keystore
