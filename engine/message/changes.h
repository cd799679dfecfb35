// SPDX-License-Identifier: Apache-2.0
// Changes: the edit script from the message as the MTA has it to the message as decided, in an order that is right for
// Postfix (a deleted header is gone, later instances move up) and Sendmail (it is only marked): repeated fields are
// edited from the last instance to the first, insertions go to the top or to the end (the two indexes that mean the
// same everywhere). diff() is the only producer; nothing else tells an MTA anything.
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
// is where insert_header puts a field: 0 above all others, else a number past the end of any header, which means below
// all others. `value` is a header value with exactly the bytes to stand after the colon (its leading space
// included, folds as LF, no CR, no NUL, never empty in change_header), an address without angle brackets ("" for the
// null sender), or a quarantine reason; for replace_body the bytes are in ChangeList::body. An MTA that did not agree
// to leading spaces adds one of its own: the sender cuts one then, and must not let a change become empty, which
// deletes.
struct Change {
  Op op;
  std::string name;
  uint32_t index = 0;
  std::string value;
};

// ChangeList is a whole script, in the order in which it must be sent: header changes and deletions, insertions,
// additions, envelope, body.
struct ChangeList {
  std::vector<Change> changes;
  mime::Pieces body;  // with an Op::replace_body; good as long as the message and until its next edit
};

// diff compares the message's received state with its present one and returns the smallest script. No changes: an empty
// list. Recipients are compared without case, one copy to a mailbox: MTAs merge repeated recipients of a message,
// Postfix those that differ in case too, and deletes by exact spelling; an address whose spelling changed is deleted
// and added.
ChangeList diff(Message& message);

}  // namespace postern::message
