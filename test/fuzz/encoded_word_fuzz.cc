// SPDX-License-Identifier: Apache-2.0
// Reaches: decode_words, encode_words, encode_phrase, to_utf8, from_utf8. Checks that decoding gives UTF-8, that what
// is encoded is ASCII in short lines, and that it decodes to the same text.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/encoded_word.h"

namespace {

using namespace postern;

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string decoded = mime::decode_words(text);
  require(base::is_valid_utf8(decoded));

  const std::string written = mime::encode_words(decoded, 9);
  require(mime::decode_words(written) == decoded);
  if (written != decoded) {
    size_t used = 9;
    for (const char c : written) {
      used = c == '\n' ? 0 : used + 1;
      require(used <= 76 && (c == '\n' || (c >= ' ' && c < 127)));
    }
  }
  const std::string phrase = mime::encode_phrase(decoded);
  require(phrase.find('\0') == std::string::npos && phrase.find('\r') == std::string::npos);
  if (!phrase.starts_with('"')) require(mime::decode_words(phrase) == decoded);

  // A charset label and its text, separated by a slash.
  const size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    const std::string_view charset = text.substr(0, slash);
    const mime::Converted converted = mime::to_utf8(text.substr(slash + 1), charset);
    require(base::is_valid_utf8(converted.utf8));
    std::string back;
    if (mime::from_utf8(converted.utf8, charset, back)) require(mime::to_utf8(back, charset).known);
  }
  return 0;
}
