// SPDX-License-Identifier: Apache-2.0
// Requests, self-signed certificates and key files, judged by the openssl command.
#include "engine/x509/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/x509/key_file.h"
#include "test/support/temporary_directory.h"
#include "test/unit/x509_support.h"

namespace postern::x509 {
namespace {

using namespace test;
using testing::HasSubstr;

// Scratch is a directory with the openssl command.
class Scratch {
 public:
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
  }
  std::string read(const std::string& name) const {
    std::ifstream in(path_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  // run returns the output of `openssl ARGUMENTS`, with "exit N" behind it when N is not 0.
  std::string run(const std::string& arguments) const {
    const std::string command = "cd '" + path_.string() + "' && openssl " + arguments + " 2>&1";
    std::FILE* pipe = popen(command.c_str(), "r");
    std::string out;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) out += static_cast<char>(c);
    const int status = pclose(pipe);
    if (status != 0) out += "exit " + std::to_string(WEXITSTATUS(status));
    return out;
  }

 private:
  const postern::test::TemporaryDirectory own_;
  const std::filesystem::path path_ = own_.path();
};

constexpr KeyType kTypes[] = {KeyType::rsa, KeyType::ec_p256, KeyType::ec_p384, KeyType::ed25519};

TEST(Request, OpensslAccepts) {
  const Scratch scratch;
  for (const KeyType type : kTypes) {
    const KeyHandle key = make_key(type);
    const Subject subject{"CN=mail.example.org,O=Müller\\, Söhne",
                          split_names("mail.example.org, *.example.org,192.0.2.1,2001:db8::1,who@example.org")};
    const auto request = make_request(subject, spki_of(key.get()), signer_of(key.get()));
    ASSERT_TRUE(request.has_value()) << request.error().text();
    scratch.write("r.pem", request_pem(*request));
    const std::string out = scratch.run("req -in r.pem -verify -text -noout -nameopt RFC2253,utf8,-esc_msb");
    EXPECT_THAT(out, HasSubstr("verify OK"));
    EXPECT_THAT(out, HasSubstr("Subject: CN=mail.example.org,O=Müller\\, Söhne"));
    EXPECT_THAT(out, HasSubstr("DNS:mail.example.org, DNS:*.example.org, IP Address:192.0.2.1, IP "
                               "Address:2001:DB8:0:0:0:0:0:1, email:who@example.org"));
    const auto bare = make_request({"CN=x", {}}, spki_of(key.get()), signer_of(key.get()));
    scratch.write("r.pem", request_pem(*bare));
    EXPECT_THAT(scratch.run("req -in r.pem -verify -noout"), HasSubstr("verify OK"));
  }
}

TEST(Request, SelfSignedCertificates) {
  const Scratch scratch;
  for (const KeyType type : kTypes) {
    const KeyHandle key = make_key(type);
    for (const Subject& subject :
         {Subject{"CN=mail.example.org", {"mail.example.org"}}, Subject{"", {"mail.example.org"}}}) {
      const auto der = self_sign(subject, spki_of(key.get()), std::time(nullptr), 30, signer_of(key.get()));
      ASSERT_TRUE(der.has_value()) << der.error().text();
      scratch.write("c.pem", certificate_pem(*der));
      EXPECT_EQ(
          scratch.run("verify -x509_strict -purpose sslserver -verify_hostname mail.example.org -CAfile c.pem c.pem"),
          "c.pem: OK\n");
      const auto facts = read_certificate(*der);
      ASSERT_TRUE(facts.has_value()) << facts.error().text();
      EXPECT_TRUE(facts->belongs_to(spki_of(key.get())));
      EXPECT_FALSE(facts->authority);
    }
    // Beyond 2049 dates are written another way.
    const auto long_lived =
        self_sign({"CN=x", {}}, spki_of(key.get()), std::time(nullptr), kMaxDays, signer_of(key.get()));
    scratch.write("c.pem", certificate_pem(*long_lived));
    EXPECT_EQ(scratch.run("verify -CAfile c.pem c.pem"), "c.pem: OK\n");
  }
}

TEST(Request, Refused) {
  const KeyHandle key = make_key();
  const std::string spki = spki_of(key.get());
  const auto fails = [&](const Subject& subject, const std::string& whose, const Signer& sign) {
    const auto request = make_request(subject, whose, sign);
    EXPECT_FALSE(request.has_value()) << subject.name;
    return request.has_value() ? "" : request.error().text();
  };
  EXPECT_THAT(fails({"", {}}, spki, signer_of(key.get())), HasSubstr("neither a subject"));
  EXPECT_THAT(fails({"XYZ=1", {}}, spki, signer_of(key.get())), HasSubstr("unknown type"));
  EXPECT_THAT(fails({"CN=x", {}}, "junk", signer_of(key.get())), HasSubstr("public key"));
  EXPECT_THAT(fails({"CN=x", {}}, spki, signer_of(make_key().get())), HasSubstr("not one of this key"));
  EXPECT_THAT(
      fails({"CN=x", {}}, spki, [](auto, auto, auto) { return base::fail(base::Cause::unavailable, "nobody there"); }),
      HasSubstr("nobody there"));
  for (const char* name :
       {"a b", "a..b", ".", "*", "a@", "@b.example", "a b@c.example", "a*b.example", "ä.example", "a@b_!.example"}) {
    EXPECT_THAT(fails({"CN=x", {name}}, spki, signer_of(key.get())), HasSubstr("no host name")) << name;
  }
  EXPECT_FALSE(make_request({"CN=x", std::vector<std::string>(kMaxRequestNames + 1, "a")}, spki, signer_of(key.get()))
                   .has_value());
  EXPECT_FALSE(self_sign({"CN=x", {}}, spki, 0, 0, signer_of(key.get())).has_value());
  EXPECT_FALSE(self_sign({"CN=x", {}}, spki, 0, kMaxDays + 1, signer_of(key.get())).has_value());
}

TEST(KeyFiles, EveryForm) {
  const Scratch scratch;
  const Authority root("CN=Root");
  for (const KeyType type : kTypes) {
    const std::string algorithm = type == KeyType::rsa       ? "RSA"
                                  : type == KeyType::ec_p256 ? "EC -pkeyopt ec_paramgen_curve:P-256"
                                  : type == KeyType::ec_p384 ? "EC -pkeyopt ec_paramgen_curve:P-384"
                                                             : "ED25519";
    scratch.run("genpkey -algorithm " + algorithm + " -out plain.pem");
    const auto plain = read_key_file(scratch.read("plain.pem"), "");
    ASSERT_TRUE(plain.has_value()) << plain.error().text();
    EXPECT_EQ(plain->type, type);
    EXPECT_TRUE(plain->chain.empty());
    const auto public_key = load_public_key(plain->spki);
    ASSERT_TRUE(public_key.has_value());
    const std::string leaf = root.leaf("host.example", public_key->get());
    const std::string certificates = pem_of({root.certificate, Authority("CN=Other").certificate, leaf});

    scratch.write("chain.pem", pem_of({leaf, root.certificate}));
    EXPECT_EQ(scratch.run("pkcs8 -topk8 -in plain.pem -passout pass:secret -out encrypted.pem"), "");
    // There is no old form for Ed25519.
    const std::string old = type == KeyType::ed25519 ? "pkcs8 -topk8 -v2 aes128" : "pkey -traditional -aes128";
    EXPECT_EQ(scratch.run(old + " -in plain.pem -passout pass:secret -out old.pem"), "");
    EXPECT_EQ(scratch.run("pkcs12 -export -inkey plain.pem -in chain.pem -passout pass:secret -out file.p12"), "");
    EXPECT_EQ(scratch.run("pkcs12 -export -inkey plain.pem -in chain.pem -passout pass: -out open.p12"), "");
    struct Case {
      std::string content;
      std::string_view password;
      bool chain;
    };
    const Case cases[] = {
        {scratch.read("plain.pem") + certificates, "", true},
        {certificates + scratch.read("encrypted.pem"), "secret", true},
        {scratch.read("old.pem"), "secret", false},
        {scratch.read("file.p12"), "secret", true},
        {scratch.read("open.p12"), "", true},
    };
    for (const Case& one : cases) {
      EXPECT_EQ(needs_password(one.content), !one.password.empty());
      const auto file = read_key_file(one.content, one.password);
      ASSERT_TRUE(file.has_value()) << file.error().text();
      EXPECT_EQ(file->pkcs8, plain->pkcs8);
      EXPECT_EQ(file->spki, plain->spki);
      EXPECT_EQ(file->chain, one.chain ? pem_of({leaf, root.certificate}) : "");
      if (one.password.empty()) continue;
      for (const std::string_view wrong : {"", "Secret", "secret2"}) {
        const auto refused = read_key_file(one.content, wrong);
        ASSERT_FALSE(refused.has_value());
        EXPECT_EQ(refused.error().cause(), base::Cause::denied) << refused.error().text();
      }
    }
  }
}

TEST(KeyFiles, Refused) {
  const Scratch scratch;
  const auto fails = [](std::string_view content, std::string_view text) {
    const auto file = read_key_file(content, "");
    ASSERT_FALSE(file.has_value()) << text;
    EXPECT_THAT(file.error().text(), HasSubstr(text));
  };
  scratch.run("genpkey -algorithm ED25519 -out a.pem");
  scratch.run("genpkey -algorithm X25519 -out x.pem");
  const std::string key = scratch.read("a.pem");
  const Authority root("CN=Root");
  fails("", "neither PEM nor");
  fails("junk", "neither PEM nor");
  fails(pem_of({root.certificate}), "no private key");
  fails(key + key, "more than one");
  fails(key + pem_of({root.certificate}), "no certificate in the file belongs");
  fails(scratch.read("x.pem"), "private key");
  fails("-----BEGIN PRIVATE KEY-----\nAAAA\n", "without an end");
  fails("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private key");
  fails(std::string(kMaxKeyFile + 1, ' '), "larger");
  const auto nul = read_key_file(key, std::string_view("a\0b", 3));
  EXPECT_FALSE(nul.has_value());
}

TEST(KeyFiles, MovedKeysAreWiped) {
  const Scratch scratch;
  scratch.run("genpkey -algorithm ED25519 -out a.pem");
  auto first = read_key_file(scratch.read("a.pem"), "");
  ASSERT_TRUE(first.has_value());
  const std::string copy = first->pkcs8;
  KeyFile second = std::move(*first);
  EXPECT_EQ(second.pkcs8, copy);
  KeyFile third;
  third = std::move(second);
  EXPECT_EQ(third.pkcs8, copy);
}

}  // namespace
}  // namespace postern::x509
