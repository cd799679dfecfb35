// SPDX-License-Identifier: Apache-2.0
// Splits texts at their variables; neighbouring literals are one piece.
#include "rules/templates.h"

#include <vector>

#include "engine/base/text.h"
#include "engine/mime/header.h"
#include "rules/report.h"

namespace postern::rules {
namespace {

// Variables of the reference product whose subject this version does not have.
struct LaterVariable {
  std::string_view name;
  std::string_view what;
};
constexpr LaterVariable kLaterVariables[] = {
    {"Reputation", "sender reputation"},  {"CertificateSigners", "S/MIME"},
    {"DLPPolicy", "DLP policies"},        {"DLPSeverity", "DLP policies"},
    {"DLPRiskFactor", "DLP policies"},    {"threat_category", "outbreak filters"},
    {"threat_type", "outbreak filters"},  {"threat_description", "outbreak filters"},
    {"threat_level", "outbreak filters"},
};

bool is_letter(char c) { return base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z'; }
bool is_name(char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; }

class Splitter {
 public:
  Splitter(std::string_view text, const std::function<void(uint16_t, size_t, size_t)>& found,
           const std::function<void(const ValueFault&)>& wrong)
      : text_(text), found_(found), wrong_(wrong) {}

  Template run() {
    while (at_ < text_.size()) {
      const size_t dollar = text_.find('$', at_);
      literal(text_.substr(at_, dollar - at_));
      if (dollar == std::string_view::npos) break;
      at_ = dollar + 1;
      if (at_ < text_.size() && text_[at_] == '$') {
        literal("$");
        ++at_;
      } else if (at_ < text_.size() && is_letter(text_[at_])) {
        variable(dollar);
      } else {
        literal("$");
      }
    }
    return std::move(out_);
  }

 private:
  void literal(std::string_view text) {
    if (text.empty()) return;
    if (out_.pieces.empty() || out_.pieces.back().kind != Template::Piece::Kind::literal) out_.pieces.emplace_back();
    out_.pieces.back().text += text;
  }

  void variable(size_t dollar) {
    const size_t start = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    const std::string_view name = text_.substr(start, at_ - start);
    const int index = find_variable(name);
    for (const LaterVariable& later : kLaterVariables) {
      if (!base::iequals(later.name, name)) continue;
      wrong_({dollar, at_ - dollar,
              "variable " + quoted("$" + std::string(name)) + " needs " + std::string(later.what) +
                  ", which this version does not have",
              ""});
      return;
    }
    if (index < 0) {
      std::vector<std::string_view> names;
      for (const VariableRow& row : variable_table()) names.push_back(row.name);
      const std::string_view best = base::nearest(name, names);
      wrong_({dollar, at_ - dollar, "unknown variable " + quoted("$" + std::string(name)),
              best.empty() ? "a dollar sign that is meant is written $$"
                           : "did you mean '$" + std::string(best) + "'? A dollar sign that is meant is written $$"});
      return;
    }
    const VariableRow& row = variable_table()[static_cast<size_t>(index)];
    Template::Piece piece{std::string(row.name), Template::Piece::Kind::variable, static_cast<uint16_t>(index)};
    if (row.name == "Header") {
      if (!header(dollar, piece)) return;
    }
    found_(static_cast<uint16_t>(index), dollar, at_ - dollar);
    out_.needs |= row.needs;
    out_.pieces.push_back(std::move(piece));
  }

  bool header(size_t dollar, Template::Piece& piece) {
    const char quote = at_ + 1 < text_.size() && text_[at_] == '[' ? text_[at_ + 1] : '\0';
    const size_t end = quote == '\'' || quote == '"' ? text_.find(quote, at_ + 2) : std::string_view::npos;
    if (end == std::string_view::npos || end + 1 >= text_.size() || text_[end + 1] != ']') {
      wrong_({dollar, at_ - dollar, "'$Header' needs the name of a field", "write $Header['X-Name']"});
      return false;
    }
    const std::string_view name = text_.substr(at_ + 2, end - at_ - 2);
    const size_t start = at_ + 2;
    at_ = end + 2;
    if (!mime::is_field_name(name)) {
      wrong_({start, name.size(), quoted(name) + " is no header field name", ""});
      return false;
    }
    piece.kind = Template::Piece::Kind::header;
    piece.text = name;
    return true;
  }

  std::string_view text_;
  const std::function<void(uint16_t, size_t, size_t)>& found_;
  const std::function<void(const ValueFault&)>& wrong_;
  size_t at_ = 0;
  Template out_;
};

}  // namespace

Template read_template(std::string_view text, const std::function<void(uint16_t, size_t, size_t)>& found,
                       const std::function<void(const ValueFault&)>& wrong) {
  return Splitter(text, found, wrong).run();
}

}  // namespace postern::rules
