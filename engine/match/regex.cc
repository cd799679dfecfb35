// SPDX-License-Identifier: Apache-2.0
// PCRE2 behind Regex. Code is compiled and JIT-compiled once; what a search writes to (match data, JIT stack, limits)
// is per thread, so a search takes no lock and allocates nothing. Every bound holds for hostile subjects: the match
// limit bounds the work from one start position, and subjects over kPlainSearch are searched by windows of start
// positions (offset limits) that grow while the search is fast, with a look at the clock between them, because neither
// PCRE2's limits nor the JIT bound the product of start positions, steps and bytes.
#include "engine/match/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <time.h>

#include <algorithm>
#include <atomic>

#include "engine/base/handle.h"

namespace postern::match {
namespace {

using base::Cause;
using CodeHandle = base::Handle<pcre2_code, pcre2_code_free>;
using MatchData = base::Handle<pcre2_match_data, pcre2_match_data_free>;
using MatchContext = base::Handle<pcre2_match_context, pcre2_match_context_free>;
using JitStack = base::Handle<pcre2_jit_stack, pcre2_jit_stack_free>;
using CompileContext = base::Handle<pcre2_compile_context, pcre2_compile_context_free>;

constexpr size_t kMaxPattern = 32u << 10;
constexpr uint32_t kMaxNesting = 250;
constexpr size_t kJitStackStart = 32u << 10;
constexpr size_t kJitStackMax = 512u << 10;
constexpr uint64_t kNanosecondsPerByte = 20;
// Product of start positions and bytes that one window may span: some tenths of a second for a search that is
// quadratic. At least kWindow positions, or the clock would cost more than the search of a very long text.
constexpr uint64_t kWindowWork = 1'000'000'000;
constexpr uint64_t kWindow = 256;
constexpr uint64_t kFirstWindow = 8;
// Product of match steps and bytes of the first try of a window; a step may walk the whole subject (a back reference).
constexpr uint64_t kFirstTryWork = 10'000'000;

// The limits in force. The version tells each thread when to copy them into its match context.
std::atomic<uint32_t> g_version{1};
std::atomic<uint32_t> g_match{RegexLimits().match};
std::atomic<uint32_t> g_depth{RegexLimits().depth};
std::atomic<uint32_t> g_heap{RegexLimits().heap_kib};
std::atomic<uint32_t> g_milliseconds{RegexLimits().milliseconds};

struct ThreadState {
  MatchData data{pcre2_match_data_create(1, nullptr)};
  MatchContext context{pcre2_match_context_create(nullptr)};
  JitStack stack{pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr)};
  uint32_t version = 0;
  uint32_t match_limit = 0;

  bool usable() const { return data && context && stack; }
  void refresh(uint32_t now) {
    match_limit = g_match.load(std::memory_order_relaxed);
    pcre2_set_match_limit(context.get(), match_limit);
    pcre2_set_depth_limit(context.get(), g_depth.load(std::memory_order_relaxed));
    pcre2_set_heap_limit(context.get(), g_heap.load(std::memory_order_relaxed));
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
    version = now;
  }
};

ThreadState* thread_state() {
  thread_local ThreadState state;
  if (!state.usable()) return nullptr;
  const uint32_t now = g_version.load(std::memory_order_acquire);
  if (state.version != now) state.refresh(now);
  return &state;
}

uint64_t nanoseconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

// Stopwatch tells when a search has used its CPU time. The wall clock is asked first, being ten times cheaper; once an
// eighth of the budget is gone by that clock, the thread's CPU clock decides, so that a thread that only waited for a
// processor is not stopped.
class Stopwatch {
 public:
  // A subject that is searched in one call needs no clock, and gets none read.
  explicit Stopwatch(size_t subject_size) {
    if (subject_size <= kPlainSearch) return;
    budget_ =
        uint64_t{g_milliseconds.load(std::memory_order_relaxed)} * 1'000'000u + subject_size * kNanosecondsPerByte;
    start_ = last_ = nanoseconds(CLOCK_MONOTONIC);
  }
  uint64_t budget() const { return budget_; }

  // lap returns the nanoseconds since the last call.
  uint64_t lap() {
    const uint64_t now = nanoseconds(CLOCK_MONOTONIC);
    const uint64_t taken = now - last_;
    last_ = now;
    return taken;
  }
  bool expired() {
    if (cpu_start_ == 0) {
      if (last_ - start_ < budget_ / 8) return false;
      cpu_start_ = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
      return false;
    }
    return nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu_start_ >= budget_;
  }

 private:
  uint64_t budget_ = 0;
  uint64_t start_ = 0;
  uint64_t last_ = 0;
  uint64_t cpu_start_ = 0;
};

std::string message_for(int code) {
  PCRE2_UCHAR text[256];
  if (pcre2_get_error_message(code, text, sizeof text) < 0) return "error " + std::to_string(code);
  return reinterpret_cast<const char*>(text);
}

// Reports whether `at` begins (*WORD followed by a character that ends the word.
bool verb_at(std::string_view pattern, size_t at, std::string_view word) {
  if (pattern.substr(at, 2) != "(*" || pattern.substr(at + 2, word.size()) != word) return false;
  const size_t end = at + 2 + word.size();
  return end >= pattern.size() || pattern[end] == ')' || pattern[end] == ':';
}

// Finds what PCRE2 would take and a search by windows cannot keep the meaning of; returns its offset and what it is.
std::pair<size_t, std::string_view> forbidden(std::string_view pattern) {
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\') {
      if (pattern.substr(i, 2) == "\\Q") {
        const size_t end = pattern.find("\\E", i + 2);
        if (end == std::string_view::npos) break;
        i = end + 1;
        continue;
      }
      if (!in_class && pattern.substr(i, 2) == "\\G") return {i, "\\G"};
      ++i;
    } else if (in_class) {
      if (pattern.substr(i, 2) == "[:") {
        const size_t end = pattern.find(":]", i + 2);
        if (end != std::string_view::npos && pattern.find(']', i) == end + 1) i = end + 1;
      } else if (c == ']') {
        in_class = false;
      }
    } else if (c == '[') {
      in_class = true;
      if (pattern.substr(i + 1, 1) == "^") ++i;
      if (pattern.substr(i + 1, 1) == "]") ++i;
    } else if (c == '(') {
      for (const std::string_view word : {"COMMIT", "SKIP", "NO_JIT"}) {
        if (verb_at(pattern, i, word)) return {i, word};
      }
    }
  }
  return {std::string_view::npos, {}};
}

bool is_plain(std::string_view pattern) {
  return !pattern.empty() && pattern.find_first_of("\\^$.[]|()?*+{}") == std::string_view::npos &&
         pattern.find('\0') == std::string_view::npos;
}

size_t next_character(std::string_view text, size_t offset) {
  ++offset;
  while (offset < text.size() && (static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80) ++offset;
  return offset;
}

}  // namespace

struct Regex::Code {
  std::string pattern;
  CodeHandle code;
  bool jit = false;
  bool anchored = false;
  bool plain = false;
  bool bytes = false;

  // next returns where the next character begins: every byte is one for a pattern over bytes.
  size_t next(std::string_view text, size_t offset) const { return bytes ? offset + 1 : next_character(text, offset); }

  int run(std::string_view subject, size_t start, uint32_t options, pcre2_match_data* data,
          pcre2_match_context* context) const {
    const auto* bytes = reinterpret_cast<PCRE2_SPTR>(subject.data());
    // With MATCH_INVALID_UTF neither entry checks the subject; the direct one only leaves out argument checks.
    if (jit) return pcre2_jit_match(code.get(), bytes, subject.size(), start, options, data, context);
    return pcre2_match(code.get(), bytes, subject.size(), start, options, data, context);
  }

  Verdict find(std::string_view subject, size_t start, uint32_t options, ThreadState& state, pcre2_match_data* data,
               Stopwatch& watch) const;
  Verdict find_by_windows(std::string_view subject, size_t start, uint32_t options, ThreadState& state,
                          pcre2_match_data* data, Stopwatch& watch) const;
};

namespace {
Verdict verdict_of(int code) {
  if (code >= 0) return Verdict::yes;
  // Everything else, also what should not happen, is "could not tell": never "no".
  return code == PCRE2_ERROR_NOMATCH ? Verdict::no : Verdict::limit;
}
}  // namespace

// find looks for the first match at or after `start`; the match's offsets are then in `data`.
Verdict Regex::Code::find(std::string_view subject, size_t start, uint32_t options, ThreadState& state,
                          pcre2_match_data* data, Stopwatch& watch) const {
  if (subject.data() == nullptr) subject = "";
  if (subject.size() <= kPlainSearch) return verdict_of(run(subject, start, options, data, state.context.get()));
  return find_by_windows(subject, start, options, state, data, watch);
}

Verdict Regex::Code::find_by_windows(std::string_view subject, size_t start, uint32_t options, ThreadState& state,
                                     pcre2_match_data* data, Stopwatch& watch) const {
  const uint64_t size = subject.size();
  const uint64_t budget = watch.budget();
  const uint64_t widest = anchored ? size + 1 : std::max(kWindow, kWindowWork / size);
  const uint32_t first_limit =
      static_cast<uint32_t>(std::clamp<uint64_t>(kFirstTryWork / size, 16, std::max(16u, state.match_limit)));
  pcre2_match_context* context = state.context.get();
  watch.lap();
  Verdict answer = Verdict::limit;
  uint32_t match_limit = std::min(first_limit, state.match_limit);
  uint64_t window = anchored ? size + 1 : kFirstWindow;
  pcre2_set_match_limit(context, match_limit);
  for (;;) {
    const bool last = size - start < window;
    pcre2_set_offset_limit(context, last ? PCRE2_UNSET : start + window - 1);
    const int code = run(subject, start, options, data, context);
    const uint64_t taken = watch.lap();
    if (code >= 0) {
      answer = Verdict::yes;
      break;
    }
    if (code == PCRE2_ERROR_NOMATCH) {
      if (last) {
        answer = Verdict::no;
        break;
      }
      start = next(subject, start + window - 1);
      // NOTEMPTY_ATSTART speaks of the first start position only.
      options &= ~uint32_t{PCRE2_NOTEMPTY_ATSTART};
      if (taken < budget / 64) {
        window = std::min(window * 8, widest);
      } else if (taken > budget / 8) {
        window = std::max<uint64_t>(1, window / 8);
      }
    } else if (code == PCRE2_ERROR_MATCHLIMIT && match_limit < state.match_limit) {
      const uint64_t factor = taken < budget / 16 ? 8 : 2;
      match_limit = static_cast<uint32_t>(std::min<uint64_t>(match_limit * factor, state.match_limit));
      window = 1;
      pcre2_set_match_limit(context, match_limit);
    } else {
      break;
    }
    if (watch.expired()) break;
  }
  pcre2_set_offset_limit(context, PCRE2_UNSET);
  pcre2_set_match_limit(context, state.match_limit);
  return answer;
}

base::Result<Regex> Regex::compile(std::string_view pattern, size_t* error_offset, Reads reads) {
  const auto refuse = [&](size_t offset, const std::string& what) {
    if (error_offset != nullptr) *error_offset = offset;
    return base::fail(Cause::malformed, "regular expression, at byte " + std::to_string(offset) + ": " + what);
  };
  if (pattern.size() > kMaxPattern) {
    return refuse(kMaxPattern, "pattern is longer than " + std::to_string(kMaxPattern) + " bytes");
  }
  if (const auto [at, what] = forbidden(pattern); !what.empty()) {
    return refuse(at, std::string(what) + " is not supported in patterns");
  }
  const CompileContext context(pcre2_compile_context_create(nullptr));
  if (!context) return base::fail(Cause::unavailable, "out of memory compiling a regular expression");
  pcre2_set_parens_nest_limit(context.get(), kMaxNesting);
  pcre2_set_max_pattern_length(context.get(), kMaxPattern);
  // NO_DOTSTAR_ANCHOR: PCRE2 tries a leading .* at line starts only, but a dot does not cross an invalid byte, so with
  // that shortcut a sender could hide the rest of a line behind one such byte. It costs nothing measurable with the
  // JIT.
  constexpr uint32_t kCommon = PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT | PCRE2_NO_DOTSTAR_ANCHOR;
  const uint32_t options =
      kCommon | (reads == Reads::text ? PCRE2_UTF | PCRE2_MATCH_INVALID_UTF : PCRE2_NEVER_UTF | PCRE2_NEVER_UCP);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto made = std::make_unique<Code>();
  const char* bytes = pattern.data() == nullptr ? "" : pattern.data();
  made->code.reset(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(bytes), pattern.size(), options, &error, &offset, context.get()));
  if (!made->code) return refuse(std::min(offset, pattern.size()), message_for(error));

  size_t callout = std::string_view::npos;
  pcre2_callout_enumerate(
      made->code.get(),
      [](pcre2_callout_enumerate_block* block, void* found) {
        *static_cast<size_t*>(found) = block->pattern_position;
        return 1;
      },
      &callout);
  if (callout != std::string_view::npos) return refuse(callout, "callouts are not supported in patterns");

  uint32_t all_options = 0;
  pcre2_pattern_info(made->code.get(), PCRE2_INFO_ALLOPTIONS, &all_options);
  made->anchored = (all_options & PCRE2_ANCHORED) != 0;
  // Without JIT (no executable memory, a construct it does not know) the interpreter gives the same answers, slower.
  made->jit = pcre2_jit_compile(made->code.get(), PCRE2_JIT_COMPLETE) == 0;
  made->pattern = pattern;
  made->plain = is_plain(pattern);
  made->bytes = reads == Reads::bytes;
  return Regex(std::move(made));
}

Regex::Regex(std::unique_ptr<Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

const std::string& Regex::pattern() const { return code_->pattern; }
std::string_view Regex::literal() const { return code_->plain ? std::string_view(code_->pattern) : std::string_view(); }

namespace {
// The text of the match in `data`. \K inside an assertion can set a start behind the end; that is an empty match.
std::string_view matched_text(std::string_view subject, pcre2_match_data* data) {
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data);
  const size_t begin = std::min<size_t>(offsets[0], offsets[1]);
  return subject.substr(std::min(begin, subject.size()), offsets[1] - begin);
}
}  // namespace

Verdict Regex::search(std::string_view subject, std::string_view* matched) const {
  ThreadState* state = thread_state();
  if (state == nullptr) return Verdict::limit;
  Stopwatch watch(subject.size());
  const Verdict verdict = code_->find(subject, 0, 0, *state, state->data.get(), watch);
  if (verdict == Verdict::yes && matched != nullptr) *matched = matched_text(subject, state->data.get());
  return verdict;
}

namespace {
// Walk goes from match to match: after an empty match the next one may begin at the same place but not be empty there,
// as with Perl's /g. It always moves on, also when \K or a look-around puts a match at or before where the try began.
struct Walk {
  size_t start = 0;
  uint32_t options = 0;

  // `next` gives the start of the next character.
  template <class Next>
  void go_on(size_t begin, size_t end, Next next) {
    if (end > begin && end > start) {
      start = end;
      options = 0;
    } else if (end > start || (end == start && options == 0)) {
      start = end;
      options = PCRE2_NOTEMPTY_ATSTART;
    } else {
      start = next(std::max(start, end));
      options = 0;
    }
  }
};
}  // namespace

Verdict Regex::count(std::string_view subject, uint32_t enough, uint32_t& found, std::string_view* first) const {
  found = 0;
  if (enough == 0) return Verdict::yes;
  ThreadState* state = thread_state();
  if (state == nullptr) return Verdict::limit;
  Stopwatch watch(subject.size());
  Walk walk;
  while (found < enough && walk.start <= subject.size()) {
    const Verdict verdict = code_->find(subject, walk.start, walk.options, *state, state->data.get(), watch);
    if (verdict == Verdict::limit) return Verdict::limit;
    if (verdict == Verdict::no) break;
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(state->data.get());
    if (found++ == 0 && first != nullptr) *first = matched_text(subject, state->data.get());
    walk.go_on(std::min<size_t>(offsets[0], offsets[1]), offsets[1],
               [&](size_t offset) { return code_->next(subject, offset); });
  }
  return found >= enough ? Verdict::yes : Verdict::no;
}

Verdict Regex::walk(std::string_view subject, const std::function<size_t(size_t begin, size_t end)>& visit) const {
  ThreadState* state = thread_state();
  if (state == nullptr) return Verdict::limit;
  Stopwatch watch(subject.size());
  size_t start = 0;
  bool any = false;
  while (start <= subject.size()) {
    const Verdict verdict = code_->find(subject, start, 0, *state, state->data.get(), watch);
    if (verdict == Verdict::limit) return Verdict::limit;
    if (verdict == Verdict::no) break;
    any = true;
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(state->data.get());
    const size_t end = std::min<size_t>(offsets[1], subject.size());
    const size_t next = visit(std::min<size_t>(offsets[0], end), end);
    if (next == std::string_view::npos || next <= start) break;
    start = code_->next(subject, next - 1);
  }
  return any ? Verdict::yes : Verdict::no;
}

namespace {

// Piece is literal text or a group of the replacement.
struct Piece {
  std::string_view text;
  int group = -1;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

base::Result<std::vector<Piece>> parse_replacement(const pcre2_code* code, std::string_view text) {
  uint32_t groups = 0;
  pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
  std::vector<Piece> pieces;
  const auto add_group = [&](std::string_view name) -> base::Result<void> {
    const auto unknown = [&] {
      return base::fail(Cause::malformed, "replacement: the pattern has no group '" + std::string(name) + "'");
    };
    if (name.empty()) return base::fail(Cause::malformed, "replacement: ${} names no group");
    int number = 0;
    if (std::ranges::all_of(name, is_digit)) {
      if (name.size() > 5) return unknown();
      number = std::stoi(std::string(name));
    } else {
      number = pcre2_substring_number_from_name(code, reinterpret_cast<PCRE2_SPTR>(std::string(name).c_str()));
      if (number < 0) return unknown();
    }
    if (static_cast<uint32_t>(number) > groups) return unknown();
    pieces.push_back({{}, number});
    return {};
  };
  size_t literal = 0;
  const auto flush = [&](size_t end) {
    if (end > literal) pieces.push_back({text.substr(literal, end - literal), -1});
  };
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '$' || i + 1 == text.size()) {
      ++i;
      continue;
    }
    const char next = text[i + 1];
    if (next == '$') {
      flush(i + 1);
      i += 2;
      literal = i;
    } else if (is_digit(next)) {
      flush(i);
      size_t end = i + 1;
      while (end < text.size() && is_digit(text[end])) ++end;
      if (auto added = add_group(text.substr(i + 1, end - i - 1)); !added) return std::unexpected(added.error());
      literal = i = end;
    } else if (next == '{') {
      flush(i);
      const size_t end = text.find('}', i);
      if (end == std::string_view::npos) return base::fail(Cause::malformed, "replacement: '${' is never closed");
      if (auto added = add_group(text.substr(i + 2, end - i - 2)); !added) return std::unexpected(added.error());
      literal = i = end + 1;
    } else {
      ++i;
    }
  }
  flush(text.size());
  return pieces;
}

}  // namespace

base::Result<void> Regex::check_replacement(std::string_view replacement) const {
  auto pieces = parse_replacement(code_->code.get(), replacement);
  if (!pieces) return std::unexpected(std::move(pieces.error()));
  return {};
}

base::Result<std::string> Regex::replace_all(std::string_view subject, std::string_view replacement,
                                             size_t max_bytes) const {
  auto pieces = parse_replacement(code_->code.get(), replacement);
  if (!pieces) return std::unexpected(std::move(pieces.error()));
  const auto too_long = [&] {
    return base::fail(Cause::limit, "the replaced text would pass " + std::to_string(max_bytes) + " bytes");
  };
  ThreadState* state = thread_state();
  const MatchData data(pcre2_match_data_create_from_pattern(code_->code.get(), nullptr));
  if (state == nullptr || !data) return base::fail(Cause::unavailable, "out of memory in a regular expression");

  Stopwatch watch(subject.size());
  std::string out;
  Walk walk;
  size_t done = 0;  // end of the last match: everything before it is in `out`
  while (walk.start <= subject.size()) {
    const Verdict verdict = code_->find(subject, walk.start, walk.options, *state, data.get(), watch);
    if (verdict == Verdict::limit) return base::fail(Cause::limit, "regular expression hit its limit: " + pattern());
    if (verdict == Verdict::no) break;
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data.get());
    // \K and look-arounds can place a match before the end of the last one: what is done stays done.
    const size_t begin = std::max(std::min<size_t>(offsets[0], offsets[1]), done);
    const size_t end = std::max<size_t>(offsets[1], begin);
    out.append(subject.substr(done, begin - done));
    const uint32_t pairs = pcre2_get_ovector_count(data.get());
    for (const Piece& piece : *pieces) {
      if (piece.group < 0) {
        out.append(piece.text);
      } else if (static_cast<uint32_t>(piece.group) < pairs && offsets[2 * piece.group] != PCRE2_UNSET &&
                 offsets[2 * piece.group] <= offsets[2 * piece.group + 1]) {
        const size_t from = offsets[2 * piece.group];
        out.append(subject.substr(from, offsets[2 * piece.group + 1] - from));
      }
      if (out.size() > max_bytes) return too_long();
    }
    done = end;
    walk.go_on(begin, end, [&](size_t offset) { return code_->next(subject, offset); });
  }
  if (out.size() + (subject.size() - done) > max_bytes) return too_long();
  out.append(subject.substr(done));
  return out;
}

void set_regex_limits(const RegexLimits& limits) {
  g_match.store(limits.match, std::memory_order_relaxed);
  g_depth.store(limits.depth, std::memory_order_relaxed);
  g_heap.store(limits.heap_kib, std::memory_order_relaxed);
  g_milliseconds.store(limits.milliseconds, std::memory_order_relaxed);
  g_version.fetch_add(1, std::memory_order_release);
}

}  // namespace postern::match
