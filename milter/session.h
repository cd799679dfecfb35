// SPDX-License-Identifier: Apache-2.0
// Session: one connection from an MTA. It negotiates what the loaded rules need, turns each milter step into a step of
// the message's Transaction, and sends the result in one burst at end of message. The callbacks of one session come one
// at a time but on any thread; sessions share only the Service. close() may be the only callback there is.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "milter/mta.h"
#include "milter/pipeline.h"
#include "milter/service.h"

namespace postern::milter {

// Bits is a pair of action and protocol-step bits, as offered by an MTA or asked for by us.
struct Bits {
  uint32_t actions = 0;
  uint32_t steps = 0;
};

class Session {
 public:
  explicit Session(Service& service);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  // negotiate answers the MTA's offer; what it returns is always a subset of the offer.
  Bits negotiate(Bits offered, Mta& mta);

  // negotiated returns what was agreed, and adopt takes it over for another client on the same connection: an MTA that
  // keeps the connection after QUIT does not negotiate again.
  std::optional<Bits> negotiated() const;
  void adopt(Bits bits);

  // The steps. `arguments` of MAIL and RCPT: the path, then ESMTP parameters.
  Answer connect(Mta& mta, const Peer& peer);
  Answer helo(Mta& mta, std::string_view name);
  Answer mail(Mta& mta, std::span<const std::string_view> arguments);
  Answer recipient(Mta& mta, std::span<const std::string_view> arguments);
  Answer data(Mta& mta);
  Answer header(std::string_view name, std::string_view value);
  Answer end_of_header() const;
  Answer body(std::string_view chunk);
  Answer unknown() const;
  Answer end_of_message(Mta& mta);
  void abort();

  // failed is the answer after an exception in a callback; the message is given up.
  Answer failed(Mta& mta, std::string_view callback, std::string_view reason);

  uint64_t icid() const { return icid_; }

 private:
  struct Open;  // the message in progress

  bool answers(uint32_t no_reply_bit) const { return (steps_ & no_reply_bit) == 0; }
  Answer silent(uint32_t no_reply_bit) const { return answers(no_reply_bit) ? Answer::proceed : Answer::no_reply; }
  Answer answer(Mta& mta, const Decision& decision);
  Answer early(Mta& mta, const Decision& decision, uint32_t no_reply_bit);
  Answer refuse(Mta& mta);
  std::optional<Decision> follow_generation();
  void read_connection_macros(Mta& mta);
  void ensure_data_phase();
  Answer finish(Mta& mta, Open& open);
  bool send(Mta& mta, Open& open, const message::ChangeList& changes);
  bool keep(Open& open, const Finished& finished, bool& taken);
  void confirm();
  bool send_body(Mta& mta, const mime::Pieces& body);
  // Logged says how much of an Outcome is in the log already; it grows from step to step.
  struct Logged {
    size_t reports = 0;
    size_t entries = 0;
    size_t tags = 0;
  };
  void log_reports(Transaction& transaction, Live& live, Logged& logged);
  void log_masquerade(Open& open, const stages::MasqueradeReport& report);
  void log_routing(Open& open, const stages::RouteReport& report);
  void log_signing(Open& open, const stages::SignReport& report);
  void log_end(Open& open, const Decision& decision);
  void log_ready(Open& open);
  void log_mark(Open& open);
  bool own_listener() const;

  Service& service_;
  std::shared_ptr<Live> live_;
  uint64_t icid_;
  uint32_t actions_ = 0;
  uint32_t steps_ = 0;
  bool negotiated_ = false;
  bool refused_ = false;  // the MTA cannot do what the rules need
  bool by_smtp_ = true;   // false: mail the MTA itself submitted, which has no SMTP client to refuse to
  std::string missing_;   // what it cannot do
  message::Connection connection_;
  uint64_t connected_ = 0;                    // when, Unix time
  std::unique_ptr<Transaction> before_mail_;  // filters of the connect and HELO phases
  Logged before_mail_logged_;
  std::unique_ptr<Open> open_;
  // What was kept of the last message; the MTA's next step shows that it has the answer.
  std::optional<int64_t> unconfirmed_;
};

}  // namespace postern::milter
