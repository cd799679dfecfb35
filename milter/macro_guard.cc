// SPDX-License-Identifier: Apache-2.0
// libmilter takes it on trust that a packet of macros holds pairs of name and value: after one with an odd number of
// texts its smfi_getsymval runs past the end of the list, and a peer that means ill ends the daemon. So such packets
// are made harmless before libmilter sees them: this program defines read(), which libmilter's calls bind to, and
// accept(), which tells the connections apart from everything else that is read. A faulty macro packet loses its
// separators; libmilter finds no text in it and closes the connection.
//
// What is relied on: libmilter (8.15 to 8.18) reads a packet within one call of one thread, first 5 octets (length,
// command), then exactly the rest, each with what is still missing as the size asked for, into one buffer.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>

namespace {

constexpr size_t kHeader = 5;
constexpr char kMacros = 'D';

// Whether a descriptor came from accept(). One beyond the table is not watched: LimitNOFILE is the table's size.
std::array<std::atomic<bool>, 65536> g_accepted{};

bool watched(int descriptor) {
  return descriptor >= 0 && static_cast<size_t>(descriptor) < g_accepted.size() &&
         g_accepted[static_cast<size_t>(descriptor)].load(std::memory_order_relaxed);
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
  const ssize_t got = ::syscall(SYS_read, descriptor, buffer, size);
  if (got > 0 && watched(descriptor)) {
    watch(descriptor, static_cast<char*>(buffer), size, static_cast<size_t>(got));
  }
  return got;
}

extern "C" int accept(int descriptor, sockaddr* __restrict address, socklen_t* __restrict size) {
  const int connection = static_cast<int>(::syscall(SYS_accept4, descriptor, address, size, 0));
  if (connection >= 0 && static_cast<size_t>(connection) < g_accepted.size()) {
    g_accepted[static_cast<size_t>(connection)].store(true, std::memory_order_relaxed);
  }
  return connection;
}
