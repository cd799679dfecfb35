// SPDX-License-Identifier: Apache-2.0
// Reading and matching entries of the distrust list.
#include "engine/x509/distrust.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/x509/certificate.h"
#include "engine/x509/names.h"
#include "engine/x509/spki.h"

namespace postern::x509 {

namespace {

using base::Cause;

enum class Kind { spki, issuer, serial };

struct Entry {
  Kind kind = Kind::spki;
  std::string value;  // fingerprint as bytes, or the serial number as serial_text() writes it
  NameHandle name;
};

// number_text brings a serial number in hex into the form of serial_text().
std::optional<std::string> number_text(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.size() > 256) return std::nullopt;
  while (text.size() > 1 && text[0] == '0') text.remove_prefix(1);
  if (!unhex((text.size() % 2 != 0 ? "0" : "") + std::string(text))) return std::nullopt;
  return (negative ? "-" : "") + base::lower(text);
}

base::Result<Entry> read_entry(std::string_view text) {
  const auto bad = [&](std::string_view what) {
    return base::fail(Cause::malformed,
                      "distrust entry \"" + base::escape_for_log(text, 120) + "\": " + std::string(what));
  };
  if (text.size() > kMaxNameText) return base::fail(Cause::limit, "distrust entry: too long");
  Entry entry;
  const size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  if (kind == "spki") {
    auto bytes = unhex(value);
    if (!bytes || bytes->size() != 32) return bad("a fingerprint is the 64 hexadecimal digits of a SHA-256");
    entry.value = std::move(*bytes);
    return entry;
  }
  if (kind == "serial") {
    entry.kind = Kind::serial;
    const size_t end = value.find(':');
    const auto number = number_text(value.substr(0, end));
    if (!number || end == std::string_view::npos) return bad("serial:HEX:NAME wants a hexadecimal number and a name");
    entry.value = *number;
    value.remove_prefix(end + 1);
  } else if (kind == "issuer") {
    entry.kind = Kind::issuer;
  } else {
    return bad("begins with none of spki:, issuer:, serial:");
  }
  auto name = parse_name(value);
  if (!name) return bad(name.error().text());
  // An empty name matches certificates nobody meant.
  if (X509_NAME_entry_count(name->get()) == 0) return bad("the name is empty");
  entry.name = std::move(*name);
  return entry;
}

}  // namespace

base::Result<std::string> check_distrust_entry(std::string_view text) {
  auto entry = read_entry(text);
  if (!entry) return std::unexpected(std::move(entry).error());
  switch (entry->kind) {
    case Kind::spki:
      return "spki:" + hex(entry->value);
    case Kind::issuer:
      return "issuer:" + name_text(entry->name.get());
    case Kind::serial:
      return "serial:" + entry->value + ":" + name_text(entry->name.get());
  }
  return base::fail(Cause::internal, "distrust entry");
}

KeyPrints key_prints(const X509* certificate, std::string_view spki) {
  KeyPrints prints;
  prints.written = sha256(spki);
  const EVP_PKEY* key = X509_get0_pubkey(certificate);
  const std::string canonical = key != nullptr ? canonical_spki(key) : std::string();
  prints.canonical = canonical.empty() || canonical == spki ? prints.written : sha256(canonical);
  return prints;
}

base::Result<Distrust> Distrust::from(std::span<const std::string> entries) {
  if (entries.size() > kMaxDistrust) return base::fail(Cause::limit, "distrust list: too many entries");
  Distrust list;
  for (const std::string& text : entries) {
    auto entry = read_entry(text);
    if (!entry) return std::unexpected(std::move(entry).error());
    std::shared_ptr<X509_NAME> name(entry->name.release(), X509_NAME_free);
    if (entry->kind == Kind::spki) list.keys_.insert(std::move(entry->value));
    if (entry->kind == Kind::issuer) list.issuers_.push_back(std::move(name));
    if (entry->kind == Kind::serial) list.serials_.push_back({std::move(entry->value), std::move(name)});
  }
  return list;
}

bool Distrust::names_authority(const X509_NAME* name) const {
  return std::ranges::any_of(issuers_, [&](const auto& issuer) { return X509_NAME_cmp(issuer.get(), name) == 0; });
}

bool Distrust::names_serial(const X509* certificate) const {
  if (serials_.empty()) return false;
  const std::string number = serial_text(certificate);
  return std::ranges::any_of(serials_, [&](const Serial& serial) {
    return serial.number == number && X509_NAME_cmp(serial.issuer.get(), X509_get_issuer_name(certificate)) == 0;
  });
}

bool Distrust::matches(const X509* certificate, const KeyPrints& prints, std::string& reason) const {
  if (keys_.contains(prints.written) || keys_.contains(prints.canonical)) {
    reason = "its key is on the distrust list";
  } else if (names_authority(X509_get_issuer_name(certificate))) {
    reason = "its issuer is on the distrust list";
  } else if (names_authority(X509_get_subject_name(certificate))) {
    reason = "the authority is on the distrust list";
  } else if (names_serial(certificate)) {
    reason = "its serial number is on the distrust list";
  } else {
    return false;
  }
  return true;
}

bool Distrust::implied(const X509* certificate, const KeyPrints& prints, KeySet& keys) const {
  if (!names_authority(X509_get_subject_name(certificate)) && !names_serial(certificate)) return false;
  keys.insert(prints.written);
  keys.insert(prints.canonical);
  return true;
}

}  // namespace postern::x509
