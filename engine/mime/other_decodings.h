// SPDX-License-Identifier: Apache-2.0
// The ways readers decode base64 and quoted-printable with faults in it, other than decode_transfer's. Internal to
// readings.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/mime/transfer_coding.h"

namespace postern::mime {

// kMostDecodings bounds what other_decodings returns; each costs one pass.
inline constexpr size_t kMostDecodings = 48;

// other_decodings returns what readers make of `encoded` that decode it otherwise; without what decode_transfer makes
// of it, and without duplicates. Each is at most as long as `encoded`.
// `complete` becomes false where a bound kept one from being made.
std::vector<std::string> other_decodings(TransferEncoding encoding, std::string_view encoded, bool& complete);

// looks_base64, looks_quoted_printable and looks_uuencoded tell whether a reader that has no (usable) label might
// decode `content` so.
bool looks_base64(std::string_view content);
bool looks_quoted_printable(std::string_view content);
bool looks_uuencoded(std::string_view content);

}  // namespace postern::mime
