// SPDX-License-Identifier: Apache-2.0
// fipsconfig init, passwd, zeroise and selftest: what concerns fipsd as a whole.
#include <fmt/format.h>

#include "keystore/fipsconfig/session.h"

namespace postern::keystore::fipsconfig {
namespace {

Answer<int> init(const Common& common) {
  auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  const auto now = session->status();
  if (!now) return std::unexpected(now.error());
  const std::string state = text_of(*now, "state");
  if (state != "uninitialised" && state != "zeroised")
    return stop(kBadData, fmt::format("fipsd is {}; only an uninitialised or zeroised one can be initialised", state));
  Secrets secrets(common);
  const auto password = secrets.fresh("New officer password: ");
  if (!password) return std::unexpected(password.error());
  const Secret body = secret_body(password->view());
  const auto answer = session->ask_json(Verb::initialise, body.view());
  if (!answer) return std::unexpected(answer.error());
  say("fipsd is initialised. The third wrong officer password in a row destroys all keys: make backups.");
  return kDone;
}

Answer<int> passwd(const Common& common) {
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  const auto fresh = secrets.fresh("New officer password: ");
  if (!fresh) return std::unexpected(fresh.error());
  const Secret body = secret_body(fresh->view(), session->password().view());
  const auto answer = session->ask_json(Verb::change_password, body.view());
  if (!answer) return std::unexpected(answer.error());
  say("The officer password is changed.");
  return kDone;
}

Answer<int> zeroise(const Common& common, bool yes) {
  if (!yes) {
    say("This destroys every key and certificate that fipsd holds. Only a backup brings them back.");
    const auto sure = Secrets::confirmed("Type yes to destroy them: ", "zeroise needs --yes");
    if (!sure) return std::unexpected(sure.error());
    if (!*sure) return stop(kNo, "nothing was destroyed");
  }
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  const Secret body = secret_body(session->password().view());
  const auto answer = session->reply(Verb::zeroise, body.view());
  if (!answer) return std::unexpected(answer.error());
  // The last word of a fipsd that zeroised is as good as a reply.
  if (answer->status != Status::ok && answer->status != Status::zeroised) return stop_for(*answer);
  say("fipsd is zeroised.");
  return kDone;
}

Answer<int> selftest(const Common& common, const SelfTestOptions& options) {
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  const auto results = session->ask_json(options.clear_error ? Verb::clear_error : Verb::self_test, "");
  if (!results) return std::unexpected(results.error());
  bool passed = results->is_array() && !results->empty();
  Table table({"TEST", "RESULT", "APPROVED", "DETAIL"});
  for (const Json& one : *results) {
    const bool good = truth_of(one, "passed");
    passed = passed && good;
    table.row({text_of(one, "name"), good ? "passed" : "FAILED", truth_of(one, "approved") ? "yes" : "no",
               text_of(one, "detail")});
  }
  if (options.json) {
    out_json(*results);
  } else {
    table.print();
  }
  return passed ? kDone : kNo;
}

}  // namespace

int run_init(const Common& common) { return finish(init(common)); }
int run_passwd(const Common& common) { return finish(passwd(common)); }
int run_zeroise(const Common& common, bool yes) { return finish(zeroise(common, yes)); }
int run_selftest(const Common& common, const SelfTestOptions& options) { return finish(selftest(common, options)); }

}  // namespace postern::keystore::fipsconfig
