// SPDX-License-Identifier: Apache-2.0
// Evaluation of rules over MIME structure and attachments. What was found is true; "not found" is only false when
// everything was seen: behind a limit and in a message that readers take apart in different ways it is
// unknown(unscannable). RFC 2045, 2046, 1847 (multipart/signed, multipart/encrypted), 8551 (S/MIME), 3156 and 9580
// section 6 (OpenPGP).
#include <algorithm>
#include <vector>

#include "engine/base/text.h"
#include "rules/mime_facts.h"
#include "rules/tests.h"

namespace postern::rules {
namespace {

using mime::Defect;

Truth body_size(const Test& test, Facts& facts) {
  if (!facts.headers_known() || !facts.message().has_body()) return not_known();
  return Truth::of(compare(static_cast<int64_t>(facts.message().size()), test.op, test.number));
}

// The defects that make two mail programs see different messages; not among them are mere blemishes (long lines, raw
// 8-bit bytes, a wrong charset label, a line end without CR), which every reader shows alike.
constexpr Defect kAmbiguous[] = {
    Defect::duplicate_content_type,
    Defect::duplicate_transfer_encoding,
    Defect::duplicate_disposition,
    Defect::duplicate_boundary,
    Defect::duplicate_parameter,
    Defect::malformed_content_type,
    Defect::malformed_disposition,
    Defect::unknown_transfer_encoding,
    Defect::encoding_on_multipart,
    Defect::missing_boundary,
    Defect::missing_final_boundary,
    Defect::missing_first_boundary,
    Defect::missing_blank_line,
    Defect::malformed_header,
    Defect::header_too_large,
    Defect::bare_cr,
    Defect::nul_byte,
    Defect::damaged_encoding,
    Defect::ambiguous_delimiter,
    Defect::too_deep,
    Defect::too_many_parts,
};

constexpr Defect kHeaderDefects[] = {
    Defect::duplicate_content_type, Defect::duplicate_transfer_encoding,
    Defect::duplicate_disposition,  Defect::duplicate_mime_version,
    Defect::malformed_content_type, Defect::malformed_disposition,
    Defect::missing_blank_line,     Defect::malformed_header,
    Defect::header_too_large,
};

bool has_any(const mime::Structure& tree, std::span<const Defect> defects) {
  return std::ranges::any_of(defects, [&](Defect defect) { return tree.defects.has(defect); });
}

Truth valid(const Test&, Facts& facts) {
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return not_known();
  return Truth::of(tree->complete && !has_any(*tree, kAmbiguous));
}

Truth malformed_header(const Test&, Facts& facts) {
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return not_known();
  if (has_any(*tree, kHeaderDefects)) return Truth::of(true);
  return facts.saw_everything() ? Truth::of(false) : not_known();
}

Truth duplicate_boundaries(const Test&, Facts& facts) {
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return not_known();
  if (tree->defects.has(Defect::duplicate_boundary)) return Truth::of(true);
  return facts.saw_everything() ? Truth::of(false) : not_known();
}

// Runs `hit` over the attachments, and `other` over what only some mail readers see: true at the first that answers
// true, else false or unknown.
template <class Hit, class Other>
Truth any_attachment(Facts& facts, Hit hit, Other other) {
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return not_known();
  Truth answer = facts.saw_everything() ? Truth::of(false) : not_known();
  for (const uint32_t index : facts.attachments()) {
    answer = either(answer, hit(tree->parts[index]));
    if (answer.is_yes()) return answer;
  }
  // Nothing is decoded where all readers find the same parts: how they decode them changes neither names nor types.
  if (tree->one_reading) return answer;
  if (!facts.inspection().readings_complete()) answer = either(answer, not_known());
  for (const Inspection::Reading& reading : facts.inspection().readings(false)) {
    answer = either(answer, other(*reading.leaf));
    if (answer.is_yes()) break;
  }
  return answer;
}

// A uuencoded file in a text of the body is an attachment of which only the name is said.
template <class Named>
Truth any_uuencoded(Facts& facts, Named named) {
  const mime::Structure* tree = facts.structure();
  Truth answer = Truth::of(false);
  for (uint32_t i = 0; tree != nullptr && i < tree->parts.size(); ++i) {
    if (!facts.is_body_text(i)) continue;
    const UuFiles& files = facts.content().uuencoded(i);
    if (!files.complete) answer = either(answer, not_known());
    for (const UuFile& file : files.list) {
      answer = either(answer, named(file.name));
      if (answer.is_yes()) return answer;
    }
  }
  return answer;
}

Truth search_names(const Test& test, std::span<const std::string> names, Facts& facts) {
  Truth answer = Truth::of(false);
  for (const std::string& name : names) {
    answer = either(answer, search_pattern(test, name, facts));
    if (answer.is_yes()) break;
  }
  return answer;
}

Truth attachment_filename(const Test& test, Facts& facts) {
  const Truth answer = any_attachment(
      facts, [&](const mime::Part& part) { return search_names(test, part.file_names, facts); },
      [&](const mime::OtherReading& leaf) { return search_names(test, leaf.file_names, facts); });
  if (answer.is_yes()) return answer;
  const auto named = [&](const std::string& name) { return search_pattern(test, name, facts); };
  return either(answer, any_uuencoded(facts, named));
}

Truth attachment_mimetype(const Test& test, Facts& facts) {
  if (test.texts.empty()) return not_known();
  const std::string& wanted = test.texts.back();
  return any_attachment(
      facts, [&](const mime::Part& part) { return Truth::of(type_matches(wanted, part.type.value)); },
      [&](const mime::OtherReading& leaf) { return Truth::of(type_matches(wanted, leaf.type)); });
}

Truth attachment_type(const Test& test, Facts& facts) {
  if (test.texts.empty()) return not_known();
  const std::string& wanted = test.texts.back();
  const auto named = [&](const std::string& name) { return type_matches(wanted, mime::type_from_extension(name)); };
  const Truth answer = any_attachment(
      facts, [&](const mime::Part& part) { return Truth::of(part_type_matches(wanted, part)); },
      [&](const mime::OtherReading& leaf) {
        return Truth::of(std::ranges::any_of(leaf.file_names, named) || type_matches(wanted, leaf.type));
      });
  if (answer.is_yes()) return answer;
  return either(answer, any_uuencoded(facts, [&](const std::string& name) { return Truth::of(named(name)); }));
}

// What only some readers see has no size as it stands in the message that all would agree on.
Truth attachment_size(const Test& test, Facts& facts) {
  const Truth answer = any_attachment(
      facts,
      [&](const mime::Part& part) {
        return Truth::of(compare(static_cast<int64_t>(part.content.size()), test.op, test.number));
      },
      [](const mime::OtherReading&) { return not_known(); });
  return answer;
}

// Whether any body text holds `armor` at the start of a line.
Truth body_has_armor(Facts& facts, const mime::Structure& tree, std::string_view armor) {
  Truth answer = facts.saw_everything() ? Truth::of(false) : not_known();
  for (uint32_t i = 0; i < tree.parts.size() && !answer.is_yes(); ++i) {
    if (facts.is_body_text(i)) answer = either(answer, text_has_armor(facts, i, armor));
  }
  return answer;
}

Truth is_signed(const Test&, Facts& facts) {
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return not_known();
  for (uint32_t i = 0; i < tree->parts.size(); ++i) {
    const mime::Part& part = tree->parts[i];
    if (part.type.value == "multipart/signed") return Truth::of(true);
    if (part.is_leaf() && smime_kind(part, facts.message().received_body()) == SmimeKind::signed_data) {
      return Truth::of(true);
    }
  }
  return body_has_armor(facts, *tree, "-----BEGIN PGP SIGNED MESSAGE-----");
}

Truth is_encrypted(const Test&, Facts& facts) {
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return not_known();
  const std::vector<mime::Part>& parts = tree->parts;
  bool first_leaf = true;
  for (uint32_t i = 0; i < parts.size(); ++i) {
    // What lies in an attached message is an attachment.
    uint32_t up = i;
    while (up != 0 && parts[parts[up].parent].kind != mime::PartKind::message) up = parts[up].parent;
    if (up != 0) continue;
    if (parts[i].type.value == "multipart/encrypted") return Truth::of(true);
    if (!parts[i].is_leaf()) continue;
    if (first_leaf && smime_kind(parts[i], facts.message().received_body()) == SmimeKind::enveloped_data) {
      return Truth::of(true);
    }
    first_leaf = false;
  }
  return body_has_armor(facts, *tree, "-----BEGIN PGP MESSAGE-----");
}

constexpr NamedTest kTests[] = {
    {"body-size", body_size},
    {"valid", valid},
    {"malformed-header", malformed_header},
    {"duplicate-boundaries", duplicate_boundaries},
    {"attachment-filename", attachment_filename},
    {"attachment-mimetype", attachment_mimetype},
    {"attachment-type", attachment_type},
    {"attachment-size", attachment_size},
    {"signed", is_signed},
    {"encrypted", is_encrypted},
};

}  // namespace

std::span<const NamedTest> content_tests() { return kTests; }

}  // namespace postern::rules
