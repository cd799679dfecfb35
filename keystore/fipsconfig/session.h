// SPDX-License-Identifier: Apache-2.0
// Session: one connection to fipsd's officer socket and, where a command needs it, an officer login on it. Used by one
// thread; the login ends with the object.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "keystore/client/client.h"
#include "keystore/fipsconfig/answer.h"
#include "keystore/fipsconfig/commands.h"
#include "keystore/fipsconfig/secrets.h"

namespace postern::keystore::fipsconfig {

// The longest that fipsd may take for an answer: making a long key in a slow token, or an attempt that is delayed.
inline constexpr auto kPatience = std::chrono::minutes(10);

class Session {
 public:
  // open connects to the socket that `common` names.
  static Answer<Session> open(const Common& common);
  // officer connects and logs in. Before an attempt that would destroy all keys if it failed, a person must type yes,
  // or --last-attempt must be given. Prints what fipsd warns of.
  static Answer<Session> officer(const Common& common, Secrets& secrets);
  Session(Session&&) noexcept = default;
  Session& operator=(Session&&) noexcept = default;
  ~Session();

  // reply asks and returns whatever is answered; ask returns the body of an ok reply; ask_json reads that, and prints
  // the warnings in it.
  Answer<Reply> reply(Verb verb, std::string_view body);
  Answer<std::string> ask(Verb verb, std::string_view body);
  Answer<Json> ask_json(Verb verb, std::string_view body);

  // status is fipsd's status object.
  Answer<Json> status() { return ask_json(Verb::status, ""); }
  // list gives all entries of one kind ("key", "certificate"), or all for "".
  Answer<Json> list(std::string_view kind);

  // password is the officer's, as it was given to log in.
  const Secret& password() const { return password_; }

 private:
  explicit Session(std::unique_ptr<Conversation> conversation) : conversation_(std::move(conversation)) {}
  Answer<int> login(const Common& common, Secrets& secrets);
  std::unique_ptr<Conversation> conversation_;
  bool logged_in_ = false;
  Secret password_;
};

// secret_body encodes a SecretBody into memory that is wiped; the address is where SSH says the person sits.
Secret secret_body(std::string_view password, std::string_view extra = {});

}  // namespace postern::keystore::fipsconfig
