// SPDX-License-Identifier: Apache-2.0
// RTF: text with its code pages, fields, objects (also as exploits write them), templates from elsewhere.
#include <algorithm>
#include <map>
#include <vector>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/office.h"
#include "engine/scan/worker/rtf.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr size_t kDepth = 20000;
constexpr size_t kFonts = 4096;
constexpr size_t kShort = 8192;  // instruction of a field, path of a template

enum class Where : uint8_t { text, skip, fonts, object, instruction, path };

struct Group {
  Where where = Where::text;
  bool starred = false;  // "\*" was seen and not yet what it is about
  bool begun = false;    // something was seen in the group
  uint32_t code_page = 1252;
  int32_t unicode_skip = 1;
};

constexpr std::string_view kSkipped[] = {"colortbl",     "stylesheet",   "pict",
                                         "themedata",    "datastore",    "colorschememapping",
                                         "latentstyles", "listtable",    "listoverridetable",
                                         "rsidtbl",      "generator",    "xmlnstbl",
                                         "mmathPr",      "filetbl",      "revtbl",
                                         "nonshppict",   "sp",           "objclass",
                                         "objname",      "nonesttables", "nesttableprops",
                                         "private",      "panose",       "falt",
                                         "fontemb",      "bkmkstart",    "bkmkend",
                                         "xe",           "tc",           "htmltag",
                                         "mhtmltag",     "listpicture",  "pgdsctbl",
                                         "fchars",       "lchars",       "passwordhash"};
// Destinations that readers may ignore, and that hold text all the same.
constexpr std::string_view kKept[] = {
    "shpinst",    "shptxt",   "shprslt", "do",        "dptxbxtext", "annotation", "atnauthor", "atnid",    "footnote",
    "header",     "footer",   "headerl", "headerr",   "headerf",    "footerl",    "footerr",   "footerf",  "shpgrp",
    "background", "title",    "author",  "subject",   "keywords",   "doccomm",    "company",   "category", "manager",
    "comment",    "operator", "ftnsep",  "aftnsep",   "fldrslt",    "result",     "shppict",   "ud",       "upr",
    "nestrow",    "listtext", "pntext",  "userprops", "staticval"};

bool among(std::span<const std::string_view> list, std::string_view word) {
  return std::ranges::find(list, word) != list.end();
}

uint32_t code_page_of_charset(int32_t charset) {
  switch (charset) {
    case 77:
      return 10000;
    case 128:
      return 932;
    case 129:
      return 949;
    case 134:
      return 936;
    case 136:
      return 950;
    case 161:
      return 1253;
    case 162:
      return 1254;
    case 163:
      return 1258;
    case 177:
      return 1255;
    case 178:
      return 1256;
    case 186:
      return 1257;
    case 204:
      return 1251;
    case 222:
      return 874;
    case 238:
      return 1250;
    case 254:
      return 437;
    case 255:
      return 850;
    default:
      return 0;
  }
}

class Rtf {
 public:
  explicit Rtf(Context& context) : context_(context), sink_(context), tokens_(context.bytes()) {
    groups_.emplace_back();
  }

  void run() {
    uint32_t count = 0;
    for (RtfToken token = tokens_.next(); token.kind != RtfToken::Kind::end; token = tokens_.next()) {
      if ((++count & 0xfff) == 0 && context_.budget().expired()) {
        context_.fail(Reason::time);
        return;
      }
      if (!one(token)) return;
    }
    while (groups_.size() > 1 && going_) close();
    flush();
  }

 private:
  Group& group() { return groups_.back(); }

  bool one(const RtfToken& token) {
    switch (token.kind) {
      case RtfToken::Kind::open:
        skip_ = 0;
        flush();
        if (groups_.size() >= kDepth) {
          context_.fail(Reason::depth);
          return false;
        }
        groups_.push_back(group());
        group().starred = false;
        group().begun = false;
        break;
      case RtfToken::Kind::close:
        skip_ = 0;
        close();
        break;
      case RtfToken::Kind::text:
        text(token.text);
        break;
      case RtfToken::Kind::hex:
        if (token.number >= 0 && !skipped(1)) byte(static_cast<char>(token.number));
        break;
      case RtfToken::Kind::binary:
        if (group().where == Where::object) object_.append(token.text);
        break;
      case RtfToken::Kind::symbol:
        symbol(token.text[0]);
        break;
      default:
        word(token);
    }
    return going_;
  }

  void close() {
    flush();
    const Group closed = group();
    if (groups_.size() == 1) return;
    groups_.pop_back();
    if (group().where == closed.where) return;
    if (closed.where == Where::object) {
      object();
    } else if (closed.where == Where::instruction) {
      const std::string target = note_field(context_, short_);
      if (!target.empty()) sink_.paragraph(target);
      short_.clear();
    } else if (closed.where == Where::path) {
      if (is_remote(short_)) context_.mark(Mark::remote_template);
      short_.clear();
    }
  }

  // skipped takes a character that only stands for those who read no Unicode.
  bool skipped(int32_t count) {
    if (skip_ <= 0) return false;
    skip_ -= count;
    return true;
  }

  void text(std::string_view bytes) {
    if (skip_ > 0) {
      const size_t now = std::min<size_t>(static_cast<size_t>(skip_), bytes.size());
      skip_ -= static_cast<int32_t>(now);
      bytes.remove_prefix(now);
    }
    group().begun = true;
    switch (group().where) {
      case Where::text:
        bytes_.append(bytes);
        break;
      case Where::object:
        hex(bytes);
        break;
      case Where::instruction:
      case Where::path:
        if (short_.size() < kShort)
          short_ += base::is_ascii(bytes) ? std::string(bytes) : ansi(bytes, group().code_page);
        break;
      default:
        break;
    }
  }
  void byte(char c) {
    if (group().where == Where::object) return;
    text({&c, 1});
  }
  void code(uint32_t value) {
    if (group().where == Where::text) {
      flush();
      append_code_point(pending_, value);
    } else if ((group().where == Where::instruction || group().where == Where::path) && short_.size() < kShort) {
      append_code_point(short_, value);
    }
  }
  void flush() {
    if (!bytes_.empty()) pending_ += base::is_ascii(bytes_) ? bytes_ : ansi(bytes_, group().code_page);
    bytes_.clear();
    sink_.text(pending_);
    pending_.clear();
  }
  void line() {
    if (group().where != Where::text) return;
    flush();
    sink_.line();
  }
  void tab() {
    if (group().where != Where::text) return;
    flush();
    sink_.tab();
  }

  void hex(std::string_view bytes) {
    for (const char c : bytes) {
      const char low = base::ascii_lower(c);
      const int value = low >= '0' && low <= '9' ? low - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
      if (value < 0) continue;
      if (half_ < 0) {
        half_ = value;
      } else {
        object_.push_back(static_cast<char>(half_ * 16 + value));
        half_ = -1;
      }
    }
  }

  void symbol(char c) {
    if (c == '*') {
      group().starred = true;
      return;
    }
    if (skipped(1)) return;
    switch (c) {
      case '\\':
      case '{':
      case '}':
        text({&c, 1});
        break;
      case '~':
        code(0xa0);
        break;
      case '_':
        code('-');
        break;
      case '\r':
      case '\n':
        line();
        break;
      default:
        break;
    }
  }

  void word(const RtfToken& token) {
    const std::string_view name = token.text;
    if (name == "u" && token.has_number) {
      unicode(token.number);
      return;
    }
    if (skipped(1)) return;
    const bool starred = group().starred;
    group().starred = false;
    const bool first = !group().begun;
    group().begun = true;
    if (starred || first) {
      if (destination(name, starred)) return;
    }
    if (name == "uc") {
      group().unicode_skip = std::clamp(token.number, 0, 16);
    } else if (name == "ansicpg") {
      default_page_ = group().code_page = static_cast<uint32_t>(std::max(token.number, 0));
    } else if (name == "mac") {
      default_page_ = group().code_page = 10000;
    } else if (name == "pc") {
      default_page_ = group().code_page = 437;
    } else if (name == "pca") {
      default_page_ = group().code_page = 850;
    } else if (name == "f" || name == "af") {
      if (group().where == Where::fonts) {
        font_ = token.number;
      } else if (name == "f") {
        use_font(token.number);
      }
    } else if (name == "plain") {
      use_font(default_font_);
    } else if (name == "deff") {
      default_font_ = token.number;
    } else if (group().where == Where::fonts && (name == "fcharset" || name == "cpg")) {
      const uint32_t page =
          name == "cpg" ? static_cast<uint32_t>(std::max(token.number, 0)) : code_page_of_charset(token.number);
      if (fonts_.size() < kFonts && page != 0) fonts_[font_] = page;
    } else if (name == "par" || name == "line" || name == "row" || name == "sect" || name == "page" ||
               name == "nestrow" || name == "column") {
      line();
    } else if (name == "cell" || name == "tab" || name == "nestcell") {
      tab();
    } else {
      character(name);
    }
  }

  void use_font(int32_t font) {
    const auto found = fonts_.find(font);
    const uint32_t page = found == fonts_.end() ? default_page_ : found->second;
    if (page == group().code_page) return;
    flush();
    group().code_page = page;
  }

  void character(std::string_view name) {
    static constexpr std::pair<std::string_view, uint32_t> kCharacters[] = {
        {"emdash", 0x2014},    {"endash", 0x2013},    {"bullet", 0x2022},  {"lquote", 0x2018}, {"rquote", 0x2019},
        {"ldblquote", 0x201c}, {"rdblquote", 0x201d}, {"emspace", 0x2003}, {"enspace", 0x2002}};
    for (const auto& [word, value] : kCharacters) {
      if (word == name) code(value);
    }
  }

  void unicode(int32_t number) {
    uint32_t value = static_cast<uint32_t>(number < 0 ? number + 65536 : number);
    skip_ = group().unicode_skip;
    if (value >= 0xd800 && value < 0xdc00) {
      surrogate_ = value;
      return;
    }
    if (value >= 0xdc00 && value < 0xe000 && surrogate_ != 0)
      value = 0x10000 + ((surrogate_ - 0xd800) << 10) + (value - 0xdc00);
    surrogate_ = 0;
    // Symbol fonts keep their characters here.
    if (value >= 0xf020 && value < 0xf100) value -= 0xf000;
    group().begun = true;
    code(value);
  }

  // destination enters what the first word of a group names. false: it is an ordinary word.
  bool destination(std::string_view name, bool starred) {
    Group& now = group();
    if (now.where == Where::object) {
      // Readers drop what they do not know inside object data.
      if (starred) now.where = Where::skip;
      return false;
    }
    if (now.where == Where::skip && name != "objdata") return starred;
    if (name == "objdata") {
      flush();
      now.where = Where::object;
      object_.clear();
      half_ = -1;
      return true;
    }
    if (name == "fonttbl") {
      now.where = Where::fonts;
      return true;
    }
    if (name == "fldinst") {
      flush();
      now.where = Where::instruction;
      short_.clear();
      return true;
    }
    if (name == "template") {
      flush();
      now.where = Where::path;
      short_.clear();
      return true;
    }
    if (name == "info" && !context_.job().want_metadata) {
      now.where = Where::skip;
      return true;
    }
    if (among(kSkipped, name)) {
      now.where = Where::skip;
      return true;
    }
    if (among(kKept, name)) {
      line();
      return true;
    }
    if (name == "rtf" || !starred) return name == "rtf";
    now.where = Where::skip;
    return true;
  }

  void object() {
    sink_.flush();
    const std::string data = std::move(object_);
    object_.clear();
    const Reason reason = context_.budget().out(data.size(), 0, context_.bytes().size());
    if (reason != Reason::none) {
      context_.fail(reason);
      going_ = false;
      return;
    }
    going_ = read_object(data);
  }

  // read_object reads an object of OLE 1: version, form, class, topic, item, size, data.
  bool read_object(std::string_view data) {
    size_t at = 8;
    const uint32_t form = little32(data, 4);
    std::string_view strings[3];
    for (std::string_view& string : strings) {
      const uint32_t length = little32(data, at);
      if (length > 4096) break;
      string = until_nul(slice(data, at + 4, length));
      at += 4ull + length;
    }
    if (form == 1 && is_remote(strings[1])) context_.mark(Mark::remote_template);
    const uint32_t size = little32(data, at);
    std::string_view body = slice(data, at + 4, size);
    const bool plausible = form == 2 && at + 4 <= data.size() && !body.empty();
    if (plausible) {
      if (read_package(context_, body)) return true;
      if (has_known_head(body)) return embed(context_, body, "", "objdata:" + windows_1252(strings[0]));
    }
    // Whatever the head says, what is in there counts.
    const size_t compound = data.find(kCompoundFileMagic);
    if (compound != std::string_view::npos) return embed(context_, data.substr(compound), "", "objdata");
    for (size_t place = data.find("\x02\0"sv); place != std::string_view::npos && place < 4096;
         place = data.find("\x02\0"sv, place + 1)) {
      if (byte_at(data, place + 2) >= 0x20 && read_package(context_, data.substr(place))) return true;
    }
    if (plausible) return embed(context_, body, "", "objdata:" + windows_1252(strings[0]));
    return carve(context_, data);
  }

  Context& context_;
  TextSink sink_;
  RtfTokens tokens_;
  std::vector<Group> groups_;
  std::map<int32_t, uint32_t> fonts_;
  std::string bytes_;    // text in the code page of the group
  std::string pending_;  // text in UTF-8
  std::string object_;
  std::string short_;
  uint32_t default_page_ = 1252;
  uint32_t surrogate_ = 0;
  int32_t default_font_ = 0;
  int32_t font_ = 0;
  int32_t skip_ = 0;
  int half_ = -1;
  bool going_ = true;
};

}  // namespace

void read_rtf(Context& context) {
  Rtf rtf(context);
  rtf.run();
}

}  // namespace postern::scan::worker
