// SPDX-License-Identifier: Apache-2.0
// Which exit status a cause becomes where a daemon cannot start.
#include "engine/base/exit_status.h"

namespace postern::base {

ExitStatus start_status(const Error& error) {
  switch (error.cause()) {
    case Cause::misconfigured:
    case Cause::malformed:
    case Cause::not_found:
      return kBadConfig;
    case Cause::denied:
      return kDenied;
    case Cause::unavailable:
    case Cause::limit:
      return kUnavailable;
    case Cause::internal:
      break;
  }
  return kSoftware;
}

}  // namespace postern::base
