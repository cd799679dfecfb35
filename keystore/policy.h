// SPDX-License-Identifier: Apache-2.0
// Policy: may this client do this with this key? Three questions, all of which must be answered yes: the socket's
// rights (fipsd.yaml), the key's uses (a dkim key signs only DKIM's digests, …), the FIPS policy. Pure functions over
// immutable settings; any thread.
#pragma once
#include "keystore/catalogue.h"
#include "keystore/protocol/protocol.h"
#include "keystore/settings.h"

namespace postern::keystore {

// visible tells whether a socket class may know of `entry` at all.
bool visible(const FipsdSettings& settings, std::string_view socket, const KeyEntry& entry);

// check_sign and check_decrypt: not_found for a key the socket must not know of, denied where no right allows it,
// misconfigured with a text naming key and algorithm where use or FIPS policy forbid it, malformed for a digest of the
// wrong length. dkim: rsa_pkcs1 with sha256 and eddsa over exactly 32 bytes; tls-*, ldap: rsa_pss, rsa_pkcs1, ecdsa
// with SHA-2, eddsa; smime the same and decryption.
base::Result<void> check_sign(const FipsdSettings& settings, std::string_view socket, const KeyEntry* entry,
                              const SignBody& body);
base::Result<void> check_decrypt(const FipsdSettings& settings, std::string_view socket, const KeyEntry* entry,
                                 const DecryptBody& body);
base::Result<void> check_describe(const FipsdSettings& settings, std::string_view socket, const KeyEntry* entry);

// check_new_key: may a key of this type, size and uses be made or imported under the FIPS policy?
base::Result<void> check_new_key(FipsPolicy policy, x509::KeyType type, uint32_t bits, uint32_t uses);
// not_approved says why an existing key is outside the approved list ("" when it is inside), for status.
std::string not_approved(x509::KeyType type, uint32_t bits, uint32_t uses);

}  // namespace postern::keystore
