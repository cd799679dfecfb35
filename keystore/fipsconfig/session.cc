// SPDX-License-Identifier: Apache-2.0
// Connecting, logging in, asking.
#include "keystore/fipsconfig/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "engine/base/text.h"
#include "keystore/settings.h"

namespace postern::keystore::fipsconfig {
namespace {

Answer<std::string> socket_of(const Common& common) {
  if (!common.socket.empty()) return common.socket;
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  // Without a configuration fipsd has its defaults, and so have we.
  const bool missing = !common.config_given && ::access(common.config.c_str(), F_OK) != 0;
  const auto settings = missing ? read_fipsd_settings(sources, sources.add_text(common.config, ""), diagnostics)
                                : load_fipsd_settings(common.config, sources, diagnostics);
  if (!settings) {
    std::fputs(diagnostics.render().c_str(), stderr);
    return stop(kBadConfig, common.config + ": the configuration has errors");
  }
  return settings->socket(kOfficerSocket)->paths.front();
}

// The first word of SSH_CONNECTION where it looks like an address. It is only a remark for the audit log.
std::string reported_address() {
  const char* value = std::getenv("SSH_CONNECTION");
  if (value == nullptr) return "";
  std::string_view address(value);
  address = address.substr(0, address.find(' '));
  const bool good = address.size() <= 64 && std::ranges::all_of(address, [](char c) {
                      const char l = base::ascii_lower(c);
                      return (c >= '0' && c <= '9') || (l >= 'a' && l <= 'z') || c == '.' || c == ':' || c == '%';
                    });
  return good ? std::string(address) : "";
}

void print_warnings(const Json& answer) {
  const Json& warnings = member(answer, "warnings");
  if (!warnings.is_array()) return;
  for (const Json& warning : warnings) {
    const auto* text = warning.get_ptr<const std::string*>();
    if (text != nullptr) say("warning: " + shown(*text));
  }
}

}  // namespace

Secret secret_body(std::string_view password, std::string_view extra) {
  const std::string address = reported_address();
  SecretBody body;
  body.password = password;
  body.extra = extra;
  body.reported_address = address;
  std::string text = body.encode();
  Secret out(text);
  wipe(text);
  return out;
}

Answer<Session> Session::open(const Common& common) {
  const auto socket = socket_of(common);
  if (!socket) return std::unexpected(socket.error());
  auto conversation = Conversation::open(*socket);
  if (!conversation) {
    const bool denied = conversation.error().cause() == base::Cause::denied;
    return stop(denied ? kDenied : kUnavailable, "fipsd cannot be reached: " + conversation.error().text());
  }
  return Session(std::move(*conversation));
}

Answer<Session> Session::officer(const Common& common, Secrets& secrets) {
  auto session = open(common);
  if (!session) return session;
  const auto done = session->login(common, secrets);
  if (!done) return std::unexpected(done.error());
  return session;
}

Session::~Session() {
  if (logged_in_ && conversation_ != nullptr) (void)reply(Verb::logout, "");
}

Answer<int> Session::login(const Common& common, Secrets& secrets) {
  for (;;) {
    const auto now = status();
    if (!now) return std::unexpected(now.error());
    const std::string state = text_of(*now, "state");
    if (state == "uninitialised" || state == "zeroised")
      return stop(kUnavailable, fmt::format("fipsd is {}; 'fipsconfig init' makes it ready", state));
    if (state == "zeroising") return stop(kUnavailable, "fipsd is destroying its keys");
    const Json& left = member(*now, "attempts_left");
    if (!left.is_number_unsigned()) return stop(kUnavailable, "fipsd does not say how many attempts are left");
    if (left.get<uint64_t>() <= 1 && !common.last_attempt) {
      constexpr std::string_view kLast = "Only one attempt is left: a wrong password destroys all keys.";
      if (!secrets.asks()) return stop(kDenied, fmt::format("{} Give --last-attempt to try it.", kLast));
      say(kLast);
      const auto yes = Secrets::confirmed("Type yes to try: ", "there is no terminal to ask on; use --last-attempt");
      if (!yes) return std::unexpected(yes.error());
      if (!*yes) return stop(kDenied, "nothing was tried");
    }
    auto password = secrets.next("Officer password: ");
    if (!password) return std::unexpected(password.error());
    const Secret body = secret_body(password->view());
    const auto answer = reply(Verb::login, body.view());
    if (!answer) return std::unexpected(answer.error());
    if (answer->status == Status::ok) {
      logged_in_ = true;
      password_ = std::move(*password);
      const auto json = parse_json(answer->body);
      if (!json) return std::unexpected(json.error());
      print_warnings(*json);
      return kDone;
    }
    // Only a person gets another try, and only while fipsd listens on this connection.
    if (answer->status != Status::wrong_password || answer->id == 0 || !secrets.asks()) return stop_for(*answer);
    say(shown(answer->body));
  }
}

Answer<Reply> Session::reply(Verb verb, std::string_view body) {
  auto answer = conversation_->ask(verb, body, std::chrono::steady_clock::now() + kPatience);
  if (!answer) return stop(kUnavailable, answer.error().text());
  return std::move(*answer);
}

Answer<std::string> Session::ask(Verb verb, std::string_view body) {
  auto answer = reply(verb, body);
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (answer->status != Status::ok) return stop_for(*answer);
  if (answer->id == 0) return stop(kUnavailable, answer->body);
  return std::move(answer->body);
}

Answer<Json> Session::ask_json(Verb verb, std::string_view body) {
  const auto text = ask(verb, body);
  if (!text) return std::unexpected(text.error());
  auto json = parse_json(*text);
  if (json) print_warnings(*json);
  return json;
}

Answer<Json> Session::list(std::string_view kind) {
  Json all = Json::array();
  size_t told = 0;
  for (uint32_t from = 0;;) {
    ListPage question;
    question.from = from;
    const auto text = ask(Verb::list, question.encode());
    if (!text) return std::unexpected(text.error());
    const auto page = ListPage::decode(*text);
    if (!page) return stop(kUnavailable, page.error().text());
    const auto entries = parse_json(page->data);
    if (!entries) return std::unexpected(entries.error());
    if (!entries->is_array()) return stop(kUnavailable, "fipsd's answer is not understood");
    for (const Json& entry : *entries) {
      ++told;
      const auto* name = member(entry, "kind").get_ptr<const std::string*>();
      if (kind.empty() || (name != nullptr && *name == kind)) all.push_back(entry);
    }
    if (page->next == 0) return all;
    if (page->next <= from || told > 1'000'000) return stop(kUnavailable, "fipsd's list has no end");
    from = page->next;
  }
}

}  // namespace postern::keystore::fipsconfig
