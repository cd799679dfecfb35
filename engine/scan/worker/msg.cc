// SPDX-License-Identifier: Apache-2.0
// Outlook messages (MS-OXMSG): headers as text, bodies in their forms, attachments as children, messages in them too.
#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/scan/worker/octets.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

// The text that compressed RTF begins with, by its definition (MS-OXRTFCP).
constexpr std::string_view kDictionary =
    "{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor "
    "MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par "
    "\\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

// unpack_rtf undoes compressed RTF; nullopt when it is none. It grows by at most 17 bytes for 2.
std::optional<std::string> unpack_rtf(std::string_view bytes) {
  const uint32_t raw_size = le32(bytes, 4);
  const uint32_t kind = le32(bytes, 8);
  if (kind == 0x414c454d) return std::string(piece(bytes, 16, raw_size));
  if (kind != 0x75465a4c) return std::nullopt;
  std::array<char, 4096> window{};
  std::copy(kDictionary.begin(), kDictionary.end(), window.begin());
  size_t write = kDictionary.size();
  std::string out;
  const auto put = [&](char c) {
    window[write] = c;
    write = (write + 1) % window.size();
    out.push_back(c);
  };
  for (size_t at = 16; at < bytes.size();) {
    const uint32_t flags = octet(bytes, at++);
    for (uint32_t bit = 0; bit < 8 && at < bytes.size(); ++bit) {
      if ((flags >> bit & 1) == 0) {
        put(bytes[at++]);
        continue;
      }
      const uint32_t token = octet(bytes, at) << 8 | octet(bytes, at + 1);
      at += 2;
      size_t from = token >> 4;
      if (from == write) return out;
      for (uint32_t i = 0; i < (token & 15) + 2; ++i) {
        put(window[from]);
        from = (from + 1) % window.size();
      }
    }
  }
  return out;
}

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
      if (!attachment(child)) return;
    }
  }

 private:
  CompoundStream property(uint32_t storage, std::string_view id, std::string_view type) {
    const auto entry = file_.find(storage, "__substg1.0_" + std::string(id) + std::string(type));
    return entry && !file_.entries()[*entry].is_storage ? file_.read(*entry) : CompoundStream();
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
      const uint32_t tag = le32(properties.bytes(), at);
      if (tag == 0x3ffd0003) code_page_ = le32(properties.bytes(), at + 8);
      if (tag == 0x3fde0003 && code_page_ == 1252) code_page_ = le32(properties.bytes(), at + 8);
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
    const std::optional<std::string> rtf = unpack_rtf(packed.bytes());
    if (!rtf) {
      context_.fail(Reason::corrupt);
      return true;
    }
    const Reason reason = context_.budget().out(rtf->size(), 0, packed.bytes().size());
    if (reason != Reason::none) {
      context_.fail(reason);
      return false;
    }
    Child child;
    child.bytes = *rtf;
    child.name = "body.rtf";
    child.declared_mime = "application/rtf";
    return context_.child(child);
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
};

}  // namespace

void read_msg(Context& context, CompoundFile& file) {
  Message message(context, file);
  message.run();
}

}  // namespace postern::scan::worker
