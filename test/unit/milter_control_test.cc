// SPDX-License-Identifier: Apache-2.0
// The control socket: requests, refusals, and who may have the path.
#include "milter/control.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <algorithm>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "milter/unix_socket.h"
#include "test/support/temporary_directory.h"
#include "test/unit/milter_fixture.h"

namespace postern::milter {
namespace {

class MilterControl : public ::testing::Test {
 protected:
  MilterControl() { EXPECT_TRUE(base::open_log({"file:/dev/null", base::Level::error})); }
  std::string path(const std::string& name) const { return folder_ / name; }

  std::string raw(const std::string& text) {
    auto connection = connect_unix(path("control"));
    EXPECT_TRUE(connection);
    // Of what is longer than a request may be the server need not read all.
    const ssize_t sent = ::send(connection->get(), text.data(), text.size(), MSG_NOSIGNAL);
    EXPECT_GE(sent, static_cast<ssize_t>(std::min(text.size(), kControlRequest)));
    ::shutdown(connection->get(), SHUT_WR);
    std::string answer;
    char buffer[4096];
    for (ssize_t got; (got = ::recv(connection->get(), buffer, sizeof buffer, 0)) > 0;) {
      answer.append(buffer, static_cast<size_t>(got));
    }
    return answer;
  }

  const test::TemporaryDirectory folder_;
  Service service_{make_generation("filters:\n  - {name: one, if: 'true', then: [no-op]}\n")};
  Reloader reloader_{service_, "/nonexistent/postern.yaml", {true, 1, 1, 0, ""}};
  ControlServer server_{service_, reloader_};
};

TEST_F(MilterControl, AnswersStatusAndReload) {
  ASSERT_TRUE(server_.open(path("control"), ""));
  int notes = 0;
  ASSERT_TRUE(server_.start([&notes](bool) { ++notes; }));
  struct stat info{};
  ASSERT_EQ(::stat(path("control").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);

  auto answer = control_request(path("control"), "status");
  ASSERT_TRUE(answer);
  const auto status = nlohmann::json::parse(*answer);
  EXPECT_EQ(status["generation"], 1);
  EXPECT_EQ(status["filters"][0]["name"], "one");
  EXPECT_EQ(status["memory"]["bound"], 512u << 20);
  for (const char* key : {"version", "uptime", "sessions", "in_flight", "verdicts", "last_reload", "log_lines_lost",
                          "messages", "connections", "draining", "config"}) {
    EXPECT_TRUE(status.contains(key)) << key;
  }

  answer = control_request(path("control"), "reload");
  ASSERT_TRUE(answer);
  const auto reload = nlohmann::json::parse(*answer);
  EXPECT_EQ(reload["ok"], false) << "the file is not there";
  EXPECT_EQ(reload["generation"], 1) << "the old generation stays";
  EXPECT_FALSE(reload["diagnostics"].get<std::string>().empty());
  EXPECT_EQ(notes, 2);
  EXPECT_EQ(nlohmann::json::parse(*control_request(path("control"), "status"))["last_reload"]["ok"], false);
  server_.stop();
  EXPECT_FALSE(control_request(path("control"), "status"));
}

TEST_F(MilterControl, RefusesWhatIsNoRequest) {
  ASSERT_TRUE(server_.open(path("control"), ""));
  ASSERT_TRUE(server_.start([](bool) {}));
  for (const std::string& text : {std::string("\n"), std::string("status\n"), std::string("{\"command\":1}\n"),
                                  std::string("{\"command\":\"halt\"}\n"), std::string("[[[[[[[[[[[[[[[[\n"),
                                  std::string(kControlRequest * 2, '['), std::string("{}"), std::string(1, '\0'),
                                  std::string("{\"command\":\"sta\xfftus\"}\n")}) {
    const auto answer = nlohmann::json::parse(raw(text), nullptr, false);
    EXPECT_TRUE(answer.is_object() && answer.contains("error")) << text.substr(0, 40);
  }
  EXPECT_TRUE(control_request(path("control"), "status"));
}

TEST_F(MilterControl, APathBelongsToOneProcess) {
  ASSERT_TRUE(server_.open(path("control"), ""));
  ControlServer second(service_, reloader_);
  const auto refused = second.open(path("control"), "");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().cause(), base::Cause::denied);
}

TEST_F(MilterControl, AStaleSocketGoesOtherFilesStay) {
  {
    auto dead = listen_unix(path("stale"), 0600, "");
    ASSERT_TRUE(dead);
  }
  EXPECT_TRUE(std::filesystem::exists(path("stale")));
  EXPECT_TRUE(claim_path(path("stale")));
  EXPECT_FALSE(std::filesystem::exists(path("stale")));

  auto alive = listen_unix(path("alive"), 0600, "");
  ASSERT_TRUE(alive);
  EXPECT_FALSE(claim_path(path("alive"))) << "somebody listens, without our lock";
  EXPECT_TRUE(std::filesystem::exists(path("alive")));

  std::ofstream(path("file")) << "precious";
  EXPECT_FALSE(claim_path(path("file")));
  EXPECT_TRUE(std::filesystem::exists(path("file")));
  EXPECT_FALSE(claim_path(path("no/such/folder")));
  EXPECT_FALSE(claim_path(std::string(200, 'x')));
  EXPECT_FALSE(claim_path(""));
}

}  // namespace
}  // namespace postern::milter
