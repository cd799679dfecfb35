// SPDX-License-Identifier: Apache-2.0
// FakeMta: how Postfix and Sendmail apply a milter's changes, as a model small enough to be read. Written from what the
// two programs do, not from what Postern expects of them.
//
// Postfix. The header is one physical list with Postfix's own Received field on top, which filters are not shown.
//   change, delete: the first physical field is passed over, whatever it is by then; of the rest, the instance is
//     counted by name without case, 0 counting as 1. A change writes the given name and value; an empty value deletes;
//     a missing instance is appended. A deleted field is gone, later ones move up.
//   insert: by physical position, so 0 is above the own Received field; past the end appends. add: at the end.
//   recipients: of those that SMTP gave, one that equals an earlier one without case is dropped. Additions are compared
//     with one another only, so an address can be there twice; a deletion takes every record of exactly that address.
// Sendmail. The list holds the fields of its configuration (Received, Date, From, Message-Id …) before those of the
// message; only the latter are shown to filters and counted. A configured field that the message has too has no value.
//   change, delete: the instance is counted by name without case among shown fields, deleted ones included; a missing
//     instance means the configured field of that name (but never a trace field), and if there is none, adds. The name
//     keeps its spelling. A deleted field keeps its place without value.
//   insert: by position in the whole list, past the end meaning at the end. add: into the place of a configured field
//   of
//     that name if there is one that no filter has set yet (but never a trace field); else before the first field of
//     that name, shown or not, deleted or not; else at the end.
//   recipients: an addition equal to a present one is dropped; a deletion takes all equal ones.
// test/system/changes_test.py holds all this against the servers themselves.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/message/changes.h"

namespace postern::test {

struct Field {
  std::string name;
  std::string value;
  bool operator==(const Field&) const = default;
};

class FakeMta {
 public:
  enum class Dialect { postfix, sendmail };

  // A message as the filter saw it. `configured` names the fields of Sendmail's configuration beside Received.
  FakeMta(Dialect dialect, std::vector<Field> fields, const std::vector<std::string>& configured = {});
  void set_envelope(std::string from, const std::vector<std::string>& recipients);
  void set_body(std::string body) { body_ = std::move(body); }

  // apply does what the MTA does at end of message with a script.
  void apply(const message::ChangeList& list);

  // What would be delivered. The MTA's own fields that no filter set are not in headers().
  std::vector<Field> headers() const;
  const std::string& from() const { return from_; }
  std::vector<std::string> recipients() const;
  const std::string& body() const { return body_; }
  // own_received_intact tells whether the MTA's own Received field is still there, unchanged.
  bool own_received_intact() const;

 private:
  struct Entry {
    std::string name;
    std::optional<std::string> value;
    bool shown = false;  // to filters; in Sendmail also what a filter set
    bool trace = false;
    bool own = false;
  };
  Entry* find(std::string_view name, uint32_t index);
  void change(const std::string& name, uint32_t index, const std::string& value);
  void insert(const std::string& name, uint32_t index, const std::string& value);
  void add(const std::string& name, const std::string& value);
  void add_recipient(const std::string& address);
  void delete_recipient(const std::string& address);

  Dialect dialect_;
  std::vector<Entry> entries_;
  std::string from_;
  std::vector<std::string> recipients_;
  std::vector<std::string> seen_;  // Postfix's duplicate filter, folded; emptied when the filter's turn comes
  std::string body_;
};

}  // namespace postern::test
