// SPDX-License-Identifier: Apache-2.0
// Error texts and memory BIOs.
#include "engine/x509/openssl.h"

#include <openssl/err.h>

namespace postern::x509 {

std::string openssl_reason() {
  const char* data = nullptr;
  int flags = 0;
  const unsigned long code = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags);
  std::string text;
  if (code == 0) {
    text = "unknown error";
  } else if (const char* reason = ERR_reason_error_string(code); reason != nullptr) {
    text = reason;
  } else {
    text = "error " + std::to_string(ERR_GET_REASON(code));
  }
  if (code != 0 && data != nullptr && (flags & ERR_TXT_STRING) != 0 && *data != '\0') {
    text += std::string(" (") + data + ")";
  }
  ERR_clear_error();
  return text;
}

base::Error openssl_error(base::Cause cause, std::string_view what) {
  return {cause, std::string(what) + ": " + openssl_reason()};
}

Bio memory_bio(std::string_view bytes) { return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))); }

std::string bio_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

}  // namespace postern::x509
