// SPDX-License-Identifier: Apache-2.0
// PDF: qpdf reads structure, protection and what is embedded, poppler makes text of pages whose cost was told before.
#pragma once
#include "engine/scan/worker/context.h"

namespace postern::scan::worker {

void read_pdf(Context& context);

// prepare_pdf loads what poppler reads from files; once, before the worker gives up its rights. Files it would open
// later are kept mapped and opened from memory.
void prepare_pdf();

}  // namespace postern::scan::worker
