// SPDX-License-Identifier: Apache-2.0
// What libmilter reads from the MTA passes here first: this program defines read(), poll(), accept() and close(), which
// libmilter's calls bind to. accept() tells the MTA's connections apart from everything else that is read.
//
// Reading ahead: libmilter asks the system four times a packet (poll, 5 octets, poll, the rest), and a message of 4 KB
// comes in some thirty packets that the MTA wrote together. So a read takes what has arrived, up to kAhead octets more
// than asked, and the next reads and polls of that connection are answered from it.
//
// Macro packets: libmilter takes it on trust that they hold pairs of name and value: after one with an odd number of
// texts its smfi_getsymval runs past the end of the list, and a peer that means ill ends the daemon. So such packets
// are made harmless before libmilter sees them. A faulty macro packet loses its separators; libmilter finds no text in
// it and closes the connection.
//
// What is relied on: libmilter (8.15 to 8.18) reads a packet within one call of one thread, first 5 octets (length,
// command), then exactly the rest, each with what is still missing as the size asked for, into one buffer. A connection
// is read by one thread at a time and passed to another under libmilter's lock.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

constexpr size_t kHeader = 5;
constexpr char kMacros = 'D';
constexpr size_t kAhead = 16384;

// Whether a descriptor came from accept(). One beyond the table is not watched: LimitNOFILE is the table's size.
std::array<std::atomic<bool>, 65536> g_accepted{};

bool watched(int descriptor) {
  return descriptor >= 0 && static_cast<size_t>(descriptor) < g_accepted.size() &&
         g_accepted[static_cast<size_t>(descriptor)].load(std::memory_order_relaxed);
}

// Ahead is what was read of a connection and not yet asked for; its octets follow it. It is freed with its last octet.
struct Ahead {
  size_t begin = 0;
  size_t size = 0;
  char* octets() { return reinterpret_cast<char*>(this + 1); }
};
std::array<std::atomic<Ahead*>, g_accepted.size()> g_ahead{};
std::atomic<size_t> g_connections_ahead = 0;

Ahead* ahead_of(int descriptor) {
  return watched(descriptor) ? g_ahead[static_cast<size_t>(descriptor)].load(std::memory_order_acquire) : nullptr;
}

void forget_ahead(int descriptor) {
  std::free(g_ahead[static_cast<size_t>(descriptor)].exchange(nullptr, std::memory_order_acq_rel));
  g_connections_ahead.fetch_sub(1, std::memory_order_relaxed);
}

size_t take_ahead(int descriptor, Ahead& ahead, char* buffer, size_t size) {
  const size_t taken = std::min(size, ahead.size);
  std::memcpy(buffer, ahead.octets() + ahead.begin, taken);
  ahead.begin += taken;
  ahead.size -= taken;
  if (ahead.size == 0) forget_ahead(descriptor);
  return taken;
}

void keep_ahead(int descriptor, const char* data, size_t size) {
  void* memory = std::malloc(sizeof(Ahead) + size);
  if (memory == nullptr)
    std::abort();  // the octets are off the socket: without them the stream would be a different one
  Ahead* ahead = new (memory) Ahead{.begin = 0, .size = size};
  std::memcpy(ahead->octets(), data, size);
  g_ahead[static_cast<size_t>(descriptor)].store(ahead, std::memory_order_release);
  g_connections_ahead.fetch_add(1, std::memory_order_relaxed);
}

// Reads into `buffer` what has arrived or was kept; what came beyond `size` octets is kept.
ssize_t read_ahead(int descriptor, char* buffer, size_t size) {
  if (Ahead* ahead = ahead_of(descriptor); ahead != nullptr) {
    return static_cast<ssize_t>(take_ahead(descriptor, *ahead, buffer, size));
  }
  thread_local std::array<char, kAhead> t_beyond;
  const std::array<iovec, 2> into{{{buffer, size}, {t_beyond.data(), t_beyond.size()}}};
  const ssize_t got = ::syscall(SYS_readv, descriptor, into.data(), into.size());
  if (got <= static_cast<ssize_t>(size)) return got;
  keep_ahead(descriptor, t_beyond.data(), static_cast<size_t>(got) - size);
  return static_cast<ssize_t>(size);
}

// Packet is what this thread has read of the packet it is reading.
struct Packet {
  int descriptor = -1;
  size_t header_read = 0;
  std::array<char, kHeader> header{};
  size_t missing = 0;  // octets of a macro packet still to come
  size_t read = 0;     // octets of it in the buffer
};
thread_local constinit Packet t_packet;

// Macros: the letter of a step, then name NUL value NUL, and so on.
bool is_sound(const char* data, size_t size) {
  if (size < 2) return size == 1;
  return data[size - 1] == '\0' && std::count(data + 1, data + size, '\0') % 2 == 0;
}

void watch(int descriptor, char* buffer, size_t asked, size_t got) {
  Packet& packet = t_packet;
  if (packet.descriptor == descriptor && packet.missing != 0 && asked == packet.missing) {
    packet.read += got;
    packet.missing -= got;
    if (packet.missing != 0) return;
    char* data = buffer + got - packet.read;
    if (!is_sound(data, packet.read)) std::replace(data, data + packet.read, '\0', ' ');
    return;
  }
  packet.missing = 0;
  if (asked == kHeader) {
    packet.descriptor = descriptor;
    packet.header_read = 0;
  }
  if (packet.descriptor != descriptor || asked != kHeader - packet.header_read) return;
  std::memcpy(packet.header.data() + packet.header_read, buffer, got);
  packet.header_read += got;
  if (packet.header_read < kHeader) return;
  uint32_t length = 0;
  std::memcpy(&length, packet.header.data(), sizeof length);
  length = ntohl(length);
  packet.header_read = 0;
  if (packet.header[kHeader - 1] != kMacros || length < 2) return;
  packet.missing = length - 1;
  packet.read = 0;
}

}  // namespace

extern "C" ssize_t read(int descriptor, void* buffer, size_t size) {
  if (!watched(descriptor) || size == 0) return ::syscall(SYS_read, descriptor, buffer, size);
  const ssize_t got = read_ahead(descriptor, static_cast<char*>(buffer), size);
  if (got > 0) watch(descriptor, static_cast<char*>(buffer), size, static_cast<size_t>(got));
  return got;
}

extern "C" int poll(pollfd* descriptors, nfds_t count, int timeout) {
  const auto kept = [](const pollfd& each) { return (each.events & POLLIN) != 0 && ahead_of(each.fd) != nullptr; };
  const bool some =
      g_connections_ahead.load(std::memory_order_relaxed) != 0 && std::any_of(descriptors, descriptors + count, kept);
  if (some && count == 1) {
    descriptors->revents = POLLIN;
    return 1;
  }
  if (some) timeout = 0;
  const timespec wait{.tv_sec = timeout / 1000, .tv_nsec = (timeout % 1000) * 1000000L};
  int ready = ::ppoll(descriptors, count, timeout < 0 ? nullptr : &wait, nullptr);
  if (!some || ready < 0) return ready;
  for (pollfd* each = descriptors; each != descriptors + count; ++each) {
    if (!kept(*each)) continue;
    if (each->revents == 0) ++ready;
    each->revents = static_cast<short>(each->revents | POLLIN);
  }
  return ready;
}

extern "C" int accept(int descriptor, sockaddr* __restrict address, socklen_t* __restrict size) {
  const int connection = static_cast<int>(::syscall(SYS_accept4, descriptor, address, size, 0));
  if (connection >= 0 && static_cast<size_t>(connection) < g_accepted.size()) {
    g_accepted[static_cast<size_t>(connection)].store(true, std::memory_order_relaxed);
  }
  return connection;
}

// The number may be another file's the next moment, so the connection is forgotten first.
extern "C" int close(int descriptor) {
  if (watched(descriptor)) {
    if (ahead_of(descriptor) != nullptr) forget_ahead(descriptor);
    g_accepted[static_cast<size_t>(descriptor)].store(false, std::memory_order_relaxed);
  }
  return static_cast<int>(::syscall(SYS_close, descriptor));
}
