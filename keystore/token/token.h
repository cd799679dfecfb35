// SPDX-License-Identifier: Apache-2.0
// Token: one PKCS#11 token behind a module loaded by path (PKCS#11 v2.40 with the Edwards mechanisms of v3.0), used for
// nothing else by anybody else. It owns the login, finds keys by CKA_ID and compares the public key before the first
// use, caches handles, and after any device error (CKR_DEVICE_REMOVED, CKR_SESSION_HANDLE_INVALID,
// CKR_TOKEN_NOT_PRESENT, …) opens the token again and finds each key again: never another key under the same label.
// A PIN is tried once per operator action, and not at all when the token says that the next failure locks it.
//
// Threads: sign and decrypt_raw may be called from several threads; each thread passes its own Session. Everything that
// writes objects takes one mutex. Open before any thread starts and never fork afterwards. At most one Token of a
// module in a process at a time.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/x509/algorithms.h"
#include "keystore/token/secret.h"

namespace postern::keystore {

// KeyId is CKA_ID of a key pair: 16 random bytes of our own.
using KeyId = std::array<uint8_t, 16>;

// KeyRef says which key is meant: the object's id and the public key it must have (SubjectPublicKeyInfo, DER). A token
// object with this id and another public key is an error, not the key.
struct KeyRef {
  KeyId id{};
  x509::KeyType type = x509::KeyType::rsa;
  std::string spki;
};

struct TokenOptions {
  std::string module = "/usr/lib/softhsm/libsofthsm2.so";
  std::string label = "postern";  // of the token; initialise() gives it to an uninitialised one
  std::string serial;             // when not empty: only the token with this serial number
  // For SoftHSM2: where its token directory is. The configuration file it wants is written to `scratch` and named to it
  // by SOFTHSM2_CONF. Empty: the module finds its own way.
  std::string softhsm_directory;
  std::string scratch;
  // How long after a failed attempt to open the token again the next one is made; till then the answer is
  // `unavailable`.
  std::chrono::milliseconds retry{1000};
};

// TokenIdentity is what module and token say of themselves (C_GetInfo, C_GetTokenInfo), trimmed.
struct TokenIdentity {
  std::string library;       // description and version of the module
  std::string manufacturer;  // of the token
  std::string model;
  std::string serial;
  std::string label;
  std::string firmware;
  std::string hardware;
};

// Session is one PKCS#11 session, used by one thread at a time. It must go before its Token. A session that broke is
// opened again by itself.
class Session {
 public:
  virtual ~Session() = default;
};

class Token {
 public:
  // open loads the module and calls C_Initialize. The token itself may be absent or uninitialised; present() tells.
  static base::Result<std::unique_ptr<Token>> open(const TokenOptions& options);
  virtual ~Token() = default;

  virtual bool present() = 0;  // asks the module; cheap enough for a status call
  virtual TokenIdentity identity() = 0;

  // initialise erases the token (C_InitToken with `so_pin`, which an initialised token must already have), sets the
  // user PIN. Where no token has our label, the first uninitialised one is taken. Sessions of other threads become
  // invalid and recover by themselves once login() has been called. `denied`: a wrong SO PIN, or one that would be the
  // last try.
  virtual base::Result<void> initialise(const Secret& so_pin, const Secret& user_pin) = 0;
  // change_so_pin gives the token another SO PIN; between initialise() and login(), while nobody is logged in.
  virtual base::Result<void> change_so_pin(const Secret& present, const Secret& next) = 0;
  // erase is initialise without a new user PIN: nothing can log in afterwards. May be repeated, also after a process
  // that was killed while it erased the token with the serial number `serial`. not_found where no token with our label
  // is there: either there never was one, or it was taken out; the caller knows which.
  virtual base::Result<void> erase(const Secret& so_pin, std::string_view serial) = 0;
  // bury removes what erase() left of such a token, once that is on record.
  virtual void bury(std::string_view serial) = 0;
  // login keeps one session open for ever and logs the process in. Error cause `denied` for a wrong or locked PIN, or
  // one that would be the last try (it is not tried then); `unavailable` for a token that is not there. The PIN is kept
  // (in locked memory) for reopening, also after `unavailable`: the next use of a key then logs in by itself.
  virtual base::Result<void> login(const Secret& user_pin) = 0;
  // forget wipes the PIN, logs out, closes every session, drops every cached handle.
  virtual void forget() = 0;

  virtual std::unique_ptr<Session> session() = 0;

  // generate makes a pair in the token (sensitive; extractable as said) and returns its reference. Pairwise-tested by
  // the caller. `denied` when something has this id already. After any other error an object with this id may or may
  // not be left (it is destroyed where the token allows): destroy() it, or do so after the next start.
  virtual base::Result<KeyRef> generate(const KeyId& id, std::string_view label, x509::KeyType type, uint32_t bits,
                                        bool extractable) = 0;
  // import puts a private key (PKCS#8, DER) and its public half into the token; malformed for a key that is not RSA of
  // 2048 to 4096 bits, P-256, P-384 or Ed25519. Errors as for generate.
  virtual base::Result<KeyRef> import(const KeyId& id, std::string_view label, const Secret& pkcs8,
                                      bool extractable) = 0;
  // destroy removes every object with this id; fine when there is none.
  virtual base::Result<void> destroy(const KeyId& id) = 0;
  // wrap returns the private key as PKCS#8 DER by wrapping it in the token under a one-time AES key
  // (CKM_AES_KEY_WRAP_PAD) and opening that outside. Cause `denied`: not extractable; `not_found`: no such key;
  // `misconfigured`: the token cannot wrap this type (SoftHSM2 and Ed25519).
  virtual base::Result<Secret> wrap(const KeyRef& key) = 0;
  // find tells whether the key is there with the right public half: not_found, or denied when another key has its id.
  virtual base::Result<void> find(const KeyRef& key) = 0;
  // strangers returns the ids of objects that are none of `known`: what an interrupted operation left.
  virtual base::Result<std::vector<KeyId>> strangers(const std::vector<KeyId>& known) = 0;

  // sign returns the signature (rsa: modulus length; ecdsa: DER; eddsa: 64 bytes). `input` is the digest, or the
  // message for eddsa. Tried once more after the token was opened again.
  virtual base::Result<std::string> sign(Session& session, const KeyRef& key, x509::SignAlgorithm algorithm,
                                         x509::Hash hash, std::string_view input) = 0;
  // decrypt_raw is RSA without padding (CKM_RSA_X_509), for unpadding in keystore/decrypt; never offered to clients.
  // `malformed` for what is not of the modulus' length or not below the modulus.
  virtual base::Result<Secret> decrypt_raw(Session& session, const KeyRef& key, std::string_view ciphertext) = 0;

  // sign_once signs with a key that is in the token only for that one signature (a session object): for self-tests.
  // misconfigured where the token does not know type or mechanism.
  virtual base::Result<std::string> sign_once(Session& session, const Secret& pkcs8, x509::SignAlgorithm algorithm,
                                              x509::Hash hash, std::string_view input) = 0;

  // reopened counts how often the token was opened again.
  virtual uint64_t reopened() const = 0;
};

}  // namespace postern::keystore
