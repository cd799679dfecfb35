// SPDX-License-Identifier: Apache-2.0
// The ways readers decode base64 and quoted-printable with faults in it, other than decode_transfer's. Internal to
// readings.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "engine/mime/transfer_coding.h"

namespace postern::mime {

// DecodingTaker takes what other_decodings makes. `next` is asked before each pass over `bytes` bytes, `take` gets what
// came of it; false from either ends it.
struct DecodingTaker {
  std::function<bool(uint64_t bytes)> next;
  std::function<bool(std::string decoded)> take;
};

// other_decodings makes what readers make of `encoded` that decode it otherwise; without what decode_transfer makes of
// it, but the same may come twice. Each is at most as long as `encoded`, and there are some dozens at most.
void other_decodings(TransferEncoding encoding, std::string_view encoded, const DecodingTaker& taker);

// looks_base64, looks_quoted_printable and looks_uuencoded tell whether a reader that has no (usable) label might
// decode `content` so.
bool looks_base64(std::string_view content);
bool looks_quoted_printable(std::string_view content);
bool looks_uuencoded(std::string_view content);

}  // namespace postern::mime
