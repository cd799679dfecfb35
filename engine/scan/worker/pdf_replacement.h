// SPDX-License-Identifier: Apache-2.0
// Text that stands in a PDF for what is drawn (ActualText, ISO 32000-1 14.9.4): poppler gives it instead, so what is
// drawn is read from a copy without it.
#pragma once
#include <string_view>
#include <vector>

#include "engine/scan/worker/context.h"
#include "engine/scan/worker/qpdf.h"

namespace postern::scan::worker {

inline constexpr const char* kReplacement = "/ActualText";
// What ends a name in content.
inline constexpr std::string_view kNameEnds{" \t\r\n\f\0()<>[]{}/%", 16};

// is_replacement tells whether a name, each character of which may be written as "#41", is that of a replacement; with
// `cut` also where it may be the beginning of it.
bool is_replacement(std::string_view name, bool cut = false);

// remove_replacements takes that text out of content streams and properties; false when the time is over.
bool remove_replacements(std::vector<QPDFObjectHandle>& replacing, Budget& budget);

}  // namespace postern::scan::worker
