// SPDX-License-Identifier: Apache-2.0
// postern ldap test: one query, asked with the configuration named, as the daemon would ask it. postern ldap status:
// what the running daemon knows about its directories.
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/base/text.h"
#include "milter/cli/commands.h"
#include "milter/cli/control_client.h"
#include "milter/cli/load.h"

namespace postern::cli {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kWait{60};

std::string dump(const json& value) { return value.dump(2, ' ', false, json::error_handler_t::replace); }

void print_answer(const directory::QuerySettings& query, const directory::Answer& answer) {
  if (!answer.found) {
    std::puts("no entry");
    return;
  }
  std::printf("dn: %s\n", base::escape_for_log(answer.dn, 1000).c_str());
  for (size_t i = 0; i < query.attributes.size() && i < answer.values.size(); ++i) {
    for (const std::string& value : answer.values[i]) {
      std::printf("%s: %s\n", query.attributes[i].c_str(), base::escape_for_log(value, 1000).c_str());
    }
  }
}

uint64_t number(const json& object, const char* key) { return object.value(key, uint64_t{0}); }

}  // namespace

int run_ldap_test(const LdapTestOptions& options) {
  const std::unique_ptr<Loaded> loaded = load(options.config, false);
  if (loaded->generation == nullptr) return kBadConfig;
  loaded->generation->open_directories(nullptr, nullptr);
  const size_t dot = options.query.find('.');
  const std::string name = options.query.substr(0, dot);
  for (const auto& profile : loaded->generation->directories) {
    if (profile->settings().name != name || dot == std::string::npos) continue;
    const directory::QuerySettings* query = profile->query(std::string_view(options.query).substr(dot + 1));
    if (query == nullptr) break;
    const directory::Found found =
        profile->find(*query, {options.address, options.group, options.sender}, directory::Clock::now() + kWait);
    if (!found) {
      std::fprintf(stderr, "postern ldap test: %s\n", found.error().text().c_str());
      return found.error().cause() == base::Cause::misconfigured ? kBadConfig : kUnavailable;
    }
    if (options.json) {
      json out = {{"found", (*found)->found}, {"dn", (*found)->dn}, {"attributes", json::object()}};
      for (size_t i = 0; i < query->attributes.size() && i < (*found)->values.size(); ++i) {
        out["attributes"][query->attributes[i]] = (*found)->values[i];
      }
      std::puts(dump(out).c_str());
    } else {
      print_answer(*query, **found);
    }
    return (*found)->found ? kDone : kNo;
  }
  std::fprintf(stderr, "postern ldap test: there is no query %s\n", base::escape_for_log(options.query, 200).c_str());
  return kUsage;
}

int run_ldap_status(const ControlOptions& options) {
  int status = kDone;
  const json answer = ask_daemon(options, "status", status);
  if (status != kDone) return status;
  const json profiles = answer.value("ldap", json::array());
  bool all = true;
  for (const json& profile : profiles) all = all && !profile.value("outage", true);
  if (options.json) {
    std::puts(dump(profiles).c_str());
    return all ? kDone : kNo;
  }
  for (const json& profile : profiles) {
    std::printf("%s: %s; %llu from the cache, %llu asked, %llu without an answer, %llu kept\n",
                profile.value("name", "?").c_str(), profile.value("outage", true) ? "NO SERVER ANSWERS" : "good",
                static_cast<unsigned long long>(number(profile, "hits")),
                static_cast<unsigned long long>(number(profile, "misses")),
                static_cast<unsigned long long>(number(profile, "failures")),
                static_cast<unsigned long long>(number(profile, "cached")));
    for (const json& server : profile.value("servers", json::array())) {
      const std::string reason = server.value("reason", "");
      std::printf("  %-40s %s; %llu connections, %llu questions, %llu failures%s%s\n", server.value("url", "?").c_str(),
                  server.value("up", false) ? "up" : "DOWN",
                  static_cast<unsigned long long>(number(server, "connections")),
                  static_cast<unsigned long long>(number(server, "questions")),
                  static_cast<unsigned long long>(number(server, "failures")), reason.empty() ? "" : ": ",
                  base::escape_for_log(reason, 300).c_str());
    }
  }
  if (profiles.empty()) std::puts("the running daemon has no LDAP profiles");
  return all ? kDone : kNo;
}

}  // namespace postern::cli
