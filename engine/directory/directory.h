// SPDX-License-Identifier: Apache-2.0
// Directory: questions to LDAP servers. A Profile is one directory: its servers, how to speak to them, its cache. A
// question ends with an answer (an entry, or that there is none) or with an error; that nobody could be asked is never
// the answer "there is none". Servers are asked in their order (failover) or in turn (load-balance); one that does not
// answer is left alone for a while that doubles up to `retry`, and is asked first again as soon as it answers. A
// Profile is thread-safe; each connection is used by one thread at a time.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/directory/ldap_filter.h"

struct ossl_lib_ctx_st;

namespace postern::directory {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

// ServerUrl is where one server is.
struct ServerUrl {
  enum class Kind : uint8_t { ldap, ldaps, ldapi } kind = Kind::ldap;
  std::string text;  // as written
  std::string host;  // name or address; the socket's path for ldapi
  uint16_t port = 389;
};

// read_server_url reads ldap://HOST[:PORT], ldaps://… or ldapi://PATH (with %2F for '/'); malformed otherwise.
base::Result<ServerUrl> read_server_url(std::string_view text);

enum class Scope : uint8_t { base, one, subtree };

// QuerySettings is one named question.
struct QuerySettings {
  std::string name;
  QueryTemplate filter;
  std::optional<QueryTemplate> base;  // unset: the profile's
  Scope scope = Scope::subtree;
  std::vector<std::string> attributes;  // wanted of the entry, in this order
  std::string dn_query;                 // name of the query that finds what {dn} stands for
  bool any_entry = false;               // the first entry is enough; otherwise a second one is an error
};

struct ProfileSettings {
  std::string name;
  std::vector<ServerUrl> servers;
  bool load_balance = false;
  std::string base;
  bool starttls = true;               // on ldap:// servers
  std::string trusted;                // PEM file; empty: the system's
  std::string certificate;            // PEM file; empty: that of `key` where there is one, else none is shown
  std::string key;                    // PEM file or "fipsd:NAME"
  std::vector<std::string> distrust;  // as in x509/distrust.h
  std::string bind_dn;                // simple bind; empty: anonymous, or as `sasl_external` says
  std::string secret_file;            // holds the bind password
  bool sasl_external = false;
  uint32_t connections = 8;                         // to each server
  std::chrono::milliseconds connect_timeout{3000};  // name look-up, connection, TLS and bind together
  std::chrono::milliseconds timeout{5000};          // of one question to one server
  std::chrono::milliseconds retry{30000};           // longest time a server that failed is left alone
  std::chrono::milliseconds idle{300'000};          // a connection unused for this long is closed
  uint64_t answer_bytes = 1u << 20;                 // largest answer to one question
  uint32_t values = 100;                            // most values of one attribute
  bool ignore_references = false;                   // true: what lies in another directory counts as not there
  uint32_t cache_entries = 10'000;                  // 0: no cache
  std::chrono::milliseconds cache_ttl{900'000};
  std::chrono::milliseconds negative_ttl{60'000};
  std::vector<QuerySettings> queries;
};

// Answer is what a directory said: whether there is an entry, its name and the values of the wanted attributes, in the
// query's order.
struct Answer {
  bool found = false;
  std::string dn;
  std::vector<std::vector<std::string>> values;
};
using Found = base::Result<std::shared_ptr<const Answer>>;

// Key is what a question is about. Local part and domain are those of the address.
struct Key {
  std::string address;
  std::string group;
  std::string sender;
};

// Event is what an administrator wants to know. `outage` comes once when no server of a profile answers, `recovery`
// once when one does again.
enum class EventKind : uint8_t { server_down, server_up, outage, recovery, bad_answer };
struct Event {
  EventKind kind;
  std::string_view profile;
  std::string_view server;  // as written; empty where all are meant
  std::string_view reason;
};
using EventSink = std::function<void(const Event&)>;

// ServerStatus and ProfileStatus are for people and metrics.
struct ServerStatus {
  std::string url;
  bool up = true;
  bool tried = false;
  std::string reason;  // why it is down
  uint32_t connections = 0;
  uint64_t questions = 0;
  uint64_t failures = 0;
};
struct ProfileStatus {
  std::string name;
  bool outage = false;
  std::vector<ServerStatus> servers;
  uint64_t hits = 0;    // answered by the cache
  uint64_t misses = 0;  // asked of a server
  uint64_t failures = 0;
  uint32_t cached = 0;
};

// KeySource is where keys are that stand in no file: the library whose providers know them (see crypto::TlsOptions),
// and what gives the certificates that belong to them, in PEM, by the key's name.
struct KeySource {
  ossl_lib_ctx_st* library = nullptr;
  std::function<base::Result<std::string>(const std::string& key, Deadline deadline)> chain;
};

class Profile {
 public:
  // What `keys` refers to must outlive the profile; `sink` is called on the asking threads, outside of locks.
  Profile(ProfileSettings settings, KeySource keys, EventSink sink);
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;
  ~Profile();

  const ProfileSettings& settings() const { return settings_; }
  const QuerySettings* query(std::string_view name) const;

  // find asks `query` for every key and returns the answers in their order; questions that the cache cannot answer go
  // over one connection together. Errors: unavailable (no server answered before `deadline`), malformed (more than one
  // entry, an answer past the limits, a reference to another directory), misconfigured.
  std::vector<Found> find(const QuerySettings& query, std::span<const Key> keys, Deadline deadline);
  Found find(const QuerySettings& query, const Key& key, Deadline deadline);

  // probe connects to those servers that are due for another try; status() then knows. Returns when the next one is.
  Clock::time_point probe();
  // inherit takes over what is known about the servers of an earlier load of the same profile, so that a reload in an
  // outage does not tell of it again.
  void inherit(const Profile& earlier);
  ProfileStatus status() const;

 private:
  struct State;
  ProfileSettings settings_;
  std::unique_ptr<State> state_;
};

}  // namespace postern::directory
