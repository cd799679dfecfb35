// SPDX-License-Identifier: Apache-2.0
// Frames, their words and their mapping to errors; the bodies are in bodies.cc. Numbers are big-endian. A frame is
// refused as a whole: no field of a bad frame is used, but for the id that its refusal carries. Pure functions.
#include "keystore/protocol/protocol.h"

#include <algorithm>

#include "engine/base/text.h"

namespace postern::keystore {

namespace {

using base::Cause;

struct VerbRow {
  Verb verb;
  std::string_view name;
};
constexpr VerbRow kVerbs[] = {
    {Verb::ping, "ping"},
    {Verb::status, "status"},
    {Verb::list, "list"},
    {Verb::describe, "describe"},
    {Verb::certificate, "certificate"},
    {Verb::sign, "sign"},
    {Verb::decrypt, "decrypt"},
    {Verb::login, "login"},
    {Verb::logout, "logout"},
    {Verb::initialise, "initialise"},
    {Verb::change_password, "change-password"},
    {Verb::generate_key, "generate-key"},
    {Verb::import_key, "import-key"},
    {Verb::destroy_key, "destroy-key"},
    {Verb::make_request, "make-request"},
    {Verb::self_sign, "self-sign"},
    {Verb::put_certificate, "put-certificate"},
    {Verb::drop_certificate, "drop-certificate"},
    {Verb::distrust, "distrust"},
    {Verb::backup, "backup"},
    {Verb::restore, "restore"},
    {Verb::zeroise, "zeroise"},
    {Verb::self_test, "self-test"},
    {Verb::audit_read, "audit-read"},
    {Verb::blob_get, "blob-get"},
    {Verb::blob_put, "blob-put"},
    {Verb::clear_error, "clear-error"},
};

// A status, its word, and what its receiver can do.
struct StatusRow {
  Status status;
  std::string_view name;
  Cause cause;
};
constexpr StatusRow kStatuses[] = {
    {Status::ok, "ok", Cause::internal},
    {Status::malformed, "malformed", Cause::malformed},
    {Status::version, "version", Cause::misconfigured},
    {Status::unknown_verb, "unknown-verb", Cause::misconfigured},
    {Status::not_found, "not-found", Cause::not_found},
    {Status::denied, "denied", Cause::denied},
    {Status::not_allowed, "not-allowed", Cause::misconfigured},
    {Status::busy, "busy", Cause::unavailable},
    {Status::expired, "expired", Cause::unavailable},
    {Status::unavailable, "unavailable", Cause::unavailable},
    {Status::uninitialised, "uninitialised", Cause::misconfigured},
    {Status::zeroised, "zeroised", Cause::misconfigured},
    {Status::error_state, "error", Cause::misconfigured},
    {Status::login_required, "login-required", Cause::denied},
    {Status::wrong_password, "wrong-password", Cause::denied},
    {Status::exists, "exists", Cause::denied},
    {Status::audit_full, "audit-full", Cause::unavailable},
    {Status::failed, "failed", Cause::internal},
};

const StatusRow* status_row(uint8_t status) {
  // The rows stand in the order of their numbers.
  return status < std::size(kStatuses) ? &kStatuses[status] : nullptr;
}

const VerbRow* verb_row(uint8_t verb) {
  const auto* row = std::ranges::find(kVerbs, static_cast<Verb>(verb), &VerbRow::verb);
  return row == std::end(kVerbs) ? nullptr : row;
}

}  // namespace

Writer& Writer::u8(uint8_t value) {
  out_.push_back(static_cast<char>(value));
  return *this;
}

Writer& Writer::u16(uint16_t value) { return u8(static_cast<uint8_t>(value >> 8)).u8(static_cast<uint8_t>(value)); }

Writer& Writer::u32(uint32_t value) {
  return u16(static_cast<uint16_t>(value >> 16)).u16(static_cast<uint16_t>(value));
}

Writer& Writer::u64(uint64_t value) {
  return u32(static_cast<uint32_t>(value >> 32)).u32(static_cast<uint32_t>(value));
}

Writer& Writer::text(std::string_view value) {
  u16(static_cast<uint16_t>(std::min<size_t>(value.size(), UINT16_MAX)));
  out_.append(value);
  return *this;
}

Writer& Writer::blob(std::string_view value) {
  u32(static_cast<uint32_t>(std::min<size_t>(value.size(), UINT32_MAX)));
  out_.append(value);
  return *this;
}

std::string_view Reader::take(size_t count) {
  if (!ok_ || rest_.size() < count) {
    ok_ = false;
    return {};
  }
  const std::string_view taken = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return taken;
}

uint8_t Reader::u8() {
  const std::string_view byte = take(1);
  return byte.empty() ? 0 : static_cast<uint8_t>(byte[0]);
}

uint16_t Reader::u16() {
  const std::string_view bytes = take(2);
  if (bytes.empty()) return 0;
  return static_cast<uint16_t>(static_cast<uint8_t>(bytes[0]) << 8 | static_cast<uint8_t>(bytes[1]));
}

uint32_t Reader::u32() {
  const std::string_view bytes = take(4);
  uint32_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

uint64_t Reader::u64() {
  const std::string_view bytes = take(8);
  uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

std::string_view Reader::text(size_t most) {
  const size_t size = u16();
  if (size > most) ok_ = false;
  return take(size);
}

std::string_view Reader::blob(size_t most) {
  const size_t size = u32();
  if (size > most) ok_ = false;
  return take(size);
}

std::string encode_request(const RequestHeader& header, std::string_view body) {
  Writer out(kRequestHeader + body.size());
  out.u8(kProtocolVersion).u8(static_cast<uint8_t>(header.verb)).u16(0).u32(header.id).u32(header.deadline_ms);
  std::string frame = out.take();
  frame.append(body);
  return frame;
}

base::Result<Request> decode_request(std::string_view frame) {
  if (frame.size() > kMaxFrame) return base::fail(Cause::malformed, "request: too long");
  Reader in(frame);
  const uint8_t version = in.u8();
  const uint8_t verb = in.u8();
  const uint16_t zero = in.u16();
  Request request;
  request.header.verb = static_cast<Verb>(verb);
  request.header.id = in.u32();
  request.header.deadline_ms = in.u32();
  if (!in.ok()) return base::fail(Cause::malformed, "request: too short");
  if (version != kProtocolVersion) return base::fail(Cause::malformed, "request: another protocol version");
  if (zero != 0) return base::fail(Cause::malformed, "request: bytes 2 and 3 are not zero");
  if (request.header.id == 0) return base::fail(Cause::malformed, "request: id 0");
  if (verb_row(verb) == nullptr) return base::fail(Cause::malformed, "request: unknown verb");
  if (request.header.deadline_ms == 0) return base::fail(Cause::malformed, "request: no deadline");
  request.body = frame.substr(kRequestHeader);
  return request;
}

Reply refusal(std::string_view frame) {
  // Version and id stand where they stand in every version.
  Reader in(frame);
  const uint8_t version = in.u8();
  const uint8_t verb = in.u8();
  const uint16_t zero = in.u16();
  const uint32_t id = in.u32();
  if (!in.ok()) return {0, Status::malformed, "the frame is too short"};
  if (version != kProtocolVersion) {
    return {id, Status::version, "this fipsd speaks version " + std::to_string(kProtocolVersion) + " of the protocol"};
  }
  if (zero == 0 && id != 0 && frame.size() >= kRequestHeader && frame.size() <= kMaxFrame &&
      verb_row(verb) == nullptr) {
    return {id, Status::unknown_verb, "this fipsd knows no verb " + std::to_string(verb)};
  }
  return {id, Status::malformed, "the frame is not a request"};
}

std::string encode_reply(const Reply& reply) {
  std::string_view body = reply.body;
  if (reply.status != Status::ok) body = body.substr(0, kMaxText);
  Writer out(kReplyHeader + body.size());
  out.u8(kProtocolVersion).u8(static_cast<uint8_t>(reply.status)).u16(0).u32(reply.id);
  std::string frame = out.take();
  frame.append(body);
  return frame;
}

base::Result<Reply> decode_reply(std::string_view frame) {
  if (frame.size() > kMaxFrame) return base::fail(Cause::malformed, "reply: too long");
  Reader in(frame);
  const uint8_t version = in.u8();
  const uint8_t status = in.u8();
  const uint16_t zero = in.u16();
  const uint32_t id = in.u32();
  if (!in.ok()) return base::fail(Cause::malformed, "reply: too short");
  // A server of another version says so in its own version.
  if (version != kProtocolVersion && status != static_cast<uint8_t>(Status::version)) {
    return base::fail(Cause::malformed, "reply: another protocol version");
  }
  if (zero != 0) return base::fail(Cause::malformed, "reply: bytes 2 and 3 are not zero");
  if (status_row(status) == nullptr) return base::fail(Cause::malformed, "reply: unknown status");
  const std::string_view body = frame.substr(kReplyHeader);
  if (status != static_cast<uint8_t>(Status::ok) && body.size() > kMaxText) {
    return base::fail(Cause::malformed, "reply: text too long");
  }
  return Reply{id, static_cast<Status>(status), std::string(body)};
}

std::string_view verb_name(Verb verb) {
  const VerbRow* row = verb_row(static_cast<uint8_t>(verb));
  return row == nullptr ? "unknown" : row->name;
}

std::string_view status_name(Status status) {
  const StatusRow* row = status_row(static_cast<uint8_t>(status));
  return row == nullptr ? "unknown" : row->name;
}

base::Error to_error(const Reply& reply) {
  const StatusRow* row = status_row(static_cast<uint8_t>(reply.status));
  const Cause cause = row == nullptr ? Cause::internal : row->cause;
  return {cause, reply.body.empty() ? std::string(status_name(reply.status)) : reply.body};
}

Status from_error(const base::Error& error) {
  switch (error.cause()) {
    case Cause::malformed:
    case Cause::limit:
      return Status::malformed;
    case Cause::not_found:
      return Status::not_found;
    case Cause::denied:
      return Status::denied;
    case Cause::unavailable:
      return Status::unavailable;
    case Cause::misconfigured:
      return Status::not_allowed;
    case Cause::internal:
      break;
  }
  return Status::failed;
}

namespace {
constexpr std::pair<Use, std::string_view> kUses[] = {{Use::dkim, "dkim"},
                                                      {Use::smime, "smime"},
                                                      {Use::tls_server, "tls-server"},
                                                      {Use::tls_client, "tls-client"},
                                                      {Use::ldap, "ldap"}};
}  // namespace

std::string_view use_name(Use use) {
  for (const auto& [one, name] : kUses) {
    if (one == use) return name;
  }
  return "unknown";
}

std::string uses_text(uint32_t uses) {
  std::string text;
  for (const auto& [use, name] : kUses) {
    if ((uses & static_cast<uint32_t>(use)) == 0) continue;
    if (!text.empty()) text += ',';
    text += name;
  }
  return text;
}

std::optional<uint32_t> uses_from(std::string_view text) {
  uint32_t uses = 0;
  for (const std::string_view word : base::split(text, ',')) {
    const auto* row = std::ranges::find(kUses, base::trim(word), &std::pair<Use, std::string_view>::second);
    if (row == std::end(kUses)) return std::nullopt;
    uses |= static_cast<uint32_t>(row->first);
  }
  if (uses == 0) return std::nullopt;
  return uses;
}

bool is_object_name(std::string_view name) {
  const auto letter_or_digit = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  };
  if (name.empty() || name.size() > kMaxName || !letter_or_digit(name[0])) return false;
  return std::ranges::all_of(name, [&](char c) { return letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
}

}  // namespace postern::keystore
