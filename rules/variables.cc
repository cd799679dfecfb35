// SPDX-License-Identifier: Apache-2.0
// Action variables: one function per row of variable_table(), and the expansion of templates. Values come from outside:
// line ends and NUL in them never survive, unless lines are wanted, and the whole is bounded. Expansion is single-pass:
// a value that looks like a variable stays text.
#include <array>
#include <ctime>
#include <string>
#include <vector>

#include "engine/base/decimal.h"
#include "engine/base/text.h"
#include "engine/mime/encoded_word.h"
#include "engine/mime/header.h"
#include "rules/actions.h"
#include "rules/eval.h"

namespace postern::rules {
namespace {

constexpr size_t kMaxList = 32 * 1024;  // a list of recipients or file names
constexpr size_t kMaxAllHeaders = 64 * 1024;
constexpr size_t kMaxExpanded = 512 * 1024;

using Value = std::string (*)(const Filter&, Facts&);

template <class Items, class Text>
std::string join(const Items& items, Text text) {
  std::string out;
  for (const auto& item : items) {
    const std::string_view piece = text(item);
    if (piece.empty()) continue;
    if (out.size() + piece.size() > kMaxList) {
      out += ", ...";
      break;
    }
    if (!out.empty()) out += ", ";
    out += piece;
  }
  return out;
}

std::string join(const std::vector<std::string>& items) {
  return join(items, [](const std::string& item) { return std::string_view(item); });
}

std::string or_empty(const std::optional<std::string>& value) { return value.value_or(std::string()); }

std::string time_text(Facts& facts, const char* format) {
  const auto now = static_cast<std::time_t>(facts.now());
  std::tm parts{};
  localtime_r(&now, &parts);
  char buffer[64];
  return std::string(buffer, std::strftime(buffer, sizeof buffer, format, &parts));
}

std::string attachment_list(Facts& facts, std::string (*text)(const mime::Part&)) {
  std::vector<std::string> items;
  size_t size = 0;
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return {};
  for (const uint32_t index : facts.attachments()) {
    items.push_back(text(tree->parts[index]));
    size += items.back().size();
    if (size > kMaxList) break;
  }
  return join(items);
}

std::string all_headers(const Filter&, Facts& facts) {
  std::string out;
  for (const mime::HeaderField& field : facts.message().headers) {
    const std::string value = mime::decode_words(field.value);
    if (out.size() + field.name.size() + value.size() + 3 > kMaxAllHeaders) {
      out += "...\n";
      break;
    }
    out.append(field.name).append(": ").append(base::one_line(value)).append("\n");
  }
  return out;
}

std::string envelope_from(const Filter&, Facts& facts) { return or_empty(facts.message().envelope.from); }

std::string client_ip(const Filter&, Facts& facts) { return or_empty(facts.message().connection.client_ip); }

std::string virus(const Filter&, Facts& facts) {
  const bool asked =
      !facts.skip_virus && facts.engines != nullptr && facts.headers_known() && facts.message().has_body();
  return asked ? join(facts.engines->virus().found) : std::string();
}

std::string spam_score(const Filter&, Facts& facts) {
  if (facts.skip_spam || facts.engines == nullptr) return "skipped";
  if (!facts.headers_known() || !facts.message().has_body()) return "unknown";
  const SpamFact& fact = facts.engines->spam();
  if (!fact.asked) return "skipped";
  return fact.complete && fact.score ? base::format_thousandths(*fact.score) : "unknown";
}

std::string flow_name(const Filter&, Facts& facts) { return std::string(facts.flow()); }

struct NamedValue {
  std::string_view name;
  Value value;
};

constexpr NamedValue kValues[] = {
    {"Subject", [](const Filter&, Facts& facts) { return facts.header_text("Subject"); }},
    {"MID", [](const Filter&, Facts& facts) { return std::to_string(facts.message().mid); }},
    {"QueueID", [](const Filter&, Facts& facts) { return facts.message().queue_id; }},
    {"EnvelopeFrom", envelope_from},
    {"EnvelopeSender", envelope_from},
    {"EnvelopeRecipients",
     [](const Filter&, Facts& facts) {
       if (facts.current_recipient) return *facts.current_recipient;
       return join(facts.message().envelope.recipients,
                   [](const message::Recipient& recipient) { return std::string_view(recipient.address); });
     }},
    {"filenames",
     [](const Filter&, Facts& facts) {
       return attachment_list(facts, [](const mime::Part& part) {
         return part.file_names.empty() ? std::string() : part.file_names.front();
       });
     }},
    {"filesizes",
     [](const Filter&, Facts& facts) {
       return attachment_list(facts, [](const mime::Part& part) { return std::to_string(part.content.size()); });
     }},
    {"filetypes",
     [](const Filter&, Facts& facts) {
       return attachment_list(facts, [](const mime::Part& part) { return part.type.value; });
     }},
    {"dropped_filename",
     [](const Filter&, Facts& facts) {
       return facts.dropped_names.empty() ? std::string() : facts.dropped_names.back();
     }},
    {"dropped_filenames", [](const Filter&, Facts& facts) { return join(facts.dropped_names); }},
    {"dropped_filetypes", [](const Filter&, Facts& facts) { return join(facts.dropped_types); }},
    {"FilterName", [](const Filter& filter, Facts&) { return filter.name; }},
    {"MatchedContent", [](const Filter&, Facts& facts) { return facts.matched_content; }},
    // Bare $Header names no field; $Header['X'] is a piece of its own kind.
    {"Header", [](const Filter&, Facts&) { return std::string(); }},
    {"AllHeaders", all_headers},
    {"BodySize", [](const Filter&, Facts& facts) { return std::to_string(facts.message().size()); }},
    {"Group", flow_name},
    {"Policy", flow_name},
    {"Hostname", [](const Filter&, Facts& facts) { return std::string(facts.hostname()); }},
    {"RecvListener", [](const Filter&, Facts& facts) { return or_empty(facts.message().connection.daemon_name); }},
    {"RecvInt", [](const Filter&, Facts& facts) { return or_empty(facts.message().connection.interface); }},
    {"RemoteIP", client_ip},
    {"remote_ip", client_ip},
    {"remotehost", [](const Filter&, Facts& facts) { return or_empty(facts.message().connection.client_name); }},
    {"Date", [](const Filter&, Facts& facts) { return time_text(facts, "%m/%d/%Y"); }},
    {"Time", [](const Filter&, Facts& facts) { return time_text(facts, "%H:%M:%S"); }},
    {"GMTimeStamp", [](const Filter&, Facts& facts) { return base::mail_date(facts.now(), false); }},
    {"Timestamp", [](const Filter&, Facts& facts) { return base::mail_date(facts.now(), true); }},
    {"SMTPAuthID", [](const Filter&, Facts& facts) { return or_empty(facts.message().envelope.auth_user); }},
    {"Virus", virus},
    {"SpamScore", spam_score},
    {"From", [](const Filter&, Facts& facts) { return facts.header_text("From"); }},
    {"To", [](const Filter&, Facts& facts) { return facts.header_text("To"); }},
};

// The values in the order of variable_table(), made once.
const std::vector<Value>& values() {
  static const std::vector<Value> table = [] {
    std::vector<Value> out;
    for (const VariableRow& row : variable_table()) {
      Value found = nullptr;
      for (const NamedValue& entry : kValues) {
        if (entry.name == row.name) found = entry.value;
      }
      out.push_back(found);
    }
    return out;
  }();
  return table;
}

// Text from outside for a place where lines are welcome: no NUL, other control characters blanks, every line end a LF.
std::string tame_lines(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\0') continue;
    if (text[i] == '\r') {
      if (i + 1 == text.size() || text[i + 1] != '\n') out.push_back('\n');
      continue;
    }
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool control = (byte < 0x20 && byte != '\t' && byte != '\n') || byte == 0x7F;
    out.push_back(control ? ' ' : text[i]);
  }
  return out;
}

}  // namespace

bool has_variable(std::string_view name) {
  const int at = find_variable(name);
  return at >= 0 && values()[static_cast<size_t>(at)] != nullptr;
}

std::string expand(const Template& text, const Filter& filter, Facts& facts, bool keep_lines) {
  std::string out;
  for (const Template::Piece& piece : text.pieces) {
    std::string value;
    switch (piece.kind) {
      case Template::Piece::Kind::literal:
        out += piece.text;
        continue;
      case Template::Piece::Kind::header:
        value = facts.header_text(piece.text);
        break;
      case Template::Piece::Kind::variable:
        if (piece.variable < values().size() && values()[piece.variable] != nullptr) {
          value = values()[piece.variable](filter, facts);
        }
        break;
    }
    out += keep_lines ? tame_lines(value) : base::one_line(value);
    if (out.size() > kMaxExpanded) {
      cut_utf8(out, kMaxExpanded);
      break;
    }
  }
  return out;
}

}  // namespace postern::rules
