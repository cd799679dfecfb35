// SPDX-License-Identifier: Apache-2.0
// Reaches: parse_transfer_encoding, decode_transfer, encode_base64, encode_quoted_printable. Checks that nothing grows
// and that what is encoded decodes to the same.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/mime/transfer_coding.h"

namespace {

using namespace postern;

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using mime::TransferEncoding;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  mime::parse_transfer_encoding(text);
  for (const auto encoding : {TransferEncoding::identity, TransferEncoding::base64, TransferEncoding::quoted_printable,
                              TransferEncoding::uuencode, TransferEncoding::unknown}) {
    require(mime::decode_transfer(encoding, text).bytes.size() <= size);
  }
  const mime::Decoded base64 = mime::decode_transfer(TransferEncoding::base64, mime::encode_base64(text));
  require(base64.bytes == text && !base64.damaged);
  const mime::Decoded quoted =
      mime::decode_transfer(TransferEncoding::quoted_printable, mime::encode_quoted_printable(text));
  require(!quoted.damaged);
  std::string lines;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) lines += '\r';
    lines += text[i];
  }
  require(quoted.bytes == lines);
  return 0;
}
