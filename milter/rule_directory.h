// SPDX-License-Identifier: Apache-2.0
// RuleDirectory: the directories of a configuration as rules ask them. One object per transaction, one thread.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "milter/settings.h"
#include "rules/facts.h"

namespace postern::milter {

// RuleDirectory answers the rules of one transaction. `generation` must outlive it.
class RuleDirectory : public rules::Directory {
 public:
  explicit RuleDirectory(const Generation& generation) : generation_(generation) {}
  std::vector<base::Result<bool>> in_group(std::span<const std::string> addresses, const std::string& group) override;
  base::Result<bool> is_login(const std::string& query, const std::string& address, const std::string& login) override;

  // deadline is when the phase that runs must have its answers.
  directory::Deadline deadline;

 private:
  const Generation& generation_;
};

}  // namespace postern::milter
