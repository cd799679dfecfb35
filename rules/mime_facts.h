// SPDX-License-Identifier: Apache-2.0
// What rules and actions both ask about single MIME parts: type patterns, S/MIME kinds, OpenPGP armor in text. Internal
// to the evaluator.
#pragma once
#include <string_view>

#include "engine/mime/part.h"
#include "rules/ast.h"
#include "rules/facts.h"

namespace postern::rules {

// type_matches tells whether MIME type `type` fits `pattern`: "image/png", "image/*", "*/png", "*/*"; a bare "image" is
// "image/*". Case does not matter.
bool type_matches(std::string_view pattern, std::string_view type);
// part_type_matches: by the declared type, or by the extension of any of the part's file names.
bool part_type_matches(std::string_view pattern, const mime::Part& part);

// SmimeKind is what an application/pkcs7-mime leaf holds, by its content's object identifier and else by its smime-type
// parameter.
enum class SmimeKind { none, signed_data, enveloped_data, other };
SmimeKind smime_kind(const mime::Part& part, std::string_view body);

// text_has_armor tells whether the decoded text of `part` has a line beginning with `armor`; unknown when it has not
// but the text is damaged.
Truth text_has_armor(Facts& facts, uint32_t part, std::string_view armor);

}  // namespace postern::rules
