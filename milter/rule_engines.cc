// SPDX-License-Identifier: Apache-2.0
// Engines see the message as it was received: signatures in it are whole, and what filters added says nothing about the
// sender.
#include "milter/rule_engines.h"

#include <algorithm>
#include <ctime>

#include "engine/mime/header.h"
#include "milter/settings.h"

namespace postern::milter {

void RuleEngines::make_subject() {
  inspect::Subject& subject = subject_.emplace();
  header_ = mime::write_fields(message_.headers.received()) + "\r\n";
  subject.pieces = {header_, message_.received_body()};
  subject.size = header_.size() + message_.received_body().size();
  const message::Connection& connection = message_.connection;
  const message::Envelope& envelope = message_.received_envelope();
  subject.client_ip = connection.client_ip.value_or("");
  subject.client_name = connection.client_name.value_or("");
  subject.helo = connection.helo.value_or("");
  subject.from = envelope.from.value_or("");
  for (const message::Recipient& recipient : envelope.recipients) subject.recipients.push_back(recipient.address);
  subject.user = envelope.auth_user.value_or("");
  subject.queue_id = message_.queue_id;
  subject.hostname = generation_.settings.hostname;
  subject.time = static_cast<int64_t>(std::time(nullptr));
}

// ask asks those engines of the flow that look for viruses, or the others.
void RuleEngines::ask(bool viruses) {
  if (flow == nullptr) return;
  for (const uint32_t index : flow->inspect) {
    if (index >= generation_.engines.size()) continue;
    inspect::Engine& engine = *generation_.engines[index];
    const inspect::EngineSettings& settings = engine.settings();
    if (inspect::looks_for_viruses(settings.type) != viruses) continue;
    if (!subject_) make_subject();
    InspectionReport report;
    report.engine = settings.name;
    report.type = settings.type;
    auto inspected = engine.inspect(*subject_, deadline);
    if (inspected) {
      report.server = std::move(inspected->server);
      report.answer = std::move(inspected->answer);
    } else if (inspected.error().cause() == base::Cause::limit) {
      report.outcome = settings.skip_large ? InspectionReport::Outcome::skipped : InspectionReport::Outcome::too_large;
      report.answer.virus = inspect::VirusVerdict::unscannable;
      report.answer.name = inspected.error().text();
      report.reason = inspected.error().text();
    } else {
      report.outcome = InspectionReport::Outcome::failed;
      report.reason = inspected.error().text();
    }
    reports_.push_back(std::move(report));
  }
}

const rules::VirusFact& RuleEngines::virus() {
  if (virus_) return *virus_;
  virus_.emplace();
  ask(true);
  for (const InspectionReport& report : reports_) {
    if (!inspect::looks_for_viruses(report.type) || report.outcome == InspectionReport::Outcome::skipped) continue;
    virus_->asked = true;
    if (report.outcome == InspectionReport::Outcome::failed) {
      virus_->complete = false;
      continue;
    }
    virus_->gravest = std::max(virus_->gravest.value_or(inspect::VirusVerdict::clean), report.answer.virus);
    if (report.answer.virus == inspect::VirusVerdict::infected) virus_->found.push_back(report.answer.name);
  }
  return *virus_;
}

const rules::SpamFact& RuleEngines::spam() {
  if (spam_) return *spam_;
  spam_.emplace();
  ask(false);
  for (const InspectionReport& report : reports_) {
    if (inspect::looks_for_viruses(report.type) || report.outcome == InspectionReport::Outcome::skipped) continue;
    spam_->asked = true;
    if (report.outcome != InspectionReport::Outcome::answered) {
      // That somebody was away is the graver reason: it may be otherwise when the message comes again.
      const bool failed = report.outcome == InspectionReport::Outcome::failed;
      if (failed || spam_->complete) spam_->reason = failed ? rules::Unknown::engine : rules::Unknown::unscannable;
      spam_->complete = false;
      continue;
    }
    spam_->score = std::max(spam_->score.value_or(report.answer.score), report.answer.score);
  }
  return *spam_;
}

}  // namespace postern::milter
