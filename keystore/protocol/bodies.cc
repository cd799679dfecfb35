// SPDX-License-Identifier: Apache-2.0
// Bodies of requests and answers: each encoder beside its decoder, fields in the order of PROTOCOL.md. A decoder takes
// a body only when every field is within its bounds and no byte is left over. Pure functions.
#include "keystore/protocol/protocol.h"

namespace postern::keystore {

namespace {

using base::Cause;

// The numbers of engine/x509/algorithms.h, whose meaning with each other is the policy's to judge.
bool is_sign_algorithm(uint8_t value) { return value >= 1 && value <= 4; }
bool is_decrypt_algorithm(uint8_t value) { return value >= 1 && value <= 2; }
bool is_hash(uint8_t value) { return value <= 4; }
bool is_key_type(uint8_t value) { return value >= 1 && value <= 4; }
bool is_flag(uint8_t value) { return value <= 1; }
bool are_uses(uint32_t value) { return (value & ~kAllUses) == 0; }

constexpr size_t kText = 2;  // bytes of a text's length, and of a blob's
constexpr size_t kBlob = 4;

template <class T>
base::Result<T> whole(const Reader& in, bool valid, const T& body, std::string_view what) {
  if (in.done() && valid) return body;
  return base::fail(Cause::malformed, std::string(what) + ": the body is not one");
}

}  // namespace

std::string SignBody::encode() const {
  return Writer(kText + key.size() + 2 + kBlob + input.size()).text(key).u8(algorithm).u8(hash).blob(input).take();
}

base::Result<SignBody> SignBody::decode(std::string_view body) {
  Reader in(body);
  SignBody out;
  out.key = in.text(kMaxName);
  out.algorithm = in.u8();
  out.hash = in.u8();
  out.input = in.blob(kMaxInput);
  return whole(in, is_object_name(out.key) && is_sign_algorithm(out.algorithm) && is_hash(out.hash), out, "sign");
}

std::string DecryptBody::encode() const {
  return Writer(kText + key.size() + 2 + kText + label.size() + kBlob + ciphertext.size())
      .text(key)
      .u8(algorithm)
      .u8(hash)
      .text(label)
      .blob(ciphertext)
      .take();
}

base::Result<DecryptBody> DecryptBody::decode(std::string_view body) {
  Reader in(body);
  DecryptBody out;
  out.key = in.text(kMaxName);
  out.algorithm = in.u8();
  out.hash = in.u8();
  out.label = in.text(kMaxLabel);
  out.ciphertext = in.blob(kMaxCiphertext);
  return whole(in, is_object_name(out.key) && is_decrypt_algorithm(out.algorithm) && is_hash(out.hash), out, "decrypt");
}

std::string NameBody::encode() const { return Writer(kText + name.size()).text(name).take(); }

base::Result<NameBody> NameBody::decode(std::string_view body) {
  Reader in(body);
  NameBody out;
  out.name = in.text(kMaxName);
  return whole(in, is_object_name(out.name), out, "name");
}

std::string DescribeReply::encode() const {
  return Writer(5 + kBlob + spki.size()).u8(type).u32(bits).blob(spki).take();
}

base::Result<DescribeReply> DescribeReply::decode(std::string_view body) {
  Reader in(body);
  DescribeReply out;
  out.type = in.u8();
  out.bits = in.u32();
  out.spki = in.blob(kMaxSpki);
  return whole(in, is_key_type(out.type) && out.bits <= 8 * kMaxCiphertext, out, "description");
}

std::string SecretBody::encode() const {
  return Writer(3 * kText + password.size() + extra.size() + reported_address.size())
      .text(password)
      .text(extra)
      .text(reported_address)
      .take();
}

base::Result<SecretBody> SecretBody::decode(std::string_view body) {
  Reader in(body);
  SecretBody out;
  out.password = in.text(kMaxPassword);
  out.extra = in.text(kMaxPassword);
  out.reported_address = in.text(kMaxAddress);
  return whole(in, true, out, "password");
}

std::string GenerateBody::encode() const {
  return Writer(kText + name.size() + 10).text(name).u8(type).u32(bits).u32(uses).u8(backup).take();
}

base::Result<GenerateBody> GenerateBody::decode(std::string_view body) {
  Reader in(body);
  GenerateBody out;
  out.name = in.text(kMaxName);
  out.type = in.u8();
  out.bits = in.u32();
  out.uses = in.u32();
  out.backup = in.u8();
  const bool valid = is_object_name(out.name) && is_key_type(out.type) && out.bits <= 8 * kMaxCiphertext &&
                     are_uses(out.uses) && is_flag(out.backup);
  return whole(in, valid, out, "generate");
}

std::string ImportBody::encode() const {
  return Writer(kText + name.size() + 5 + 2 * kBlob + pkcs8.size() + chain.size())
      .text(name)
      .u32(uses)
      .u8(backup)
      .blob(pkcs8)
      .blob(chain)
      .take();
}

base::Result<ImportBody> ImportBody::decode(std::string_view body) {
  Reader in(body);
  ImportBody out;
  out.name = in.text(kMaxName);
  out.uses = in.u32();
  out.backup = in.u8();
  out.pkcs8 = in.blob(kMaxPkcs8);
  out.chain = in.blob(kMaxChain);
  return whole(in, is_object_name(out.name) && are_uses(out.uses) && is_flag(out.backup), out, "import");
}

std::string SubjectBody::encode() const {
  return Writer(3 * kText + name.size() + subject.size() + names.size() + 4)
      .text(name)
      .text(subject)
      .text(names)
      .u32(days)
      .take();
}

base::Result<SubjectBody> SubjectBody::decode(std::string_view body) {
  Reader in(body);
  SubjectBody out;
  out.name = in.text(kMaxName);
  out.subject = in.text(kMaxText);
  out.names = in.text(kMaxText);
  out.days = in.u32();
  return whole(in, is_object_name(out.name), out, "subject");
}

std::string PutCertificateBody::encode() const {
  return Writer(kText + name.size() + kBlob + chain.size()).text(name).blob(chain).take();
}

base::Result<PutCertificateBody> PutCertificateBody::decode(std::string_view body) {
  Reader in(body);
  PutCertificateBody out;
  out.name = in.text(kMaxName);
  out.chain = in.blob(kMaxChain);
  return whole(in, is_object_name(out.name), out, "certificate");
}

std::string DistrustBody::encode() const { return Writer(1 + kText + entry.size()).u8(add).text(entry).take(); }

base::Result<DistrustBody> DistrustBody::decode(std::string_view body) {
  Reader in(body);
  DistrustBody out;
  out.add = in.u8();
  out.entry = in.text(kMaxText);
  return whole(in, is_flag(out.add), out, "distrust");
}

std::string BlobPiece::encode() const {
  return Writer(8 + kBlob + data.size()).u32(offset).u32(total).blob(data).take();
}

base::Result<BlobPiece> BlobPiece::decode(std::string_view body) {
  Reader in(body);
  BlobPiece out;
  out.offset = in.u32();
  out.total = in.u32();
  out.data = in.blob(kMaxChunk);
  const bool valid = out.offset <= kMaxBlob && out.total <= kMaxBlob &&
                     (out.data.empty() || size_t{out.offset} + out.data.size() <= out.total);
  return whole(in, valid, out, "piece");
}

std::string AuditPage::encode() const { return Writer(16 + kBlob + data.size()).u64(from).u64(next).blob(data).take(); }

base::Result<AuditPage> AuditPage::decode(std::string_view body) {
  Reader in(body);
  AuditPage out;
  out.from = in.u64();
  out.next = in.u64();
  out.data = in.blob(kMaxChunk);
  return whole(in, true, out, "audit page");
}

std::string ListPage::encode() const { return Writer(8 + kBlob + data.size()).u32(from).u32(next).blob(data).take(); }

base::Result<ListPage> ListPage::decode(std::string_view body) {
  Reader in(body);
  ListPage out;
  out.from = in.u32();
  out.next = in.u32();
  out.data = in.blob(kMaxChunk);
  return whole(in, out.from <= kMaxList && out.next <= kMaxList, out, "list page");
}

}  // namespace postern::keystore
