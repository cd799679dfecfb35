// SPDX-License-Identifier: Apache-2.0
// Mail of our own as posternd sees it: known by its mark and by nothing else, taken by no filter but for copies that
// are to be scanned; what is kept for a message; waits of retries and alerts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "milter/alert_state.h"
#include "milter/alert_table.h"
#include "milter/alerts.h"
#include "milter/courier.h"
#include "milter/keeping.h"
#include "test/unit/milter_fixture.h"

namespace postern::milter {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kRules =
    "filters:\n"
    "  - {name: early, phase: rcpt, if: 'rcpt-to == \"^no@\"', then: [{reject: not here}]}\n"
    "  - {name: all, then: [{insert-header: {name: X-Flow, value: $Group}}]}\n"
    "  - {name: mail, if: 'subject == \"^mail\"', then: [{bcc: {to: $EnvelopeRecipients, alt-mailhost: "
    "relay.example}}, "
    "{bcc-scan: s@y.test}, {notify: n@y.test}]}\n"
    "  - {name: late, if: 'subject == \"^mail later\"', then: [{defer: later}]}\n";

void with_reinjection(Settings& settings) {
  settings.store = "sqlite:/nowhere/at/all.db";
  settings.reinject.server = "127.0.0.1:10026";
  Flow other;
  other.name = "other";
  other.any_of.push_back({});
  other.any_of.back().daemon_name = {"never"};
  settings.flows.insert(settings.flows.begin(), other);
}

std::shared_ptr<const submit::MarkKey> key() {
  static const auto made = std::make_shared<const submit::MarkKey>(std::string(submit::MarkKey::kBytes, 'k'));
  return made;
}

struct Came {
  Finished finished;
  std::unique_ptr<Transaction> transaction;
  std::vector<std::string> changes() const {
    std::vector<std::string> out;
    for (const message::Change& change : finished.changes.changes) {
      out.push_back(std::string(message::op_name(change.op)) + " " + change.name + ":" + change.value);
    }
    return out;
  }
};

// A message with this mark (none where empty) and subject, by the listener for our own mail or not.
Came come(const std::string& mark, bool listener, std::vector<std::string> to = {"b@y.test"},
          std::string_view subject = "plain") {
  Came came;
  came.transaction =
      std::make_unique<Transaction>(make_generation(std::string(kRules), 1, with_reinjection), nullptr, 7, 1);
  Transaction& transaction = *came.transaction;
  transaction.own_listener = listener;
  transaction.mark_key = [] { return base::Result<std::shared_ptr<const submit::MarkKey>>(key()); };
  transaction.message().envelope.from = "a@x.test";
  EXPECT_EQ(transaction.mail().verdict, Verdict::proceed);
  for (const std::string& address : to) {
    const Decision decision = transaction.recipient({address, {}});
    if (decision.verdict != Verdict::proceed) {
      came.finished.decision = decision;
      return came;
    }
  }
  transaction.data();
  if (!mark.empty()) transaction.header(submit::kMarkHeader, " " + mark);
  transaction.header("Subject", " " + std::string(subject));
  transaction.body("text\r\n");
  came.finished = transaction.finish(true);
  return came;
}

std::string mark(std::string_view kind, std::string_view flow = "", std::string_view host = "") {
  const submit::Mark said{std::string(kind), 99, static_cast<int64_t>(std::time(nullptr)), std::string(flow),
                          std::string(host)};
  return key()->make(said, "a@x.test", {"b@y.test"});
}

TEST(MilterMail, OurOwnTakesNoFilter) {
  for (const std::string_view kind : {"bcc", "notify", "notify-copy", "release", "alert"}) {
    const Came came = come(mark(kind, "all", "relay.example"), true);
    ASSERT_TRUE(came.transaction->mark());
    EXPECT_EQ(came.transaction->mark()->mid, 99u);
    EXPECT_EQ(came.transaction->flow(), nullptr);
    EXPECT_THAT(came.changes(),
                ElementsAre("delete-header X-Postern-Mark:", "add-header X-Postern-Alt-Mailhost: relay.example"));
  }
}

TEST(MilterMail, CopiesToBeScannedTakeTheirFlow) {
  const Came came = come(mark("bcc-scan", "other"), true);
  EXPECT_THAT(came.changes(), ElementsAre("delete-header X-Postern-Mark:", "add-header X-Flow: other"));
  const Came gone = come(mark("bcc-scan", "a flow that is no more"), true);
  EXPECT_EQ(gone.transaction->flow()->name, "all");
}

TEST(MilterMail, AForgedMarkIsAnyOtherMessage) {
  std::string forged = mark("bcc");
  forged.back() = forged.back() == '0' ? '1' : '0';
  for (const std::string& value : {forged, std::string("x"), mark("bcc") + " "}) {
    for (const bool listener : {false, true}) {
      const Came came = come(value, listener);
      const bool ours = value.ends_with(' ');  // the MTA may leave blanks
      EXPECT_EQ(came.transaction->mark().has_value(), ours);
      EXPECT_EQ(came.transaction->mark_fault().empty(), ours);
      EXPECT_THAT(came.changes(), testing::Contains("delete-header X-Postern-Mark:"));
      EXPECT_EQ(came.changes().size(), ours ? 1u : 2u);
    }
  }
  // For another envelope.
  EXPECT_FALSE(come(mark("bcc"), true, {"b@y.test", "c@y.test"}).transaction->mark());
}

TEST(MilterMail, EarlyFiltersWaitAtOurListener) {
  EXPECT_EQ(come("", false, {"no@y.test"}).finished.decision.verdict, Verdict::reject);
  const Came stranger = come("", true, {"b@y.test", "no@y.test"});
  EXPECT_EQ(stranger.finished.decision.verdict, Verdict::reject);
  EXPECT_EQ(stranger.finished.decision.decided_by, "filter 'early'");
  const submit::Mark said{"notify", 1, static_cast<int64_t>(std::time(nullptr)), "", ""};
  const Came own = come(key()->make(said, "a@x.test", {"no@y.test"}), true, {"no@y.test"});
  EXPECT_EQ(own.finished.decision.verdict, Verdict::accept);
}

TEST(MilterMail, WithoutTheSecretWhatClaimsToBeOursWaits) {
  Transaction transaction(make_generation(std::string(kRules), 1, with_reinjection), nullptr, 7, 1);
  transaction.mark_key = [] {
    return base::Result<std::shared_ptr<const submit::MarkKey>>(base::fail(base::Cause::denied, "no rights"));
  };
  transaction.message().envelope.from = "";
  transaction.mail();
  transaction.recipient({"b@y.test", {}});
  transaction.header(submit::kMarkHeader, " x");
  transaction.body("x\r\n");
  EXPECT_EQ(transaction.finish(true).decision.verdict, Verdict::tempfail);
}

TEST(MilterMail, WhatIsKept) {
  std::vector<std::string> many;
  for (int i = 0; i < 250; ++i) many.push_back("r" + std::to_string(i) + "@y.test");
  const Came came = come("", false, many, "mail");
  const Keeping keeping = gather(*came.transaction, came.finished);
  ASSERT_EQ(keeping.batch.mails.size(), 5u);  // the copy to 250 in groups that every server takes
  EXPECT_EQ(keeping.batch.mails[0].recipients.size(), 100u);
  EXPECT_EQ(keeping.batch.mails[2].recipients.size(), 50u);
  EXPECT_EQ(keeping.batch.mails[0].host, "relay.example");
  EXPECT_EQ(keeping.batch.mails[0].flow, "");
  EXPECT_EQ(keeping.batch.mails[3].kind, store::MailKind::bcc_scan);
  EXPECT_EQ(keeping.batch.mails[3].flow, "all");
  EXPECT_EQ(keeping.batch.mails[4].kind, store::MailKind::notify);
  EXPECT_FALSE(keeping.batch.identity.empty());
  // A deferred message leaves nothing: its sender comes again.
  const Came later = come("", false, {"b@y.test"}, "mail later");
  EXPECT_TRUE(gather(*later.transaction, later.finished).empty());
}

TEST(MilterMail, OurMailMayBeALittleLarger) {
  const auto small = [](Settings& settings) {
    with_reinjection(settings);
    settings.limits.message_size = 2000;
  };
  for (const auto& [listener, marked, good] :
       {std::tuple{true, true, true}, {true, false, false}, {false, true, false}}) {
    Transaction transaction(make_generation("", 1, small), nullptr, 7, 1);
    transaction.own_listener = listener;
    transaction.mark_key = [] { return base::Result<std::shared_ptr<const submit::MarkKey>>(key()); };
    transaction.message().envelope.from = "a@x.test";
    transaction.mail();
    transaction.recipient({"b@y.test", {}});
    if (marked) transaction.header(submit::kMarkHeader, " " + mark("bcc"));
    transaction.body(std::string(3000, 'x'));
    const Finished finished = transaction.finish(true);
    EXPECT_EQ(finished.decision.verdict, good ? Verdict::accept : Verdict::reject);
    if (!good) {
      EXPECT_EQ(finished.decision.reply.code, 552);
    }
  }
}

TEST(MilterMail, RetriesWaitTwiceAsLongEachTime) {
  Reinject reinject;
  std::vector<uint64_t> waits;
  for (uint32_t attempt = 1; attempt <= 9; ++attempt) waits.push_back(retry_wait(reinject, attempt));
  EXPECT_THAT(waits, ElementsAre(30, 60, 120, 240, 480, 960, 1920, 3600, 3600));
  EXPECT_EQ(retry_wait(reinject, UINT32_MAX), 3600u);
}

Alert happened(const std::string& key = "k") { return {Alert::What::raised, "e", key, "text", true, 1}; }

TEST(Alerts, WhatGoesOnIsToldAfter5And15And35And75Seconds) {
  AlertState state;
  std::vector<int64_t> told;
  uint64_t count = 0;
  for (int64_t now = 0; now <= 160'000; now += 1000) {
    if (state.raised(happened(), false, {}, now)) told.push_back(now / 1000);
    for (const Alert& alert : state.due({}, now)) {
      told.push_back(now / 1000);
      count += alert.count;
    }
  }
  EXPECT_THAT(told, ElementsAre(0, 5, 15, 35, 75, 155));
  EXPECT_EQ(count, 155u);  // none is lost: 1 s to 155 s
}

TEST(Alerts, WhatStaysAwayIsForgottenAndWhatEndsIsToldOnce) {
  AlertState state;
  EXPECT_TRUE(state.raised(happened(), false, {}, 0));
  EXPECT_FALSE(state.raised(happened(), false, {}, 1));
  EXPECT_TRUE(state.raised(happened("other"), false, {}, 2));
  EXPECT_EQ(state.due({}, 5000).size(), 1u);
  EXPECT_TRUE(state.due({}, 15'001).empty());
  EXPECT_FALSE(state.next());
  EXPECT_TRUE(state.raised(happened(), false, {}, 20'000));  // anew

  EXPECT_TRUE(state.cleared("e2", "", "over").empty());
  Alert lasting = happened();
  lasting.event = "e2";
  EXPECT_TRUE(state.raised(lasting, true, {}, 0));
  EXPECT_TRUE(state.due({}, 4000).empty());
  state.due({}, 1'000'000);
  EXPECT_FALSE(state.raised(lasting, true, {}, 2'000'000));  // still the same episode, told by due()
  EXPECT_EQ(state.due({}, 2'000'000).size(), 1u);
  const std::vector<Alert> over = state.cleared("e2", "", "over");
  ASSERT_EQ(over.size(), 1u);
  EXPECT_EQ(over[0].what, Alert::What::cleared);
  EXPECT_EQ(over[0].text, "over");
  EXPECT_TRUE(state.cleared("e2", "", "over").empty());
}

TEST(Alerts, CasesAreBounded) {
  AlertState state;
  size_t told = 0;
  for (int i = 0; i < 5000; ++i) told += state.raised(happened(std::to_string(i)), false, {}, 0).has_value();
  EXPECT_EQ(told, AlertState::kMostCases + 1);
}

TEST(Alerts, MoreThanCanBeHeldAreCounted) {
  // The first alert that arrives shows that the thread has counted the others.
  const base::UniqueFd hook(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(hook.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(hook.get(), 1), 0);
  ASSERT_EQ(::getsockname(hook.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  static std::string url;
  url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
  auto generation = make_generation(
      "", 1, [](Settings& settings) { settings.alerts.push_back({"ops", {}, {url, "", 30}, {}, 5, 3600}); });
  Service service(generation);
  const CapturedLog log;
  Alerts alerts(service);
  for (int i = 0; i < 1200; ++i) alerts.note(0, false, "k", "text");
  alerts.start();
  pollfd arrives{hook.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&arrives, 1, 30'000), 1);
  alerts.stop();
  EXPECT_EQ(log.matching("200 alerts were dropped"), 1u);
  EXPECT_EQ(log.matching("[alerts-dropped]"), 1u);
}

TEST(Alerts, TextsHoldNoMoreThanTheySay) {
  Settings settings;
  settings.hostname = "mx.example.org";
  const AlertProfile profile{"ops", {"a@x.test", "b@x.test"}, {}, {}, 5, 3600};
  Alert alert{Alert::What::repeated, "submit-down", "k\r\nBcc: evil@x.test", "line\r\n\r\n.\r\nQUIT", true, 3};
  const std::string mail = alert_mail(alert, profile, settings, 1'750'000'000);
  const std::string head = mail.substr(0, mail.find("\r\n\r\n"));
  EXPECT_THAT(head, HasSubstr("To: a@x.test,\r\n b@x.test\r\n"));
  EXPECT_THAT(head, HasSubstr("Subject: [Critical]-[mx.example.org]: (Mail) submit-down k Bcc: evil@x.test\r\n"));
  EXPECT_THAT(mail, HasSubstr("3 times"));
  EXPECT_EQ(mail.find("\r\n.\r\n"), std::string::npos);
  alert.text = "\xff\"";
  EXPECT_THAT(alert_json(alert, profile, settings, 0), HasSubstr(R"("state":"repeated","severity":"critical")"));
  for (const AlertRow& row : alert_table()) {
    // What is merely worth knowing reaches nobody who did not ask for it.
    EXPECT_EQ(event(row.raised).level == base::Level::info, row.on_request) << event(row.raised).id;
  }
}

}  // namespace
}  // namespace postern::milter
