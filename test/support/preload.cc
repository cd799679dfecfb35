// SPDX-License-Identifier: Apache-2.0
// A library that a private Sendmail is started with (LD_PRELOAD). Sendmail asks for the machine's host name before it
// reads its configuration and sleeps for a minute when that has no dot; and it logs to /dev/log only. Here the host
// name comes from POSTERN_TEST_HOSTNAME and log lines are appended to the file POSTERN_TEST_SYSLOG, so that nothing of
// the machine need be changed.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

// Sendmail empties its environment, so both are read before its main() begins.
char syslog_path[4096];
char host_name[256] = "mta.test";

__attribute__((constructor)) void read_environment() {
  if (const char* path = getenv("POSTERN_TEST_SYSLOG")) snprintf(syslog_path, sizeof syslog_path, "%s", path);
  if (const char* name = getenv("POSTERN_TEST_HOSTNAME")) snprintf(host_name, sizeof host_name, "%s", name);
}

void append(const char* format, va_list arguments) {
  const int saved = errno;
  if (syslog_path[0] == '\0') return;
  char line[4096];
  const int head = snprintf(line, sizeof line, "sendmail[%d]: ", static_cast<int>(getpid()));
  int length = vsnprintf(line + head, sizeof line - static_cast<size_t>(head) - 1, format, arguments);
  if (length < 0) return;
  length = head + length < static_cast<int>(sizeof line) - 2 ? head + length : static_cast<int>(sizeof line) - 2;
  line[length++] = '\n';
  const int fd = open(syslog_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd >= 0) {
    if (write(fd, line, static_cast<size_t>(length)) < 0) errno = saved;
    close(fd);
  }
  errno = saved;
}

}  // namespace

extern "C" {

int gethostname(char* name, size_t size) {
  if (strlen(host_name) + 1 > size) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(name, host_name, strlen(host_name) + 1);
  return 0;
}

void openlog(const char*, int, int) {}
void closelog() {}

void vsyslog(int, const char* format, va_list arguments) { append(format, arguments); }
void __vsyslog_chk(int, int, const char* format, va_list arguments) { append(format, arguments); }

void syslog(int, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  append(format, arguments);
  va_end(arguments);
}
void __syslog_chk(int, int, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  append(format, arguments);
  va_end(arguments);
}

}  // extern "C"
