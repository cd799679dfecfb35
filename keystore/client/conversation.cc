// SPDX-License-Identifier: Apache-2.0
// Conversation: the officer's connection. What is sent and received may hold passwords and keys, so both buffers are
// wiped; nothing is ever sent twice.
#include <poll.h>

#include "engine/base/handle.h"
#include "keystore/client/channel.h"
#include "keystore/client/client.h"

namespace postern::keystore {

namespace {

using base::Cause;

constexpr auto kConnectLimit = std::chrono::seconds(5);

class OpenConversation final : public Conversation {
 public:
  OpenConversation(base::UniqueFd fd, const std::string& socket)
      : fd_(std::move(fd)), socket_(socket), buffer_(std::make_unique_for_overwrite<char[]>(kMaxFrame)) {}

  base::Result<Reply> ask(Verb verb, std::string_view body, crypto::Deadline deadline) override {
    if (!fd_) return lost();
    if (body.size() > kMaxFrame - kRequestHeader) {
      return base::fail(Cause::limit, "the request does not fit into one frame");
    }
    const uint32_t milliseconds = milliseconds_left(deadline);
    if (milliseconds == 0) return base::fail(Cause::unavailable, "no time was left to ask fipsd");
    const uint32_t id = next_id_++;
    if (next_id_ == 0) next_id_ = 1;
    std::string frame = encode_request({verb, id, milliseconds}, body);
    Wire result = Wire::again;
    while ((result = send_now(fd_.get(), frame)) == Wire::again) {
      if (!wait_for(fd_.get(), POLLOUT, deadline)) break;
    }
    wipe_bytes(frame);
    if (result == Wire::again) return base::fail(Cause::unavailable, "fipsd at " + socket_ + " takes no request");
    return receive(id, deadline);
  }

 private:
  // receive waits for the reply to `id`. It is asked also when the request could not be sent: the server's last word
  // may be waiting there.
  base::Result<Reply> receive(uint32_t id, crypto::Deadline deadline) {
    for (;;) {
      if (!wait_for(fd_.get(), POLLIN, deadline)) {
        return base::fail(Cause::unavailable, "fipsd at " + socket_ + " did not answer in time");
      }
      size_t size = 0;
      const Wire got = receive_now(fd_.get(), {buffer_.get(), kMaxFrame}, size);
      if (got == Wire::again) continue;
      if (got == Wire::lost) return lost();
      const std::span<char> bytes(buffer_.get(), std::min(size, kMaxFrame));
      auto reply = size > kMaxFrame ? base::fail(Cause::malformed, "reply: too long")
                                    : decode_reply(std::string_view(bytes.data(), bytes.size()));
      wipe_bytes(bytes);
      if (!reply) {
        fd_.reset();
        return base::fail(Cause::unavailable,
                          "fipsd at " + socket_ + " gave no proper answer: " + reply.error().text());
      }
      if (reply->id == 0) fd_.reset();
      if (reply->id == 0 || reply->id == id) return reply;
    }
  }

  std::unexpected<base::Error> lost() {
    fd_.reset();
    return base::fail(Cause::unavailable, "the connection to fipsd at " + socket_ + " was lost");
  }

  base::UniqueFd fd_;
  const std::string socket_;
  const std::unique_ptr<char[]> buffer_;
  uint32_t next_id_ = 1;
};

}  // namespace

base::Result<std::unique_ptr<Conversation>> Conversation::open(const std::string& socket) {
  const auto made = new_socket();
  if (!made) return std::unexpected(made.error());
  base::UniqueFd fd(*made);
  bool timed_out = false;
  const auto connected = connect_socket(fd.get(), socket, std::chrono::steady_clock::now() + kConnectLimit, timed_out);
  if (!connected) return std::unexpected(connected.error());
  return std::make_unique<OpenConversation>(std::move(fd), socket);
}

}  // namespace postern::keystore
