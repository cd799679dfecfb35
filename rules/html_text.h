// SPDX-License-Identifier: Apache-2.0
// Putting plain texts into an HTML document without parsing it: at the end and the beginning of what is shown. Works on
// the bytes of any charset that contains ASCII and adds ASCII only. Linear. Internal to the evaluator.
#pragma once
#include <string>
#include <string_view>

namespace postern::rules {

// html_escape appends a byte of a text or attribute value so that it is no markup.
void html_escape(char c, std::string& out);

// html_block writes UTF-8 text as a block of HTML: markup escaped, lines kept, other characters than ASCII as numeric
// references; without a last line end.
std::string html_block(std::string_view utf8);

// html_with_texts returns `html` with `heading` after its <body> tag (else where the document begins) and `footer`
// before its last </body> (else </html>, else at the end); either may be empty.
std::string html_with_texts(std::string_view html, std::string_view heading, std::string_view footer);

}  // namespace postern::rules
