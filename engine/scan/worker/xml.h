// SPDX-License-Identifier: Apache-2.0
// Xml: expat with bounds: no document type declaration with content, a most depth, a most of memory. Names are given
// without their prefix, so that a document cannot hide behind one.
#pragma once
#include <memory>
#include <string_view>

#include "engine/scan/client/verdict.h"

struct XML_ParserStruct;

namespace postern::scan::worker {

// XmlAttributes are the attributes of an element; views are good during the call.
class XmlAttributes {
 public:
  explicit XmlAttributes(const char** pairs) : pairs_(pairs) {}
  // get finds an attribute by its name without a prefix; empty when there is none.
  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const;
  const char** pairs() const { return pairs_; }

 private:
  const char** pairs_;
};

class XmlHandler {
 public:
  virtual ~XmlHandler() = default;
  virtual void start(std::string_view name, const XmlAttributes& attributes) = 0;
  virtual void end(std::string_view name) = 0;
  virtual void characters(std::string_view utf8) = 0;
  virtual void comment(std::string_view) {}
};

class XmlParser {
 public:
  // With `doctype`, a declaration that only names its type is let pass, as old OpenDocument files have it.
  XmlParser(XmlHandler& handler, bool doctype);
  ~XmlParser();
  XmlParser(const XmlParser&) = delete;
  XmlParser& operator=(const XmlParser&) = delete;

  // feed parses more; false when there is no use in more.
  bool feed(std::string_view bytes, bool last);
  // room is memory of the parser's for `size` bytes that are parsed next, null where there is no use in more; parse
  // parses `size` bytes that were written there, as feed does.
  char* room(size_t size);
  bool parse(size_t size, bool last);
  // stop makes feed return false; for handlers that have enough.
  void stop();
  // reason is none as long as all was well.
  Reason reason() const;

 private:
  struct State;
  bool parsed(bool good);

  std::unique_ptr<State> state_;
};

// parse_xml parses a whole document that is in memory.
Reason parse_xml(std::string_view bytes, XmlHandler& handler, bool doctype);

}  // namespace postern::scan::worker
