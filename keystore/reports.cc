// SPDX-License-Identifier: Apache-2.0
// JSON of fipsd's answers.
#include "keystore/reports.h"

#include <ctime>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "engine/base/text.h"
#include "engine/x509/certificate.h"
#include "keystore/encoding.h"
#include "keystore/events.h"
#include "keystore/vault_internal.h"

namespace postern::keystore {
namespace {

using nlohmann::json;

constexpr int64_t kDay = 86400;
constexpr size_t kStatusRows = 200;  // certificates and not-approved keys named in one status

std::string text_of(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

json uses_list(uint32_t uses) {
  json list = json::array();
  for (const Use use : {Use::dkim, Use::smime, Use::tls_server, Use::tls_client, Use::ldap}) {
    if ((uses & static_cast<uint32_t>(use)) != 0) list.push_back(use_name(use));
  }
  return list;
}

// The first certificate of a chain, as it is listed; null where there is none.
json certificate_of(const KeyEntry& entry) {
  if (entry.chain.empty()) return nullptr;
  const auto chain = x509::read_chain(entry.chain);
  if (!chain || chain->empty()) return {{"error", "the certificate cannot be read"}};
  const x509::Certificate& leaf = chain->front();
  return {{"subject", leaf.subject},
          {"issuer", leaf.issuer},
          {"serial", leaf.serial},
          {"not_before", base::format_time(leaf.not_before)},
          {"not_after", base::format_time(leaf.not_after)},
          {"expires_in_days", (leaf.not_after - std::time(nullptr)) / kDay}};
}

json entry_object(const KeyEntry& entry) {
  json row = {{"name", entry.name},
              {"kind", entry.has_key ? "key" : "certificate"},
              {"created", base::format_time(entry.created)},
              {"certificate", certificate_of(entry)}};
  if (!entry.has_key) return row;
  row["type"] = x509::key_type_name(entry.ref.type);
  row["bits"] = entry.bits;
  row["uses"] = uses_list(entry.uses);
  row["backup"] = entry.backup;
  row["backed_up"] = entry.backed_up;
  row["imported"] = entry.imported;
  row["spki"] = to_base64(entry.ref.spki);
  row["not_approved"] = not_approved(entry.ref.type, entry.bits, entry.uses);
  return row;
}

json token_object(Vault& vault) {
  const bool present = vault.token().present();
  const TokenIdentity identity = vault.token().identity();
  return {{"present", present},
          {"ready", vault.token_ready()},
          {"library", identity.library},
          {"manufacturer", identity.manufacturer},
          {"model", identity.model},
          {"serial", identity.serial},
          {"label", identity.label},
          {"firmware", identity.firmware},
          {"hardware", identity.hardware},
          {"reopened", vault.token().reopened()}};
}

json self_test_object(const SelfTestRound& round) {
  size_t passed = 0;
  json failed = json::array();
  for (const SelfTestResult& result : round.results) {
    if (result.passed) {
      ++passed;
    } else {
      failed.push_back(result.name);
    }
  }
  return {{"at", round.at == 0 ? "" : base::format_time(round.at)}, {"passed", passed}, {"failed", failed}};
}

}  // namespace

std::string status_json(Vault& vault, const Server::Counters& counters, uint64_t uptime_seconds, bool officer_session,
                        bool whole) {
  const auto settings = vault.settings();
  const auto catalogue = vault.catalogue();
  json status = {{"version", POSTERN_VERSION},
                 {"state", condition_name(vault.condition())},
                 {"fips", settings->fips == FipsPolicy::strict ? "strict" : "permissive"},
                 {"token", {{"ready", vault.token_ready()}}},
                 {"uptime_seconds", uptime_seconds}};
  if (!whole) return text_of(status);
  status["token"] = token_object(vault);
  // What is said of validation is the operator's word about the module, never ours about this program.
  status["validation"] =
      settings->certificate_number.empty()
          ? "policy mode, not a validated module"
          : "policy mode; the operator names the module's certificate: " + settings->certificate_number;
  const uint32_t failures = vault.failures();
  status["failures"] = failures;
  status["attempts_left"] = failures >= kMaxFailures ? 0 : kMaxFailures - failures;
  status["officer_session"] = officer_session;
  size_t keys = 0;
  json certificates = json::array();
  json not_approved_keys = json::array();
  for (const auto& [name, entry] : catalogue->entries) {
    if (entry.has_key) ++keys;
    if (!entry.chain.empty() && certificates.size() < kStatusRows) {
      const json leaf = certificate_of(entry);
      if (leaf.contains("not_after")) {
        certificates.push_back({{"name", name}, {"not_after", leaf["not_after"]}, {"days", leaf["expires_in_days"]}});
      }
    }
    if (entry.has_key && not_approved_keys.size() < kStatusRows) {
      const std::string reason = not_approved(entry.ref.type, entry.bits, entry.uses);
      if (!reason.empty()) not_approved_keys.push_back({{"name", name}, {"reason", reason}});
    }
  }
  status["keys"] = keys;
  status["keys_without_backup"] = catalogue->keys_without_backup();
  status["certificates"] = std::move(certificates);
  status["not_approved"] = std::move(not_approved_keys);
  status["distrusted"] = catalogue->distrust;
  status["self_test"] = self_test_object(*vault.self_tests());
  const Audit::Head head = vault.audit().head();
  status["audit"] = {{"sequence", head.sequence}, {"first", head.first}, {"hash", head.hash}, {"full", head.full}};
  status["counters"] = {{"connections", counters.connections},
                        {"requests", counters.requests},
                        {"busy", counters.busy},
                        {"expired", counters.expired},
                        {"denied", counters.denied},
                        {"malformed", counters.malformed},
                        {"open", counters.open},
                        {"queued", counters.queued}};
  std::string text = text_of(status);
  if (text.size() > kMaxChunk) {
    status["distrusted"] = json::array();
    status["certificates"] = json::array();
    text = text_of(status);
  }
  return text;
}

std::string entry_json(const KeyEntry& entry) { return text_of(entry_object(entry)); }

std::string login_json(const Vault& vault, uint32_t failures) {
  json warnings = json::array();
  const size_t without = vault.catalogue()->keys_without_backup();
  if (without != 0) {
    warnings.push_back(std::to_string(without) +
                       (without == 1 ? " key is in no backup: three wrong passwords would destroy it for good"
                                     : " keys are in no backup: three wrong passwords would destroy them for good"));
  }
  if (failures != 0) warnings.push_back(std::to_string(failures) + " wrong passwords were given before this login");
  if (vault.condition() == Condition::error) warnings.push_back("a self-test failed: no key is used");
  if (!vault.token_ready()) warnings.push_back("the token does not answer");
  return text_of({{"state", condition_name(vault.condition())}, {"warnings", warnings}});
}

std::string self_test_json(const SelfTestRound& round) {
  json rows = json::array();
  for (const SelfTestResult& result : round.results) {
    rows.push_back(
        {{"name", result.name}, {"passed", result.passed}, {"approved", result.approved}, {"detail", result.detail}});
  }
  return text_of(rows);
}

std::string backup_json(const Vault::BackupMade& made) {
  return text_of({{"size", made.file.size()}, {"keys", made.keys.size()}, {"left_out", made.left_out}});
}

Status status_for(Vault& vault, const base::Error& error) {
  switch (vault.condition()) {
    case Condition::uninitialised:
      return Status::uninitialised;
    case Condition::zeroising:
    case Condition::zeroised:
      return Status::zeroised;
    case Condition::error:
      if (error.cause() == base::Cause::misconfigured) return Status::error_state;
      break;
    case Condition::operational:
    case Condition::officer:
      break;
  }
  if (error.cause() == base::Cause::unavailable && vault.audit().head().full) return Status::audit_full;
  return from_error(error);
}

void note_refused(const Peer& peer, std::string_view verb, std::string_view key, const base::Error& error) {
  // A client in a loop must not fill the log.
  static std::mutex mutex;
  static std::time_t second = 0;
  static uint32_t said = 0;
  constexpr uint32_t kMostEachSecond = 10;
  {
    const std::lock_guard<std::mutex> guard(mutex);
    const std::time_t now = std::time(nullptr);
    if (now != std::exchange(second, now)) said = 0;
    if (++said > kMostEachSecond) return;
  }
  base::emit(event(Event::request_denied), {{"verb", verb},
                                            {"key", key},
                                            {"socket", peer.class_name},
                                            {"uid", std::to_string(peer.uid)},
                                            {"pid", std::to_string(peer.pid)},
                                            {"reason", error.text()}});
}

}  // namespace postern::keystore
