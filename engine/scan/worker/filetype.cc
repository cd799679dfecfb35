// SPDX-License-Identifier: Apache-2.0
// A first, short table of signatures.
#include "engine/scan/worker/filetype.h"

namespace postern::scan::worker {

bool prepare_types() { return true; }

TypeGuess guess_types(std::string_view bytes, std::string_view, std::string_view) {
  TypeGuess guess;
  if (bytes.starts_with("PK\x03\x04")) guess.types.push_back(FileType::zip);
  if (bytes.starts_with("%PDF-")) guess.types.push_back(FileType::pdf);
  if (bytes.starts_with("MZ")) guess.types.push_back(FileType::exe);
  if (bytes.starts_with("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")) guess.types.push_back(FileType::ole);
  if (bytes.starts_with("{\\rtf")) guess.types.push_back(FileType::rtf);
  if (guess.types.empty()) guess.types.push_back(FileType::unknown);
  guess.mime = info(guess.types.front()).mime;
  return guess;
}

}  // namespace postern::scan::worker
