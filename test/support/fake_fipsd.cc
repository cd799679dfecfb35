// SPDX-License-Identifier: Apache-2.0
// fake-fipsd DIRECTORY: what posternd needs of fipsd, with keys in memory: serves sign and describe on
// DIRECTORY/milter.sock for the keys "dkim-rsa" and "dkim-ed25519", which stay in DIRECTORY from run to run,
// "dkim-weak" and "tls-p256", and writes records to DIRECTORY/keys for the selectors r2026, e2026 and weak of
// example.org and example.net. While DIRECTORY/answer holds the name of a status other than "ok", every request gets
// that. Prints "ready". Ends on SIGTERM.
#include <csignal>
#include <cstdio>
#include <fstream>

#include "engine/base/text.h"
#include "keystore/server.h"
#include "test/support/soft_keys.h"

namespace postern::test {
namespace {

using keystore::Reply;
using keystore::Request;
using keystore::Status;
using keystore::Verb;

class Fake final : public keystore::Handler {
 public:
  explicit Fake(const std::string& directory) : directory_(directory) {
    keys_.keep("dkim-rsa", crypto::KeyType::rsa, directory + "/rsa.pem");
    keys_.keep("dkim-ed25519", crypto::KeyType::ed25519, directory + "/ed25519.pem");
    keys_.generate("dkim-weak", crypto::KeyType::rsa, 1024);
    keys_.generate("tls-p256", crypto::KeyType::ec_p256);
    std::ofstream records(directory + "/keys");
    for (const char* domain : {"example.org", "example.net"}) {
      records << "r2026._domainkey." << domain << " " << keys_.record("dkim-rsa") << "\n";
      records << "e2026._domainkey." << domain << " " << keys_.record("dkim-ed25519") << "\n";
      records << "weak._domainkey." << domain << " " << keys_.record("dkim-weak") << "\n";
    }
  }

  Reply handle(const keystore::Peer&, const Request& request, uint32_t,
               std::chrono::steady_clock::time_point deadline) override {
    std::string wanted = "ok";
    std::ifstream(directory_ + "/answer") >> wanted;
    if (wanted != "ok") {
      for (int value = 1; value <= static_cast<int>(Status::failed); ++value) {
        const auto status = static_cast<Status>(value);
        if (keystore::status_name(status) == wanted) return {0, status, "the test says " + wanted};
      }
      return {0, Status::failed, "the test names no status: " + wanted};
    }
    if (request.header.verb == Verb::describe) {
      const auto body = keystore::NameBody::decode(request.body);
      const auto info = keys_.describe(body ? body->name : "", deadline);
      if (!info) return refuse(info.error());
      return {0, Status::ok,
              keystore::DescribeReply{static_cast<uint8_t>(info->type), info->bits, info->spki}.encode()};
    }
    if (request.header.verb != Verb::sign) return {0, Status::denied, "not by this program"};
    const auto body = keystore::SignBody::decode(request.body);
    if (!body) return refuse(body.error());
    const crypto::SignRequest one{body->key, static_cast<crypto::SignAlgorithm>(body->algorithm),
                                  static_cast<crypto::Hash>(body->hash), body->input};
    auto answers = keys_.sign({&one, 1}, deadline);
    if (!answers[0]) return refuse(answers[0].error());
    return {0, Status::ok, std::move(*answers[0])};
  }
  void closed(const keystore::Peer&) override {}
  void idle() override {}

 private:
  static Reply refuse(const base::Error& error) { return {0, keystore::from_error(error), error.text()}; }
  const std::string directory_;
  SoftKeys keys_;
};

int run(const std::string& directory) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  Fake fake(directory);
  keystore::ServerOptions options;
  keystore::SocketOptions socket;
  socket.class_name = "milter";
  socket.paths = {directory + "/milter.sock"};
  options.sockets.push_back(std::move(socket));
  auto server = keystore::Server::create(std::move(options), fake);
  if (!server) {
    std::fprintf(stderr, "fake-fipsd: %s\n", server.error().text().c_str());
    return 1;
  }
  if (auto started = (*server)->start(); !started) return 1;
  std::puts("ready");
  std::fflush(stdout);
  int received = 0;
  sigwait(&ends, &received);
  (*server)->stop();
  return 0;
}

}  // namespace
}  // namespace postern::test

int main(int argc, char** argv) { return argc == 2 ? postern::test::run(argv[1]) : 64; }
