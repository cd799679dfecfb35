// SPDX-License-Identifier: Apache-2.0
// Files: contents as files beside an SQLite database, DIRECTORY/ab/abcdef…. A file is whole and durable, with its name,
// before a row refers to it, and its name is never used again: so what has no row is left over from a failure or from a
// removal, and can go. Private to the store; may be used from any thread.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "engine/store/sealed.h"

namespace postern::store {

class Files {
 public:
  // open makes the directory (0700) where it is missing; `create` false: then it is not_found.
  static base::Result<Files> open(const std::string& directory, bool create);

  // write makes the file and everything up to it durable; on failure nothing of it stays.
  base::Result<void> write(const std::string& name, const Source& content) const;
  // read returns the file's bytes, which must be `size`.
  base::Result<std::string> read(const std::string& name, uint64_t size) const;
  base::Result<bool> has(const std::string& name) const;
  void remove(const std::string& name) const;
  // sweep removes files last changed before `before` for which `wanted` is false; returns how many.
  base::Result<size_t> sweep(int64_t before, const std::function<base::Result<bool>(const std::string&)>& wanted) const;

 private:
  base::Result<base::UniqueFd> shelf(const std::string& name, bool make) const;
  std::string path_;
  base::UniqueFd directory_;
};

}  // namespace postern::store
