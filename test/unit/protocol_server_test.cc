// SPDX-License-Identifier: Apache-2.0
// fipsd's server with a toy handler: order of answers, lanes, deadlines, last words, what bad peers can do (nothing),
// and its end.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <set>

#include "test/unit/protocol_fixture.h"

namespace postern::keystore {
namespace {

class ServerTest : public testing::Test {
 protected:
  // start makes a server with a consumer's socket "sock" and an officer's socket "officer".
  void start(ServerOptions options = {}, const std::function<void(SocketOptions&)>& consumer = {}) {
    SocketOptions milter;
    milter.class_name = "milter";
    milter.paths = {directory_.socket()};
    if (consumer) consumer(milter);
    SocketOptions officer;
    officer.class_name = "officer";
    officer.officer = true;
    officer.paths = {directory_.socket("officer")};
    options.sockets.push_back(std::move(milter));
    options.sockets.push_back(std::move(officer));
    auto server = Server::create(std::move(options), toy_);
    ASSERT_TRUE(server.has_value()) << server.error().text();
    server_ = std::move(*server);
    const auto started = server_->start();
    ASSERT_TRUE(started.has_value());
  }
  void TearDown() override { toy_.release(); }

  Bare consumer() { return Bare(directory_.socket()); }
  Bare officer() { return Bare(directory_.socket("officer")); }

  Directory directory_;
  Toy toy_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AnswersEveryPipelinedRequestWithItsId) {
  start();
  Bare peer = consumer();
  std::set<uint32_t> open;
  for (uint32_t id = 1; id <= 64; ++id) {
    ASSERT_TRUE(peer.ask(Verb::sign, id, "body " + std::to_string(id)));
    open.insert(id);
  }
  while (!open.empty()) {
    const auto reply = peer.reply();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->body, "body " + std::to_string(reply->id));
    EXPECT_EQ(open.erase(reply->id), 1u);
  }
  EXPECT_EQ(server_->counters().requests, 64u);
  EXPECT_EQ(server_->counters().busy, 0u);
}

TEST_F(ServerTest, ALaterRequestMayOvertake) {
  start();
  Bare peer = consumer();
  peer.ask(Verb::sign, 1, "hold");
  ASSERT_TRUE(toy_.wait_holding(1));
  peer.ask(Verb::sign, 2, "quick");
  EXPECT_EQ(peer.reply()->id, 2u);
  toy_.release();
  EXPECT_EQ(peer.reply()->id, 1u);
}

TEST_F(ServerTest, AFullQueueIsBusyAtOnce) {
  ServerOptions options;
  options.workers = 1;
  options.queue = 2;
  start(std::move(options));
  Bare peer = consumer();
  peer.ask(Verb::sign, 1, "hold");
  ASSERT_TRUE(toy_.wait_holding(1));
  peer.ask(Verb::sign, 2, "a");
  peer.ask(Verb::sign, 3, "b");
  peer.ask(Verb::sign, 4, "c");
  const auto busy = peer.reply();
  EXPECT_EQ(busy->id, 4u);
  EXPECT_EQ(busy->status, Status::busy);
  EXPECT_EQ(server_->counters().queued, 2u);
  toy_.release();
  for (const uint32_t id : {1u, 2u, 3u}) EXPECT_EQ(peer.reply()->id, id);
  EXPECT_EQ(server_->counters().busy, 1u);
}

TEST_F(ServerTest, WhatWaitedTooLongIsNotBegun) {
  ServerOptions options;
  options.workers = 1;
  start(std::move(options));
  Bare peer = consumer();
  peer.ask(Verb::sign, 1, "hold");
  ASSERT_TRUE(toy_.wait_holding(1));
  peer.ask(Verb::sign, 2, "late", 1);
  ASSERT_TRUE(eventually([&] { return server_->counters().queued == 1; }));
  const auto queued = steady_clock::now();
  ASSERT_TRUE(eventually([&] { return steady_clock::now() > queued + 2ms; }));
  toy_.release();
  EXPECT_EQ(peer.reply()->id, 1u);
  const auto late = peer.reply();
  EXPECT_EQ(late->id, 2u);
  EXPECT_EQ(late->status, Status::expired);
  EXPECT_EQ(toy_.calls, 1u);
  EXPECT_EQ(server_->counters().expired, 1u);
}

TEST_F(ServerTest, AConnectionHasSoManyRequestsAtOnce) {
  ServerOptions options;
  options.in_flight = 2;
  options.workers = 1;
  start(std::move(options));
  Bare peer = consumer();
  for (uint32_t id = 1; id <= 3; ++id) peer.ask(Verb::sign, id, "hold");
  const auto busy = peer.reply();
  EXPECT_EQ(busy->id, 3u);
  EXPECT_EQ(busy->status, Status::busy);
  Bare other = consumer();
  other.ask(Verb::sign, 1, "other");
  toy_.release();
  EXPECT_EQ(other.status(), Status::ok);
  EXPECT_EQ(peer.reply()->id, 1u);
  EXPECT_EQ(peer.reply()->id, 2u);
  peer.ask(Verb::sign, 4, "again");
  EXPECT_EQ(peer.status(), Status::ok);
}

TEST_F(ServerTest, ARateIsOfItsClass) {
  start({}, [](SocketOptions& socket) { socket.rate = 2; });
  Bare peer = consumer();
  uint32_t ok = 0;
  uint32_t busy = 0;
  for (uint32_t id = 1; id <= 60; ++id) {
    peer.ask(Verb::ping, id);
    const auto status = peer.status();
    ok += status == Status::ok;
    busy += status == Status::busy;
  }
  EXPECT_EQ(ok + busy, 60u);
  EXPECT_GE(ok, 2u);
  EXPECT_GE(busy, 1u);
  Bare other = officer();
  for (uint32_t id = 1; id <= 60; ++id) {
    other.ask(Verb::ping, id);
    EXPECT_EQ(other.status(), Status::ok);
  }
}

TEST_F(ServerTest, OfficerVerbsNeedAnOfficerSocket) {
  start();
  Bare peer = consumer();
  for (const Verb verb : {Verb::login, Verb::zeroise, Verb::clear_error}) {
    peer.ask(verb, 7, "guess");
    const auto reply = peer.reply();
    EXPECT_EQ(reply->id, 7u);
    EXPECT_EQ(reply->status, Status::denied);
  }
  EXPECT_EQ(toy_.calls, 0u);
  EXPECT_EQ(server_->counters().denied, 3u);
  peer.ask(Verb::ping, 8, "still there");
  EXPECT_EQ(peer.status(), Status::ok);
}

TEST_F(ServerTest, OfficerRequestsAreTakenOneAfterAnother) {
  start();
  std::vector<Bare> peers;
  for (int i = 0; i < 4; ++i) peers.push_back(officer());
  for (uint32_t id = 1; id <= 10; ++id) {
    for (Bare& peer : peers) peer.ask(Verb::login, id, "guess");
  }
  for (Bare& peer : peers) {
    for (uint32_t id = 1; id <= 10; ++id) EXPECT_EQ(peer.reply()->id, id);
  }
  EXPECT_FALSE(toy_.overlapped);
  EXPECT_EQ(toy_.calls, 40u);
}

TEST_F(ServerTest, ASlowOfficerHoldsUpNobodyElse) {
  start();
  Bare slow = officer();
  slow.ask(Verb::login, 1, "hold");
  ASSERT_TRUE(toy_.wait_holding(1));
  Bare peer = consumer();
  peer.ask(Verb::sign, 1, "quick");
  EXPECT_EQ(peer.status(), Status::ok);
  slow.ask(Verb::status, 2, "status");
  EXPECT_EQ(slow.reply()->id, 2u) << "what any client may ask is no officer's work";
  toy_.release();
  EXPECT_EQ(slow.reply()->id, 1u);
}

TEST_F(ServerTest, TheEndOfAnOfficersConnectionComesBeforeLaterRequests) {
  start();
  Bare second = officer();
  for (uint32_t round = 2; round < 100; ++round) {
    Bare first = officer();
    first.ask(Verb::login, 1, "first");
    second.ask(Verb::logout, round, "before");
    EXPECT_EQ(first.status(), Status::ok);
    EXPECT_EQ(second.status(), Status::ok);
    first.close();
    second.ask(Verb::backup, round, "after");
    EXPECT_EQ(second.status(), Status::ok);
    const auto notes = toy_.notes();
    ASSERT_GE(notes.size(), 2u);
    EXPECT_EQ(notes[notes.size() - 2], "closed " + std::to_string(round));
    EXPECT_EQ(notes.back(), "officer 1 after");
  }
}

TEST_F(ServerTest, WhatAGoneConnectionAskedIsNotBegun) {
  start();
  Bare first = officer();
  first.ask(Verb::login, 1, "hold");
  ASSERT_TRUE(toy_.wait_holding(1));
  Bare second = officer();
  for (uint32_t id = 1; id <= 3; ++id) second.ask(Verb::login, id, "guess");
  ASSERT_TRUE(eventually([&] { return server_->counters().queued == 3; }));
  second.close();
  ASSERT_TRUE(eventually([&] { return server_->counters().open == 1; }));
  toy_.release();
  ASSERT_TRUE(eventually([&] { return toy_.noted("closed 2"); }));
  EXPECT_FALSE(toy_.noted("officer 2 guess"));
  EXPECT_EQ(first.status(), Status::ok);
}

TEST_F(ServerTest, ALastWordGoesToEveryOtherOfficer) {
  start();
  Bare zeroiser = officer();
  Bare other = officer();
  Bare peer = consumer();
  uint32_t id = 0;
  for (Bare* one : {&zeroiser, &other, &peer}) {
    one->ask(Verb::ping, ++id);
    EXPECT_EQ(one->status(), Status::ok);
  }
  server_->last_word({5, Status::zeroised, "fipsd was zeroised"}, 1);
  const auto word = other.reply();
  ASSERT_TRUE(word.has_value());
  EXPECT_EQ(word->id, 0u);
  EXPECT_EQ(word->status, Status::zeroised);
  EXPECT_EQ(word->body, "fipsd was zeroised");
  EXPECT_FALSE(other.take().has_value());
  ASSERT_TRUE(eventually([&] { return toy_.noted("closed 2"); }));
  for (Bare* one : {&zeroiser, &peer}) {
    one->ask(Verb::ping, ++id);
    EXPECT_EQ(one->status(), Status::ok);
  }
  server_->send_last_word(1, {0, Status::login_required, "ten minutes without a word"});
  EXPECT_EQ(zeroiser.reply()->status, Status::login_required);
  EXPECT_FALSE(zeroiser.take().has_value());
  server_->send_last_word(12345, {0, Status::ok, "nobody"});
  Bare fresh = officer();
  fresh.ask(Verb::login, 1, "new");
  EXPECT_EQ(fresh.status(), Status::ok);
}

TEST_F(ServerTest, NothingIsBegunForAnOfficerWhoGotTheLastWord) {
  start();
  Bare zeroiser = officer();
  zeroiser.ask(Verb::zeroise, 1, "hold");
  ASSERT_TRUE(toy_.wait_holding(1));
  Bare other = officer();
  other.ask(Verb::login, 1, "guess");
  ASSERT_TRUE(eventually([&] { return server_->counters().queued == 1; }));
  server_->last_word({0, Status::zeroised, ""}, 1);
  toy_.release();
  EXPECT_EQ(zeroiser.status(), Status::ok);
  EXPECT_EQ(other.reply()->id, 0u);
  EXPECT_FALSE(other.take().has_value());
  ASSERT_TRUE(eventually([&] { return toy_.noted("closed 2"); }));
  EXPECT_FALSE(toy_.noted("officer 2 guess"));
}

TEST_F(ServerTest, ABadFrameClosesItsConnectionOnly) {
  start();
  Bare good = consumer();
  const std::string ping = encode_request({Verb::ping, 9, 1000}, "");
  const auto changed = [&](size_t at, char byte) {
    std::string frame = ping;
    frame[at] = byte;
    return frame;
  };
  struct Case {
    std::string frame;
    Status status;
    uint32_t id;
  };
  for (const Case& one : {Case{"x", Status::malformed, 0}, Case{ping.substr(0, 11), Status::malformed, 9},
                          Case{changed(0, 9), Status::version, 9}, Case{changed(3, 1), Status::malformed, 9},
                          Case{changed(7, 0), Status::malformed, 0}, Case{std::string(300, '\0'), Status::version, 0},
                          Case{ping + std::string(kMaxFrame, 'x'), Status::malformed, 9}}) {
    Bare bad = consumer();
    ASSERT_TRUE(bad.send_frame(one.frame));
    const auto reply = bad.reply();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->status, one.status);
    EXPECT_EQ(reply->id, one.id);
    EXPECT_FALSE(bad.take().has_value());
  }
  good.send_frame(changed(1, 99));
  EXPECT_EQ(good.status(), Status::unknown_verb);
  good.ask(Verb::ping, 1, "still there");
  EXPECT_EQ(good.reply()->body, "still there");
  EXPECT_EQ(server_->counters().malformed, 8u);
  EXPECT_EQ(toy_.calls, 1u);
}

TEST_F(ServerTest, WhatTheHandlerThrowsOrOverfillsIsAFailure) {
  start();
  Bare peer = consumer();
  for (const std::string_view body : {"throw", "huge"}) {
    peer.ask(Verb::sign, 3, body);
    const auto reply = peer.reply();
    EXPECT_EQ(reply->id, 3u);
    EXPECT_EQ(reply->status, Status::failed);
  }
  Bare chief = officer();
  chief.ask(Verb::login, 4, "throw");
  EXPECT_EQ(chief.status(), Status::failed);
}

TEST_F(ServerTest, TwoHundredClientsOfWhichHalfVanish) {
  start();
  std::vector<Bare> peers;
  for (int i = 0; i < 200; ++i) peers.push_back(consumer());
  for (Bare& peer : peers) {
    ASSERT_TRUE(peer.connected());
    for (uint32_t id = 1; id <= 5; ++id) peer.ask(Verb::sign, id, "big");
  }
  for (size_t i = 0; i < peers.size(); i += 2) peers[i].close();
  for (size_t i = 1; i < peers.size(); i += 2) {
    for (uint32_t id = 1; id <= 5; ++id) EXPECT_EQ(peers[i].status(), Status::ok);
  }
  peers.clear();
  EXPECT_TRUE(eventually([&] { return server_->counters().open == 0; }));
  Bare peer = consumer();
  peer.ask(Verb::ping, 1);
  EXPECT_EQ(peer.status(), Status::ok);
}

TEST_F(ServerTest, WhoDoesNotReadIsClosedAndBlocksNoWorker) {
  ServerOptions options;
  options.workers = 1;
  options.unread_ms = 100;
  start(std::move(options));
  Bare deaf = consumer();
  for (uint32_t id = 1; id <= 64; ++id) deaf.ask(Verb::sign, id, "big");
  Bare peer = consumer();
  peer.ask(Verb::sign, 1, "quick");
  EXPECT_EQ(peer.status(), Status::ok);
  EXPECT_TRUE(eventually([&] { return server_->counters().open == 1; }));
}

TEST_F(ServerTest, WhoReadsLateGetsEverything) {
  start();
  Bare late = consumer();
  for (uint32_t id = 1; id <= 12; ++id) late.ask(Verb::sign, id, "big");
  ASSERT_TRUE(eventually([&] { return toy_.calls >= 4; })) << "more than the socket takes";
  std::set<uint32_t> ids;
  for (int i = 0; i < 12; ++i) ids.insert(late.reply()->id);
  EXPECT_EQ(ids.size(), 12u);
  late.ask(Verb::sign, 13, "and on");
  EXPECT_EQ(late.reply()->body, "and on");
}

TEST_F(ServerTest, AClassHasSoManyConnections) {
  start({}, [](SocketOptions& socket) { socket.connections = 2; });
  Bare first = consumer();
  Bare second = consumer();
  first.ask(Verb::ping, 1);
  EXPECT_EQ(first.status(), Status::ok);
  Bare third = consumer();
  const auto word = third.reply();
  EXPECT_EQ(word->id, 0u);
  EXPECT_EQ(word->status, Status::busy);
  EXPECT_FALSE(third.take().has_value());
  EXPECT_TRUE(toy_.noted("refused too many connections"));
  first.close();
  ASSERT_TRUE(eventually([&] { return server_->counters().open == 1; }));
  Bare fourth = consumer();
  fourth.ask(Verb::ping, 1);
  EXPECT_EQ(fourth.status(), Status::ok);
}

TEST_F(ServerTest, OnlyListedUsersMayCome) {
  start({}, [](SocketOptions& socket) { socket.allowed_uids = {::getuid() + 1}; });
  Bare peer = consumer();
  peer.ask(Verb::ping, 1);
  const auto word = peer.reply();
  ASSERT_TRUE(word.has_value());
  EXPECT_EQ(word->id, 0u);
  EXPECT_EQ(word->status, Status::denied);
  EXPECT_FALSE(peer.take().has_value());
  EXPECT_EQ(toy_.calls, 0u);
}

TEST_F(ServerTest, WithoutDescriptorsItWaitsAndGoesOn) {
  start();
  std::vector<Bare> peers;
  for (int i = 0; i < 8; ++i) {
    peers.emplace_back(base::UniqueFd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)));
  }
  const int top = ::dup(0);
  ::close(top);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{static_cast<rlim_t>(top) + 2, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  for (Bare& peer : peers) peer.connect(directory_.socket());
  for (size_t i = 0; i < peers.size(); ++i) {
    ASSERT_TRUE(peers[i].connected());
    peers[i].ask(Verb::ping, 1, "patient");
    const auto reply = peers[i].reply();
    ASSERT_TRUE(reply.has_value()) << i;
    EXPECT_EQ(reply->body, "patient");
    peers[i].close();
  }
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST_F(ServerTest, ItIsSeenHowLongARequestTakes) {
  start();
  EXPECT_EQ(server_->stuck_seconds(), 0u);
  Bare peer = consumer();
  peer.ask(Verb::sign, 1, "hold");
  ASSERT_TRUE(toy_.wait_holding(1));
  EXPECT_TRUE(eventually([&] { return server_->stuck_seconds() >= 1; }));
  EXPECT_GE(toy_.idles, 0u);
  toy_.release();
  EXPECT_EQ(peer.status(), Status::ok);
  EXPECT_TRUE(eventually([&] { return server_->stuck_seconds() == 0; }));
  EXPECT_TRUE(eventually([&] { return toy_.idles >= 1; }));
}

TEST_F(ServerTest, AtItsEndEverybodyGetsAnAnswer) {
  ServerOptions options;
  options.workers = 1;
  start(std::move(options));
  Bare peer = consumer();
  peer.ask(Verb::sign, 1, "hold");
  ASSERT_TRUE(toy_.wait_holding(1));
  peer.ask(Verb::sign, 2, "waiting");
  ASSERT_TRUE(eventually([&] { return server_->counters().queued == 1; }));
  std::thread stopper([&] { server_->stop(); });
  // The sockets go only after the request was answered, so new ones still find somebody until then.
  toy_.release();
  stopper.join();
  EXPECT_EQ(peer.status(), Status::ok);
  const auto status = peer.status();
  EXPECT_TRUE(status == Status::unavailable || status == Status::ok);
  EXPECT_FALSE(peer.take().has_value());
  EXPECT_FALSE(std::filesystem::exists(directory_.socket()));
  EXPECT_FALSE(consumer().connected());
}

}  // namespace
}  // namespace postern::keystore
