// SPDX-License-Identifier: Apache-2.0
// Client: what KeyOps asks, as requests of the protocol, and the answers back. Nothing of an answer is believed beyond
// its form: a signature is checked where it is used.
#include "keystore/client/client.h"

#include "keystore/client/pool.h"

namespace postern::keystore {

namespace {

using base::Cause;

// The longest RSA signature or plaintext that any key known here can give.
constexpr size_t kMaxResult = kMaxCiphertext;

}  // namespace

Client::Client(ClientOptions options) : pool_(std::make_unique<Pool>(std::move(options))) {}

Client::~Client() = default;

std::vector<base::Result<std::string>> Client::exchange(std::span<const Call> calls, crypto::Deadline deadline) {
  return pool_->exchange(calls, deadline);
}

std::vector<base::Result<std::string>> Client::sign(std::span<const crypto::SignRequest> requests,
                                                    crypto::Deadline deadline) {
  std::vector<Call> calls;
  calls.reserve(requests.size());
  for (const crypto::SignRequest& request : requests) {
    calls.push_back({Verb::sign, SignBody{request.key, static_cast<uint8_t>(request.algorithm),
                                          static_cast<uint8_t>(request.hash), request.input}
                                     .encode()});
  }
  auto answers = exchange(calls, deadline);
  for (auto& answer : answers) {
    if (answer && (answer->empty() || answer->size() > kMaxResult)) {
      answer = base::fail(Cause::unavailable, "fipsd's answer is no signature");
    }
  }
  return answers;
}

base::Result<std::string> Client::decrypt(std::string_view key, crypto::DecryptAlgorithm algorithm, crypto::Hash hash,
                                          std::string_view label, std::string_view ciphertext,
                                          crypto::Deadline deadline) {
  const Call call{
      Verb::decrypt,
      DecryptBody{key, static_cast<uint8_t>(algorithm), static_cast<uint8_t>(hash), label, ciphertext}.encode()};
  auto answer = std::move(exchange({&call, 1}, deadline)[0]);
  if (answer && answer->size() > kMaxResult) return base::fail(Cause::unavailable, "fipsd's answer is no plaintext");
  return answer;
}

base::Result<crypto::KeyInfo> Client::describe(std::string_view key, crypto::Deadline deadline) {
  const Call call{Verb::describe, NameBody{key}.encode()};
  const auto answer = std::move(exchange({&call, 1}, deadline)[0]);
  if (!answer) return std::unexpected(answer.error());
  const auto body = DescribeReply::decode(*answer);
  if (!body) return base::fail(Cause::unavailable, "fipsd's answer: " + body.error().text());
  return crypto::KeyInfo{std::string(key), static_cast<crypto::KeyType>(body->type), body->bits,
                         std::string(body->spki)};
}

base::Result<std::string> Client::certificate(std::string_view name, crypto::Deadline deadline) {
  const Call call{Verb::certificate, NameBody{name}.encode()};
  return std::move(exchange({&call, 1}, deadline)[0]);
}

base::Result<std::string> Client::status(crypto::Deadline deadline) {
  const Call call{Verb::status, {}};
  return std::move(exchange({&call, 1}, deadline)[0]);
}

}  // namespace postern::keystore
