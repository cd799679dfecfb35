// SPDX-License-Identifier: Apache-2.0
// The stack of open elements and the list of formatting elements. The functions follow the standard's sections: "in
// body", the table modes taken together, foreign content, the adoption agency algorithm. What they leave out (frames,
// select, templates' own modes, quirks) is doubt, not a guess.
#include "rules/html_nesting.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/mime/html_elements.h"
#include "engine/mime/html_tag.h"

namespace postern::rules {
namespace {

using namespace mime::html;
using mime::attributes_begin;
using mime::HtmlAttribute;
using mime::is_end_tag;
using mime::is_one_of;
using mime::next_attribute;
using mime::tag_name;

constexpr size_t kNone = SIZE_MAX;
constexpr size_t kMostOpen = 512;    // as browsers have it
constexpr size_t kMostFormats = 32;  // that go on from one element into the next
constexpr uint64_t kWorkPerByte = 16;

bool is_cell(uint8_t id) { return id == kTd || id == kTh; }
bool is_rows(uint8_t id) { return id == kTbody || id == kTfoot || id == kThead; }
// Whether text does not go into that element but in front of its table.
bool is_frame_of_table(uint8_t id) { return id == kTable || id == kTr || is_rows(id); }

// Tags that end SVG and MathML.
bool breaks_out(std::string_view name, std::string_view source) {
  constexpr std::array<std::string_view, 44> kNames = {
      "b",     "big",   "blockquote", "body",   "br",   "center", "code",  "dd", "div",  "dl",   "dt",
      "em",    "embed", "h1",         "h2",     "h3",   "h4",     "h5",    "h6", "head", "hr",   "i",
      "img",   "li",    "listing",    "menu",   "meta", "nobr",   "ol",    "p",  "pre",  "ruby", "s",
      "small", "span",  "strong",     "strike", "sub",  "sup",    "table", "tt", "u",    "ul",   "var"};
  if (is_one_of(name, kNames)) return true;
  if (!base::iequals(name, "font")) return false;
  size_t at = attributes_begin(source);
  HtmlAttribute each;
  constexpr std::array<std::string_view, 3> kOfFont = {"color", "face", "size"};
  while (next_attribute(source, at, each)) {
    if (is_one_of(each.name, kOfFont)) return true;
  }
  return false;
}

constexpr std::array<std::string_view, 9> kTextPlaces = {
    "foreignobject", "desc", "title", "mi", "mo", "mn", "ms", "mtext", "annotation-xml"};
// What SVG holds and does not show.
constexpr std::array<std::string_view, 8> kNotDrawn = {"title",  "desc",  "metadata", "defs",
                                                       "symbol", "style", "script",   "clippath"};

}  // namespace

HtmlNesting::HtmlNesting(size_t document_size)
    : count_(kRows.size()), work_(document_size * kWorkPerByte + (uint64_t{1} << 20)) {
  open_.push_back({.id = kBody, .name = "body"});
  ++count_[kBody];
}

// spend tells whether there is work left; else all that follows is taken to be shown, in doubt.
bool HtmlNesting::spend(size_t steps) {
  if (gave_up_) return false;
  if (steps <= work_) {
    work_ -= steps;
    return true;
  }
  gave_up_ = doubt_ = true;
  return false;
}

HtmlShows HtmlNesting::tag(std::string_view source) {
  if (gave_up_) return {};
  if (!is_end_tag(source)) {
    start(source);
    return here();
  }
  ended_.reset();
  end(source);
  return ended_.value_or(here());
}

void HtmlNesting::text() {
  if (gave_up_ || (foreign() && !open_.back().text_place)) return;
  if (open_.back().id == kColgroup) cut(open_.size() - 1);
  if (!has(open_.back().id, raw)) reopen_formats();
}

HtmlShows HtmlNesting::here() const { return gave_up_ ? HtmlShows{} : shows_at(open_.size() - 1, false); }

// shows_at returns what hides content put at the end of element `parent`; `row`: a part of a table.
HtmlShows HtmlNesting::shows_at(size_t parent, bool row) const {
  if (row || !is_frame_of_table(open_[parent].id)) return open_[parent].shows;
  while (parent > 0 && open_[parent].id != kTable) --parent;
  return open_[parent > 0 ? parent - 1 : 0].shows;
}

bool HtmlNesting::push(Element element) {
  if (element.own.any()) hides_ = true;
  if (element.own.gone_for_some) hides_for_some_ = true;
  if (open_.size() >= kMostOpen) {
    doubt_ = true;
    return false;
  }
  const Element& parent = open_.back();
  element.takes_rows = is_frame_of_table(element.id) ||
                       (parent.takes_rows && !is_cell(element.id) && element.id != kCaption && element.id != kTemplate);
  if (element.serial == 0) element.serial = ++serial_;
  ++count_[element.id];
  open_.push_back(element);
  update(open_.size() - 1);
  return true;
}

void HtmlNesting::update(size_t from) {
  for (size_t i = from; i < open_.size(); ++i) {
    Element& each = open_[i];
    const HtmlShows parent = shows_at(i - 1, has(each.id, table_part));
    each.shows.gone = parent.gone || each.own.gone;
    each.shows.gone_for_some = parent.gone_for_some || each.own.gone_for_some;
    each.shows.invisible = each.own.invisible.value_or(parent.invisible);
    each.shows.tiny = each.own.tiny.value_or(parent.tiny);
  }
}

void HtmlNesting::push_marked(const Element& element) {
  if (push(element)) formats_.push_back({.id = 0, .marker = true});
}

void HtmlNesting::push_format(const Element& element, std::string_view source) {
  if (!push(element) || !spend(formats_.size())) return;
  // Three of the same are kept.
  size_t same = 0;
  size_t first = kNone;
  size_t alike = 0;
  for (size_t i = formats_.size(); i-- > 0 && !formats_[i].marker;) {
    if (formats_[i].id != element.id) continue;
    ++alike;
    if (formats_[i].source != source) continue;
    ++same;
    first = i;
  }
  if (same >= 3) formats_.erase(formats_.begin() + static_cast<std::ptrdiff_t>(first));
  if (same < 3 && alike >= 3 && element.own.any()) doubt_ = true;  // attributes may be the same in another order
  if (formats_.size() >= kMostFormats) {
    doubt_ = true;
    const auto victim = std::ranges::find_if(formats_, [](const Format& each) { return !each.marker; });
    if (victim != formats_.end()) formats_.erase(victim);
  }
  formats_.push_back({element.id, false, serial_, source, element.name, element.own});
}

// cut leaves `size` elements open.
void HtmlNesting::cut(size_t size) {
  if (!spend(open_.size() - size)) return;
  for (size_t i = size; i < open_.size(); ++i) --count_[open_[i].id];
  open_.resize(size);
}

// close_marked ends element `index`; formats begun in it do not go on.
void HtmlNesting::close_marked(size_t index) {
  if (index == kNone) return;
  close(index);
  clear_to_marker();
}

// close ends element `index` and what is open inside it.
void HtmlNesting::close(size_t index) {
  if (index == kNone) return;
  ended_ = open_[index].shows;
  cut(index);
}

void HtmlNesting::clear_to_marker() {
  while (!formats_.empty()) {
    const bool marker = formats_.back().marker;
    formats_.pop_back();
    if (marker) return;
  }
}

void HtmlNesting::close_implied(uint8_t but) {
  while (has(open_.back().id, implied) && open_.back().id != but && !open_.back().foreign) cut(open_.size() - 1);
}

void HtmlNesting::reopen_formats() {
  size_t from = formats_.size();
  while (from > 0 && !formats_[from - 1].marker && index_of(formats_[from - 1].serial) == kNone) --from;
  for (; from < formats_.size() && !gave_up_; ++from) {
    Format& format = formats_[from];
    if (!spend(1) || open_.size() >= kMostOpen) {
      doubt_ = true;
      return;
    }
    push({.id = format.id, .name = format.name, .own = format.own});
    format.serial = serial_;
  }
}

// in_scope returns the innermost `id` that an end tag reaches, or kNone; it does not reach out of the two others.
size_t HtmlNesting::in_scope(uint8_t id, uint8_t other_end, uint8_t another_end) {
  if (count_[id] == 0) return kNone;
  for (size_t i = open_.size(); i-- > 0;) {
    const Element& each = open_[i];
    if (!spend(1)) return kNone;
    if (each.id == id && !each.foreign) return i;
    if (each.foreign ? each.text_place : has(each.id, scope)) return kNone;
    if (!each.foreign && each.id != 0 && (each.id == other_end || each.id == another_end)) return kNone;
  }
  return kNone;
}

// in_table_scope returns the innermost of the elements that is open in the innermost table or is it, or kNone.
size_t HtmlNesting::in_table_scope(uint8_t id, uint8_t other, uint8_t another) {
  if (count_[kTable] == 0) return kNone;
  for (size_t i = open_.size(); i-- > 0;) {
    const Element& each = open_[i];
    if (!spend(1)) return kNone;
    if (each.foreign) continue;
    if (each.id != 0 && (each.id == id || each.id == other || each.id == another)) return i;
    if (each.id == kTable || each.id == kTemplate) return kNone;
  }
  return kNone;
}

size_t HtmlNesting::index_of(uint32_t serial) {
  for (size_t i = open_.size(); i-- > 0;) {
    if (!spend(1)) return kNone;
    if (open_[i].serial == serial) return i;
  }
  return kNone;
}

// format_of returns the last format `id` behind the last marker.
size_t HtmlNesting::format_of(uint8_t id) {
  for (size_t i = formats_.size(); i-- > 0 && !formats_[i].marker;) {
    if (formats_[i].id == id) return i;
  }
  return kNone;
}

void HtmlNesting::start(std::string_view source) {
  bool closes_itself = false;
  Element element{.name = tag_name(source), .own = hiding_of(source, closes_itself)};
  element.id = id_of_tag(element.name);
  while (foreign() && breaks_out(element.name, source) && !open_.back().text_place) cut(open_.size() - 1);
  if (gave_up_) return;
  const bool annotation = foreign() && base::iequals(open_.back().name, "annotation-xml");
  if (annotation) doubt_ = true;  // holds HTML or MathML, by an attribute
  if (foreign() && !open_.back().text_place) {
    element.foreign = true;
    element.id = 0;
    element.text_place = is_one_of(element.name, kTextPlaces);
    if (is_one_of(element.name, kNotDrawn)) element.own.gone_for_some = true;
    if (!closes_itself) push(element);
    return;
  }
  const uint8_t id = element.id;
  if (open_.back().id == kColgroup && id != kCol && id != kTemplate) cut(open_.size() - 1);
  if (has(id, outside)) {
    // The attributes go to the one element there is, which readers of mail take away or keep.
    if (element.own.any()) doubt_ = hides_ = true;
    return;
  }
  if (has(id, table_part)) return start_in_table(id, element);
  if (count_[kSelect] > 0 && id != kOption && id != kOptgroup && id != kHr) doubt_ = true;
  if (id == kTable) {
    if (open_.back().takes_rows) close(in_table_scope(kTable));
    const size_t paragraph = in_scope(kP, kButton);
    if (paragraph != kNone) {
      // A page in quirks mode leaves the paragraph open.
      if (open_[paragraph].own.any()) doubt_ = true;
      close(paragraph);
    }
    if (!element.own.tiny) element.own.tiny = false;  // as in quirks mode
    push(element);
    return;
  }
  if (id == kForm) {
    if (form_ != 0) return;
    form_ = ++serial_;
    element.serial = form_;
    if (open_.back().takes_rows) return;  // it is left empty
  }
  if (id == kLi) close_items(kLi, kLi);
  if (id == kDd || id == kDt) close_items(kDd, kDt);
  if (has(id, ends_p) || id == kLi || id == kDd || id == kDt) close(in_scope(kP, kButton));
  if (has(id, heading) && has(open_.back().id, heading)) cut(open_.size() - 1);
  if (id == kButton) close(in_scope(kButton));
  if (id == kA && format_of(kA) != kNone) {
    if (!spend(formats_.size())) return;
    const uint32_t serial = formats_[format_of(kA)].serial;
    end_format(kA, element.name);
    std::erase_if(formats_, [&](const Format& each) { return !each.marker && each.serial == serial; });
    if (index_of(serial) != kNone) {
      doubt_ = true;
      cut(index_of(serial));
    }
  }
  if (id == kOption && open_.back().id == kOption) cut(open_.size() - 1);
  if (id == kOptgroup) {
    if (open_.back().id == kOption) cut(open_.size() - 1);
    if (open_.back().id == kOptgroup && count_[kSelect] > 0) cut(open_.size() - 1);
  }
  if (count_[kRuby] > 0 && (id == kRb || id == kRtc)) close_implied(0);
  if (count_[kRuby] > 0 && (id == kRp || id == kRt)) close_implied(kRtc);
  if (gave_up_) return;
  // What stands in line opens again what was formatted round it.
  const bool alone = has(id, ends_p | raw) || id == kTemplate || id == kLi || id == kDd || id == kDt || id == kRb ||
                     id == kRt || id == kRp || id == kRtc;
  if (!alone || id == kXmp || id == kPlaintext) reopen_formats();
  if (id == kNobr && in_scope(kNobr) != kNone) {
    end_format(kNobr, element.name);
    reopen_formats();
  }
  if (gave_up_ || has(id, empty)) return;
  if (id == kMath || id == kSvg) {
    element.id = 0;
    element.foreign = true;
    if (!closes_itself) push(element);
  } else if (has(id, formats)) {
    push_format(element, source);
  } else if (has(id, marks)) {
    push_marked(element);
  } else {
    push(element);
  }
}

// A list item ends the one before it, but not across another block.
void HtmlNesting::close_items(uint8_t first, uint8_t second) {
  if (count_[first] + count_[second] == 0) return;
  for (size_t i = open_.size(); i-- > 0;) {
    const uint8_t id = open_[i].id;
    if (!spend(1)) return;
    if (!open_[i].foreign && (id == first || id == second)) return close(i);
    if (has(id, special) && id != kAddress && id != kDiv && id != kP) return;
    if (open_[i].text_place) return;
  }
}

void HtmlNesting::start_in_table(uint8_t id, const Element& element) {
  if (count_[kTemplate] > 0) doubt_ = true;
  if (in_table_scope(kTable) == kNone) return;
  if (!open_.back().takes_rows) close_marked(in_table_scope(kTd, kTh, kCaption));
  if (gave_up_) return;
  // What takes it: of a cell a row, of a row a group of rows, of all else the table; what is missing is made.
  size_t place = in_table_scope(kTable);
  const size_t rows = in_table_scope(kTbody, kTfoot, kThead);
  const bool row = id == kTr || is_cell(id);
  if (row && rows != kNone) place = rows;
  const size_t line = in_table_scope(kTr);
  if (is_cell(id) && line != kNone) place = line;
  if (gave_up_ || place == kNone) return;
  cut(place + 1);
  if (id == kCol) return;
  if (row && open_.back().id == kTable) push({.id = kTbody, .name = "tbody"});
  if (is_cell(id) && open_.back().id != kTr) push({.id = kTr, .name = "tr"});
  if (has(id, marks)) {
    push_marked(element);
  } else {
    push(element);
  }
}

void HtmlNesting::end(std::string_view source) {
  const std::string_view name = tag_name(source);
  uint8_t id = id_of_tag(name);
  if (foreign()) {
    if (id == kBr || id == kP) {
      doubt_ = true;  // older browsers stay inside
      while (foreign() && !open_.back().text_place && !gave_up_) cut(open_.size() - 1);
    } else {
      for (size_t i = open_.size(); i-- > 0 && open_[i].foreign;) {
        if (!spend(1)) return;
        if (base::iequals(open_[i].name, name)) return close(i);
      }
    }
  }
  if (gave_up_ || has(id, outside)) return;
  // Not long ago nothing inside <select> but options was read.
  if (count_[kSelect] > 0 && id != kSelect && id != kOption && id != kOptgroup) doubt_ = true;
  if (id == kTable || has(id, table_part)) return end_in_table(id);
  if (has(id, raw)) {
    if (open_.back().id == id) close(open_.size() - 1);
  } else if (id == kForm) {
    end_form();
  } else if (id == kP) {
    close(in_scope(kP, kButton));
  } else if (id == kLi) {
    close(in_scope(kLi, kOl, kUl));
  } else if (has(id, heading)) {
    size_t innermost = kNone;
    for (uint8_t each = id_of("h1"); each <= id_of("h6"); ++each) {
      const size_t at = in_scope(each);
      if (at != kNone && (innermost == kNone || at > innermost)) innermost = at;
    }
    close(innermost);
  } else if (has(id, formats)) {
    end_format(id, name);
  } else if (id == kTemplate) {
    if (count_[kTemplate] == 0) return;
    size_t at = open_.size() - 1;
    while (at > 0 && open_[at].id != kTemplate) --at;
    close_marked(at == 0 ? kNone : at);
  } else if (has(id, marks)) {
    close_marked(in_scope(id));
  } else if (has(id, own_end) || id == kDd || id == kDt) {
    close(in_scope(id));
  } else if (!has(id, empty)) {
    end_other(id, name);
  }
}

void HtmlNesting::end_in_table(uint8_t id) {
  if (id == kCol) return;
  if (id == kColgroup) {
    if (open_.back().id == kColgroup) cut(open_.size() - 1);
    return;
  }
  if (in_table_scope(id) == kNone) return;
  if (!open_.back().takes_rows) close_marked(in_table_scope(kTd, kTh, kCaption));
  if (!has(id, marks)) close(in_table_scope(id));
}

// </form> ends the form and nothing inside it.
void HtmlNesting::end_form() {
  const size_t at = form_ == 0 ? kNone : index_of(form_);
  form_ = 0;
  if (at == kNone || in_scope(kForm) == kNone) return;
  close_implied(0);
  if (gave_up_ || at >= open_.size()) return;
  // What is open in it stays there, and as hidden as it is.
  const HtmlHiding own = open_[at].own;
  --count_[kForm];
  open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(at));
  if (at == open_.size()) return;
  HtmlHiding& inner = open_[at].own;
  inner.gone = inner.gone || own.gone;
  inner.gone_for_some = inner.gone_for_some || own.gone_for_some;
  if (!inner.invisible) inner.invisible = own.invisible;
  if (!inner.tiny) inner.tiny = own.tiny;
}

void HtmlNesting::end_other(uint8_t id, std::string_view name) {
  if (id != 0 && count_[id] == 0) return;
  for (size_t i = open_.size(); i-- > 1;) {
    const Element& each = open_[i];
    if (!spend(1)) return;
    if (!each.foreign && each.id == id && (id != 0 || base::iequals(each.name, name))) return close(i);
    if (each.foreign ? each.text_place : has(each.id, special)) return;
  }
}

// The adoption agency algorithm.
void HtmlNesting::end_format(uint8_t id, std::string_view name) {
  const auto at = [](auto& list, size_t index) { return list.begin() + static_cast<std::ptrdiff_t>(index); };
  const auto is_format = [&](uint32_t serial) {
    (void)spend(formats_.size());
    return std::ranges::find_if(formats_, [&](const Format& each) { return !each.marker && each.serial == serial; });
  };
  if (!open_.back().foreign && open_.back().id == id && is_format(open_.back().serial) == formats_.end()) {
    return cut(open_.size() - 1);
  }
  for (int round = 0; round < 8; ++round) {
    const size_t format = format_of(id);
    if (format == kNone) return end_other(id, name);
    const uint32_t serial = formats_[format].serial;
    const size_t element = index_of(serial);
    if (gave_up_) return;
    if (element == kNone) {
      formats_.erase(at(formats_, format));
      return;
    }
    size_t block = kNone;
    for (size_t i = open_.size(); i-- > element + 1;) {
      if (!spend(1)) return;
      const bool foreign_block = open_[i].foreign && open_[i].text_place;
      if (foreign_block || (!open_[i].foreign && has(open_[i].id, scope))) return;
      if (!open_[i].foreign && has(open_[i].id, special)) block = i;
    }
    if (block == kNone) {
      formats_.erase(at(formats_, format));
      return close(element);
    }
    // Between the two stay the formats next to the block; the block comes out of the element, which goes into it.
    size_t kept = 0;
    uint32_t last_kept = 0;
    for (size_t i = block; --i > element;) {
      const auto found = is_format(open_[i].serial);
      if (found != formats_.end() && kept < 3) {
        if (kept++ == 0) last_kept = open_[i].serial;
        continue;
      }
      if (found != formats_.end()) formats_.erase(found);
      // The block comes out of this one too, with text that was hidden up to now.
      if (open_[i].own.any()) doubt_ = true;
      --count_[open_[i].id];
      open_.erase(at(open_, i));
      --block;
      if (!spend(open_.size() - i)) return;
    }
    Element again = open_[element];
    again.serial = ++serial_;
    const auto moved = is_format(serial);
    const auto behind = kept > 0 ? is_format(last_kept) : moved;
    moved->serial = again.serial;
    if (moved < behind) std::rotate(moved, moved + 1, behind + 1);
    open_.insert(at(open_, block + 1), again);
    open_.erase(at(open_, element));
    if (!spend(open_.size() - element)) return;
    update(element);
  }
  doubt_ = true;
}

}  // namespace postern::rules
