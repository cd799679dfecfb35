// SPDX-License-Identifier: Apache-2.0
// Any message through one rule set that uses every rule and every action of the tables: no crash, no header with a
// smuggled line, and an edited message whose change list can be made.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "engine/config/source.h"
#include "engine/message/changes.h"
#include "engine/mime/parser.h"
#include "rules/eval.h"
#include "rules/language.h"

namespace {

using namespace postern;

// Every example condition and action of the tables, final ones in a filter of their own at the end.
std::shared_ptr<const rules::RuleSet> make_rules() {
  std::string yaml = "filters:\n";
  int n = 0;
  for (const rules::RuleRow& row : rules::rule_table()) {
    yaml += "  - name: rule-" + std::to_string(n++) + "\n    if: |-\n      " + std::string(row.example) +
            "\n    then: [{log-entry: \"$MatchedContent $AllHeaders\"}]\n";
  }
  for (const rules::ActionRow& row : rules::action_table()) {
    if (row.final_action) continue;
    yaml += "  - name: action-" + std::to_string(n++) +
            "\n    if: random(4) < 3 or header(\"X-All\")\n    then:\n      - " + std::string(row.example) + "\n";
  }
  yaml +=
      "  - name: more\n    if: body-size > 0\n    then:\n"
      "      - edit-header-text: {name: From, pattern: '[a-m]', replacement: 'ü$0'}\n"
      "      - edit-header-text: {name: To, pattern: '@', replacement: '@x.'}\n"
      "      - insert-header: {name: X-Vars, value: \"$Subject $From $To $filenames $filetypes $EnvelopeFrom\"}\n"
      "      - drop-attachments-by-size: {size: 1b, comment: \"$dropped_filename\"}\n"
      "      - add-footer: \"$Subject\"\n"
      "      - notify-copy: {to: \"n@x.example, $From, $Header['Reply-To']\", subject: \"$Subject\", from: \"$From\"}\n"
      "      - bcc: {to: $EnvelopeRecipients, subject: \"$Subject\", return-path: $From}\n"
      "      - strip-header: Subject\n";
  config::Sources sources;
  const uint32_t id = sources.add_text("fuzz.yaml", yaml);
  config::Diagnostics diagnostics(sources);
  rules::LoadContext context;
  context.groups = true;
  context.login_queries = {"corporate.logins"};
  context.virus_engines = true;
  context.spam_engines = true;
  context.flows = {"inbound"};
  context.quarantines = {"Policy"};
  context.reinject = true;
  context.store = true;
  context.archives = {"project-mail"};
  // The dictionaries that the examples name.
  for (const char* name : {"project-names", "competitors"}) {
    match::DictionaryEntry entry;
    entry.text = "Bluebird";
    if (!entry.compile()) std::abort();
    std::vector<match::DictionaryEntry> entries;
    entries.push_back(std::move(entry));
    context.dictionaries.push_back(std::make_shared<const match::Dictionary>(name, std::move(entries)));
  }
  auto set = rules::RuleSet::load(sources, {id}, context, diagnostics);
  if (set == nullptr) {
    std::fputs(diagnostics.render().c_str(), stderr);
    std::abort();
  }
  return set;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::shared_ptr<const rules::RuleSet> set = make_rules();
  if (size > 256 * 1024) return 0;
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  base::Limits limits;
  limits.mime_parts = 100;
  limits.mime_depth = 8;
  limits.decoded_text = 1 << 20;
  const mime::ParsedFile parsed = mime::parse_file_header(file, limits);
  message::Message message(limits);
  for (const mime::HeaderField& field : parsed.header) message.headers.add_received(field.name, field.value);
  message.keep_received_header_size();
  message.set_body(file.substr(parsed.body_offset));
  message.envelope.from = std::string(file.substr(0, 40));
  message.envelope.recipients = {{std::string(file.substr(0, 20)), {}}, {"b@example.org", {}}};
  message.keep_received_envelope();
  rules::Facts facts(message, *set, "inbound", 1);
  rules::Outcome outcome;
  rules::evaluate(*set, rules::Phase::message, facts, {}, outcome);
  for (const mime::HeaderField& field : message.headers) {
    if (field.received >= 0 && !field.changed) continue;
    for (size_t i = 0; i < field.value.size(); ++i) {
      const char c = field.value[i];
      if (c == '\r' || c == '\0') std::abort();
      if (c == '\n' && (i + 1 == field.value.size() || (field.value[i + 1] != ' ' && field.value[i + 1] != '\t'))) {
        std::abort();
      }
    }
  }
  // Nothing of the message becomes a header field of a notice.
  for (const rules::GeneratedMail& mail : outcome.mails) {
    if (mail.kind != rules::GeneratedMail::Kind::notify_copy) continue;
    const std::string_view head = std::string_view(*mail.content).substr(0, mail.content->find("\r\n\r\n"));
    size_t fields = 1;
    for (size_t i = 0; i + 2 < head.size(); ++i) {
      if (head[i] == '\r' && head[i + 1] != '\n') std::abort();
      if (head[i] == '\n' && head[i + 1] != ' ' && head[i + 1] != '\t') ++fields;
    }
    if (fields != 9 || !head.starts_with("From: ")) std::abort();
  }
  (void)message::diff(message);
  (void)message.whole();
  return 0;
}
