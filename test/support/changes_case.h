// SPDX-License-Identifier: Apache-2.0
// ChangesCase: a message and a run of edits made from arbitrary bytes, for the property test and the fuzz target of
// diff().
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace postern::test {

// check_changes makes a message and edits from `bytes`, applies diff()'s script in both dialects of FakeMta and returns
// what is wrong, or "": the result must be the edited message, the values must be fit to be sent, and the script must
// have no step too many. `steps` gets the length of the script.
std::string check_changes(std::span<const uint8_t> bytes, size_t* steps = nullptr);

}  // namespace postern::test
