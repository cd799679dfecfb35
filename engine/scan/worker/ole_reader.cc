// SPDX-License-Identifier: Apache-2.0
// Compound files: walks the tree, gives each stream to whoever reads it, scans documents inside as files of their own,
// and looks for programs in what nobody reads.
#include <algorithm>
#include <array>
#include <vector>

#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr size_t kStorages = 20000;
// The class of an object that is somewhere else (StdOleLink).
constexpr std::string_view kLinkClass = "\x00\x03\x00\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46"sv;

// Names of streams that make a storage a document.
constexpr std::array kDocuments = {"WordDocument"sv,
                                   "Workbook"sv,
                                   "Book"sv,
                                   "PowerPoint Document"sv,
                                   "EncryptedPackage"sv,
                                   "VisioDocument"sv,
                                   "Quill"sv,
                                   "HwpSummaryInformation"sv,
                                   "\x05HwpSummaryInformation"sv,
                                   "__properties_version1.0"sv};

// Streams that hold a document in a form that nothing here reads: PowerPoint 4 and 95, Works, StarOffice, WordPerfect
// Office (Quattro Pro, Presentations), Ichitaro.
constexpr std::array kUnreadDocuments = {"PP40"sv,
                                         "MatOST"sv,
                                         "WksSSWorkBook"sv,
                                         "StarWriterDocument"sv,
                                         "StarCalcDocument"sv,
                                         "StarDrawDocument"sv,
                                         "StarDrawDocument3"sv,
                                         "PerfectOffice_MAIN"sv,
                                         "NativeContent_MAIN"sv,
                                         "JSRV_SegmentInformation"sv};

// Types that stand for a document, whether or not its form is read.
constexpr std::array kDocumentTypes = {FileType::doc, FileType::xls, FileType::ppt,   FileType::mpp,
                                       FileType::wps, FileType::hwp, FileType::visio, FileType::publisher};

class Walk {
 public:
  Walk(Context& context, CompoundFile& file) : context_(context), file_(file) {}

  void run() {
    root();
    std::vector<uint32_t> open{0};
    size_t storages = 0;
    while (!open.empty() && going_) {
      const uint32_t storage = open.back();
      open.pop_back();
      if (++storages > kStorages) {
        context_.fail(Reason::members);
        return;
      }
      const bool vba = file_.find(storage, "dir") && (file_.find(storage, "_VBA_PROJECT") || has_module(storage));
      if (vba) read_vba(context_, file_, storage);
      for (const uint32_t child : file_.entries()[storage].children) {
        if (!going_) return;
        const CompoundEntry& entry = file_.entries()[child];
        if (!entry.is_storage) {
          stream(storage, child, vba);
        } else if (!msg_ && is_document(child)) {
          document(child);
        } else if (!msg_ || entry.name == "__nameid_version1.0") {
          open.push_back(child);
        }
      }
      if (context_.budget().expired()) {
        context_.fail(Reason::time);
        return;
      }
    }
    if (!read_ && holds_document()) context_.fail(Reason::unsupported);
  }

 private:
  // holds_document tells whether there is a document that was not read. Compound files that are none stay clean once
  // they are searched for programs and files: previews of a folder, projects of macros, drawings of construction, and
  // what documents embed as objects (formulas, charts, packages) are met every day, and none is read for its text.
  bool holds_document() const {
    // A presentation for two versions has the newer one in a storage, which is scanned by itself.
    if (const auto both = file_.find(0, "PP97_DUALSTORAGE"); both && is_document(*both)) return false;
    return std::ranges::any_of(kDocumentTypes, [this](FileType type) { return context_.leaf().is(type); }) ||
           std::ranges::any_of(kUnreadDocuments, [this](std::string_view name) { return has(name); });
  }

  CompoundStream named(std::string_view name) {
    const std::optional<uint32_t> entry = file_.find(0, name);
    return entry ? file_.read(*entry) : CompoundStream();
  }
  bool has(std::string_view name) const { return file_.find(0, name).has_value(); }

  void root() {
    read_ = has("EncryptedPackage") || has("WordDocument") || has("Workbook") || has("Book") ||
            has("PowerPoint Document") || has("__properties_version1.0") || has("\x05HwpSummaryInformation") ||
            has("BodyText") || has("VisioDocument");
    if (has("EncryptedPackage") && has("EncryptionInfo")) {
      read_encrypted_package(context_, named("EncryptionInfo").bytes(), named("EncryptedPackage").bytes());
    } else if (has("EncryptedPackage") ||
               has("\x09"
                   "DRMContent") ||
               has("\x09"
                   "DRMViewerContent")) {
      // Rights management: its key is a server's.
      context_.leaf().protection = Protection::yes;
      context_.fail(Reason::password);
    }
    if (has("WordDocument")) {
      read_word(context_, named("WordDocument").bytes(), named("0Table").bytes(), named("1Table").bytes(),
                has("\x05SummaryInformation"));
    }
    for (const std::string_view book : {"Workbook"sv, "Book"sv}) {
      if (!has(book)) continue;
      read_workbook(context_, named(book).bytes());
      break;  // "Book" beside "Workbook" is the same again for Excel 95
    }
    if (has("PowerPoint Document")) {
      read_slides(context_, named("PowerPoint Document").bytes(), named("Current User").bytes());
    }
    if (has("__properties_version1.0")) {
      msg_ = true;
      read_msg(context_, file_);
    }
    if (has("\x05HwpSummaryInformation") || has("BodyText")) read_hwp(context_, file_);
    if (has("VisioDocument")) read_visio(context_, named("VisioDocument").bytes());
    if (const auto quill = file_.find(0, "Quill")) {
      if (const auto sub = file_.find(*quill, "QuillSub")) {
        if (const auto contents = file_.find(*sub, "CONTENTS")) {
          read_ = true;
          read_publisher(context_, file_.read(*contents).bytes());
        }
      }
    }
  }

  bool has_module(uint32_t storage) const { return file_.entries()[storage].name == "VBA"; }

  bool is_document(uint32_t storage) const {
    return std::ranges::any_of(kDocuments,
                               [&](std::string_view name) { return file_.find(storage, name).has_value(); });
  }

  void document(uint32_t storage) {
    if (!fits(file_.size_of(storage))) return;
    const std::string bytes = file_.rebuild(storage);
    going_ = embed(context_, bytes, file_.entries()[storage].name);
  }

  bool fits(uint64_t size) {
    const Reason reason = context_.budget().out(size, out_, context_.bytes().size());
    out_ += size;
    if (reason == Reason::none) return true;
    context_.fail(reason);
    going_ = false;
    return false;
  }

  void stream(uint32_t storage, uint32_t entry, bool vba) {
    const CompoundEntry& what = file_.entries()[entry];
    const std::string_view name = what.name;
    if (what.size == 0 || msg_) return;
    if (!fits(std::min<uint64_t>(what.size, context_.bytes().size()))) return;
    const CompoundStream content = file_.read(entry);
    const std::string_view bytes = content.bytes();
    if (name == "\x05SummaryInformation" || name ==
                                                "\x05"
                                                "DocumentSummaryInformation") {
      if (storage == 0) read_properties(context_, bytes);
      going_ = carve(context_, bytes);
      return;
    }
    if (name == "\x01Ole10Native" || name == "\x01Ole10ItemName" || name == "Ole10Native") {
      going_ = read_ole10native(context_, bytes);
      return;
    }
    if (name == "\x01Ole") read_ole_link(context_, bytes, file_.entries()[storage].clsid == kLinkClass);
    if (name == "Package" || name == "package_stream" || name == "EmbeddedOdf" || has_known_head(bytes)) {
      going_ = embed(context_, bytes, name);
      return;
    }
    if (name == "CONTENTS" && file_.entries()[storage].name != "QuillSub") {
      going_ = embed(context_, bytes, name);
      return;
    }
    if (name == "\x03OCXNAME" || name == "\x03OCXDATA" || name == "OCXDATA") context_.mark(Mark::active_content);
    if (!vba) going_ = carve(context_, bytes);
  }

  Context& context_;
  CompoundFile& file_;
  uint64_t out_ = 0;
  bool read_ = false;  // a stream that is a document's text
  bool msg_ = false;
  bool going_ = true;
};

// read_bare reads what came before compound files, or is no document at all.
void read_bare(Context& context) {
  const std::string_view bytes = context.bytes();
  const uint32_t first = little16(bytes, 0);
  if (first == 0x0009 || first == 0x0209 || first == 0x0409 || first == 0x0809) {
    read_workbook(context, bytes);
  } else if (first == 0xa59b || first == 0xa59c || first == 0xa5db || first == 0xa5dc) {
    read_word(context, bytes, {}, {});
  } else if (bytes.starts_with("HWP Document File V") ||
             (context.leaf().types.size() == 1 && !is_xml_document(bytes) &&
              std::ranges::find(kDocumentTypes, context.leaf().types.front()) != kDocumentTypes.end())) {
    // HWP 3, Write, Word for DOS, Works: a document by its first bytes, in a form of its own.
    context.fail(Reason::unsupported);
  }
}

}  // namespace

void read_ole(Context& context) {
  const std::string_view bytes = context.bytes();
  if (!bytes.starts_with(kCompoundFileMagic)) {
    read_bare(context);
    return;
  }
  std::optional<CompoundFile> file = CompoundFile::open(bytes);
  if (!file) {
    context.fail(Reason::corrupt);
    carve(context, bytes);
    return;
  }
  Walk walk(context, *file);
  walk.run();
  if (file->damaged()) context.fail(Reason::corrupt);
}

}  // namespace postern::scan::worker
