// SPDX-License-Identifier: Apache-2.0
// Facts: what rules can ask about one transaction, computed once when first asked. A fact that was never delivered or
// could not be computed is unknown, never empty. One object per transaction, used by one thread; the message is edited
// while it lives, and header facts follow the edits.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/message/message.h"
#include "rules/ast.h"
#include "rules/ruleset.h"

namespace postern::rules {

class Facts {
 public:
  // `work_count` is what workqueue-count compares with; `flow` the name of the flow taken.
  Facts(message::Message& message, const RuleSet& rules, std::string_view flow, uint64_t work_count);

  message::Message& message() { return message_; }
  std::string_view flow() const { return flow_; }
  void set_flow(std::string_view flow) { flow_ = flow; }
  uint64_t work_count() const { return work_count_; }

  // header_values returns the decoded values of all fields in header slot `slot` of the rule set, as edited so far.
  const std::vector<std::string>& header_values(uint32_t slot);

  // The last match of a content or regex rule of the running filter, for $MatchedContent.
  std::string matched_content;
  // Names, types of attachments dropped so far, for $dropped_filename and its kin.
  std::vector<std::string> dropped_names;
  std::vector<std::string> dropped_types;
  // The recipient in question during Phase::rcpt; elsewhere all recipients are looked at.
  std::optional<std::string> current_recipient;

 private:
  void refresh_headers();
  message::Message& message_;
  const RuleSet& rules_;
  std::string_view flow_;
  uint64_t work_count_;
  uint32_t header_generation_ = UINT32_MAX;
  std::vector<std::vector<uint32_t>> slot_fields_;
  std::vector<std::optional<std::vector<std::string>>> slot_values_;
};

}  // namespace postern::rules
