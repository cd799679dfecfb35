// SPDX-License-Identifier: Apache-2.0
// Frames between pool and workers: what goes in comes out, and what a worker may make up is refused or made good.
#include "engine/scan/client/protocol.h"

#include <gtest/gtest.h>

#include "engine/base/text.h"

namespace postern::scan {
namespace {

std::string encoded(Verdict verdict) {
  std::string frame;
  uint64_t announced = 0;
  const bool done = encode_verdict(
      verdict,
      [&](uint64_t total) {
        announced = total;
        return true;
      },
      [&](std::string_view bytes) {
        frame += bytes;
        return true;
      });
  EXPECT_TRUE(done);
  EXPECT_EQ(frame.size(), announced);
  return frame;
}

Verdict sample() {
  Verdict verdict = unscannable(Reason::none, "invoice.zip", "application/zip", 1234);
  Leaf& first = verdict.leaves[0];
  first.protection = Protection::partly;
  first.mime = "application/zip";
  first.types = {FileType::zip, FileType::jar};
  Leaf second;
  second.path = "!a/ä.exe";
  second.name = "ä.exe";
  second.size = uint64_t{1} << 40;
  second.marks = static_cast<uint16_t>(Mark::embedded) | static_cast<uint16_t>(Mark::macro_vba);
  second.reason = Reason::ratio;
  second.types = {FileType::exe};
  second.text = "zwei\nZeilen ü";
  verdict.leaves.push_back(second);
  second.parent = 1;
  verdict.leaves.push_back(second);
  verdict.cpu_microseconds = 4711;
  return verdict;
}

TEST(ScanProtocol, AVerdictComesOutAsItWentIn) {
  const Verdict in = sample();
  const auto out = decode_verdict(encoded(in), 1000);
  ASSERT_TRUE(out);
  ASSERT_EQ(out->leaves.size(), in.leaves.size());
  EXPECT_EQ(out->cpu_microseconds, in.cpu_microseconds);
  for (size_t i = 0; i < in.leaves.size(); ++i) {
    const Leaf& a = in.leaves[i];
    const Leaf& b = out->leaves[i];
    EXPECT_EQ(a.path, b.path);
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.declared_mime, b.declared_mime);
    EXPECT_EQ(a.mime, b.mime);
    EXPECT_EQ(a.size, b.size);
    EXPECT_EQ(a.parent, b.parent);
    EXPECT_EQ(a.marks, b.marks);
    EXPECT_EQ(a.protection, b.protection);
    EXPECT_EQ(a.reason, b.reason);
    EXPECT_EQ(a.types, b.types);
    EXPECT_EQ(a.text, b.text);
  }
}

TEST(ScanProtocol, AFrameCutOrExtendedIsRefused) {
  const std::string frame = encoded(sample());
  for (size_t size = 0; size < frame.size(); ++size) {
    EXPECT_FALSE(decode_verdict(std::string(frame, 0, size), 1000)) << size;
  }
  EXPECT_FALSE(decode_verdict(frame + '\0', 1000));
}

TEST(ScanProtocol, EveryChangedByteIsRefusedOrGivesAVerdictThatKeepsItsPromises) {
  const std::string frame = encoded(sample());
  for (size_t at = 0; at < frame.size(); ++at) {
    for (const int value : {0, 1, 0x0a, 0x7f, 0x80, 0xc3, 0xff}) {
      std::string changed = frame;
      changed[at] = static_cast<char>(value);
      const auto out = decode_verdict(changed, 1000);
      if (!out) continue;
      for (size_t i = 0; i < out->leaves.size(); ++i) {
        const Leaf& leaf = out->leaves[i];
        EXPECT_TRUE(base::is_valid_utf8(leaf.path + leaf.name + leaf.mime + leaf.declared_mime + leaf.text));
        EXPECT_TRUE(i == 0 ? leaf.parent == 0 : leaf.parent < i);
        EXPECT_FALSE(leaf.types.empty());
        EXPECT_EQ(leaf.path.find('\n'), std::string::npos);
      }
    }
  }
}

TEST(ScanProtocol, MoreTextThanAllowedIsRefused) {
  const std::string frame = encoded(sample());
  const uint64_t text = 2 * sample().leaves[1].text.size();
  EXPECT_TRUE(decode_verdict(frame, text));
  EXPECT_FALSE(decode_verdict(frame, text - 1));
}

TEST(ScanProtocol, WhatIsNoTextIsMadeGood) {
  Verdict verdict = sample();
  verdict.leaves[1].name =
      "a\nb\x7f\xff"
      "c\xc3";
  verdict.leaves[1].text = "x\xc3\x28\xf0\x9f\x98\x80\xff\n";
  const auto out = decode_verdict(encoded(verdict), 1000);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->leaves[1].name, "a?b??c?");
  EXPECT_EQ(out->leaves[1].text, "x?(\xf0\x9f\x98\x80?\n");
}

TEST(ScanProtocol, NamesTooLongAreCutBetweenCharacters) {
  Verdict verdict = sample();
  verdict.leaves[1].name = std::string(kMaxName - 1, 'n') + "ää";
  const auto out = decode_verdict(encoded(verdict), 1000);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->leaves[1].name, std::string(kMaxName - 1, 'n'));
}

TEST(ScanProtocol, LeavesThatDoNotFitAreSaidToBeMissing) {
  Verdict verdict = sample();
  verdict.leaves[0].reason = Reason::none;
  Leaf leaf = verdict.leaves[1];
  leaf.reason = Reason::none;
  leaf.path.assign(kMaxPath, 'p');
  leaf.text.clear();
  verdict.leaves.assign(kMaxLeaves, leaf);
  verdict.leaves[0].parent = 0;
  for (Leaf& each : verdict.leaves) each.parent = 0;
  const std::string frame = encoded(verdict);
  EXPECT_LE(frame.size(), kMaxVerdictHead);
  const auto out = decode_verdict(frame, 0);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->reason(), Reason::members);
  EXPECT_GT(out->leaves.size(), 5000u);
  EXPECT_LT(out->leaves.size(), kMaxLeaves);
  // That is more than that one is broken, and less than what was there first.
  for (const auto& [before, after] : {std::pair(Reason::corrupt, Reason::members), {Reason::time, Reason::time}}) {
    verdict.leaves.assign(kMaxLeaves, leaf);
    for (Leaf& each : verdict.leaves) each.parent = 0;
    verdict.leaves[0].reason = before;
    const auto cut = decode_verdict(encoded(verdict), 0);
    ASSERT_TRUE(cut);
    EXPECT_EQ(cut->leaves[0].reason, after);
  }
}

TEST(ScanVerdict, WhichReasonStays) {
  for (int first = 0; first < static_cast<int>(Reason::count_); ++first) {
    const auto before = static_cast<Reason>(first);
    EXPECT_FALSE(outweighs(Reason::none, before));
    EXPECT_EQ(outweighs(Reason::text, before), before == Reason::none);
    EXPECT_EQ(outweighs(Reason::corrupt, before), before == Reason::none || before == Reason::text);
    EXPECT_EQ(outweighs(Reason::members, before), !is_limit(before));
  }
}

TEST(ScanProtocol, AJobComesOutAsItWentIn) {
  Job job;
  job.name = "name";
  job.declared_mime = "text/plain";
  job.charset = "utf-8";
  job.limits.depth = 7;
  job.limits.size = 1;
  job.limits.total = 2;
  job.limits.members = 3;
  job.limits.ratio = 4;
  job.limits.text = 5;
  job.limits.time = std::chrono::milliseconds(6);
  job.want_text = false;
  job.is_message = true;
  job.skip.set(static_cast<size_t>(FileType::pdf));
  job.skip.set(static_cast<size_t>(FileType::count_) - 1);
  const std::string frame = encode_job(job);
  const auto out = decode_job(frame);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->name, job.name);
  EXPECT_EQ(out->declared_mime, job.declared_mime);
  EXPECT_EQ(out->charset, job.charset);
  EXPECT_EQ(out->limits.depth, 7u);
  EXPECT_EQ(out->limits.size, 1u);
  EXPECT_EQ(out->limits.total, 2u);
  EXPECT_EQ(out->limits.members, 3u);
  EXPECT_EQ(out->limits.ratio, 4u);
  EXPECT_EQ(out->limits.text, 5u);
  EXPECT_EQ(out->limits.time, job.limits.time);
  EXPECT_FALSE(out->want_text);
  EXPECT_TRUE(out->want_metadata);
  EXPECT_TRUE(out->is_message);
  EXPECT_EQ(out->skip, job.skip);
  for (size_t size = 0; size < frame.size(); ++size) EXPECT_FALSE(decode_job(std::string(frame, 0, size)));
  EXPECT_FALSE(decode_job(frame + "x"));
  // The longest one fits a message.
  const std::string long_name(10000, 'x');
  job.name = job.declared_mime = job.charset = long_name;
  EXPECT_LE(encode_message({Kind::job, 1, 2, 3}, encode_job(job)).size(), kMaxMessage);
  EXPECT_TRUE(decode_job(encode_job(job)));
}

TEST(ScanProtocol, OnlyMessagesOfThisVersionAreRead) {
  const std::string frame = encode_message({Kind::verdict_piece, 1, uint64_t{2} << 40, 3});
  ASSERT_EQ(frame.size(), kMessageSize);
  const auto out = decode_message(frame);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->kind, Kind::verdict_piece);
  EXPECT_EQ(out->job, 1u);
  EXPECT_EQ(out->total, uint64_t{2} << 40);
  EXPECT_EQ(out->piece, 3u);
  for (size_t size = 0; size < frame.size(); ++size) EXPECT_FALSE(decode_message(frame.substr(0, size)));
  for (size_t at = 0; at < 8; ++at) {
    std::string changed = frame;
    changed[at] = static_cast<char>(changed[at] ^ 0x55);
    EXPECT_FALSE(decode_message(changed)) << at;
  }
  EXPECT_FALSE(decode_message(frame + std::string(kMaxMessage, 'x')));
}

}  // namespace
}  // namespace postern::scan
