// SPDX-License-Identifier: Apache-2.0
// Error texts for causes and for errno values.
#include "engine/base/error.h"

#include <cerrno>
#include <cstring>

namespace postern::base {

std::string_view cause_name(Cause cause) {
  switch (cause) {
    case Cause::malformed:
      return "malformed";
    case Cause::limit:
      return "limit";
    case Cause::not_found:
      return "not-found";
    case Cause::denied:
      return "denied";
    case Cause::unavailable:
      return "unavailable";
    case Cause::misconfigured:
      return "misconfigured";
    case Cause::internal:
      return "internal";
  }
  return "internal";
}

Error system_error(std::string_view what, int error_number) {
  Cause cause = Cause::internal;
  switch (error_number) {
    case ENOENT:
      cause = Cause::not_found;
      break;
    case EACCES:
    case EPERM:
      cause = Cause::denied;
      break;
    case EAGAIN:
    case EINTR:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case EROFS:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ETIMEDOUT:
      cause = Cause::unavailable;
      break;
    default:
      break;
  }
  char buffer[128];
  return Error(cause, std::string(what) + ": " + strerror_r(error_number, buffer, sizeof buffer));
}

}  // namespace postern::base
