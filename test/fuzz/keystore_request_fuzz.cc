// SPDX-License-Identifier: Apache-2.0
// Reaches, as fipsd does with what a client sends: decode_request, refusal, the decoder of every body. Checks that what
// was accepted is written again byte for byte, that every bound holds, and that a refusal can be read.
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
  if (!body) return;
  require(body->encode() == bytes);
  require(!T::decode(std::string(bytes) + '\0').has_value());
}

void try_bodies(std::string_view bytes) {
  try_body<SignBody>(bytes);
  try_body<DecryptBody>(bytes);
  try_body<NameBody>(bytes);
  try_body<SecretBody>(bytes);
  try_body<GenerateBody>(bytes);
  try_body<ImportBody>(bytes);
  try_body<SubjectBody>(bytes);
  try_body<PutCertificateBody>(bytes);
  try_body<DistrustBody>(bytes);
  try_body<BlobPiece>(bytes);
  try_body<AuditPage>(bytes);
  try_body<ListPage>(bytes);
  if (const auto body = SignBody::decode(bytes)) require(is_object_name(body->key) && body->input.size() <= kMaxInput);
  if (const auto body = NameBody::decode(bytes)) require(is_object_name(body->name));
  if (const auto body = BlobPiece::decode(bytes)) require(body->data.size() <= kMaxChunk && body->total <= kMaxBlob);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view frame(reinterpret_cast<const char*>(data), size);
  const auto request = decode_request(frame);
  if (request) {
    require(request->header.id != 0 && request->header.deadline_ms != 0 && size <= kMaxFrame);
    require(verb_name(request->header.verb) != "unknown");
    require(encode_request(request->header, request->body) == frame);
    try_bodies(request->body);
  } else {
    const Reply reply = refusal(frame);
    require(reply.status == Status::malformed || reply.status == Status::version ||
            reply.status == Status::unknown_verb);
    require(decode_reply(encode_reply(reply)).has_value());
    // Bodies are also read without a good header, so that the fuzzer need not find one first.
    try_bodies(frame);
  }
  return 0;
}
