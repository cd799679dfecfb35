// SPDX-License-Identifier: Apache-2.0
// Encryption of office documents (MS-OFFCRYPTO): whether the password that Excel uses where none was asked for,
// "VelvetSweatshop", opens a document (PowerPoint has one as well), and what is in it then. Everything else needs a
// password and is protected.
#include <openssl/evp.h>

#include <array>
#include <map>
#include <memory>

#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/office.h"
#include "engine/scan/worker/xml.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_literals;

constexpr std::string_view kPassword = "VelvetSweatshop";
constexpr std::string_view kSlidesPassword = "/01Hannes Ruescher/01";
// Excel writes 50,000 or 100,000 rounds; each round of a hostile file costs about half a microsecond.
constexpr uint32_t kMostRounds = 400000;

using Context_ = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;
using Cipher_ = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

std::string password16() { return name16(kPassword); }

std::string number32(uint32_t value) {
  std::string out;
  for (size_t i = 0; i < 4; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

const EVP_MD* digest_named(std::string_view name) {
  if (name == "SHA512" || name == "SHA-512") return EVP_sha512();
  if (name == "SHA384" || name == "SHA-384") return EVP_sha384();
  if (name == "SHA256" || name == "SHA-256") return EVP_sha256();
  if (name == "SHA1" || name == "SHA-1") return EVP_sha1();
  if (name == "MD5") return EVP_md5();
  return nullptr;
}

std::string digest(const EVP_MD* kind, std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), out.data(), &length, kind, nullptr) != 1) return {};
  return {reinterpret_cast<const char*>(out.data()), length};
}

// spin hashes `start`, then `rounds` times the round's number and the hash before.
std::string spin(const EVP_MD* kind, std::string_view start, uint32_t rounds) {
  std::array<unsigned char, EVP_MAX_MD_SIZE + 4> block{};
  const Context_ context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  const std::string first = digest(kind, start);
  std::copy(first.begin(), first.end(), block.begin() + 4);
  unsigned length = static_cast<unsigned>(first.size());
  for (uint32_t i = 0; i < rounds; ++i) {
    for (size_t k = 0; k < 4; ++k) block[k] = static_cast<unsigned char>(i >> (8 * k));
    // Named again the digest would be looked for again, which costs as much as the hash.
    if (EVP_DigestInit_ex(context.get(), i == 0 ? kind : nullptr, nullptr) != 1 ||
        EVP_DigestUpdate(context.get(), block.data(), length + 4) != 1 ||
        EVP_DigestFinal_ex(context.get(), block.data() + 4, &length) != 1) {
      return {};
    }
  }
  return {reinterpret_cast<const char*>(block.data()) + 4, length};
}

// aes decrypts whole blocks; CBC with `iv`, else ECB. Empty when it cannot.
std::string aes(std::string_view key, std::string_view iv, std::string_view bytes) {
  const bool cbc = !iv.empty();
  const EVP_CIPHER* kind = key.size() == 16   ? (cbc ? EVP_aes_128_cbc() : EVP_aes_128_ecb())
                           : key.size() == 24 ? (cbc ? EVP_aes_192_cbc() : EVP_aes_192_ecb())
                           : key.size() == 32 ? (cbc ? EVP_aes_256_cbc() : EVP_aes_256_ecb())
                                              : nullptr;
  if (kind == nullptr || (cbc && iv.size() < 16)) return {};
  bytes = bytes.substr(0, bytes.size() / 16 * 16);
  const Cipher_ context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  const auto octets = [](std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); };
  std::string out(bytes.size(), '\0');
  int length = 0;
  if (EVP_DecryptInit_ex(context.get(), kind, nullptr, octets(key), cbc ? octets(iv) : nullptr) != 1 ||
      EVP_CIPHER_CTX_set_padding(context.get(), 0) != 1 ||
      EVP_DecryptUpdate(context.get(), reinterpret_cast<unsigned char*>(out.data()), &length, octets(bytes),
                        static_cast<int>(bytes.size())) != 1) {
    return {};
  }
  return out;
}

// Rc4 is not among the ciphers OpenSSL gives by default, and 15 lines.
class Rc4 {
 public:
  explicit Rc4(std::string_view key) {
    for (size_t i = 0; i < 256; ++i) state_[i] = static_cast<uint8_t>(i);
    for (size_t i = 0, j = 0; i < 256; ++i) {
      j = (j + state_[i] + byte_at(key, i % key.size())) & 0xff;
      std::swap(state_[i], state_[j]);
    }
  }
  char next() {
    i_ = (i_ + 1) & 0xff;
    j_ = (j_ + state_[i_]) & 0xff;
    std::swap(state_[i_], state_[j_]);
    return static_cast<char>(state_[(state_[i_] + state_[j_]) & 0xff]);
  }
  std::string apply(std::string_view bytes) {
    std::string out(bytes);
    for (char& c : out) c = static_cast<char>(c ^ next());
    return out;
  }

 private:
  std::array<uint8_t, 256> state_{};
  size_t i_ = 0, j_ = 0;
};

// Rc4Keys makes the key of each block of 1,024 bytes, as both kinds of RC4 encryption do.
struct Rc4Keys {
  bool crypto_api = false;
  std::string base;
  size_t bits = 128;

  std::string key(uint32_t block) const {
    if (!crypto_api) return digest(EVP_md5(), base + number32(block)).substr(0, 16);
    std::string out = digest(EVP_sha1(), base + number32(block)).substr(0, bits / 8);
    if (bits == 40) out.resize(16, '\0');
    return out;
  }
};

// open_rc4 tries a password, in UTF-16, on what a FILEPASS record holds.
std::optional<Rc4Keys> open_rc4(std::string_view filepass, const std::string& password) {
  Rc4Keys keys;
  const uint32_t major = little16(filepass, 2);
  const uint32_t minor = little16(filepass, 4);
  std::string_view salt, verifier, hash;
  if (major == 1 && minor == 1) {
    if (filepass.size() < 54) return std::nullopt;
    salt = filepass.substr(6, 16);
    verifier = filepass.substr(22, 16);
    hash = filepass.substr(38, 16);
    const std::string once = digest(EVP_md5(), password).substr(0, 5);
    std::string sixteen;
    for (int i = 0; i < 16; ++i) sixteen += once + std::string(salt);
    keys.base = digest(EVP_md5(), sixteen).substr(0, 5);
    Rc4 cipher(keys.key(0));
    const std::string clear = cipher.apply(verifier);
    if (digest(EVP_md5(), clear) != cipher.apply(hash)) return std::nullopt;
    return keys;
  }
  if (minor != 2 || major < 2 || major > 4) return std::nullopt;
  const uint32_t header_size = little32(filepass, 10);
  const std::string_view header = slice(filepass, 14, header_size);
  const std::string_view check = slice(filepass, 14ull + header_size);
  if (header.size() < 32 || check.size() < 60 || little32(check, 0) != 16 || little32(header, 8) != 0x6801)
    return std::nullopt;
  keys.crypto_api = true;
  keys.bits = little32(header, 16) == 0 ? 40 : little32(header, 16);
  if (keys.bits < 40 || keys.bits > 128 || keys.bits % 8 != 0) return std::nullopt;
  salt = check.substr(4, 16);
  verifier = check.substr(20, 16);
  hash = check.substr(40, 20);
  keys.base = digest(EVP_sha1(), std::string(salt) + password);
  Rc4 cipher(keys.key(0));
  const std::string clear = cipher.apply(verifier);
  if (digest(EVP_sha1(), clear) != cipher.apply(hash)) return std::nullopt;
  return keys;
}

// Xor obfuscation (MS-OFFCRYPTO 2.3.7), method 1.
struct Xor {
  uint16_t key = 0;
  uint16_t verifier = 0;
  std::array<uint8_t, 16> array{};

  explicit Xor(std::string_view password) {
    static constexpr std::array<uint16_t, 15> kInitial = {0xE1F0, 0x1D0F, 0xCC9C, 0x84C0, 0x110C,
                                                          0x0E10, 0xF1CE, 0x313E, 0x1872, 0xE139,
                                                          0xD40F, 0x84F9, 0x280C, 0xA96A, 0x4EC3};
    static constexpr std::array<uint16_t, 105> kMatrix = {
        0xAEFC, 0x4DD9, 0x9BB2, 0x2745, 0x4E8A, 0x9D14, 0x2A09, 0x7B61, 0xF6C2, 0xFDA5, 0xEB6B, 0xC6F7, 0x9DCF, 0x2BBF,
        0x4563, 0x8AC6, 0x05AD, 0x0B5A, 0x16B4, 0x2D68, 0x5AD0, 0x0375, 0x06EA, 0x0DD4, 0x1BA8, 0x3750, 0x6EA0, 0xDD40,
        0xD849, 0xA0B3, 0x5147, 0xA28E, 0x553D, 0xAA7A, 0x44D5, 0x6F45, 0xDE8A, 0xAD35, 0x4A4B, 0x9496, 0x390D, 0x721A,
        0xEB23, 0xC667, 0x9CEF, 0x29FF, 0x53FE, 0xA7FC, 0x5FD9, 0x47D3, 0x8FA6, 0x0F6D, 0x1EDA, 0x3DB4, 0x7B68, 0xF6D0,
        0xB861, 0x60E3, 0xC1C6, 0x93AD, 0x377B, 0x6EF6, 0xDDEC, 0x45A0, 0x8B40, 0x06A1, 0x0D42, 0x1A84, 0x3508, 0x6A10,
        0xAA51, 0x4483, 0x8906, 0x022D, 0x045A, 0x08B4, 0x1168, 0x76B4, 0xED68, 0xCAF1, 0x85C3, 0x1BA7, 0x374E, 0x6E9C,
        0x3730, 0x6E60, 0xDCC0, 0xA9A1, 0x4363, 0x86C6, 0x1DAD, 0x3331, 0x6662, 0xCCC4, 0x89A9, 0x0373, 0x06E6, 0x0DCC,
        0x1021, 0x2042, 0x4084, 0x8108, 0x1231, 0x2462, 0x48C4};
    const size_t length = password.size();
    key = kInitial[length - 1];
    size_t element = 0x68;
    for (size_t i = length; i-- > 0;) {
      uint32_t c = byte_at(password, i);
      for (int bit = 0; bit < 7; ++bit, --element) {
        if ((c & 0x40) != 0) key = static_cast<uint16_t>(key ^ kMatrix[element]);
        c <<= 1;
      }
    }
    uint32_t check = 0;
    for (size_t i = length; i-- > 0;) check = ((check >> 14 & 1) | (check << 1 & 0x7fff)) ^ byte_at(password, i);
    check = ((check >> 14 & 1) | (check << 1 & 0x7fff)) ^ static_cast<uint32_t>(length) ^ 0xce4b;
    verifier = static_cast<uint16_t>(check);
    static constexpr std::array<uint8_t, 15> kPad = {0xBB, 0xFF, 0xFF, 0xBA, 0xFF, 0xFF, 0xB9, 0x80,
                                                     0x00, 0xBE, 0x0F, 0x00, 0xBF, 0x0F, 0x00};
    for (size_t i = 0; i < 16; ++i) {
      const uint32_t c = i < length ? byte_at(password, i) : kPad[i - length];
      const uint32_t part = (i % 2 == 0 ? key : key >> 8) & 0xff;
      const uint32_t mixed = c ^ part;
      array[i] = static_cast<uint8_t>(mixed << 2 | mixed >> 6);
    }
  }
};

// in_clear tells how many of a record's bytes are never encrypted.
size_t in_clear(uint32_t type, size_t length) {
  switch (type) {
    case 0x809:
    case 0x2f:
    case 0xe1:
    case 0xe2:
    case 0x138:
    case 0x194:
    case 0x195:
    case 0x196:
    case 0x60:
      return length;
    case 0x85:
      return std::min<size_t>(length, 4);
    default:
      return 0;
  }
}

// blank_filepass makes the record at `at` one that says nothing.
void blank_filepass(std::string& clear, size_t at) { clear[at] = '\x60'; }

// persisted lists the objects of a presentation by number, with their places: each save adds a list, the newest first.
std::map<uint32_t, uint32_t> persisted(std::string_view stream, uint32_t edit, uint32_t& session) {
  constexpr size_t kSaves = 1000, kObjects = 100000;
  std::map<uint32_t, uint32_t> out;
  session = 0;
  for (size_t saves = 0; edit != 0 && saves < kSaves && little16(stream, edit + 2ull) == 0x0ff5; ++saves) {
    const std::string_view body = slice(stream, edit + 8ull, little32(stream, edit + 4ull));
    if (session == 0 && body.size() >= 32) session = little32(body, 28);
    const uint64_t list = little32(body, 12);
    if (little16(stream, list + 2) != 0x1772) break;
    const std::string_view entries = slice(stream, list + 8, little32(stream, list + 4));
    for (size_t at = 0; at + 4 <= entries.size() && out.size() < kObjects;) {
      const uint32_t head = little32(entries, at);
      at += 4;
      for (uint32_t i = 0; i < head >> 20 && at + 4 <= entries.size(); ++i, at += 4) {
        out.try_emplace((head & 0xfffff) + i, little32(entries, at));
      }
    }
    edit = little32(body, 8);
  }
  return out;
}

// Agile is what the EncryptionInfo of an agile package says.
struct Agile : XmlHandler {
  struct Side {
    std::string salt, hash, cipher, chaining;
    uint32_t key_bits = 0, block = 0;
  };
  Side data, password;
  std::string verifier_input, verifier_hash, key_value;
  uint32_t rounds = 0;

  static std::string base64(std::string_view text) {
    std::string out(text.size() / 4 * 3 + 4, '\0');
    const int length =
        EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                        reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
    if (length < 0) return {};
    size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
    out.resize(static_cast<size_t>(length) - padding);
    return out;
  }
  static uint32_t number(std::string_view text) {
    uint32_t out = 0;
    for (const char c : text.substr(0, 9)) {
      if (c < '0' || c > '9') return 0;
      out = out * 10 + static_cast<uint32_t>(c - '0');
    }
    return out;
  }
  static Side side(const XmlAttributes& attributes) {
    return {base64(attributes.get("saltValue")),
            std::string(attributes.get("hashAlgorithm")),
            std::string(attributes.get("cipherAlgorithm")),
            std::string(attributes.get("cipherChaining")),
            number(attributes.get("keyBits")),
            number(attributes.get("blockSize"))};
  }
  void start(std::string_view name, const XmlAttributes& attributes) override {
    if (name == "keyData") data = side(attributes);
    if (name != "encryptedKey" || rounds != 0) return;
    password = side(attributes);
    rounds = number(attributes.get("spinCount"));
    verifier_input = base64(attributes.get("encryptedVerifierHashInput"));
    verifier_hash = base64(attributes.get("encryptedVerifierHashValue"));
    key_value = base64(attributes.get("encryptedKeyValue"));
  }
  void end(std::string_view) override {}
  void characters(std::string_view) override {}
};

std::string fit(std::string text, size_t length) {
  text.resize(length, '\x36');
  return text;
}

std::optional<std::string> open_agile(std::string_view information, std::string_view package) {
  Agile agile;
  if (parse_xml(slice(information, 8), agile, false) != Reason::none) return std::nullopt;
  const EVP_MD* kind = digest_named(agile.password.hash);
  const EVP_MD* data_kind = digest_named(agile.data.hash);
  if (kind == nullptr || data_kind == nullptr || agile.rounds > kMostRounds || agile.password.cipher != "AES" ||
      agile.data.cipher != "AES" || agile.password.chaining != "ChainingModeCBC" ||
      agile.data.chaining != "ChainingModeCBC" || agile.password.block != 16 || agile.data.block != 16 ||
      agile.password.key_bits % 8 != 0 || agile.password.key_bits > 256) {
    return std::nullopt;
  }
  const std::string base = spin(kind, agile.password.salt + password16(), agile.rounds);
  const std::string iv = fit(agile.password.salt, 16);
  const auto key_for = [&](std::string_view block) {
    return fit(digest(kind, base + std::string(block)), agile.password.key_bits / 8);
  };
  const std::string input = aes(key_for("\xfe\xa7\xd2\x76\x3b\x4b\x9e\x79"), iv, agile.verifier_input);
  const std::string expected = aes(key_for("\xd7\xaa\x0f\x6d\x30\x61\x34\x4e"), iv, agile.verifier_hash);
  const std::string got = digest(kind, input.substr(0, std::min(input.size(), agile.password.salt.size())));
  if (got.empty() || !expected.starts_with(got)) return std::nullopt;
  std::string key = aes(key_for("\x14\x6e\x0b\xe7\xab\xac\xd0\xd6"), iv, agile.key_value);
  key = key.substr(0, agile.data.key_bits / 8);
  std::string clear;
  for (uint64_t at = 8, segment = 0; at < package.size(); at += 4096, ++segment) {
    const std::string own = fit(digest(data_kind, agile.data.salt + number32(static_cast<uint32_t>(segment))), 16);
    const std::string part = aes(key, own, slice(package, at, 4096));
    if (part.empty()) break;
    clear += part;
  }
  return clear;
}

std::optional<std::string> open_standard(std::string_view information, std::string_view package) {
  const uint32_t header_size = little32(information, 8);
  const std::string_view header = slice(information, 12, header_size);
  const std::string_view check = slice(information, 12ull + header_size);
  const uint32_t algorithm = little32(header, 8);
  const size_t key_length = little32(header, 16) / 8;
  if (header.size() < 32 || check.size() < 72 || little32(check, 0) != 16 || algorithm < 0x660e || algorithm > 0x6610 ||
      key_length > 32) {
    return std::nullopt;
  }
  const std::string base = spin(EVP_sha1(), std::string(check.substr(4, 16)) + password16(), 50000);
  const std::string last = digest(EVP_sha1(), base + number32(0));
  const auto mixed = [&last](char with) {
    std::string block(64, with);
    for (size_t i = 0; i < last.size(); ++i) block[i] = static_cast<char>(block[i] ^ last[i]);
    return digest(EVP_sha1(), block);
  };
  const std::string key = (mixed('\x36') + mixed('\x5c')).substr(0, key_length);
  const std::string verifier = aes(key, {}, check.substr(20, 16));
  const std::string hash = aes(key, {}, check.substr(40, 32));
  if (verifier.empty() || !hash.starts_with(digest(EVP_sha1(), verifier))) return std::nullopt;
  return aes(key, {}, slice(package, 8));
}

}  // namespace

std::string rc4(std::string_view key, std::string_view bytes) { return Rc4(key).apply(bytes); }

void prepare_office() {
  // The first use of each makes OpenSSL look for its configuration and providers.
  for (const EVP_MD* kind : {EVP_md5(), EVP_sha1(), EVP_sha256(), EVP_sha384(), EVP_sha512()}) digest(kind, "");
  for (const size_t length : {16, 24, 32}) {
    const std::string key(length, '\0');
    aes(key, key, key);
    aes(key, {}, key);
  }
}

bool decrypt_workbook(std::string_view stream, std::string_view filepass, std::string& clear) {
  const auto at = static_cast<size_t>(filepass.data() - stream.data());
  if (at < 4 || at > stream.size()) return false;
  const bool xored = little16(filepass, 0) == 0 && filepass.size() >= 6;
  // BIFF 5 and before have only the key and the verifier.
  const bool old = filepass.size() == 4;
  if (xored || old) {
    const Xor xor_(kPassword);
    const size_t from = old ? 0 : 2;
    if (little16(filepass, from) != xor_.key || little16(filepass, from + 2) != xor_.verifier) return false;
    clear = std::string(stream);
    for (size_t record = at - 4; record + 4 <= clear.size();) {
      const uint32_t type = little16(clear, record);
      const size_t length = std::min<size_t>(little16(clear, record + 2), clear.size() - record - 4);
      for (size_t i = in_clear(type, length); i < length; ++i) {
        const size_t place = record + 4 + i;
        const auto byte = static_cast<uint8_t>(clear[place]);
        const auto turned = static_cast<uint8_t>(byte << 3 | byte >> 5);
        clear[place] = static_cast<char>(turned ^ xor_.array[(place + length) % 16]);
      }
      record += 4 + length;
    }
    blank_filepass(clear, at - 4);
    return true;
  }
  const std::optional<Rc4Keys> keys = open_rc4(filepass, password16());
  if (!keys) return false;
  clear = std::string(stream);
  // The key stream runs over headers and what is in clear as well.
  for (size_t block = 0; block * 1024 < clear.size(); ++block) {
    Rc4 cipher(keys->key(static_cast<uint32_t>(block)));
    const size_t end = std::min(clear.size(), (block + 1) * 1024);
    for (size_t i = block * 1024; i < end; ++i) clear[i] = static_cast<char>(clear[i] ^ cipher.next());
  }
  for (size_t record = 0; record + 4 <= stream.size();) {
    const uint32_t type = little16(stream, record);
    const size_t length = std::min<size_t>(little16(stream, record + 2), stream.size() - record - 4);
    const size_t keep = record < at ? length : in_clear(type, length);
    clear.replace(record, 4 + keep, stream.substr(record, 4 + keep));
    record += 4 + length;
  }
  blank_filepass(clear, at - 4);
  return true;
}

bool decrypt_slides(std::string_view stream, std::string_view current_user, std::string& clear) {
  uint32_t session = 0;
  const std::map<uint32_t, uint32_t> objects = persisted(stream, little32(current_user, 16), session);
  const auto found = objects.find(session);
  if (found == objects.end() || little16(stream, found->second + 2ull) != 0x2f14) return false;
  const uint32_t size = std::min<uint32_t>(little32(stream, found->second + 4ull), 4096);
  const std::string information = "\1\0"s + std::string(slice(stream, found->second + 8ull, size));
  const std::optional<Rc4Keys> keys = open_rc4(information, name16(kSlidesPassword));
  if (!keys || !keys->crypto_api) return false;
  for (const auto& [number, place] : objects) {
    if (number == session) continue;
    // An object is encrypted as one, its head included. Together they are no longer than the stream that holds them.
    Rc4 cipher(keys->key(number));
    const std::string head = cipher.apply(slice(stream, place, 8));
    const std::string_view body = slice(stream, place + 8ull, little32(head, 4));
    if (head.size() < 8 || clear.size() + 8 + body.size() > stream.size()) continue;
    clear += head;
    clear += cipher.apply(body);
  }
  return true;
}

void read_encrypted_package(Context& context, std::string_view information, std::string_view package) {
  const uint32_t major = little16(information, 0);
  const uint32_t minor = little16(information, 2);
  const uint64_t size = little64(package, 0);
  std::optional<std::string> clear;
  if (package.size() > 8) {
    if (context.budget().out(package.size(), 0, package.size()) != Reason::none) {
      context.fail(Reason::size);
    } else if (major == 4 && minor == 4) {
      clear = open_agile(information, package);
    } else if (minor == 2 && major >= 2 && major <= 4) {
      clear = open_standard(information, package);
    }
  }
  if (!clear || clear->empty()) {
    context.leaf().protection = Protection::yes;
    context.fail(Reason::password);
    return;
  }
  if (size < clear->size()) {
    clear->resize(size);
  } else if (size > clear->size()) {
    context.fail(Reason::corrupt);
  }
  context.mark(Mark::encrypted_default);
  Child child;
  child.bytes = *clear;
  child.name = "EncryptedPackage";
  child.embedded = true;
  context.child(child);
}

}  // namespace postern::scan::worker
