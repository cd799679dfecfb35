// SPDX-License-Identifier: Apache-2.0
// Lines of the log are read as they were written, whatever their values hold: for every event and many odd values a MID
// is found exactly where the event names it, with a colon behind it or not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "milter/cli/commands.h"
#include "milter/cli/findevent.h"
#include "milter/cli/log_line.h"
#include "milter/events.h"
#include "milter/tracked_events.h"
#include "test/support/temporary_directory.h"

namespace postern::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// What stands in file names, subjects and replies.
constexpr std::string_view kOdd[] = {"plain",
                                     "",
                                     "' MID 77 ",
                                     "\" MID 77: scanning error (name='x'",
                                     "MID 77",
                                     "a: MID 77: b",
                                     "x [message-done]",
                                     "' queue-id=4Q [message-to]",
                                     "\r\nMID 77 forged",
                                     "<>> ICID 3 From: <MID 77>",
                                     "{mid} {own}",
                                     "\xff\xfe MID 77",
                                     "trailing ",
                                     "5"};

std::string logged(size_t event, std::span<const base::LogValue> values, std::string_view queue_id) {
  const base::LogId& id = milter::events()[event];
  return "Thu Nov 26 16:47:52 2026 Info: " + base::log_text(id, values) +
         (queue_id.empty() ? "" : " queue-id=" + std::string(queue_id)) + " [" + std::string(id.id) + "]";
}

std::set<uint64_t> mids_of(const std::string& line) {
  const LogLine read = read_log_line(line);
  milter::TrackedEvents events;
  std::set<uint64_t> out;
  const auto& places = read.event && milter::TrackedEvents::is_tracked(*read.event)
                           ? events.add(*read.event, read.values, read.queue_id, read.time, line)
                           : events.add_other(read.mids, read.level, read.time, line);
  for (const size_t place : places) out.insert(events.messages()[place].mid);
  return out;
}

TEST(FindEvent, EveryEventWithOddValuesIsReadAsItWasWritten) {
  const std::set<std::string_view> numbers = {"mid", "own", "cause", "again", "icid", "rid", "bytes"};
  size_t lines = 0;
  for (size_t event = 0; event < milter::events().size(); ++event) {
    const std::string_view shape = milter::events()[event].shape;
    for (const std::string_view odd : kOdd) {
      // Names of filters and kinds of mail are words of ours.
      std::vector<base::LogValue> values;
      std::set<uint64_t> expected;
      uint64_t next = 13;
      std::vector<std::string> texts;
      texts.reserve(20);
      for (size_t open = shape.find('{'); open != std::string_view::npos; open = shape.find('{', open + 1)) {
        const std::string_view name = shape.substr(open + 1, shape.find('}', open) - open - 1);
        if (numbers.contains(name)) {
          texts.push_back(std::to_string(next));
          if (name != "icid" && name != "rid" && name != "bytes") expected.insert(next);
          ++next;
        } else if (name == "kind" || name == "filter" || name == "copy" || name == "by" || name == "consequence" ||
                   name == "profile" || name == "quarantine") {
          texts.emplace_back("word");
        } else {
          texts.emplace_back(odd);
        }
        values.push_back({name, texts.back()});
      }
      if (!milter::TrackedEvents::is_tracked(event)) expected.clear();
      if (milter::events()[event].id == "callback-failed") continue;
      for (const std::string_view queue_id : {"", "4QueueId"}) {
        const std::string line = logged(event, values, queue_id);
        EXPECT_EQ(mids_of(line), expected) << line;
        ++lines;
        const LogLine read = read_log_line(line);
        if (expected.empty()) continue;
        EXPECT_EQ(read.event, event) << line;
        EXPECT_EQ(read.queue_id, queue_id) << line;
      }
    }
  }
  EXPECT_GT(lines, 1000u);
}

TEST(FindEvent, LinesOfOthersAreFoundByTheirMids) {
  EXPECT_THAT(
      mids_of("Mon Apr 17 19:56:22 2003 Warning: MID 9: scanning error (name='f MID 77: x', type=document/doc): "
              "file is corrupt"),
      ElementsAre(9));
  EXPECT_THAT(mids_of("Mon Apr 17 19:56:22 2003 Info: MID 9 RID [0] Response ok"), ElementsAre(9));
  EXPECT_THAT(mids_of("Info: Delivery start DCID 3 MID 9 to RID [0]"), ElementsAre(9));
  EXPECT_THAT(mids_of("Info: MID 483 rewritten to 513 by System Quarantine"), ElementsAre(483));
  EXPECT_THAT(mids_of("MID 9"), ElementsAre(9));
  EXPECT_THAT(mids_of("MID 9."), ElementsAre(9));
  EXPECT_THAT(mids_of("MID 9th RCMID 8 MID x MID"), IsEmpty());
  EXPECT_THAT(mids_of("Nov 26 16:47:52 mx posternd[12]: MID 9 ICID 3 From: <a@example.org> [message-from]"),
              ElementsAre(9));
  EXPECT_THAT(mids_of("Info: MID 9 ICID 3 From: <a@example.org>"), ElementsAre(9)) << "without an identifier";
}

class FindEventInFiles : public testing::Test {
 protected:
  void SetUp() override {
    log = directory + "/mail.log";
    std::ofstream(log)
        << "Thu Nov 26 16:47:50 2026 Info: New SMTP ICID 3 interface - address 192.0.2.1 reverse dns host x "
           "[connection-new]\n"
        << "Thu Nov 26 16:47:52 2026 Info: MID 9 ICID 3 From: <Ann@example.org> [message-from]\n"
        << "Thu Nov 26 16:47:52 2026 Info: MID 10 ICID 4 From: <bob@example.org> [message-from]\n"
        << "Thu Nov 26 16:47:52 2026 Info: MID 9 ICID 3 RID 0 To: <c@example.net> [message-to]\n"
        << "Thu Nov 26 16:47:53 2026 Debug: MID 9 Subject 'One' [message-subject]\n"
        << "Thu Nov 26 16:47:53 2026 Debug: MID 9 Message-ID '<1@x>' [message-id]\n"
        << "Thu Nov 26 16:47:53 2026 Info: MID 9 filter 'strip' matched: drop queue-id=4Q [filter-match]\n"
        << "Thu Nov 26 16:47:53 2026 Warning: MID 9: scanning error (name='MID 10: x')\n"
        << "Thu Nov 26 16:47:54 2026 Info: Message finished MID 10 done [message-done]\n"
        << "Thu Nov 26 16:47:54 2026 Info: Message aborted MID 9 Dropped by filter 'strip' queue-id=4Q "
           "[message-dropped]";
  }

  std::string find(FindEventOptions options, int status) {
    options.logs = {log};
    testing::internal::CaptureStdout();
    EXPECT_EQ(run_findevent(options), status);
    std::fflush(stdout);
    return testing::internal::GetCapturedStdout();
  }

  const test::TemporaryDirectory own_directory;
  const std::string& directory = own_directory.path();
  std::string log;
};

TEST_F(FindEventInFiles, EveryKey) {
  const auto with = [](auto set) {
    FindEventOptions options;
    set(options);
    return options;
  };
  const std::vector<FindEventOptions> finds = {with([](FindEventOptions& o) { o.mid = "9"; }),
                                               with([](FindEventOptions& o) { o.from = "Ann@example.org"; }),
                                               with([](FindEventOptions& o) { o.from = "ann@", o.fold = true; }),
                                               with([](FindEventOptions& o) { o.to = "c@example.net"; }),
                                               with([](FindEventOptions& o) { o.subject = "On"; }),
                                               with([](FindEventOptions& o) { o.message_id = "<1@x>"; }),
                                               with([](FindEventOptions& o) { o.queue_id = "4Q"; }),
                                               with([](FindEventOptions& o) { o.filter = "strip"; }),
                                               with([](FindEventOptions& o) { o.verdict = "discard"; }),
                                               with([](FindEventOptions& o) { o.since = "2026-11-26", o.to = "c@"; })};
  for (const FindEventOptions& options : finds) {
    const std::string out = find(options, kDone);
    EXPECT_EQ(std::ranges::count(out, '\n'), 8) << out;
    EXPECT_THAT(out, HasSubstr("MID 9: scanning error"));
    EXPECT_THAT(out, HasSubstr("address 192.0.2.1"));
    EXPECT_THAT(out, Not(HasSubstr("bob")));
  }
  for (const FindEventOptions& options :
       {with([](FindEventOptions& o) { o.mid = "1"; }), with([](FindEventOptions& o) { o.from = "ann@"; }),
        with([](FindEventOptions& o) { o.until = "2020-01-01"; }),
        with([](FindEventOptions& o) { o.filter = "other"; })}) {
    EXPECT_EQ(find(options, kNo), "");
  }
  EXPECT_THAT(find(with([](FindEventOptions& o) { o.limit = 1; }), kDone), HasSubstr("bob")) << "the newest";
  EXPECT_THAT(find(with([](FindEventOptions& o) { o.json = true, o.mid = "9"; }), kDone),
              HasSubstr("\"filters\": [\n    \"strip\""));
  EXPECT_EQ(find(with([](FindEventOptions& o) { o.json = true, o.mid = "1"; }), kNo), "[]\n");
  EXPECT_EQ(find(with([](FindEventOptions& o) { o.mid = "x"; }), kUsage), "");
  EXPECT_EQ(find(with([](FindEventOptions& o) { o.since = "soon"; }), kUsage), "");
  log = directory + "/missing";
  EXPECT_EQ(find({}, kUnavailable), "");
}

}  // namespace
}  // namespace postern::cli
