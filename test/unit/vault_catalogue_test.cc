// SPDX-License-Identifier: Apache-2.0
// The catalogue: everything comes back, everything else is refused.
#include "keystore/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "test/unit/vault_support.h"

namespace postern::keystore {
namespace {

using base::Cause;
using test::failed_with;
using test::slurp;
using test::spill;
using test::succeeded;
using test::VaultDirectory;
using testing::HasSubstr;

KeyEntry key(std::string name) {
  KeyEntry out;
  out.name = std::move(name);
  for (size_t i = 0; i < out.ref.id.size(); ++i) out.ref.id[i] = static_cast<uint8_t>(i * 17);
  out.ref.type = x509::KeyType::ed25519;
  out.ref.spki = std::string("\x30\x2a\x00\xff", 4);
  out.bits = 256;
  out.uses = 5;
  out.backup = false;
  out.backed_up = true;
  out.imported = true;
  out.created = 1'780'000'000;
  out.escrow = std::string("sealed\0bytes", 12);
  out.chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  return out;
}

Catalogue sample() {
  Catalogue out;
  out.generation = 41;
  out.entries.emplace("dkim-1", key("dkim-1"));
  KeyEntry certificate;
  certificate.name = "partner";
  certificate.has_key = false;
  certificate.chain = "PEM";
  out.entries.emplace("partner", certificate);
  out.distrust = {"spki:00ff", "issuer:CN=Bad \xc3\xa4"};
  out.pending = {KeyId{1, 2, 3}};
  return out;
}

void expect_equal(const Catalogue& a, const Catalogue& b) {
  EXPECT_EQ(a.generation, b.generation);
  EXPECT_EQ(a.distrust, b.distrust);
  EXPECT_EQ(a.pending, b.pending);
  ASSERT_EQ(a.entries.size(), b.entries.size());
  for (const auto& [name, entry] : a.entries) {
    const KeyEntry* other = b.find(name);
    ASSERT_NE(other, nullptr) << name;
    EXPECT_EQ(entry.name, other->name);
    EXPECT_EQ(entry.has_key, other->has_key);
    EXPECT_EQ(entry.ref.id, other->ref.id);
    EXPECT_EQ(entry.ref.type, other->ref.type);
    EXPECT_EQ(entry.ref.spki, other->ref.spki);
    EXPECT_EQ(entry.bits, other->bits);
    EXPECT_EQ(entry.uses, other->uses);
    EXPECT_EQ(entry.backup, other->backup);
    EXPECT_EQ(entry.backed_up, other->backed_up);
    EXPECT_EQ(entry.imported, other->imported);
    EXPECT_EQ(entry.created, other->created);
    EXPECT_EQ(entry.escrow, other->escrow);
    EXPECT_EQ(entry.chain, other->chain);
  }
}

class VaultCatalogue : public testing::Test {
 protected:
  VaultDirectory place_;
  StateDirectory directory_ = std::move(*StateDirectory::open(place_.path()));
  Kek kek_ = std::move(*Kek::create(directory_, ""));
};

TEST_F(VaultCatalogue, ComesBackWithTheNextGeneration) {
  EXPECT_TRUE(failed_with(Cause::not_found, load_catalogue(directory_, kek_)));
  Catalogue catalogue = sample();
  ASSERT_TRUE(succeeded(save_catalogue(directory_, kek_, catalogue)));
  EXPECT_EQ(catalogue.generation, 42u);
  auto loaded = load_catalogue(directory_, kek_);
  ASSERT_TRUE(succeeded(loaded));
  expect_equal(*loaded, catalogue);
  Catalogue empty;
  ASSERT_TRUE(succeeded(save_catalogue(directory_, kek_, empty)));
  loaded = load_catalogue(directory_, kek_);
  ASSERT_TRUE(succeeded(loaded));
  expect_equal(*loaded, empty);
}

TEST_F(VaultCatalogue, EveryChangeOfEveryByteIsSeen) {
  Catalogue catalogue = sample();
  ASSERT_TRUE(succeeded(save_catalogue(directory_, kek_, catalogue)));
  const std::string good = slurp(place_ / "catalogue");
  for (size_t i = 0; i < good.size(); ++i) {
    std::string changed = good;
    changed[i] ^= 1;
    spill(place_ / "catalogue", changed);
    ASSERT_TRUE(failed_with(Cause::malformed, load_catalogue(directory_, kek_))) << i;
    spill(place_ / "catalogue", good.substr(0, i));
    ASSERT_TRUE(failed_with(Cause::malformed, load_catalogue(directory_, kek_))) << i;
  }
  spill(place_ / "catalogue", good + " ");
  EXPECT_TRUE(failed_with(Cause::malformed, load_catalogue(directory_, kek_)));
  spill(place_ / "catalogue", good);
  const auto other = Kek::load(directory_, "another credential");
  EXPECT_TRUE(failed_with(Cause::malformed, load_catalogue(directory_, *other)));
  EXPECT_TRUE(succeeded(load_catalogue(directory_, kek_)));
}

TEST_F(VaultCatalogue, WhatWouldNotBeReadAgainIsNotWritten) {
  Catalogue good = sample();
  ASSERT_TRUE(succeeded(save_catalogue(directory_, kek_, good)));
  const auto refused = [&](auto&& change) {
    Catalogue bad = sample();
    bad.generation = 7;
    change(bad);
    const auto saved = save_catalogue(directory_, kek_, bad);
    EXPECT_EQ(bad.generation, 7u);
    return !saved.has_value();
  };
  EXPECT_TRUE(refused([](Catalogue& c) { c.entries.emplace("bad name", key("bad name")); }));
  EXPECT_TRUE(refused([](Catalogue& c) { c.entries.emplace("filed-wrongly", key("other")); }));
  EXPECT_TRUE(refused([](Catalogue& c) { c.entries.at("dkim-1").chain = "not UTF-8: \xff"; }));
  EXPECT_TRUE(refused([](Catalogue& c) { c.entries.at("dkim-1").chain = std::string(1u << 20, 'x'); }));
  EXPECT_TRUE(refused([](Catalogue& c) { c.entries.at("dkim-1").ref.spki.clear(); }));
  EXPECT_TRUE(refused([](Catalogue& c) { c.entries.at("dkim-1").ref.spki = std::string(5000, 'x'); }));
  EXPECT_TRUE(refused([](Catalogue& c) { c.entries.at("dkim-1").uses = 32; }));
  EXPECT_TRUE(refused([](Catalogue& c) { c.entries.at("dkim-1").created = -1; }));
  EXPECT_TRUE(refused([](Catalogue& c) { c.entries.at("dkim-1").ref.type = static_cast<x509::KeyType>(99); }));
  EXPECT_TRUE(refused([](Catalogue& c) { c.distrust.emplace_back(""); }));
  EXPECT_TRUE(refused([](Catalogue& c) { c.distrust.resize(kMaxDistrust + 1, "spki:00"); }));
  EXPECT_TRUE(refused([](Catalogue& c) { c.pending.resize(kMaxPending + 1); }));
  const auto loaded = load_catalogue(directory_, kek_);
  ASSERT_TRUE(succeeded(loaded));
  expect_equal(*loaded, good);
}

TEST_F(VaultCatalogue, NoneIsSavedOnceZeroisingHasBegun) {
  Catalogue catalogue = sample();
  ASSERT_TRUE(succeeded(directory_.mark(kek_.so_pin())));
  EXPECT_TRUE(failed_with(Cause::denied, save_catalogue(directory_, kek_, catalogue)));
}

TEST_F(VaultCatalogue, FiveThousandKeysAreFine) {
  Catalogue catalogue;
  for (int i = 0; i < 5000; ++i) {
    KeyEntry entry = key("key-" + std::to_string(i));
    entry.ref.spki.assign(294, static_cast<char>(i));
    entry.chain.assign(4000, 'c');
    entry.backed_up = i % 2 == 0;
    std::string name = entry.name;
    catalogue.entries.emplace(std::move(name), std::move(entry));
  }
  catalogue.pending.resize(5000);
  ASSERT_TRUE(succeeded(save_catalogue(directory_, kek_, catalogue)));
  const auto loaded = load_catalogue(directory_, kek_);
  ASSERT_TRUE(succeeded(loaded));
  EXPECT_EQ(loaded->entries.size(), 5000u);
  EXPECT_EQ(loaded->keys_without_backup(), 2500u);
  EXPECT_NE(loaded->find("key-4999"), nullptr);
  EXPECT_EQ(loaded->find("key-5000"), nullptr);
}

TEST(VaultCatalogueText, IsReadStrictly) {
  const std::string good = *write_catalogue(sample());
  ASSERT_TRUE(succeeded(read_catalogue(good)));
  // Each row: a text to replace, what with, and what is said about it.
  struct Row {
    const char* from;
    const char* to;
    const char* complaint;
  };
  const Row rows[] = {
      {"\"generation\":41", "\"generation\":-1", "\"generation\""},
      {"\"generation\":41", "\"generation\":4.1", "\"generation\""},
      {"\"generation\":41", "\"generation\":\"41\"", "\"generation\""},
      {"\"generation\":41", "\"generation\":41,\"more\":1", "does not know"},
      {"\"generation\":41", "\"generation\":41,\"generation\":41", "twice"},
      {"\"generation\":41", "\"other\":41", "\"generation\" is missing"},
      {"\"has_key\":true", "\"has_key\":1", "\"has_key\""},
      {"\"has_key\":true", "\"has_key\":false", "does not know"},
      {"\"has_key\":false", "\"has_key\":true", "missing"},
      {"\"imported\":true", "\"imported\":true,\"imported\":false", "twice"},
      {"\"imported\":true", "\"imported\":true,\"exported\":false", "does not know"},
      {"\"imported\":true,", "", "\"imported\" is missing"},
      {"\"bits\":256", "\"bits\":99999", "\"bits\""},
      {"\"uses\":5", "\"uses\":32", "\"uses\""},
      {"\"created\":1780000000", "\"created\":9223372036854775808", "\"created\""},
      {"\"created\":1780000000", "\"created\":1e9", "\"created\""},
      {"\"ed25519\"", "\"ed448\"", "type"},
      {"\"name\":\"dkim-1\"", "\"name\":\"-dkim\"", "name"},
      {"\"name\":\"dkim-1\"", "\"name\":\"partner\"", "name stands there twice"},
      {"\"id\":\"00", "\"id\":\"0G", "key id"},
      {"\"id\":\"00", "\"id\":\"", "key id"},
      {"\"spki\":\"MCoA/w==\"", "\"spki\":\"MCoA/w\"", "base64"},
      {"\"spki\":\"MCoA/w==\"", "\"spki\":\"\"", "public half"},
      {"\"spki\":\"MCoA/w==\"", "\"spki\":null", "\"spki\""},
      {"\"pending\":[\"01", "\"pending\":[1,\"01", "key id"},
      {"\"pending\":[\"01", "\"pending\":[[[[[\"01", "deeply"},
      {"\"distrust\":[", "\"distrust\":[\"\",", "distrust"},
      {"\"distrust\":[", "\"distrust\":[null,", "distrust"},
      {"\"entries\":[", "\"entries\":[[],", "no object"},
  };
  for (const auto& [from, to, complaint] : rows) {
    std::string changed = good;
    const size_t at = changed.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    changed.replace(at, std::string_view(from).size(), to);
    const auto read = read_catalogue(changed);
    ASSERT_TRUE(failed_with(Cause::malformed, read)) << from << " -> " << to;
    EXPECT_THAT(read.error().text(), HasSubstr(complaint)) << from << " -> " << to;
  }
  for (const char* text : {"", "{}", "[]", "null", "1", "{\"generation\":1", "\xff"}) {
    EXPECT_TRUE(failed_with(Cause::malformed, read_catalogue(text))) << text;
  }
  EXPECT_TRUE(failed_with(Cause::malformed, read_catalogue(std::string(1'000'000, '['))));
  EXPECT_TRUE(failed_with(Cause::malformed, read_catalogue(good + "x")));
}

}  // namespace
}  // namespace postern::keystore
