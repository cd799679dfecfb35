// SPDX-License-Identifier: Apache-2.0
// Signatures: RFC 8463's example, what stands in the field, which header fields are covered, and errors.
#include "engine/auth/dkim_sign.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <algorithm>

#include "engine/base/text.h"
#include "test/support/soft_keys.h"

namespace postern::auth {
namespace {

using test::SoftKeys;
constexpr int64_t kNow = 1767225600;

crypto::Deadline soon() { return crypto::Deadline::clock::now() + std::chrono::seconds(5); }

std::string from_base64(std::string_view text) {
  std::string clean;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') clean += c;
  }
  std::string out(clean.size(), '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(clean.data()), static_cast<int>(clean.size()));
  EXPECT_GE(size, 0);
  const auto padding = static_cast<size_t>(std::ranges::count(clean, '='));
  out.resize(static_cast<size_t>(std::max(size, 0)) - padding);
  return out;
}

// Tags of a signature's value, white space taken out.
std::string tag(std::string_view value, std::string_view name) {
  for (std::string_view part : base::split(value, ';')) {
    part = base::trim(part);
    if (!part.starts_with(std::string(name) + "=")) continue;
    std::string out;
    for (const char c : part.substr(name.size() + 1)) {
      if (c != ' ' && c != '\t' && c != '\n') out += c;
    }
    return out;
  }
  return "(none)";
}

const SoftKeys& keys() {
  static SoftKeys made;
  static const bool once = [] {
    made.generate("r", crypto::KeyType::rsa);
    made.generate("e", crypto::KeyType::ed25519);
    made.generate("p", crypto::KeyType::ec_p256);
    made.generate("small", crypto::KeyType::rsa, 768);
    return true;
  }();
  EXPECT_TRUE(once);
  return made;
}
SoftKeys& usable_keys() { return const_cast<SoftKeys&>(keys()); }

DkimProfile profile_of(std::vector<DkimKey> list) {
  DkimProfile profile;
  profile.domain = "example.org";
  profile.keys = std::move(list);
  return profile;
}

mime::HeaderList header(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  mime::HeaderList list;
  for (const auto& [name, value] : fields) list.add_received(name, value);
  return list;
}

mime::Pieces body(std::string_view text) {
  mime::Pieces pieces;
  pieces.add_view(text);
  return pieces;
}

std::vector<std::string> sign(const DkimProfile& profile, const mime::HeaderList& headers, std::string_view text) {
  auto values = sign_message(profile, headers, body(text), kNow, usable_keys(), soon());
  EXPECT_TRUE(values) << (values ? "" : values.error().text());
  return values ? std::move(*values) : std::vector<std::string>();
}

TEST(DkimSign, ExampleOfRfc8463) {
  const mime::HeaderList headers = header({{"From", " Joe SixPack <joe@football.example.com>"},
                                           {"To", " Suzie Q <suzie@shopping.example.net>"},
                                           {"Subject", " Is dinner ready?"},
                                           {"Date", " Fri, 11 Jul 2003 21:00:37 -0700 (PDT)"},
                                           {"Message-ID", " <20030712040037.46341.5F8J@football.example.com>"}});
  constexpr std::string_view kText = "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
  EXPECT_EQ(test::base64(hash_body(Canonicalisation::relaxed, body(kText), UINT64_MAX).digest),
            "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
  std::string hashed;
  for (const char* name : {"From", "To", "Subject", "Date", "Message-ID"}) {
    const size_t index = headers.find(name);
    append_canonical_header(Canonicalisation::relaxed, headers[index].name, headers[index].value, false, hashed);
  }
  append_canonical_header(Canonicalisation::relaxed, "DKIM-Signature",
                          " v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
                          " d=football.example.com; i=@football.example.com;\r\n"
                          " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
                          " subject : date : message-id : from : subject : date;\r\n"
                          " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                          " b=",
                          true, hashed);
  SoftKeys example;
  example.add_ed25519("brisbane", from_base64("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="));
  EXPECT_EQ(example.record("brisbane"), "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
  const std::string expected =
      from_base64("/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==");
  EXPECT_TRUE(example.verify("brisbane", sha256(hashed, ""), expected));
}

TEST(DkimSign, TheFieldSaysHowItWasMade) {
  DkimProfile profile = profile_of({{"r2026", "r", crypto::KeyType::rsa}, {"e2026", "e", crypto::KeyType::ed25519}});
  profile.header = Canonicalisation::simple;
  profile.identity = "list;=owner@mail.example.org";
  profile.expiry = 604800;
  const auto values = sign(profile, header({{"From", " a@example.org"}, {"Subject", " hello"}}), "text\r\n");
  ASSERT_EQ(values.size(), 2u);
  EXPECT_EQ(tag(values[0], "v"), "1");
  EXPECT_EQ(tag(values[0], "a"), "rsa-sha256");
  EXPECT_EQ(tag(values[1], "a"), "ed25519-sha256");
  EXPECT_EQ(tag(values[0], "s"), "r2026");
  EXPECT_EQ(tag(values[1], "s"), "e2026");
  for (const std::string& value : values) {
    EXPECT_EQ(tag(value, "c"), "simple/relaxed");
    EXPECT_EQ(tag(value, "d"), "example.org");
    EXPECT_EQ(tag(value, "i"), "list=3B=3Downer@mail.example.org");
    EXPECT_EQ(tag(value, "t"), "1767225600");
    EXPECT_EQ(tag(value, "x"), "1767830400");
    EXPECT_EQ(tag(value, "l"), "(none)");
    EXPECT_EQ(tag(value, "bh"), test::base64(hash_body(Canonicalisation::relaxed, body("text\r\n"), 99).digest));
  }
}

TEST(DkimSign, SignaturesVerify) {
  for (const Canonicalisation form : {Canonicalisation::simple, Canonicalisation::relaxed}) {
    DkimProfile profile = profile_of({{"r", "r", crypto::KeyType::rsa}, {"e", "e", crypto::KeyType::ed25519}});
    profile.header = form;
    const mime::HeaderList headers =
        header({{"Received", " x"}, {"From", "  a@example.org "}, {"To", " b,\n\tc"}, {"X-Other", " y"}});
    const unsigned calls = keys().sign_calls;
    const auto values = sign(profile, headers, "");
    EXPECT_EQ(keys().sign_calls, calls + 1) << "both signatures are asked for at once";
    for (size_t i = 0; i < values.size(); ++i) {
      std::string hashed;
      append_canonical_header(form, "From", headers[1].value, false, hashed);
      append_canonical_header(form, "To", headers[2].value, false, hashed);
      const size_t b = values[i].rfind("b=") + 2;
      append_canonical_header(form, "DKIM-Signature", " " + values[i].substr(0, b), true, hashed);
      EXPECT_TRUE(keys().verify(profile.keys[i].key, sha256(hashed, ""), from_base64(values[i].substr(b))));
    }
  }
}

std::string signed_names(const DkimProfile& profile, const mime::HeaderList& headers) {
  return tag(sign(profile, headers, "x\r\n").at(0), "h");
}

TEST(DkimSign, CoversEachInstanceAndOneMore) {
  DkimProfile profile = profile_of({{"e", "e", crypto::KeyType::ed25519}});
  // The usual names, those that decide what a reader sees once more than present; Date and Message-ID only where they
  // are, because the next server may have to put them in.
  EXPECT_EQ(signed_names(profile, header({{"From", " a"}, {"Subject", " s"}, {"X-Other", " x"}})),
            "From:From:Sender:Reply-To:Subject:Subject:To:Cc:MIME-Version:Content-Type:Content-Transfer-Encoding");
  EXPECT_EQ(signed_names(profile, header({{"from", " a"}, {"DATE", " d"}, {"Resent-To", " 1"}, {"Resent-To", " 2"}})),
            "From:From:Sender:Reply-To:Subject:Date:Date:To:Cc:MIME-Version:Content-Type:Content-Transfer-Encoding:"
            "Resent-To:Resent-To");
  profile.headers = {"From", "X-Other", "Subject"};
  EXPECT_EQ(signed_names(profile, header({{"From", " a"}, {"To", " t"}, {"X-Other", " x"}})),
            "From:From:X-Other:Subject");
  profile.oversign = {"X-Other", "To"};
  EXPECT_EQ(signed_names(profile, header({{"From", " a"}, {"To", " t"}, {"X-Other", " x"}})),
            "From:X-Other:X-Other:To:To");
  profile.oversign.emplace();
  EXPECT_EQ(signed_names(profile, header({{"From", " a"}, {"Subject", " t"}})), "From:Subject");
}

TEST(DkimSign, RepeatedFieldsGoFromTheBottomUp) {
  DkimProfile profile = profile_of({{"e", "e", crypto::KeyType::ed25519}});
  profile.headers = {"From", "X"};
  profile.oversign.emplace();
  const mime::HeaderList headers = header({{"X", " 1"}, {"From", " a"}, {"X", " 2"}, {"x", " 3"}});
  const std::string value = sign(profile, headers, "x\r\n").at(0);
  EXPECT_EQ(tag(value, "h"), "From:X:X:X");
  const size_t b = value.rfind("b=") + 2;
  std::string hashed = "from:a\r\nx:3\r\nx:2\r\nx:1\r\n";
  append_canonical_header(Canonicalisation::relaxed, "DKIM-Signature", " " + value.substr(0, b), true, hashed);
  EXPECT_TRUE(keys().verify("e", sha256(hashed, ""), from_base64(value.substr(b))));
}

TEST(DkimSign, VeryOftenRepeatedNamesAreBounded) {
  DkimProfile profile = profile_of({{"e", "e", crypto::KeyType::ed25519}});
  profile.headers = {"From", "X"};
  profile.oversign = {"X"};
  mime::HeaderList headers = header({{"From", " a"}});
  for (int i = 0; i < 1000; ++i) headers.add_received("X", " x");
  const std::string names = signed_names(profile, headers);
  EXPECT_EQ(std::ranges::count(names, 'X'), static_cast<ptrdiff_t>(kMostInstances));
}

TEST(DkimSign, BodyLength) {
  DkimProfile profile = profile_of({{"e", "e", crypto::KeyType::ed25519}});
  profile.body_length = 10;
  const mime::HeaderList headers = header({{"From", " a"}});
  const std::string longer = sign(profile, headers, "0123456789abc\r\n").at(0);
  EXPECT_EQ(tag(longer, "l"), "10");
  EXPECT_EQ(tag(longer, "bh"), test::base64(sha256("0123456789", "")));
  const std::string shorter = sign(profile, headers, "0  1\r\n\r\n").at(0);
  EXPECT_EQ(tag(shorter, "l"), "5");
  EXPECT_EQ(tag(shorter, "bh"), test::base64(sha256("0 1\r\n", "")));
  profile.body_length = 0;
  EXPECT_EQ(tag(sign(profile, headers, "text\r\n").at(0), "l"), "0");
}

TEST(DkimSign, LinesAreShortAndStayAsTheyAre) {
  DkimProfile profile = profile_of({{"r2026", "r", crypto::KeyType::rsa}, {"e2026", "e", crypto::KeyType::ed25519}});
  profile.domain = std::string(60, 'a') + "." + std::string(60, 'b') + ".example";
  profile.identity = "@" + profile.domain;
  profile.headers = {"From", std::string(70, 'X'), "Subject"};
  mime::HeaderList headers = header({{"From", " a"}, {std::string(70, 'X'), " x"}});
  for (int i = 0; i < 30; ++i) headers.add_received("Subject", " s");
  for (const std::string& value : sign(profile, headers, "x\r\n")) {
    size_t begin = 0;
    const std::string field = "DKIM-Signature: " + value;
    while (begin < field.size()) {
      const size_t end = std::min(field.find('\n', begin), field.size());
      const std::string_view line = std::string_view(field).substr(begin, end - begin);
      // One name alone may be longer than a line.
      EXPECT_TRUE(line.size() <= 76 || line.find("aaaa") != std::string::npos) << line;
      EXPECT_TRUE(begin == 0 || line.front() == '\t');
      EXPECT_FALSE(line.ends_with(' ')) << line;
      begin = end + 1;
    }
    EXPECT_EQ(value.find('\r'), std::string::npos);
    mime::HeaderList list;
    list.insert_top("DKIM-Signature", value);
    EXPECT_EQ(list[0].value, " " + value) << "the header list changes nothing in it";
  }
}

TEST(DkimSign, ErrorsNameTheKey) {
  const mime::HeaderList headers = header({{"From", " a"}});
  const auto error_of = [&](std::vector<DkimKey> list) {
    const auto values = sign_message(profile_of(std::move(list)), headers, body("x"), kNow, usable_keys(), soon());
    EXPECT_FALSE(values);
    return values ? base::Error(base::Cause::internal, "") : values.error();
  };
  const base::Error missing = error_of({{"e", "e", crypto::KeyType::ed25519}, {"s2", "gone", crypto::KeyType::rsa}});
  EXPECT_EQ(missing.cause(), base::Cause::not_found);
  EXPECT_EQ(missing.text(), "selector 's2', key 'gone': no such key");
  EXPECT_EQ(error_of({{"p", "p", crypto::KeyType::ec_p256}}).text(),
            "selector 'p', key 'p': the key is of type p256; DKIM signs with rsa and ed25519");
  EXPECT_EQ(error_of({{"s", "small", crypto::KeyType::rsa}}).cause(), base::Cause::misconfigured);
  usable_keys().failure = base::Error(base::Cause::unavailable, "nobody there");
  const base::Error down = error_of({{"e", "e", crypto::KeyType::ed25519}});
  usable_keys().failure.reset();
  EXPECT_EQ(down.cause(), base::Cause::unavailable);
}

}  // namespace
}  // namespace postern::auth
