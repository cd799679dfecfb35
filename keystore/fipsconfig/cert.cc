// SPDX-License-Identifier: Apache-2.0
// fipsconfig cert and distrust: certificates that belong to keys or stand alone, requests for them, and what is not to
// be trusted.
#include <fmt/format.h>

#include "engine/x509/certificate.h"
#include "engine/x509/distrust.h"
#include "keystore/encoding.h"
#include "keystore/fipsconfig/session.h"

namespace postern::keystore::fipsconfig {
namespace {

constexpr size_t kPemLine = 64;

std::string pem(std::string_view label, std::string_view der) {
  const std::string base64 = to_base64(der);
  std::string text = fmt::format("-----BEGIN {}-----\n", label);
  for (size_t at = 0; at < base64.size(); at += kPemLine) text += base64.substr(at, kPemLine) + "\n";
  return text + fmt::format("-----END {}-----\n", label);
}

// PEM from fipsd goes to a terminal or a file as it is, so it must be nothing else.
bool is_pem(std::string_view text) {
  for (const char c : text) {
    if (c != '\n' && (c < 0x20 || c > 0x7E)) return false;
  }
  return text.starts_with("-----BEGIN ");
}

Answer<int> deliver(const std::string& text, const std::string& path) {
  if (!is_pem(text)) return stop(kUnavailable, "fipsd's answer is not understood");
  if (!path.empty()) return write_file(path, text, 0644);
  out(text);
  return kDone;
}

Answer<int> list(const Common& common, bool json) {
  auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  const auto all = session->list("");
  if (!all) return std::unexpected(all.error());
  Json found = Json::array();
  Table table({"NAME", "KEY", "UNTIL", "DAYS", "SUBJECT"});
  for (const Json& entry : *all) {
    const Json& certificate = member(entry, "certificate");
    if (!certificate.is_object() || certificate.empty()) continue;
    found.push_back(entry);
    const Json& days = member(certificate, "expires_in_days");
    table.row({text_of(entry, "name"), text_of(entry, "kind") == "key" ? "yes" : "no",
               text_of(certificate, "not_after"), days.is_number_integer() ? std::to_string(days.get<int64_t>()) : "",
               text_of(certificate, "subject")});
  }
  if (json) {
    out_json(found);
  } else {
    table.print();
  }
  return kDone;
}

Answer<int> export_one(const Common& common, const std::string& name, bool json) {
  auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  NameBody body;
  body.name = name;
  const auto chain = session->ask(Verb::certificate, body.encode());
  if (!chain) return std::unexpected(chain.error());
  if (!json) return deliver(*chain, "");
  out_json({{"name", name}, {"pem", *chain}});
  return kDone;
}

SubjectBody subject_body(const SubjectOptions& options) {
  SubjectBody body;
  body.name = options.name;
  body.subject = options.subject;
  body.names = options.names;
  body.days = options.days;
  return body;
}

Answer<int> csr(const Common& common, const SubjectOptions& options) {
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  const auto der = session->ask(Verb::make_request, subject_body(options).encode());
  if (!der) return std::unexpected(der.error());
  return deliver(pem("CERTIFICATE REQUEST", *der), options.out);
}

Answer<int> self_sign(const Common& common, const SubjectOptions& options) {
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  const auto certificate = session->ask(Verb::self_sign, subject_body(options).encode());
  if (!certificate) return std::unexpected(certificate.error());
  PutCertificateBody put;
  put.name = options.name;
  put.chain = *certificate;
  if (const auto kept = session->ask(Verb::put_certificate, put.encode()); !kept) return std::unexpected(kept.error());
  return deliver(*certificate, options.out);
}

Answer<int> import(const Common& common, const std::string& name, const std::string& path) {
  auto content = read_file(path, x509::kMaxChainText);
  if (!content) return std::unexpected(content.error());
  if (content->starts_with('\x30')) *content = x509::certificate_pem(*content);
  const auto chain = x509::read_chain(*content);
  if (!chain) return stop(kBadData, path + ": " + chain.error().text());
  // Only the certificates go to fipsd, without what stands between them.
  std::string text;
  for (const x509::Certificate& one : *chain) text += x509::certificate_pem(one.der);
  if (text.size() > kMaxChain)
    return stop(kBadData, fmt::format("{}: the chain has more than {} bytes", path, kMaxChain));
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  PutCertificateBody body;
  body.name = name;
  body.chain = text;
  if (const auto kept = session->ask(Verb::put_certificate, body.encode()); !kept) return std::unexpected(kept.error());
  say(fmt::format("{}: {}", name, shown(chain->front().subject)));
  return kDone;
}

Answer<int> drop(const Common& common, const std::string& name) {
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  NameBody body;
  body.name = name;
  if (const auto done = session->ask(Verb::drop_certificate, body.encode()); !done)
    return std::unexpected(done.error());
  say("the certificate of " + name + " is dropped");
  return kDone;
}

Answer<int> distrust_list(const Common& common, bool json) {
  auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  const auto status = session->status();
  if (!status) return std::unexpected(status.error());
  const Json& entries = member(*status, "distrusted");
  if (json) {
    out_json(entries.is_array() ? entries : Json::array());
    return kDone;
  }
  for (const Json& entry : entries) {
    const auto* text = entry.get_ptr<const std::string*>();
    if (text != nullptr) out(shown(*text) + "\n");
  }
  return kDone;
}

Answer<int> distrust_change(const Common& common, const std::string& entry, bool add) {
  const auto spelled = x509::check_distrust_entry(entry);
  if (!spelled) return stop(kUsage, spelled.error().text());
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  DistrustBody body;
  body.add = add ? 1 : 0;
  body.entry = *spelled;
  if (const auto done = session->ask(Verb::distrust, body.encode()); !done) return std::unexpected(done.error());
  say(shown(*spelled) + (add ? " is distrusted" : " is no longer distrusted"));
  return kDone;
}

Answer<int> check_name(const std::string& name) {
  if (is_object_name(name)) return kDone;
  return stop(kUsage, fmt::format("'{}' cannot be the name of a key or certificate", name));
}

// Runs `work` when the name can be one.
template <class Work>
int with_name(const std::string& name, Work work) {
  const auto good = check_name(name);
  return finish(good ? work() : good);
}

}  // namespace

int run_cert_list(const Common& common, bool json) { return finish(list(common, json)); }
int run_cert_export(const Common& common, const std::string& name, bool json) {
  return with_name(name, [&] { return export_one(common, name, json); });
}
int run_cert_csr(const Common& common, const SubjectOptions& options) {
  return with_name(options.name, [&] { return csr(common, options); });
}
int run_cert_self_sign(const Common& common, const SubjectOptions& options) {
  return with_name(options.name, [&] { return self_sign(common, options); });
}
int run_cert_import(const Common& common, const std::string& name, const std::string& file) {
  return with_name(name, [&] { return import(common, name, file); });
}
int run_cert_drop(const Common& common, const std::string& name) {
  return with_name(name, [&] { return drop(common, name); });
}
int run_distrust_list(const Common& common, bool json) { return finish(distrust_list(common, json)); }
int run_distrust_change(const Common& common, const std::string& entry, bool add) {
  return finish(distrust_change(common, entry, add));
}

}  // namespace postern::keystore::fipsconfig
