// SPDX-License-Identifier: Apache-2.0
// Compressed RTF, the form in which Outlook and Exchange keep bodies ([MS-OXRTFCP]).
#pragma once
#include <string_view>

#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {

// expand_rtf adds the RTF to the thing in `unpack`; false: this is no compressed RTF. A reason is set when a limit was
// hit.
bool expand_rtf(std::string_view packed, Unpack& unpack);

}  // namespace postern::scan::worker
