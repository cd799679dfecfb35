// SPDX-License-Identifier: Apache-2.0
// Dictionary files in both forms: whatever stands in one, it loads or says why not, with a place that is in the file.
// The first byte chooses the form; a dictionary that loads scores a text that holds its own file.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "rules/dictionary_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  if (size == 0 || size > 16'384) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  const uint32_t source = sources.add_text(data[0] % 2 == 0 ? "d.txt" : "d.yaml", text);
  const auto dictionary = rules::load_dictionary(sources, source, diagnostics);
  if ((dictionary != nullptr) != diagnostics.ok()) std::abort();
  diagnostics.render();
  if (dictionary == nullptr) return 0;
  for (const match::DictionaryEntry& entry : dictionary->entries()) {
    if (entry.weight > rules::kMaxWeight) std::abort();
    entry.screen();
  }
  dictionary->score(text, {}, 0, 100);
  return 0;
}
