// SPDX-License-Identifier: Apache-2.0
// Evaluation of rules over what content scanning found. Protection and macros are asked of everything found; what could
// not be scanned leaves them unknown, unless that is what is asked.
#include <algorithm>

#include "rules/scanned.h"
#include "rules/tests.h"

namespace postern::rules {
namespace {

using scan::Leaf;
using scan::Mark;
using scan::Protection;
using scan::Reason;

Truth attachment_filetype(const Test& test, Facts& facts) {
  return any_found(facts, [&](const Leaf& leaf) { return Truth::of(is_kind(leaf, test.kinds)); });
}

Truth answer_of(Protection protection, bool wanted) {
  switch (protection) {
    case Protection::no:
      return Truth::of(!wanted);
    case Protection::yes:
      return Truth::of(wanted);
    case Protection::partly:
      return Truth::of(true);
    case Protection::unknown:
    case Protection::count_:
      break;
  }
  return not_known();
}

// What is behind a password is protected, and nothing else is open about it.
Truth protection_gap(const scan::Verdict& verdict) {
  for (const Leaf& leaf : verdict.leaves) {
    if (!leaf.scanned() && leaf.reason != Reason::password) return not_known();
  }
  return Truth::of(false);
}

Truth attachment_protected(const Test&, Facts& facts) {
  return any_found(facts, [](const Leaf& leaf) { return answer_of(leaf.protection, true); }, protection_gap);
}

Truth attachment_unprotected(const Test&, Facts& facts) {
  return any_found(facts, [](const Leaf& leaf) { return answer_of(leaf.protection, false); }, protection_gap);
}

Truth attachment_macro(const Test&, Facts& facts) {
  return any_found(facts, [](const Leaf& leaf) {
    return Truth::of(leaf.has(Mark::macro_vba) || leaf.has(Mark::macro_xlm) || leaf.has(Mark::macro_dde) ||
                     leaf.has(Mark::remote_template));
  });
}

Truth attachment_unscannable(const Test&, Facts& facts) {
  return any_found(
      facts, [](const Leaf& leaf) { return Truth::of(!leaf.scanned()); },
      [](const scan::Verdict&) { return Truth::of(false); });
}

Truth attachment_corrupt(const Test&, Facts& facts) {
  return any_found(
      facts, [](const Leaf& leaf) { return Truth::of(leaf.reason == Reason::corrupt); },
      [](const scan::Verdict& verdict) {
        const bool unseen = std::ranges::any_of(verdict.leaves, scan::is_limit, &Leaf::reason);
        return unseen ? not_known() : Truth::of(false);
      });
}

Truth mime_ambiguous(const Test&, Facts& facts) {
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return not_known();
  if (mime::ambiguous(*tree)) return Truth::of(true);
  facts.inspection().readings(false);  // decodes
  if (mime::ambiguous(*tree, facts.inspection().decoding_defects())) return Truth::of(true);
  return facts.saw_everything() ? Truth::of(false) : not_known();
}

constexpr NamedTest kTests[] = {
    {"attachment-filetype", attachment_filetype},
    {"attachment-protected", attachment_protected},
    {"attachment-unprotected", attachment_unprotected},
    {"attachment-macro", attachment_macro},
    {"attachment-unscannable", attachment_unscannable},
    {"attachment-corrupt", attachment_corrupt},
    {"mime-ambiguous", mime_ambiguous},
};

}  // namespace

std::span<const NamedTest> scan_tests() { return kTests; }

}  // namespace postern::rules
