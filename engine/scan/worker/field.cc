// SPDX-License-Identifier: Apache-2.0
// Fields and their instructions.
#include "engine/scan/worker/field.h"

#include <algorithm>
#include <charconv>

#include "engine/base/text.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kDepth = 64;
constexpr size_t kInstruction = 8192;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// word_of is the command of an instruction, which ends with its letters.
std::string_view word_of(std::string_view instruction) {
  const auto end = std::ranges::find_if_not(instruction, is_letter);
  return {instruction.begin(), end};
}

// argument cuts the next argument off `rest`, without its quotes; `bare` tells that it had none.
std::string_view argument(std::string_view& rest, bool* bare = nullptr) {
  rest = base::trim(rest);
  const bool quoted = rest.starts_with('"');
  if (quoted) rest.remove_prefix(1);
  if (bare != nullptr) *bare = !quoted;
  const size_t end = quoted ? rest.find('"') : rest.find_first_of(" \t\r\n\"");
  const std::string_view out = rest.substr(0, end);
  // A quote that stands right after it begins the next.
  const bool glued = !quoted && end != std::string_view::npos && rest[end] == '"';
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(glued ? end : end + 1);
  return out;
}

// computed is what a field shows whatever its result in the file says, where that is told by its instruction alone:
// "QUOTE 68 68 69" is DDE.
std::string computed(std::string_view instruction) {
  std::string_view rest = base::trim(instruction);
  const std::string_view word = word_of(rest);
  std::string out;
  if (!base::iequals(word, "quote")) return out;
  rest.remove_prefix(word.size());
  while (!(rest = base::trim(rest)).empty()) {
    const bool quoted = rest.front() == '"';
    std::string_view next = argument(rest);
    if (!quoted && next.starts_with('\\')) {
      // A switch, "\* MERGEFORMAT", with its argument.
      if (next == "\\*" || next == "\\@" || next == "\\#") argument(rest);
      continue;
    }
    const bool hex = base::istarts_with(next, "0x");
    const std::string_view digits = hex ? next.substr(2) : next;
    uint32_t code = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), code, hex ? 16 : 10);
    if (!quoted && read.ec == std::errc() && read.ptr == digits.data() + digits.size()) {
      append_code_point(out, code);
    } else {
      out += next;
    }
  }
  return out;
}

}  // namespace

void Fields::begin(bool simple) {
  if (fields_.size() < kDepth) {
    fields_.emplace_back().simple = simple;
    return;
  }
  ++deeper_;
  context_.fail(Reason::depth);
}

// last is the last open field of a kind, and one more, so that it is zero where there is none.
size_t Fields::last(bool simple) const {
  size_t index = fields_.size();
  while (index > 0 && fields_[index - 1].simple != simple) --index;
  return index;
}

std::string Fields::separate(bool simple) {
  const size_t index = deeper_ > 0 ? 0 : last(simple);
  return index == 0 ? std::string() : over(index - 1);
}

// over ends the instruction of a field.
std::string Fields::over(size_t index) {
  Field& field = fields_[index];
  std::string target;
  if (!field.in_instruction) return target;
  field.in_instruction = false;
  for (size_t i = 0; i < kReadings; ++i) {
    const auto before = field.readings.begin() + static_cast<ptrdiff_t>(i);
    if (std::find(field.readings.begin(), before, *before) != before) continue;
    const std::string one = note_field(context_, *before);
    if (target.empty()) target = one;
  }
  const std::string shown = computed(field.readings[kComputed]);
  field.computed = !shown.empty();
  if (field.computed) put(index, shown, kComputed, kComputed);
  return target;
}

std::string Fields::end(bool simple) {
  if (!simple && deeper_ > 0) {
    --deeper_;
    return {};
  }
  const size_t index = last(simple);
  if (index == 0) return {};
  std::string target = over(index - 1);
  fields_.erase(fields_.begin() + static_cast<ptrdiff_t>(index - 1));
  return target;
}

bool Fields::in_instruction() const {
  return std::ranges::any_of(fields_, [](const Field& field) { return field.in_instruction; });
}

// put adds to the innermost instruction below `from` that is not over, in the readings that `mask` and `value` choose.
void Fields::put(size_t from, std::string_view utf8, unsigned mask, unsigned value) {
  for (size_t i = from; i-- > 0;) {
    Field& field = fields_[i];
    if (!field.in_instruction) {
      // In the reading that computes, a computed field does not show its result.
      if (field.computed && (mask & kComputed) == 0) mask |= kComputed;
      continue;
    }
    for (unsigned k = 0; k < kReadings; ++k) {
      std::string& reading = field.readings[k];
      if ((k & mask) != value || reading.size() >= kInstruction) continue;
      // Blanks before the command are none of it, however many.
      std::string_view more = utf8;
      if (reading.empty()) more.remove_prefix(std::min(more.find_first_not_of(" \t\r\n"), more.size()));
      reading.append(more);
    }
    return;
  }
}

void Fields::text(std::string_view utf8, Form form) {
  put(fields_.size(), utf8, form == Form::any ? 0 : kOlder, form == Form::older ? kOlder : 0);
}

void Fields::code(uint32_t code) {
  std::string utf8;
  append_code_point(utf8, code);
  text(utf8);
}

void Fields::blank() { text(" "); }

std::string note_field(Context& context, std::string_view instruction) {
  const std::string_view text = base::trim(instruction);
  const std::string word = base::lower(word_of(text));
  std::string_view rest = base::trim(text.substr(word.size()));
  if (word == "dde" || word == "ddeauto") {
    context.mark(Mark::macro_dde);
    return std::string(text);
  }
  const bool loads = word == "includetext" || word == "includepicture" || word == "link" || word == "import" ||
                     word == "rd" || word == "database";
  if (word != "hyperlink" && !loads) return {};
  // What is loaded need not be named first: LINK names a program before, switches stand anywhere.
  std::string target;
  bool first = true;
  while (!(rest = base::trim(rest)).empty()) {
    bool bare = false;
    const std::string_view next = argument(rest, &bare);
    const bool is_switch = bare && next.starts_with('\\') && !next.starts_with("\\\\");
    if (is_switch || next.empty()) continue;
    // Cells and times, "R1C1:R2C2", have no slash.
    const bool remote = is_remote(next) && (first || next.find_first_of("/\\") != std::string_view::npos);
    first = false;
    if (loads && remote) context.mark(Mark::remote_template);
    // A connection names its source amid other things.
    if (word == "database" &&
        (next.find("://") != std::string_view::npos || next.find("=\\\\") != std::string_view::npos)) {
      context.mark(Mark::remote_template);
    }
    if (target.empty() || (remote && !is_remote(target))) target = next;
  }
  return target;
}

}  // namespace postern::scan::worker
