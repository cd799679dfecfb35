// SPDX-License-Identifier: Apache-2.0
// dkim-sign-files OUT MESSAGE…: signs each message file with software keys in every combination of canonical forms and
// algorithms, and once with both keys, into OUT/NAME.HEADER-BODY-ALGORITHM; OUT/keys gets the records of the keys, a
// name and a record a line, as libopendkim reads them. For tests that hand the files to other people's verifiers.
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>

#include "engine/auth/dkim_sign.h"
#include "engine/mime/parser.h"
#include "test/support/soft_keys.h"

namespace postern::test {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The message as an MTA hands it over: folds as LF.
std::string with_lf_folds(std::string_view value) {
  std::string out;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\r' && i + 1 < value.size() && value[i + 1] == '\n') continue;
    out += value[i];
  }
  return out;
}

int run(int argc, char** argv) {
  if (argc < 3) return 64;
  const std::string out = argv[1];
  SoftKeys keys;
  keys.generate("rsa", crypto::KeyType::rsa);
  keys.generate("ed25519", crypto::KeyType::ed25519);
  std::ofstream records(out + "/keys");
  records << "r2026._domainkey.example.org " << keys.record("rsa") << "\n";
  records << "e2026._domainkey.example.org " << keys.record("ed25519") << "\n";

  const auth::DkimKey rsa{"r2026", "rsa", crypto::KeyType::rsa};
  const auth::DkimKey ed25519{"e2026", "ed25519", crypto::KeyType::ed25519};
  const std::pair<const char*, std::vector<auth::DkimKey>> sets[] = {
      {"rsa", {rsa}}, {"ed25519", {ed25519}}, {"both", {rsa, ed25519}}};
  using auth::Canonicalisation;
  for (int i = 2; i < argc; ++i) {
    const std::string path = argv[i];
    const std::string file = read_file(path);
    const mime::ParsedFile parsed = mime::parse_file_header(file, base::Limits{});
    mime::HeaderList headers;
    for (const mime::HeaderField& field : parsed.header) headers.add_received(field.name, with_lf_folds(field.value));
    mime::Pieces body;
    body.add_view(std::string_view(file).substr(parsed.body_offset));
    for (const Canonicalisation header : {Canonicalisation::simple, Canonicalisation::relaxed}) {
      for (const Canonicalisation content : {Canonicalisation::simple, Canonicalisation::relaxed}) {
        for (const auto& [name, set] : sets) {
          auth::DkimProfile profile;
          profile.domain = "example.org";
          profile.keys = set;
          profile.header = header;
          profile.body = content;
          profile.identity = "@mail.example.org";
          profile.expiry = 86400;
          const auto values = auth::sign_message(profile, headers, body, std::time(nullptr), keys,
                                                 crypto::Deadline::clock::now() + std::chrono::seconds(5));
          if (!values) {
            std::fprintf(stderr, "%s: %s\n", path.c_str(), values.error().text().c_str());
            return 1;
          }
          const std::string target = out + "/" + path.substr(path.rfind('/') + 1) + "." +
                                     std::string(auth::canonicalisation_name(header)) + "-" +
                                     std::string(auth::canonicalisation_name(content)) + "-" + name;
          std::ofstream to(target, std::ios::binary);
          for (const std::string& value : *values) {
            to << "DKIM-Signature: ";
            for (const char c : value) {
              if (c == '\n') to << '\r';
              to << c;
            }
            to << "\r\n";
          }
          to << file;
        }
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace postern::test

int main(int argc, char** argv) { return postern::test::run(argc, argv); }
