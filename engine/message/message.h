// SPDX-License-Identifier: Apache-2.0
// Message: what every stage edits and nothing else: connection, envelope, header fields, body. It keeps what was
// received beside what it became, so that diff() can tell the MTA the difference. Structure and texts are computed when
// first asked for and kept. Owned by one transaction, used by one thread at a time.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/limits.h"
#include "engine/message/envelope.h"
#include "engine/message/spool.h"
#include "engine/mime/header.h"
#include "engine/mime/part.h"
#include "engine/mime/readings.h"
#include "engine/mime/writer.h"

namespace postern::message {

class Message {
 public:
  explicit Message(const base::Limits& limits) : limits_(limits) {}

  const base::Limits& limits() const { return limits_; }

  // lacking names the option, as limits.memory, that bounds what there was not enough of to look at the whole message:
  // it must be deferred then, whatever was found. Empty: nothing was lacking. The first name stays; it must be a
  // literal.
  void lack(std::string_view option) { lacking_ = lacking_.empty() ? option : lacking_; }
  std::string_view lacking() const { return lacking_; }
  // take asks `reserve`, where it is set, for the memory of something that is made of the message and kept with it;
  // false: something is lacking, and it must not be made.
  std::function<bool(uint64_t)> reserve;
  bool take(uint64_t bytes);

  // Identity: the daemon's message id (MID) and the MTA's queue id once known.
  uint64_t mid = 0;
  std::string queue_id;

  Connection connection;

  // The envelope as it is now; call keep_received_envelope() once after the last RCPT, before any edit.
  Envelope envelope;
  void keep_received_envelope() { received_envelope_ = envelope; }
  const Envelope& received_envelope() const { return received_envelope_; }

  mime::HeaderList headers;

  // set_body gives the received body; the view must outlive the message (it points into the transaction's spool or a
  // mapped file). A message whose body was never delivered has none, and facts about it are unknown.
  void set_body(std::string_view body) { body_ = body; }
  bool has_body() const { return body_.has_value(); }
  std::string_view received_body() const { return body_.value_or(std::string_view()); }

  // size is the whole message as received, header and body.
  uint64_t size() const { return received_header_bytes_ + (body_ ? body_->size() : 0); }
  void keep_received_header_size() { received_header_bytes_ = headers.bytes() + 2; }

  // structure parses the received body at the first call. Requires has_body().
  const mime::Structure& structure();
  bool structure_parsed() const { return structure_ != nullptr; }

  // other_readings returns what other mail readers see in the received body besides its parts; `odd` as in
  // mime::other_readings.
  mime::OtherReadings other_readings(std::span<const uint32_t> odd);
  // text returns the decoded text of leaf `part` as received, decoded once; its size counts against
  // limits.decoded_text, past which it is `undecodable`; so is what there is no memory for.
  const mime::Text& text(uint32_t part);

  // Body edits. edit_part replaces or removes one part of the structure; several edits of one part: the last one holds,
  // but what was removed, or lies in a part that was removed or replaced, stays gone (false), and nothing can be edited
  // after replace_body (false). body_edited tells whether any edit is there.
  bool edit_part(mime::PartEdit edit);
  const std::vector<mime::PartEdit>& part_edits() const { return edits_; }
  // part_removed tells whether `part` will not be in the final body: removed, or inside a part that was edited.
  bool part_removed(uint32_t part) const;
  // replace_body replaces the whole body and the header fields that describe it in one step: Content-Type and
  // Content-Transfer-Encoding (none where empty) and MIME-Version are set, Content-Disposition, Content-MD5 and
  // Content-Length go. Earlier part edits must already be in `content`, whose views must outlive the message.
  void replace_body(std::string content_type, std::string transfer_encoding, mime::Pieces content);
  // recode_body replaces the whole body by the same content in another form; the header fields stay as they are.
  void recode_body(mime::Pieces content) { replaced_ = std::move(content); }
  bool body_edited() const { return !edits_.empty() || replaced_; }
  // final_body gives the body as edited: the received one where nothing was. Views into it live as long as the message
  // and end with the next edit.
  mime::Pieces final_body();

  // whole writes header and final body as a file (CRLF), for command-line output and copies.
  std::string whole();

 private:
  base::Limits limits_;
  Envelope received_envelope_;
  std::optional<std::string_view> body_;
  uint64_t received_header_bytes_ = 0;
  std::unique_ptr<mime::Structure> structure_;
  std::vector<std::unique_ptr<mime::Text>> texts_;
  uint64_t decoded_bytes_ = 0;
  std::string_view lacking_;
  std::vector<mime::PartEdit> edits_;
  std::optional<mime::Pieces> replaced_;
};

}  // namespace postern::message
