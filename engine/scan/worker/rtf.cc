// SPDX-License-Identifier: Apache-2.0
// RTF: text with its code pages, fields, objects (also as exploits write them), templates from elsewhere.
#include <algorithm>
#include <map>
#include <vector>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/field.h"
#include "engine/scan/worker/office.h"
#include "engine/scan/worker/rtf.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr size_t kDepth = 20000;
constexpr size_t kFonts = 4096;
constexpr size_t kShort = 8192;          // path of a template
constexpr size_t kMostApart = 1u << 20;  // text that stands apart, before it is given

enum class Where : uint8_t { text, skip, fonts, object, instruction, path, property };

struct Group {
  Where where = Where::text;
  bool starred = false;  // "\*" was seen and not yet what it is about
  bool begun = false;    // something was seen in the group
  bool owns = false;     // what it is was said in it, not around it
  bool kept = false;     // its text is no part of the line around it
  bool apart = false;    // in a note or shape, which may stand in the middle of a word
  bool drawn = false;    // in a property of a drawing
  bool also = false;     // it may be text as well: what it is was not said first, and not every program cares
  size_t fields = 0;     // that were open when it began
  uint32_t code_page = 1252;
  int32_t unicode_skip = 1;
};

constexpr std::string_view kSkipped[] = {"colortbl",     "stylesheet",     "pict",
                                         "themedata",    "datastore",      "colorschememapping",
                                         "latentstyles", "listtable",      "listoverridetable",
                                         "rsidtbl",      "generator",      "xmlnstbl",
                                         "mmathPr",      "filetbl",        "revtbl",
                                         "nonshppict",   "objclass",       "objname",
                                         "nonesttables", "nesttableprops", "private",
                                         "panose",       "falt",           "fontemb",
                                         "bkmkstart",    "bkmkend",        "xe",
                                         "tc",           "htmltag",        "mhtmltag",
                                         "listpicture",  "pgdsctbl",       "fchars",
                                         "lchars",       "passwordhash"};
// Destinations that readers may ignore, and that hold text all the same.
constexpr std::string_view kKept[] = {
    "shpinst",    "shptxt",   "shprslt", "do",        "dptxbxtext", "annotation", "atnauthor", "atnid",    "footnote",
    "header",     "footer",   "headerl", "headerr",   "headerf",    "footerl",    "footerr",   "footerf",  "shpgrp",
    "background", "title",    "author",  "subject",   "keywords",   "doccomm",    "company",   "category", "manager",
    "comment",    "operator", "ftnsep",  "aftnsep",   "fldrslt",    "result",     "shppict",   "ud",       "upr",
    "nestrow",    "listtext", "pntext",  "userprops", "staticval",  "hl",         "hlsrc",     "hlloc",    "hlfr"};
// Of these, what stands apart from the line that it is in, so that a word may go on behind it; and what is in the line.
constexpr std::string_view kApart[] = {"footnote", "annotation", "atnid",   "atnauthor",  "shpinst",    "shptxt",
                                       "shprslt",  "shpgrp",     "do",      "dptxbxtext", "background", "header",
                                       "footer",   "headerl",    "headerr", "headerf",    "footerl",    "footerr",
                                       "footerf",  "ftnsep",     "aftnsep"};
constexpr std::string_view kInline[] = {"fldrslt", "listtext", "pntext", "shppict"};
// Destinations that Word enters wherever in a group they stand.
constexpr std::string_view kAnywhere[] = {"objdata", "fldinst", "template", "fonttbl", "pict", "info"};
// Properties of drawings that are seen: text of WordArt, descriptions, where a click leads.
constexpr std::string_view kDrawn[] = {"gtextUNICODE", "wzDescription", "wzTooltip", "pihlShape", "pHyperlink"};

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
  explicit Rtf(Context& context) : context_(context), sink_(context), tokens_(context.bytes()), fields_(context) {
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
    while (fields_.depth() > 0) link(fields_.end());
    flush();
    give_apart();
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
        group().starred = group().begun = group().owns = group().kept = false;
        group().fields = fields_.depth();
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
    if (closed.owns) {
      if (closed.where == Where::object) {
        object();
      } else if (closed.where == Where::instruction) {
        link(fields_.separate());
      } else if (closed.where == Where::path) {
        if (is_remote(short_)) context_.mark(Mark::remote_template);
      } else if (closed.where == Where::property) {
        property_ = base::trim(short_);
      }
    }
    while (fields_.depth() > closed.fields) link(fields_.end());
    if (closed.apart && (closed.kept || !group().apart)) {
      part('\n');
    } else if (closed.kept) {
      line();
    }
  }

  // link gives the target of a field, as a line.
  void link(const std::string& target) {
    if (target.empty()) return;
    flush();
    if (!group().apart) return sink_.paragraph(target);
    part('\n');
    apart_ += target;
    part('\n');
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
    if (shown()) bytes_.append(bytes);
    switch (group().where) {
      case Where::object:
        hex(bytes);
        break;
      case Where::instruction:
        fields_.text(converted(bytes));
        break;
      case Where::path:
      case Where::property:
        if (short_.size() < kShort) short_ += converted(bytes);
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
    if (shown()) {
      flush();
      append_code_point(pending_, value);
    }
    if (group().where == Where::instruction) {
      fields_.code(value);
    } else if ((group().where == Where::path || group().where == Where::property) && short_.size() < kShort) {
      append_code_point(short_, value);
    }
  }
  std::string converted(std::string_view bytes) const {
    return base::is_ascii(bytes) ? std::string(bytes) : ansi(bytes, groups_.back().code_page);
  }
  // shown tells whether what comes next is text that people read.
  bool shown() const { return groups_.back().where == Where::text || groups_.back().also; }
  void flush() {
    if (!bytes_.empty()) pending_ += converted(bytes_);
    bytes_.clear();
    if (group().apart) {
      apart_ += pending_;
      if (apart_.size() > 2 * kMostApart) give_apart();
    } else {
      sink_.text(pending_);
    }
    pending_.clear();
  }
  void line() { separate('\n'); }
  void tab() { separate('\t'); }
  void separate(char separator) {
    if (group().where == Where::instruction) fields_.blank();
    if (!shown()) return;
    flush();
    if (group().apart) return part(separator);
    if (separator == '\t') return sink_.tab();
    sink_.line();
    give_apart();
  }
  // part ends a line or cell of what stands apart.
  void part(char separator) {
    if (!apart_.empty() && apart_.back() == '\t' && separator == '\n') apart_.pop_back();
    if (!apart_.empty() && apart_.back() != '\t' && apart_.back() != '\n') apart_ += separator;
    if (apart_.size() > kMostApart) give_apart();
  }
  // give_apart gives what stood apart, where a line is over.
  void give_apart() {
    const std::string_view text = base::trim(apart_);
    if (!text.empty()) sink_.paragraph(text);
    apart_.clear();
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
    if (destination(name, starred, first)) return;
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

  // enter makes the group one that is read otherwise.
  void enter(Where where, bool also = false) {
    flush();
    group().where = where;
    group().owns = true;
    group().also = also;
    if (where == Where::path || where == Where::property) short_.clear();
  }

  // destination enters what a group's first word names, or one with a star before it. false: it is an ordinary word.
  bool destination(std::string_view name, bool starred, bool first) {
    const bool later = !starred && !first;
    if (later && !among(kAnywhere, name)) return false;
    Group& now = group();
    if (now.where == Where::object) {
      // Readers drop what they do not know inside object data.
      if (starred) now.where = Where::skip;
      return false;
    }
    if (drawing(name)) return true;
    if (now.where == Where::skip && name != "objdata") return starred;
    if (name == "objdata") {
      enter(Where::object, later && shown());
      object_.clear();
      half_ = -1;
      return true;
    }
    if (name == "fonttbl" || name == "template") {
      enter(name == "fonttbl" ? Where::fonts : Where::path, later && shown());
      return true;
    }
    if (name == "fldinst") {
      // The one before is over, and nothing but the group around would say so.
      const size_t around = groups_.size() > 1 ? groups_[groups_.size() - 2].fields : 0;
      while (fields_.depth() > around && fields_.separated()) link(fields_.end());
      enter(Where::instruction, later && shown());
      fields_.begin();
      now.fields = fields_.depth();
      return true;
    }
    // A whole document is no picture.
    const bool whole = later && groups_.size() <= 2;
    if (among(kSkipped, name) || (name == "info" && !context_.job().want_metadata)) {
      if (whole) return false;
      enter(Where::skip);
      return true;
    }
    if (among(kApart, name)) {
      flush();
      now.apart = true;
      part('\n');
      return true;
    }
    if (among(kKept, name)) {
      if (name != "fldrslt") line();
      now.kept = !among(kInline, name);
      return true;
    }
    if (name == "rtf" || !starred) return name == "rtf";
    enter(Where::skip);
    return true;
  }

  // drawing takes the properties of drawings: a name and a value each.
  bool drawing(std::string_view name) {
    Group& now = group();
    if (name == "sp") {
      enter(Where::skip);
      now.drawn = true;
      property_.clear();
      return true;
    }
    if (!now.drawn) return false;
    if (name == "sn") {
      enter(Where::property);
      return true;
    }
    if (name != "sv" || !among(kDrawn, property_)) return false;
    enter(Where::text);
    now.kept = now.apart = true;
    part('\n');
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
  std::string apart_;    // text of notes and shapes, until the line is over that they are in
  std::string object_;
  std::string short_;
  std::string property_;  // of a drawing: its name
  Fields fields_;
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
