// SPDX-License-Identifier: Apache-2.0
// AlertState: when one profile hears of what: at once the first time, then after a wait that doubles, with the number
// of times it happened meanwhile; once when it is over. With waits of 5, 10, 20 … s, what goes on is told after 5, 15,
// 35, 75 s …. Pure; times are milliseconds of any clock that does not jump.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace postern::milter {

struct AlertWaits {
  int64_t first = 5000;
  int64_t longest = 3'600'000;
};

// Alert is one thing to tell.
struct Alert {
  enum class What : uint8_t { raised, repeated, cleared } what = What::raised;
  std::string event;     // identifier of the log line
  std::string key;       // which case of it
  std::string text;      // the line last logged
  bool critical = true;  // an error, not a warning
  uint64_t count = 1;    // how often it happened since it was last told
};

class AlertState {
 public:
  static constexpr size_t kMostCases = 1000;

  // raised notes that `alert` happened; it is returned when it is to be told now.
  std::optional<Alert> raised(Alert alert, bool clears, const AlertWaits& waits, int64_t now);
  // cleared notes that a case is over; returned when anybody was told that it began. An empty key clears all cases.
  std::vector<Alert> cleared(const std::string& event, const std::string& key, const std::string& text);
  // due returns what happened again and may now be told, and forgets what stayed away.
  std::vector<Alert> due(const AlertWaits& waits, int64_t now);
  // has tells whether any case of `event` is known.
  bool has(const std::string& event) const;
  // next is when due() has something to do.
  std::optional<int64_t> next() const;

 private:
  struct Case {
    Alert last;
    bool clears = false;  // ends by a line of its own, not by staying away
    uint64_t held_back = 0;
    int64_t wait = 0;
    int64_t until = 0;
  };
  std::map<std::pair<std::string, std::string>, Case> cases_;
};

}  // namespace postern::milter
