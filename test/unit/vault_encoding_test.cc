// SPDX-License-Identifier: Apache-2.0
// Hexadecimal and base64: RFC 4648's vectors, and one text for one value.
#include <gtest/gtest.h>

#include "keystore/encoding.h"

namespace postern::keystore {
namespace {

struct Vector {
  const char* plain;
  const char* padded;
};
constexpr Vector kVectors[] = {{"", ""},
                               {"f", "Zg=="},
                               {"fo", "Zm8="},
                               {"foo", "Zm9v"},
                               {"foob", "Zm9vYg=="},
                               {"fooba", "Zm9vYmE="},
                               {"foobar", "Zm9vYmFy"}};

TEST(VaultEncoding, Rfc4648Vectors) {
  for (const auto& [plain, padded] : kVectors) {
    EXPECT_EQ(to_base64(plain), padded);
    EXPECT_EQ(from_base64(padded), plain);
    std::string bare = padded;
    while (bare.ends_with('=')) bare.pop_back();
    EXPECT_EQ(to_base64(plain, Base64::bare), bare);
    EXPECT_EQ(from_base64(bare, Base64::bare), plain);
    EXPECT_EQ(to_base64(plain, Base64::url), bare);
  }
  EXPECT_EQ(to_base64("\xfb\xff\xfe"), "+//+");
  EXPECT_EQ(to_base64("\xfb\xff\xfe", Base64::url), "-__-");
  EXPECT_EQ(from_base64("-__-", Base64::url), "\xfb\xff\xfe");
}

TEST(VaultEncoding, OneTextForOneValue) {
  for (const char* text :
       {"Zg", "Zg=", "Zh==", "Zm9=", "Zm8", "Z", "====", "Zg==Zg==", " Zg==", "Zg==\n", "Zm9v=", "-__-", "Zm9v===="}) {
    EXPECT_FALSE(from_base64(text)) << text;
  }
  for (const char* text : {"Zg==", "Z", "Zh", "+//+", "Zm9vY"}) EXPECT_FALSE(from_base64(text, Base64::url)) << text;
}

TEST(VaultEncoding, Hexadecimal) {
  EXPECT_EQ(to_hex(std::string_view("\x00\xa5\xff", 3)), "00a5ff");
  EXPECT_EQ(from_hex("00a5ff"), std::string("\x00\xa5\xff", 3));
  for (const char* text : {"0", "0G", "A5", "a5 ", "0x"}) EXPECT_FALSE(from_hex(text)) << text;
  EXPECT_EQ(to_hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace postern::keystore
