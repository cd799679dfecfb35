// SPDX-License-Identifier: Apache-2.0
// Bodies of fipsd's protocol: each comes back as it went, every truncation and every extra byte is refused, and so is
// each value beyond its bound. The numbers of algorithms agree with engine/x509.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/x509/algorithms.h"
#include "keystore/protocol/protocol.h"

namespace postern::keystore {
namespace {

// check decodes what `body` encodes to, encodes that again, and tries every prefix and longer body.
template <class T>
void check(const T& body) {
  const std::string bytes = body.encode();
  ASSERT_LE(bytes.size() + kRequestHeader, kMaxFrame);
  const auto decoded = T::decode(bytes);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().text();
  EXPECT_EQ(decoded->encode(), bytes);
  const size_t step = bytes.size() > 4096 ? 997 : 1;
  for (size_t n = 0; n < bytes.size(); n += n < 256 ? 1 : step) EXPECT_FALSE(T::decode(bytes.substr(0, n))) << n;
  EXPECT_FALSE(T::decode(std::string_view(bytes).substr(0, bytes.size() - 1)));
  for (const char extra : {'\0', 'x', '\xff'}) EXPECT_FALSE(T::decode(bytes + extra));
}

template <class T>
void refuse(const T& body) {
  const auto decoded = T::decode(body.encode());
  ASSERT_FALSE(decoded.has_value());
  EXPECT_EQ(decoded.error().cause(), base::Cause::malformed);
}

const std::vector<std::string> kBadNames = {"", ".a", "a/b", "a b", std::string("a\0b", 3), std::string(65, 'a')};

TEST(Body, Sign) {
  check(SignBody{"example.org", 1, 2, std::string(32, 'd')});
  check(SignBody{"e", 4, 0, ""});
  const std::string most(kMaxInput, 'm');
  check(SignBody{std::string(kMaxName, 'n'), 4, 0, most});
  refuse(SignBody{"e", 4, 0, most + "m"});
  refuse(SignBody{"e", 0, 2, "d"});
  refuse(SignBody{"e", 5, 2, "d"});
  refuse(SignBody{"e", 1, 5, "d"});
  for (const std::string& name : kBadNames) refuse(SignBody{name, 1, 2, "d"});
}

TEST(Body, SignKeepsItsFields) {
  const std::string bytes = SignBody{"example.org", 2, 3, "digest"}.encode();
  const auto decoded = SignBody::decode(bytes);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->key, "example.org");
  EXPECT_EQ(decoded->algorithm, 2);
  EXPECT_EQ(decoded->hash, 3);
  EXPECT_EQ(decoded->input, "digest");
}

TEST(Body, NumbersAreThoseOfTheAlgorithms) {
  using namespace x509;
  for (const SignAlgorithm one :
       {SignAlgorithm::rsa_pkcs1, SignAlgorithm::rsa_pss, SignAlgorithm::ecdsa, SignAlgorithm::eddsa}) {
    check(SignBody{"k", static_cast<uint8_t>(one), 0, "d"});
  }
  for (const Hash one : {Hash::none, Hash::sha1, Hash::sha256, Hash::sha384, Hash::sha512}) {
    check(SignBody{"k", 1, static_cast<uint8_t>(one), "d"});
  }
  for (const DecryptAlgorithm one : {DecryptAlgorithm::rsa_pkcs1, DecryptAlgorithm::rsa_oaep}) {
    check(DecryptBody{"k", static_cast<uint8_t>(one), 0, "", "c"});
  }
  for (const KeyType one : {KeyType::rsa, KeyType::ec_p256, KeyType::ec_p384, KeyType::ed25519}) {
    check(DescribeReply{static_cast<uint8_t>(one), 0, "s"});
  }
}

TEST(Body, Decrypt) {
  const std::string ciphertext(kMaxCiphertext, 'c');
  const std::string label(kMaxLabel, 'l');
  check(DecryptBody{"smime", 2, 2, label, ciphertext});
  check(DecryptBody{"smime", 1, 0, "", "c"});
  refuse(DecryptBody{"smime", 2, 2, label + "l", ciphertext});
  refuse(DecryptBody{"smime", 2, 2, label, ciphertext + "c"});
  refuse(DecryptBody{"smime", 0, 2, "", "c"});
  refuse(DecryptBody{"smime", 3, 2, "", "c"});
  refuse(DecryptBody{"smime", 2, 9, "", "c"});
  for (const std::string& name : kBadNames) refuse(DecryptBody{name, 1, 2, "", "c"});
}

TEST(Body, Name) {
  check(NameBody{"a"});
  check(NameBody{std::string(kMaxName, 'n')});
  for (const std::string& name : kBadNames) refuse(NameBody{name});
}

TEST(Body, Describe) {
  check(DescribeReply{1, 2048, std::string(294, 's')});
  check(DescribeReply{4, 0, ""});
  refuse(DescribeReply{0, 2048, "s"});
  refuse(DescribeReply{5, 2048, "s"});
  refuse(DescribeReply{1, 20000, "s"});
  refuse(DescribeReply{1, 2048, std::string(kMaxSpki + 1, 's')});
}

TEST(Body, Secret) {
  const std::string most(kMaxPassword, 'p');
  const std::string address(kMaxAddress, 'a');
  check(SecretBody{"", "", ""});
  check(SecretBody{most, most, address});
  refuse(SecretBody{most + "p", "", ""});
  refuse(SecretBody{"", most + "p", ""});
  refuse(SecretBody{"", "", address + "a"});
}

TEST(Body, Generate) {
  check(GenerateBody{"k", 1, 2048, 1, 1});
  check(GenerateBody{"k", 4, 0, kAllUses, 0});
  refuse(GenerateBody{"k", 0, 0, 1, 1});
  refuse(GenerateBody{"k", 1, 1u << 31, 1, 1});
  refuse(GenerateBody{"k", 1, 2048, kAllUses + 1, 1});
  refuse(GenerateBody{"k", 1, 2048, 1, 2});
  for (const std::string& name : kBadNames) refuse(GenerateBody{name, 1, 2048, 1, 1});
}

TEST(Body, Import) {
  const std::string key(kMaxPkcs8, 'k');
  const std::string chain(kMaxChain, 'c');
  check(ImportBody{"k", 2, 1, key, chain});
  check(ImportBody{"k", 2, 0, "k", ""});
  refuse(ImportBody{"k", 2, 1, key + "k", ""});
  refuse(ImportBody{"k", 2, 1, "k", chain + "c"});
  refuse(ImportBody{"k", 64, 1, "k", ""});
  refuse(ImportBody{"k", 2, 3, "k", ""});
  for (const std::string& name : kBadNames) refuse(ImportBody{name, 2, 1, "k", ""});
}

TEST(Body, Subject) {
  const std::string most(kMaxText, 't');
  check(SubjectBody{"k", "CN=mail.example.org", "mail.example.org,192.0.2.1", 30});
  check(SubjectBody{"k", most, most, UINT32_MAX});
  refuse(SubjectBody{"k", most + "t", "", 0});
  refuse(SubjectBody{"k", "", most + "t", 0});
  for (const std::string& name : kBadNames) refuse(SubjectBody{name, "", "", 0});
}

TEST(Body, PutCertificate) {
  const std::string chain(kMaxChain, 'c');
  check(PutCertificateBody{"k", chain});
  refuse(PutCertificateBody{"k", chain + "c"});
  for (const std::string& name : kBadNames) refuse(PutCertificateBody{name, "c"});
}

TEST(Body, Distrust) {
  check(DistrustBody{1, "issuer:CN=Bad CA"});
  check(DistrustBody{0, std::string(kMaxText, 'e')});
  refuse(DistrustBody{2, "e"});
  refuse(DistrustBody{1, std::string(kMaxText + 1, 'e')});
}

TEST(Body, Piece) {
  const std::string piece(kMaxChunk, 'd');
  check(BlobPiece{0, 0, ""});
  check(BlobPiece{0, kMaxChunk, piece});
  check(BlobPiece{kMaxBlob - kMaxChunk, kMaxBlob, piece});
  refuse(BlobPiece{0, kMaxChunk + 1, piece + "d"});
  refuse(BlobPiece{1, kMaxChunk, piece});
  refuse(BlobPiece{0, 0, "d"});
  refuse(BlobPiece{UINT32_MAX, 5, "abcde"});
  refuse(BlobPiece{0, kMaxBlob + 1, "d"});
  refuse(BlobPiece{kMaxBlob + 1, 0, ""});
}

TEST(Body, Pages) {
  const std::string data(kMaxChunk, 'd');
  check(AuditPage{0, 0, ""});
  check(AuditPage{UINT64_MAX, UINT64_MAX, data});
  refuse(AuditPage{0, 0, data + "d"});
  check(ListPage{0, 0, ""});
  check(ListPage{kMaxList, kMaxList, data});
  refuse(ListPage{0, 0, data + "d"});
  refuse(ListPage{kMaxList + 1, 0, ""});
  refuse(ListPage{0, kMaxList + 1, ""});
}

}  // namespace
}  // namespace postern::keystore
