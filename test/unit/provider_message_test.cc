// SPDX-License-Identifier: Apache-2.0
// Whole protocols over keys at fipsd: TLS 1.2 and 1.3, CMS, requests and certificates, through the built-in provider.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/cms.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>

#include "test/unit/provider_support.h"

namespace postern::keystore {
namespace {

using testing::HasSubstr;
using x509::Bio;
using x509::CertificateHandle;
using x509::KeyHandle;

using TlsContext = base::Handle<SSL_CTX, SSL_CTX_free>;
using TlsSession = base::Handle<SSL, SSL_free>;
using Cms = base::Handle<CMS_ContentInfo, CMS_ContentInfo_free>;

struct Messages : test::ProviderTest {
  // certificate makes a self-signed one for a key at fipsd; every object belongs to the library's context.
  static CertificateHandle certificate(const std::string& name) {
    const auto sign = [&](x509::SignAlgorithm algorithm, x509::Hash hash, std::string_view input) {
      const crypto::SignRequest request{name, algorithm, hash, input};
      return std::move(keys->sign({&request, 1}, {})[0]);
    };
    const std::string der =
        x509::self_sign({"CN=" + name, {"host.example"}}, spki(name), std::time(nullptr), 5, sign).value();
    X509* made = X509_new_ex(context(), nullptr);
    const unsigned char* at = x509::bytes_of(der);
    d2i_X509(&made, &at, static_cast<long>(der.size()));
    return CertificateHandle(made);
  }

  // handshake runs both ends against each other; the server's key is at fipsd. Returns the signature's digest and
  // type as the client saw them, or the errors.
  static std::string handshake(const std::string& name, int version, const char* algorithms) {
    const TlsContext server(SSL_CTX_new_ex(context(), nullptr, TLS_server_method()));
    const TlsContext client(SSL_CTX_new(TLS_client_method()));
    const CertificateHandle own = certificate(name);
    const KeyHandle signer = key(name);
    if (SSL_CTX_use_certificate(server.get(), own.get()) != 1 ||
        SSL_CTX_use_PrivateKey(server.get(), signer.get()) != 1 || SSL_CTX_check_private_key(server.get()) != 1) {
      return "key: " + errors();
    }
    SSL_CTX_set_min_proto_version(client.get(), version);
    SSL_CTX_set_max_proto_version(client.get(), version);
    if (algorithms != nullptr) SSL_CTX_set1_sigalgs_list(client.get(), algorithms);
    const TlsSession a(SSL_new(server.get()));
    const TlsSession b(SSL_new(client.get()));
    BIO* left = nullptr;
    BIO* right = nullptr;
    BIO_new_bio_pair(&left, 0, &right, 0);
    SSL_set_bio(a.get(), left, left);
    SSL_set_bio(b.get(), right, right);
    SSL_set_accept_state(a.get());
    SSL_set_connect_state(b.get());
    for (int i = 0; i < 50; ++i) {
      const int one = SSL_do_handshake(b.get());
      const int two = SSL_do_handshake(a.get());
      if (one == 1 && two == 1) break;
    }
    if (SSL_is_init_finished(a.get()) == 0 || SSL_is_init_finished(b.get()) == 0) return "handshake: " + errors();
    int type = 0;
    SSL_get_peer_signature_type_nid(b.get(), &type);
    return OBJ_nid2sn(type);
  }
};

TEST_F(Messages, Tls) {
  EXPECT_EQ(handshake("rsa", TLS1_3_VERSION, nullptr), "RSASSA-PSS");
  EXPECT_EQ(handshake("rsa", TLS1_3_VERSION, "rsa_pss_rsae_sha512"), "RSASSA-PSS");
  EXPECT_EQ(handshake("rsa", TLS1_2_VERSION, "RSA+SHA256"), "rsaEncryption");
  EXPECT_EQ(handshake("rsa", TLS1_2_VERSION, nullptr), "RSASSA-PSS");
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    EXPECT_EQ(handshake("p256", version, nullptr), "id-ecPublicKey");
    EXPECT_EQ(handshake("p384", version, nullptr), "id-ecPublicKey");
    EXPECT_EQ(handshake("ed25519", version, nullptr), "ED25519");
  }
}

TEST_F(Messages, TlsWithoutFipsdFailsAndRecovers) {
  const KeyHandle loaded = key("p256");
  const std::string before = handshake("p256", TLS1_3_VERSION, nullptr);
  EXPECT_EQ(before, "id-ecPublicKey");
  // Certificates for the test are signed by the keys too, hence a key that is another one for the provider only.
  const TlsContext server(SSL_CTX_new_ex(context(), nullptr, TLS_server_method()));
  const CertificateHandle own = certificate("p256");
  ASSERT_EQ(SSL_CTX_use_certificate(server.get(), own.get()), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey(server.get(), loaded.get()), 1);
  const auto connect = [&] {
    const TlsContext client(SSL_CTX_new(TLS_client_method()));
    const TlsSession a(SSL_new(server.get()));
    const TlsSession b(SSL_new(client.get()));
    BIO* left = nullptr;
    BIO* right = nullptr;
    BIO_new_bio_pair(&left, 0, &right, 0);
    SSL_set_bio(a.get(), left, left);
    SSL_set_bio(b.get(), right, right);
    SSL_set_accept_state(a.get());
    SSL_set_connect_state(b.get());
    for (int i = 0; i < 50; ++i) {
      const int one = SSL_do_handshake(b.get());
      const int two = SSL_do_handshake(a.get());
      const std::string why = two == 1 ? "" : errors();
      if (one == 1 && two == 1) return std::string("done");
      if (why.find("fipsd") != std::string::npos) return why;
    }
    return std::string("no end");
  };
  keys->failure = base::Error(base::Cause::unavailable, "down");
  EXPECT_THAT(connect(), HasSubstr("fipsd does not answer:p256: down"));
  keys->failure.reset();
  EXPECT_EQ(connect(), "done");
}

// OpenSSL 3.0 makes no CMS signatures with Ed25519, whoever has the key.
TEST_F(Messages, CmsSignatures) {
  for (const std::string& name :
       {std::string("rsa"), std::string("rsa-pss"), std::string("p256"), std::string("p384")}) {
    const bool pss = name == "rsa-pss";
    const std::string key_name = pss ? "rsa" : name;
    const KeyHandle signer = key(key_name);
    const CertificateHandle own = certificate(key_name);
    const Bio content = x509::memory_bio("Content-Type: text/plain\r\n\r\nhello\r\n");
    constexpr unsigned kFlags = CMS_BINARY | CMS_PARTIAL | CMS_DETACHED;
    const Cms cms(CMS_sign_ex(nullptr, nullptr, nullptr, nullptr, kFlags, context(), nullptr));
    ASSERT_NE(cms, nullptr) << errors();
    CMS_SignerInfo* info = CMS_add1_signer(cms.get(), own.get(), signer.get(), EVP_sha256(), kFlags | CMS_KEY_PARAM);
    ASSERT_NE(info, nullptr) << name << errors();
    if (pss) {
      EVP_PKEY_CTX* parameters = CMS_SignerInfo_get0_pkey_ctx(info);
      ASSERT_EQ(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING), 1) << errors();
      ASSERT_EQ(EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST), 1) << errors();
    }
    ASSERT_EQ(CMS_final(cms.get(), content.get(), nullptr, kFlags), 1) << name << errors();
    // Verified in the program's ordinary context, from its encoding.
    const std::string der = x509::encode<i2d_CMS_ContentInfo>(cms.get());
    const unsigned char* at = x509::bytes_of(der);
    const Cms again(d2i_CMS_ContentInfo(nullptr, &at, static_cast<long>(der.size())));
    const Bio same = x509::memory_bio("Content-Type: text/plain\r\n\r\nhello\r\n");
    EXPECT_EQ(CMS_verify(again.get(), nullptr, nullptr, same.get(), nullptr, CMS_NO_SIGNER_CERT_VERIFY | CMS_BINARY), 1)
        << name << errors();
  }
}

TEST_F(Messages, CmsDecryption) {
  const KeyHandle receiver = key("rsa");
  const CertificateHandle own = certificate("rsa");
  const std::string own_der = x509::encode<i2d_X509>(own.get());
  const CertificateHandle plain = x509::open_certificate(own_der).value();
  for (const bool oaep : {false, true}) {
    const Bio content = x509::memory_bio("hello");
    const Cms box(CMS_encrypt(nullptr, content.get(), EVP_aes_256_cbc(), CMS_BINARY | CMS_PARTIAL));
    CMS_RecipientInfo* info = CMS_add1_recipient_cert(box.get(), plain.get(), CMS_KEY_PARAM);
    ASSERT_NE(info, nullptr);
    if (oaep) {
      EVP_PKEY_CTX* parameters = CMS_RecipientInfo_get0_pkey_ctx(info);
      ASSERT_EQ(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_OAEP_PADDING), 1);
      ASSERT_EQ(EVP_PKEY_CTX_set_rsa_oaep_md(parameters, EVP_sha256()), 1);
      ASSERT_EQ(EVP_PKEY_CTX_set_rsa_mgf1_md(parameters, EVP_sha256()), 1);
    }
    ASSERT_EQ(CMS_final(box.get(), content.get(), nullptr, CMS_BINARY), 1) << errors();
    const std::string der = x509::encode<i2d_CMS_ContentInfo>(box.get());
    CMS_ContentInfo* raw = CMS_ContentInfo_new_ex(context(), nullptr);
    const unsigned char* at = x509::bytes_of(der);
    d2i_CMS_ContentInfo(&raw, &at, static_cast<long>(der.size()));
    const Cms received(raw);
    const Bio out(BIO_new(BIO_s_mem()));
    EXPECT_EQ(CMS_decrypt(received.get(), receiver.get(), own.get(), nullptr, out.get(), 0), 1) << errors();
    EXPECT_EQ(x509::bio_text(out.get()), "hello");
  }
}

TEST_F(Messages, RequestsAndCertificatesByOpenssl) {
  for (const char* name : test::kNames) {
    const KeyHandle signer = key(name);
    const EVP_MD* digest = std::string_view(name) == "ed25519" ? nullptr : EVP_sha256();
    const x509::RequestHandle request(X509_REQ_new_ex(context(), nullptr));
    X509_REQ_set_subject_name(request.get(), x509::parse_name("CN=x").value().get());
    ASSERT_EQ(X509_REQ_set_pubkey(request.get(), signer.get()), 1) << errors();
    ASSERT_GT(X509_REQ_sign(request.get(), signer.get(), digest), 0) << name << errors();
    EXPECT_EQ(X509_REQ_verify(request.get(), public_key(name).get()), 1) << name;
    const CertificateHandle issued = certificate(name);
    ASSERT_GT(X509_sign(issued.get(), signer.get(), digest), 0) << name << errors();
    EXPECT_EQ(X509_verify(issued.get(), public_key(name).get()), 1);
    EXPECT_EQ(X509_check_private_key(issued.get(), signer.get()), 1);
    EXPECT_NE(X509_check_private_key(issued.get(), key("other-rsa").get()), 1);
    ERR_clear_error();
  }
}

TEST(BuiltIn, ByASocketNobodyListensOn) {
  auto library = KeyLibrary::create("/nonexistent/fipsd.sock", std::chrono::milliseconds(2000));
  ASSERT_TRUE(library.has_value());
  const auto asked = (*library)->key("rsa");
  ASSERT_FALSE(asked.has_value());
  EXPECT_EQ(asked.error().cause(), base::Cause::unavailable) << asked.error().text();
  const KeyHandle soft = x509::test::make_key();
  const auto key = (*library)->key("p256", x509::test::spki_of(soft.get()));
  ASSERT_TRUE(key.has_value()) << key.error().text();
}

}  // namespace
}  // namespace postern::keystore
