// SPDX-License-Identifier: Apache-2.0
// A session against an MTA that only writes down what it hears: negotiation over every subset of options, phases,
// limits, failing calls, reloads and odd orders.
#include "milter/session.h"

#include <gtest/gtest.h>

#include <random>

#include "test/unit/milter_fixture.h"

namespace postern::milter {
namespace {

constexpr uint32_t kAllActions = 0x1ff;
constexpr uint32_t kAllSteps = 0x1fffff;

constexpr std::string_view kHeaderRule = R"(
filters:
  - name: mark
    if: header("X-Bad") == "yes"
    then: [{insert-header: {name: X-Marked, value: "1"}}]
  - name: refuse
    if: header("X-Bad") == "worst"
    then: [{reject: {code: 554, enhanced: 5.7.9, text: "100% no"}}]
)";
constexpr std::string_view kBodyRule = R"(
filters:
  - name: body
    if: body-contains("forbidden")
    then: [bounce]
)";
constexpr std::string_view kPhases = R"(
filters:
  - {name: by-connect, phase: connect, if: remote-ip == "192.0.2.66", then: [{defer: "not you"}]}
  - {name: by-mail, phase: mail, if: mail-from == "^bad@", then: [reject]}
  - {name: by-rcpt, phase: rcpt, if: rcpt-to == "^nobody@", then: [{reject: {code: 550, enhanced: 5.1.1, text: "No such user"}}]}
  - {name: by-data, phase: data, if: rcpt-count > 2, then: [{defer: "too many"}]}
)";

using Arguments = std::vector<std::string_view>;

// Talk drives a session as an MTA does that honours what was negotiated.
struct Talk {
  explicit Talk(Service& service, Bits offer = {kAllActions, kAllSteps}) : session(std::make_unique<Session>(service)) {
    bits = session->negotiate(offer, mta);
  }
  bool sends(uint32_t off) const { return (bits.steps & off) == 0; }
  Answer connect(std::string_view address = "192.0.2.1", std::string_view name = "client.example", bool port = true) {
    return session->connect(mta, {name, address, port});
  }
  Answer mail(std::string_view from = "<a@example.org>", Arguments more = {}) {
    more.insert(more.begin(), from);
    return session->mail(mta, more);
  }
  Answer rcpt(std::string_view to = "<b@example.net>") {
    const Arguments list = {to};
    return session->recipient(mta, list);
  }
  // rest sends everything from DATA to the end of the message.
  Answer rest(const std::vector<std::pair<std::string, std::string>>& header, std::string_view body) {
    if (sends(kNoData)) {
      const Answer answer = session->data(mta);
      if (answer != Answer::proceed && answer != Answer::no_reply) return answer;
      EXPECT_EQ(answer, bits.steps & kNoReplyData ? Answer::no_reply : Answer::proceed);
    }
    if (sends(kNoHeader)) {
      for (const auto& [name, value] : header) {
        EXPECT_EQ(session->header(name, bits.steps & kLeadingSpace ? " " + value : value),
                  bits.steps & kNoReplyHeader ? Answer::no_reply : Answer::proceed);
      }
    }
    if (sends(kNoEndOfHeader)) {
      EXPECT_EQ(session->end_of_header(), bits.steps & kNoReplyEndOfHeader ? Answer::no_reply : Answer::proceed);
    }
    if (sends(kNoBody)) {
      EXPECT_EQ(session->body(body), bits.steps & kNoReplyBody ? Answer::no_reply : Answer::proceed);
    }
    return session->end_of_message(mta);
  }
  Answer message(const std::vector<std::pair<std::string, std::string>>& header, std::string_view body = "text\r\n") {
    Answer answer = mail();
    if (answer != Answer::proceed) return answer;
    answer = rcpt();
    if (answer != Answer::proceed) return answer;
    return rest(header, body);
  }

  FakeMta mta;
  std::unique_ptr<Session> session;
  Bits bits;
};

class MilterSession : public ::testing::Test {
 protected:
  static Service& use(std::string_view rules, void (*adjust)(Settings&) = nullptr) {
    service_ = std::make_unique<Service>(make_generation(std::string(rules), 1, adjust));
    return *service_;
  }
  void SetUp() override { EXPECT_TRUE(base::open_log({"stderr", base::Level::error})); }
  void TearDown() override {
    if (service_ == nullptr) return;
    EXPECT_EQ(service_->counters().inflight.load(), 0u);
    EXPECT_EQ(service_->memory().used(), 0u);
    service_.reset();
  }
  static std::unique_ptr<Service> service_;
};
std::unique_ptr<Service> MilterSession::service_;

TEST_F(MilterSession, AsksOnlyForWhatRulesNeed) {
  const struct {
    std::string_view rules;
    uint32_t actions;
    uint32_t steps_off;
    uint32_t answered;  // no-reply bits that must not be set
  } cases[] = {
      {"", 0, kNoHelo | kNoData | kNoHeader | kNoBody | kNoEndOfHeader | kNoUnknown, 0},
      {kHeaderRule, kActionAddHeader | kActionChangeHeader | kActionQuarantine,
       kNoHelo | kNoData | kNoBody | kNoEndOfHeader | kNoUnknown, 0},
      {kBodyRule, kActionQuarantine, kNoHelo | kNoData | kNoEndOfHeader | kNoUnknown, 0},
      {kPhases, 0, kNoHelo | kNoHeader | kNoBody | kNoEndOfHeader | kNoUnknown, kNoReplyConnect | kNoReplyData},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.rules);
    const Negotiable wants = wants_of(*make_generation(std::string(test.rules)));
    EXPECT_EQ(wants.actions, test.actions);
    EXPECT_EQ(wants.steps_off, test.steps_off);
    EXPECT_EQ(wants.no_replies & test.answered, 0u);
    EXPECT_EQ(wants.no_replies | test.answered, kNoReplyHeader | kNoReplyEndOfHeader | kNoReplyBody | kNoReplyUnknown |
                                                    kNoReplyConnect | kNoReplyHelo | kNoReplyData);
  }
}

TEST_F(MilterSession, CountsEveryByteWhenTheLimitIsWritten) {
  const Negotiable wants =
      wants_of(*make_generation("", 1, [](Settings& settings) { settings.message_size_given = true; }));
  EXPECT_EQ(wants.steps_off & (kNoBody | kNoHeader), 0u);
}

TEST_F(MilterSession, EverySubsetOfStepsGivesTheSameAnswer) {
  Service& service = use(kHeaderRule);
  // Each of the 21 protocol bits alone, all but each, all, none; every subset of the bits that this rule set asks for;
  // and many mixed ones.
  std::vector<uint32_t> offers = {0, kAllSteps};
  for (uint32_t bit = 1; bit <= kLeadingSpace; bit <<= 1) offers.insert(offers.end(), {bit, kAllSteps & ~bit});
  const uint32_t used = service.current()->wants.steps_off | service.current()->wants.no_replies | kLeadingSpace;
  for (uint32_t subset = used;; subset = (subset - 1) & used) {
    offers.push_back(subset);
    if (subset == 0) break;
  }
  std::mt19937 random(1);
  for (int i = 0; i < 500; ++i) offers.push_back(static_cast<uint32_t>(random()) & kAllSteps);
  for (const uint32_t offer : offers) {
    Talk talk(service, {kAllActions, offer});
    ASSERT_EQ(talk.bits.steps & ~offer, 0u) << offer;
    ASSERT_EQ(talk.connect(), talk.bits.steps & kNoReplyConnect ? Answer::no_reply : Answer::proceed);
    ASSERT_EQ(talk.message({{"X-Bad", "yes"}}), Answer::proceed) << offer;
    const std::string value = offer & kLeadingSpace ? ": 1" : ":1";
    ASSERT_EQ(talk.mta.calls, std::vector<std::string>{"add X-Marked" + value}) << offer;
    ASSERT_EQ(talk.message({{"X-Bad", "worst"}}), Answer::reject) << offer;
    ASSERT_EQ(talk.mta.reply, "554 5.7.9 100%% no");
  }
}

TEST_F(MilterSession, EverySubsetOfActionsIsUsedOrRefused) {
  Service& service = use(kHeaderRule);
  const uint32_t needed = service.current()->wants.actions;
  const auto off = base::open_log({"file:/dev/null", base::Level::error});
  ASSERT_TRUE(off);
  for (uint32_t offer = 0; offer <= kAllActions; ++offer) {
    Talk talk(service, {offer, kAllSteps});
    EXPECT_EQ(talk.bits.actions & ~offer, 0u);
    EXPECT_EQ(talk.bits.actions & kActionSetMacros, offer & kActionSetMacros);
    EXPECT_EQ(talk.mta.asked.empty(), (offer & kActionSetMacros) == 0);
    if ((offer & needed) == needed) {
      EXPECT_EQ(talk.message({{"X-Bad", "yes"}}), Answer::proceed);
      continue;
    }
    // Refused at connect already, and again at MAIL, should the MTA go on.
    EXPECT_EQ(talk.bits.steps & (kNoConnect | kNoReplyConnect), 0u);
    EXPECT_EQ(talk.connect(), Answer::tempfail);
    EXPECT_EQ(talk.message({}), Answer::tempfail);
    EXPECT_EQ(talk.mta.reply.substr(0, 9), "451 4.3.5");
  }
}

TEST_F(MilterSession, PhasesAnswerWhereTheyStand) {
  Service& service = use(kPhases);
  Talk talk(service);
  EXPECT_EQ(talk.connect("192.0.2.66"), Answer::tempfail);
  EXPECT_EQ(talk.mta.reply, "451 4.7.1 not you");
  EXPECT_EQ(talk.connect(), Answer::proceed);
  EXPECT_EQ(talk.mail("<bad@example.org>"), Answer::reject);
  EXPECT_EQ(talk.mail("<good@example.org>"), Answer::proceed);
  EXPECT_EQ(talk.rcpt("<nobody@example.net>"), Answer::reject);
  EXPECT_EQ(talk.mta.reply, "550 5.1.1 No such user");
  EXPECT_EQ(talk.rcpt("<one@example.net>"), Answer::proceed);
  EXPECT_EQ(talk.rcpt("<two@example.net>"), Answer::proceed);
  EXPECT_EQ(talk.rest({}, ""), Answer::proceed) << "the refused recipient does not count";
  EXPECT_EQ(talk.mail(), Answer::proceed);
  for (const char* to : {"<1@x.example>", "<2@x.example>", "<3@x.example>"}) EXPECT_EQ(talk.rcpt(to), Answer::proceed);
  EXPECT_EQ(talk.session->data(talk.mta), Answer::tempfail);
  EXPECT_EQ(talk.mta.reply, "451 4.7.1 too many");
  EXPECT_EQ(service.counters().inflight.load(), 0u);
}

TEST_F(MilterSession, DataPhaseIsMadeUpForWhereTheMtaHasNoData) {
  Service& service = use(kPhases);
  Talk talk(service, {0x3f, 0x7f});  // protocol version 2
  EXPECT_EQ(talk.mail(), Answer::proceed);
  for (const char* to : {"<1@x.example>", "<2@x.example>", "<3@x.example>"}) EXPECT_EQ(talk.rcpt(to), Answer::proceed);
  EXPECT_EQ(talk.session->end_of_message(talk.mta), Answer::tempfail);
  EXPECT_EQ(talk.mta.reply, "451 4.7.1 too many");
}

TEST_F(MilterSession, MailNotBySmtpIsNeverRefusedAtRcpt) {
  Service& service = use(kPhases);
  Talk talk(service);
  EXPECT_EQ(talk.connect("127.0.0.1", "localhost", /*port=*/false), Answer::proceed);
  EXPECT_EQ(talk.mail(), Answer::proceed);
  EXPECT_EQ(talk.rcpt("<nobody@example.net>"), Answer::proceed);
  EXPECT_EQ(talk.rest({}, ""), Answer::reject);
  EXPECT_EQ(talk.mta.reply, "550 5.1.1 No such user");
  // A client that really came over loopback has a port and hears it at RCPT.
  EXPECT_EQ(talk.connect("127.0.0.1", "localhost", /*port=*/true), Answer::proceed);
  EXPECT_EQ(talk.mail(), Answer::proceed);
  EXPECT_EQ(talk.rcpt("<nobody@example.net>"), Answer::reject);
}

TEST_F(MilterSession, ReloadThatNeedsMoreAnswers421) {
  Service& service = use(kHeaderRule);
  Talk talk(service);
  EXPECT_EQ(talk.message({}), Answer::proceed);
  service.install(make_generation(std::string(kHeaderRule), 2));
  EXPECT_EQ(talk.message({}), Answer::proceed) << "same needs: the connection goes on";
  const struct {
    std::string_view rules;
    std::string_view why;
  } more[] = {{kBodyRule, "a step"},
              {kPhases, "an answer at connect"},
              {"filters:\n  - {name: x, if: 'true', then: [{add-rcpt-to: c@example.net}]}\n", "an action"}};
  uint64_t number = 3;
  for (const auto& test : more) {
    SCOPED_TRACE(test.why);
    Talk old(service);
    EXPECT_EQ(old.message({}), Answer::proceed);
    ASSERT_EQ(old.mail(), Answer::proceed);
    service.install(make_generation(std::string(test.rules), number++));
    ASSERT_EQ(old.rcpt(), Answer::proceed);
    EXPECT_EQ(old.rest({{"X-Bad", "worst"}}, "x"), Answer::reject) << "a message keeps the generation it began with";
    EXPECT_EQ(old.mail(), Answer::tempfail);
    EXPECT_EQ(old.mta.reply.substr(0, 9), "421 4.3.2");
    Talk fresh(service);
    EXPECT_EQ(fresh.mail(), Answer::proceed);
    fresh.session->abort();
    service.install(make_generation(std::string(kHeaderRule), number++));
  }
}

TEST_F(MilterSession, DrainingAnswers421ButFinishesWhatBegan) {
  Service& service = use(kHeaderRule);
  Talk talk(service);
  ASSERT_EQ(talk.mail(), Answer::proceed);
  ASSERT_EQ(talk.rcpt(), Answer::proceed);
  service.drain();
  EXPECT_EQ(service.counters().inflight.load(), 1u);
  EXPECT_EQ(talk.rest({{"X-Bad", "yes"}}, ""), Answer::proceed);
  EXPECT_EQ(talk.mta.calls.size(), 1u);
  EXPECT_EQ(talk.mail(), Answer::tempfail);
  EXPECT_EQ(talk.mta.reply.substr(0, 9), "421 4.3.2");
}

TEST_F(MilterSession, DeclaredSizeOverTheLimitIsRefusedAtMail) {
  Service& service = use("", [](Settings& settings) { settings.limits.message_size = 1000; });
  Talk talk(service);
  const CapturedLog log;
  for (const char* size : {"SIZE=1001", "size=99999999999999999999999"}) {
    EXPECT_EQ(talk.mail("<a@b.example>", {"BODY=8BITMIME", size}), Answer::reject);
    EXPECT_EQ(talk.mta.reply, "552 5.3.4 Message size exceeds fixed limit");
  }
  EXPECT_EQ(log.matching("[message-oversize]"), 2u);
  for (const char* size : {"SIZE=1000", "SIZE=", "SIZE=x", "SIZE=12x"}) {
    EXPECT_EQ(talk.mail("<a@b.example>", {size}), Answer::proceed) << size;
  }
}

TEST_F(MilterSession, OversizeIsAnsweredAtTheEndAndLoggedOnce) {
  Service& service = use(kBodyRule, [](Settings& settings) { settings.limits.message_size = 100'000; });
  Talk talk(service);
  const CapturedLog log;
  EXPECT_EQ(talk.mail(), Answer::proceed);
  EXPECT_EQ(talk.rcpt(), Answer::proceed);
  EXPECT_EQ(talk.session->header("Subject", " x"), Answer::no_reply);
  const std::string chunk(65535, 'x');
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(talk.session->body(chunk), Answer::no_reply);
    EXPECT_LT(service.memory().used(), 200'000u);
  }
  EXPECT_EQ(talk.session->end_of_message(talk.mta), Answer::reject);
  EXPECT_EQ(talk.mta.reply, "552 5.3.4 Message size exceeds fixed limit");
  EXPECT_EQ(log.matching("[message-oversize]"), 1u);
  EXPECT_EQ(log.matching("6553"), 1u);
  EXPECT_EQ(log.matching("[message-done]") + log.matching("[message-refused]"), 0u);
  EXPECT_EQ(service.counters().oversize.load(), 1u);
  EXPECT_EQ(talk.message({}), Answer::proceed) << "the next message starts afresh";
}

TEST_F(MilterSession, HeaderLimitsHold) {
  Service& service = use(kHeaderRule, [](Settings& settings) {
    settings.limits.header_size = 10'000;
    settings.limits.header_count = 50;
  });
  Talk talk(service);
  EXPECT_EQ(talk.message({{"X-Big", std::string(10'001, 'x')}}), Answer::reject);
  EXPECT_EQ(talk.mta.reply.substr(0, 9), "552 5.3.4");
  std::vector<std::pair<std::string, std::string>> many(51, {"X", "y"});
  EXPECT_EQ(talk.message(many), Answer::reject);
  many.pop_back();
  EXPECT_EQ(talk.message(many), Answer::proceed);
}

TEST_F(MilterSession, MemoryBoundAnswers451) {
  Service& service = use(kBodyRule, [](Settings& settings) {
    settings.limits.memory = 200'000;
    settings.limits.spool_memory = 1u << 20;
  });
  Talk first(service);
  ASSERT_EQ(first.mail(), Answer::proceed);
  ASSERT_EQ(first.rcpt(), Answer::proceed);
  const std::string chunk(60'000, 'x');
  for (int i = 0; i < 10; ++i) first.session->body(chunk);
  EXPECT_EQ(first.session->end_of_message(first.mta), Answer::tempfail) << "during a message: at its end";
  EXPECT_EQ(first.mta.reply.substr(0, 9), "451 4.3.2");
  EXPECT_EQ(service.counters().over_memory.load(), 1u);

  std::vector<std::unique_ptr<Talk>> others;
  for (int i = 0; i < 12; ++i) {
    others.push_back(std::make_unique<Talk>(service));
    ASSERT_EQ(others.back()->mail(), Answer::proceed);
  }
  EXPECT_EQ(first.mail(), Answer::tempfail) << "at the bound: at MAIL";
  EXPECT_EQ(first.mta.reply.substr(0, 9), "451 4.3.2");
  others.clear();
  EXPECT_EQ(first.mail(), Answer::proceed);
  first.session->abort();
}

TEST_F(MilterSession, RecipientsAreBounded) {
  Service& service = use("", [](Settings& settings) { settings.limits.recipients = 3; });
  Talk talk(service);
  ASSERT_EQ(talk.mail(), Answer::proceed);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(talk.rcpt(), Answer::proceed);
  EXPECT_EQ(talk.rcpt(), Answer::tempfail);
  EXPECT_EQ(talk.mta.reply, "452 4.5.3 Too many recipients");
  EXPECT_EQ(talk.rest({}, ""), Answer::proceed);
}

TEST_F(MilterSession, EveryFailingCallOfTheMtaIsATemporaryError) {
  Service& service = use(R"(
filters:
  - name: everything
    if: "true"
    then:
      - strip-header: X-Old
      - edit-header-text: {name: Subject, pattern: 'old', replacement: new}
      - insert-header: {name: X-New, value: v}
      - add-footer: "the end"
      - alt-rcpt-to: other@example.net
      - quarantine: Policy
)");
  const std::vector<std::pair<std::string, std::string>> header = {{"Subject", "old"}, {"X-Old", "1"}};
  Talk whole(service);
  ASSERT_EQ(whole.message(header), Answer::proceed);
  const std::vector<std::string> calls = whole.mta.calls;
  ASSERT_GE(calls.size(), 7u);
  EXPECT_TRUE(calls.back().starts_with("quarantine "));
  for (size_t k = 1; k <= calls.size(); ++k) {
    Talk talk(service);
    talk.mta.fail_at = static_cast<int>(k);
    EXPECT_EQ(talk.message(header), Answer::tempfail) << calls[k - 1];
    EXPECT_EQ(talk.mta.calls, std::vector<std::string>(calls.begin(), calls.begin() + static_cast<long>(k) - 1));
    EXPECT_EQ(talk.mta.reply.substr(0, 9), "451 4.3.0");
  }
  Talk talk(service);
  talk.mta.reply_fails = true;
  talk.mta.fail_at = 1;
  EXPECT_EQ(talk.message(header), Answer::tempfail) << "the plain verb stays when the reply is not taken";
}

TEST_F(MilterSession, RejectWinsOverQuarantine) {
  Service& service = use(R"(
filters:
  - {name: hold, if: "true", then: [{quarantine: Policy}]}
  - {name: no, if: "true", then: [reject]}
)");
  Talk talk(service);
  EXPECT_EQ(talk.message({}), Answer::reject);
  EXPECT_TRUE(talk.mta.calls.empty());
}

TEST_F(MilterSession, DropDiscards) {
  Service& service = use("filters:\n  - {name: gone, if: 'true', then: [drop]}\n");
  Talk talk(service);
  const CapturedLog log;
  EXPECT_EQ(talk.message({}), Answer::discard);
  EXPECT_EQ(log.matching("Dropped by filter 'gone'"), 1u);
  EXPECT_EQ(log.matching("[message-dropped]"), 1u);
}

TEST_F(MilterSession, ATransactionEndsWithAbortCloseAndTheNextMail) {
  Service& service = use(kHeaderRule);
  const auto inflight = [&] { return service.counters().inflight.load(); };
  Talk talk(service);
  ASSERT_EQ(talk.mail(), Answer::proceed);
  EXPECT_EQ(inflight(), 1u);
  ASSERT_EQ(talk.mail("<second@example.org>"), Answer::proceed);
  EXPECT_EQ(inflight(), 1u);
  talk.session->abort();
  talk.session->abort();
  EXPECT_EQ(inflight(), 0u);
  ASSERT_EQ(talk.mail(), Answer::proceed);
  talk.session->header("X-Bad", " worst");
  talk.session->abort();
  ASSERT_EQ(talk.message({}), Answer::proceed) << "nothing of the aborted message is left";
  ASSERT_EQ(talk.mail(), Answer::proceed);
  talk.session.reset();
  EXPECT_EQ(inflight(), 0u);
  EXPECT_EQ(service.counters().sessions.load(), 0u);
}

TEST_F(MilterSession, OddOrdersAreAnsweredAndHarmless) {
  Service& service = use(kHeaderRule);
  {
    Session only_closed(service);  // close as the only callback
  }
  Talk talk(service);
  EXPECT_EQ(talk.rcpt(), Answer::tempfail);
  EXPECT_EQ(talk.session->end_of_message(talk.mta), Answer::tempfail);
  EXPECT_EQ(talk.session->header("X-Bad", " worst"), Answer::no_reply);
  EXPECT_EQ(talk.session->body("x"), Answer::no_reply);
  EXPECT_EQ(talk.session->data(talk.mta), Answer::no_reply);
  EXPECT_EQ(talk.message({}), Answer::proceed);
  EXPECT_EQ(talk.session->end_of_message(talk.mta), Answer::tempfail) << "a message ends once";

  Session never_negotiated(service);
  FakeMta mta;
  const Arguments from = {"<a@b.example>"};
  EXPECT_EQ(never_negotiated.connect(mta, {"x", "192.0.2.1", true}), Answer::tempfail);
  EXPECT_EQ(never_negotiated.mail(mta, from), Answer::tempfail);

  Session reused(service);  // the next client on a connection that the MTA keeps
  reused.adopt(*talk.session->negotiated());
  EXPECT_EQ(reused.connect(mta, {"x", "192.0.2.1", true}), Answer::no_reply);
  EXPECT_EQ(reused.mail(mta, from), Answer::proceed);
}

TEST_F(MilterSession, BadPathsAndEmptyArgumentsAreTemporaryErrors) {
  Service& service = use("");
  Talk talk(service);
  EXPECT_EQ(talk.session->mail(talk.mta, {}), talk.mail("<>")) << "no path reads as the null path";
  EXPECT_EQ(talk.mail("<a\nb@example.org>"), Answer::tempfail);
  EXPECT_EQ(talk.mail("<>"), Answer::proceed);
  EXPECT_EQ(talk.rcpt("<x\r\ny>"), Answer::tempfail);
  EXPECT_EQ(talk.rcpt("<" + std::string(70'000, 'x') + "@example.org>"), Answer::tempfail);
}

TEST_F(MilterSession, AnExceptionInACallbackIsATemporaryError) {
  Service& service = use(kHeaderRule);
  const CapturedLog log;
  Talk talk(service);
  ASSERT_EQ(talk.mail(), Answer::proceed);
  ASSERT_EQ(talk.rcpt(), Answer::proceed);
  EXPECT_EQ(talk.session->failed(talk.mta, "header", "out of memory"), Answer::no_reply);
  EXPECT_EQ(talk.session->end_of_message(talk.mta), Answer::tempfail);
  ASSERT_EQ(talk.mail(), Answer::proceed);
  EXPECT_EQ(talk.session->failed(talk.mta, "eom", "out of memory"), Answer::tempfail);
  EXPECT_EQ(service.counters().failed.load(), 2u);
  EXPECT_EQ(log.matching("[callback-failed]"), 2u);
}

TEST_F(MilterSession, AMessageThatTookTooLongIsDeferredBeforeTheMtaGivesUp) {
  Service& service =
      use("filters: [{name: word, if: body-contains(\"x\"), then: [{insert-header: {name: X-Seen, value: y}}]}]");
  service.set_content_deadline(std::chrono::nanoseconds(0));
  const CapturedLog log;
  Talk talk(service);
  EXPECT_EQ(talk.message({{"Subject", "s"}}, "small, and waits for others all the same\r\n"), Answer::tempfail);
  EXPECT_TRUE(talk.mta.calls.empty()) << "nothing is edited any more";
  EXPECT_EQ(log.matching("[message-slow]"), 1u);
}

TEST_F(MilterSession, LogTellsTheStoryInFewLines) {
  Service& service = use(kHeaderRule);
  const CapturedLog log(base::Level::info);
  Talk talk(service);
  talk.mta.macros["i"] = "4ABCdef";
  talk.mta.macros["{if_name}"] = "mx1";
  EXPECT_EQ(talk.connect(), Answer::no_reply);
  EXPECT_EQ(talk.message({{"Subject", "s\r\nMID 1 forged"}, {"X-Bad", "yes"}}), Answer::proceed);
  EXPECT_EQ(log.matching("New SMTP ICID"), 1u);
  EXPECT_EQ(log.matching("From: <a@example.org>"), 1u);
  EXPECT_EQ(log.matching("RID 0 To: <b@example.net>"), 1u);
  EXPECT_EQ(log.matching("filter 'mark' matched"), 1u);
  EXPECT_EQ(log.matching("bytes from <a@example.org> queue-id=4ABCdef"), 1u);
  EXPECT_EQ(log.matching("Message finished MID"), 1u);
  EXPECT_EQ(log.lines().size(), 6u);
  EXPECT_EQ(service.current()->filters[0].matched.load(), 1u);
}

// Each step of a story leaves the line that posternd(8) explains.
TEST_F(MilterSession, EveryEventHasItsLine) {
  Service& service = use(R"(
filters:
  - {name: c, phase: connect, if: remote-ip == "192.0.2.66", then: [reject]}
  - {name: r, phase: rcpt, if: rcpt-to == "^nobody@", then: [reject]}
  - {name: watch, mode: observe, if: header("X-Watch"), then: [drop]}
  - {name: hard, if: header("X-Hard") == "^(a+)+$", then: [drop]}
  - {name: note, if: header("X-Note"), then: [{log-entry: "noted"}, {tag-message: tagged}]}
  - {name: hold, if: header("X-Hold"), then: [{quarantine: Policy}]}
  - {name: later, if: header("X-Later"), then: [{defer: later}]}
  - {name: never, if: header("X-Never"), then: [reject]}
  - {name: text, if: body-contains("needle"), then: [no-op]}
)",
                         [](Settings& settings) {
                           settings.limits.message_size = 1'000'000;
                           settings.limits.memory = 3'000'000;
                           settings.limits.spool_memory = 2'000'000;
                         });
  const auto told = [&](std::string_view id, const auto& story) {
    const CapturedLog log;
    story();
    EXPECT_EQ(log.matching("[" + std::string(id) + "]"), 1u) << id;
  };
  std::optional<Talk> talk(service);
  told("connection-denied", [&] { talk->connect("192.0.2.66"); });
  told("connection-new", [&] { talk->connect(); });
  told("connection-close", [&] { Talk other(service); });
  told("connection-refused", [&] { Talk other(service, {0, kAllSteps}); });
  told("message-start", [&] { talk->mail(); });
  told("message-aborted", [&] { talk->session->abort(); });
  talk->mail();
  told("message-to", [&] { talk->rcpt(); });
  told("recipient-refused", [&] { talk->rcpt("<nobody@example.net>"); });
  told("message-id", [&] { talk->rest({{"Message-ID", "<1@x>"}}, ""); });
  told("message-subject", [&] { talk->message({{"Subject", "s"}}); });
  told("message-ready", [&] { talk->message({}); });
  told("message-deferred", [&] { talk->message({{"X-Later", "1"}}); });
  told("message-refused", [&] { talk->message({{"X-Never", "1"}}); });
  told("message-quarantined", [&] { talk->message({{"X-Hold", "1"}}); });
  told("filter-match", [&] { talk->message({{"X-Hold", "1"}}); });
  told("filter-observed", [&] { talk->message({{"X-Watch", "1"}}); });
  told("filter-unknown", [&] { talk->message({{"X-Hard", std::string(60, 'a') + "!"}}); });
  told("filter-log-entry", [&] { talk->message({{"X-Note", "1"}}); });
  told("filter-tag", [&] { talk->message({{"X-Note", "1"}}); });
  told("message-failed", [&] { talk->mail("<a\x01@b>"); });
  told("mta-call-failed", [&] {
    talk->mta.edits = 0;
    talk->mta.fail_at = 1;
    talk->message({{"X-Hold", "1"}});
  });
  told("callback-failed", [&] { talk->session->failed(talk->mta, "eom", "test"); });
  told("message-oversize", [&] { talk->message({}, std::string(1'000'001, 'x')); });
  told("message-over-memory", [&] {
    Talk a(service), b(service), c(service), d(service);
    for (Talk* one : {&a, &b, &c, &d}) {
      one->mail();
      one->session->body(std::string(900'000, 'x'));
    }
    d.session->end_of_message(d.mta);
  });
  told("recipient-late", [&] {
    Talk local(service);
    local.connect("::1", "localhost", false);
    local.mail();
    local.rcpt("<nobody@example.net>");
  });
  told("message-slow", [&] {
    service.set_content_deadline(std::chrono::milliseconds(-1));
    talk->message({}, std::string(300'000, 'x'));
  });
  told("connection-stale", [&] {
    service.install(make_generation("filters:\n  - {name: x, if: 'true', then: [{add-rcpt-to: c@example.net}]}\n", 2));
    talk->mail();
  });
  told("connection-draining", [&] {
    service.drain();
    talk->mail();
  });
}

TEST_F(MilterSession, NumbersAreUniqueAcrossServices) {
  const auto generation = make_generation("");
  Service first(generation);
  const uint64_t last = [&] {
    for (int i = 0; i < 1000; ++i) first.next_id();
    return first.next_id();
  }();
  Service same_second(generation);
  // Within one second numbers may repeat only if the daemon restarted within it; a second later they cannot.
  EXPECT_GE(same_second.next_id() + 65536, last);
}

}  // namespace
}  // namespace postern::milter
