// SPDX-License-Identifier: Apache-2.0
// Each case has a window in which it is only counted. When the window ends and it happened again, that is told and the
// next window is twice as long; when it did not, it is forgotten, unless a line of its own will say that it is over.
#include "milter/alert_state.h"

#include <algorithm>

namespace postern::milter {

std::optional<Alert> AlertState::raised(Alert alert, bool clears, const AlertWaits& waits, int64_t now) {
  const auto key = std::pair(alert.event, alert.key);
  const auto known = cases_.find(key);
  if (known != cases_.end()) {
    Case& each = known->second;
    ++each.held_back;
    each.last = std::move(alert);
    if (each.until == INT64_MAX) each.until = now;  // it was quiet for a whole window: due() tells it at once
    return std::nullopt;
  }
  // Cases may be named by what comes from outside: past the bound, all that are new are one.
  if (cases_.size() >= kMostCases && !alert.key.empty()) {
    alert.key.clear();
    return raised(std::move(alert), clears, waits, now);
  }
  Case& fresh = cases_[key];
  fresh.clears = clears;
  fresh.wait = waits.first;
  fresh.until = now + waits.first;
  fresh.last = alert;
  alert.what = Alert::What::raised;
  alert.count = 1;
  return alert;
}

std::vector<Alert> AlertState::cleared(const std::string& event, const std::string& key, const std::string& text) {
  std::vector<Alert> out;
  for (auto at = cases_.begin(); at != cases_.end();) {
    const bool same = at->first.first == event && (key.empty() || at->first.second == key);
    if (!same) {
      ++at;
      continue;
    }
    Alert alert = std::move(at->second.last);
    alert.what = Alert::What::cleared;
    alert.count = at->second.held_back;
    alert.text = text;
    out.push_back(std::move(alert));
    at = cases_.erase(at);
  }
  return out;
}

std::vector<Alert> AlertState::due(const AlertWaits& waits, int64_t now) {
  std::vector<Alert> out;
  for (auto at = cases_.begin(); at != cases_.end();) {
    Case& each = at->second;
    if (each.until > now) {
      ++at;
      continue;
    }
    if (each.held_back == 0) {
      if (!each.clears) {
        at = cases_.erase(at);
        continue;
      }
      each.until = INT64_MAX;  // until it happens again or is over
      ++at;
      continue;
    }
    Alert alert = each.last;
    alert.what = Alert::What::repeated;
    alert.count = each.held_back;
    each.held_back = 0;
    each.wait = std::min(each.wait * 2, waits.longest);
    each.until = now + each.wait;
    out.push_back(std::move(alert));
    ++at;
  }
  return out;
}

bool AlertState::has(const std::string& event) const {
  const auto at = cases_.lower_bound(std::pair(event, std::string()));
  return at != cases_.end() && at->first.first == event;
}

std::optional<int64_t> AlertState::next() const {
  std::optional<int64_t> soonest;
  for (const auto& [key, each] : cases_) {
    if (each.until != INT64_MAX && (!soonest || each.until < *soonest)) soonest = each.until;
  }
  return soonest;
}

}  // namespace postern::milter
