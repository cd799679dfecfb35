// SPDX-License-Identifier: Apache-2.0
// Mutated chains: bytes of certificates changed, cut, doubled and moved, half of them signed again so that the change
// is looked at more deeply; chains shuffled, repeated and mixed. Each must get a verdict, and a changed certificate is
// never trusted unless it was signed again. POSTERN_MUTATIONS says how many (the long test: a million), POSTERN_SEED
// which.
#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "engine/x509/der.h"
#include "engine/x509/trust.h"
#include "test/unit/x509_support.h"

namespace postern::x509 {
namespace {

using namespace test;

size_t setting(const char* name, size_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}
  size_t below(size_t bound) { return std::uniform_int_distribution<size_t>(0, bound - 1)(random_); }

  std::string mutate(std::string bytes, const std::string& donor) {
    for (size_t rounds = 1 + below(3); rounds > 0; --rounds) {
      if (bytes.size() < 8) return bytes;
      const size_t at = below(bytes.size());
      switch (below(7)) {
        case 0:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
          break;
        case 1:
          bytes[at] = static_cast<char>(below(256));
          break;
        case 2: {
          constexpr char kEdges[] = {'\0', '\x01', '\x7F', '\x80', '\x81', '\x84', '\xFF', '\x30', '\x31'};
          bytes[at] = kEdges[below(sizeof(kEdges))];
          break;
        }
        case 3:
          bytes.erase(at, 1 + below(8));
          break;
        case 4:
          bytes.insert(at, bytes.substr(below(bytes.size()), 1 + below(32)));
          break;
        case 5: {
          const size_t from = below(donor.size());
          bytes.replace(at, 1 + below(16), donor.substr(from, 1 + below(16)));
          break;
        }
        case 6:
          bytes.resize(at + 1);
          break;
      }
    }
    return bytes;
  }

 private:
  std::mt19937_64 random_;
};

// sign_again replaces the signature of a certificate, however odd its body has become.
std::string sign_again(const std::string& body, EVP_PKEY* key) {
  const std::string algorithm =
      der_element(Tag::sequence, der_element(Tag::oid, {"\x2A\x86\x48\xCE\x3D\x04\x03\x02", 8}));
  const auto input = digest(Hash::sha256, body);
  return der_element(Tag::sequence,
                     body + algorithm + der_bit_string(*signer_of(key)(SignAlgorithm::ecdsa, Hash::sha256, *input)));
}

std::string body_of(const std::string& der) {
  DerReader outer(der);
  DerReader inner(outer.take(Tag::sequence));
  return std::string(inner.whole(Tag::sequence));
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

TEST(Mutations, EveryChainGetsAVerdict) {
  const size_t count = setting("POSTERN_MUTATIONS", 2000);
  Mutator mutator(setting("POSTERN_SEED", 81754));
  const Authority root("CN=R");
  const Authority between("CN=I,O=Test+OU=Two");
  const KeyHandle keys[] = {make_key(KeyType::rsa), make_key(KeyType::ec_p256), make_key(KeyType::ed25519)};
  const std::string middle =
      root.issue({.subject = between.name,
                  .authority = true,
                  .serial = 5,
                  .extensions = {{NID_name_constraints,
                                  "permitted;DNS:example,permitted;email:.example,excluded;IP:192.0.2.0/255.255.255.0"},
                                 {NID_certificate_policies, "1.2.3.4,2.5.29.32.0"},
                                 {NID_policy_constraints, "requireExplicitPolicy:3"}}},
                 between.key.get());
  std::vector<std::string> leaves;
  for (const KeyHandle& key : keys) leaves.push_back(between.leaf("host.example", key.get()));
  const std::string cross = between.issue({.subject = root.name, .authority = true, .serial = 8}, root.key.get());
  const TrustStore store =
      *TrustStore::create(pem_of({root.certificate}), std::vector<std::string>{"issuer:CN=Bad", "serial:99:CN=R"});
  const TrustQuery query{.purpose = Purpose::tls_server, .host = "host.example"};
  ASSERT_TRUE(store.check(std::vector<std::string>{leaves[0], middle}, query).trusted);

  size_t trusted = 0;
  double slowest = 0;
  for (size_t i = 0; i < count; ++i) {
    std::vector<std::string> chain = {leaves[mutator.below(3)], middle, cross, root.certificate};
    const size_t victim = mutator.below(chain.size());
    const bool again = mutator.below(2) == 0;
    const std::string& donor = chain[mutator.below(chain.size())];
    const std::string before = chain[victim];
    if (again) {
      EVP_PKEY* signer = victim == 0 || victim == 2 ? between.key.get() : root.key.get();
      chain[victim] = sign_again(mutator.mutate(body_of(before), donor), signer);
    } else {
      chain[victim] = mutator.mutate(before, donor);
    }
    const std::string altered = chain[victim];
    const bool changed = altered != before;
    switch (mutator.below(6)) {
      case 0:
        std::rotate(chain.begin(), chain.begin() + 1, chain.end());
        break;
      case 1:
        chain.insert(chain.end(), 1 + mutator.below(100), chain[victim]);
        break;
      case 2:
        chain.erase(chain.begin() + static_cast<ptrdiff_t>(mutator.below(chain.size())));
        break;
      default:
        break;
    }
    const double start = cpu_seconds();
    const Verdict verdict = store.check(chain, query);
    slowest = std::max(slowest, cpu_seconds() - start);
    trusted += verdict.trusted ? 1 : 0;
    // The leaf and what issued it are on every good path: changed and not signed again, they are on none.
    ASSERT_FALSE(verdict.trusted && changed && !again && victim < 2) << "mutation " << i << ": " << hex(chain[victim]);
    ASSERT_TRUE(verdict.trusted || !verdict.reason.empty());
    ASSERT_EQ(verdict.reason.find('\n'), std::string::npos);
    const auto opened = open_certificate(altered);
    if (!opened) continue;
    // Every name has a text, and that text is the name.
    const X509_NAME* name = X509_get_subject_name(opened->get());
    const auto subject = parse_name(name_text(name));
    if (subject) {
      ASSERT_EQ(X509_NAME_cmp(subject->get(), name), 0) << name_text(name);
    } else {
      ASSERT_EQ(subject.error().cause(), base::Cause::limit) << name_text(name) << ": " << subject.error().text();
    }
  }
  EXPECT_GT(trusted, 0u);
  // Only against hangs: what is measured is milliseconds.
  EXPECT_LT(slowest, 5.0);
  RecordProperty("slowest_us", static_cast<int>(slowest * 1e6));
  std::printf("%zu chains, %zu trusted, slowest verdict %.1f ms\n", count, trusted, slowest * 1e3);
}

}  // namespace
}  // namespace postern::x509
