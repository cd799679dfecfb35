// SPDX-License-Identifier: Apache-2.0
// StoreSoftKeys: keys for data keys without cryptography: what is wrapped is turned over with the key's number, so that
// a test sees who asked whom for what. One test, one thread.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "engine/store/content_keys.h"

namespace postern::store {

class StoreSoftKeys final : public ContentKeys {
 public:
  std::map<std::string, char> keys{{"one", '\x11'}, {"two", '\x22'}};  // name → which key that is
  std::optional<base::Error> failure;                                  // of every call, while set
  std::optional<base::Error> unwrap_failure;
  int wraps = 0;
  int unwraps = 0;

  base::Result<std::string> fingerprint(const std::string& name) override {
    if (failure) return std::unexpected(*failure);
    const auto key = keys.find(name);
    if (key == keys.end()) return base::fail(base::Cause::misconfigured, "no such key");
    return std::string("print ") + key->second;
  }
  base::Result<std::string> wrap(const std::string& name, std::string_view label, const base::Secret& secret) override {
    auto known = fingerprint(name);
    if (!known) return known;
    ++wraps;
    std::string out = keys.at(name) + std::string(label) + "/" + std::string(secret.view());
    return turned(std::move(out));
  }
  base::Result<base::Secret> unwrap(const std::string& name, std::string_view label,
                                    std::string_view wrapped) override {
    auto known = fingerprint(name);
    if (!known) return std::unexpected(known.error());
    if (unwrap_failure) return std::unexpected(*unwrap_failure);
    ++unwraps;
    const std::string plain = turned(std::string(wrapped));
    const std::string head = keys.at(name) + std::string(label) + "/";
    if (!plain.starts_with(head)) return base::fail(base::Cause::misconfigured, "it is not wrapped with this key");
    return base::Secret(std::string_view(plain).substr(head.size()));
  }

 private:
  static std::string turned(std::string text) {
    for (char& c : text) c = static_cast<char>(c ^ 0x5A);
    return text;
  }
};

}  // namespace postern::store
