// SPDX-License-Identifier: Apache-2.0
// Actions on the body: attachments dropped, texts added above and below. They only plan (BodyEdits); evaluate() writes
// the body once when all filters have run. Nothing inside an encrypted part is taken out. An attachment inside a signed
// part goes as policy asked, which breaks the signature, and the report says so. When not every part could be seen,
// what was found goes and the action reports that it could not tell.
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/text.h"
#include "rules/actions.h"
#include "rules/mime_facts.h"
#include "rules/scanned.h"
#include "rules/tests.h"
#include "rules/text_search.h"

namespace postern::rules {
namespace {

constexpr size_t kMaxAddedText = 256 * 1024;
constexpr size_t kMaxReported = 400;

std::string name_of(const mime::Part& part) {
  return part.file_names.empty() ? std::string() : base::one_line(part.file_names.front());
}

// The text left in place of an attachment: the action's comment, or one that says what was there.
std::string notice_for(const Action& action, const mime::Part& part, ActionContext& context) {
  if (action.given.size() > 1 && action.given[1]) {
    std::string text = expand(action.templates[1], context.filter, context.facts, false);
    cut_utf8(text, kMaxAddedText);
    return text;
  }
  const std::string name = name_of(part);
  std::string text = "An attachment was removed by policy: ";
  text += name.empty() ? "unnamed" : '"' + name + '"';
  text += " (" + base::one_line(part.type.value) + ", " + std::to_string(part.content.size()) + " bytes).";
  return text;
}

void note(std::string& detail, std::string_view text) {
  if (detail.size() > kMaxReported) return;
  if (!detail.empty()) detail += "; ";
  detail += text;
}

// Whether taking out `part` leaves another reading of the same content, in which a notice would hide the message: the
// last alternative is the one that is shown.
bool has_alternative(Facts& facts, const mime::Structure& tree, uint32_t part) {
  const uint32_t parent = tree.parts[part].parent;
  if (part == 0 || tree.parts[parent].type.value != "multipart/alternative") return false;
  return std::ranges::any_of(tree.children(parent),
                             [&](uint32_t child) { return child != part && !facts.dropped(child); });
}

// OtherTest tells whether what only some mail readers see is meant as well: it cannot be taken out.
using OtherTest = std::function<Truth(const Inspection::Reading&)>;

// Asks tells what a test asks of a part: what the part says of itself, or what it holds, of which readers may also
// decode different things.
enum class Asks { header, content };

// Whether `part` goes: it is dropped, or it or what it stands in is among `taken`.
bool is_gone(Facts& facts, uint32_t part, const std::vector<uint32_t>& taken) {
  const std::vector<mime::Part>& parts = facts.structure()->parts;
  for (uint32_t up = part;; up = parts[up].parent) {
    if (facts.dropped(up) || std::ranges::find(taken, up) != taken.end()) return true;
    if (up == 0) return false;
  }
}

// What cannot be told, or done, about parts that only some mail readers find, or decode so. `taken` are the parts that
// the action takes out, however they are decoded.
void check_readings(Facts& facts, Asks asks, const OtherTest& other, const std::vector<uint32_t>& taken,
                    ActionResult& result) {
  if (asks == Asks::header ? facts.saw_every_reading() : facts.saw_every_content()) return;
  if (!facts.saw_everything() || other == nullptr || !facts.inspection().readings_complete()) {
    result.problem = Unknown::unscannable;
    note(result.detail, "not every part could be seen");
    return;
  }
  Truth answer = Truth::of(false);
  for (const Inspection::Reading& reading : facts.inspection().readings(asks == Asks::content)) {
    // Where all find the same parts, a part that goes takes its other contents along.
    if (facts.structure()->one_reading && is_gone(facts, reading.leaf->part, taken)) continue;
    answer = either(answer, other(reading));
  }
  if (answer.is_no()) return;
  result.problem = answer.is_yes() ? Unknown::unscannable : answer.reason;
  note(result.detail, answer.is_yes() ? "a part that only some mail readers find stays"
                                      : "could not tell for a part that only some mail readers find");
}

template <class Hit>
ActionResult drop_attachments(const Action& action, ActionContext& context, Asks asks, Hit hit,
                              const OtherTest& other = nullptr) {
  Facts& facts = context.facts;
  ActionResult result;
  std::string names;
  std::vector<uint32_t> taken;
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) {
    return {std::string(action.row->name), "the body is not known", Unknown::unscannable};
  }
  const std::vector<uint32_t> attachments = facts.attachments();
  for (const uint32_t index : attachments) {
    if (facts.dropped(index)) continue;  // went with the attached message it stood in
    const mime::Part& part = tree->parts[index];
    const Truth answer = hit(part, index);
    if (answer.is_unknown()) {
      result.problem = answer.reason;
      note(result.detail, "could not tell for part " + part.path);
    }
    if (!answer.is_yes()) continue;
    const std::string name = name_of(part);
    if (inside_type(facts, index, "multipart/encrypted")) {
      // Only its label says that it is encrypted.
      result.problem = Unknown::unscannable;
      note(result.detail, "part " + part.path + " is inside an encrypted part and stays");
      continue;
    }
    taken.push_back(index);
    if (names.size() < kMaxReported) names += (names.empty() ? "" : ", ") + (name.empty() ? "unnamed" : name);
    if (inside_type(facts, index, "multipart/signed"))
      note(result.detail, "breaks the signature over part " + part.path);
    if (context.dry) continue;
    facts.dropped_names.push_back(name);
    facts.dropped_types.push_back(part.type.value);
    std::string notice = notice_for(action, part, context);
    if (has_alternative(facts, *tree, index)) notice.clear();
    facts.body_edits.drops.push_back({index, std::move(notice)});
    facts.body_edits.pending = true;
    facts.mark_dropped(index);
  }
  check_readings(facts, asks, other, taken, result);
  result.text = std::string(action.row->name) + " (" + std::to_string(taken.size()) + ")";
  if (!taken.empty()) result.text += ": " + names;
  return result;
}

// A file inside a text of the body is an attachment too, but no part that could be taken out.
template <class Find>
void check_texts(Facts& facts, Find find, ActionResult& result) {
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return;
  for (uint32_t i = 0; i < tree->parts.size(); ++i) {
    if (!facts.is_body_text(i)) continue;
    const Truth inside = find(i);
    if (inside.is_no()) continue;
    result.problem = inside.is_yes() ? Unknown::unscannable : inside.reason;
    note(result.detail, (inside.is_yes() ? "what was found in the text of part " : "could not tell for part ") +
                            tree->parts[i].path + (inside.is_yes() ? " stays" : ""));
  }
}

Truth search_name(const Action& action, std::string_view name) {
  if (!action.regex) return not_known();
  const match::Verdict verdict = action.regex->search(name);
  return verdict == match::Verdict::limit ? Truth::unknown(Unknown::regex_limit)
                                          : Truth::of(verdict == match::Verdict::yes);
}

// By what the part says of itself where that is enough, and else by what is in it.
ActionResult drop_by_name(const Action& action, ActionContext& context) {
  Facts& facts = context.facts;
  const auto named = [&](const std::vector<std::string>& names) {
    Truth answer = Truth::of(false);
    for (const std::string& name : names) answer = either(answer, search_name(action, name));
    return answer;
  };
  const auto member = [&](const scan::Leaf& leaf) {
    return leaf.name.empty() ? Truth::of(false) : search_name(action, leaf.name);
  };
  const auto inside = [&](uint32_t index) { return found_in(facts, index, member, names_are_known); };
  ActionResult result = drop_attachments(
      action, context, Asks::content,
      [&](const mime::Part& part, uint32_t index) {
        const Truth answer = named(part.file_names);
        return answer.is_yes() || !part.is_leaf() ? answer : either(answer, inside(index));
      },
      [&](const Inspection::Reading& reading) {
        return either(named(reading.leaf->file_names), found_in_reading(facts, reading, member, names_are_known));
      });
  check_texts(facts, inside, result);
  return result;
}

ActionResult drop_by_mimetype(const Action& action, ActionContext& context) {
  const std::string& wanted = action.texts[0];
  return drop_attachments(
      action, context, Asks::header,
      [&](const mime::Part& part, uint32_t) { return Truth::of(type_matches(wanted, part.type.value)); },
      [&](const Inspection::Reading& reading) { return Truth::of(type_matches(wanted, reading.leaf->type)); });
}

ActionResult drop_by_type(const Action& action, ActionContext& context) {
  Facts& facts = context.facts;
  const std::string& wanted = action.texts[0];
  const auto is_type = [&](const scan::Leaf& leaf) {
    return Truth::of(type_matches(wanted, leaf.mime) || type_matches(wanted, mime::type_from_extension(leaf.name)));
  };
  // The part itself is judged by what it says of itself.
  const auto member = [&](const scan::Leaf& leaf) { return leaf.path.empty() ? Truth::of(false) : is_type(leaf); };
  const auto inside = [&](uint32_t index) { return found_in(facts, index, member, names_are_known); };
  ActionResult result = drop_attachments(
      action, context, Asks::content,
      [&](const mime::Part& part, uint32_t index) {
        const Truth answer = Truth::of(part_type_matches(wanted, part));
        return answer.is_yes() || !part.is_leaf() ? answer : inside(index);
      },
      [&](const Inspection::Reading& reading) {
        const Truth declared = Truth::of(type_matches(wanted, reading.leaf->type));
        // Where all find the same parts, the label is the part's, which was judged.
        const auto found = facts.structure()->one_reading ? FoundTest(member) : FoundTest(is_type);
        return either(declared, found_in_reading(facts, reading, found, names_are_known));
      });
  check_texts(facts, inside, result);
  return result;
}

// An attachment goes as a whole. What was found where nothing can be taken out is reported.
ActionResult drop_by_filetype(const Action& action, ActionContext& context) {
  Facts& facts = context.facts;
  if (facts.structure() == nullptr) {
    return {std::string(action.row->name), "the body is not known", Unknown::unscannable};
  }
  const auto hit = [&](const scan::Leaf& leaf) { return Truth::of(is_kind(leaf, action.kinds)); };
  const std::vector<uint32_t> outer = outer_attachments(facts);
  ActionResult result = drop_attachments(
      action, context, Asks::content,
      [&](const mime::Part&, uint32_t index) {
        return std::ranges::binary_search(outer, index) ? found_in(facts, index, hit) : Truth::of(false);
      },
      [&](const Inspection::Reading& reading) { return found_in_reading(facts, reading, hit, unknown_gap); });
  check_texts(facts, [&](uint32_t index) { return found_in(facts, index, hit); }, result);
  return result;
}

ActionResult drop_by_size(const Action& action, ActionContext& context) {
  return drop_attachments(action, context, Asks::header, [&](const mime::Part& part, uint32_t) {
    return Truth::of(static_cast<int64_t>(part.content.size()) >= action.number);
  });
}

// An attachment goes as a whole: an attached message with everything in it.
ActionResult drop_where_contains(const Action& action, ActionContext& context) {
  Facts& facts = context.facts;
  if (facts.structure() == nullptr) {
    return {std::string(action.row->name), "the body is not known", Unknown::unscannable};
  }
  const Needle needle = needle_of(action, facts.rules());
  std::string why;
  const std::vector<uint32_t> outer = outer_attachments(facts);
  const auto hit = [&](const mime::Part&, uint32_t index) {
    if (!std::ranges::binary_search(outer, index)) return Truth::of(false);
    const Truth answer = search_parts(facts, needle, Scope::attachments, index, &why);
    if (!answer.is_yes()) return answer;
    for (const std::string_view closed : {"signed", "encrypted"}) {
      if (!inside_type(facts, index, "multipart/" + std::string(closed))) continue;
      note(why, "part " + facts.structure()->parts[index].path + " is " + std::string(closed) + " and is not edited");
      return not_known();
    }
    return answer;
  };
  ActionResult result = drop_attachments(action, context, Asks::content, hit, [&](const Inspection::Reading& reading) {
    return search_reading(facts, needle, Scope::attachments, reading);
  });
  const auto find = [&](uint32_t index) { return search_parts(facts, needle, Scope::attachments, index, &why); };
  check_texts(facts, find, result);
  if (!why.empty()) note(result.detail, why);
  return result;
}

ActionResult add_text(const Action& action, ActionContext& context, std::vector<std::string>& texts) {
  std::string text = expand(action.templates[0], context.filter, context.facts, true);
  cut_utf8(text, kMaxAddedText);
  ActionResult result;
  result.text = std::string(action.row->name) + " (" + std::to_string(text.size()) + " bytes)";
  if (!context.facts.message().has_body()) {
    result.detail = std::string(action.row->name) + ": the body is not known";
    result.problem = Unknown::unscannable;
    return result;
  }
  if (context.dry || text.empty()) return result;
  texts.push_back(std::move(text));
  context.facts.body_edits.pending = true;
  return result;
}

ActionResult add_footer(const Action& action, ActionContext& context) {
  return add_text(action, context, context.facts.body_edits.footers);
}

ActionResult add_heading(const Action& action, ActionContext& context) {
  return add_text(action, context, context.facts.body_edits.headings);
}

constexpr NamedAction kActions[] = {
    {"add-footer", add_footer},
    {"add-heading", add_heading},
    {"drop-attachments-by-name", drop_by_name},
    {"drop-attachments-by-mimetype", drop_by_mimetype},
    {"drop-attachments-by-type", drop_by_type},
    {"drop-attachments-by-filetype", drop_by_filetype},
    {"drop-attachments-by-size", drop_by_size},
    {"drop-attachments-where-contains", drop_where_contains},
    {"drop-attachments-where-dictionary-match", drop_where_contains},
};

}  // namespace

std::span<const NamedAction> body_actions() { return kActions; }

}  // namespace postern::rules
