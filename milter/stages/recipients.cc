// SPDX-License-Identifier: Apache-2.0
// What a directory answers is checked as if a stranger had sent it: it will stand in an envelope and in a header field.
#include "milter/stages/recipients.h"

#include <algorithm>
#include <unordered_set>

#include "engine/base/text.h"
#include "engine/message/address.h"
#include "engine/message/rewrite.h"

namespace postern::stages {
namespace {

using base::Cause;
using base::fail;

constexpr size_t kMaxHost = 255;

// A host name, an address, or either in brackets: what Postfix takes as a next hop.
bool is_host(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']') && text.size() > 2) text = text.substr(1, text.size() - 2);
  return !text.empty() && text.size() <= kMaxHost && text.front() != '-' && text.front() != '.' &&
         std::ranges::all_of(text, [](char c) {
           const char l = base::ascii_lower(c);
           return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == ':';
         });
}

base::Result<Target> target_of(const Hit& hit, const std::string& address, bool smtputf8) {
  Target target;
  if (hit.answer == nullptr) return target;
  const auto bad = [&](std::string_view what) {
    return fail(Cause::malformed, hit.use->profile + "." + hit.use->query + " answers " + std::string(what) + " for " +
                                      base::escape_for_log(address, 200));
  };
  for (const std::string& value : hit.values(hit.use->roles.address)) {
    if (!message::is_one_address(value, smtputf8)) return bad("something that is no address");
    target.addresses.push_back(value);
  }
  const auto hosts = hit.values(hit.use->roles.host);
  if (hosts.size() > 1) return bad("more than one host");
  if (!hosts.empty()) {
    if (!is_host(hosts[0])) return bad("something that is no host");
    target.host = base::lower(hosts[0]);
  }
  return target;
}

// targets_of looks all addresses up; what the table knows is not asked of a directory.
std::vector<base::Result<Target>> targets_of(const Routing& routing, const Profiles& directories,
                                             std::span<const std::string> addresses, bool smtputf8,
                                             directory::Deadline deadline) {
  std::vector<base::Result<Target>> targets(addresses.size(), Target{});
  std::vector<directory::Key> keys;
  std::vector<size_t> places;
  for (size_t i = 0; i < addresses.size(); ++i) {
    std::optional<std::string> found;
    if (routing.table != nullptr) found = routing.table->find(addresses[i]);
    if (found) {
      targets[i]->addresses.push_back(std::move(*found));
    } else if (!routing.queries.empty()) {
      keys.push_back({addresses[i], {}, {}});
      places.push_back(i);
    }
  }
  auto hits = ask_chain(directories, routing.queries, keys, deadline);
  for (size_t k = 0; k < hits.size(); ++k) {
    if (hits[k]) {
      targets[places[k]] = target_of(*hits[k], keys[k].address, smtputf8);
    } else {
      targets[places[k]] = std::unexpected(std::move(hits[k].error()));
    }
  }
  return targets;
}

}  // namespace

base::Result<bool> is_recipient(const Acceptance& acceptance, const Profiles& directories, const std::string& address,
                                const std::string& sender, directory::Deadline deadline) {
  if (!asked_about(acceptance.queries, address)) return true;
  const directory::Key key{address, {}, sender};
  auto hit = std::move(ask_chain(directories, acceptance.queries, {&key, 1}, deadline).front());
  if (!hit) return std::unexpected(std::move(hit.error()));
  return hit->answer != nullptr;
}

base::Result<Target> route_of(const Routing& routing, const Profiles& directories, const std::string& address,
                              bool smtputf8, directory::Deadline deadline) {
  return std::move(targets_of(routing, directories, {&address, 1}, smtputf8, deadline).front());
}

RouteReport route(message::Message& message, const Routing& routing, const Profiles& directories,
                  directory::Deadline deadline) {
  RouteReport report;
  const std::vector<message::Recipient>& before = message.envelope.recipients;
  std::vector<std::string> addresses;
  for (const message::Recipient& recipient : before) addresses.push_back(recipient.address);
  auto targets = targets_of(routing, directories, addresses, message.envelope.smtputf8, deadline);

  std::vector<message::Recipient> after;
  std::unordered_set<std::string> known;
  const auto add = [&](message::Recipient recipient) {
    if (known.insert(base::lower(recipient.address)).second) after.push_back(std::move(recipient));
  };
  for (size_t i = 0; i < before.size(); ++i) {
    auto& target = targets[i];
    if (!target) {
      report.changes.clear();
      report.error = std::move(target.error());
      return report;
    }
    if (i > 0 && target->host != report.host) {
      report.changes.clear();
      report.error.emplace(Cause::malformed, "recipients with different hosts: " + before[i].address);
      return report;
    }
    report.host = target->host;
    const bool stays = target->addresses.empty() ||
                       (target->addresses.size() == 1 && base::iequals(target->addresses[0], before[i].address));
    if (stays) {
      add(before[i]);
      continue;
    }
    for (const std::string& address : target->addresses) add({address, {}});
    report.changes.push_back({before[i].address, std::move(target->addresses)});
  }
  if (after.size() > message.limits().recipients) {
    report.changes.clear();
    report.error.emplace(Cause::malformed, "more recipients than limits.recipients");
    return report;
  }
  if (!report.changes.empty()) message.envelope.recipients = std::move(after);
  return report;
}

}  // namespace postern::stages
