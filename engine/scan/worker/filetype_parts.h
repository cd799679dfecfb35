// SPDX-License-Identifier: Apache-2.0
// The steps of type detection, each of which adds the types it knows of. Internal to filetype*.cc.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scan/client/file_type.h"
#include "engine/scan/worker/filetype.h"

namespace postern::scan::worker {

// Found collects plausible types in the order they were found, which is from the surest to the least.
struct Found {
  std::vector<FileType> types;
  std::string mime;        // of the first, where it differs from the type's own
  bool ask_magic = false;  // a second opinion is wanted for `mime`

  void add(FileType type, std::string_view its_mime = {});
  // put_first adds a type before all others.
  void put_first(FileType type, std::string_view its_mime = {});
  bool has(FileType type) const;
  bool any(Group group) const;
  bool empty() const { return types.empty(); }
};

// Signature is bytes that stand at one place of every file of a type.
struct Signature {
  FileType type;
  uint32_t at;
  std::string_view bytes;
};

// add_signatures: kinds with a fixed mark at a known place.
void add_signatures(std::string_view bytes, std::string_view name, Found& found);
// add_media_signatures: images, sound, films and fonts.
void add_media_signatures(std::string_view bytes, Found& found);
// add_program_signatures: programs of Windows, Unix, Mac and Java; also those appended to a picture.
void add_program_signatures(std::string_view bytes, std::string_view name, Found& found);
void add_appended_program(std::string_view bytes, Found& found);
// add_appended_archives: RAR and 7z files behind something else, which their programs look for there.
void add_appended_archives(std::string_view bytes, Found& found);
// add_zip_types: ZIP files and what is made of them.
void add_zip_types(std::string_view bytes, Found& found);
// add_ole_types: OLE2 compound files by the streams in their root.
void add_ole_types(std::string_view bytes, Found& found);
// add_text_types: kinds of text, as far as `how` lets them be some, and what stands in text.
void add_text_types(std::string_view bytes, std::string_view name, std::string_view declared_mime, Textual how,
                    Found& found);
// script_types returns the script languages that text is written in, judged by its first lines.
std::vector<FileType> script_types(std::string_view text);
// is_json tells whether `text` is one JSON value that is an object or array; `lines` whether it is one for each line.
bool is_json(std::string_view text, bool& lines);
// add_name_types: programs and scripts that nothing but their name makes one.
void add_name_types(std::string_view name, Found& found);
// add_called_types: pages, mail, cards and calendars by name or declared type, whatever their content: what opens them
// skips what it does not understand.
void add_called_types(std::string_view bytes, std::string_view name, std::string_view declared_mime, Found& found);

// find_mime returns the type whose MIME type is `mime`, or unknown.
FileType find_mime(std::string_view mime);

}  // namespace postern::scan::worker
