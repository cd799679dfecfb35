// SPDX-License-Identifier: Apache-2.0
// fipsd's client against a scripted fake: answers out of order, garbage, silence, ends in the middle, restarts; what is
// repeated and what never is; the circuit.
#include "keystore/client/client.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include "test/unit/protocol_fixture.h"

namespace {

// A thread that gets no processor from a system call on: that call of it returns, and all after it, no sooner.
enum class Stalled : uint8_t { none, socket, connect };
thread_local Stalled g_stalled = Stalled::none;
thread_local std::chrono::steady_clock::time_point g_stalled_until;

void stall(Stalled at) {
  if (g_stalled == at) std::this_thread::sleep_until(g_stalled_until);
}

}  // namespace

extern "C" int socket(int domain, int type, int protocol) noexcept {
  static const auto real = reinterpret_cast<int (*)(int, int, int)>(::dlsym(RTLD_NEXT, "socket"));
  stall(Stalled::socket);
  return real(domain, type, protocol);
}

extern "C" int connect(int fd, const sockaddr* address, socklen_t size) {
  static const auto real = reinterpret_cast<int (*)(int, const sockaddr*, socklen_t)>(::dlsym(RTLD_NEXT, "connect"));
  stall(Stalled::connect);
  return real(fd, address, size);
}

namespace postern::keystore {
namespace {

using base::Cause;

crypto::Deadline in(std::chrono::milliseconds time) { return steady_clock::now() + time; }
crypto::Deadline later() { return steady_clock::now() + kPatience; }

// request decodes what the client sent; nullopt at its end.
struct Asked {
  Verb verb;
  uint32_t id;
  uint32_t deadline_ms;
  std::string body;
};
std::optional<Asked> asked(Bare& peer) {
  const auto frame = peer.take();
  if (!frame) return std::nullopt;
  const auto request = decode_request(*frame);
  EXPECT_TRUE(request.has_value());
  if (!request) return std::nullopt;
  return Asked{request->header.verb, request->header.id, request->header.deadline_ms, std::string(request->body)};
}

bool answer(Bare& peer, uint32_t id, std::string_view body, Status status = Status::ok) {
  return peer.send_frame(encode_reply({id, status, std::string(body)}));
}

// echo answers every request with its body until the client goes.
void echo(Bare& peer, int) {
  pollfd one{peer.fd(), POLLIN, 0};
  while (::poll(&one, 1, -1) > 0) {
    const auto request = asked(peer);
    if (!request || !answer(peer, request->id, request->body)) return;
  }
}

// unanswered asks with little time until a request went out, and is what was said of that one: how long this thread
// waits for the processor before that says nothing.
template <class Ask>
std::string unanswered(Ask ask) {
  std::string text;
  EXPECT_TRUE(eventually([&] {
    text = ask(in(100ms)).error().text();
    return text.find("no time was left") == std::string::npos;
  }));
  return text;
}

class ClientTest : public testing::Test {
 protected:
  std::string socket() const { return directory_.socket(); }
  Client client(uint32_t connections = 4) const { return Client({socket(), connections}); }
  static base::Result<std::string> one(Client& client, Verb verb, std::string body, crypto::Deadline deadline) {
    const Call call{verb, std::move(body)};
    return client.exchange({&call, 1}, deadline)[0];
  }
  Directory directory_;
};

TEST_F(ClientTest, AnswersComeBackInTheOrderOfTheRequests) {
  Fake fake(socket(), [](Bare& peer, int) {
    std::vector<Asked> all;
    for (int i = 0; i < 5; ++i) all.push_back(*asked(peer));
    for (int i = 4; i >= 0; --i) answer(peer, all[i].id, "answer to " + all[i].body);
    asked(peer);
  });
  Client client = this->client();
  std::vector<Call> calls;
  for (int i = 0; i < 5; ++i) calls.push_back({Verb::ping, std::to_string(i)});
  const auto answers = client.exchange(calls, later());
  ASSERT_EQ(answers.size(), 5u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(*answers[i], "answer to " + std::to_string(i));
  EXPECT_TRUE(client.exchange({}, later()).empty());
}

TEST_F(ClientTest, SignSendsWhatTheProtocolSays) {
  Fake fake(socket(), [](Bare& peer, int) {
    const auto first = asked(peer);
    const auto second = asked(peer);
    const auto body = SignBody::decode(first->body);
    EXPECT_EQ(first->verb, Verb::sign);
    EXPECT_NE(first->id, second->id);
    EXPECT_GT(first->deadline_ms, 10000u);
    EXPECT_LE(first->deadline_ms, 60000u);
    EXPECT_EQ(body->key, "example.org");
    EXPECT_EQ(body->algorithm, 2);
    EXPECT_EQ(body->hash, 3);
    EXPECT_EQ(body->input, "digest");
    answer(peer, second->id, "no such key", Status::not_found);
    answer(peer, first->id, "signature");
    const auto third = asked(peer);
    answer(peer, third->id, "");
    asked(peer);
  });
  Client client = this->client();
  const std::vector<crypto::SignRequest> requests = {
      {"example.org", crypto::SignAlgorithm::rsa_pss, crypto::Hash::sha384, "digest"},
      {"other", crypto::SignAlgorithm::eddsa, crypto::Hash::none, "message"}};
  const auto answers = client.sign(requests, later());
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(*answers[0], "signature");
  EXPECT_EQ(answers[1].error().cause(), Cause::not_found);
  EXPECT_EQ(answers[1].error().text(), "no such key");
  EXPECT_FALSE(client.sign({requests.data(), 1}, later())[0].has_value()) << "no signature is no signature";
  EXPECT_EQ(fake.connections(), 1);
}

TEST_F(ClientTest, OtherQuestions) {
  Fake fake(socket(), [](Bare& peer, int) {
    for (int i = 0; i < 5; ++i) {
      const auto request = asked(peer);
      switch (request->verb) {
        case Verb::decrypt: {
          const auto body = DecryptBody::decode(request->body);
          EXPECT_EQ(body->key, "smime");
          EXPECT_EQ(body->algorithm, 2);
          EXPECT_EQ(body->hash, 2);
          EXPECT_EQ(body->label, "label");
          EXPECT_EQ(body->ciphertext, "ciphertext");
          answer(peer, request->id, "plain");
          break;
        }
        case Verb::describe:
          EXPECT_EQ(NameBody::decode(request->body)->name, i == 1 ? "key" : "bad");
          answer(peer, request->id, i == 1 ? DescribeReply{3, 384, "spki"}.encode() : "nonsense");
          break;
        case Verb::certificate:
          answer(peer, request->id, "PEM");
          break;
        default:
          EXPECT_EQ(request->verb, Verb::status);
          EXPECT_EQ(request->body, "");
          answer(peer, request->id, "{}");
      }
    }
  });
  Client client = this->client();
  EXPECT_EQ(*client.decrypt("smime", crypto::DecryptAlgorithm::rsa_oaep, crypto::Hash::sha256, "label", "ciphertext",
                            later()),
            "plain");
  const auto info = client.describe("key", later());
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->name, "key");
  EXPECT_EQ(info->type, crypto::KeyType::ec_p384);
  EXPECT_EQ(info->bits, 384u);
  EXPECT_EQ(info->spki, "spki");
  EXPECT_EQ(client.describe("bad", later()).error().cause(), Cause::unavailable);
  EXPECT_EQ(*client.certificate("key", later()), "PEM");
  EXPECT_EQ(*client.status(later()), "{}");
}

TEST_F(ClientTest, SilenceEndsAtTheDeadline) {
  Fake fake(socket(), [](Bare& peer, int) {
    while (asked(peer)) {
    }
  });
  Client client = this->client();
  const auto deadline = in(50ms);
  const auto answer = one(client, Verb::ping, "", deadline);
  EXPECT_GE(steady_clock::now(), deadline);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().cause(), Cause::unavailable);
}

TEST_F(ClientTest, WhoNeverReadsBlocksNoSend) {
  const base::UniqueFd listener = listen_at(socket());
  Client client = this->client();
  std::vector<Call> calls(200, Call{Verb::import_key, std::string(60000, 'x')});
  const auto deadline = in(100ms);
  for (const auto& answer : client.exchange(calls, deadline)) EXPECT_FALSE(answer.has_value());
  EXPECT_GE(steady_clock::now(), deadline);
}

TEST_F(ClientTest, WhoNeverAcceptsBlocksNoConnect) {
  const base::UniqueFd listener = listen_at(socket(), 0);
  Bare filling(socket());
  ASSERT_TRUE(filling.connected());
  Client client = this->client();
  const auto deadline = in(50ms);
  const auto answer = one(client, Verb::ping, "", deadline);
  EXPECT_GE(steady_clock::now(), deadline);
  EXPECT_EQ(answer.error().cause(), Cause::unavailable);
}

TEST_F(ClientTest, NobodyThereIsKnownAtOnce) {
  Client client = this->client();
  for (int i = 0; i < 10; ++i) {
    const auto answer = one(client, Verb::ping, "", later());
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().cause(), Cause::unavailable);
  }
  listen_at(socket()).reset();  // a file that nobody listens at
  for (int i = 0; i < 10; ++i) EXPECT_EQ(one(client, Verb::ping, "", later()).error().cause(), Cause::unavailable);
  ::unlink(socket().c_str());
  Fake fake(socket(), echo);
  EXPECT_EQ(*one(client, Verb::ping, "there", later()), "there");

  Client nowhere({std::string(200, 'x'), 1});
  EXPECT_EQ(one(nowhere, Verb::ping, "", later()).error().cause(), Cause::misconfigured);
}

TEST_F(ClientTest, GarbageClosesTheConnection) {
  const std::string good = encode_reply({1, Status::ok, "x"});
  const std::vector<std::string> garbage = {"x",
                                            std::string(8, '\xff'),
                                            std::string(kMaxFrame + 100, '\1'),
                                            good.substr(0, 7),
                                            "HTTP/1.1 200 OK\r\n\r\n",
                                            encode_reply({1, Status::denied, std::string(kMaxText, 't')}) + "t"};
  Fake fake(socket(), [&](Bare& peer, int number) {
    if (number >= static_cast<int>(garbage.size())) return echo(peer, number);
    asked(peer);
    peer.send_frame(garbage[number]);
    EXPECT_FALSE(asked(peer).has_value());
  });
  Client client = this->client();
  for (size_t i = 0; i < garbage.size(); ++i) {
    const auto answer = one(client, Verb::ping, "", later());
    ASSERT_FALSE(answer.has_value()) << i;
    EXPECT_EQ(answer.error().cause(), Cause::unavailable);
  }
  EXPECT_EQ(*one(client, Verb::ping, "good again", later()), "good again");
  EXPECT_EQ(fake.connections(), static_cast<int>(garbage.size()) + 1);
}

TEST_F(ClientTest, AnswersToNobodyAreDropped) {
  Fake fake(socket(), [](Bare& peer, int) {
    uint32_t before = 77;
    while (const auto request = asked(peer)) {
      answer(peer, request->id + 1, "wrong");
      answer(peer, before, "late");
      answer(peer, UINT32_MAX, "wrong");
      answer(peer, request->id, request->body);
      answer(peer, request->id, "twice");
      before = request->id;
    }
  });
  Client client = this->client();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(*one(client, Verb::ping, std::to_string(i), later()), std::to_string(i));
  EXPECT_EQ(fake.connections(), 1);
}

TEST_F(ClientTest, ALostSignRequestIsRepeatedOnce) {
  std::atomic<int> requests{0};
  Fake fake(socket(), [&](Bare& peer, int number) {
    if (number == 0) {
      asked(peer);
      asked(peer);
      requests += 2;
      return;
    }
    echo(peer, number);
  });
  Client client = this->client();
  const std::vector<Call> calls = {{Verb::sign, "a"}, {Verb::decrypt, "b"}};
  const auto answers = client.exchange(calls, later());
  EXPECT_EQ(*answers[0], "a");
  EXPECT_EQ(*answers[1], "b");
  EXPECT_EQ(fake.connections(), 2);
  EXPECT_EQ(requests, 2);
}

TEST_F(ClientTest, AnAnswerBeforeTheEndCounts) {
  Fake fake(socket(), [](Bare& peer, int number) {
    if (number > 0) return echo(peer, number);
    const auto first = asked(peer);
    asked(peer);
    answer(peer, first->id, "first");
  });
  Client client = this->client();
  const std::vector<Call> calls = {{Verb::sign, "a"}, {Verb::sign, "b"}};
  const auto answers = client.exchange(calls, later());
  EXPECT_EQ(*answers[0], "first");
  EXPECT_EQ(*answers[1], "b");
}

TEST_F(ClientTest, NothingIsRepeatedTwice) {
  std::atomic<int> requests{0};
  Fake fake(socket(), [&](Bare& peer, int) { requests += asked(peer).has_value(); });
  Client client = this->client();
  const auto answer = one(client, Verb::sign, "a", later());
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().cause(), Cause::unavailable);
  EXPECT_EQ(requests, 2);
}

TEST_F(ClientTest, AnOfficersRequestIsNeverRepeated) {
  std::atomic<int> requests{0};
  Fake fake(socket(), [&](Bare& peer, int) { requests += asked(peer).has_value(); });
  Client client = this->client();
  EXPECT_FALSE(one(client, Verb::login, "guess", later()).has_value());
  EXPECT_EQ(requests, 1);
}

TEST_F(ClientTest, ARestartIsNotNoticed) {
  auto fake = std::make_unique<Fake>(socket(), echo);
  Client client = this->client();
  EXPECT_EQ(*one(client, Verb::sign, "before", later()), "before");
  for (int i = 0; i < 3; ++i) {
    fake.reset();
    fake = std::make_unique<Fake>(socket(), echo);
    EXPECT_EQ(*one(client, Verb::generate_key, "after", later()), "after") << "it was never sent to the old one";
  }
}

TEST_F(ClientTest, ALastWordIsTheAnswer) {
  Fake fake(socket(), [](Bare& peer, int) { answer(peer, 0, "this user may not", Status::denied); });
  Client client = this->client();
  for (int i = 0; i < 3; ++i) {
    const auto answer = one(client, Verb::sign, "a", later());
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().cause(), Cause::denied);
    EXPECT_EQ(answer.error().text(), "this user may not");
  }
  EXPECT_EQ(fake.connections(), 3);
}

TEST_F(ClientTest, ManyCallsAreSentInAWindow) {
  Fake fake(socket(), [](Bare& peer, int) {
    // 32 come without an answer and no more.
    std::vector<Asked> waiting;
    for (int i = 0; i < 32; ++i) waiting.push_back(*asked(peer));
    pollfd one{peer.fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&one, 1, 0), 0);
    for (const Asked& request : waiting) answer(peer, request.id, request.body);
    echo(peer, 0);
  });
  Client client = this->client();
  std::vector<Call> calls;
  for (int i = 0; i < 500; ++i) calls.push_back({Verb::ping, std::to_string(i)});
  const auto answers = client.exchange(calls, later());
  for (int i = 0; i < 500; ++i) EXPECT_EQ(*answers[i], std::to_string(i));
}

TEST_F(ClientTest, WhatCannotBeSentIsSaidSo) {
  Fake fake(socket(), echo);
  Client client = this->client();
  const std::vector<Call> calls = {{Verb::ping, std::string(kMaxFrame, 'x')}, {Verb::ping, "fits"}};
  const auto answers = client.exchange(calls, later());
  EXPECT_EQ(answers[0].error().cause(), Cause::limit);
  EXPECT_EQ(*answers[1], "fits");
  EXPECT_EQ(one(client, Verb::ping, "", steady_clock::now() - 1s).error().cause(), Cause::unavailable);
  EXPECT_EQ(*one(client, Verb::ping, "far", crypto::Deadline::max()), "far");
}

TEST_F(ClientTest, CallersWaitForAConnection) {
  std::atomic<int> open{0};
  std::atomic<int> most{0};
  Fake fake(socket(), [&](Bare& peer, int number) {
    const int now = ++open;
    if (now > most) most = now;
    echo(peer, number);
    --open;
  });
  Client client = this->client(2);
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&, i] {
      for (int n = 0; n < 50; ++n) {
        const std::string body = std::to_string(i) + "/" + std::to_string(n);
        const auto answer = one(client, Verb::sign, body, later());
        good += answer.has_value() && *answer == body;
      }
    });
  }
  for (std::thread& one : callers) one.join();
  EXPECT_EQ(good, 600);
  EXPECT_LE(most, 2);
}

TEST_F(ClientTest, WhoGetsNoConnectionInTimeIsTold) {
  std::atomic<bool> arrived{false};
  std::atomic<bool> told{false};
  Fake fake(socket(), [&](Bare& peer, int) {
    asked(peer);
    arrived = true;
    EXPECT_TRUE(eventually([&] { return told.load(); }));
  });
  Client client = this->client(1);
  // An officer's request: it is not repeated on another connection.
  std::thread holder([&] { EXPECT_FALSE(one(client, Verb::login, "a", later()).has_value()); });
  EXPECT_TRUE(eventually([&] { return arrived.load(); }));
  const std::string text = unanswered([&](crypto::Deadline soon) {
    auto answer = one(client, Verb::sign, "b", soon);
    EXPECT_EQ(answer.error().cause(), Cause::unavailable);
    return answer;
  });
  EXPECT_THAT(text, testing::HasSubstr("no connection"));
  told = true;
  holder.join();
}

TEST_F(ClientTest, AfterThreeTimeoutsTheCircuitOpensAndClosesByItself) {
  std::atomic<bool> hung{true};
  std::atomic<int> requests{0};
  Fake fake(socket(), [&](Bare& peer, int) {
    while (const auto request = asked(peer)) {
      ++requests;
      if (!hung) answer(peer, request->id, request->body);
    }
  });
  Client client = this->client();
  steady_clock::time_point opened;
  for (int i = 0; i < 3; ++i) {
    const std::string text = unanswered([&](crypto::Deadline soon) {
      opened = steady_clock::now();
      return one(client, Verb::ping, "", soon);
    });
    EXPECT_THAT(text, testing::HasSubstr("in time"));
  }
  const auto answer = one(client, Verb::ping, "", later());
  EXPECT_THAT(answer.error().text(), testing::HasSubstr("lately"));
  EXPECT_EQ(answer.error().cause(), Cause::unavailable);
  ASSERT_TRUE(eventually([&] { return requests == 3; }));
  hung = false;
  ASSERT_TRUE(eventually([&] { return one(client, Verb::ping, "", later()).has_value(); }));
  EXPECT_GE(steady_clock::now() - opened, 2s);
  EXPECT_EQ(requests, 4) << "no call but the probe went out";
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(one(client, Verb::ping, "", later()).has_value());
}

TEST_F(ClientTest, WhoHadNoTimeLeftToAskOpensNoCircuit) {
  Fake fake(socket(), echo);
  for (const Stalled at : {Stalled::socket, Stalled::connect}) {
    Client client = this->client();
    for (int i = 0; i < 3; ++i) {
      const auto deadline = in(20ms);
      g_stalled = at;
      g_stalled_until = deadline;
      const auto answer = one(client, Verb::ping, "", deadline);
      g_stalled = Stalled::none;
      ASSERT_FALSE(answer.has_value());
      EXPECT_EQ(answer.error().cause(), Cause::unavailable);
      EXPECT_THAT(answer.error().text(), testing::HasSubstr("no time was left"));
    }
    EXPECT_EQ(one(client, Verb::ping, "good", later()).value_or("no answer"), "good");
  }
}

TEST_F(ClientTest, AnAnswerBetweenTimeoutsKeepsTheCircuitClosed) {
  Fake fake(socket(), [](Bare& peer, int) {
    while (const auto request = asked(peer)) {
      if (request->body != "lost") answer(peer, request->id, request->body);
    }
  });
  Client client = this->client();
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(one(client, Verb::ping, "lost", in(10ms)).has_value());
    EXPECT_FALSE(one(client, Verb::ping, "lost", in(10ms)).has_value());
    EXPECT_TRUE(one(client, Verb::ping, "good", later()).has_value());
  }
}

TEST_F(ClientTest, AConversation) {
  Fake fake(socket(), [](Bare& peer, int) {
    const auto login = asked(peer);
    EXPECT_EQ(login->verb, Verb::login);
    EXPECT_EQ(login->body, "guess");
    answer(peer, login->id + 5, "nobody's");
    answer(peer, login->id, "one attempt left", Status::wrong_password);
    const auto slow = asked(peer);
    const auto next = asked(peer);
    answer(peer, slow->id, "too late");
    answer(peer, next->id, "in time");
    asked(peer);
    answer(peer, 0, "fipsd was zeroised", Status::zeroised);
  });
  const auto conversation = Conversation::open(socket());
  ASSERT_TRUE(conversation.has_value());
  Conversation& talk = **conversation;
  const auto wrong = talk.ask(Verb::login, "guess", later());
  EXPECT_EQ(wrong->status, Status::wrong_password);
  EXPECT_EQ(wrong->body, "one attempt left");
  const std::string text = unanswered([&](crypto::Deadline soon) { return talk.ask(Verb::backup, "", soon); });
  EXPECT_THAT(text, testing::HasSubstr("in time"));
  EXPECT_EQ(talk.ask(Verb::status, "", later())->body, "in time");
  EXPECT_EQ(talk.ask(Verb::status, std::string(kMaxFrame, 'x'), later()).error().cause(), Cause::limit);
  const auto word = talk.ask(Verb::status, "", later());
  EXPECT_EQ(word->id, 0u);
  EXPECT_EQ(word->status, Status::zeroised);
  EXPECT_EQ(talk.ask(Verb::status, "", later()).error().cause(), Cause::unavailable);
  EXPECT_EQ(fake.connections(), 1);
}

TEST_F(ClientTest, AConversationThatIsLostStaysLost) {
  EXPECT_EQ(Conversation::open(socket()).error().cause(), Cause::unavailable);
  Fake fake(socket(), [](Bare& peer, int) { asked(peer); });
  const auto conversation = Conversation::open(socket());
  ASSERT_TRUE(conversation.has_value());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ((*conversation)->ask(Verb::login, "guess", later()).error().cause(), Cause::unavailable);
  }
  EXPECT_EQ(fake.connections(), 1);
  const auto garbled = Conversation::open(socket());
  EXPECT_TRUE(garbled.has_value());
}

}  // namespace
}  // namespace postern::keystore
