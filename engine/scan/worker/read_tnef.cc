// SPDX-License-Identifier: Apache-2.0
// TNEF, the winmail.dat of Exchange ([MS-OXTNEF]): a list of attributes, some of which hold lists of MAPI properties.
// Attached files, embedded messages (TNEF in TNEF) and the body in its forms are found, subject and people are its
// text. A small walk of our own: the libraries for it crash on what is not as they expect.
#include <algorithm>
#include <string>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/compressed_rtf.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/text_sink.h"
#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {
namespace {

constexpr uint32_t kAttachTitle = 0x00018010;
constexpr uint32_t kAttachData = 0x0006800f;
constexpr uint32_t kAttachRender = 0x00069002;
constexpr uint32_t kAttachProperties = 0x00069005;
constexpr uint32_t kMessageProperties = 0x00069003;
constexpr uint32_t kBody = 0x0002800c;
constexpr uint32_t kFrom = 0x00008000;
constexpr uint32_t kSubject = 0x00018004;
constexpr uint32_t kRecipients = 0x00069004;
constexpr uint32_t kCodePage = 0x00069007;

constexpr uint32_t kPropertyBody = 0x1000;
constexpr uint32_t kPropertyRtf = 0x1009;
constexpr uint32_t kPropertyHtml = 0x1013;
constexpr uint32_t kPropertyData = 0x3701;
constexpr uint32_t kPropertyName = 0x3704;
constexpr uint32_t kPropertyLongName = 0x3707;

constexpr uint32_t kPropertyCodePage = 0x3ffd;
constexpr uint32_t kPropertyInternetCodePage = 0x3fde;
// Subject and topic, sender and who it is sent for, To, Cc and Bcc; of a recipient, name and addresses.
constexpr uint32_t kShown[] = {0x0037, 0x0070, 0x0c1a, 0x0c1f, 0x0042, 0x0065, 0x0e04, 0x0e03, 0x0e02};
constexpr uint32_t kShownOfRecipient[] = {0x3001, 0x39fe, 0x3003};

// Of is whose properties a list holds; in a first pass only code pages are looked for.
enum class Of { message, attachment, recipient, code_page };

class Tnef {
 public:
  explicit Tnef(Context& context) : context_(context), bytes_(context.bytes()), unpack_(context), sink_(context) {}

  void read() {
    // Strings may stand before what says which code page they are in.
    looking_ = true;
    walk();
    looking_ = false;
    walk();
  }

 private:
  void walk() {
    uint64_t at = 6;
    // Some writers leave a byte behind; less than an attribute can hold nothing.
    while (at + 11 <= bytes_.size() && !stopped_) {
      const uint32_t id = little32(bytes_, at + 1);
      const uint64_t size = little32(bytes_, at + 5);
      const std::string_view data = slice(bytes_, at + 9, size);
      if (data.size() < size) {
        context_.fail(Reason::corrupt);
        break;
      }
      attribute(id, data);
      at += 9 + size + 2;
      if (context_.budget().expired()) return context_.fail(Reason::time);
    }
    if (!stopped_ && at + 2 < bytes_.size()) context_.fail(Reason::corrupt);
    finish_attachment();
  }

  void attribute(uint32_t id, std::string_view data) {
    if (looking_) {
      if (id == kCodePage) stated_ = little32(data, 0);
      if (id == kMessageProperties) properties(data, Of::code_page);
      return;
    }
    switch (id) {
      case kAttachRender:
        finish_attachment();
        break;
      case kAttachTitle:
        title_ = narrow(data);
        break;
      case kAttachData:
        data_ = data;
        has_data_ = true;
        break;
      case kAttachProperties:
        properties(data, Of::attachment);
        break;
      case kMessageProperties:
        properties(data, Of::message);
        break;
      case kRecipients:
        recipients(data);
        break;
      case kSubject:
        sink_.paragraph(narrow(data));
        break;
      case kFrom: {
        // Four numbers: what it is, how long all of it, the name and the address are.
        const uint32_t name = little16(data, 4);
        sink_.paragraph(narrow(slice(data, 8, name)));
        sink_.paragraph(narrow(slice(data, 8 + name, little16(data, 6))));
        break;
      }
      case kBody:
        give_text(until_nul(data), 0x1e, "body.txt", "text/plain");
        break;
      default:
        break;
    }
  }

  void finish_attachment() {
    if (has_data_ && !stopped_) give(data_, long_name_.empty() ? title_ : long_name_, {});
    has_data_ = false;
    title_.clear();
    long_name_.clear();
  }

  // A list of properties: a count, then for each its type and number, for named ones their name, and its value.
  void properties(std::string_view list, Of whose) {
    uint64_t at = 0;
    properties(list, at, whose);
  }
  // Rows one behind the other, each such a list.
  void recipients(std::string_view rows) {
    const uint64_t count = little32(rows, 0);
    uint64_t at = 4;
    for (uint64_t i = 0; i < count && !stopped_; ++i) {
      if (!properties(rows, at, Of::recipient)) return;
    }
  }
  bool properties(std::string_view list, uint64_t& at, Of whose) {
    const auto broken = [this] {
      context_.fail(Reason::corrupt);
      return false;
    };
    const uint64_t count = little32(list, at);
    at += 4;
    if (at > list.size()) return broken();
    for (uint64_t i = 0; i < count; ++i) {
      if (at + 4 > list.size()) return broken();
      const uint32_t type = little16(list, at);
      const uint32_t id = little16(list, at + 2);
      at += 4;
      if (id >= 0x8000) {
        at += 16;
        const uint32_t kind = little32(list, at);
        at += 4;
        if (kind == 0) {
          at += 4;
        } else {
          at += 4 + padded(little32(list, at));
        }
      }
      uint64_t values = 1;
      const uint32_t base = type & 0x0fff;
      const bool variable = base == 0x1e || base == 0x1f || base == 0x102 || base == 0x0d;
      if ((type & 0x1000) != 0 || variable) {
        values = little32(list, at);
        at += 4;
      }
      if (values > list.size()) return broken();
      for (uint64_t n = 0; n < values; ++n) {
        uint64_t size = fixed_size(base);
        if (variable) {
          size = little32(list, at);
          at += 4;
        }
        const std::string_view value = slice(list, at, size);
        if (value.size() < size || at > list.size()) return broken();
        property(id, base, value, whose);
        if (stopped_) return false;
        at += padded(size);
      }
    }
    return true;
  }

  static uint64_t padded(uint64_t size) { return (size + 3) / 4 * 4; }
  static uint64_t fixed_size(uint32_t type) {
    switch (type) {
      case 0x05:
      case 0x06:
      case 0x07:
      case 0x14:
      case 0x40:
        return 8;
      case 0x48:
        return 16;
      default:
        return 4;
    }
  }

  // As in a message of Outlook: the body's own code page says more than that of who wrote it on a western system.
  uint32_t code_page() const {
    const uint32_t stated = stated_ != 0 ? stated_ : message_page_;
    return stated == 0 || (stated == 1252 && internet_page_ != 0) ? internet_page_ : stated;
  }
  // narrow is a string of bytes as UTF-8. Some writers put UTF-8 whatever they state.
  std::string narrow(std::string_view value) const {
    value = until_nul(value);
    return base::is_valid_utf8(value) ? std::string(value) : ansi(value, code_page());
  }
  std::string text_of(uint32_t type, std::string_view value) const {
    return type == 0x1f ? utf16(until_nul16(value)) : narrow(value);
  }

  void property(uint32_t id, uint32_t type, std::string_view value, Of whose) {
    if (whose == Of::code_page) {
      if (id == kPropertyCodePage && type == 3) message_page_ = little32(value, 0);
      if (id == kPropertyInternetCodePage && type == 3) internet_page_ = little32(value, 0);
      return;
    }
    const bool text = type == 0x1e || type == 0x1f;
    if (whose == Of::recipient) {
      if (text && std::ranges::find(kShownOfRecipient, id) != std::end(kShownOfRecipient)) {
        sink_.paragraph(text_of(type, value));
      }
      return;
    }
    if (whose == Of::attachment) {
      if (id == kPropertyLongName || (id == kPropertyName && long_name_.empty())) long_name_ = text_of(type, value);
      // An object is preceded by the identifier of its interface.
      if (id == kPropertyData && type == 0x0d && value.size() > 16) give(value.substr(16), title_, {});
      if (id == kPropertyData && type == 0x102) {
        data_ = value;
        has_data_ = true;
      }
      return;
    }
    if (text && std::ranges::find(kShown, id) != std::end(kShown)) sink_.paragraph(text_of(type, value));
    if (id == kPropertyBody) give_text(value, type, "body.txt", "text/plain");
    if (id == kPropertyHtml) give_text(value, type, "body.html", "text/html");
    if (id == kPropertyRtf) {
      unpack_.begin();
      if (!expand_rtf(value, unpack_)) unpack_.set_reason(Reason::corrupt);
      if (unpack_.bytes().empty() && unpack_.reason() == Reason::none) return;
      if (!unpack_.give("body.rtf", {}, "text/rtf")) stopped_ = true;
    }
  }

  void give(std::string_view bytes, std::string_view name, std::string_view declared, std::string_view charset = {}) {
    if (bytes.empty() && declared.size() > 0) return;
    unpack_.begin();
    unpack_.append(bytes);
    if (!unpack_.give(name, {}, declared, charset)) stopped_ = true;
  }
  // give_text gives a body as UTF-8; as it is where no code page is told, or it is a page, which says that itself.
  void give_text(std::string_view value, uint32_t type, std::string_view name, std::string_view declared) {
    if (type == 0x102 || (type != 0x1f && code_page() == 0)) {
      return give(type == 0x102 ? value : until_nul(value), name, declared);
    }
    give(text_of(type, value), name, declared, "utf-8");
  }

  Context& context_;
  std::string_view bytes_;
  Unpack unpack_;
  TextSink sink_;
  bool looking_ = false;
  uint32_t stated_ = 0;  // code pages; 0 is none
  uint32_t message_page_ = 0;
  uint32_t internet_page_ = 0;
  std::string title_;
  std::string long_name_;
  std::string_view data_;
  bool has_data_ = false;
  bool stopped_ = false;
};

}  // namespace

void read_tnef(Context& context) { Tnef(context).read(); }

}  // namespace postern::scan::worker
