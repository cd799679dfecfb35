// SPDX-License-Identifier: Apache-2.0
// Kinds of text: by how it begins, by marks in it, by the lines it is made of. A mail is text too.
#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/decoded_text.h"
#include "engine/scan/worker/filetype_parts.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr size_t kHead = 64u << 10;

// is_text tells whether the beginning has no bytes that text does not have.
bool is_text(std::string_view head) {
  size_t odd = 0;
  for (const char c : head) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) return false;
    if (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r' && byte != '\f' && byte != 0x1b && byte != '\b')
      ++odd;
  }
  return odd * 100 <= head.size();
}

std::string_view first_line(std::string_view text) { return text.substr(0, text.find_first_of("\r\n")); }

// next_line cuts a line off `rest`.
std::string_view next_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Names of header fields that mail begins with, and how much each says.
struct Field {
  std::string_view name;
  int points;
};
constexpr Field kFields[] = {{"received", 2},
                             {"return-path", 2},
                             {"message-id", 2},
                             {"mime-version", 2},
                             {"delivered-to", 2},
                             {"dkim-signature", 2},
                             {"from", 1},
                             {"to", 1},
                             {"subject", 1},
                             {"date", 1},
                             {"cc", 1},
                             {"reply-to", 1},
                             {"sender", 1},
                             {"content-type", 1},
                             {"content-transfer-encoding", 1},
                             {"x-mailer", 2},
                             {"user-agent", 1},
                             {"references", 1},
                             {"in-reply-to", 1},
                             {"newsgroups", 2},
                             {"path", 1},
                             {"xref", 1},
                             {"list-id", 1},
                             {"x-original-to", 2},
                             {"errors-to", 1},
                             {"authentication-results", 2},
                             {"x-received", 2},
                             {"arc-seal", 2},
                             {"resent-from", 1},
                             {"x-apparently-to", 2},
                             {"status", 0},
                             {"bcc", 1},
                             {"x-uidl", 2},
                             {"received-spf", 2}};

struct Header {
  int points = 0;
  bool body = false;  // an empty line and more behind it
};

Header look_at_header(std::string_view text) {
  Header header;
  bool any = false;
  for (int lines = 0; !text.empty() && lines < 500; ++lines) {
    const std::string_view line = next_line(text);
    if (line.empty()) {
      if (!any) return {};
      header.body = !base::trim(text.substr(0, 4096)).empty();
      return header;
    }
    if (line.front() == ' ' || line.front() == '\t') {
      if (!any) return {};
      continue;
    }
    const size_t colon = line.find(':');
    const std::string_view name = base::trim(line.substr(0, colon));
    const bool field = colon != std::string_view::npos && colon > 0 && colon <= 76 &&
                       name.find_first_of(" \t<>{}()\"") == std::string_view::npos;
    if (!field) {
      // What stands behind a header without an empty line is its body.
      header.body = true;
      return header;
    }
    any = true;
    for (const Field& row : kFields) {
      if (base::iequals(name, row.name)) header.points += row.points;
    }
    if (base::istarts_with(name, "x-") || base::istarts_with(name, "content-")) ++header.points;
  }
  return header;
}

// is_mailbox tells whether a "From " line with a date stands first, or one before a header.
bool is_mailbox(std::string_view text) {
  if (!text.starts_with("From ")) return false;
  std::string_view rest = text;
  const std::string_view from = next_line(rest);
  if (from.size() > 1000) return false;
  constexpr std::string_view kDays[] = {" Mon ", " Tue ", " Wed ", " Thu ", " Fri ", " Sat ", " Sun "};
  const bool day = std::ranges::any_of(kDays, [&](auto name) { return from.find(name) != std::string_view::npos; });
  if (day && std::ranges::count(from, ':') >= 1) return true;
  return (from.find('@') != std::string_view::npos || std::ranges::count(from, ':') >= 1) &&
         look_at_header(rest).points >= 1;
}

void add_mail(std::string_view text, std::string_view name, std::string_view declared_mime, Found& found) {
  if (base::istarts_with(text, "BEGIN:VCARD") || base::istarts_with(text, "BEGIN:VCALENDAR")) return;
  std::string_view start = text;
  if (is_mailbox(text)) {
    // One message that a mail program saved with its "From " line is still that message.
    const bool single = text.find("\nFrom ") == std::string_view::npos;
    if (!single || type_of_extension(name) != FileType::rfc822) {
      found.add(FileType::mbox);
      return;
    }
    next_line(start);
  }
  if (base::istarts_with(declared_mime, "text/rfc822-headers")) {
    found.add(FileType::rfc822_headers);
    return;
  }
  // Some programs put one line before the header.
  if (start.starts_with(">From ") || start.starts_with("#! rnews")) next_line(start);
  const Header header = look_at_header(start);
  if (header.points >= 3 || (header.points >= 1 && base::iequals(declared_mime, "message/rfc822")) ||
      (header.points >= 2 && type_of_extension(name) == FileType::rfc822)) {
    const std::string first = base::lower(first_line(start));
    const bool news = first.starts_with("path:") || first.starts_with("xref:") || text.starts_with("#! rnews");
    found.add(FileType::rfc822, news ? "message/news"sv : ""sv);
    if (!header.body) found.add(FileType::rfc822_headers);
  }
}

// Tags that begin an HTML document or a piece of one.
constexpr std::string_view kTags[] = {"<!doctype html", "<html",  "<head", "<body",   "<title", "<script", "<style",
                                      "<table",         "<meta",  "<link", "<iframe", "<form",  "<div",    "<span",
                                      "<a href",        "<h1",    "<p>",   "<img",    "<font",  "<center", "<br",
                                      "<base",          "<frame", "<svg:", "<object", "<applet"};

void add_markup(std::string_view text, Found& found) {
  const size_t start = text.find_first_not_of(" \t\r\n\f");
  if (start == std::string_view::npos) return;
  std::string_view rest = text.substr(start);
  const bool declared = base::istarts_with(rest, "<?xml");
  // Past declarations, comments and instructions to the root.
  while (true) {
    const size_t next = rest.find_first_not_of(" \t\r\n\f");
    rest = next == std::string_view::npos ? std::string_view() : rest.substr(next);
    const std::string_view end = rest.starts_with("<!--") ? "-->"sv : rest.starts_with("<?") ? "?>"sv : ""sv;
    if (end.empty()) break;
    const size_t at = rest.find(end);
    if (at == std::string_view::npos) break;
    rest = rest.substr(at + end.size());
  }
  const std::string head = base::lower(rest.substr(0, kHead));
  const std::string_view root = head;
  const bool doctype = root.starts_with("<!doctype");
  const auto within = [&](std::string_view what, size_t most) {
    return root.substr(0, most).find(what) != std::string_view::npos;
  };
  if (within("application/vnd.oasis.opendocument.", 8192) && within("office:document", 4096)) {
    const size_t at = root.find("application/vnd.oasis.opendocument.");
    const std::string_view kind = root.substr(at + 35, 12);
    const FileType type = kind.starts_with("text")           ? FileType::odt
                          : kind.starts_with("spreadsheet")  ? FileType::ods
                          : kind.starts_with("presentation") ? FileType::odp
                          : kind.starts_with("graphics")     ? FileType::odg
                                                             : FileType::odf;
    found.add(type);
    found.add(FileType::xml);
    return;
  }
  if (root.starts_with("<svg") || (doctype && root.starts_with("<!doctype svg")) ||
      (root.starts_with("<") && within("<svg", 4096) && !within("<html", 4096))) {
    found.add(FileType::svg);
  }
  bool html = false;
  for (const std::string_view tag : kTags) html |= root.starts_with(tag);
  if (html || within("<html", kHead)) {
    if (declared || within("http://www.w3.org/1999/xhtml", 2048)) {
      found.add(FileType::xhtml, "text/html");
    }
    found.add(FileType::html);
    if (within("<hta:application", kHead)) found.add(FileType::hta);
    return;
  }
  const bool script_host = root.starts_with("<job") || root.starts_with("<package") || root.starts_with("<scriptlet") ||
                           root.starts_with("<component");
  if (script_host && within("<script", kHead)) found.add(FileType::wsf);
  if (declared) {
    found.add(FileType::xml);
  } else if (root.starts_with("<") && root.size() > 3 && (root[1] >= 'a' && root[1] <= 'z') &&
             (doctype || root.find("xmlns") != std::string_view::npos || root.find("</") != std::string_view::npos)) {
    // Without a declaration: an element that is closed again by its name.
    const std::string_view element = root.substr(1, root.find_first_of(" \t\r\n/>", 1) - 1);
    if (text.substr(text.size() - std::min<size_t>(text.size(), 4096)).find("</") != std::string_view::npos &&
        element.size() < 64) {
      found.add(FileType::xml);
    }
  } else if (doctype) {
    found.add(FileType::xml);
  }
}

// CSV says nothing of itself: ten lines with as many separators each, or a name.
bool is_csv(std::string_view text, std::string_view name, std::string_view declared_mime) {
  if (type_of_extension(name) == FileType::csv || base::istarts_with(declared_mime, "text/csv")) return true;
  size_t lines = 0;
  size_t commas = 0;
  while (!text.empty() && lines < 10) {
    const std::string_view line = next_line(text);
    const auto count = static_cast<size_t>(std::ranges::count(line, ','));
    if (count == 0 || (lines > 0 && count != commas)) return false;
    commas = count;
    ++lines;
  }
  return lines >= 10;
}

// The longest line that a mark is told by.
constexpr size_t kMarkLine = 300;

bool is_uuencode(std::string_view line) {
  line.remove_prefix(5);
  if (line.starts_with("-base64 ")) return true;
  if (!line.starts_with(' ')) return false;
  line.remove_prefix(1);
  const size_t digits = line.find_first_not_of("01234567");
  return (digits == 3 || digits == 4) && line[digits] == ' ';
}

// add_carrier adds what the line that begins `text` begins.
void add_carrier(std::string_view text, Found& found) {
  if (text.starts_with("begin")) {
    if (is_uuencode(first_line(text))) found.add(FileType::uuencode);
  } else if (text.starts_with("=ybegin ")) {
    found.add(FileType::yenc);
  } else if (text.starts_with("(This file must be converted with BinHex")) {
    found.add(FileType::binhex);
  } else if (text.starts_with("-----BEGIN PGP MESSAGE")) {
    found.add(FileType::pgp);
  } else if (text.starts_with("-----BEGIN PGP PUBLIC KEY") || text.starts_with("-----BEGIN PGP PRIVATE KEY")) {
    found.add(FileType::pgp_keys);
  } else if (text.starts_with("-----BEGIN PKCS7-----") || text.starts_with("-----BEGIN CMS-----")) {
    found.add(FileType::smime);
  }
}

// add_carriers looks at each line of `text`, in one pass; `start` tells whether one begins where it does.
void add_carriers(std::string_view text, bool start, Found& found) {
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (start && (c == 'b' || c == '=' || c == '(' || c == '-')) add_carrier(text.substr(at, kMarkLine), found);
    start = c == '\n' || c == '\r';
  }
}

// is_guessed tells whether only where its zero bytes stand makes UTF-16 or UTF-32 of something: who skips them reads it
// as it stands.
bool is_guessed(std::string_view charset) {
  return mime::is_wide_charset(charset) && charset != "utf-16" && charset != "utf-32";
}

void add_all_carriers(std::string_view bytes, std::string_view charset, Found& found) {
  if (is_guessed(charset)) add_carriers(bytes, true, found);
  if (!mime::is_wide_charset(charset)) {
    add_carriers(bytes.substr(bytes.starts_with("\xef\xbb\xbf") ? 3 : 0), true, found);
    return;
  }
  each_wide_piece(bytes, charset, [&](std::string_view text, bool first) {
    add_carriers(text, first, found);
    return true;
  });
}

void add_plain_kinds(std::string_view text, std::string_view name, std::string_view declared_mime, Found& found) {
  const size_t start = text.find_first_not_of(" \t\r\n");
  const std::string_view body = start == std::string_view::npos ? std::string_view() : text.substr(start);
  if (base::istarts_with(body, "BEGIN:VCARD") || base::iequals(declared_mime, "text/vcard") ||
      base::iequals(declared_mime, "text/x-vcard")) {
    found.add(FileType::vcard);
  }
  if (base::istarts_with(body, "BEGIN:VCALENDAR") || base::iequals(declared_mime, "text/calendar")) {
    found.add(FileType::ics);
  }
  if (body.starts_with("%!PS")) found.add(FileType::ps);
  const std::string_view first = base::trim(first_line(body));
  if (base::istarts_with(first, "Windows Registry Editor Version") || base::iequals(first, "REGEDIT4")) {
    found.add(FileType::reg);
  }
  const std::string head = base::lower(text.substr(0, 4096));
  if (head.find("[internetshortcut]") != std::string::npos) found.add(FileType::url);
  if (first == "999" || first == "0") {
    const size_t section = head.find("section");
    if (section != std::string::npos && head.find("\n") < section && head.find("header") != std::string::npos) {
      found.add(FileType::dxf);
    }
  }
  if (first == "0" && head.find("section") < 20) found.add(FileType::dxf);
  bool lines = false;
  if (is_json(body, lines)) found.add(FileType::json, lines ? "application/x-ndjson"sv : ""sv);
  if (found.empty() && is_csv(text, name, declared_mime)) found.add(FileType::csv);
}

// is_called_text tells whether a name is one of text: of a kind of it, or of what editors show. Nobody reads XML that
// is none; in documents with a password it is what is encrypted.
bool is_called_text(std::string_view name) {
  const std::optional<FileType> type = type_of_extension(name);
  if (type == FileType::xml || type == FileType::xhtml || type == FileType::svg) return false;
  if (type && info(*type).in(Group::text)) return true;
  constexpr std::string_view kOthers[] = {"log", "text", "md",  "asc", "ini",  "cfg",   "conf", "tsv", "tab",
                                          "yml", "yaml", "sql", "lst", "diff", "patch", "tex",  "nfo", "prn"};
  const size_t dot = name.rfind('.');
  return dot != std::string_view::npos && std::ranges::find(kOthers, name.substr(dot + 1)) != std::end(kOthers);
}

// Where a mark makes something of text, so that it is not that and text as well: these are text by themselves.
bool is_textual_format(FileType type) { return type == FileType::rtf || type == FileType::ps || type == FileType::pdf; }

}  // namespace

Textual textual(std::string_view bytes, std::string_view name, std::string_view declared_mime) {
  if (bytes.empty()) return Textual::no;
  const std::string_view charset = mime::sniff_charset(bytes);
  const bool wide = mime::is_wide_charset(charset);
  constexpr size_t kWideHead = 4096;
  if (wide) {
    const std::string text = mime::to_utf8(bytes.substr(0, kWideHead * 4), charset).utf8;
    const std::string_view head = std::string_view(text).substr(0, kWideHead);
    // Every pair of bytes is some character; text has few that are none.
    if (is_text(head) && head.find("\xef\xbf\xbd") == std::string_view::npos) return Textual::looks;
  } else if (is_text(bytes.substr(0, kHead)) || is_text(bytes.substr(0, 512))) {
    // Something may still be behind that text begins with: a mail with binary parts, a page with a picture.
    return Textual::looks;
  }
  if (declared_mime.starts_with("text/")) return Textual::declared;
  if (is_called_text(name)) return Textual::named;
  return wide ? Textual::maybe : Textual::no;
}

void add_text_types(std::string_view bytes, std::string_view name, std::string_view declared_mime, Textual how,
                    Found& found) {
  if (how == Textual::no || (how == Textual::maybe && !found.empty())) return;
  const std::string_view charset = mime::sniff_charset(bytes);
  if (how != Textual::looks) return add_all_carriers(bytes, charset, found);
  std::string converted;
  std::string_view text = bytes;
  if (mime::is_wide_charset(charset)) {
    converted = mime::to_utf8(bytes.substr(0, kHead * 4), charset).utf8;
    text = converted;
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  // What begins with the mark of something else and goes on as text is that text, too.
  const size_t before = found.types.size();
  constexpr size_t kLongestMark = 8;
  const bool marked = before > 0 && text.size() > kLongestMark &&
                      std::ranges::none_of(found.types, is_textual_format) && is_text(text.substr(0, kHead));
  const bool other = before > 0 && !marked;
  const bool guessed = is_guessed(charset);
  add_mail(text, name, declared_mime, found);
  if (guessed) add_mail(bytes, name, declared_mime, found);
  const bool mail = found.has(FileType::rfc822) || found.has(FileType::mbox);
  // What a mail holds is looked at when its parts are.
  if (!mail) {
    if (!found.has(FileType::rtf)) add_markup(text, found);
    if (guessed) add_markup(bytes, found);
    if (marked && (type_of_extension(name) == FileType::html || declared_mime == "text/html")) {
      found.add(FileType::html);
    }
    if (!other && found.types.size() == before) add_plain_kinds(text, name, declared_mime, found);
    add_all_carriers(bytes, charset, found);
  }
  const bool plain =
      found.types.size() == before ||
      std::all_of(found.types.begin() + static_cast<ptrdiff_t>(before), found.types.end(), [](FileType t) {
        return t == FileType::uuencode || t == FileType::yenc || t == FileType::binhex || t == FileType::pgp ||
               t == FileType::reg || t == FileType::url;
      });
  if (other || mail) return;
  if (plain) {
    const std::vector<FileType> scripts = script_types(text);
    const bool shebang = !scripts.empty() && text.starts_with("#!");
    if (shebang) found.add(scripts.front());
    found.add(FileType::txt);
    for (const FileType script : scripts) found.add(script);
  }
}

}  // namespace postern::scan::worker
