// SPDX-License-Identifier: Apache-2.0
// One request on a handle of its own: alerts are rare, and a connection that was kept for hours is mostly a dead one.
#include "engine/submit/webhook.h"

#include "engine/base/text.h"
#include "engine/submit/curl.h"

namespace postern::submit {
namespace {

constexpr size_t kLongestUrl = 2000;

size_t ignore(char*, size_t size, size_t count, void*) { return size * count; }

}  // namespace

bool is_webhook_url(std::string_view url) {
  const bool scheme = url.starts_with("https://") || url.starts_with("http://");
  if (!scheme || url.size() > kLongestUrl) return false;
  for (const char c : url) {
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7F) return false;
  }
  const base::Handle<CURLU, curl_url_cleanup> parsed(curl_url());
  return parsed && curl_url_set(parsed.get(), CURLUPART_URL, std::string(url).c_str(), 0) == CURLUE_OK;
}

base::Result<void> post_json(const Webhook& hook, std::string_view json, const std::atomic<bool>& stop) {
  const CurlHandle handle = new_curl();
  if (handle == nullptr) return base::fail(base::Cause::unavailable, "libcurl cannot be used");
  char error[CURL_ERROR_SIZE];
  prepare_curl(handle.get(), hook.url, "http,https", hook.timeout, stop, error);
  CurlList headers(curl_slist_append(nullptr, "Content-Type: application/json"));
  if (headers == nullptr) return base::fail(base::Cause::unavailable, "out of memory");
  curl_easy_setopt(handle.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(handle.get(), CURLOPT_POST, 1L);
  curl_easy_setopt(handle.get(), CURLOPT_POSTFIELDS, json.data());
  curl_easy_setopt(handle.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(json.size()));
  curl_easy_setopt(handle.get(), CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(handle.get(), CURLOPT_WRITEFUNCTION, ignore);
  if (!hook.ca_file.empty()) curl_easy_setopt(handle.get(), CURLOPT_CAINFO, hook.ca_file.c_str());
  const CURLcode code = curl_easy_perform(handle.get());
  if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL) {
    return base::fail(base::Cause::misconfigured, curl_failure(code, error));
  }
  if (code != CURLE_OK) return base::fail(base::Cause::unavailable, curl_failure(code, error));
  long status = 0;
  curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status / 100 != 2) return base::fail(base::Cause::unavailable, "HTTP status " + std::to_string(status));
  return {};
}

}  // namespace postern::submit
