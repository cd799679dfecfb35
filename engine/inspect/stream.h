// SPDX-License-Identifier: Apache-2.0
// Stream: one connection to an engine's server, with one deadline for all that is done over it. Used by one thread.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "engine/base/connect.h"
#include "engine/base/handle.h"
#include "engine/inspect/answer.h"

namespace postern::inspect {

class Stream {
 public:
  // connect waits until `connected` at most; `deadline` is for everything after that.
  static base::Result<Stream> connect(const base::Endpoint& endpoint, Deadline connected, Deadline deadline);

  // send sends `pieces`, one after the other, without copying them; true: all of them. It ends early, without error,
  // when the server says something or hangs up: then its answer is worth reading, but is about a part of what there
  // was. unavailable: the server did not take it in time.
  base::Result<bool> send(std::span<const std::string_view> pieces);

  // read appends what comes next to `to`; false at the end of the stream. unavailable: nothing came in time, or the
  // connection broke.
  base::Result<bool> read(std::string& to);
  // read_until reads until `end` has come, and returns what stands before it; limit when that is more than `most`
  // bytes. At the end of the stream what is there counts as all.
  base::Result<std::string> read_until(char end, size_t most);

 private:
  Stream(base::UniqueFd fd, Deadline deadline) : fd_(std::move(fd)), deadline_(deadline) {}
  base::UniqueFd fd_;
  Deadline deadline_;
};

}  // namespace postern::inspect
