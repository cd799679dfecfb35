// SPDX-License-Identifier: Apache-2.0
// The parser: trees of good and broken messages, boundary subtleties, one minimal message per defect.
#include "engine/mime/parser.h"

#include <gmock/gmock.h>

#include <map>

#include "test/unit/mime_support.h"

namespace postern::mime {
namespace {

using namespace std::string_literals;
using test::crlf;
using test::names;

constexpr std::string_view kMixed = "Content-Type: multipart/mixed; boundary=b\n\n";

struct Case {
  std::string mail;  // LF; parsed as CRLF
  std::string_view tree;
  std::string_view defects;
};

void check(const Case& each, const std::string& file) {
  const test::Mail mail = test::read(file);
  EXPECT_EQ(dump(mail.structure), each.tree) << each.mail;
  EXPECT_EQ(names(mail.structure.defects), each.defects) << each.mail;
  EXPECT_TRUE(mail.structure.complete) << each.mail;
  test::check_accounting(mail.structure, mail.body);
}

TEST(Parser, Trees) {
  const std::string mixed(kMixed);
  const Case table[] = {
      {"Subject: x\n\nhello\n", "text/plain", ""},
      {"", "text/plain", ""},
      {"Content-Type: text/html\n\n<p>", "text/html", ""},
      {mixed + "--b\n\none\n--b\nContent-Type: image/gif; name=a.gif\n\ntwo\n--b--\n",
       "multipart/mixed[text/plain,image/gif(\"a.gif\")]", ""},
      {mixed + "pre\n--b\n\none\n--b--\nepilogue\n", "multipart/mixed[text/plain]", ""},
      {mixed + "--b \t\n\none\n--b-- \t\n", "multipart/mixed[text/plain]", ""},
      {mixed + "--b\n--b\n--b--\n", "multipart/mixed[text/plain,text/plain]", ""},
      {mixed + "--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\n1\n--c\nContent-Type: "
               "text/html\n\n2\n--c--\n--b\n\n"
               "3\n--b--",
       "multipart/mixed[multipart/alternative[text/plain,text/html],text/plain]", ""},
      // One boundary the beginning of another.
      {mixed + "--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n\n1\n--bb--\n--b\n\n2\n--b--\n",
       "multipart/mixed[multipart/mixed[text/plain],text/plain]", ""},
      {"Content-Type: multipart/mixed; boundary=bb\n\n--bb\nContent-Type: multipart/mixed; "
       "boundary=b\n\n--b\n\n1\n--b--\n--bb\n\n"
       "2\n--bb--\n",
       "multipart/mixed[multipart/mixed[text/plain],text/plain]", ""},
      // Quoted, odd and long boundaries.
      {"Content-Type: multipart/mixed; boundary=\"a b\"\n\n--a b\n\n1\n--a b--\n", "multipart/mixed[text/plain]", ""},
      {"Content-Type: multipart/mixed; boundary=\"b  \"\n\n--b\n\n1\n--b--\n", "multipart/mixed[text/plain]", ""},
      {"Content-Type: multipart/mixed; boundary=\"--\"\n\n----\n\n1\n------\n", "multipart/mixed[text/plain]", ""},
      {"Content-Type: multipart/mixed; boundary*=us-ascii''%62\n\n--b\n\n1\n--b--\n", "multipart/mixed[text/plain]",
       ""},
      {"Content-Type: multipart/mixed; boundary=" + std::string(70, 'x') + "\n\n--" + std::string(70, 'x') +
           "\n\n1\n--" + std::string(70, 'x') + "--\n",
       "multipart/mixed[text/plain]", ""},
      // Messages in messages.
      {"Content-Type: message/rfc822\n\nSubject: a\n\ntext", "message/rfc822[text/plain]", ""},
      {"Content-Type: message/global\n\nContent-Type: message/rfc822\n\nContent-Type: text/html\n\ntext",
       "message/global[message/rfc822[text/html]]", ""},
      {mixed +
           "--b\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n1\n--c--\n--b--\n",
       "multipart/mixed[message/rfc822[multipart/mixed[text/plain]]]", ""},
      {"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: a\n\n1\n--b\nContent-Type: "
       "text/plain\n\n2\n--b--\n",
       "multipart/digest[message/rfc822[text/plain],text/plain]", ""},
      {"Content-Type: message/partial; id=x; number=1\n\nContent-Type: text/html\n\nx", "message/partial", ""},
      {"Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n", "message/delivery-status", ""},
  };
  for (const Case& each : table) check(each, crlf(each.mail));
}

TEST(Parser, OneMessagePerDefect) {
  const std::string mixed(kMixed);
  const std::string end = "\n--b--\n";
  const std::map<Defect, Case> table = {
      {Defect::duplicate_content_type,
       {"Content-Type: text/plain\nContent-Type: text/html\n\n", "text/plain", "duplicate-content-type"}},
      {Defect::duplicate_transfer_encoding,
       {"Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\n", "text/plain",
        "duplicate-transfer-encoding"}},
      {Defect::duplicate_disposition,
       {"Content-Disposition: inline\nContent-Disposition: attachment\n\n", "text/plain", "duplicate-disposition"}},
      {Defect::duplicate_mime_version,
       {"MIME-Version: 1.0\nMIME-Version: 1.0\n\n", "text/plain", "duplicate-mime-version"}},
      {Defect::duplicate_boundary,
       {"Content-Type: multipart/mixed; boundary=b; boundary=b\n\n--b\n\n1" + end, "multipart/mixed[text/plain]",
        "duplicate-boundary"}},
      {Defect::duplicate_parameter,
       {"Content-Type: text/plain; charset=utf-8; charset=us-ascii\n\n", "text/plain", "duplicate-parameter"}},
      {Defect::malformed_content_type, {"Content-Type: text\n\n", "text/plain", "malformed-content-type"}},
      {Defect::malformed_disposition,
       {"Content-Disposition: attachment; filename=\"a\n\n", "text/plain(\"a\")", "malformed-disposition"}},
      {Defect::unknown_transfer_encoding,
       {"Content-Transfer-Encoding: rot13\n\n", "text/plain", "unknown-transfer-encoding"}},
      {Defect::encoding_on_multipart,
       {"Content-Transfer-Encoding: base64\n" + mixed + "--b\n\n1" + end, "multipart/mixed[text/plain]",
        "encoding-on-multipart"}},
      {Defect::missing_boundary,
       {"Content-Type: multipart/mixed\n\n--b\n\n1\n", "multipart/mixed", "missing-boundary"}},
      {Defect::missing_final_boundary, {mixed + "--b\n\n1\n", "multipart/mixed[text/plain]", "missing-final-boundary"}},
      {Defect::missing_first_boundary, {mixed + "text\n", "multipart/mixed", "missing-first-boundary"}},
      {Defect::missing_blank_line,
       {mixed + "--b\nno header\n\n1" + end, "multipart/mixed[text/plain]", "missing-blank-line"}},
      {Defect::malformed_header,
       {mixed + "--b\nContent-Type : text/html\n\n1" + end, "multipart/mixed[text/html]", "malformed-header"}},
      {Defect::bare_cr, {"A: b\n\nx\ry\n", "text/plain", "bare-cr"}},
      {Defect::nul_byte, {"A: b\n\nx\0y\n"s, "text/plain", "nul-byte"}},
      {Defect::line_too_long, {"A: b\n\n" + std::string(999, 'x') + "\n", "text/plain", "line-too-long"}},
      {Defect::eight_bit_header, {"Subject: \xC3\xA9\n\n", "text/plain", "eight-bit-header"}},
      {Defect::unknown_charset, {"Content-Type: text/plain; charset=foo\n\n", "text/plain", "unknown-charset"}},
      {Defect::ambiguous_delimiter,
       {mixed + "--b\n\n1\n--bx\n2" + end, "multipart/mixed[text/plain]", "ambiguous-delimiter"}},
      {Defect::invalid_mime_version, {"MIME-Version: 2.0\n\n", "text/plain", "invalid-mime-version"}},
  };
  for (const auto& [defect, each] : table) {
    check(each, crlf(each.mail));
    EXPECT_TRUE(test::read_lf(each.mail).structure.defects.has(defect)) << defect_name(defect);
  }
  check({"A: b\n\nx\n", "text/plain", "bare-lf"}, "A: b\r\n\r\nx\n");

  // These show only when content is decoded.
  const test::Mail encoding = test::read_lf("Content-Transfer-Encoding: base64\n\nYQ*==\n");
  EXPECT_EQ(names(decoding_defects(encoding.structure, encoding.body)), "damaged-encoding");
  const test::Mail charset = test::read_lf("Content-Type: text/plain; charset=utf-8\n\n\xFF\n");
  EXPECT_EQ(names(decoding_defects(charset.structure, charset.body)), "damaged-charset");
  const test::Mail good = test::read_lf("Content-Type: text/plain; charset=utf-8\n\nx\n");
  EXPECT_EQ(names(decoding_defects(good.structure, good.body)), "");

  // Limits stop the parse.
  base::Limits limits;
  limits.header_count = 2;
  EXPECT_EQ(names(test::read_lf(mixed + "--b\nA: 1\nB: 2\nC: 3\n\n1" + end, limits).structure.defects),
            "header-too-large");
  limits = {};
  limits.mime_depth = 1;
  EXPECT_EQ(names(test::read_lf("Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\n\n", limits)
                      .structure.defects),
            "too-deep");
  limits = {};
  limits.mime_parts = 2;
  EXPECT_EQ(names(test::read_lf(mixed + "--b\n\n1\n--b\n\n2" + end, limits).structure.defects), "too-many-parts");

  // All of them: the table, LF, decoding and limits.
  EXPECT_EQ(table.size() + 1 + 2 + 3, static_cast<size_t>(Defect::count_));
  for (unsigned i = 0; i < static_cast<unsigned>(Defect::count_); ++i) {
    EXPECT_NE(defect_name(static_cast<Defect>(i)), "");
  }
}

TEST(Parser, BrokenStructures) {
  const std::string mixed(kMixed);
  const Case table[] = {
      {mixed + "--b--\nrest\n", "multipart/mixed", "missing-first-boundary"},
      {mixed + "--b\n\n1\n--b--\n--b\nContent-Type: image/gif\n\n2\n--b--\n", "multipart/mixed[text/plain,image/gif]",
       "ambiguous-delimiter"},
      {mixed + "--b--\n\n--b\n\n1\n--b--\n", "multipart/mixed[text/plain]", "ambiguous-delimiter"},
      {mixed + "--b\n\n1\n---b--\n", "multipart/mixed[text/plain]", "missing-final-boundary"},
      {"Content-Type: multipart/mixed; boundary=bnd\n\n--bnd\n\n1\n---bnd\n\n2\n--bnd--\n",
       "multipart/mixed[text/plain]", "ambiguous-delimiter"},
      {mixed + "--b\n\n1\n--b-\n", "multipart/mixed[text/plain]", "missing-final-boundary ambiguous-delimiter"},
      {mixed + "--b\n\n1\n--b--x\n", "multipart/mixed[text/plain]", "missing-final-boundary ambiguous-delimiter"},
      // The parent's delimiter ends the child.
      {mixed + "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n1\n--b\n\n2\n--b--\n",
       "multipart/mixed[multipart/mixed[text/plain],text/plain]", "missing-final-boundary"},
      {mixed + "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n--b--\n",
       "multipart/mixed[multipart/mixed[text/plain]]", "missing-final-boundary"},
      // One boundary for two levels: the inner one takes it until closed.
      {mixed + "--b\n" + mixed + "--b\n\n1\n--b--\n--b\n\n2\n--b--\n",
       "multipart/mixed[multipart/mixed[text/plain],text/plain]", "duplicate-boundary"},
      // Empty and unusable boundaries.
      {"Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\n1\n", "multipart/mixed", "missing-boundary"},
      {"Content-Type: multipart/mixed; boundary=\" \"\n\n--\n\n1\n", "multipart/mixed", "missing-boundary"},
      {"Content-Type: multipart/mixed; boundary=" + std::string(71, 'x') + "\n\n--" + std::string(71, 'x') +
           "\n\n1\n--" + std::string(71, 'x') + "--\n",
       "multipart/mixed[text/plain]", "malformed-content-type"},
      // Header blocks without end.
      {mixed + "--b\nContent-Type: text/html\n--b--\n", "multipart/mixed[text/html]", "missing-blank-line"},
      {mixed + "--b\nContent-Type: text/html", "multipart/mixed[text/html]",
       "missing-final-boundary missing-blank-line"},
      {mixed + "--b\nContent-Type: multipart/mixed; boundary=c\n--c\n\n1\n--c--\n--b--\n",
       "multipart/mixed[multipart/mixed[text/plain]]", "missing-blank-line"},
      {mixed + "--b\nContent-Type: message/rfc822\n--b--\n", "multipart/mixed[message/rfc822[text/plain]]",
       "missing-blank-line"},
      {mixed + "--b\nContent-Type: message/rfc822\ntext that is no field\n\nmore\n--b--\n",
       "multipart/mixed[message/rfc822[text/plain]]", "missing-blank-line"},
      // A line that is no field, with the fields that matter behind it.
      {mixed + "--b\ngarbage\nContent-Type: text/html\n\n1\n--b--\n", "multipart/mixed[text/html]", "malformed-header"},
      {mixed + "--b\nContent-Type: text/html\ngarbage\nX: y\n\n1\n--b--\n", "multipart/mixed[text/html]",
       "missing-blank-line"},
      {mixed + "--b\n: empty name\nContent-Type: text/html\n\n1\n--b--\n", "multipart/mixed[text/html]",
       "malformed-header"},
      {mixed + "--b\n \nContent-Type: text/html\n\n1\n--b--\n", "multipart/mixed[text/html]", "malformed-header"},
      {mixed + "--b\nX: y\n \t\nContent-Type: text/html\n\n1\n--b--\n", "multipart/mixed[text/html]",
       "malformed-header"},
      {mixed + "--b\n\nContent-Type: text/html\n\n1\n--b--\n", "multipart/mixed[text/plain]", "malformed-header"},
      {mixed + "--b\nContent-Transfer-Encoding(x): base64\n\n1\n--b--\n", "multipart/mixed[text/plain]",
       "malformed-header"},
      {mixed + "--b\nX: a\0b\n\n1\n--b--\n"s, "multipart/mixed[text/plain]", "malformed-header nul-byte"},
      {mixed + "--b\nX: a\rY: b\n\n1\n--b--\n", "multipart/mixed[text/plain]", "malformed-header bare-cr"},
      {"Content-Type: message/rfc822\n\nFrom x@y Mon Jan 1\nContent-Type: text/html\n\n1\n",
       "message/rfc822[text/html]", "malformed-header"},
      // Encoded messages stay closed.
      {"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogYQ0KDQp4\n", "message/rfc822",
       "encoding-on-multipart"},
  };
  for (const Case& each : table) check(each, crlf(each.mail));
}

TEST(Parser, AllLineEnds) {
  const std::string lf = std::string(kMixed) + "pre\n--b\nContent-Type: text/html\n\none\ntwo\n--b\n\n3\n--b--\nepi\n";
  const std::string_view tree = "multipart/mixed[text/html,text/plain]";
  check({lf, tree, ""}, crlf(lf));
  check({lf, tree, "bare-lf"}, lf);
  std::string cr = lf;
  for (char& c : cr) c = c == '\n' ? '\r' : c;
  check({lf, tree, "malformed-header bare-cr"}, cr);
  std::string crcrlf;
  for (const char c : lf) crcrlf += c == '\n' ? "\r\r\n"s : std::string(1, c);
  check({lf, tree, "bare-cr"}, crcrlf);
  std::string mixed_ends;
  int n = 0;
  for (const char c : lf) mixed_ends += c != '\n' ? std::string(1, c) : n++ % 2 == 0 ? "\n"s : "\r\n"s;
  check({lf, tree, "bare-lf"}, mixed_ends);
}

TEST(Parser, SpansAreThoseOfTheBytes) {
  const test::Mail mail = test::read_lf(std::string(kMixed) + "pre\n--b\nContent-ID: <id@x>\n\none\n--b--\nepi\n");
  ASSERT_EQ(mail.structure.parts.size(), 2u);
  const Part& part = mail.structure.parts[1];
  EXPECT_EQ(part.outer.of(mail.body), "--b\r\nContent-ID: <id@x>\r\n\r\none\r\n");
  EXPECT_EQ(part.header.of(mail.body), "Content-ID: <id@x>\r\n\r\n");
  EXPECT_EQ(part.content.of(mail.body), "one");
  EXPECT_EQ(part.content_id, "id@x");
  EXPECT_EQ(part.field("content-id"), " <id@x>");
  EXPECT_EQ(part.field("none"), "");
  EXPECT_EQ(mail.structure.children(0), std::vector<uint32_t>{1});
}

TEST(Parser, PathsAreThoseOfImap) {
  const auto paths = [](const std::string& lf) {
    std::string out;
    for (const Part& part : test::read_lf(lf).structure.parts) out += "[" + part.path + "]";
    return out;
  };
  const std::string mixed(kMixed);
  const std::string inner = "Content-Type: multipart/mixed; boundary=c\n\n--c\n\n1\n--c\n\n2\n--c--\n";
  EXPECT_EQ(paths("A: b\n\nx"), "[1]");
  EXPECT_EQ(paths(mixed + "--b\n\n1\n--b\n\n2\n--b--\n"), "[][1][2]");
  EXPECT_EQ(paths(mixed + "--b\n\n1\n--b\n" + inner + "--b--\n"), "[][1][2][2.1][2.2]");
  EXPECT_EQ(paths(mixed + "--b\nContent-Type: message/rfc822\n\nA: b\n\nx\n--b--\n"), "[][1][1.1]");
  EXPECT_EQ(paths(mixed + "--b\nContent-Type: message/rfc822\n\n" + inner + "--b--\n"), "[][1][1][1.1][1.2]");
  EXPECT_EQ(paths("Content-Type: message/rfc822\n\nA: b\n\nx"), "[][1]");
  EXPECT_EQ(paths("Content-Type: multipart/mixed\n\nx"), "[1]");
}

TEST(Parser, AttachmentsAreAllButTheText) {
  // flags marks each leaf in order: b for body, a for attachment.
  const auto flags = [](const std::string& lf) {
    const test::Mail mail = test::read_lf(lf);
    std::string out;
    for (uint32_t i = 0; i < mail.structure.parts.size(); ++i) {
      if (mail.structure.parts[i].is_leaf()) out += is_attachment(mail.structure, i) ? 'a' : 'b';
    }
    return out;
  };
  const std::string mixed(kMixed);
  const auto multipart = [](std::string_view type, std::string_view boundary, const std::vector<std::string>& parts) {
    std::string out = "Content-Type: multipart/" + std::string(type) + "; boundary=" + std::string(boundary) + "\n\n";
    for (const std::string& part : parts) out += "--" + std::string(boundary) + "\n" + part + "\n";
    return out + "--" + std::string(boundary) + "--";
  };
  const std::string plain = "Content-Type: text/plain\n\nx";
  const std::string html = "Content-Type: text/html\n\nx";
  const std::string image = "Content-Type: image/gif\n\nx";
  const std::string named = "Content-Type: text/plain; name=a.txt\n\nx";
  const std::string attached = "Content-Disposition: attachment\n\nx";
  const std::string message = "Content-Type: message/rfc822\n\n" + plain;
  EXPECT_EQ(flags(plain), "b");
  EXPECT_EQ(flags(html), "b");
  EXPECT_EQ(flags(image), "a");
  EXPECT_EQ(flags(named), "a");
  EXPECT_EQ(flags(attached), "a");
  EXPECT_EQ(flags(multipart("mixed", "b", {plain, plain, image})), "baa");
  EXPECT_EQ(flags(multipart("mixed", "b", {image, plain})), "ab");
  EXPECT_EQ(flags(multipart("mixed", "b", {named, plain})), "ab");
  EXPECT_EQ(flags(multipart("mixed", "b", {attached, html})), "ab");
  EXPECT_EQ(flags(multipart("alternative", "b", {plain, html})), "bb");
  EXPECT_EQ(flags(multipart("alternative", "b", {plain, multipart("related", "c", {html, image})})), "bba");
  EXPECT_EQ(flags(multipart("mixed", "b", {multipart("alternative", "c", {plain, html}), html, image})), "bbaa");
  EXPECT_EQ(flags(multipart("alternative", "b",
                            {multipart("mixed", "c", {plain, plain}), multipart("mixed", "d", {html, html})})),
            "baba");
  EXPECT_EQ(flags(multipart("alternative", "b", {plain, "Content-Type: text/calendar\n\nx"})), "ba");
  EXPECT_EQ(flags(multipart("mixed", "b", {message, plain})), "ab");
  EXPECT_EQ(flags(multipart("mixed", "b", {plain, message})), "ba");
  EXPECT_EQ(flags(message), "a");
}

TEST(Parser, TextIsDecodedByEncodingAndCharset) {
  const test::Mail mail = test::read_lf(
      std::string(kMixed) +
      "--b\nContent-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: base64\n\n8A==\n"
      "--b\nContent-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9=\n"
      "--b\nContent-Type: text/plain; charset=foo\n\nx\n--b\nContent-Transfer-Encoding: base64\n\n*\n--b--\n");
  ASSERT_EQ(mail.structure.parts.size(), 5u);
  EXPECT_EQ(decode_text(mail.structure.parts[1], mail.body).utf8, "П");
  EXPECT_EQ(decode_text(mail.structure.parts[2], mail.body).utf8, "é");
  EXPECT_FALSE(decode_text(mail.structure.parts[2], mail.body).damaged);
  EXPECT_TRUE(decode_text(mail.structure.parts[3], mail.body).undecodable);
  EXPECT_TRUE(decode_text(mail.structure.parts[4], mail.body).damaged);
  EXPECT_EQ(decode_content(mail.structure.parts[1], mail.body).bytes, "\xF0");
  const test::Mail marked = test::read_lf("Content-Type: text/plain; charset=utf-8\n\n\xEF\xBB\xBFx");
  EXPECT_EQ(decode_text(marked.structure.parts[0], marked.body).utf8, "x");
}

}  // namespace
}  // namespace postern::mime
