// SPDX-License-Identifier: Apache-2.0
// Mark: how mail that we submit ourselves is known again when it comes back through the MTA: a header field that only
// who has this machine's secret can write. It is bound to one envelope and to a short time, because a field that got
// out by a mistake in the MTA's configuration must be worth nothing. HMAC-SHA256, RFC 2104.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace postern::submit {

// kMarkHeader is the field's name; every such field that arrives is taken out.
inline constexpr std::string_view kMarkHeader = "X-Postern-Mark";
// kMarkSeconds is how old a mark may be, and how far in the future; one is made for each attempt.
inline constexpr int64_t kMarkSeconds = 900;

// Mark is what it says: why the mail was made, its MID, when it was submitted, the flow whose filters it takes ("":
// none), and the host it should go to ("": the usual one).
struct Mark {
  std::string kind;
  uint64_t mid = 0;
  int64_t time = 0;
  std::string flow;
  std::string host;
};

// MarkKey is the secret. Immutable; used from any thread.
class MarkKey {
 public:
  static constexpr size_t kBytes = 32;

  // open reads the secret at `path`, which must be the caller's own and closed to others, or makes it: 32 random bytes,
  // mode 0600, on disk before it is used. Two processes that make it at once get the same.
  static base::Result<MarkKey> open(const std::string& path);
  explicit MarkKey(std::string secret) : secret_(std::move(secret)) {}

  // make returns the field's value for a mail with this envelope.
  std::string make(const Mark& mark, std::string_view from, const std::vector<std::string>& recipients) const;
  // verify returns what `value` says when it is ours, for this envelope and this time; else Cause::denied, or malformed
  // when it is no mark at all.
  base::Result<Mark> verify(std::string_view value, std::string_view from, const std::vector<std::string>& recipients,
                            int64_t now) const;

 private:
  std::string digest(std::string_view said, std::string_view from, const std::vector<std::string>& recipients) const;
  std::string secret_;
};

}  // namespace postern::submit
