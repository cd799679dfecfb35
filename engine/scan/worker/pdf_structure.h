// SPDX-License-Identifier: Apache-2.0
// The outside of a PDF, read without a library: its cross-reference sections in all their forms (tables, streams, both,
// incremental updates, junk before the header) and whether one of them names an encryption dictionary. The second of
// two detectors of protection, and the guard that keeps libraries from files that claim too much. Linear.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::scan::worker {

struct PdfStructure {
  bool encrypted = false;    // a trailer names an encryption dictionary
  std::string handler;       // its /Filter: "Standard" for passwords, another for certificates and the like
  uint64_t objects = 0;      // that the file claims or shows, whichever is more
  bool bomb = false;         // a stream of objects or references that unfolds beyond all measure
  bool chain_whole = false;  // all sections were found where the file says
};

PdfStructure pdf_structure(std::string_view bytes);

}  // namespace postern::scan::worker
