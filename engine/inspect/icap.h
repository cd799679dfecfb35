// SPDX-License-Identifier: Apache-2.0
// ICAP, by which anti-virus servers are asked (RFC 3507): the message goes as an HTTP response (RESPMOD) or request
// (REQMOD), and what comes back says whether it may pass.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/inspect/stream.h"

namespace postern::inspect {

// IcapService is what is asked of a server: icap://HOST/NAME.
struct IcapService {
  std::string host;
  std::string name;
  bool request = false;  // REQMOD
};

// ask_icap sends the message and reads the verdict. Errors: unavailable, malformed.
base::Result<Answer> ask_icap(Stream& stream, const Subject& subject, const IcapService& service);
base::Result<void> ping_icap(Stream& stream, const IcapService& service);

// IcapReply reads an ICAP response as it comes. Used by one thread.
class IcapReply {
 public:
  // `body` gets the encapsulated body piece by piece; `most` bounds it.
  IcapReply(std::function<void(std::string_view)> body, uint64_t most) : body_(std::move(body)), most_(most) {}

  // feed takes the next bytes. malformed: this is no ICAP response; limit: it is larger than it may be.
  base::Result<void> feed(std::string_view bytes);
  // done tells whether the response is complete.
  bool done() const { return state_ == State::done; }

  int status() const { return status_; }
  const std::string& reason() const { return reason_; }
  // http_status is that of the encapsulated response; 0: there is none.
  int http_status() const { return http_status_; }
  // has_body tells whether there is an encapsulated body, as far as the header is read.
  bool has_body() const { return has_body_; }
  // field is the value of a header field of the ICAP response or, where it has none, of the encapsulated header; empty
  // where neither has it.
  std::string_view field(std::string_view name) const;

 private:
  enum class State : uint8_t { head, http, size, data, data_end, trailer, done };
  struct Field {
    std::string name;
    std::string value;
  };
  bool take_line(std::string_view& line);
  base::Result<void> read_head(std::string_view head);
  base::Result<void> read_http(std::string_view head);
  base::Result<bool> step();
  static base::Result<void> read_fields(std::string_view lines, std::vector<Field>& to);

  std::function<void(std::string_view)> body_;
  uint64_t most_;
  State state_ = State::head;
  std::string buffer_;
  size_t at_ = 0;  // in buffer_
  int status_ = 0;
  std::string reason_;
  int http_status_ = 0;
  bool has_body_ = false;
  uint64_t http_size_ = 0;
  uint64_t left_ = 0;  // of the present chunk
  uint64_t total_ = 0;
  std::vector<Field> fields_;
};

// icap_verdict is what a complete response says. `same`: its body is the message that was sent. unavailable: the server
// says that something went wrong.
base::Result<Answer> icap_verdict(const IcapReply& reply, bool same);

}  // namespace postern::inspect
