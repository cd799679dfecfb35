// SPDX-License-Identifier: Apache-2.0
// Answers: a value, or why the command stops and with which exit status; and text from fipsd made safe for a terminal.
#pragma once
#include <expected>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "keystore/protocol/protocol.h"

namespace postern::keystore::fipsconfig {

using Json = nlohmann::json;

// Stop ends a command.
struct Stop {
  int status = 0;
  std::string text;
};

template <class T>
using Answer = std::expected<T, Stop>;

inline std::unexpected<Stop> stop(int status, std::string text) {
  return std::unexpected<Stop>(std::in_place, status, std::move(text));
}

// stop_for turns an error, or a reply that is not ok, into an exit status.
std::unexpected<Stop> stop_for(const base::Error& error);
std::unexpected<Stop> stop_for(const Reply& reply);

// finish prints why a command stopped, or nothing, and returns the exit status.
int finish(const Answer<int>& answer);

// shown makes text from outside safe for a terminal: control characters become \xNN. Backslashes stay, since names of
// certificates have them.
std::string shown(std::string_view text);

// say writes one line to standard error; out writes to standard output.
void say(std::string_view line);
void out(std::string_view text);
// out_json writes JSON with everything but plain ASCII escaped.
void out_json(const Json& json);

// Table prints columns as wide as they need to be.
class Table {
 public:
  explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// parse_json reads what fipsd said.
Answer<Json> parse_json(std::string_view text);
// Fields of an object: shown text, number, truth; "", 0 and false where there is no such thing.
std::string text_of(const Json& object, const char* name);
uint64_t number_of(const Json& object, const char* name);
bool truth_of(const Json& object, const char* name);
// member gives the object or list under `name`, or an empty one.
const Json& member(const Json& object, const char* name);

// read_file reads at most `most` bytes; write_file replaces `path` as a whole and checks what is on the disk.
Answer<std::string> read_file(const std::string& path, size_t most);
Answer<int> write_file(const std::string& path, std::string_view content, unsigned mode);

}  // namespace postern::keystore::fipsconfig
