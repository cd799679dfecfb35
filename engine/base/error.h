// SPDX-License-Identifier: Apache-2.0
// Errors are values. A Cause says what the caller can do next, so that one function can turn any error into an SMTP
// answer; the text says what happened, outermost context first. No error path may end in accepting mail.
#pragma once
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace postern::base {

// Cause sorts errors by what the caller can do: `malformed` input is refused for good, a `limit` was hit, `not_found`
// and `denied` are final answers, `unavailable` may work later, `misconfigured` needs the administrator, `internal` is
// a defect of ours.
enum class Cause { malformed, limit, not_found, denied, unavailable, misconfigured, internal };

// cause_name returns the word for `cause` used in logs and JSON.
std::string_view cause_name(Cause cause);

// Error is a cause and a text for people. It owns its text and may be copied freely.
class [[nodiscard]] Error {
 public:
  Error(Cause cause, std::string text) : cause_(cause), text_(std::move(text)) {}

  Cause cause() const { return cause_; }
  const std::string& text() const { return text_; }

  // in puts `context` before the text ("reading x: permission denied") at a border the error crosses.
  Error in(std::string_view context) && {
    text_.insert(0, std::string(context) + ": ");
    return std::move(*this);
  }

 private:
  Cause cause_;
  std::string text_;
};

// Result holds a T or an Error.
template <class T>
using Result = std::expected<T, Error>;

// fail makes the error side of any Result.
inline std::unexpected<Error> fail(Cause cause, std::string text) {
  return std::unexpected<Error>(std::in_place, cause, std::move(text));
}

// system_error makes an Error from an errno value; EACCES, EPERM become denied, ENOENT not_found, resource shortage
// unavailable.
Error system_error(std::string_view what, int error_number);

}  // namespace postern::base
