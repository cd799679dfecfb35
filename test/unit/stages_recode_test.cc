// SPDX-License-Identifier: Apache-2.0
// Bodies made fit for transport: what is encoded and how, what is left alone, and that the decoded content stays the
// same.
#include "milter/stages/recode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/mime/parser.h"

namespace postern::stages {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Case {
  explicit Case(std::string_view head, std::string_view content) : body(content) {
    while (!head.empty()) {
      const size_t end = head.find('\n');
      const std::string_view line = head.substr(0, end);
      head.remove_prefix(end + 1);
      const size_t colon = line.find(':');
      message.headers.add_received(line.substr(0, colon), line.substr(colon + 1));
    }
    message.set_body(body);
    recoded = recode_for_transport(message);
  }
  std::string final() { return message.final_body().flatten(); }
  std::string field(std::string_view name) {
    const size_t at = message.headers.find(name);
    return at == mime::HeaderList::npos ? "(none)" : message.headers[at].value;
  }
  std::string body;
  message::Message message{base::Limits{}};
  Recoded recoded;
};

constexpr std::string_view kMime = "From: a@example.org\nMIME-Version: 1.0\n";

TEST(StagesRecode, PlainMailIsNotTouched) {
  for (const std::string_view body : {"", "text\r\n", "a\r\n\r\n b \t\r\n", "two\nline ends\n"}) {
    Case mail(std::string(kMime) + "Content-Type: text/plain\n", body);
    EXPECT_FALSE(mail.message.body_edited());
    EXPECT_FALSE(mail.message.headers.edited());
    EXPECT_EQ(mail.recoded.parts, 0u);
    EXPECT_EQ(mail.recoded.left, "");
  }
}

TEST(StagesRecode, TextBecomesQuotedPrintable) {
  Case mail(std::string(kMime) + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n",
            "caf\xC3\xA9 =\r\n\r\nplain\r\n");
  EXPECT_EQ(mail.final(), "caf=C3=A9 =3D\r\n\r\nplain\r\n");
  EXPECT_EQ(mail.field("Content-Transfer-Encoding"), " quoted-printable");
  EXPECT_EQ(mail.field("Content-Type"), " text/plain; charset=utf-8");
  EXPECT_EQ(mail.recoded.parts, 1u);
}

TEST(StagesRecode, TextThatIsMostlyEightBitBecomesBase64) {
  Case mail(std::string(kMime) + "Content-Type: text/plain; charset=koi8-r\n", "\xC1\xC2\xC3\xC4\r\n");
  EXPECT_EQ(mail.final(), "wcLDxA0K\r\n");
  EXPECT_EQ(mail.field("Content-Transfer-Encoding"), " base64");
}

TEST(StagesRecode, OtherContentBecomesBase64) {
  Case mail(std::string(kMime) + "Content-Type: application/octet-stream\nContent-Transfer-Encoding: binary\n",
            std::string("\x00\xFFx\r\n", 5));
  EXPECT_EQ(mail.final(), "AP94DQo=\r\n");
  EXPECT_EQ(mail.field("Content-Transfer-Encoding"), " base64");
}

TEST(StagesRecode, LongLinesNulAndLoneCr) {
  const std::string line(1200, 'x');
  Case longer(std::string(kMime) + "Content-Type: text/html\n", line + "\r\nshort\r\n");
  EXPECT_EQ(longer.field("Content-Transfer-Encoding"), " quoted-printable");
  EXPECT_EQ(mime::decode_transfer(mime::TransferEncoding::quoted_printable, longer.final()).bytes,
            line + "\r\nshort\r\n");
  EXPECT_EQ(Case(kMime, std::string("a\0b\r\n", 5)).final(), "a=00b\r\n");
  EXPECT_EQ(Case(kMime, "a\rb\r\n").final(), "a=0Db\r\n");
  Case fits(kMime, std::string(998, 'x') + "\r\n");
  EXPECT_FALSE(fits.message.body_edited());
}

TEST(StagesRecode, MailWithoutMimeFieldsGetsThem) {
  Case utf8("From: a@example.org\n", "caf\xC3\xA9\r\n");
  EXPECT_EQ(utf8.field("MIME-Version"), " 1.0");
  EXPECT_EQ(utf8.field("Content-Type"), " text/plain; charset=utf-8");
  EXPECT_EQ(utf8.field("Content-Transfer-Encoding"), " quoted-printable");
  EXPECT_EQ(utf8.final(), "caf=C3=A9\r\n");
  Case ascii("From: a@example.org\n", std::string(1000, 'x') + "\r\n");
  EXPECT_EQ(ascii.field("Content-Type"), " text/plain; charset=us-ascii");
  Case nothing_known("From: a@example.org\n", "caf\xE9\r\n");
  EXPECT_FALSE(nothing_known.message.body_edited());
  EXPECT_EQ(nothing_known.recoded.left, "part 1 does not say what its 8-bit text is");
}

TEST(StagesRecode, PartsAreEncodedWhereTheyStand) {
  constexpr std::string_view kBody =
      "preamble\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding:\r\n 8bit\r\n"
      "X-Own: stays\r\n\r\ncaf\xC3\xA9 ole\r\n--b\r\n\r\nascii\r\n--b\r\nContent-Type: image/png\r\n\r\n\xFF\xFE\r\n"
      "--b--\r\nepilogue\r\n";
  Case mail(std::string(kMime) + "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n", kBody);
  EXPECT_EQ(mail.final(),
            "preamble\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
            "quoted-printable\r\nX-Own: stays\r\n\r\ncaf=C3=A9 ole\r\n--b\r\n\r\nascii\r\n--b\r\nContent-Type: "
            "image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n//4=\r\n--b--\r\nepilogue\r\n");
  EXPECT_EQ(mail.field("Content-Transfer-Encoding"), " 7bit");
  EXPECT_EQ(mail.recoded.parts, 2u);
  EXPECT_EQ(mail.recoded.left, "");
}

TEST(StagesRecode, WhatSaysEightBitAndIsNotSaysSevenBit) {
  // A server on the way that may not send 8-bit mail goes by what the fields say.
  Case single(std::string(kMime) + "Content-Type: text/plain\nContent-Transfer-Encoding: 8BIT\n", "a = b\r\n");
  EXPECT_EQ(single.field("Content-Transfer-Encoding"), " 7bit");
  EXPECT_FALSE(single.message.body_edited());
  Case multi(std::string(kMime) + "Content-Type: multipart/mixed; boundary=b\n",
             "--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\na\r\n--b\r\nContent-Type: multipart/mixed; boundary=c\r\n"
             "Content-Transfer-Encoding: binary\r\n\r\n--c\r\n\r\nb\r\n--c--\r\n--b--\r\n");
  EXPECT_EQ(multi.final(),
            "--b\r\nContent-Transfer-Encoding: 7bit\r\n\r\na\r\n--b\r\nContent-Type: multipart/mixed; boundary=c\r\n"
            "Content-Transfer-Encoding: 7bit\r\n\r\n--c\r\n\r\nb\r\n--c--\r\n--b--\r\n");
}

TEST(StagesRecode, MessagesInMessages) {
  Case mail(std::string(kMime) + "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n",
            "Subject: inner\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: 8bit\r\n\r\ncaf\xC3\xA9\r\n");
  EXPECT_EQ(mail.final(),
            "Subject: inner\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9\r\n");
  EXPECT_EQ(mail.field("Content-Transfer-Encoding"), " 7bit");
}

TEST(StagesRecode, SignedAndEncryptedPartsAreLeftAlone) {
  constexpr std::string_view kSigned =
      "--b\r\nContent-Type: multipart/signed; boundary=s; protocol=\"application/pgp-signature\"\r\n\r\n"
      "--s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\xC3\xA9\r\n"
      "--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n"
      "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
      "8bit\r\n\r\nth\xC3\xA9 vert\r\n--b--\r\n";
  Case mail(std::string(kMime) + "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n",
            kSigned);
  const std::string final = mail.final();
  EXPECT_THAT(final, HasSubstr("\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\xC3\xA9\r\n--s\r\n"));
  EXPECT_THAT(final, HasSubstr("\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nth=C3=A9 vert\r\n--b--"));
  EXPECT_EQ(mail.field("Content-Transfer-Encoding"), " 8bit");
  EXPECT_EQ(mail.recoded.parts, 1u);
  EXPECT_EQ(mail.recoded.left, "part 1.1 is signed or encrypted");
}

TEST(StagesRecode, EncodedContentOnlyGetsShorterLines) {
  std::string long_base64;
  for (int i = 0; i < 300; ++i) long_base64 += "AAEC";
  Case base64(std::string(kMime) + "Content-Type: image/png\nContent-Transfer-Encoding: base64\n", long_base64);
  EXPECT_EQ(base64.field("Content-Transfer-Encoding"), " base64");
  EXPECT_TRUE(base64.message.body_edited());
  EXPECT_EQ(mime::decode_transfer(mime::TransferEncoding::base64, base64.final()).bytes,
            mime::decode_transfer(mime::TransferEncoding::base64, long_base64).bytes);
  Case damaged(std::string(kMime) + "Content-Type: image/png\nContent-Transfer-Encoding: base64\n", "caf\xC3\xA9\r\n");
  EXPECT_FALSE(damaged.message.body_edited());
  EXPECT_EQ(damaged.recoded.left, "part 1 is damaged");
}

TEST(StagesRecode, WhatReadersTakeApartDifferentlyIsLeftAlone) {
  Case mail(std::string(kMime) +
                "Content-Type: text/plain\nContent-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: base64\n",
            "caf\xC3\xA9\r\n");
  EXPECT_FALSE(mail.message.body_edited());
  EXPECT_EQ(mail.recoded.left, "part 1 can be read in more than one way");
}

TEST(StagesRecode, NothingHiddenBecomesADelimiter) {
  std::string line(70, 'x');
  line += "\xC3\xA9--b";
  Case mail(std::string(kMime) + "Content-Type: multipart/mixed; boundary=b\n",
            "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + line + "\r\n--b--\r\n");
  EXPECT_THAT(mail.final(), Not(HasSubstr("\n--b\r\n--b")));
  mime::HeaderList headers;
  for (const mime::HeaderField& field : mail.message.headers) headers.add_received(field.name, field.value);
  const std::string final = mail.final();
  const mime::Structure tree = mime::parse(headers, final, base::Limits{});
  ASSERT_EQ(tree.parts.size(), 2u);
  EXPECT_EQ(mime::decode_content(tree.parts[1], final).bytes, line);
}

TEST(StagesRecode, EditedBodiesAreJudgedAsEdited) {
  Case mail(kMime, "ascii\r\n");
  ASSERT_FALSE(mail.message.body_edited());
  ASSERT_TRUE(mail.message.edit_part({0, false, "", "caf\xC3\xA9\r\n"}));
  mail.message.headers.append("Content-Type", "text/plain; charset=utf-8");
  EXPECT_EQ(recode_for_transport(mail.message).parts, 1u);
  EXPECT_EQ(mail.final(), "caf=C3=A9\r\n");
}

}  // namespace
}  // namespace postern::stages
