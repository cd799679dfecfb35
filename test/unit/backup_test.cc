// SPDX-License-Identifier: Apache-2.0
// Backup files: what goes in comes out, and no other file does: every bit flipped, every length, every other spelling,
// versions, costs, passwords. Keys derived once are kept, so that every bit can be tried.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "keystore/backup.h"
#include "keystore/backup_envelope.h"
#include "keystore/backup_payload.h"
#include "keystore/encoding.h"
#include "keystore/protocol/protocol.h"

namespace postern::keystore {
namespace {

using base::Cause;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kPassword = "correct horse battery";

BackupKey key(const std::string& name, x509::KeyType type, const std::string& pkcs8) {
  BackupKey out;
  out.entry.name = name;
  out.entry.ref.type = type;
  for (size_t i = 0; i < out.entry.ref.id.size(); ++i) out.entry.ref.id[i] = static_cast<uint8_t>(name.size() * 16 + i);
  out.entry.ref.spki = "public half of " + name;
  out.entry.bits = type == x509::KeyType::rsa ? 2048 : 256;
  out.entry.uses = static_cast<uint32_t>(Use::dkim) | static_cast<uint32_t>(Use::ldap);
  out.entry.imported = true;
  out.entry.created = 1'780'000'000;
  out.pkcs8 = Secret(pkcs8);
  return out;
}

BackupContent sample() {
  BackupContent content;
  content.created = 1'790'000'000;
  content.token_serial = "0123456789abcdef";
  content.keys.push_back(key("dkim-r1", x509::KeyType::rsa, std::string(300, '\0') + "private"));
  content.keys.push_back(key("e1", x509::KeyType::ed25519, "\x01\x02\xff"));
  BackupKey certificate;
  certificate.entry.name = "ca";
  certificate.entry.has_key = false;
  certificate.entry.chain = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
  content.keys.push_back(std::move(certificate));
  content.distrust = {"spki:00ff", "issuer:CN=Bad \xC3\xA9"};
  return content;
}

void expect_same(const BackupContent& got, const BackupContent& want) {
  EXPECT_EQ(got.created, want.created);
  EXPECT_EQ(got.token_serial, want.token_serial);
  EXPECT_EQ(got.distrust, want.distrust);
  ASSERT_EQ(got.keys.size(), want.keys.size());
  for (size_t i = 0; i < got.keys.size(); ++i) {
    const KeyEntry& a = got.keys[i].entry;
    const KeyEntry& b = want.keys[i].entry;
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.has_key, b.has_key);
    EXPECT_EQ(a.bits, b.bits);
    EXPECT_EQ(a.uses, b.uses);
    EXPECT_EQ(a.imported, b.imported);
    EXPECT_EQ(a.created, b.created);
    EXPECT_EQ(a.chain, b.chain);
    EXPECT_EQ(a.ref.spki, b.ref.spki);
    EXPECT_EQ(a.ref.type, b.ref.type);
    EXPECT_EQ(a.ref.id, b.ref.id);
    EXPECT_EQ(got.keys[i].pkcs8.view(), want.keys[i].pkcs8.view());
    EXPECT_TRUE(a.backup);
    EXPECT_TRUE(a.backed_up);
    EXPECT_EQ(a.escrow, "");
  }
}

TEST(Backup, WhatGoesInComesOut) {
  for (const PasswordHash kind : {PasswordHash::scrypt, PasswordHash::pbkdf2}) {
    const Secret password(kPassword);
    const auto file = write_backup(sample(), password, kind);
    ASSERT_TRUE(file) << file.error().text();
    EXPECT_THAT(*file, testing::MatchesRegex(
                           "<postern-backup version=\"1\" created=\"2026-09-21T14:13:20Z\" kdf=\"[a-z0-9-]+\" "
                           "cost=\"[0-9]+\" salt=\"[A-Za-z0-9+/]+=\" nonce=\"[A-Za-z0-9+/]+\">\n"
                           "([A-Za-z0-9+/]{76}\n)*[A-Za-z0-9+/]+=*\n</postern-backup>\n"));
    EXPECT_EQ(file->find("private"), std::string::npos);
    const auto content = read_backup(*file, password);
    ASSERT_TRUE(content) << content.error().text();
    expect_same(*content, sample());
    const auto other = read_backup(*file, Secret("correct horse batterz"));
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().cause(), Cause::denied);
    EXPECT_EQ(other.error().text(), "wrong password, or the file was changed");
  }
}

TEST(Backup, TwoBackupsOfTheSameDiffer) {
  const Secret password(kPassword);
  BackupContent empty;
  const auto one = write_backup(empty, password, PasswordHash::scrypt);
  const auto two = write_backup(empty, password, PasswordHash::scrypt);
  ASSERT_TRUE(one && two);
  EXPECT_NE(*one, *two);
  expect_same(*read_backup(*one, password), empty);
}

TEST(Backup, PasswordsAreBounded) {
  EXPECT_EQ(write_backup({}, Secret(), PasswordHash::scrypt).error().cause(), Cause::malformed);
  EXPECT_EQ(read_backup("x", Secret(std::string(kMaxPassword + 1, 'x'))).error().cause(), Cause::malformed);
}

// Envelopes of the least cost, with keys that are derived once each.
class Envelopes : public testing::Test {
 protected:
  void SetUp() override {
    auto header = new_header(PasswordHash::scrypt, 1'790'000'000);
    ASSERT_TRUE(header);
    header->cost = kLeastScryptLn;
    const auto payload = write_payload(sample());
    ASSERT_TRUE(payload);
    const Secret& derived = key_of(*header);
    const auto envelope = seal_envelope(*header, derived, payload->view());
    ASSERT_TRUE(envelope);
    file_ = write_envelope(*envelope);
    ASSERT_TRUE(open(file_)) << open(file_).error().text();
  }

  const Secret& key_of(const EnvelopeHeader& header) {
    const std::string name =
        std::to_string(static_cast<int>(header.kdf)) + "/" + std::to_string(header.cost) + "/" + to_hex(header.salt);
    auto found = keys_.find(name);
    if (found == keys_.end()) found = keys_.emplace(name, std::move(*derive_key(header, Secret(kPassword)))).first;
    return found->second;
  }

  // What read_backup does, with kept keys.
  base::Result<BackupContent> open(std::string_view file) {
    const auto envelope = read_envelope(file);
    if (!envelope) return std::unexpected(envelope.error());
    const auto payload = open_envelope(*envelope, key_of(envelope->header));
    if (!payload) return std::unexpected(payload.error());
    return read_payload(*payload);
  }

  std::string refused(std::string_view file) {
    const auto result = open(file);
    return result ? "taken" : std::string(base::cause_name(result.error().cause()));
  }

  std::string replaced(std::string_view what, std::string_view by) const {
    std::string out = file_;
    const size_t at = out.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return at == std::string::npos ? out : out.replace(at, what.size(), by);
  }

  std::string file_;
  std::map<std::string, Secret> keys_;
};

TEST_F(Envelopes, EveryFlippedBitIsNoticed) {
  std::map<std::string, size_t> outcomes;
  const std::string salt = read_envelope(file_)->header.salt;
  for (size_t at = 0; at < file_.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = file_;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      // Another salt is another key; deriving one for each character is enough.
      const auto envelope = read_envelope(changed);
      if (envelope && envelope->header.salt != salt && static_cast<size_t>(bit) != at % 6) continue;
      const std::string outcome = refused(changed);
      ASSERT_NE(outcome, "taken") << "byte " << at << " bit " << bit;
      ++outcomes[outcome];
    }
  }
  EXPECT_GT(outcomes["malformed"], 1000u);
  EXPECT_GT(outcomes["denied"], 1000u);
  EXPECT_GT(outcomes["misconfigured"], 0u);  // another version
  EXPECT_GT(outcomes["limit"], 0u);          // another cost
}

TEST_F(Envelopes, EveryLengthIsNoticed) {
  for (size_t size = 0; size < file_.size(); ++size) ASSERT_NE(refused(file_.substr(0, size)), "taken") << size;
  for (int byte = 0; byte < 256; ++byte) {
    ASSERT_EQ(refused(file_ + static_cast<char>(byte)), "malformed");
    ASSERT_EQ(refused(std::string(1, static_cast<char>(byte)) + file_), "malformed");
  }
  for (size_t at = 1; at < file_.size(); ++at) {
    for (const char c : {'A', ' ', '\n', '\0', '<'}) {
      const std::string longer = file_.substr(0, at) + c + file_.substr(at);
      ASSERT_NE(refused(longer), "taken") << at;
      const std::string shorter = file_.substr(0, at) + file_.substr(at + 1);
      ASSERT_NE(refused(shorter), "taken") << at;
    }
  }
  EXPECT_EQ(refused(file_ + file_), "malformed");
}

TEST_F(Envelopes, NoOtherSpellingIsTaken) {
  const std::string others[] = {
      "<?xml version=\"1.0\"?>\n" + file_,
      "<!DOCTYPE postern-backup [<!ENTITY a \"b\">]>\n" + file_,
      "\xEF\xBB\xBF" + file_,
      "<!-- -->" + file_,
      replaced("<postern-backup ", "<postern-backup  "),
      replaced("<postern-backup ", "<p:postern-backup "),
      replaced("created=\"2026", "created='2026"),
      replaced("created=\"2026", "created=\"&#50;026"),
      replaced("kdf=\"scrypt\" ", "kdf=\"scrypt\" x=\"1\" "),
      replaced("kdf=\"scrypt\"", "kdf=\"SCRYPT\""),
      replaced("kdf=\"scrypt\"", "kdf=\"argon2id\""),
      replaced("cost=\"14\"", "cost=\"014\""),
      replaced("cost=\"14\"", "cost=\"+14\""),
      replaced("cost=\"14\"", "cost=\"14 \""),
      replaced("version=\"1\"", "version=\"01\""),
      replaced("version=\"1\"", "version=\"\""),
      replaced("\">\n", "\"/>\n"),
      replaced("\">\n", "\">\r\n"),
      replaced("\">\n", "\">\n\n"),
      replaced("\">\n", "\">"),
      replaced("\">\n", "\"><![CDATA[\n"),
      replaced("</postern-backup>", "</postern-backup >"),
      replaced("</postern-backup>\n", "</postern-backup>"),
      replaced("</postern-backup>\n", "</postern-backup>\r\n"),
  };
  for (const std::string& other : others) EXPECT_EQ(refused(other), "malformed") << other.substr(0, 100);
  // Lines of another length hold the same bytes.
  std::string joined = file_;
  const size_t begin = joined.find(">\n") + 2;
  joined.erase(joined.find('\n', begin), 1);
  EXPECT_EQ(refused(joined), "malformed");
}

TEST_F(Envelopes, OtherVersionsAreNamed) {
  for (const std::string version : {"0", "2", "10", "4294967295"}) {
    const auto result = open(replaced("version=\"1\"", "version=\"" + version + "\""));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().cause(), Cause::misconfigured);
    EXPECT_EQ(result.error().text(), "this backup has format version " + version + "; this program reads version 1");
  }
  // Nothing is known of another version but its first words.
  EXPECT_EQ(refused("<postern-backup version=\"2\" everything else may differ"), "misconfigured");
  EXPECT_EQ(refused("<postern-backup version=\"99999999999999999999\""), "malformed");
}

TEST_F(Envelopes, CostsOutOfBoundsAreNotTried) {
  for (const std::string cost : {"0", "1", "13", "19", "31", "63", "64", "4294967295"})
    EXPECT_EQ(refused(replaced("cost=\"14\"", "cost=\"" + cost + "\"")), "limit") << cost;
  for (const std::string cost : {"0", "99999", "10000001", "4294967295"}) {
    EXPECT_EQ(refused(replaced("kdf=\"scrypt\" cost=\"14\"", "kdf=\"pbkdf2-sha256\" cost=\"" + cost + "\"")), "limit")
        << cost;
  }
  EXPECT_EQ(refused(replaced("cost=\"14\"", "cost=\"99999999999\"")), "malformed");
  EXPECT_EQ(refused(std::string(kMaxBlob + 1, 'A')), "limit");
}

TEST_F(Envelopes, AShortFileIsNoMoreThanItSays) {
  auto header = new_header(PasswordHash::scrypt, 0);
  header->cost = kLeastScryptLn;
  EXPECT_EQ(read_envelope(write_envelope({*header, ""})).error().cause(), Cause::malformed);
  EXPECT_EQ(read_envelope(write_envelope({*header, std::string(15, 'x')})).error().cause(), Cause::malformed);
  EXPECT_EQ(refused(write_envelope({*header, std::string(16, 'x')})), "denied");
  // An authenticated but empty content is still not one.
  const auto nothing = seal_envelope(*header, key_of(*header), "");
  EXPECT_EQ(refused(write_envelope(*nothing)), "malformed");
}

std::string payload(const std::string& json, const std::string& rest = "") {
  return Writer(0).blob(json).take() + rest;
}

TEST(BackupPayload, OnlyWhatWeWriteIsRead) {
  const std::string id = "00112233445566778899aabbccddeeff";
  const std::string entry = R"({"name":"a","has_key":true,"bits":256,"uses":1,"imported":false,"created":5,"chain":"",)"
                            R"("id":")" +
                            id + R"(","type":"ed25519","spki":"AAAA"})";
  const auto whole = [](const std::string& keys, const std::string& more = "") {
    return R"({"created":1,"token_serial":"s","keys":[)" + keys + R"(],"distrust":["spki:00"])" + more + "}";
  };
  const std::string secret = Writer(0).blob("pkcs8").take();
  const auto cause = [](const std::string& text) {
    const auto result = read_payload(Secret(text));
    return result ? std::string("taken") : std::string(base::cause_name(result.error().cause()));
  };
  EXPECT_EQ(cause(payload(whole(entry), secret)), "taken");
  EXPECT_EQ(cause(payload(whole(""))), "taken");
  const auto with = [&entry](const std::string& what, const std::string& by) {
    std::string out = entry;
    out.replace(out.find(what), what.size(), by);
    return out;
  };
  const std::string bad[] = {
      "",
      std::string(3, '\0'),
      payload(""),
      payload("[]"),
      payload("{}"),
      payload("{\"created\":1}"),
      payload(whole(entry)),                                                  // the private key is missing
      payload(whole(entry), secret + "x"),                                    // something is left over
      payload(whole(entry), Writer(0).blob("").take()),                       // an empty one
      payload(whole(entry, ",\"more\":1"), secret),                           // a field nobody knows
      payload(whole(entry, ",\"created\":1"), secret),                        // a field twice
      payload(whole(entry + "," + entry), secret + secret),                   // a name twice
      payload(whole(entry + "," + with("\"a\"", "\"b\"")), secret + secret),  // an id twice
      payload(whole(with("\"a\"", "\"\"")), secret),
      payload(whole(with("\"a\"", "\"../x\"")), secret),
      payload(whole(with("\"a\"", "5")), secret),
      payload(whole(with("true", "1")), secret),
      payload(whole(with("\"uses\":1", "\"uses\":64")), secret),
      payload(whole(with("\"uses\":1", "\"uses\":-1")), secret),
      payload(whole(with("\"uses\":1", "\"uses\":1.0")), secret),
      payload(whole(with("\"bits\":256", "\"bits\":99999")), secret),
      payload(whole(with("\"created\":5", "\"created\":99999999999999")), secret),
      payload(whole(with("ed25519", "dsa")), secret),
      payload(whole(with("AAAA", "AAA")), secret),
      payload(whole(with("AAAA", "")), secret),
      payload(whole(with(id, id.substr(2))), secret),
      payload(whole(with(id, "0g" + id.substr(2))), secret),
      payload(whole(with("\"chain\":\"\",", "")), secret),
      payload(whole(with("\"chain\":\"\"", "\"chain\":[[[]]]")), secret),
      payload(R"({"created":1,"token_serial":"s","keys":{},"distrust":[]})"),
      payload(R"({"created":1,"token_serial":"s","keys":[],"distrust":[1]})"),
      payload(R"({"created":1,"token_serial":"s","keys":[null],"distrust":[]})"),
      payload(std::string(100'000, '[')),
      payload("\xff\xfe"),
  };
  for (const std::string& one : bad) EXPECT_EQ(cause(one), "malformed") << one.substr(0, 400);
}

TEST(BackupPayload, AKeyWithoutItsPrivateHalfIsNotWritten) {
  BackupContent content = sample();
  content.keys[0].pkcs8 = Secret();
  EXPECT_EQ(write_payload(content).error().cause(), Cause::internal);
  content = sample();
  content.keys[2].entry.chain = std::string(kMaxBlob, 'x');
  EXPECT_EQ(write_backup(content, Secret(kPassword), PasswordHash::scrypt).error().cause(), Cause::limit);
}

}  // namespace
}  // namespace postern::keystore
