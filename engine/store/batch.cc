// SPDX-License-Identifier: Apache-2.0
// Words for copies and mails, and what makes two messages the same.
#include "engine/store/batch.h"

#include "engine/store/columns.h"

namespace postern::store {

std::string_view copy_name(Copy copy) {
  switch (copy) {
    case Copy::final_:
      return "message";
    case Copy::duplicate:
      return "copy";
    case Copy::original:
      return "original";
  }
  return "message";
}

std::string_view mail_kind_name(MailKind kind) {
  switch (kind) {
    case MailKind::notify:
      return "notify";
    case MailKind::notify_copy:
      return "notify-copy";
    case MailKind::bcc:
      return "bcc";
    case MailKind::bcc_scan:
      return "bcc-scan";
    case MailKind::archive:
      return "archive";
    case MailKind::release:
      return "release";
    case MailKind::forward:
      return "forward";
    case MailKind::alert:
      return "alert";
  }
  return "notify";
}

std::string identity_of(std::string_view from, const std::vector<std::string>& recipients, const Content& received) {
  const std::string envelope = escape_address(from) + "\n" + join_addresses(recipients) + "\n";
  Content pieces{envelope};
  pieces.insert(pieces.end(), received.begin(), received.end());
  return sha256_hex(pieces);
}

}  // namespace postern::store
