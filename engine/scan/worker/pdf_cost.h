// SPDX-License-Identifier: Apache-2.0
// What it will cost to get the text of a PDF's pages, told from their content before a library that cannot be stopped
// is let in: operators, characters, forms drawn in forms, fonts and character maps that unfold. Each stream is decoded
// once and counted as it flows by; nothing is kept.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "engine/scan/worker/context.h"
#include "engine/scan/worker/qpdf.h"

namespace postern::scan::worker {

struct PdfPageCost {
  Reason reason = Reason::none;  // why the page must not be drawn
  uint64_t operators = 0;
  uint64_t characters = 0;
  bool replaced = false;  // text stands there for what is drawn (ActualText)
};

class PdfCosts {
 public:
  explicit PdfCosts(Budget& budget);
  ~PdfCosts();

  // page judges one page, with the appearances of its annotations.
  PdfPageCost page(QPDFObjectHandle page);
  // replacing returns the content and the properties in which text stands for what is drawn.
  std::vector<QPDFObjectHandle> replacing() { return std::move(replacing_); }

 private:
  struct Content;
  const Content& content(const QPDFObjectHandle& stream);
  Reason draw(const Content& content, QPDFObjectHandle resources, PdfPageCost& total, unsigned depth);
  Reason fonts(QPDFObjectHandle resources);
  Reason properties(QPDFObjectHandle resources, bool& found);
  Reason font(QPDFObjectHandle font);
  Reason stream_size(QPDFObjectHandle stream, uint64_t most);
  Reason map_size(QPDFObjectHandle stream);

  Budget& budget_;
  std::map<QPDFObjGen, std::unique_ptr<Content>> contents_;
  std::map<QPDFObjGen, Reason> fonts_;
  std::unique_ptr<Content> scratch_;
  std::vector<QPDFObjectHandle> replacing_;  // content streams and properties
  std::set<QPDFObjGen> known_replacing_;
  uint64_t rewritten_ = 0;  // bytes of content among them
  uint64_t operators_ = 0;  // of the whole document
  uint64_t drawn_ = 0;
};

}  // namespace postern::scan::worker
