// SPDX-License-Identifier: Apache-2.0
// Data keys of the store under a key of fipsd's: what goes there and back, and what each refusal means for contents;
// and a keeper that says once that there is no key.
#include "milter/store_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "milter/keeper.h"
#include "test/support/soft_keys.h"
#include "test/support/temporary_directory.h"
#include "test/unit/milter_fixture.h"

namespace postern::milter {
namespace {

using base::Cause;
using testing::HasSubstr;
using testing::Not;

class MilterStoreKeys : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ops() = std::make_shared<test::SoftKeys>();
    ops()->generate("store", crypto::KeyType::rsa);
    ops()->generate("other", crypto::KeyType::rsa);
    ops()->generate("curve", crypto::KeyType::ec_p256);
    ops()->generate("short", crypto::KeyType::rsa, 1024);
  }
  static void TearDownTestSuite() { ops() = nullptr; }
  void SetUp() override { ops()->failure.reset(); }

  static std::shared_ptr<test::SoftKeys>& ops() {
    static std::shared_ptr<test::SoftKeys> kOps;
    return kOps;
  }
  StoreKeys keys{ops(), std::chrono::seconds(1)};
  const base::Secret secret{std::string(32, 's')};
};

TEST_F(MilterStoreKeys, ThereAndBack) {
  const auto wrapped = keys.wrap("store", "label", secret);
  ASSERT_TRUE(wrapped) << wrapped.error().text();
  EXPECT_EQ(wrapped->size(), 256u);
  EXPECT_NE(*keys.wrap("store", "label", secret), *wrapped);
  const auto back = keys.unwrap("store", "label", *wrapped);
  ASSERT_TRUE(back) << back.error().text();
  EXPECT_EQ(back->view(), secret.view());
  for (const auto& [name, label] : {std::pair{"store", "another label"}, std::pair{"other", "label"}}) {
    const auto wrong = keys.unwrap(name, label, *wrapped);
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().cause(), Cause::misconfigured);
    EXPECT_THAT(wrong.error().text(), HasSubstr("another key"));
  }
  EXPECT_NE(*keys.fingerprint("store"), *keys.fingerprint("other"));
  EXPECT_EQ(*keys.fingerprint("store"), *keys.fingerprint("store"));
}

TEST_F(MilterStoreKeys, OnlyGoodRsaKeysServe) {
  for (const char* name : {"curve", "short"}) {
    EXPECT_EQ(keys.fingerprint(name).error().cause(), Cause::misconfigured) << name;
    EXPECT_THAT(keys.wrap(name, "label", secret).error().text(), HasSubstr("no RSA key of at least 2048 bits"));
  }
}

TEST_F(MilterStoreKeys, RefusalsSayWhatTheyMean) {
  const auto missing = keys.fingerprint("nothing");
  EXPECT_EQ(missing.error().cause(), Cause::misconfigured);
  EXPECT_THAT(missing.error().text(), HasSubstr("is lost, unless the key comes back"));
  const auto ask = [&](Cause cause, const std::string& text) {
    ops()->failure = base::Error(cause, text);
    const auto answer = keys.unwrap("store", "label", "x");
    EXPECT_EQ(keys.fingerprint("store").error().text(), answer.error().text());
    return answer.error();
  };
  EXPECT_THAT(ask(Cause::misconfigured, "fipsd was zeroised").text(), HasSubstr("is lost, unless"));
  EXPECT_THAT(ask(Cause::misconfigured, "a self-test failed").text(), HasSubstr("cannot be read"));
  const base::Error away = ask(Cause::unavailable, "nobody listens");
  EXPECT_EQ(away.cause(), Cause::unavailable);
  EXPECT_THAT(away.text(), Not(HasSubstr("lost")));
  EXPECT_EQ(ask(Cause::denied, "no right").cause(), Cause::denied);
}

TEST_F(MilterStoreKeys, AKeeperSaysOnceThatThereIsNoKey) {
  const test::TemporaryDirectory directory;
  static std::string where;
  where = directory.path();
  {
    Service service(make_generation("filters: []\n", 1, [](Settings& settings) {
      settings.store = "sqlite:" + where + "/postern.db";
      settings.store_key = "store";
      settings.keys_socket = where + "/nobody.sock";
    }));
    const CapturedLog log;
    Keeper keeper(service);
    for (int i = 0; i < 3; ++i) keeper.step(1'900'000'000 + i, Keeper::Clock::now());
    EXPECT_EQ(log.matching("[store-key-failed]"), 1u);
    EXPECT_EQ(log.matching("[store-failed]"), 0u) << "the store itself is there";
    EXPECT_EQ(
        (*service.store())->queue({store::MailKind::alert, "", {"a@example.org"}, {"x"}, 0}, 0, 1).error().cause(),
        Cause::unavailable);
  }
}

}  // namespace
}  // namespace postern::milter
