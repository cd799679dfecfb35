// SPDX-License-Identifier: Apache-2.0
// The order of things: our own look at the outside, then qpdf, then the cost of each page, and only then poppler, which
// cannot be stopped within a page. Where poppler cannot open what qpdf could, it is given a copy that qpdf wrote.
#include "engine/scan/worker/pdf.h"
// Before others of qpdf.
#include "engine/scan/worker/qpdf.h"

#include <iconv.h>
#include <poppler-document.h>
#include <poppler-page.h>

#include <algorithm>
#include <memory>
#include <qpdf/QPDFExc.hh>
#include <qpdf/QPDFLogger.hh>
#include <qpdf/QPDFWriter.hh>
#include <set>
#include <utility>
#include <vector>

#include "engine/mime/charset.h"
#include "engine/scan/worker/pdf_cost.h"
#include "engine/scan/worker/pdf_objects.h"
#include "engine/scan/worker/pdf_replacement.h"
#include "engine/scan/worker/pdf_structure.h"
#include "engine/scan/worker/poppler_files.h"
#include "engine/scan/worker/text_sink.h"

namespace postern::scan::worker {
namespace {

// Both libraries keep 50 to 100 bytes for each object that a file claims to have.
constexpr uint64_t kMostObjects = 300'000;
// Up to here a page's text is put into reading order; of more, poppler's search for columns gets slow.
constexpr uint64_t kMostOrdered = 30'000;

using Document = std::unique_ptr<poppler::document>;

enum class Opened { yes, password, no };

// The file as qpdf sees it.
struct Structure {
  QPDF pdf;
  Opened opened = Opened::no;
};

// nested_streams tells whether an object stream is said to be in an object stream; qpdf 11 goes round in such a file
// until its stack ends.
bool nested_streams(QPDF& pdf) {
  const std::map<QPDFObjGen, QPDFXRefEntry> table = pdf.getXRefTable();
  std::set<int> compressed;
  for (const auto& [id, entry] : table) {
    if (entry.getType() == 2) compressed.insert(id.getObj());
  }
  return std::ranges::any_of(table, [&](const auto& row) {
    return row.second.getType() == 2 && compressed.contains(row.second.getObjStreamNumber());
  });
}

void open_structure(Structure& structure, std::string_view bytes) {
  QPDF& pdf = structure.pdf;
  pdf.setLogger(QPDFLogger::create());
  pdf.getLogger()->setError(pdf.getLogger()->discard());
  pdf.getLogger()->setWarn(pdf.getLogger()->discard());
  pdf.setSuppressWarnings(true);
  try {
    pdf.processMemoryFile("pdf", bytes.data(), bytes.size());
    structure.opened = nested_streams(pdf) ? Opened::no : Opened::yes;
  } catch (const QPDFExc& error) {
    if (error.getErrorCode() == qpdf_e_password) structure.opened = Opened::password;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {
    structure.opened = Opened::no;
  }
}

// poppler says by an error, and nothing else, that it lacks a character map.
struct PopplerErrors {
  bool unknown_map = false;
};
void on_error(const std::string& text, void* closure) {
  if (text.find("Unknown CMap") != std::string::npos ||
      text.find("Unknown character collection") != std::string::npos) {
    static_cast<PopplerErrors*>(closure)->unknown_map = true;
  }
}

Document open_document(std::string_view bytes) {
  if (bytes.size() < 16 || bytes.size() > INT32_MAX) return nullptr;
  return Document(poppler::document::load_from_raw_data(bytes.data(), static_cast<int>(bytes.size())));
}

// A copy with `pages` pages and what they need, and nothing else. Where their number is not right poppler shows none.
std::shared_ptr<Buffer> rewrite(QPDF& pdf, size_t pages) {
  QPDFObjectHandle root = pdf.getRoot();
  QPDFObjectHandle tree = root.getKey("/Pages");
  if (tree.isDictionary()) tree.replaceKey("/Count", QPDFObjectHandle::newInteger(static_cast<long long>(pages)));
  for (const char* key : {"/AcroForm", "/Names", "/Outlines", "/OpenAction", "/AA", "/StructTreeRoot", "/Metadata",
                          "/OCProperties", "/PageLabels", "/Dests"}) {
    root.removeKey(key);
  }
  QPDFWriter writer(pdf);
  writer.setOutputMemory();
  writer.setObjectStreamMode(qpdf_o_disable);
  writer.setStreamDataMode(qpdf_s_preserve);
  writer.setPreserveEncryption(false);
  writer.setStaticID(true);
  writer.write();
  return writer.getBufferSharedPointer();
}

std::string_view view(const Buffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.getBuffer()), buffer.getSize()};
}

class PdfReader {
 public:
  explicit PdfReader(Context& context) : context_(context), outside_(pdf_structure(context.bytes())) {}

  void run() {
    if (outside_.objects > kMostObjects) return context_.fail(Reason::members);
    if (outside_.bomb) return context_.fail(Reason::ratio);
    open_structure(structure_, context_.bytes());
    const bool plain = structure_.opened == Opened::yes && !structure_.pdf.isEncrypted();
    PopplerErrors errors;
    poppler::set_debug_error_function(on_error, &errors);
    if (context_.wants_text() || !plain) document_ = open_document(context_.bytes());
    protection();
    if (context_.leaf().protection == Protection::yes && structure_.opened != Opened::yes) {
      return context_.fail(Reason::password);
    }
    PdfObjects objects;
    if (structure_.opened == Opened::yes) {
      objects = walk_pdf(context_, structure_.pdf, context_.wants_text());
      if (objects.pages.empty() && (document_ == nullptr || document_->pages() == 0)) context_.fail(Reason::corrupt);
    } else {
      // What is embedded in it nobody has seen.
      context_.fail(Reason::corrupt);
    }
    if (context_.wants_text()) pages(objects);
    if (errors.unknown_map) context_.fail(Reason::unsupported);
    document_.reset();
    poppler::set_debug_error_function([](const std::string&, void*) {}, nullptr);
  }

 private:
  // A password is needed where either library says so, or where neither can open what is encrypted.
  void protection() {
    const bool locked = document_ != nullptr && document_->is_locked();
    const bool certificate = outside_.encrypted && !outside_.handler.empty() && outside_.handler != "Standard";
    bool is_protected = structure_.opened == Opened::password || locked || certificate;
    if (structure_.opened == Opened::no && document_ == nullptr) {
      if (outside_.encrypted) {
        is_protected = true;
      } else {
        context_.leaf().protection = Protection::unknown;
      }
    }
    if (is_protected) context_.leaf().protection = Protection::yes;
    if (locked) document_.reset();
  }

  void pages(const PdfObjects& objects) {
    std::vector<PdfPageCost> costs;
    std::vector<QPDFObjectHandle> replacing;
    if (structure_.opened == Opened::yes) {
      PdfCosts counted(context_.budget());
      for (const QPDFObjectHandle& page : objects.pages) {
        costs.push_back(counted.page(page));
        if (context_.budget().expired()) return context_.fail(Reason::time);
      }
      replacing = counted.replacing();
    }
    std::shared_ptr<Buffer> copy;
    const bool too_much =
        std::ranges::any_of(costs, [](const PdfPageCost& cost) { return cost.reason != Reason::none; });
    const auto count = static_cast<int>(costs.size());
    // Which page is which is only known where both count the same, and what a page costs that only poppler knows of is
    // not known at all.
    const bool known = structure_.opened == Opened::yes;
    const bool unsure = (too_much && (document_ == nullptr || document_->pages() != count)) ||
                        (known && document_ != nullptr && document_->pages() != count && costs.size() < kMostPdfPages);
    // The number of its pages is broken: what is in them was read, and many readers show none.
    if (known && !objects.pages.empty() && document_ != nullptr && document_->pages() == 0) {
      context_.fail(Reason::corrupt);
    }
    if (known && !objects.pages.empty() &&
        (objects.tangled || unsure || document_ == nullptr || document_->pages() == 0)) {
      document_.reset();
      copy = rewrite(structure_.pdf, objects.pages.size());
      document_ = open_document(view(*copy));
    }
    if (document_ == nullptr || document_->is_locked()) return context_.fail(Reason::corrupt);
    const int pages = document_->pages();
    if (too_much && pages != count) {
      for (const PdfPageCost& cost : costs) {
        if (cost.reason != Reason::none) context_.fail(cost.reason);
      }
      return;
    }
    if (known && pages < count) context_.fail(Reason::corrupt);
    TextSink sink(context_);
    for (int i = 0; i < pages; ++i) {
      if (i >= static_cast<int>(kMostPdfPages)) return context_.fail(Reason::text);
      if (context_.budget().expired()) return context_.fail(Reason::time);
      if (!sink.wanted()) return;
      const auto index = static_cast<size_t>(i);
      if (known && index >= costs.size()) {
        const std::unique_ptr<poppler::page> uncounted(document_->create_page(i));
        return context_.fail(uncounted == nullptr ? Reason::corrupt : Reason::members);
      }
      const PdfPageCost cost = known ? costs[index] : PdfPageCost();
      if (cost.reason != Reason::none) {
        context_.fail(cost.reason);
        continue;
      }
      std::string said = page(*document_, i, is_ordered(costs, i));
      sink.paragraph(said);
      if (cost.replaced) said_.emplace_back(i, std::move(said));
    }
    if (said_.empty()) return;
    if (!remove_replacements(replacing, context_.budget())) return context_.fail(Reason::time);
    drawn_copy_ = rewrite(structure_.pdf, objects.pages.size());
    drawn_ = open_document(view(*drawn_copy_));
    if (drawn_ == nullptr || drawn_->pages() != pages) return context_.fail(Reason::corrupt);
    for (const auto& [i, said] : said_) {
      if (context_.budget().expired()) return context_.fail(Reason::time);
      if (!sink.wanted()) return;
      only_drawn(said, page(*drawn_, i, is_ordered(costs, i)), sink);
    }
  }

  static bool is_ordered(const std::vector<PdfPageCost>& costs, int page) {
    const auto index = static_cast<size_t>(page);
    return index < costs.size() && costs[index].characters <= kMostOrdered;
  }

  // only_drawn gives the lines that readers show where the page says that they mean others.
  static void only_drawn(std::string_view said, std::string_view drawn, TextSink& sink) {
    const auto bare = [](std::string_view line) {
      std::string out;
      for (size_t i = 0; i < line.size(); ++i) {
        // Hyphens are drawn for what means that a line may end there.
        if (line[i] == ' ' || line[i] == '-') continue;
        if (line.substr(i).starts_with("\u00ad")) {
          ++i;
        } else {
          out.push_back(line[i]);
        }
      }
      return out;
    };
    const auto each_line = [](std::string_view text, const auto& use) {
      for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        use(text.substr(at, end - at));
        at = end + 1;
      }
    };
    std::set<std::string> known;
    each_line(said, [&](std::string_view line) { known.insert(bare(line)); });
    each_line(drawn, [&](std::string_view line) {
      if (known.insert(bare(line)).second) sink.paragraph(line);
    });
  }

  // page is the text of a page.
  std::string page(poppler::document& document, int index, bool ordered) {
    const std::unique_ptr<poppler::page> page(document.create_page(index));
    if (page == nullptr) {
      context_.fail(Reason::corrupt);
      return {};
    }
    const poppler::ustring text = page->text(
        poppler::rectf(), ordered ? poppler::page::non_raw_non_physical_layout : poppler::page::raw_order_layout);
    static_assert(sizeof(poppler::ustring::value_type) == 2);
    const std::string_view units(reinterpret_cast<const char*>(text.data()), text.size() * 2);
    // Page ends are line ends.
    std::string utf8 = mime::to_utf8(units, "utf-16le").utf8;
    std::ranges::replace(utf8, '\f', '\n');
    while (utf8.ends_with('\n')) utf8.pop_back();
    return utf8;
  }

  Context& context_;
  PdfStructure outside_;
  Structure structure_;
  Document document_;
  std::vector<std::pair<int, std::string>> said_;  // text of pages where it stands for what is drawn
  std::shared_ptr<Buffer> drawn_copy_;             // without text that stands for what is drawn
  Document drawn_;
};

}  // namespace

void read_pdf(Context& context) { PdfReader(context).run(); }

void prepare_pdf() {
  keep_poppler_files();
  // poppler converts by iconv, whose modules are files that stay loaded while somebody uses them.
  static const iconv_t kept_module = iconv_open("UTF-16", "UTF-8");
  static_cast<void>(kept_module);
  poppler::set_debug_error_function([](const std::string&, void*) {}, nullptr);
  // A first page makes poppler read its tables of names and the C library its tables of time and charsets.
  constexpr std::string_view kFirst =
      "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
      "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
      "4 0 obj<</Length 25>>stream\nBT/F 9 Tf 9 9 Td(A)Tj ET \nendstream endobj\n"
      "5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R/Size 6>>\n";
  // Its tables live as long as any document does, so this one is kept.
  static poppler::document* const kept = open_document(kFirst).release();
  if (kept == nullptr) return;
  const std::unique_ptr<poppler::page> page(kept->create_page(0));
  if (page != nullptr) page->text();
}

}  // namespace postern::scan::worker
