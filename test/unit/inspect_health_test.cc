// SPDX-License-Identifier: Apache-2.0
// Whether a server answers, and decimal numbers.
#include <gtest/gtest.h>

#include "engine/base/decimal.h"
#include "engine/base/health.h"

namespace postern::base {
namespace {

using std::chrono::milliseconds;

TEST(Health, PausesDoubleUpToTheBoundAndOneAnswerEndsThem) {
  Health health(milliseconds(3000));
  Health::Clock::time_point now = Health::Clock::now();
  EXPECT_TRUE(health.enter(now));
  EXPECT_LT(health.due(), now);
  EXPECT_TRUE(health.failed("a", now));
  for (const int pause : {500, 1000, 2000, 3000, 3000}) {
    EXPECT_FALSE(health.enter(now + milliseconds(pause - 1)));
    EXPECT_EQ(health.due(), now + milliseconds(pause));
    now += milliseconds(pause);
    EXPECT_TRUE(health.enter(now));
    EXPECT_FALSE(health.enter(now)) << "one tries, the others pass by";
    EXPECT_FALSE(health.failed("b", now)) << "it was thought so before";
  }
  EXPECT_EQ(health.status().reason, "b");
  EXPECT_EQ(health.status().failures, 6u);
  EXPECT_TRUE(health.succeeded());
  EXPECT_FALSE(health.succeeded());
  EXPECT_TRUE(health.enter(now));
  EXPECT_TRUE(health.failed("c", now));
  EXPECT_EQ(health.due(), now + milliseconds(500)) << "pauses begin anew";
}

TEST(Health, OneFailureNoticedByManyGrowsThePauseOnce) {
  Health health(milliseconds(30'000));
  const Health::Clock::time_point now = Health::Clock::now();
  for (int i = 0; i < 20; ++i) health.failed("x", now);
  EXPECT_EQ(health.due(), now + milliseconds(500));
}

TEST(Health, JitterLengthensByAFifthAtMost) {
  bool differ = false;
  Health::Clock::duration first{};
  for (int i = 0; i < 200; ++i) {
    Health health(milliseconds(30'000), true);
    const Health::Clock::time_point now = Health::Clock::now();
    health.failed("x", now);
    const auto pause = health.due() - now;
    EXPECT_GE(pause, milliseconds(500));
    EXPECT_LE(pause, milliseconds(600));
    if (i == 0) first = pause;
    differ = differ || pause != first;
  }
  EXPECT_TRUE(differ);
}

TEST(Health, AnAbandonedAttemptLeavesThePlaceToTheNext) {
  Health health(milliseconds(1000));
  const Health::Clock::time_point now = Health::Clock::now();
  health.failed("x", now);
  EXPECT_TRUE(health.enter(now + milliseconds(500)));
  health.leave();
  EXPECT_TRUE(health.enter(now + milliseconds(500)));
}

TEST(Health, WhatAnEarlierLoadKnewStaysKnownAndIsTriedAtOnce) {
  Health earlier(milliseconds(1000));
  earlier.failed("away", Health::Clock::now());
  Health health(milliseconds(1000));
  health.inherit(earlier);
  EXPECT_FALSE(health.up());
  EXPECT_EQ(health.status().reason, "away");
  EXPECT_TRUE(health.enter(Health::Clock::now()));
}

TEST(Decimal, IsReadAndWrittenExactly) {
  const std::pair<const char*, int64_t> good[] = {{"0", 0},
                                                  {"7", 7000},
                                                  {"7.5", 7500},
                                                  {"-0.25", -250},
                                                  {"+3.1", 3100},
                                                  {"5.0", 5000},
                                                  {"0.001", 1},
                                                  {"0.0009", 0},
                                                  {"1000000", 1'000'000'000},
                                                  {"-1000000", -1'000'000'000},
                                                  {"007", 7000},
                                                  {"12.3456", 12345}};
  for (const auto& [text, value] : good) EXPECT_EQ(read_thousandths(text), value) << text;
  for (const char* wrong : {"", "-", ".", "1.", ".5", "1.2.3", "1e3", "nan", "1000001", "1000000.001", "--1", "1 ",
                            " 1", "1,5", "99999999999999999999999"}) {
    EXPECT_EQ(read_thousandths(wrong), std::nullopt) << wrong;
  }
  for (const int64_t value :
       {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{10}, int64_t{7500}, int64_t{-250}, kMostThousandths}) {
    EXPECT_EQ(read_thousandths(format_thousandths(value)), value);
  }
  EXPECT_EQ(format_thousandths(7500), "7.5");
  EXPECT_EQ(format_thousandths(-250), "-0.25");
  EXPECT_EQ(format_thousandths(15000), "15");
}

}  // namespace
}  // namespace postern::base
