// SPDX-License-Identifier: Apache-2.0
// The writer: an edit of one part changes that part and no other byte.
#include "engine/mime/writer.h"

#include <algorithm>

#include "test/unit/mime_generator.h"
#include "test/unit/mime_support.h"

namespace postern::mime {
namespace {

using test::crlf;

std::string write_lf(const test::Mail& mail, const std::vector<PartEdit>& edits) {
  std::string out = write_body(mail.structure, mail.body, edits).flatten();
  std::erase(out, '\r');
  return out;
}

constexpr std::string_view kThree =
    "Content-Type: multipart/mixed; boundary=b\n\npre\n--b\n\none\n--b\nContent-Type: "
    "image/gif\n\ntwo\n--b\n\nthree\n--b--\nepi\n";

TEST(Writer, ReplacesOnePart) {
  const test::Mail mail = test::read_lf(kThree);
  EXPECT_EQ(write_lf(mail, {{2, false, "X: y\r\n", "new"}}),
            "pre\n--b\n\none\n--b\nX: y\n\nnew\n--b\n\nthree\n--b--\nepi\n");
  EXPECT_EQ(write_lf(mail, {{2, false, "", "new"}}), "pre\n--b\n\none\n--b\n\nnew\n--b\n\nthree\n--b--\nepi\n");
  EXPECT_EQ(write_lf(mail, {{2, false, "X: y", ""}}), "pre\n--b\n\none\n--b\nX: y\n\n\n--b\n\nthree\n--b--\nepi\n");
  EXPECT_EQ(write_lf(mail, {{2, false, "", "first"}, {2, false, "", "last"}}),
            "pre\n--b\n\none\n--b\n\nlast\n--b\n\nthree\n--b--\nepi\n");
  EXPECT_EQ(write_lf(mail, {{99, true, "", ""}}), write_lf(mail, {}));
}

TEST(Writer, RemovesParts) {
  const test::Mail mail = test::read_lf(kThree);
  EXPECT_EQ(write_lf(mail, {{1, true, "", ""}}),
            "pre\n--b\nContent-Type: image/gif\n\ntwo\n--b\n\nthree\n--b--\nepi\n");
  EXPECT_EQ(write_lf(mail, {{3, true, "", ""}}), "pre\n--b\n\none\n--b\nContent-Type: image/gif\n\ntwo\n--b--\nepi\n");
  EXPECT_EQ(write_lf(mail, {{1, true, "", ""}, {2, true, "", ""}, {3, true, "", ""}}),
            "pre\n--b\nContent-Type: text/plain; charset=us-ascii\n\n\n--b--\nepi\n");
}

TEST(Writer, EditsThatMeet) {
  const test::Mail mail = test::read_lf(
      "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; "
      "boundary=c\n\n--c\n\n1\n--c\n\n2\n--c--\n"
      "--b\n\n3\n--b--\n");
  ASSERT_EQ(dump(mail.structure), "multipart/mixed[multipart/mixed[text/plain,text/plain],text/plain]");
  EXPECT_EQ(write_lf(mail, {{3, false, "", "x"}, {2, true, "", ""}, {4, false, "", "y"}}),
            "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c--\n--b\n\ny\n--b--\n");
  EXPECT_EQ(write_lf(mail, {{1, false, "", "whole"}, {2, true, "", ""}, {3, false, "", "x"}}),
            "--b\n\nwhole\n--b\n\n3\n--b--\n");
  EXPECT_EQ(write_lf(mail, {{1, true, "", ""}, {3, false, "", "x"}}), "--b\n\n3\n--b--\n");
  EXPECT_EQ(write_lf(mail, {{0, false, "", "all"}, {3, false, "", "x"}}), "all");
  EXPECT_EQ(write_lf(mail, {{0, true, "", ""}}), "");
}

TEST(Writer, MessagesAndMissingEnds) {
  const test::Mail message = test::read_lf(
      "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: a\n\ntext\n--b--\n");
  EXPECT_EQ(write_lf(message, {{2, false, "Subject: b\r\n", "new"}}),
            "--b\nContent-Type: message/rfc822\n\nSubject: b\n\nnew\n--b--\n");
  EXPECT_EQ(write_lf(message, {{2, true, "", ""}}),
            "--b\nContent-Type: message/rfc822\n\nContent-Type: text/plain; charset=us-ascii\n\n\n--b--\n");
  // No closing delimiter.
  const test::Mail open = test::read_lf("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n");
  EXPECT_EQ(write_lf(open, {{2, true, "", ""}}), "--b\n\none");
  EXPECT_EQ(write_lf(open, {{2, false, "", "x"}}), "--b\n\none\n--b\n\nx");
  // The delimiter follows the header at once: a replacement brings its own line end.
  const test::Mail empty = test::read_lf("Content-Type: multipart/mixed; boundary=b\n\n--b\nX: y\n\n--b\n--b--\n");
  EXPECT_EQ(write_lf(empty, {{1, false, "", "x"}}), "--b\n\nx\n--b\n--b--\n");
  EXPECT_EQ(write_lf(empty, {{2, false, "", "x"}}), "--b\nX: y\n\n--b\n\nx\n--b--\n");
  // The inner multipart is ended by the outer one's delimiter.
  const test::Mail ended = test::read_lf(
      "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; "
      "boundary=c\n\n--c\n\n1\n--c\n\n2\n--b--\n");
  EXPECT_EQ(write_lf(ended, {{3, true, "", ""}}),
            "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n1\n--b--\n");
  EXPECT_EQ(write_lf(ended, {{3, false, "", "x"}}),
            "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n1\n--c\n\nx\n--b--\n");
}

// After the edit of one leaf the other parts are found again with the same bytes.
TEST(Writer, OneEditLeavesTheOthersAlone) {
  test::Generator random(6);
  for (int round = 0; round < 400; ++round) {
    std::string notation;
    const test::Mail mail = test::read(random.tree(4, notation));
    const auto& parts = mail.structure.parts;
    const auto target = static_cast<uint32_t>(random.pick(parts.size()));
    if (target == 0 || !parts[target].is_leaf()) continue;
    const bool remove = random.pick(2) == 0;
    const std::string content = "edited " + std::to_string(round);
    const PartEdit edit{target, remove, "Content-Type: text/x-edited\r\n", content};
    const std::string body = write_body(mail.structure, mail.body, {edit}).flatten();
    const Structure after = parse(mail.header, body, {});
    EXPECT_EQ(test::names(after.defects), "");
    const bool gone = remove && parts[parts[target].parent].kind == PartKind::multipart &&
                      mail.structure.children(parts[target].parent).size() > 1;
    ASSERT_EQ(after.parts.size(), parts.size() - (gone ? 1 : 0));
    for (size_t i = 0; i < parts.size(); ++i) {
      if (!parts[i].is_leaf()) continue;
      const size_t now = gone && i > target ? i - 1 : i;
      if (i == target) {
        if (gone) continue;
        EXPECT_EQ(after.parts[now].content.of(body), remove ? "" : content);
        EXPECT_EQ(after.parts[now].type.value, remove ? "text/plain" : "text/x-edited");
      } else {
        ASSERT_EQ(after.parts[now].content.of(body), parts[i].content.of(mail.body));
        ASSERT_EQ(after.parts[now].header.of(body), parts[i].header.of(mail.body));
      }
    }
    // The new bytes are those before, the edit, those behind.
    size_t prefix = 0;
    while (prefix < std::min(body.size(), mail.body.size()) && body[prefix] == mail.body[prefix]) ++prefix;
    EXPECT_GE(prefix, parts[target].outer.begin);
    size_t suffix = 0;
    while (suffix < std::min(body.size(), mail.body.size()) &&
           body[body.size() - 1 - suffix] == mail.body[mail.body.size() - 1 - suffix]) {
      ++suffix;
    }
    EXPECT_GE(suffix, mail.body.size() - parts[target].outer.end);
  }
}

// Any edit of any message gives a body that can be parsed again, and copies only what was edited.
TEST(Writer, AnyEditOfAnySoup) {
  test::Generator random(8);
  const ParsedFile file = parse_file_header(test::Generator::kSoupHeader, {});
  for (int round = 0; round < 3000; ++round) {
    const std::string body = random.soup(40);
    const Structure structure = parse(file.header, body, {});
    std::vector<PartEdit> edits;
    const size_t count = random.pick(4);
    uint64_t text = 0;
    for (size_t i = 0; i < count; ++i) {
      edits.push_back(
          {static_cast<uint32_t>(random.pick(structure.parts.size() + 1)), random.pick(2) == 0, "X: y\r\n", "new"});
      text += 64;
    }
    const Pieces pieces = write_body(structure, body, edits);
    ASSERT_EQ(pieces.flatten().size(), pieces.size());
    ASSERT_LE(pieces.size(), body.size() + text);
    for (const std::string_view view : pieces.views()) {
      const bool own = view.data() < body.data() || view.data() >= body.data() + body.size();
      ASSERT_LE(own ? view.size() : 0, 64u);
    }
    test::check_accounting(parse(file.header, pieces.flatten(), {}), pieces.flatten());
    if (HasFatalFailure()) return;
  }
}

TEST(Pieces, MoveKeepsTheTexts) {
  Pieces pieces;
  pieces.add_text("short");
  pieces.add_view("");
  pieces.add_text(std::string(1000, 'x'));
  Pieces moved = std::move(pieces);
  EXPECT_EQ(moved.flatten(), "short" + std::string(1000, 'x'));
  EXPECT_EQ(moved.size(), 1005u);
}

}  // namespace
}  // namespace postern::mime
