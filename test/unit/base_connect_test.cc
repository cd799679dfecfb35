// SPDX-License-Identifier: Apache-2.0
// Where servers listen, and names looked up by many threads at once, with a name service that answers when it is told
// to.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/base/connect.h"

namespace {

using GetAddrInfo = int (*)(const char*, const char*, const addrinfo*, addrinfo**);

// The name service of this program: names that end in ".slow.test" are answered, with 127.0.0.1, once it is opened.
struct NameService {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  int asked = 0;
  int waiting = 0;
  int most_waiting = 0;
} g_names;

}  // namespace

extern "C" int getaddrinfo(const char* host, const char* port, const addrinfo* hints, addrinfo** found) {
  static const auto real = reinterpret_cast<GetAddrInfo>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  const bool ours = std::string_view(host).ends_with(".slow.test") && (hints->ai_flags & AI_NUMERICHOST) == 0;
  if (!ours) return real(host, port, hints, found);
  std::unique_lock lock(g_names.mutex);
  ++g_names.asked;
  g_names.most_waiting = std::max(g_names.most_waiting, ++g_names.waiting);
  g_names.changed.notify_all();
  g_names.changed.wait(lock, [] { return g_names.open; });
  --g_names.waiting;
  return real("127.0.0.1", port, hints, found);
}

namespace postern::base {
namespace {

constexpr auto kHang = std::chrono::seconds(60);

class NamesThatAreSlow : public testing::Test {
 protected:
  void SetUp() override {
    const std::lock_guard lock(g_names.mutex);
    g_names.open = false;
    g_names.asked = g_names.most_waiting = 0;
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(listener_.get(), 128), 0);
    ASSERT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  void TearDown() override {
    for (std::thread& thread : threads_) thread.join();
  }

  // ask has a thread of its own connect to `host`.
  void ask(std::string host, std::chrono::steady_clock::duration limit = kHang) {
    threads_.emplace_back([this, host = std::move(host), limit] {
      auto fd = connect_to({{}, host, port_}, std::chrono::steady_clock::now() + limit);
      const std::lock_guard lock(mutex_);
      results_.push_back(fd ? "" : fd.error().text());
    });
  }
  static bool wait_until_waiting(int many) {
    std::unique_lock lock(g_names.mutex);
    return g_names.changed.wait_for(lock, kHang, [&] { return g_names.waiting == many; });
  }
  static void answer() {
    const std::lock_guard lock(g_names.mutex);
    g_names.open = true;
    g_names.changed.notify_all();
  }
  // results are what the threads got once all have ended: an error's text or nothing.
  std::vector<std::string> results() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return std::move(results_);
  }

  uint16_t port_ = 0;

 private:
  UniqueFd listener_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::vector<std::string> results_;
};

TEST_F(NamesThatAreSlow, OneNameIsAskedForOnceHoweverManyWait) {
  for (int n = 0; n < 40; ++n) ask("one.slow.test");
  ASSERT_TRUE(wait_until_waiting(1));
  ask("one.slow.test", std::chrono::milliseconds(50));
  answer();
  EXPECT_EQ(results().size(), 41u);
  EXPECT_LE(g_names.most_waiting, 1);
}

TEST_F(NamesThatAreSlow, ManyNamesWaitForAPlaceAndAllAreAnswered) {
  for (int n = 0; n < 40; ++n) ask("n" + std::to_string(n) + ".slow.test");
  ASSERT_TRUE(wait_until_waiting(8));
  answer();
  for (const std::string& text : results()) EXPECT_EQ(text, "");
  EXPECT_EQ(g_names.asked, 40);
  EXPECT_EQ(g_names.most_waiting, 8);
}

TEST_F(NamesThatAreSlow, WhoFindsNoPlaceIsToldSoAtItsDeadline) {
  for (int n = 0; n < 8; ++n) ask("n" + std::to_string(n) + ".slow.test");
  ASSERT_TRUE(wait_until_waiting(8));
  const auto begin = std::chrono::steady_clock::now();
  auto ninth = connect_to({{}, "other.slow.test", port_}, begin + std::chrono::milliseconds(200));
  ASSERT_FALSE(ninth);
  EXPECT_EQ(ninth.error().cause(), Cause::unavailable);
  EXPECT_NE(ninth.error().text().find("too many others"), std::string::npos) << ninth.error().text();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(200));
  EXPECT_TRUE(connect_to({{}, "127.0.0.1", port_}, begin + kHang)) << "an address needs no look-up";
  answer();
  for (const std::string& text : results()) EXPECT_EQ(text, "");
}

TEST(Connect, PlacesOfServers) {
  EXPECT_EQ(read_endpoint("unix:/run/x.sock")->path, "/run/x.sock");
  EXPECT_EQ(read_endpoint("scanner.example.org:3310")->host, "scanner.example.org");
  EXPECT_EQ(read_endpoint("scanner.example.org:3310")->port, 3310);
  EXPECT_EQ(read_endpoint("[::1]:783")->host, "::1");
  for (const char* wrong : {"", "unix:", "unix:relative", "host", "host:", "host:0", "host:65536", "host:12x", ":12",
                            "[::1]", "[::1:12", "::1:12", "a b:1", "host:-1"}) {
    EXPECT_FALSE(read_endpoint(wrong)) << wrong;
  }
  EXPECT_FALSE(read_endpoint("unix:/" + std::string(200, 'x')));
}

TEST(Connect, WhereNobodyListens) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  EXPECT_EQ(connect_to({"/nowhere/at/all", {}, 0}, deadline).error().cause(), Cause::unavailable);
  EXPECT_FALSE(connect_to({{}, "name.invalid", 1}, deadline));
}

}  // namespace
}  // namespace postern::base
