// SPDX-License-Identifier: Apache-2.0
// The prefilter over libhs, which must never say "cannot" of what PCRE2 would find. So subjects that are not UTF-8 are
// not scanned, nor those with one of the two characters outside ASCII that fold to an ASCII letter.
#include "engine/match/pattern_set.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>

#ifdef POSTERN_HAVE_HS
#include <hs/hs.h>
#endif

#include "engine/base/text.h"

namespace postern::match {
namespace {

constexpr size_t kMaxPattern = 1000;   // bytes
constexpr uint64_t kMaxWeight = 2000;  // of a pattern with its repeats written out
constexpr size_t kMaxGroups = 50;      // nested
constexpr uint64_t kMaxVaried = 8;     // repeats of something that varies in length

// Shape walks over a pattern once and judges it; what it does not know it refuses.
class Shape {
 public:
  explicit Shape(std::string_view pattern) : text_(pattern) {}

  bool good() {
    if (text_.empty() || text_.size() > kMaxPattern || !base::is_ascii(text_)) return false;
    groups_.push_back({});
    while (at_ < text_.size()) {
      if (!step()) return false;
    }
    return groups_.size() == 1 && groups_[0].weight <= kMaxWeight;
  }

 private:
  struct Group {
    uint64_t weight = 0;  // of what stands in it so far
    bool varies = false;  // something in it varies in length
    uint64_t last = 0;    // weight of the last item, which a repeat would multiply; 0: nothing to repeat
    bool last_varies = false;
  };

  bool step() {
    const char c = text_[at_++];
    switch (c) {
      case '\\':
        return escape();
      case '[':
        return character_class();
      case '(':
        return open();
      case ')':
        return close();
      case '*':
      case '+':
        return repeat(1, true);
      case '?':
        groups_.back().last_varies = groups_.back().last != 0;
        return repeat(1, false);
      case '{':
        return braces();
      case '|':
        groups_.back().varies = true;  // (?:a|aa)+ is as bad as (?:aa?)+
        groups_.back().last = 0;
        return true;
      case '^':
      case '$':
        groups_.back().last = 0;
        return true;
      default:
        return item(1, false);
    }
  }

  bool item(uint64_t weight, bool varies) {
    Group& group = groups_.back();
    group.weight += weight;
    group.varies = group.varies || varies;
    group.last = weight;
    group.last_varies = varies;
    return group.weight <= kMaxWeight;
  }

  bool escape() {
    if (at_ == text_.size()) return false;
    const char c = text_[at_++];
    if (std::string_view("bBAzZ").find(c) != std::string_view::npos) {
      groups_.back().last = 0;
      return true;
    }
    if (std::string_view("dDwWsSnrtf").find(c) != std::string_view::npos) return item(1, false);
    // Other letters and digits mean more than a character: back references, properties, \Q, \K, \R …
    const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    return !alphanumeric && c > ' ' && item(1, false);
  }

  bool character_class() {
    if (at_ < text_.size() && text_[at_] == '^') ++at_;
    for (bool first = true; at_ < text_.size(); first = false) {
      const char c = text_[at_++];
      if (c == ']' && !first) return item(1, false);
      if (c == '[' && at_ < text_.size() && (text_[at_] == ':' || text_[at_] == '.' || text_[at_] == '=')) return false;
      if (c == '\\') {
        if (at_ == text_.size()) return false;
        const char next = text_[at_++];
        const bool alphanumeric =
            (next >= '0' && next <= '9') || (next >= 'A' && next <= 'Z') || (next >= 'a' && next <= 'z');
        if (alphanumeric && std::string_view("dDwWsSnrtf").find(next) == std::string_view::npos) return false;
      }
    }
    return false;
  }

  bool open() {
    if (groups_.size() > kMaxGroups) return false;
    if (at_ < text_.size() && text_[at_] == '*') return false;
    if (at_ < text_.size() && text_[at_] == '?') {
      ++at_;
      while (at_ < text_.size() && std::string_view("ims-").find(text_[at_]) != std::string_view::npos) ++at_;
      if (at_ == text_.size()) return false;
      if (text_[at_] == ')') {  // (?i): only in front, where both libraries let it hold for all that follows
        if (groups_.size() > 1 || groups_[0].weight > 0 || at_ > 8) return false;
        ++at_;
        return true;
      }
      if (text_[at_] != ':') return false;
      ++at_;
    }
    groups_.push_back({});
    return true;
  }

  bool close() {
    if (groups_.size() < 2) return false;
    const Group inner = groups_.back();
    groups_.pop_back();
    // An empty group counts, so that nothing large can be made of nothing.
    return item(inner.weight + 1, inner.varies);
  }

  bool braces() {
    uint64_t least = 0;
    uint64_t most = 0;
    if (!number(least)) return false;
    most = least;
    bool endless = false;
    if (at_ < text_.size() && text_[at_] == ',') {
      ++at_;
      endless = at_ < text_.size() && text_[at_] == '}';
      if (!endless && !number(most)) return false;
    }
    if (at_ == text_.size() || text_[at_] != '}' || most < least) return false;
    ++at_;
    Group& group = groups_.back();
    // Few enough repeats of what varies cannot blow up; `least != most` is a variation of its own.
    if (group.last_varies && (endless || (most > 1 && least != most) || most > kMaxVaried)) return false;
    if (least != most) group.last_varies = true;
    return repeat(std::max<uint64_t>(most, 1), endless);
  }

  bool number(uint64_t& value) {
    const size_t begin = at_;
    value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9' && at_ - begin < 5) {
      value = value * 10 + static_cast<uint64_t>(text_[at_++] - '0');
    }
    return at_ > begin;
  }

  // repeat applies a repeat of at most `times`, or without end, to the last item.
  bool repeat(uint64_t times, bool endless) {
    Group& group = groups_.back();
    if (group.last == 0 || (endless && group.last_varies)) return false;
    group.weight += group.last * (times - 1);
    group.varies = group.varies || group.last_varies || endless;
    group.last = 0;
    if (at_ < text_.size() && text_[at_] == '?') ++at_;         // lazy: the same matches exist
    if (at_ < text_.size() && text_[at_] == '+') return false;  // possessive
    return group.weight <= kMaxWeight;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<Group> groups_;
};

}  // namespace

bool can_prefilter(std::string_view pattern) { return Shape(pattern).good(); }

std::string screen_of(const Regex& pattern) {
  return can_prefilter(pattern.pattern()) ? pattern.pattern() : std::string();
}

std::unique_ptr<const PatternSet> PatternSet::build(std::span<const Regex* const> patterns) {
  std::vector<std::string> screens;
  screens.reserve(patterns.size());
  for (const Regex* pattern : patterns) screens.push_back(screen_of(*pattern));
  return build_screens(screens);
}

void Candidates::merge(const Candidates& other) {
  const size_t common = std::min(bits_.size(), other.bits_.size());
  bits_.resize(common);
  for (size_t i = 0; i < common; ++i) bits_[i] |= other.bits_[i];
}

#ifdef POSTERN_HAVE_HS

namespace {

std::atomic<uint64_t> g_next_id{1};

// Scratch is libhs's working memory of one thread. It only grows; `known` are the databases it is large enough for.
struct Scratch {
  hs_scratch_t* memory = nullptr;
  std::vector<uint64_t> known;
  ~Scratch() { hs_free_scratch(memory); }
};

constexpr size_t kMaxKnown = 256;

// scannable tells whether both libraries see the same in `subject`.
bool scannable(std::string_view subject) {
  if (subject.size() > UINT32_MAX) return false;
  if (base::is_ascii(subject)) return true;
  // KELVIN SIGN and LATIN SMALL LETTER LONG S
  return base::is_valid_utf8(subject) && subject.find("\xE2\x84\xAA") == std::string_view::npos &&
         subject.find("\xC5\xBF") == std::string_view::npos;
}

}  // namespace

struct PatternSet::Database {
  hs_database_t* compiled = nullptr;
  const uint64_t id = g_next_id.fetch_add(1);

  ~Database() { hs_free_database(compiled); }

  // scratch returns this thread's working memory, large enough; nullptr when there is no memory for it.
  hs_scratch_t* scratch() const {
    thread_local Scratch scratch;
    if (std::ranges::find(scratch.known, id) == scratch.known.end()) {
      if (hs_alloc_scratch(compiled, &scratch.memory) != HS_SUCCESS) {
        scratch.known.clear();  // what it was large enough for is gone
        return nullptr;
      }
      if (scratch.known.size() >= kMaxKnown) scratch.known.clear();
      scratch.known.push_back(id);
    }
    return scratch.memory;
  }
};

std::unique_ptr<const PatternSet> PatternSet::build_screens(std::span<const std::string> screens) {
  if (hs_valid_platform() != HS_SUCCESS) return nullptr;
  constexpr unsigned kFlags = HS_FLAG_UTF8 | HS_FLAG_PREFILTER | HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY;
  std::vector<const char*> expressions;
  std::vector<unsigned> flags;
  std::vector<unsigned> numbers;
  for (size_t i = 0; i < screens.size(); ++i) {
    const std::string& pattern = screens[i];
    if (pattern.empty() || pattern.size() > kMaxScreen) continue;
    hs_expr_info_t* info = nullptr;
    hs_compile_error_t* error = nullptr;
    const bool known = hs_expression_info(pattern.c_str(), kFlags, &info, &error) == HS_SUCCESS;
    std::free(info);
    hs_free_compile_error(error);
    if (!known) continue;
    expressions.push_back(pattern.c_str());
    flags.push_back(kFlags);
    numbers.push_back(static_cast<unsigned>(i));
  }
  auto database = std::make_unique<Database>();
  while (!expressions.empty()) {
    hs_compile_error_t* error = nullptr;
    if (hs_compile_multi(expressions.data(), flags.data(), numbers.data(), static_cast<unsigned>(expressions.size()),
                         HS_MODE_BLOCK, nullptr, &database->compiled, &error) == HS_SUCCESS) {
      break;
    }
    // One that libhs cannot hold after all is left to PCRE2; anything else leaves all of them to it.
    const int culprit = error == nullptr ? -1 : error->expression;
    hs_free_compile_error(error);
    if (culprit < 0 || static_cast<size_t>(culprit) >= expressions.size()) return nullptr;
    expressions.erase(expressions.begin() + culprit);
    flags.erase(flags.begin() + culprit);
    numbers.erase(numbers.begin() + culprit);
  }
  if (expressions.empty()) return nullptr;
  std::vector<uint64_t> always((screens.size() + 63) / 64, ~uint64_t{0});
  for (const unsigned number : numbers) always[number / 64] &= ~(uint64_t{1} << (number % 64));
  return std::unique_ptr<const PatternSet>(new PatternSet(std::move(database), std::move(always), numbers.size()));
}

Candidates PatternSet::scan(std::string_view subject) const {
  Candidates found;
  if (!scannable(subject)) return found;
  hs_scratch_t* scratch = database_->scratch();
  if (scratch == nullptr) return found;
  found.bits_ = always_;
  const auto on_match = [](unsigned number, unsigned long long, unsigned long long, unsigned, void* bits) {
    static_cast<uint64_t*>(bits)[number / 64] |= uint64_t{1} << (number % 64);
    return 0;
  };
  const char* bytes = subject.data() == nullptr ? "" : subject.data();
  if (hs_scan(database_->compiled, bytes, static_cast<unsigned>(subject.size()), 0, scratch, on_match,
              found.bits_.data()) != HS_SUCCESS) {
    found.bits_.clear();
  }
  return found;
}

#else

struct PatternSet::Database {};

std::unique_ptr<const PatternSet> PatternSet::build_screens(std::span<const std::string>) { return nullptr; }
Candidates PatternSet::scan(std::string_view) const { return {}; }

#endif

PatternSet::PatternSet(std::unique_ptr<Database> database, std::vector<uint64_t> always, size_t taken)
    : database_(std::move(database)), always_(std::move(always)), taken_(taken) {}
PatternSet::~PatternSet() = default;

Candidates PatternSet::none() const {
  Candidates found;
  found.bits_.resize(always_.size(), 0);
  return found;
}

}  // namespace postern::match
