// SPDX-License-Identifier: Apache-2.0
// Webhook: posts a small JSON text to a URL by libcurl. No redirection is followed and nothing of the answer is kept.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace postern::submit {

struct Webhook {
  std::string url;      // http:// or https://
  std::string ca_file;  // empty: the system's
  uint64_t timeout = 10;
  bool operator==(const Webhook&) const = default;
};

// post_json succeeds on an answer of 2xx; every failure is Cause::unavailable, but a URL that cannot be used, which is
// misconfigured.
base::Result<void> post_json(const Webhook& hook, std::string_view json, const std::atomic<bool>& stop);

// is_webhook_url tells whether `url` is one that post_json can use.
bool is_webhook_url(std::string_view url);

}  // namespace postern::submit
