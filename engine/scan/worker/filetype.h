// SPDX-License-Identifier: Apache-2.0
// Types by content: every kind of file that bytes can be taken for. A polyglot is each of its kinds.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scan/client/file_type.h"

namespace postern::scan::worker {

// prepare loads what detection reads from files (libmagic's database); once, before the worker gives up its rights.
// false: detection goes on without it.
bool prepare_types();

// Textual is why who opens something sees its bytes as text; the later, the surer.
enum class Textual : uint8_t {
  no,
  maybe,     // where its zero bytes stand, it may be UTF-16 or UTF-32
  named,     // its name is one of text, whatever its bytes
  declared,  // its carrier says that it is text
  looks,     // it begins as text does
};
// textual is the one place that decides it; `name` as plain_name gives it.
Textual textual(std::string_view bytes, std::string_view name, std::string_view declared_mime);

// TypeGuess is what content says: plausible types, best first, never empty, and the MIME type of the best. `as_text`
// tells whether it is to be read as text although none of them is, `packed` whether it is an archive or image of a kind
// that has no name here, and no reader.
struct TypeGuess {
  std::vector<FileType> types;
  std::string mime;
  bool as_text = false;
  bool packed = false;
};
// guess_types looks at `bytes`; `name` and `declared_mime` decide only between kinds that content cannot tell apart
// (text that is a script by its name, an unlabelled vCard).
TypeGuess guess_types(std::string_view bytes, std::string_view name, std::string_view declared_mime);

// is_called_packed tells whether a name, as plain_name gives it, is one of an archive, a volume of one, or an image.
bool is_called_packed(std::string_view name);

// plain_name returns `name` as Windows and a reader take it, lower case: without folders, trailing dots and blanks,
// stream names ("x.exe::$DATA"), and the invisible and direction-changing characters that hide an extension.
std::string plain_name(std::string_view name);

}  // namespace postern::scan::worker
