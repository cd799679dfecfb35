// SPDX-License-Identifier: Apache-2.0
// libldap over a transport of ours. RFC 4511; StartTLS RFC 4511 section 4.14, RFC 4513 section 3. Notes: libldap would
// open a connection of its own, by the address it was given and without our TLS, when it loses the one it has; so it is
// given an address where nobody can be. Its readers of answers (ldap_get_values_len and the like) are memory-safe on
// what ber_get_next accepted, and that is bounded here.
#include "engine/directory/ldap.h"

#include <fcntl.h>
#include <lber.h>
#include <ldap.h>
#include <openldap.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "engine/base/handle.h"
#include "engine/base/io.h"
#include "engine/base/text.h"
#include "engine/directory/socket.h"

namespace postern::directory {
namespace {

using base::Cause;
using base::fail;

constexpr const char* kNowhere = "ldapi://%2Fdev%2Fnull%2Fnowhere";
constexpr size_t kWindow = 32;  // questions in flight; servers close connections on which too many wait
constexpr size_t kMaxSecret = 4096;

using MessageHandle = base::Handle<LDAPMessage, ldap_msgfree>;

timeval left_until(Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now()).count();
  const long long bounded = std::max<long long>(left, 0);
  return {static_cast<time_t>(bounded / 1'000'000), static_cast<suseconds_t>(bounded % 1'000'000)};
}

std::string server_text(const char* message) {
  if (message == nullptr || *message == '\0') return {};
  return " (" + base::escape_for_log(message, 200) + ")";
}

// read_secret reads a credential file: its one line.
base::Result<std::string> read_secret(const std::string& path) {
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::unexpected(base::system_error(path, errno));
  std::string secret(kMaxSecret + 1, '\0');
  size_t size = 0;
  for (;;) {
    const ssize_t got = ::read(file.get(), secret.data() + size, secret.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(base::system_error(path, errno));
    if (got == 0) break;
    size += static_cast<size_t>(got);
    if (size == secret.size()) return fail(Cause::misconfigured, path + ": longer than 4096 bytes");
  }
  while (size > 0 && (secret[size - 1] == '\n' || secret[size - 1] == '\r')) --size;
  secret.resize(size);
  // A bind with a name and an empty password succeeds as "anonymous": nobody means that.
  if (secret.empty()) return fail(Cause::misconfigured, path + ": the password is empty");
  return secret;
}

int scope_of(Scope scope) {
  switch (scope) {
    case Scope::base:
      return LDAP_SCOPE_BASE;
    case Scope::one:
      return LDAP_SCOPE_ONELEVEL;
    case Scope::subtree:
      break;
  }
  return LDAP_SCOPE_SUBTREE;
}

}  // namespace

// Transport is what libldap reads from and writes to.
struct Connection::Transport {
  base::UniqueFd fd;
  std::unique_ptr<crypto::TlsStream> tls;
  LDAP* ld = nullptr;
  Deadline deadline;
  uint64_t bytes_left = 0;
  uint64_t largest = 0;  // of one message
  bool broken = false;
  bool over_limit = false;
  bool not_ldap = false;
  bool timed_out = false;

  // Where messages begin: libldap does not say why it gave one up.
  std::array<unsigned char, 6> head{};
  size_t head_size = 0;
  uint64_t body_left = 0;

  // check follows the messages in what was read; false when it can be none, or one that is too large.
  bool check(const unsigned char* bytes, size_t size) {
    while (size > 0) {
      if (body_left > 0) {
        const size_t step = std::min<uint64_t>(body_left, size);
        body_left -= step;
        bytes += step;
        size -= step;
        continue;
      }
      head[head_size++] = *bytes++;
      --size;
      if (head[0] != 0x30) {
        not_ldap = true;
        return false;
      }
      if (head_size < 2) continue;
      const size_t more = head[1] < 0x80 ? 0 : head[1] & 0x7Fu;
      if (more > 4 || head[1] == 0x80) {
        not_ldap = true;
        return false;
      }
      if (head_size < 2 + more) continue;
      uint64_t length = more == 0 ? head[1] : 0;
      for (size_t i = 0; i < more; ++i) length = length << 8 | head[2 + i];
      if (length > largest) {
        over_limit = true;
        return false;
      }
      body_left = length;
      head_size = 0;
    }
    return true;
  }

  ssize_t read(void* buffer, size_t size) {
    if (bytes_left == 0) {
      over_limit = broken = true;
      errno = EIO;
      return -1;
    }
    size = std::min<uint64_t>(size, bytes_left);
    for (;;) {
      const ssize_t got = tls != nullptr ? tls->read(buffer, size) : ::recv(fd.get(), buffer, size, 0);
      if (got > 0) {
        bytes_left -= static_cast<uint64_t>(got);
        if (!check(static_cast<const unsigned char*>(buffer), static_cast<size_t>(got))) {
          broken = true;
          errno = EIO;
          return -1;
        }
      }
      if (got >= 0) return got;
      if (errno == EINTR) continue;
      if ((errno == EAGAIN || errno == EWOULDBLOCK) && tls != nullptr && tls->want_write()) {
        if (base::wait_for(fd.get(), true, deadline)) continue;
        broken = timed_out = true;
        errno = EIO;
      }
      return -1;
    }
  }

  ssize_t write(const void* buffer, size_t size) {
    for (;;) {
      const ssize_t done = tls != nullptr ? tls->write(buffer, size) : ::send(fd.get(), buffer, size, MSG_NOSIGNAL);
      if (done > 0) return done;
      if (done < 0 && errno == EINTR) continue;
      if (done == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
        broken = true;
        errno = EIO;
        return -1;
      }
      if (!base::wait_for(fd.get(), tls == nullptr || tls->want_write(), deadline)) {
        broken = timed_out = true;
        errno = EIO;
        return -1;
      }
    }
  }

  static Transport& of(Sockbuf_IO_Desc* layer) { return *static_cast<Transport*>(layer->sbiod_pvt); }
  static int setup(Sockbuf_IO_Desc* layer, void* transport) {
    layer->sbiod_pvt = transport;
    return 0;
  }
  static int remove(Sockbuf_IO_Desc*) { return 0; }
  static int control(Sockbuf_IO_Desc* layer, int option, void*) {
    if (option != LBER_SB_OPT_DATA_READY) return 0;
    const Transport& transport = of(layer);
    return transport.tls != nullptr && transport.tls->pending() ? 1 : 0;
  }
  static ber_slen_t read_call(Sockbuf_IO_Desc* layer, void* buffer, ber_len_t size) {
    return of(layer).read(buffer, size);
  }
  static ber_slen_t write_call(Sockbuf_IO_Desc* layer, void* buffer, ber_len_t size) {
    return of(layer).write(buffer, size);
  }
  // The descriptor is closed by its owner.
  static int close(Sockbuf_IO_Desc*) { return 0; }

  ~Transport() {
    deadline = Clock::now();  // the farewell is sent when that costs no time, or not at all
    if (ld != nullptr) ldap_unbind_ext(ld, nullptr, nullptr);
  }
};

struct Connection::Pending {
  const Question* question = nullptr;
  Found* found = nullptr;
  int id = -1;
  std::shared_ptr<Answer> answer;
  uint32_t entries = 0;
  bool references = false;
  bool done = false;

  void end(Found result) {
    *found = std::move(result);
    done = true;
  }
};

Connection::Connection(const ProfileSettings& settings, std::unique_ptr<Transport> transport)
    : settings_(settings), transport_(std::move(transport)), last_used_(Clock::now()) {}

Connection::~Connection() = default;

void Connection::start_library() {
  int version = 0;
  ldap_get_option(nullptr, LDAP_OPT_PROTOCOL_VERSION, &version);
}

base::Result<std::unique_ptr<Connection>> Connection::open(const ProfileSettings& settings, const ServerUrl& server,
                                                           const crypto::TlsClient* tls, Deadline deadline) {
  auto fd = connect_socket(server, deadline);
  if (!fd) return std::unexpected(std::move(fd.error()));
  auto transport = std::make_unique<Transport>();
  transport->fd = std::move(*fd);
  std::unique_ptr<Connection> connection(new Connection(settings, std::move(transport)));
  if (auto started = connection->start(server, tls, deadline); !started) {
    return std::unexpected(std::move(started.error()));
  }
  return connection;
}

base::Result<void> Connection::start(const ServerUrl& server, const crypto::TlsClient* tls, Deadline deadline) {
  Transport& transport = *transport_;
  transport.deadline = deadline;
  transport.bytes_left = transport.largest = settings_.answer_bytes;
  if (server.kind == ServerUrl::Kind::ldaps) {
    if (auto secured = start_tls(server, tls, deadline); !secured) return secured;
  }
  if (ldap_init_fd(transport.fd.get(), LDAP_PROTO_EXT, kNowhere, &transport.ld) != LDAP_SUCCESS) {
    transport.ld = nullptr;
    return fail(Cause::internal, "libldap does not start");
  }
  LDAP* ld = transport.ld;
  const int version = LDAP_VERSION3;
  const int never = LDAP_DEREF_NEVER;
  ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
  ldap_set_option(ld, LDAP_OPT_DEREF, &never);
  ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
  ldap_set_option(ld, LDAP_OPT_RESTART, LDAP_OPT_OFF);
  Sockbuf* buffer = nullptr;
  static Sockbuf_IO layer = {Transport::setup,     Transport::remove,     Transport::control,
                             Transport::read_call, Transport::write_call, Transport::close};
  ber_len_t most = settings_.answer_bytes;
  if (ldap_get_option(ld, LDAP_OPT_SOCKBUF, static_cast<void*>(&buffer)) != LDAP_OPT_SUCCESS || buffer == nullptr ||
      ber_sockbuf_add_io(buffer, &layer, LBER_SBIOD_LEVEL_PROVIDER, &transport) != 0) {
    return fail(Cause::internal, "libldap takes no transport");
  }
  ber_sockbuf_ctrl(buffer, LBER_SB_OPT_SET_MAX_INCOMING, &most);
  if (server.kind == ServerUrl::Kind::ldap && settings_.starttls) {
    int id = -1;
    std::string text;
    if (ldap_extended_operation(ld, LDAP_EXOP_START_TLS, nullptr, nullptr, nullptr, &id) != LDAP_SUCCESS) {
      return std::unexpected(lost());
    }
    auto code = wait_result(id, deadline, text);
    if (!code) return std::unexpected(std::move(code.error()).in("StartTLS"));
    if (*code != LDAP_SUCCESS) {
      return fail(Cause::unavailable, std::string("StartTLS refused: ") + ldap_err2string(*code) + text);
    }
    if (auto secured = start_tls(server, tls, deadline); !secured) return secured;
  }
  return bind(deadline);
}

base::Result<void> Connection::start_tls(const ServerUrl& server, const crypto::TlsClient* tls, Deadline deadline) {
  if (tls == nullptr) return fail(Cause::internal, "no TLS was prepared");
  auto stream = tls->connect(transport_->fd.get(), server.host, deadline);
  if (!stream) return std::unexpected(std::move(stream.error()));
  transport_->tls = std::move(*stream);
  return {};
}

base::Result<void> Connection::bind(Deadline deadline) {
  if (!settings_.sasl_external && settings_.bind_dn.empty()) return {};
  int id = -1;
  int sent = LDAP_SUCCESS;
  if (settings_.sasl_external) {
    berval none{0, const_cast<char*>("")};
    sent = ldap_sasl_bind(transport_->ld, nullptr, "EXTERNAL", &none, nullptr, nullptr, &id);
  } else {
    auto secret = read_secret(settings_.secret_file);
    if (!secret) return std::unexpected(std::move(secret.error()));
    berval credential{secret->size(), secret->data()};
    sent =
        ldap_sasl_bind(transport_->ld, settings_.bind_dn.c_str(), LDAP_SASL_SIMPLE, &credential, nullptr, nullptr, &id);
    ::explicit_bzero(secret->data(), secret->size());
  }
  if (sent != LDAP_SUCCESS) return std::unexpected(lost().in("bind"));
  std::string text;
  auto code = wait_result(id, deadline, text);
  if (!code) return std::unexpected(std::move(code.error()).in("bind"));
  if (*code == LDAP_SUCCESS) return {};
  const Cause cause =
      *code == LDAP_INVALID_CREDENTIALS || *code == LDAP_INAPPROPRIATE_AUTH ? Cause::denied : Cause::unavailable;
  return fail(cause, std::string("bind refused: ") + ldap_err2string(*code) + text);
}

// lost says why the connection is of no more use.
base::Error Connection::lost() {
  Transport& transport = *transport_;
  transport.broken = true;
  if (transport.over_limit) return {Cause::malformed, "an answer is larger than the limit"};
  if (transport.not_ldap) return {Cause::unavailable, "the answer is no LDAP"};
  if (transport.timed_out) return {Cause::unavailable, "no answer in time"};
  int code = LDAP_SUCCESS;
  ldap_get_option(transport.ld, LDAP_OPT_RESULT_CODE, &code);
  if (code == LDAP_ENCODING_ERROR || code == LDAP_FILTER_ERROR || code == LDAP_PARAM_ERROR) {
    return {Cause::misconfigured, std::string("libldap: ") + ldap_err2string(code)};
  }
  return {Cause::unavailable,
          code == LDAP_DECODING_ERROR ? "the answer is no LDAP" : "the server closed the connection"};
}

base::Result<int> Connection::wait_result(int id, Deadline deadline, std::string& text) {
  timeval left = left_until(deadline);
  LDAPMessage* raw = nullptr;
  const int kind = ldap_result(transport_->ld, id, LDAP_MSG_ALL, &left, &raw);
  const MessageHandle message(raw);
  if (kind == 0) transport_->timed_out = true;
  if (kind <= 0 || raw == nullptr) return std::unexpected(lost());
  int code = LDAP_OTHER;
  char* said = nullptr;
  if (ldap_parse_result(transport_->ld, raw, &code, nullptr, &said, nullptr, nullptr, 0) != LDAP_SUCCESS) {
    transport_->broken = true;
    return fail(Cause::unavailable, "the answer is no LDAP");
  }
  text = server_text(said);
  ldap_memfree(said);
  return code;
}

void Connection::read_entry(Pending& pending, void* message) {
  auto* entry = static_cast<LDAPMessage*>(message);
  if (++pending.entries > 1) return;
  pending.answer = std::make_shared<Answer>();
  pending.answer->found = true;
  if (char* dn = ldap_get_dn(transport_->ld, entry); dn != nullptr) {
    pending.answer->dn = dn;
    ldap_memfree(dn);
  }
  for (const std::string& name : pending.question->query->attributes) {
    std::vector<std::string>& values = pending.answer->values.emplace_back();
    berval** raw = ldap_get_values_len(transport_->ld, entry, name.c_str());
    if (raw == nullptr) continue;
    for (size_t i = 0; raw[i] != nullptr && values.size() <= settings_.values; ++i) {
      values.emplace_back(raw[i]->bv_val, raw[i]->bv_len);
    }
    ldap_value_free_len(raw);
    if (values.size() > settings_.values) {
      pending.end(fail(Cause::malformed,
                       "attribute " + name + " has more than " + std::to_string(settings_.values) + " values"));
      return;
    }
  }
}

// settle turns the end of a search into the answer to its question.
void Connection::settle(Pending& pending, void* message) {
  int code = LDAP_OTHER;
  char* said = nullptr;
  if (ldap_parse_result(transport_->ld, static_cast<LDAPMessage*>(message), &code, nullptr, &said, nullptr, nullptr,
                        0) != LDAP_SUCCESS) {
    transport_->broken = true;
    pending.end(fail(Cause::unavailable, "the answer is no LDAP"));
    return;
  }
  const std::string text = ldap_err2string(code) + server_text(said);
  ldap_memfree(said);
  const bool any = pending.question->query->any_entry;
  if (pending.entries > 1 && !any) {
    pending.end(fail(Cause::malformed, "more than one entry"));
    return;
  }
  switch (code) {
    case LDAP_NO_SUCH_OBJECT:
      if (pending.question->fixed_base) {
        pending.end(fail(Cause::misconfigured, "there is no " + pending.question->base));
        return;
      }
      break;
    case LDAP_SIZELIMIT_EXCEEDED:
      if (any && pending.entries > 0) break;
      pending.end(fail(Cause::limit, text));
      return;
    case LDAP_SUCCESS:
      break;
    case LDAP_REFERRAL:
      pending.end(fail(Cause::malformed, "the server refers to another directory"));
      return;
    case LDAP_BUSY:
    case LDAP_UNAVAILABLE:
      pending.end(fail(Cause::unavailable, text));
      return;
    // About this question, which anybody who writes an address can choose, and not about the server.
    case LDAP_OPERATIONS_ERROR:
    case LDAP_TIMELIMIT_EXCEEDED:
    case LDAP_ADMINLIMIT_EXCEEDED:
    case LDAP_UNWILLING_TO_PERFORM:
    case LDAP_OTHER:
      pending.end(fail(Cause::limit, text));
      return;
    default:
      pending.end(fail(Cause::misconfigured, text));
      return;
  }
  if (pending.entries == 0) {
    if (pending.references && !settings_.ignore_references) {
      pending.end(fail(Cause::malformed, "part of the answer lies in another directory"));
      return;
    }
    pending.answer = std::make_shared<Answer>();
    pending.answer->values.resize(pending.question->query->attributes.size());
  }
  pending.end(std::shared_ptr<const Answer>(std::move(pending.answer)));
}

std::vector<Found> Connection::ask(std::span<const Question> questions, Deadline deadline) {
  std::vector<Found> answers(questions.size(), Found(fail(Cause::unavailable, "not asked")));
  Transport& transport = *transport_;
  std::vector<Pending> waiting;
  size_t next = 0;
  Deadline until = std::min(deadline, Clock::now() + settings_.timeout);
  bool strays = false;  // what is still to come belongs to questions that are closed
  base::Error reason{Cause::unavailable, "the connection was lost"};
  while ((next < questions.size() || !waiting.empty()) && !transport.broken) {
    transport.deadline = until;
    while (next < questions.size() && waiting.size() < kWindow) {
      const Question& question = questions[next];
      std::vector<char*> wanted;
      for (const std::string& name : question.query->attributes) wanted.push_back(const_cast<char*>(name.c_str()));
      if (wanted.empty()) wanted.push_back(const_cast<char*>(LDAP_NO_ATTRS));
      wanted.push_back(nullptr);
      timeval limit = left_until(until);
      limit.tv_sec += 1;  // whole seconds on the wire, and never 0, which means none
      Pending pending;
      pending.question = &question;
      pending.found = &answers[next];
      ++next;
      const int sent =
          ldap_search_ext(transport.ld, question.base.c_str(), scope_of(question.query->scope), question.filter.c_str(),
                          wanted.data(), 0, nullptr, nullptr, &limit, question.query->any_entry ? 1 : 2, &pending.id);
      if (sent == LDAP_FILTER_ERROR || sent == LDAP_PARAM_ERROR || sent == LDAP_ENCODING_ERROR) {
        pending.end(fail(Cause::misconfigured, std::string("libldap: ") + ldap_err2string(sent)));
        continue;
      }
      waiting.push_back(std::move(pending));
      if (sent != LDAP_SUCCESS) {
        reason = lost();
        break;
      }
    }
    if (transport.broken || waiting.empty()) continue;
    transport.bytes_left = settings_.answer_bytes * waiting.size();
    bool progress = false;
    while (!progress && !transport.broken) {
      timeval left = left_until(until);
      LDAPMessage* raw = nullptr;
      const int kind = ldap_result(transport.ld, LDAP_RES_ANY, LDAP_MSG_ONE, &left, &raw);
      const MessageHandle message(raw);
      if (kind == 0) transport.timed_out = true;
      if (kind <= 0 || raw == nullptr) {
        reason = lost();
        break;
      }
      const auto pending = std::ranges::find(waiting, ldap_msgid(raw), &Pending::id);
      if (pending == waiting.end()) {
        // Servers send notices under number 0 before they hang up.
        if (ldap_msgid(raw) == 0) {
          transport.broken = true;
          reason = {Cause::unavailable, "the server ended the connection"};
        }
        continue;
      }
      if (kind == LDAP_RES_SEARCH_REFERENCE) {
        pending->references = true;
      } else if (kind == LDAP_RES_SEARCH_ENTRY) {
        read_entry(*pending, raw);
        // A server that sends more than it was asked for is not waited for.
        if (!pending->done && pending->entries > 2) {
          if (pending->question->query->any_entry) {
            pending->end(std::shared_ptr<const Answer>(std::move(pending->answer)));
          } else {
            pending->end(fail(Cause::malformed, "more than one entry"));
          }
        }
        if (pending->done) {
          ldap_abandon_ext(transport.ld, pending->id, nullptr, nullptr);
          strays = true;
        }
      } else if (kind == LDAP_RES_SEARCH_RESULT) {
        settle(*pending, raw);
      } else {
        transport.broken = true;
        reason = {Cause::unavailable, "the answer is no LDAP"};
      }
      progress = pending->done;
      if (progress) waiting.erase(pending);
    }
    until = std::min(deadline, Clock::now() + settings_.timeout);
  }
  for (Pending& pending : waiting) pending.end(std::unexpected(reason));
  for (; next < questions.size(); ++next) answers[next] = std::unexpected(reason);
  if (strays) transport.broken = true;
  last_used_ = Clock::now();
  return answers;
}

bool Connection::usable() const {
  if (transport_->broken) return false;
  // Nothing is expected: what can be read is the end of the connection, or a notice of it.
  pollfd entry{transport_->fd.get(), POLLIN | POLLRDHUP, 0};
  return ::poll(&entry, 1, 0) == 0;
}

bool Connection::timed_out() const { return transport_->timed_out; }

}  // namespace postern::directory
