// SPDX-License-Identifier: Apache-2.0
// The callbacks of libmilter. One Session hangs on each context as its private data; close deletes it. libmilter calls
// the callbacks of one context one after the other, from whichever of its worker threads is free.
#include "milter/mfapi.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <set>
#include <unordered_map>

#include "engine/base/guarded.h"
#include "engine/base/text.h"
#include "milter/session.h"
#include "milter/unix_socket.h"

namespace {

std::atomic<bool> g_signal_thread_parked{false};

}  // namespace

// libmilter's signal thread ends up here instead of in the C library; see the head of mfapi.h.
extern "C" int sigwait(const sigset_t* set, int* signal_number) {
  static_cast<void>(set);
  static_cast<void>(signal_number);
  g_signal_thread_parked.store(true);
  for (;;) ::pause();
}

namespace postern::milter {
namespace {

static_assert(kActionAddHeader == SMFIF_ADDHDRS && kActionChangeBody == SMFIF_CHGBODY &&
              kActionAddRecipient == SMFIF_ADDRCPT && kActionDeleteRecipient == SMFIF_DELRCPT &&
              kActionChangeHeader == SMFIF_CHGHDRS && kActionQuarantine == SMFIF_QUARANTINE &&
              kActionChangeFrom == SMFIF_CHGFROM && kActionSetMacros == SMFIF_SETSYMLIST);
static_assert(kNoConnect == SMFIP_NOCONNECT && kNoHelo == SMFIP_NOHELO && kNoMail == SMFIP_NOMAIL &&
              kNoRecipient == SMFIP_NORCPT && kNoBody == SMFIP_NOBODY && kNoHeader == SMFIP_NOHDRS &&
              kNoEndOfHeader == SMFIP_NOEOH && kNoUnknown == SMFIP_NOUNKNOWN && kNoData == SMFIP_NODATA);
static_assert(kNoReplyHeader == SMFIP_NR_HDR && kNoReplyConnect == SMFIP_NR_CONN && kNoReplyHelo == SMFIP_NR_HELO &&
              kNoReplyData == SMFIP_NR_DATA && kNoReplyUnknown == SMFIP_NR_UNKN &&
              kNoReplyEndOfHeader == SMFIP_NR_EOH && kNoReplyBody == SMFIP_NR_BODY &&
              kLeadingSpace == SMFIP_HDR_LEADSPC);

constexpr int kBacklog = 1024;
constexpr int kPastTheEnd = 0x3fffffff;            // as a place in the header
constexpr size_t kLongestPacket = (1u << 20) - 1;  // libmilter's own bound is 64 KiB, less than a header field can have
constexpr int kTimeout = 7210;                     // s that libmilter waits for the MTA's next packet
constexpr size_t kMaxArguments = 34;               // of MAIL and RCPT: the path and what Session keeps
constexpr size_t kMaxRemembered = 16384;           // negotiations remembered past QUIT

Service* g_service = nullptr;
int g_listener = -1;
std::string g_socket_path;
base::UniqueFd g_lock;

// Negotiations of connections whose client quit: the MTA may go on with another client on the same connection, and does
// not negotiate again then. Keyed by libmilter's context, touched once at the end of a connection.
base::Guarded<std::unordered_map<const SMFICTX*, Bits>> g_remembered;

class LibmilterMta final : public Mta {
 public:
  explicit LibmilterMta(SMFICTX* context) : context_(context) {}

  const char* macro(const char* name) override { return smfi_getsymval(context_, const_cast<char*>(name)); }
  bool request_macros(Stage stage, const char* names) override {
    return smfi_setsymlist(context_, kStages[static_cast<size_t>(stage)], const_cast<char*>(names)) == MI_SUCCESS;
  }
  bool set_reply(const char* code, const char* enhanced, const char* text) override {
    return smfi_setreply(context_, const_cast<char*>(code), const_cast<char*>(enhanced), const_cast<char*>(text)) ==
           MI_SUCCESS;
  }
  bool add_header(const char* name, const char* value) override {
    // Sendmail puts an added field before the first one of its name; a place past the end is the end for both MTAs.
    return smfi_insheader(context_, kPastTheEnd, const_cast<char*>(name), const_cast<char*>(value)) == MI_SUCCESS;
  }
  bool insert_header(int index, const char* name, const char* value) override {
    return smfi_insheader(context_, index, const_cast<char*>(name), const_cast<char*>(value)) == MI_SUCCESS;
  }
  bool change_header(const char* name, int index, const char* value) override {
    return smfi_chgheader(context_, const_cast<char*>(name), index, const_cast<char*>(value)) == MI_SUCCESS;
  }
  bool replace_body(std::string_view chunk) override {
    const auto* bytes = reinterpret_cast<const unsigned char*>(chunk.data());
    // libmilter takes an int; pieces of that size do not occur below the size limit's own type, but the cast must hold.
    constexpr size_t kStep = 1u << 30;
    for (size_t at = 0; at < chunk.size(); at += kStep) {
      const int length = static_cast<int>(std::min(kStep, chunk.size() - at));
      if (smfi_replacebody(context_, const_cast<unsigned char*>(bytes + at), length) != MI_SUCCESS) return false;
    }
    return true;
  }
  bool change_from(const char* address) override {
    return smfi_chgfrom(context_, const_cast<char*>(address), nullptr) == MI_SUCCESS;
  }
  bool add_recipient(const char* address) override {
    return smfi_addrcpt(context_, const_cast<char*>(address)) == MI_SUCCESS;
  }
  bool delete_recipient(const char* address) override {
    return smfi_delrcpt(context_, const_cast<char*>(address)) == MI_SUCCESS;
  }
  bool quarantine(const char* reason) override {
    return smfi_quarantine(context_, const_cast<char*>(reason)) == MI_SUCCESS;
  }
  bool progress() override { return smfi_progress(context_) == MI_SUCCESS; }

 private:
  static constexpr int kStages[] = {SMFIM_CONNECT, SMFIM_HELO, SMFIM_ENVFROM, SMFIM_ENVRCPT,
                                    SMFIM_DATA,    SMFIM_EOM,  SMFIM_EOH};
  SMFICTX* context_;
};

sfsistat status_of(Answer answer) {
  switch (answer) {
    case Answer::proceed:
      return SMFIS_CONTINUE;
    case Answer::no_reply:
      return SMFIS_NOREPLY;
    case Answer::accept:
      return SMFIS_ACCEPT;
    case Answer::reject:
      return SMFIS_REJECT;
    case Answer::tempfail:
      return SMFIS_TEMPFAIL;
    case Answer::discard:
      return SMFIS_DISCARD;
  }
  return SMFIS_TEMPFAIL;
}

// session_of returns the context's session, making it at the first callback.
Session& session_of(SMFICTX* context) {
  if (auto* session = static_cast<Session*>(smfi_getpriv(context))) return *session;
  auto made = std::make_unique<Session>(*g_service);
  {
    auto remembered = g_remembered.lock();
    if (const auto found = remembered->find(context); found != remembered->end()) {
      made->adopt(found->second);
      remembered->erase(found);
    }
  }
  smfi_setpriv(context, made.get());
  return *made.release();
}

// guarded runs one callback; nothing thrown gets past it.
template <class Step>
sfsistat guarded(SMFICTX* context, std::string_view callback, Step&& step) noexcept {
  LibmilterMta mta(context);
  Session* session = nullptr;
  std::string_view reason = "unknown exception";
  try {
    session = &session_of(context);
    try {
      return status_of(step(*session, mta));
    } catch (const std::exception& error) {
      reason = error.what();
      return status_of(session->failed(mta, callback, reason));
    } catch (...) {
      return status_of(session->failed(mta, callback, reason));
    }
  } catch (...) {
    return SMFIS_TEMPFAIL;
  }
}

sfsistat on_negotiate(SMFICTX* context, unsigned long actions, unsigned long steps, unsigned long, unsigned long,
                      unsigned long* want_actions, unsigned long* want_steps, unsigned long* more,
                      unsigned long* even_more) noexcept {
  *more = 0;
  *even_more = 0;
  try {
    g_remembered.lock()->erase(context);
    LibmilterMta mta(context);
    const Bits bits =
        session_of(context).negotiate({static_cast<uint32_t>(actions), static_cast<uint32_t>(steps)}, mta);
    *want_actions = bits.actions;
    *want_steps = bits.steps;
    return SMFIS_CONTINUE;
  } catch (...) {
    return SMFIS_REJECT;  // the connection ends; the MTA treats the filter as not available
  }
}

sfsistat on_connect(SMFICTX* context, char* name, _SOCK_ADDR* address) noexcept {
  return guarded(context, "connect", [&](Session& session, Mta& mta) {
    Peer peer;
    char text[INET6_ADDRSTRLEN] = "";
    if (address != nullptr && address->sa_family == AF_INET) {
      const auto* inet = reinterpret_cast<const sockaddr_in*>(address);
      ::inet_ntop(AF_INET, &inet->sin_addr, text, sizeof text);
      peer.has_port = inet->sin_port != 0;
    } else if (address != nullptr && address->sa_family == AF_INET6) {
      const auto* inet = reinterpret_cast<const sockaddr_in6*>(address);
      ::inet_ntop(AF_INET6, &inet->sin6_addr, text, sizeof text);
      peer.has_port = inet->sin6_port != 0;
    }
    peer.address = text;
    if (name != nullptr) peer.name = name;
    return session.connect(mta, peer);
  });
}

sfsistat on_helo(SMFICTX* context, char* name) noexcept {
  return guarded(context, "helo", [&](Session& session, Mta& mta) {
    return session.helo(mta, name == nullptr ? std::string_view() : std::string_view(name));
  });
}

// Arguments is MAIL's or RCPT's list, bounded.
struct Arguments {
  explicit Arguments(char** list) {
    for (; list != nullptr && list[size] != nullptr && size < views.size(); ++size) views[size] = list[size];
  }
  std::span<const std::string_view> span() const { return {views.data(), size}; }
  size_t size = 0;
  std::array<std::string_view, kMaxArguments> views;
};

sfsistat on_mail(SMFICTX* context, char** list) noexcept {
  return guarded(context, "mail", [&](Session& session, Mta& mta) {
    const Arguments arguments(list);
    return session.mail(mta, arguments.span());
  });
}

sfsistat on_recipient(SMFICTX* context, char** list) noexcept {
  return guarded(context, "rcpt", [&](Session& session, Mta& mta) {
    const Arguments arguments(list);
    return session.recipient(mta, arguments.span());
  });
}

sfsistat on_data(SMFICTX* context) noexcept {
  return guarded(context, "data", [](Session& session, Mta& mta) { return session.data(mta); });
}

sfsistat on_header(SMFICTX* context, char* name, char* value) noexcept {
  return guarded(context, "header", [&](Session& session, Mta&) {
    return session.header(name == nullptr ? "" : name, value == nullptr ? "" : value);
  });
}

sfsistat on_end_of_header(SMFICTX* context) noexcept {
  return guarded(context, "eoh", [](Session& session, Mta&) { return session.end_of_header(); });
}

sfsistat on_body(SMFICTX* context, unsigned char* bytes, size_t size) noexcept {
  return guarded(context, "body",
                 [&](Session& session, Mta&) { return session.body({reinterpret_cast<const char*>(bytes), size}); });
}

sfsistat on_end_of_message(SMFICTX* context) noexcept {
  return guarded(context, "eom", [](Session& session, Mta& mta) { return session.end_of_message(mta); });
}

sfsistat on_unknown(SMFICTX* context, const char*) noexcept {
  return guarded(context, "unknown", [](Session& session, Mta&) { return session.unknown(); });
}

sfsistat on_abort(SMFICTX* context) noexcept {
  auto* session = static_cast<Session*>(smfi_getpriv(context));
  if (session == nullptr) return SMFIS_CONTINUE;
  try {
    session->abort();
  } catch (...) {
    return SMFIS_TEMPFAIL;
  }
  return SMFIS_CONTINUE;
}

sfsistat on_close(SMFICTX* context) noexcept {
  auto* session = static_cast<Session*>(smfi_getpriv(context));
  if (session == nullptr) return SMFIS_CONTINUE;
  smfi_setpriv(context, nullptr);
  try {
    const std::optional<Bits> bits = session->negotiated();
    delete session;
    if (!bits) return SMFIS_CONTINUE;
    auto remembered = g_remembered.lock();
    // Contexts are freed and their addresses used again, so the map holds about as many as there ever were at once.
    if (remembered->size() >= kMaxRemembered) remembered->clear();
    remembered->insert_or_assign(context, *bits);
  } catch (...) {
    return SMFIS_TEMPFAIL;
  }
  return SMFIS_CONTINUE;
}

// listening_sockets returns the descriptors of this process that listen.
std::set<int> listening_sockets() {
  std::set<int> found;
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return found;
  while (const dirent* entry = ::readdir(folder)) {
    int fd = -1;
    const std::string_view name = entry->d_name;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    int listens = 0;
    socklen_t size = sizeof listens;
    if (fd >= 0 && ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0) found.insert(fd);
  }
  ::closedir(folder);
  return found;
}

}  // namespace

base::Result<void> open_milter(const Listen& listen, Service& service) {
  g_service = &service;
  std::string connection = listen.socket;
  const bool on_unix = base::istarts_with(connection, "unix:") || base::istarts_with(connection, "local:") ||
                       connection.starts_with('/');
  if (on_unix) {
    g_socket_path = connection.substr(connection.starts_with('/') ? 0 : connection.find(':') + 1);
    auto lock = claim_path(g_socket_path);
    if (!lock) return std::unexpected(std::move(lock.error()));
    g_lock = std::move(*lock);
    connection = "unix:" + g_socket_path;
  } else if (connection.find('@') == std::string::npos) {
    return base::fail(base::Cause::misconfigured,
                      "listen.socket '" + connection + "' names no host; write inet:PORT@127.0.0.1");
  }
  // A longer packet ends the connection, and its message is deferred for ever. Postfix passes fields of 100 KiB.
  smfi_setmaxdatasize(kLongestPacket);
  smfiDesc description{};
  description.xxfi_name = const_cast<char*>("posternd");
  description.xxfi_version = SMFI_VERSION;
  description.xxfi_flags = 0;
  description.xxfi_connect = on_connect;
  description.xxfi_helo = on_helo;
  description.xxfi_envfrom = on_mail;
  description.xxfi_envrcpt = on_recipient;
  description.xxfi_header = on_header;
  description.xxfi_eoh = on_end_of_header;
  description.xxfi_body = on_body;
  description.xxfi_eom = on_end_of_message;
  description.xxfi_abort = on_abort;
  description.xxfi_close = on_close;
  description.xxfi_unknown = on_unknown;
  description.xxfi_data = on_data;
  description.xxfi_negotiate = on_negotiate;

  if (smfi_setconn(connection.data()) != MI_SUCCESS || smfi_register(description) != MI_SUCCESS ||
      smfi_setbacklog(kBacklog) != MI_SUCCESS || smfi_settimeout(kTimeout) != MI_SUCCESS) {
    return base::fail(base::Cause::misconfigured, "libmilter does not take the socket '" + listen.socket + "'");
  }
  const std::set<int> before = listening_sockets();
  const mode_t mask = ::umask(~listen.mode & 0777);
  const int opened = smfi_opensocket(/*rmsocket=*/false);
  const int error = errno;
  ::umask(mask);
  if (opened != MI_SUCCESS) {
    base::Error failure = base::system_error("opening the milter socket " + listen.socket, error);
    if (failure.cause() == base::Cause::denied) return std::unexpected(std::move(failure));
    return base::fail(base::Cause::unavailable, failure.text());
  }
  for (const int fd : listening_sockets()) {
    if (!before.contains(fd)) g_listener = fd;
  }
  if (g_listener < 0) return base::fail(base::Cause::internal, "the milter socket is not among the open descriptors");
  if (on_unix) return set_socket_group(g_socket_path, listen.group);
  // Edits are many small packets; connections inherit the option from the listener. Without it each message that is
  // edited waits 40 ms for a delayed acknowledgement.
  const int on = 1;
  ::setsockopt(g_listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return {};
}

int run_milter() { return smfi_main(); }

bool signals_parked() { return g_signal_thread_parked.load(); }

// libmilter has no call for this: smfi_stop also ends its workers, and with them every message in flight. So the
// descriptor it accepts from is replaced by a socket that nobody can reach.
void stop_accepting() {
  if (g_listener < 0) return;
  if (!g_socket_path.empty()) ::unlink(g_socket_path.c_str());
  base::UniqueFd deaf(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un nameless{};
  nameless.sun_family = AF_UNIX;
  if (deaf && ::bind(deaf.get(), reinterpret_cast<const sockaddr*>(&nameless), sizeof(sa_family_t)) == 0 &&
      ::listen(deaf.get(), 0) == 0) {
    ::dup3(deaf.get(), g_listener, O_CLOEXEC);
  }
}

base::Result<void> probe_milter() {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(g_listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return std::unexpected(base::system_error("getsockname", errno));
  }
  base::UniqueFd socket(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return std::unexpected(base::system_error("socket", errno));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 && errno != EINPROGRESS) {
    // Whoever gave the socket to a group this process is not in has also taken it from us; that is no failure.
    if (errno == EACCES || errno == EPERM) return {};
    return std::unexpected(base::system_error("connect", errno));
  }
  constexpr char kOffer[] = {0, 0, 0, 13, SMFIC_OPTNEG, 0, 0, 0, 6, 0, 0, 1, '\xff', 0, 0x1f, '\xff', '\xff'};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  bool sent = false;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return base::fail(base::Cause::unavailable, "no answer in 5 s");
    pollfd entry{socket.get(), static_cast<short>(sent ? POLLIN : POLLOUT), 0};
    if (::poll(&entry, 1, static_cast<int>(left)) <= 0) continue;
    if (!sent) {
      sent = ::send(socket.get(), kOffer, sizeof kOffer, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof kOffer);
      if (!sent) return std::unexpected(base::system_error("send", errno));
      continue;
    }
    char answer[5];
    const ssize_t got = ::recv(socket.get(), answer, sizeof answer, 0);
    if (got == static_cast<ssize_t>(sizeof answer) && answer[4] == SMFIC_OPTNEG) return {};
    return base::fail(base::Cause::unavailable, "the negotiation was refused");
  }
}

}  // namespace postern::milter
