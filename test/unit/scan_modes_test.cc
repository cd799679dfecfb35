// SPDX-License-Identifier: Apache-2.0
// Members of archives that their mode calls a folder, a link or a list of rights, and that are files all the same.
#include <gtest/gtest.h>

#include <algorithm>

#include "test/support/scan_files.h"

using namespace postern::scan;
using namespace postern::scan::test;

namespace {

using namespace std::string_literals;

constexpr uint32_t kFile = 0100644;
constexpr uint32_t kFolder = 040755;
constexpr uint32_t kLink = 0120777;

std::string checksum(std::string_view bytes) {
  return little(crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())), 4);
}

// seven_zip holds one stored member of less than 16384 bytes.
std::string seven_zip(const std::string& data, uint32_t mode) {
  const auto number = [](size_t value) {
    return std::string{static_cast<char>(0x80 | value >> 8), static_cast<char>(value)};
  };
  const std::string name = "c\0a\0l\0c\0.\0e\0x\0e\0\0\0"s;
  const std::string head = "\1\4\6\0\1\x09"s + number(data.size()) + "\0\7\x0b\1\0\1\1\0\x0c"s + number(data.size()) +
                           "\0\x08\x0a\1"s + checksum(data) + "\0\0\5\1\x11"s + static_cast<char>(name.size() + 1) +
                           "\0"s + name + "\x15\6\1\0"s + little(0x8020 | uint64_t{mode} << 16, 4) + "\0\0"s;
  const std::string start = little(data.size(), 8) + little(head.size(), 8) + checksum(head);
  return "7z\xbc\xaf\x27\x1c\0\4"s + checksum(start) + start + data + head;
}

std::string rar4(const std::string& data, uint32_t mode) {
  const auto block = [](const std::string& body) { return checksum(body).substr(0, 2) + body; };
  const std::string name = "calc.exe";
  const std::string file = "\x74\0\x80"s + little(32 + name.size(), 2) + little(data.size(), 4) +
                           little(data.size(), 4) + "\3"s + checksum(data) + little(0x21 << 16, 4) + "\x1d\x30"s +
                           little(name.size(), 2) + little(mode, 4) + name;
  return "Rar!\x1a\7\0"s + block("\x73\0\0\x0d\0"s + std::string(6, '\0')) + block(file) + data +
         block("\x7b\0\x40\7\0"s);
}

std::string rar5(const std::string& data, uint32_t mode) {
  const auto number = [](uint64_t value) {
    std::string out;
    for (; value > 0x7f; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7f));
    return out + static_cast<char>(value);
  };
  const auto block = [](const std::string& body) {
    const std::string sized = static_cast<char>(body.size()) + body;
    return checksum(sized) + sized;
  };
  const std::string file = "\2\2"s + number(data.size()) + "\4"s + number(data.size()) + number(mode) + checksum(data) +
                           "\0\1\x08"s + "calc.exe";
  return "Rar!\x1a\7\1\0"s + block("\1\0\0"s) + block(file) + data + block("\5\0\0"s);
}

std::string cpio(const std::string& data, uint32_t mode) {
  const auto entry = [](std::string name, const std::string& bytes, uint32_t of_mode) {
    name += '\0';
    std::string out = "070701";
    for (const uint64_t field :
         {uint64_t{1}, uint64_t{of_mode}, uint64_t{0}, uint64_t{0}, uint64_t{1}, uint64_t{0}, uint64_t{bytes.size()},
          uint64_t{0}, uint64_t{0}, uint64_t{0}, uint64_t{0}, uint64_t{name.size()}, uint64_t{0}}) {
      for (int shift = 28; shift >= 0; shift -= 4) out += "0123456789abcdef"[field >> shift & 15];
    }
    out += name;
    out.resize((out.size() + 3) / 4 * 4, '\0');
    out += bytes;
    out.resize((out.size() + 3) / 4 * 4, '\0');
    return out;
  };
  return entry("calc.exe", data, mode) + entry("TRAILER!!!", "", 0);
}

std::string ar(const std::string& data, uint32_t mode) {
  const auto field = [](std::string text, size_t width) {
    text.resize(width, ' ');
    return text;
  };
  std::string octal;
  for (; mode > 0; mode /= 8) octal.insert(octal.begin(), static_cast<char>('0' + mode % 8));
  return "!<arch>\n" + field("calc.exe/", 16) + field("0", 12) + field("0", 6) + field("0", 6) + field(octal, 8) +
         field(std::to_string(data.size()), 10) + "`\n" + data;
}

std::string tar_entry(const std::string& name, const std::string& data, char kind) {
  std::string head(512, '\0');
  std::copy(name.begin(), name.end(), head.begin());
  const auto octal = [&](size_t at, size_t width, uint64_t value) {
    for (size_t i = width - 1; i-- > 0; value /= 8) head[at + i] = static_cast<char>('0' + value % 8);
  };
  for (const size_t at : {100, 108, 116}) octal(at, 8, at == 100 ? 0644 : 0);
  octal(124, 12, data.size());
  octal(136, 12, 0);
  head[156] = kind;
  std::copy_n("ustar\00000", 8, head.begin() + 257);
  std::fill_n(head.begin() + 148, 8, ' ');
  uint64_t sum = 0;
  for (const char c : head) sum += static_cast<unsigned char>(c);
  octal(148, 7, sum);
  std::string out = head + data;
  out.resize((out.size() + 511) / 512 * 512, '\0');
  return out;
}

const Leaf* calc(const Verdict& verdict) { return leaf_named(verdict, "calc.exe"); }

TEST(ScanModes, AFolderWithContentIsAFile) {
  const std::pair<std::string_view, std::string (*)(const std::string&, uint32_t)> makers[] = {
      {"7z", seven_zip}, {"RAR 4", rar4}, {"RAR 5", rar5}, {"cpio", cpio}, {"ar", ar}};
  for (const auto& [name, make] : makers) {
    for (const uint32_t mode : {kFile, kFolder}) {
      const Verdict verdict = scan(make(program(), mode));
      EXPECT_TRUE(verdict.complete()) << name << ' ' << mode;
      ASSERT_NE(calc(verdict), nullptr) << name << ' ' << mode;
      EXPECT_EQ(calc(verdict)->size, program().size()) << name << ' ' << mode;
    }
  }
}

TEST(ScanModes, FoldersThatAreEmptyAreNoMembers) {
  EXPECT_EQ(scan(cpio("", kFolder)).leaves.size(), 1u);
  EXPECT_EQ(scan(tar_entry("folder/", "", '5') + std::string(1024, '\0')).leaves.size(), 1u);
}

TEST(ScanModes, ALinkToWhatIsNoPathIsUnscannable) {
  const std::pair<std::string_view, std::string (*)(const std::string&, uint32_t)> makers[] = {
      {"7z", seven_zip}, {"RAR 4", rar4}, {"cpio", cpio}};
  for (const auto& [name, make] : makers) {
    const Verdict false_link = scan(make(program(), kLink));
    ASSERT_NE(calc(false_link), nullptr) << name;
    EXPECT_EQ(calc(false_link)->reason, Reason::unsupported) << name;
    EXPECT_EQ(calc(scan(make("@echo off\r\ncalc\r\n", kLink)))->reason, Reason::unsupported) << name;
    const Verdict link = scan(make("../lib/Grüße (1).so", kLink));
    EXPECT_TRUE(link.complete()) << name;
    ASSERT_NE(calc(link), nullptr) << name;
  }
}

TEST(ScanModes, RightsInATarAreAFileToOthers) {
  const std::string more = tar_entry("a.txt", "hello", '0');
  const std::string end(1024, '\0');
  const Verdict hidden = scan(tar_entry("x", "", '0') + tar_entry("calc.exe", program(), 'A') + more + end);
  ASSERT_NE(calc(hidden), nullptr);
  EXPECT_TRUE(has_program(hidden));
  EXPECT_NE(leaf_named(hidden, "a.txt"), nullptr);
  // Behind the head of a long name.
  const std::string after = tar_entry("././@LongLink", "a.txt\0"s, 'L') + tar_entry("calc.exe", program(), 'A') + more;
  EXPECT_TRUE(has_program(scan(after + end)));
  const Verdict rights = scan(tar_entry("x", "user::rwx,group::r-x,other:r-x", 'A') + more + end);
  EXPECT_TRUE(rights.complete());
}

TEST(ScanModes, AFilterThatIsNotKnownIsUnsupported) {
  // One member, packed by LZMA2 behind the filter for ARM64.
  std::string archive = seven_zip(program(), kFile);
  const size_t at = archive.find("\7\x0b\1\0\1\1\0"s);
  ASSERT_NE(at, std::string::npos);
  std::string head = archive.substr(32 + program().size());
  const size_t coder = head.find("\7\x0b\1\0\1\1\0"s) + 4;
  head.replace(coder, 3, "\2\1\x0a\x21\x21\1\x18\1\0"s);
  head.insert(head.find('\x0c', coder) + 1, std::string{static_cast<char>(0x82), '\0'});
  std::string start = little(program().size(), 8) + little(head.size(), 8) + checksum(head);
  const Verdict verdict = scan("7z\xbc\xaf\x27\x1c\0\4"s + checksum(start) + start + program() + head);
  ASSERT_NE(calc(verdict), nullptr);
  EXPECT_EQ(calc(verdict)->reason, Reason::unsupported);
}

}  // namespace
