// SPDX-License-Identifier: Apache-2.0
// Algorithms: the key types, digests and ways of signing and decrypting that Postern knows, with the words and numbers
// they go by in configuration, output, files and fipsd's protocol.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace postern::x509 {

// KeyType names an algorithm and, for elliptic curves, the curve. The numbers stand in protocol frames and files.
enum class KeyType : uint8_t { rsa = 1, ec_p256 = 2, ec_p384 = 3, ed25519 = 4 };

// Hash names a digest. `none` goes with eddsa, which takes the message itself. The numbers stand in protocol frames.
enum class Hash : uint8_t { none = 0, sha1 = 1, sha256 = 2, sha384 = 3, sha512 = 4 };

// SignAlgorithm is how a digest becomes a signature; there is no raw RSA. RFC 8017 (rsa_pkcs1 with the DigestInfo made
// by the key's owner; rsa_pss with a salt of the digest's length and MGF1 of the same hash), FIPS 186-5 (ecdsa,
// answered as DER), RFC 8032 (eddsa, 64 bytes).
enum class SignAlgorithm : uint8_t { rsa_pkcs1 = 1, rsa_pss = 2, ecdsa = 3, eddsa = 4 };

// DecryptAlgorithm is a padding of RSA. rsa_pkcs1 never fails for the padding's sake: it gives bytes made up from the
// ciphertext (implicit rejection). rsa_oaep uses `hash` for the label and MGF1.
enum class DecryptAlgorithm : uint8_t { rsa_pkcs1 = 1, rsa_oaep = 2 };

// Words for the above as configuration and output spell them: "rsa", "p256", "p384", "ed25519"; "sha256"; …
std::string_view key_type_name(KeyType type);
std::optional<KeyType> key_type_from(std::string_view name);
std::string_view hash_name(Hash hash);
// hash_size is the digest's length in bytes; 0 for none.
size_t hash_size(Hash hash);

}  // namespace postern::x509
