// SPDX-License-Identifier: Apache-2.0
// ChangesCase: a message and a run of edits made from arbitrary bytes, for the property test, the fuzz target and the
// test of diff() under real mail servers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/message/changes.h"
#include "test/support/fake_mta.h"

namespace postern::test {

// ChangesCase is one message, received and edited, with diff()'s script.
struct ChangesCase {
  std::string body;
  std::unique_ptr<message::Message> message;  // its body is a view of `body`
  std::vector<Field> received;
  std::vector<Field> final;
  std::string final_body;
  message::ChangeList list;

  std::vector<std::string> received_recipients() const;
  std::vector<std::string> final_recipients() const;
};

// make_case makes a case from `bytes`. `mailable`: only of fields that mail servers pass on as they are, few of them,
// and with at least one recipient before and after.
std::unique_ptr<ChangesCase> make_case(std::span<const uint8_t> bytes, bool mailable = false);

// check_changes makes a message and edits from `bytes`, applies diff()'s script in both dialects of FakeMta and returns
// what is wrong, or "": the result must be the edited message, the values must be fit to be sent, and the script must
// have no step too many. `steps` gets the length of the script.
std::string check_changes(std::span<const uint8_t> bytes, size_t* steps = nullptr);

}  // namespace postern::test
