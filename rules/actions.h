// SPDX-License-Identifier: Apache-2.0
// Actions: one function per row of action_table(). An action edits the Message (or plans a body edit) and says in one
// line what it did; when observing it only says it. An action that cannot be done changes nothing and says why; one
// that could not see everything says so by `problem`, and the filter's on-unknown decides. Internal to the evaluator.
#pragma once
#include <string>
#include <string_view>

#include "rules/ast.h"
#include "rules/eval.h"
#include "rules/facts.h"

namespace postern::rules {

struct ActionContext {
  const Filter& filter;
  Facts& facts;
  Outcome& outcome;
  bool dry = false;  // mode: observe
};

struct ActionResult {
  std::string text;    // "insert-header X-Path: inbound"
  std::string detail;  // what could not be done, and why
  Unknown problem = Unknown::none;
};

using ActionFunction = ActionResult (*)(const Action&, ActionContext&);

struct NamedAction {
  std::string_view name;
  ActionFunction run;
};

// The actions of each source file, by name.
std::span<const NamedAction> transaction_actions();
std::span<const NamedAction> header_actions();
std::span<const NamedAction> body_actions();
std::span<const NamedAction> text_actions();
std::span<const NamedAction> mail_actions();
std::span<const NamedAction> keep_actions();

// run_action does one action.
ActionResult run_action(const Action& action, ActionContext& context);
// has_variable tells whether the variable called `name` (without $) has a value.
bool has_variable(std::string_view name);
// has_action tells whether the action called `name` can run.
bool has_action(std::string_view name);

// header_text_of expands the template of argument `index` for a header field: one line, at most kMaxHeaderText bytes.
std::string header_text_of(const Action& action, size_t index, ActionContext& context);
inline constexpr size_t kMaxHeaderText = 32 * 1024;

// blank_controls turns control bytes other than tabs into blanks.
void blank_controls(std::string& text);
// cut_utf8 cuts `text` to at most `size` bytes without splitting a character.
void cut_utf8(std::string& text, size_t size);

// encode_header_value makes `utf8` (one line) the value of a new field `name`: addresses keep their syntax, the rest is
// encoded by RFC 2047 where needed; raw UTF-8 stays when the transaction is SMTPUTF8.
std::string encode_header_value(std::string_view name, const std::string& utf8, Facts& facts);

// The header fields by which Postfix's milter_header_checks learns of alt-mailhost and alt-src-host.
inline constexpr std::string_view kAltMailhostHeader = "X-Postern-Alt-Mailhost";
inline constexpr std::string_view kAltSrcHostHeader = "X-Postern-Alt-Src-Host";
// set_next_hop asks Postfix to send the message to `host`; what asked before no longer holds.
void set_next_hop(message::Message& message, std::string_view host);
// strip_route_headers removes such fields that arrived with the message: a sender may not choose our route.
void strip_route_headers(Facts& facts);

}  // namespace postern::rules
