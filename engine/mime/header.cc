// SPDX-License-Identifier: Apache-2.0
// HeaderList keeps the fields as edited and, from the first edit on, a copy of the fields as received. Folding and
// unfolding work on bytes and are linear; what fold_value returns can always be sent to an MTA without a second field
// or a second line end appearing in it.
#include "engine/mime/header.h"

#include <algorithm>

#include "engine/base/text.h"

namespace postern::mime {
namespace {

constexpr size_t kHardLimit = 998;  // RFC 5322 2.1.1, without the line end
constexpr size_t kSoftLimit = 78;
constexpr size_t kLongestName = 76;
constexpr size_t kUsualFields = 40;  // of a message as it arrives

bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_line_end(char c) { return c == '\r' || c == '\n'; }

// sent_size counts a field as it goes over the wire, where each fold is CRLF however it is kept here.
uint64_t sent_size(const HeaderField& field) {
  uint64_t size = field.name.size() + 1 + field.value.size() + 2;
  for (size_t at = field.value.find('\n'); at != std::string::npos; at = field.value.find('\n', at + 1)) {
    if (at == 0 || field.value[at - 1] != '\r') ++size;
  }
  return size;
}

// fits tells whether fold_value has nothing to do, which is so for nearly every value.
bool fits(std::string_view name, std::string_view value) {
  size_t line = name.size() + 2;
  bool only_blanks = false;  // in the current line, which continues another
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (c == '\0' || c == '\r') return false;
    if (c == '\n') {
      if (only_blanks || i + 1 == value.size() || !is_blank(value[i + 1])) return false;
      line = 0;
      only_blanks = true;
      continue;
    }
    if (!is_blank(c)) only_blanks = false;
    if (++line > kHardLimit) return false;
  }
  return !only_blanks;
}

// clean makes line ends and NUL harmless: a line end stays (as LF) only where a blank and then text follow in the same
// line, so that no line is empty or white space alone.
std::string clean(std::string_view value) {
  std::string out;
  out.reserve(value.size());
  size_t i = 0;
  while (i < value.size()) {
    const char c = value[i];
    if (c == '\0') {
      out += ' ';
      ++i;
    } else if (is_line_end(c)) {
      while (i < value.size() && (is_line_end(value[i]) || value[i] == '\0')) ++i;
      size_t text = i;
      while (text < value.size() && is_blank(value[text])) ++text;
      const bool has_text = text < value.size() && !is_line_end(value[text]) && value[text] != '\0';
      if (i < value.size() && is_blank(value[i]) && has_text) {
        out += '\n';
      } else if (i < value.size() && !is_blank(value[i])) {
        out += ' ';
      }
      out.append(value.substr(i, text - i));
      i = text;
    } else {
      out += c;
      ++i;
    }
  }
  return out;
}

// cut_at returns where a run without white space may be cut at or before `limit`: not inside a UTF-8 character.
size_t cut_at(std::string_view text, size_t limit) {
  size_t at = limit;
  while (at > limit - 4 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80 ? limit : at;
}

// break_line writes one line that is too long as several. `used` is what already stands in the first of them.
void break_line(std::string_view line, size_t used, std::string& out) {
  // Long runs of white space would leave lines of nothing else.
  std::string squeezed;
  for (size_t i = 0; i < line.size();) {
    size_t end = i;
    while (end < line.size() && is_blank(line[end])) ++end;
    if (end - i > 16) {
      squeezed += ' ';
      i = end;
    } else if (end > i) {
      squeezed.append(line.substr(i, end - i));
      i = end;
    } else {
      squeezed += line[i++];
    }
  }
  std::string_view rest = squeezed;
  while (used + rest.size() > kHardLimit) {
    // The break goes before white space that has text on both sides; the last such place below the soft limit, else the
    // first above it.
    size_t best = 0;
    bool text_before = false;
    const size_t end = std::min(rest.size(), kHardLimit > used ? kHardLimit - used : 0);
    for (size_t i = 0; i < end; ++i) {
      if (!is_blank(rest[i])) {
        text_before = true;
        continue;
      }
      size_t text = i;
      while (text < rest.size() && is_blank(rest[text])) ++text;
      if (text == rest.size()) break;
      if (text_before) {
        if (best != 0 && used + i > kSoftLimit) break;
        best = i;
        if (used + i > kSoftLimit) break;
      }
      i = text - 1;
    }
    if (best != 0) {
      out.append(rest.substr(0, best));
      out += '\n';
      rest.remove_prefix(best);
    } else {
      const size_t cut = end > 8 ? cut_at(rest, end) : end;
      out.append(rest.substr(0, cut));
      rest.remove_prefix(cut);
      const size_t text = rest.find_first_not_of(" \t");
      if (text == std::string_view::npos) return;
      rest.remove_prefix(text);
      out += "\n ";
      used = 1;
      continue;
    }
    used = 0;
  }
  out.append(rest);
}

}  // namespace

std::string write_fields(std::span<const HeaderField> fields) {
  std::string out;
  for (const HeaderField& field : fields) {
    out += field.name;
    out += ':';
    for (size_t i = 0; i < field.value.size(); ++i) {
      if (field.value[i] == '\n' && (i == 0 || field.value[i - 1] != '\r')) out += '\r';
      out += field.value[i];
    }
    out += "\r\n";
  }
  return out;
}

bool is_field_name(std::string_view name) {
  if (name.empty() || name.size() > kLongestName) return false;
  return std::ranges::all_of(name, [](char c) { return c > ' ' && c < 127 && c != ':'; });
}

std::string unfold(std::string_view value) {
  value = base::trim(value);
  std::string out;
  out.reserve(value.size());
  size_t i = 0;
  // Each search goes on from the last place found, so that many folds do not make it quadratic.
  size_t lf = value.find('\n');
  size_t cr = value.find('\r');
  while (i < value.size()) {
    if (lf < i) lf = value.find('\n', i);
    if (cr < i) cr = value.find('\r', i);
    const size_t text = std::min({lf, cr, value.size()});
    out.append(value.substr(i, text - i));
    i = text;
    if (i == value.size()) break;
    while (i < value.size() && is_line_end(value[i])) ++i;
    // A line end that is no fold must still not join two words.
    if (i < value.size() && !is_blank(value[i])) out += ' ';
  }
  return out;
}

std::string fold_value(std::string_view name, std::string_view value) {
  if (fits(name, value)) return std::string(value);
  const std::string cleaned = clean(value);
  std::string out;
  out.reserve(cleaned.size() + cleaned.size() / 64);
  size_t used = name.size() + 2;
  size_t begin = 0;
  while (true) {
    const size_t end = std::min(cleaned.find('\n', begin), cleaned.size());
    const std::string_view line = std::string_view(cleaned).substr(begin, end - begin);
    if (used + line.size() > kHardLimit) {
      break_line(line, used, out);
    } else {
      out.append(line);
    }
    if (end == cleaned.size()) break;
    out += '\n';
    begin = end + 1;
    used = 0;
  }
  return out;
}

void HeaderList::add_received(std::string_view name, std::string_view value) {
  if (fields_.empty()) fields_.reserve(kUsualFields);
  HeaderField field{std::string(name), std::string(value), static_cast<int32_t>(received().size()), false};
  bytes_ += sent_size(field);
  if (edited_) received_.push_back(field);
  fields_.push_back(std::move(field));
}

size_t HeaderList::find(std::string_view name, size_t from) const {
  for (size_t i = from; i < fields_.size(); ++i) {
    if (fields_[i].name.size() == name.size() && base::iequals(fields_[i].name, name)) return i;
  }
  return npos;
}

size_t HeaderList::count(std::string_view name) const {
  size_t n = 0;
  for (size_t i = find(name); i != npos; i = find(name, i + 1)) ++n;
  return n;
}

bool HeaderList::append(std::string_view name, std::string_view value) {
  if (!is_field_name(name)) return false;
  note_edit();
  fields_.push_back({std::string(name), " " + fold_value(name, value), -1, false});
  bytes_ += sent_size(fields_.back());
  return true;
}

bool HeaderList::insert_top(std::string_view name, std::string_view value) {
  if (!is_field_name(name)) return false;
  note_edit();
  fields_.insert(fields_.begin(), {std::string(name), " " + fold_value(name, value), -1, false});
  bytes_ += sent_size(fields_.front());
  return true;
}

void HeaderList::change(size_t index, std::string_view value) {
  if (index >= fields_.size()) return;
  note_edit();
  HeaderField& field = fields_[index];
  bytes_ -= sent_size(field);
  field.value = " " + fold_value(field.name, value);
  bytes_ += sent_size(field);
  field.changed = field.received >= 0 && received_[static_cast<size_t>(field.received)].value != field.value;
}

void HeaderList::remove(size_t index) {
  if (index >= fields_.size()) return;
  note_edit();
  bytes_ -= sent_size(fields_[index]);
  fields_.erase(fields_.begin() + static_cast<ptrdiff_t>(index));
}

size_t HeaderList::remove_received(std::string_view name) {
  const auto goes = [&](const HeaderField& field) { return field.received >= 0 && base::iequals(field.name, name); };
  if (std::ranges::none_of(fields_, goes)) return 0;
  note_edit();
  for (const HeaderField& field : fields_) {
    if (goes(field)) bytes_ -= sent_size(field);
  }
  return std::erase_if(fields_, goes);
}

const std::vector<HeaderField>& HeaderList::received() const { return edited_ ? received_ : fields_; }

void HeaderList::note_edit() {
  if (!edited_) {
    received_ = fields_;
    edited_ = true;
  }
  ++generation_;
}

}  // namespace postern::mime
