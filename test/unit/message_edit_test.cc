// SPDX-License-Identifier: Apache-2.0
// Message: facts are those of the message as received, edits touch nothing but what they name, and what is written is
// what a second parse reads.
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "engine/message/changes.h"
#include "engine/message/message.h"
#include "engine/mime/parser.h"
#include "test/support/fake_mta.h"

namespace postern::message {
namespace {

std::string view_of(const mime::Part& part, std::string_view body) { return std::string(part.content.of(body)); }

// The contents of all leaves but those below `without`, as they stand in the body.
std::vector<std::string> leaves(const mime::Structure& tree, std::string_view body, uint32_t without = UINT32_MAX) {
  std::vector<std::string> out;
  for (uint32_t i = 0; i < tree.parts.size(); ++i) {
    if (!tree.parts[i].is_leaf()) continue;
    bool inside = i == without;
    for (uint32_t part = i; tree.parts[part].parent != part; part = tree.parts[part].parent) {
      inside = inside || tree.parts[part].parent == without;
    }
    if (!inside) out.push_back(view_of(tree.parts[i], body));
  }
  return out;
}

// A random tree of multiparts as text; boundaries prefix one another now and then, as some mailers make them.
std::string make_entity(std::mt19937_64& random, int depth, std::string boundary) {
  if (depth == 0 || random() % 3 == 0) {
    std::string text;
    for (size_t n = random() % 4; n > 0; --n) text += "line " + std::to_string(random() % 100) + "\r\n";
    switch (random() % 3) {
      case 0:
        return "Content-Type: text/plain\r\n\r\n" + text;
      case 1:
        return "Content-Type: application/octet-stream; name=\"f" + std::to_string(random() % 9) +
               ".bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC";
      default:
        return "\r\n" + text;
    }
  }
  std::string out = "Content-Type: multipart/mixed; boundary=\"" + boundary + "\"\r\n\r\n";
  if (random() % 2 == 0) out += "preamble of " + boundary + "\r\n";
  const size_t children = 1 + random() % 3;
  for (size_t i = 0; i < children; ++i) {
    out += (i == 0 ? "--" : "\r\n--") + boundary + (random() % 4 == 0 ? "  \r\n" : "\r\n");
    out += make_entity(random, depth - 1, boundary + (random() % 2 == 0 ? "=" : "x") + std::to_string(i));
  }
  if (random() % 8 != 0) out += "\r\n--" + boundary + "--\r\n";
  if (random() % 2 == 0) out += "epilogue of " + boundary + "\r\n";
  return out;
}

struct Sample {
  mime::HeaderList header;
  std::string body;
};

Sample make_sample(std::mt19937_64& random) {
  const std::string entity = make_entity(random, 3, "b");
  const base::Limits limits;
  const mime::ParsedFile parsed = mime::parse_file_header(entity, limits);
  return {parsed.header, entity.substr(parsed.body_offset)};
}

void receive(Message& message, const mime::HeaderList& header, std::string_view body) {
  for (const auto& field : header) message.headers.add_received(field.name, field.value);
  message.set_body(body);
  message.keep_received_header_size();
  message.keep_received_envelope();
}

std::string applied(Message& message, const std::string& body) {
  const ChangeList list = diff(message);
  test::FakeMta mta(test::FakeMta::Dialect::postfix, {});
  mta.set_body(body);
  mta.apply(list);
  return mta.body();
}

TEST(MessageEdit, NoEditWritesTheSameBytes) {
  std::mt19937_64 random(1);
  for (int n = 0; n < 300; ++n) {
    const Sample sample = make_sample(random);
    Message message{base::Limits()};
    receive(message, sample.header, sample.body);
    EXPECT_EQ(message.final_body().flatten(), sample.body);
    EXPECT_EQ(mime::write_body(message.structure(), sample.body, {}).flatten(), sample.body);
    EXPECT_TRUE(diff(message).changes.empty());
  }
}

TEST(MessageEdit, DroppingOnePartLeavesAllOthers) {
  std::mt19937_64 random(2);
  size_t dropped = 0;
  for (int n = 0; n < 400; ++n) {
    const Sample sample = make_sample(random);
    const base::Limits limits;
    const mime::Structure tree = mime::parse(sample.header, sample.body, limits);
    for (uint32_t k = 1; k < tree.parts.size(); ++k) {
      Message message(limits);
      receive(message, sample.header, sample.body);
      ASSERT_TRUE(message.edit_part({k, true, "", ""}));
      EXPECT_TRUE(message.part_removed(k));
      const std::string body = message.final_body().flatten();
      EXPECT_EQ(applied(message, sample.body), body);
      const mime::Structure after = mime::parse(sample.header, body, limits);
      std::vector<std::string> want = leaves(tree, sample.body, k);
      std::vector<std::string> got = leaves(after, body);
      const uint32_t parent = tree.parts[k].parent;
      if (tree.children(parent).size() == 1) {
        // An empty text stands where the last child was.
        EXPECT_EQ(got.size(), want.size() + 1) << mime::dump(tree) << "\n" << sample.body << "\n---\n" << body;
        const auto empty = std::find(got.begin(), got.end(), "");
        ASSERT_NE(empty, got.end());
        // Which of several empty leaves is the new one does not show; without empty ones the rest must be the same.
        std::erase(got, "");
        std::erase(want, "");
      }
      ASSERT_EQ(got, want) << "dropped " << tree.parts[k].path << " of " << mime::dump(tree) << "\n"
                           << sample.body << "\n---\n"
                           << body;
      ++dropped;
    }
  }
  EXPECT_GT(dropped, 800u);
}

TEST(MessageEdit, AFooterChangesItsPartAlone) {
  std::mt19937_64 random(3);
  for (int n = 0; n < 300; ++n) {
    const Sample sample = make_sample(random);
    const base::Limits limits;
    const mime::Structure tree = mime::parse(sample.header, sample.body, limits);
    for (uint32_t k = 1; k < tree.parts.size(); ++k) {
      if (!tree.parts[k].is_leaf()) continue;
      Message message(limits);
      receive(message, sample.header, sample.body);
      const std::string content = view_of(tree.parts[k], sample.body) + "\r\n-- \r\nfooter";
      ASSERT_TRUE(message.edit_part({k, false, "Content-Type: text/plain; charset=utf-8\r\n", content}));
      const std::string body = message.final_body().flatten();
      const mime::Structure after = mime::parse(sample.header, body, limits);
      ASSERT_EQ(after.parts.size(), tree.parts.size()) << sample.body << "\n---\n" << body;
      for (uint32_t i = 0; i < tree.parts.size(); ++i) {
        if (!tree.parts[i].is_leaf()) continue;
        ASSERT_EQ(view_of(after.parts[i], body), i == k ? content : view_of(tree.parts[i], sample.body))
            << tree.parts[k].path << "\n"
            << sample.body << "\n---\n"
            << body;
      }
    }
  }
}

TEST(MessageEdit, WhatIsGoneStaysGone) {
  mime::HeaderList header;
  header.add_received("Content-Type", " multipart/mixed; boundary=b");
  const std::string body =
      "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\none\r\n--c--\r\n--b\r\n\r\ntwo\r\n--b--\r\n";
  Message message{base::Limits()};
  receive(message, header, body);
  ASSERT_EQ(message.structure().parts.size(), 4u);
  EXPECT_FALSE(message.edit_part({4, true, "", ""})) << "no such part";
  EXPECT_TRUE(message.edit_part({3, true, "", ""}));
  EXPECT_FALSE(message.edit_part({3, false, "", "back again"}));
  EXPECT_TRUE(message.edit_part({3, true, "", ""}));
  EXPECT_FALSE(message.part_removed(1));
  EXPECT_TRUE(message.edit_part({1, false, "", "replaced"}));
  EXPECT_TRUE(message.part_removed(2)) << "it was in a container that was replaced";
  EXPECT_FALSE(message.part_removed(1));
  EXPECT_FALSE(message.edit_part({2, false, "", "unseen"}));
  EXPECT_EQ(message.part_edits().size(), 2u);
  EXPECT_EQ(message.final_body().flatten().find("back again"), std::string::npos);
  mime::Pieces whole;
  whole.add_text("whole\r\n");
  message.replace_body("text/plain", "", std::move(whole));
  EXPECT_FALSE(message.edit_part({1, false, "", "late"}));
  EXPECT_EQ(message.final_body().flatten(), "whole\r\n");
}

TEST(MessageFacts, StructureIsThatOfTheReceivedMessage) {
  mime::HeaderList header;
  header.add_received("Content-Type", " multipart/mixed; boundary=b");
  const std::string body = "--b\r\nContent-Type: application/x-msdownload\r\n\r\nMZ\r\n--b--\r\n";
  Message message{base::Limits()};
  receive(message, header, body);
  message.headers.change(0, "text/plain");
  ASSERT_EQ(message.structure().parts.size(), 2u) << "a rule cannot hide a part by editing Content-Type first";
  EXPECT_EQ(message.structure().parts[1].type.value, "application/x-msdownload");
}

TEST(MessageFacts, TextIsDecodedOnceAndBounded) {
  base::Limits limits;
  limits.decoded_text = 10;
  mime::HeaderList header;
  header.add_received("Content-Type", " multipart/mixed; boundary=b");
  const std::string body =
      "--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n"
      "--b\r\nContent-Type: text/plain\r\n\r\nworld!\r\n"
      "--b\r\nContent-Type: text/plain\r\n\r\n12345\r\n--b--\r\n";
  Message message(limits);
  receive(message, header, body);
  const mime::Text* first = &message.text(1);
  EXPECT_EQ(first->utf8, "Hello");
  EXPECT_FALSE(first->undecodable);
  EXPECT_TRUE(message.text(2).undecodable) << "six more than fit";
  EXPECT_EQ(message.text(3).utf8, "12345") << "exactly what is left";
  EXPECT_EQ(&message.text(1), first);
  EXPECT_TRUE(message.text(99).undecodable);
}

TEST(MessageFacts, WholeIsAFile) {
  Message message{base::Limits()};
  message.headers.add_received("A", " one\n two");
  message.headers.add_received("B", "\tthree\r\n four");
  message.set_body("body\r\n");
  message.headers.append("C", "five\n six");
  EXPECT_EQ(message.whole(), "A: one\r\n two\r\nB:\tthree\r\n four\r\nC: five\r\n six\r\n\r\nbody\r\n");
}

TEST(MessageFacts, AnUneditedMessageCostsNothingToCompare) {
  Message message{base::Limits()};
  for (int i = 0; i < 40; ++i) message.headers.add_received("X-Field-" + std::to_string(i), " some value of a field");
  const std::string body(4096, 'x');
  message.set_body(body);
  message.envelope.from = "a@x.example";
  for (int i = 0; i < 5; ++i) message.envelope.recipients.push_back({"user" + std::to_string(i) + "@y.example", {}});
  message.keep_received_envelope();
  size_t changes = 0;
  const std::clock_t before = std::clock();
  for (int i = 0; i < 100000; ++i) changes += diff(message).changes.size();
  EXPECT_EQ(changes, 0u);
  // Microseconds a call even with sanitizers; the bound is against work that grows with the message.
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 2.0);
}

}  // namespace
}  // namespace postern::message
