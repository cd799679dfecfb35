// SPDX-License-Identifier: Apache-2.0
// Certificate chains from arbitrary bytes: one byte of choices, then certificates, each after two bytes of length; the
// last ones are the roots. Whatever they are, there is a verdict, names have a text that reads back, and what is
// distrusted is trusted by no path.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/x509/certificate.h"
#include "engine/x509/names.h"
#include "engine/x509/spki.h"
#include "engine/x509/trust.h"

namespace {

using namespace postern;

void require(bool holds) {
  if (!holds) std::abort();
}

void look_at(const std::string& der) {
  const auto facts = x509::read_certificate(der);
  if (!facts) {
    require(!facts.error().text().empty());
    return;
  }
  const auto opened = x509::open_certificate(der);
  require(opened.has_value());
  const auto subject = x509::parse_name(facts->subject);
  if (subject) {
    require(X509_NAME_cmp(subject->get(), X509_get_subject_name(opened->get())) == 0);
  } else {
    require(subject.error().cause() == base::Cause::limit);
  }
  const auto again = x509::pem_certificates(x509::certificate_pem(der), 1);
  require(again.has_value() && again->size() == 1 && again->front() == der);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t choices = data[0];
  std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  std::vector<std::string> chain;
  while (rest.size() > 2 && chain.size() < 40) {
    const size_t length = static_cast<uint8_t>(rest[0]) << 8 | static_cast<uint8_t>(rest[1]);
    chain.emplace_back(rest.substr(2, length));
    rest.remove_prefix(std::min(rest.size(), length + 2));
  }
  for (const std::string& der : chain) look_at(der);
  std::string roots;
  std::string last;
  for (size_t i = 0; i <= (choices & 1u) && !chain.empty(); ++i) {
    last = std::move(chain.back());
    chain.pop_back();
    roots += x509::certificate_pem(last);
  }
  const std::string_view host = (choices & 2) != 0 ? "host.example" : "";
  const x509::TrustQuery query{
      .purpose = static_cast<x509::Purpose>(choices >> 6), .host = host, .time = 1'800'000'000};
  const auto judge = [&](const std::vector<std::string>& distrust) {
    const auto store = x509::TrustStore::create(roots, distrust);
    require(store.has_value());
    const x509::Verdict verdict = store->check(chain, query);
    require(verdict.trusted == !verdict.path.empty() && verdict.path.size() <= x509::kMaxPath);
    require(verdict.trusted == verdict.reason.empty() && verdict.reason.find('\n') == std::string::npos);
    return verdict.trusted;
  };
  judge({});
  const std::string_view spki = x509::certificate_spki(last);
  if (!spki.empty() && (choices & 1) == 0) require(!judge({"spki:" + x509::spki_hash(spki)}));
  return 0;
}
