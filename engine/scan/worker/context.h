// SPDX-License-Identifier: Apache-2.0
// Context: what a reader of one format is handed: where to put what it finds, and the budget of the whole scan. A
// reader finds things (children, text, marks) and reports trouble; it never opens a file and keeps nothing between
// calls.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/scan/client/scanner.h"
#include "engine/scan/worker/budget.h"

namespace postern::scan::worker {

// Child is something that a reader found.
struct Child {
  std::string_view bytes;
  std::string_view name;  // UTF-8 or raw bytes; cleaned by who takes it
  std::string_view declared_mime;
  std::string_view label;  // put before the name in the path: "Ole10Native:"; may be empty
  std::string_view charset;
  char separator = '!';   // '/' for parts of a message
  bool embedded = false;  // out of a document
  bool is_message = false;
  Reason lost = Reason::none;  // why more was in it than these bytes: it ended early, or its checksum is wrong
};

class Context {
 public:
  virtual ~Context() = default;

  virtual const Job& job() const = 0;
  virtual Budget& budget() = 0;
  // leaf is what is being read: its types, marks, protection.
  virtual Leaf& leaf() = 0;
  virtual std::string_view bytes() const = 0;
  // charset is what the carrier says of this leaf; may be empty.
  virtual std::string_view charset() const = 0;

  // child scans something found, before it returns; its bytes need only be good during the call. false: a limit was hit
  // and there is no use in finding more (the limit is reported already).
  virtual bool child(const Child& child) = 0;
  // member_unread adds a leaf for something that is there and cannot be read.
  virtual bool member_unread(std::string_view name, uint64_t size, Reason reason, Protection protection) = 0;
  // text adds UTF-8 text as a reader of the document sees it, a separator between calls being the caller's; false:
  // no more is wanted (not asked for, or the limit, which is reported).
  virtual bool text(std::string_view utf8) = 0;
  virtual bool wants_text() const = 0;
  // fail reports that the leaf may hold more than was found; which of several reasons stays: see outweighs.
  virtual void fail(Reason reason) = 0;
  void mark(Mark mark) { leaf().marks = static_cast<uint16_t>(leaf().marks | static_cast<uint16_t>(mark)); }
};

// A reader reads one format. It is called when the type is among the plausible ones of the leaf, each reader at most
// once a leaf.
using Reader = void (*)(Context& context);

}  // namespace postern::scan::worker
