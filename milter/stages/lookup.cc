// SPDX-License-Identifier: Apache-2.0
// Each query of a chain is asked for all keys that are still open at once.
#include "milter/stages/lookup.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/message/address.h"

namespace postern::stages {

bool in_domains(std::string_view domain, const std::vector<std::string>& domains) {
  if (domains.empty()) return true;
  const std::string wanted = base::lower(domain);
  return std::ranges::any_of(domains, [&](const std::string& each) {
    return each.starts_with('.') ? wanted.size() > each.size() && wanted.ends_with(each) : wanted == each;
  });
}

namespace {

bool covers(std::span<const QueryUse> chain, const QueryUse& use, std::string_view address) {
  const std::string domain = message::domain_of(address);
  if (!use.other_domains) return in_domains(domain, use.domains);
  return std::ranges::none_of(
      chain, [&](const QueryUse& each) { return !each.domains.empty() && in_domains(domain, each.domains); });
}

}  // namespace

bool asked_about(std::span<const QueryUse> chain, std::string_view address) {
  return std::ranges::any_of(chain, [&](const QueryUse& use) { return covers(chain, use, address); });
}

std::span<const std::string> Hit::values(int place) const {
  if (answer == nullptr || place < 0 || static_cast<size_t>(place) >= answer->values.size()) return {};
  return answer->values[static_cast<size_t>(place)];
}

std::vector<base::Result<Hit>> ask_chain(const Profiles& profiles, std::span<const QueryUse> chain,
                                         std::span<const directory::Key> keys, directory::Deadline deadline) {
  std::vector<base::Result<Hit>> hits(keys.size(), Hit{});
  std::vector<size_t> open(keys.size());
  for (size_t i = 0; i < open.size(); ++i) open[i] = i;
  for (const QueryUse& use : chain) {
    std::vector<size_t> asked;
    std::vector<directory::Key> batch;
    for (const size_t i : open) {
      if (!covers(chain, use, keys[i].address)) continue;
      asked.push_back(i);
      batch.push_back(keys[i]);
    }
    if (batch.empty()) continue;
    const auto profile =
        std::ranges::find_if(profiles, [&](const auto& each) { return each->settings().name == use.profile; });
    const directory::QuerySettings* query = profile == profiles.end() ? nullptr : (*profile)->query(use.query);
    if (query == nullptr) {
      for (const size_t i : asked) {
        hits[i] = base::fail(base::Cause::misconfigured, "no query " + use.profile + "." + use.query);
      }
    } else {
      std::vector<directory::Found> answers = (*profile)->find(*query, batch, deadline);
      for (size_t k = 0; k < asked.size(); ++k) {
        if (!answers[k]) {
          hits[asked[k]] = std::unexpected(std::move(answers[k].error()).in(use.profile + "." + use.query));
        } else if ((*answers[k])->found) {
          hits[asked[k]] = Hit{std::move(*answers[k]), &use};
        }
      }
    }
    std::erase_if(open, [&](size_t i) { return !hits[i] || hits[i]->answer != nullptr; });
  }
  return hits;
}

}  // namespace postern::stages
