// SPDX-License-Identifier: Apache-2.0
// The table of actions, and those on the transaction: final verdicts, recipients, marks, log entries.
#include "rules/actions.h"

#include <algorithm>
#include <vector>

#include "engine/base/text.h"
#include "engine/message/address.h"

namespace postern::rules {
namespace {

constexpr size_t kMaxReplyText = 450;  // RFC 5321 4.5.3.1.5: a reply line holds 512 bytes
constexpr size_t kMaxLogText = 4096;
constexpr size_t kMaxLogEntries = 1000;  // of one transaction

std::string reply_text(const Action& action, ActionContext& context, std::string_view fallback) {
  std::string text = header_text_of(action, 0, context);
  if (text.empty()) text = fallback;
  cut_utf8(text, kMaxReplyText);
  return text;
}

ActionResult refuse(const Action& action, ActionContext& context, VerdictKind verdict, Reply reply) {
  if (action.number != 0) reply.code = static_cast<int>(action.number);
  if (action.texts.size() > 2 && action.given.size() > 2 && action.given[2]) reply.enhanced = action.texts[2];
  ActionResult result;
  result.text =
      std::string(action.row->name) + " " + std::to_string(reply.code) + " " + reply.enhanced + " " + reply.text;
  if (!context.dry) {
    context.outcome.verdict = verdict;
    context.outcome.reply = std::move(reply);
  }
  return result;
}

ActionResult plain(const Action& action, std::string_view argument = {}) {
  ActionResult result;
  result.text = action.row->name;
  if (!argument.empty()) result.text.append(" ").append(argument);
  return result;
}

ActionResult drop(const Action& action, ActionContext& context) {
  if (!context.dry) context.outcome.verdict = VerdictKind::discard;
  return plain(action);
}

ActionResult bounce(const Action& action, ActionContext& context) {
  // A filter must not make mail to a sender that may be forged: the server that has the message returns it.
  return refuse(action, context, VerdictKind::bounce, {550, "5.7.1", "Message refused by policy"});
}

ActionResult reject(const Action& action, ActionContext& context) {
  return refuse(action, context, VerdictKind::reject,
                {550, "5.7.1", reply_text(action, context, "Message refused by policy")});
}

ActionResult defer(const Action& action, ActionContext& context) {
  return refuse(action, context, VerdictKind::tempfail,
                {451, "4.7.1", reply_text(action, context, "Message deferred by policy, please try again later")});
}

ActionResult skip_filters(const Action& action, ActionContext& context) {
  // In an early phase it ends that phase only.
  if (!context.dry && context.facts.phase == Phase::message) context.outcome.verdict = VerdictKind::accept;
  return plain(action);
}

ActionResult no_op(const Action& action, ActionContext&) { return plain(action); }

ActionResult tag_message(const Action& action, ActionContext& context) {
  std::vector<std::string>& tags = context.outcome.tags;
  if (!context.dry && std::ranges::find(tags, action.texts[0]) == tags.end()) tags.push_back(action.texts[0]);
  return plain(action, action.texts[0]);
}

ActionResult skip_viruscheck(const Action& action, ActionContext& context) {
  if (!context.dry) context.facts.skip_virus = true;
  return plain(action);
}

ActionResult skip_spamcheck(const Action& action, ActionContext& context) {
  if (!context.dry) context.facts.skip_spam = true;
  return plain(action);
}

ActionResult log_entry(const Action& action, ActionContext& context) {
  std::string text = header_text_of(action, 0, context);
  cut_utf8(text, kMaxLogText);
  std::vector<std::string>& entries = context.outcome.log_entries;
  if (!context.dry && entries.size() < kMaxLogEntries) entries.push_back(context.filter.name + ": " + text);
  return plain(action, text);
}

// The recipient an action names, as an addr-spec; empty with a reason in `result` when it is none.
std::string recipient_of(const Action& action, ActionResult& result) {
  auto path = message::parse_path(action.texts[0]);
  if (path && !path->empty()) return *std::move(path);
  result.detail = std::string(action.row->name) + ": not an address";
  return {};
}

ActionResult alt_rcpt_to(const Action& action, ActionContext& context) {
  ActionResult result = plain(action, action.texts[0]);
  std::string address = recipient_of(action, result);
  if (!address.empty() && !context.dry) {
    std::vector<message::Recipient>& recipients = context.facts.message().envelope.recipients;
    recipients.clear();
    recipients.push_back({std::move(address), {}});
  }
  return result;
}

ActionResult add_rcpt_to(const Action& action, ActionContext& context) {
  ActionResult result = plain(action, action.texts[0]);
  std::string address = recipient_of(action, result);
  if (address.empty() || context.dry) return result;
  std::vector<message::Recipient>& recipients = context.facts.message().envelope.recipients;
  const bool there = std::ranges::any_of(
      recipients, [&](const message::Recipient& recipient) { return base::iequals(recipient.address, address); });
  if (!there) recipients.push_back({std::move(address), {}});
  return result;
}

constexpr NamedAction kActions[] = {
    {"drop", drop},
    {"bounce", bounce},
    {"reject", reject},
    {"defer", defer},
    {"skip-filters", skip_filters},
    {"no-op", no_op},
    {"tag-message", tag_message},
    {"log-entry", log_entry},
    {"skip-viruscheck", skip_viruscheck},
    {"skip-spamcheck", skip_spamcheck},
    {"alt-rcpt-to", alt_rcpt_to},
    {"add-rcpt-to", add_rcpt_to},
};

// The functions in the order of action_table(), made once.
const std::vector<ActionFunction>& functions() {
  static const std::vector<ActionFunction> table = [] {
    std::vector<ActionFunction> out;
    for (const ActionRow& row : action_table()) {
      ActionFunction found = nullptr;
      for (const auto& group :
           {transaction_actions(), header_actions(), body_actions(), text_actions(), keep_actions(), mail_actions()}) {
        for (const NamedAction& entry : group) {
          if (entry.name == row.name) found = entry.run;
        }
      }
      out.push_back(found);
    }
    return out;
  }();
  return table;
}

}  // namespace

std::span<const NamedAction> transaction_actions() { return kActions; }

void cut_utf8(std::string& text, size_t size) {
  if (text.size() <= size) return;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  text.resize(size);
}

void blank_controls(std::string& text) {
  std::ranges::replace_if(
      text, [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F; }, ' ');
}

std::string header_text_of(const Action& action, size_t index, ActionContext& context) {
  if (index >= action.templates.size()) return {};
  std::string text = base::one_line(expand(action.templates[index], context.filter, context.facts, false));
  blank_controls(text);
  text = base::trim(text);
  cut_utf8(text, kMaxHeaderText);
  return text;
}

ActionResult run_action(const Action& action, ActionContext& context) {
  const auto at = static_cast<size_t>(action.row - action_table().data());
  const std::vector<ActionFunction>& table = functions();
  if (at >= table.size() || table[at] == nullptr) {
    return {std::string(action.row->name), "this action cannot run", Unknown::unscannable};
  }
  return table[at](action, context);
}

bool has_action(std::string_view name) {
  const ActionRow* row = find_action(name);
  return row != nullptr && functions()[static_cast<size_t>(row - action_table().data())] != nullptr;
}

}  // namespace postern::rules
