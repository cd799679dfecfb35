// SPDX-License-Identifier: Apache-2.0
// postern trace: one message through every stage as the daemon would run it, with any configuration. Drives the
// daemon's own Transaction; nothing is sent or stored.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/decimal.h"
#include "engine/base/handle.h"
#include "engine/base/io.h"
#include "engine/base/text.h"
#include "engine/message/address.h"
#include "engine/mime/parser.h"
#include "milter/cli/commands.h"
#include "milter/cli/input.h"
#include "milter/cli/load.h"
#include "milter/pipeline.h"
#include "milter/scan_rows.h"
#include "milter/scanning.h"

namespace postern::cli {

namespace {

using nlohmann::json;

// What an MTA would hand over for a file with Unix line ends; a file that has any CRLF is taken as it is.
std::string with_crlf(std::string_view body) {
  std::string out;
  out.reserve(body.size() + body.size() / 32);
  for (const char c : body) {
    if (c == '\n') out += '\r';
    out += c;
  }
  return out;
}

std::string with_lf_folds(std::string_view value) {
  std::string out;
  out.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\r' && i + 1 < value.size() && value[i + 1] == '\n') continue;
    out += value[i];
  }
  return out;
}

std::string first_address(const mime::HeaderList& header, std::string_view name) {
  const size_t index = header.find(name);
  if (index == mime::HeaderList::npos) return {};
  const message::AddressList list = message::parse_address_list(header[index].value, 1);
  return list.mailboxes.empty() ? std::string() : list.mailboxes.front().addr_spec();
}

void add_addresses(const mime::HeaderList& header, std::string_view name, size_t most, std::vector<std::string>& out) {
  for (size_t index = header.find(name); index != mime::HeaderList::npos; index = header.find(name, index + 1)) {
    for (const message::Mailbox& mailbox : message::parse_address_list(header[index].value, most).mailboxes) {
      if (out.size() < most && !mailbox.local.empty()) out.push_back(mailbox.addr_spec());
    }
  }
}

std::string_view truth_name(const rules::Truth& truth) {
  if (truth.is_unknown()) return "unknown";
  return truth.is_yes() ? "true" : "false";
}

// Fills what the command line says about the client. What it does not say was not delivered, as with a local
// submission.
void describe_client(const TraceOptions& options, const milter::Settings& settings, message::Message& message) {
  message::Connection& connection = message.connection;
  if (!options.client_ip.empty()) connection.client_ip = options.client_ip;
  if (!options.client_name.empty()) {
    connection.client_name = options.client_name;
  } else if (!options.client_ip.empty()) {
    connection.client_name = "[" + options.client_ip + "]";
  }
  if (!options.helo.empty()) {
    connection.helo = options.helo;
  } else if (connection.client_name) {
    connection.helo = connection.client_name;
  }
  if (!options.daemon_name.empty()) connection.daemon_name = options.daemon_name;
  connection.mta_name = settings.hostname;
  if (!options.auth.empty()) {
    message.envelope.auth_user = options.auth;
    message.envelope.auth_mechanism = "PLAIN";
  }
}

struct Traced {
  milter::Decision decision;
  message::ChangeList changes;
  std::vector<milter::StageReport> stages;
  bool finished = false;  // false: decided before end of message
};

std::string phase_detail(const milter::Decision& decision) {
  return decision.verdict == milter::Verdict::proceed ? "passed" : "decided by " + decision.decided_by;
}

Traced drive(milter::Transaction& transaction, const std::vector<std::string>& recipients,
             const mime::HeaderList& header, std::string_view body) {
  Traced traced;
  const auto step = [&](std::string name, milter::Decision decision) {
    const bool go_on = decision.verdict == milter::Verdict::proceed;
    traced.stages.push_back({std::move(name), go_on ? "done" : std::string(milter::verdict_name(decision.verdict)),
                             phase_detail(decision)});
    if (!go_on) traced.decision = std::move(decision);
    return go_on;
  };
  if (!step("connect", transaction.connect()) || !step("helo", transaction.helo()) ||
      !step("mail", transaction.mail())) {
    return traced;
  }
  // A refused recipient is not part of the message; the message goes on when any is left.
  milter::Decision refused;
  for (const std::string& address : recipients) {
    milter::Decision decision = transaction.recipient({address, {}});
    if (decision.verdict == milter::Verdict::proceed) continue;
    traced.stages.push_back(
        {"rcpt", std::string(milter::verdict_name(decision.verdict)), "<" + address + "> by " + decision.decided_by});
    const bool one_recipient_only =
        decision.verdict == milter::Verdict::reject || decision.verdict == milter::Verdict::tempfail;
    refused = std::move(decision);
    if (!one_recipient_only) {
      traced.decision = std::move(refused);
      return traced;
    }
  }
  if (transaction.message().envelope.recipients.empty() && refused.verdict != milter::Verdict::proceed) {
    traced.decision = std::move(refused);
    return traced;
  }
  traced.stages.push_back(
      {"rcpt", "done", std::to_string(transaction.message().envelope.recipients.size()) + " accepted"});
  if (!step("data", transaction.data())) return traced;
  for (const mime::HeaderField& field : header) transaction.header(field.name, with_lf_folds(field.value));
  transaction.end_of_header();
  transaction.body(body);
  milter::Finished finished = transaction.finish(true);
  traced.decision = std::move(finished.decision);
  traced.changes = std::move(finished.changes);
  for (milter::StageReport& report : finished.stages) traced.stages.push_back(std::move(report));
  traced.finished = true;
  return traced;
}

// The name of the verdict in the output: what reached the end undecided is accepted.
std::string_view final_name(const Traced& traced) {
  return traced.decision.verdict == milter::Verdict::proceed ? "accept" : milter::verdict_name(traced.decision.verdict);
}

// The reply the client sees when the verdict has one and no filter gave its own.
rules::Reply effective_reply(const milter::Decision& decision) {
  rules::Reply reply = decision.reply;
  if (reply.code != 0) return reply;
  if (decision.verdict == milter::Verdict::reject) return {550, "5.7.1", "Command rejected"};
  if (decision.verdict == milter::Verdict::tempfail) return {451, "4.7.1", "Service unavailable - try again later"};
  return reply;
}

std::string_view outcome_name(milter::InspectionReport::Outcome outcome) {
  constexpr std::string_view kNames[] = {"answered", "failed", "too-large", "skipped"};
  return kNames[static_cast<size_t>(outcome)];
}

// What every engine said that was asked. Scores are numbers with decimals.
json engines_json(const std::vector<milter::InspectionReport>& reports) {
  json list = json::array();
  for (const milter::InspectionReport& report : reports) {
    json entry = {{"engine", report.engine},
                  {"type", inspect::type_name(report.type)},
                  {"outcome", outcome_name(report.outcome)},
                  {"server", report.server},
                  {"reason", report.reason}};
    if (report.outcome == milter::InspectionReport::Outcome::answered) {
      if (inspect::looks_for_viruses(report.type)) {
        entry["verdict"] = inspect::virus_verdict_name(report.answer.virus);
        entry["found"] = report.answer.name;
      } else {
        entry["score"] = static_cast<double>(report.answer.score) / 1000;
        entry["required"] = static_cast<double>(report.answer.required) / 1000;
        entry["symbols"] = report.answer.symbols;
      }
    }
    list.push_back(std::move(entry));
  }
  return list;
}

json trace_json(milter::Transaction& transaction, const Traced& traced) {
  json out;
  out["verdict"] = final_name(traced);
  const rules::Reply reply = effective_reply(traced.decision);
  out["reply"] =
      reply.code == 0 ? json(nullptr) : json{{"code", reply.code}, {"enhanced", reply.enhanced}, {"text", reply.text}};
  out["decided_by"] = traced.decision.decided_by;
  out["flow"] = transaction.flow() != nullptr ? json(transaction.flow()->name) : json(nullptr);
  out["stages"] = json::array();
  for (const milter::StageReport& stage : traced.stages) {
    out["stages"].push_back({{"name", stage.name}, {"outcome", stage.outcome}, {"detail", stage.detail}});
  }
  out["filters"] = json::array();
  for (const rules::FilterReport& report : transaction.outcome().reports) {
    out["filters"].push_back({{"name", report.filter->name},
                              {"where", report.filter->file + ":" + std::to_string(report.filter->line)},
                              {"phase", rules::phase_name(report.filter->phase)},
                              {"result", truth_name(report.result)},
                              {"reason", report.result.is_unknown() ? rules::unknown_name(report.result.reason) : ""},
                              {"observed", report.observed},
                              {"detail", report.detail},
                              {"actions", report.actions}});
  }
  out["changes"] = json::array();
  for (const message::Change& change : traced.changes.changes) {
    json entry = {
        {"op", message::op_name(change.op)}, {"name", change.name}, {"index", change.index}, {"value", change.value}};
    if (change.op == message::Op::replace_body) entry["bytes"] = traced.changes.body.size();
    out["changes"].push_back(std::move(entry));
  }
  const message::Envelope& envelope = transaction.message().envelope;
  json to = json::array();
  for (const message::Recipient& recipient : envelope.recipients) to.push_back(recipient.address);
  out["envelope"] = {{"from", envelope.from.value_or("")}, {"to", std::move(to)}};
  out["quarantines"] = transaction.outcome().quarantines;
  out["tags"] = transaction.outcome().tags;
  out["log_entries"] = transaction.outcome().log_entries;
  out["mails"] = json::array();
  for (const rules::GeneratedMail& mail : transaction.outcome().mails) {
    out["mails"].push_back({{"kind", rules::mail_kind_name(mail.kind)},
                            {"filter", mail.filter},
                            {"from", mail.from},
                            {"to", mail.recipients},
                            {"subject", mail.subject},
                            {"host", mail.host},
                            {"bytes", mail.content->size()}});
  }
  out["engines"] = engines_json(transaction.inspections());
  out["attachments"] = json::array();
  for (const milter::ScanRow& row : transaction.attachments()) {
    out["attachments"].push_back(milter::row_json(row, false));
  }
  json defects = json::array();
  if (transaction.message().structure_parsed()) {
    const mime::Defects& found = transaction.message().structure().defects;
    for (uint32_t i = 0; i < static_cast<uint32_t>(mime::Defect::count_); ++i) {
      if (found.has(static_cast<mime::Defect>(i))) defects.push_back(mime::defect_name(static_cast<mime::Defect>(i)));
    }
  }
  out["defects"] = std::move(defects);
  return out;
}

void print_text(milter::Transaction& transaction, const Traced& traced) {
  const auto safe = [](std::string_view text) { return base::escape_for_log(text, 400); };
  std::printf("flow      %s\n", transaction.flow() != nullptr ? transaction.flow()->name.c_str() : "(none)");
  for (const milter::StageReport& stage : traced.stages) {
    std::printf("stage     %-10s %s%s%s\n", stage.name.c_str(), safe(stage.outcome).c_str(),
                stage.detail.empty() ? "" : ": ", safe(stage.detail).c_str());
  }
  for (const milter::InspectionReport& report : transaction.inspections()) {
    const inspect::Answer& answer = report.answer;
    std::string said = std::string(outcome_name(report.outcome)) + " " + report.reason;
    if (report.outcome == milter::InspectionReport::Outcome::answered) {
      said = inspect::looks_for_viruses(report.type)
                 ? std::string(inspect::virus_verdict_name(answer.virus)) + " " + answer.name
                 : "score " + base::format_thousandths(answer.score) + " of " +
                       base::format_thousandths(answer.required) + " " + answer.symbols;
    }
    std::printf("engine    %-30s %s\n", std::string(report.engine).c_str(), safe(said).c_str());
  }
  for (const rules::FilterReport& report : transaction.outcome().reports) {
    std::printf("filter    %-30s %s", report.filter->name.c_str(), std::string(truth_name(report.result)).c_str());
    if (report.result.is_unknown())
      std::printf(" (%s)", std::string(rules::unknown_name(report.result.reason)).c_str());
    std::printf("  %s:%u%s\n", report.filter->file.c_str(), report.filter->line,
                report.observed ? "  [observe only]" : "");
    if (!report.detail.empty()) std::printf("          %s\n", safe(report.detail).c_str());
    for (const std::string& action : report.actions) std::printf("          - %s\n", safe(action).c_str());
  }
  for (const message::Change& change : traced.changes.changes) {
    std::printf("change    %-16s %s%s%s\n", std::string(message::op_name(change.op)).c_str(), safe(change.name).c_str(),
                change.index != 0 ? ("[" + std::to_string(change.index) + "]").c_str() : "",
                change.op == message::Op::replace_body
                    ? (" " + std::to_string(traced.changes.body.size()) + " bytes").c_str()
                    : safe(change.value).c_str());
  }
  std::printf("sender    <%s>\n", safe(transaction.message().envelope.from.value_or("")).c_str());
  for (const message::Recipient& recipient : transaction.message().envelope.recipients) {
    std::printf("recipient <%s>\n", safe(recipient.address).c_str());
  }
  for (const rules::GeneratedMail& mail : transaction.outcome().mails) {
    std::printf(
        "mail      %-11s to %s%s: %s (%zu bytes)\n", std::string(rules::mail_kind_name(mail.kind)).c_str(),
        safe(mail.recipients.front()).c_str(),
        mail.recipients.size() > 1 ? (" and " + std::to_string(mail.recipients.size() - 1) + " more").c_str() : "",
        safe(mail.subject).c_str(), mail.content->size());
  }
  for (const std::string& name : transaction.outcome().quarantines) std::printf("held in   %s\n", safe(name).c_str());
  const rules::Reply reply = effective_reply(traced.decision);
  std::printf("verdict   %s", std::string(final_name(traced)).c_str());
  if (reply.code != 0) std::printf(" (%d %s %s)", reply.code, reply.enhanced.c_str(), safe(reply.text).c_str());
  if (!traced.decision.decided_by.empty()) std::printf(" by %s", traced.decision.decided_by.c_str());
  std::printf("\n");
}

bool write_file(const std::string& path, const std::string& bytes) {
  base::UniqueFd file(path == "-" ? ::dup(STDOUT_FILENO)
                                  : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  return file && base::write_all(file.get(), bytes);
}

}  // namespace

int run_trace(const TraceOptions& options) {
  const std::unique_ptr<Loaded> loaded = load(options.config, false);
  if (loaded->generation == nullptr) return kBadConfig;
  const milter::Settings& settings = loaded->generation->settings;

  const base::Result<std::string> from = message::parse_path(options.from);
  if (options.from_given && !from) {
    std::fprintf(stderr, "postern trace: --from: %s\n", from.error().text().c_str());
    return kUsage;
  }
  std::vector<std::string> recipients;
  for (const std::string& given : options.recipients) {
    const base::Result<std::string> address = message::parse_path(given);
    if (!address || address->empty()) {
      std::fprintf(stderr, "postern trace: --rcpt %s: %s\n", base::escape_for_log(given).c_str(),
                   address ? "an address is needed" : address.error().text().c_str());
      return kUsage;
    }
    recipients.push_back(*address);
  }
  base::Result<std::string> file = read_input(options.message);
  if (!file) {
    std::fprintf(stderr, "postern trace: %s\n", file.error().text().c_str());
    return file.error().cause() == base::Cause::denied ? kDenied : kBadData;
  }
  // The limits are the transaction's to judge: what is cut off here it would take for absent.
  base::Limits unlimited = settings.limits;
  unlimited.header_size = file->size() + 1;
  unlimited.header_count = UINT32_MAX;
  const mime::ParsedFile parsed = mime::parse_file_header(*file, unlimited);
  std::string_view body = std::string_view(*file).substr(parsed.body_offset);
  std::string converted;
  if (file->find("\r\n") == std::string::npos) {
    converted = with_crlf(body);
    body = converted;
  }

  // In memory: who traces may not be allowed to write into the daemon's spool directory.
  loaded->generation->settings.limits.spool_memory = settings.limits.message_size;
  loaded->generation->open_directories(nullptr, nullptr);
  // Also where no rule asks: the output shows what is in the attachments.
  loaded->generation->scanning = std::make_shared<milter::Scanning>(settings.scan_pool, nullptr);
  loaded->generation->open_engines(nullptr, nullptr);
  milter::Transaction transaction(loaded->generation, nullptr, 1, 0);
  transaction.report_all = true;
  message::Message& message = transaction.message();
  describe_client(options, settings, message);
  if (options.from_given) {
    message.envelope.from = *from;
  } else {
    message.envelope.from = first_address(parsed.header, "From");
  }
  if (options.recipients.empty()) {
    add_addresses(parsed.header, "To", settings.limits.recipients, recipients);
    add_addresses(parsed.header, "Cc", settings.limits.recipients, recipients);
  }

  const Traced traced = drive(transaction, recipients, parsed.header, body);
  if (options.json) {
    std::puts(trace_json(transaction, traced).dump(2, ' ', false, json::error_handler_t::replace).c_str());
  } else {
    print_text(transaction, traced);
  }
  if (!options.out.empty() && !write_file(options.out, message.whole())) {
    std::fprintf(stderr, "postern trace: %s\n", base::system_error(options.out, errno).text().c_str());
    return kTemporary;
  }
  return kDone;
}

}  // namespace postern::cli
