// SPDX-License-Identifier: Apache-2.0
// The objects of a PDF besides the content of its pages, by qpdf.
#pragma once
#include <vector>

#include "engine/scan/worker/context.h"
#include "engine/scan/worker/qpdf.h"

namespace postern::scan::worker {

// PdfObjects is what was found in the objects of a document.
struct PdfObjects {
  std::vector<QPDFObjectHandle> pages;  // in their order, at most kMostPdfPages
  bool tangled = false;                 // form fields that are no tree: poppler follows every way through them
};
inline constexpr size_t kMostPdfPages = 1000;

// walk_pdf gives embedded files as children, marks what is active, and with `texts` writes what stands outside pages:
// notes, form values, outlines, properties.
PdfObjects walk_pdf(Context& context, QPDF& pdf, bool texts);

}  // namespace postern::scan::worker
