// SPDX-License-Identifier: Apache-2.0
// The files of poppler-data: character maps by which text of CJK fonts is told. poppler opens each when a document
// first names it and forgets all but four; a worker cannot open files by then. So they are mapped once, and this
// program's own fopen() gives them to poppler from memory.
#pragma once
#include <cstddef>

namespace postern::scan::worker {

// keep_poppler_files maps every file of poppler-data and returns how many there are; once, before the worker gives up
// its rights.
size_t keep_poppler_files();

}  // namespace postern::scan::worker
