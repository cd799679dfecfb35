// SPDX-License-Identifier: Apache-2.0
// Every object of a document is looked at, not only what its catalogue leads to: an embedded file or a program that
// nothing points to today may be what an update points to. Nothing here recurses on what a sender controls.
#include <algorithm>
#include <array>
#include <qpdf/Pipeline.hh>
#include <set>
#include <stdexcept>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/scan/worker/embedded_data.h"
#include "engine/scan/worker/pdf_objects.h"
#include "engine/scan/worker/text_readers.h"
#include "engine/scan/worker/text_sink.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kMostObjects = 60000;  // that are looked at
constexpr size_t kMostParts = 200000;   // dictionaries and arrays in all of them
constexpr size_t kMostXfa = 16u << 20;
constexpr size_t kMostXfaParts = 256;
constexpr size_t kMostNodes = 20000;  // of pages, fields, outlines

struct Stop : std::runtime_error {
  Stop() : std::runtime_error("enough") {}
};

// Collect keeps what flows by, as far as limits go.
class Collect : public Pipeline {
 public:
  Collect(Budget& budget, uint64_t raw, uint64_t most)
      : Pipeline("collect", nullptr), budget_(budget), raw_(raw), most_(most) {}
  std::string bytes;
  Reason reason = Reason::none;

  void write(unsigned char const* data, size_t size) override {
    reason = bytes.size() + size > most_ ? Reason::size : budget_.out(size, bytes.size(), raw_);
    if (reason != Reason::none) throw Stop();
    bytes.append(reinterpret_cast<const char*>(data), size);
  }
  void finish() override {}

 private:
  Budget& budget_;
  uint64_t raw_;
  uint64_t most_;
};

uint64_t raw_size(QPDFObjectHandle stream) {
  QPDFObjectHandle length = stream.getDict().getKey("/Length");
  return length.isInteger() && length.getIntValue() > 0 ? static_cast<uint64_t>(length.getIntValue()) : 1;
}

// utf8 decodes what stands in a document without saying how it is written; that it is UTF-8 is only said, too.
std::string utf8(std::string bytes) {
  const std::string_view looks = mime::sniff_charset(bytes);
  if (looks.empty() && base::is_valid_utf8(bytes)) return bytes;
  return mime::to_utf8(bytes, looks).utf8;
}

std::string text_of(QPDFObjectHandle value) { return value.isString() ? utf8(value.getUTF8Value()) : std::string(); }

class Walk {
 public:
  Walk(Context& context, QPDF& pdf, bool texts) : context_(context), pdf_(pdf), texts_(texts), sink_(context) {}

  PdfObjects run() {
    all_objects();
    QPDFObjectHandle root = pdf_.getRoot();
    if (!root.isDictionary()) return out_;
    pages(root.getKey("/Pages"));
    form(root.getKey("/AcroForm"));
    if (!texts_) return out_;
    outlines(root.getKey("/Outlines"));
    if (context_.job().want_metadata) {
      properties(pdf_.getTrailer().getKey("/Info"));
      QPDFObjectHandle xmp = root.getKey("/Metadata");
      if (xmp.isStream()) markup(utf8(stream_text(xmp)));
    }
    return out_;
  }

 private:
  void all_objects() {
    size_t count = 0;
    for (const auto& [id, entry] : pdf_.getXRefTable()) {
      if (entry.getType() == 0) continue;
      if (++count > kMostObjects) return context_.fail(Reason::members);
      if (count % 64 == 0 && context_.budget().expired()) return context_.fail(Reason::time);
      if (!going_ || !look(pdf_.getObject(id))) return;
    }
  }

  // Looks at an object and what stands directly in it; false: there is too much of it.
  bool look(QPDFObjectHandle top) {
    std::vector<QPDFObjectHandle> todo{top};
    while (!todo.empty() && going_) {
      QPDFObjectHandle each = todo.back();
      todo.pop_back();
      if (++parts_ > kMostParts) {
        context_.fail(Reason::members);
        return false;
      }
      if (each.isArray()) {
        // Arrays of numbers hold nothing.
        const int size = each.getArrayNItems();
        for (int i = 0; i < size; ++i) {
          QPDFObjectHandle item = each.getArrayItem(i);
          if (!item.isIndirect() && (item.isArray() || item.isDictionary())) todo.push_back(item);
        }
        continue;
      }
      if (each.isStream()) stream(each);
      QPDFObjectHandle dictionary = each.isStream() ? each.getDict() : each;
      if (!dictionary.isDictionary()) continue;
      action(dictionary);
      if (dictionary.hasKey("/EF")) file(dictionary);
      std::map<std::string, QPDFObjectHandle> items = dictionary.getDictAsMap();
      for (auto& [key, item] : items) {
        if (!item.isIndirect() && (item.isArray() || item.isDictionary())) todo.push_back(item);
      }
    }
    return true;
  }

  // at_most is the size of an array, or what is looked at of it.
  int at_most(QPDFObjectHandle array, size_t most) {
    const int size = array.getArrayNItems();
    if (size < 0 || static_cast<size_t>(size) <= most) return size;
    context_.fail(Reason::members);
    return static_cast<int>(most);
  }

  void action(QPDFObjectHandle dictionary) {
    if (dictionary.hasKey("/JS") && !dictionary.getKey("/JS").isNull()) context_.mark(Mark::active_content);
    constexpr std::array<std::string_view, 8> kActive = {"/JavaScript",       "/Launch",     "/ImportData",
                                                         "/RichMediaExecute", "/SubmitForm", "/Rendition",
                                                         "/RichMedia",        "/Flash"};
    for (const char* key : {"/S", "/Subtype"}) {
      QPDFObjectHandle kind = dictionary.getKey(key);
      if (kind.isName() && std::ranges::find(kActive, kind.getName()) != kActive.end()) {
        context_.mark(Mark::active_content);
      }
    }
  }

  // A file specification with the file in it.
  void file(QPDFObjectHandle specification) {
    QPDFObjectHandle files = specification.getKey("/EF");
    if (!files.isDictionary()) return;
    std::string name = text_of(specification.getKey("/UF"));
    if (name.empty()) name = text_of(specification.getKey("/F"));
    for (const char* key : {"/UF", "/F", "/DOS", "/Mac", "/Unix"}) {
      if (going_) give(files.getKey(key), name);
    }
    if (texts_ && context_.job().want_metadata) sink_.paragraph(text_of(specification.getKey("/Desc")));
  }

  void stream(QPDFObjectHandle each) {
    QPDFObjectHandle dictionary = each.getDict();
    if (!dictionary.getKey("/Type").isNameAndEquals("/EmbeddedFile")) return;
    unnamed_.push_back(each);
  }

  void give(QPDFObjectHandle each, std::string_view name) {
    if (!each.isStream() || !given_.insert(each.getObjGen()).second) return;
    Collect collect(context_.budget(), raw_size(each), context_.job().limits.size);
    const bool whole = each.pipeStreamData(&collect, nullptr, 0, qpdf_dl_specialized, true, false);
    if (collect.reason != Reason::none) {
      going_ = context_.member_unread(name, collect.bytes.size(), collect.reason, Protection::unknown) &&
               collect.reason != Reason::time;
      return;
    }
    if (!whole && !collect.bytes.empty()) context_.fail(Reason::corrupt);
    sink_.flush();
    Child child;
    child.bytes = collect.bytes;
    child.name = name;
    QPDFObjectHandle subtype = each.getDict().getKey("/Subtype");
    std::string mime = subtype.isName() ? base::lower(subtype.getName().substr(1)) : std::string();
    child.declared_mime = mime;
    child.embedded = true;
    going_ = context_.child(child);
  }

  void pages(QPDFObjectHandle top) {
    // Files that no specification names come after those that one does.
    for (QPDFObjectHandle& each : unnamed_) {
      if (going_) give(each, {});
    }
    std::set<QPDFObjGen> seen;
    std::vector<QPDFObjectHandle> todo{top};
    size_t count = 0;
    while (!todo.empty()) {
      QPDFObjectHandle node = todo.back();
      todo.pop_back();
      if (++count > kMostNodes) return context_.fail(Reason::members);
      if (!node.isDictionary()) continue;
      const bool is_new = !node.isIndirect() || seen.insert(node.getObjGen()).second;
      QPDFObjectHandle kids = node.getKey("/Kids");
      if (kids.isArray()) {
        if (!is_new) continue;
        // One more than is looked at, so that it is told.
        for (int i = std::min(kids.getArrayNItems(), static_cast<int>(kMostNodes) + 1); i > 0; --i) {
          todo.push_back(kids.getArrayItem(i - 1));
        }
        continue;
      }
      if (out_.pages.size() >= kMostPdfPages) {
        if (texts_) context_.fail(Reason::text);
        return;
      }
      // A page that is shown twice counts twice, as for who draws it.
      out_.pages.push_back(node);
      if (texts_ && is_new) notes(node.getKey("/Annots"));
    }
  }

  void notes(QPDFObjectHandle annotations) {
    if (!annotations.isArray()) return;
    const int size = at_most(annotations, kMostNodes);
    for (int i = 0; i < size && sink_.wanted(); ++i) {
      QPDFObjectHandle each = annotations.getArrayItem(i);
      if (!each.isDictionary()) continue;
      const std::string contents = text_of(each.getKey("/Contents"));
      sink_.paragraph(contents);
      if (contents.empty()) markup(text_of(each.getKey("/RC")));
      if (!each.getKey("/Subtype").isNameAndEquals("/Widget")) {
        sink_.paragraph(text_of(each.getKey("/Subj")));
        if (context_.job().want_metadata) sink_.paragraph(text_of(each.getKey("/T")));
      }
    }
  }

  void form(QPDFObjectHandle form) {
    if (!form.isDictionary()) return;
    xfa(form.getKey("/XFA"));
    std::set<QPDFObjGen> seen;
    std::vector<QPDFObjectHandle> todo{form.getKey("/Fields")};
    size_t count = 0;
    while (!todo.empty()) {
      QPDFObjectHandle node = todo.back();
      todo.pop_back();
      if (++count > kMostNodes) {
        out_.tangled = true;
        if (texts_) context_.fail(Reason::members);
        return;
      }
      if (node.isIndirect() && !seen.insert(node.getObjGen()).second) {
        out_.tangled = true;
        continue;
      }
      if (node.isArray()) {
        for (int i = at_most(node, kMostNodes); i > 0; --i) {
          todo.push_back(node.getArrayItem(i - 1));
        }
        continue;
      }
      if (!node.isDictionary()) continue;
      if (texts_) field(node);
      if (node.getKey("/Kids").isArray()) todo.push_back(node.getKey("/Kids"));
    }
  }

  void field(QPDFObjectHandle field) {
    for (const char* key : {"/V", "/TU", "/RV", "/Opt"}) {
      QPDFObjectHandle value = field.getKey(key);
      if (value.isArray()) {
        const int size = at_most(value, kMostNodes);
        for (int i = 0; i < size && sink_.wanted(); ++i) {
          QPDFObjectHandle item = value.getArrayItem(i);
          if (item.isArray() && item.getArrayNItems() > 1) item = item.getArrayItem(1);
          sink_.paragraph(text_of(item));
        }
      } else if (value.isStream()) {
        sink_.paragraph(utf8(stream_text(value)));
      } else {
        sink_.paragraph(text_of(value));
      }
    }
  }

  // A form as XML: one stream, or names and streams of its parts.
  void xfa(QPDFObjectHandle xfa) {
    std::string whole;
    if (xfa.isStream()) {
      whole = stream_text(xfa);
    } else if (xfa.isArray()) {
      const int size = at_most(xfa, kMostXfaParts);
      for (int i = 0; i < size; ++i) {
        if (!xfa.getArrayItem(i).isStream()) continue;
        if (whole.size() >= kMostXfa) {
          context_.fail(Reason::size);
          break;
        }
        whole += stream_text(xfa.getArrayItem(i));
      }
    }
    if (whole.empty()) return;
    if (whole.find("<script") != std::string::npos) context_.mark(Mark::active_content);
    if (going_ && !give_inline(context_, whole, "XFA:", {}, "text/xml")) going_ = false;
  }

  std::string stream_text(QPDFObjectHandle stream) {
    Collect collect(context_.budget(), raw_size(stream), kMostXfa);
    stream.pipeStreamData(&collect, nullptr, 0, qpdf_dl_specialized, true, false);
    if (collect.reason != Reason::none) context_.fail(collect.reason);
    return std::move(collect.bytes);
  }

  void outlines(QPDFObjectHandle top) {
    if (!top.isDictionary()) return;
    std::set<QPDFObjGen> seen;
    std::vector<QPDFObjectHandle> todo{top.getKey("/First")};
    while (!todo.empty() && sink_.wanted()) {
      QPDFObjectHandle node = todo.back();
      todo.pop_back();
      if (!node.isDictionary() || (node.isIndirect() && !seen.insert(node.getObjGen()).second)) continue;
      if (seen.size() > kMostNodes) return context_.fail(Reason::members);
      sink_.paragraph(text_of(node.getKey("/Title")));
      todo.push_back(node.getKey("/Next"));
      todo.push_back(node.getKey("/First"));
    }
  }

  void properties(QPDFObjectHandle info) {
    if (!info.isDictionary()) return;
    for (const auto& [key, value] : info.getDictAsMap()) {
      if (key.ends_with("Date")) continue;
      QPDFObjectHandle resolved = value;
      sink_.paragraph(text_of(resolved));
    }
  }

  // Rich text and metadata: what their tags leave.
  void markup(const std::string& xml) {
    if (xml.empty()) return;
    const uint16_t marks = context_.leaf().marks;
    sink_.line();
    sink_.flush();
    markup_text(context_, xml);
    context_.leaf().marks = marks;
  }

  Context& context_;
  QPDF& pdf_;
  bool texts_;
  TextSink sink_;
  PdfObjects out_;
  std::set<QPDFObjGen> given_;
  std::vector<QPDFObjectHandle> unnamed_;
  size_t parts_ = 0;
  bool going_ = true;
};

}  // namespace

PdfObjects walk_pdf(Context& context, QPDF& pdf, bool texts) { return Walk(context, pdf, texts).run(); }

}  // namespace postern::scan::worker
