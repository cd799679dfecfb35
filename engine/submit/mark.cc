// SPDX-License-Identifier: Apache-2.0
// The mark is "v=1; k=KIND; m=MID; t=TIME; f=FLOW; h=HOST; b=HEX": what stands before "; b=" and the envelope are what
// is authenticated. Texts are written %XX where they hold anything but letters, digits, '.', '-', ':', '[', ']', '_'.
#include "engine/submit/mark.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "engine/base/handle.h"
#include "engine/base/text.h"

namespace postern::submit {
namespace {

constexpr size_t kLongestMark = 1024;
constexpr size_t kLongestField = 255;
constexpr std::string_view kHex = "0123456789abcdef";

bool is_plain(char c) {
  const char l = base::ascii_lower(c);
  return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == ':' || c == '[' || c == ']' ||
         c == '_';
}

void add_hex(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  out += kHex[byte >> 4];
  out += kHex[byte & 15];
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (is_plain(c)) {
      out += c;
    } else {
      out += '%';
      add_hex(out, c);
    }
  }
  return out;
}

int nibble(char c) {
  const size_t at = kHex.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

bool unescape(std::string_view text, std::string& out) {
  out.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      if (!is_plain(text[i])) return false;
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return false;
    const int high = nibble(text[i + 1]);
    const int low = nibble(text[i + 2]);
    if (high < 0 || low < 0) return false;
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out.size() <= kLongestField;
}

template <class Number>
bool read_number(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

// Takes "NAME=value" up to the next "; " or the end.
bool take(std::string_view& text, std::string_view name, std::string_view& value) {
  if (!text.starts_with(name) || text.size() <= name.size() || text[name.size()] != '=') return false;
  text.remove_prefix(name.size() + 1);
  const size_t end = std::min(text.find("; "), text.size());
  value = text.substr(0, end);
  text.remove_prefix(std::min(text.size(), end + 2));
  return true;
}

base::Result<std::string> read_secret(const std::string& path) {
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return std::unexpected(base::system_error(path, errno));
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return std::unexpected(base::system_error(path, errno));
  if (!S_ISREG(info.st_mode) || (info.st_mode & 077) != 0 || info.st_uid != ::geteuid()) {
    return base::fail(base::Cause::misconfigured, path + ": must be a file of our own with mode 0600");
  }
  std::string secret(MarkKey::kBytes + 1, '\0');
  const ssize_t got = ::read(file.get(), secret.data(), secret.size());
  if (got < 0) return std::unexpected(base::system_error(path, errno));
  if (static_cast<size_t>(got) != MarkKey::kBytes) {
    return base::fail(base::Cause::misconfigured,
                      path + ": holds no secret of " + std::to_string(MarkKey::kBytes) + " bytes; remove it");
  }
  secret.resize(MarkKey::kBytes);
  return secret;
}

base::Result<void> write_secret(const std::string& path) {
  std::string secret(MarkKey::kBytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(secret.data()), static_cast<int>(secret.size())) != 1) {
    return base::fail(base::Cause::internal, "no random bytes");
  }
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash == 0 ? 1 : slash);
  std::string fresh = path + ".XXXXXX";
  const base::UniqueFd file(::mkostemp(fresh.data(), O_CLOEXEC));  // mode 0600
  if (!file) return std::unexpected(base::system_error(path, errno));
  const bool written = ::write(file.get(), secret.data(), secret.size()) == static_cast<ssize_t>(secret.size()) &&
                       ::fsync(file.get()) == 0;
  int error = errno;
  // link, not rename: whoever was first has made the one that holds.
  const bool linked = written && (::link(fresh.c_str(), path.c_str()) == 0 || errno == EEXIST);
  if (written && !linked) error = errno;
  ::unlink(fresh.c_str());
  if (!linked) return std::unexpected(base::system_error(path, error));
  const base::UniqueFd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) return std::unexpected(base::system_error(folder, errno));
  return {};
}

}  // namespace

base::Result<MarkKey> MarkKey::open(const std::string& path) {
  base::Result<std::string> secret = read_secret(path);
  if (!secret && secret.error().cause() == base::Cause::not_found) {
    if (auto made = write_secret(path); !made) return std::unexpected(std::move(made.error()));
    secret = read_secret(path);
  }
  if (!secret) return std::unexpected(std::move(secret.error()));
  return MarkKey(std::move(*secret));
}

std::string MarkKey::digest(std::string_view said, std::string_view from,
                            const std::vector<std::string>& recipients) const {
  // Addresses hold no line ends. The MTA may hand recipients over in another order.
  std::vector<std::string> sorted = recipients;
  std::ranges::sort(sorted);
  std::string text(said);
  text.append("\n").append(from).append("\n");
  for (const std::string& recipient : sorted) text.append(recipient).append("\n");
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), bytes, &size) == nullptr) {
    return {};
  }
  std::string out;
  for (unsigned i = 0; i < size; ++i) add_hex(out, static_cast<char>(bytes[i]));
  return out;
}

std::string MarkKey::make(const Mark& mark, std::string_view from, const std::vector<std::string>& recipients) const {
  const std::string said = "v=1; k=" + escaped(mark.kind) + "; m=" + std::to_string(mark.mid) +
                           "; t=" + std::to_string(mark.time) + "; f=" + escaped(mark.flow) +
                           "; h=" + escaped(mark.host);
  return said + "; b=" + digest(said, from, recipients);
}

base::Result<Mark> MarkKey::verify(std::string_view value, std::string_view from,
                                   const std::vector<std::string>& recipients, int64_t now) const {
  const auto malformed = [] { return base::fail(base::Cause::malformed, "no mark"); };
  if (value.size() > kLongestMark) return malformed();
  // An MTA may fold the field; there are no line ends in what we wrote.
  std::string line;
  for (const char c : base::trim(value)) {
    if (c == '\r' || c == '\n') continue;
    line += c == '\t' ? ' ' : c;
  }
  const size_t end = line.rfind("; b=");
  if (end == std::string::npos) return malformed();
  const std::string_view said = std::string_view(line).substr(0, end);
  const std::string_view given = std::string_view(line).substr(end + 4);
  const std::string wanted = digest(said, from, recipients);
  if (wanted.empty() || given.size() != wanted.size() ||
      CRYPTO_memcmp(given.data(), wanted.data(), wanted.size()) != 0) {
    return base::fail(base::Cause::denied, "the mark is not ours, or not for this envelope");
  }
  Mark mark;
  std::string_view rest = said;
  std::string_view version;
  std::string_view kind;
  std::string_view mid;
  std::string_view time;
  std::string_view flow;
  std::string_view host;
  if (!take(rest, "v", version) || version != "1" || !take(rest, "k", kind) || !take(rest, "m", mid) ||
      !take(rest, "t", time) || !take(rest, "f", flow) || !take(rest, "h", host) || !rest.empty() ||
      !unescape(kind, mark.kind) || !unescape(flow, mark.flow) || !unescape(host, mark.host) ||
      !read_number(mid, mark.mid) || !read_number(time, mark.time)) {
    return malformed();
  }
  if (mark.time > now + kMarkSeconds || mark.time < now - kMarkSeconds) {
    return base::fail(base::Cause::denied, "the mark is from another time");
  }
  return mark;
}

}  // namespace postern::submit
