// SPDX-License-Identifier: Apache-2.0
// Notices are plain text in UTF-8. Boundary and Message-ID are random, so that who wrote the message attached could not
// know them.
#include "rules/mail_text.h"

#include <algorithm>
#include <random>

#include "engine/base/text.h"
#include "engine/mime/transfer_coding.h"
#include "rules/actions.h"

namespace postern::rules {
namespace {

constexpr size_t kMostShownRecipients = 20;
constexpr size_t kLongestLine = 900;           // RFC 5322 allows 998
constexpr uint64_t kRoomForNotice = 1u << 20;  // of the size limit, for what stands round an attached message

std::string random_word() {
  static thread_local std::random_device source;
  constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuv";
  std::string out;
  for (int i = 0; i < 26; ++i) out += kDigits[source() & 31];
  return out;
}

bool is_simple(std::string_view lines) {
  size_t length = 0;
  for (const char c : lines) {
    length = c == '\n' ? 0 : length + 1;
    if (static_cast<unsigned char>(c) >= 0x80 || length > kLongestLine) return false;
  }
  return true;
}

std::string header_block(const mime::HeaderList& headers) {
  return mime::write_fields({headers.begin(), headers.end()});
}

std::string text_part(const std::string& utf8) {
  const std::string lines = crlf_lines(utf8);
  if (is_simple(lines)) {
    return "Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + lines;
  }
  std::string coded = mime::encode_quoted_printable(lines);
  if (!coded.ends_with("\r\n")) coded += "\r\n";
  return "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + coded;
}

// The message, or its header alone where the whole would be larger than mail may be here.
std::string attached(Facts& facts) {
  const uint64_t most = facts.message().limits().message_size;
  const bool whole = facts.message().has_body() && facts.message().size() + kRoomForNotice <= most;
  std::string content = whole ? copy_message(facts, nullptr) : header_block(facts.message().headers);
  const bool eight_bit = !base::is_ascii(content);
  if (!content.ends_with("\r\n")) content += "\r\n";
  return std::string("Content-Type: ") + (whole ? "message/rfc822" : "text/rfc822-headers") +
         "\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: " + (eight_bit ? "8bit" : "7bit") +
         "\r\n\r\n" + content;
}

std::string shown_recipients(const std::vector<std::string>& recipients) {
  if (recipients.size() > kMostShownRecipients) return "undisclosed-recipients:;";
  std::string out;
  for (const std::string& recipient : recipients) out += (out.empty() ? "" : ", ") + recipient;
  return out;
}

void drop_fields(mime::HeaderList& headers, std::string_view name) {
  for (size_t at = headers.find(name); at != mime::HeaderList::npos; at = headers.find(name, at)) headers.remove(at);
}

}  // namespace

std::string notice_message(const Notice& notice, Facts& facts) {
  const std::string_view host = facts.hostname().empty() ? std::string_view("localhost") : facts.hostname();
  mime::HeaderList headers;
  headers.append("From", notice.from);
  headers.append("To", encode_header_value("To", shown_recipients(notice.recipients), facts));
  headers.append("Subject", encode_header_value("Subject", notice.subject, facts));
  headers.append("Date", base::mail_date(facts.now(), true));
  headers.append("Message-ID",
                 "<" + random_word() + "." + std::to_string(facts.message().mid) + "@" + std::string(host) + ">");
  headers.append("Auto-Submitted", "auto-generated");
  headers.append("MIME-Version", "1.0");
  if (!notice.attach) return header_block(headers) + text_part(notice.text);

  const std::string boundary = "=_postern_" + random_word();
  const std::string delimiter = "--" + boundary + "\r\n";
  headers.append("Content-Type", "multipart/mixed;\n boundary=\"" + boundary + "\"");
  std::string copy = attached(facts);
  headers.append("Content-Transfer-Encoding", base::is_ascii(copy) ? "7bit" : "8bit");
  return header_block(headers) + "\r\n" + delimiter + text_part(notice.text) + "\r\n" + delimiter + copy + "\r\n--" +
         boundary + "--\r\n";
}

std::string copy_message(Facts& facts, const std::string* subject) {
  message::Message& message = facts.message();
  // Edits of the body are planned until all filters have run; a copy needs those asked for so far.
  apply_body_edits(facts);
  mime::HeaderList headers = message.headers;
  for (const std::string_view name : {kAltMailhostHeader, kAltSrcHostHeader}) drop_fields(headers, name);
  if (subject != nullptr) {
    const std::string value = encode_header_value("Subject", *subject, facts);
    const size_t first = headers.find("Subject");
    if (first == mime::HeaderList::npos) {
      headers.append("Subject", value);
    } else {
      headers.change(first, value);
    }
  }
  std::string out = header_block(headers) + "\r\n";
  const mime::Pieces body = message.final_body();
  out.reserve(out.size() + body.size());
  for (const std::string_view view : body.views()) out += view;
  return out;
}

}  // namespace postern::rules
