// SPDX-License-Identifier: Apache-2.0
// fipsd's client and server together: many threads, restarts under load, forked children. Prints what one request costs
// (never asserted).
#include <sys/resource.h>
#include <sys/wait.h>

#include <cstdio>
#include <functional>

#include "keystore/client/client.h"
#include "test/unit/protocol_fixture.h"

namespace postern::keystore {
namespace {

crypto::Deadline later() { return steady_clock::now() + kPatience; }

std::unique_ptr<Server> serve(const std::string& path, Handler& handler) {
  ServerOptions options;
  SocketOptions socket;
  socket.class_name = "milter";
  socket.paths = {path};
  options.sockets.push_back(std::move(socket));
  auto server = Server::create(std::move(options), handler);
  EXPECT_TRUE(server.has_value()) << server.error().text();
  if (!server || !(*server)->start()) return nullptr;
  return std::move(*server);
}

// Echo answers with the request's body and keeps nothing.
class Echo : public Handler {
 public:
  Reply handle(const Peer&, const Request& request, uint32_t, steady_clock::time_point) override {
    return {0, Status::ok, std::string(request.body)};
  }
  void closed(const Peer&) override {}
  void idle() override {}
};

bool ask(Client& client, const std::string& body) {
  const std::vector<Call> calls = {{Verb::sign, body + "/1"}, {Verb::sign, body + "/2"}};
  const auto answers = client.exchange(calls, later());
  return answers[0] && answers[1] && *answers[0] == calls[0].body && *answers[1] == calls[1].body;
}

TEST(Pair, ManyThreadsShareAFewConnections) {
  const Directory directory;
  Echo echo;
  const auto server = serve(directory.socket(), echo);
  Client client({directory.socket(), 4});
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < 200; ++n) good += ask(client, std::to_string(i) + "/" + std::to_string(n));
    });
  }
  for (std::thread& one : threads) one.join();
  EXPECT_EQ(good, 3200);
  EXPECT_LE(server->counters().connections, 4u);
}

TEST(Pair, ARestartUnderLoadGivesErrorsAndNothingWorse) {
  const Directory directory;
  Echo echo;
  auto server = serve(directory.socket(), echo);
  Client client({directory.socket(), 4});
  std::atomic<bool> over{false};
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; !over; ++n) {
        const std::string body = std::to_string(i) + "/" + std::to_string(n);
        const Call call{Verb::sign, body};
        const auto answer = client.exchange({&call, 1}, later())[0];
        if (answer) {
          EXPECT_EQ(*answer, body);
          ++good;
        } else {
          EXPECT_EQ(answer.error().cause(), base::Cause::unavailable) << answer.error().text();
        }
      }
    });
  }
  for (int restart = 0; restart < 5; ++restart) {
    const int before = good;
    ASSERT_TRUE(eventually([&] { return good > before + 50; }));
    server.reset();
    server = serve(directory.socket(), echo);
  }
  over = true;
  for (std::thread& one : threads) one.join();
}

TEST(Pair, AForkedChildHasConnectionsOfItsOwn) {
  const Directory directory;
  Toy toy;
  const auto server = serve(directory.socket(), toy);
  Client client({directory.socket(), 2});
  ASSERT_TRUE(ask(client, "parent"));
  // One thread is in the middle of a call, another keeps the pool's mutex busy while the children are made.
  std::thread holder([&] {
    const Call call{Verb::sign, "hold"};
    EXPECT_TRUE(client.exchange({&call, 1}, later())[0].has_value());
  });
  ASSERT_TRUE(toy.wait_holding(1));
  std::atomic<bool> over{false};
  std::thread busy([&] {
    while (!over) EXPECT_TRUE(ask(client, "busy"));
  });
  for (int i = 0; i < 20; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      const Call call{Verb::sign, "child"};
      bool good = true;
      for (int n = 0; n < 5; ++n) {
        const auto answer = client.exchange({&call, 1}, later())[0];
        good = good && answer && *answer == "child";
      }
      ::_exit(good ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  over = true;
  busy.join();
  toy.release();
  holder.join();
  EXPECT_TRUE(ask(client, "parent again"));
  EXPECT_EQ(server->counters().connections, 22u) << "two of the parent, one of each child";
}

TEST(Pair, AChildOfAChildToo) {
  const Directory directory;
  Echo echo;
  const auto server = serve(directory.socket(), echo);
  auto client = std::make_unique<Client>(ClientOptions{directory.socket(), 2});
  ASSERT_TRUE(ask(*client, "parent"));
  const pid_t child = ::fork();
  if (child == 0) {
    if (!ask(*client, "child")) ::_exit(1);
    const pid_t grandchild = ::fork();
    if (grandchild == 0) ::_exit(ask(*client, "grandchild") ? 0 : 2);
    int status = 0;
    ::waitpid(grandchild, &status, 0);
    const bool good = status == 0 && ask(*client, "child again");
    client.reset();
    ::_exit(good ? 0 : 3);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(ask(*client, "parent again"));
}

double processor_microseconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto microseconds = [](const timeval& time) { return time.tv_sec * 1e6 + static_cast<double>(time.tv_usec); };
  return microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
}

// in_threads runs `work` on several threads and returns how long it took, in seconds.
double in_threads(int threads, const std::function<void()>& work) {
  const auto began = steady_clock::now();
  std::vector<std::thread> all;
  for (int i = 0; i < threads; ++i) all.emplace_back(work);
  for (std::thread& one : all) one.join();
  return std::chrono::duration<double>(steady_clock::now() - began).count();
}

TEST(Pair, WhatARequestCosts) {
  const Directory directory;
  Echo echo;
  const auto server = serve(directory.socket(), echo);
  Client client({directory.socket(), 4});
  const auto measure = [&](int threads, int calls_at_once) {
    constexpr int kRounds = 4000;
    const std::vector<Call> calls(calls_at_once, Call{Verb::sign, std::string(64, 'd')});
    std::atomic<int> bad{0};
    const double before = processor_microseconds();
    const double seconds = in_threads(threads, [&] {
      for (int n = 0; n < kRounds; ++n) {
        for (const auto& answer : client.exchange(calls, later())) bad += !answer.has_value();
      }
    });
    const double requests = 1.0 * threads * kRounds * calls_at_once;
    std::printf("%d threads, %d requests at once: %.0f requests a second, %.1f us of processor each (both sides)\n",
                threads, calls_at_once, requests / seconds, (processor_microseconds() - before) / requests);
    EXPECT_EQ(bad, 0);
  };
  measure(1, 1);
  measure(1, 2);
  measure(2, 1);
  measure(2, 2);
  measure(4, 2);
}

// Work takes as long as a signature with RSA-2048 in SoftHSM2.
class Work : public Echo {
 public:
  static void one() {
    volatile uint64_t value = 1;
    for (int i = 0; i < 300000; ++i) value = value * 6364136223846793005u + 1;
  }
  Reply handle(const Peer& peer, const Request& request, uint32_t worker, steady_clock::time_point deadline) override {
    one();
    return Echo::handle(peer, request, worker, deadline);
  }
};

TEST(Pair, WhatIsLeftOfARateOfSignatures) {
  const Directory directory;
  Work work;
  const auto server = serve(directory.socket(), work);
  Client client({directory.socket(), 4});
  constexpr int kRounds = 300;
  double bare_seconds = 0;
  double bare_processor = 0;
  double asked_seconds = 0;
  double asked_processor = 0;
  std::atomic<int> bad{0};
  // In turns, so that a busy machine is as busy for the one as for the other.
  for (int round = 0; round < 6; ++round) {
    double before = processor_microseconds();
    bare_seconds += in_threads(2, [] {
      for (int n = 0; n < kRounds; ++n) Work::one();
    });
    bare_processor += processor_microseconds() - before;
    before = processor_microseconds();
    asked_seconds += in_threads(2, [&] {
      const Call call{Verb::sign, std::string(64, 'd')};
      for (int n = 0; n < kRounds; ++n) bad += !client.exchange({&call, 1}, later())[0].has_value();
    });
    asked_processor += processor_microseconds() - before;
  }
  EXPECT_EQ(bad, 0);
  const double requests = 6.0 * 2 * kRounds;
  std::printf(
      "work by 2 threads: %.0f a second, %.1f us of processor each; asked for by 2 clients: %.0f, %.1f us; ratio "
      "%.3f\n",
      requests / bare_seconds, bare_processor / requests, requests / asked_seconds, asked_processor / requests,
      bare_seconds / asked_seconds);
}

}  // namespace
}  // namespace postern::keystore
