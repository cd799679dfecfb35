// SPDX-License-Identifier: Apache-2.0
// Actions: arguments by name or the first one alone, each read by its letter in the action table; templates split;
// everything that could fail on a message is refused here. SMTP replies: RFC 5321 section 4.2, RFC 3463.
#include <algorithm>

#include "engine/message/address.h"
#include "rules/check.h"
#include "rules/templates.h"
#include "rules/values.h"

namespace postern::rules {
namespace {

struct LaterRow {
  std::string_view name;
  std::string_view what;
};
// Actions of the reference product that this version does not have.
constexpr LaterRow kLaterActions[] = {
    {"bounce-profile", "bounce profiles"},
    {"skip-spamcheck", "spam checks"},
    {"skip-viruscheck", "virus checks"},
    {"skip-vofcheck", "outbreak filters"},
    {"encrypt", "encryption"},
    {"encrypt-deferred", "encryption"},
    {"smime-gateway", "S/MIME"},
    {"smime-gateway-deferred", "S/MIME"},
};

constexpr size_t kLongestText = 64 << 10;  // of one text argument
constexpr size_t kLongestReply = 400;      // leaves room for the codes within RFC 5321's 512 bytes of a reply line
constexpr size_t kLongestTag = 200;

char upper(char letter) { return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 32) : letter; }

bool is_template(char letter) { return letter == 'T' || letter == 'X' || letter == 'C'; }

}  // namespace

std::vector<std::string_view> argument_names(const ActionRow& row) {
  if (row.argument_names.empty()) return {};
  return base::split(row.argument_names, ',');
}

bool Checker::known_action(const Spot& spot, std::string_view word, const ActionRow*& row) {
  row = find_action(word);
  if (row != nullptr) return true;
  std::string name = base::lower(word);
  std::replace(name.begin(), name.end(), '_', '-');
  for (const LaterRow& later : kLaterActions) {
    if (later.name == name) {
      error(spot,
            "action " + quoted(word) + " needs " + std::string(later.what) + ", which this version does not have");
      return false;
    }
  }
  if (name == "deliver") {
    error(spot, "unknown action 'deliver'", "write skip-filters");
    return false;
  }
  if (name.find('(') != std::string::npos) {
    error(spot, "an action takes no parentheses", "write 'name', 'name: value' or 'name: {argument: value}'");
    return false;
  }
  if (find_rule(word) != nullptr) {
    error(spot, quoted(word) + " is a rule, not an action", "it belongs into an 'if'");
    return false;
  }
  std::vector<std::string_view> names;
  for (const ActionRow& candidate : action_table()) names.push_back(candidate.name);
  error(spot, "unknown action " + quoted(word), did_you_mean(name, names));
  return false;
}

std::optional<Action> Checker::action(const config::Node& name, const config::Node* value, Phase phase) {
  if (name.kind != config::NodeKind::scalar || name.text.empty()) {
    report_.error(name, "this list item is empty: expected an action or a nested 'if'");
    return std::nullopt;
  }
  const Spot spot{name, 0, name.text.size()};
  Action out;
  if (!known_action(spot, name.text, out.row)) return std::nullopt;
  const ActionRow& row = *out.row;
  out.position = name.position;
  out.templates.resize(row.arguments.size());
  out.texts.resize(row.arguments.size());
  out.given.assign(row.arguments.size(), false);
  bool good = true;
  if (row.phase > phase) {
    error(spot,
          quoted(row.name) + " works only from phase " + std::string(phase_name(row.phase)) +
              " on, and this filter runs at phase " + std::string(phase_name(phase)),
          row.phase == Phase::message ? "leave 'phase' out"
                                      : "write phase: " + std::string(phase_name(row.phase)) + " or a later one");
    good = false;
  }
  if (!context_.store && (row.name == "duplicate-quarantine" || row.name == "keep-original")) {
    error(spot, quoted(row.name) + " needs a place for what is kept", "name one in postern.yaml under 'store'");
    good = false;
  }
  good = check_submission(spot, row) && good;
  if (context_.sendmail && (row.name == "alt-mailhost" || row.name == "alt-src-host")) {
    error(spot, quoted(row.name) + " works with Postfix only, and this configuration says mta: sendmail");
    good = false;
  }
  if (value != nullptr && value->kind != config::NodeKind::null && !action_arguments(*value, phase, out)) {
    return std::nullopt;
  }
  for (size_t i = 0; i < row.arguments.size(); ++i) {
    const bool wanted = row.arguments[i] >= 'A' && row.arguments[i] <= 'Z';
    if (!wanted || out.given[i]) continue;
    error(spot, quoted(row.name) + " needs " + quoted(argument_names(row)[i]),
          "for example: " + std::string(row.example));
    return std::nullopt;
  }
  if (!good) return std::nullopt;
  return out;
}

bool Checker::action_arguments(const config::Node& value, Phase phase, Action& out) {
  const ActionRow& row = *out.row;
  const std::vector<std::string_view> names = argument_names(row);
  const std::string example = "for example: " + std::string(row.example);
  if (names.empty()) {
    if (value.kind == config::NodeKind::map && value.entries.empty()) return true;
    report_.error(value, quoted(row.name) + " takes no arguments", "write only: " + std::string(row.name));
    return false;
  }
  const auto read = [&](const config::Node& node, size_t at) {
    out.given[at] = true;
    if (node.kind != config::NodeKind::scalar && node.kind != config::NodeKind::null) {
      report_.error(node, quoted(names[at]) + " of " + quoted(row.name) + " takes one value", example);
      return false;
    }
    return check_argument({node, 0, node.text.size()}, upper(row.arguments[at]), node.text, at, phase, out);
  };
  bool good = true;
  if (value.kind == config::NodeKind::scalar) {
    const auto required = std::count_if(row.arguments.begin(), row.arguments.end(), [](char c) { return c < 'a'; });
    if (required > 1) {
      report_.error(value, quoted(row.name) + " needs several arguments by name", example);
      return false;
    }
    good = read(value, 0);
  } else if (value.kind == config::NodeKind::map) {
    for (const auto& [key, argument] : value.entries) {
      const auto at = std::find(names.begin(), names.end(), key.text);
      if (at == names.end()) {
        std::string hint = did_you_mean(key.text, names);
        if (hint.empty()) hint = example;
        report_.error(key, quoted(row.name) + " has no argument " + quoted(key.text), std::move(hint));
        good = false;
      } else {
        good = read(argument, static_cast<size_t>(at - names.begin())) && good;
      }
    }
  } else {
    report_.error(value, quoted(row.name) + " takes one value or {argument: value}", example);
    return false;
  }
  if (good && row.arguments.ends_with('g') && out.regex && out.given.back())
    good = check_replacement(out, *value.get("replacement"));
  if (good && out.given[0] && (row.name == "reject" || row.name == "defer")) {
    check_reply(value.kind == config::NodeKind::map ? *value.get("text") : value, out);
  }
  return good;
}

bool Checker::check_argument(const Spot& spot, char letter, std::string_view value, size_t at, Phase phase,
                             Action& out) {
  const ActionRow& row = *out.row;
  if (letter == 'R') {
    out.texts[at] = value;
    out.regex = regex(spot, value);
    return out.regex.has_value();
  }
  if (letter == 'W') {
    out.texts[at] = value;
    return regex_or_smart(spot, value, out.regex, out.smart);
  }
  if (letter == 'G') {
    out.texts[at] = value;
    if (find_control(value, false) == std::string_view::npos && value.size() <= kLongestText) return true;
    error(spot, "the replacement holds a control character or a line end, or is too long");
    return false;
  }
  size_t front = 0;
  const std::string_view trimmed = trim_value(value, &front);
  if (is_template(letter)) {
    out.texts[at] = trimmed;
    // An empty comment is a choice: nothing stands in the attachment's place.
    if (letter == 'C' && value.empty() && spot.node.quoted) return true;
    return check_template({spot.node, front, trimmed.size()}, trimmed, letter != 'T', phase, out.templates[at]);
  }
  if (letter == 'U' && value.empty()) return true;  // the null sender
  if (!plain(spot, value)) return false;
  out.texts[at] = trimmed;
  ValueFault wrong;
  const auto failed = [&] {
    report_.fault_in(spot.node, front, wrong);
    return false;
  };
  const bool refuses = row.name == "reject";
  switch (letter) {
    case 'N':
    case 'Z':
    case 'K': {
      const std::optional<int64_t> number = letter == 'Z' ? read_size(trimmed, wrong)
                                            : letter == 'N'
                                                ? read_count(trimmed, 1, INT32_MAX, wrong)
                                                : read_count(trimmed, refuses ? 500 : 400, refuses ? 599 : 499, wrong);
      if (!number) return failed();
      out.number = *number;
      return true;
    }
    case 'E':
      return read_enhanced_code(trimmed, refuses ? '5' : '4', wrong) ? true : failed();
    case 'H':
      return header_name(spot, trimmed);
    case 'M': {
      const std::optional<std::string> type = read_mime_type(trimmed, wrong);
      if (!type) return failed();
      out.texts[at] = *type;
      return true;
    }
    case 'L':
      return read_kind(trimmed, out.kinds, wrong) ? true : failed();
    case 'P':
      return read_host(trimmed, wrong) ? true : failed();
    case 'Q':
      return check_quarantine(spot, trimmed);
    case 'V':
    case 'F':
    case 'U':
      return check_addresses(spot, front, trimmed, letter, phase, out.templates[at]);
    case 'D':
      return check_archive(spot, trimmed);
    case 'O':
      return check_text(spot, trimmed, phase, out.templates[at]);
    case 'J':
      return dictionary(spot, trimmed, out.dictionary);
    case 'A': {
      const base::Result<std::string> address = message::parse_path(trimmed);
      const bool blank = trimmed.find_first_of(" \t,;<>") != std::string_view::npos;
      const size_t dollar = trimmed.find('$');
      const bool variable = dollar != std::string_view::npos && dollar + 1 < trimmed.size() &&
                            base::ascii_lower(trimmed[dollar + 1]) >= 'a' &&
                            base::ascii_lower(trimmed[dollar + 1]) <= 'z';
      if (address && !address->empty() && !blank && !variable && trimmed.size() <= 254) return true;
      error(spot, quoted(trimmed) + " is no mail address", variable ? "variables cannot be used in an address" : "");
      return false;
    }
    default:
      if (trimmed.size() <= kLongestTag) return true;
      error(spot, "the text is longer than " + std::to_string(kLongestTag) + " bytes");
      return false;
  }
}

bool Checker::check_template(const Spot& spot, std::string_view value, bool lines, Phase phase, Template& out) {
  if (value.empty()) {
    error({spot.node, 0, spot.node.text.size()}, "the text is empty");
    return false;
  }
  if (value.size() > kLongestText) {
    error(spot, "the text is longer than " + std::to_string(kLongestText) + " bytes");
    return false;
  }
  if (const size_t at = find_control(value, lines); at != std::string_view::npos) {
    error({spot.node, spot.offset + at, 1},
          lines ? "the text holds a control character" : "the text holds a line end or another control character");
    return false;
  }
  bool good = true;
  const auto found = [&](uint16_t index, size_t offset, size_t length) {
    const VariableRow& row = variable_table()[index];
    const Phase known = phase_of_needs(row.needs);
    if (known <= phase) return;
    check_phase({spot.node, spot.offset + offset, length}, "$" + std::string(row.name), known, phase);
    good = false;
  };
  const auto wrong = [&](const ValueFault& fault) {
    report_.fault_in(spot.node, spot.offset, fault);
    good = false;
  };
  out = read_template(value, found, wrong);
  return good;
}

bool Checker::check_replacement(const Action& action, const config::Node& value) {
  // The same pattern with an empty alternative matches the empty text, so the replacement is tried out here: a group
  // that is not there, or a '$' that means nothing, would otherwise fail on the first message.
  const base::Result<match::Regex> tried = match::Regex::compile(action.regex->pattern() + "|");
  if (!tried) return true;
  const base::Result<std::string> result = tried->replace_all("", value.text, kLongestText * 2);
  if (result || result.error().cause() == base::Cause::limit) return true;
  report_.error(value, "the replacement cannot be used: " + result.error().text(),
                "$1 is the first group of the pattern, $$ a dollar sign");
  return false;
}

void Checker::check_reply(const config::Node& text, const Action& action) {
  size_t length = 0;
  bool ascii = true;
  for (const Template::Piece& piece : action.templates[0].pieces) {
    if (piece.kind != Template::Piece::Kind::literal) continue;
    length += piece.text.size();
    ascii = ascii && std::all_of(piece.text.begin(), piece.text.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
  }
  if (!ascii) report_.error(text, "the text of an SMTP reply must be printable ASCII");
  if (length > kLongestReply) {
    report_.error(text, "the text of an SMTP reply may have at most " + std::to_string(kLongestReply) + " bytes");
  }
}

bool Checker::check_quarantine(const Spot& spot, std::string_view name) {
  if (std::find(context_.quarantines.begin(), context_.quarantines.end(), name) != context_.quarantines.end()) {
    return true;
  }
  const std::vector<std::string_view> names(context_.quarantines.begin(), context_.quarantines.end());
  std::string hint = did_you_mean(name, names);
  if (hint.empty()) hint = "quarantines are named in postern.yaml under 'quarantines'";
  error(spot, "there is no quarantine " + quoted(name), std::move(hint));
  return false;
}

}  // namespace postern::rules
