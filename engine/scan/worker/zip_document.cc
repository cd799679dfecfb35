// SPDX-License-Identifier: Apache-2.0
// Documents that are zip files: OOXML (docx, xlsx, xlsb, pptx, vsdx, xps), OpenDocument, iWork. Their parts are told by
// what the package says they are, not by their names alone.
#include <algorithm>
#include <array>
#include <map>

#include "engine/base/text.h"
#include "engine/scan/worker/decoded_text.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/office.h"
#include "engine/scan/worker/text_readers.h"
#include "engine/scan/worker/xml_root.h"
#include "engine/scan/worker/zip_directory.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr size_t kBinaryPart = 50u << 20;
constexpr size_t kPartHead = 16u << 10;  // of a part, to tell what it is

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

// Part is a member on its way to the document's reader, charged to the budget.
class Part {
 public:
  Part(Context& context, ZipMember& member) : context_(context), member_(member), reader_(member) {}

  // next fills `room` until `size` bytes are in it or nothing more comes.
  size_t next(char* room, size_t size) {
    size_t filled = 0;
    while (reader_.going() && filled < size) {
      const size_t got = reader_.next(room + filled, std::min(size - filled, kChunk));
      limit_ = context_.budget().out(got, out_, member_.data.size());
      if (limit_ != Reason::none) break;
      out_ += got;
      filled += got;
    }
    if (first_) is_part_ = is_document_part(member_.name, {room, std::min(filled, kPartHead)});
    first_ = false;
    return filled;
  }
  bool going() const { return limit_ == Reason::none && reader_.going(); }
  // end returns why not all came. A part that is what the tables say need not be read again.
  Reason end() {
    if (limit_ != Reason::none) return limit_;
    member_.own = is_part_ && reader_.right();
    if (!member_.crc_known) member_.size = out_;
    return reader_.reason();
  }

 private:
  static constexpr size_t kChunk = 64u << 10;

  Context& context_;
  ZipMember& member_;
  MemberReader reader_;
  Reason limit_ = Reason::none;
  uint64_t out_ = 0;
  bool first_ = true;
  bool is_part_ = false;
};

// feed parses a member as XML. One that is not large is inflated into the parser's buffer as a whole: where the parser
// knows that nothing more comes it does not count lines, which is a sixth of its work.
Reason feed(Context& context, ZipMember& member, XmlHandler& handler, bool doctype) {
  constexpr uint64_t kWhole = 2u << 20;
  constexpr size_t kStep = 64u << 10;
  XmlParser parser(handler, doctype);
  Part part(context, member);
  size_t size = static_cast<size_t>(std::clamp<uint64_t>(member.size + 1, 1024, kWhole));
  do {
    char* const room = parser.room(size);
    if (room == nullptr) break;
    const size_t filled = part.next(room, size);
    const bool more = part.going();
    const Reason reason = more ? Reason::none : part.end();
    if (!parser.parse(filled, !more && reason == Reason::none)) break;
    if (!more) return reason;
    size = kStep;
  } while (true);
  member.own = false;
  return parser.reason();
}

class Ooxml {
 public:
  Ooxml(Context& context, ZipDirectory& package)
      : context_(context), package_(package), sink_(context), state_{context, sink_, {}, {}, {}} {}

  void run() {
    ZipMember* types = package_.find("[Content_Types].xml");
    if (types != nullptr) report(feed(context_, *types, types_, false));
    // What cells refer to comes before them.
    const size_t listed = package_.listed().size();
    for (int pass = 0; pass < 2; ++pass) {
      for (size_t i = 0; i < package_.members.size(); ++i) {
        if (context_.budget().expired()) {
          context_.fail(Reason::time);
          return;
        }
        ZipMember& member = package_.members[i];
        // Parts that no directory names are those of packages in another file, or hidden; they may be anything.
        quiet_ = i >= listed;
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
    if (reason != Reason::none && !quiet_) context_.fail(reason);
  }

  void part(ZipMember& member, int pass) {
    const std::string name = base::lower(member.name);
    if (name.ends_with('/')) return;
    std::string type = types_.of(name);
    type = base::trim(std::string_view(type).substr(0, type.find(';')));
    // What the parts are follows from their content type, whatever they are called; of one without, the name tells.
    const bool named =
        type.empty() || type == "application/xml" || type == "text/xml" || type == "application/octet-stream";
    if (named) type = name;
    const auto called = [&](std::string_view prefix) { return named && name.starts_with(prefix); };
    const bool readable = type.ends_with("xml");  // as XML
    // Whole workbooks, which are no part of this one, have types that end in ".12".
    const bool records = type.find("vnd.ms-excel.") != std::string::npos && !readable && !type.ends_with(".12");
    const bool project = contains_any(type, kMacro);
    if (project || name.ends_with("vbaproject.bin")) {
      if (pass == 0 && !(named && name.find(".xml") != std::string::npos)) macro(member);
      if (project || !(readable || records)) return;
    }
    if (type.find("activex") != std::string::npos && pass == 0) context_.mark(Mark::active_content);
    if ((type.find("macrosheet") != std::string::npos || name.starts_with("xl/macrosheets/")) && pass == 0 &&
        !name.ends_with(".rels")) {
      context_.mark(Mark::macro_xlm);
    }
    if (name.ends_with(".vml") || type.find("vmldrawing") != std::string::npos) {
      if (pass == 1) drawing(member);
      return;
    }
    const bool relationships = name.ends_with(".rels");
    const bool binary = records || (called("xl/") && name.ends_with(".bin"));
    const bool xml = relationships || readable || name.ends_with(".xml") || name.ends_with(".fpage");
    if (!binary && !xml) return;
    const bool spreadsheet =
        type.find("spreadsheet") != std::string::npos || type.find("ms-excel") != std::string::npos;
    const bool first = type.find("sharedstrings") != std::string::npos || type == "xl/workbook.xml" ||
                       type == "xl/workbook.bin" ||
                       (type.find("styles") != std::string::npos && (spreadsheet || called("xl/"))) ||
                       (spreadsheet && type.find(".main") != std::string::npos);
    if (first != (pass == 0)) return;
    if (binary) {
      const std::string bytes = whole(member);
      if (!name.ends_with(".bin") && has_known_head(bytes)) return;  // a file of its own
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
    } else if (contains_any(type, kSheets) || called("xl/worksheets/")) {
      kind = Kind::sheet;
    } else if (contains_any(type, kProperties) || called("docprops/")) {
      // As text it has none; it is read all the same, for what else it may be.
      kind = context_.job().want_metadata ? Kind::properties : Kind::text;
    } else if (called("customxml/")) {
      kind = Kind::properties;
    } else if (contains_any(type, kMasters)) {
      kind = Kind::master;
    }
    OoxmlHandler handler(state_, kind);
    // Files in base64 are found by who reads it by itself.
    bool files = false;
    handler.binary = [&](std::string_view, std::string_view) { files = true; };
    const Reason reason = feed(context_, member, handler, false);
    // Of a part that shows nothing more is told where it is a leaf.
    if (!contains_any(type, kSilent)) report(reason);
    if (files) member.own = false;
    sink_.line();
  }

  // drawing reads VML, which programs write as they do HTML: often it is no XML.
  void drawing(ZipMember& member) {
    const std::string bytes = whole(member);
    OoxmlHandler handler(state_, Kind::text);
    const Reason reason = parse_xml(bytes, handler, false);
    sink_.line();
    if (reason != Reason::corrupt && reason != Reason::unsupported) return report(reason);
    sink_.flush();
    markup_text(context_, DecodedText(context_, bytes).view());
  }

  std::string whole(ZipMember& member) {
    std::string bytes;
    std::array<char, 16384> piece;
    Part part(context_, member);
    while (part.going() && bytes.size() < kBinaryPart)
      bytes.append(piece.data(), part.next(piece.data(), piece.size()));
    report(part.going() ? Reason::size : part.end());
    return bytes;
  }

  // macro looks whether a VBA project holds code; its source is the text of the leaf that the archive reader makes of
  // it.
  void macro(ZipMember& member) {
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
                                         "printersettings"sv, "vbadata"sv};

  Context& context_;
  ZipDirectory& package_;
  TextSink sink_;
  OoxmlState state_;
  ContentTypes types_;
  bool quiet_ = false;  // what cannot be read is told where it is a leaf
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

// is_xml_name tells whether a name (in lower case) is one that parts which are XML have.
bool is_xml_name(std::string_view lower) {
  static constexpr std::array kNames = {".xml"sv,   ".rels"sv, ".vml"sv, ".fpage"sv, ".fdoc"sv,
                                        ".fdseq"sv, ".rdf"sv,  ".xlb"sv, ".xba"sv};
  return std::ranges::any_of(kNames, [&](std::string_view end) { return lower.ends_with(end); });
}

void read_odf(Context& context, ZipDirectory& package) {
  const auto report = [&](Reason reason) {
    if (reason != Reason::none) context.fail(reason);
  };
  if (ZipMember* member = package.find("mimetype")) {
    std::array<char, 256> room;
    Part part(context, *member);
    while (part.going()) part.next(room.data(), room.size());
    report(part.end());
  }
  ZipMember* const manifest = package.find("META-INF/manifest.xml");
  if (manifest != nullptr) {
    Manifest entries;
    report(feed(context, *manifest, entries, true));
    if (entries.encrypted) {
      context.leaf().protection = Protection::yes;
      context.fail(Reason::password);
      return;
    }
  }
  TextSink sink(context);
  bool found = false;
  const size_t listed = package.listed().size();
  for (size_t i = 0; i < package.members.size(); ++i) {
    if (context.budget().expired()) {
      context.fail(Reason::time);
      return;
    }
    ZipMember& member = package.members[i];
    const std::string_view name = member.name;
    if (name.starts_with("Scripts/") && !name.ends_with('/')) context.mark(Mark::macro_vba);
    // Settings of the program that holds none are empty files.
    if (&member == manifest || !is_xml_name(base::lower(name)) || (member.size == 0 && member.crc_known)) continue;
    found = found || (name == "content.xml" && i < listed);
    const bool basic = (name.starts_with("Basic/") || name.starts_with("Dialogs/")) && name.ends_with(".xml");
    const bool meta = ends_with_part(name, "meta.xml");
    if (meta && !context.job().want_metadata) {
      Manifest nothing;
      const Reason reason = feed(context, member, nothing, true);
      if (i < listed) report(reason);
      continue;
    }
    OdfHandler handler(context, sink);
    // A module of Basic names a public identifier and nothing else.
    if (basic) handler.code();
    if (meta) handler.metadata();
    bool files = false;
    handler.binary = [&](std::string_view, std::string_view) { files = true; };
    const Reason reason = feed(context, member, handler, true);
    // What is wrong with settings, or with what no directory names, is told where it is a leaf.
    const bool shown = basic || meta || ends_with_part(name, "content.xml") || ends_with_part(name, "styles.xml");
    if (shown && i < listed) report(reason);
    if (files) member.own = false;
    handler.finish();
    sink.line();
  }
  if (!found) context.fail(Reason::corrupt);
}

void read_iwork(Context& context, ZipMember& member) {
  TextSink sink(context);
  PlainHandler handler(sink);
  const Reason reason = feed(context, member, handler, false);
  if (reason != Reason::none) context.fail(reason);
}

bool is_odf(ZipDirectory& package) {
  const bool manifest = package.find("META-INF/manifest.xml") != nullptr;
  const bool mimetype = package.find("mimetype") != nullptr;
  const bool content = package.find("content.xml") != nullptr || package.find("encrypted-package") != nullptr;
  return (manifest || mimetype) && (content || (manifest && mimetype));
}

bool is_opc(ZipDirectory& package) { return package.find("[Content_Types].xml") != nullptr; }

// is_flat tells whether this is the root of a document that is one file, which programs open by itself.
bool is_flat(const XmlRoot& root) {
  return root.space.starts_with("http://schemas.microsoft.com/office/word/2003/") ||
         root.space == "http://schemas.microsoft.com/office/2006/xmlPackage" ||
         root.space == "urn:schemas-microsoft-com:office:spreadsheet" ||
         (root.name == "document" &&
          (root.space.starts_with("urn:oasis:") || root.space.starts_with("http://openoffice.org/")));
}

bool is_shown_by_browsers(const XmlRoot& root) {
  return root.space == "http://www.w3.org/1999/xhtml" || root.space == "http://www.w3.org/2000/svg";
}

}  // namespace

void mark_vba(Context& context, CompoundFile& file) {
  for (uint32_t i = 0; i < file.entries().size(); ++i) {
    if (file.entries()[i].is_storage && file.find(i, "dir")) {
      if (has_vba_code(context, file, i)) context.mark(Mark::macro_vba);
      return;
    }
  }
  context.mark(Mark::macro_vba);
}

void read_zip_document(Context& context, ZipDirectory& directory) {
  if (directory.members.empty()) return;  // the archive reader tells
  // It is cut, so that parts may be missing.
  const bool without_directory = !directory.members.front().central;
  const bool opc = is_opc(directory);
  const bool odf = !opc && is_odf(directory);
  if (!opc && !odf) {
    for (const std::string_view name : {"index.xml"sv, "index.apxl"sv, "presentation.apxl"sv}) {
      if (ZipMember* member = directory.find(name)) read_iwork(context, *member);
    }
    // Documents of iWork 2013 and later, in a form that is not read.
    if (std::ranges::any_of(directory.members, [](const ZipMember& member) {
          const std::string name = base::lower(member.name);
          return name.ends_with(".iwa") && (name.starts_with("index/") || name.find("/index/") != std::string::npos);
        })) {
      context.fail(Reason::unsupported);
    }
    // Without a directory the part that would tell may be what is missing.
    const bool cut = without_directory && (directory.find("word/document.xml") || directory.find("xl/workbook.xml") ||
                                           directory.find("ppt/presentation.xml"));
    if (cut) Ooxml(context, directory).run();
    return;
  }
  if (without_directory) context.fail(Reason::corrupt);
  if (opc) {
    Ooxml(context, directory).run();
  } else {
    read_odf(context, directory);
  }
}

bool is_document_part(std::string_view name, std::string_view head) {
  const std::string lower = base::lower(name);
  if (lower == "mimetype") return head.size() < 128 && head.starts_with("application/");
  if (lower.ends_with(".bin")) {
    // Parts of an .xlsb begin with a record of no length.
    return (lower.starts_with("xl/worksheets/") || lower == "xl/workbook.bin" || lower == "xl/sharedstrings.bin" ||
            lower == "xl/styles.bin" || lower.starts_with("xl/comments")) &&
           !has_known_head(head);
  }
  if (!is_xml_name(lower)) return false;
  const XmlRoot root = root_of(head);
  if (lower.ends_with(".vml")) return root.name == "xml";
  if (root.name.empty() || is_flat(root)) return false;
  // What is kept for other programs is of any kind, and read whatever it is.
  if (lower.starts_with("customxml/")) return !is_shown_by_browsers(root);
  if (lower.starts_with("_xmlsignatures/") && root.space == "http://www.w3.org/2000/09/xmldsig#") return true;
  if (lower.ends_with(".rdf") && root.space == "http://www.w3.org/1999/02/22-rdf-syntax-ns#") return true;
  static constexpr std::array kSpaces = {"http://schemas.openxmlformats.org/"sv,
                                         "http://purl.oclc.org/ooxml/"sv,
                                         "http://schemas.microsoft.com/office/"sv,
                                         "http://schemas.microsoft.com/xps/"sv,
                                         "http://schemas.microsoft.com/windows/2003/08/printing/"sv,
                                         "http://schemas.openxps.org/"sv,
                                         "urn:oasis:names:tc:opendocument:"sv,
                                         "http://openoffice.org/"sv};
  return std::ranges::any_of(kSpaces, [&](std::string_view space) { return root.space.starts_with(space); });
}

}  // namespace postern::scan::worker
