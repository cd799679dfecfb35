// SPDX-License-Identifier: Apache-2.0
// PrivateDirectory: a directory of ours alone (0700) whose files (0600) are reached only through its descriptor, never
// through a symbolic link, and changed so that a crash or power cut leaves the old file or the new one: temporary file
// beside it, fsync, rename, fsync of the directory. Errors name the path and what it should be. Used by one thread at a
// time.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "keystore/token/secret.h"

namespace postern::keystore {

class PrivateDirectory {
 public:
  // open checks that `path` is a directory of the effective user with mode 0700; `make` makes it where it is missing.
  static base::Result<PrivateDirectory> open(const std::string& path, bool make);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  std::string path_of(std::string_view name) const { return path_ + "/" + std::string(name); }

  // names lists the entries but "." and "..".
  base::Result<std::vector<std::string>> names() const;
  // exists tells whether there is a file `name`; what cannot be told counts as there.
  bool exists(std::string_view name) const;

  // read returns the file's bytes: not_found, denied for a file that others may touch or that is no plain file, limit
  // beyond `most` bytes.
  base::Result<Secret> read(std::string_view name, size_t most) const;
  // write replaces `name`. After an error the old content or the new one is there, whole.
  base::Result<void> write(std::string_view name, std::string_view content);
  // write_over does the same with the file `spare`, which becomes `name`: no block of the disk is needed where `spare`
  // has as many as `content`.
  base::Result<void> write_over(std::string_view spare, std::string_view name, std::string_view content);
  // remove overwrites the file once, unlinks it and makes that durable; fine when there is none. When overwriting fails
  // the file is unlinked all the same and the error tells.
  base::Result<void> remove(std::string_view name);
  // discard is remove() for a file that must not be seen half overwritten: it loses its name first.
  base::Result<void> discard(std::string_view name);
  // remove_leftovers removes the temporary files that an interrupted write() left, as remove() does.
  base::Result<void> remove_leftovers();
  // sync makes renames and removals durable.
  base::Result<void> sync() const;

  // open_file opens a file of ours with openat(2) `flags` (O_NOFOLLOW and O_CLOEXEC are added), checking what read()
  // checks.
  base::Result<base::UniqueFd> open_file(std::string_view name, int flags) const;

 private:
  PrivateDirectory() = default;
  base::Result<void> fill(int fd, const std::string& temporary, std::string_view name, std::string_view content);
  std::string path_;
  base::UniqueFd fd_;
};

}  // namespace postern::keystore
