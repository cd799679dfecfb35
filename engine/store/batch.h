// SPDX-License-Identifier: Apache-2.0
// Batch: what one message leaves in the store: copies held in quarantines, and mail of our own that is to go out
// because of it. A batch is kept whole or not at all, in one durable transaction, before the MTA has its answer.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace postern::store {

// Hold is one quarantine's grip on a message, and why.
struct Hold {
  std::string quarantine;
  std::string filter;
  std::string reason;
};

// Copy says which form of a message is held. Only `final_` is the message itself: the MTA is told to discard it. The
// others are kept beside a message that goes on: `duplicate` as it was decided, `original` as it was received.
enum class Copy : uint8_t { final_, duplicate, original };
std::string_view copy_name(Copy copy);

// Views in the structures below must outlive the call they are passed to. A content is a whole message with CRLF line
// ends, in pieces.
using Content = std::vector<std::string_view>;

// Entry is one message to be held; it is delivered to `recipients` when every hold has let it go.
struct Entry {
  Copy copy = Copy::final_;
  std::vector<Hold> holds;
  std::string from;  // "" is the null sender
  std::vector<std::string> recipients;
  std::string header_from;  // decoded, for lists
  std::string subject;
  std::string message_id;
  std::string host;  // where a release goes instead of the usual next hop; "": nothing said
  Content content;
};

// MailKind is why a mail of our own goes out.
enum class MailKind : uint8_t { notify, notify_copy, bcc, bcc_scan, archive, release, forward, alert };
std::string_view mail_kind_name(MailKind kind);

// Mail is one message to be submitted by ourselves.
struct Mail {
  MailKind kind = MailKind::notify;
  std::string from;  // "" is the null sender
  std::vector<std::string> recipients;
  Content content;
  uint64_t mid = 0;    // its own MID; 0: given when it is submitted
  std::string host{};  // where it goes instead of the usual next hop; "": nothing said
  std::string flow{};  // whose filters it takes; "": none
};

struct Batch {
  uint64_t mid = 0;  // of the message that is the cause; 0: none
  std::string queue_id;
  std::string flow;
  std::string client;  // the SMTP client's address
  // What the sender would send again if it never got an answer: identity_of() of what was received. "" is like no
  // other.
  std::string identity;
  std::vector<Entry> entries;
  std::vector<Mail> mails;
};

// identity_of is a digest over a message as received and its envelope.
std::string identity_of(std::string_view from, const std::vector<std::string>& recipients, const Content& received);

// Policy is what postern.yaml says about one quarantine.
struct Policy {
  int64_t retention = 30 * 86400;  // seconds
  uint64_t size = 10ull << 30;     // bytes it may hold
  bool release_at_end = false;     // default-action: release; else delete
};
using Policies = std::map<std::string, Policy, std::less<>>;

}  // namespace postern::store
