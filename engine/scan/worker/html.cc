// SPDX-License-Identifier: Apache-2.0
// HTML: everything that may be shown, hidden text too, by the scanner that reads bodies. Words are not split by tags
// within a line. What is never shown as text (attributes that readers speak or show as hints, the source of scripts)
// stands behind the rest.
#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/mime/html_scanner.h"
#include "engine/mime/html_tag.h"
#include "engine/scan/worker/decoded_text.h"
#include "engine/scan/worker/embedded_data.h"
#include "engine/scan/worker/filetype.h"
#include "engine/scan/worker/formula.h"
#include "engine/scan/worker/text_readers.h"
#include "engine/scan/worker/text_sink.h"

namespace postern::scan::worker {
namespace {

using mime::HtmlPiece;

// Elements that stand on lines of their own.
constexpr std::array<std::string_view, 58> kBlocks = {
    "address",  "article", "aside",    "blockquote", "body",  "br",     "button",   "caption", "center",   "dd",
    "details",  "dialog",  "dir",      "div",        "dl",    "dt",     "fieldset", "figure",  "footer",   "form",
    "frameset", "h1",      "h2",       "h3",         "h4",    "h5",     "h6",       "head",    "header",   "hr",
    "html",     "iframe",  "legend",   "li",         "main",  "menu",   "nav",      "noembed", "noframes", "noscript",
    "ol",       "option",  "p",        "plaintext",  "pre",   "script", "section",  "select",  "style",    "summary",
    "table",    "tbody",   "template", "textarea",   "title", "tr",     "ul",       "xmp"};

// Attributes that readers show or speak.
constexpr std::array<std::string_view, 8> kShown = {
    "alt", "title", "placeholder", "aria-label", "label", "aria-description", "summary", "value"};
constexpr std::array<std::string_view, 9> kLinks = {"href",   "src",        "action", "formaction", "data",
                                                    "poster", "background", "srcdoc", "xlink:href"};
constexpr std::array<std::string_view, 4> kPlugins = {"object", "embed", "applet", "bgsound"};

// is_code tells whether an address is a program. Browsers skip white space and control characters in the scheme.
bool is_code(std::string_view address) {
  std::string scheme;
  for (const char c : address.substr(0, 256)) {
    if (static_cast<unsigned char>(c) <= ' ') continue;
    scheme += base::ascii_lower(c);
    if (c == ':' || scheme.size() > 16) break;
  }
  return scheme == "javascript:" || scheme == "vbscript:" || scheme == "livescript:";
}

class MarkupText {
 public:
  MarkupText(Context& context, std::string_view html)
      : context_(context), html_(html), sink_(context), sheet_(is_sheet(context.leaf())) {}

  void run() {
    mime::HtmlScanner scanner(html_);
    HtmlPiece piece;
    size_t pieces = 0;
    while (scanner.next(piece)) {
      if (++pieces % 1024 == 0 && context_.budget().expired()) {
        context_.fail(Reason::time);
        return;
      }
      switch (piece.kind) {
        case HtmlPiece::Kind::text:
          text(mime::html_text(piece.source, false));
          break;
        case HtmlPiece::Kind::tag:
          tag(piece.source);
          scanner.set_foreign(foreign_ > 0);
          break;
        case HtmlPiece::Kind::comment:
          comment(piece.source);
          break;
        case HtmlPiece::Kind::raw:
          raw(piece.source);
          break;
        case HtmlPiece::Kind::cdata:
          cdata(piece.source);
          break;
      }
    }
    end_of_cell();
    sink_.paragraph(aside_);
  }

 private:
  static constexpr size_t kMostAside = 1u << 20;

  // is_sheet tells whether a spreadsheet opens the page as one of its own.
  static bool is_sheet(const Leaf& leaf) {
    const std::string name = plain_name(leaf.name);
    return name.ends_with(".xls") || name.ends_with(".xlt") ||
           base::iequals(leaf.declared_mime, "application/vnd.ms-excel");
  }
  void end_of_cell() {
    if (is_dde(base::trim(cell_))) context_.mark(Mark::macro_dde);
    cell_.clear();
  }

  // White space is drawn together; what a line ends with is not written.
  void text(std::string_view decoded) {
    constexpr size_t kLongestCell = 1024;
    if (sheet_) cell_ += decoded.substr(0, kLongestCell - std::min(kLongestCell, cell_.size()));
    if (!context_.wants_text()) return;
    std::string out;
    out.reserve(decoded.size() + 1);
    for (const char c : decoded) {
      if (mime::is_html_space(c)) {
        blank_ = true;
        continue;
      }
      if (blank_ && in_line_) out += ' ';
      blank_ = false;
      in_line_ = true;
      out += c;
    }
    sink_.text(out);
  }
  void line() {
    sink_.line();
    blank_ = false;
    in_line_ = false;
  }
  void cell() {
    sink_.tab();
    blank_ = false;
    in_line_ = false;
  }
  void aside(std::string_view shown) {
    shown = base::trim(shown);
    if (shown.empty()) return;
    if (aside_.size() + shown.size() > kMostAside) {
      // Too much to be kept for later: it goes where it stands.
      line();
      sink_.paragraph(aside_);
      sink_.paragraph(shown);
      aside_.clear();
      return;
    }
    aside_ += shown;
    aside_ += '\n';
  }

  void tag(std::string_view source) {
    const std::string_view name = mime::tag_name(source);
    const bool end = mime::is_end_tag(source);
    last_ = name;
    if (sheet_ && (base::iequals(name, "td") || base::iequals(name, "th") || base::iequals(name, "tr"))) end_of_cell();
    if (mime::is_one_of(name, kBlocks)) {
      line();
    } else if (base::iequals(name, "td") || base::iequals(name, "th")) {
      if (!end) cell();
    } else if (base::iequals(name, "svg") || base::iequals(name, "math")) {
      if (end) {
        if (foreign_ > 0) --foreign_;
      } else if (!source.ends_with("/>")) {
        ++foreign_;
      }
    }
    if (end) return;
    if (mime::is_one_of(name, kPlugins)) context_.mark(Mark::active_content);
    if (base::iequals(name, "script") && (foreign_ > 0 || source.size() > 8)) {
      if (!mime::attribute_of(source, "src").empty() || foreign_ > 0) context_.mark(Mark::active_content);
    }
    attributes(name, source);
  }

  void attributes(std::string_view name, std::string_view source) {
    const bool meta = base::iequals(name, "meta");
    const bool hidden = base::iequals(name, "input") && base::iequals(mime::attribute_of(source, "type"), "hidden");
    size_t at = mime::attributes_begin(source);
    mime::HtmlAttribute each;
    while (mime::next_attribute(source, at, each)) {
      if (each.value.empty()) continue;
      data_uri(each.value);
      if (base::iequals(each.name, "x:fmla") && is_dde_formula(mime::html_text(each.value, true))) {
        context_.mark(Mark::macro_dde);
      }
      if (each.name.size() > 3 && base::istarts_with(each.name, "on")) {
        context_.mark(Mark::active_content);
      } else if (mime::is_one_of(each.name, kLinks)) {
        if (is_code(mime::html_text(each.value.substr(0, 1024), true))) context_.mark(Mark::active_content);
        if (base::iequals(each.name, "srcdoc")) {
          sink_.flush();
          give_inline(context_, mime::html_text(each.value, true), "srcdoc:", {}, "text/html");
        }
      } else if (context_.wants_text() && mime::is_one_of(each.name, kShown)) {
        if (!hidden) aside(mime::html_text(each.value, true));
      } else if (meta && base::iequals(each.name, "content")) {
        const std::string content = mime::html_text(each.value, true);
        if (is_code(content.substr(std::min(content.find('=') + 1, content.size())))) {
          context_.mark(Mark::active_content);
        }
        if (context_.job().want_metadata && mime::attribute_of(source, "http-equiv").empty()) aside(content);
      }
    }
  }

  // A data URI may be written so that it is none in the source.
  void data_uri(std::string_view source) {
    size_t begin = 0;
    while (begin < source.size() && static_cast<unsigned char>(source[begin]) <= ' ') ++begin;
    if (begin == source.size() || std::string_view("dD&").find(source[begin]) == std::string_view::npos) return;
    more_data_ = more_data_ && give_data_attribute(context_, source, mime::html_text(source, true));
  }

  void cdata(std::string_view source) {
    constexpr std::string_view kBegin = "<![CDATA[";
    source.remove_prefix(std::min(kBegin.size(), source.size()));
    if (source.ends_with("]]>")) source.remove_suffix(3);
    text(source);
  }

  void raw(std::string_view source) {
    const auto is = [&](std::string_view name) { return base::iequals(last_, name); };
    if (is("textarea") || is("title")) {
      text(mime::html_text(source, false));
    } else if (is("xmp") || is("plaintext")) {
      text(source);
    } else if (is("script")) {
      if (base::trim(source).empty()) return;
      context_.mark(Mark::active_content);
      if (context_.job().want_metadata && context_.wants_text()) aside(source);
    } else if (is("noembed") || is("noframes") || is("iframe")) {
      inner(source);
    }
  }

  // Text that some readers show: "<!--[if …]>text<![endif]-->".
  void comment(std::string_view source) {
    if (!source.starts_with("<!--[if")) return;
    const size_t begin = source.find('>');
    const size_t end = source.rfind("<![endif]");
    if (begin == std::string_view::npos || end == std::string_view::npos || end <= begin) return;
    inner(source.substr(begin + 1, end - begin - 1));
  }

  // What is in it is read once, not deeper.
  void inner(std::string_view source) {
    line();
    mime::HtmlScanner scanner(source);
    HtmlPiece piece;
    while (scanner.next(piece)) {
      if (piece.kind == HtmlPiece::Kind::text) text(mime::html_text(piece.source, false));
      if (piece.kind == HtmlPiece::Kind::raw) text(mime::html_text(piece.source, false));
      if (piece.kind != HtmlPiece::Kind::tag) continue;
      const std::string_view name = mime::tag_name(piece.source);
      if (mime::is_one_of(name, kBlocks)) line();
      if (base::iequals(name, "script")) context_.mark(Mark::active_content);
    }
    line();
  }

  Context& context_;
  std::string_view html_;
  TextSink sink_;
  std::string aside_;
  std::string_view last_;
  std::string cell_;  // of a sheet
  bool sheet_;
  bool more_data_ = true;  // wanted of attributes
  unsigned foreign_ = 0;   // depth of SVG and MathML
  bool blank_ = false;
  bool in_line_ = false;
};

// stated_charset is what a document says of itself within its first bytes.
std::string stated_charset(std::string_view html) {
  constexpr size_t kLookedAt = 65536;
  html = html.substr(0, kLookedAt);
  if (html.starts_with("<?xml")) {
    const size_t at = html.substr(0, html.find('>')).find("encoding");
    if (at != std::string_view::npos) {
      const size_t quote = html.find_first_of("\"'", at);
      if (quote != std::string_view::npos) {
        const size_t close = html.find(html[quote], quote + 1);
        if (close != std::string_view::npos) return std::string(html.substr(quote + 1, close - quote - 1));
      }
    }
  }
  mime::HtmlScanner scanner(html);
  HtmlPiece piece;
  while (scanner.next(piece)) {
    if (piece.kind != HtmlPiece::Kind::tag || !base::iequals(mime::tag_name(piece.source), "meta")) continue;
    std::string charset = mime::attribute_of(piece.source, "charset");
    if (charset.empty()) {
      const std::string content = base::lower(mime::attribute_of(piece.source, "content"));
      const size_t at = content.find("charset=");
      if (at == std::string::npos) continue;
      charset = content.substr(at + 8);
      charset = charset.substr(0, charset.find_first_of("; \"'"));
    }
    if (!charset.empty()) return charset;
  }
  return {};
}

}  // namespace

void markup_text(Context& context, std::string_view utf8) { MarkupText(context, utf8).run(); }

void read_html(Context& context) {
  const std::string stated = stated_charset(context.bytes());
  const DecodedText decoded(context, context.bytes(), stated);
  if (context.leaf().is(FileType::hta)) context.mark(Mark::active_content);
  markup_text(context, decoded.view());
  find_embedded(context, decoded.view(), true);
}

}  // namespace postern::scan::worker
