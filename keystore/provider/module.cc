// SPDX-License-Identifier: Apache-2.0
// The one symbol that fipsd.so exports.
#include "keystore/provider/provider.h"

extern "C" __attribute__((visibility("default"))) int OSSL_provider_init(const OSSL_CORE_HANDLE* handle,
                                                                         const OSSL_DISPATCH* in,
                                                                         const OSSL_DISPATCH** out, void** context) {
  return postern::keystore::start_provider(handle, in, out, context, nullptr, postern::keystore::kDefaultTimeout);
}
