// SPDX-License-Identifier: Apache-2.0
// Module: a PKCS#11 library loaded by its path, and the tokens it shows. One Module a process and library: C_Initialize
// is process-wide. Not thread-safe by itself; token.cc lets one thread at a time start, end or search it.
#pragma once
#include <p11-kit/pkcs11.h>

#include <string>
#include <vector>

#include "keystore/token/fault.h"
#include "keystore/token/token.h"

namespace postern::keystore {

// SlotToken is a token that is present, with the slot it is in.
struct SlotToken {
  CK_SLOT_ID slot = 0;
  CK_FLAGS flags = 0;
  TokenIdentity identity;  // without `library`
};

class Module {
 public:
  // load writes SoftHSM2's configuration where one is asked for, and loads the library; it does not start it.
  static base::Result<Module> load(const TokenOptions& options);

  const CK_FUNCTION_LIST& calls() const { return *calls_; }
  bool started() const { return started_; }

  // start calls C_Initialize with operating system locks; end calls C_Finalize, whose answer changes nothing.
  Outcome<void> start();
  void end();

  // library returns the module's description and version.
  std::string library() const;
  // tokens lists what is in the slots. `silent` is what a token that says nothing of itself answered, else CKR_OK.
  Outcome<std::vector<SlotToken>> tokens(CK_RV& silent) const;
  // find returns the initialised token that `options` mean: not_found where it is certainly not there, misconfigured
  // where several are.
  Outcome<SlotToken> find(const TokenOptions& options) const;

 private:
  explicit Module(const CK_FUNCTION_LIST* calls) : calls_(calls) {}
  const CK_FUNCTION_LIST* calls_;
  bool started_ = false;
  bool began_ = false;  // was started once
};

}  // namespace postern::keystore
