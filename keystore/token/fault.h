// SPDX-License-Identifier: Apache-2.0
// Fault: what went wrong inside the token library, with what PKCS#11 said and what may mend it. Return values are
// sorted in one place: what the caller is told (base::Cause), what to do to the token (Repair), and whether the call
// surely did nothing. Pure functions.
#pragma once
#include <p11-kit/pkcs11.h>

#include <expected>
#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace postern::keystore {

// Repair says what may help: nothing; new sessions and a login; ending and starting the module again.
enum class Repair : uint8_t { none, sessions, module };

// Fault is an error on its way out of the library. `rv` is CKR_OK where no PKCS#11 call failed (the token's answer was
// wrong, or the key is not there).
struct Fault {
  base::Error error;
  CK_RV rv = CKR_OK;
  Repair repair = Repair::none;
  bool untouched = false;  // the call was refused before it could have had any effect
};

template <class T>
using Outcome = std::expected<T, Fault>;

// rv_name returns "CKR_DEVICE_ERROR", or the number where there is no name for it.
std::string rv_name(CK_RV rv);

// session_is_gone tells whether `rv` says that the session (and with it, its handle) is no longer ours to close.
bool session_is_gone(CK_RV rv);

// call_failed makes a Fault of what the PKCS#11 function `call` returned.
std::unexpected<Fault> call_failed(std::string_view call, CK_RV rv);
// refused makes a Fault that no repair helps against.
std::unexpected<Fault> refused(base::Cause cause, std::string text);
// out_of_line makes a Fault of an answer that no sound token gives.
std::unexpected<Fault> out_of_line(std::string text);

}  // namespace postern::keystore
