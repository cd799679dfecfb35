// SPDX-License-Identifier: Apache-2.0
// XML by expat. Entities that a document declares are never expanded where they are used; their values stand behind the
// text. What is no well-formed XML is read as markup. A word is split between two tags, not within text that has tags
// in it: "<td>a</td><td>b</td>" are two words, "<b>wo</b>rd" is one.
#include <expat.h>

#include <algorithm>
#include <array>
#include <memory>

#include "engine/base/text.h"
#include "engine/mime/html_entities.h"
#include "engine/mime/html_scanner.h"
#include "engine/scan/worker/decoded_text.h"
#include "engine/scan/worker/embedded_data.h"
#include "engine/scan/worker/office.h"
#include "engine/scan/worker/text_readers.h"
#include "engine/scan/worker/text_sink.h"

namespace postern::scan::worker {
namespace {

constexpr int kChunk = 1 << 16;
constexpr uint32_t kDeepest = 10000;
constexpr uint64_t kMostEntities = 1u << 20;  // bytes of declared values

struct FreeParser {
  void operator()(XML_ParserStruct* parser) const { XML_ParserFree(parser); }
};

std::string_view local_name(std::string_view name) {
  const size_t colon = name.rfind(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

class XmlText {
 public:
  explicit XmlText(Context& context)
      : context_(context), sink_(context), parser_(XML_ParserCreate("UTF-8")), svg_(context.leaf().is(FileType::svg)) {}

  // Returns false where the document is not well-formed.
  bool run(std::string_view utf8) {
    if (parser_ == nullptr) throw std::bad_alloc();
    XML_Parser parser = parser_.get();
    XML_SetUserData(parser, this);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    XML_SetDefaultHandler(parser, on_other);
    XML_SetEntityDeclHandler(parser, on_entity);
    XML_SetParamEntityParsing(parser, XML_PARAM_ENTITY_PARSING_NEVER);
    // Attribute values expand entities whatever the handlers say; expat itself stops that at a few megabytes.
    for (size_t at = 0;;) {
      const int size = static_cast<int>(std::min<size_t>(kChunk, utf8.size() - at));
      const bool last = at + static_cast<size_t>(size) == utf8.size();
      const XML_Status status = XML_Parse(parser, utf8.data() + at, size, last ? 1 : 0);
      if (stopped_ != Reason::none) {
        context_.fail(stopped_);
        return true;
      }
      if (status != XML_STATUS_OK) {
        if (XML_GetErrorCode(parser) == XML_ERROR_NO_MEMORY) throw std::bad_alloc();
        if (XML_GetErrorCode(parser) == XML_ERROR_AMPLIFICATION_LIMIT_BREACH) {
          context_.fail(Reason::ratio);
          return true;
        }
        return false;
      }
      at += static_cast<size_t>(size);
      if (last) break;
      if (context_.budget().expired()) {
        context_.fail(Reason::time);
        return true;
      }
    }
    for (const std::string& value : entities_) sink_.paragraph(value);
    return true;
  }

 private:
  static XmlText& self(void* data) { return *static_cast<XmlText*>(data); }

  // Exceptions do not pass expat.
  template <typename F>
  static void guarded(void* data, F&& call) {
    try {
      call(self(data));
    } catch (const std::bad_alloc&) {
      self(data).stop(Reason::memory);
    }
  }
  void stop(Reason reason) {
    if (stopped_ == Reason::none) stopped_ = reason;
    XML_StopParser(parser_.get(), XML_FALSE);
  }

  static void on_start(void* data, const char* name, const char** attributes) {
    guarded(data, [&](XmlText& reader) { reader.start(name, attributes); });
  }
  static void on_end(void* data, const char*) {
    guarded(data, [](XmlText& reader) {
      reader.between_tags();
      --reader.depth_;
      if (reader.depth_ < reader.script_) reader.script_ = 0;
    });
  }
  static void on_text(void* data, const char* text, int size) {
    guarded(data, [&](XmlText& reader) { reader.text({text, static_cast<size_t>(size)}); });
  }
  // Among others a reference to an entity that is not expanded, and the borders of CDATA sections.
  static void on_other(void* data, const char* text, int size) {
    guarded(data, [&](XmlText& reader) {
      const std::string_view other(text, static_cast<size_t>(size));
      if (!other.starts_with('&') || reader.depth_ == 0) return;
      std::string out;
      if (mime::read_reference(other, false, out) == 0) out = other;
      reader.text(out);
    });
  }
  static void on_entity(void* data, const char*, int, const char* value, int size, const char*, const char*,
                        const char*, const char*) {
    guarded(data, [&](XmlText& reader) {
      if (value == nullptr || size <= 0) return;
      reader.entity_bytes_ += static_cast<uint64_t>(size);
      if (reader.entity_bytes_ > kMostEntities) {
        reader.stop(Reason::ratio);
      } else if (reader.context_.wants_text()) {
        reader.entities_.emplace_back(value, static_cast<size_t>(size));
      }
    });
  }

  void start(std::string_view name, const char** attributes) {
    if (++depth_ > kDeepest) return stop(Reason::depth);
    between_tags();
    const std::string_view local = local_name(name);
    if (base::iequals(local, "script")) {
      context_.mark(Mark::active_content);
      if (script_ == 0) script_ = depth_;
    }
    if (svg_ && base::iequals(local, "handler")) context_.mark(Mark::active_content);
    for (; attributes != nullptr && attributes[0] != nullptr; attributes += 2) {
      attribute(attributes[0], attributes[1]);
    }
  }

  void between_tags() {
    if (after_tag_) depth_ <= 2 ? sink_.line() : sink_.tab();
    after_tag_ = true;
  }

  void attribute(std::string_view name, std::string_view value) {
    const std::string_view local = local_name(name);
    if (svg_) {
      if (local.size() > 3 && base::istarts_with(local, "on")) context_.mark(Mark::active_content);
      const std::string low = base::lower(base::trim(value.substr(0, 64)));
      if (low.starts_with("javascript:")) context_.mark(Mark::active_content);
      // Numbers of a drawing are no text.
      constexpr std::array<std::string_view, 5> kShown = {"title", "alt", "aria-label", "label", "desc"};
      if (std::ranges::find(kShown, local) == kShown.end()) return;
    }
    if (name.starts_with("xmlns") || base::istarts_with(value, "data:")) return;
    sink_.tab();
    sink_.text(value);
    sink_.tab();
  }

  void text(std::string_view text) {
    if (script_ != 0 && !context_.job().want_metadata) return;
    // White space between tags is layout.
    if (after_tag_ &&
        std::ranges::all_of(text, [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; })) {
      sink_.tab();
      return;
    }
    after_tag_ = false;
    sink_.text(text);
  }

  Context& context_;
  TextSink sink_;
  std::unique_ptr<XML_ParserStruct, FreeParser> parser_;
  bool svg_;
  bool after_tag_ = false;
  uint32_t depth_ = 0;
  uint32_t script_ = 0;  // depth of the outermost script that is open
  uint64_t entity_bytes_ = 0;
  std::vector<std::string> entities_;
  Reason stopped_ = Reason::none;
};

// What the XML declaration says.
std::string stated_encoding(std::string_view xml) {
  xml = xml.substr(0, 512);
  const size_t declaration = xml.find("<?xml");
  if (declaration == std::string_view::npos) return {};
  const std::string_view text = xml.substr(declaration, xml.find("?>", declaration) - declaration);
  const size_t at = text.find("encoding");
  if (at == std::string_view::npos) return {};
  const size_t quote = text.find_first_of("\"'", at);
  if (quote == std::string_view::npos) return {};
  const size_t close = text.find(text[quote], quote + 1);
  return close == std::string_view::npos ? std::string() : std::string(text.substr(quote + 1, close - quote - 1));
}

// has_references tells whether a character reference stands for anything but white space, in which drawing programs
// write the lines of embedded pictures.
bool has_references(std::string_view text) {
  constexpr std::string_view kSpace[] = {"&#9;",  "&#10;", "&#13;", "&#32;", "&#x9;",
                                         "&#xA;", "&#xa;", "&#xD;", "&#xd;"};
  for (size_t at = 0; (at = text.find("&#", at)) != std::string_view::npos; at += 2) {
    const std::string_view rest = text.substr(at);
    if (std::ranges::none_of(kSpace, [&](std::string_view each) { return rest.starts_with(each); })) return true;
  }
  return false;
}

}  // namespace

void read_xml(Context& context) {
  const Leaf& leaf = context.leaf();
  if (is_xml_document(context.bytes())) return;  // its own reader gives the text
  if (leaf.is(FileType::html) || leaf.is(FileType::xhtml) || leaf.is(FileType::hta)) return;
  const std::string stated = stated_encoding(context.bytes());
  const DecodedText decoded(context, context.bytes(), stated);
  std::string_view text = decoded.view();
  // White space before the declaration is no reason to give up.
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  bool whole = false;
  {
    XmlText reader(context);
    whole = reader.run(text);
  }
  if (!whole) markup_text(context, text);
  find_embedded(context, text, true);
  // Viewers run the scripts of a picture as they are without character references.
  if (!leaf.is(FileType::svg) || !has_references(text)) return;
  constexpr size_t kMostResolved = 28u << 20;
  if (text.size() > kMostResolved) context.fail(Reason::size);
  find_embedded(context, mime::html_text(text.substr(0, kMostResolved), false), true);
}

}  // namespace postern::scan::worker
