// SPDX-License-Identifier: Apache-2.0
// Arguments of actions that make mail: addresses with variables, archives, texts. What stands there literally is
// checked now; what variables make of it can only be checked for each message.
#include "engine/message/address.h"
#include "rules/check.h"
#include "rules/mail_text.h"
#include "rules/templates.h"

namespace postern::rules {
namespace {

constexpr size_t kLongestList = 4096;
constexpr size_t kLongestText = 64 << 10;

bool is_literal(const Template& text) {
  for (const Template::Piece& piece : text.pieces) {
    if (piece.kind != Template::Piece::Kind::literal) return false;
  }
  return true;
}

std::string literal_text(const Template& text) {
  std::string out;
  for (const Template::Piece& piece : text.pieces) out += piece.text;
  return out;
}

}  // namespace

bool Checker::check_submission(const Spot& spot, const ActionRow& row) {
  const bool sends = row.arguments.starts_with('V');
  if ((sends || row.arguments == "D") && !context_.store) {
    error(spot, quoted(row.name) + " needs a place for what is kept", "name one in postern.yaml under 'store'");
    return false;
  }
  if (!sends || context_.reinject) return true;
  error(spot, quoted(row.name) + " needs a mail server to hand its mail to",
        "set reinject.server in postern.yaml, and see contrib/postfix");
  return false;
}

bool Checker::check_addresses(const Spot& spot, size_t front, std::string_view value, char letter, Phase phase,
                              Template& out) {
  const Spot inner{spot.node, spot.offset + front, value.size()};
  if (value.size() > kLongestList) {
    error(spot, "the value is longer than " + std::to_string(kLongestList) + " bytes");
    return false;
  }
  if (!check_template(inner, value, false, phase, out)) return false;
  if (!is_literal(out)) return true;
  const std::string text = literal_text(out);
  if (letter == 'U') {
    const base::Result<std::string> path = message::parse_path(text);
    if (path && text.find_first_of(" \t,;") == std::string::npos) return true;
    error(spot, quoted(text) + " is no envelope sender", "one address, a variable such as $EnvelopeFrom, or <>");
    return false;
  }
  const message::AddressList list = message::parse_address_list(text, kLongestList);
  bool good = !list.malformed && !list.mailboxes.empty();
  for (const message::Mailbox& mailbox : list.mailboxes) good = good && !mailbox.local.empty();
  if (!good) {
    error(spot, quoted(text) + " is no mail address");
  } else if (letter == 'F' && list.mailboxes.size() != 1) {
    error(spot, "'from' takes one address", "for example: \"Mail gateway <postmaster@mail.example>\"");
    good = false;
  }
  return good;
}

bool Checker::check_archive(const Spot& spot, std::string_view name) {
  if (std::find(context_.archives.begin(), context_.archives.end(), name) != context_.archives.end()) return true;
  const std::vector<std::string_view> names(context_.archives.begin(), context_.archives.end());
  std::string hint = did_you_mean(name, names);
  if (hint.empty()) hint = "archives are named in postern.yaml under 'archives'";
  error(spot, "there is no archive " + quoted(name), std::move(hint));
  return false;
}

void Checker::check_texts() {
  for (const auto& [name, source] : context_.texts) {
    const std::string_view text = report_.sources().text(source);
    const auto complain = [&, source = source](size_t offset, size_t length, std::string message, std::string hint) {
      report_.diagnostics().error(report_.sources().position_at(source, offset), static_cast<uint32_t>(length),
                                  std::move(message), std::move(hint));
    };
    if (text.empty()) complain(0, 1, "the text is empty", "");
    if (text.size() > kLongestText) {
      complain(0, 1, "the text is longer than " + std::to_string(kLongestText) + " bytes", "");
    }
    if (!base::is_valid_utf8(text)) complain(0, 1, "the text is not UTF-8", "");
    texts_[name] = read_template(
        text, [](uint16_t, size_t, size_t) {},
        [&](const ValueFault& fault) {
          complain(fault.offset, std::max<size_t>(fault.length, 1), fault.message, fault.hint);
        });
  }
}

bool Checker::check_text(const Spot& spot, std::string_view name, Phase phase, Template& out) {
  const auto found = texts_.find(name);
  if (found == texts_.end()) {
    std::vector<std::string_view> names;
    for (const auto& [known, text] : texts_) names.push_back(known);
    std::string hint = did_you_mean(name, names);
    if (hint.empty()) hint = "texts are files NAME.txt in the folder that 'templates' of postern.yaml names";
    error(spot, "there is no text " + quoted(name), std::move(hint));
    return false;
  }
  out = found->second;
  const Phase known = phase_of_needs(out.needs);
  if (known <= phase) return true;
  check_phase(spot, name, known, phase);
  return false;
}

}  // namespace postern::rules
