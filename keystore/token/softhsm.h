// SPDX-License-Identifier: Apache-2.0
// What fipsd must know of SoftHSM2's file store: where it is told its token directory, and what is left of a token
// whose erasing was cut short. C_InitToken truncates token.object before it writes it again; killed in between,
// SoftHSM2 does not see the token any more and cannot erase it either.
#pragma once
#include <string>
#include <string_view>

#include "keystore/token/token.h"

namespace postern::keystore {

// configure_softhsm writes SoftHSM2's configuration file and names it in the environment.
base::Result<void> configure_softhsm(const TokenOptions& options);

// empty_softhsm_token removes every file of the token with this serial number and tells whether there was its folder,
// which stays, empty, as the sign of that. For tokens that SoftHSM2 cannot open.
base::Result<bool> empty_softhsm_token(const std::string& directory, std::string_view serial);
// drop_empty_softhsm_token removes that sign.
void drop_empty_softhsm_token(const std::string& directory, std::string_view serial);

}  // namespace postern::keystore
