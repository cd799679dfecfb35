// SPDX-License-Identifier: Apache-2.0
// Containers: what is found in archives, mail and encodings made here, what is wrong with them, and that bombs end.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <string>

#include "engine/scan/worker/inflater.h"
#include "engine/scan/worker/name_table.h"
#include "engine/scan/worker/scan_job.h"
#include "test/unit/scan_support.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_literals;
using test::gzip;
using test::Zip;
using test::ZipEntry;

Verdict scan(std::string_view bytes, std::string_view name = "", bool is_message = false) {
  Job job;
  job.bytes = bytes;
  job.name = name;
  job.is_message = is_message;
  return scan_job(job);
}

// shown writes a verdict as "path=reason" for each leaf, apart by blanks; the reason of a leaf that was scanned is
// "ok".
std::string shown(const Verdict& verdict) {
  std::string out;
  for (const Leaf& leaf : verdict.leaves) {
    out += (out.empty() ? "" : " ") + leaf.path + "=" + (leaf.scanned() ? "ok" : std::string(reason_name(leaf.reason)));
  }
  return out;
}

bool has_reason(const Verdict& verdict, Reason reason) {
  return std::ranges::any_of(verdict.leaves, [&](const Leaf& leaf) { return leaf.reason == reason; });
}

std::string tar_entry(std::string_view name, std::string_view data, char kind = '0', uint64_t stated = UINT64_MAX) {
  std::string header(512, '\0');
  const auto octal = [&](size_t at, size_t width, uint64_t value) {
    for (size_t i = width - 1; i-- > 0; value /= 8) header[at + i] = static_cast<char>('0' + value % 8);
  };
  std::copy(name.begin(), name.end(), header.begin());
  octal(100, 8, 0644);
  octal(108, 8, 0);
  octal(116, 8, 0);
  octal(124, 12, stated == UINT64_MAX ? data.size() : stated);
  octal(136, 12, 0);
  header[156] = kind;
  std::copy_n("ustar\00000", 8, header.begin() + 257);
  std::fill_n(header.begin() + 148, 8, ' ');
  uint64_t sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  octal(148, 7, sum);
  header[154] = '\0';
  std::string out = header + std::string(data);
  out.resize((out.size() + 511) / 512 * 512, '\0');
  return out;
}

TEST(ScanSkip, WhatIsNotOpenedMayBeProtected) {
  const std::pair<std::string, Protection> table[] = {
      {Zip().bytes(), Protection::unknown},
      {"%PDF-1.4\n", Protection::unknown},
      {"\x89PNG\r\n\x1a\n"s, Protection::no},
      {"just a text\n", Protection::no},
  };
  for (const auto& [bytes, expected] : table) {
    Job job;
    job.bytes = bytes;
    job.skip.set();
    const Verdict verdict = scan_job(job);
    EXPECT_EQ(shown(verdict), "=ok") << bytes;
    EXPECT_EQ(verdict.leaves[0].protection, expected) << bytes;
  }
}

// A leaf whose text is past its limit says so only where nothing else is open about it.
TEST(ScanLimits, TextHidesNoOtherLimit) {
  Job job;
  job.bytes = "hello\nbegin 644 calc.exe\n#0V%T\n`\nend\nbye\n";
  job.name = "a.txt";
  job.limits.text = 0;
  EXPECT_EQ(scan_job(job).leaves[0].reason, Reason::text);
  job.limits.depth = 0;
  EXPECT_EQ(scan_job(job).leaves[0].reason, Reason::depth);
}

TEST(ScanZip, EveryMemberOfEitherTable) {
  Zip zip;
  zip.add("a.txt", "hello");
  zip.add("b.txt", std::string(1000, 'x'), true);
  EXPECT_EQ(shown(scan(zip.bytes())), "=ok !a.txt=ok !b.txt=ok");
  zip.add("hidden.txt", "only a local header").in_central = false;
  const Verdict verdict = scan(zip.bytes());
  EXPECT_EQ(shown(verdict), "=ok !a.txt=ok !b.txt=ok !hidden.txt=ok");
  EXPECT_TRUE(verdict.leaves[0].has(Mark::inconsistent));
}

TEST(ScanZip, TablesThatDisagree) {
  Zip zip;
  ZipEntry& entry = zip.add("good.txt", "hello");
  entry.central_name = "evil.exe";
  const Verdict verdict = scan(zip.bytes());
  EXPECT_EQ(shown(verdict), "=ok !evil.exe=ok !good.txt=ok");
  EXPECT_TRUE(verdict.leaves[0].has(Mark::inconsistent));
}

TEST(ScanZip, WithoutDirectoryAndWithThingsBeforeAndBehind) {
  Zip zip;
  zip.add("a.txt", "hello");
  const std::string bytes = zip.bytes();
  EXPECT_EQ(shown(scan(bytes.substr(0, bytes.find("PK\x01\x02")))), "=ok !a.txt=ok");
  EXPECT_EQ(shown(scan("GIF89a" + std::string(300, '\1') + bytes)), "=ok !a.txt=ok");
  EXPECT_EQ(shown(scan(bytes + std::string(300, '\1'))), "=ok !a.txt=ok");
}

TEST(ScanZip, AnArchiveInAnArchiveIsFoundOnce) {
  std::string noise(5000, '\0');
  for (uint32_t i = 0, word = 1; i < noise.size(); ++i, word = word * 1664525 + 1013904223) {
    noise[i] = static_cast<char>(word >> 24);
  }
  Zip inner;
  inner.add("a.txt", "hello");
  inner.add("noise", noise);
  for (const bool deflated : {false, true}) {
    Zip zip;
    ZipEntry& entry = zip.add("inner.zip", inner.bytes());
    // What cannot be packed stands in a deflated member as it is.
    if (deflated) {
      entry.method = 8;
      entry.packed = "\x01" + test::le16(entry.size) + test::le16(~entry.size) + entry.packed;
    }
    const std::string bytes = zip.bytes();
    EXPECT_NE(bytes.find("PK\x05\x06"), bytes.rfind("PK\x05\x06"));
    const Verdict verdict = scan(bytes);
    EXPECT_EQ(shown(verdict), "=ok !inner.zip=ok !inner.zip!a.txt=ok !inner.zip!noise=ok");
    EXPECT_FALSE(verdict.leaves[0].has(Mark::inconsistent));
    // In front of it, it is in no member.
    const Verdict both = scan(inner.bytes() + bytes);
    EXPECT_EQ(shown(both), "=ok !inner.zip=ok !inner.zip!a.txt=ok !inner.zip!noise=ok !a.txt=ok !noise=ok");
    EXPECT_TRUE(both.leaves[0].has(Mark::inconsistent));
  }
}

TEST(ScanZip, WhatCannotBeRead) {
  Zip zip;
  zip.add("crc.txt", "hello").crc ^= 1;
  zip.add("method.txt", "hello").method = 97;
  zip.add("secret.txt", "hello").flags = 1;
  zip.add("ok.txt", "hello");
  const Verdict verdict = scan(zip.bytes());
  EXPECT_EQ(shown(verdict), "=ok !crc.txt=corrupt !method.txt=unsupported !secret.txt=password !ok.txt=ok");
  EXPECT_EQ(verdict.leaves[0].protection, Protection::partly);
  EXPECT_FALSE(verdict.complete());
}

TEST(ScanZip, OverlapIsABombButAFewAreNot) {
  for (const size_t count : {3u, 50u}) {
    Zip zip;
    zip.add("0", std::string(100000, 'a'), true);
    std::string bytes = zip.bytes();
    std::string directory;
    for (size_t i = 0; i < count; ++i) {
      ZipEntry entry = zip.entries[0];
      entry.central_name = std::to_string(i);
      directory += Zip::central(entry);
    }
    const size_t at = bytes.find("PK\x01\x02");
    bytes.resize(at);
    bytes += directory + "PK\x05\x06" + test::le32(0) + test::le16(count) + test::le16(count) +
             test::le32(directory.size()) + test::le32(at) + test::le16(0);
    EXPECT_EQ(has_reason(scan(bytes), Reason::overlap), count == 50u) << count;
  }
}

TEST(ScanZip, NamesAreNeverPaths) {
  Zip zip;
  for (const std::string& name :
       {"../../etc/cron.d/x"s, "/abs"s, "C:\\x"s, "CON"s, "a\0b.exe"s, std::string(4000, 'n')}) {
    zip.add(name, "hello");
  }
  const Verdict verdict = scan(zip.bytes());
  ASSERT_EQ(verdict.leaves.size(), 7u);
  EXPECT_EQ(verdict.leaves[1].name, "../../etc/cron.d/x");
  for (const Leaf& leaf : verdict.leaves) {
    EXPECT_LE(leaf.name.size(), kMaxName);
    EXPECT_EQ(leaf.name.find('\0'), std::string::npos);
  }
}

// A document of one part of text, both members deflated.
Zip document(std::string_view part) {
  Zip zip;
  zip.add("[Content_Types].xml",
          "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Override "
          "PartName=\"/word/document.xml\" ContentType=\"application/"
          "vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/></Types>",
          true);
  zip.add("word/document.xml", part, true);
  return zip;
}

TEST(ScanZip, PartsOfADocumentAreLeavesOnlyWhereTheyAreWrong) {
  constexpr std::string_view kPart =
      "<w:document "
      "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:p><w:t>hello</w:t></w:p></"
      "w:document>";
  Zip zip = document(kPart);
  EXPECT_EQ(shown(scan(zip.bytes())), "=ok");
  EXPECT_EQ(scan(zip.bytes()).leaves[0].text, "hello");
  zip.entries[1].crc ^= 1;
  Verdict verdict = scan(zip.bytes());
  EXPECT_EQ(shown(verdict), "=ok !word/document.xml=corrupt");
  EXPECT_EQ(verdict.leaves[0].text, "hello");
  zip = document(kPart);
  ++zip.entries[1].size;
  EXPECT_EQ(shown(scan(zip.bytes())), "=ok !word/document.xml=corrupt");
  zip = document(kPart);
  zip.entries[1].packed.resize(zip.entries[1].packed.size() - 2);
  EXPECT_EQ(shown(scan(zip.bytes())), "=corrupt !word/document.xml=corrupt");
  EXPECT_EQ(shown(scan(document(kPart.substr(0, 90)).bytes())), "=corrupt !word/document.xml=ok");
}

TEST(ScanZip, LargePartsOfADocumentAreReadInPieces) {
  std::string words;
  while (words.size() < (3u << 20)) words += "word" + std::to_string(words.size()) + ' ';
  const std::string part =
      "<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:p><w:t>" + words +
      "</w:t></w:p></w:document>";
  const Verdict verdict = scan(document(part).bytes());
  EXPECT_EQ(shown(verdict), "=ok");
  EXPECT_TRUE(verdict.leaves[0].text == words);
  // A size that is not true changes nothing but what is said of the part.
  Zip small = document(part);
  small.entries[1].size = 10;
  const Verdict other = scan(small.bytes());
  EXPECT_EQ(shown(other), "=ok !word/document.xml=corrupt");
  EXPECT_TRUE(other.leaves[0].text == words);
}

TEST(ScanZip, PartsOfADocumentCountAgainstTheLimits) {
  const std::string bytes =
      document("<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:t>" +
               std::string(100000, 'x') + "</w:t></w:document>")
          .bytes();
  Job job;
  job.bytes = bytes;
  job.limits.size = 50000;
  EXPECT_EQ(shown(scan_job(job)), "=size !word/document.xml=size");
  job.limits.size = 1u << 20;
  // Its reader and the archive's count it once each.
  for (const uint64_t total : {150'000u, 250'000u}) {
    job.limits.total = total;
    EXPECT_EQ(scan_job(job).complete(), total == 250'000u) << total;
  }
}

TEST(Inflate, InEachFormatUntilTheEnd) {
  const std::string data(100000, 'x');
  using Format = Inflater::Format;
  for (const Format format : {Format::raw, Format::zlib, Format::gzip}) {
    const std::string packed = test::deflate_raw(data, static_cast<int>(format));
    std::string out;
    std::string room(777, '\0');
    const std::string more = packed + "what follows";
    Inflater inflater(more, format);
    while (inflater.going()) out.append(room.data(), inflater.next(room.data(), room.size()));
    EXPECT_TRUE(inflater.ended());
    EXPECT_EQ(inflater.reason(), Reason::none);
    EXPECT_EQ(inflater.used(), packed.size());
    EXPECT_EQ(out, data);
    Inflater cut(std::string_view(packed).substr(0, packed.size() - 1), format);
    while (cut.going()) cut.next(room.data(), room.size());
    EXPECT_EQ(cut.reason(), Reason::corrupt);
    EXPECT_EQ(cut.next(room.data(), room.size()), 0u);
  }
}

TEST(NameTable, FindsItsNamesAndNoOthers) {
  constexpr NameTable<int, 4> kTable({{"t", 1}, {"tab", 2}, {"tub", 3}, {"bat", 4}});
  static_assert(kTable.find("t") == 1 && kTable.find("tab") == 2 && kTable.find("tub") == 3 && kTable.find("bat") == 4);
  for (const std::string_view other : {"", "T", "tt", "tabs", "b"}) EXPECT_EQ(kTable.find(other), 0) << other;
}

TEST(ScanArchive, TarWithLinksAndDevices) {
  const std::string tar = tar_entry("a.txt", "hello") + tar_entry("link", "", '2') + tar_entry("dev", "", '3') +
                          tar_entry("dir/", "", '5') + std::string(1024, '\0');
  EXPECT_EQ(shown(scan(tar)), "=ok !a.txt=ok !link=ok !dev=ok");
  EXPECT_EQ(shown(scan(gzip(tar), "x.tgz")), "=ok !x.tar=ok !x.tar!a.txt=ok !x.tar!link=ok !x.tar!dev=ok");
}

TEST(ScanArchive, TarThatEndsEarly) {
  const std::string tar = tar_entry("a.txt", "hello", '0', 100000);
  EXPECT_FALSE(scan(tar).complete());
}

TEST(ScanStream, GzipMembersAndWhatFollows) {
  EXPECT_EQ(shown(scan(gzip("hel") + gzip("lo"), "a.txt.gz")), "=ok !a.txt=ok");
  EXPECT_EQ(shown(scan(gzip("hello").substr(0, 15), "a.gz")), "=ok !a=corrupt");
  const Verdict verdict = scan(gzip("hello") + "trailing words", "a.gz");
  EXPECT_EQ(shown(verdict), "=ok !a=ok !trailing=ok");
  EXPECT_TRUE(verdict.leaves[0].has(Mark::inconsistent));
}

TEST(ScanMail, PartsHaveTheirNumbersAndNames) {
  const std::string mail =
      "From: a@example.com\r\nTo: b@example.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
      "boundary=b\r\n\r\n"
      "--b\r\n\r\nhello\r\n--b\r\nContent-Type: application/octet-stream; name=\"a.gif\"\r\n"
      "Content-Transfer-Encoding: base64\r\n\r\nR0lGODlhAQABAAAAACw=\r\n--b--\r\n";
  EXPECT_EQ(shown(scan(mail)), "=ok /1=ok /2/a.gif=ok");
  EXPECT_TRUE(scan(mail).leaves[2].is(FileType::gif));
  EXPECT_EQ(shown(scan("From x@y Mon Jun 01 10:00:00 2009\n" + mail + "\nFrom x@y Mon Jun 01 10:00:00 2009\n" + mail)),
            "=ok /1=ok /1/1=ok /1/2/a.gif=ok /2=ok /2/1=ok /2/2/a.gif=ok");
}

TEST(ScanMail, AFragmentIsNeverClean) {
  const std::string mail =
      "From: a@example.com\r\nMIME-Version: 1.0\r\nSubject: x\r\n"
      "Content-Type: message/partial; id=\"x\"; number=1; total=2\r\n\r\nSubject: y\r\n\r\nhello\r\n";
  EXPECT_TRUE(has_reason(scan(mail), Reason::partial));
}

TEST(ScanEncoded, FilesInText) {
  EXPECT_EQ(shown(scan("hello\nbegin 644 calc.exe\n#0V%T\n`\nend\nbye\n")), "=ok !calc.exe=ok");
  EXPECT_EQ(shown(scan("hello\nbegin 644 calc.exe\n#0V%T\n")), "=ok !calc.exe=partial");
  EXPECT_EQ(shown(scan("begin-base64 644 b.bin\naGVsbG8=\n====\n")), "=ok !b.bin=ok");
  EXPECT_EQ(shown(scan("=ybegin line=128 size=5 name=y.bin\n\x92\x8f\x96\x96\x99\n=yend size=5\n")), "=ok !y.bin=ok");
  EXPECT_EQ(shown(scan("=ybegin part=1 line=128 size=9 name=y.bin\n\x92\x8f\x96\x96\x99\n=yend size=5\n")),
            "=ok !y.bin=partial");
  const Verdict pgp = scan("-----BEGIN PGP MESSAGE-----\n\nhQEM\n-----END PGP MESSAGE-----\n");
  EXPECT_EQ(shown(pgp), "=password");
  EXPECT_EQ(pgp.leaves[0].protection, Protection::yes);
}

TEST(ScanEncoded, TnefAttachments) {
  const auto attribute = [](char level, uint32_t id, std::string_view data) {
    return level + test::le32(id) + test::le32(data.size()) + std::string(data) + test::le16(0);
  };
  const std::string start = "\x78\x9f\x3e\x22"s + test::le16(1);
  const std::string file = start + attribute(1, 0x0002800c, "the body") +
                           attribute(2, 0x00069002, std::string(14, '\0')) + attribute(2, 0x0006800f, "GIF89a") +
                           attribute(2, 0x00018010, "a.gif\0"s);
  EXPECT_EQ(shown(scan(file)), "=ok !body.txt=ok !a.gif=ok");
  EXPECT_EQ(shown(scan(file.substr(0, file.size() - 9))).find("=corrupt"), 0u);
}

// What a sanitizer keeps for itself says nothing of what a scan takes.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr long kMostKilobytes = LONG_MAX;
#else
constexpr long kMostKilobytes = 64 * 1024;
#endif

// A bomb is scanned in a child process, which tells what it cost.
struct Cost {
  bool ended = false;
  double seconds = 0;
  long megabytes = 0;
};

template <typename Check>
Cost cost_of(std::string_view bytes, Check check) {
  const pid_t child = fork();
  if (child == 0) {
    rusage idle{};
    getrusage(RUSAGE_SELF, &idle);
    const Verdict verdict = scan(bytes);
    rusage after{};
    getrusage(RUSAGE_SELF, &after);
    _exit(check(verdict) && after.ru_maxrss - idle.ru_maxrss < kMostKilobytes ? 0 : 1);
  }
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  Cost cost;
  cost.ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  cost.seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  cost.megabytes = usage.ru_maxrss / 1024;
  return cost;
}

void expect_bomb(const char* what, std::string_view bytes, std::initializer_list<Reason> reasons) {
  const Cost cost = cost_of(bytes, [&](const Verdict& verdict) {
    return std::ranges::any_of(reasons, [&](Reason reason) { return has_reason(verdict, reason); });
  });
  EXPECT_TRUE(cost.ended) << what << ": no limit was hit, or it took 64 MiB and more";
  std::printf("%s: %.2f s, %ld MB altogether\n", what, cost.seconds, cost.megabytes);
}

TEST(ScanBombs, EndInTheirLimits) {
  const std::string zeros(100u << 20, '\0');
  expect_bomb("gzip of zeros", gzip(zeros), {Reason::ratio, Reason::size});
  Zip nest;
  nest.add("0", zeros, true);
  std::string bytes = nest.bytes();
  for (int level = 0; level < 4; ++level) {
    Zip outer;
    for (int i = 0; i < 16; ++i) outer.add(std::to_string(i), bytes, true);
    bytes = outer.bytes();
  }
  expect_bomb("zips in zips", bytes, {Reason::ratio, Reason::depth});
  std::string gz = "hello";
  for (int i = 0; i < 1000; ++i) gz = gzip(gz);
  expect_bomb("gzip a thousand times", gz, {Reason::depth});
  std::string tar;
  const std::string entry = tar_entry("a", "");
  for (int i = 0; i < 50000; ++i) tar += entry;
  expect_bomb("tar of many entries", tar, {Reason::members});
  expect_bomb("the same, packed", gzip(tar), {Reason::members, Reason::ratio});
  expect_bomb("tar that states a terabyte", tar_entry("a", "x", '0', 1ull << 32), {Reason::corrupt, Reason::size});
}

std::string times(size_t count, std::string_view text) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

TEST(ScanBombs, BeginningsWithoutEndInText) {
  expect_bomb("uuencode", times(200000, "begin 644 a\n"), {Reason::overlap});
  expect_bomb("base64", times(200000, "begin-base64 644 a\n"), {Reason::overlap});
  EXPECT_EQ(shown(scan("begin 644 in prose\nbegin 644 calc.exe\n#0V%T\n`\n")),
            "=ok !in prose=partial !calc.exe=partial");
}

TEST(ScanBombs, BinHexOfOneByte) {
  // The header of a file without a name, then a byte and how often it comes, again and again.
  constexpr std::string_view kAlphabet = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr";
  std::string packed(20, 'a');
  packed[0] = '\0';
  packed += times(600000, "\1\x90\xff");
  std::string text = "(This file must be converted with BinHex 4.0)\n:";
  for (size_t i = 0; i + 3 <= packed.size(); i += 3) {
    const auto byte = [&](size_t at) { return static_cast<unsigned>(static_cast<unsigned char>(packed[at])); };
    const unsigned group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (int shift = 18; shift >= 0; shift -= 6) text += kAlphabet[group >> shift & 63];
  }
  expect_bomb("BinHex of one byte", text + ":\n", {Reason::ratio, Reason::size});
}

TEST(ScanBombs, ManyMarksOfAnArchiveInAProgram) {
  const std::string program = "MZ\x90\0"s + std::string(60, '\1');
  std::string bytes = program + times(300000, "Rar!\x1a\x07\1\0\0\0\0\0\xff\xff\x7f"s);
  expect_bomb("marks of RAR 5", bytes, {Reason::corrupt});
  bytes = program + times(300000, "Rar!\x1a\x07\0\0\0\x73\0\0\xff\xff"s);
  expect_bomb("marks of RAR 4", bytes, {Reason::corrupt});
  EXPECT_EQ(shown(scan(program + times(3, "Rar!\x1a\x07\1\0\0\0\0\0\xff\xff\x7f"s))), "=ok");
}

// Images of 512-byte blocks, of which the first after the descriptors is the root's.
std::string iso_record(uint32_t block, uint32_t size, char flags, std::string_view name, std::string_view more = "") {
  std::string record = "\0"s + test::le32(block) + std::string(4, '\0') + test::le32(size) + std::string(11, '\0') +
                       flags + std::string(6, '\0') + static_cast<char>(name.size()) + std::string(name);
  if (record.size() % 2 == 0) record += '\0';
  record += more;
  return static_cast<char>(record.size() + 1) + record;
}
std::string iso(std::string_view sectors, uint32_t root_size) {
  std::string first = "\1CD001\1"s;
  first.resize(2048, '\0');
  first.replace(128, 2, test::le16(512));
  const std::string root = iso_record(36864 / 512, root_size, 2, "\0"s);
  first.replace(156, root.size(), root);
  std::string end = "\xff"s + "CD001\1"s;
  end.resize(2048, '\0');
  return std::string(32768, '\0') + first + end + std::string(sectors);
}

TEST(ScanBombs, FoldersOfAnImageInEachOther) {
  // Records of 64 bytes, so that they are whole wherever a folder begins.
  const std::string rest(30, '\0');
  const std::string file = iso_record(0, 1, 0, "A", rest);
  std::string folders;
  for (uint32_t i = 0; i < 4000; ++i) folders += iso_record(72 + i, 1u << 20, 2, "D", rest);
  std::string files;
  while (files.size() < 4u << 20) files += file;
  const std::string bytes = iso(folders + files, static_cast<uint32_t>(folders.size()));
  expect_bomb("folders that share bytes", bytes, {Reason::overlap});
}

TEST(ScanBombs, LongNamesInAnImage) {
  // One continuation with a name of 4 KB for the folders of every level.
  std::string name;
  for (int i = 0; i < 16; ++i) name += "NM\xff\1\0"s + std::string(250, 'n');
  const auto size = static_cast<uint32_t>(name.size());
  const uint32_t at = 36864 + (1u << 20);
  const std::string more =
      "CE\x1c\1"s + test::le32(at / 512) + "\0\0\0\0"s + std::string(8, '\0') + test::le32(size) + "\0\0\0\0"s;
  std::string folders;
  for (uint32_t i = 0; folders.size() + 200 < 1u << 20; ++i) folders += iso_record(72 + i, 1u << 20, 2, "D", more);
  folders.resize(1u << 20, '\0');
  expect_bomb("names that share bytes", iso(folders + name, 1u << 20), {Reason::overlap, Reason::members});
}

}  // namespace
}  // namespace postern::scan::worker
