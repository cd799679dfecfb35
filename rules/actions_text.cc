// SPDX-License-Identifier: Apache-2.0
// Actions on the text of the body. They only plan (BodyEdits); evaluate() writes the body once when all filters have
// run. All parts or none: where one part is signed, encrypted or cannot be read, or where what was looked for would
// stay there for a reader, nothing is changed and the filter's on-unknown decides.
#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/mime/charset.h"
#include "rules/actions.h"
#include "rules/content.h"
#include "rules/html_reader.h"
#include "rules/mime_facts.h"

namespace postern::rules {
namespace {

constexpr std::string_view kMark = "\xEF\xBF\xBC";  // U+FFFC stands for what is not text
constexpr size_t kMaxGrowth = 1u << 20;             // by which an edited text may be longer than it was

// Plan is what an action wants of each part, kept back until all of it is known to be possible.
struct Plan {
  ActionResult result;
  std::vector<std::pair<uint32_t, std::string>> texts;
  size_t matches = 0;

  void refuse(const mime::Part& part, std::string_view why, Unknown reason = Unknown::unscannable) {
    result.problem = reason;
    result.detail += (result.detail.empty() ? "part " : "; part ") + part.path + " " + std::string(why);
  }
};

// The text of `part` as filters want it so far.
const std::string& text_so_far(Facts& facts, uint32_t part) {
  const auto& texts = facts.body_edits.texts;
  const auto at = texts.find(part);
  return at != texts.end() ? at->second : facts.message().text(part).utf8;
}

// Whether writing cannot keep what is in `part`: apply_body_edits would leave it as it came.
bool is_unreadable(const mime::Part& part, const mime::Text& text) {
  return text.damaged || text.undecodable || part.encoding == mime::TransferEncoding::unknown ||
         part.encoding == mime::TransferEncoding::uuencode;
}

// Whether a replacement brings back some of what matched: "$1", "${1}"; "$$" is a dollar sign.
bool has_group(std::string_view replacement) {
  for (size_t at = 0; at + 1 < replacement.size(); ++at) {
    if (replacement[at] != '$') continue;
    if (replacement[at + 1] != '$') return true;
    ++at;
  }
  return false;
}

// Edited is a text after an edit. `shown`, where there are uuencoded files in it, is the text without them; `all`
// false: not every file could be told.
struct Edited {
  std::string text;
  std::optional<std::string> shown;
  bool all = true;

  const std::string& seen() const { return shown ? *shown : text; }
};

// edit_plain edits what is text in `text`; the uuencoded files in it, which are attachments, stay.
Edited edit_plain(const std::string& text, const std::function<bool(std::string&)>& replace) {
  bool more = false;
  std::vector<UuFile> files = find_uuencoded(text, more);
  std::erase_if(files, [](const UuFile& file) { return !file.whole; });
  Edited out{.text = {}, .shown = {}, .all = !more};
  if (files.empty()) {
    out.text = text;
    replace(out.text);
    return out;
  }
  out.shown.emplace();
  size_t done = 0;
  const auto take = [&](size_t end) {
    std::string piece = text.substr(done, end - done);
    replace(piece);
    out.text += piece;
    *out.shown += piece;
  };
  for (const UuFile& file : files) {
    take(file.begin);
    out.text.append(text, file.begin, file.end - file.begin);
    done = file.end;
  }
  take(text.size());
  return out;
}

// Whether the pattern is in `text` between characters that do not show.
bool is_seen(const match::Regex& regex, const std::string& text) {
  const std::optional<std::string> seen = visible(text);
  return regex.search(seen ? *seen : text) != match::Verdict::no;
}

// Why the pattern may be there for a reader of `text` in spite of the edit; empty when it is not.
std::string_view stays_for_reader(const match::Regex& regex, const std::string& text, bool html) {
  constexpr std::string_view kStays = "holds the pattern across markup or between characters that do not show";
  if (!html) return is_seen(regex, text) ? kStays : std::string_view();
  const HtmlReadings readings = html_readings(text);
  if (std::ranges::any_of(readings.texts, [&](const std::string& shown) { return is_seen(regex, shown); })) {
    return kStays;
  }
  return readings.unsure ? "hides text in a way that readers differ in" : std::string_view();
}

void edit_part(const Action& action, Facts& facts, uint32_t index, Plan& plan) {
  const mime::Part& part = facts.structure()->parts[index];
  const match::Regex& regex = *action.regex;
  const std::string& replacement = action.texts[1];
  const std::string& before = text_so_far(facts, index);
  const bool html = part.type.value == "text/html";
  const size_t most = before.size() + kMaxGrowth;
  bool limited = false;
  size_t matches = 0;
  const bool unreadable = is_unreadable(part, facts.message().text(index));
  const auto replace = [&](std::string& text) {
    if (limited) return false;
    uint32_t found = 0;
    if (regex.count(text, UINT32_MAX, found) == match::Verdict::limit) limited = true;
    if (found == 0) return false;
    base::Result<std::string> edited = regex.replace_all(text, replacement, most);
    if (!edited) {
      limited = true;
      return false;
    }
    matches += found;
    text = std::move(*edited);
    return true;
  };
  const auto edit = [&](const std::function<bool(std::string&)>& with) {
    return html ? Edited{.text = html_edit(before, with), .shown = {}} : edit_plain(before, with);
  };
  Edited after = edit(replace);
  if (limited) {
    plan.refuse(part, "could not be searched to the end", Unknown::regex_limit);
    return;
  }
  bool removes = regex.search(replacement) == match::Verdict::no;
  std::optional<Edited> marked;
  if (removes && matches > 0 && has_group(replacement)) {
    // What the groups bring back may well match: what is left is looked for in a text with marks in their place.
    const auto mark = [&](std::string& text) {
      base::Result<std::string> edited = regex.replace_all(text, kMark, most);
      removes = removes && edited.has_value();
      if (edited) text = std::move(*edited);
      return edited.has_value();
    };
    marked = edit(mark);
  }
  const std::string_view stays =
      removes ? stays_for_reader(regex, (marked ? *marked : after).seen(), html) : std::string_view();
  if (matches == 0 && stays.empty() && after.all) {
    if (unreadable) plan.refuse(part, "cannot be read");
    return;
  }
  const std::string_view guard = protection_of(facts, index);
  if (!guard.empty()) {
    plan.refuse(part, "is " + std::string(guard) + " and is not edited");
  } else if (unreadable || !after.all) {
    plan.refuse(part, "cannot be read");
  } else if (!stays.empty()) {
    plan.refuse(part, stays);
  } else {
    plan.matches += matches;
    plan.texts.emplace_back(index, std::move(after.text));
  }
}

// Parts of the body that are not text, but hold some that nobody here can edit.
void refuse_closed_content(Facts& facts, Plan& plan) {
  const mime::Structure& tree = *facts.structure();
  for (uint32_t i = 0; i < tree.parts.size(); ++i) {
    if (tree.parts[i].kind == mime::PartKind::multipart && tree.parts[i].type.value == "multipart/encrypted") {
      plan.refuse(tree.parts[i], "is encrypted and is not edited");
    }
    if (!tree.parts[i].is_leaf() || (i != 0 && tree.parts[i].depth > 1)) continue;
    switch (smime_kind(tree.parts[i], facts.message().received_body())) {
      case SmimeKind::signed_data:
        plan.refuse(tree.parts[i], "is signed and is not edited");
        break;
      case SmimeKind::enveloped_data:
        plan.refuse(tree.parts[i], "is encrypted and is not edited");
        break;
      case SmimeKind::none:
      case SmimeKind::other:
        break;
    }
  }
}

ActionResult edit_body_text(const Action& action, ActionContext& context) {
  Facts& facts = context.facts;
  Plan plan;
  plan.result.text = action.row->name;
  if (facts.structure() == nullptr || !action.regex) {
    return {std::string(action.row->name), "the body is not known", Unknown::unscannable};
  }
  if (!facts.saw_every_reading()) plan.refuse(facts.structure()->parts[0], "cannot be taken apart in one way only");
  refuse_closed_content(facts, plan);
  for (uint32_t i = 0; i < facts.structure()->parts.size(); ++i) {
    if (facts.is_body_text(i)) edit_part(action, facts, i, plan);
  }
  if (plan.result.problem != Unknown::none) return plan.result;
  plan.result.text += " (" + std::to_string(plan.matches) + ")";
  if (context.dry || plan.texts.empty()) return plan.result;
  for (auto& [part, text] : plan.texts) facts.body_edits.texts[part] = std::move(text);
  facts.body_edits.pending = true;
  return plan.result;
}

ActionResult html_convert(const Action& action, ActionContext& context) {
  Facts& facts = context.facts;
  Plan plan;
  plan.result.text = action.row->name;
  if (facts.structure() == nullptr) {
    return {std::string(action.row->name), "the body is not known", Unknown::unscannable};
  }
  refuse_closed_content(facts, plan);
  std::vector<uint32_t> parts;
  for (uint32_t i = 0; i < facts.structure()->parts.size(); ++i) {
    const mime::Part& part = facts.structure()->parts[i];
    if (!facts.is_body_text(i) || part.type.value != "text/html") continue;
    const std::string_view guard = protection_of(facts, i);
    if (!guard.empty()) {
      plan.refuse(part, "is " + std::string(guard) + " and is not edited");
    } else if (is_unreadable(part, facts.message().text(i))) {
      plan.refuse(part, "cannot be read");
    } else {
      parts.push_back(i);
    }
  }
  if (plan.result.problem != Unknown::none) return plan.result;
  plan.result.text += " (" + std::to_string(parts.size()) + ")";
  if (context.dry || parts.empty()) return plan.result;
  facts.body_edits.to_plain.insert(parts.begin(), parts.end());
  facts.body_edits.pending = true;
  return plan.result;
}

constexpr NamedAction kActions[] = {
    {"edit-body-text", edit_body_text},
    {"html-convert", html_convert},
};

}  // namespace

std::span<const NamedAction> text_actions() { return kActions; }

}  // namespace postern::rules
