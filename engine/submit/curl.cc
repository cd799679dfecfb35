// SPDX-License-Identifier: Apache-2.0
// Common options of all transfers. curl_global_init is not thread-safe, a function's static is.
#include "engine/submit/curl.h"

#include "engine/base/text.h"

namespace postern::submit {
namespace {

constexpr long kConnectSeconds = 10;

int watch(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::atomic<bool>*>(stop)->load(std::memory_order_relaxed) ? 1 : 0;
}

}  // namespace

CurlHandle new_curl() {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  return CurlHandle(ready == CURLE_OK ? curl_easy_init() : nullptr);
}

void prepare_curl(CURL* handle, const std::string& url, const char* protocols, uint64_t timeout_seconds,
                  const std::atomic<bool>& stop, char* error) {
  curl_easy_reset(handle);
  error[0] = '\0';
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, protocols);
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_PROXY, "");
  curl_easy_setopt(handle, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(handle, CURLOPT_TIMEOUT, static_cast<long>(timeout_seconds));
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, watch);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, const_cast<std::atomic<bool>*>(&stop));
}

std::string curl_failure(CURLcode code, const char* error) {
  return base::one_line(error[0] != '\0' ? error : curl_easy_strerror(code));
}

}  // namespace postern::submit
