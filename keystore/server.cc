// SPDX-License-Identifier: Apache-2.0
// The server's threads. The reader owns the listening sockets, the table of connections (shared with last_word under
// its mutex), the rates and the counts per class; it takes one frame at a time from each connection in turn. A request
// goes to the workers' lane or the officer's; whoever handled it writes the reply. Reader and workers meet in the lanes
// and in Connection only.
#include "keystore/server.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "keystore/connection.h"
#include "keystore/lane.h"
#include "keystore/listener.h"

namespace postern::keystore {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Tags of what the reader waits for; connections have their numbers, from 1 on.
constexpr uint64_t kWakeTag = 0;
constexpr uint64_t kListenerTag = 1ull << 63;

constexpr milliseconds kIdleEvery{1000};
constexpr milliseconds kAcceptPause{100};
constexpr int64_t kSlowReader = 10'000;  // milliseconds that replies may wait for their reader
constexpr int kAcceptsAtOnce = 64;
constexpr double kRefusalsTold = 10;  // a second

int64_t steady_milliseconds() {
  return std::chrono::duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

// Bucket is a token bucket that holds one second's worth.
class Bucket {
 public:
  explicit Bucket(double rate) : rate_(rate), tokens_(rate) {}
  bool take() {
    if (rate_ <= 0) return true;
    const auto now = steady_clock::now();
    tokens_ = std::min(rate_, tokens_ + rate_ * std::chrono::duration<double>(now - last_).count());
    last_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  double rate_;
  double tokens_;
  steady_clock::time_point last_ = steady_clock::now();
};

struct SocketClass {
  SocketOptions options;
  Bucket rate;
  uint32_t open = 0;
};

struct AtomicCounters {
  std::atomic<uint64_t> connections{0}, requests{0}, busy{0}, expired{0}, denied{0}, malformed{0};
  std::atomic<uint32_t> open{0};
};

class EpollServer final : public Server {
 public:
  EpollServer(ServerOptions options, std::vector<Listener> listeners, Handler& handler, base::UniqueFd epoll,
              base::UniqueFd wake)
      : in_flight_(options.in_flight),
        workers_(options.workers),
        handler_(handler),
        epoll_(std::move(epoll)),
        wake_(std::move(wake)),
        listeners_(std::move(listeners)),
        work_(options.queue),
        officer_(options.queue),
        running_(options.workers + 1),
        frame_(std::make_unique_for_overwrite<char[]>(kMaxFrame)) {
    for (SocketOptions& socket : options.sockets) {
      const double rate = socket.rate;
      classes_.push_back({std::move(socket), Bucket(rate)});
    }
  }
  ~EpollServer() override { stop(); }

  base::Result<void> start() override;
  void stop() override;
  void last_word(const Reply& reply, uint64_t except) override;
  void send_last_word(uint64_t connection, const Reply& reply) override;
  uint32_t stuck_seconds() const override;
  Counters counters() const override;

 private:
  // Reader thread.
  void read_loop();
  void accept_from(Listener& listener);
  void admit(base::UniqueFd fd, uint32_t socket_class);
  void connection_event(uint64_t id, uint32_t events);
  void take_frame(const std::shared_ptr<Connection>& connection, std::string_view frame, size_t size);
  void close_connection(const std::shared_ptr<Connection>& connection);
  void close_slow_readers();
  void pause_accepting(bool pause);
  void tell_refused(const Peer& peer, std::string_view why);

  // Workers and officer thread.
  void work_loop(uint32_t number);
  void officer_loop();
  Reply answer(const Job& job, const Request& request, uint32_t worker, std::atomic<int64_t>& running);
  void perform(Job& job, uint32_t worker, std::atomic<int64_t>& running);

  std::shared_ptr<Connection> find(uint64_t id) const;

  const uint32_t in_flight_;
  const uint32_t workers_;
  Handler& handler_;
  const base::UniqueFd epoll_;
  const base::UniqueFd wake_;
  std::vector<Listener> listeners_;
  std::vector<SocketClass> classes_;
  Lane work_;
  Lane officer_;
  std::vector<std::atomic<int64_t>> running_;  // when each thread's handle() began, steady milliseconds; 0: idle
  const std::unique_ptr<char[]> frame_;
  uint64_t next_connection_ = 1;
  bool accepting_ = true;
  steady_clock::time_point accept_again_;
  Bucket refusals_{kRefusalsTold};

  mutable std::mutex mutex_;  // of the table
  std::unordered_map<uint64_t, std::shared_ptr<Connection>> connections_;

  AtomicCounters counters_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

base::Result<void> EpollServer::start() {
  const auto watch = [&](int fd, uint64_t tag) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = tag;
    return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  };
  bool watched = watch(wake_.get(), kWakeTag);
  for (size_t i = 0; i < listeners_.size(); ++i) watched = watched && watch(listeners_[i].fd(), kListenerTag + i);
  if (!watched) return std::unexpected(base::system_error("epoll_ctl", errno));

  // Signals belong to the main thread.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  base::Result<void> result;
  try {
    threads_.emplace_back([this] { read_loop(); });
    ::pthread_setname_np(threads_.back().native_handle(), "reader");
    threads_.emplace_back([this] { officer_loop(); });
    ::pthread_setname_np(threads_.back().native_handle(), "officer");
    for (uint32_t i = 0; i < workers_; ++i) {
      threads_.emplace_back([this, i] { work_loop(i); });
      ::pthread_setname_np(threads_.back().native_handle(), ("worker-" + std::to_string(i)).c_str());
    }
  } catch (const std::exception& error) {
    result = base::fail(base::Cause::unavailable, std::string("making threads: ") + error.what());
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!result) stop();
  return result;
}

void EpollServer::stop() {
  if (stopping_.exchange(true)) return;
  // Without it the reader would see the end a second later.
  ::eventfd_write(wake_.get(), 1);
  // The reader first: nothing is pushed any more when the lanes close.
  if (!threads_.empty()) threads_.front().join();
  work_.close();
  officer_.close();
  for (size_t i = 1; i < threads_.size(); ++i) threads_[i].join();
  threads_.clear();
  listeners_.clear();
  const std::lock_guard lock(mutex_);
  for (const auto& [id, connection] : connections_) connection->shut();
  connections_.clear();
}

void EpollServer::read_loop() {
  std::array<epoll_event, 64> events;
  int64_t swept = steady_milliseconds();
  while (!stopping_.load(std::memory_order_relaxed)) {
    const milliseconds longest = accepting_ ? kIdleEvery : kAcceptPause;
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), static_cast<int>(longest.count()));
    try {
      for (int i = 0; i < count; ++i) {
        const uint64_t tag = events[i].data.u64;
        if (tag == kWakeTag) continue;
        if (tag >= kListenerTag) {
          accept_from(listeners_[tag - kListenerTag]);
        } else {
          connection_event(tag, events[i].events);
        }
      }
      if (!accepting_ && steady_clock::now() >= accept_again_) pause_accepting(false);
      if (const int64_t now = steady_milliseconds(); now - swept >= kIdleEvery.count()) {
        swept = now;
        close_slow_readers();
      }
    } catch (const std::exception&) {
      // Out of memory. What was not done is still there at the next epoll_wait.
    }
  }
}

void EpollServer::accept_from(Listener& listener) {
  for (int i = 0; i < kAcceptsAtOnce && accepting_; ++i) {
    base::UniqueFd fd(::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
      // The next one waits in the backlog until something is free again; asking at once would only burn time.
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) pause_accepting(true);
      return;
    }
    try {
      admit(std::move(fd), listener.socket_class());
    } catch (const std::exception&) {
      // Out of memory: that peer is closed by now.
      pause_accepting(true);
    }
  }
}

void EpollServer::pause_accepting(bool pause) {
  accepting_ = !pause;
  accept_again_ = steady_clock::now() + kAcceptPause;
  for (size_t i = 0; i < listeners_.size(); ++i) {
    epoll_event event{};
    if (!pause) event.events = EPOLLIN;
    event.data.u64 = kListenerTag + i;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listeners_[i].fd(), &event);
  }
}

void EpollServer::admit(base::UniqueFd fd, uint32_t socket_class) {
  SocketClass& group = classes_[socket_class];
  const SocketOptions& options = group.options;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return;
  const Peer peer{socket_class,    options.class_name, options.officer, next_connection_++,
                  credentials.pid, credentials.uid,    credentials.gid};
  const auto connection = std::make_shared<Connection>(std::move(fd), peer, epoll_.get());
  counters_.connections.fetch_add(1, std::memory_order_relaxed);
  if (!options.allowed_uids.empty() &&
      std::ranges::find(options.allowed_uids, peer.uid) == options.allowed_uids.end()) {
    counters_.denied.fetch_add(1, std::memory_order_relaxed);
    connection->finish(encode_reply({0, Status::denied, "this user may not use this socket"}));
    tell_refused(peer, "user not allowed");
    return;
  }
  if (group.open >= options.connections) {
    counters_.busy.fetch_add(1, std::memory_order_relaxed);
    connection->finish(encode_reply({0, Status::busy, "too many connections to this socket"}));
    tell_refused(peer, "too many connections");
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    connections_.emplace(peer.connection, connection);
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = peer.connection;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection->fd(), &event) != 0) {
    const std::lock_guard lock(mutex_);
    connections_.erase(peer.connection);
    return;
  }
  ++group.open;
  counters_.open.fetch_add(1, std::memory_order_relaxed);
}

std::shared_ptr<Connection> EpollServer::find(uint64_t id) const {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second;
}

void EpollServer::connection_event(uint64_t id, uint32_t events) {
  const std::shared_ptr<Connection> connection = find(id);
  if (!connection) return;
  // After a hang-up nobody reads answers, so what the peer still had asked is not begun.
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) return close_connection(connection);
  if ((events & EPOLLOUT) != 0) connection->flush();
  if ((events & EPOLLIN) == 0) return;
  const ssize_t got = ::recv(connection->fd(), frame_.get(), kMaxFrame, MSG_DONTWAIT | MSG_TRUNC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close_connection(connection);
  const size_t kept = std::min(static_cast<size_t>(got), kMaxFrame);
  try {
    take_frame(connection, {frame_.get(), kept}, static_cast<size_t>(got));
  } catch (const std::exception&) {
    connection->shut();
  }
  ::explicit_bzero(frame_.get(), kept);
}

// take_frame answers or queues one frame of `size` bytes; a longer one than allowed was cut.
void EpollServer::take_frame(const std::shared_ptr<Connection>& connection, std::string_view frame, size_t size) {
  if (connection->gone()) return;
  const auto request =
      size > kMaxFrame ? base::fail(base::Cause::malformed, "request: too long") : decode_request(frame);
  if (!request) {
    counters_.malformed.fetch_add(1, std::memory_order_relaxed);
    Reply reply = refusal(frame);
    if (reply.status == Status::unknown_verb && size <= kMaxFrame) return connection->send(encode_reply(reply));
    if (size > kMaxFrame) reply = {reply.id, Status::malformed, "the frame is too long"};
    connection->finish(encode_reply(reply));
    return tell_refused(connection->peer(), request.error().text());
  }
  counters_.requests.fetch_add(1, std::memory_order_relaxed);
  const uint32_t id = request->header.id;
  const Peer& peer = connection->peer();
  const bool officer = is_officer_verb(request->header.verb);
  if (officer && !peer.officer_socket) {
    counters_.denied.fetch_add(1, std::memory_order_relaxed);
    return connection->send(encode_reply({id, Status::denied, "only an officer's socket takes this"}));
  }
  const auto busy = [&](std::string_view why) {
    counters_.busy.fetch_add(1, std::memory_order_relaxed);
    connection->send(encode_reply({id, Status::busy, std::string(why)}));
  };
  if (!classes_[peer.socket_class].rate.take()) return busy("too many requests a second on this socket");
  if (connection->in_flight.load(std::memory_order_relaxed) >= in_flight_) {
    return busy("too many requests at once on this connection");
  }
  Job job{connection, std::string(frame), steady_clock::now() + milliseconds(request->header.deadline_ms)};
  connection->in_flight.fetch_add(1, std::memory_order_relaxed);
  if ((officer ? officer_ : work_).push(job)) return;
  connection->in_flight.fetch_sub(1, std::memory_order_relaxed);
  wipe_frame(job.frame);
  busy("too many requests are waiting");
}

void EpollServer::close_connection(const std::shared_ptr<Connection>& connection) {
  connection->shut();
  const Peer& peer = connection->peer();
  // First what may fail for want of memory: the officer's session must not outlive its connection.
  if (peer.officer_socket) officer_.push_gone(connection);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection->fd(), nullptr);
  {
    const std::lock_guard lock(mutex_);
    connections_.erase(peer.connection);
  }
  --classes_[peer.socket_class].open;
  counters_.open.fetch_sub(1, std::memory_order_relaxed);
}

void EpollServer::close_slow_readers() {
  std::vector<std::shared_ptr<Connection>> slow;
  {
    const std::lock_guard lock(mutex_);
    const int64_t now = steady_milliseconds();
    for (const auto& [id, connection] : connections_) {
      const int64_t since = connection->waiting_since();
      if (since != 0 && now - since > kSlowReader) slow.push_back(connection);
    }
  }
  for (const auto& connection : slow) {
    connection->shut();
    tell_refused(connection->peer(), "does not read its answers");
  }
}

void EpollServer::tell_refused(const Peer& peer, std::string_view why) {
  if (refusals_.take()) handler_.refused(peer, why);
}

void EpollServer::work_loop(uint32_t number) {
  for (;;) {
    bool closed = false;
    std::optional<Job> job = work_.pop(std::chrono::hours(1), closed);
    if (job) perform(*job, number, running_[number]);
    if (closed && !job) return;
  }
}

void EpollServer::officer_loop() {
  for (;;) {
    bool closed = false;
    std::optional<Job> job = officer_.pop(kIdleEvery, closed);
    try {
      if (job && job->frame.empty()) {
        handler_.closed(job->connection->peer());
      } else if (job) {
        perform(*job, Handler::kOfficerLane, running_.back());
      } else if (!closed) {
        handler_.idle();
      }
    } catch (const std::exception&) {
      // Only closed() and idle() come here; there is nobody to tell.
    }
    if (closed && !job) return;
  }
}

// answer asks the handler, unless it is too late for that.
Reply EpollServer::answer(const Job& job, const Request& request, uint32_t worker, std::atomic<int64_t>& running) {
  if (stopping_.load(std::memory_order_relaxed)) return {0, Status::unavailable, "fipsd is ending"};
  if (steady_clock::now() >= job.deadline) {
    counters_.expired.fetch_add(1, std::memory_order_relaxed);
    return {0, Status::expired, "the request waited longer than its deadline"};
  }
  running.store(steady_milliseconds(), std::memory_order_relaxed);
  Reply reply;
  try {
    reply = handler_.handle(job.connection->peer(), request, worker, job.deadline);
  } catch (const std::exception&) {
    reply = {0, Status::failed, "the request failed"};
  }
  running.store(0, std::memory_order_relaxed);
  if (reply.status == Status::ok && reply.body.size() > kMaxFrame - kReplyHeader) {
    wipe_frame(reply.body);
    return {0, Status::failed, "the answer does not fit into one frame"};
  }
  return reply;
}

// perform handles one request and sends the reply.
void EpollServer::perform(Job& job, uint32_t worker, std::atomic<int64_t>& running) {
  Connection& connection = *job.connection;
  try {
    const auto request = decode_request(job.frame);
    if (request && !connection.gone()) {
      Reply reply = answer(job, *request, worker, running);
      reply.id = request->header.id;
      connection.in_flight.fetch_sub(1, std::memory_order_relaxed);
      connection.send(encode_reply(reply));
      wipe_frame(reply.body);
    }
  } catch (const std::exception&) {
    // Out of memory for the reply: its asker must not wait for it.
    connection.shut();
  }
  wipe_frame(job.frame);
}

void EpollServer::last_word(const Reply& reply, uint64_t except) {
  std::vector<std::shared_ptr<Connection>> officers;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, connection] : connections_) {
      if (connection->peer().officer_socket && id != except) officers.push_back(connection);
    }
  }
  for (const auto& connection : officers) connection->finish(encode_reply({0, reply.status, reply.body}));
}

void EpollServer::send_last_word(uint64_t connection, const Reply& reply) {
  if (const auto found = find(connection)) found->finish(encode_reply({0, reply.status, reply.body}));
}

uint32_t EpollServer::stuck_seconds() const {
  int64_t longest = 0;
  const int64_t now = steady_milliseconds();
  for (const auto& since : running_) {
    const int64_t began = since.load(std::memory_order_relaxed);
    if (began != 0) longest = std::max(longest, now - began);
  }
  return static_cast<uint32_t>(longest / 1000);
}

Server::Counters EpollServer::counters() const {
  const auto get = [](const auto& counter) { return counter.load(std::memory_order_relaxed); };
  return {get(counters_.connections), get(counters_.requests),
          get(counters_.busy),        get(counters_.expired),
          get(counters_.denied),      get(counters_.malformed),
          get(counters_.open),        static_cast<uint32_t>(work_.size() + officer_.size())};
}

}  // namespace

base::Result<std::unique_ptr<Server>> Server::create(ServerOptions options, Handler& handler) {
  if (options.workers == 0 || options.queue == 0 || options.in_flight == 0) {
    return base::fail(base::Cause::misconfigured, "workers, queue and requests in flight must be at least 1");
  }
  auto listeners = open_listeners(options.sockets);
  if (!listeners) return std::unexpected(listeners.error());
  base::UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  base::UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll || !wake) return std::unexpected(base::system_error("epoll", errno));
  return std::make_unique<EpollServer>(std::move(options), std::move(*listeners), handler, std::move(epoll),
                                       std::move(wake));
}

}  // namespace postern::keystore
