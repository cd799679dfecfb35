// SPDX-License-Identifier: Apache-2.0
// readings-dump: every leaf that is seen in mails, by our own reading and by others', as JSON lines for comparison with
// mail readers. Contents are in base64.
//   readings-dump FILE…
#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/mime/parser.h"
#include "engine/mime/readings.h"

namespace {

using nlohmann::json;
using namespace postern;

std::string base64(std::string_view bytes) {
  std::string out = mime::encode_base64(bytes);
  std::erase_if(out, [](char c) { return c == '\r' || c == '\n'; });
  return out;
}

json message(const std::string& file) {
  const base::Limits limits;
  const mime::ParsedFile parsed = mime::parse_file_header(file, limits);
  const std::string_view body = std::string_view(file).substr(parsed.body_offset);
  const mime::Structure structure = mime::parse(parsed.header, body, limits);
  json out;
  out["leaves"] = json::array();
  std::vector<uint32_t> odd;
  mime::Defects decoding;
  for (uint32_t i = 0; i < structure.parts.size(); ++i) {
    const mime::Part& part = structure.parts[i];
    if (!part.is_leaf()) continue;
    const mime::Decoded decoded = mime::decode_content(part, body);
    if (mime::is_ambiguous_damage(part, decoded)) decoding.add(mime::Defect::damaged_encoding);
    if (decoded.odd) odd.push_back(i);
    out["leaves"].push_back(
        {{"path", part.path}, {"type", part.type.value}, {"names", part.file_names}, {"bytes", base64(decoded.bytes)}});
  }
  const mime::OtherReadings others = mime::other_readings(parsed.header, structure, body, limits, odd);
  out["others"] = json::array();
  for (const mime::OtherReading& each : others.list) {
    out["others"].push_back({{"path", each.path},
                             {"type", each.type},
                             {"charset", each.charset},
                             {"names", each.file_names},
                             {"why", each.why},
                             {"bytes", base64(each.bytes(body))}});
  }
  out["one_reading"] = structure.one_reading;
  out["complete"] = structure.complete && others.complete;
  out["ambiguous"] = mime::ambiguous(structure, decoding);
  out["defects"] = json::array();
  mime::Defects defects = structure.defects;
  defects.merge(decoding);
  for (unsigned i = 0; i < static_cast<unsigned>(mime::Defect::count_); ++i) {
    if (defects.has(static_cast<mime::Defect>(i)))
      out["defects"].push_back(mime::defect_name(static_cast<mime::Defect>(i)));
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream in(argv[i], std::ios::binary);
    if (!in) return 1;
    const std::string file((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    std::cout << message(file).dump(-1, ' ', true, json::error_handler_t::replace) << "\n";
  }
  return 0;
}
