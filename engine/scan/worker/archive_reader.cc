// SPDX-License-Identifier: Apache-2.0
// libarchive's traps, avoided in one place: names in the C locale, errors without text, questions about encryption
// after a failed open.
#include "engine/scan/worker/archive_reader.h"

#include <algorithm>
#include <clocale>
#include <cstring>

#include "engine/scan/worker/containers.h"

namespace postern::scan::worker {
namespace {

constexpr uint64_t kReadAhead = 64u << 10;

constexpr size_t kPiece = 64u << 10;

// Names in UTF-16 are only converted in a locale that knows them.
locale_t utf8_locale() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", locale_t{});
  return locale;
}

class InLocale {
 public:
  InLocale() : before_(utf8_locale() == locale_t{} ? locale_t{} : uselocale(utf8_locale())) {}
  InLocale(const InLocale&) = delete;
  InLocale& operator=(const InLocale&) = delete;
  ~InLocale() {
    if (before_ != locale_t{}) uselocale(before_);
  }

 private:
  locale_t before_;
};

// is_empty_stream knows streams of nothing, which libarchive takes for no stream: whole bytes of bzip2 and xz, and the
// last, empty block of Zstandard and LZ4.
bool is_empty_stream(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.starts_with("BZh")) return bytes.size() == 14 && bytes.substr(4) == "\x17\x72\x45\x38\x50\x90\0\0\0\0"sv;
  if (bytes.starts_with("\xfd\x37zXZ\0"sv)) return bytes.size() == 32 && bytes.substr(12, 4) == "\0\0\0\0"sv;
  if (bytes.starts_with("\x28\xb5\x2f\xfd")) {
    return bytes.size() <= 20 &&
           (bytes.ends_with("\1\0\0"sv) || bytes.substr(0, bytes.size() - 4).ends_with("\1\0\0"sv));
  }
  return bytes.starts_with("\x04\x22\x4d\x18") && bytes.size() <= 19 && bytes.substr(7, 4) == "\0\0\0\0"sv;
}

}  // namespace

ArchiveReader::ArchiveReader(Enable format, int filter) : archive_(archive_read_new()) {
  if (archive_ == nullptr) return;
  ready_ = format(archive_) >= ARCHIVE_WARN;
  if (filter == ARCHIVE_FILTER_NONE) return;
  stream_ = true;
  // Appended, the filter of compress reads before there is anything to read, and crashes.
  const int state = filter == ARCHIVE_FILTER_COMPRESS ? archive_read_support_filter_compress(archive_)
                                                      : archive_read_append_filter(archive_, filter);
  ready_ = ready_ && state >= ARCHIVE_WARN;
}

ArchiveReader::~ArchiveReader() {
  if (archive_ != nullptr) archive_read_free(archive_);
}

la_ssize_t ArchiveReader::give(archive*, void* data, const void** out) {
  auto& source = *static_cast<Source*>(data);
  uint64_t begin = 0;
  for (const std::string_view piece : source.pieces) {
    if (source.at < begin + piece.size()) {
      const std::string_view rest = piece.substr(source.at - begin, kPiece);
      *out = rest.data();
      source.at += rest.size();
      return static_cast<la_ssize_t>(rest.size());
    }
    begin += piece.size();
  }
  return 0;
}

la_int64_t ArchiveReader::seek(archive*, void* data, la_int64_t offset, int whence) {
  auto& source = *static_cast<Source*>(data);
  const auto size = static_cast<la_int64_t>(source.size);
  const la_int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? static_cast<la_int64_t>(source.at) : size;
  la_int64_t target = 0;
  if (__builtin_add_overflow(base, offset, &target) || target < 0) return ARCHIVE_FATAL;
  source.at = static_cast<uint64_t>(std::min(target, size));
  return static_cast<la_int64_t>(source.at);
}

la_int64_t ArchiveReader::skip(archive*, void* data, la_int64_t count) {
  auto& source = *static_cast<Source*>(data);
  if (count <= 0) return 0;
  const uint64_t step = std::min<uint64_t>(static_cast<uint64_t>(count), source.size - source.at);
  source.at += step;
  return static_cast<la_int64_t>(step);
}

bool ArchiveReader::open(std::span<const std::string_view> pieces) {
  if (!ready_) return false;
  source_.pieces.assign(pieces.begin(), pieces.end());
  for (const std::string_view piece : pieces) source_.size += piece.size();
  archive_read_set_callback_data(archive_, &source_);
  archive_read_set_read_callback(archive_, give);
  archive_read_set_seek_callback(archive_, seek);
  archive_read_set_skip_callback(archive_, skip);
  const InLocale locale;
  return archive_read_open1(archive_) >= ARCHIVE_WARN;
}

int ArchiveReader::next(archive_entry*& entry) {
  const InLocale locale;
  return archive_read_next_header(archive_, &entry);
}

uint64_t ArchiveReader::begin_of_entry() const {
  return static_cast<uint64_t>(std::max<la_int64_t>(archive_read_header_position(archive_), 0));
}

void ArchiveReader::read(Unpack& unpack) {
  const InLocale locale;
  while (true) {
    const void* block = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int state = archive_read_data_block(archive_, &block, &size, &offset);
    if (state == ARCHIVE_EOF) return;
    if (state == ARCHIVE_WARN && block == nullptr) {
      if (!lenient_) unpack.set_reason(Reason::corrupt);
      return;
    }
    if (state < ARCHIVE_WARN) {
      // Going on behind a damaged member of a cabinet crashes in libarchive 3.6.
      dead_ = state == ARCHIVE_FATAL || archive_format(archive_) == ARCHIVE_FORMAT_CAB;
      return unpack.set_reason(reason());
    }
    const uint64_t have = unpack.bytes().size();
    if (offset < 0 || static_cast<uint64_t>(offset) < have) return unpack.set_reason(Reason::corrupt);
    // A hole of a sparse file is what a reader sees as zeros.
    if (static_cast<uint64_t>(offset) > have && !unpack.append_zeros(static_cast<uint64_t>(offset) - have)) return;
    // A stream shows what it is long before its end; decoders read ahead by a block.
    if (stream_) unpack.consumed(static_cast<uint64_t>(archive_filter_bytes(archive_, -1)) + kReadAhead);
    if (!unpack.append({static_cast<const char*>(block), size})) return;
    if (state == ARCHIVE_WARN && !lenient_) unpack.set_reason(Reason::corrupt);
    if (unpack.reason() != Reason::none) return;
  }
}

Reason ArchiveReader::reason() const {
  const char* text = archive_error_string(archive_);
  if (text == nullptr) return Reason::corrupt;
  const auto says = [&](const char* what) { return strcasestr(text, what) != nullptr; };
  if (says("encrypt") || says("passphrase") || says("password")) return Reason::password;
  if (says("memory") || says("allocat")) return Reason::memory;
  if (says("multivolume") || says("multi-volume")) return Reason::partial;
  if (says("unknown codec") || says("unexpected codec") || says("unsupported") || says("not supported") ||
      says("don't support") || says("unknown compression")) {
    return Reason::unsupported;
  }
  return Reason::corrupt;
}

std::string entry_name(archive_entry* entry) {
  const InLocale locale;
  const char* name = archive_entry_pathname_utf8(entry);
  if (name == nullptr) name = archive_entry_pathname(entry);
  return name == nullptr ? std::string() : std::string(name);
}

bool is_false_link(archive_entry* entry) {
  if (archive_entry_filetype(entry) != AE_IFLNK) return false;
  const InLocale locale;
  const char* target = archive_entry_symlink(entry);
  // What stands behind a zero is not seen here: what is left of a program is its first letters.
  constexpr size_t kLongest = 4096;
  const std::string_view path = target == nullptr ? "" : target;
  if (path.empty() || path.size() > kLongest || path.starts_with("MZ") || path.starts_with("%PDF")) return true;
  return std::ranges::any_of(path, [](unsigned char c) {
    return c < ' ' || c == 0x7f || std::string_view("<>|\"{}*?").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

void decode_stream(std::string_view bytes, int filter, Unpack& unpack) {
  ArchiveReader reader(archive_read_support_format_raw, filter);
  if (is_empty_stream(bytes) || !reader.open(bytes)) {
    if (!is_empty_stream(bytes)) unpack.set_reason(Reason::corrupt);
    return;
  }
  archive_entry* entry = nullptr;
  const int state = reader.next(entry);
  if (state == ARCHIVE_EOF) return;
  if (state < ARCHIVE_WARN) return unpack.set_reason(reader.reason());
  reader.read(unpack);
}

void prepare_archives() {
  // The locale and the tables of iconv are files.
  const InLocale locale;
  archive_entry* entry = archive_entry_new();
  if (entry == nullptr) return;
  archive_entry_copy_pathname_w(entry, L"\u00e4");
  (void)archive_entry_pathname_utf8(entry);
  (void)archive_entry_pathname(entry);
  archive_entry_free(entry);
}

}  // namespace postern::scan::worker
