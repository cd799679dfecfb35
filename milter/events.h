// SPDX-License-Identifier: Apache-2.0
// Events: every line posternd can write, one row each. The rows are what posternd(8) explains and what a test compares
// with that page; base::emit does the writing. Immutable, usable from any thread.
#pragma once
#include <cstdint>
#include <span>

#include "engine/base/log.h"

namespace postern::milter {

// Event names one row of the table.
enum class Event : uint8_t {
  started,
  stopping,
  stopped,
  not_drained,
  milter_ended,
  watchdog_failed,
  reload_done,
  reload_failed,
  log_reopened,
  log_target_failed,
  log_file_removed,
  log_rotation_failed,
  control_failed,
  control_request,
  connection_new,
  connection_close,
  connection_refused,
  connection_denied,
  connection_stale,
  connection_draining,
  message_start,
  message_from,
  message_to,
  message_id,
  message_subject,
  message_flow,
  message_ready,
  message_done,
  message_dropped,
  message_refused,
  message_deferred,
  message_quarantined,
  message_kept,
  message_kept_again,
  keep_failed,
  quarantine_released,
  quarantine_deleted,
  quarantine_frozen,
  store_failed,
  tracking_failed,
  tracking_good,
  store_key_failed,
  store_key_good,
  message_aborted,
  message_oversize,
  message_over_memory,
  message_failed,
  message_slow,
  recipient_refused,
  recipient_late,
  mail_generated,
  mail_submitted,
  mail_archived,
  mail_delayed,
  mail_failed,
  mail_returned,
  mark_refused,
  submit_down,
  submit_up,
  outbox_failed,
  outbox_good,
  outbox_changed,
  alert_sent,
  alert_failed,
  alerts_dropped,
  filter_match,
  filter_observed,
  filter_unknown,
  filter_log_entry,
  filter_tag,
  recipient_unchecked,
  recipient_routed,
  message_routed,
  route_failed,
  masquerade_done,
  masquerade_left,
  masquerade_failed,
  ldap_server_down,
  ldap_server_up,
  ldap_outage,
  ldap_recovery,
  ldap_bad_answer,
  message_signed,
  message_not_signed,
  message_recoded,
  message_not_recoded,
  eight_bit_header_signed,
  sign_unavailable,
  sign_denied,
  sign_key_missing,
  sign_misconfigured,
  sign_failed,
  mta_call_failed,
  callback_failed,
  count_
};

// event returns the row of `event`.
const base::LogId& event(Event event);

// events returns the whole table, in the order of the enumeration.
std::span<const base::LogId> events();

}  // namespace postern::milter
