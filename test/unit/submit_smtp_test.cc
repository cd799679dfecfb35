// SPDX-License-Identifier: Apache-2.0
// Submission against a server that says what a script tells it to: what is taken, what is refused for good, and that
// everything else is for later. Webhooks against the same.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>
#include <thread>

#include "engine/base/handle.h"
#include "engine/submit/smtp.h"
#include "engine/submit/webhook.h"
#include "test/unit/submit_support.h"

namespace postern::submit {
namespace {

// Server answers each command by the first entry of `replies` that the command begins with, else 250; content is kept.
// The reply "drop" closes the connection; "." stands for the end of the content.
class Server {
 public:
  std::vector<std::pair<std::string, std::string>> replies;
  std::vector<std::string> commands;
  std::vector<std::string> contents;
  std::string http;  // not empty: it speaks HTTP and answers this
  uint16_t port = 0;

  void start() {
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(listener_.get(), 5), 0);
    ASSERT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      for (;;) {
        const base::UniqueFd connection(::accept(listener_.get(), nullptr, nullptr));
        if (!connection) return;
        serve(connection.get());
      }
    });
  }
  ~Server() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

 private:
  std::string reply_to(const std::string& command) const {
    for (const auto& [begins, reply] : replies) {
      if (command.starts_with(begins)) return reply;
    }
    if (command == "DATA") return "354 go on";
    return "250 2.0.0 fine";
  }
  bool say(int fd, const std::string& text) const {
    if (text == "drop") return false;
    const std::string line = text + "\r\n";
    return ::send(fd, line.data(), line.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(line.size());
  }
  void serve(int fd) {
    std::string input;
    const auto line = [&](std::string& out) {
      size_t end;
      while ((end = input.find("\r\n")) == std::string::npos) {
        char buffer[4096];
        const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0) return false;
        input.append(buffer, static_cast<size_t>(got));
      }
      out = input.substr(0, end);
      input.erase(0, end + 2);
      return true;
    };
    std::string command;
    if (!http.empty()) {
      while (line(command) && !command.empty()) commands.push_back(command);
      say(fd, http);
      return;
    }
    if (!say(fd, reply_to("connect").starts_with("250") ? "220 here" : reply_to("connect"))) return;
    while (line(command)) {
      commands.push_back(command);
      const std::string reply = reply_to(command);
      if (!say(fd, reply)) return;
      if (!reply.starts_with("354")) continue;
      std::string content;
      for (std::string text; line(text) && text != ".";) content += text + "\r\n";
      if (input.empty() && content.empty()) return;
      contents.push_back(content);
      if (!say(fd, reply_to("."))) return;
    }
  }
  base::UniqueFd listener_;
  std::thread thread_;
};

struct Sent {
  std::vector<SmtpResult> results;
  bool reached = false;
};

class SubmitSmtp : public ::testing::Test {
 protected:
  Sent send(std::vector<std::string> to = {"a@y.test"}, std::string_view from = "s@x.test") {
    if (server.port == 0) server.start();
    if (!client) {
      client = std::make_unique<SmtpClient>(SmtpServer{"127.0.0.1", server.port, SmtpTls::none, "", "gw.test", 10});
    }
    Sent sent;
    sent.results =
        client->send({from, std::move(to), "Mark: 1\r\n", "Subject: x\r\n\r\n.dot\r\ntext"}, stop, sent.reached);
    return sent;
  }
  Server server;
  std::unique_ptr<SmtpClient> client;
  std::atomic<bool> stop{false};
};

using What = SmtpResult::What;

TEST_F(SubmitSmtp, HandsOver) {
  const Sent sent = send({"a@y.test", "b@y.test"}, "");
  ASSERT_EQ(sent.results.size(), 2u);
  EXPECT_EQ(sent.results[0].what, What::taken) << sent.results[0].text;
  EXPECT_TRUE(sent.reached);
  EXPECT_EQ(send().results[0].what, What::taken);  // on the same connection
  client.reset();
  server.stop();
  ASSERT_EQ(server.contents.size(), 2u);
  EXPECT_EQ(server.contents[0], "Mark: 1\r\nSubject: x\r\n\r\n..dot\r\ntext\r\n");
  std::string all;
  for (const std::string& command : server.commands) all += command + "\n";
  EXPECT_TRUE(all.starts_with("EHLO gw.test\nMAIL FROM:<>\nRCPT TO:<a@y.test>\nRCPT TO:<b@y.test>\nDATA\n")) << all;
}

TEST_F(SubmitSmtp, EachReplyHasItsMeaning) {
  struct Case {
    std::string at;
    std::string reply;
    What what;
    std::string text;
  };
  const Case cases[] = {
      {"MAIL", "550 5.7.1 no", What::refused, "550 5.7.1 no"},
      {"MAIL", "451 4.3.0 later", What::later, "451 4.3.0 later"},
      {"MAIL", "530 5.7.0 STARTTLS first", What::later, "530 5.7.0 STARTTLS first"},
      {"RCPT", "550 5.1.1 unknown", What::refused, "550 5.1.1 unknown"},
      {"RCPT", "450 4.2.0 busy", What::later, "450 4.2.0 busy"},
      {"DATA", "554 5.5.1 no", What::refused, "554 5.5.1 no"},
      {"DATA", "421 4.3.2 bye", What::later, "421 4.3.2 bye"},
      {".", "552 5.3.4 too big", What::refused, "552 5.3.4 too big"},
      {".", "552-5.3.4 too\r\n552 5.3.4 big", What::refused, "552-5.3.4 too 5.3.4 big"},
      {".", "452 4.3.1 full", What::later, "452 4.3.1 full"},
      {".", "drop", What::later, ""},
      {"DATA", "drop", What::later, ""},
      {"RCPT", "drop", What::later, ""},
      {"EHLO", "drop", What::later, ""},
      {"connect", "554 5.3.2 not today", What::later, ""},
      {"connect", "421 4.3.2 not now", What::later, ""},
      {"connect", "drop", What::later, ""},
  };
  server.start();
  for (const Case& each : cases) {
    server.replies = {{each.at, each.reply}};
    client.reset();
    const Sent sent = send();
    ASSERT_EQ(sent.results.size(), 1u);
    EXPECT_EQ(sent.results[0].what, each.what) << each.at << " " << each.reply << ": " << sent.results[0].text;
    EXPECT_FALSE(sent.results[0].text.empty());
    if (!each.text.empty()) {
      EXPECT_EQ(sent.results[0].text, each.text);
    }
  }
}

TEST_F(SubmitSmtp, OneBadRecipientIsKnown) {
  for (const auto& [reply, what] : {std::pair{"550 5.1.1 unknown", What::refused}, {"450 4.2.0 busy", What::later}}) {
    server.replies = {{"RCPT TO:<bad@", reply}};
    const Sent sent = send({"a@y.test", "bad@y.test", "b@y.test"});
    ASSERT_EQ(sent.results.size(), 3u);
    for (const SmtpResult& result : sent.results) {
      EXPECT_EQ(result.what, what) << result.text;
      EXPECT_TRUE(result.at_recipient);
    }
    EXPECT_FALSE(send({"bad@y.test"}).results[0].at_recipient);
  }
  client.reset();
  server.stop();
  EXPECT_TRUE(server.contents.empty());
}

TEST_F(SubmitSmtp, NobodyThere) {
  server.start();
  server.stop();
  const Sent sent = send();
  EXPECT_FALSE(sent.reached);
  ASSERT_EQ(sent.results.size(), 1u);
  EXPECT_EQ(sent.results[0].what, What::later);
  stop = true;
  EXPECT_EQ(send().results[0].what, What::later);
}

TEST_F(SubmitSmtp, TlsThatMustBeIsNeverLeftOut) {
  server.start();
  client = std::make_unique<SmtpClient>(SmtpServer{"127.0.0.1", server.port, SmtpTls::require, "", "gw.test", 10});
  EXPECT_EQ(send().results[0].what, What::later);
  client.reset();
  server.stop();
  EXPECT_TRUE(server.contents.empty());
}

TEST(SubmitWebhook, SendsJson) {
  const std::atomic<bool> stop{false};
  for (const auto& [answer, good] :
       {std::pair{"HTTP/1.1 204 No Content\r\n", true},
        {"HTTP/1.1 500 No\r\nContent-Length: 0\r\n", false},
        {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n", false},
        {"nonsense", false}}) {
    Server server;
    server.http = answer;
    server.start();
    const auto result = post_json({"http://127.0.0.1:" + std::to_string(server.port) + "/hook", "", 10}, "{}", stop);
    EXPECT_EQ(result.has_value(), good) << answer << (result ? "" : result.error().text());
    server.stop();
    ASSERT_FALSE(server.commands.empty());
    EXPECT_EQ(server.commands[0], "POST /hook HTTP/1.1");
  }
  EXPECT_FALSE(post_json({"http://127.0.0.1:1/", "", 10}, "{}", stop));
  EXPECT_TRUE(is_webhook_url("https://hooks.example.org/a?b=c"));
  for (const char* url :
       {"file:///etc/passwd", "hooks.example.org", "https://", "https://a b/", "http://a\r\nb/", ""}) {
    EXPECT_FALSE(is_webhook_url(url)) << url;
  }
}

}  // namespace
}  // namespace postern::submit
