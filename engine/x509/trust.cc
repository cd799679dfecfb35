// SPDX-License-Identifier: Apache-2.0
// Building and judging paths.
#include "engine/x509/trust.h"

#include <openssl/err.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <map>
#include <set>

#include "engine/base/text.h"
#include "engine/x509/certificate.h"
#include "engine/x509/distrust.h"
#include "engine/x509/names.h"

namespace postern::x509 {

namespace {

using base::Cause;

// 112 bits: RSA from 2048, SHA-2. As Debian has it for TLS.
constexpr int kSecurityLevel = 2;
// Names times name constraints of a path: beyond, comparing them all is no longer quick.
constexpr size_t kMaxComparisons = 1u << 17;

struct Node {
  CertificateHandle certificate;
  KeyPrints prints;
  size_t names = 0;        // in the subject and its alternative names
  size_t constraints = 0;  // name constraints it lays on what it issues
};

size_t count_names(const X509* certificate) {
  const GeneralNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  const int more = names ? sk_GENERAL_NAME_num(names.get()) : 0;
  return static_cast<size_t>(X509_NAME_entry_count(X509_get_subject_name(certificate)) + std::max(more, 0));
}

void free_constraints(NAME_CONSTRAINTS* constraints) { NAME_CONSTRAINTS_free(constraints); }

size_t count_constraints(const X509* certificate) {
  const base::Handle<NAME_CONSTRAINTS, free_constraints> constraints(
      static_cast<NAME_CONSTRAINTS*>(X509_get_ext_d2i(certificate, NID_name_constraints, nullptr, nullptr)));
  if (!constraints) return 0;
  const int permitted = sk_GENERAL_SUBTREE_num(constraints->permittedSubtrees);
  const int excluded = sk_GENERAL_SUBTREE_num(constraints->excludedSubtrees);
  return static_cast<size_t>(std::max(permitted, 0) + std::max(excluded, 0));
}

base::Result<Node> make_node(std::string_view der) {
  auto certificate = open_certificate(der);
  if (!certificate) return std::unexpected(std::move(certificate).error());
  Node node{std::move(*certificate), {}, 0, 0};
  node.prints = key_prints(node.certificate.get(), certificate_spki(der));
  node.names = count_names(node.certificate.get());
  node.constraints = count_constraints(node.certificate.get());
  // Fills OpenSSL's cache of extensions now, under no contention.
  X509_check_purpose(node.certificate.get(), -1, 0);
  ERR_clear_error();
  return node;
}

std::string short_name(const X509* certificate) {
  return base::escape_for_log(name_text(X509_get_subject_name(certificate)), 200);
}

int openssl_purpose(Purpose purpose) {
  switch (purpose) {
    case Purpose::tls_server:
      return X509_PURPOSE_SSL_SERVER;
    case Purpose::tls_client:
      return X509_PURPOSE_SSL_CLIENT;
    case Purpose::smime_sign:
      return X509_PURPOSE_SMIME_SIGN;
    case Purpose::smime_encrypt:
      return X509_PURPOSE_SMIME_ENCRYPT;
  }
  return X509_PURPOSE_SSL_SERVER;
}

// set_query writes what is asked into OpenSSL's parameters; false for a name that is none.
bool set_query(X509_VERIFY_PARAM* parameters, const TrustQuery& query) {
  X509_VERIFY_PARAM_set_depth(parameters, static_cast<int>(kMaxPath));
  X509_VERIFY_PARAM_set_auth_level(parameters, kSecurityLevel);
  X509_VERIFY_PARAM_set_time(parameters, query.time != 0 ? query.time : std::time(nullptr));
  // The roots are the administrator's choice, also when one of them is no self-signed certificate.
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
  if (X509_VERIFY_PARAM_set_purpose(parameters, openssl_purpose(query.purpose)) != 1) return false;
  if (!query.email.empty() && X509_VERIFY_PARAM_set1_email(parameters, query.email.data(), query.email.size()) != 1) {
    return false;
  }
  if (query.host.empty()) return true;
  if (query.host.size() > 253 || query.host.find('\0') != std::string_view::npos) return false;
  const std::string host(query.host);
  if (X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) == 1) return true;
  ERR_clear_error();
  X509_VERIFY_PARAM_set_hostflags(parameters,
                                  X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return X509_VERIFY_PARAM_set1_host(parameters, host.data(), host.size()) == 1;
}

}  // namespace

struct TrustStore::Content {
  std::vector<Node> roots;
  Distrust distrust;
  KeySet implied;  // keys of roots that an issuer or serial entry names
  size_t skipped = 0;
};

// Search is one call of check(): the presented certificates, the path so far, and the budget.
class TrustStore::Search {
 public:
  Search(const Content& content, const TrustQuery& query) : content_(content), query_(query), keys_(content.implied) {}

  Verdict run(std::span<const std::string> chain) {
    Verdict verdict;
    if (chain.empty()) return refuse("no certificate");
    std::set<std::string_view> seen;
    for (size_t i = 0; i < std::min(chain.size(), kMaxPresented); ++i) {
      if (!seen.insert(chain[i]).second) continue;
      auto node = make_node(chain[i]);
      if (node) {
        presented_.push_back(std::move(*node));
      } else if (i == 0) {
        return refuse(node.error().text());
      }
    }
    for (const Node& node : presented_) content_.distrust.implied(node.certificate.get(), node.prints, keys_);
    if (!usable(presented_[0])) return refuse(reason_);
    path_.push_back(&presented_[0]);
    if (search()) {
      verdict.trusted = true;
      for (const Node* node : path_) verdict.path.push_back(short_name(node->certificate.get()));
      return verdict;
    }
    if (spent_) return refuse("too many ways to look for a path");
    return refuse(reason_);
  }

 private:
  static Verdict refuse(std::string reason) { return {false, std::move(reason), {}}; }

  // usable tells whether `node` may be part of a path; a distrusted one is remembered as the reason.
  bool usable(const Node& node) {
    std::string reason;
    if (!content_.distrust.matches(node.certificate.get(), node.prints, reason)) {
      if (!keys_.contains(node.prints.written) && !keys_.contains(node.prints.canonical)) return true;
      reason = "its key belongs to a certificate on the distrust list";
    }
    reason_ = "\"" + short_name(node.certificate.get()) + "\" is not trusted: " + reason;
    distrusted_ = true;
    return false;
  }

  bool on_path(const Node& node) const {
    return std::ranges::any_of(path_, [&](const Node* other) {
      return other == &node || X509_cmp(other->certificate.get(), node.certificate.get()) == 0;
    });
  }

  // issued tells whether `issuer` made `node`: names and key identifiers first, then the signature, each pair once.
  bool issued(const Node& issuer, const Node& node) {
    if (X509_check_issued(issuer.certificate.get(), node.certificate.get()) != X509_V_OK) return false;
    const auto [place, fresh] = signatures_.try_emplace({&issuer, &node}, false);
    if (!fresh) return place->second;
    if (signatures_.size() > kMaxSignatures) {
      spent_ = true;
      return false;
    }
    place->second = X509_verify(node.certificate.get(), X509_get0_pubkey(issuer.certificate.get())) == 1;
    ERR_clear_error();
    return place->second;
  }

  // search goes on from the last certificate of the path; true when the path is finished and good. Its depth is
  // kMaxPath.
  bool search() {
    if (++visits_ > kMaxVisits) spent_ = true;
    if (spent_) return false;
    const Node& last = *path_.back();
    for (const Node& root : content_.roots) {
      const bool same = X509_cmp(root.certificate.get(), last.certificate.get()) == 0;
      if (!same && (path_.size() == kMaxPath || !issued(root, last) || !usable(root))) continue;
      if (!same) path_.push_back(&root);
      if (judge()) return true;
      if (!same) path_.pop_back();
    }
    if (path_.size() + 1 >= kMaxPath) {
      say("the path is longer than " + std::to_string(kMaxPath) + " certificates");
      return false;
    }
    for (const Node& next : presented_) {
      if (spent_ || on_path(next) || !issued(next, last) || !usable(next)) continue;
      path_.push_back(&next);
      if (search()) return true;
      path_.pop_back();
    }
    say("the issuer of \"" + short_name(last.certificate.get()) + "\" is not known");
    return false;
  }

  // say keeps the first reason, unless something distrusted was met: that is what the reader wants to know.
  void say(std::string reason) {
    if (!distrusted_ && reason_.empty()) reason_ = std::move(reason);
  }

  // judge has OpenSSL look at the finished path: dates, extensions, purpose, names, strength.
  bool judge() {
    if (++attempts_ > kMaxAttempts) {
      spent_ = true;
      return false;
    }
    size_t names = 0;
    size_t constraints = 0;
    for (const Node* node : path_) {
      names += node->names;
      constraints += node->constraints;
    }
    if (names * constraints > kMaxComparisons) {
      say("too many names and name constraints");
      return false;
    }
    const base::Handle<X509_STORE, X509_STORE_free> store(X509_STORE_new());
    const base::Handle<X509_STORE_CTX, X509_STORE_CTX_free> context(X509_STORE_CTX_new());
    const CertificateStack root(sk_X509_new_null());
    const CertificateStack between(sk_X509_new_null());
    if (!store || !context || !root || !between) return false;
    const auto push = [](STACK_OF(X509) * stack, X509 * certificate) {
      if (X509_up_ref(certificate) == 1 && sk_X509_push(stack, certificate) <= 0) X509_free(certificate);
    };
    push(root.get(), path_.back()->certificate.get());
    for (size_t i = 1; i + 1 < path_.size(); ++i) push(between.get(), path_[i]->certificate.get());
    bool good = false;
    std::string reason = "the name asked for is none";
    if (X509_STORE_CTX_init(context.get(), store.get(), path_[0]->certificate.get(), between.get()) == 1) {
      X509_STORE_CTX_set0_trusted_stack(context.get(), root.get());
      if (set_query(X509_STORE_CTX_get0_param(context.get()), query_)) {
        good = X509_verify_cert(context.get()) == 1;
        reason = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
        if (const X509* at = X509_STORE_CTX_get_current_cert(context.get()); at != nullptr) {
          reason = "\"" + short_name(at) + "\": " + reason;
        }
      }
    }
    ERR_clear_error();
    if (!good) say(std::move(reason));
    return good;
  }

  const Content& content_;
  const TrustQuery& query_;
  KeySet keys_;  // distrusted because of what was seen
  std::vector<Node> presented_;
  std::vector<const Node*> path_;
  std::map<std::pair<const Node*, const Node*>, bool> signatures_;
  size_t visits_ = 0;
  size_t attempts_ = 0;
  bool spent_ = false;
  bool distrusted_ = false;
  std::string reason_;
};

TrustStore::TrustStore(std::unique_ptr<Content> content) : content_(std::move(content)) {}
TrustStore::TrustStore(TrustStore&&) noexcept = default;
TrustStore& TrustStore::operator=(TrustStore&&) noexcept = default;
TrustStore::~TrustStore() = default;

base::Result<TrustStore> TrustStore::create(std::string_view roots_pem, std::span<const std::string> distrust) {
  auto content = std::make_unique<Content>();
  auto list = Distrust::from(distrust);
  if (!list) return std::unexpected(std::move(list).error());
  content->distrust = std::move(*list);
  if (roots_pem.size() > kMaxRootText) return base::fail(Cause::limit, "root certificates: more than 16 MiB");
  auto ders = pem_certificates(roots_pem, kMaxRoots);
  if (!ders) return std::unexpected(std::move(ders).error().in("root certificates"));
  for (const std::string& der : *ders) {
    auto node = make_node(der);
    if (!node) {
      ++content->skipped;
      continue;
    }
    content->distrust.implied(node->certificate.get(), node->prints, content->implied);
    content->roots.push_back(std::move(*node));
  }
  return TrustStore(std::move(content));
}

Verdict TrustStore::check(std::span<const std::string> chain, const TrustQuery& query) const {
  return Search(*content_, query).run(chain);
}

size_t TrustStore::roots() const { return content_->roots.size(); }
size_t TrustStore::skipped() const { return content_->skipped; }

base::Result<std::string> read_roots(const std::string& path) {
  const base::Handle<std::FILE, std::fclose> file(std::fopen(path.c_str(), "re"));
  if (!file) return std::unexpected(base::system_error(path, errno));
  std::string text;
  std::string piece(64u << 10, '\0');
  while (const size_t got = std::fread(piece.data(), 1, piece.size(), file.get())) {
    text.append(piece, 0, got);
    if (text.size() > kMaxRootText) return base::fail(Cause::limit, path + ": more than 16 MiB");
  }
  if (std::ferror(file.get()) != 0) return std::unexpected(base::system_error(path, EIO));
  return text;
}

}  // namespace postern::x509
