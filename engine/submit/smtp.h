// SPDX-License-Identifier: Apache-2.0
// Smtp: hands mail to one configured SMTP listener by libcurl and says exactly what became of each recipient. The
// connection is kept between mails. Nothing of the environment (proxies, netrc) is used. RFC 5321.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace postern::submit {

enum class SmtpTls : uint8_t { none, may, require };

// SmtpServer is where mail goes. `host` is a name or an address without brackets.
struct SmtpServer {
  std::string host;
  uint16_t port = 25;
  SmtpTls tls = SmtpTls::none;
  std::string ca_file;    // for SmtpTls::require; empty: the system's
  std::string name;       // what we say in EHLO
  uint64_t timeout = 60;  // seconds for the whole of one mail
  bool operator==(const SmtpServer&) const = default;
};

// SmtpMail is one mail. Views must outlive the call; content is `head` and then the rest, CRLF lines.
struct SmtpMail {
  std::string_view from;  // "" is the null sender
  std::vector<std::string> recipients;
  std::string_view head;
  std::string_view rest;
};

// SmtpResult is what the server said about one recipient, or about all.
struct SmtpResult {
  enum class What : uint8_t { taken, later, refused } what = What::later;
  std::string text;  // the reply, or why there is none
  // The server refused one of several recipients, so that none got the mail: each may be tried by itself.
  bool at_recipient = false;
};

class SmtpClient {
 public:
  explicit SmtpClient(SmtpServer server);
  SmtpClient(const SmtpClient&) = delete;
  SmtpClient& operator=(const SmtpClient&) = delete;
  ~SmtpClient();

  // send returns a result for each recipient, in order. `refused` only for a permanent reply to this mail or to one
  // of its recipients; whatever else goes wrong is `later`. `reached` becomes false when there was no server to speak
  // to. `stop` going true ends it early.
  std::vector<SmtpResult> send(const SmtpMail& mail, const std::atomic<bool>& stop, bool& reached);

  const SmtpServer& server() const { return server_; }

 private:
  struct Curl;
  SmtpResult transact(const SmtpMail& mail, const std::atomic<bool>& stop, bool& reached);
  SmtpServer server_;
  std::unique_ptr<Curl> curl_;
};

}  // namespace postern::submit
