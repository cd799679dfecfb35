// SPDX-License-Identifier: Apache-2.0
// Actions that make mail: notices, copies, archives. They only compose; what becomes of the mail is decided with the
// message's own verdict. Texts and addresses from the message are taken apart again before they are used: what is no
// mail address gets nothing, and the report says so.
#include <algorithm>
#include <string>
#include <vector>

#include "engine/base/text.h"
#include "engine/message/address.h"
#include "rules/actions.h"
#include "rules/mail_text.h"
#include "rules/templates.h"

namespace postern::rules {
namespace {

using Kind = GeneratedMail::Kind;

constexpr size_t kMaxMails = 200;  // of one message
constexpr size_t kLongestAddress = 320;
constexpr std::string_view kDefaultSubject = "Message notification";
constexpr std::string_view kDefaultText =
    "The filter \"$FilterName\" of $Hostname took this message.\n\n"
    "Number:     MID $MID\nSender:     $EnvelopeFrom\nRecipients: $EnvelopeRecipients\nClient:     $RemoteIP\n"
    "Matched:    $MatchedContent\n\nHeader:\n\n$AllHeaders";

// Whether `address` can be given to a mail server; a quoted local part may hold blanks and brackets.
bool usable(std::string_view address) {
  if (address.empty() || address.size() > kLongestAddress) return false;
  const size_t at = address.rfind('@');
  const bool quoted = address.front() == '"' && at != std::string_view::npos && at > 1 && address[at - 1] == '"';
  for (size_t i = 0; i < address.size(); ++i) {
    const auto byte = static_cast<unsigned char>(address[i]);
    if (byte < 0x20 || byte == 0x7F) return false;
    const bool special = byte == ' ' || byte == '<' || byte == '>';
    if (special && !(quoted && i < at)) return false;
  }
  return true;
}

void add_address(std::string address, std::vector<std::string>& out) {
  const bool known = std::ranges::any_of(out, [&](const std::string& other) { return base::iequals(other, address); });
  if (!known) out.push_back(std::move(address));
}

// The addresses that a V argument comes to, each once.
std::vector<std::string> addresses_of(const Template& list, ActionContext& context, std::string& detail) {
  Facts& facts = context.facts;
  const size_t most = facts.message().limits().recipients;
  std::vector<std::string> out;
  // The envelope's recipients are addresses already, and more than a text variable shows.
  Template texts;
  for (const Template::Piece& piece : list.pieces) {
    const bool all = piece.kind == Template::Piece::Kind::variable && piece.text == "EnvelopeRecipients";
    if (!all) {
      texts.pieces.push_back(piece);
      continue;
    }
    for (const message::Recipient& recipient : facts.message().envelope.recipients) {
      if (usable(recipient.address)) {
        add_address(recipient.address, out);
      } else {
        detail = "some of the recipients are no mail addresses";
      }
    }
  }
  const std::string text = expand(texts, context.filter, facts, false);
  const message::AddressList parsed = message::parse_address_list(text, most);
  for (const message::Mailbox& mailbox : parsed.mailboxes) {
    const std::string address = mailbox.addr_spec();
    if (!mailbox.local.empty() && usable(address)) {
      add_address(address, out);
    } else {
      detail = "some of the recipients are no mail addresses";
    }
  }
  const bool separators_only = text.find_first_not_of(", \t") == std::string::npos;
  if (!separators_only && parsed.malformed) detail = "some of the recipients are no mail addresses";
  if (out.size() > most) {
    out.resize(most);
    detail = "more recipients than limits.recipients";
  }
  return out;
}

size_t argument(const Action& action, std::string_view name) {
  const std::vector<std::string_view> names = base::split(action.row->argument_names, ',');
  return static_cast<size_t>(std::ranges::find(names, name) - names.begin());
}

bool given(const Action& action, std::string_view name) {
  const size_t at = argument(action, name);
  return at < action.given.size() && action.given[at];
}

std::string envelope_sender(const Action& action, ActionContext& context, std::string fallback, std::string& detail) {
  if (!given(action, "return-path")) return fallback;
  const Template& text = action.templates[argument(action, "return-path")];
  auto path = message::parse_path(base::trim(expand(text, context.filter, context.facts, false)));
  if (path && (path->empty() || usable(*path))) return *std::move(path);
  detail = "the return path is no mail address; the null sender is used";
  return {};
}

// keep takes a composed mail; the content of an earlier one that is the same is shared.
void keep(GeneratedMail mail, std::string content, ActionContext& context, ActionResult& result) {
  std::vector<GeneratedMail>& mails = context.outcome.mails;
  for (const GeneratedMail& earlier : mails) {
    if (*earlier.content == content) mail.content = earlier.content;
  }
  if (mails.size() >= kMaxMails || (!mail.content && context.facts.reserve && !context.facts.reserve(content.size()))) {
    context.outcome.copies_refused = true;
    result.detail = "there is no room for this mail, so the message is deferred";
    return;
  }
  if (!mail.content) mail.content = std::make_shared<const std::string>(std::move(content));
  mails.push_back(std::move(mail));
}

GeneratedMail begin(Kind kind, const Action& action, ActionContext& context, ActionResult& result) {
  GeneratedMail mail;
  mail.kind = kind;
  mail.filter = context.filter.name;
  mail.recipients = addresses_of(action.templates[argument(action, "to")], context, result.detail);
  if (given(action, "alt-mailhost")) mail.host = action.texts[argument(action, "alt-mailhost")];
  result.text = std::string(action.row->name) + " to ";
  if (mail.recipients.empty()) {
    result.text += "nobody";
    result.detail = "there is no mail address to send it to";
  } else {
    result.text += mail.recipients.front();
    if (mail.recipients.size() > 1) result.text += " and " + std::to_string(mail.recipients.size() - 1) + " more";
  }
  return mail;
}

bool body_missing(ActionContext& context, ActionResult& result) {
  if (context.facts.message().has_body()) return false;
  result.detail = "the body is not known";
  result.problem = Unknown::unscannable;
  return true;
}

std::string subject_of(const Action& action, ActionContext& context) {
  return header_text_of(action, argument(action, "subject"), context);
}

ActionResult notice(Kind kind, const Action& action, ActionContext& context) {
  ActionResult result;
  GeneratedMail mail = begin(kind, action, context, result);
  if (mail.recipients.empty()) return result;
  Facts& facts = context.facts;
  const std::string& own = context.facts.rules().context().notice_from;
  const std::string fallback = own.empty() ? "Postern <postmaster@" + std::string(facts.hostname()) + ">" : own;
  std::string from = given(action, "from") ? header_text_of(action, argument(action, "from"), context) : fallback;
  const message::AddressList author = message::parse_address_list(from, 2);
  if (author.malformed || author.mailboxes.size() != 1 || author.mailboxes[0].local.empty()) {
    if (given(action, "from")) result.detail = "'from' came to no mail address";
    from = fallback;
  }
  // A notice that cannot be delivered must not come back and be noticed again.
  mail.from = envelope_sender(action, context, {}, result.detail);
  mail.subject = given(action, "subject") ? subject_of(action, context) : std::string(kDefaultSubject);
  result.text += ": " + mail.subject;
  if (context.dry) return result;
  if (kind == Kind::notify_copy && body_missing(context, result)) return result;

  static const Template standard =
      read_template(kDefaultText, [](uint16_t, size_t, size_t) {}, [](const ValueFault&) {});
  const Template& text = given(action, "template") ? action.templates[argument(action, "template")] : standard;
  Notice message{encode_header_value("From", from, facts), mail.recipients, mail.subject,
                 expand(text, context.filter, facts, true), kind == Kind::notify_copy};
  keep(std::move(mail), notice_message(message, facts), context, result);
  return result;
}

ActionResult copy(Kind kind, const Action& action, ActionContext& context) {
  ActionResult result;
  if (kind == Kind::bcc_scan && context.facts.is_copy) {
    // Else a filter would copy its own copies for ever.
    return {std::string(action.row->name), "the message is such a copy itself, so none is made", Unknown::none};
  }
  GeneratedMail mail = begin(kind, action, context, result);
  if (mail.recipients.empty()) return result;
  const std::string& sender = context.facts.message().envelope.from.value_or(std::string());
  mail.from = envelope_sender(action, context, usable(sender) ? sender : std::string(), result.detail);
  // "$Subject" alone is the Subject as it is, which need not be written anew.
  const bool same = !given(action, "subject") || action.texts[argument(action, "subject")] == "$Subject";
  mail.subject = same ? context.facts.header_text("Subject") : subject_of(action, context);
  if (!same) result.text += ": " + mail.subject;
  if (context.dry || body_missing(context, result)) return result;
  std::string content = copy_message(context.facts, same ? nullptr : &mail.subject);
  keep(std::move(mail), std::move(content), context, result);
  return result;
}

ActionResult notify(const Action& action, ActionContext& context) { return notice(Kind::notify, action, context); }
ActionResult notify_copy(const Action& action, ActionContext& context) {
  return notice(Kind::notify_copy, action, context);
}
ActionResult bcc(const Action& action, ActionContext& context) { return copy(Kind::bcc, action, context); }
ActionResult bcc_scan(const Action& action, ActionContext& context) { return copy(Kind::bcc_scan, action, context); }

ActionResult archive(const Action& action, ActionContext& context) {
  ActionResult result;
  result.text = "archive " + action.texts[0];
  if (context.dry || body_missing(context, result)) return result;
  GeneratedMail mail;
  mail.kind = Kind::archive;
  mail.filter = context.filter.name;
  mail.from = context.facts.message().envelope.from.value_or(std::string());
  mail.recipients = {action.texts[0]};
  mail.subject = context.facts.header_text("Subject");
  keep(std::move(mail), copy_message(context.facts, nullptr), context, result);
  return result;
}

constexpr NamedAction kActions[] = {
    {"notify", notify}, {"notify-copy", notify_copy}, {"bcc", bcc}, {"bcc-scan", bcc_scan}, {"archive", archive},
};

}  // namespace

std::span<const NamedAction> mail_actions() { return kActions; }

std::string_view mail_kind_name(Kind kind) {
  constexpr std::string_view kNames[] = {"notify", "notify-copy", "bcc", "bcc-scan", "archive"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace postern::rules
