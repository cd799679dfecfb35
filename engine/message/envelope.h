// SPDX-License-Identifier: Apache-2.0
// Envelope and Connection: what SMTP said about a message, as received and as edited. A fact the MTA never delivered is
// an empty optional, never an empty text. RFC 5321 section 3.3; milter macros as Postfix and Sendmail name them.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::message {

// Connection is the SMTP client and the MTA's side of the session.
struct Connection {
  std::optional<std::string> client_ip;    // textual, without "IPv6:"; unset for mail that did not come over IP
  std::optional<std::string> client_name;  // as the MTA resolved it; "[1.2.3.4]" or unset when it could not
  std::optional<std::string> helo;
  std::optional<std::string> daemon_name;  // {daemon_name}: recv-listener
  std::optional<std::string> interface;    // {if_name} or {daemon_addr} / {if_addr}: recv-int
  std::optional<std::string> mta_name;     // j
  std::optional<std::string> tls_version;  // {tls_version}
  std::optional<std::string> certificate_subject;
};

// Recipient is one RCPT: address without brackets, and ESMTP parameters as given (never passed on).
struct Recipient {
  std::string address;
  std::vector<std::string> parameters;
};

struct Envelope {
  std::optional<std::string> from;  // addr-spec, "" for the null sender; unset before MAIL
  std::vector<std::string> from_parameters;
  std::vector<Recipient> recipients;
  std::optional<std::string> auth_user;       // {auth_authen}
  std::optional<std::string> auth_mechanism;  // {auth_type}
  bool smtputf8 = false;
  std::optional<uint64_t> declared_size;  // SIZE= of MAIL
};

}  // namespace postern::message
