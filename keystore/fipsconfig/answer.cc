// SPDX-License-Identifier: Apache-2.0
// What fipsconfig prints, and the exit status it ends with.
#include "keystore/fipsconfig/answer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "engine/base/handle.h"
#include "engine/base/io.h"
#include "engine/base/text.h"
#include "engine/config/source.h"
#include "keystore/fipsconfig/commands.h"

namespace postern::keystore::fipsconfig {
namespace {

using base::Cause;

size_t width(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

// A temporary name beside `path` that is removed unless it became `path`.
class Beside {
 public:
  explicit Beside(const std::string& path) : name_(path + ".XXXXXX") {}
  ~Beside() {
    if (made_) ::unlink(name_.c_str());
  }
  int make() {
    const int fd = ::mkostemp(name_.data(), O_CLOEXEC);
    made_ = fd >= 0;
    return fd;
  }
  bool become(const std::string& path) {
    if (::rename(name_.c_str(), path.c_str()) != 0) return false;
    made_ = false;
    return true;
  }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  bool made_ = false;
};

}  // namespace

std::unexpected<Stop> stop_for(const base::Error& error) {
  int status = kUnavailable;
  switch (error.cause()) {
    case Cause::malformed:
    case Cause::limit:
      status = kBadData;
      break;
    case Cause::denied:
      status = kDenied;
      break;
    case Cause::misconfigured:
      status = kBadConfig;
      break;
    case Cause::not_found:
    case Cause::unavailable:
    case Cause::internal:
      break;
  }
  return stop(status, error.text());
}

std::unexpected<Stop> stop_for(const Reply& reply) {
  int status = kNo;
  switch (reply.status) {
    case Status::malformed:
    case Status::exists:
      status = kBadData;
      break;
    case Status::denied:
    case Status::not_allowed:
    case Status::login_required:
    case Status::wrong_password:
      status = kDenied;
      break;
    case Status::busy:
    case Status::expired:
    case Status::audit_full:
      status = kTemporary;
      break;
    case Status::version:
    case Status::unknown_verb:
    case Status::unavailable:
    case Status::uninitialised:
    case Status::zeroised:
    case Status::error_state:
      status = kUnavailable;
      break;
    case Status::ok:
    case Status::not_found:
    case Status::failed:
      break;
  }
  return stop(status, reply.body.empty() ? std::string(status_name(reply.status)) : reply.body);
}

int finish(const Answer<int>& answer) {
  if (answer) return *answer;
  if (!answer.error().text.empty()) say("fipsconfig: " + shown(answer.error().text));
  return answer.error().status;
}

std::string shown(std::string_view text) {
  std::string safe;
  for (const std::string_view piece : base::split(text, '\\')) {
    if (piece.data() != text.data()) safe += '\\';
    safe += base::escape_for_log(piece, 4 * piece.size() + 4);
  }
  return safe;
}

void say(std::string_view line) { std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data()); }

void out(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void out_json(const Json& json) { out(json.dump(2, ' ', true, Json::error_handler_t::replace) + "\n"); }

void Table::print() const {
  std::vector<size_t> widths(rows_[0].size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < widths.size(); ++i) {
      line += row[i];
      if (i + 1 < widths.size()) line.append(widths[i] - width(row[i]) + 2, ' ');
    }
    out(line.substr(0, line.find_last_not_of(' ') + 1) + "\n");
  }
}

Answer<Json> parse_json(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return stop(kUnavailable, "fipsd's answer is not understood");
  return json;
}

const Json& member(const Json& object, const char* name) {
  static const Json kNothing = Json::object();
  const auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() ? *found : kNothing;
}

std::string text_of(const Json& object, const char* name) {
  const auto* text = member(object, name).get_ptr<const std::string*>();
  return text == nullptr ? std::string() : shown(*text);
}

uint64_t number_of(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_number_unsigned() ? value.get<uint64_t>() : 0;
}

bool truth_of(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_boolean() && value.get<bool>();
}

Answer<std::string> read_file(const std::string& path, size_t most) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return stop(kBadData, base::system_error(path, errno).text());
  std::string content;
  // The room is taken at once: a secret that moves leaves copies behind.
  content.resize(most + 1);
  size_t size = 0;
  while (size < content.size()) {
    const ssize_t count = ::read(fd.get(), content.data() + size, content.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return stop(kBadData, base::system_error(path, errno).text());
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  if (size > most) return stop(kBadData, fmt::format("{} has more than {}", path, base::format_size(most)));
  content.resize(size);
  return content;
}

Answer<int> write_file(const std::string& path, std::string_view content, unsigned mode) {
  const auto failed = [&path] { return stop(kBadData, base::system_error("writing " + path, errno).text()); };
  Beside beside(path);
  {
    const base::UniqueFd fd(beside.make());
    if (!fd || ::fchmod(fd.get(), mode) != 0 || !base::write_all(fd.get(), content) || ::fsync(fd.get()) != 0)
      return failed();
  }
  const auto written = read_file(beside.name(), content.size());
  if (!written) return std::unexpected(written.error());
  if (*written != content) return stop(kBadData, path + " does not hold what was written to it");
  if (!beside.become(path)) return failed();
  const base::UniqueFd folder(::open(config::folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return failed();
  return kDone;
}

}  // namespace postern::keystore::fipsconfig
