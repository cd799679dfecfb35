// SPDX-License-Identifier: Apache-2.0
// Address fields rewritten: which bytes change, what is left alone and why.
#include "engine/message/rewrite.h"

#include <gtest/gtest.h>

namespace postern::message {
namespace {

// rewrite changes every address @old.example to NEW@new.example, with `name` where given.
std::string rewrite(std::string_view raw, std::optional<std::string> name = std::nullopt) {
  const AddressField field = read_address_field(raw, 1000);
  if (!field.doubt.empty()) return "doubt: " + field.doubt;
  std::vector<std::optional<Replacement>> replacements;
  for (const Mailbox& mailbox : field.list.mailboxes) {
    replacements.emplace_back();
    if (mailbox.domain == "old.example") replacements.back() = Replacement{"NEW@new.example", name};
  }
  return rewrite_field(field, replacements).value_or("none");
}

TEST(MessageRewrite, ReplacesOnlyTheAddress) {
  const struct {
    std::string_view raw;
    std::string_view now;
  } rows[] = {
      {" a@old.example", "NEW@new.example"},
      {" Anna <a@old.example>", "Anna <NEW@new.example>"},
      {" a@old.example (Anna)", "NEW@new.example (Anna)"},
      {" (x) a@old.example, b@keep.example", "(x) NEW@new.example, b@keep.example"},
      {" \"Doe, J.\" <\"j d\"@old.example>,\n\t=?utf-8?q?M=C3=BC?= <b@keep.example>",
       "\"Doe, J.\" <NEW@new.example>,\n\t=?utf-8?q?M=C3=BC?= <b@keep.example>"},
      {" Team: a@old.example, B <b@old.example>;, c@keep.example",
       "Team: NEW@new.example, B <NEW@new.example>;, c@keep.example"},
      {" undisclosed-recipients:;", "undisclosed-recipients:;"},
      {"\n Anna\n\t<a@old.example>", "Anna\n\t<NEW@new.example>"},
      {" a (c1) . b @ old.example (Anna)", "NEW@new.example (Anna)"},
      {" M\xfcller <a@old.example>", "M\xfcller <NEW@new.example>"},
  };
  for (const auto& row : rows) EXPECT_EQ(rewrite(row.raw), row.now) << row.raw;
}

TEST(MessageRewrite, NameTakesThePlaceOfNameAndComment) {
  EXPECT_EQ(rewrite(" Anna <a@old.example>, b@keep.example", "Müller, Anna"),
            "=?utf-8?b?TcO8bGxlciw=?= Anna <NEW@new.example>, b@keep.example");
  EXPECT_EQ(rewrite(" a@old.example (Anna)", "A. B."), "\"A. B.\" <NEW@new.example>");
  EXPECT_EQ(rewrite(" T: (x) a@old.example (y) ;", "N"), "T: N <NEW@new.example> ;");
  EXPECT_EQ(rewrite(" a@old.example (Anna)", ""), "NEW@new.example");
}

TEST(MessageRewrite, AddressesInsideEncodedWords) {
  EXPECT_EQ(rewrite(" =?utf-8?Q?Anna_<a=40old.example>?="), "Anna <NEW@new.example>");
  EXPECT_EQ(rewrite(" =?utf-8?Q?Anna_M=C3=BC_=3Ca=40old.example=3E?="), "Anna =?utf-8?b?TcO8?= <NEW@new.example>");
  EXPECT_EQ(rewrite(" =?utf-8?B?YUBvbGQuZXhhbXBsZQ==?="), "NEW@new.example");
  EXPECT_EQ(rewrite(" x@keep.example,\n =?utf-8?B?YUBvbGQuZXhhbXBsZQ==?="), "x@keep.example,\n NEW@new.example");
  // Two addresses, a group, a line end, an unknown character: nobody knows what readers make of it.
  for (const char* raw : {" =?utf-8?Q?a=40old.example,_b=40old.example?=", " =?utf-8?Q?g:a=40old.example;?=",
                          " =?utf-8?Q?a=40old.example=0D=0ABcc:_x=40y.example?=", " =?utf-8?Q?a=FF=40old.example?=",
                          " =?utf-8?B?YUBvbGQuZXhhbXBsZQ?= =?utf-8?B?!!!!?=", " =?utf-8?Q?only_a_name?="}) {
    EXPECT_TRUE(rewrite(raw).starts_with("doubt: ")) << raw << ": " << rewrite(raw);
  }
}

TEST(MessageRewrite, WhatReadersDoNotAgreeOnIsLeftAlone) {
  for (const char* raw :
       {" a@old.example b@old.example", " Anna, Inc. <a@old.example>", " <a@old.example", " Anna a@old.example",
        " a@old.example@x.example", " root", " \"open <a@old.example>", " Anna <=?utf-8?Q?a=40old.example?=>",
        " <a@old.example> trailing", " a@old.example;", " x <y <a@old.example>>", " =?utf-8?Q?a?=@old.example"}) {
    EXPECT_TRUE(rewrite(raw).starts_with("doubt: ")) << raw << ": " << rewrite(raw);
  }
}

TEST(MessageRewrite, ManyAddresses) {
  std::string raw;
  std::string now;
  for (int i = 0; i < 200; ++i) {
    raw += (i == 0 ? " " : ",\n ") + std::string("U") + std::to_string(i) + " <u@old.example>";
    now += (i == 0 ? "" : ",\n ") + std::string("U") + std::to_string(i) + " <NEW@new.example>";
  }
  EXPECT_EQ(rewrite(raw), now);
}

TEST(MessageRewrite, OneAddress) {
  for (const char* good : {"a@b.example", "\"a b\"@b.example", "a+x@[192.0.2.1]"}) {
    EXPECT_TRUE(is_one_address(good, false)) << good;
  }
  for (const char* bad : {"", "a", "@b.example", "a@", "a@b, c@d", "A <a@b>", "a@b\r\nBcc: x@y", "a@b\n", " a@b",
                          "a@b ", "<a@b>", "g: a@b;", "a@b (c)", "\xc3\xa4@b.example", "a b@c.example", "a@b@c"}) {
    EXPECT_FALSE(is_one_address(bad, false)) << bad;
  }
  EXPECT_TRUE(is_one_address("\xc3\xa4@b.example", true));
  EXPECT_FALSE(is_one_address("\xff@b.example", true));
  EXPECT_FALSE(is_one_address(std::string(400, 'a') + "@b.example", false));
  EXPECT_FALSE(is_one_address(std::string_view("a@b\0c", 5), false));
}

}  // namespace
}  // namespace postern::message
