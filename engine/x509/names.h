// SPDX-License-Identifier: Apache-2.0
// Distinguished names as text and back (RFC 4514): "CN=mail.example.org,O=Example". The most specific part stands first
// in the text and last in the certificate. What text cannot hold is written "1.2.3=#hex", so every name has a text, and
// reading it gives an equal name (X509_NAME_cmp: case and runs of blanks do not count). Pure functions.
#pragma once
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/x509/openssl.h"

namespace postern::x509 {

inline constexpr size_t kMaxNameText = 16u << 10;
inline constexpr size_t kMaxNameParts = 256;

std::string name_text(const X509_NAME* name);

// parse_name reads a name; blanks round separators are allowed. malformed with a text that names the part. Types are
// the usual short words or numbers with dots; the empty text is the empty name.
base::Result<NameHandle> parse_name(std::string_view text);

}  // namespace postern::x509
