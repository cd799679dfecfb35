// SPDX-License-Identifier: Apache-2.0
// Searching the content of a message: how often a pattern, smart identifier or dictionary entry occurs in parts, summed
// over texts and parts, with the maximum over the readings of a text and over the branches of multipart/alternative.
// Internal to the evaluator.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "rules/ast.h"
#include "rules/facts.h"

namespace postern::rules {

// Needle is what is looked for. A threshold of 0 counts as 1.
struct Needle {
  const match::Regex* regex = nullptr;
  uint32_t smart = kNoSmart;
  const match::Dictionary* dictionary = nullptr;
  uint32_t member = kNoMember;  // among the patterns of texts; of a dictionary: of its first entry
  uint64_t threshold = 1;
};
Needle needle_of(const Test& test, const RuleSet& rules);
Needle needle_of(const Action& action, const RuleSet& rules);

// Scope is which texts count.
enum class Scope : uint8_t { all, body, attachments };

// search_parts tells whether the texts of part `top` and everything below it hold the needle often enough. Not enough
// is false only where every text was read; the parts themselves are taken to be all there are. `why`, when not null,
// gets the reason for the first text that was not.
Truth search_parts(Facts& facts, const Needle& needle, Scope scope, uint32_t top, std::string* why = nullptr);

// search_text tells whether `text`, of no part, holds the needle often enough.
Truth search_text(Facts& facts, const Needle& needle, std::string_view text);

// search_reading tells the same of the texts of everything in one reading, whatever its readers take it for where they
// find different parts.
Truth search_reading(Facts& facts, const Needle& needle, Scope scope, const Inspection::Reading& reading);

// outer_attachments returns the attachments that stand in no other one.
std::vector<uint32_t> outer_attachments(Facts& facts);

}  // namespace postern::rules
