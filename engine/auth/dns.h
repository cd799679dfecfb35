// SPDX-License-Identifier: Apache-2.0
// Resolver: TXT look-ups over libunbound with a deadline, for commands that look at what a domain publishes. It asks
// the servers of /etc/resolv.conf or one given; it never walks down from the root by itself. Answers are bounded. One
// thread of libunbound's works for each Resolver; a Resolver is used by one thread at a time.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

struct ub_ctx;

namespace postern::auth {

class Resolver {
 public:
  // create takes "ADDRESS", "ADDRESS:PORT" or "[ADDRESS]:PORT", or nothing for what /etc/resolv.conf says.
  // Cause::malformed where `server` is no address, misconfigured where resolv.conf names no server.
  static base::Result<Resolver> create(std::string_view server);
  Resolver(Resolver&&) noexcept = default;
  Resolver& operator=(Resolver&&) noexcept = default;
  ~Resolver() = default;

  // txt returns the TXT records at `name`, the strings of each put together. Cause::not_found where there is none
  // (NXDOMAIN or no such record), unavailable where no usable answer came by `deadline`.
  base::Result<std::vector<std::string>> txt(std::string_view name, std::chrono::steady_clock::time_point deadline);

 private:
  struct Free {
    void operator()(ub_ctx* context) const;
  };
  explicit Resolver(std::unique_ptr<ub_ctx, Free> context) : context_(std::move(context)) {}
  std::unique_ptr<ub_ctx, Free> context_;
};

// txt_strings reads the data of one TXT record: its character-strings put together. Cause::malformed where a length
// passes the end.
base::Result<std::string> txt_strings(std::string_view data);

}  // namespace postern::auth
