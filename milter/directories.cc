// SPDX-License-Identifier: Apache-2.0
// One alert when the last server of a profile fails, one all-clear when the first answers again: directory::Profile
// counts; here it is only written.
#include "milter/directories.h"

#include <algorithm>

#include "keystore/client/client.h"
#include "keystore/provider/builtin.h"
#include "milter/events.h"

namespace postern::milter {
namespace {

constexpr std::string_view kInFipsd = "fipsd:";

Event event_of(directory::EventKind kind) {
  switch (kind) {
    case directory::EventKind::server_down:
      return Event::ldap_server_down;
    case directory::EventKind::server_up:
      return Event::ldap_server_up;
    case directory::EventKind::outage:
      return Event::ldap_outage;
    case directory::EventKind::recovery:
      return Event::ldap_recovery;
    case directory::EventKind::bad_answer:
      break;
  }
  return Event::ldap_bad_answer;
}

}  // namespace

void log_directory_event(const directory::Event& happened) {
  base::emit(event(event_of(happened.kind)),
             {{"profile", happened.profile}, {"server", happened.server}, {"reason", happened.reason}});
}

void probe_directories(const Generation& generation, const std::atomic<bool>& stopping) {
  for (const auto& profile : generation.directories) {
    if (stopping) return;
    profile->probe();
  }
}

void Generation::open_directories(const Generation* earlier, const directory::EventSink& sink) {
  directory::KeySource keys;
  const auto in_fipsd = [](const directory::ProfileSettings& profile) { return profile.key.starts_with(kInFipsd); };
  if (std::ranges::any_of(settings.ldap, in_fipsd)) {
    const std::chrono::milliseconds wait = std::chrono::seconds(settings.keys_timeout);
    auto client = std::make_shared<keystore::Client>(keystore::ClientOptions{settings.keys_socket});
    // Without the library the profile's key is not found, and its servers count as down.
    if (auto library = keystore::KeyLibrary::create(client, wait)) ldap_keys = std::move(*library);
    if (ldap_keys != nullptr) keys.library = ldap_keys->context();
    keys.chain = [client = std::move(client), wait](const std::string& key, directory::Deadline deadline) {
      return client->certificate(std::string_view(key).substr(kInFipsd.size()),
                                 std::min(deadline, std::chrono::steady_clock::now() + wait));
    };
  }
  for (const directory::ProfileSettings& profile : settings.ldap) {
    auto made = std::make_shared<directory::Profile>(profile, in_fipsd(profile) ? keys : directory::KeySource{}, sink);
    if (earlier != nullptr) {
      for (const auto& old : earlier->directories) {
        if (old->settings().name == profile.name) made->inherit(*old);
      }
    }
    directories.push_back(std::move(made));
  }
}

}  // namespace postern::milter
