// SPDX-License-Identifier: Apache-2.0
// Bytes of text in whatever charset become UTF-8, in each reading.
#include "engine/scan/worker/decoded_text.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "engine/mime/charset.h"

namespace postern::scan::worker {
namespace {

constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";
constexpr size_t kMostPerByte = 4;  // UTF-32

bool has_mark(std::string_view bytes) {
  using namespace std::string_view_literals;
  return bytes.starts_with(kUtf8Mark) || bytes.starts_with("\xFF\xFE"sv) || bytes.starts_with("\xFE\xFF"sv) ||
         bytes.starts_with("\0\0\xFE\xFF"sv);
}

// Labels by which a sender says that it does not know.
bool says_nothing(std::string_view charset) {
  constexpr std::array<std::string_view, 7> kNothing = {"unknown-8bit", "x-unknown", "unknown", "default",
                                                        "8bit",         "binary",    "none"};
  return std::ranges::any_of(kNothing, [&](std::string_view each) { return base::iequals(each, charset); });
}

// is_page tells whether browsers read it. They do not follow labels of UTF-7, other readers do.
bool is_page(const Leaf& leaf) {
  return leaf.is(FileType::html) || leaf.is(FileType::xhtml) || leaf.is(FileType::hta) || leaf.is(FileType::svg);
}
bool is_utf7(std::string_view charset) {
  std::string letters;
  for (const char c : charset.substr(0, 64)) {
    if (c != '-' && c != '_' && c != ' ') letters += base::ascii_lower(c);
  }
  return letters.ends_with("utf7") || letters == "cp65000";
}

// has_run tells whether bytes of ASCII stand side by side, as they do not in Latin text in UTF-16.
bool has_run(std::string_view bytes) {
  constexpr int kRun = 5;
  int run = 0;
  for (const char c : bytes) {
    run = c >= ' ' && c < 0x7F ? run + 1 : 0;
    if (run == kRun) return true;
  }
  return false;
}

size_t replacements(std::string_view utf8) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  size_t count = 0;
  for (size_t at = utf8.find(kReplacement); at != std::string_view::npos; at = utf8.find(kReplacement, at + 3)) ++count;
  return count;
}

// better_charset is another order or width of units than the label says, where that damages less of the text; empty
// where none does. Of long text it sees the beginning, the middle, the end, and where the damage begins.
std::string_view better_charset(std::string_view bytes, std::string_view label, size_t damaged_at) {
  constexpr size_t kWindow = 64u << 10;
  constexpr size_t kUnits = ~size_t{3};
  std::vector<std::pair<size_t, size_t>> windows = {{0, bytes.size()}};
  if (bytes.size() > 4 * kWindow) {
    const size_t last = bytes.size() - kWindow;
    windows.clear();
    for (const size_t at : {size_t{0}, std::min(damaged_at, last) & kUnits, (last / 2) & kUnits, last & kUnits}) {
      windows.emplace_back(at, at + kWindow);
    }
  }
  const auto count = [&](std::string_view charset) {
    size_t damage = 0;
    for (const auto& [from, end] : windows) {
      damage += replacements(mime::wide_to_utf8(bytes.substr(0, end), charset, from, SIZE_MAX).utf8);
    }
    return damage;
  };
  std::string_view best;
  size_t least = count(label);
  for (const std::string_view charset : {"utf-32be", "utf-32le", "utf-16be", "utf-16le"}) {
    const size_t damage = count(charset);
    if (damage >= least) continue;
    least = damage;
    best = charset;
  }
  return best;
}

}  // namespace

DecodedText::DecodedText(Context& context, std::string_view bytes, std::string_view stated, size_t most) {
  bytes = bytes.substr(0, most);
  const std::string_view looks = mime::sniff_charset(bytes);
  std::string_view carrier = says_nothing(context.charset()) ? std::string_view() : context.charset();
  if (says_nothing(stated)) stated = {};
  if (!carrier.empty() && !mime::is_known_charset(carrier)) {
    context.fail(Reason::unsupported);
    carrier = {};
  }
  if (!stated.empty() && !mime::is_known_charset(stated)) {
    if (carrier.empty() && looks.empty()) context.fail(Reason::unsupported);
    stated = {};
  }
  // A document cannot state in ASCII that it is UTF-16.
  if (mime::is_wide_charset(stated)) stated = {};
  std::string_view charset = carrier.empty() ? stated : carrier;
  std::string_view other;
  if (has_mark(bytes)) {
    charset = looks;
  } else if (!looks.empty()) {
    if (!charset.empty() && !mime::is_wide_charset(charset)) other = charset;
    // A guess by zero bytes, which others skip.
    if (other.empty() && mime::is_wide_charset(looks) && !mime::is_wide_charset(charset) && has_run(bytes)) {
      other = "us-ascii";  // or UTF-8
    }
    if (!mime::is_wide_charset(charset)) charset = looks;
  } else if (mime::is_wide_charset(charset) && base::is_valid_utf8(bytes) &&
             bytes.find('\0') == std::string_view::npos) {
    other = "utf-8";  // the label lies, or the text has no ASCII in it
  }
  if (other.empty() && is_page(context.leaf()) && is_utf7(charset)) other = "utf-8";
  if (charset.empty() || base::iequals(charset, "utf-8")) {
    if (bytes.starts_with(kUtf8Mark)) bytes.remove_prefix(kUtf8Mark.size());
    if (base::is_valid_utf8(bytes)) {
      view_ = bytes;
      return;
    }
  }
  // Who asks for no more than some bytes wants text, of which there is a limit; who asks for all is told of the rest.
  constexpr size_t kMostDecoded = 28u << 20;
  constexpr size_t kMostOther = 8u << 20;
  const bool all = most == SIZE_MAX;
  const size_t of_text = text_bytes_wanted(context.job().limits) / kMostPerByte;
  mime::Converted decoded = mime::to_utf8(bytes, charset, all ? kMostDecoded : of_text);
  owned_ = std::move(decoded.utf8);
  if (all && !decoded.whole) context.fail(Reason::size);
  const auto add = [&](std::string_view reading) {
    const mime::Converted more = mime::to_utf8(bytes, reading, all ? kMostOther : of_text);
    owned_.append("\n").append(more.utf8);
    if (all && !more.whole) context.fail(Reason::size);
  };
  if (decoded.damaged && mime::is_wide_charset(charset)) {
    const std::string_view better = better_charset(bytes, charset, decoded.damaged_at);
    if (!better.empty()) add(better);
  }
  if (!other.empty()) add(other);
  view_ = owned_;
}

void each_wide_piece(std::string_view bytes, std::string_view charset,
                     const std::function<bool(std::string_view text, bool first)>& take) {
  constexpr size_t kPiece = 64u << 10;
  constexpr size_t kOverlap = 512;
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    text.erase(0, text.size() - std::min(text.size(), kOverlap));
    const mime::Converted piece = mime::wide_to_utf8(bytes, charset, at, kPiece);
    text += piece.utf8;
    if (!take(text, at == 0) || piece.end <= at) return;
    at = piece.end;
  }
}

size_t text_bytes_wanted(const ScanLimits& limits) {
  return limits.text > SIZE_MAX / 8 ? SIZE_MAX : static_cast<size_t>(limits.text) * kMostPerByte + 64;
}

}  // namespace postern::scan::worker
