// SPDX-License-Identifier: Apache-2.0
// How Sendmail writes lists of addresses when it delivers a message: whatever a filter saw, they leave with ", "
// between them and with quotes round display names that hold certain characters. A signature must cover that form.
#pragma once
#include <string>
#include <string_view>

#include "engine/mime/header.h"

namespace postern::stages {

// sendmail_form returns the value of an address field as Sendmail will send it, but for its folds: a blank behind each
// comma and none before it, and quotes round a display name with '.' or an apostrophe in it. Quoted strings, comments
// and what stands in angle brackets stay as they are.
std::string sendmail_form(std::string_view value);

// use_sendmail_form changes every address field of `headers` that would be written in another way.
void use_sendmail_form(mime::HeaderList& headers);

}  // namespace postern::stages
