// SPDX-License-Identifier: Apache-2.0
// What is found counts at once; that nothing was found counts only where everything was scanned.
#include "rules/scanned.h"

#include <algorithm>

#include "rules/tests.h"

namespace postern::rules {
namespace {

// Whether the first leaf of a text of the body is just that: then it is no attachment itself. What nobody looked into
// may be a text with files in it.
bool is_plain_body(Facts& facts, uint32_t part, const scan::Leaf& leaf) {
  if (!facts.is_body_text(part) || scan::is_limit(leaf.reason)) return false;
  return std::ranges::all_of(leaf.types, [](scan::FileType type) {
    return type == scan::FileType::unknown || scan::info(type).in(scan::Group::text);
  });
}

Truth found_from(size_t first, const scan::Verdict& verdict, const FoundTest& hit, const GapTest& gap) {
  Truth answer = Truth::of(false);
  for (size_t i = first; i < verdict.leaves.size() && !answer.is_yes(); ++i) {
    answer = either(answer, hit(verdict.leaves[i]));
  }
  return answer.is_yes() || verdict.complete() ? answer : either(answer, gap(verdict));
}

Truth found_in_leaf(Facts& facts, uint32_t part, const FoundTest& hit, const GapTest& gap) {
  const scan::Verdict& verdict = facts.inspection().of(part);
  return found_from(is_plain_body(facts, part, verdict.leaves.front()) ? 1 : 0, verdict, hit, gap);
}

// An attached message is a thing of its own, besides what is in it.
Truth found_as_message(const mime::Part& part, const FoundTest& hit) {
  scan::Leaf leaf;
  leaf.types = {scan::FileType::rfc822};
  leaf.declared_mime = part.type.value;
  leaf.mime = scan::info(scan::FileType::rfc822).mime;
  leaf.size = part.content.size();
  if (!part.file_names.empty()) leaf.name = part.file_names.front();
  return hit(leaf);
}

// Whether things with names may be in what was not scanned of `leaf`.
bool hides_names(const scan::Leaf& leaf) {
  using scan::Group;
  const auto holds_nothing = [](scan::FileType type) {
    const scan::FileTypeInfo& row = scan::info(type);
    return row.in(Group::image) || row.in(Group::media) || row.in(Group::text);
  };
  switch (leaf.reason) {
    case scan::Reason::none:
    case scan::Reason::text:
      return false;
    case scan::Reason::corrupt:
      return !std::ranges::all_of(leaf.types, holds_nothing);
    case scan::Reason::password:
    case scan::Reason::unsupported:
      // What a document holds is no use to who cannot open it; an archive or a message commonly names it.
      return leaf.in_group(Group::compressed) || leaf.is(scan::FileType::unknown) || leaf.is(scan::FileType::rfc822) ||
             (leaf.is(scan::FileType::smime) && leaf.reason == scan::Reason::unsupported);
    default:
      return true;
  }
}

}  // namespace

bool is_other_body(Facts& facts, const Inspection::Reading& reading) {
  return facts.structure()->one_reading && is_plain_body(facts, reading.leaf->part, reading.verdict.leaves.front());
}

Truth found_in_reading(Facts& facts, const Inspection::Reading& reading, const FoundTest& hit, const GapTest& gap) {
  return found_from(is_other_body(facts, reading) ? 1 : 0, reading.verdict, hit, gap);
}

Truth unknown_gap(const scan::Verdict&) { return not_known(); }

bool is_kind(const scan::Leaf& leaf, const scan::TypeSet& kinds) {
  return std::ranges::any_of(leaf.types, [&](scan::FileType type) { return kinds.test(static_cast<size_t>(type)); });
}

Truth names_are_known(const scan::Verdict& verdict) {
  return std::ranges::any_of(verdict.leaves, hides_names) ? not_known() : Truth::of(false);
}

Truth found_in(Facts& facts, uint32_t part, const FoundTest& hit, const GapTest& gap) {
  const std::vector<mime::Part>& parts = facts.structure()->parts;
  Truth answer = Truth::of(false);
  for (uint32_t i = part; i < parts.size() && (i == part || parts[i].depth > parts[part].depth); ++i) {
    if (facts.dropped(i)) continue;
    if (parts[i].is_leaf()) {
      answer = either(answer, found_in_leaf(facts, i, hit, gap));
    } else if (parts[i].kind == mime::PartKind::message && i != 0) {
      answer = either(answer, found_as_message(parts[i], hit));
    }
    if (answer.is_yes()) break;
  }
  return answer;
}

Truth found_in_readings(Facts& facts, const FoundTest& hit, const GapTest& gap) {
  Truth answer = facts.saw_everything() && facts.inspection().readings_complete() ? Truth::of(false) : not_known();
  for (const Inspection::Reading& reading : facts.inspection().readings(true)) {
    answer = either(answer, found_in_reading(facts, reading, hit, gap));
    if (answer.is_yes()) break;
  }
  return answer;
}

Truth any_found(Facts& facts, const FoundTest& hit, const GapTest& gap) {
  if (facts.structure() == nullptr) return not_known();
  const Truth answer = found_in(facts, 0, hit, gap);
  return answer.is_yes() ? answer : either(answer, found_in_readings(facts, hit, gap));
}

}  // namespace postern::rules
