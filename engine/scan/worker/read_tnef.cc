// SPDX-License-Identifier: Apache-2.0
// TNEF, the winmail.dat of Exchange ([MS-OXTNEF]): a list of attributes, some of which hold lists of MAPI properties.
// Attached files, embedded messages (TNEF in TNEF) and the body in its forms are found. A small walk of our own: the
// libraries for it crash on what is not as they expect.
#include <algorithm>
#include <string>

#include "engine/mime/charset.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/compressed_rtf.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {
namespace {

constexpr uint32_t kAttachTitle = 0x00018010;
constexpr uint32_t kAttachData = 0x0006800f;
constexpr uint32_t kAttachRender = 0x00069002;
constexpr uint32_t kAttachProperties = 0x00069005;
constexpr uint32_t kMessageProperties = 0x00069003;
constexpr uint32_t kBody = 0x0002800c;

constexpr uint32_t kPropertyBody = 0x1000;
constexpr uint32_t kPropertyRtf = 0x1009;
constexpr uint32_t kPropertyHtml = 0x1013;
constexpr uint32_t kPropertyData = 0x3701;
constexpr uint32_t kPropertyName = 0x3704;
constexpr uint32_t kPropertyLongName = 0x3707;

class Tnef {
 public:
  explicit Tnef(Context& context) : context_(context), bytes_(context.bytes()), unpack_(context) {}

  void read() {
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

 private:
  void attribute(uint32_t id, std::string_view data) {
    switch (id) {
      case kAttachRender:
        finish_attachment();
        break;
      case kAttachTitle:
        title_ = data.substr(0, data.find('\0'));
        break;
      case kAttachData:
        data_ = data;
        has_data_ = true;
        break;
      case kAttachProperties:
        properties(data, true);
        break;
      case kMessageProperties:
        properties(data, false);
        break;
      case kBody:
        give(data.substr(0, data.find('\0')), "body.txt", "text/plain");
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
  void properties(std::string_view list, bool attachment) {
    const uint64_t count = little32(list, 0);
    uint64_t at = 4;
    for (uint64_t i = 0; i < count; ++i) {
      if (at + 4 > list.size()) return context_.fail(Reason::corrupt);
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
      if (values > list.size()) return context_.fail(Reason::corrupt);
      for (uint64_t n = 0; n < values; ++n) {
        uint64_t size = fixed_size(base);
        if (variable) {
          size = little32(list, at);
          at += 4;
        }
        const std::string_view value = slice(list, at, size);
        if (value.size() < size || at > list.size()) return context_.fail(Reason::corrupt);
        property(id, base, value, attachment);
        if (stopped_) return;
        at += padded(size);
      }
    }
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

  static std::string text_of(uint32_t type, std::string_view value) {
    std::string text = type == 0x1f ? mime::to_utf8(value, "utf-16le").utf8 : std::string(value);
    text.resize(std::min(text.size(), text.find('\0')));
    return text;
  }

  void property(uint32_t id, uint32_t type, std::string_view value, bool attachment) {
    if (attachment) {
      if (id == kPropertyLongName || (id == kPropertyName && long_name_.empty())) long_name_ = text_of(type, value);
      // An object is preceded by the identifier of its interface.
      if (id == kPropertyData && type == 0x0d && value.size() > 16) give(value.substr(16), title_, {});
      if (id == kPropertyData && type == 0x102) {
        data_ = value;
        has_data_ = true;
      }
      return;
    }
    if (id == kPropertyBody) give(text_of(type, value), "body.txt", "text/plain");
    if (id == kPropertyHtml) give(type == 0x102 ? std::string(value) : text_of(type, value), "body.html", "text/html");
    if (id == kPropertyRtf) {
      unpack_.begin();
      if (!expand_rtf(value, unpack_)) unpack_.set_reason(Reason::corrupt);
      if (unpack_.bytes().empty() && unpack_.reason() == Reason::none) return;
      if (!unpack_.give("body.rtf", {}, "text/rtf")) stopped_ = true;
    }
  }

  void give(std::string_view bytes, std::string_view name, std::string_view declared) {
    if (bytes.empty() && declared.size() > 0) return;
    unpack_.begin();
    unpack_.append(bytes);
    if (!unpack_.give(name, {}, declared)) stopped_ = true;
  }

  Context& context_;
  std::string_view bytes_;
  Unpack unpack_;
  std::string title_;
  std::string long_name_;
  std::string_view data_;
  bool has_data_ = false;
  bool stopped_ = false;
};

}  // namespace

void read_tnef(Context& context) { Tnef(context).read(); }

}  // namespace postern::scan::worker
