// SPDX-License-Identifier: Apache-2.0
// Protocol: the frames between fipsd and its clients over SOCK_SEQPACKET Unix sockets; keystore/PROTOCOL.md is the
// contract in words. One datagram is one frame. Encoder and decoder of each frame stand beside each other; every field
// has a bound, every frame must be consumed to its end, and neither side trusts the other. Pure functions, no threads.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace postern::keystore {

inline constexpr uint8_t kProtocolVersion = 1;
inline constexpr size_t kMaxFrame = 64u << 10;
inline constexpr size_t kRequestHeader = 12;
inline constexpr size_t kReplyHeader = 8;
inline constexpr size_t kMaxName = 64;    // of a key or certificate: [A-Za-z0-9][A-Za-z0-9._-]*
inline constexpr size_t kMaxText = 4096;  // of a message for people
inline constexpr size_t kMaxPassword = 1024;
inline constexpr size_t kMaxAddress = 256;      // of reported_address
inline constexpr size_t kMaxInput = 48u << 10;  // of a sign request
inline constexpr size_t kMaxCiphertext = 2048;  // RSA with 16384 bits
inline constexpr size_t kMaxLabel = 1024;       // of OAEP
inline constexpr size_t kMaxPkcs8 = 16u << 10;  // of a key to import
inline constexpr size_t kMaxChain = 40u << 10;  // of certificates in PEM
inline constexpr size_t kMaxSpki = 4096;        // of a public key
inline constexpr size_t kMaxChunk = 48u << 10;  // of a blob moved in pieces (backup, PKCS#12, audit)
inline constexpr size_t kMaxBlob = 16u << 20;
inline constexpr size_t kMaxList = 4096;  // entries of one list answer, over all pages

// Verb is what a request asks for. The first group may be allowed to any socket; the second belongs to the officer
// socket, and what follows `login` in the table of PROTOCOL.md needs an officer session on the same connection.
enum class Verb : uint8_t {
  ping = 1,
  status = 2,       // → JSON text, the object of `fipsconfig status --json`
  list = 3,         // page → page of JSON text (keys and certificates this socket may see)
  describe = 4,     // name → type, bits, SPKI
  certificate = 5,  // name → PEM chain
  sign = 6,
  decrypt = 7,

  login = 32,
  logout = 33,
  initialise = 34,
  change_password = 35,
  generate_key = 36,
  import_key = 37,
  destroy_key = 38,
  make_request = 39,     // CSR: name, subject, SANs → DER
  self_sign = 40,        // certificate for tests: name, subject, SANs, days → PEM
  put_certificate = 41,  // name, PEM chain
  drop_certificate = 42,
  distrust = 43,  // add or remove an entry of the distrust list
  backup = 44,    // password → blob
  restore = 45,   // blob, password
  zeroise = 46,
  self_test = 47,
  audit_read = 48,   // from sequence number → page of records
  blob_get = 49,     // offset → piece of the connection's blob
  blob_put = 50,     // offset, total, piece → into the connection's blob
  clear_error = 51,  // run self tests and leave the state `error` when they pass
};

// Status is a reply's first word; everything but ok carries a text for people.
enum class Status : uint8_t {
  ok = 0,
  malformed = 1,  // the frame or a value in it
  version = 2,    // not our protocol version; the text says ours
  unknown_verb = 3,
  not_found = 4,    // no such key or certificate
  denied = 5,       // this socket, peer or key may not
  not_allowed = 6,  // the FIPS policy or the key's use forbids it
  busy = 7,         // queue full or rate limit: try again later
  expired = 8,      // waited longer than the request's deadline; nothing was done
  unavailable = 9,  // the token does not answer
  uninitialised = 10,
  zeroised = 11,     // also while zeroising
  error_state = 12,  // a self-test failed
  login_required = 13,
  wrong_password = 14,
  exists = 15,
  audit_full = 16,  // no record can be written, so no key is used
  failed = 17,      // anything else; decryption fails with this and one fixed text only
};

// RequestHeader begins every request. `deadline_ms` is how long the answer is worth waiting for, from arrival; 0 is
// malformed. `id` is chosen by the client and echoed; ids of requests in flight on one connection must differ.
struct RequestHeader {
  Verb verb = Verb::ping;
  uint32_t id = 0;
  uint32_t deadline_ms = 0;
};

struct Request {
  RequestHeader header;
  std::string_view body;  // points into the frame
};

struct Reply {
  uint32_t id = 0;
  Status status = Status::ok;
  std::string body;  // ok: by verb; else the text
};

// A reply with id 0 is a last word from the server before it closes the connection (zeroised, idle).

// encode_request and encode_reply write one frame, each into memory taken once, so that wiping the result leaves no
// copy behind. encode_reply cuts a text for people at kMaxText; what does not fit a frame is the caller's to see to.
std::string encode_request(const RequestHeader& header, std::string_view body);
base::Result<Request> decode_request(std::string_view frame);
std::string encode_reply(const Reply& reply);
base::Result<Reply> decode_reply(std::string_view frame);
// refusal is what a server answers to a frame that decode_request refused: `version`, `unknown_verb` or `malformed`,
// with the request's id where one can be read, else with id 0.
Reply refusal(std::string_view frame);

// is_officer_verb tells whether `verb` belongs to officer sockets only.
constexpr bool is_officer_verb(Verb verb) { return static_cast<uint8_t>(verb) >= static_cast<uint8_t>(Verb::login); }

std::string_view verb_name(Verb verb);
std::string_view status_name(Status status);
// to_error maps a reply that is not ok to an Error by what the caller can do; from_error is the way back for servers.
base::Error to_error(const Reply& reply);
Status from_error(const base::Error& error);

// Writer builds a body. Texts are u16 length + bytes, blobs u32 length + bytes, numbers big-endian.
// `size` is what will be written at most: memory is taken once, so that no copy of a secret stays behind.
class Writer {
 public:
  explicit Writer(size_t size) { out_.reserve(size); }
  Writer& u8(uint8_t value);
  Writer& u16(uint16_t value);
  Writer& u32(uint32_t value);
  Writer& u64(uint64_t value);
  Writer& text(std::string_view value);
  Writer& blob(std::string_view value);
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

// Reader takes a body apart; after the first fault every read gives zero values and ok() is false. done() must be asked
// at the end: it is false when bytes are left over.
class Reader {
 public:
  explicit Reader(std::string_view body) : rest_(body) {}
  uint8_t u8();
  uint16_t u16();
  uint32_t u32();
  uint64_t u64();
  std::string_view text(size_t most);
  std::string_view blob(size_t most);
  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }

 private:
  std::string_view take(size_t count);
  std::string_view rest_;
  bool ok_ = true;
};

// Bodies. Each has `std::string encode() const` and `static base::Result<T> decode(std::string_view)`. Strings are
// views into the frame after decode(). encode() checks nothing: what breaks a bound is refused by the decoder.
struct SignBody {
  std::string_view key;
  uint8_t algorithm = 0;  // crypto::SignAlgorithm
  uint8_t hash = 0;       // crypto::Hash
  std::string_view input;
  std::string encode() const;
  static base::Result<SignBody> decode(std::string_view body);
};

struct DecryptBody {
  std::string_view key;
  uint8_t algorithm = 0;  // crypto::DecryptAlgorithm
  uint8_t hash = 0;
  std::string_view label;
  std::string_view ciphertext;
  std::string encode() const;
  static base::Result<DecryptBody> decode(std::string_view body);
};

// NameBody: describe, certificate, destroy_key, drop_certificate.
struct NameBody {
  std::string_view name;
  std::string encode() const;
  static base::Result<NameBody> decode(std::string_view body);
};

struct DescribeReply {
  uint8_t type = 0;  // crypto::KeyType
  uint32_t bits = 0;
  std::string_view spki;
  std::string encode() const;
  static base::Result<DescribeReply> decode(std::string_view body);
};

// SecretBody: login, backup, zeroise (password), initialise (new password), change_password (old in `extra`, new in
// `password`). `reported_address` is what the client says of where the person sits (SSH_CONNECTION); it is not
// believed.
struct SecretBody {
  std::string_view password;
  std::string_view extra;
  std::string_view reported_address;
  std::string encode() const;
  static base::Result<SecretBody> decode(std::string_view body);
};

struct GenerateBody {
  std::string_view name;
  uint8_t type = 0;    // crypto::KeyType
  uint32_t bits = 0;   // RSA
  uint32_t uses = 0;   // bits of Use
  uint8_t backup = 1;  // 0: never leaves the token, no backup holds it
  std::string encode() const;
  static base::Result<GenerateBody> decode(std::string_view body);
};

// ImportBody: the key as PKCS#8 DER (unencrypted: the connection is local and the frame is wiped after use).
struct ImportBody {
  std::string_view name;
  uint32_t uses = 0;
  uint8_t backup = 1;
  std::string_view pkcs8;
  std::string_view chain;  // PEM certificates or empty
  std::string encode() const;
  static base::Result<ImportBody> decode(std::string_view body);
};

// SubjectBody: make_request, self_sign. `subject` is an RFC 4514 name, `names` DNS names and addresses for
// subjectAltName separated by ','; `days` only for self_sign.
struct SubjectBody {
  std::string_view name;
  std::string_view subject;
  std::string_view names;
  uint32_t days = 0;
  std::string encode() const;
  static base::Result<SubjectBody> decode(std::string_view body);
};

struct PutCertificateBody {
  std::string_view name;
  std::string_view chain;  // PEM, leaf first
  std::string encode() const;
  static base::Result<PutCertificateBody> decode(std::string_view body);
};

// DistrustBody: `entry` is "spki:HEX" (SHA-256 of a SubjectPublicKeyInfo), "issuer:RFC4514-name" or
// "serial:HEX:RFC4514-issuer".
struct DistrustBody {
  uint8_t add = 1;
  std::string_view entry;
  std::string encode() const;
  static base::Result<DistrustBody> decode(std::string_view body);
};

struct BlobPiece {
  uint32_t offset = 0;
  uint32_t total = 0;  // blob_put, and in the answer to blob_get
  std::string_view data;
  std::string encode() const;
  static base::Result<BlobPiece> decode(std::string_view body);
};

// AuditPage: audit_read asks with `from` and `data` empty; the answer holds whole records, one a line, and `next`, the
// sequence number to ask for next (equal to `from` when there is nothing more).
struct AuditPage {
  uint64_t from = 0;
  uint64_t next = 0;
  std::string_view data;
  std::string encode() const;
  static base::Result<AuditPage> decode(std::string_view body);
};

// ListPage: list asks with `from`, an index; the answer is a JSON array of objects and the index to go on with (0: all
// told).
struct ListPage {
  uint32_t from = 0;
  uint32_t next = 0;
  std::string_view data;
  std::string encode() const;
  static base::Result<ListPage> decode(std::string_view body);
};

// Use is what a key is for; it decides which algorithms and which sockets may use it. Bits, as in GenerateBody::uses.
enum class Use : uint32_t { dkim = 1, smime = 2, tls_server = 4, tls_client = 8, ldap = 16 };
inline constexpr uint32_t kAllUses = 31;
// use_name gives "dkim", "smime", "tls-server", "tls-client", "ldap"; uses_text writes a list separated by ',' and
// uses_from reads one (nullopt when it is empty or a word is unknown).
std::string_view use_name(Use use);
std::string uses_text(uint32_t uses);
std::optional<uint32_t> uses_from(std::string_view text);

// is_object_name tells whether `name` may name a key or certificate.
bool is_object_name(std::string_view name);

}  // namespace postern::keystore
