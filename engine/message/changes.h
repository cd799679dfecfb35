// SPDX-License-Identifier: Apache-2.0
// Changes: the edit script from the message as the MTA has it to the message as decided, in an order that is right for
// Postfix (a deleted header is gone, later instances move up) and Sendmail (it is only marked): repeated fields are
// edited from the last instance to the first, insertions go to the top (index 0, the only index that means the same
// everywhere), the rest is appended. diff() is the only producer; nothing else tells an MTA anything.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/message/message.h"

namespace postern::message {

enum class Op {
  change_header,
  delete_header,
  insert_header,
  add_header,
  replace_body,
  change_from,
  add_recipient,
  delete_recipient,
  quarantine
};
// op_name is the word for `op` in JSON and logs: "change-header", …
std::string_view op_name(Op op);

// Change is one step. `index` counts instances of `name` from 1 as the MTA saw them (change_header, delete_header), or
// is 0 for insert_header. `value` is a header value with exactly the bytes to stand after the colon (its leading space
// included, folds as LF), an address, or a quarantine reason; for replace_body the bytes are in ChangeList::body.
struct Change {
  Op op;
  std::string name;
  uint32_t index = 0;
  std::string value;
};

struct ChangeList {
  std::vector<Change> changes;
  mime::Pieces body;  // with an Op::replace_body
};

// diff compares the message's received state with its present one and returns the smallest script. No changes: an empty
// list.
ChangeList diff(Message& message);

}  // namespace postern::message
