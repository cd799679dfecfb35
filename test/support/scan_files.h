// SPDX-License-Identifier: Apache-2.0
// Small files made in tests of content scanning: zip files with stored members, and a scan of bytes with everything
// asked for.
#pragma once
#include <zlib.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/scan/worker/scan_job.h"

namespace postern::scan::test {

inline std::string little(uint64_t value, size_t octets) {
  std::string out;
  for (size_t i = 0; i < octets; ++i) out.push_back(static_cast<char>(i < sizeof value ? value >> (8 * i) : 0));
  return out;
}

// zip_of makes a zip file of stored members.
inline std::string zip_of(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string out, directory;
  for (const auto& [name, bytes] : members) {
    const std::string sizes =
        little(crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())), 4) +
        little(bytes.size(), 4) + little(bytes.size(), 4);
    directory += "PK\x01\x02" + little(20, 2) + little(20, 2) + little(0, 8) + sizes + little(name.size(), 2) +
                 little(0, 12) + little(out.size(), 4) + name;
    out += "PK\x03\x04" + little(20, 2) + little(0, 8) + sizes + little(name.size(), 2) + little(0, 2) + name + bytes;
  }
  const size_t start = out.size();
  return out + directory + "PK\x05\x06" + little(0, 4) + little(members.size(), 2) + little(members.size(), 2) +
         little(directory.size(), 4) + little(start, 4) + little(0, 2);
}

// program is the least that is a program of Windows.
inline std::string program() {
  std::string out = "MZ" + std::string(58, '\0') + little(64, 4) + std::string("PE\0\0", 4) + little(0x14c, 2);
  out.resize(512, '\0');
  return out;
}

// packed is an Ole10Native stream that holds `bytes` as a file `name`.
inline std::string packed(std::string_view name, std::string_view bytes) {
  const std::string body = little(2, 2) + std::string(name) + '\0' + "C:\\" + std::string(name) + '\0' + little(0, 2) +
                           little(3, 2) + little(name.size() + 1, 4) + std::string(name) + '\0' +
                           little(bytes.size(), 4) + std::string(bytes);
  return little(body.size(), 4) + body;
}

// scan scans in this process.
inline Verdict scan(std::string_view bytes, std::string_view name = "") {
  Job job;
  job.bytes = bytes;
  job.name = name;
  return worker::scan_job(job);
}

inline const Leaf* leaf_named(const Verdict& verdict, std::string_view name) {
  for (const Leaf& leaf : verdict.leaves) {
    if (leaf.name == name) return &leaf;
  }
  return nullptr;
}

inline bool has_program(const Verdict& verdict) {
  for (const Leaf& leaf : verdict.leaves) {
    if (leaf.in_group(Group::executable)) return true;
  }
  return false;
}

}  // namespace postern::scan::test
