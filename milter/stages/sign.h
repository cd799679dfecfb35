// SPDX-License-Identifier: Apache-2.0
// Sign: the last stage of a message. The profiles that the message's flow names and that fit its author sign it; the
// keys are fipsd's. The stage edits the message and says what it did; it knows neither the MTA nor the log. A profile
// that should sign and cannot is never passed over in silence: the message is deferred unless the profile says
// otherwise. RFC 6376, RFC 5322 section 3.6.2.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/auth/dkim_sign.h"
#include "engine/crypto/key_ops.h"
#include "engine/message/message.h"

namespace postern::stages {

// Align says whose domain must be the profile's, or one below it: the author's (From, or Sender where From names
// several), that of Sender where there is one, or nobody's.
enum class Align : uint8_t { from, sender, any };
std::string_view align_name(Align align);

// WhenUnavailable says what becomes of a message that a profile should sign and cannot.
enum class WhenUnavailable : uint8_t { defer, unsigned_, reject };
std::string_view when_unavailable_name(WhenUnavailable what);

// SigningProfile is one entry of `dkim` in postern.yaml.
struct SigningProfile {
  std::string name;
  auth::DkimProfile dkim;                             // the types of its keys are in `types`
  std::vector<std::optional<crypto::KeyType>> types;  // as written; unset: fipsd is asked
  std::vector<std::string> users;                     // lower case: address, @domain, or name of a login; empty: all
  Align align = Align::from;
  WhenUnavailable when_unavailable = WhenUnavailable::defer;
  bool encode_eight_bit = true;
};

// ProfileReport says what one profile did. `selectors` are those it signed with.
struct ProfileReport {
  enum class Outcome : uint8_t { signed_, passed_over, failed };
  std::string_view profile;  // its name; lives as long as the Signer
  Outcome outcome = Outcome::passed_over;
  std::string detail;                         // domain and selectors, or why not
  base::Cause cause = base::Cause::internal;  // of a failure
  WhenUnavailable consequence = WhenUnavailable::defer;
};

// SignReport is the outcome of the stage. `decision` is the strictest consequence of the failures; unset: the message
// goes on.
struct SignReport {
  std::vector<ProfileReport> profiles;
  std::optional<WhenUnavailable> decision;  // defer or reject
  uint32_t recoded_parts = 0;
  std::string left;               // why some of the body may still be changed on its way
  bool eight_bit_header = false;  // a header field has bytes that are not ASCII
};

// Author is whom a message is from, as far as signing goes.
struct Author {
  std::string address;  // lower case, domain in A-labels; empty: nobody can be named
  std::string why;      // then
};
Author find_author(const mime::HeaderList& headers, Align align);

// fits tells why `profile` does not sign for `author` and `user` ("" when it does).
std::string why_not(const SigningProfile& profile, const Author& author, const std::optional<std::string>& user);

// Signer holds the profiles of one configuration and what was learnt about their keys. Thread-safe.
class Signer {
 public:
  // `sendmail`: the MTA writes lists of addresses anew behind us, so they are put into its form before they are signed.
  Signer(std::vector<SigningProfile> profiles, std::shared_ptr<crypto::KeyOps> keys, std::chrono::milliseconds timeout,
         bool sendmail);
  ~Signer();

  const std::vector<SigningProfile>& profiles() const { return profiles_; }

  // run signs `message` with those of the `chosen` profiles (indexes) that fit it. When the report has a decision, the
  // message's header has no new signature. `now` is Unix time.
  SignReport run(message::Message& message, std::span<const uint32_t> chosen, int64_t now) const;

 private:
  base::Result<auth::DkimProfile> with_types(uint32_t index, crypto::Deadline deadline) const;
  void forget_types(uint32_t index) const;

  const std::vector<SigningProfile> profiles_;
  const std::shared_ptr<crypto::KeyOps> keys_;
  const std::chrono::milliseconds timeout_;
  const bool sendmail_;
  // KeyType of each key of each profile as fipsd told it; 0: not asked yet.
  std::vector<std::unique_ptr<std::atomic<uint8_t>[]>> known_types_;
};

}  // namespace postern::stages
