// SPDX-License-Identifier: Apache-2.0
// Engines with scripted servers: what is sent, whom it is sent to, and what happens when servers fail, hang and return.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "engine/inspect/engine.h"
#include "test/support/temporary_directory.h"

namespace postern::inspect {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{60};

// Peer is a connection as the server sees it.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  // more reads what comes next into `seen`; false at the end.
  bool more() {
    char buffer[65536];
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got > 0) seen.append(buffer, static_cast<size_t>(got));
    return got > 0;
  }
  void until(const std::function<bool()>& enough) {
    while (!enough() && more()) {
    }
  }
  // say sends `text`; false: nobody listens any more.
  bool say(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  std::string seen;

 private:
  int fd_;
};

// Server listens on a Unix socket; each connection is served by `behaviour` on a thread of its own.
class Server {
 public:
  using Behaviour = std::function<void(Peer&)>;
  explicit Server(std::string path, Behaviour behaviour) : path_(std::move(path)), behaviour_(std::move(behaviour)) {
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    thread_ = std::thread([this] { run(); });
  }
  ~Server() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    for (const int fd : fds_) ::shutdown(fd, SHUT_RDWR);
    for (std::thread& thread : threads_) thread.join();
    for (const int fd : fds_) ::close(fd);
    ::close(listener_);
    ::unlink(path_.c_str());
  }
  ServerPlace place() const { return {"unix:" + path_, {path_, {}, 0}}; }

 private:
  void run() {
    for (;;) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      fds_.push_back(fd);
      threads_.emplace_back([this, fd] {
        Peer peer(fd);
        behaviour_(peer);
        ::shutdown(fd, SHUT_RDWR);
      });
    }
  }
  std::string path_;
  Behaviour behaviour_;
  int listener_ = -1;
  std::thread thread_;
  std::vector<int> fds_;
  std::vector<std::thread> threads_;
};

// chunks takes the stream of INSTREAM apart; `ended` tells whether its end is there.
std::string chunks(std::string_view stream, bool& ended) {
  std::string out;
  ended = false;
  stream.remove_prefix(10);
  while (stream.size() >= 4) {
    size_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(stream[static_cast<size_t>(i)]);
    stream.remove_prefix(4);
    ended = size == 0;
    if (ended || stream.size() < size) break;
    out += stream.substr(0, size);
    stream.remove_prefix(size);
  }
  return out;
}

constexpr std::string_view kPing("zPING\0", 6);
constexpr std::string_view kInstream("zINSTREAM\0", 10);

bool is_ping(Peer& peer) {
  peer.until([&] { return peer.seen.size() >= kPing.size(); });
  return peer.seen == kPing;
}

// A clamd that answers every message with `reply`.
Server::Behaviour clamd(std::string reply, std::string* message = nullptr) {
  return [reply = std::move(reply), message](Peer& peer) {
    if (is_ping(peer)) {
      peer.say(std::string_view("PONG\0", 5));
      return;
    }
    bool ended = false;
    peer.until([&] {
      const std::string all = peer.seen.size() < 10 ? std::string() : chunks(peer.seen, ended);
      if (ended && message != nullptr) *message = all;
      return ended;
    });
    peer.say(reply + '\0');
  };
}

class InspectEngine : public ::testing::Test {
 protected:
  EngineSettings settings(std::vector<ServerPlace> servers, Type type = Type::clamd) {
    EngineSettings out;
    out.name = "engine";
    out.type = type;
    out.servers = std::move(servers);
    out.connect_timeout = milliseconds(20'000);
    out.timeout = milliseconds(20'000);
    out.retry = milliseconds(0);  // no pause: it may be asked again at once
    return out;
  }
  EventSink sink() {
    return [this](const Event& event) {
      constexpr const char* kNames[] = {"server-down", "server-up", "outage", "recovery"};
      const std::lock_guard<std::mutex> guard(mutex_);
      events_.emplace_back(kNames[static_cast<size_t>(event.kind)]);
    };
  }
  std::vector<std::string> events() {
    const std::lock_guard<std::mutex> guard(mutex_);
    return std::exchange(events_, {});
  }
  static Subject subject(std::vector<std::string_view> pieces) {
    Subject out;
    out.pieces = std::move(pieces);
    for (const std::string_view piece : out.pieces) out.size += piece.size();
    return out;
  }
  static Deadline soon() { return Clock::now() + kPatience; }
  std::string path(const char* name) { return folder_ / name; }

  test::TemporaryDirectory folder_;
  std::mutex mutex_;
  std::vector<std::string> events_;
};

using Events = std::vector<std::string>;

TEST_F(InspectEngine, CleanBeforeTheWholeMessageWasTakenIsUnscannable) {
  const std::string large(30'000'000, 'x');
  // Answers at the first bytes, and takes no more of the message.
  const auto early = [&](Type type, std::string_view reply) {
    std::mutex hold;
    std::unique_lock held(hold);
    Server server(path("s"), [&](Peer& peer) {
      peer.more();
      peer.say(reply);
      const std::lock_guard until_asked(hold);
    });
    Engine engine(settings({server.place()}, type), sink());
    const auto found = engine.inspect(subject({"Subject: a\r\n\r\n", large}), soon());
    held.unlock();
    return found ? std::string(virus_verdict_name(found->answer.virus)) : found.error().text();
  };
  EXPECT_EQ(early(Type::icap, "ICAP/1.0 204 No Content\r\n\r\n"), "unscannable");
  EXPECT_EQ(early(Type::icap, "ICAP/1.0 204 x\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Bad;\r\n\r\n"),
            "infected");
  EXPECT_EQ(early(Type::clamd, std::string_view("stream: OK\0", 11)), "unscannable");
  const std::string score =
      early(Type::spamd, "SPAMD/1.1 0 EX_OK\r\nContent-length: 3\r\nSpam: False ; 0.0 / 5.0\r\n\r\nA\r\n");
  EXPECT_NE(score.find("before the whole message"), std::string::npos) << score;
}

TEST_F(InspectEngine, ClamdSeesTheMessageByteForByte) {
  std::string seen;
  Server server(path("s"), clamd("stream: Bad FOUND", &seen));
  Engine engine(settings({server.place()}), sink());
  const std::string large(3'500'000, 'x');
  const auto found = engine.inspect(subject({"Subject: a\r\n\r\n", "", large, "end"}), soon());
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_EQ(found->answer.virus, VirusVerdict::infected);
  EXPECT_EQ(found->answer.name, "Bad");
  EXPECT_EQ(found->server, server.place().text);
  EXPECT_EQ(seen, "Subject: a\r\n\r\n" + large + "end");
}

TEST_F(InspectEngine, AnAnswerInTheMiddleOfTheMessageIsRead) {
  Server server(path("s"), [](Peer& peer) {
    if (is_ping(peer)) return;
    peer.say(std::string_view("INSTREAM size limit exceeded. ERROR\0", 36));
  });
  Engine engine(settings({server.place()}), sink());
  const std::string large(30'000'000, 'x');
  const auto answer = engine.inspect(subject({large}), soon());
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_EQ(answer->answer.virus, VirusVerdict::unscannable);
}

TEST_F(InspectEngine, WhatIsTooLargeIsNotShown) {
  EngineSettings small = settings({{"unix:/nowhere", {"/nowhere", {}, 0}}});
  small.max_size = 10;
  Engine engine(small, sink());
  EXPECT_EQ(engine.inspect(subject({"12345678901"}), soon()).error().cause(), base::Cause::limit);
  EXPECT_EQ(events(), Events());
}

TEST_F(InspectEngine, TheNextServerIsAskedWhereOneIsAway) {
  Server second(path("b"), clamd("stream: OK"));
  Engine engine(settings({{"unix:" + path("a"), {path("a"), {}, 0}}, second.place()}), sink());
  EXPECT_TRUE(engine.inspect(subject({"x"}), soon()));
  EXPECT_EQ(events(), Events({"server-down"}));
  Server first(path("a"), clamd("stream: OK"));
  engine.probe(true);
  EXPECT_EQ(events(), Events({"server-up"}));
  EXPECT_EQ(engine.inspect(subject({"x"}), soon())->server, first.place().text);
}

// A server that hangs or breaks off in each of these ways, as often as `times`, to messages and pings; then it is good.
class InspectFaults : public InspectEngine, public ::testing::WithParamInterface<std::tuple<const char*, int>> {};

TEST_P(InspectFaults, TheNextGoodAnswerIsUsed) {
  const std::string fault = std::get<0>(GetParam());
  std::atomic<bool> faulty{true};
  const Server::Behaviour good = clamd("stream: OK");
  Server server(path("s"), [&](Peer& peer) {
    if (!faulty) {
      good(peer);
    } else if (fault == "silent") {
      peer.until([] { return false; });
    } else if (fault == "mid-answer") {
      peer.more();
      peer.say("stream: ");
      peer.until([] { return false; });
    } else if (fault == "garbage") {
      peer.more();
      peer.say(std::string_view("220 mail.example.org ESMTP\r\n\0", 29));
    } else if (fault == "endless") {
      peer.more();
      peer.say(std::string(1'000'000, 'x'));
    } else if (fault == "cut") {
      peer.more();
      peer.say("stream: O");
    } else if (fault == "closes") {
      peer.more();
    }
  });
  EngineSettings quick = settings({server.place()});
  quick.timeout = milliseconds(60);
  quick.connect_timeout = milliseconds(60);
  Engine engine(quick, sink());
  for (int i = 0; i < std::get<1>(GetParam()); ++i) {
    const auto answer = engine.inspect(subject({"x"}), soon());
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().cause(), base::Cause::unavailable);
  }
  EXPECT_EQ(events(), Events({"server-down", "outage"})) << "told once, however often it fails";
  faulty = false;
  // A slow machine may take longer than this test's limits are.
  base::Result<Inspection> answer = base::fail(base::Cause::unavailable, "");
  for (const Deadline end = soon(); !answer && Clock::now() < end;) answer = engine.inspect(subject({"x"}), soon());
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_EQ(answer->answer.virus, VirusVerdict::clean);
  const Events after = events();
  ASSERT_GE(after.size(), 2u);
  EXPECT_EQ(after[0], "server-up");
  EXPECT_EQ(after[1], "recovery");
}

INSTANTIATE_TEST_SUITE_P(Faults, InspectFaults,
                         ::testing::Combine(::testing::Values("silent", "mid-answer", "garbage", "endless", "cut",
                                                              "closes"),
                                            ::testing::Values(1, 3)));

TEST_F(InspectEngine, AForcedProbeWorksWhileAMessageHangs) {
  std::mutex mutex;
  std::condition_variable changed;
  bool hanging = false;
  bool released = false;
  Server server(path("s"), [&](Peer& peer) {
    if (is_ping(peer)) {
      peer.say(std::string_view("PONG\0", 5));
      return;
    }
    std::unique_lock<std::mutex> lock(mutex);
    hanging = true;
    changed.notify_all();
    changed.wait_for(lock, kPatience, [&] { return released; });
  });
  Engine engine(settings({server.place()}), sink());
  std::thread asking([&] { EXPECT_FALSE(engine.inspect(subject({"x"}), soon())); });
  {
    std::unique_lock<std::mutex> lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, kPatience, [&] { return hanging; }));
  }
  engine.probe(true);
  EXPECT_TRUE(engine.status().servers.front().tried);
  EXPECT_TRUE(engine.status().servers.front().up);
  {
    const std::lock_guard<std::mutex> lock(mutex);
    released = true;
  }
  changed.notify_all();
  asking.join();
}

TEST_F(InspectEngine, AMessageThatAServerChokesOnDoesNotSwitchItOff) {
  std::atomic<int> shown{0};
  const auto choking = [&](Peer& peer) {
    if (is_ping(peer)) {
      peer.say(std::string_view("PONG\0", 5));
    } else {
      ++shown;
    }
  };
  Server first(path("a"), choking);
  Server second(path("b"), choking);
  Server third(path("c"), choking);
  Engine engine(settings({first.place(), second.place(), third.place()}), sink());
  const auto answer = engine.inspect(subject({"x"}), soon());
  EXPECT_EQ(answer.error().cause(), base::Cause::unavailable);
  EXPECT_EQ(shown, 2) << "it may be what makes them fail";
  EXPECT_EQ(events(), Events());
  for (const ServerStatus& server : engine.status().servers) EXPECT_TRUE(server.up);
  EXPECT_EQ(engine.status().failures, 1u);
}

TEST_F(InspectEngine, AnAnswerByDropsEndsAtTheDeadline) {
  Server server(path("s"), [](Peer& peer) {
    if (is_ping(peer)) return;
    // The pace of the drops; nothing waits for it.
    while (peer.say("x")) std::this_thread::sleep_for(milliseconds(5));
  });
  EngineSettings quick = settings({server.place()});
  quick.timeout = milliseconds(100);
  Engine engine(quick, sink());
  const auto answer = engine.inspect(subject({"x"}), soon());
  ASSERT_FALSE(answer);
  EXPECT_NE(answer.error().text().find("in time"), std::string::npos) << answer.error().text();
}

TEST_F(InspectEngine, AReloadDoesNotTellOfTheSameOutageAgain) {
  const EngineSettings gone = settings({{"unix:" + path("a"), {path("a"), {}, 0}}});
  Engine earlier(gone, sink());
  earlier.probe(false);
  EXPECT_EQ(events(), Events({"server-down", "outage"}));
  Engine engine(gone, sink());
  engine.inherit(earlier);
  engine.probe(true);
  EXPECT_EQ(events(), Events());
  Server server(path("a"), clamd("stream: OK"));
  engine.probe(true);
  EXPECT_EQ(events(), Events({"server-up", "recovery"}));
}

TEST_F(InspectEngine, AnOutageThatAMessageOfTheEarlierLoadSeesLateEndsForTheLaterOne) {
  const EngineSettings settled = settings({{"unix:" + path("a"), {path("a"), {}, 0}}});
  Engine earlier(settled, sink());
  Engine engine(settled, sink());
  engine.inherit(earlier);
  earlier.probe(true);
  EXPECT_EQ(events(), Events({"server-down", "outage"}));
  EXPECT_TRUE(engine.status().outage);
  Server server(path("a"), clamd("stream: OK"));
  EXPECT_TRUE(engine.inspect(subject({"x"}), soon()));
  EXPECT_EQ(events(), Events({"recovery"}));
  EXPECT_FALSE(earlier.status().outage);
}

TEST_F(InspectEngine, SpamdIsToldWhomTheMessageCameFrom) {
  std::string seen;
  Server server(path("s"), [&](Peer& peer) {
    peer.until([&] { return peer.seen.ends_with("the end\r\n") || peer.seen.starts_with("PING"); });
    seen = peer.seen;
    peer.say("SPAMD/1.1 0 EX_OK\r\nContent-length: 3\r\nSpam: False ; 2.5 / 5.0\r\n\r\nA,B");
  });
  Engine engine(settings({server.place()}, Type::spamd), sink());
  Subject message = subject({"Subject: a\r\n\r\n", "the end\r\n"});
  message.client_ip = "192.0.2.7";
  message.helo = "evil)\r\nSubject: x";
  message.client_name = "client.example";
  message.hostname = "mx.example";
  message.from = "a@x.example";
  message.queue_id = "ABC";
  const auto answer = engine.inspect(message, soon());
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_EQ(answer->answer.score, 2500);
  EXPECT_EQ(answer->answer.symbols, "A,B");
  const size_t body = seen.find("\r\n\r\n") + 4;
  EXPECT_EQ(seen.substr(0, body),
            "SYMBOLS SPAMC/1.5\r\nContent-length: " + std::to_string(seen.size() - body) + "\r\n\r\n");
  EXPECT_NE(
      seen.find(
          "Received: from evil__Subject:_x (client.example [192.0.2.7])\r\n\tby mx.example with ESMTP id ABC;\r\n"),
      std::string::npos)
      << seen;
  EXPECT_NE(seen.find("X-Envelope-From: <a@x.example>\r\nSubject: a\r\n\r\nthe end\r\n"), std::string::npos) << seen;
}

TEST_F(InspectEngine, RspamdIsToldOfTheEnvelopeAndNoHeaderCanBeForged) {
  std::string seen;
  Server server(path("s"), [&](Peer& peer) {
    peer.until([&] { return peer.seen.ends_with("the end\r\n") || peer.seen.starts_with("GET"); });
    seen = peer.seen;
    const std::string json = R"({"score":7.25,"required_score":15,"symbols":{"A":{}}})";
    peer.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(json.size()) + "\r\n\r\n" +
             json);
  });
  Engine engine(settings({server.place()}, Type::rspamd), sink());
  Subject message = subject({"Subject: a\r\n\r\n", "the end\r\n"});
  message.client_ip = "192.0.2.7";
  message.helo = "evil\r\nIP: 127.0.0.1";
  message.recipients = {"b@y.example", "c@y.example"};
  const auto answer = engine.inspect(message, soon());
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_EQ(answer->answer.score, 7250);
  EXPECT_EQ(answer->answer.symbols, "A");
  EXPECT_TRUE(seen.starts_with("POST /checkv2 HTTP/1.1\r\n")) << seen;
  for (const char* line :
       {"\r\nIP: 192.0.2.7\r\n", "\r\nHelo: evil IP: 127.0.0.1\r\n", "\r\nFrom: <>\r\n", "\r\nRcpt: b@y.example\r\n",
        "\r\nRcpt: c@y.example\r\n", "\r\nContent-Length: 23\r\n", "\r\n\r\nSubject: a\r\n\r\nthe end\r\n"}) {
    EXPECT_NE(seen.find(line), std::string::npos) << line << " in " << seen;
  }
  EXPECT_EQ(seen.find("Expect:"), std::string::npos);
}

TEST_F(InspectEngine, IcapGetsOneHttpMessageAndItsEchoIsClean) {
  for (const bool request : {false, true}) {
    std::string seen;
    std::atomic<bool> echo{true};
    Server server(path("s"), [&](Peer& peer) {
      peer.until([&] { return peer.seen.ends_with("0\r\n\r\n") || peer.seen.starts_with("OPTIONS"); });
      seen = peer.seen;
      const std::string header = "HTTP/1.1 200 OK\r\n\r\n";
      const std::string body = echo ? "Subject: a\r\n\r\nthe end\r\n" : "Subject: a\r\n\r\nthe xxx\r\n";
      peer.say("ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=" + std::to_string(header.size()) + "\r\n\r\n" +
               header);
      peer.say("17\r\n" + body + "\r\n0\r\n\r\n");
    });
    EngineSettings icap = settings({server.place()}, Type::icap);
    icap.service = "scan";
    icap.request = request;
    Engine engine(icap, sink());
    const Subject message = subject({"Subject: a\r\n\r\n", "the end\r\n"});
    auto answer = engine.inspect(message, soon());
    ASSERT_TRUE(answer) << answer.error().text();
    EXPECT_EQ(answer->answer.virus, VirusVerdict::clean);
    EXPECT_TRUE(seen.starts_with(request ? "REQMOD icap://localhost/scan ICAP/1.0\r\n"
                                         : "RESPMOD icap://localhost/scan ICAP/1.0\r\n"))
        << seen;
    // Each part stands where Encapsulated says.
    const std::string_view encapsulated = std::string_view(seen).substr(seen.find("\r\n\r\n") + 4);
    const std::string word = request ? "req-body=" : "res-body=";
    const size_t offset = std::stoul(seen.substr(seen.find(word) + word.size()));
    EXPECT_EQ(encapsulated.substr(offset), "e\r\nSubject: a\r\n\r\n\r\n9\r\nthe end\r\n\r\n0\r\n\r\n");
    EXPECT_EQ(encapsulated.substr(offset - 4, 4), "\r\n\r\n");
    echo = false;
    answer = engine.inspect(message, soon());
    ASSERT_TRUE(answer) << answer.error().text();
    EXPECT_EQ(answer->answer.virus, VirusVerdict::infected);
  }
}

}  // namespace
}  // namespace postern::inspect
