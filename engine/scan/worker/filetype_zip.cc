// SPDX-License-Identifier: Apache-2.0
// ZIP files by what is in them: office documents by their content types, OpenDocument and EPUB by their `mimetype`
// member, programs of Java by their manifest or classes.
#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/scan/worker/filetype_parts.h"
#include "engine/scan/worker/zip_directory.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kMembers = 2000;
constexpr size_t kContentTypes = 256u << 10;

// A main part's content type begins so; templates and slide shows are of their family.
struct MainPart {
  std::string_view content_type;
  FileType type;
  FileType mime;
};
constexpr MainPart kMainParts[] = {
    {"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main", FileType::docx, FileType::docx},
    {"application/vnd.openxmlformats-officedocument.wordprocessingml.template.main", FileType::docx, FileType::docx},
    {"application/vnd.ms-word.document.macroenabled", FileType::docm, FileType::docm},
    {"application/vnd.ms-word.template.macroenabled", FileType::docm, FileType::docx},
    {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main", FileType::xlsx, FileType::xlsx},
    {"application/vnd.openxmlformats-officedocument.spreadsheetml.template.main", FileType::xlsx, FileType::xlsx},
    {"application/vnd.ms-excel.sheet.macroenabled", FileType::xlsm, FileType::xlsm},
    {"application/vnd.ms-excel.template.macroenabled", FileType::xlsm, FileType::xlsx},
    {"application/vnd.ms-excel.addin.macroenabled", FileType::xlsm, FileType::xlsx},
    {"application/vnd.ms-excel.sheet.binary.macroenabled", FileType::xlsb, FileType::xlsb},
    {"application/vnd.openxmlformats-officedocument.presentationml.presentation.main", FileType::pptx, FileType::pptx},
    {"application/vnd.openxmlformats-officedocument.presentationml.template.main", FileType::pptx, FileType::pptx},
    {"application/vnd.openxmlformats-officedocument.presentationml.slideshow.main", FileType::pptx, FileType::pptx},
    {"application/vnd.ms-powerpoint.presentation.macroenabled", FileType::pptm, FileType::pptm},
    {"application/vnd.ms-powerpoint.template.macroenabled", FileType::pptm, FileType::pptx},
    {"application/vnd.ms-powerpoint.slideshow.macroenabled", FileType::pptm, FileType::pptx},
    {"application/vnd.ms-powerpoint.addin.macroenabled", FileType::pptm, FileType::pptx},
    {"application/vnd.ms-visio.", FileType::vsdx, FileType::vsdx},
    {"application/vnd.ms-package.xps-fixeddocumentsequence", FileType::xps, FileType::xps},
    {"application/oxps", FileType::xps, FileType::xps},
};

// Where there is no main part that is known, the folders tell.
struct Folder {
  std::string_view prefix;
  FileType type;
};
constexpr Folder kFolders[] = {
    {"word/", FileType::docx}, {"xl/", FileType::xlsx}, {"ppt/", FileType::pptx}, {"visio/", FileType::vsdx}};

void add_ooxml(std::string_view content_types, const ZipDirectory& directory, Found& found) {
  const std::string lower = base::lower(content_types);
  const size_t before = found.types.size();
  for (const MainPart& row : kMainParts) {
    if (lower.find(row.content_type) == std::string::npos) continue;
    found.add(row.type, info(row.mime).mime);
  }
  for (const ZipMember& member : directory.members) {
    const std::string name = base::lower(member.name);
    if (name == "word/document.xml") found.add(FileType::docx);
    if (name == "xl/workbook.xml") found.add(FileType::xlsx);
    if (name == "xl/workbook.bin") found.add(FileType::xlsb);
    if (name == "ppt/presentation.xml") found.add(FileType::pptx);
    if (name.ends_with(".fdseq")) found.add(FileType::xps);
  }
  if (found.types.size() == before) {
    for (const ZipMember& member : directory.members) {
      for (const Folder& folder : kFolders) {
        if (base::istarts_with(member.name, folder.prefix)) found.add(folder.type);
      }
    }
  }
  // A macro-enabled kind is not also its plain sister, whose folders it has.
  const auto drop = [&](FileType macro, FileType plain) {
    if (found.has(macro) && found.has(plain)) {
      const std::string mime = found.mime;
      std::erase(found.types, plain);
      found.mime = mime;
    }
  };
  drop(FileType::docm, FileType::docx);
  drop(FileType::xlsm, FileType::xlsx);
  drop(FileType::xlsb, FileType::xlsx);
  drop(FileType::pptm, FileType::pptx);
  if (found.types.size() == before) found.add(FileType::ooxml, info(FileType::zip).mime);
}

bool add_by_mimetype(std::string_view mimetype, Found& found) {
  constexpr std::string_view kOdf = "application/vnd.oasis.opendocument.";
  constexpr std::string_view kOld = "application/vnd.sun.xml.";
  mimetype = base::trim(mimetype);
  if (mimetype == "application/epub+zip") {
    found.add(FileType::epub);
    return true;
  }
  if (!mimetype.starts_with(kOdf) && !mimetype.starts_with(kOld)) return false;
  const std::string_view kind = mimetype.substr(mimetype.starts_with(kOdf) ? kOdf.size() : kOld.size());
  FileType type = FileType::odf;
  if (kind.starts_with("text") || kind.starts_with("writer")) type = FileType::odt;
  if (kind.starts_with("spreadsheet") || kind.starts_with("calc")) type = FileType::ods;
  if (kind.starts_with("presentation") || kind.starts_with("impress")) type = FileType::odp;
  if (kind.starts_with("graphics") || kind.starts_with("draw")) type = FileType::odg;
  found.add(type, mimetype.size() < 100 ? mimetype : std::string_view());
  return true;
}

}  // namespace

void add_zip_types(std::string_view bytes, Found& found) {
  if (!is_zip(bytes)) return;
  const ZipDirectory directory = read_zip_directory(bytes, kMembers);
  const size_t before = found.types.size();
  bool known = false;
  bool archive_manifest = false;
  bool classes = false;
  bool odf_manifest = false;
  bool odf_content = false;
  for (const ZipMember& member : directory.members) {
    const std::string_view name = member.name;
    if (base::iequals(name, "[Content_Types].xml") && !known) {
      add_ooxml(inflate_head(member, kContentTypes), directory, found);
      known = true;
    }
    if (name == "mimetype" && !known) known = add_by_mimetype(inflate_head(member, 200), found);
    archive_manifest |= base::iequals(name, "META-INF/MANIFEST.MF");
    classes |= name.ends_with(".class") || name == "classes.dex";
    odf_manifest |= name == "META-INF/manifest.xml";
    odf_content |= name == "content.xml";
  }
  // OpenDocument whose mimetype member is gone is opened all the same.
  if (!known && odf_manifest && odf_content) {
    found.add(FileType::odt);
    known = true;
  }
  if (!known && (archive_manifest || classes)) {
    found.add(FileType::jar);
    found.add(FileType::zip);
    return;
  }
  if (!known || found.types.size() == before) found.add(FileType::zip);
}

}  // namespace postern::scan::worker
