// SPDX-License-Identifier: Apache-2.0
// Reaches: HeaderList edits, fold_value, unfold, is_field_name. Checks that no value becomes a second field, that
// folding twice is folding once, and that the byte count is that of the fields.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/mime/header.h"

namespace {

using namespace postern;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_value(std::string_view name, std::string_view value) {
  size_t line = name.size() + 1;
  for (size_t i = 0; i < value.size(); ++i) {
    require(value[i] != '\r' && value[i] != '\0');
    if (value[i] != '\n') {
      require(++line <= 998);
      continue;
    }
    line = 0;
    const size_t text = value.find_first_not_of(" \t", i + 1);
    require(text != std::string_view::npos && text > i + 1 && value[text] != '\n');
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t colon = text.find(':');
  const std::string_view name = colon == std::string_view::npos ? "Subject" : text.substr(0, colon);
  const std::string_view value = colon == std::string_view::npos ? text : text.substr(colon + 1);

  mime::HeaderList list;
  list.add_received("First", " 1");
  list.add_received(name, value);
  list.add_received("first", " 2");
  const bool accepted = list.append(name, value);
  require(accepted == mime::is_field_name(name));
  if (accepted) {
    check_value(name, list[list.size() - 1].value);
    require(list.insert_top(name, value) && list[0].received == -1);
    require(list.find(name) == 0);
  }
  list.change(list.find("first"), value);
  check_value("First", list[list.find("first")].value);
  list.remove_received("FIRST");
  require(list.received().size() == 3 && list.received()[1].value == value);
  uint64_t bytes = 0;
  for (const mime::HeaderField& field : list) {
    bytes += field.name.size() + 1 + field.value.size() + 2;
    for (size_t i = 0; i < field.value.size(); ++i) {
      if (field.value[i] == '\n' && (i == 0 || field.value[i - 1] != '\r')) ++bytes;
    }
  }
  require(bytes == list.bytes());

  const std::string folded = mime::fold_value("Subject", value);
  require(mime::fold_value("Subject", folded) == folded);
  const std::string unfolded = mime::unfold(value);
  require(unfolded.size() <= value.size() && unfolded.find_first_of("\r\n") == std::string::npos);
  return 0;
}
