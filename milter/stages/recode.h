// SPDX-License-Identifier: Apache-2.0
// Recode: a body made fit for every mail server on the way before it is signed, because a server that may not send
// 8-bit bytes or long lines would encode them itself and break the signature. RFC 6376 section 5.3, RFC 2045.
#pragma once
#include <cstdint>
#include <string>

#include "engine/message/message.h"

namespace postern::stages {

// Recoded says what was done. `parts` were written anew; `left` says why something stayed that a server may change ("":
// nothing did).
struct Recoded {
  uint32_t parts = 0;
  std::string left;
};

// recode_for_transport encodes each leaf of the final body that has 8-bit bytes, NUL, a lone CR or a line over 998
// bytes: text as quoted-printable (base64 where most of it is 8-bit), the rest as base64; content that is encoded
// already only gets short lines. Fields that say 8bit or binary of what is not so any more say 7bit. The decoded
// content stays the same. Nothing inside multipart/signed or multipart/encrypted is touched, and nothing that readers
// could take apart in different ways.
Recoded recode_for_transport(message::Message& message);

}  // namespace postern::stages
