// SPDX-License-Identifier: Apache-2.0
// AlgorithmIdentifiers of signatures in DER (RFC 4055, RFC 5758, RFC 8410), which whoever writes a certificate, request
// or CMS message asks the provider for. Pure functions.
#pragma once
#include <string>

#include "engine/x509/algorithms.h"

namespace postern::keystore {

// algorithm_id returns the identifier; empty for a combination that has none.
std::string algorithm_id(x509::SignAlgorithm algorithm, x509::Hash hash);

}  // namespace postern::keystore
