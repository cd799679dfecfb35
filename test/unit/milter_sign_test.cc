// SPDX-License-Identifier: Apache-2.0
// Signing as the MTA and the log see it: what is asked for, the fields that are put on top, and that no error lets a
// message pass unsigned unless the profile says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "milter/session.h"
#include "test/support/soft_keys.h"
#include "test/unit/milter_fixture.h"

namespace postern::milter {
namespace {

using stages::WhenUnavailable;
using testing::HasSubstr;
using testing::StartsWith;

void sign_all(Settings& settings) {
  stages::SigningProfile profile;
  profile.name = "P";
  profile.dkim.domain = "example.org";
  profile.dkim.keys = {{"r1", "rsa", {}}, {"e1", "ed", {}}};
  profile.types.resize(2);
  settings.dkim.push_back(std::move(profile));
  settings.flows[0].sign = {0};
}

class MilterSign : public ::testing::Test {
 protected:
  void SetUp() override { EXPECT_TRUE(base::open_log({"stderr", base::Level::error})); }

  void use(const std::string& rules, WhenUnavailable what = WhenUnavailable::defer, bool encode = true) {
    auto generation = make_generation(rules, 1, sign_all);
    generation->settings.dkim[0].when_unavailable = what;
    generation->settings.dkim[0].encode_eight_bit = encode;
    keys = std::make_shared<test::SoftKeys>();
    keys->generate("rsa", crypto::KeyType::rsa, 1024);
    keys->generate("ed", crypto::KeyType::ed25519);
    generation->use_keys(keys);
    service = std::make_unique<Service>(generation);
  }

  Answer send(std::string_view from, std::string_view body = "text\r\n") {
    mta = {};
    Session session(*service);
    session.negotiate({0x1ff, 0x1fffff}, mta);
    session.connect(mta, {"client.example", "192.0.2.1", true});
    const std::string_view sender[] = {"<a@example.org>"};
    EXPECT_EQ(session.mail(mta, sender), Answer::proceed);
    const std::string_view recipient[] = {"<b@example.net>"};
    EXPECT_EQ(session.recipient(mta, recipient), Answer::proceed);
    session.header("From", " " + std::string(from));
    session.header("DKIM-Signature", " v=1; forged");
    session.body(body);
    return session.end_of_message(mta);
  }

  std::shared_ptr<test::SoftKeys> keys;
  std::unique_ptr<Service> service;
  FakeMta mta;
};

TEST_F(MilterSign, AsksTheMtaForWhatASignatureCovers) {
  use("");
  Negotiable wants = service->current()->wants;
  EXPECT_EQ(wants.actions, kActionAddHeader | kActionChangeHeader | kActionChangeBody);
  EXPECT_EQ(wants.steps_off & (kNoHeader | kNoBody), 0u);
  EXPECT_TRUE(wants.keep_body);
  use("", WhenUnavailable::defer, false);
  wants = service->current()->wants;
  EXPECT_EQ(wants.actions, kActionAddHeader);
}

TEST_F(MilterSign, BothSignaturesGoOnTop) {
  use("");
  const CapturedLog log;
  EXPECT_EQ(send("Alice <alice@example.org>"), Answer::proceed);
  ASSERT_EQ(mta.calls.size(), 2u);
  // What is inserted last is on top: the first key's.
  EXPECT_THAT(mta.calls[0], StartsWith("insert 0 DKIM-Signature: v=1; a=ed25519-sha256;"));
  EXPECT_THAT(mta.calls[1], StartsWith("insert 0 DKIM-Signature: v=1; a=rsa-sha256;"));
  EXPECT_EQ(keys->sign_calls, 1u);
  EXPECT_EQ(log.matching("DKIM: signed by profile 'P', d=example.org s=r1 s=e1"), 1u);
  EXPECT_EQ(log.matching("[message-signed]"), 1u);
}

TEST_F(MilterSign, ForeignAuthorsPassUnsigned) {
  use("");
  const CapturedLog log;
  EXPECT_EQ(send("mallory@other.test"), Answer::proceed);
  EXPECT_TRUE(mta.calls.empty());
  EXPECT_EQ(keys->sign_calls, 0u);
  EXPECT_EQ(log.matching("DKIM: not signed by profile 'P': the author's domain is other.test"), 1u);
}

TEST_F(MilterSign, TheBodyIsMadeFitOnTheWay) {
  use("");
  const CapturedLog log;
  EXPECT_EQ(send("a\xC3\xA9 <alice@example.org>", "caf\xC3\xA9 au lait\r\n"), Answer::proceed);
  EXPECT_EQ(mta.body, "caf=C3=A9 au lait\r\n");
  EXPECT_EQ(log.matching("[message-recoded]"), 1u);
  EXPECT_EQ(log.matching("[eight-bit-header-signed]"), 1u);
  EXPECT_EQ(send("alice@example.org", "caf\xE9\r\n"), Answer::proceed);
  EXPECT_EQ(log.matching("[message-not-recoded]"), 1u);
}

TEST_F(MilterSign, EachErrorHasItsLineAndDefers) {
  const std::pair<base::Cause, std::string> cases[] = {{base::Cause::unavailable, "[sign-unavailable]"},
                                                       {base::Cause::denied, "[sign-denied]"},
                                                       {base::Cause::not_found, "[sign-key-missing]"},
                                                       {base::Cause::misconfigured, "[sign-misconfigured]"},
                                                       {base::Cause::malformed, "[sign-failed]"},
                                                       {base::Cause::internal, "[sign-failed]"},
                                                       {base::Cause::limit, "[sign-failed]"}};
  for (const auto& [cause, line] : cases) {
    use("");
    const CapturedLog log;
    keys->failure = base::Error(cause, "because");
    EXPECT_EQ(send("alice@example.org"), Answer::tempfail);
    EXPECT_EQ(mta.reply, "451 4.3.0 Message cannot be signed just now, try again later");
    EXPECT_TRUE(mta.calls.empty());
    EXPECT_EQ(log.matching(line), 1u);
    EXPECT_EQ(log.matching("deferred: "), 1u);
    EXPECT_EQ(log.matching("Deferred by DKIM profile 'P': 451 4.3.0"), 1u);
    EXPECT_EQ(log.matching("[message-signed]"), 0u);
    // And it goes on as soon as the keys are there again.
    keys->failure.reset();
    EXPECT_EQ(send("alice@example.org"), Answer::proceed);
    EXPECT_EQ(mta.calls.size(), 2u);
  }
}

TEST_F(MilterSign, AProfileMayRefuseOrLetPass) {
  use("", WhenUnavailable::reject);
  const CapturedLog log;
  keys->failure = base::Error(base::Cause::denied, "because");
  EXPECT_EQ(send("alice@example.org"), Answer::reject);
  EXPECT_EQ(mta.reply, "550 5.7.5 Message cannot be signed");
  EXPECT_EQ(log.matching("refused: fipsd does not let us sign by profile 'P'"), 1u);
  use("", WhenUnavailable::unsigned_);
  keys->failure = base::Error(base::Cause::unavailable, "because");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(send("alice@example.org"), Answer::proceed);
  EXPECT_TRUE(mta.calls.empty());
  EXPECT_EQ(log.matching("goes on without this signature: fipsd does not answer profile 'P'"), 2u)
      << "never without a word";
}

TEST_F(MilterSign, FiltersComeFirstAndHeldMailIsSigned) {
  use("filters:\n  - {name: strip, if: 'true', then: [{strip-header: DKIM-Signature}, {quarantine: Policy}]}\n");
  EXPECT_EQ(send("alice@example.org"), Answer::proceed);
  ASSERT_EQ(mta.calls.size(), 4u);
  EXPECT_EQ(mta.calls[0], "delete 1 DKIM-Signature");
  EXPECT_THAT(mta.calls[1], StartsWith("insert 0 DKIM-Signature"));
  EXPECT_THAT(mta.calls[3], StartsWith("quarantine Policy"));
  for (const char* action : {"drop", "reject", "defer: no"}) {
    use("filters:\n  - {name: end, if: 'true', then: [" +
        (std::string(action).find(':') == std::string::npos ? std::string(action) : "{" + std::string(action) + "}") +
        "]}\n");
    send("alice@example.org");
    EXPECT_EQ(keys->sign_calls, 0u) << action;
  }
  use("filters:\n  - {name: skip, if: 'true', then: [skip-filters]}\n");
  EXPECT_EQ(send("alice@example.org"), Answer::proceed);
  EXPECT_EQ(mta.calls.size(), 2u) << "skip-filters skips filters, not signatures";
}

TEST_F(MilterSign, ATraceHasTheStage) {
  use("");
  Transaction transaction(service->current()->generation, nullptr, 1, 0);
  transaction.message().envelope.from = "a@example.org";
  transaction.mail();
  transaction.header("From", " alice@example.org");
  transaction.body("x\r\n");
  const Finished finished = transaction.finish(true);
  ASSERT_EQ(finished.stages.size(), 2u);
  EXPECT_EQ(finished.stages[1].name, "sign");
  EXPECT_EQ(finished.stages[1].outcome, "done");
  EXPECT_EQ(finished.stages[1].detail, "P: d=example.org s=r1 s=e1");
}

TEST_F(MilterSign, WithoutABodyNothingPasses) {
  use("");
  Transaction transaction(service->current()->generation, nullptr, 1, 0);
  transaction.message().envelope.from = "a@example.org";
  transaction.mail();
  transaction.header("From", " alice@example.org");
  const Finished finished = transaction.finish(false);
  EXPECT_EQ(finished.decision.verdict, Verdict::tempfail);
}

}  // namespace
}  // namespace postern::milter
