// SPDX-License-Identifier: Apache-2.0
// Documents that are zip files: OOXML (docx, xlsx, xlsb, pptx, vsdx, xps), OpenDocument, iWork. Their parts are told by
// what the package says they are, not by their names alone.
#include <algorithm>
#include <array>
#include <map>

#include "engine/base/text.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/octets.h"
#include "engine/scan/worker/office.h"
#include "engine/scan/worker/zip_package.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr size_t kBinaryPart = 50u << 20;

// ContentTypes is what "[Content_Types].xml" says.
struct ContentTypes : XmlHandler {
  std::map<std::string, std::string, std::less<>> parts, extensions;

  void start(std::string_view name, const XmlAttributes& attributes) override {
    if (parts.size() + extensions.size() > 20000) return;
    if (name == "Override") {
      std::string_view part = attributes.get("PartName");
      if (part.starts_with('/')) part.remove_prefix(1);
      parts[base::lower(part)] = base::lower(attributes.get("ContentType"));
    } else if (name == "Default") {
      extensions[base::lower(attributes.get("Extension"))] = base::lower(attributes.get("ContentType"));
    }
  }
  void end(std::string_view) override {}
  void characters(std::string_view) override {}

  std::string of(std::string_view name) const {
    if (name.starts_with('/')) name.remove_prefix(1);
    const std::string lower = base::lower(name);
    if (const auto found = parts.find(lower); found != parts.end()) return found->second;
    const size_t dot = lower.rfind('.');
    const auto found = extensions.find(dot == std::string::npos ? std::string() : lower.substr(dot + 1));
    return found == extensions.end() ? std::string() : found->second;
  }
};

bool contains_any(std::string_view text, std::span<const std::string_view> words) {
  return std::ranges::any_of(words, [&](std::string_view word) { return text.find(word) != std::string_view::npos; });
}

// feed parses a member as XML.
Reason feed(Context& context, const ZipPackage& package, const PackageMember& member, XmlHandler& handler,
            bool doctype) {
  XmlParser parser(handler, doctype);
  const Reason reason =
      package.inflate(member, context.budget(), [&](std::string_view bytes) { return parser.feed(bytes, false); });
  if (reason != Reason::none) return reason;
  if (parser.reason() == Reason::none) parser.feed({}, true);
  return parser.reason();
}

class Ooxml {
 public:
  Ooxml(Context& context, const ZipPackage& package)
      : context_(context), package_(package), sink_(context), state_{context, sink_, {}, {}, {}} {}

  void run() {
    const PackageMember* types = package_.find("[Content_Types].xml");
    if (types != nullptr) report(feed(context_, package_, *types, types_, false));
    // What cells refer to comes before them.
    for (int pass = 0; pass < 2; ++pass) {
      for (const PackageMember& member : package_.members()) {
        if (context_.budget().expired()) {
          context_.fail(Reason::time);
          return;
        }
        if (&member != types) part(member, pass);
      }
    }
    sink_.line();
    for (size_t i = 0; i < state_.strings.size(); ++i) {
      if (!state_.used[i]) sink_.paragraph(state_.strings[i]);
    }
  }

 private:
  using Kind = OoxmlHandler::Kind;

  void report(Reason reason) {
    if (reason != Reason::none) context_.fail(reason);
  }

  void part(const PackageMember& member, int pass) {
    const std::string name = base::lower(member.name);
    if (name.ends_with('/')) return;
    std::string type = types_.of(name);
    if (type.empty() || type == "application/xml" || type == "application/octet-stream") type = name;
    // What the parts are follows from their content type; a package without one is read by names.
    if (contains_any(type, kMacro) || name.ends_with("vbaproject.bin")) {
      if (pass == 0) macro(member);
      return;
    }
    if (type.find("activex") != std::string::npos && pass == 0) context_.mark(Mark::active_content);
    if ((type.find("macrosheet") != std::string::npos || name.starts_with("xl/macrosheets/")) && pass == 0 &&
        !name.ends_with(".rels")) {
      context_.mark(Mark::macro_xlm);
    }
    const bool relationships = name.ends_with(".rels");
    const bool binary = name.ends_with(".bin") &&
                        (type.find("vnd.ms-excel.") != std::string::npos || (type == name && name.starts_with("xl/")));
    const bool xml = relationships || type.ends_with("xml") || name.ends_with(".xml") || name.ends_with(".fpage");
    if (!binary && !xml) return;
    const bool first = type.find("sharedstrings") != std::string::npos ||
                       (type.find("styles") != std::string::npos &&
                        (type.find("spreadsheet") != std::string::npos || name.starts_with("xl/"))) ||
                       type.find("sheet.main") != std::string::npos ||
                       type.find("binary.macroenabled.main") != std::string::npos || name == "xl/workbook.xml" ||
                       name == "xl/workbook.bin" || (type.find("spreadsheetml.template.main") != std::string::npos);
    if (first != (pass == 0)) return;
    if (binary) {
      const std::string bytes = whole(member);
      read_binary_part(state_, bytes, type.find("sharedstrings") != std::string::npos);
      return;
    }
    Kind kind = Kind::text;
    if (relationships) {
      kind = Kind::text;
    } else if (type.find("sharedstrings") != std::string::npos) {
      kind = Kind::strings;
    } else if (first && type.find("styles") != std::string::npos) {
      kind = Kind::styles;
    } else if (first) {
      kind = Kind::workbook;
    } else if (contains_any(type, kSheets) || name.starts_with("xl/worksheets/")) {
      kind = Kind::sheet;
    } else if (contains_any(type, kProperties) || name.starts_with("docprops/")) {
      if (!context_.job().want_metadata) return;
      kind = Kind::properties;
    } else if (name.starts_with("customxml/")) {
      kind = Kind::properties;
    } else if (contains_any(type, kMasters)) {
      kind = Kind::master;
    } else if (contains_any(type, kSilent)) {
      return;
    }
    OoxmlHandler handler(state_, kind);
    report(feed(context_, package_, member, handler, false));
    sink_.line();
  }

  std::string whole(const PackageMember& member) {
    std::string bytes;
    report(package_.inflate(member, context_.budget(), [&](std::string_view more) {
      bytes.append(more);
      return bytes.size() < kBinaryPart;
    }));
    return bytes;
  }

  // macro looks whether a VBA project holds code; its source is the text of the leaf that the archive reader makes of
  // it.
  void macro(const PackageMember& member) {
    if (member.name.find(".xml") != std::string::npos) return;
    const std::string bytes = whole(member);
    std::optional<CompoundFile> file = CompoundFile::open(bytes);
    if (!file) {
      context_.mark(Mark::macro_vba);
      return;
    }
    mark_vba(context_, *file);
  }

  static constexpr std::array kMacro = {"vbaproject"sv};
  static constexpr std::array kSheets = {"worksheet"sv, "macrosheet"sv, "dialogsheet"sv, "chartsheet"sv};
  static constexpr std::array kProperties = {"core-properties"sv, "extended-properties"sv, "custom-properties"sv};
  static constexpr std::array kMasters = {"slidelayout"sv, "slidemaster"sv, "notesmaster"sv, "handoutmaster"sv};
  static constexpr std::array kSilent = {"theme"sv,           "styles"sv,    "fonttable"sv, "websettings"sv,
                                         "calcchain"sv,       "presprops"sv, "viewprops"sv, "numbering"sv,
                                         "printersettings"sv, "vbadata"sv,   "thumbnail"sv};

  Context& context_;
  const ZipPackage& package_;
  TextSink sink_;
  OoxmlState state_;
  ContentTypes types_;
};

// Manifest is what an OpenDocument package says about encryption.
struct Manifest : XmlHandler {
  bool encrypted = false;
  void start(std::string_view name, const XmlAttributes&) override {
    encrypted = encrypted || name == "encryption-data";
  }
  void end(std::string_view) override {}
  void characters(std::string_view) override {}
};

bool ends_with_part(std::string_view name, std::string_view part) {
  return name == part || (name.ends_with(part) && name[name.size() - part.size() - 1] == '/');
}

void read_odf(Context& context, const ZipPackage& package) {
  const auto report = [&](Reason reason) {
    if (reason != Reason::none) context.fail(reason);
  };
  if (const PackageMember* member = package.find("META-INF/manifest.xml")) {
    Manifest manifest;
    report(feed(context, package, *member, manifest, true));
    if (manifest.encrypted) {
      context.leaf().protection = Protection::yes;
      context.fail(Reason::password);
      return;
    }
  }
  TextSink sink(context);
  bool found = false;
  for (const PackageMember& member : package.members()) {
    if (context.budget().expired()) {
      context.fail(Reason::time);
      return;
    }
    const std::string_view name = member.name;
    const bool basic = (name.starts_with("Basic/") || name.starts_with("Dialogs/")) && name.ends_with(".xml");
    if (name.starts_with("Scripts/") && !name.ends_with('/')) context.mark(Mark::macro_vba);
    const bool meta = ends_with_part(name, "meta.xml");
    if (meta && !context.job().want_metadata) continue;
    if (!basic && !meta && !ends_with_part(name, "content.xml") && !ends_with_part(name, "styles.xml")) continue;
    found = found || name == "content.xml";
    OdfHandler handler(context, sink);
    // A module of Basic names a public identifier and nothing else.
    if (basic) handler.code();
    if (meta) handler.metadata();
    report(feed(context, package, member, handler, true));
    handler.finish();
    sink.line();
  }
  if (!found) context.fail(Reason::corrupt);
}

void read_iwork(Context& context, const ZipPackage& package, const PackageMember& member) {
  TextSink sink(context);
  PlainHandler handler(sink);
  const Reason reason = feed(context, package, member, handler, false);
  if (reason != Reason::none) context.fail(reason);
}

bool is_odf(const ZipPackage& package) {
  const bool manifest = package.find("META-INF/manifest.xml") != nullptr;
  const bool mimetype = package.find("mimetype") != nullptr;
  const bool content = package.find("content.xml") != nullptr || package.find("encrypted-package") != nullptr;
  return (manifest || mimetype) && (content || (manifest && mimetype));
}

bool is_opc(const ZipPackage& package) { return package.find("[Content_Types].xml") != nullptr; }

}  // namespace

void mark_vba(Context& context, CompoundFile& file) {
  for (uint32_t i = 0; i < file.entries().size(); ++i) {
    if (file.entries()[i].is_storage && file.find(i, "dir")) {
      if (has_vba_code(file, i)) context.mark(Mark::macro_vba);
      return;
    }
  }
  context.mark(Mark::macro_vba);
}

void read_zip_document(Context& context) {
  const std::string_view bytes = context.bytes();
  const std::optional<ZipPackage> package = ZipPackage::open(bytes);
  if (!package) return;  // the archive reader tells
  const bool opc = is_opc(*package);
  const bool odf = !opc && is_odf(*package);
  if (!opc && !odf) {
    for (const std::string_view name : {"index.xml"sv, "index.apxl"sv, "presentation.apxl"sv}) {
      if (const PackageMember* member = package->find(name)) read_iwork(context, *package, *member);
    }
    // Without a directory the part that would tell may be what is missing.
    const bool cut =
        package->without_directory() && (package->find("word/document.xml") || package->find("xl/workbook.xml") ||
                                         package->find("ppt/presentation.xml"));
    if (cut) Ooxml(context, *package).run();
    return;
  }
  if (package->without_directory()) context.fail(Reason::corrupt);
  if (opc) {
    Ooxml(context, *package).run();
  } else {
    read_odf(context, *package);
  }
}

bool is_document_package(std::string_view bytes) {
  const std::optional<ZipPackage> package = ZipPackage::open(bytes);
  return package && (is_opc(*package) || is_odf(*package));
}

bool is_document_part(std::string_view name, std::string_view head) {
  const std::string lower = base::lower(name);
  if (lower == "mimetype") return head.size() < 128 && head.starts_with("application/");
  std::string_view start = head;
  if (start.starts_with("\xef\xbb\xbf")) start.remove_prefix(3);
  const bool wide = start.starts_with("\xff\xfe<\0"sv) || start.starts_with("\xfe\xff\0<"sv);
  const bool xml = wide || base::trim(start).starts_with("<?xml") ||
                   (base::trim(start).starts_with('<') && !base::istarts_with(base::trim(start), "<html") &&
                    !base::istarts_with(base::trim(start), "<!doctype html"));
  if (lower.ends_with(".bin")) {
    // Parts of an .xlsb begin with a record of no length.
    return (lower.starts_with("xl/worksheets/") || lower == "xl/workbook.bin" || lower == "xl/sharedstrings.bin" ||
            lower == "xl/styles.bin" || lower.starts_with("xl/comments")) &&
           !has_known_head(head);
  }
  if (!xml) return false;
  if (lower.ends_with(".rels") || lower == "[content_types].xml") return true;
  if (lower.ends_with(".vml")) return true;
  if (!lower.ends_with(".xml") && !lower.ends_with(".fpage") && !lower.ends_with(".fdoc") &&
      !lower.ends_with(".fdseq") && !lower.ends_with(".rdf") && !lower.ends_with(".xlb") && !lower.ends_with(".xba")) {
    return false;
  }
  return true;
}

}  // namespace postern::scan::worker
