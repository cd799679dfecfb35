// SPDX-License-Identifier: Apache-2.0
// FileType: the kinds of files that rules can name, with their groups (the reference product's fingerprints, its six
// groups, and what has come into use since), MIME type and usual extensions. Detection is the worker's; this is the
// vocabulary that worker, rules and people share.
#pragma once
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace postern::scan {

// FileType is an index into file_types(). Its numbers hold within one build only.
enum class FileType : uint8_t {
  unknown,
  exe,
  dll,
  scr,
  msi,
  pif,
  java,
  elf,
  macho,
  jar,
  lnk,
  js,
  vbs,
  ps1,
  bat,
  sh,
  python,
  perl,
  wsf,
  hta,
  xll,
  chm,
  reg,
  url,
  sis,
  doc,
  docx,
  docm,
  xls,
  xlsx,
  xlsm,
  xlsb,
  ppt,
  pptx,
  pptm,
  ooxml,
  vsdx,
  visio,
  publisher,
  mdb,
  mpp,
  one,
  msg,
  pst,
  ole,
  activemime,
  odt,
  ods,
  odp,
  odg,
  odf,
  pdf,
  ps,
  rtf,
  wps,
  wordperfect,
  lotus123,
  hwp,
  epub,
  xps,
  djvu,
  x_wmf,
  zip,
  gzip,
  bz,
  bz2,
  xz,
  lzma,
  lzip,
  lzop,
  lrzip,
  zstd,
  lz4,
  snappy,
  zlib,
  compress,
  szdd,
  type_7z,
  rar,
  tar,
  cpio,
  ar,
  rpm,
  cab,
  arj,
  lha,
  ace,
  arc,
  alz,
  sit,
  zoo,
  binhex,
  uuencode,
  yenc,
  appledouble,
  iso,
  udf,
  img,
  vhd,
  vhdx,
  dmg,
  xar,
  tnef,
  mbox,
  rfc822,
  smime,
  smime_signature,
  pgp,
  pgp_keys,
  sqlite,
  txt,
  html,
  xhtml,
  xml,
  csv,
  json,
  vcard,
  ics,
  rfc822_headers,
  svg,
  bmp,
  cur,
  gif,
  ico,
  jpeg,
  jp2,
  jxl,
  webp,
  heif,
  pcx,
  png,
  psd,
  psp,
  tga,
  tiff,
  emf,
  icns,
  dwg,
  dxf,
  aac,
  aiff,
  asf,
  avi,
  flac,
  flash,
  flv,
  matroska,
  midi,
  mov,
  mp3,
  mp4,
  mpeg,
  ogg,
  ram,
  snd,
  wav,
  wma,
  wmv,
  font,
  count_  // keep last
};

// Group is a bit each; a type may be in several.
enum class Group : uint8_t {
  executable = 1 << 0,
  document = 1 << 1,
  compressed = 1 << 2,
  image = 1 << 3,
  media = 1 << 4,
  text = 1 << 5,
};

// FileTypeInfo is one row. `extensions` are lower case, apart by blanks, the usual one first.
struct FileTypeInfo {
  std::string_view name;
  uint8_t groups;
  std::string_view mime;
  std::string_view extensions;
  bool in(Group group) const { return (groups & static_cast<uint8_t>(group)) != 0; }
};
std::span<const FileTypeInfo> file_types();
const FileTypeInfo& info(FileType type);

// GroupInfo is a group's name as rules and JSON write it: "Executable".
struct GroupInfo {
  Group group;
  std::string_view name;
};
std::span<const GroupInfo> groups();

// TypeSet is a set of types.
using TypeSet = std::bitset<static_cast<size_t>(FileType::count_)>;

// find_kind returns the types that a name stands for: one type, or a group's; nullopt where nothing is called so.
std::optional<TypeSet> find_kind(std::string_view name);

// find_type and find_group look a name up without regard to case; groups also by their plural ("Documents").
std::optional<FileType> find_type(std::string_view name);
std::optional<Group> find_group(std::string_view name);

// type_of_extension returns the type that a file name's extension stands for, if any; `name` may be a whole file name.
std::optional<FileType> type_of_extension(std::string_view name);

}  // namespace postern::scan
