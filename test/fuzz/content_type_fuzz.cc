// SPDX-License-Identifier: Apache-2.0
// Reaches: parse_content_type, parse_disposition, file_names, encode_parameter, type_from_extension. Checks bounds,
// that what is decoded is UTF-8, and that a parameter written is the parameter read.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/base/text.h"
#include "engine/mime/content_type.h"

namespace {

using namespace postern;

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const mime::StructuredValue& value) {
  require(value.parameters.size() <= 64);
  for (const auto* list : {&value.parameters, &value.candidates}) {
    for (const mime::Parameter& parameter : *list) require(base::is_valid_utf8(parameter.value));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t cut = text.find('\x01');
  const mime::StructuredValue type = mime::parse_content_type(text.substr(0, cut));
  const mime::StructuredValue disposition =
      mime::parse_disposition(cut == std::string_view::npos ? text : text.substr(cut + 1));
  check(type);
  check(disposition);
  for (const std::string& name : mime::file_names(type, disposition)) {
    require(!name.empty() && base::is_valid_utf8(name));
    require(name.find_first_of("\r\n\t\x7F") == std::string::npos && name.find('\0') == std::string::npos);
    mime::type_from_extension(name);
  }
  if (base::is_valid_utf8(text)) {
    const std::string written = mime::encode_parameter("filename", text);
    const mime::StructuredValue read = mime::parse_disposition("attachment; " + written);
    if (size <= 2000) require(read.get("filename") == text && !read.malformed);
  }
  return 0;
}
