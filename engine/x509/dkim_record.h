// SPDX-License-Identifier: Apache-2.0
// The DNS record that publishes the public half of a DKIM key (RFC 6376 section 3.6.1, RFC 8463 section 4). Pure
// functions.
#pragma once
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/x509/algorithms.h"

namespace postern::x509 {

// txt_record returns the value of the TXT record at SELECTOR._domainkey.DOMAIN for a public key (SPKI, DER):
// "v=DKIM1; k=rsa; p=…" or k=ed25519. Cause::malformed for a key type DKIM does not know.
base::Result<std::string> txt_record(KeyType type, std::string_view spki);
// zone_strings splits a record into the quoted strings of at most 255 bytes a zone file wants.
std::string zone_strings(std::string_view record);

}  // namespace postern::x509
