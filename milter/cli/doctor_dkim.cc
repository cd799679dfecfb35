// SPDX-License-Identifier: Apache-2.0
// postern doctor, signing: for every key of every profile that a flow uses, what DNS publishes is compared with what
// fipsd holds. What could not be looked at is said too; it is never taken for good.
#include <chrono>
#include <optional>
#include <set>

#include "engine/auth/dkim_key.h"
#include "engine/auth/dns.h"
#include "milter/cli/doctor.h"

namespace postern::cli {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kOneLookup{5};
constexpr std::chrono::seconds kAllLookups{60};
constexpr uint32_t kRecommendedBits = 2048;  // RFC 8301 section 3.2

class Examination {
 public:
  Examination(const milter::Generation& generation, auth::Resolver& resolver, Findings& findings)
      : generation_(generation), resolver_(resolver), findings_(findings), end_(steady_clock::now() + kAllLookups) {}

  void run() {
    std::set<uint32_t> used;
    for (const milter::Flow& flow : generation_.settings.flows) used.insert(flow.sign.begin(), flow.sign.end());
    for (const uint32_t index : used) {
      const stages::SigningProfile& profile = generation_.settings.dkim[index];
      for (const auth::DkimKey& key : profile.dkim.keys) examine(profile, key);
    }
  }

 private:
  steady_clock::time_point soon() const { return std::min(end_, steady_clock::now() + kOneLookup); }

  void examine(const stages::SigningProfile& profile, const auth::DkimKey& key) {
    const std::string what = "profile " + profile.name + ", key " + key.key;
    const std::optional<crypto::KeyInfo> info = ask_fipsd(key, what);
    if (info && info->type != crypto::KeyType::rsa && info->type != crypto::KeyType::ed25519) {
      findings_.add("dkim-key-type", what + " is of type " + std::string(x509::key_type_name(info->type)));
      return;
    }
    if (info && info->type == crypto::KeyType::rsa && info->bits < kRecommendedBits) {
      findings_.add("dkim-key-weak", what + " has " + std::to_string(info->bits) + " bits");
    }
    const std::string name = key.selector + "._domainkey." + profile.dkim.domain;
    const auto records = resolver_.txt(name, soon());
    if (!records) {
      const bool missing = records.error().cause() == base::Cause::not_found;
      findings_.add(missing ? "dkim-record-missing" : "dkim-record-unknown", name + ": " + records.error().text());
      return;
    }
    if (records->size() > 1) {
      findings_.add("dkim-record-unusable", name + " has " + std::to_string(records->size()) + " TXT records");
      return;
    }
    const auto record = auth::parse_key_record(records->front());
    if (!record) {
      findings_.add("dkim-record-unusable", name + ": " + record.error().text());
      return;
    }
    judge(profile, *record, info, name);
  }

  void judge(const stages::SigningProfile& profile, const auth::KeyRecord& record,
             const std::optional<crypto::KeyInfo>& info, const std::string& name) {
    if (record.key.empty()) {
      findings_.add("dkim-record-revoked", name + " says that the key was revoked");
      return;
    }
    if (info && !auth::holds_key(record, info->spki)) {
      findings_.add("dkim-record-different", name + " publishes another key than " + info->name);
    }
    if (!record.allows_hash("sha256")) findings_.add("dkim-record-unusable", name + " does not allow sha256 (h=)");
    if (!record.allows_service("email")) findings_.add("dkim-record-unusable", name + " is not for mail (s=)");
    const std::string& identity = profile.dkim.identity;
    if (record.strict && !identity.empty() && identity.substr(identity.rfind('@') + 1) != profile.dkim.domain) {
      findings_.add("dkim-record-unusable", name + " does not allow identities below the domain (t=s)");
    }
    if (record.testing) findings_.add("dkim-record-testing", name + " says t=y");
  }

  std::optional<crypto::KeyInfo> ask_fipsd(const auth::DkimKey& key, const std::string& what) {
    if (silent_) return std::nullopt;
    auto info = generation_.keys->describe(key.key, soon());
    if (info) return std::move(*info);
    switch (info.error().cause()) {
      case base::Cause::not_found:
        findings_.add("dkim-key-missing", what + ": " + info.error().text());
        break;
      case base::Cause::unavailable:
        silent_ = true;
        findings_.add("fipsd-unreachable", generation_.settings.keys_socket + ": " + info.error().text());
        break;
      default:
        findings_.add("dkim-key-unusable", what + ": " + info.error().text());
    }
    return std::nullopt;
  }

  const milter::Generation& generation_;
  auth::Resolver& resolver_;
  Findings& findings_;
  const steady_clock::time_point end_;
  bool silent_ = false;  // fipsd did not answer; asking for each key would take its time again
};

}  // namespace

base::Result<void> examine_dkim(const milter::Generation& generation, const std::string& dns, Findings& findings) {
  if (!milter::signs(generation.settings)) return {};
  auto resolver = auth::Resolver::create(dns);
  if (!resolver) return std::unexpected(std::move(resolver.error()));
  Examination(generation, *resolver, findings).run();
  return {};
}

}  // namespace postern::cli
