// SPDX-License-Identifier: Apache-2.0
// Asking what content scanning found in a message: over the whole message, or in one attachment with all that stands in
// it. Internal to the evaluator.
#pragma once
#include <cstdint>
#include <functional>

#include "engine/scan/client/verdict.h"
#include "rules/facts.h"

namespace postern::rules {

// FoundTest answers for one thing that was found.
using FoundTest = std::function<Truth(const scan::Leaf&)>;
// GapTest answers for a verdict in which `hit` is nowhere, and which is not complete: what that leaves open.
using GapTest = std::function<Truth(const scan::Verdict&)>;

// unknown_gap: anything may be in what was not scanned.
Truth unknown_gap(const scan::Verdict& verdict);

// any_found tells whether `hit` holds for any attachment or anything found in one, in any reading of the message; text
// of the body is no attachment, but what is found in it is.
Truth any_found(Facts& facts, const FoundTest& hit, const GapTest& gap = unknown_gap);

// found_in tells the same of attachment `part` alone, an attached message with everything in it.
Truth found_in(Facts& facts, uint32_t part, const FoundTest& hit, const GapTest& gap = unknown_gap);

// is_other_body tells whether `reading`, which was scanned, is text of the body as another reader decodes it: then it
// is no attachment, though something in it may be. Where readers find different parts, nothing is known to be body.
bool is_other_body(Facts& facts, const Inspection::Reading& reading);

// found_in_reading asks about what one reading gives.
Truth found_in_reading(Facts& facts, const Inspection::Reading& reading, const FoundTest& hit, const GapTest& gap);

// is_kind tells whether `leaf` can be taken for one of `kinds`.
bool is_kind(const scan::Leaf& leaf, const scan::TypeSet& kinds);

// found_in_readings asks what only some mail readers see, which is unknown where that could be more.
Truth found_in_readings(Facts& facts, const FoundTest& hit, const GapTest& gap = unknown_gap);

// names_are_known: a gap that hides no name of a member, because all that can hold one was listed.
Truth names_are_known(const scan::Verdict& verdict);

}  // namespace postern::rules
