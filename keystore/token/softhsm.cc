// SPDX-License-Identifier: Apache-2.0
// A token of SoftHSM2's file store is the folder UUID below its token directory: token.object, one .object file a key,
// lock files. The token's serial number is the UUID's last sixteen hexadecimal digits.
#include "keystore/token/softhsm.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "engine/base/handle.h"

namespace postern::keystore {

namespace {

namespace fs = std::filesystem;
using base::Cause;
using base::fail;
using base::Result;

bool fits_configuration_line(std::string_view path) {
  for (char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == '#') return false;
  }
  return !path.empty() && path.front() == '/' && path.back() != ' ';
}

constexpr size_t kSerialDigits = 16;

// The folder of the token with this serial number; empty where there is none.
Result<fs::path> folder_of(const std::string& directory, std::string_view serial) {
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    std::string digits = at->path().filename();
    std::erase(digits, '-');
    if (digits.size() == 2 * kSerialDigits && digits.ends_with(serial)) return at->path();
  }
  if (error) return std::unexpected(base::system_error(directory, error.value()));
  return fs::path();
}

Result<void> sync_folder(const fs::path& folder) {
  const base::UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || fsync(fd.get()) != 0) return std::unexpected(base::system_error(folder.native(), errno));
  return {};
}

}  // namespace

Result<void> configure_softhsm(const TokenOptions& options) {
  if (!fits_configuration_line(options.softhsm_directory) || !fits_configuration_line(options.scratch)) {
    return fail(Cause::misconfigured, "token: SoftHSM2's directories must be absolute paths without '#'");
  }
  if (mkdir(options.softhsm_directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return std::unexpected(base::system_error(options.softhsm_directory, errno));
  }
  std::string path = options.scratch + "/softhsm2.conf";
  std::string text = fmt::format("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
                                 options.softhsm_directory);
  (void)unlink(path.c_str());
  base::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return std::unexpected(base::system_error(path, errno));
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return std::unexpected(base::system_error(path, errno));
  }
  if (setenv("SOFTHSM2_CONF", path.c_str(), 1) != 0) return std::unexpected(base::system_error("SOFTHSM2_CONF", errno));
  return {};
}

Result<bool> empty_softhsm_token(const std::string& directory, std::string_view serial) {
  if (serial.size() != kSerialDigits) return false;
  auto folder = folder_of(directory, serial);
  if (!folder) return std::unexpected(std::move(folder.error()));
  if (folder->empty()) return false;
  std::error_code error;
  for (fs::directory_iterator at(*folder, error), end; !error && at != end; at.increment(error)) {
    if (::unlink(at->path().c_str()) != 0) return std::unexpected(base::system_error(at->path().native(), errno));
  }
  if (error) return std::unexpected(base::system_error(folder->native(), error.value()));
  if (auto synced = sync_folder(*folder); !synced) return std::unexpected(std::move(synced.error()));
  return true;
}

void drop_empty_softhsm_token(const std::string& directory, std::string_view serial) {
  if (serial.size() != kSerialDigits) return;
  // A folder with anything in it stays.
  if (const auto folder = folder_of(directory, serial); folder && !folder->empty()) (void)::rmdir(folder->c_str());
}

}  // namespace postern::keystore
