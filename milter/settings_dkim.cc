// SPDX-License-Identifier: Apache-2.0
// DKIM profiles as the administrator writes them. What would make signatures that no verifier takes is refused at load,
// at the word.
#include "milter/settings_dkim.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/message/address.h"

namespace postern::milter {
namespace {

using config::Node;
using config::NodeKind;

constexpr size_t kMaxProfiles = 10'000;
constexpr size_t kMaxKeys = 8;
constexpr size_t kMaxNames = 100;

// Fields that servers on the way add or change.
constexpr std::array<std::string_view, 4> kUnsignable = {"Received", "Return-Path", "DKIM-Signature",
                                                         "Authentication-Results"};

// Labels of letters, digits, '-' and '_' with dots between them, as domains and selectors in DNS are.
bool is_dns_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  return std::ranges::all_of(base::split(name, '.'), [](std::string_view label) {
    return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
           std::ranges::all_of(label, [](char c) {
             const char l = base::ascii_lower(c);
             return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
           });
  });
}

bool is_below(std::string_view domain, std::string_view parent) {
  return domain == parent || (domain.size() > parent.size() && domain.ends_with(parent) &&
                              domain[domain.size() - parent.size() - 1] == '.');
}

bool holds(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::any_of(names, [&](const std::string& each) { return base::iequals(each, name); });
}

// ProfileReader reads one profile.
class ProfileReader {
 public:
  ProfileReader(config::OptionReader& read, const Node& key, const Node& value) : read_(read), key_(key), map_(value) {}

  stages::SigningProfile read() {
    profile_.name = key_.text;
    for (const auto& [option, ignored] : map_.entries) read_.check_key(option, "dkim.*");
    domain();
    keys();
    forms();
    profile_.dkim.headers = names("headers").value_or(std::vector<std::string>());
    profile_.dkim.oversign = names("oversign");
    if (const Node* headers = given("headers"); headers != nullptr && !holds(profile_.dkim.headers, "From")) {
      read_.error(*headers, "From must be signed", "RFC 6376 section 5.4");
    }
    if (const Node* node = given("body-length")) {
      uint64_t length = 0;
      read_.size(map_, "dkim.*.body-length", length);
      profile_.dkim.body_length = length;
      read_.warning(*node, "with 'body-length' anyone can add text to a signed message");
    }
    read_.duration(map_, "dkim.*.expiry", profile_.dkim.expiry);
    identity();
    users();
    policy();
    return std::move(profile_);
  }

 private:
  const Node* given(std::string_view option) const {
    const Node* node = map_.get(option);
    return node == nullptr || node->kind == NodeKind::null ? nullptr : node;
  }

  void domain() {
    std::string& domain = profile_.dkim.domain;
    read_.text(map_, "dkim.*.domain", domain);
    const Node* node = given("domain");
    if (node == nullptr) {
      read_.error(key_, "the DKIM profile " + base::quoted(key_.text) + " has no domain");
      return;
    }
    domain = message::a_labels(domain);
    if (!is_dns_name(domain)) read_.error(*node, base::quoted(node->text) + " is no domain name");
  }

  void keys() {
    const Node* list = given("keys");
    if (list == nullptr || (list->kind == NodeKind::sequence && list->items.empty())) {
      read_.error(list == nullptr ? key_ : *list, "the DKIM profile " + base::quoted(key_.text) + " has no keys",
                  "for example keys: [{selector: r2026, key: dkim-r2026}]");
      return;
    }
    if (list->kind != NodeKind::sequence) {
      read_.error(*list, "'keys' takes a list of maps", "for example keys: [{selector: r2026, key: dkim-r2026}]");
      return;
    }
    if (list->items.size() > kMaxKeys) {
      read_.error(*list, "more than " + std::to_string(kMaxKeys) + " signatures by one profile");
    }
    for (const Node& item : list->items) {
      if (item.kind != NodeKind::map) {
        read_.error(item, "a key is a map of selector, key and type");
        continue;
      }
      for (const auto& [option, ignored] : item.entries) read_.check_key(option, "dkim.*.keys[]");
      auth::DkimKey key;
      read_.text(item, "dkim.*.keys[].selector", key.selector);
      read_.text(item, "dkim.*.keys[].key", key.key);
      std::string type;
      read_.text(item, "dkim.*.keys[].type", type);
      const Node* selector = item.get("selector");
      if (selector == nullptr || key.selector.empty()) {
        read_.error(item, "a key needs a selector");
      } else if (!is_dns_name(key.selector)) {
        read_.error(*selector, base::quoted(key.selector) + " is no selector", "letters, digits, '-' and '.'");
      } else if (std::ranges::any_of(profile_.dkim.keys,
                                     [&](const auth::DkimKey& other) { return other.selector == key.selector; })) {
        read_.error(*selector, "the selector " + base::quoted(key.selector) + " stands here twice");
      }
      if (key.key.empty()) read_.error(item, "a key needs 'key', its name in fipsd");
      profile_.dkim.keys.push_back(std::move(key));
      profile_.types.push_back(x509::key_type_from(type));
    }
  }

  void forms() {
    for (const auto& [path, form] :
         {std::pair{"dkim.*.header", &profile_.dkim.header}, std::pair{"dkim.*.body", &profile_.dkim.body}}) {
      std::string word = "relaxed";
      read_.text(map_, path, word);
      *form = word == "simple" ? auth::Canonicalisation::simple : auth::Canonicalisation::relaxed;
    }
  }

  std::optional<std::vector<std::string>> names(std::string_view option) {
    const Node* list = given(option);
    if (list == nullptr) return std::nullopt;
    std::vector<std::string> out;
    for (const Node* item : read_.items(*list)) {
      const bool good = mime::is_field_name(item->text) && item->text.find(';') == std::string::npos;
      if (!good) {
        read_.error(*item, base::quoted(item->text) + " is no name of a header field");
      } else if (holds(out, item->text)) {
        read_.error(*item, base::quoted(item->text) + " stands here twice");
      } else if (std::ranges::any_of(kUnsignable, [&](auto each) { return base::iequals(each, item->text); })) {
        read_.error(*item, base::quoted(item->text) + " is changed on the way, so it cannot be signed");
      } else {
        out.push_back(item->text);
      }
    }
    if (out.size() > kMaxNames) read_.error(*list, "more than " + std::to_string(kMaxNames) + " header fields");
    return out;
  }

  void identity() {
    std::string& identity = profile_.dkim.identity;
    read_.text(map_, "dkim.*.identity", identity);
    if (identity.empty()) return;
    const Node& node = *given("identity");
    const size_t at = identity.rfind('@');
    if (at == std::string::npos || !base::is_ascii(identity.substr(0, at))) {
      read_.error(node, base::quoted(identity) + " is no identity",
                  "[LOCAL]@DOMAIN, the domain as in 'domain' or below it");
      return;
    }
    const std::string domain = message::a_labels(identity.substr(at + 1));
    identity = identity.substr(0, at + 1) + domain;
    if (!is_dns_name(domain) || !is_below(domain, profile_.dkim.domain)) {
      read_.error(node, base::quoted(domain) + " is neither " + base::quoted(profile_.dkim.domain) + " nor below it");
    }
  }

  void users() {
    const Node* list = given("users");
    if (list == nullptr) return;
    if (list->kind == NodeKind::sequence && list->items.empty()) {
      read_.error(*list, "an empty list would sign for everyone", "leave 'users' out for that");
    }
    for (const Node* item : read_.items(*list)) {
      const size_t at = item->text.rfind('@');
      if (at == std::string::npos) {
        profile_.users.push_back(base::lower(item->text));
        continue;
      }
      const std::string domain = message::a_labels(std::string_view(item->text).substr(at + 1));
      if (!is_dns_name(domain)) read_.error(*item, base::quoted(item->text) + " is no address, @domain or login");
      profile_.users.push_back(base::lower(item->text.substr(0, at)) + "@" + domain);
    }
  }

  void policy() {
    std::string word = "from";
    read_.text(map_, "dkim.*.align", word);
    for (const stages::Align each : {stages::Align::from, stages::Align::sender, stages::Align::any}) {
      if (stages::align_name(each) == word) profile_.align = each;
    }
    word = "defer";
    read_.text(map_, "dkim.*.when-unavailable", word);
    using stages::WhenUnavailable;
    for (const WhenUnavailable each : {WhenUnavailable::defer, WhenUnavailable::unsigned_, WhenUnavailable::reject}) {
      if (stages::when_unavailable_name(each) == word) profile_.when_unavailable = each;
    }
    word = "encode";
    read_.text(map_, "dkim.*.eight-bit", word);
    profile_.encode_eight_bit = word == "encode";
  }

  config::OptionReader& read_;
  const Node& key_;
  const Node& map_;
  stages::SigningProfile profile_;
};

std::string profile_text(const stages::SigningProfile& profile) {
  const auth::DkimProfile& dkim = profile.dkim;
  std::string out = "  " + config::quote_scalar(profile.name) + ":\n";
  const auto line = [&out](std::string_view key, const std::string& value) {
    out += "    " + std::string(key) + ": " + value + "\n";
  };
  line("domain", config::quote_scalar(dkim.domain));
  out += "    keys:\n";
  for (size_t i = 0; i < dkim.keys.size(); ++i) {
    out += "      - {selector: " + config::quote_scalar(dkim.keys[i].selector) +
           ", key: " + config::quote_scalar(dkim.keys[i].key);
    if (profile.types[i]) out += ", type: " + std::string(x509::key_type_name(*profile.types[i]));
    out += "}\n";
  }
  line("header", std::string(auth::canonicalisation_name(dkim.header)));
  line("body", std::string(auth::canonicalisation_name(dkim.body)));
  if (!dkim.headers.empty()) line("headers", config::quote_list(dkim.headers));
  if (dkim.oversign) line("oversign", config::quote_list(*dkim.oversign));
  if (dkim.body_length) line("body-length", base::format_size(*dkim.body_length));
  line("expiry", base::format_duration(dkim.expiry));
  if (!dkim.identity.empty()) line("identity", config::quote_scalar(dkim.identity));
  if (!profile.users.empty()) line("users", config::quote_list(profile.users));
  line("align", std::string(stages::align_name(profile.align)));
  line("when-unavailable", std::string(stages::when_unavailable_name(profile.when_unavailable)));
  line("eight-bit", profile.encode_eight_bit ? "encode" : "keep");
  return out;
}

}  // namespace

void read_signing(config::OptionReader& read, const Node& root, const std::string& folder, Settings& settings) {
  if (const Node* keys = read.map(root, "keys")) {
    read.text(*keys, "keys.socket", settings.keys_socket);
    settings.keys_socket = config::absolute_path(folder, settings.keys_socket);
    if (const Node* node = keys->get("socket")) read.check_socket_path(*node, settings.keys_socket);
    read.duration(*keys, "keys.timeout", settings.keys_timeout);
  }
  const Node* profiles = read.map(root, "dkim");
  if (profiles == nullptr) return;
  if (profiles->entries.size() > kMaxProfiles) {
    read.error(*profiles, "more than " + std::to_string(kMaxProfiles) + " DKIM profiles");
    return;
  }
  const bool sendmail = settings.mta == "sendmail";
  for (const auto& [key, value] : profiles->entries) {
    const bool good = !key.text.empty() && key.text.size() <= 253 && base::escape_for_log(key.text) == key.text;
    if (!good) read.error(key, "a DKIM profile's name is 1 to 253 printable characters");
    if (value.kind != NodeKind::map) {
      read.error(value.kind == NodeKind::null ? key : value, "a DKIM profile is a map with 'domain' and 'keys'");
      continue;
    }
    settings.dkim.push_back(ProfileReader(read, key, value).read());
    if (sendmail && settings.dkim.back().dkim.header == auth::Canonicalisation::simple) {
      read.warning(*value.get("header"), "Sendmail folds long lists of addresses anew after they were signed",
                   "use header: relaxed");
    }
  }
}

void read_flow_signing(config::OptionReader& read, const Node& node, const Settings& settings, Flow& flow) {
  const Node* sign = node.get("sign");
  if (sign == nullptr || sign->kind == NodeKind::null) return;
  for (const Node* item : read.items(*sign)) {
    const auto found = std::ranges::find(settings.dkim, item->text, &stages::SigningProfile::name);
    if (found == settings.dkim.end()) {
      std::vector<std::string_view> names;
      for (const stages::SigningProfile& profile : settings.dkim) names.push_back(profile.name);
      const std::string_view near = base::nearest(item->text, names);
      read.error(*item, "there is no DKIM profile called " + base::quoted(item->text),
                 near.empty() ? "profiles stand under 'dkim'" : "did you mean '" + std::string(near) + "'?");
      continue;
    }
    const auto index = static_cast<uint32_t>(found - settings.dkim.begin());
    if (std::ranges::find(flow.sign, index) != flow.sign.end()) {
      read.error(*item, "the DKIM profile " + base::quoted(item->text) + " stands here twice");
    } else {
      flow.sign.push_back(index);
    }
  }
}

void dump_signing(const Settings& settings, std::string& out) {
  out += "keys:\n  socket: " + config::quote_scalar(settings.keys_socket) + "\n";
  out += "  timeout: " + base::format_duration(settings.keys_timeout) + "\n";
  if (settings.dkim.empty()) return;
  out += "dkim:\n";
  for (const stages::SigningProfile& profile : settings.dkim) out += profile_text(profile);
}

bool signs(const Settings& settings) {
  return std::ranges::any_of(settings.flows, [](const Flow& flow) { return !flow.sign.empty(); });
}

void Generation::use_keys(std::shared_ptr<crypto::KeyOps> with) {
  keys = std::move(with);
  signer = std::make_unique<const stages::Signer>(settings.dkim, keys, std::chrono::seconds(settings.keys_timeout),
                                                  settings.mta == "sendmail");
}

}  // namespace postern::milter
