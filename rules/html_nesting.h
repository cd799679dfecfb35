// SPDX-License-Identifier: Apache-2.0
// Which elements of an HTML document are open, and so whether a text in it is shown: the part of a browser's tree
// construction (WHATWG HTML 13.2.6) that decides where a hidden element ends when tags do not nest. No tree is built.
// Where readers may come to something else, it says so. Work is bounded by the document's size. Internal to the
// evaluator.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "rules/html_hiding.h"

namespace postern::rules {

// HtmlShows is what hides the text at one place.
struct HtmlShows {
  bool gone = false;           // what every reader hides
  bool gone_for_some = false;  // what some readers hide
  bool invisible = false;
  bool tiny = false;
};

class HtmlNesting {
 public:
  explicit HtmlNesting(size_t document_size);

  // tag takes the source of a tag and returns what hides the element that it opens or ends. text is called before each
  // text, which then stands at here().
  HtmlShows tag(std::string_view source);
  void text();
  HtmlShows here() const;
  // foreign tells whether we are directly in SVG or MathML, where markup is read by other rules.
  bool foreign() const { return open_.back().foreign; }

  // unsure tells that something is hidden, and that readers may differ in what.
  bool unsure() const { return doubt_ && hides_; }
  // hides tells that something is hidden; hides_for_some, that some readers hide what others show.
  bool hides() const { return hides_; }
  bool hides_for_some() const { return hides_for_some_; }

 private:
  struct Element {
    uint8_t id = 0;
    bool foreign = false;
    bool text_place = false;  // inside SVG or MathML, but holds HTML
    bool takes_rows = false;  // its content is read as a table's
    uint32_t serial = 0;
    std::string_view name{};
    HtmlHiding own{};
    HtmlShows shows{};
  };
  // Format is an element that goes on behind the end of the one it stands in: <b>, <font>. A marker ends that.
  struct Format {
    uint8_t id = 0;
    bool marker = false;
    uint32_t serial = 0;
    std::string_view source{};
    std::string_view name{};
    HtmlHiding own{};
  };

  void start(std::string_view source);
  void end(std::string_view source);
  void start_in_table(uint8_t id, const Element& element);
  void end_in_table(uint8_t id);
  void end_format(uint8_t id, std::string_view name);
  void end_other(uint8_t id, std::string_view name);
  void end_form();
  void close_items(uint8_t first, uint8_t second);
  bool push(Element element);  // false where too much is open
  void push_marked(const Element& element);
  void push_format(const Element& element, std::string_view source);
  void cut(size_t size);
  void close(size_t index);
  void close_marked(size_t index);
  void close_implied(uint8_t but);
  void update(size_t from);
  void clear_to_marker();
  void reopen_formats();
  size_t in_scope(uint8_t id, uint8_t other_end = 0, uint8_t another_end = 0);
  size_t in_table_scope(uint8_t id, uint8_t other = 0, uint8_t another = 0);
  size_t index_of(uint32_t serial);
  size_t format_of(uint8_t id);
  HtmlShows shows_at(size_t parent, bool row) const;
  bool spend(size_t steps);

  std::vector<Element> open_;
  std::vector<Format> formats_;
  std::optional<HtmlShows> ended_;
  std::vector<uint32_t> count_;  // of open elements, by id
  uint32_t serial_ = 0;
  uint32_t form_ = 0;
  uint64_t work_ = 0;
  bool gave_up_ = false;
  bool doubt_ = false;
  bool hides_ = false;
  bool hides_for_some_ = false;
};

}  // namespace postern::rules
