// SPDX-License-Identifier: Apache-2.0
// The terminal (termios) and descriptors, read byte by byte so that nothing behind a line is taken from it.
#include "keystore/fipsconfig/secrets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "engine/base/handle.h"

namespace postern::keystore::fipsconfig {
namespace {

constexpr int kTries = 3;
// SIGTTIN and SIGTTOU are left alone: in the background the process stops, and goes on when it is brought back.
constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGALRM};

volatile std::sig_atomic_t caught = 0;

// Quiet holds a terminal without echo. Signals are noted while it does, and only where wait() waits, so that none comes
// unseen before it; afterwards they are delivered as usual.
class Quiet {
 public:
  Quiet(int fd, bool echo) : fd_(fd) {
    caught = 0;
    sigset_t set;
    sigemptyset(&set);
    for (const int number : kSignals) sigaddset(&set, number);
    ::sigprocmask(SIG_BLOCK, &set, &mask_);
    struct sigaction action{};
    action.sa_handler = [](int number) { caught = number; };
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &action, &before_[i]);
    changed_ = !echo && ::tcgetattr(fd_, &mode_) == 0;
    if (!changed_) return;
    termios silent = mode_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHOE | ECHOK);
    silent.c_lflag |= ECHONL | ICANON;
    ::tcsetattr(fd_, TCSAFLUSH, &silent);
  }
  ~Quiet() {
    if (changed_) ::tcsetattr(fd_, TCSAFLUSH, &mode_);
    for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
    if (caught != 0) ::raise(caught);
    ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

  // wait waits for a line; false when a signal came.
  bool wait() const {
    pollfd line{fd_, POLLIN, 0};
    while (caught == 0 && ::ppoll(&line, 1, nullptr, &mask_) < 0 && errno == EINTR) continue;
    return caught == 0;
  }

 private:
  int fd_;
  termios mode_{};
  bool changed_ = false;
  sigset_t mask_{};
  std::array<struct sigaction, kSignals.size()> before_{};
};

base::UniqueFd terminal() { return base::UniqueFd(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)); }

// One line without its end. Past the longest password the rest of the line is read and the line refused.
Answer<Secret> read_line(int fd, const std::string& where, const Quiet* quiet = nullptr) {
  Secret line = Secret::sized(kMaxPassword);
  size_t size = 0;
  for (;;) {
    if (quiet != nullptr && !quiet->wait()) return stop(kDenied, "interrupted");
    char c = 0;
    const ssize_t count = ::read(fd, &c, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return stop(kUsage, base::system_error(where, errno).text());
    if (count == 0 && size == 0) return stop(kUsage, "there is no password on " + where);
    if (count == 0 || c == '\n') break;
    if (size < kMaxPassword) line.data()[size] = c;
    ++size;
  }
  if (size > kMaxPassword) return stop(kBadData, fmt::format("a password has at most {} bytes", kMaxPassword));
  line.shrink(size);
  return line;
}

Answer<Secret> ask(std::string_view prompt, bool echo) {
  const base::UniqueFd tty = terminal();
  if (!tty) return stop(kUsage, "there is no terminal to ask for a password; use --password-fd");
  const Quiet quiet(tty.get(), echo);
  if (::write(tty.get(), prompt.data(), prompt.size()) < 0)
    return stop(kUsage, base::system_error("terminal", errno).text());
  return read_line(tty.get(), "the terminal", &quiet);
}

}  // namespace

Answer<Secret> Secrets::next(std::string_view prompt) {
  if (!asks()) return read_line(common_.password_fd, fmt::format("descriptor {}", common_.password_fd));
  return ask(prompt, false);
}

Answer<Secret> Secrets::twice(std::string_view prompt) {
  for (int i = 0; i < kTries; ++i) {
    auto first = ask(prompt, false);
    if (!first) return first;
    const auto second = ask("The same again: ", false);
    if (!second) return std::unexpected(second.error());
    if (equal_in_constant_time(first->view(), second->view())) return first;
    say("The two differ.");
  }
  return stop(kBadData, "the new password was not typed the same twice");
}

Answer<Secret> Secrets::fresh(std::string_view prompt) { return asks() ? twice(prompt) : next(prompt); }

Answer<Secret> Secrets::for_backup(std::string_view prompt) {
  if (common_.backup_password_fd < 0) return next(prompt);
  return read_line(common_.backup_password_fd, fmt::format("descriptor {}", common_.backup_password_fd));
}

Answer<Secret> Secrets::fresh_for_backup(std::string_view prompt) {
  return common_.backup_password_fd < 0 ? fresh(prompt) : for_backup(prompt);
}

Answer<bool> Secrets::confirmed(std::string_view question, std::string otherwise) {
  if (!terminal()) return stop(kUsage, std::move(otherwise));
  const auto line = ask(question, true);
  if (!line) return std::unexpected(line.error());
  return line->view() == "yes";
}

}  // namespace postern::keystore::fipsconfig
