// SPDX-License-Identifier: Apache-2.0
// What a page will cost poppler, counted before it sees the page.
#include "engine/scan/worker/pdf_cost.h"

#include <algorithm>
#include <array>
#include <qpdf/Pipeline.hh>
#include <set>
#include <stdexcept>
#include <string>

#include "engine/scan/worker/pdf_replacement.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

// A page of a book has some thousand operators, a map some hundred thousand. Poppler does about a million a second.
constexpr uint64_t kMostOperators = 1'500'000;
constexpr uint64_t kMostCharacters = 250'000;  // poppler keeps about 150 bytes of each
constexpr uint64_t kRatioFrom = 8u << 20;      // bytes of content that are drawn whatever they came out of
constexpr uint64_t kMostRatio = 100;           // deflated content is a tenth, seldom a thirtieth
constexpr uint64_t kMostContent = 64u << 20;
constexpr uint64_t kMostFont = 16u << 20;
constexpr uint64_t kMostMap = 4u << 20;       // bytes of a character map
constexpr uint64_t kMostMapped = 8'000'000;   // characters that its ranges unfold to
constexpr uint64_t kMostPixels = 64'000'000;  // of an image in content, of which each byte is read
constexpr unsigned kDeepest = 24;
constexpr size_t kMostNames = 20000;      // of different forms in one content
constexpr uint64_t kMostDrawn = 200'000;  // forms drawn, those in forms counted again each time

struct Stop : std::runtime_error {
  Stop() : std::runtime_error("enough") {}
};

constexpr size_t kMostReplacing = 100'000;
constexpr uint64_t kMostRewritten = 16u << 20;
constexpr uint64_t kMostRewrittenInAll = 64u << 20;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\0'; }

}  // namespace

// Content is what one content stream asks for.
struct PdfCosts::Content {
  Reason reason = Reason::none;
  uint64_t bytes = 0;
  uint64_t operators = 0;
  uint64_t characters = 0;
  std::map<std::string, uint64_t> forms;   // names that Do draws, how often
  std::map<std::string, uint64_t> states;  // names that gs sets: a soft mask draws a form
  bool replaced = false;
  bool cut = false;      // its last name may go on in the next stream, as that of a replacement
  bool drawing = false;  // being counted: a form in itself
  bool totalled = false;
  PdfPageCost total;  // with the forms in it
};

namespace {

// Counter reads content as it flows by.
class Counter : public Pipeline {
 public:
  Counter(uint64_t raw, Budget& budget) : Pipeline("count", nullptr), raw_(raw), budget_(budget) {}

  Reason reason = Reason::none;
  uint64_t bytes = 0;
  uint64_t operators = 0;
  uint64_t characters = 0;
  std::map<std::string, uint64_t> forms;
  std::map<std::string, uint64_t> states;
  bool replaced = false;

  // cut: what it ends in may go on in another stream as the name of a replacement.
  bool cut() const { return in_name_ && is_replacement(any_name_, true); }

  void write(unsigned char const* data, size_t size) override {
    bytes += size;
    if (bytes > kMostContent) stop(Reason::size);
    if (bytes > kRatioFrom && bytes / kMostRatio > raw_) stop(Reason::ratio);
    // Some filters give a byte at a time.
    if ((++calls_ & 1023) == 0 && budget_.expired()) stop(Reason::time);
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const char c : text) put(c);
    look_for_names(text);
    if (operators > kMostOperators) stop(Reason::time);
    if (characters > kMostCharacters * 4) stop(Reason::size);
  }
  void finish() override {
    end_word();
    replaced = replaced || (in_name_ && is_replacement(any_name_));
  }

 private:
  // Names in strings and images count: another reader may be in step where this one is not.
  void look_for_names(std::string_view text) {
    constexpr size_t kLongest = 64;
    while (!text.empty() && !replaced) {
      if (!in_name_) {
        const size_t at = text.find('/');
        if (at == std::string_view::npos) return;
        text.remove_prefix(at + 1);
        any_name_.assign(1, '/');
        in_name_ = true;
      }
      const size_t end = text.find_first_of(kNameEnds);
      any_name_ += text.substr(0, std::min(end, kLongest - std::min(kLongest, any_name_.size())));
      if (end == std::string_view::npos) return;
      replaced = is_replacement(any_name_);
      in_name_ = false;
      text.remove_prefix(end);
    }
  }

  enum class State { plain, string, escape, hex, comment, image, image_e, image_i };

  [[noreturn]] void stop(Reason why) {
    reason = why;
    throw Stop();
  }

  void put(char c) {
    switch (state_) {
      case State::plain:
        plain(c);
        return;
      case State::string:
        if (c == '\\') {
          state_ = State::escape;
        } else if (c == '(') {
          ++open_;
        } else if (c == ')' && --open_ == 0) {
          state_ = State::plain;
          return;
        }
        ++characters;
        return;
      case State::escape:
        state_ = State::string;
        return;
      case State::hex:
        // A second one at once begins a dictionary.
        if (c == '>' || (c == '<' && before_ == '<')) {
          state_ = State::plain;
        } else {
          half_ = !half_;
          if (half_) ++characters;
        }
        before_ = 0;
        return;
      case State::comment:
        if (c == '\r' || c == '\n') state_ = State::plain;
        return;
      // White space, "EI", white space end the data of an image.
      case State::image:
        if (c == 'E' && is_space(before_)) state_ = State::image_e;
        before_ = c;
        return;
      case State::image_e:
        state_ = c == 'I' ? State::image_i : State::image;
        before_ = c;
        return;
      case State::image_i:
        state_ = is_space(c) ? State::plain : State::image;
        before_ = c;
        return;
    }
  }

  void plain(char c) {
    switch (c) {
      case '(':
        end_word();
        state_ = State::string;
        open_ = 1;
        return;
      case '<':
        end_word();
        state_ = State::hex;
        half_ = false;
        before_ = c;
        return;
      case '%':
        end_word();
        state_ = State::comment;
        return;
      case '/':
        end_word();
        word_.assign(1, c);
        return;
      case ')':
      case '>':
      case '[':
      case ']':
      case '{':
      case '}':
        end_word();
        return;
      default:
        if (is_space(c)) {
          end_word();
        } else if (word_.size() < 128) {
          word_ += c;
        }
    }
  }

  void end_word() {
    if (word_.empty()) return;
    const char c = word_[0];
    if (c == '/') {
      name_ = word_;
    } else if ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.') {
      if (in_image_ && (name_ == "/W" || name_ == "/Width")) width_ = std::strtoull(word_.c_str(), nullptr, 10);
      if (in_image_ && (name_ == "/H" || name_ == "/Height")) height_ = std::strtoull(word_.c_str(), nullptr, 10);
    } else {
      ++operators;
      if (word_ == "Do") note(forms);
      if (word_ == "gs") note(states);
      if (word_ == "BI") {
        in_image_ = true;
        width_ = 0;
        height_ = 0;
      }
      if (word_ == "ID" && in_image_) {
        in_image_ = false;
        state_ = State::image;
        before_ = 0;
        if (height_ != 0 && width_ > kMostPixels / height_) stop(Reason::time);
        pixels_ += width_ * height_;
        if (pixels_ > kMostPixels) stop(Reason::time);
      }
    }
    word_.clear();
  }

  void note(std::map<std::string, uint64_t>& names) {
    if (names.size() < kMostNames || names.contains(name_)) {
      ++names[name_];
    } else {
      stop(Reason::members);
    }
  }

  uint32_t calls_ = 0;
  uint64_t raw_;
  Budget& budget_;
  State state_ = State::plain;
  unsigned open_ = 0;
  bool half_ = false;
  char before_ = 0;
  std::string word_;
  std::string name_;
  std::string any_name_;
  bool in_name_ = false;
  bool in_image_ = false;
  uint64_t width_ = 0;
  uint64_t height_ = 0;
  uint64_t pixels_ = 0;
};

// Bytes counts what comes out, and what the ranges of a character map unfold to.
class Bytes : public Pipeline {
 public:
  Bytes(uint64_t most, bool map, Budget& budget)
      : Pipeline("bytes", nullptr), most_(most), map_(map), budget_(budget) {}
  Reason reason = Reason::none;

  void write(unsigned char const* data, size_t size) override {
    bytes_ += size;
    if (bytes_ > most_) stop(Reason::size);
    if (budget_.expired()) stop(Reason::time);
    if (!map_) return;
    for (size_t i = 0; i < size; ++i) put(static_cast<char>(data[i]));
  }
  void finish() override {}

 private:
  [[noreturn]] void stop(Reason why) {
    reason = why;
    throw Stop();
  }
  // "<0000> <ffff> …": each second of two neighbours is taken for the end of a range.
  void put(char c) {
    if (c == '<') {
      value_ = 0;
      in_ = true;
    } else if (c == '>' && in_) {
      in_ = false;
      if (value_ >= last_ && value_ - last_ <= 0xFFFF) unfolded_ += value_ - last_;
      last_ = value_;
      if (unfolded_ > kMostMapped) stop(Reason::time);
    } else if (in_) {
      const char low = static_cast<char>(c | 0x20);
      const unsigned digit = c >= '0' && c <= '9'       ? static_cast<unsigned>(c - '0')
                             : low >= 'a' && low <= 'f' ? static_cast<unsigned>(low - 'a' + 10)
                                                        : 0;
      value_ = (value_ << 4 | digit) & 0xFFFFFFFF;
    }
  }
  uint64_t most_;
  bool map_;
  Budget& budget_;
  uint64_t bytes_ = 0;
  uint64_t value_ = 0;
  uint64_t last_ = 0;
  uint64_t unfolded_ = 0;
  bool in_ = false;
};

// Filters of images have no place in content: what they decode to nobody bounds.
bool has_image_filter(QPDFObjectHandle stream) {
  constexpr std::array<std::string_view, 5> kImage = {"/DCTDecode", "/DCT", "/JBIG2Decode", "/JPXDecode",
                                                      "/CCITTFaxDecode"};
  const auto is_image = [&](QPDFObjectHandle filter) {
    return filter.isName() && std::ranges::find(kImage, filter.getName()) != kImage.end();
  };
  QPDFObjectHandle filter = stream.getDict().getKey("/Filter");
  if (!filter.isArray()) return is_image(filter);
  for (int i = 0; i < std::min(filter.getArrayNItems(), 32); ++i) {
    if (is_image(filter.getArrayItem(i))) return true;
  }
  return false;
}

uint64_t raw_size(QPDFObjectHandle stream) {
  QPDFObjectHandle length = stream.getDict().getKey("/Length");
  return length.isInteger() && length.getIntValue() > 0 ? static_cast<uint64_t>(length.getIntValue()) : 0;
}

// Each filter of a chain multiplies.
constexpr int kMostFilters = 4;
bool too_many_filters(QPDFObjectHandle stream) {
  QPDFObjectHandle filter = stream.getDict().getKey("/Filter");
  return filter.isArray() && filter.getArrayNItems() > kMostFilters;
}

// flow decodes `stream` into `sink`. false: it cannot be decoded whole.
bool flow(QPDFObjectHandle stream, Pipeline& sink) {
  return stream.pipeStreamData(&sink, nullptr, 0, qpdf_dl_specialized, true, false);
}

}  // namespace

PdfCosts::PdfCosts(Budget& budget) : budget_(budget) {}
PdfCosts::~PdfCosts() = default;

const PdfCosts::Content& PdfCosts::content(const QPDFObjectHandle& stream) {
  std::unique_ptr<Content>& slot = stream.getObjGen().isIndirect() ? contents_[stream.getObjGen()] : scratch_;
  if (slot != nullptr && stream.getObjGen().isIndirect()) return *slot;
  slot = std::make_unique<Content>();
  if (has_image_filter(stream) || too_many_filters(stream)) {
    slot->reason = Reason::unsupported;
    return *slot;
  }
  Counter counter(raw_size(stream), budget_);
  // What cannot be decoded is as much as poppler will see of it.
  flow(stream, counter);
  slot->reason = counter.reason;
  slot->bytes = counter.bytes;
  slot->operators = counter.operators;
  slot->characters = counter.characters;
  slot->forms = std::move(counter.forms);
  slot->states = std::move(counter.states);
  slot->replaced = counter.replaced;
  slot->cut = counter.cut();
  // What is rewritten is in memory as a whole.
  if (slot->replaced && slot->reason == Reason::none) {
    rewritten_ += slot->bytes;
    if (slot->bytes > kMostRewritten || rewritten_ > kMostRewrittenInAll) slot->reason = Reason::size;
    if (slot->reason == Reason::none) replacing_.push_back(stream);
  }
  operators_ += slot->operators;
  return *slot;
}

Reason PdfCosts::draw(const Content& what, QPDFObjectHandle resources, PdfPageCost& total, unsigned depth) {
  if (what.reason != Reason::none) return what.reason;
  if (depth > kDeepest) return Reason::depth;
  total.operators += what.operators;
  total.characters += what.characters;
  total.replaced = what.replaced || total.replaced;
  if (const Reason reason = properties(resources, total.replaced); reason != Reason::none) return reason;
  if (const Reason reason = fonts(resources); reason != Reason::none) return reason;
  // A form's own cost is counted once and multiplied.
  const auto draw_form = [&](QPDFObjectHandle form, uint64_t times) -> Reason {
    if (!form.isStream()) return Reason::none;
    Content& inner = const_cast<Content&>(content(form));
    if (inner.drawing) return Reason::none;  // readers stop there, too
    if (!inner.totalled) {
      inner.drawing = true;
      QPDFObjectHandle own = form.getDict().getKey("/Resources");
      inner.total.reason = draw(inner, own.isDictionary() ? own : resources, inner.total, depth + 1);
      inner.drawing = false;
      inner.totalled = true;
    }
    if (inner.total.reason != Reason::none) return inner.total.reason;
    total.replaced = total.replaced || inner.total.replaced;
    const uint64_t most = UINT32_MAX;
    total.operators =
        std::min(most, total.operators + std::min(most, inner.total.operators + 20) * std::min(times, most));
    total.characters =
        std::min(most, total.characters + std::min(most, inner.total.characters) * std::min(times, most));
    if (total.operators > kMostOperators) return Reason::time;
    if (total.characters > kMostCharacters) return Reason::size;
    return Reason::none;
  };
  if (resources.isDictionary()) {
    QPDFObjectHandle forms = resources.getKey("/XObject");
    for (const auto& [name, times] : what.forms) {
      if (!forms.isDictionary() || !forms.hasKey(name)) continue;
      QPDFObjectHandle form = forms.getKey(name);
      if (!form.isStream() || !form.getDict().getKey("/Subtype").isNameAndEquals("/Form")) continue;
      if (const Reason reason = draw_form(form, times); reason != Reason::none) return reason;
    }
    QPDFObjectHandle states = resources.getKey("/ExtGState");
    for (const auto& [name, times] : what.states) {
      if (!states.isDictionary() || !states.getKey(name).isDictionary()) continue;
      QPDFObjectHandle mask = states.getKey(name).getKey("/SMask");
      if (!mask.isDictionary()) continue;
      if (const Reason reason = draw_form(mask.getKey("/G"), times); reason != Reason::none) return reason;
    }
  }
  return Reason::none;
}

Reason PdfCosts::stream_size(QPDFObjectHandle stream, uint64_t most) {
  if (!stream.isStream()) return Reason::none;
  if (has_image_filter(stream) || too_many_filters(stream)) return Reason::unsupported;
  Bytes bytes(most, false, budget_);
  flow(stream, bytes);
  return bytes.reason;
}

Reason PdfCosts::map_size(QPDFObjectHandle stream) {
  if (!stream.isStream()) return Reason::none;
  if (has_image_filter(stream) || too_many_filters(stream)) return Reason::unsupported;
  Bytes bytes(kMostMap, true, budget_);
  flow(stream, bytes);
  return bytes.reason;
}

Reason PdfCosts::font(QPDFObjectHandle font) {
  if (!font.isDictionary()) return Reason::none;
  if (const Reason reason = map_size(font.getKey("/ToUnicode")); reason != Reason::none) return reason;
  if (const Reason reason = map_size(font.getKey("/Encoding")); reason != Reason::none) return reason;
  std::vector<QPDFObjectHandle> holders{font};
  QPDFObjectHandle inner = font.getKey("/DescendantFonts");
  if (inner.isArray() && inner.getArrayNItems() > 0) holders.push_back(inner.getArrayItem(0));
  for (QPDFObjectHandle& holder : holders) {
    if (!holder.isDictionary()) continue;
    QPDFObjectHandle descriptor = holder.getKey("/FontDescriptor");
    if (!descriptor.isDictionary()) continue;
    for (const char* key : {"/FontFile", "/FontFile2", "/FontFile3"}) {
      if (const Reason reason = stream_size(descriptor.getKey(key), kMostFont); reason != Reason::none) return reason;
    }
  }
  return Reason::none;
}

Reason PdfCosts::fonts(QPDFObjectHandle resources) {
  if (!resources.isDictionary()) return Reason::none;
  QPDFObjectHandle all = resources.getKey("/Font");
  if (!all.isDictionary()) return Reason::none;
  for (const std::string& key : all.getKeys()) {
    QPDFObjectHandle each = all.getKey(key);
    const QPDFObjGen id = each.getObjGen();
    Reason reason = Reason::none;
    if (const auto known = fonts_.find(id); id.isIndirect() && known != fonts_.end()) {
      reason = known->second;
    } else {
      reason = font(each);
      if (id.isIndirect()) fonts_[id] = reason;
    }
    if (reason != Reason::none) return reason;
  }
  return Reason::none;
}

// properties looks for replacements in what marks of content name; `found` becomes true where there are some.
Reason PdfCosts::properties(QPDFObjectHandle resources, bool& found) {
  if (!resources.isDictionary()) return Reason::none;
  QPDFObjectHandle all = resources.getKey("/Properties");
  if (!all.isDictionary()) return Reason::none;
  for (const std::string& key : all.getKeys()) {
    QPDFObjectHandle each = all.getKey(key);
    if (!each.isDictionary() || !each.hasKey(kReplacement)) continue;
    found = true;
    const QPDFObjGen id = each.getObjGen();
    if (id.isIndirect() && !known_replacing_.insert(id).second) continue;
    if (replacing_.size() >= kMostReplacing) return Reason::members;
    replacing_.push_back(each);
  }
  return Reason::none;
}

PdfPageCost PdfCosts::page(QPDFObjectHandle page) {
  PdfPageCost cost;
  QPDFObjectHandle resources;
  std::set<QPDFObjGen> seen;
  for (QPDFObjectHandle node = page; node.isDictionary() && seen.insert(node.getObjGen()).second && seen.size() < 256;
       node = node.getKey("/Parent")) {
    if (!node.getKey("/Resources").isDictionary()) continue;
    resources = node.getKey("/Resources");
    break;
  }
  if (!resources.isInitialized()) resources = QPDFObjectHandle::newDictionary();
  const auto add = [&](QPDFObjectHandle stream, QPDFObjectHandle from) {
    if (!stream.isStream() || cost.reason != Reason::none) return;
    if (++drawn_ > kMostDrawn) {
      cost.reason = Reason::members;
      return;
    }
    const Content& what = content(stream);
    cost.reason = draw(what, from, cost, 0);
    if (cost.reason == Reason::none && cost.operators > kMostOperators) cost.reason = Reason::time;
    if (cost.reason == Reason::none && cost.characters > kMostCharacters) cost.reason = Reason::size;
  };
  QPDFObjectHandle contents = page.getKey("/Contents");
  if (contents.isArray()) {
    bool cut = false;
    for (int i = 0; i < contents.getArrayNItems(); ++i) {
      if (cut && cost.reason == Reason::none) cost.reason = Reason::corrupt;
      QPDFObjectHandle each = contents.getArrayItem(i);
      add(each, resources);
      cut = each.isStream() && cost.reason == Reason::none && content(each).cut;
    }
  } else {
    add(contents, resources);
  }
  QPDFObjectHandle annotations = page.getKey("/Annots");
  if (!annotations.isArray()) return cost;
  for (int i = 0; i < annotations.getArrayNItems() && cost.reason == Reason::none; ++i) {
    QPDFObjectHandle each = annotations.getArrayItem(i);
    if (!each.isDictionary() || !each.getKey("/AP").isDictionary()) continue;
    QPDFObjectHandle normal = each.getKey("/AP").getKey("/N");
    const auto add_form = [&](QPDFObjectHandle form) {
      if (!form.isStream()) return;
      QPDFObjectHandle own = form.getDict().getKey("/Resources");
      add(form, own.isDictionary() ? own : resources);
    };
    if (normal.isStream()) {
      add_form(normal);
    } else if (normal.isDictionary()) {
      for (const std::string& state : normal.getKeys()) add_form(normal.getKey(state));
    }
  }
  return cost;
}

}  // namespace postern::scan::worker
