// SPDX-License-Identifier: Apache-2.0
// Events: every line fipsd logs, as a table; each identifier has a paragraph in fipsd(8).
#pragma once
#include <span>

#include "engine/base/log.h"

namespace postern::keystore {

enum class Event : uint8_t {
  started,
  stopping,
  stopped,
  condition,
  reload_done,
  reload_failed,
  initialised,
  login,
  officer_ended,
  password_changed,
  key_made,
  key_destroyed,
  certificate_stored,
  certificate_dropped,
  distrust_changed,
  backup_made,
  restored,
  zeroising,
  zeroised,
  zeroise_waiting,
  self_test_failed,
  token_lost,
  token_back,
  key_mismatch,
  request_denied,
  peer_refused,
  audit_alert,
  audit_anchor,
  certificate_expires,
  count_
};

// event returns the row of `event`; events the whole table, in the order of the enumeration.
const base::LogId& event(Event event);
std::span<const base::LogId> events();

}  // namespace postern::keystore
