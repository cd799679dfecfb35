// SPDX-License-Identifier: Apache-2.0
// The rows are what postern.yaml(5) lists under `alerts`; a test compares the two.
#include "milter/alert_table.h"

namespace postern::milter {
namespace {

constexpr AlertRow kAlerts[] = {
    {Event::sign_unavailable, "profile", Event::message_signed, "Keys"},
    {Event::sign_denied, "profile", Event::message_signed, "Keys"},
    {Event::sign_key_missing, "profile", Event::message_signed, "Keys"},
    {Event::sign_misconfigured, "profile", Event::message_signed, "Keys"},
    {Event::sign_failed, "profile", Event::message_signed, "Keys"},
    {Event::keep_failed, "", {}, "Store"},
    {Event::store_failed, "", {}, "Store"},
    {Event::scan_failed, "", {}, "System"},
    {Event::scan_list_failed, "", {}, "System"},
    {Event::scan_poison, "content", {}, "System"},
    {Event::tracking_failed, "", Event::tracking_good, "Store"},
    {Event::store_key_failed, "", Event::store_key_good, "Keys"},
    {Event::outbox_failed, "", Event::outbox_good, "Store"},
    {Event::submit_down, "", Event::submit_up, "Mail"},
    {Event::mail_failed, "kind", {}, "Mail"},
    {Event::quarantine_frozen, "", {}, "Quarantine"},
    {Event::ldap_outage, "profile", Event::ldap_recovery, "Directory"},
    {Event::engine_down, "engine", Event::engine_up, "Engines"},
    {Event::filter_unknown, "filter", {}, "Filter"},
    {Event::message_failed, "", {}, "System"},
    {Event::message_over_memory, "", {}, "System"},
    {Event::connection_refused, "", {}, "System"},
    {Event::watchdog_failed, "", {}, "System"},
    {Event::log_target_failed, "", {}, "System"},
    {Event::log_rotation_failed, "", {}, "System"},
    {Event::log_file_removed, "", {}, "System", true},
    {Event::reload_failed, "", Event::reload_done, "Configuration"},
};

}  // namespace

std::span<const AlertRow> alert_table() { return kAlerts; }

}  // namespace postern::milter
