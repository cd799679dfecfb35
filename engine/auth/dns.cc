// SPDX-License-Identifier: Apache-2.0
// ub_resolve() knows no deadline, so a look-up is begun, its descriptor polled, and what is late is cancelled.
#include "engine/auth/dns.h"

#include <arpa/inet.h>
#include <poll.h>
#include <unbound.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>

#include "engine/base/text.h"

namespace postern::auth {
namespace {

using base::Cause;
using std::chrono::steady_clock;

constexpr int kTxt = 16;
constexpr int kInternet = 1;
constexpr int kNameError = 3;
constexpr size_t kMostRecords = 32;
constexpr size_t kLongestRecord = 16u << 10;
constexpr size_t kLongestName = 255;

// unbound_address turns "ADDRESS:PORT" into libunbound's "ADDRESS@PORT".
base::Result<std::string> unbound_address(std::string_view server) {
  const auto refuse = [server] {
    return base::fail(Cause::malformed, base::quoted(server) + " is no address of a DNS server");
  };
  std::string address(server);
  std::string_view port;
  if (server.starts_with('[')) {
    const size_t end = server.find(']');
    if (end == std::string_view::npos) return refuse();
    address = server.substr(1, end - 1);
    port = server.substr(end + 1);
    if (!port.empty() && !port.starts_with(':')) return refuse();
    if (!port.empty()) port.remove_prefix(1);
  } else if (const size_t colon = server.find(':'); colon != std::string_view::npos && colon == server.rfind(':')) {
    address = server.substr(0, colon);
    port = server.substr(colon + 1);
    if (port.empty()) return refuse();
  }
  std::array<unsigned char, 16> bytes{};
  if (::inet_pton(AF_INET, address.c_str(), bytes.data()) != 1 &&
      ::inet_pton(AF_INET6, address.c_str(), bytes.data()) != 1) {
    return refuse();
  }
  if (port.empty()) return address;
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number == 0 || number > 65535) return refuse();
  return address + "@" + std::to_string(number);
}

// names_server tells whether resolv.conf has a name server; without one libunbound would ask the root.
bool names_server(const char* path) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("nameserver")) return true;
  }
  return false;
}

struct Lookup {
  bool done = false;
  int error = 0;
  ub_result* result = nullptr;
};

extern "C" void postern_dns_answer(void* data, int error, ub_result* result) {
  auto* lookup = static_cast<Lookup*>(data);
  lookup->done = true;
  lookup->error = error;
  lookup->result = result;
}

base::Result<std::vector<std::string>> records_of(const ub_result& result) {
  if (result.rcode == kNameError) return base::fail(Cause::not_found, "there is no such name");
  if (result.rcode != 0)
    return base::fail(Cause::unavailable, "the server answers with code " + std::to_string(result.rcode));
  if (result.bogus != 0) return base::fail(Cause::unavailable, "the answer does not pass DNSSEC");
  if (result.havedata == 0 || result.data == nullptr) return base::fail(Cause::not_found, "there is no TXT record");
  std::vector<std::string> records;
  for (size_t i = 0; result.data[i] != nullptr && records.size() < kMostRecords; ++i) {
    if (result.len[i] < 0 || static_cast<size_t>(result.len[i]) > kLongestRecord) continue;
    auto text = txt_strings({result.data[i], static_cast<size_t>(result.len[i])});
    if (text) records.push_back(std::move(*text));
  }
  if (records.empty()) return base::fail(Cause::unavailable, "the answer cannot be read");
  return records;
}

}  // namespace

void Resolver::Free::operator()(ub_ctx* context) const { ub_ctx_delete(context); }

base::Result<Resolver> Resolver::create(std::string_view server) {
  std::unique_ptr<ub_ctx, Free> context(ub_ctx_create());
  if (!context) return base::fail(Cause::unavailable, "libunbound cannot be started");
  // Only forwards; a resolver of this machine is as good as any.
  ub_ctx_set_option(context.get(), "module-config:", "iterator");
  ub_ctx_set_option(context.get(), "do-not-query-localhost:", "no");
  if (server.empty()) {
    constexpr const char* kResolv = "/etc/resolv.conf";
    if (!names_server(kResolv) || ub_ctx_resolvconf(context.get(), kResolv) != 0) {
      return base::fail(Cause::misconfigured, std::string(kResolv) + " names no DNS server");
    }
  } else {
    const auto address = unbound_address(server);
    if (!address) return std::unexpected(address.error());
    if (ub_ctx_set_fwd(context.get(), address->c_str()) != 0) {
      return base::fail(Cause::malformed, base::quoted(server) + " is no address of a DNS server");
    }
  }
  ub_ctx_async(context.get(), 1);  // a thread, not a child process
  return Resolver(std::move(context));
}

base::Result<std::vector<std::string>> Resolver::txt(std::string_view name, steady_clock::time_point deadline) {
  const std::string query(name);
  if (query.size() > kLongestName || query.find('\0') != std::string::npos) {
    return base::fail(Cause::malformed, base::quoted(name) + " is no name");
  }
  Lookup lookup;
  int id = 0;
  if (const int error =
          ub_resolve_async(context_.get(), query.c_str(), kTxt, kInternet, &lookup, postern_dns_answer, &id);
      error != 0) {
    return base::fail(Cause::unavailable, ub_strerror(error));
  }
  while (!lookup.done) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    if (left <= 0) {
      // An answer that comes at this very moment is still handed over by ub_process, never after ub_cancel.
      ub_cancel(context_.get(), id);
      if (lookup.done) break;
      return base::fail(Cause::unavailable, "no answer in time");
    }
    pollfd entry{ub_fd(context_.get()), POLLIN, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return base::fail(Cause::unavailable, "poll failed");
    if (ready > 0 && ub_process(context_.get()) != 0) return base::fail(Cause::unavailable, "libunbound failed");
  }
  const std::unique_ptr<ub_result, void (*)(ub_result*)> result(lookup.result, ub_resolve_free);
  if (lookup.error != 0 || result == nullptr) {
    return base::fail(Cause::unavailable, lookup.error != 0 ? ub_strerror(lookup.error) : "no answer");
  }
  return records_of(*result);
}

base::Result<std::string> txt_strings(std::string_view data) {
  std::string out;
  while (!data.empty()) {
    const auto size = static_cast<size_t>(static_cast<unsigned char>(data.front()));
    data.remove_prefix(1);
    if (size > data.size()) return base::fail(Cause::malformed, "a string in a TXT record is cut off");
    out.append(data.substr(0, size));
    data.remove_prefix(size);
  }
  return out;
}

}  // namespace postern::auth
