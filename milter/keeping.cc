// SPDX-License-Identifier: Apache-2.0
// From outcome to batch. The message itself is kept as it was decided, with its edited envelope; a copy as it was when
// its action ran; an original as it was received.
#include "milter/keeping.h"

#include "engine/base/text.h"
#include "engine/mime/encoded_word.h"
#include "rules/actions.h"

namespace postern::milter {
namespace {

std::vector<std::string> addresses(const message::Envelope& envelope) {
  std::vector<std::string> out;
  for (const message::Recipient& recipient : envelope.recipients) out.push_back(recipient.address);
  return out;
}

// What lists show comes from the fields as they are; a field that is there twice is shown by its first.
std::string decoded(std::span<const mime::HeaderField> fields, std::string_view name) {
  for (const mime::HeaderField& field : fields) {
    if (base::iequals(field.name, name)) return mime::decode_words(field.value);
  }
  return {};
}

store::MailKind kind_of(rules::GeneratedMail::Kind kind) {
  switch (kind) {
    case rules::GeneratedMail::Kind::notify:
      return store::MailKind::notify;
    case rules::GeneratedMail::Kind::notify_copy:
      return store::MailKind::notify_copy;
    case rules::GeneratedMail::Kind::bcc:
      return store::MailKind::bcc;
    case rules::GeneratedMail::Kind::bcc_scan:
      return store::MailKind::bcc_scan;
    case rules::GeneratedMail::Kind::archive:
      return store::MailKind::archive;
  }
  return store::MailKind::bcc;
}

class Gatherer {
 public:
  Gatherer(Transaction& transaction, Keeping& keeping) : message_(transaction.message()), keeping_(keeping) {}

  // entry begins one with what all have in common.
  store::Entry& entry(store::Copy copy, std::vector<rules::QuarantineMark> marks, const message::Envelope& envelope,
                      std::span<const mime::HeaderField> fields) {
    store::Entry& out = keeping_.batch.entries.emplace_back();
    out.copy = copy;
    for (rules::QuarantineMark& mark : marks) {
      out.holds.push_back({std::move(mark.quarantine), std::move(mark.filter), std::move(mark.reason)});
    }
    out.from = envelope.from.value_or(std::string());
    out.recipients = addresses(envelope);
    out.header_from = decoded(fields, "From");
    out.subject = decoded(fields, "Subject");
    out.message_id = decoded(fields, "Message-ID");
    return out;
  }

  void whole(const rules::Outcome& outcome) {
    // The next hop that alt-mailhost chose is kept beside the message: the field is meant for the MTA alone.
    std::vector<mime::HeaderField> fields;
    std::string host;
    for (const mime::HeaderField& field : message_.headers) {
      if (base::iequals(field.name, rules::kAltSrcHostHeader)) continue;
      if (base::iequals(field.name, rules::kAltMailhostHeader)) {
        host = base::trim(field.value);
        continue;
      }
      fields.push_back(field);
    }
    store::Entry& out = entry(store::Copy::final_, outcome.marks, message_.envelope, fields);
    out.host = std::move(host);
    out.content.push_back(keep(mime::write_fields(fields) + "\r\n"));
    body_ = message_.final_body();
    for (const std::string_view view : body_.views()) out.content.push_back(view);
  }

  void copy(const rules::KeptCopy& copy) {
    const auto& headers = message_.headers;
    store::Entry& out = entry(store::Copy::duplicate, {copy.mark}, message_.envelope, {headers.begin(), headers.end()});
    out.content.push_back(copy.header);
    out.content.push_back("\r\n");
    out.content.push_back(copy.edited_body ? std::string_view(*copy.edited_body) : copy.received_body);
  }

  void original(const rules::QuarantineMark& mark) {
    store::Entry& out = entry(store::Copy::original, {mark}, message_.received_envelope(), message_.headers.received());
    out.content = received();
  }

  // received is the message as it came.
  store::Content received() {
    if (received_header_.empty()) received_header_ = keep(mime::write_fields(message_.headers.received()) + "\r\n");
    return {received_header_, message_.received_body()};
  }

  // mail puts one in for each group of recipients that any server takes at once (RFC 5321 4.5.3.1.8).
  void mail(const rules::GeneratedMail& mail, std::string_view flow) {
    constexpr size_t kMost = 100;
    for (size_t at = 0; at < mail.recipients.size(); at += kMost) {
      const auto first = mail.recipients.begin() + static_cast<std::ptrdiff_t>(at);
      store::Mail& out = keeping_.batch.mails.emplace_back();
      out.kind = kind_of(mail.kind);
      out.from = mail.from;
      out.recipients.assign(first, first + static_cast<std::ptrdiff_t>(std::min(kMost, mail.recipients.size() - at)));
      out.content.push_back(*mail.content);
      out.host = mail.host;
      if (out.kind == store::MailKind::bcc_scan) out.flow = flow;
      keeping_.causes.push_back(&mail);
    }
  }

  void identify() {
    const message::Envelope& envelope = message_.received_envelope();
    keeping_.batch.identity =
        store::identity_of(envelope.from.value_or(std::string()), addresses(envelope), received());
  }

  mime::Pieces take_body() { return std::move(body_); }

 private:
  std::string_view keep(std::string text) { return keeping_.texts.emplace_back(std::move(text)); }

  message::Message& message_;
  Keeping& keeping_;
  mime::Pieces body_;
  std::string_view received_header_;
};

}  // namespace

Keeping gather(Transaction& transaction, const Finished& finished) {
  Keeping keeping;
  const rules::Outcome& outcome = transaction.outcome();
  const message::Message& message = transaction.message();
  if (transaction.generation().settings.store.empty() || finished.decision.verdict == Verdict::tempfail) return keeping;
  Gatherer gatherer(transaction, keeping);
  if (finished.decision.verdict == Verdict::quarantine) {
    gatherer.whole(outcome);
    keeping.takes_message = true;
  }
  for (const rules::KeptCopy& copy : outcome.copies) gatherer.copy(copy);
  if (transaction.part_dropped()) {
    for (const rules::QuarantineMark& mark : outcome.originals) gatherer.original(mark);
  }
  const std::string_view flow = transaction.flow() == nullptr ? std::string_view() : transaction.flow()->name;
  for (const rules::GeneratedMail& mail : outcome.mails) gatherer.mail(mail, flow);
  if (keeping.empty()) return keeping;
  keeping.batch.mid = message.mid;
  keeping.batch.queue_id = message.queue_id;
  keeping.batch.flow = flow;
  keeping.batch.client = message.connection.client_ip.value_or(std::string());
  gatherer.identify();
  keeping.body = gatherer.take_body();
  return keeping;
}

}  // namespace postern::milter
