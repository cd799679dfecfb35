// SPDX-License-Identifier: Apache-2.0
// The server's threads. Connections of consumers are in one epoll set, where idle workers wait: the kernel wakes one of
// them, which reads one request and handles it. Officers' connections and the listening sockets are in another, the
// reader's, because their order counts. While no worker is idle the reader looks at the consumers' set every few
// milliseconds and puts what is there into the lane that workers look into first. The table of connections, counts and
// rates are under one mutex; everybody writes replies.
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
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
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
constexpr milliseconds kTick{10};     // how long a request waits at most to be seen when no worker is idle
constexpr uint32_t kQuietTicks = 2;   // after so many with an idle worker the reader sleeps until it is woken
constexpr int kAtOnce = 64;           // events taken at once
constexpr double kRefusalsTold = 10;  // a second

int64_t steady_milliseconds() {
  return std::chrono::duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

// Bucket is a token bucket that holds one second's worth; 0: everything passes.
class Bucket {
 public:
  explicit Bucket(double rate) : rate_(rate), tokens_(rate) {}
  bool take() {
    if (rate_ <= 0) return true;
    const std::lock_guard lock(mutex_);
    const auto now = steady_clock::now();
    tokens_ = std::min(rate_, tokens_ + rate_ * std::chrono::duration<double>(now - last_).count());
    last_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  const double rate_;
  std::mutex mutex_;
  double tokens_;
  steady_clock::time_point last_ = steady_clock::now();
};

struct SocketClass {
  explicit SocketClass(SocketOptions from) : options(std::move(from)), rate(options.rate) {}
  const SocketOptions options;
  Bucket rate;
  std::atomic<uint32_t> open{0};
};

struct AtomicCounters {
  std::atomic<uint64_t> connections{0}, requests{0}, busy{0}, expired{0}, denied{0}, malformed{0};
};

// Descriptors are what the server waits with: the reader's epoll set and what wakes it from there, the same for
// workers.
struct Descriptors {
  base::UniqueFd reader_epoll{::epoll_create1(EPOLL_CLOEXEC)};
  base::UniqueFd reader_wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  base::UniqueFd work_epoll{::epoll_create1(EPOLL_CLOEXEC)};
  base::UniqueFd work_wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)};
  bool complete() const { return reader_epoll && reader_wake && work_epoll && work_wake; }
};

class EpollServer final : public Server {
 public:
  EpollServer(ServerOptions options, std::vector<Listener> listeners, Handler& handler, Descriptors descriptors)
      : in_flight_(options.in_flight),
        workers_(options.workers),
        unread_ms_(options.unread_ms),
        handler_(handler),
        fds_(std::move(descriptors)),
        listeners_(std::move(listeners)),
        work_(options.queue),
        officer_(options.queue),
        running_(options.workers + 1) {
    for (SocketOptions& socket : options.sockets) classes_.emplace_back(std::move(socket));
  }
  ~EpollServer() override { stop(); }

  base::Result<void> start() override;
  void stop() override;
  void last_word(const Reply& reply, uint64_t except) override;
  void send_last_word(uint64_t connection, const Reply& reply) override;
  uint32_t stuck_seconds() const override;
  Counters counters() const override;

 private:
  static constexpr uint32_t kReader =
      Handler::kOfficerLane - 1;  // as a worker's number: the thread that performs nothing

  // Reader thread.
  void read_loop();
  void accept_from(Listener& listener);
  void admit(base::UniqueFd fd, uint32_t socket_class);
  void pause_accepting(bool pause);
  void take_waiting(std::span<char> buffer);
  void close_slow_readers();

  // Workers and officer thread.
  void work_loop(uint32_t number);
  void officer_loop();
  Reply answer(const Peer& peer, const Request& request, uint32_t worker, steady_clock::time_point deadline);
  void perform(Connection& connection, const Request& request, uint32_t worker, steady_clock::time_point deadline);
  void perform(Job& job, uint32_t worker);

  // Who reads: reader or worker.
  void connection_event(const epoll_event& event, std::span<char> buffer, uint32_t worker);
  std::optional<Request> take_frame(const std::shared_ptr<Connection>& connection, std::string_view frame, size_t size,
                                    uint32_t worker, steady_clock::time_point arrived);
  void close_connection(const std::shared_ptr<Connection>& connection);
  void tell_refused(const Peer& peer, std::string_view why);
  std::shared_ptr<Connection> find(uint64_t id) const;

  const uint32_t in_flight_;
  const uint32_t workers_;
  const int64_t unread_ms_;
  Handler& handler_;
  const Descriptors fds_;
  std::vector<Listener> listeners_;
  std::deque<SocketClass> classes_;
  Lane work_;
  Lane officer_;
  std::vector<std::atomic<int64_t>> running_;  // when each thread's handle() began, steady milliseconds; 0: idle
  std::atomic<uint32_t> idle_{0};              // workers that wait for events
  std::atomic<bool> reader_asleep_{false};     // it must be woken when no worker is idle
  Bucket refusals_{kRefusalsTold};

  // The reader's own.
  uint64_t next_connection_ = 1;
  bool accepting_ = true;
  steady_clock::time_point accept_again_;

  mutable std::mutex mutex_;  // of the table
  std::unordered_map<uint64_t, std::shared_ptr<Connection>> connections_;

  AtomicCounters counters_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

base::Result<void> EpollServer::start() {
  const auto watch = [](const base::UniqueFd& epoll, int fd, uint64_t tag) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = tag;
    return ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  };
  bool watched = watch(fds_.reader_epoll, fds_.reader_wake.get(), kWakeTag) &&
                 watch(fds_.work_epoll, fds_.work_wake.get(), kWakeTag);
  for (size_t i = 0; i < listeners_.size(); ++i) {
    watched = watched && watch(fds_.reader_epoll, listeners_[i].fd(), kListenerTag + i);
  }
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
  ::eventfd_write(fds_.reader_wake.get(), 1);
  // The reader first: it pushes nothing any more when the lanes close.
  if (!threads_.empty()) threads_.front().join();
  work_.close();
  officer_.close();
  ::eventfd_write(fds_.work_wake.get(), workers_);
  for (size_t i = 1; i < threads_.size(); ++i) threads_[i].join();
  threads_.clear();
  listeners_.clear();
  const std::lock_guard lock(mutex_);
  for (const auto& [id, connection] : connections_) connection->shut();
  connections_.clear();
}

void EpollServer::read_loop() {
  const auto bytes = std::make_unique_for_overwrite<char[]>(kMaxFrame);
  const std::span<char> buffer(bytes.get(), kMaxFrame);
  std::array<epoll_event, kAtOnce> events;
  int64_t swept = steady_milliseconds();
  bool ticking = false;
  uint32_t quiet = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (!ticking) {
      // A worker that becomes the last busy one after this sees that the reader must be woken; before, it is seen here.
      reader_asleep_.store(true);
      ticking = idle_.load() == 0;
    }
    const milliseconds longest = ticking ? kTick : accepting_ ? kIdleEvery : kAcceptPause;
    const int count = ::epoll_wait(fds_.reader_epoll.get(), events.data(), kAtOnce, static_cast<int>(longest.count()));
    if (!reader_asleep_.exchange(false)) ticking = true;
    // Hang-ups first: whoever asks after an officer's connection went must find that officer's session ended.
    std::partition(events.begin(), events.begin() + std::max(count, 0),
                   [](const epoll_event& event) { return (event.events & (EPOLLHUP | EPOLLERR)) != 0; });
    try {
      for (int i = 0; i < count; ++i) {
        const uint64_t tag = events[i].data.u64;
        if (tag == kWakeTag) {
          eventfd_t ignored = 0;
          ::eventfd_read(fds_.reader_wake.get(), &ignored);
        } else if (tag >= kListenerTag) {
          accept_from(listeners_[tag - kListenerTag]);
        } else {
          connection_event(events[i], buffer, kReader);
        }
      }
      if (ticking && idle_.load() == 0) {
        quiet = 0;
        take_waiting(buffer);
      } else if (ticking && ++quiet > kQuietTicks) {
        ticking = false;
        quiet = 0;
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

// take_waiting queues what consumers sent while every worker was busy.
void EpollServer::take_waiting(std::span<char> buffer) {
  std::array<epoll_event, kAtOnce> events;
  for (int rounds = 0; rounds < kAtOnce; ++rounds) {
    const int count = ::epoll_wait(fds_.work_epoll.get(), events.data(), kAtOnce, 0);
    bool found = false;
    for (int i = 0; i < count; ++i) {
      if (events[i].data.u64 == kWakeTag) continue;  // meant for a worker
      found = true;
      connection_event(events[i], buffer, kReader);
    }
    if (!found) return;
  }
}

void EpollServer::accept_from(Listener& listener) {
  for (int i = 0; i < kAtOnce && accepting_; ++i) {
    base::UniqueFd fd(::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
      // The next one waits in the backlog until something is free again; asking at once would only burn time.
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) pause_accepting(true);
      return;
    }
    admit(std::move(fd), listener.socket_class());
  }
}

void EpollServer::pause_accepting(bool pause) {
  accepting_ = !pause;
  accept_again_ = steady_clock::now() + kAcceptPause;
  for (size_t i = 0; i < listeners_.size(); ++i) {
    epoll_event event{};
    if (!pause) event.events = EPOLLIN;
    event.data.u64 = kListenerTag + i;
    ::epoll_ctl(fds_.reader_epoll.get(), EPOLL_CTL_MOD, listeners_[i].fd(), &event);
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
  const base::UniqueFd& epoll = options.officer ? fds_.reader_epoll : fds_.work_epoll;
  const auto connection = std::make_shared<Connection>(std::move(fd), peer, epoll.get(), !options.officer);
  counters_.connections.fetch_add(1, std::memory_order_relaxed);
  if (!options.allowed_uids.empty() &&
      std::ranges::find(options.allowed_uids, peer.uid) == options.allowed_uids.end()) {
    counters_.denied.fetch_add(1, std::memory_order_relaxed);
    tell_refused(peer, "user not allowed");
    return connection->finish(encode_reply({0, Status::denied, "this user may not use this socket"}));
  }
  if (group.open.load() >= options.connections) {
    counters_.busy.fetch_add(1, std::memory_order_relaxed);
    tell_refused(peer, "too many connections");
    return connection->finish(encode_reply({0, Status::busy, "too many connections to this socket"}));
  }
  {
    const std::lock_guard lock(mutex_);
    connections_.emplace(peer.connection, connection);
    group.open.fetch_add(1);
  }
  if (!connection->watch()) close_connection(connection);
}

std::shared_ptr<Connection> EpollServer::find(uint64_t id) const {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second;
}

// connection_event reads one frame, or sends what waits, or lets the connection go. A worker also performs what it
// read.
void EpollServer::connection_event(const epoll_event& event, std::span<char> buffer, uint32_t worker) {
  const std::shared_ptr<Connection> connection = find(event.data.u64);
  if (!connection) return;
  // After a hang-up nobody reads answers, so what the peer still had asked is not begun.
  if ((event.events & (EPOLLHUP | EPOLLERR)) != 0) return close_connection(connection);
  if ((event.events & EPOLLOUT) != 0) return connection->flush();
  const ssize_t got = ::recv(connection->fd(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return connection->arm();
  if (got <= 0) return close_connection(connection);
  const auto arrived = steady_clock::now();
  const std::span<char> kept = buffer.first(std::min(static_cast<size_t>(got), buffer.size()));
  std::optional<Request> mine;
  try {
    mine = take_frame(connection, {kept.data(), kept.size()}, static_cast<size_t>(got), worker, arrived);
  } catch (const std::exception&) {
    connection->shut();
  }
  connection->arm();
  if (mine) perform(*connection, *mine, worker, arrived + milliseconds(mine->header.deadline_ms));
  ::explicit_bzero(kept.data(), kept.size());
}

// take_frame answers or queues one frame of `size` bytes (a longer one than allowed was cut), or returns the request
// for the worker to perform.
std::optional<Request> EpollServer::take_frame(const std::shared_ptr<Connection>& connection, std::string_view frame,
                                               size_t size, uint32_t worker, steady_clock::time_point arrived) {
  if (connection->gone()) return std::nullopt;
  const auto request =
      size > kMaxFrame ? base::fail(base::Cause::malformed, "request: too long") : decode_request(frame);
  const Peer& peer = connection->peer();
  if (!request) {
    counters_.malformed.fetch_add(1, std::memory_order_relaxed);
    Reply reply = refusal(frame);
    if (size > kMaxFrame) reply = {reply.id, Status::malformed, "the frame is too long"};
    if (reply.status == Status::unknown_verb) {
      connection->send(encode_reply(reply));
    } else {
      tell_refused(peer, request.error().text());
      connection->finish(encode_reply(reply));
    }
    return std::nullopt;
  }
  counters_.requests.fetch_add(1, std::memory_order_relaxed);
  const auto refuse = [&](std::atomic<uint64_t>& counter, Status status, std::string text) {
    counter.fetch_add(1, std::memory_order_relaxed);
    connection->send(encode_reply({request->header.id, status, std::move(text)}));
    return std::nullopt;
  };
  const bool officer = is_officer_verb(request->header.verb);
  if (officer && !peer.officer_socket) {
    return refuse(counters_.denied, Status::denied, "only an officer's socket takes this");
  }
  if (!classes_[peer.socket_class].rate.take()) {
    return refuse(counters_.busy, Status::busy, "too many requests a second on this socket");
  }
  if (connection->in_flight.fetch_add(1) >= in_flight_) {
    connection->in_flight.fetch_sub(1);
    return refuse(counters_.busy, Status::busy, "too many requests at once on this connection");
  }
  if (worker != kReader && !officer) return *request;
  Job job{connection, std::string(frame), arrived + milliseconds(request->header.deadline_ms)};
  if (!(officer ? officer_ : work_).push(job)) {
    connection->in_flight.fetch_sub(1);
    wipe_frame(job.frame);
    return refuse(counters_.busy, Status::busy, "too many requests are waiting");
  }
  // A worker that becomes idle after this looks into the lane first.
  if (!officer && idle_.load() > 0) ::eventfd_write(fds_.work_wake.get(), 1);
  return std::nullopt;
}

void EpollServer::close_connection(const std::shared_ptr<Connection>& connection) {
  connection->shut();
  const Peer& peer = connection->peer();
  // First what may fail for want of memory: the officer's session must not outlive its connection.
  if (peer.officer_socket) officer_.push_gone(connection);
  connection->unwatch();
  const std::lock_guard lock(mutex_);
  if (connections_.erase(peer.connection) == 1) classes_[peer.socket_class].open.fetch_sub(1);
}

void EpollServer::close_slow_readers() {
  std::vector<std::shared_ptr<Connection>> slow;
  {
    const std::lock_guard lock(mutex_);
    const int64_t now = steady_milliseconds();
    for (const auto& [id, connection] : connections_) {
      const int64_t since = connection->waiting_since();
      if (since != 0 && now - since > unread_ms_) slow.push_back(connection);
    }
  }
  for (const auto& connection : slow) {
    tell_refused(connection->peer(), "does not read its answers");
    connection->shut();
  }
}

void EpollServer::tell_refused(const Peer& peer, std::string_view why) {
  if (refusals_.take()) handler_.refused(peer, why);
}

void EpollServer::work_loop(uint32_t number) {
  const auto bytes = std::make_unique_for_overwrite<char[]>(kMaxFrame);
  for (;;) {
    bool closed = false;
    if (std::optional<Job> job = work_.try_pop(closed)) {
      perform(*job, number);
      continue;
    }
    if (closed) return;
    idle_.fetch_add(1);
    epoll_event event{};
    int count = 0;
    // What was pushed before idle_ counted this worker came without a wake-up.
    if (work_.size() == 0) count = ::epoll_wait(fds_.work_epoll.get(), &event, 1, -1);
    if (idle_.fetch_sub(1) == 1 && reader_asleep_.exchange(false)) ::eventfd_write(fds_.reader_wake.get(), 1);
    if (count <= 0) continue;
    if (event.data.u64 == kWakeTag) {
      eventfd_t ignored = 0;
      ::eventfd_read(fds_.work_wake.get(), &ignored);
      continue;
    }
    try {
      connection_event(event, {bytes.get(), kMaxFrame}, number);
    } catch (const std::exception&) {
      // Whatever it was, the other connections still have this worker.
    }
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
        perform(*job, Handler::kOfficerLane);
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
Reply EpollServer::answer(const Peer& peer, const Request& request, uint32_t worker,
                          steady_clock::time_point deadline) {
  if (stopping_.load(std::memory_order_relaxed)) return {0, Status::unavailable, "fipsd is ending"};
  if (steady_clock::now() >= deadline) {
    counters_.expired.fetch_add(1, std::memory_order_relaxed);
    return {0, Status::expired, "the request waited longer than its deadline"};
  }
  std::atomic<int64_t>& running = worker == Handler::kOfficerLane ? running_.back() : running_[worker];
  running.store(steady_milliseconds(), std::memory_order_relaxed);
  Reply reply;
  try {
    reply = handler_.handle(peer, request, worker, deadline);
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
void EpollServer::perform(Connection& connection, const Request& request, uint32_t worker,
                          steady_clock::time_point deadline) {
  if (connection.gone()) return;
  try {
    Reply reply = answer(connection.peer(), request, worker, deadline);
    reply.id = request.header.id;
    connection.in_flight.fetch_sub(1);
    connection.send(encode_reply(reply));
    wipe_frame(reply.body);
  } catch (const std::exception&) {
    // Out of memory for the reply: its asker must not wait for it.
    connection.shut();
  }
}

void EpollServer::perform(Job& job, uint32_t worker) {
  if (const auto request = decode_request(job.frame)) perform(*job.connection, *request, worker, job.deadline);
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
  Counters now{get(counters_.connections), get(counters_.requests), get(counters_.busy),
               get(counters_.expired),     get(counters_.denied),   get(counters_.malformed)};
  for (const SocketClass& one : classes_) now.open += get(one.open);
  now.queued = static_cast<uint32_t>(work_.size() + officer_.size());
  return now;
}

}  // namespace

base::Result<std::unique_ptr<Server>> Server::create(ServerOptions options, Handler& handler) {
  if (options.workers == 0 || options.queue == 0 || options.in_flight == 0) {
    return base::fail(base::Cause::misconfigured, "workers, queue and requests in flight must be at least 1");
  }
  auto listeners = open_listeners(options.sockets);
  if (!listeners) return std::unexpected(listeners.error());
  Descriptors descriptors;
  if (!descriptors.complete()) return std::unexpected(base::system_error("epoll", errno));
  return std::make_unique<EpollServer>(std::move(options), std::move(*listeners), handler, std::move(descriptors));
}

}  // namespace postern::keystore
