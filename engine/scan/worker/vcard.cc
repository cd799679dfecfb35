// SPDX-License-Identifier: Apache-2.0
// vCard 2.1 to 4.0 and iCalendar. Lines are read one after another out of the leaf's own bytes: a property is never put
// together as a whole, what it holds is written or decoded as it comes. A value is given as people see it, and as it
// stands in the file where that is something else: rules are written for either.
#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/transfer_coding.h"
#include "engine/scan/worker/decoded_text.h"
#include "engine/scan/worker/embedded_data.h"
#include "engine/scan/worker/text_readers.h"
#include "engine/scan/worker/text_sink.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kMostHead = 65536;      // name and parameters
constexpr size_t kMostValue = 1u << 20;  // of a text that is decoded in one go; longer ones in pieces

// Head is a property up to its value.
struct Head {
  std::string name;  // lower case, without group
  std::string file_name;
  std::string type;  // MIME
  std::string charset;
  bool base64 = false;
  bool quoted_printable = false;
  bool uri = false;
};

// data_mime makes a MIME type of TYPE=JPEG.
std::string data_mime(std::string_view name, std::string_view type) {
  if (type.find('/') != std::string_view::npos) return base::lower(type);
  if (name == "photo" || name == "logo") return "image/" + base::lower(type);
  if (name == "sound") return "audio/" + base::lower(type);
  return {};
}

Head parse_head(std::string_view raw) {
  Head head;
  std::vector<std::string_view> parts;
  bool quoted = false;
  size_t begin = 0;
  for (size_t i = 0; i <= raw.size(); ++i) {
    if (i < raw.size() && raw[i] == '"') quoted = !quoted;
    if (i < raw.size() && (raw[i] != ';' || quoted)) continue;
    parts.push_back(raw.substr(begin, i - begin));
    begin = i + 1;
  }
  const size_t dot = parts[0].rfind('.');
  head.name = base::lower(base::trim(dot == std::string_view::npos ? parts[0] : parts[0].substr(dot + 1)));
  std::string type;
  for (size_t i = 1; i < parts.size(); ++i) {
    const size_t sign = parts[i].find('=');
    // vCard 2.1 leaves names of parameters out.
    std::string_view value = base::trim(sign == std::string_view::npos ? parts[i] : parts[i].substr(sign + 1));
    const std::string name = sign == std::string_view::npos ? "" : base::lower(base::trim(parts[i].substr(0, sign)));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    if (name.empty() || name == "encoding") {
      if (base::iequals(value, "base64") || base::iequals(value, "b")) head.base64 = true;
      if (base::iequals(value, "quoted-printable") || base::iequals(value, "q")) head.quoted_printable = true;
    }
    if (name == "charset") head.charset = value;
    if (name == "value" && (base::iequals(value, "uri") || base::iequals(value, "url"))) head.uri = true;
    if (name == "fmttype" || name == "mediatype") head.type = base::lower(value);
    if (name == "type" || name.empty()) type = value;
    if (name == "filename" || name == "x-filename" || name == "x-apple-filename" || name == "x-label")
      head.file_name = value;
  }
  if (head.type.empty()) head.type = data_mime(head.name, type);
  return head;
}

// unescape resolves "\n", "\," and the like.
std::string unescape(std::string_view value) {
  std::string out;
  out.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\\' && i + 1 < value.size()) {
      ++i;
      out += value[i] == 'n' || value[i] == 'N' ? '\n' : value[i];
    } else {
      out += value[i];
    }
  }
  return out;
}

class CardText {
 public:
  CardText(Context& context, std::string_view text, std::string_view charset)
      : context_(context), text_(text), charset_(charset), sink_(context) {}

  void run() {
    size_t properties = 0;
    while (at_ < text_.size() && going_) {
      property();
      if (++properties % 256 == 0 && context_.budget().expired()) {
        context_.fail(Reason::time);
        return;
      }
    }
  }

 private:
  bool next_line(std::string_view& line) {
    if (at_ >= text_.size()) return false;
    const size_t end = std::min(text_.find_first_of("\r\n", at_), text_.size());
    line = text_.substr(at_, end - at_);
    at_ = end;
    if (at_ < text_.size() && text_[at_] == '\r') ++at_;
    if (at_ < text_.size() && text_[at_] == '\n') ++at_;
    return true;
  }
  // The next line where it goes on with this property, without the white space that says so.
  bool next_fold(std::string_view& line) {
    if (at_ >= text_.size() || (text_[at_] != ' ' && text_[at_] != '\t')) return false;
    if (!next_line(line)) return false;
    // vCard 2.1 folds at white space that belongs to the text.
    if (!keeps_blanks_) line.remove_prefix(1);
    return true;
  }

  // Puts more lines to `line` until the colon before the value stands in it.
  static size_t colon_of(std::string_view head) {
    bool quoted = false;
    for (size_t i = 0; i < head.size(); ++i) {
      if (head[i] == '"') quoted = !quoted;
      if (head[i] == ':' && !quoted) return i;
    }
    return head.find(':');
  }

  void property() {
    std::string_view line;
    if (!next_line(line) || base::trim(line).empty()) return;
    std::string joined;
    size_t colon = colon_of(line);
    if (colon == std::string_view::npos) {
      std::string_view more;
      joined = line;
      while (more.find(':') == std::string_view::npos && joined.size() < kMostHead && next_fold(more)) joined += more;
      line = joined;
      colon = colon_of(line);
    }
    if (colon == std::string_view::npos || colon > kMostHead) return text_value({}, line);
    const Head head = parse_head(line.substr(0, colon));
    const std::string_view value = line.substr(colon + 1);
    if (head.name == "version") keeps_blanks_ = base::trim(value) == "2.1";
    if (head.name == "begin" || head.name == "end" || head.name == "version") return skip_folds();
    if (head.base64) return base64_value(head, value);
    if (head.quoted_printable) return quoted_value(head, value);
    text_value(head, value);
  }

  void skip_folds() {
    std::string_view more;
    while (next_fold(more)) {
    }
  }

  void base64_value(const Head& head, std::string_view first) {
    Base64Stream stream;
    bool whole = stream.add(first);
    std::string_view more;
    size_t lines = 0;
    while (going_ && next_base64(more)) {
      whole = whole && stream.add(more);
      if (++lines % 4096 == 0 && context_.budget().expired()) {
        context_.fail(Reason::time);
        going_ = false;
      }
    }
    if (!whole) context_.fail(Reason::size);
    give(head, stream.take());
  }
  // Base64 goes on by folds; exporters of vCard 2.1 also leave the white space out, up to an empty line.
  bool next_base64(std::string_view& line) {
    if (next_fold(line)) return true;
    if (at_ >= text_.size()) return false;
    const size_t before = at_;
    if (!next_line(line)) return false;
    const bool data = line.size() > 8 && line.find_first_of(":;") == std::string_view::npos &&
                      line.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t") ==
                          std::string_view::npos;
    if (!data) at_ = before;
    return data;
  }

  void give(const Head& head, std::string_view bytes) {
    // What is written here comes before the text of what is in it, should text have to end.
    sink_.flush();
    std::string label = head.name + ":";
    if (!give_inline(context_, bytes, label, head.file_name, head.type)) going_ = false;
  }

  void quoted_value(const Head& head, std::string_view first) {
    std::string raw(first);
    std::string_view more;
    for (;;) {
      const bool soft = raw.ends_with('=');
      if (raw.size() > kMostValue && !soft) {
        write_quoted(head, raw);
        raw.clear();
      }
      if (soft && raw.size() <= kMostValue * 2) {
        if (!next_line(more)) break;
        raw += "\n";
        // A fold inside a soft line break is layout.
        while (more.starts_with(' ') || more.starts_with('\t')) more.remove_prefix(1);
        raw += more;
      } else if (next_fold(more)) {
        raw += more;
      } else {
        break;
      }
      if (!context_.wants_text() || context_.budget().expired()) break;
    }
    write_quoted(head, raw);
    sink_.line();
  }
  void write_quoted(const Head& head, std::string_view raw) {
    const std::string bytes = mime::decode_transfer(mime::TransferEncoding::quoted_printable, raw).bytes;
    std::string_view charset = head.charset.empty() ? std::string_view(charset_) : std::string_view(head.charset);
    mime::Converted decoded = mime::to_utf8(bytes, charset);
    if (!decoded.known) {
      context_.fail(Reason::unsupported);
      decoded = mime::to_utf8(bytes, {});
    }
    write(decoded.utf8);
    if (decoded.utf8 != raw)
      sink_.paragraph(base::is_valid_utf8(raw) ? std::string(raw) : mime::to_utf8(raw, charset_).utf8);
  }

  void text_value(const Head& head, std::string_view first) {
    if (base::istarts_with(base::trim(first.substr(0, 16)), "data:")) return data_value(first);
    if (head.name == "agent" && !head.uri) return agent_value(first);
    std::string value(first);
    std::string_view more;
    size_t lines = 0;
    while (next_fold(more)) {
      value += more;
      if (value.size() > kMostValue && !value.ends_with('\\')) {
        write_text(value);
        value.clear();
      }
      if (++lines % 4096 == 0 && context_.budget().expired()) break;
    }
    write_text(value);
    sink_.line();
  }
  void write_text(std::string_view raw) {
    mime::Converted decoded;
    if (base::is_valid_utf8(raw)) {
      decoded.utf8 = raw;
    } else {
      decoded = mime::to_utf8(raw, charset_);
    }
    const std::string shown = unescape(decoded.utf8);
    write(shown);
    if (shown != decoded.utf8) sink_.paragraph(decoded.utf8);
  }
  // Parts of a structured value stand apart.
  void write(std::string_view shown) {
    sink_.text(shown);
    if (shown.find(';') == std::string_view::npos) return;
    std::string apart(shown);
    std::ranges::replace(apart, ';', ' ');
    sink_.paragraph(apart);
  }

  void data_value(std::string_view first) {
    // The head of the URI, then its data as it comes.
    std::string head(first);
    std::string_view more = first;
    while (head.size() < kMostHead && more.find(',') == std::string_view::npos && next_fold(more)) head += more;
    const size_t comma = head.find(',');
    if (comma == std::string::npos) return skip_folds();
    const std::string low = base::lower(std::string_view(head).substr(0, comma));
    Base64Stream stream;
    std::string plain;
    const bool base64 = low.find("base64") != std::string::npos;
    bool whole = true;
    const auto take = [&](std::string_view piece) {
      if (base64) {
        whole = whole && stream.add(piece);
      } else if (plain.size() + piece.size() <= kMostValue) {
        plain += piece;
      } else {
        whole = false;
      }
    };
    take(std::string_view(head).substr(comma + 1));
    size_t lines = 0;
    while (next_fold(more)) {
      take(more);
      if (++lines % 4096 == 0 && context_.budget().expired()) break;
    }
    if (!whole) context_.fail(Reason::size);
    if (!base64) {
      going_ = give_data_uri(context_, low + "," + plain, {});
      return;
    }
    Head property;
    property.name = "data";
    const size_t colon = low.find(':');
    property.type = low.substr(colon + 1, low.find(';') - colon - 1);
    give(property, stream.take());
  }

  // A card in a card: its lines are escaped. It is scanned as something in this one.
  void agent_value(std::string_view first) {
    std::string raw(first);
    std::string_view more;
    while (raw.size() <= kMostInline && next_fold(more)) raw += more;
    if (raw.size() > kMostInline) {
      context_.fail(Reason::size);
      skip_folds();
    }
    if (base::trim(raw).empty()) return;  // its lines follow as they are (vCard 2.1)
    Head property;
    property.name = "agent";
    property.type = "text/vcard";
    give(property, unescape(raw));
  }

  Context& context_;
  std::string_view text_;
  std::string charset_;
  TextSink sink_;
  size_t at_ = 0;
  bool going_ = true;
  bool keeps_blanks_ = false;
};

}  // namespace

void read_vcard(Context& context) {
  // Cards in one of the wide charsets are decoded as a whole, others property by property.
  const std::string_view looks = mime::sniff_charset(context.bytes());
  if (mime::is_wide_charset(looks) || mime::is_wide_charset(context.charset())) {
    const DecodedText decoded(context, context.bytes());
    CardText(context, decoded.view(), "utf-8").run();
    return;
  }
  std::string_view charset = context.charset();
  if (!charset.empty() && !mime::is_known_charset(charset)) {
    context.fail(Reason::unsupported);
    charset = {};
  }
  std::string_view bytes = context.bytes();
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (bytes.starts_with(kMark)) bytes.remove_prefix(kMark.size());
  CardText(context, bytes, charset).run();
}

}  // namespace postern::scan::worker
