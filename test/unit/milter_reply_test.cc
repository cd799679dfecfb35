// SPDX-License-Identifier: Apache-2.0
// Replies: class of code, enhanced code and verb agree; text is one bounded ASCII line with '%' doubled.
#include "milter/reply.h"

#include <gtest/gtest.h>

#include "milter/events.h"

namespace postern::milter {
namespace {

TEST(MilterReply, FitsTheProtocol) {
  const struct {
    Verdict verdict;
    rules::Reply reply;
    SmtpReply expected;
  } cases[] = {
      {Verdict::reject, {554, "5.7.1", "No"}, {"554", "5.7.1", "No"}},
      {Verdict::reject, {0, "", ""}, {"", "", ""}},
      {Verdict::reject, {0, "", "only text"}, {"550", "5.7.1", "only text"}},
      {Verdict::reject, {451, "4.7.1", "class differs"}, {"550", "5.7.1", "class differs"}},
      {Verdict::tempfail, {554, "5.7.1", "class differs"}, {"451", "4.7.1", "class differs"}},
      {Verdict::tempfail, {421, "4.3.2", "100% busy"}, {"421", "4.3.2", "100%% busy"}},
      {Verdict::reject, {550, "5.7", "short"}, {"550", "5.7.1", "short"}},
      {Verdict::reject, {550, "5.1234.1", "long"}, {"550", "5.7.1", "long"}},
      {Verdict::reject, {550, "5.x.1", "letters"}, {"550", "5.7.1", "letters"}},
      {Verdict::reject, {550, "5.7.1", "two\r\nlines\tand\x01"}, {"550", "5.7.1", "two lines?and "}},
      {Verdict::reject, {550, "5.7.1", "gr\xc3\xbc\xc3\x9f"}, {"550", "5.7.1", "gr????"}},
      {Verdict::reject, {700, "5.7.1", "range"}, {"550", "5.7.1", "range"}},
      {Verdict::accept, {250, "2.0.0", "fine"}, {"", "", ""}},
      {Verdict::discard, {550, "5.7.1", "x"}, {"", "", ""}},
  };
  for (const auto& test : cases) {
    const SmtpReply reply = make_reply({test.verdict, test.reply, {}});
    EXPECT_EQ(reply.code, test.expected.code) << test.reply.text;
    EXPECT_EQ(reply.enhanced, test.expected.enhanced) << test.reply.text;
    EXPECT_EQ(reply.text, test.expected.text);
  }
  const SmtpReply longest = make_reply({Verdict::reject, {550, "5.7.1", std::string(100'000, '%')}, {}});
  EXPECT_EQ(longest.text.size(), 2 * kReplyText);
}

TEST(MilterReply, LineForLogs) {
  EXPECT_EQ(reply_line({Verdict::reject, {550, "5.7.1", "no"}, {}}), "550 5.7.1 no");
  EXPECT_EQ(reply_line({Verdict::accept, {}, {}}), "");
}

TEST(MilterEvents, EveryRowIsComplete) {
  for (const base::LogId& row : events()) {
    EXPECT_FALSE(row.id.empty());
    EXPECT_FALSE(row.shape.empty());
    size_t same = 0;
    for (const base::LogId& other : events()) same += other.id == row.id;
    EXPECT_EQ(same, 1u) << row.id;
  }
}

}  // namespace
}  // namespace postern::milter
