// SPDX-License-Identifier: Apache-2.0
// Outlook messages (MS-OXMSG): headers as text, bodies in their forms, attachments as children, messages in them too.
#include <algorithm>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/compressed_rtf.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

class Message {
 public:
  Message(Context& context, CompoundFile& file) : context_(context), file_(file) {}

  void run() {
    find_code_page();
    {
      TextSink sink(context_);
      for (const std::string_view id : {"0037"sv, "0C1A"sv, "0C1F"sv, "0042"sv, "0E04"sv, "0E03"sv, "0E02"sv}) {
        sink.paragraph(string(0, id));
      }
      for (const uint32_t child : file_.entries()[0].children) {
        if (stopped_ || !sink.wanted()) break;
        if (!file_.entries()[child].name.starts_with("__recip_version1.0_")) continue;
        sink.paragraph(string(child, "3001"));
        sink.paragraph(string(child, "39FE"));
        sink.paragraph(string(child, "3003"));
      }
      sink.paragraph(string(0, "007D"));
      sink.paragraph(string(0, "1000"));
    }
    if (!body()) return;
    for (const uint32_t child : file_.entries()[0].children) {
      if (!file_.entries()[child].name.starts_with("__attach_version1.0_")) continue;
      if (!attachment(child) || stopped_) return;
    }
  }

 private:
  CompoundStream property(uint32_t storage, std::string_view id, std::string_view type) {
    const auto entry = file_.find(storage, "__substg1.0_" + std::string(id) + std::string(type));
    if (!entry || file_.entries()[*entry].is_storage || stopped_) return {};
    CompoundStream stream = file_.read(*entry);
    // Properties may all be the same bytes, so each is charged.
    const Reason reason = context_.budget().out(stream.bytes().size(), 0, context_.bytes().size());
    if (reason == Reason::none) return stream;
    context_.fail(reason);
    stopped_ = true;
    return {};
  }
  std::string string(uint32_t storage, std::string_view id) {
    const CompoundStream wide = property(storage, id, "001F");
    if (!wide.bytes().empty()) return utf16(wide.bytes());
    const CompoundStream narrow = property(storage, id, "001E");
    return ansi(narrow.bytes(), code_page_);
  }

  void find_code_page() {
    const auto entry = file_.find(0, "__properties_version1.0");
    if (!entry) return;
    const CompoundStream properties = file_.read(*entry);
    // The head of the stream is 32 or 24 bytes; rows are 16, so both begin at a multiple of 8.
    for (size_t at = 24; at + 16 <= properties.bytes().size(); at += 8) {
      const uint32_t tag = little32(properties.bytes(), at);
      if (tag == 0x3ffd0003) code_page_ = little32(properties.bytes(), at + 8);
      if (tag == 0x3fde0003 && code_page_ == 1252) code_page_ = little32(properties.bytes(), at + 8);
    }
  }

  bool body() {
    for (const std::string_view type : {"0102"sv, "001F"sv, "001E"sv}) {
      const CompoundStream html = property(0, "1013", type);
      if (html.bytes().empty()) continue;
      Child child;
      const std::string converted = type == "001F" ? utf16(html.bytes()) : std::string();
      child.bytes = type == "001F" ? std::string_view(converted) : html.bytes();
      child.name = "body.html";
      child.declared_mime = "text/html";
      child.charset = type == "001F" ? "utf-8" : "";
      if (!context_.child(child)) return false;
      break;
    }
    const CompoundStream packed = property(0, "1009", "0102");
    if (packed.bytes().empty()) return true;
    Unpack unpack(context_);
    if (!expand_rtf(packed.bytes(), unpack)) {
      context_.fail(Reason::corrupt);
      return true;
    }
    return unpack.give("body.rtf", {}, "application/rtf");
  }

  bool attachment(uint32_t storage) {
    std::string name = string(storage, "3707");
    if (name.empty()) name = string(storage, "3704");
    if (name.empty()) name = string(storage, "3001");
    const std::string mime = base::lower(string(storage, "370E"));
    Child child;
    child.name = name;
    child.declared_mime = mime;
    const auto inner = file_.find(storage, "__substg1.0_3701000D");
    if (inner && file_.entries()[*inner].is_storage) {
      const Reason reason = context_.budget().out(file_.size_of(*inner), 0, context_.bytes().size());
      if (reason != Reason::none) {
        context_.fail(reason);
        return false;
      }
      const std::string bytes = file_.rebuild(*inner);
      child.bytes = bytes;
      return context_.child(child);
    }
    const CompoundStream data = property(storage, "3701", "0102");
    if (data.bytes().empty()) return true;
    child.bytes = data.bytes();
    return context_.child(child);
  }

  Context& context_;
  CompoundFile& file_;
  uint32_t code_page_ = 1252;
  bool stopped_ = false;
};

}  // namespace

void read_msg(Context& context, CompoundFile& file) {
  Message message(context, file);
  message.run();
}

}  // namespace postern::scan::worker
