// SPDX-License-Identifier: Apache-2.0
// The table of types.
#include "engine/scan/client/file_type.h"

#include <array>

#include "engine/base/text.h"

namespace postern::scan {
namespace {

constexpr uint8_t kExecutable = static_cast<uint8_t>(Group::executable);
constexpr uint8_t kDocument = static_cast<uint8_t>(Group::document);
constexpr uint8_t kCompressed = static_cast<uint8_t>(Group::compressed);
constexpr uint8_t kImage = static_cast<uint8_t>(Group::image);
constexpr uint8_t kMedia = static_cast<uint8_t>(Group::media);
constexpr uint8_t kText = static_cast<uint8_t>(Group::text);

// In the order of FileType.
constexpr FileTypeInfo kTypes[] = {
    {"unknown", 0, "application/octet-stream", ""},
    {"exe", kExecutable, "application/vnd.microsoft.portable-executable", "exe com hlp"},
    {"dll", kExecutable, "application/x-msdownload-library", "dll ocx cpl sys"},
    {"scr", kExecutable, "application/x-screensaver", "scr"},
    {"msi", kExecutable, "application/x-msi", "msi msp mst"},
    {"pif", kExecutable, "application/x-pif", "pif"},
    {"java", kExecutable, "application/java-vm", "class"},
    {"elf", kExecutable, "application/x-executable", ""},
    {"macho", kExecutable, "application/x-mach-binary", ""},
    {"jar", kExecutable | kCompressed, "application/java-archive", "jar"},
    {"lnk", kExecutable, "application/x-ms-shortcut", "lnk"},
    {"js", kExecutable, "text/javascript", "js jse mjs"},
    {"vbs", kExecutable, "text/vbscript", "vbs vbe vb"},
    {"ps1", kExecutable, "text/x-powershell", "ps1 psm1 psd1 ps1xml"},
    {"bat", kExecutable, "text/x-msdos-batch", "bat cmd"},
    {"sh", kExecutable, "text/x-shellscript", "sh bash zsh ksh csh fish run command tool terminal scpt applescript"},
    {"python", kExecutable, "text/x-python", "py pyw pyc"},
    {"perl", kExecutable, "text/x-perl", "pl"},
    {"wsf", kExecutable, "text/x-wsf", "wsf wsc sct wsh ws msc ahk"},
    {"hta", kExecutable, "application/hta", "hta htc"},
    {"xll", kExecutable, "application/x-xll", "xll"},
    {"chm", kExecutable | kCompressed, "application/vnd.ms-htmlhelp", "chm"},
    {"reg", kExecutable, "text/x-ms-regedit", "reg inf"},
    {"url", kExecutable, "application/x-url",
     "url website scf desktop settingcontent-ms library-ms search-ms searchconnector-ms appref-ms application jnlp "
     "inetloc fileloc theme rdp"},
    {"sis", kExecutable | kCompressed, "application/vnd.symbian.install", "sis sisx"},
    {"doc", kDocument, "application/msword", "doc dot"},
    {"docx", kDocument, "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx dotx"},
    {"docm", kDocument, "application/vnd.ms-word.document.macroEnabled.12", "docm dotm"},
    {"xls", kDocument, "application/vnd.ms-excel", "xls xlt xla"},
    {"xlsx", kDocument, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx xltx"},
    {"xlsm", kDocument, "application/vnd.ms-excel.sheet.macroEnabled.12", "xlsm xltm xlam"},
    {"xlsb", kDocument, "application/vnd.ms-excel.sheet.binary.macroEnabled.12", "xlsb"},
    {"ppt", kDocument, "application/vnd.ms-powerpoint", "ppt pps pot"},
    {"pptx", kDocument, "application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx ppsx potx"},
    {"pptm", kDocument, "application/vnd.ms-powerpoint.presentation.macroEnabled.12", "pptm ppsm potm ppam"},
    {"ooxml", kDocument, "application/x-ooxml", ""},
    {"vsdx", kDocument, "application/vnd.ms-visio.drawing.main+xml", "vsdx"},
    {"visio", kDocument, "application/vnd.visio", "vsd"},
    {"publisher", kDocument, "application/vnd.ms-publisher", "pub"},
    {"mdb", kDocument, "application/x-msaccess", "mdb accdb"},
    {"mpp", kDocument, "application/vnd.ms-project", "mpp"},
    {"one", kDocument, "application/onenote", "one"},
    {"msg", kDocument, "application/vnd.ms-outlook", "msg"},
    {"pst", kDocument | kCompressed, "application/vnd.ms-outlook", "pst ost"},
    {"ole", kDocument, "application/x-ole-storage", ""},
    {"activemime", kDocument, "application/x-mso", "mso"},
    {"odt", kDocument, "application/vnd.oasis.opendocument.text", "odt ott fodt"},
    {"ods", kDocument, "application/vnd.oasis.opendocument.spreadsheet", "ods ots fods"},
    {"odp", kDocument, "application/vnd.oasis.opendocument.presentation", "odp otp fodp"},
    {"odg", kDocument, "application/vnd.oasis.opendocument.graphics", "odg fodg"},
    {"odf", kDocument, "application/vnd.oasis.opendocument.formula", "odf odb odc"},
    {"pdf", kDocument, "application/pdf", "pdf"},
    {"ps", kDocument, "application/postscript", "ps eps ai"},
    {"rtf", kDocument, "text/rtf", "rtf"},
    {"wps", kDocument, "application/vnd.ms-works", "wps"},
    {"wordperfect", kDocument, "application/vnd.wordperfect", "wpd"},
    {"lotus123", kDocument, "application/vnd.lotus-1-2-3", "wk1 wk3 wk4 123"},
    {"hwp", kDocument, "application/x-hwp", "hwp"},
    {"epub", kDocument | kCompressed, "application/epub+zip", "epub"},
    {"xps", kDocument, "application/oxps", "xps oxps"},
    {"djvu", kDocument, "image/vnd.djvu", "djvu djv"},
    {"x-wmf", kDocument | kImage, "image/wmf", "wmf"},
    {"zip", kCompressed, "application/zip", "zip"},
    {"gzip", kCompressed, "application/gzip", "gz tgz svgz emz"},
    {"bz", kCompressed, "application/x-bzip", "bz"},
    {"bz2", kCompressed, "application/x-bzip2", "bz2 tbz tbz2"},
    {"xz", kCompressed, "application/x-xz", "xz txz"},
    {"lzma", kCompressed, "application/x-lzma", "lzma"},
    {"lzip", kCompressed, "application/x-lzip", "lz tlz"},
    {"lzop", kCompressed, "application/x-lzop", "lzo"},
    {"lrzip", kCompressed, "application/x-lrzip", "lrz"},
    {"zstd", kCompressed, "application/zstd", "zst"},
    {"lz4", kCompressed, "application/x-lz4", "lz4"},
    {"snappy", kCompressed, "application/x-snappy-framed", "sz"},
    {"zlib", kCompressed, "application/zlib", ""},
    {"compress", kCompressed, "application/x-compress", "z"},
    {"szdd", kCompressed, "application/x-ms-compress-szdd", "ex_ dl_ sy_"},
    {"7z", kCompressed, "application/x-7z-compressed", "7z"},
    {"rar", kCompressed, "application/x-rar", "rar"},
    {"tar", kCompressed, "application/x-tar", "tar"},
    {"cpio", kCompressed, "application/x-cpio", "cpio"},
    {"ar", kCompressed, "application/x-archive", "a ar deb"},
    {"rpm", kCompressed, "application/x-rpm", "rpm"},
    {"cab", kCompressed, "application/vnd.ms-cab-compressed", "cab"},
    {"arj", kCompressed, "application/x-arj", "arj"},
    {"lha", kCompressed, "application/x-lzh-compressed", "lzh lha"},
    {"ace", kCompressed, "application/x-ace-compressed", "ace"},
    {"arc", kCompressed, "application/x-arc", "arc"},
    {"alz", kCompressed, "application/x-alz", "alz egg"},
    {"sit", kCompressed, "application/x-stuffit", "sit sitx"},
    {"zoo", kCompressed, "application/x-zoo", "zoo"},
    {"binhex", kCompressed, "application/mac-binhex40", "hqx"},
    {"uuencode", kCompressed, "text/x-uuencode", "uu uue"},
    {"yenc", kCompressed, "text/x-yenc", ""},
    {"appledouble", kCompressed, "application/applefile", ""},
    {"iso", kCompressed, "application/x-iso9660-image", "iso"},
    {"udf", kCompressed, "application/x-udf-image", ""},
    {"img", kCompressed, "application/x-raw-disk-image", "img"},
    {"vhd", kCompressed, "application/x-vhd", "vhd"},
    {"vhdx", kCompressed, "application/x-vhdx", "vhdx"},
    {"dmg", kCompressed, "application/x-apple-diskimage", "dmg"},
    {"xar", kCompressed, "application/x-xar", "xar pkg"},
    {"tnef", kCompressed, "application/ms-tnef", "dat"},
    {"mbox", kCompressed, "application/mbox", "mbox"},
    {"rfc822", 0, "message/rfc822", "eml mht mhtml"},
    {"smime", 0, "application/pkcs7-mime", "p7m"},
    {"smime-signature", 0, "application/pkcs7-signature", "p7s"},
    {"pgp", 0, "application/pgp-encrypted", "pgp gpg asc"},
    {"pgp-keys", 0, "application/pgp-keys", ""},
    {"sqlite", 0, "application/x-sqlite3", "sqlite db"},
    {"txt", kText, "text/plain", "txt"},
    {"html", kText, "text/html", "html htm shtml"},
    {"xhtml", kText, "application/xhtml+xml", "xhtml xht"},
    {"xml", kText, "text/xml", "xml"},
    {"csv", kText, "text/csv", "csv"},
    {"json", kText, "application/json", "json"},
    {"vcard", kText, "text/vcard", "vcf"},
    {"ics", kText, "text/calendar", "ics"},
    {"rfc822-headers", kText, "text/rfc822-headers", ""},
    {"svg", kImage | kText, "image/svg+xml", "svg"},
    {"bmp", kImage, "image/bmp", "bmp"},
    {"cur", kImage, "image/x-win-cursor", "cur"},
    {"gif", kImage, "image/gif", "gif"},
    {"ico", kImage, "image/vnd.microsoft.icon", "ico"},
    {"jpeg", kImage, "image/jpeg", "jpg jpeg jpe"},
    {"jp2", kImage, "image/jp2", "jp2 j2k"},
    {"jxl", kImage, "image/jxl", "jxl"},
    {"webp", kImage, "image/webp", "webp"},
    {"heif", kImage, "image/heic", "heic heif avif"},
    {"pcx", kImage, "image/x-pcx", "pcx"},
    {"png", kImage, "image/png", "png"},
    {"psd", kImage, "image/vnd.adobe.photoshop", "psd"},
    {"psp", kImage, "image/x-paintshoppro", "psp"},
    {"tga", kImage, "image/x-tga", "tga"},
    {"tiff", kImage, "image/tiff", "tif tiff"},
    {"emf", kImage, "image/emf", "emf"},
    {"icns", kImage, "image/x-icns", "icns"},
    {"dwg", kImage, "image/vnd.dwg", "dwg"},
    {"dxf", kImage, "image/vnd.dxf", "dxf"},
    {"aac", kMedia, "audio/x-hx-aac-adts", "aac"},
    {"aiff", kMedia, "audio/x-aiff", "aif aiff"},
    {"asf", kMedia, "video/x-ms-asf", "asf"},
    {"avi", kMedia, "video/x-msvideo", "avi"},
    {"flac", kMedia, "audio/flac", "flac"},
    {"flash", kMedia, "application/x-shockwave-flash", "swf"},
    {"flv", kMedia, "video/x-flv", "flv"},
    {"matroska", kMedia, "video/x-matroska", "mkv webm"},
    {"midi", kMedia, "audio/midi", "mid midi"},
    {"mov", kMedia, "video/quicktime", "mov"},
    {"mp3", kMedia, "audio/mpeg", "mp3"},
    {"mp4", kMedia, "video/mp4", "mp4 m4a m4v"},
    {"mpeg", kMedia, "video/mpeg", "mpg mpeg"},
    {"ogg", kMedia, "audio/ogg", "ogg oga ogv"},
    {"ram", kMedia, "audio/x-pn-realaudio", "ram rm ra"},
    {"snd", kMedia, "audio/basic", "au snd"},
    {"wav", kMedia, "audio/x-wav", "wav"},
    {"wma", kMedia, "audio/x-ms-wma", "wma"},
    {"wmv", kMedia, "video/x-ms-wmv", "wmv"},
    {"font", 0, "font/sfnt", "ttf otf woff woff2"},
};
static_assert(std::size(kTypes) == static_cast<size_t>(FileType::count_));

constexpr GroupInfo kGroups[] = {
    {Group::executable, "Executable"}, {Group::document, "Document"}, {Group::compressed, "Compressed"},
    {Group::image, "Image"},           {Group::media, "Media"},       {Group::text, "Text"},
};

}  // namespace

std::span<const FileTypeInfo> file_types() { return kTypes; }

const FileTypeInfo& info(FileType type) {
  return kTypes[type < FileType::count_ ? static_cast<size_t>(type) : static_cast<size_t>(FileType::unknown)];
}

std::span<const GroupInfo> groups() { return kGroups; }

std::optional<FileType> find_type(std::string_view name) {
  for (size_t i = 0; i < std::size(kTypes); ++i) {
    if (base::iequals(kTypes[i].name, name)) return static_cast<FileType>(i);
  }
  return std::nullopt;
}

std::optional<Group> find_group(std::string_view name) {
  for (const GroupInfo& row : kGroups) {
    const bool plural = name.size() == row.name.size() + 1 && (name.back() == 's' || name.back() == 'S');
    if (base::iequals(row.name, plural ? name.substr(0, row.name.size()) : name)) return row.group;
  }
  return std::nullopt;
}

std::optional<TypeSet> find_kind(std::string_view name) {
  TypeSet out;
  if (const std::optional<FileType> type = find_type(name)) {
    out.set(static_cast<size_t>(*type));
    return out;
  }
  const std::optional<Group> group = find_group(name);
  if (!group) return std::nullopt;
  for (size_t i = 0; i < std::size(kTypes); ++i) out.set(i, kTypes[i].in(*group));
  return out;
}

std::optional<FileType> type_of_extension(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot + 1 == name.size()) return std::nullopt;
  const std::string_view extension = name.substr(dot + 1);
  for (size_t i = 0; i < std::size(kTypes); ++i) {
    std::string_view rest = kTypes[i].extensions;
    while (!rest.empty()) {
      const size_t blank = rest.find(' ');
      if (base::iequals(rest.substr(0, blank), extension)) return static_cast<FileType>(i);
      rest = blank == std::string_view::npos ? std::string_view() : rest.substr(blank + 1);
    }
  }
  return std::nullopt;
}

}  // namespace postern::scan
