// SPDX-License-Identifier: Apache-2.0
// fipsconfig key: list, show, reference, dnstxt, generate, import, destroy.
#include <fmt/format.h>

#include "engine/base/text.h"
#include "engine/x509/dkim_record.h"
#include "engine/x509/key_file.h"
#include "keystore/fipsconfig/session.h"
#include "keystore/provider/reference.h"

namespace postern::keystore::fipsconfig {
namespace {

constexpr uint32_t kDefaultRsaBits = 2048;

std::string uses_of(const Json& entry) {
  std::string text;
  for (const Json& use : member(entry, "uses")) {
    const auto* word = use.get_ptr<const std::string*>();
    if (word != nullptr) text += (text.empty() ? "" : ",") + shown(*word);
  }
  return text;
}

std::string type_of(const Json& entry) {
  const std::string type = text_of(entry, "type");
  return type == "rsa" ? fmt::format("rsa {}", number_of(entry, "bits")) : type;
}

std::string backup_of(const Json& entry) {
  if (!truth_of(entry, "backup")) return "never";
  return truth_of(entry, "backed_up") ? "yes" : "not yet";
}

std::string until_of(const Json& entry) { return text_of(member(entry, "certificate"), "not_after"); }

Answer<int> check_name(const std::string& name) {
  if (is_object_name(name)) return kDone;
  return stop(kUsage,
              fmt::format("'{}' cannot be a name: 1 to {} letters, digits, '.', '_' and '-', the first a letter "
                          "or digit",
                          name, kMaxName));
}

Answer<Json> entry_named(const Common& common, const std::string& name) {
  if (const auto good = check_name(name); !good) return std::unexpected(good.error());
  auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  auto keys = session->list("");
  if (!keys) return keys;
  for (const Json& entry : *keys) {
    const auto* text = member(entry, "name").get_ptr<const std::string*>();
    if (text != nullptr && *text == name) return entry;
  }
  return stop(kNo, fmt::format("there is no key or certificate {}", name));
}

Answer<DescribeReply> describe(const Common& common, const std::string& name, std::string& keep) {
  if (const auto good = check_name(name); !good) return std::unexpected(good.error());
  auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  NameBody question;
  question.name = name;
  auto text = session->ask(Verb::describe, question.encode());
  if (!text) return std::unexpected(text.error());
  keep = std::move(*text);
  const auto reply = DescribeReply::decode(keep);
  if (!reply) return stop(kUnavailable, reply.error().text());
  return *reply;
}

Answer<int> list(const Common& common, bool json) {
  auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  const auto keys = session->list("key");
  if (!keys) return std::unexpected(keys.error());
  if (json) {
    out_json(*keys);
    return kDone;
  }
  Table table({"NAME", "TYPE", "USES", "BACKUP", "CREATED", "CERTIFICATE UNTIL"});
  for (const Json& key : *keys)
    table.row(
        {text_of(key, "name"), type_of(key), uses_of(key), backup_of(key), text_of(key, "created"), until_of(key)});
  table.print();
  return kDone;
}

Answer<int> show(const Common& common, const std::string& name, bool json) {
  const auto entry = entry_named(common, name);
  if (!entry) return std::unexpected(entry.error());
  if (json) {
    out_json(*entry);
    return kDone;
  }
  const auto line = [](std::string_view title, const std::string& value) {
    if (!value.empty()) out(fmt::format("{:<14}{}\n", title, value));
  };
  line("name", text_of(*entry, "name"));
  line("kind", text_of(*entry, "kind"));
  line("type", type_of(*entry));
  line("uses", uses_of(*entry));
  if (text_of(*entry, "kind") == "key") {
    line("backup", backup_of(*entry));
    line("origin", truth_of(*entry, "imported") ? "imported" : "generated");
  }
  line("created", text_of(*entry, "created"));
  line("not approved", text_of(*entry, "not_approved"));
  line("public key", text_of(*entry, "spki"));
  const Json& certificate = member(*entry, "certificate");
  if (!certificate.is_object() || certificate.empty()) return kDone;
  line("subject", text_of(certificate, "subject"));
  line("issuer", text_of(certificate, "issuer"));
  line("serial", text_of(certificate, "serial"));
  line("not before", text_of(certificate, "not_before"));
  line("not after", text_of(certificate, "not_after"));
  return kDone;
}

Answer<int> reference(const Common& common, const std::string& name) {
  std::string keep;
  const auto key = describe(common, name, keep);
  if (!key) return std::unexpected(key.error());
  out(write_reference_pem(name, key->spki));
  return kDone;
}

Answer<int> dnstxt(const Common& common, const DnsOptions& options) {
  if (options.selector.empty() != options.domain.empty()) return stop(kUsage, "--selector and --domain go together");
  std::string keep;
  const auto key = describe(common, options.name, keep);
  if (!key) return std::unexpected(key.error());
  const auto record = x509::txt_record(static_cast<x509::KeyType>(key->type), key->spki);
  if (!record) return stop(kNo, fmt::format("{}: {}", options.name, record.error().text()));
  const std::string name =
      options.selector.empty() ? std::string() : fmt::format("{}._domainkey.{}.", options.selector, options.domain);
  if (options.json) {
    Json answer = {{"record", *record}, {"zone", x509::zone_strings(*record)}};
    if (!name.empty()) answer["name"] = name;
    out_json(answer);
    return kDone;
  }
  const std::string strings = x509::zone_strings(*record);
  out(name.empty() ? strings + "\n" : fmt::format("{} IN TXT ( {} )\n", shown(name), strings));
  return kDone;
}

Answer<uint32_t> uses_in(const std::string& list) {
  const auto uses = uses_from(list);
  if (uses && *uses != 0) return *uses;
  return stop(kUsage, fmt::format("--use takes a list of dkim, smime, tls-server, tls-client, ldap, not '{}'", list));
}

int print_new(const Json& answer, const std::string& name, std::string_view what, bool json) {
  if (json) {
    out_json(answer);
  } else {
    say(fmt::format("{} {} ({})", name, what, type_of(answer)));
  }
  return kDone;
}

Answer<int> generate(const Common& common, const NewKeyOptions& options) {
  if (const auto good = check_name(options.name); !good) return good;
  const auto uses = uses_in(options.use);
  if (!uses) return std::unexpected(uses.error());
  const auto type = x509::key_type_from(options.type);
  if (!type) return stop(kUsage, fmt::format("--type takes rsa, p256, p384 or ed25519, not '{}'", options.type));
  if (*type != x509::KeyType::rsa && options.bits != 0) return stop(kUsage, "--bits goes with --type rsa");
  GenerateBody body;
  body.name = options.name;
  body.type = static_cast<uint8_t>(*type);
  body.bits = *type == x509::KeyType::rsa && options.bits == 0 ? kDefaultRsaBits : options.bits;
  body.uses = *uses;
  body.backup = options.no_backup ? 0 : 1;
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  const auto answer = session->ask_json(Verb::generate_key, body.encode());
  if (!answer) return std::unexpected(answer.error());
  return print_new(*answer, options.name, "generated", options.json);
}

// A key file's bytes, wiped when they go.
struct FileContent {
  std::string bytes;
  ~FileContent() { wipe(bytes); }
};

Answer<int> import(const Common& common, const NewKeyOptions& options) {
  if (const auto good = check_name(options.name); !good) return good;
  const auto uses = uses_in(options.use);
  if (!uses) return std::unexpected(uses.error());
  FileContent file;
  if (auto content = read_file(options.file, x509::kMaxKeyFile)) {
    file.bytes = std::move(*content);
  } else {
    return std::unexpected(content.error());
  }
  // The officer's password comes first on a descriptor, so it is read first.
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  Secret password;
  if (x509::needs_password(file.bytes)) {
    auto given = secrets.next(fmt::format("Password of {}: ", shown(options.file)));
    if (!given) return std::unexpected(given.error());
    password = std::move(*given);
  }
  const auto key = x509::read_key_file(file.bytes, password.view());
  if (!key) {
    const int status = key.error().cause() == base::Cause::denied ? kDenied : kBadData;
    return stop(status, options.file + ": " + key.error().text());
  }
  if (key->unused != 0)
    say(fmt::format("warning: {} certificates in {} do not belong to the key and are left out", key->unused,
                    shown(options.file)));
  ImportBody body;
  body.name = options.name;
  body.uses = *uses;
  body.backup = options.no_backup ? 0 : 1;
  body.pkcs8 = key->pkcs8;
  body.chain = key->chain;
  if (key->pkcs8.size() > kMaxPkcs8 || key->chain.size() > kMaxChain)
    return stop(kBadData, options.file + ": key or certificates are too long");
  std::string encoded = body.encode();
  const auto answer = session->ask_json(Verb::import_key, encoded);
  wipe(encoded);
  if (!answer) return std::unexpected(answer.error());
  return print_new(*answer, options.name, "imported", options.json);
}

Answer<int> destroy(const Common& common, const std::string& name, bool yes) {
  if (const auto good = check_name(name); !good) return good;
  if (!yes) {
    const auto sure =
        Secrets::confirmed(fmt::format("Type yes to destroy {} for ever: ", name), "key destroy needs --yes");
    if (!sure) return std::unexpected(sure.error());
    if (!*sure) return stop(kNo, "nothing was destroyed");
  }
  NameBody body;
  body.name = name;
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  const auto answer = session->ask(Verb::destroy_key, body.encode());
  if (!answer) return std::unexpected(answer.error());
  say(name + " is destroyed");
  return kDone;
}

}  // namespace

int run_key_list(const Common& common, bool json) { return finish(list(common, json)); }
int run_key_show(const Common& common, const std::string& name, bool json) { return finish(show(common, name, json)); }
int run_key_reference(const Common& common, const std::string& name) { return finish(reference(common, name)); }
int run_key_dnstxt(const Common& common, const DnsOptions& options) { return finish(dnstxt(common, options)); }
int run_key_generate(const Common& common, const NewKeyOptions& options) { return finish(generate(common, options)); }
int run_key_import(const Common& common, const NewKeyOptions& options) { return finish(import(common, options)); }
int run_key_destroy(const Common& common, const std::string& name, bool yes) {
  return finish(destroy(common, name, yes));
}

}  // namespace postern::keystore::fipsconfig
