// SPDX-License-Identifier: Apache-2.0
// File names of parts: every reading of them, and the MIME types their extensions stand for, as desktop systems open
// them.
#include <algorithm>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/content_type.h"
#include "engine/mime/encoded_word.h"

namespace postern::mime {
namespace {

struct Extension {
  std::string_view name;
  std::string_view type;
};

// In alphabetical order.
constexpr Extension kExtensions[] = {
    {"7z", "application/x-7z-compressed"},
    {"accdb", "application/msaccess"},
    {"ace", "application/x-ace-compressed"},
    {"apk", "application/vnd.android.package-archive"},
    {"arj", "application/x-arj"},
    {"asc", "application/pgp-signature"},
    {"avi", "video/x-msvideo"},
    {"bat", "application/x-bat"},
    {"bmp", "image/bmp"},
    {"bz2", "application/x-bzip2"},
    {"cab", "application/vnd.ms-cab-compressed"},
    {"chm", "application/vnd.ms-htmlhelp"},
    {"cmd", "application/x-bat"},
    {"com", "application/x-msdownload"},
    {"cpl", "application/x-msdownload"},
    {"css", "text/css"},
    {"csv", "text/csv"},
    {"dll", "application/x-msdownload"},
    {"doc", "application/msword"},
    {"docm", "application/vnd.ms-word.document.macroenabled.12"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"dot", "application/msword"},
    {"dotm", "application/vnd.ms-word.template.macroenabled.12"},
    {"dotx", "application/vnd.openxmlformats-officedocument.wordprocessingml.template"},
    {"dwg", "image/vnd.dwg"},
    {"emf", "image/emf"},
    {"eml", "message/rfc822"},
    {"eps", "application/postscript"},
    {"epub", "application/epub+zip"},
    {"exe", "application/x-msdownload"},
    {"flac", "audio/flac"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"hlp", "application/winhlp"},
    {"hqx", "application/mac-binhex40"},
    {"hta", "application/hta"},
    {"htm", "text/html"},
    {"html", "text/html"},
    {"ico", "image/vnd.microsoft.icon"},
    {"ics", "text/calendar"},
    {"img", "application/x-raw-disk-image"},
    {"iso", "application/x-iso9660-image"},
    {"jar", "application/java-archive"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript"},
    {"jse", "text/javascript"},
    {"json", "application/json"},
    {"lha", "application/x-lzh-compressed"},
    {"lnk", "application/x-ms-shortcut"},
    {"lz", "application/x-lzip"},
    {"lzh", "application/x-lzh-compressed"},
    {"mdb", "application/msaccess"},
    {"mht", "message/rfc822"},
    {"mhtml", "message/rfc822"},
    {"mid", "audio/midi"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"mpeg", "video/mpeg"},
    {"mpg", "video/mpeg"},
    {"msg", "application/vnd.ms-outlook"},
    {"msi", "application/x-msi"},
    {"odp", "application/vnd.oasis.opendocument.presentation"},
    {"ods", "application/vnd.oasis.opendocument.spreadsheet"},
    {"odt", "application/vnd.oasis.opendocument.text"},
    {"ogg", "audio/ogg"},
    {"one", "application/onenote"},
    {"p7m", "application/pkcs7-mime"},
    {"p7s", "application/pkcs7-signature"},
    {"pdf", "application/pdf"},
    {"pgp", "application/pgp-encrypted"},
    {"pif", "application/x-msdownload"},
    {"png", "image/png"},
    {"pot", "application/vnd.ms-powerpoint"},
    {"potm", "application/vnd.ms-powerpoint.template.macroenabled.12"},
    {"pps", "application/vnd.ms-powerpoint"},
    {"ppsm", "application/vnd.ms-powerpoint.slideshow.macroenabled.12"},
    {"ppsx", "application/vnd.openxmlformats-officedocument.presentationml.slideshow"},
    {"ppt", "application/vnd.ms-powerpoint"},
    {"pptm", "application/vnd.ms-powerpoint.presentation.macroenabled.12"},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"ps", "application/postscript"},
    {"ps1", "application/x-powershell"},
    {"psd", "image/vnd.adobe.photoshop"},
    {"rar", "application/vnd.rar"},
    {"reg", "text/x-ms-regedit"},
    {"rtf", "application/rtf"},
    {"scr", "application/x-msdownload"},
    {"sh", "application/x-sh"},
    {"sit", "application/x-stuffit"},
    {"svg", "image/svg+xml"},
    {"swf", "application/vnd.adobe.flash.movie"},
    {"sys", "application/x-msdownload"},
    {"tar", "application/x-tar"},
    {"tgz", "application/gzip"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"tnef", "application/ms-tnef"},
    {"txt", "text/plain"},
    {"uue", "text/x-uuencode"},
    {"vbe", "text/vbscript"},
    {"vbs", "text/vbscript"},
    {"vcf", "text/vcard"},
    {"vhd", "application/x-vhd"},
    {"vhdx", "application/x-vhdx"},
    {"vsd", "application/vnd.visio"},
    {"vsdx", "application/vnd.ms-visio.drawing.main+xml"},
    {"wav", "audio/x-wav"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"wma", "audio/x-ms-wma"},
    {"wmf", "image/wmf"},
    {"wmv", "video/x-ms-wmv"},
    {"wsf", "text/x-ms-wsf"},
    {"wsh", "text/x-ms-wsh"},
    {"xla", "application/vnd.ms-excel"},
    {"xlam", "application/vnd.ms-excel.addin.macroenabled.12"},
    {"xll", "application/x-msdownload"},
    {"xls", "application/vnd.ms-excel"},
    {"xlsb", "application/vnd.ms-excel.sheet.binary.macroenabled.12"},
    {"xlsm", "application/vnd.ms-excel.sheet.macroenabled.12"},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xlt", "application/vnd.ms-excel"},
    {"xml", "text/xml"},
    {"xz", "application/x-xz"},
    {"z", "application/x-compress"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
};
static_assert(std::ranges::is_sorted(kExtensions, {}, &Extension::name));

// clean_name makes a name fit to be shown and compared: no control, bidirectional or invisible characters, no blanks
// round it and no dots behind it (which some systems drop when saving).
std::string clean_name(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const auto c = static_cast<unsigned char>(name[i]);
    if (c < 0x20 || c == 0x7F) continue;
    const std::string_view rest = name.substr(i);
    const auto third = rest.size() > 2 ? static_cast<unsigned char>(rest[2]) : 0u;
    if (c == 0xC2 && rest.size() > 1 && static_cast<unsigned char>(rest[1]) < 0xA0) {
      i += 1;  // C1 controls
      continue;
    }
    if (rest.starts_with("\xD8\x9C")) {
      i += 1;  // U+061C
      continue;
    }
    const bool hidden = (rest.starts_with("\xE2\x80") &&
                         (third == 0x8B || third == 0x8E || third == 0x8F || (third >= 0xA8 && third <= 0xAE))) ||
                        (rest.starts_with("\xE2\x81") && (third >= 0xA0 && third <= 0xAF)) ||
                        rest.starts_with("\xEF\xBB\xBF");
    if (hidden) {
      i += 2;
      continue;
    }
    out += name[i];
  }
  const size_t begin = out.find_first_not_of(" \t");
  const size_t end = out.find_last_not_of(" \t.");
  if (begin == std::string::npos || end == std::string::npos || end < begin) return {};
  return out.substr(begin, end - begin + 1);
}

}  // namespace

std::vector<std::string> file_names(const StructuredValue& type, const StructuredValue& disposition) {
  std::vector<std::string> out;
  std::vector<std::string> last;
  const auto add = [&](std::vector<std::string>& to, std::string_view raw) {
    std::string name = clean_name(raw);
    if (!name.empty() && out.size() < kMostFileNames && std::ranges::find(to, name) == to.end()) to.push_back(name);
  };
  const auto add_all = [&](const std::vector<Parameter>& parameters, std::string_view wanted) {
    for (const Parameter& parameter : parameters) {
      if (parameter.name != wanted) continue;
      add(out, parameter.value);
      // Programs that end a name at NUL, and those that save only what follows the last separator.
      if (const size_t nul = parameter.value.find('\0'); nul != std::string::npos) {
        add(last, std::string_view(parameter.value).substr(0, nul));
      }
      if (const size_t cut = parameter.value.find_last_of("/\\:"); cut != std::string::npos) {
        add(last, std::string_view(parameter.value).substr(cut + 1));
      }
    }
  };
  for (auto StructuredValue::* list : {&StructuredValue::parameters, &StructuredValue::candidates}) {
    add_all(disposition.*list, "filename");
    add_all(type.*list, "name");
    add_all(disposition.*list, "name");
    add_all(type.*list, "filename");
  }
  for (const std::string& name : last) add(out, name);
  return out;
}

std::vector<std::string> loose_names(std::string_view raw) {
  constexpr size_t kLongest = 1024;
  constexpr std::string_view kBetween = " \t\r\n\v\f*0123456789\"')";  // may stand between "name" and its equals sign
  std::vector<std::string> out;
  const std::string low = base::lower(raw);
  for (size_t at = low.find("name"); at != std::string::npos && out.size() < kMostLooseNames;
       at = low.find("name", at + 4)) {
    const size_t equals = low.find_first_not_of(kBetween, at + 4);
    if (equals == std::string::npos || low[equals] != '=') continue;
    std::string_view value = raw.substr(equals + 1, kLongest);
    value = base::trim(value.substr(0, value.find(';')));
    if (const size_t language = value.find("''"); language != std::string_view::npos) value.remove_prefix(language + 2);
    std::string name = value.find("=?") != std::string_view::npos ? decode_words(value) : to_utf8(value, "").utf8;
    std::erase(name, '"');
    name = clean_name(name);
    while (!name.empty() && (name.back() == ')' || name.back() == '\'')) name.pop_back();
    if (!name.empty() && std::ranges::find(out, name) == out.end()) out.push_back(std::move(name));
  }
  return out;
}

std::string_view type_from_extension(std::string_view file_name) {
  const size_t dot = file_name.rfind('.');
  if (dot == std::string_view::npos || file_name.size() - dot > 12) return {};
  const std::string extension = base::lower(file_name.substr(dot + 1));
  const auto* found = std::ranges::lower_bound(kExtensions, extension, {}, &Extension::name);
  return found != std::end(kExtensions) && found->name == extension ? found->type : std::string_view();
}

}  // namespace postern::mime
