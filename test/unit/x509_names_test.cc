// SPDX-License-Identifier: Apache-2.0
// Names as text, certificates as facts, keys and their fingerprints, DER.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>

#include "engine/x509/der.h"
#include "engine/x509/dkim_record.h"
#include "test/unit/x509_support.h"

namespace postern::x509 {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Names, ReadAndWrittenByTable) {
  struct Case {
    std::string_view text;
    std::string_view written;
  };
  constexpr Case kCases[] = {
      {"CN=mail.example.org,O=Example", "CN=mail.example.org,O=Example"},
      {"cn = mail.example.org , o=Example ", "CN=mail.example.org,O=Example"},
      {"O=A+OU=B,C=DE", "O=A+OU=B,C=DE"},
      {"CN=a;O=b", "CN=a,O=b"},
      {R"(CN=Sm\C3\ADth\, John,DC=example,DC=org)", R"(CN=Smíth\, John,DC=example,DC=org)"},
      {R"(CN=\20x\ )", R"(CN=\ x\ )"},
      {R"(CN=\#1 \+ 1 = \"2\")", R"(CN=\#1 \+ 1 \= \"2\")"},
      {R"(CN=tab\09)", R"(CN=tab\09)"},
      {"1.2.3.4=#0c0161", "1.2.3.4=#0c0161"},
      {"2.5.4.3=x", "CN=x"},
      {"1.2.3.4=x", "1.2.3.4=#0c0178"},
      {"emailAddress=a@b.example,UID=jo", "emailAddress=a@b.example,UID=jo"},
      {"CN=", "CN="},
      {"", ""},
  };
  for (const Case& one : kCases) {
    const auto name = parse_name(one.text);
    ASSERT_TRUE(name.has_value()) << one.text << ": " << name.error().text();
    EXPECT_EQ(name_text(name->get()), one.written);
    const auto again = parse_name(name_text(name->get()));
    ASSERT_TRUE(again.has_value()) << one.written;
    EXPECT_EQ(X509_NAME_cmp(name->get(), again->get()), 0) << one.written;
  }
}

TEST(Names, RefusedWithThePlace) {
  for (const std::string_view text : {"x", "CN=a,", "CN=a,b", "XYZ=a", "CN=a\"", R"(CN=\zz)", R"(CN=\ff)", "CN=#zz",
                                      "CN=#0c05", "CN=<a>", R"(CN=\00)", "=a", "1..2=a", R"(CN=a\)", "CN=a+"}) {
    const auto name = parse_name(text);
    ASSERT_FALSE(name.has_value()) << text;
    EXPECT_EQ(name.error().cause(), base::Cause::malformed);
    EXPECT_THAT(name.error().text(), HasSubstr("name: ")) << text;
  }
  EXPECT_EQ(parse_name(std::string(kMaxNameText + 1, 'a')).error().cause(), base::Cause::limit);
  std::string many = "CN=a";
  for (size_t i = 0; i < kMaxNameParts; ++i) many += ",CN=a";
  EXPECT_FALSE(parse_name(many).has_value());
}

TEST(Names, ComparedWithoutCase) {
  EXPECT_EQ(X509_NAME_cmp(parse_name("CN=Root  CA,C=DE")->get(), parse_name("cn=root ca,c=de")->get()), 0);
  EXPECT_NE(X509_NAME_cmp(parse_name("CN=Root,C=DE")->get(), parse_name("C=DE,CN=Root")->get()), 0);
}

TEST(Der, ReadsOnlyTheShortestForm) {
  const auto good = [](std::string_view bytes) {
    DerReader reader(bytes);
    reader.take(Tag::octet_string);
    return reader.done();
  };
  EXPECT_TRUE(good({"\x04\x01x", 3}));
  EXPECT_FALSE(good({"\x04\x81\x01x", 4}));
  EXPECT_FALSE(good({"\x04\x82\x00\x01x", 5}));
  EXPECT_FALSE(good({"\x04\x80\x00\x00", 4}));
  EXPECT_FALSE(good({"\x04\x02x", 3}));
  EXPECT_FALSE(good({"\x04\x01xx", 4}));
  EXPECT_FALSE(good({"\x05\x00", 2}));
  EXPECT_FALSE(good({"\x04", 1}));
  EXPECT_FALSE(good({"\x04\x85\x00\x00\x00\x00\x01x", 8}));
  EXPECT_FALSE(good({"\x04\x84\xFF\xFF\xFF\xFFx", 7}));
  for (const size_t size : {0, 1, 127, 128, 255, 256, 65535, 65536}) {
    const std::string content(size, 'x');
    const std::string element = der_element(Tag::octet_string, content);
    DerReader reader(element);
    EXPECT_EQ(reader.take(Tag::octet_string), content);
    EXPECT_TRUE(reader.done());
  }
  EXPECT_EQ(hex(der_integer(0u)), "020100");
  EXPECT_EQ(hex(der_integer(128u)), "02020080");
}

TEST(Spki, TypesSizesAndForms) {
  struct Case {
    KeyType type;
    uint32_t bits;
  };
  for (const Case& one :
       {Case{KeyType::rsa, 2048}, {KeyType::ec_p256, 256}, {KeyType::ec_p384, 384}, {KeyType::ed25519, 256}}) {
    const KeyHandle key = make_key(one.type);
    const std::string spki = spki_of(key.get());
    const auto read = read_spki(spki);
    ASSERT_TRUE(read.has_value()) << read.error().text();
    EXPECT_EQ(read->type, one.type);
    if (one.type != KeyType::ed25519) {
      EXPECT_EQ(read->bits, one.bits);
    }
    EXPECT_EQ(canonical_spki(key.get()), spki);
    EXPECT_FALSE(read_spki(spki + "x").has_value());
    EXPECT_FALSE(read_spki(std::string_view(spki).substr(1)).has_value());
    const std::string pem = public_key_pem(spki);
    const Bio bio = memory_bio(pem);
    const KeyHandle again(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
    EXPECT_EQ(EVP_PKEY_eq(key.get(), again.get()), 1);
    EXPECT_EQ(spki_hash(spki), hex(sha256(spki)));
  }
  // A compressed point is the same key in another encoding.
  const KeyHandle key = make_key();
  const std::string usual = spki_of(key.get());
  EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed");
  const std::string compressed = spki_of(key.get());
  ASSERT_NE(usual, compressed);
  EXPECT_FALSE(read_spki(compressed).has_value());
  EXPECT_EQ(canonical_spki(key.get()), usual);
  // A curve spelled out, a key type that is not ours.
  EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_ENCODING, "explicit");
  EXPECT_FALSE(load_public_key(spki_of(key.get())).has_value());
  const KeyHandle x25519(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
  EXPECT_FALSE(load_public_key(spki_of(x25519.get())).has_value());
}

TEST(Spki, SignaturesOfEveryKind) {
  for (const KeyType type : {KeyType::rsa, KeyType::ec_p256, KeyType::ec_p384, KeyType::ed25519}) {
    const KeyHandle key = make_key(type);
    const auto algorithm = type == KeyType::rsa       ? SignAlgorithm::rsa_pkcs1
                           : type == KeyType::ed25519 ? SignAlgorithm::eddsa
                                                      : SignAlgorithm::ecdsa;
    const Hash hash = type == KeyType::ed25519 ? Hash::none : Hash::sha256;
    const auto input = digest(hash, "hello");
    const auto signature = signer_of(key.get())(algorithm, hash, *input);
    ASSERT_TRUE(signature.has_value());
    EXPECT_TRUE(verify_signature(key.get(), algorithm, hash, *input, *signature));
    std::string other = *input;
    other[0] ^= 1;
    EXPECT_FALSE(verify_signature(key.get(), algorithm, hash, other, *signature));
    EXPECT_FALSE(verify_signature(key.get(), algorithm, hash, *input, signature->substr(1)));
    EXPECT_FALSE(verify_signature(make_key(type).get(), algorithm, hash, *input, *signature));
  }
}

TEST(Certificates, Facts) {
  const Authority root("CN=Root,O=Test");
  const KeyHandle key = make_key(KeyType::ec_p384);
  const std::string der =
      root.issue({.subject = "CN=host.example,O=Test",
                  .serial = 0x0ABCDE,
                  .extensions = {{NID_subject_alt_name,
                                  "DNS:host.example,DNS:*.example,IP:192.0.2.1,IP:2001:db8::1,email:a@b.example"}}},
                 key.get());
  const auto facts = read_certificate(der);
  ASSERT_TRUE(facts.has_value()) << facts.error().text();
  EXPECT_EQ(facts->subject, "CN=host.example,O=Test");
  EXPECT_EQ(facts->issuer, "CN=Root,O=Test");
  EXPECT_EQ(facts->serial, "abcde");
  EXPECT_THAT(facts->dns, ElementsAre("host.example", "*.example"));
  EXPECT_THAT(facts->addresses, ElementsAre("192.0.2.1", "2001:db8::1"));
  EXPECT_THAT(facts->emails, ElementsAre("a@b.example"));
  EXPECT_FALSE(facts->authority);
  EXPECT_EQ(facts->type, KeyType::ec_p384);
  EXPECT_TRUE(facts->belongs_to(spki_of(key.get())));
  EXPECT_FALSE(facts->belongs_to(spki_of(root.key.get())));
  EXPECT_EQ(facts->not_after - facts->not_before, 3600 + 86400);
  EXPECT_TRUE(read_certificate(root.certificate)->authority);
  EXPECT_FALSE(read_certificate(der + "x").has_value());
  EXPECT_FALSE(read_certificate("").has_value());
  EXPECT_FALSE(read_certificate(std::string(kMaxCertificate + 1, '0')).has_value());
}

TEST(Certificates, Chains) {
  const Authority root("CN=Root");
  const Authority other("CN=Other");
  const KeyHandle key = make_key();
  const std::string leaf = root.leaf("host.example", key.get());
  const auto chain = read_chain("words before\n" + pem_of({leaf, root.certificate}));
  ASSERT_TRUE(chain.has_value()) << chain.error().text();
  EXPECT_EQ(chain->size(), 2u);
  const auto fails = [](const std::string& pem, std::string_view text) {
    const auto result = read_chain(pem);
    ASSERT_FALSE(result.has_value()) << text;
    EXPECT_THAT(result.error().text(), HasSubstr(text));
  };
  fails(pem_of({root.certificate, leaf}), "begins with the leaf");
  fails(pem_of({leaf, other.certificate}), "did not issue");
  fails("", "no certificate");
  fails("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1");
  fails("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "PEM");
  fails("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private key");
  fails("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "no certificate");
  fails(pem_of(std::vector<std::string>(kMaxChain + 1, root.certificate)), "more than");
  fails(std::string(kMaxChainText + 1, ' '), "larger");
}

TEST(DkimRecord, Keys) {
  // RFC 8463 section A.2.
  const auto public_key =
      unhex("302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  const auto record = txt_record(KeyType::ed25519, *public_key);
  ASSERT_TRUE(record.has_value()) << record.error().text();
  EXPECT_EQ(*record, "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
  const KeyHandle rsa = make_key(KeyType::rsa);
  const auto long_record = txt_record(KeyType::rsa, spki_of(rsa.get()));
  ASSERT_TRUE(long_record.has_value());
  EXPECT_THAT(*long_record, testing::StartsWith("v=DKIM1; k=rsa; p=MIIB"));
  EXPECT_EQ(long_record->size(), 18u + 392);
  EXPECT_EQ(zone_strings(*long_record), "\"" + long_record->substr(0, 255) + "\" \"" + long_record->substr(255) + "\"");
  EXPECT_EQ(zone_strings(R"(a"b\)"), R"("a\"b\\")");
  EXPECT_FALSE(txt_record(KeyType::rsa, *public_key).has_value());
  EXPECT_FALSE(txt_record(KeyType::ec_p256, spki_of(make_key().get())).has_value());
}

}  // namespace
}  // namespace postern::x509
