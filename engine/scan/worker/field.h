// SPDX-License-Identifier: Apache-2.0
// Fields: the fields of a Word document, RTF or OOXML that are open, one inside the other's instruction. What those in
// an instruction show becomes part of it, and so it can spell a command that stands nowhere.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scan/worker/context.h"

namespace postern::scan::worker {

class Fields {
 public:
  // Form is for which programs a piece of an instruction is, where there are alternatives.
  enum class Form : uint8_t { any, newer, older };

  explicit Fields(Context& context) : context_(context) {}

  // begin opens a field, `simple` one that is an element of its own and not two marks.
  void begin(bool simple = false);
  // separate ends the instruction of the last field, end the field. Both return what of it a reader sees or follows,
  // once: the target of a link.
  std::string separate(bool simple = false);
  std::string end(bool simple = false);
  // depth is how many fields are open.
  size_t depth() const { return fields_.size() + deeper_; }
  bool separated() const { return fields_.empty() || !fields_.back().in_instruction; }

  // in_instruction tells whether what comes next belongs to an instruction: the innermost that is not over.
  bool in_instruction() const;
  void text(std::string_view utf8, Form form = Form::any);
  void code(uint32_t code);
  // blank is a tab, a line or a paragraph that ends in an instruction: it parts words.
  void blank();

 private:
  // Readings differ in what a field inside is taken to show, its result in the file or what comes of its instruction,
  // and in which of two alternatives is taken.
  static constexpr unsigned kComputed = 1;
  static constexpr unsigned kOlder = 2;
  static constexpr unsigned kReadings = 4;

  struct Field {
    std::array<std::string, kReadings> readings;
    bool in_instruction = true;
    bool simple = false;
    bool computed = false;  // its result was found by its instruction
  };
  void put(size_t from, std::string_view utf8, unsigned mask, unsigned value);
  size_t last(bool simple) const;
  std::string over(size_t index);

  Context& context_;
  std::vector<Field> fields_;
  size_t deeper_ = 0;  // open ones that are too deep to be kept
};

// note_field looks at a field's instruction: DDE is a mark, and so is what is included from elsewhere. Returns what of
// it a reader sees or follows: the target of a link.
std::string note_field(Context& context, std::string_view instruction);

}  // namespace postern::scan::worker
