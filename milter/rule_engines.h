// SPDX-License-Identifier: Apache-2.0
// RuleEngines: what rules ask external engines about one message. The engines of the flow are asked when the first rule
// wants to know, each once; what they said is kept for the log and for traces. One transaction, one thread.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/inspect/engine.h"
#include "engine/message/message.h"
#include "rules/facts.h"

namespace postern::milter {

struct Flow;
struct Generation;

// InspectionReport is what one engine said of the message, or why it said nothing. The views are of the generation.
struct InspectionReport {
  enum class Outcome : uint8_t { answered, failed, too_large, skipped } outcome = Outcome::answered;
  std::string_view engine;
  inspect::Type type = inspect::Type::clamd;
  std::string server;      // that answered
  inspect::Answer answer;  // also for too_large
  std::string reason;      // why there is no answer; for all but answered
};

class RuleEngines : public rules::Engines {
 public:
  RuleEngines(const Generation& generation, message::Message& message) : generation_(generation), message_(message) {}

  const rules::VirusFact& virus() override;
  const rules::SpamFact& spam() override;

  // The flow whose engines are asked, what we are called, and until when they may take: set before the first question.
  const Flow* flow = nullptr;
  std::chrono::steady_clock::time_point deadline{};

  // reports are in the order in which the engines were asked.
  const std::vector<InspectionReport>& reports() const { return reports_; }

 private:
  void ask(bool viruses);
  void make_subject();

  const Generation& generation_;
  message::Message& message_;
  std::optional<inspect::Subject> subject_;
  std::string header_;
  std::optional<rules::VirusFact> virus_;
  std::optional<rules::SpamFact> spam_;
  std::vector<InspectionReport> reports_;
};

}  // namespace postern::milter
