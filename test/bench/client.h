// SPDX-License-Identifier: Apache-2.0
// Client: the MTA's side of many milter connections in one thread, over epoll. Every connection runs sessions as
// Postfix does (what needs no answer is sent in one go) or as Sendmail does (one packet at a time), checks each answer
// against the protocol and measures from MAIL to the final answer.
#pragma once
#include <sys/uio.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "test/bench/mailgen.h"
#include "test/bench/wire.h"

namespace postern::bench {

using Clock = std::chrono::steady_clock;

// Hold says where idle connections stop and stay.
enum class Hold : uint8_t { none, helo, body };

struct LoadOptions {
  std::string socket;  // "unix:PATH" or "inet:PORT@HOST"
  uint32_t messages = 0;
  double seconds = 0;  // when `messages` is 0: no new message after this time
  uint32_t connections = 1;
  uint32_t per_session = 1;  // messages of one SMTP session
  uint32_t variants = 16;    // different mails, used in turn
  uint64_t seed = 1;
  size_t size = 4096;
  Shape shape = Shape::text;
  Plant plant;
  std::vector<Mail> mails;   // these, in turn, instead of made ones
  bool each_packet = false;  // write every packet by itself, no abort between messages: as Sendmail does
  uint32_t actions = kAllActions;
  uint32_t steps = kAllSteps;
  double timeout = 30;  // seconds without an answer
  Hold hold = Hold::none;
};

struct LoadReport {
  uint64_t messages = 0;
  double seconds = 0;
  std::vector<uint32_t> latencies_us;
  std::map<std::string, uint64_t> verdicts;
  std::map<std::string, uint64_t> changes;         // by the letter of the protocol
  std::map<std::string, uint64_t> header_changes;  // by header name
  std::optional<Negotiated> negotiated;            // of the first connection
};

// EncodedMail is one mail as packets, ready to be sent by any number of connections.
struct EncodedMail {
  std::string sender;
  std::string recipient;
  std::vector<std::string> headers;
  std::vector<std::string> body;
  std::string all_headers;  // the same, joined
  std::string all_body;
};

// encode_mail makes the packets; `leading_space` as negotiated.
EncodedMail encode_mail(const Mail& mail, bool leading_space);

class Client {
 public:
  explicit Client(LoadOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // run does the whole load. Returns false with `problem` set at the first violation of the protocol, lost connection
  // or time-out; `unreachable` tells that no connection could be made.
  bool run(std::string& problem, bool& unreachable);
  const LoadReport& report() const { return report_; }

 private:
  struct Connection;
  bool open(Connection& connection, std::string& problem);
  void close(Connection& connection);
  bool pump(Connection& connection, std::string& problem);
  bool flush(Connection& connection, std::string& problem);
  bool receive(Connection& connection, std::string& problem);
  bool take(Connection& connection, const Frame& frame, std::string& problem);
  void finish_message(Connection& connection, Answer::Kind kind);
  void ask(Connection& connection, Command command);
  void own(Connection& connection, Command command, std::string_view data);
  void shared(Connection& connection, const std::string& packets);
  void macros(Connection& connection, Command command, Stage stage);
  bool silent(const Connection& connection, uint32_t bit) const;
  bool more_wanted() const;
  bool hold_until_input_ends(std::string& problem);
  Mail mail(uint32_t variant) const;
  const EncodedMail& mail_for(const Connection& connection);

  LoadOptions options_;
  LoadReport report_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::map<std::pair<uint32_t, bool>, EncodedMail> mails_;
  int epoll_ = -1;
  uint64_t started_ = 0;
  size_t held_ = 0;
  Clock::time_point begin_;
};

}  // namespace postern::bench
