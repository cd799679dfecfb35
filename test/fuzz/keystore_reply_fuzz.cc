// SPDX-License-Identifier: Apache-2.0
// Reaches, as a client does with what comes from fipsd's socket: decode_reply, to_error, the bodies of answers. Checks
// that what was accepted is written again byte for byte and within its bounds.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "keystore/protocol/protocol.h"

namespace {

using namespace postern::keystore;

void require(bool holds) {
  if (!holds) std::abort();
}

template <class T>
void try_body(std::string_view bytes) {
  const auto body = T::decode(bytes);
  if (body) require(body->encode() == bytes);
}

void try_bodies(std::string_view bytes) {
  try_body<DescribeReply>(bytes);
  try_body<BlobPiece>(bytes);
  try_body<AuditPage>(bytes);
  try_body<ListPage>(bytes);
  if (const auto body = DescribeReply::decode(bytes)) require(body->spki.size() <= kMaxSpki && body->type >= 1);
  if (const auto body = ListPage::decode(bytes)) require(body->next <= kMaxList && body->data.size() <= kMaxChunk);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view frame(reinterpret_cast<const char*>(data), size);
  const auto reply = decode_reply(frame);
  if (!reply) {
    try_bodies(frame);
    return 0;
  }
  require(size <= kMaxFrame && status_name(reply->status) != "unknown");
  if (reply->status == Status::ok) {
    try_bodies(reply->body);
  } else {
    require(reply->body.size() <= kMaxText && !to_error(*reply).text().empty());
  }
  std::string again = encode_reply(*reply);
  // A server of another version says so in its own.
  if (reply->status == Status::version) again[0] = static_cast<char>(data[0]);
  require(again == frame);
  return 0;
}
