// SPDX-License-Identifier: Apache-2.0
// Frames of fipsd's protocol: layout byte for byte, what is refused and how, words and errors of statuses, names.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "keystore/protocol/protocol.h"

namespace postern::keystore {
namespace {

using base::Cause;
using namespace std::string_literals;

const std::string kPing = "\x01\x01\0\0\x12\x34\x56\x78\0\0\x07\xd0"s;

TEST(Frame, RequestsHaveTheLayoutOfTheContract) {
  EXPECT_EQ(encode_request({Verb::ping, 0x12345678, 2000}, ""), kPing);
  EXPECT_EQ(encode_request({Verb::sign, 1, 0xffffffff}, "body"), "\x01\x06\0\0\0\0\0\x01\xff\xff\xff\xff"s + "body");
  const std::string frame = kPing + "body";
  const auto request = decode_request(frame);
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->header.verb, Verb::ping);
  EXPECT_EQ(request->header.id, 0x12345678u);
  EXPECT_EQ(request->header.deadline_ms, 2000u);
  EXPECT_EQ(request->body, "body");
}

TEST(Frame, RepliesHaveTheLayoutOfTheContract) {
  const std::string frame = "\x01\x07\0\0\x12\x34\x56\x78"s + "queue full";
  EXPECT_EQ(encode_reply({0x12345678, Status::busy, "queue full"}), frame);
  const auto reply = decode_reply(frame);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->id, 0x12345678u);
  EXPECT_EQ(reply->status, Status::busy);
  EXPECT_EQ(reply->body, "queue full");
  EXPECT_EQ(decode_reply("\x01\0\0\0\0\0\0\0"s)->id, 0u);
}

TEST(Frame, EveryTruncationOfAHeaderIsRefused) {
  for (size_t n = 0; n < kPing.size(); ++n) EXPECT_FALSE(decode_request(kPing.substr(0, n))) << n;
  const std::string reply = encode_reply({1, Status::ok, ""});
  for (size_t n = 0; n < reply.size(); ++n) EXPECT_FALSE(decode_reply(reply.substr(0, n))) << n;
}

TEST(Frame, BadRequestsAreRefusedWithWhatTheyCanBeTold) {
  const auto with = [](size_t at, char byte) {
    std::string frame = kPing;
    frame[at] = byte;
    return frame;
  };
  struct Case {
    std::string frame;
    Status status;
    uint32_t id;
  };
  const uint32_t id = 0x12345678;
  const Case cases[] = {
      {"", Status::malformed, 0},
      {kPing.substr(0, 7), Status::malformed, 0},
      {kPing.substr(0, 8), Status::malformed, id},
      {with(0, 2), Status::version, id},
      {with(0, 0), Status::version, id},
      {with(0, 2).substr(0, 8), Status::version, id},
      {with(1, 0), Status::unknown_verb, id},
      {with(1, 8), Status::unknown_verb, id},
      {with(1, 31), Status::unknown_verb, id},
      {with(1, 52), Status::unknown_verb, id},
      {with(1, '\xff'), Status::unknown_verb, id},
      {with(2, 1), Status::malformed, id},
      {with(3, 1), Status::malformed, id},
      {kPing.substr(0, 4) + "\0\0\0\0\0\0\x07\xd0"s, Status::malformed, 0},
      {kPing.substr(0, 8) + "\0\0\0\0"s, Status::malformed, id},
      {kPing + std::string(kMaxFrame, 'x'), Status::malformed, id},
  };
  for (const Case& one : cases) {
    EXPECT_FALSE(decode_request(one.frame));
    const Reply reply = refusal(one.frame);
    EXPECT_EQ(reply.status, one.status) << testing::PrintToString(one.frame.substr(0, 16));
    EXPECT_EQ(reply.id, one.id);
    EXPECT_TRUE(decode_reply(encode_reply(reply)).has_value());
  }
}

TEST(Frame, BadRepliesAreRefused) {
  const std::string good = encode_reply({7, Status::denied, "no"});
  const auto with = [&](size_t at, char byte) {
    std::string frame = good;
    frame[at] = byte;
    return frame;
  };
  EXPECT_TRUE(decode_reply(good));
  EXPECT_FALSE(decode_reply(with(0, 2)));
  EXPECT_FALSE(decode_reply(with(0, 0)));
  EXPECT_FALSE(decode_reply(with(1, 18)));
  EXPECT_FALSE(decode_reply(with(1, '\xff')));
  EXPECT_FALSE(decode_reply(with(2, 1)));
  EXPECT_FALSE(decode_reply(with(3, 1)));
  EXPECT_FALSE(decode_reply(good + std::string(kMaxText, 'x'))) << "a text for people has a bound";
  EXPECT_TRUE(decode_reply(encode_reply({7, Status::ok, std::string(kMaxFrame - kReplyHeader, 'x')})));
  EXPECT_FALSE(decode_reply(encode_reply({7, Status::ok, std::string(kMaxFrame - kReplyHeader + 1, 'x')})));
}

TEST(Frame, AServerOfAnotherVersionCanSaySo) {
  std::string frame = encode_reply({7, Status::version, "this fipsd speaks version 2"});
  frame[0] = 2;
  const auto reply = decode_reply(frame);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, Status::version);
  EXPECT_EQ(to_error(*reply).cause(), Cause::misconfigured);
}

TEST(Frame, LongTextsAreCutSoThatTheReplyCanBeRead) {
  const auto reply = decode_reply(encode_reply({7, Status::failed, std::string(kMaxFrame, 'x')}));
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->body.size(), kMaxText);
}

TEST(Frame, EveryVerbAndStatusHasAWordOfItsOwn) {
  std::set<std::string_view> words;
  size_t verbs = 0;
  for (int verb = 0; verb < 256; ++verb) {
    const bool known = decode_request(encode_request({static_cast<Verb>(verb), 1, 1}, "")).has_value();
    EXPECT_EQ(known, verb_name(static_cast<Verb>(verb)) != "unknown") << verb;
    if (known) words.insert(verb_name(static_cast<Verb>(verb)));
    verbs += known;
    EXPECT_EQ(is_officer_verb(static_cast<Verb>(verb)), verb >= 32);
  }
  EXPECT_EQ(verbs, 27u);
  EXPECT_EQ(words.size(), verbs);
  words.clear();
  for (int status = 0; status < 256; ++status) {
    const bool known = decode_reply(encode_reply({1, static_cast<Status>(status), ""})).has_value();
    EXPECT_EQ(known, status_name(static_cast<Status>(status)) != "unknown") << status;
    if (known) words.insert(status_name(static_cast<Status>(status)));
  }
  EXPECT_EQ(words.size(), 18u);
}

TEST(Frame, ErrorsSayWhatTheCallerCanDo) {
  const std::pair<Status, Cause> cases[] = {
      {Status::malformed, Cause::malformed},
      {Status::version, Cause::misconfigured},
      {Status::unknown_verb, Cause::misconfigured},
      {Status::not_found, Cause::not_found},
      {Status::denied, Cause::denied},
      {Status::not_allowed, Cause::misconfigured},
      {Status::busy, Cause::unavailable},
      {Status::expired, Cause::unavailable},
      {Status::unavailable, Cause::unavailable},
      {Status::uninitialised, Cause::misconfigured},
      {Status::zeroised, Cause::misconfigured},
      {Status::error_state, Cause::misconfigured},
      {Status::login_required, Cause::denied},
      {Status::wrong_password, Cause::denied},
      {Status::exists, Cause::denied},
      {Status::audit_full, Cause::unavailable},
      {Status::failed, Cause::internal},
  };
  for (const auto& [status, cause] : cases) {
    EXPECT_EQ(to_error({1, status, "why"}).cause(), cause) << status_name(status);
    EXPECT_EQ(to_error({1, status, "why"}).text(), "why");
    EXPECT_EQ(to_error({1, status, ""}).text(), status_name(status));
  }
  for (const Cause cause :
       {Cause::malformed, Cause::not_found, Cause::denied, Cause::unavailable, Cause::misconfigured, Cause::internal}) {
    EXPECT_EQ(to_error({1, from_error({cause, "why"}), "why"}).cause(), cause);
  }
  EXPECT_EQ(from_error({Cause::limit, "why"}), Status::malformed);
}

TEST(Names, UsesAreReadAsTheyAreWritten) {
  for (uint32_t uses = 1; uses <= kAllUses; ++uses) EXPECT_EQ(uses_from(uses_text(uses)), uses);
  EXPECT_EQ(uses_text(kAllUses), "dkim,smime,tls-server,tls-client,ldap");
  EXPECT_EQ(uses_text(0), "");
  EXPECT_EQ(uses_from(" dkim , ldap"), 17u);
  for (const std::string_view bad : {"", ",", "dkim,", "DKIM", "dkim;ldap", "tls"}) EXPECT_FALSE(uses_from(bad)) << bad;
}

TEST(Names, ObjectNames) {
  for (const std::string& good : {"a"s, "0"s, "example.org-2024_rsa"s, "A"s + std::string(63, '.')}) {
    EXPECT_TRUE(is_object_name(good)) << good;
  }
  for (const std::string& bad :
       {""s, "."s, "-a"s, "_a"s, "a b"s, "a/b"s, "a\0"s, "é"s, "a\n"s, "a*"s, std::string(65, 'a')}) {
    EXPECT_FALSE(is_object_name(bad)) << bad;
  }
}

TEST(Reader, AfterTheFirstFaultEverythingIsZero) {
  const std::string bytes = "\0\x05"s + "abc" + std::string(20, '\xff');
  Reader in(bytes);
  EXPECT_EQ(in.text(4), "");
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.u8(), 0);
  EXPECT_EQ(in.u16(), 0);
  EXPECT_EQ(in.u32(), 0u);
  EXPECT_EQ(in.u64(), 0u);
  EXPECT_EQ(in.blob(100), "");
  EXPECT_FALSE(in.done());
}

TEST(Reader, LengthsAreCheckedAgainstBoundAndRest) {
  const std::string fits = "\0\x03"s + "abc";
  EXPECT_EQ(Reader(fits).text(3), "abc");
  const std::string huge(4, '\xff');
  Reader in(huge);
  EXPECT_EQ(in.blob(SIZE_MAX), "");
  EXPECT_FALSE(in.ok());
}

}  // namespace
}  // namespace postern::keystore
