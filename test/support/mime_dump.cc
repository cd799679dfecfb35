// SPDX-License-Identifier: Apache-2.0
// mime-dump: what the MIME code says about mail, as JSON lines for comparison with other programs.
//   mime-dump FILE…        one line a message: tree, leaves with decoded size and CRC-32, defects, decoded header
//   fields mime-dump --encode     reads {"text": …} lines from standard input, writes each encoded in every way
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/mime/encoded_word.h"
#include "engine/mime/parser.h"

namespace {

using nlohmann::json;
using namespace postern;

std::string as_json(const json& value) { return value.dump(-1, ' ', true, json::error_handler_t::replace); }

uint32_t crc32(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ (0xEDB88320 & (0 - (crc & 1)));
  }
  return ~crc;
}

json defect_names(mime::Defects defects) {
  json out = json::array();
  for (unsigned i = 0; i < static_cast<unsigned>(mime::Defect::count_); ++i) {
    if (defects.has(static_cast<mime::Defect>(i))) out.push_back(mime::defect_name(static_cast<mime::Defect>(i)));
  }
  return out;
}

json message(const std::string& file) {
  const base::Limits limits;
  const mime::ParsedFile parsed = mime::parse_file_header(file, limits);
  const std::string_view body = std::string_view(file).substr(parsed.body_offset);
  const mime::Structure structure = mime::parse(parsed.header, body, limits);
  json out;
  out["tree"] = mime::dump(structure);
  mime::Defects defects = structure.defects;
  defects.merge(parsed.defects);
  defects.merge(mime::decoding_defects(structure, body));
  out["defects"] = defect_names(defects);
  out["complete"] = structure.complete;
  out["leaves"] = json::array();
  for (uint32_t i = 0; i < structure.parts.size(); ++i) {
    const mime::Part& part = structure.parts[i];
    if (!part.is_leaf()) continue;
    const mime::Decoded decoded = mime::decode_content(part, body);
    json leaf = {{"path", part.path},
                 {"type", part.type.value},
                 {"names", part.file_names},
                 {"size", decoded.bytes.size()},
                 {"crc32", crc32(decoded.bytes)},
                 {"attachment", mime::is_attachment(structure, i)}};
    if (part.is_text()) leaf["text"] = mime::decode_text(part, body).utf8.substr(0, 2000);
    out["leaves"].push_back(leaf);
  }
  out["header"] = json::array();
  for (const mime::HeaderField& field : parsed.header)
    out["header"].push_back({field.name, mime::decode_words(field.value)});
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--encode") {
    for (std::string line; std::getline(std::cin, line);) {
      const std::string text = json::parse(line)["text"];
      std::cout << as_json({{"words", mime::encode_words(text, 9)},
                            {"phrase", mime::encode_phrase(text)},
                            {"parameter", mime::encode_parameter("filename", text)},
                            {"base64", mime::encode_base64(text)},
                            {"quoted-printable", mime::encode_quoted_printable(text)}})
                << "\n";
    }
    return 0;
  }
  for (int i = 1; i < argc; ++i) {
    std::ifstream in(argv[i], std::ios::binary);
    if (!in) return 1;
    const std::string file((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    std::cout << as_json(message(file)) << "\n";
  }
  return 0;
}
