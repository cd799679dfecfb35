// SPDX-License-Identifier: Apache-2.0
// Evaluation of rules over the text of body and attachments, and of dictionaries over header and envelope. What was
// found often enough is true; "not found" is only false when every text was read: in damaged or undecodable text, in an
// attachment that nobody could open, and in a message that readers take apart in different ways it is
// unknown(unscannable).
#include <algorithm>

#include "rules/tests.h"
#include "rules/text_search.h"

namespace postern::rules {
namespace {

// Whether the needle is in what only some mail readers see.
Truth search_readings(Facts& facts, const Needle& needle, Scope scope) {
  Truth answer = facts.saw_everything() && facts.inspection().readings_complete() ? Truth::of(false) : not_known();
  for (const Inspection::Reading& reading : facts.inspection().readings(true)) {
    answer = either(answer, search_reading(facts, needle, scope, reading));
    if (answer.is_yes()) break;
  }
  return answer;
}

Truth search_message(const Test& test, Facts& facts, Scope scope) {
  if (facts.structure() == nullptr) return not_known();
  const Needle needle = needle_of(test, facts.rules());
  const Truth answer = search_parts(facts, needle, scope, 0);
  if (answer.is_yes() || facts.saw_every_content()) return answer;
  return either(answer, search_readings(facts, needle, scope));
}

// Where readers take the message apart in different ways, what holds of all parts here need not hold for them.
Truth for_all_readers(Facts& facts, Truth answer) { return facts.structure()->one_reading ? answer : not_known(); }

Truth body_contains(const Test& test, Facts& facts) { return search_message(test, facts, Scope::all); }

Truth attachment_contains(const Test& test, Facts& facts) { return search_message(test, facts, Scope::attachments); }

Truth body_dictionary_match(const Test& test, Facts& facts) { return search_message(test, facts, Scope::body); }

Truth only_body_contains(const Test& test, Facts& facts) {
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return not_known();
  const Needle needle = needle_of(test, facts.rules());
  Truth answer = Truth::of(true);
  bool any = false;
  for (uint32_t i = 0; i < tree->parts.size() && !answer.is_no(); ++i) {
    if (!facts.is_body_text(i)) continue;
    any = true;
    answer = both(answer, search_parts(facts, needle, Scope::body, i));
  }
  if (any) return for_all_readers(facts, answer);
  return facts.saw_every_reading() ? Truth::of(false) : not_known();
}

// Whether every uuencoded file in the body holds the needle: each is an attachment of its own. `any`: there are some.
Truth every_uuencoded(Facts& facts, const Needle& needle, uint32_t part, bool& any) {
  Truth answer = Truth::of(true);
  for (const ContentText& text : facts.content().texts(part)) {
    if (!text.uuencoded) continue;
    any = true;
    Truth here = text.complete ? Truth::of(false) : not_known();
    for (const std::string_view reading : text.readings) here = either(here, search_text(facts, needle, reading));
    answer = both(answer, here);
  }
  return answer;
}

Truth every_attachment_contains(const Test& test, Facts& facts) {
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return not_known();
  const Needle needle = needle_of(test, facts.rules());
  Truth answer = facts.saw_every_reading() ? Truth::of(true) : not_known();
  bool any = false;
  for (const uint32_t part : outer_attachments(facts)) {
    any = true;
    answer = both(answer, search_parts(facts, needle, Scope::attachments, part));
    if (answer.is_no()) return for_all_readers(facts, answer);
  }
  for (uint32_t i = 0; i < tree->parts.size() && !answer.is_no(); ++i) {
    if (facts.is_body_text(i)) answer = both(answer, every_uuencoded(facts, needle, i, any));
  }
  if (any) return for_all_readers(facts, answer);
  return facts.saw_every_reading() ? Truth::of(false) : not_known();
}

// The pattern of `test` in the bytes of the uuencoded files in body text `part`.
Truth search_uuencoded(const Test& test, Facts& facts, uint32_t part) {
  const UuFiles& files = facts.content().uuencoded(part);
  const std::string_view text = facts.message().text(part).utf8;
  Truth answer = files.complete ? Truth::of(false) : not_known();
  for (const UuFile& file : files.list) {
    const mime::Decoded decoded =
        mime::decode_transfer(mime::TransferEncoding::uuencode, text.substr(file.begin, file.end - file.begin));
    answer = either(answer, search_pattern(test, decoded.bytes, facts));
    if (answer.is_yes()) break;
    if (decoded.damaged || !file.whole) answer = either(answer, not_known());
  }
  return answer;
}

Truth attachment_binary_contains(const Test& test, Facts& facts) {
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr || !test.regex) return not_known();
  Truth answer = facts.saw_every_reading() ? Truth::of(false) : not_known();
  for (const uint32_t part : facts.attachments()) {
    if (!tree->parts[part].is_leaf()) continue;
    bool damaged = false;
    answer = either(answer, search_pattern(test, facts.inspection().bytes(part, damaged), facts));
    if (answer.is_yes()) break;
    if (damaged) answer = either(answer, not_known());
  }
  for (uint32_t i = 0; i < tree->parts.size() && !answer.is_yes(); ++i) {
    if (facts.is_body_text(i)) answer = either(answer, search_uuencoded(test, facts, i));
  }
  if (answer.is_yes() || facts.saw_every_content()) return answer;
  const std::string_view body = facts.message().received_body();
  answer = either(answer, facts.inspection().readings_complete() ? Truth::of(false) : not_known());
  for (const Inspection::Reading& reading : facts.inspection().readings(false)) {
    if (tree->one_reading && facts.is_body_text(reading.leaf->part)) continue;
    answer = either(answer, search_pattern(test, reading.leaf->bytes(body), facts));
    if (answer.is_yes()) break;
  }
  return answer;
}

Truth header_dictionary_match(const Test& test, Facts& facts) {
  if (!facts.headers_known()) return not_known();
  const Needle needle = needle_of(test, facts.rules());
  Truth answer = Truth::of(false);
  for (const std::string& value : facts.header_values(test.header_slot)) {
    answer = either(answer, search_text(facts, needle, value));
    if (answer.is_yes()) break;
  }
  return answer;
}

Truth mail_from_dictionary_match(const Test& test, Facts& facts) {
  const std::optional<std::string>& from = facts.message().envelope.from;
  return from ? search_text(facts, needle_of(test, facts.rules()), *from) : not_known();
}

Truth rcpt_to_dictionary_match(const Test& test, Facts& facts) {
  const Needle needle = needle_of(test, facts.rules());
  if (facts.current_recipient) return search_text(facts, needle, *facts.current_recipient);
  if (facts.phase < Phase::rcpt) return not_known();
  Truth answer = Truth::of(false);
  for (const message::Recipient& recipient : facts.message().envelope.recipients) {
    answer = either(answer, search_text(facts, needle, recipient.address));
    if (answer.is_yes()) break;
  }
  return answer;
}

constexpr NamedTest kTests[] = {
    {"body-contains", body_contains},
    {"only-body-contains", only_body_contains},
    {"attachment-contains", attachment_contains},
    {"every-attachment-contains", every_attachment_contains},
    {"attachment-binary-contains", attachment_binary_contains},
    {"dictionary-match", body_contains},
    {"body-dictionary-match", body_dictionary_match},
    {"attachment-dictionary-match", attachment_contains},
    {"subject-dictionary-match", header_dictionary_match},
    {"header-dictionary-match", header_dictionary_match},
    {"mail-from-dictionary-match", mail_from_dictionary_match},
    {"rcpt-to-dictionary-match", rcpt_to_dictionary_match},
};

}  // namespace

std::span<const NamedTest> text_tests() { return kTests; }

}  // namespace postern::rules
