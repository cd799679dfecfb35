// SPDX-License-Identifier: Apache-2.0
// Channel: the system calls of one connection to fipsd. None waits longer than its deadline, whatever the other side
// does or does not do, and none raises a signal. Any thread.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/crypto/key_ops.h"

namespace postern::keystore {

// Wire is how one attempt to send or receive ended: done, nothing moved without waiting, or the connection is gone.
enum class Wire : uint8_t { done, again, lost };

// new_socket makes a socket that connect_socket may connect; apart, so that its owner can note the descriptor first.
base::Result<int> new_socket();
// connect_socket connects `fd` to `path`: unavailable when nobody listens there, denied without permission; `timed_out`
// tells that somebody listens who did not take the connection by `deadline`. It is tried once however late it is.
base::Result<void> connect_socket(int fd, const std::string& path, crypto::Deadline deadline, bool& timed_out);

// send_now sends one frame or nothing.
Wire send_now(int fd, std::string_view frame);
// receive_now takes one frame into `buffer`; `size` is its true size, which may be larger than the buffer. What was
// sent before the connection went is still received.
Wire receive_now(int fd, std::span<char> buffer, size_t& size);
// wait_for waits for `events` of poll(2), a hang-up or an error; false when `deadline` came first.
bool wait_for(int fd, short events, crypto::Deadline deadline);

// milliseconds_left is what a request's deadline_ms says: at least 1, at most an hour; 0 when `deadline` has passed.
uint32_t milliseconds_left(crypto::Deadline deadline);

// wipe_bytes overwrites memory that may have held a secret.
void wipe_bytes(std::span<char> bytes);

}  // namespace postern::keystore
