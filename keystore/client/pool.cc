// SPDX-License-Identifier: Apache-2.0
// The exchange of requests and answers over pooled connections. A request is sent again only on a new connection, only
// when the old one was lost, and only when it was not sent before or (once) when doing it twice does no harm.
#include "keystore/client/pool.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

namespace postern::keystore {

namespace {

using base::Cause;
using std::chrono::steady_clock;

constexpr uint32_t kTimeouts = 3;
constexpr auto kProbeEvery = std::chrono::seconds(2);
constexpr size_t kWindow = 32;        // requests in flight of one exchange; fipsd allows twice as many
constexpr uint32_t kConnectings = 3;  // connections one exchange may try: a stale one, a lost one, the last
constexpr const char* kNoTime = "no time was left to ask fipsd";

}  // namespace

struct Client::Pool::Exchange {
  struct Item {
    const Call* call = nullptr;
    uint8_t sent = 0;  // on how many connections
    bool answered = false;
    base::Result<std::string> answer{std::string()};
  };
  std::vector<Item> items;
  std::vector<uint32_t> open;  // items without an answer, as this connection sends them; ids are first_id + position
  size_t unanswered = 0;
  uint32_t first_id = 0;
  crypto::Deadline deadline;

  void answer(Item& item, base::Result<std::string> with) {
    item.answer = std::move(with);
    item.answered = true;
    --unanswered;
  }
  void fail_all(const base::Error& error) {
    for (Item& item : items) {
      if (!item.answered) answer(item, std::unexpected(error));
    }
  }
};

void Client::Pool::Slot::close() {
  const int old = fd.exchange(-1);
  if (old >= 0) ::close(old);
}

Client::Pool::State::State(uint32_t connections, State* before) : pid(::getpid()), parent(before) {
  idle.reserve(connections);
  for (uint32_t i = connections; i > 0; --i) idle.push_back(i - 1);
}

Client::Pool::Pool(ClientOptions options)
    : options_(std::move(options)),
      state_(new State(std::clamp<uint32_t>(options_.connections, 1, kMaxConnections), nullptr)) {}

Client::Pool::~Pool() {
  State* state = state_.load();
  for (Slot& slot : state->slots) slot.close();
  if (state->pid == ::getpid()) delete state;
}

Client::Pool::State& Client::Pool::state() {
  State* current = state_.load(std::memory_order_acquire);
  if (current->pid == ::getpid()) return *current;
  auto mine = std::make_unique<State>(std::clamp<uint32_t>(options_.connections, 1, kMaxConnections), current);
  if (!state_.compare_exchange_strong(current, mine.get())) return *current;
  for (Slot& slot : mine->parent->slots) slot.close();
  return *mine.release();
}

base::Result<Client::Pool::Slot*> Client::Pool::acquire(State& state, crypto::Deadline deadline) {
  std::unique_lock lock(state.mutex);
  bool probing = false;
  for (;;) {
    if (state.timeouts >= kTimeouts && !probing) {
      const auto now = steady_clock::now();
      if (now < state.probe) {
        return base::fail(Cause::unavailable, "fipsd at " + options_.socket + " did not answer lately");
      }
      state.probe = now + kProbeEvery;
      probing = true;
    }
    if (!state.idle.empty()) break;
    if (state.changed.wait_until(lock, deadline) == std::cv_status::timeout && state.idle.empty()) {
      return base::fail(Cause::unavailable, "fipsd at " + options_.socket + ": no connection became free in time");
    }
  }
  const uint32_t number = state.idle.back();
  state.idle.pop_back();
  return &state.slots[number];
}

void Client::Pool::release(State& state, Slot& slot, Ending ending) {
  if (ending != Ending::answered) slot.close();
  const std::lock_guard lock(state.mutex);
  if (ending == Ending::answered || ending == Ending::refused) state.timeouts = 0;
  if (ending == Ending::no_answer && ++state.timeouts >= kTimeouts) {
    state.probe = steady_clock::now() + kProbeEvery;
    state.changed.notify_all();
  }
  state.idle.push_back(static_cast<uint32_t>(&slot - state.slots.data()));
  state.changed.notify_one();
}

base::Result<void> Client::Pool::connect(Slot& slot, crypto::Deadline deadline, bool& timed_out) {
  const auto fd = new_socket();
  if (!fd) return std::unexpected(fd.error());
  slot.fd.store(*fd);
  slot.next_id = 1;
  if (!slot.buffer) slot.buffer = std::make_unique_for_overwrite<char[]>(kMaxFrame);
  auto connected = connect_socket(*fd, options_.socket, deadline, timed_out);
  if (!connected) slot.close();
  return connected;
}

// take reads one frame of `size` bytes in the slot's buffer; false when the connection is of no more use.
bool Client::Pool::take(Slot& slot, Exchange& exchange, size_t size) {
  const std::span<char> bytes(slot.buffer.get(), std::min(size, kMaxFrame));
  auto reply = size > kMaxFrame ? base::fail(Cause::malformed, "reply: too long")
                                : decode_reply(std::string_view(bytes.data(), bytes.size()));
  wipe_bytes(bytes);
  if (!reply) {
    exchange.fail_all(
        {Cause::unavailable, "fipsd at " + options_.socket + " gave no proper answer: " + reply.error().text()});
    return false;
  }
  if (reply->id == 0) {
    exchange.fail_all(reply->status == Status::ok ? base::Error(Cause::unavailable, "fipsd closed the connection")
                                                  : to_error(*reply));
    return false;
  }
  // An id of an earlier exchange, or one answered already, is nobody's.
  const uint32_t position = reply->id - exchange.first_id;
  if (position >= exchange.open.size()) return true;
  Exchange::Item& item = exchange.items[exchange.open[position]];
  if (item.answered) return true;
  if (reply->status == Status::ok) {
    exchange.answer(item, std::move(reply->body));
  } else {
    exchange.answer(item, std::unexpected(to_error(*reply)));
  }
  return true;
}

// converse sends what is open over the slot's connection and takes the answers; `lost` is set when the connection went.
Client::Pool::Ending Client::Pool::converse(Slot& slot, Exchange& exchange, bool& lost) {
  exchange.open.clear();
  for (uint32_t i = 0; i < exchange.items.size(); ++i) {
    if (!exchange.items[i].answered) exchange.open.push_back(i);
  }
  const auto count = static_cast<uint32_t>(exchange.open.size());
  if (slot.next_id > UINT32_MAX - count) slot.next_id = 1;
  exchange.first_id = slot.next_id;
  slot.next_id += count;

  const int fd = slot.fd.load(std::memory_order_relaxed);
  const std::span<char> buffer(slot.buffer.get(), kMaxFrame);
  const size_t before = exchange.unanswered;
  uint32_t sent = 0;
  std::string frame;
  while (exchange.unanswered > 0) {
    bool blocked = false;
    while (sent < count && !blocked && !lost && sent - (before - exchange.unanswered) < kWindow) {
      Exchange::Item& item = exchange.items[exchange.open[sent]];
      const uint32_t milliseconds = milliseconds_left(exchange.deadline);
      if (milliseconds == 0) return sent == 0 ? Ending::not_asked : Ending::no_answer;
      frame = encode_request({item.call->verb, exchange.first_id + sent, milliseconds}, item.call->body);
      const Wire result = send_now(fd, frame);
      wipe_bytes(frame);
      blocked = result == Wire::again;
      lost = result == Wire::lost;
      if (result != Wire::done) break;
      ++item.sent;
      ++sent;
    }
    size_t size = 0;
    Wire got = Wire::again;
    if (lost) {
      // Nothing can be sent any more, but answers and a last word may have come before.
      got = receive_now(fd, buffer, size);
      if (got != Wire::done) return Ending::other;
    } else {
      if (!wait_for(fd, static_cast<short>(blocked ? POLLIN | POLLOUT : POLLIN), exchange.deadline)) {
        return Ending::no_answer;
      }
      got = receive_now(fd, buffer, size);
      if (got == Wire::again) continue;
      if (got == Wire::lost) {
        lost = true;
        return Ending::other;
      }
    }
    if (!take(slot, exchange, size)) return Ending::other;
  }
  return lost ? Ending::other : Ending::answered;
}

Client::Pool::Ending Client::Pool::run(Slot& slot, Exchange& exchange) {
  for (uint32_t connectings = 0;; ++connectings) {
    if (slot.fd.load(std::memory_order_relaxed) < 0) {
      bool timed_out = false;
      const auto connected = connect(slot, exchange.deadline, timed_out);
      if (!connected) {
        exchange.fail_all(connected.error());
        return timed_out ? Ending::no_answer : Ending::refused;
      }
    }
    bool lost = false;
    const Ending ending = converse(slot, exchange, lost);
    if (ending == Ending::no_answer) {
      exchange.fail_all({Cause::unavailable, "fipsd at " + options_.socket + " did not answer in time"});
    } else if (ending == Ending::not_asked) {
      exchange.fail_all({Cause::unavailable, kNoTime});
    }
    if (exchange.unanswered == 0) return ending;
    slot.close();
    for (Exchange::Item& item : exchange.items) {
      if (item.answered) continue;
      const bool again = item.sent == 0 || (item.sent == 1 && !is_officer_verb(item.call->verb));
      if (again && connectings + 1 < kConnectings) continue;
      exchange.answer(item,
                      base::fail(Cause::unavailable, "the connection to fipsd at " + options_.socket + " was lost"));
    }
    if (exchange.unanswered == 0) return Ending::other;
  }
}

std::vector<base::Result<std::string>> Client::Pool::exchange(std::span<const Call> calls, crypto::Deadline deadline) {
  Exchange exchange;
  exchange.deadline = deadline;
  exchange.items.resize(calls.size());
  exchange.unanswered = calls.size();
  for (size_t i = 0; i < calls.size(); ++i) {
    exchange.items[i].call = &calls[i];
    if (calls[i].body.size() > kMaxFrame - kRequestHeader) {
      exchange.answer(exchange.items[i], base::fail(Cause::limit, "the request does not fit into one frame"));
    }
  }
  if (exchange.unanswered > 0 && milliseconds_left(deadline) == 0) {
    exchange.fail_all({Cause::unavailable, kNoTime});
  }
  if (exchange.unanswered > 0) {
    State& mine = state();
    const auto slot = acquire(mine, deadline);
    if (!slot) {
      exchange.fail_all(slot.error());
    } else {
      release(mine, **slot, run(**slot, exchange));
    }
  }
  std::vector<base::Result<std::string>> answers;
  answers.reserve(calls.size());
  for (Exchange::Item& item : exchange.items) answers.push_back(std::move(item.answer));
  return answers;
}

}  // namespace postern::keystore
