// SPDX-License-Identifier: Apache-2.0
// What one HTML tag says about whether its content is shown: its style attribute, `hidden`, and elements whose content
// browsers do not show. Style sheets are not followed. Linear. Internal to the evaluator.
#pragma once
#include <optional>
#include <string_view>

namespace postern::rules {

// HtmlHiding is that of one tag.
struct HtmlHiding {
  bool gone = false;           // taken away with all that is in it
  bool gone_for_some = false;  // the same, by means that not every reader of mail knows
  // These are inherited, and what is inside may say otherwise.
  std::optional<bool> invisible;
  std::optional<bool> tiny;  // no size

  bool any() const { return gone || gone_for_some || invisible.value_or(false) || tiny.value_or(false); }
};

// hiding_of reads the start tag `tag`; `closes_itself` tells whether it ends in "/>".
HtmlHiding hiding_of(std::string_view tag, bool& closes_itself);

}  // namespace postern::rules
