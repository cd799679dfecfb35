// SPDX-License-Identifier: Apache-2.0
// The MTA's side of many milter connections; see client.h. One state per connection, moved on by pump() until an answer
// is due; nothing blocks but the connect, whose backlog is the filter's own measure.
#include "test/bench/client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace postern::bench {
namespace {

constexpr size_t kBodyChunk = 65535;
constexpr std::string_view kClientName = "client.example.com";
constexpr std::string_view kClientAddress = "192.0.2.10";

// Macro is one macro of an MTA and the stage it is sent at by default.
struct Macro {
  Stage stage;
  const char* name;
  const char* value;  // nullptr: the queue id
};
constexpr Macro kMacros[] = {
    {Stage::connect, "j", "mx1.example.net"},       {Stage::connect, "{daemon_name}", "mx1.example.net"},
    {Stage::connect, "{daemon_addr}", "192.0.2.1"}, {Stage::connect, "v", "Postfix 3.7.11"},
    {Stage::helo, "{tls_version}", "TLSv1.3"},      {Stage::helo, "{cipher}", "TLS_AES_256_GCM_SHA384"},
    {Stage::helo, "{cipher_bits}", "256"},          {Stage::mail, "{mail_mailer}", "smtp"},
    {Stage::mail, "{mail_host}", "example.com"},    {Stage::rcpt, "{rcpt_mailer}", "smtp"},
    {Stage::rcpt, "{rcpt_host}", "example.org"},    {Stage::data, "i", nullptr},
    {Stage::end_of_header, "i", nullptr},           {Stage::end_of_message, "i", nullptr},
};

int connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  path.copy(address.sun_path, path.size());
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

int connect_inet(const std::string& port_at_host) {
  size_t at = port_at_host.find('@');
  std::string port = port_at_host.substr(0, at);
  std::string host = at == std::string::npos ? "127.0.0.1" : port_at_host.substr(at + 1);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) {
    errno = ENOENT;
    return -1;
  }
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
    ::close(fd);
    fd = -1;
  }
  freeaddrinfo(found);
  return fd;
}

const char* verdict_word(Answer::Kind kind) {
  switch (kind) {
    case Answer::Kind::reject:
      return "reject";
    case Answer::Kind::tempfail:
      return "tempfail";
    case Answer::Kind::discard:
      return "discard";
    default:
      return "accept";
  }
}

}  // namespace

enum class Step : uint8_t {
  negotiate,
  connect,
  helo,
  mail,
  rcpt,
  data,
  headers,
  end_of_header,
  body,
  end_of_body,
  held,
  quit
};

struct Client::Connection {
  // A run of bytes still to be sent: own bytes by offset, or packets shared by all connections.
  struct Segment {
    const std::string* shared;
    size_t offset;
    size_t length;
  };
  int fd = -1;
  Step step = Step::negotiate;
  std::optional<Command> asked;  // an answer to this is due
  Negotiated negotiated;
  std::string own_bytes;
  std::deque<Segment> segments;
  std::string input;
  size_t item = 0;  // header or body packet to send next
  uint32_t variant = 0;
  uint32_t session_messages = 0;
  uint64_t number = 0;
  bool quarantined = false;
  bool in_message = false;
  bool held = false;         // counted among those that reached their place
  bool written_out = false;  // EPOLLOUT is asked for
  std::optional<AnswerCheck> check;
  Clock::time_point message_begin;
  Clock::time_point active;
};

EncodedMail encode_mail(const Mail& mail, bool leading_space) {
  EncodedMail out;
  out.sender = mail.sender;
  out.recipient = mail.recipient;
  for (const auto& [name, value] : mail.headers) {
    std::string data;
    append_text(data, name);
    append_text(data, !leading_space && value.starts_with(' ') ? std::string_view(value).substr(1) : value);
    std::string packet;
    append_packet(packet, Command::header, data);
    out.all_headers += packet;
    out.headers.push_back(std::move(packet));
  }
  for (size_t offset = 0; offset < mail.body.size(); offset += kBodyChunk) {
    std::string packet;
    append_packet(packet, Command::body, std::string_view(mail.body).substr(offset, kBodyChunk));
    out.all_body += packet;
    out.body.push_back(std::move(packet));
  }
  return out;
}

Client::Client(LoadOptions options) : options_(std::move(options)) {}

Client::~Client() {
  for (auto& connection : connections_) {
    close(*connection);
  }
  if (epoll_ >= 0) {
    ::close(epoll_);
  }
}

Mail Client::mail(uint32_t variant) const {
  if (!options_.mails.empty()) return options_.mails[variant % options_.mails.size()];
  return make_mail(options_.seed, variant, options_.size, options_.shape, options_.plant);
}

const EncodedMail& Client::mail_for(const Connection& connection) {
  std::pair<uint32_t, bool> key{connection.variant, connection.negotiated.has(kLeadingSpace)};
  auto found = mails_.find(key);
  if (found == mails_.end()) {
    found = mails_.emplace(key, encode_mail(mail(key.first), key.second)).first;
  }
  return found->second;
}

bool Client::open(Connection& connection, std::string& problem) {
  bool local = options_.socket.starts_with("unix:");
  connection.fd = local ? connect_unix(options_.socket.substr(5))
                        : connect_inet(options_.socket.substr(options_.socket.find(':') + 1));
  if (connection.fd < 0) {
    problem = options_.socket + ": " + std::strerror(errno);
    return false;
  }
  fcntl(connection.fd, F_SETFL, O_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &connection;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
  connection.step = Step::negotiate;
  connection.session_messages = 0;
  connection.asked.reset();
  connection.written_out = false;
  connection.input.clear();
  connection.segments.clear();
  connection.own_bytes.clear();
  return true;
}

void Client::close(Connection& connection) {
  if (connection.fd >= 0) {
    ::close(connection.fd);
    connection.fd = -1;
  }
}

bool Client::silent(const Connection& connection, uint32_t bit) const { return connection.negotiated.has(bit); }

bool Client::more_wanted() const {
  if (options_.messages != 0) {
    return started_ < options_.messages;
  }
  return Clock::now() - begin_ < std::chrono::duration<double>(options_.seconds);
}

void Client::own(Connection& connection, Command command, std::string_view data) {
  size_t before = connection.own_bytes.size();
  append_packet(connection.own_bytes, command, data);
  size_t added = connection.own_bytes.size() - before;
  auto& segments = connection.segments;
  if (!options_.each_packet && !segments.empty() && segments.back().shared == nullptr) {
    segments.back().length += added;
  } else {
    segments.push_back({nullptr, before, added});
  }
}

void Client::shared(Connection& connection, const std::string& packets) {
  if (!packets.empty()) {
    connection.segments.push_back({&packets, 0, packets.size()});
  }
}

void Client::macros(Connection& connection, Command command, Stage stage) {
  std::string id = "4F" + std::to_string(1'000'000 + connection.number);
  std::string data(1, static_cast<char>(command));
  auto list = connection.negotiated.symbols.find(static_cast<int>(stage));
  for (const Macro& macro : kMacros) {
    bool wanted = list == connection.negotiated.symbols.end()
                      ? macro.stage == stage
                      : std::ranges::find(list->second, macro.name) != list->second.end() &&
                            (macro.value != nullptr || macro.stage == Stage::data);
    // A queue id exists from DATA on, and is asked for at several stages by the same name.
    bool known = macro.value != nullptr || stage == Stage::data || stage >= Stage::end_of_message;
    if (wanted && known) {
      append_text(data, macro.name);
      append_text(data, macro.value != nullptr ? macro.value : id);
    }
  }
  if (stage == Stage::mail || stage == Stage::rcpt) {
    const EncodedMail& mail = mail_for(connection);
    append_text(data, stage == Stage::mail ? "{mail_addr}" : "{rcpt_addr}");
    append_text(data, stage == Stage::mail ? mail.sender : mail.recipient);
  }
  if (data.size() > 1) {
    own(connection, Command::macros, data);
  }
}

void Client::ask(Connection& connection, Command command) {
  connection.asked = command;
  connection.active = Clock::now();
}

// pump queues packets until an answer is due, then sends them.
bool Client::pump(Connection& connection, std::string& problem) {
  std::string data;
  while (!connection.asked && connection.fd >= 0) {
    switch (connection.step) {
      case Step::negotiate:
        put_u32(data, kVersion);
        put_u32(data, options_.actions);
        put_u32(data, options_.steps);
        own(connection, Command::negotiate, data);
        ask(connection, Command::negotiate);
        break;
      case Step::connect:
        connection.step = Step::helo;
        if (silent(connection, kNoConnect)) {
          break;
        }
        macros(connection, Command::connect, Stage::connect);
        data.clear();
        append_text(data, kClientName);
        data.push_back('4');
        data.push_back(static_cast<char>(45000 >> 8));
        data.push_back(static_cast<char>(45000 & 0xff));
        append_text(data, kClientAddress);
        own(connection, Command::connect, data);
        if (!silent(connection, kSilentConnect)) {
          ask(connection, Command::connect);
        }
        break;
      case Step::helo:
        connection.step = options_.hold == Hold::helo ? Step::held : Step::mail;
        if (silent(connection, kNoHelo)) {
          break;
        }
        macros(connection, Command::helo, Stage::helo);
        data.clear();
        append_text(data, kClientName);
        own(connection, Command::helo, data);
        if (!silent(connection, kSilentHelo)) {
          ask(connection, Command::helo);
        }
        break;
      case Step::mail: {
        if (options_.hold == Hold::none && (!more_wanted() || connection.session_messages >= options_.per_session)) {
          connection.step = Step::quit;
          break;
        }
        if (connection.session_messages > 0 && !options_.each_packet) {
          own(connection, Command::abort, {});
        }
        connection.number = started_++;
        connection.variant = static_cast<uint32_t>(connection.number % options_.variants);
        ++connection.session_messages;
        connection.in_message = true;
        connection.quarantined = false;
        connection.check.emplace(connection.negotiated);
        connection.item = 0;
        const EncodedMail& mail = mail_for(connection);
        connection.message_begin = Clock::now();
        connection.step = Step::rcpt;
        if (silent(connection, kNoMail)) {
          break;
        }
        macros(connection, Command::mail, Stage::mail);
        data.clear();
        append_text(data, "<" + mail.sender + ">");
        append_text(data, "SIZE=" + std::to_string(options_.size));
        own(connection, Command::mail, data);
        if (!silent(connection, kSilentMail)) {
          ask(connection, Command::mail);
        }
        break;
      }
      case Step::rcpt:
        connection.step = Step::data;
        if (silent(connection, kNoRcpt)) {
          break;
        }
        macros(connection, Command::rcpt, Stage::rcpt);
        data.clear();
        append_text(data, "<" + mail_for(connection).recipient + ">");
        own(connection, Command::rcpt, data);
        if (!silent(connection, kSilentRcpt)) {
          ask(connection, Command::rcpt);
        }
        break;
      case Step::data:
        connection.step = Step::headers;
        if (silent(connection, kNoData)) {
          break;
        }
        macros(connection, Command::data, Stage::data);
        own(connection, Command::data, {});
        if (!silent(connection, kSilentData)) {
          ask(connection, Command::data);
        }
        break;
      case Step::headers: {
        const EncodedMail& mail = mail_for(connection);
        bool done = silent(connection, kNoHeaders) || connection.item == mail.headers.size();
        if (!done && silent(connection, kSilentHeader) && !options_.each_packet) {
          shared(connection, mail.all_headers);
          done = true;
        }
        if (done) {
          connection.item = 0;
          connection.step = Step::end_of_header;
          break;
        }
        shared(connection, mail.headers[connection.item++]);
        if (!silent(connection, kSilentHeader)) {
          ask(connection, Command::header);
        }
        break;
      }
      case Step::end_of_header:
        connection.step = Step::body;
        if (silent(connection, kNoEndOfHeader)) {
          break;
        }
        macros(connection, Command::end_of_header, Stage::end_of_header);
        own(connection, Command::end_of_header, {});
        if (!silent(connection, kSilentEndOfHeader)) {
          ask(connection, Command::end_of_header);
        }
        break;
      case Step::body: {
        const EncodedMail& mail = mail_for(connection);
        bool done = silent(connection, kNoBody) || connection.item == mail.body.size();
        if (!done && silent(connection, kSilentBody) && !options_.each_packet) {
          shared(connection, mail.all_body);
          done = true;
        }
        if (done) {
          connection.step = options_.hold == Hold::body ? Step::held : Step::end_of_body;
          break;
        }
        shared(connection, mail.body[connection.item++]);
        if (!silent(connection, kSilentBody)) {
          ask(connection, Command::body);
        }
        break;
      }
      case Step::end_of_body:
        macros(connection, Command::end_of_body, Stage::end_of_message);
        own(connection, Command::end_of_body, {});
        ask(connection, Command::end_of_body);
        break;
      case Step::held:
        held_ += connection.held ? 0 : 1;
        connection.held = true;
        return flush(connection, problem);
      case Step::quit:
        own(connection, Command::quit, {});
        ask(connection, Command::quit);  // the answer is the end of the connection
        break;
    }
  }
  return flush(connection, problem);
}

bool Client::flush(Connection& connection, std::string& problem) {
  auto& segments = connection.segments;
  while (!segments.empty() && connection.fd >= 0) {
    std::array<iovec, 64> vectors;
    size_t most = options_.each_packet ? 1 : vectors.size();
    size_t count = 0;
    for (auto segment = segments.begin(); segment != segments.end() && count < most; ++segment) {
      const std::string& bytes = segment->shared != nullptr ? *segment->shared : connection.own_bytes;
      vectors[count++] = {const_cast<char*>(bytes.data()) + segment->offset, segment->length};
    }
    msghdr header{};
    header.msg_iov = vectors.data();
    header.msg_iovlen = count;
    ssize_t sent = sendmsg(connection.fd, &header, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) {
      continue;
    }
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      break;
    }
    if (sent < 0) {
      problem = "the filter closed the connection: " + std::string(std::strerror(errno));
      return false;
    }
    connection.active = Clock::now();
    for (auto left = static_cast<size_t>(sent); left > 0;) {
      auto& front = segments.front();
      size_t part = std::min(left, front.length);
      front.offset += part;
      front.length -= part;
      left -= part;
      if (front.length == 0) {
        segments.pop_front();
      }
    }
  }
  if (segments.empty()) {
    connection.own_bytes.clear();
    if (connection.asked == Command::quit) {
      ::shutdown(connection.fd, SHUT_WR);
    }
  }
  if (connection.fd >= 0 && connection.written_out == segments.empty()) {
    connection.written_out = !segments.empty();
    epoll_event event{};
    event.events = connection.written_out ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.ptr = &connection;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
  }
  return true;
}

bool Client::receive(Connection& connection, std::string& problem) {
  char buffer[16384];
  ssize_t got = recv(connection.fd, buffer, sizeof buffer, 0);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    return true;
  }
  bool quitting = connection.asked == Command::quit;
  if (got <= 0) {
    if (quitting && connection.input.empty()) {
      close(connection);
      connection.asked.reset();
      return !more_wanted() || options_.hold != Hold::none || (open(connection, problem) && pump(connection, problem));
    }
    problem = "the filter closed the connection";
    if (connection.asked) {
      problem += " where an answer to '" + std::string(1, static_cast<char>(*connection.asked)) + "' was due";
    }
    return false;
  }
  connection.active = Clock::now();
  connection.input.append(buffer, static_cast<size_t>(got));
  std::string_view rest = connection.input;
  while (true) {
    auto frame = next_frame(rest, problem);
    if (!problem.empty()) {
      return false;
    }
    if (!frame) {
      break;
    }
    if (!take(connection, *frame, problem)) {
      return false;
    }
  }
  connection.input.erase(0, connection.input.size() - rest.size());
  return connection.asked.has_value() || pump(connection, problem);
}

// take judges one frame; what follows from it is done by the next pump().
bool Client::take(Connection& connection, const Frame& frame, std::string& problem) {
  if (!connection.asked || *connection.asked == Command::quit || !connection.segments.empty()) {
    problem = "an answer that nothing asked for";
    return false;
  }
  Command asked = *connection.asked;
  if (asked == Command::negotiate) {
    auto agreed = parse_negotiation(frame, options_.actions, options_.steps, problem);
    if (!agreed) {
      return false;
    }
    connection.negotiated = std::move(*agreed);
    if (!report_.negotiated) {
      report_.negotiated = connection.negotiated;
    }
    connection.asked.reset();
    connection.step = Step::connect;
    return true;
  }
  AnswerCheck before_message(connection.negotiated);
  AnswerCheck& check = connection.check ? *connection.check : before_message;
  auto answer = check.check(frame, asked, problem);
  if (!answer) {
    return false;
  }
  if (answer->kind == Answer::Kind::progress) {
    return true;
  }
  if (answer->kind == Answer::Kind::change) {
    ++report_.changes[std::string(1, answer->letter)];
    if (!answer->header.empty()) {
      ++report_.header_changes[answer->header];
    }
    connection.quarantined = connection.quarantined || answer->letter == 'q';
    return true;
  }
  connection.asked.reset();
  if (answer->kind == Answer::Kind::skip) {
    connection.item = mail_for(connection).body.size();
    return true;
  }
  if (asked == Command::end_of_body || answer->kind != Answer::Kind::proceed) {
    finish_message(connection, answer->kind);
    bool session_over = asked == Command::connect || asked == Command::helo;
    connection.step = session_over ? Step::quit : Step::mail;
  }
  return true;
}

void Client::finish_message(Connection& connection, Answer::Kind kind) {
  if (!connection.in_message) {  // decided at connect or HELO: counts as one message
    ++started_;
    connection.message_begin = connection.active;
  }
  connection.in_message = false;
  connection.check.reset();
  auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - connection.message_begin);
  report_.latencies_us.push_back(static_cast<uint32_t>(std::min<int64_t>(took.count(), UINT32_MAX)));
  ++report_.messages;
  bool held = connection.quarantined && (kind == Answer::Kind::proceed || kind == Answer::Kind::accept);
  ++report_.verdicts[held ? "quarantine" : verdict_word(kind)];
}

bool Client::hold_until_input_ends(std::string& problem) {
  std::printf("ready\n");
  std::fflush(stdout);
  while (true) {
    pollfd both[2] = {{STDIN_FILENO, POLLIN, 0}, {epoll_, POLLIN, 0}};
    poll(both, 2, -1);
    if ((both[1].revents & POLLIN) != 0) {
      problem = "the filter closed a held connection, or spoke unasked";
      return false;
    }
    char ignored[256];
    if ((both[0].revents & (POLLIN | POLLHUP)) != 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0) {
      break;
    }
  }
  for (auto& connection : connections_) {
    connection->step = Step::quit;
    if (!pump(*connection, problem)) {
      return false;
    }
  }
  held_ = 0;
  return true;
}

bool Client::run(std::string& problem, bool& unreachable) {
  unreachable = false;
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  begin_ = Clock::now();
  // The mails are made before the clock runs, in both forms a filter may ask for.
  for (uint32_t variant = 0; variant < options_.variants; ++variant) {
    mails_.emplace(std::pair{variant, true}, encode_mail(mail(variant), true));
  }
  begin_ = Clock::now();
  uint32_t wanted = options_.connections;
  if (options_.messages != 0 && options_.hold == Hold::none) {
    wanted = std::min(wanted, options_.messages);
  }
  for (uint32_t i = 0; i < wanted; ++i) {
    connections_.push_back(std::make_unique<Connection>());
    if (!open(*connections_.back(), problem)) {
      unreachable = true;
      return false;
    }
    if (!pump(*connections_.back(), problem)) {
      return false;
    }
  }
  auto is_open = [](const auto& connection) { return connection->fd >= 0; };
  while (std::ranges::any_of(connections_, is_open)) {
    std::array<epoll_event, 64> events;
    int count = epoll_wait(epoll_, events.data(), events.size(), 500);
    for (int i = 0; i < count; ++i) {
      auto& connection = *static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr);
      uint32_t what = events[static_cast<size_t>(i)].events;
      if ((what & EPOLLOUT) != 0 && !flush(connection, problem)) {
        return false;
      }
      if ((what & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && connection.fd >= 0 && !receive(connection, problem)) {
        return false;
      }
    }
    if (options_.hold != Hold::none && held_ == connections_.size() &&
        std::ranges::all_of(connections_, [](const auto& one) { return one->segments.empty(); })) {
      if (!hold_until_input_ends(problem)) {
        return false;
      }
    }
    if (count == 0) {
      auto oldest =
          Clock::now() - std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options_.timeout));
      for (auto& connection : connections_) {
        bool due = connection->asked.has_value() || !connection->segments.empty();
        if (connection->fd >= 0 && due && connection->active < oldest) {
          problem = "no answer in time";
          if (connection->asked) {
            problem += " to '" + std::string(1, static_cast<char>(*connection->asked)) + "'";
          }
          return false;
        }
      }
    }
  }
  report_.seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
  return true;
}

}  // namespace postern::bench
