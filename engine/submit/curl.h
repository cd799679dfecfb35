// SPDX-License-Identifier: Apache-2.0
// libcurl's handles, made ready for use in a daemon: no signals, no proxies or files of the environment, time-outs,
// stopping from another thread. Private to this folder.
#pragma once
#include <curl/curl.h>

#include <atomic>
#include <string>

#include "engine/base/error.h"
#include "engine/base/handle.h"

namespace postern::submit {

using CurlHandle = base::Handle<CURL, curl_easy_cleanup>;
using CurlList = base::Handle<curl_slist, curl_slist_free_all>;

// new_curl initialises libcurl once and returns an easy handle.
CurlHandle new_curl();

// prepare_curl resets `handle`, keeping its connections, and sets what holds for every transfer. `stop` and `error`
// (CURL_ERROR_SIZE bytes) must outlive it.
void prepare_curl(CURL* handle, const std::string& url, const char* protocols, uint64_t timeout_seconds,
                  const std::atomic<bool>& stop, char* error);

// curl_failure is what went wrong, in words.
std::string curl_failure(CURLcode code, const char* error);

}  // namespace postern::submit
