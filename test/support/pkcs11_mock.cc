// SPDX-License-Identifier: Apache-2.0
// A PKCS#11 module for tests: it passes every call on to a real one (POSTERN_MOCK_MODULE, by default SoftHSM2) and does
// what its control text says, which is read from the file POSTERN_MOCK_CONTROL (again whenever it changes) or handed to
// postern_mock_control(). Lines of it:
//
//   fail FUNCTION N RV [once|always|after]   the N-th call (counted from here on) answers RV without being made;
//   always:
//                                            that and every later one; after: it is made, and then answers RV
//   removed                                  there is no token in any slot, and sessions are gone
//   swap ID ID2                              searches for CKA_ID ID (hex) find objects with ID2
//   flags WORD…                              tokens report user-count-low, user-final-try, user-locked, so-count-low,
//                                            so-final-try, so-locked
//
// FUNCTION may be *. Each new text replaces the one before and counts anew.
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <fstream>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

// SoftHSM2 2.6.1 loses a few bytes with each use of an Ed25519 key. Where the process runs under the address sanitizer,
// it is told not to look at what is allocated within a real call, so that leaks of ours are still seen.
extern "C" __attribute__((weak)) void __lsan_disable();
extern "C" __attribute__((weak)) void __lsan_enable();

namespace {

struct Failure {
  std::string function;
  unsigned long call = 1;
  CK_RV rv = CKR_OK;
  bool always = false, after = false;
};

struct Control {
  std::vector<Failure> failures;
  std::map<std::string, std::string> swaps;
  CK_FLAGS flags = 0;
  bool removed = false;
};

struct State {
  std::mutex mutex;
  Control control;
  std::map<std::string, unsigned long, std::less<>> calls;
  unsigned long all_calls = 0;
  struct timespec changed{};
  off_t size = -1;
  ino_t inode = 0;
};

// Never destroyed: calls may come while the process ends.
State& state() {
  static State* the_state = new State;
  return *the_state;
}
// Held shared round each real call, so that sessions are taken away only when nobody uses them.
std::shared_mutex& inside() {
  static auto* the_mutex = new std::shared_mutex;
  return *the_mutex;
}
const CK_FUNCTION_LIST* g_real = nullptr;

std::string unhex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(strtoul(hex.substr(i, 2).c_str(), nullptr, 16));
  }
  return out;
}

[[noreturn]] void stop(const std::string& why) {
  fprintf(stderr, "pkcs11_mock: %s\n", why.c_str());
  abort();
}

CK_FLAGS flag_of(const std::string& word) {
  if (word == "user-count-low") return CKF_USER_PIN_COUNT_LOW;
  if (word == "user-final-try") return CKF_USER_PIN_FINAL_TRY;
  if (word == "user-locked") return CKF_USER_PIN_LOCKED;
  if (word == "so-count-low") return CKF_SO_PIN_COUNT_LOW;
  if (word == "so-final-try") return CKF_SO_PIN_FINAL_TRY;
  if (word == "so-locked") return CKF_SO_PIN_LOCKED;
  stop("unknown flag " + word);
}

Control parse(const std::string& text) {
  Control control;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string verb, a, b, c, d;
    words >> verb;
    if (verb.empty() || verb[0] == '#') continue;
    if (verb == "fail") {
      words >> a >> b >> c >> d;
      if (c.empty() || (!d.empty() && d != "once" && d != "always" && d != "after")) stop("bad line: " + line);
      control.failures.push_back(
          {a, strtoul(b.c_str(), nullptr, 10), strtoul(c.c_str(), nullptr, 0), d == "always", d == "after"});
    } else if (verb == "removed") {
      control.removed = true;
    } else if (verb == "swap") {
      words >> a >> b;
      control.swaps[unhex(a)] = unhex(b);
    } else if (verb == "flags") {
      while (words >> a) control.flags |= flag_of(a);
    } else {
      stop("bad line: " + line);
    }
  }
  return control;
}

void take_sessions_away() {
  std::array<CK_SLOT_ID, 64> slots{};
  CK_ULONG count = slots.size();
  if (g_real->C_GetSlotList(CK_TRUE, slots.data(), &count) != CKR_OK) return;
  for (CK_ULONG i = 0; i < count; ++i) (void)g_real->C_CloseAllSessions(slots[i]);
}

void apply(const std::string& text) {
  Control control = parse(text);
  std::unique_lock alone(inside());
  if (control.removed && g_real != nullptr) take_sessions_away();
  std::lock_guard lock(state().mutex);
  state().control = std::move(control);
  state().calls.clear();
  state().all_calls = 0;
}

void look_at_file() {
  static const char* const kPath = getenv("POSTERN_MOCK_CONTROL");
  if (kPath == nullptr) return;
  struct stat now{};
  if (stat(kPath, &now) != 0) return;
  {
    std::lock_guard lock(state().mutex);
    if (now.st_size == state().size && now.st_ino == state().inode && now.st_mtim.tv_sec == state().changed.tv_sec &&
        now.st_mtim.tv_nsec == state().changed.tv_nsec) {
      return;
    }
    state().size = now.st_size;
    state().inode = now.st_ino;
    state().changed = now.st_mtim;
  }
  std::ifstream file(kPath);
  std::ostringstream text;
  text << file.rdbuf();
  apply(text.str());
}

struct Decision {
  CK_RV rv = CKR_OK;
  bool fails = false, after = false, removed = false;
};

Decision decide(std::string_view name) {
  look_at_file();
  Decision decision;
  {
    std::lock_guard lock(state().mutex);
    auto at = state().calls.try_emplace(std::string(name), 0).first;
    unsigned long count = ++at->second;
    unsigned long all = ++state().all_calls;
    for (const Failure& failure : state().control.failures) {
      bool any = failure.function == "*";
      unsigned long number = any ? all : count;
      if (!any && failure.function != name) continue;
      if (number == failure.call || (failure.always && number > failure.call)) {
        decision = {failure.rv, true, failure.after, false};
      }
    }
    decision.removed = state().control.removed;
  }
  return decision;
}

bool needs_token(std::string_view name) {
  for (std::string_view other : {"C_Initialize", "C_Finalize", "C_GetInfo", "C_GetSlotInfo", "C_GetSlotList"}) {
    if (name == other) return false;
  }
  return true;
}

template <class Call>
CK_RV guarded(std::string_view name, Call call) {
  Decision decision = decide(name);
  if (decision.fails && !decision.after) return decision.rv;
  if (decision.removed && needs_token(name)) return CKR_TOKEN_NOT_PRESENT;
  std::shared_lock lock(inside());
  if (__lsan_disable != nullptr) __lsan_disable();
  CK_RV rv = call();
  if (__lsan_enable != nullptr) __lsan_enable();
  return decision.fails ? decision.rv : rv;
}

template <size_t N>
struct Name {
  constexpr Name(const char (&from)[N]) { std::copy_n(from, N, text); }  // NOLINT: to be written as a literal
  char text[N]{};
};

template <Name kName, auto kMember>
struct Hook;

template <Name kName, class... Arguments, CK_RV (*CK_FUNCTION_LIST::*kMember)(Arguments...)>
struct Hook<kName, kMember> {
  static CK_RV call(Arguments... arguments) {
    return guarded(kName.text, [&] { return (g_real->*kMember)(arguments...); });
  }
};

CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID* slots, CK_ULONG* count) {
  bool removed = false;
  CK_RV rv = guarded("C_GetSlotList", [&] {
    std::lock_guard lock(state().mutex);
    removed = state().control.removed && present == CK_TRUE;
    return removed ? CKR_OK : g_real->C_GetSlotList(present, slots, count);
  });
  if (removed && rv == CKR_OK) *count = 0;
  return rv;
}

CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO* info) {
  CK_RV rv = guarded("C_GetTokenInfo", [&] { return g_real->C_GetTokenInfo(slot, info); });
  std::lock_guard lock(state().mutex);
  if (rv == CKR_OK) info->flags |= state().control.flags;
  return rv;
}

CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE* what, CK_ULONG count) {
  std::vector<CK_ATTRIBUTE> attributes(what, what + count);
  std::string other;
  {
    std::lock_guard lock(state().mutex);
    for (CK_ATTRIBUTE& attribute : attributes) {
      if (attribute.type != CKA_ID) continue;
      auto at = state().control.swaps.find(std::string(static_cast<char*>(attribute.pValue), attribute.ulValueLen));
      if (at == state().control.swaps.end()) continue;
      other = at->second;
      attribute.pValue = other.data();
      attribute.ulValueLen = other.size();
    }
  }
  return guarded("C_FindObjectsInit",
                 [&] { return g_real->C_FindObjectsInit(session, attributes.data(), attributes.size()); });
}

CK_FUNCTION_LIST* make_list() {
  static CK_FUNCTION_LIST list;
#define HOOK(name) list.name = Hook<#name, &CK_FUNCTION_LIST::name>::call
  HOOK(C_Initialize);
  HOOK(C_Finalize);
  HOOK(C_GetInfo);
  HOOK(C_GetSlotInfo);
  HOOK(C_GetMechanismList);
  HOOK(C_GetMechanismInfo);
  HOOK(C_InitToken);
  HOOK(C_InitPIN);
  HOOK(C_SetPIN);
  HOOK(C_OpenSession);
  HOOK(C_CloseSession);
  HOOK(C_CloseAllSessions);
  HOOK(C_GetSessionInfo);
  HOOK(C_GetOperationState);
  HOOK(C_SetOperationState);
  HOOK(C_Login);
  HOOK(C_Logout);
  HOOK(C_CreateObject);
  HOOK(C_CopyObject);
  HOOK(C_DestroyObject);
  HOOK(C_GetObjectSize);
  HOOK(C_GetAttributeValue);
  HOOK(C_SetAttributeValue);
  HOOK(C_FindObjects);
  HOOK(C_FindObjectsFinal);
  HOOK(C_EncryptInit);
  HOOK(C_Encrypt);
  HOOK(C_EncryptUpdate);
  HOOK(C_EncryptFinal);
  HOOK(C_DecryptInit);
  HOOK(C_Decrypt);
  HOOK(C_DecryptUpdate);
  HOOK(C_DecryptFinal);
  HOOK(C_DigestInit);
  HOOK(C_Digest);
  HOOK(C_DigestUpdate);
  HOOK(C_DigestKey);
  HOOK(C_DigestFinal);
  HOOK(C_SignInit);
  HOOK(C_Sign);
  HOOK(C_SignUpdate);
  HOOK(C_SignFinal);
  HOOK(C_SignRecoverInit);
  HOOK(C_SignRecover);
  HOOK(C_VerifyInit);
  HOOK(C_Verify);
  HOOK(C_VerifyUpdate);
  HOOK(C_VerifyFinal);
  HOOK(C_VerifyRecoverInit);
  HOOK(C_VerifyRecover);
  HOOK(C_DigestEncryptUpdate);
  HOOK(C_DecryptDigestUpdate);
  HOOK(C_SignEncryptUpdate);
  HOOK(C_DecryptVerifyUpdate);
  HOOK(C_GenerateKey);
  HOOK(C_GenerateKeyPair);
  HOOK(C_WrapKey);
  HOOK(C_UnwrapKey);
  HOOK(C_DeriveKey);
  HOOK(C_SeedRandom);
  HOOK(C_GenerateRandom);
  HOOK(C_GetFunctionStatus);
  HOOK(C_CancelFunction);
  HOOK(C_WaitForSlotEvent);
#undef HOOK
  list.version = g_real->version;
  list.C_GetFunctionList = C_GetFunctionList;
  list.C_GetSlotList = get_slot_list;
  list.C_GetTokenInfo = get_token_info;
  list.C_FindObjectsInit = find_objects_init;
  return &list;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST** out) {
  static std::once_flag once;
  static CK_FUNCTION_LIST* list = nullptr;
  std::call_once(once, [] {
    const char* path = getenv("POSTERN_MOCK_MODULE");
    if (path == nullptr) path = "/usr/lib/softhsm/libsofthsm2.so";
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == nullptr) stop(dlerror());
    auto get_list = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
    CK_FUNCTION_LIST* real = nullptr;
    if (get_list == nullptr || get_list(&real) != CKR_OK) stop(std::string(path) + " is no PKCS#11 module");
    g_real = real;
    list = make_list();
  });
  *out = list;
  return CKR_OK;
}

// postern_mock_control replaces the control text.
__attribute__((visibility("default"))) void postern_mock_control(const char* text) { apply(text); }

// postern_mock_calls tells how often `function` ("*": any) was called since then.
__attribute__((visibility("default"))) unsigned long postern_mock_calls(const char* function) {
  std::lock_guard lock(state().mutex);
  if (std::string_view(function) == "*") return state().all_calls;
  auto at = state().calls.find(function);
  return at == state().calls.end() ? 0 : at->second;
}
}
