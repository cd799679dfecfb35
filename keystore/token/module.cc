// SPDX-License-Identifier: Apache-2.0
// Loading, starting and searching a PKCS#11 module (PKCS#11 v2.40 sections 5.4 and 5.5). The library stays loaded until
// the process ends: modules and the libraries under them leave exit handlers behind.
#include "keystore/token/module.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "engine/base/text.h"
#include "keystore/token/softhsm.h"

namespace postern::keystore {

namespace {

using base::Cause;
using base::fail;
using base::Result;

constexpr CK_ULONG kMaxSlots = 4096;

// Fixed-width fields are blank-padded and may hold anything.
std::string field(const unsigned char* bytes, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(bytes), size);
  text = text.substr(0, text.find('\0'));
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return base::escape_for_log(text, 128);
}

template <size_t N>
std::string field(const unsigned char (&bytes)[N]) {
  return field(bytes, N);
}

}  // namespace

Result<Module> Module::load(const TokenOptions& options) {
  if (!options.softhsm_directory.empty()) {
    if (auto configured = configure_softhsm(options); !configured) return std::unexpected(configured.error());
  }
  void* library = dlopen(options.module.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    const char* why = dlerror();
    return fail(Cause::misconfigured, fmt::format("loading {}: {}", options.module, why != nullptr ? why : "refused"));
  }
  auto get_list = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* calls = nullptr;
  if (get_list == nullptr || get_list(&calls) != CKR_OK || calls == nullptr || calls->version.major != 2) {
    return fail(Cause::misconfigured, options.module + " is not a PKCS#11 version 2 module");
  }
  return Module(calls);
}

Outcome<void> Module::start() {
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  CK_RV rv = calls_->C_Initialize(&arguments);
  // Its C_Finalize may have failed; then it is still ours.
  if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED && began_) rv = CKR_OK;
  if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) {
    return refused(Cause::misconfigured, "C_Initialize: this process uses the module already");
  }
  if (rv != CKR_OK) return call_failed("C_Initialize", rv);
  started_ = began_ = true;
  return {};
}

void Module::end() {
  if (!started_) return;
  (void)calls_->C_Finalize(nullptr);
  started_ = false;
}

std::string Module::library() const {
  CK_INFO info{};
  if (calls_->C_GetInfo(&info) != CKR_OK) return {};
  return fmt::format("{} {}.{}", field(info.libraryDescription), info.libraryVersion.major, info.libraryVersion.minor);
}

Outcome<std::vector<SlotToken>> Module::tokens(CK_RV& silent) const {
  silent = CKR_OK;
  std::vector<CK_SLOT_ID> slots;
  // The number may grow between the two calls.
  for (int attempt = 0;; ++attempt) {
    CK_ULONG count = 0;
    CK_RV rv = calls_->C_GetSlotList(CK_TRUE, nullptr, &count);
    if (rv != CKR_OK) return call_failed("C_GetSlotList", rv);
    if (count > kMaxSlots) return out_of_line("C_GetSlotList: too many slots");
    slots.resize(count);
    if (count == 0) break;
    rv = calls_->C_GetSlotList(CK_TRUE, slots.data(), &count);
    if (rv == CKR_BUFFER_TOO_SMALL && attempt < 4) continue;
    if (rv != CKR_OK) return call_failed("C_GetSlotList", rv);
    if (count > slots.size()) return out_of_line("C_GetSlotList: more slots than asked for");
    slots.resize(count);
    break;
  }
  std::vector<SlotToken> found;
  for (CK_SLOT_ID slot : slots) {
    CK_TOKEN_INFO info{};
    CK_RV rv = calls_->C_GetTokenInfo(slot, &info);
    if (rv == CKR_TOKEN_NOT_PRESENT || rv == CKR_TOKEN_NOT_RECOGNIZED || rv == CKR_SLOT_ID_INVALID) {
      silent = rv;
      continue;
    }
    if (rv != CKR_OK) return call_failed("C_GetTokenInfo", rv);
    SlotToken token{slot, info.flags, {}};
    token.identity.manufacturer = field(info.manufacturerID);
    token.identity.model = field(info.model);
    token.identity.serial = field(info.serialNumber);
    token.identity.label = field(info.label);
    token.identity.firmware = fmt::format("{}.{}", info.firmwareVersion.major, info.firmwareVersion.minor);
    token.identity.hardware = fmt::format("{}.{}", info.hardwareVersion.major, info.hardwareVersion.minor);
    found.push_back(std::move(token));
  }
  return found;
}

Outcome<SlotToken> Module::find(const TokenOptions& options) const {
  CK_RV silent = CKR_OK;
  auto all = tokens(silent);
  if (!all) return std::unexpected(all.error());
  const SlotToken* ours = nullptr;
  for (const SlotToken& token : *all) {
    if ((token.flags & CKF_TOKEN_INITIALIZED) == 0 || token.identity.label != options.label) continue;
    if (!options.serial.empty() && token.identity.serial != options.serial) continue;
    if (ours != nullptr) {
      return refused(Cause::misconfigured,
                     fmt::format("several tokens are called \"{}\": say which by its serial number", options.label));
    }
    ours = &token;
  }
  // A silent token may be ours, and must not be taken for absent: a blank one would be initialised in its stead. A card
  // of somebody else's make is none of ours where the serial number says which is.
  bool other = silent == CKR_TOKEN_NOT_RECOGNIZED && !options.serial.empty();
  if (ours == nullptr && silent != CKR_OK && !other) return call_failed("C_GetTokenInfo", silent);
  if (ours == nullptr) return refused(Cause::not_found, fmt::format("no token \"{}\" is present", options.label));
  return *ours;
}

}  // namespace postern::keystore
