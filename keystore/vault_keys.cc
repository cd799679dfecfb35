// SPDX-License-Identifier: Apache-2.0
// Making, importing and destroying keys, and the certificates kept with them. A key is in the catalogue only when it is
// in the token and has passed its pairwise test; until then its id is noted as pending, so that a crash leaves nothing
// behind.
#include <algorithm>
#include <ctime>

#include "engine/base/text.h"
#include "engine/x509/certificate.h"
#include "engine/x509/distrust.h"
#include "engine/x509/request.h"
#include "engine/x509/spki.h"
#include "keystore/events.h"
#include "keystore/token/pkcs8.h"
#include "keystore/vault.h"
#include "keystore/vault_internal.h"

namespace postern::keystore {
namespace {

constexpr size_t kMostEntries = 4096;
constexpr size_t kMostChain = 48u << 10;  // bytes of PEM; what one frame holds

void drop_pending(Catalogue& catalogue, const KeyId& id) { std::erase(catalogue.pending, id); }

}  // namespace

std::string escrow_context(const KeyId& id) {
  return "escrow " + x509::hex({reinterpret_cast<const char*>(id.data()), id.size()});
}

base::Result<void> Vault::need_working() const {
  if (condition() == Condition::error) return base::fail(base::Cause::misconfigured, "a self-test failed");
  return usable();
}

base::Result<KeyEntry> Vault::put_into_token(const NewKey& key, const Secret* pkcs8, const KeyId& id) {
  KeyEntry entry;
  entry.name = key.name;
  entry.uses = key.uses;
  entry.backup = key.backup;
  entry.imported = pkcs8 != nullptr;
  entry.created = std::time(nullptr);

  const auto finish = [&](base::Result<KeyRef> made) -> base::Result<KeyEntry> {
    if (!made) return std::unexpected(std::move(made.error()));
    entry.ref = std::move(*made);
    const auto about = x509::read_spki(entry.ref.spki);
    if (!about) return std::unexpected(base::Error(about.error()));
    entry.bits = about->bits;
    if (auto pair = pairwise_test(*token_, officer_lane(), entry.ref); !pair) {
      pairwise_failed_ = true;
      return std::unexpected(std::move(pair.error()).in("pairwise test"));
    }
    return entry;
  };

  base::Result<KeyEntry> made =
      finish(pkcs8 != nullptr ? token_->import(id, key.name, *pkcs8, key.backup)
                              : token_->generate(id, key.name, key.type, key.bits, key.backup));
  if (!made || !key.backup) return made;
  // A backup must be able to hold it. Where the token cannot give it out wrapped, a sealed copy is kept instead; a key
  // that was made in the token is then made again in memory.
  auto wrapped = token_->wrap(made->ref);
  if (wrapped) return made;
  if (wrapped.error().cause() != base::Cause::misconfigured) return std::unexpected(std::move(wrapped.error()));
  if (pkcs8 != nullptr) {
    auto sealed = kek_->seal(escrow_context(id), pkcs8->view());
    if (!sealed) return std::unexpected(std::move(sealed.error()));
    made->escrow = std::move(*sealed);
    return made;
  }
  if (auto gone = token_->destroy(id); !gone) return std::unexpected(std::move(gone.error()));
  auto in_memory = make_pkcs8(key.type, key.bits);
  if (!in_memory) return std::unexpected(std::move(in_memory.error()));
  auto sealed = kek_->seal(escrow_context(id), in_memory->view());
  if (!sealed) return std::unexpected(std::move(sealed.error()));
  made = finish(token_->import(id, key.name, *in_memory, key.backup));
  if (made) made->escrow = std::move(*sealed);
  return made;
}

// add_key is generate and import_key: the pending note, the token, the catalogue.
base::Result<const KeyEntry*> Vault::add_key(const NewKey& key, const Secret* pkcs8, std::string_view chain,
                                             const By& by) {
  if (auto ready = need_working(); !ready) return std::unexpected(std::move(ready.error()));
  Catalogue next = *catalogue();
  const KeyEntry* old = next.find(key.name);
  if (old != nullptr && old->has_key) {
    return base::fail(base::Cause::denied, "there is a key '" + key.name + "' already");
  }
  if (old == nullptr && next.entries.size() >= kMostEntries) {
    return base::fail(base::Cause::limit,
                      "there are " + std::to_string(kMostEntries) + " keys and certificates already");
  }
  auto id = new_key_id();
  if (!id) return std::unexpected(std::move(id.error()));
  if (auto noted = record(Weight::officer, pkcs8 != nullptr ? "import-key" : "generate-key", by,
                          {{"key", key.name}, {"uses", uses_text(key.uses)}, {"backup", key.backup ? "yes" : "no"}});
      !noted) {
    return std::unexpected(std::move(noted.error()));
  }
  next.pending.push_back(*id);
  if (auto saved = publish(next); !saved) return std::unexpected(std::move(saved.error()));
  next = *catalogue();

  auto made = put_into_token(key, pkcs8, *id);
  if (made && !chain.empty()) {
    made->chain = chain;
  } else if (made && old != nullptr) {
    made->chain = next.entries.find(key.name)->second.chain;
  }
  if (made && !made->chain.empty()) {
    const auto certificates = x509::read_chain(made->chain);
    if (!certificates || certificates->empty() || certificates->front().spki != made->ref.spki) {
      made = base::fail(base::Cause::denied, "the certificate does not belong to this key");
    }
  }
  if (made) {
    if (auto allowed = check_new_key(settings()->fips, made->ref.type, made->bits, made->uses); !allowed) {
      made = std::unexpected(std::move(allowed.error()));
    }
  }
  if (!made) {
    if (token_->destroy(*id)) {
      drop_pending(next, *id);
      (void)publish(std::move(next));
    }
    (void)record(Weight::officer, "key-failed", by, {{"key", key.name}, {"reason", made.error().text()}});
    if (std::exchange(pairwise_failed_, false)) fail_self_test("pairwise", made.error().text());
    return std::unexpected(std::move(made.error()));
  }
  drop_pending(next, *id);
  const std::string type(x509::key_type_name(made->ref.type));
  next.entries.insert_or_assign(key.name, std::move(*made));
  if (auto saved = publish(std::move(next)); !saved) return std::unexpected(std::move(saved.error()));
  base::emit(event(Event::key_made), {{"key", key.name},
                                      {"how", pkcs8 != nullptr ? "imported" : "generated"},
                                      {"type", type},
                                      {"uses", uses_text(key.uses)}});
  return catalogue()->find(key.name);
}

base::Result<const KeyEntry*> Vault::generate(const NewKey& key, const By& by) {
  if (auto allowed = check_new_key(settings()->fips, key.type, key.bits, key.uses); !allowed) {
    return std::unexpected(std::move(allowed.error()));
  }
  return add_key(key, nullptr, {}, by);
}

base::Result<const KeyEntry*> Vault::import_key(const NewKey& key, const Secret& pkcs8, std::string_view chain,
                                                const By& by) {
  return add_key(key, &pkcs8, chain, by);
}

base::Result<void> Vault::destroy(std::string_view name, const By& by) {
  if (auto ready = need_working(); !ready) return ready;
  Catalogue next = *catalogue();
  const auto it = next.entries.find(name);
  if (it == next.entries.end() || !it->second.has_key) {
    return base::fail(base::Cause::not_found, "there is no key '" + std::string(name) + "'");
  }
  if (auto noted = record(Weight::officer, "destroy-key", by, {{"key", name}}); !noted) return noted;
  const KeyId id = it->second.ref.id;
  next.entries.erase(it);
  next.pending.push_back(id);
  if (auto saved = publish(next); !saved) return saved;
  next = *catalogue();
  base::emit(event(Event::key_destroyed),
             {{"key", name}, {"uid", std::to_string(by.uid)}, {"pid", std::to_string(by.pid)}});
  if (auto gone = token_->destroy(id); !gone) return gone;
  drop_pending(next, id);
  return publish(std::move(next));
}

base::Result<void> Vault::put_certificate(std::string_view name, std::string_view chain, const By& by) {
  if (auto ready = need_working(); !ready) return ready;
  if (chain.size() > kMostChain) return base::fail(base::Cause::limit, "the chain is over 48 KiB");
  const auto certificates = x509::read_chain(chain);
  if (!certificates) return std::unexpected(base::Error(certificates.error()));
  if (certificates->empty()) return base::fail(base::Cause::malformed, "there is no certificate in it");
  Catalogue next = *catalogue();
  auto it = next.entries.find(name);
  if (it == next.entries.end()) {
    if (next.entries.size() >= kMostEntries) {
      return base::fail(base::Cause::limit,
                        "there are " + std::to_string(kMostEntries) + " keys and certificates already");
    }
    KeyEntry entry;
    entry.name = name;
    entry.has_key = false;
    entry.created = std::time(nullptr);
    it = next.entries.emplace(std::string(name), std::move(entry)).first;
  } else if (it->second.has_key && it->second.ref.spki != certificates->front().spki) {
    return base::fail(base::Cause::denied,
                      "the first certificate does not belong to the key '" + std::string(name) + "'");
  }
  if (auto noted = record(Weight::officer, "put-certificate", by, {{"name", name}}); !noted) return noted;
  it->second.chain = chain;
  if (auto saved = publish(std::move(next)); !saved) return saved;
  base::emit(event(Event::certificate_stored), {{"name", name},
                                                {"subject", certificates->front().subject},
                                                {"until", base::format_time(certificates->front().not_after)}});
  return {};
}

base::Result<void> Vault::drop_certificate(std::string_view name, const By& by) {
  if (auto ready = need_working(); !ready) return ready;
  Catalogue next = *catalogue();
  const auto it = next.entries.find(name);
  if (it == next.entries.end() || it->second.chain.empty()) {
    return base::fail(base::Cause::not_found, "there is no certificate '" + std::string(name) + "'");
  }
  if (auto noted = record(Weight::officer, "drop-certificate", by, {{"name", name}}); !noted) return noted;
  if (it->second.has_key) {
    it->second.chain.clear();
  } else {
    next.entries.erase(it);
  }
  if (auto saved = publish(std::move(next)); !saved) return saved;
  base::emit(event(Event::certificate_dropped), {{"name", name}});
  return {};
}

base::Result<void> Vault::distrust(bool add, std::string_view text, const By& by) {
  if (auto ready = need_working(); !ready) return ready;
  auto canonical = x509::check_distrust_entry(text);
  if (!canonical) return std::unexpected(std::move(canonical.error()));
  const std::string& entry = *canonical;
  Catalogue next = *catalogue();
  const auto it = std::ranges::find(next.distrust, entry);
  if (add && it != next.distrust.end()) return base::fail(base::Cause::denied, "it is in the distrust list already");
  if (!add && it == next.distrust.end()) return base::fail(base::Cause::not_found, "it is not in the distrust list");
  if (add && next.distrust.size() >= x509::kMaxDistrust)
    return base::fail(base::Cause::limit, "the distrust list is full");
  if (auto noted = record(Weight::officer, add ? "distrust" : "trust-again", by, {{"entry", entry}}); !noted) {
    return noted;
  }
  if (add) {
    next.distrust.push_back(entry);
  } else {
    next.distrust.erase(it);
  }
  if (auto saved = publish(std::move(next)); !saved) return saved;
  base::emit(event(Event::distrust_changed), {{"entry", entry}, {"how", add ? "added" : "removed"}});
  return {};
}

// with_key finds a key for the officer and hands a signing function over it to `make`.
base::Result<std::string> Vault::with_key(
    std::string_view name, std::string_view action, const By& by,
    const std::function<base::Result<std::string>(const KeyEntry&, const x509::Signer&)>& make) {
  if (auto ready = need_working(); !ready) return std::unexpected(std::move(ready.error()));
  const auto now = catalogue();
  const KeyEntry* key = now->find(name);
  if (key == nullptr || !key->has_key) {
    return base::fail(base::Cause::not_found, "there is no key '" + std::string(name) + "'");
  }
  if (auto noted = record(Weight::officer, action, by, {{"key", name}}); !noted) {
    return std::unexpected(std::move(noted.error()));
  }
  return make(*key, [&](x509::SignAlgorithm algorithm, x509::Hash hash, std::string_view input) {
    return token_->sign(officer_lane(), key->ref, algorithm, hash, input);
  });
}

base::Result<std::string> Vault::make_request(std::string_view name, const x509::Subject& subject, const By& by) {
  return with_key(name, "make-request", by, [&](const KeyEntry& key, const x509::Signer& sign) {
    return x509::make_request(subject, key.ref.spki, sign);
  });
}

base::Result<std::string> Vault::self_sign(std::string_view name, const x509::Subject& subject, uint32_t days,
                                           const By& by) {
  auto der = with_key(name, "self-sign", by, [&](const KeyEntry& key, const x509::Signer& sign) {
    return x509::self_sign(subject, key.ref.spki, std::time(nullptr), days, sign);
  });
  if (!der) return der;
  std::string pem = x509::certificate_pem(*der);
  if (auto kept = put_certificate(name, pem, by); !kept) return std::unexpected(std::move(kept.error()));
  return pem;
}

}  // namespace postern::keystore
