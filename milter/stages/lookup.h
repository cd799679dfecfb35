// SPDX-License-Identifier: Apache-2.0
// Look-ups: chains of queries to directories, as stages and rules use them. A chain is asked in order until a query has
// an entry; a query that nobody could answer ends it with an error, because what comes later must not decide in its
// place. Thread-safe after load.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/directory/directory.h"

namespace postern::stages {

using Profiles = std::vector<std::shared_ptr<directory::Profile>>;

// Roles are the places of a query's wanted attributes among its answer's values; -1: not wanted.
struct Roles {
  int address = -1;
  int name = -1;
  int host = -1;
  int login = -1;
};

// QueryUse is one query of a chain: which, and for addresses of which domains.
struct QueryUse {
  std::string profile;
  std::string query;
  std::vector<std::string> domains;  // lower case; ".x" is every domain below x; empty: all
  bool other_domains = false;        // for addresses that no other query of the chain names the domain of
  Roles roles;
};

// in_domains tells whether `domain` (any case) is in `domains`; an empty list holds all.
bool in_domains(std::string_view domain, const std::vector<std::string>& domains);

// Hit is what a chain found for one key: nullptr where no query has an entry, and whose answer it is.
struct Hit {
  std::shared_ptr<const directory::Answer> answer;
  const QueryUse* use = nullptr;

  // values returns the values of an attribute by its place in the answer.
  std::span<const std::string> values(int place) const;
};

// asked_about tells whether any query of `chain` is asked about `address`.
bool asked_about(std::span<const QueryUse> chain, std::string_view address);

// ask_chain asks `chain` for each of `keys`; the answers in their order.
std::vector<base::Result<Hit>> ask_chain(const Profiles& profiles, std::span<const QueryUse> chain,
                                         std::span<const directory::Key> keys, directory::Deadline deadline);

}  // namespace postern::stages
