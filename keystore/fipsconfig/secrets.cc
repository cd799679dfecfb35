// SPDX-License-Identifier: Apache-2.0
// The terminal (termios) and descriptors, read byte by byte so that nothing behind a line is taken from it.
#include "keystore/fipsconfig/secrets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "engine/base/handle.h"

namespace postern::keystore::fipsconfig {
namespace {

constexpr int kTries = 3;
constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGALRM};

volatile std::sig_atomic_t caught = 0;

// Signals are noted while a terminal is without echo, and delivered as usual afterwards.
class Quiet {
 public:
  Quiet(int fd, bool echo) : fd_(fd) {
    caught = 0;
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
    if (changed_) {
      // A background process is stopped for this; the signal is delivered below.
      while (::tcsetattr(fd_, TCSAFLUSH, &mode_) != 0 && errno == EINTR && caught != SIGTTOU) continue;
    }
    for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
    if (caught != 0) ::raise(caught);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  int fd_;
  termios mode_{};
  bool changed_ = false;
  std::array<struct sigaction, kSignals.size()> before_{};
};

base::UniqueFd terminal() { return base::UniqueFd(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)); }

// One line without its end. Past the longest password the rest of the line is read and the line refused.
Answer<Secret> read_line(int fd, const std::string& where) {
  Secret line = Secret::sized(kMaxPassword);
  size_t size = 0;
  for (;;) {
    char c = 0;
    const ssize_t count = ::read(fd, &c, 1);
    if (count < 0 && errno == EINTR && caught == 0) continue;
    if (count < 0 && errno == EINTR) return stop(kDenied, "interrupted");
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
  return read_line(tty.get(), "the terminal");
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
