// SPDX-License-Identifier: Apache-2.0
// A signature field is written up to "b=" first; that text, in canonical form, ends what is hashed, and the signature
// is then put behind it. Its folds are LF and a tab, so that the field is the same bytes for "simple" verifiers however
// the MTA sends it on; no line passes 78 characters unless one name alone does.
#include "engine/auth/dkim_sign.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "engine/base/text.h"

namespace postern::auth {
namespace {

constexpr std::string_view kField = "DKIM-Signature";
constexpr size_t kLine = 76;  // a CRLF more is 78
constexpr size_t kSmallestRsa = 1024 / 8;
constexpr size_t kLargestRsa = 4096 / 8;
constexpr size_t kEd25519 = 64;

// RFC 6376 section 5.4.1, and what later RFCs added for lists.
constexpr std::array<std::string_view, 28> kSigned = {"From",
                                                      "Sender",
                                                      "Reply-To",
                                                      "Subject",
                                                      "Date",
                                                      "Message-ID",
                                                      "To",
                                                      "Cc",
                                                      "MIME-Version",
                                                      "Content-Type",
                                                      "Content-ID",
                                                      "Content-Transfer-Encoding",
                                                      "Content-Description",
                                                      "In-Reply-To",
                                                      "References",
                                                      "Resent-Date",
                                                      "Resent-From",
                                                      "Resent-Sender",
                                                      "Resent-To",
                                                      "Resent-Cc",
                                                      "Resent-Message-ID",
                                                      "List-Id",
                                                      "List-Help",
                                                      "List-Unsubscribe",
                                                      "List-Unsubscribe-Post",
                                                      "List-Subscribe",
                                                      "List-Post",
                                                      "List-Archive"};
constexpr std::array<std::string_view, 11> kOversigned = {"From",
                                                          "Sender",
                                                          "Reply-To",
                                                          "Subject",
                                                          "Date",
                                                          "Message-ID",
                                                          "To",
                                                          "Cc",
                                                          "MIME-Version",
                                                          "Content-Type",
                                                          "Content-Transfer-Encoding"};

bool put_in_by_servers(std::string_view name) {
  return base::iequals(name, "Date") || base::iequals(name, "Message-ID");
}

// SignedNames is the h= list and the canonical fields it stands for.
struct SignedNames {
  std::vector<std::string_view> names;
  std::string canonical;
};

bool contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::ranges::any_of(names, [name](std::string_view each) { return base::iequals(each, name); });
}

SignedNames collect(const DkimProfile& profile, const mime::HeaderList& headers) {
  std::vector<std::string_view> order;
  const auto add = [&order](std::string_view name) {
    if (!contains(order, name)) order.push_back(name);
  };
  std::vector<std::string_view> oversigned;
  if (profile.headers.empty()) {
    order.assign(kSigned.begin(), kSigned.end());
  } else {
    for (const std::string& name : profile.headers) add(name);
  }
  if (profile.oversign) {
    oversigned.assign(profile.oversign->begin(), profile.oversign->end());
    for (const std::string_view name : oversigned) add(name);
  } else {
    // Names left out of an explicit list are left out of this one too.
    for (const std::string_view name : kOversigned) {
      if (contains(order, name)) oversigned.push_back(name);
    }
  }

  SignedNames out;
  std::vector<size_t> found;
  for (const std::string_view name : order) {
    found.clear();
    for (size_t i = headers.find(name); i != mime::HeaderList::npos; i = headers.find(name, i + 1)) found.push_back(i);
    const bool all = found.size() <= kMostInstances;
    if (!all) found.erase(found.begin(), found.end() - kMostInstances);
    for (auto it = found.rbegin(); it != found.rend(); ++it) {
      out.names.push_back(name);
      append_canonical_header(profile.header, headers[*it].name, headers[*it].value, false, out.canonical);
    }
    const bool once_more =
        all && contains(oversigned, name) && (profile.oversign || !found.empty() || !put_in_by_servers(name));
    if (once_more) out.names.push_back(name);
  }
  return out;
}

std::string base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  return out;
}

// dkim_quoted writes a value as dkim-quoted-printable (RFC 6376 section 2.11).
std::string dkim_quoted(std::string_view value) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : value) {
    if (c > ' ' && c < 0x7F && c != ';' && c != '=') {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '=';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

// FieldWriter writes the value tag by tag and breaks lines where they would grow too long.
class FieldWriter {
 public:
  FieldWriter() : used_(kField.size() + 2) {}

  // tag writes name=value and the ';' between tags, in one line.
  void tag(std::string_view name, std::string_view value) {
    if (!text_.empty()) separate(name.size() + 1 + value.size() + 1);
    text_ += name;
    text_ += '=';
    text_ += value;
    used_ += name.size() + 1 + value.size();
  }
  void tag(std::string_view name, uint64_t value) {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    tag(name, std::string_view(digits.data(), static_cast<size_t>(end - digits.data())));
  }
  // list writes a tag whose value is names with ':' between them; lines may break behind a ':'.
  void list(std::string_view name, const std::vector<std::string_view>& values) {
    text_ += ";";
    fold();
    text_ += name;
    text_ += '=';
    used_ += name.size() + 1;
    for (size_t i = 0; i < values.size(); ++i) {
      const bool last = i + 1 == values.size();
      if (i > 0 && used_ + values[i].size() + 1 > kLine) fold();
      text_ += values[i];
      if (!last) text_ += ':';
      used_ += values[i].size() + 1;
    }
  }
  // open begins the last tag on a line of its own; what is put behind it is not written here.
  void open(std::string_view name) {
    text_ += ";";
    fold();
    text_ += name;
    text_ += '=';
    used_ += name.size() + 1;
  }
  std::string take() { return std::move(text_); }

  // append_broken adds base64 to `text` after "b=", in lines.
  static void append_broken(std::string& text, std::string_view value, size_t used) {
    while (!value.empty()) {
      const size_t part = std::min(value.size(), kLine - used);
      text += value.substr(0, part);
      value.remove_prefix(part);
      if (value.empty()) return;
      text += "\n\t";
      used = kTab;
    }
  }
  static constexpr size_t kTab = 8;  // a tab counts as the columns it takes

 private:
  void separate(size_t next) {
    text_ += ';';
    ++used_;
    if (used_ + 1 + next > kLine) {
      fold();
    } else {
      text_ += ' ';
      ++used_;
    }
  }
  void fold() {
    text_ += "\n\t";
    used_ = kTab;
  }
  std::string text_;
  size_t used_;
};

base::Result<void> check_type(const DkimKey& key) {
  if (key.type == crypto::KeyType::rsa || key.type == crypto::KeyType::ed25519) return {};
  return base::fail(base::Cause::misconfigured, "the key is of type " + std::string(x509::key_type_name(key.type)) +
                                                    "; DKIM signs with rsa and ed25519");
}

std::string label(const DkimKey& key) { return "selector '" + key.selector + "', key '" + key.key + "'"; }

// field_start is the field's value up to and with "b=".
std::string field_start(const DkimProfile& profile, const DkimKey& key, const SignedNames& names, const BodyHash& body,
                        int64_t now) {
  FieldWriter field;
  field.tag("v", "1");
  field.tag("a", key.type == crypto::KeyType::rsa ? "rsa-sha256" : "ed25519-sha256");
  field.tag(
      "c", std::string(canonicalisation_name(profile.header)) + "/" + std::string(canonicalisation_name(profile.body)));
  field.tag("d", profile.domain);
  field.tag("s", key.selector);
  if (!profile.identity.empty()) field.tag("i", dkim_quoted(profile.identity));
  const uint64_t time = now > 0 ? static_cast<uint64_t>(now) : 0;
  field.tag("t", time);
  if (profile.expiry != 0) field.tag("x", time + profile.expiry);
  if (profile.body_length) field.tag("l", body.bytes);
  field.list("h", names.names);
  field.tag("bh", base64(body.digest));
  field.open("b");
  return field.take();
}

}  // namespace

std::span<const std::string_view> default_signed_headers() { return kSigned; }
std::span<const std::string_view> default_oversigned_headers() { return kOversigned; }

base::Result<std::vector<std::string>> sign_message(const DkimProfile& profile, const mime::HeaderList& headers,
                                                    const mime::Pieces& body, int64_t now, crypto::KeyOps& keys,
                                                    crypto::Deadline deadline) {
  for (const DkimKey& key : profile.keys) {
    if (auto good = check_type(key); !good) return std::unexpected(std::move(good.error()).in(label(key)));
  }
  const BodyHash hash = hash_body(profile.body, body, profile.body_length.value_or(UINT64_MAX));
  const SignedNames names = collect(profile, headers);

  std::vector<std::string> values;
  std::vector<std::string> digests;
  std::vector<crypto::SignRequest> requests;
  values.reserve(profile.keys.size());
  digests.reserve(profile.keys.size());
  requests.reserve(profile.keys.size());
  for (const DkimKey& key : profile.keys) {
    values.push_back(field_start(profile, key, names, hash, now));
    std::string own;
    append_canonical_header(profile.header, kField, " " + values.back(), true, own);
    digests.push_back(sha256(names.canonical, own));
    const bool rsa = key.type == crypto::KeyType::rsa;
    requests.push_back({key.key, rsa ? crypto::SignAlgorithm::rsa_pkcs1 : crypto::SignAlgorithm::eddsa,
                        rsa ? crypto::Hash::sha256 : crypto::Hash::none, digests.back()});
  }

  const std::vector<base::Result<std::string>> answers = keys.sign(requests, deadline);
  for (size_t i = 0; i < profile.keys.size(); ++i) {
    const DkimKey& key = profile.keys[i];
    if (i >= answers.size()) return base::fail(base::Cause::internal, label(key) + ": no answer");
    if (!answers[i]) return std::unexpected(base::Error(answers[i].error()).in(label(key)));
    const size_t size = answers[i]->size();
    const bool fits = key.type == crypto::KeyType::rsa ? size >= kSmallestRsa && size <= kLargestRsa : size == kEd25519;
    if (!fits) {
      return base::fail(base::Cause::misconfigured, label(key) + ": a signature of " + std::to_string(size) +
                                                        " bytes, which verifiers do not take");
    }
    FieldWriter::append_broken(values[i], base64(*answers[i]), FieldWriter::kTab + 2);
  }
  return values;
}

}  // namespace postern::auth
