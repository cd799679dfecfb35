// SPDX-License-Identifier: Apache-2.0
// Dictionary files to dictionaries: text with one entry a line, or YAML; postern-dictionaries(5) describes both. All
// errors of a file are reported, each at its place. One load, one thread.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "engine/config/source.h"
#include "engine/match/dictionary.h"

namespace postern::rules {

inline constexpr size_t kMaxDictionaryEntries = 100'000;  // of one dictionary
inline constexpr size_t kMaxDictionaries = 1'000;
inline constexpr int64_t kMaxWeight = 1'000;

// dictionary_name returns the name that the file at `path` gives its dictionary: the file's, without folder and
// extension.
std::string dictionary_name(std::string_view path);

// load_dictionary reads the file `source`. A file in another charset is added to `sources` once more, as UTF-8, so that
// diagnostics show it. nullptr when there was any error.
std::shared_ptr<const match::Dictionary> load_dictionary(config::Sources& sources, uint32_t source,
                                                         config::Diagnostics& diagnostics);

}  // namespace postern::rules
