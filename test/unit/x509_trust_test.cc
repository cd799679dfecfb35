// SPDX-License-Identifier: Apache-2.0
// The chain check: what is trusted, what a distrust list does, and chains made to hurt.
#include "engine/x509/trust.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>

#include "engine/x509/distrust.h"
#include "test/unit/x509_support.h"

namespace postern::x509 {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;

TrustStore store_of(const std::vector<std::string>& roots, const std::vector<std::string>& distrust = {}) {
  auto store = TrustStore::create(pem_of(roots), distrust);
  if (!store) throw std::runtime_error(store.error().text());
  return std::move(*store);
}

std::string spki_entry(EVP_PKEY* key) { return "spki:" + spki_hash(spki_of(key)); }

// World: root R issued intermediate I, which issued a leaf; G is another, good root.
struct Chains : testing::Test {
  Authority root{"CN=R,O=Compromised"};
  Authority good{"CN=G"};
  Authority between{"CN=I"};
  KeyHandle key = make_key();
  std::string i_by_r = root.issue({.subject = between.name, .authority = true, .serial = 5}, between.key.get());
  std::string i_by_g = good.issue({.subject = between.name, .authority = true, .serial = 6}, between.key.get());
  std::string r_by_g = good.issue({.subject = root.name, .authority = true, .serial = 9}, root.key.get());
  std::string leaf = between.leaf("host.example", key.get());
  TrustQuery query{.purpose = Purpose::tls_server, .host = "host.example"};

  Verdict check(const TrustStore& store, std::vector<std::string> chain) const { return store.check(chain, query); }
};

TEST_F(Chains, Trusted) {
  const TrustStore store = store_of({root.certificate});
  const Verdict verdict = check(store, {leaf, i_by_r});
  EXPECT_TRUE(verdict.trusted) << verdict.reason;
  EXPECT_THAT(verdict.path, ElementsAre("CN=host.example", "CN=I", "CN=R,O=Compromised"));
  // In any order, with the root sent along, with unrelated and broken ones between.
  EXPECT_TRUE(check(store, {leaf, root.certificate, "junk", good.certificate, i_by_g, i_by_r}).trusted);
}

TEST_F(Chains, RefusedWithReason) {
  const TrustStore store = store_of({root.certificate});
  EXPECT_THAT(check(store, {}).reason, HasSubstr("no certificate"));
  EXPECT_THAT(check(store, {"junk"}).reason, HasSubstr("not in DER"));
  EXPECT_THAT(check(store, {leaf}).reason, HasSubstr("the issuer of \"CN=host.example\" is not known"));
  EXPECT_THAT(check(store_of({good.certificate}), {leaf, i_by_r}).reason, HasSubstr("the issuer of \"CN=I\""));
  EXPECT_FALSE(check(store_of({}), {leaf, i_by_r, root.certificate}).trusted);
  query.host = "other.example";
  EXPECT_THAT(check(store, {leaf, i_by_r}).reason, HasSubstr("ostname mismatch"));
  query.host = "192.0.2.1";
  EXPECT_THAT(check(store, {leaf, i_by_r}).reason, HasSubstr("IP address mismatch"));
  query.host = std::string_view("host.example\0.org", 17);
  EXPECT_FALSE(check(store, {leaf, i_by_r}).trusted);
  query.host = "";
  query.purpose = Purpose::tls_client;
  EXPECT_THAT(check(store, {leaf, i_by_r}).reason, HasSubstr("purpose"));
  query.purpose = Purpose::smime_sign;
  query.email = "who@host.example";
  EXPECT_TRUE(check(store, {leaf, i_by_r}).trusted);
  query.email = "else@host.example";
  EXPECT_THAT(check(store, {leaf, i_by_r}).reason, HasSubstr("mail"));
  query.email = "";
  query.time = std::time(nullptr) + 10 * 86400;
  EXPECT_THAT(check(store, {leaf, i_by_r}).reason, HasSubstr("expired"));
}

TEST_F(Chains, CommonNameAndHalfWildcardsAreNoNames) {
  const TrustStore store = store_of({root.certificate});
  const auto with = [&](const std::string& subject, std::vector<std::pair<int, std::string>> extensions) {
    return root.issue({.subject = subject, .extensions = std::move(extensions)}, key.get());
  };
  EXPECT_FALSE(check(store, {with("CN=host.example", {})}).trusted);
  query.host = "host.b.example";
  EXPECT_TRUE(check(store, {with("CN=x", {{NID_subject_alt_name, "DNS:*.b.example"}})}).trusted);
  for (const char* pattern : {"DNS:*.example", "DNS:ho*.b.example", "DNS:*.*.example", "DNS:host.*.example"}) {
    EXPECT_FALSE(check(store, {with("CN=x", {{NID_subject_alt_name, pattern}})}).trusted) << pattern;
  }
  query.host = "192.0.2.1";
  EXPECT_TRUE(check(store, {with("CN=x", {{NID_subject_alt_name, "IP:192.0.2.1"}})}).trusted);
}

TEST_F(Chains, LeafCannotIssue) {
  const TrustStore store = store_of({root.certificate});
  const Authority fake("CN=host.example");
  const KeyHandle victim = make_key();
  const std::string by_leaf = make_certificate(
      {.subject = "CN=v", .issuer = "CN=host.example", .extensions = {{NID_subject_alt_name, "DNS:host.example"}}},
      victim.get(), key.get());
  EXPECT_FALSE(check(store, {by_leaf, leaf, i_by_r}).trusted);
}

TEST_F(Chains, DistrustByKeyIssuerAndSerial) {
  const std::vector<std::string> everything = {leaf, i_by_r, i_by_g, r_by_g, root.certificate, good.certificate};
  struct Case {
    std::string entry;
    bool by_g;  // still trusted by way of G
  };
  const Case cases[] = {
      {spki_entry(root.key.get()), true},
      {"issuer:o=compromised,cn=R", true},  // another order is another name: matches nothing, so R stays trusted
      {"issuer:cn=r,o=compromised", true},
      {"serial:64:CN=R,O=Compromised", true},
      {spki_entry(between.key.get()), false},
      {"issuer:CN=I", false},
      {"serial:5:CN=R,O=Compromised", false},  // I by that number; the cross-signature is over the same key
      {"serial:06:cn=G", false},
      {spki_entry(key.get()), false},
      {"serial:7:CN=I", false},
  };
  for (const Case& one : cases) {
    const Verdict verdict = check(store_of({root.certificate, good.certificate}, {one.entry}), everything);
    EXPECT_EQ(verdict.trusted, one.by_g) << one.entry << ": " << verdict.reason;
    if (!one.by_g) {
      EXPECT_THAT(verdict.reason, HasSubstr("distrust list")) << one.entry;
    }
  }
  // The same entries where R is the only root: nothing helps, although the store holds it.
  for (const std::string& entry : {spki_entry(root.key.get()), std::string("issuer:CN=R,O=Compromised"),
                                   std::string("serial:64:CN=R,O=Compromised")}) {
    const Verdict verdict = check(store_of({root.certificate}, {entry}), everything);
    EXPECT_FALSE(verdict.trusted) << entry;
    EXPECT_THAT(verdict.reason, HasSubstr("distrust list")) << entry;
  }
}

// A compromised root, two intermediates cross-signed by a good one, the root itself cross-signed too; the store still
// holds all. Whatever goes through the root's key is untrusted.
TEST_F(Chains, CrossSignatureRevivesNothing) {
  const KeyHandle second_key = make_key();
  const Authority second("CN=I2");
  const std::string i2_by_r = root.issue({.subject = "CN=I2", .authority = true, .serial = 15}, second.key.get());
  const std::string leaf2 = second.leaf("host.example", second_key.get());
  const std::vector<std::string> roots = {root.certificate, good.certificate};
  for (const std::string& entry : {spki_entry(root.key.get()), std::string("issuer:CN=R,O=Compromised"),
                                   std::string("serial:64:CN=R,O=Compromised")}) {
    const TrustStore store = store_of(roots, {entry});
    EXPECT_FALSE(check(store, {leaf2, i2_by_r, r_by_g}).trusted) << entry;
    EXPECT_FALSE(check(store, {leaf2, i2_by_r, r_by_g, root.certificate, good.certificate}).trusted) << entry;
    EXPECT_TRUE(check(store_of(roots), {leaf2, i2_by_r, r_by_g}).trusted);
    // The key under a new name.
    const std::string renamed = good.issue({.subject = "CN=New", .authority = true, .serial = 21}, root.key.get());
    const std::string leaf3 = make_certificate(
        {.subject = "CN=x", .issuer = "CN=New", .extensions = {{NID_subject_alt_name, "DNS:host.example"}}},
        second_key.get(), root.key.get());
    EXPECT_TRUE(check(store_of(roots), {leaf3, renamed}).trusted);
    EXPECT_FALSE(check(store, {leaf3, renamed}).trusted) << entry;
    // The key in another encoding.
    KeyHandle compressed(EVP_PKEY_dup(root.key.get()));
    EVP_PKEY_set_utf8_string_param(compressed.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed");
    const std::string squeezed = good.issue({.subject = root.name, .authority = true, .serial = 22}, compressed.get());
    EXPECT_TRUE(check(store_of(roots), {leaf2, i2_by_r, squeezed}).trusted);
    EXPECT_FALSE(check(store, {leaf2, i2_by_r, squeezed}).trusted) << entry;
  }
  // A serial entry whose certificate comes along with the chain only.
  const TrustStore store = store_of({good.certificate}, {"serial:5:CN=R,O=Compromised"});
  EXPECT_TRUE(check(store, {leaf, i_by_g}).trusted);
  EXPECT_FALSE(check(store, {leaf, i_by_g, i_by_r}).trusted);
}

TEST_F(Chains, GoodPathIsFoundBesideBadOnes) {
  const Authority unknown("CN=U");
  std::vector<std::string> chain = {leaf};
  for (uint64_t i = 0; i < 20; ++i) {
    chain.push_back(unknown.issue({.subject = between.name, .authority = true, .serial = 50 + i}, between.key.get()));
  }
  chain.push_back(i_by_r);
  EXPECT_TRUE(check(store_of({root.certificate}), chain).trusted);
  // An expired cross-signature first.
  const std::string old = good.issue(
      {.subject = between.name, .authority = true, .serial = 90, .from = -9000, .to = -5000}, between.key.get());
  EXPECT_TRUE(check(store_of({good.certificate}), {leaf, old, i_by_g}).trusted);
}

TEST_F(Chains, RootsNeedNotBeSelfSigned) {
  EXPECT_TRUE(check(store_of({i_by_r}), {leaf}).trusted);
  const Authority self("CN=self");
  const std::string pinned = make_certificate(
      {.subject = "CN=s", .extensions = {{NID_subject_alt_name, "DNS:host.example"}}}, key.get(), key.get());
  EXPECT_TRUE(check(store_of({pinned}), {pinned}).trusted);
  EXPECT_FALSE(check(store_of({self.certificate}), {pinned}).trusted);
}

TEST_F(Chains, WeakKeysAndDigests) {
  const TrustStore store = store_of({root.certificate});
  const KeyHandle weak = make_key(KeyType::rsa, 1024);
  EXPECT_THAT(check(store, {root.leaf("host.example", weak.get())}).reason, HasSubstr("too weak"));
}

TEST_F(Chains, Loops) {
  const Authority a("CN=A");
  const Authority b("CN=B");
  const std::string a_by_b = b.issue({.subject = a.name, .authority = true, .serial = 1}, a.key.get());
  const std::string b_by_a = a.issue({.subject = b.name, .authority = true, .serial = 2}, b.key.get());
  const std::string one = a.leaf("host.example", key.get());
  EXPECT_FALSE(check(store_of({root.certificate}), {one, a_by_b, b_by_a}).trusted);
  EXPECT_FALSE(check(store_of({root.certificate}), {a.certificate, a_by_b, b_by_a, b.certificate}).trusted);
  const Verdict good_way = check(store_of({b.certificate}), {one, a_by_b, b_by_a});
  EXPECT_TRUE(good_way.trusted) << good_way.reason;
}

TEST_F(Chains, Depth) {
  const auto line = [&](size_t length) {
    std::vector<std::string> chain;
    std::string issuer = root.name;
    KeyHandle signer(EVP_PKEY_dup(root.key.get()));
    for (size_t i = 0; i < length; ++i) {
      KeyHandle next = make_key();
      const std::string subject = "CN=L" + std::to_string(i);
      chain.insert(chain.begin(),
                   make_certificate({.subject = subject, .issuer = issuer, .authority = true, .serial = i + 1},
                                    next.get(), signer.get()));
      issuer = subject;
      signer = std::move(next);
    }
    chain.insert(chain.begin(),
                 make_certificate(
                     {.subject = "CN=x", .issuer = issuer, .extensions = {{NID_subject_alt_name, "DNS:host.example"}}},
                     key.get(), signer.get()));
    return chain;
  };
  const TrustStore store = store_of({root.certificate});
  EXPECT_TRUE(check(store, line(kMaxPath - 2)).trusted);
  for (const size_t length : {kMaxPath - 1, size_t{100}, size_t{200}}) {
    const Verdict verdict = check(store, line(length));
    EXPECT_FALSE(verdict.trusted);
    EXPECT_THAT(verdict.reason, HasSubstr("longer than")) << length;
  }
}

// Layers of authorities that all signed each other: the number of paths is exponential, the search is not.
TEST_F(Chains, WebOfCrossSignatures) {
  std::vector<Authority> web;
  for (int i = 0; i < 11; ++i) web.emplace_back("CN=W" + std::to_string(i));
  std::vector<std::string> chain = {web[0].leaf("host.example", key.get())};
  uint64_t serial = 1;
  for (const Authority& from : web) {
    for (const Authority& to : web) {
      if (&from != &to)
        chain.push_back(from.issue({.subject = to.name, .authority = true, .serial = ++serial}, to.key.get()));
    }
  }
  ASSERT_LE(chain.size(), kMaxPresented);
  const Verdict verdict = check(store_of({root.certificate}), chain);
  EXPECT_FALSE(verdict.trusted);
  EXPECT_THAT(verdict.reason, HasSubstr("too many"));
  // One name and one key in a hundred certificates.
  std::vector<std::string> same = {web[0].leaf("host.example", key.get())};
  for (uint64_t i = 0; i < 120; ++i)
    same.push_back(web[0].issue({.subject = web[0].name, .authority = true, .serial = i + 1}, web[0].key.get()));
  EXPECT_FALSE(check(store_of({root.certificate}), same).trusted);
}

TEST_F(Chains, HugeNames) {
  std::string names = "DNS:host.example";
  for (int i = 0; i < 1500; ++i) names += ",DNS:a" + std::to_string(i) + ".example";
  const std::string wide = root.issue({.subject = "CN=x", .extensions = {{NID_subject_alt_name, names}}}, key.get());
  EXPECT_TRUE(check(store_of({root.certificate}), {wide}).trusted);
  std::string constraints = "permitted;DNS:example";
  for (int i = 0; i < 400; ++i) constraints += ",excluded;DNS:b" + std::to_string(i) + ".example";
  const std::string narrow =
      root.issue({.subject = between.name, .authority = true, .extensions = {{NID_name_constraints, constraints}}},
                 between.key.get());
  const std::string under =
      between.issue({.subject = "CN=x", .extensions = {{NID_subject_alt_name, names}}}, key.get());
  EXPECT_THAT(check(store_of({root.certificate}), {under, narrow}).reason, HasSubstr("too many names"));
  EXPECT_TRUE(check(store_of({root.certificate}), {between.leaf("host.example", key.get()), narrow}).trusted);
  // An authority with 200 parts in its name.
  std::string part;
  for (int i = 0; i < 200; ++i) part += "OU=" + std::string(60, 'x') + std::to_string(i) + ",";
  const Authority wordy(part + "CN=W");
  EXPECT_TRUE(check(store_of({wordy.certificate}), {wordy.leaf("host.example", key.get())}).trusted);
  const Verdict verdict = check(store_of({root.certificate}), {wordy.leaf("host.example", key.get())});
  EXPECT_FALSE(verdict.trusted);
  EXPECT_LT(verdict.reason.size(), 400u);
}

TEST(Distrust, EntriesByTable) {
  struct Case {
    std::string_view text;
    std::string_view canonical;  // empty: refused
  };
  const std::string fingerprint(64, 'A');
  const std::string upper = "spki:" + fingerprint;
  const std::string lower = "spki:" + std::string(64, 'a');
  const Case cases[] = {
      {upper, lower},
      {"issuer:cn=X , o=Y", "issuer:CN=X,O=Y"},
      {"serial:00AB:CN=X", "serial:ab:CN=X"},
      {"serial:0:CN=X", "serial:0:CN=X"},
      {"serial:-1:CN=a:b", "serial:-1:CN=a:b"},
      {"spki:abc", ""},
      {"issuer:", ""},
      {"issuer:X", ""},
      {"serial:CN=X", ""},
      {"serial:xyz:CN=X", ""},
      {"serial:1:", ""},
      {"serial:1", ""},
      {"key:1", ""},
      {"", ""},
  };
  for (const Case& one : cases) {
    const auto entry = check_distrust_entry(one.text);
    EXPECT_EQ(entry.has_value() ? *entry : "", one.canonical) << one.text;
    if (!entry) {
      EXPECT_THAT(entry.error().text(), HasSubstr("distrust entry"));
    }
  }
  const std::vector<std::string> many(kMaxDistrust + 1, lower);
  EXPECT_FALSE(Distrust::from(many).has_value());
}

TEST(Roots, BundlesWithBrokenCertificates) {
  const Authority root("CN=R");
  const std::string bundle = "# comment\n" + pem_of({root.certificate, "junk", root.certificate});
  const auto store = TrustStore::create(bundle, {});
  ASSERT_TRUE(store.has_value());
  EXPECT_EQ(store->roots(), 2u);
  EXPECT_EQ(store->skipped(), 1u);
  EXPECT_FALSE(read_roots("/nonexistent").has_value());
  const auto machine = read_roots(kSystemRoots);
  ASSERT_TRUE(machine.has_value()) << machine.error().text();
  const auto all = TrustStore::create(*machine, {});
  ASSERT_TRUE(all.has_value());
  EXPECT_GT(all->roots(), 50u);
  EXPECT_EQ(all->skipped(), 0u);
}

}  // namespace
}  // namespace postern::x509
