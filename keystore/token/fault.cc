// SPDX-License-Identifier: Apache-2.0
// The table of PKCS#11 return values: one row each, with all that follows from it.
#include "keystore/token/fault.h"

#include <fmt/format.h>

namespace postern::keystore {

namespace {

using base::Cause;

struct Row {
  CK_RV rv;
  std::string_view name;
  Cause cause = Cause::unavailable;
  Repair repair = Repair::none;
  bool untouched = false;
  bool session_gone = false;
};

// A handle that went bad means that the token's content changed under us (taken out, made anew by somebody else): what
// the module remembers of it, its login included, cannot be trusted, so the module is started again. The standard
// leaves CKR_GENERAL_ERROR and CKR_FUNCTION_FAILED to the maker; as everything we pass was checked before, they are
// the token's trouble. CKR_DEVICE_MEMORY and CKR_SESSION_COUNT pass by themselves.
constexpr Row kRows[] = {
    {CKR_OK, "CKR_OK", Cause::internal},
    {CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED", Cause::unavailable, Repair::module, true, true},
    {CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR", Cause::unavailable, Repair::module},
    {CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED", Cause::unavailable, Repair::module, false, true},
    {CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT", Cause::unavailable, Repair::module, true, true},
    {CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED", Cause::unavailable, Repair::module, true, true},
    {CKR_SLOT_ID_INVALID, "CKR_SLOT_ID_INVALID", Cause::unavailable, Repair::module, true, true},
    {CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID", Cause::unavailable, Repair::sessions, true, true},
    {CKR_SESSION_CLOSED, "CKR_SESSION_CLOSED", Cause::unavailable, Repair::sessions, true, true},
    {CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN", Cause::unavailable, Repair::sessions, true},
    {CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID", Cause::unavailable, Repair::module, true},
    {CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID", Cause::unavailable, Repair::module, true},
    {CKR_OPERATION_ACTIVE, "CKR_OPERATION_ACTIVE", Cause::unavailable, Repair::sessions, true},
    {CKR_OPERATION_NOT_INITIALIZED, "CKR_OPERATION_NOT_INITIALIZED", Cause::unavailable, Repair::sessions, true},
    {CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR", Cause::unavailable, Repair::module},
    {CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED", Cause::unavailable, Repair::module},
    {CKR_FUNCTION_CANCELED, "CKR_FUNCTION_CANCELED", Cause::unavailable, Repair::sessions},
    {CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY"},
    {CKR_HOST_MEMORY, "CKR_HOST_MEMORY"},
    {CKR_SESSION_COUNT, "CKR_SESSION_COUNT"},
    {CKR_SESSION_EXISTS, "CKR_SESSION_EXISTS"},
    {CKR_TOKEN_WRITE_PROTECTED, "CKR_TOKEN_WRITE_PROTECTED", Cause::misconfigured},
    {CKR_SESSION_READ_ONLY, "CKR_SESSION_READ_ONLY", Cause::internal},
    {CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT", Cause::denied},
    {CKR_PIN_INVALID, "CKR_PIN_INVALID", Cause::denied},
    {CKR_PIN_LEN_RANGE, "CKR_PIN_LEN_RANGE", Cause::denied},
    {CKR_PIN_EXPIRED, "CKR_PIN_EXPIRED", Cause::denied},
    {CKR_PIN_LOCKED, "CKR_PIN_LOCKED", Cause::denied},
    {CKR_USER_PIN_NOT_INITIALIZED, "CKR_USER_PIN_NOT_INITIALIZED", Cause::denied},
    {CKR_USER_ALREADY_LOGGED_IN, "CKR_USER_ALREADY_LOGGED_IN", Cause::internal},
    {CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", Cause::internal},
    {CKR_KEY_UNEXTRACTABLE, "CKR_KEY_UNEXTRACTABLE", Cause::denied},
    {CKR_ATTRIBUTE_SENSITIVE, "CKR_ATTRIBUTE_SENSITIVE", Cause::denied},
    {CKR_KEY_NOT_WRAPPABLE, "CKR_KEY_NOT_WRAPPABLE", Cause::misconfigured},
    {CKR_KEY_FUNCTION_NOT_PERMITTED, "CKR_KEY_FUNCTION_NOT_PERMITTED", Cause::misconfigured},
    {CKR_KEY_TYPE_INCONSISTENT, "CKR_KEY_TYPE_INCONSISTENT", Cause::misconfigured},
    {CKR_KEY_SIZE_RANGE, "CKR_KEY_SIZE_RANGE", Cause::misconfigured},
    {CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID", Cause::misconfigured},
    {CKR_MECHANISM_PARAM_INVALID, "CKR_MECHANISM_PARAM_INVALID", Cause::misconfigured},
    {CKR_FUNCTION_NOT_SUPPORTED, "CKR_FUNCTION_NOT_SUPPORTED", Cause::misconfigured},
    {CKR_CANT_LOCK, "CKR_CANT_LOCK", Cause::misconfigured},
    {CKR_DOMAIN_PARAMS_INVALID, "CKR_DOMAIN_PARAMS_INVALID", Cause::misconfigured},
    {CKR_TEMPLATE_INCOMPLETE, "CKR_TEMPLATE_INCOMPLETE", Cause::misconfigured},
    {CKR_TEMPLATE_INCONSISTENT, "CKR_TEMPLATE_INCONSISTENT", Cause::misconfigured},
    {CKR_ATTRIBUTE_TYPE_INVALID, "CKR_ATTRIBUTE_TYPE_INVALID", Cause::misconfigured},
    {CKR_ATTRIBUTE_VALUE_INVALID, "CKR_ATTRIBUTE_VALUE_INVALID", Cause::misconfigured},
    {CKR_ATTRIBUTE_READ_ONLY, "CKR_ATTRIBUTE_READ_ONLY", Cause::misconfigured},
    {CKR_ARGUMENTS_BAD, "CKR_ARGUMENTS_BAD", Cause::internal},
    {CKR_BUFFER_TOO_SMALL, "CKR_BUFFER_TOO_SMALL", Cause::internal},
    {CKR_DATA_INVALID, "CKR_DATA_INVALID", Cause::malformed},
    {CKR_DATA_LEN_RANGE, "CKR_DATA_LEN_RANGE", Cause::malformed},
    {CKR_ENCRYPTED_DATA_INVALID, "CKR_ENCRYPTED_DATA_INVALID", Cause::malformed},
    {CKR_ENCRYPTED_DATA_LEN_RANGE, "CKR_ENCRYPTED_DATA_LEN_RANGE", Cause::malformed},
};

const Row* row_of(CK_RV rv) {
  for (const Row& row : kRows) {
    if (row.rv == rv) return &row;
  }
  return nullptr;
}

}  // namespace

std::string rv_name(CK_RV rv) {
  const Row* row = row_of(rv);
  return row != nullptr ? std::string(row->name) : fmt::format("CKR 0x{:x}", rv);
}

bool session_is_gone(CK_RV rv) {
  const Row* row = row_of(rv);
  return row != nullptr && row->session_gone;
}

std::unexpected<Fault> call_failed(std::string_view call, CK_RV rv) {
  const Row* row = row_of(rv);
  base::Error error(row != nullptr ? row->cause : Cause::unavailable, fmt::format("{}: {}", call, rv_name(rv)));
  if (row == nullptr) return std::unexpected<Fault>(Fault{std::move(error), rv, Repair::none, false});
  return std::unexpected<Fault>(Fault{std::move(error), rv, row->repair, row->untouched});
}

std::unexpected<Fault> refused(base::Cause cause, std::string text) {
  return std::unexpected<Fault>(Fault{base::Error(cause, std::move(text)), CKR_OK, Repair::none, false});
}

std::unexpected<Fault> out_of_line(std::string text) {
  return std::unexpected<Fault>(
      Fault{base::Error(Cause::unavailable, std::move(text)), CKR_FUNCTION_FAILED, Repair::module, false});
}

}  // namespace postern::keystore
