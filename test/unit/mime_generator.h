// SPDX-License-Identifier: Apache-2.0
// Random mail for property tests: trees of parts built with known contents, and soups of the tokens parsers trip over.
#pragma once
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace postern::mime::test {

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  // soup returns a body of MIME tokens in random order; the header of the message is `soup_header`.
  std::string soup(size_t tokens) {
    static const std::vector<std::string> kTokens = {
        "\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        "--b\r\n",
        "--b\r\n",
        "--b--\r\n",
        "--c\r\n",
        "--c--\r\n",
        "--b",
        "--",
        "-",
        "--bb\r\n",
        "Content-Type: multipart/mixed; boundary=c\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n",
        "Content-Type: multipart/digest; boundary=bb\r\n\r\n",
        "Content-Type: message/rfc822\r\n",
        "Content-Type: text/html\r\n\r\n",
        "Content-Type: message/rfc822\r\n\r\n",
        "Content-Type: multipart/alternative; boundary=\"c\"\r\n\r\n--c\r\n",
        "Content-Disposition: attachment; filename=a.b\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        "text",
        " ",
        "\t",
        ":",
        "X: y\r\n",
        " folded\r\n",
        "garbage\r\n",
        "QUJD\r\n",
        std::string(1, '\0'),
        "\xC3\xA9",
        "From x\r\n",
        "--b \t\r\n",
        "--b-\r\n"};
    std::string out;
    for (size_t i = 0; i < tokens; ++i) out += kTokens[pick(kTokens.size())];
    return out;
  }
  static constexpr std::string_view kSoupHeader = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";

  // tree returns a well-formed part (header, blank line, content) and appends its dump to `notation`.
  std::string tree(unsigned depth, std::string& notation) {
    const size_t kind = depth == 0 ? 0 : pick(5);
    if (kind < 3) {
      notation += "text/x-t" + std::to_string(kind);
      return "Content-Type: text/x-t" + std::to_string(kind) + "\r\n\r\n" + text();
    }
    if (kind == 3) {
      notation += "message/rfc822[";
      std::string out = "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n" + tree(depth - 1, notation);
      notation += "]";
      return out;
    }
    const std::string boundary = "=_" + std::to_string(++boundaries_) + "_";
    notation += "multipart/mixed[";
    std::string out = "Content-Type: multipart/mixed;\r\n boundary=\"" + boundary + "\"\r\n\r\n" + text() + "\r\n";
    const size_t count = 1 + pick(4);
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) notation += ",";
      out += "--" + boundary + "\r\n" + tree(depth - 1, notation) + "\r\n";
    }
    notation += "]";
    return out + "--" + boundary + "--" + (pick(2) == 0 ? "\r\nepilogue" : "");
  }

  std::string text() {
    std::string out;
    const size_t lines = pick(4);
    for (size_t i = 0; i < lines; ++i) out += std::string(pick(90), 'x') + (pick(6) == 0 ? "--" : "") + "\r\n";
    return out + "end";
  }

  size_t pick(size_t bound) { return random_() % bound; }

 private:
  std::mt19937 random_;
  unsigned boundaries_ = 0;
};

}  // namespace postern::mime::test
