// SPDX-License-Identifier: Apache-2.0
// ZipPackage: members of a zip file by name, for documents that are one. What a zip file may hide (overlaps, members
// that only one view has) is the archive reader's business.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scan/worker/context.h"

namespace postern::scan::worker {

struct PackageMember {
  std::string name;
  uint32_t method = 0;
  bool encrypted = false;
  uint64_t packed = 0;
  uint64_t size = 0;   // as promised
  uint64_t place = 0;  // of its local header
};

class ZipPackage {
 public:
  // open reads the central directory, or where there is none the local headers; nullopt when neither gives a member.
  static std::optional<ZipPackage> open(std::string_view bytes);

  const std::vector<PackageMember>& members() const { return members_; }
  // find ignores ASCII case and a leading slash, as office programs do.
  const PackageMember* find(std::string_view name) const;
  // without_directory tells that the file is cut or broken, so that members may be missing.
  bool without_directory() const { return without_directory_; }

  // inflate gives a member's bytes piece by piece to `take`, until that returns false; none when all was well.
  Reason inflate(const PackageMember& member, Budget& budget, const std::function<bool(std::string_view)>& take) const;
  // read returns a member of at most `most` bytes; what fails is empty.
  std::string read(const PackageMember& member, Budget& budget, size_t most) const;

 private:
  explicit ZipPackage(std::string_view bytes) : bytes_(bytes) {}
  bool read_directory();
  void read_headers();
  std::string_view data(const PackageMember& member) const;

  std::string_view bytes_;
  std::vector<PackageMember> members_;
  bool without_directory_ = false;
};

}  // namespace postern::scan::worker
