// SPDX-License-Identifier: Apache-2.0
// TokenTest with the module that fails as it is told (test/support/pkcs11_mock.cc) between Token and SoftHSM2.
#pragma once
#include <dlfcn.h>
#include <fmt/format.h>
#include <p11-kit/pkcs11.h>

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "token_fixture.h"

namespace postern::keystore {

inline constexpr CK_RV kDeviceErrors[] = {
    CKR_DEVICE_ERROR,           CKR_DEVICE_REMOVED,     CKR_TOKEN_NOT_PRESENT,
    CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED,     CKR_USER_NOT_LOGGED_IN,
    CKR_OBJECT_HANDLE_INVALID,  CKR_KEY_HANDLE_INVALID, CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_GENERAL_ERROR,          CKR_FUNCTION_FAILED,    CKR_OPERATION_ACTIVE,
    CKR_DEVICE_MEMORY};

// One of each kind that Token treats differently (keystore/token/fault.cc), for operations that take long.
inline constexpr CK_RV kKindsOfErrors[] = {CKR_DEVICE_ERROR,           CKR_DEVICE_REMOVED,     CKR_TOKEN_NOT_PRESENT,
                                           CKR_SESSION_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN, CKR_KEY_HANDLE_INVALID,
                                           CKR_DEVICE_MEMORY};

inline constexpr const char* kFunctions[] = {"C_Initialize",       "C_Finalize",       "C_GetSlotList",
                                             "C_GetTokenInfo",     "C_OpenSession",    "C_CloseSession",
                                             "C_CloseAllSessions", "C_GetSessionInfo", "C_Login",
                                             "C_Logout",           "C_CreateObject",   "C_DestroyObject",
                                             "C_FindObjectsInit",  "C_FindObjects",    "C_FindObjectsFinal",
                                             "C_SignInit",         "C_Sign",           "C_DecryptInit",
                                             "C_Decrypt",          "C_WrapKey",        "C_GenerateKeyPair",
                                             "C_InitToken",        "C_InitPIN",        "C_GetAttributeValue"};

class TokenFaultTest : public TokenTest {
 protected:
  void SetUp() override {
    directory_.options().module = POSTERN_PKCS11_MOCK;
    library_ = dlopen(POSTERN_PKCS11_MOCK, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    ASSERT_NE(library_, nullptr) << dlerror();
    control_ = reinterpret_cast<void (*)(const char*)>(dlsym(library_, "postern_mock_control"));
    calls_ = reinterpret_cast<unsigned long (*)(const char*)>(dlsym(library_, "postern_mock_calls"));
    control("");
    open_token();
    for (x509::KeyType type : {x509::KeyType::ec_p256, x509::KeyType::ed25519, x509::KeyType::rsa}) {
      auto key = token_->generate(key_id(static_cast<uint8_t>(type)), "base", type, 2048, true);
      ASSERT_TRUE(key);
      keys_.push_back(*key);
      known_.push_back(key->id);
    }
    for (const KeyRef& key : keys_) signs(key);
  }
  void TearDown() override {
    control("");
    TokenTest::TearDown();
  }

  void control(const std::string& text) { control_(text.c_str()); }
  unsigned long calls(const char* function) { return calls_(function); }

  // works waits for nothing: the very next use of each key must succeed.
  void works() {
    for (const KeyRef& key : keys_) signs(key);
  }

  // sweep runs `operation` with each of `errors` from each call it makes; it judges its own result and returns the
  // error, if any. `modes` of the fault.
  void sweep(std::span<const CK_RV> errors, const std::function<std::optional<base::Error>()>& operation,
             std::vector<std::string> modes, const std::function<void(const std::string& mode)>& afterwards) {
    control("");
    auto clean = operation();
    ASSERT_FALSE(clean) << clean->text();
    std::map<std::string, unsigned long> counts;
    for (const char* function : kFunctions) counts[function] = calls(function);
    afterwards("");
    for (const auto& [function, count] : counts) {
      for (unsigned long k = 1; k <= count; ++k) {
        for (CK_RV rv : errors) {
          for (const std::string& mode : modes) {
            std::string fault = fmt::format("fail {} {} 0x{:x} {}", function, k, rv, mode);
            SCOPED_TRACE(fault);
            control(fault);
            auto error = operation();
            if (error) {
              EXPECT_EQ(error->cause(), base::Cause::unavailable) << error->text();
              ++failed_;
            }
            control("");
            afterwards(error ? mode : "");
            works();
            ++cases_;
            if (HasFailure()) return;
          }
        }
      }
    }
  }

  std::vector<KeyRef> keys_;
  std::vector<KeyId> known_;
  int cases_ = 0, failed_ = 0;

 private:
  void* library_ = nullptr;
  void (*control_)(const char*) = nullptr;
  unsigned long (*calls_)(const char*) = nullptr;
};

template <class T>
std::optional<base::Error> error_of(const base::Result<T>& result) {
  return result ? std::nullopt : std::optional(result.error());
}

}  // namespace postern::keystore
