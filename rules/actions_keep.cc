// SPDX-License-Identifier: Apache-2.0
// Actions that keep a message or a copy of it in quarantine. They only say what is to be kept; it is stored after
// everything is decided, just before the MTA has its answer.
#include <algorithm>
#include <vector>

#include "rules/actions.h"

namespace postern::rules {
namespace {

constexpr size_t kMaxCopies = 20;  // of one message

ActionResult named(const Action& action) {
  ActionResult result;
  result.text = std::string(action.row->name) + " " + action.texts[0];
  return result;
}

std::string reason_of(ActionContext& context) {
  return context.facts.matched_content.empty() ? "" : "matched: " + context.facts.matched_content;
}

ActionResult quarantine(const Action& action, ActionContext& context) {
  if (!context.dry) context.outcome.hold(action.texts[0], context.filter.name, reason_of(context));
  return named(action);
}

// Asked for twice by one filter, or by two, one copy in a quarantine is enough only where it would be the same.
bool same_copy(const KeptCopy& copy, const std::string& name, const std::string& header, std::string_view body) {
  const std::string_view kept = copy.edited_body ? std::string_view(*copy.edited_body) : copy.received_body;
  return copy.mark.quarantine == name && copy.header == header && kept == body;
}

ActionResult duplicate_quarantine(const Action& action, ActionContext& context) {
  ActionResult result = named(action);
  if (context.dry) return result;
  message::Message& message = context.facts.message();
  if (!message.has_body()) {
    result.detail = "the body is not known";
    result.problem = Unknown::unscannable;
    return result;
  }
  // Edits of the body are planned until all filters have run; a copy needs those asked for so far.
  apply_body_edits(context.facts);
  KeptCopy copy;
  copy.mark = {action.texts[0], context.filter.name, reason_of(context)};
  copy.header = mime::write_fields({message.headers.begin(), message.headers.end()});
  std::string edited;
  if (message.body_edited()) edited = message.final_body().flatten();
  const std::string_view body = message.body_edited() ? std::string_view(edited) : message.received_body();
  std::vector<KeptCopy>& copies = context.outcome.copies;
  if (std::ranges::any_of(copies,
                          [&](const KeptCopy& kept) { return same_copy(kept, action.texts[0], copy.header, body); })) {
    return result;
  }
  const bool room = !context.facts.reserve || context.facts.reserve(copy.header.size() + edited.size());
  if (copies.size() >= kMaxCopies || !room) {
    context.outcome.copies_refused = true;
    result.detail = "there is no room for this copy, so the message is deferred";
    return result;
  }
  if (message.body_edited()) {
    copy.edited_body = std::make_shared<const std::string>(std::move(edited));
  } else {
    copy.received_body = body;
  }
  copies.push_back(std::move(copy));
  return result;
}

ActionResult keep_original(const Action& action, ActionContext& context) {
  std::vector<QuarantineMark>& marks = context.outcome.originals;
  const bool there =
      std::ranges::any_of(marks, [&](const QuarantineMark& mark) { return mark.quarantine == action.texts[0]; });
  if (!context.dry && !there) marks.push_back({action.texts[0], context.filter.name, reason_of(context)});
  return named(action);
}

constexpr NamedAction kActions[] = {
    {"quarantine", quarantine}, {"duplicate-quarantine", duplicate_quarantine}, {"keep-original", keep_original}};

}  // namespace

std::span<const NamedAction> keep_actions() { return kActions; }

void Outcome::hold(const std::string& name, const std::string& by, std::string reason) {
  if (!quarantine_reason.empty()) quarantine_reason += ", ";
  quarantine_reason += by;
  if (std::ranges::find(quarantines, name) != quarantines.end()) return;
  quarantines.push_back(name);
  marks.push_back({name, by, std::move(reason)});
}

}  // namespace postern::rules
