// SPDX-License-Identifier: Apache-2.0
// dkim-verify KEYS FILE…: what libopendkim says of the signatures in message files (CRLF line ends). KEYS has a name
// and a record a line. One line a signature: FILE NUMBER DOMAIN SELECTOR pass|fail|error, and the reason; a file
// without a usable signature gives one line with number 0. A message from standard input is called "-".
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#define _Bool bool  // opendkim/dkim.h is C
#include <opendkim/dkim.h>
#undef _Bool

namespace {

std::string read_all(const std::string& path) {
  std::ifstream in(path == "-" ? "/dev/stdin" : path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

unsigned char* bytes_of(const std::string& text, size_t at = 0) {
  return reinterpret_cast<unsigned char*>(const_cast<char*>(text.data() + at));
}

void verify(DKIM_LIB* library, const std::string& path) {
  const std::string file = read_all(path);
  DKIM_STAT status = DKIM_STAT_OK;
  const std::string id = "test";
  DKIM* message = dkim_verify(library, bytes_of(id), nullptr, &status);
  const auto finish = [&](const char* what) {
    std::printf("%s 0 - - error %s: %s\n", path.c_str(), what, dkim_getresultstr(status));
    dkim_free(message);
  };
  // One field at a time, folds included.
  size_t at = 0;
  while (at < file.size() && file.compare(at, 2, "\r\n") != 0) {
    size_t end = at;
    for (;;) {
      end = file.find("\r\n", end);
      if (end == std::string::npos) end = file.size();
      if (end + 2 >= file.size() || (file[end + 2] != ' ' && file[end + 2] != '\t')) break;
      end += 2;
    }
    status = dkim_header(message, bytes_of(file, at), end - at);
    if (status != DKIM_STAT_OK) return finish("header");
    at = std::min(end + 2, file.size());
  }
  status = dkim_eoh(message);
  if (status != DKIM_STAT_OK) return finish("end of header");
  at = std::min(at + 2, file.size());
  if (at < file.size()) {
    status = dkim_body(message, bytes_of(file, at), file.size() - at);
    if (status != DKIM_STAT_OK) return finish("body");
  }
  bool testing = false;
  dkim_eom(message, &testing);
  DKIM_SIGINFO** signatures = nullptr;
  int count = 0;
  status = dkim_getsiglist(message, &signatures, &count);
  if (status != DKIM_STAT_OK || count == 0) return finish("no signature");
  for (int i = 0; i < count; ++i) {
    dkim_sig_process(message, signatures[i]);
    const bool pass = DKIM_SIG_CHECK(signatures[i]);
    const int error = dkim_sig_geterror(signatures[i]);
    const bool broken = error != DKIM_SIGERROR_OK && error != DKIM_SIGERROR_BADSIG && error != DKIM_SIGERROR_UNKNOWN;
    const char* reason = dkim_sig_geterrorstr(static_cast<DKIM_SIGERROR>(error));
    const unsigned char* domain = dkim_sig_getdomain(signatures[i]);
    const unsigned char* selector = dkim_sig_getselector(signatures[i]);
    std::printf("%s %d %s %s %s %s%s\n", path.c_str(), i + 1,
                domain != nullptr ? reinterpret_cast<const char*>(domain) : "-",
                selector != nullptr ? reinterpret_cast<const char*>(selector) : "-",
                pass     ? "pass"
                : broken ? "error"
                         : "fail",
                reason != nullptr ? reason : "", dkim_sig_getbh(signatures[i]) == DKIM_SIGBH_MISMATCH ? " (body)" : "");
  }
  dkim_free(message);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 64;
  DKIM_LIB* library = dkim_init(nullptr, nullptr);
  if (library == nullptr) return 69;
  dkim_query_t method = DKIM_QUERY_FILE;
  dkim_options(library, DKIM_OP_SETOPT, DKIM_OPTS_QUERYMETHOD, &method, sizeof method);
  dkim_options(library, DKIM_OP_SETOPT, DKIM_OPTS_QUERYINFO, argv[1], std::string(argv[1]).size());
  for (int i = 2; i < argc; ++i) verify(library, argv[i]);
  dkim_close(library);
  return 0;
}
