// SPDX-License-Identifier: Apache-2.0
// Which profiles sign a message, what becomes of it when one cannot, and what is learnt about keys.
#include "milter/stages/sendmail_form.h"
#include "milter/stages/sign.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/soft_keys.h"

namespace postern::stages {
namespace {

using test::SoftKeys;
using testing::HasSubstr;
using Outcome = ProfileReport::Outcome;

constexpr int64_t kNow = 1767225600;

SigningProfile profile_of(std::string name, std::string domain, std::vector<std::string> keys = {"e"}) {
  SigningProfile profile;
  profile.name = std::move(name);
  profile.dkim.domain = std::move(domain);
  for (std::string& key : keys) profile.dkim.keys.push_back({"s-" + key, key, {}});
  profile.types.resize(keys.size());
  return profile;
}

class Stage {
 public:
  Stage() {
    keys = std::make_shared<SoftKeys>();
    keys->generate("e", crypto::KeyType::ed25519);
    keys->generate("p", crypto::KeyType::ec_p256);
  }
  SignReport run(std::vector<SigningProfile> profiles, std::string_view from, std::string_view user = "") {
    std::vector<uint32_t> all;
    for (uint32_t i = 0; i < profiles.size(); ++i) all.push_back(i);
    signer = std::make_unique<Signer>(std::move(profiles), keys, std::chrono::milliseconds(500), false);
    return again(from, user);
  }
  SignReport again(std::string_view from, std::string_view user = "") {
    std::vector<uint32_t> all;
    for (uint32_t i = 0; i < signer->profiles().size(); ++i) all.push_back(i);
    message = std::make_unique<message::Message>(base::Limits{});
    for (const auto& line : fields) message->headers.add_received(line.first, line.second);
    if (!from.empty()) message->headers.add_received("From", from);
    message->set_body("text\r\n");
    if (!user.empty()) message->envelope.auth_user = user;
    return signer->run(*message, all, kNow);
  }
  size_t signatures() const { return message->headers.count("DKIM-Signature"); }
  bool signs(SigningProfile profile, std::string_view from, std::string_view user = "") {
    std::vector<SigningProfile> one;
    one.push_back(std::move(profile));
    const SignReport report = run(std::move(one), from, user);
    why = report.profiles.at(0).detail;
    EXPECT_EQ(report.profiles.at(0).outcome == Outcome::signed_, signatures() == 1) << why;
    return signatures() == 1;
  }
  std::shared_ptr<SoftKeys> keys;
  std::vector<std::pair<std::string, std::string>> fields;
  std::unique_ptr<Signer> signer;
  std::unique_ptr<message::Message> message;
  std::string why;
};

TEST(StagesSign, TheAuthorsDomainDecides) {
  Stage stage;
  const auto profile = [] { return profile_of("P", "example.org"); };
  EXPECT_TRUE(stage.signs(profile(), " Alice <alice@EXAMPLE.org>"));
  EXPECT_TRUE(stage.signs(profile(), " alice@news.example.org"));
  EXPECT_TRUE(stage.signs(profile(), " \"a@other.test\" <alice@example.org>"));
  EXPECT_TRUE(stage.signs(profile(), " J. R. =?utf-8?q?M=C3=BCller?= (work) <j@example.org>"));
  for (const auto& [from, why] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {" alice@example.net", "the author's domain is example.net"},
           {" alice@badexample.org", "the author's domain is badexample.org"},
           {" \"alice@example.org\" <m@other.test>", "the author's domain is other.test"},
           {" alice", "From cannot be read without doubt"},
           {" alice@example.org <m@other.test>", "From cannot be read without doubt"},
           {"", "there is no From"},
           {" ", "From has no address"},
           {" undisclosed:;", "From has no address"},
           {" a@example.org, b@example.org", "From has several addresses and there is no Sender"}}) {
    EXPECT_FALSE(stage.signs(profile(), from)) << from;
    EXPECT_EQ(stage.why, why) << from;
  }
  stage.fields = {{"From", " bob@example.org"}};
  EXPECT_FALSE(stage.signs(profile(), " alice@example.org"));
  EXPECT_EQ(stage.why, "there is more than one From field");
}

TEST(StagesSign, SenderCountsWhereFromNamesSeveral) {
  Stage stage;
  stage.fields = {{"Sender", " list@example.org"}};
  EXPECT_TRUE(stage.signs(profile_of("P", "example.org"), " a@x.test, b@y.test"));
  EXPECT_FALSE(stage.signs(profile_of("P", "example.org"), " a@x.test"));
  SigningProfile by_sender = profile_of("P", "example.org");
  by_sender.align = Align::sender;
  EXPECT_TRUE(stage.signs(by_sender, " a@x.test"));
  stage.fields = {{"Sender", " list@x.test"}};
  EXPECT_FALSE(stage.signs(by_sender, " a@example.org"));
  EXPECT_FALSE(stage.signs(profile_of("P", "example.org"), " a@example.org, b@example.org"));
  stage.fields = {{"Sender", " a@example.org, b@example.org"}};
  EXPECT_FALSE(stage.signs(by_sender, " a@example.org"));
  EXPECT_EQ(stage.why, "Sender is not one address");
  stage.fields.clear();
  EXPECT_TRUE(stage.signs(by_sender, " a@example.org"));
}

TEST(StagesSign, AnyAuthor) {
  Stage stage;
  SigningProfile any = profile_of("P", "esp.example");
  any.align = Align::any;
  EXPECT_TRUE(stage.signs(any, " a@customer.test"));
  EXPECT_TRUE(stage.signs(any, " a@x.test, b@y.test"));
}

TEST(StagesSign, DomainsInBothSpellingsAreEqual) {
  Stage stage;
  EXPECT_TRUE(stage.signs(profile_of("P", "xn--bcher-kva.example"),
                          " a@B\xC3\xBC"
                          "cher.example"));
  EXPECT_TRUE(stage.signs(profile_of("P", "xn--bcher-kva.example"), " a@XN--bcher-kva.example"));
  EXPECT_TRUE(stage.signs(profile_of("P", "xn--bcher-kva.example"),
                          " a@mail.b\xC3\xBC"
                          "cher.example"));
}

TEST(StagesSign, Users) {
  Stage stage;
  SigningProfile profile = profile_of("P", "example.org");
  profile.users = {"alice", "bob@example.org", "@news.example.org"};
  EXPECT_TRUE(stage.signs(profile, " Alice <x@example.org>", "Alice"));
  EXPECT_TRUE(stage.signs(profile, " BOB@example.org"));
  EXPECT_TRUE(stage.signs(profile, " x@example.org", "bob@EXAMPLE.org"));
  EXPECT_TRUE(stage.signs(profile, " x@news.example.org"));
  EXPECT_FALSE(stage.signs(profile, " x@example.org"));
  EXPECT_FALSE(stage.signs(profile, " x@example.org", "carol"));
  EXPECT_FALSE(stage.signs(profile, " alice@example.org"));
  EXPECT_EQ(stage.why, "neither author nor login is among its users");
  // Who may log in may not sign for another domain.
  EXPECT_FALSE(stage.signs(profile, " x@other.test", "alice"));
  EXPECT_EQ(stage.why, "the author's domain is other.test");
}

TEST(StagesSign, EveryProfileThatFitsSigns) {
  Stage stage;
  std::vector<SigningProfile> profiles;
  profiles.push_back(profile_of("narrow", "news.example.org"));
  profiles.push_back(profile_of("other", "example.net"));
  profiles.push_back(profile_of("wide", "example.org"));
  const SignReport report = stage.run(std::move(profiles), " a@news.example.org");
  EXPECT_FALSE(report.decision);
  ASSERT_EQ(report.profiles.size(), 3u);
  EXPECT_EQ(stage.signatures(), 2u);
  EXPECT_THAT(stage.message->headers[0].value, HasSubstr("d=news.example.org"));
  EXPECT_THAT(stage.message->headers[1].value, HasSubstr("d=example.org"));
}

TEST(StagesSign, KeyTypesAreAskedForOnceAndAgainAfterARefusal) {
  Stage stage;
  std::vector<SigningProfile> one;
  one.push_back(profile_of("P", "example.org"));
  EXPECT_FALSE(stage.run(std::move(one), " a@example.org").decision);
  EXPECT_FALSE(stage.again(" a@example.org").decision);
  EXPECT_EQ(stage.keys->describe_calls, 1u);
  // The key is made anew with another type.
  stage.keys->generate("e", crypto::KeyType::rsa);
  EXPECT_EQ(stage.again(" a@example.org").decision, WhenUnavailable::defer);
  EXPECT_FALSE(stage.again(" a@example.org").decision);
  EXPECT_EQ(stage.keys->describe_calls, 2u);
  EXPECT_THAT(stage.message->headers[0].value, HasSubstr("a=rsa-sha256"));
}

TEST(StagesSign, ATypeThatIsGivenIsNotAskedFor) {
  Stage stage;
  SigningProfile profile = profile_of("P", "example.org");
  profile.types[0] = crypto::KeyType::ed25519;
  EXPECT_TRUE(stage.signs(profile, " a@example.org"));
  EXPECT_EQ(stage.keys->describe_calls, 0u);
}

TEST(StagesSign, WhatCannotSignDefersUnlessTheProfileSaysOtherwise) {
  for (const base::Cause cause : {base::Cause::unavailable, base::Cause::denied, base::Cause::not_found,
                                  base::Cause::misconfigured, base::Cause::malformed, base::Cause::internal}) {
    for (const WhenUnavailable what : {WhenUnavailable::defer, WhenUnavailable::reject, WhenUnavailable::unsigned_}) {
      Stage stage;
      stage.keys->failure = base::Error(cause, "why");
      SigningProfile profile = profile_of("P", "example.org");
      profile.types[0] = crypto::KeyType::ed25519;
      profile.when_unavailable = what;
      std::vector<SigningProfile> one;
      one.push_back(profile);
      const SignReport report = stage.run(std::move(one), " a@example.org");
      ASSERT_EQ(report.profiles.size(), 1u);
      EXPECT_EQ(report.profiles[0].outcome, Outcome::failed);
      EXPECT_EQ(report.profiles[0].cause, cause);
      EXPECT_EQ(report.profiles[0].detail, "selector 's-e', key 'e': why");
      EXPECT_EQ(report.profiles[0].consequence, what);
      if (what == WhenUnavailable::unsigned_) {
        EXPECT_FALSE(report.decision);
      } else {
        EXPECT_EQ(report.decision, what);
      }
      EXPECT_EQ(stage.signatures(), 0u);
    }
  }
}

TEST(StagesSign, OneProfileThatDefersDefersTheMessage) {
  Stage stage;
  std::vector<SigningProfile> profiles;
  profiles.push_back(profile_of("good", "example.org"));
  profiles.push_back(profile_of("refuses", "example.org", {"missing"}));
  profiles.back().when_unavailable = WhenUnavailable::reject;
  profiles.push_back(profile_of("defers", "example.org", {"p"}));
  profiles.push_back(profile_of("careless", "example.org", {"missing"}));
  profiles.back().when_unavailable = WhenUnavailable::unsigned_;
  const SignReport report = stage.run(std::move(profiles), " a@example.org");
  EXPECT_EQ(report.decision, WhenUnavailable::defer);
  EXPECT_EQ(stage.signatures(), 0u);
  EXPECT_EQ(report.profiles[1].cause, base::Cause::not_found);
  EXPECT_EQ(report.profiles[2].cause, base::Cause::misconfigured);
  EXPECT_THAT(report.profiles[2].detail, HasSubstr("the key is of type p256"));
}

TEST(StagesSign, AddressesAsSendmailWritesThem) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", ""},
      {" a@x.test", " a@x.test"},
      {" a@x.test,b@x.test ,  c@x.test", " a@x.test, b@x.test,  c@x.test"},
      {" a@x.test,\n\tb@x.test,\n c@x.test", " a@x.test,\n\tb@x.test,\n c@x.test"},
      {" Joe Q. Public <d@y.test>,O'Brien<o@y.test>", " \"Joe Q. Public\" <d@y.test>, \"O'Brien\"<o@y.test>"},
      {" \"x, y.\"<e@y.test>,\"q\\\",\" <f@y.test>", " \"x, y.\"<e@y.test>, \"q\\\",\" <f@y.test>"},
      {" h@y.test (a, comment.),J. (x) <i@y.test>", " h@y.test (a, comment.), J. (x) <i@y.test>"},
      {" group: f@y.test,g@y.test;,<h.i@y.test>", " group: f@y.test, g@y.test;, <h.i@y.test>"},
      {" <@a.test,@b.test:c@d.test>,e@y.test", " <@a.test,@b.test:c@d.test>, e@y.test"},
      {" =?utf-8?q?J=2E?= <j@y.test>", " =?utf-8?q?J=2E?= <j@y.test>"},
      {",a@x.test,,", ", a@x.test,,"},
  };
  for (const auto& [value, written] : cases) {
    EXPECT_EQ(sendmail_form(value), written);
    EXPECT_EQ(sendmail_form(written), written);
  }
  mime::HeaderList headers;
  headers.add_received("To", " a@x.test,b@x.test");
  headers.add_received("Cc", " a@x.test, b@x.test");
  headers.add_received("Subject", " a,b");
  use_sendmail_form(headers);
  EXPECT_EQ(headers[0].value, " a@x.test, b@x.test");
  EXPECT_TRUE(headers[0].changed);
  EXPECT_FALSE(headers[1].changed);
  EXPECT_EQ(headers[2].value, " a,b");
}

TEST(StagesSign, BodiesAreMadeFitFirst) {
  Stage stage;
  SigningProfile keep = profile_of("P", "example.org");
  keep.encode_eight_bit = false;
  std::vector<SigningProfile> profiles;
  profiles.push_back(keep);
  Signer signer(profiles, stage.keys, std::chrono::milliseconds(500), false);
  message::Message kept{base::Limits{}};
  kept.headers.add_received("From", " caf\xC3\xA9 <a@example.org>");
  kept.set_body("caf\xC3\xA9\r\n");
  const uint32_t all[] = {0};
  SignReport report = signer.run(kept, all, kNow);
  EXPECT_FALSE(kept.body_edited());
  EXPECT_TRUE(report.eight_bit_header);
  profiles[0].encode_eight_bit = true;
  Signer encoding(profiles, stage.keys, std::chrono::milliseconds(500), false);
  report = encoding.run(kept, all, kNow);
  EXPECT_EQ(report.recoded_parts, 1u);
  EXPECT_EQ(kept.final_body().flatten(), "caf=C3=A9\r\n");
}

}  // namespace
}  // namespace postern::stages
