// SPDX-License-Identifier: Apache-2.0
// fipsconfig status, check and schema.
#include <fmt/format.h>

#include <cstdio>

#include "engine/base/text.h"
#include "engine/config/diagnostics_json.h"
#include "keystore/fipsconfig/session.h"
#include "keystore/settings.h"

namespace postern::keystore::fipsconfig {
namespace {

void line(std::string_view name, const std::string& value) { out(fmt::format("{:<14}{}\n", name, value)); }

std::string joined(const std::string& a, const std::string& b, std::string_view between) {
  if (a.empty() || b.empty()) return a + b;
  return a + std::string(between) + b;
}

std::string plural(uint64_t count, std::string_view word) {
  return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

void print_token(const Json& token) {
  if (!truth_of(token, "present")) {
    line("token", "not there");
    return;
  }
  line("token", joined(joined(text_of(token, "model"), text_of(token, "manufacturer"), ", "),
                       "serial " + text_of(token, "serial") + ", label " + text_of(token, "label"), ", "));
  line("",
       joined("library " + text_of(token, "library"),
              joined("firmware " + text_of(token, "firmware"), "hardware " + text_of(token, "hardware"), ", "), ", "));
}

void print_lists(const Json& status) {
  for (const Json& certificate : member(status, "certificates")) {
    const Json& days = member(certificate, "days");
    const int64_t left = days.is_number_integer() ? days.get<int64_t>() : 0;
    line("certificate",
         fmt::format("{} {} {}{}", text_of(certificate, "name"), left < 0 ? "expired" : "until",
                     text_of(certificate, "not_after"), left < 0 ? std::string() : fmt::format(" ({} days)", left)));
  }
  for (const Json& one : member(status, "not_approved"))
    line("not approved", text_of(one, "name") + ": " + text_of(one, "reason"));
}

std::string names_in(const Json& list) {
  std::string names;
  for (const Json& name : list) {
    const auto* text = name.get_ptr<const std::string*>();
    if (text != nullptr) names = joined(names, shown(*text), ", ");
  }
  return names;
}

void print_self_test(const Json& test) {
  const std::string failed = names_in(member(test, "failed"));
  const std::string passed = fmt::format("{} passed", number_of(test, "passed"));
  line("self-tests", joined(failed.empty() ? passed : passed + ", FAILED: " + failed, text_of(test, "at"), ", "));
}

void print_status(const Json& status) {
  line("state", text_of(status, "state"));
  line("version", text_of(status, "version"));
  line("uptime", base::format_duration(number_of(status, "uptime_seconds")));
  print_token(member(status, "token"));
  line("FIPS policy", joined(text_of(status, "fips"), text_of(status, "validation"), ", "));
  line("officer", fmt::format("{}, {} left", truth_of(status, "officer_session") ? "logged in" : "nobody logged in",
                              plural(number_of(status, "attempts_left"), "attempt")));
  const uint64_t without = number_of(status, "keys_without_backup");
  line("keys", joined(std::to_string(number_of(status, "keys")),
                      without == 0 ? "" : fmt::format("{} of them in no backup", without), ", "));
  print_lists(status);
  if (const Json& test = member(status, "self_test"); !test.empty()) print_self_test(test);
  const Json& audit = member(status, "audit");
  line("audit log", fmt::format("records {} to {}{}", number_of(audit, "first"), number_of(audit, "sequence"),
                                truth_of(audit, "full") ? ", full: no key is used" : ""));
  line("", "last hash " + text_of(audit, "hash"));
  const Json& counters = member(status, "counters");
  if (!counters.is_object()) return;
  for (const auto& [name, value] : counters.items()) {
    if (value.is_number_unsigned()) line("counter", fmt::format("{} {}", shown(name), value.get<uint64_t>()));
  }
}

Answer<int> status(const Common& common, bool json) {
  auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  const auto status = session->status();
  if (!status) return std::unexpected(status.error());
  if (json) {
    out_json(*status);
  } else {
    print_status(*status);
  }
  return kDone;
}

}  // namespace

int run_status(const Common& common, bool json) { return finish(status(common, json)); }

int run_check(const Common& common, const CheckOptions& options) {
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  const auto settings = load_fipsd_settings(common.config, sources, diagnostics);
  if (options.json) {
    out_json({{"ok", settings.has_value()}, {"diagnostics", config::diagnostics_json(sources, diagnostics)}});
    return settings ? kDone : kBadConfig;
  }
  std::fputs(diagnostics.render().c_str(), stderr);
  if (!settings) {
    say(fmt::format("{}: {}", common.config, plural(diagnostics.error_count(), "error")));
    return kBadConfig;
  }
  out(options.dump ? dump_fipsd_settings(*settings) : common.config + ": good\n");
  return kDone;
}

int run_schema() {
  out(fipsd_schema());
  return kDone;
}

}  // namespace postern::keystore::fipsconfig
