// SPDX-License-Identifier: Apache-2.0
// What engines answer: each form that real ones have, and what is none of them is no answer.
#include <gtest/gtest.h>

#include "engine/inspect/clamd.h"
#include "engine/inspect/icap.h"
#include "engine/inspect/rspamd.h"
#include "engine/inspect/spamd.h"

namespace postern::inspect {
namespace {

std::string shown(const base::Result<Answer>& answer) {
  if (!answer) return std::string(base::cause_name(answer.error().cause()));
  return std::string(virus_verdict_name(answer->virus)) + (answer->name.empty() ? "" : " " + answer->name);
}

TEST(Clamd, Answers) {
  const std::pair<std::string_view, const char*> cases[] = {
      {"stream: OK", "clean"},
      {"stream: Eicar-Test-Signature FOUND", "infected Eicar-Test-Signature"},
      {"stream: A name FOUND FOUND", "infected A name FOUND"},
      {"stream: Heuristics.Encrypted.Zip FOUND", "encrypted Heuristics.Encrypted.Zip"},
      {"stream: Heuristics.Limits.Exceeded.MaxRecursion FOUND", "unscannable Heuristics.Limits.Exceeded.MaxRecursion"},
      {"INSTREAM size limit exceeded. ERROR", "unscannable larger than clamd's StreamMaxLength"},
      {"stream: Can't allocate memory ERROR", "unavailable"},
      {"UNKNOWN COMMAND", "malformed"},
      {"", "malformed"},
      {"OK", "malformed"},
      {"stream: OK\n", "malformed"},
      {"stream: Evil OK", "malformed"},
      {"stream:  FOUND", "malformed"},
      {" FOUND", "malformed"},
      {"FOUND", "malformed"},
      {"stream: \x1b[2J\r\nMID 1 clean FOUND", "infected \\x1b[2J\\x0d\\x0aMID 1 clean"}};
  for (const auto& [reply, wanted] : cases) EXPECT_EQ(shown(read_clamd_reply(reply)), wanted) << reply;
  EXPECT_LE(read_clamd_reply("stream: " + std::string(3000, 'x') + " FOUND")->name.size(), kMostName + 3);
}

TEST(Spamd, Answers) {
  const auto good = read_spamd_reply(
      "SPAMD/1.1 0 EX_OK\r\nContent-length: 19\r\nSpam: True ; 1000.5 / 5.0\r\n\r\nGTUBE,NO_RECEIVED\r\nmore");
  ASSERT_TRUE(good) << good.error().text();
  EXPECT_EQ(good->score, 1'000'500);
  EXPECT_EQ(good->required, 5000);
  EXPECT_EQ(good->symbols, "GTUBE,NO_RECEIVED");
  EXPECT_EQ(read_spamd_reply("SPAMD/1.5 0 EX_OK\r\nspam: False ; -1.2 / 5.0\r\n\r\n")->score, -1200);
  const std::pair<std::string_view, const char*> cases[] = {
      {"", "malformed"},
      {"HTTP/1.1 200 OK\r\n\r\n", "malformed"},
      {"SPAMD/1.5 0 EX_OK\r\n", "malformed"},
      {"SPAMD/1.5 0 EX_OK\r\n\r\n", "malformed"},
      {"SPAMD/1.5 0x EX_OK\r\nSpam: True ; 1 / 5\r\n\r\n", "malformed"},
      {"SPAMD/1.5 0 EX_OK\r\nSpam: True ; 1 / 5", "malformed"},
      {"SPAMD/1.5 0 EX_OK\r\nSpam: True ; nan / 5.0\r\n\r\n", "malformed"},
      {"SPAMD/1.5 0 EX_OK\r\nSpam: True 1 / 5.0\r\n\r\n", "malformed"},
      {"SPAMD/1.5 0 EX_OK\r\nSpam: True ; 1.0\r\n\r\n", "malformed"},
      {"SPAMD/1.5 0 EX_OK\r\nContent-length: 10\r\nSpam: True ; 1 / 5\r\n\r\nshort", "malformed"},
      {"SPAMD/1.5 0 EX_OK\r\nContent-length: 99999999999999999999\r\nSpam: True ; 1 / 5\r\n\r\n", "malformed"},
      {"SPAMD/1.0 76 Bad header line: (EOF)\r\n", "unavailable"},
      {"SPAMD/1.1 74 EX_IOERR\r\n\r\n", "unavailable"}};
  for (const auto& [reply, wanted] : cases) EXPECT_EQ(shown(read_spamd_reply(reply)), wanted) << reply;
  EXPECT_EQ(spamd_reply_size("SPAMD/1.1 0 EX_OK\r\nContent-length: 3\r\n\r\nab"), 43u);
  EXPECT_EQ(spamd_reply_size("SPAMD/1.1 0 EX_OK\r\nContent-length: 3\r\n"), std::nullopt);
  EXPECT_EQ(spamd_reply_size("SPAMD/1.1 0 EX_OK\r\n\r\nab"), std::nullopt);
}

TEST(Rspamd, Answers) {
  const auto good = read_rspamd_reply(
      R"({"is_skipped":false,"score":-0.25,"required_score":15.0,"action":"no action","symbols":{"GTUBE":{"name":"GTUBE"},"B":{}}})");
  ASSERT_TRUE(good) << good.error().text();
  EXPECT_EQ(good->score, -250);
  EXPECT_EQ(good->required, 15'000);
  EXPECT_EQ(good->symbols, "B,GTUBE");
  EXPECT_EQ(read_rspamd_reply(R"({"score":1e300})")->score, 1'000'000'000);
  const std::pair<std::string, const char*> cases[] = {
      {"", "malformed"},
      {"pong", "malformed"},
      {"[]", "malformed"},
      {"{}", "malformed"},
      {R"({"score":"7"})", "malformed"},
      {R"({"score":1)", "malformed"},
      {R"({"score":1,"messages":{"smtp_message":"timeout processing message"}})", "unavailable"},
      {R"({"score":1} trailing)", "malformed"},
      {R"({"score":{"score":1}})", "malformed"},
      {R"({"error":"no memory","score":0})", "unavailable"}};
  for (const auto& [reply, wanted] : cases) EXPECT_EQ(shown(read_rspamd_reply(reply)), wanted) << reply;
  EXPECT_EQ(
      read_rspamd_reply(R"({"score":2,"deep":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}")->score,
      2000);
}

// icap reads one response, in pieces of `step` bytes.
std::string icap(std::string_view text, bool same, size_t step, std::string* body = nullptr) {
  std::string got;
  IcapReply reply([&](std::string_view piece) { got += piece; }, 1u << 20);
  for (size_t at = 0; at < text.size() && !reply.done(); at += step) {
    if (auto fed = reply.feed(text.substr(at, step)); !fed) return std::string(base::cause_name(fed.error().cause()));
  }
  if (body != nullptr) *body = got;
  return reply.done() ? shown(icap_verdict(reply, same)) : "unfinished";
}

TEST(Icap, Answers) {
  const std::string http = "HTTP/1.1 200 OK\r\nContent-Type: message/rfc822\r\n\r\n";
  const std::string blocked = "HTTP/1.1 403 Forbidden\r\nX-Virus-ID: Eicar\r\n\r\n";
  const auto with = [](const std::string& fields, const std::string& header, const std::string& chunks) {
    return "ICAP/1.0 200 OK\r\n" + fields + "Encapsulated: res-hdr=0, res-body=" + std::to_string(header.size()) +
           "\r\n\r\n" + header + chunks;
  };
  const std::string chunks = "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: x\r\n\r\n";
  const std::tuple<std::string, bool, const char*> cases[] = {
      {"ICAP/1.0 204 No Content\r\nISTag: x\r\n\r\n", false, "clean"},
      {"ICAP/1.0 204 Unmodified\r\n\r\n", false, "clean"},
      {with("", http, chunks), true, "clean"},
      {with("", http, chunks), false, "infected blocked by the ICAP service"},
      {with("X-Infection-Found: Type=0; Resolution=2; Threat=Eicar-Test;\r\n", http, chunks), true,
       "infected Eicar-Test"},
      {with("X-Infection-Found: Type=2; Resolution=0; Threat=encrypted;\r\n", http, chunks), true,
       "unscannable encrypted"},
      {with("X-Violations-Found: 1\r\n\tmessage.eml\r\n\tEicar\r\n", http, chunks), true,
       "infected 1 message.eml Eicar"},
      {with("", blocked, chunks), false, "infected Eicar"},
      {with("", blocked, chunks), true, "infected Eicar"},
      {"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, null-body=" + std::to_string(blocked.size()) + "\r\n\r\n" + blocked,
       true, "infected Eicar"},
      {"ICAP/1.0 200 OK\r\nEncapsulated: null-body=0\r\n\r\n", true, "malformed"},
      {"ICAP/1.0 404 ICAP Service not found\r\n\r\n", true, "unavailable"},
      {"ICAP/1.0 500 Server error\r\n\r\n", true, "unavailable"},
      {"ICAP/1.0 2040 x\r\n\r\n", true, "malformed"},
      {"HTTP/1.1 200 OK\r\n\r\n", true, "malformed"},
      {"ICAP/1.0 200 OK\r\nnonsense\r\n\r\n", true, "malformed"},
      {"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0\r\n\r\n", true, "malformed"},
      {"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=9, res-body=2\r\n\r\n", true, "malformed"},
      {"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=99999999\r\n\r\n", true, "malformed"},
      {"ICAP/1.0 200 OK\r\nEncapsulated: res-body=x\r\n\r\n", true, "malformed"},
      {with("", http, "zz\r\n"), true, "malformed"},
      {with("", http, "5\r\nhelloworld\r\n"), true, "malformed"},
      {with("", http, "FFFFFFFF\r\n"), true, "limit"},
      {with("", http, "5\r\nhel"), true, "unfinished"},
      {"ICAP/1.0 200 OK\r\nX: " + std::string(100'000, 'x'), true, "limit"}};
  for (const auto& [text, same, wanted] : cases) {
    for (const size_t step : {text.size() + 1, size_t{1}, size_t{7}}) {
      EXPECT_EQ(icap(text, same, step), wanted) << text.substr(0, 200) << " in pieces of " << step;
    }
  }
  std::string body;
  icap(with("", http, chunks), true, 3, &body);
  EXPECT_EQ(body, "hello world");
}

}  // namespace
}  // namespace postern::inspect
