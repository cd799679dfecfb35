// SPDX-License-Identifier: Apache-2.0
// Programs in carriers of every kind, and documents of which only text, macros or protection matter, in files made
// here.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/base/text.h"
#include "engine/mime/transfer_coding.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/office.h"
#include "engine/scan/worker/readers.h"
#include "test/support/scan_files.h"

using namespace postern::scan;
using namespace postern::scan::test;
using worker::CompoundWriter;
using worker::name16;

namespace {

using namespace std::string_literals;

std::string base64(std::string_view text) {
  return postern::mime::decode_transfer(postern::mime::TransferEncoding::base64, text).bytes;
}

std::string big(uint64_t value, size_t octets) {
  std::string out = little(value, octets);
  return {out.rbegin(), out.rend()};
}

bool holds(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// Each was packed by the program of its format and holds program() under the name calc.exe.
TEST(Carriers, ArchivesOfOtherPrograms) {
  const std::pair<FileType, std::string_view> archives[] = {
      {FileType::type_7z,
       "N3q8ryccAARhd3N/HwAAAAAAAABOAAAAAAAAACbcDELgAf8AF10AJpZ8G4yrPgN7vaUCcH3sU3l0N1YsqQAAAQQGAAEJHwAHCwEAASEhAQAM"
       "ggAACAoBn48OfgAABQEZCwAAAAAAAAAAAAAAERMAYwBhAGwAYwAuAGUAeABlAAAAGQAVBgEAIICkgQAA"},
      {FileType::cab,
       "TVNDRgAAAABkAAAAAAAAACwAAAAAAAAAAwEBAAEAAAAAAAAARQAAAAEAAQAAAgAAAAAAAAAAIVAAACAAY2FsYy5leGUAzPpqPRcAAAJDS/ON"
       "YiAbOABxgCsDgw8j+WaMgoEFAA=="},
      {FileType::arj,
       "YOopACILAQIQAAKAcNAIa3DQCGsAAAAAAAAAAAAAAAAAAAAAAAB0LmFyagAARGFSbwAAYOo4AC4LAQIQAQBwAOELXhwAAAAAAgAAn48OfgAA"
       "pBEAAAAAAABv0Ahrb9AIawAAAABjYWxjLmV4ZQAAM/azaAAAAA88abT/vIVMLGd38ySKEKNaGQZBqzT5qAlj3GDqAAA="},
      {FileType::lha,
       "KgAtbGg1LRwAAAAAAgAAAOELXiAC5GkABQAACeALAAFjYWxjLmV4ZQAAAA88abT/vfhUwsZ3MySKEKNaGQyDNmmzpwhHuAA="}};
  for (const auto& [type, packed_bytes] : archives) {
    const Verdict verdict = scan(base64(packed_bytes));
    EXPECT_TRUE(verdict.leaves[0].is(type)) << info(type).name;
    const Leaf* program = leaf_named(verdict, "calc.exe");
    ASSERT_NE(program, nullptr) << info(type).name;
    EXPECT_TRUE(program->is(FileType::exe)) << info(type).name;
    EXPECT_TRUE(verdict.complete()) << info(type).name;
  }
}

TEST(Carriers, Cpio) {
  const auto entry = [](std::string_view name, std::string_view bytes) {
    const auto field = [](uint64_t value) {
      char text[9];
      std::snprintf(text, sizeof text, "%08x", static_cast<unsigned>(value));
      return std::string(text);
    };
    std::string out = "070701" + field(1) + field(0100644) + field(0) + field(0) + field(1) + field(0) +
                      field(bytes.size()) + field(0) + field(0) + field(0) + field(0) + field(name.size() + 1) +
                      field(0) + std::string(name) + '\0';
    out.resize((out.size() + 3) / 4 * 4, '\0');
    out += bytes;
    out.resize((out.size() + 3) / 4 * 4, '\0');
    return out;
  };
  EXPECT_TRUE(has_program(scan(entry("a/photo.jpg", program()) + entry("TRAILER!!!", ""))));
}

// A volume of 20 sectors: its descriptor, the end of descriptors, the root and one file.
TEST(Carriers, Iso) {
  const auto both = [](uint32_t value) { return little(value, 4) + big(value, 4); };
  const auto record = [&](std::string_view name, uint32_t sector, uint32_t size, char flags) {
    std::string out = "\0"s + both(sector) + both(size) + std::string(7, '\0') + flags + "\0\0"s + little(1, 2) +
                      big(1, 2) + static_cast<char>(name.size()) + std::string(name);
    out.resize((out.size() + 1 + 1) / 2 * 2 - 1, '\0');
    return static_cast<char>(out.size() + 1) + out;
  };
  std::string primary = "\1CD001\1\0"s + std::string(64, ' ') + std::string(8, '\0') + both(20) +
                        std::string(32, '\0') + little(1, 2) + big(1, 2) + little(1, 2) + big(1, 2) + little(2048, 2) +
                        big(2048, 2) + std::string(24, '\0') + record("\0"s, 18, 2048, 2);
  primary.resize(2048, '\0');
  std::string end = "\xff"s + "CD001\1";
  end.resize(2048, '\0');
  std::string root = record("\0"s, 18, 2048, 2) + record("\1", 18, 2048, 2) + record("CALC.EXE;1", 19, 512, 0);
  root.resize(2048, '\0');
  std::string file = program();
  file.resize(2048, '\0');
  const Verdict verdict = scan(std::string(16 * 2048, '\0') + primary + end + root + file);
  EXPECT_TRUE(verdict.leaves[0].is(FileType::iso));
  EXPECT_NE(leaf_named(verdict, "CALC.EXE"), nullptr);
  EXPECT_TRUE(has_program(verdict));
}

TEST(Carriers, Rar) {
  const auto checked = [](const std::string& body) {
    return little(crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())), 4) + body;
  };
  const std::string data = program();
  // RAR 5, stored: size and CRC of the data, method 0, the name.
  const std::string file = "\2\2"s + "\x80\x04"s + "\4"s + "\x80\x04"s + "\0"s +
                           little(crc32(0, reinterpret_cast<const Bytef*>(data.data()), 512), 4) + "\0\0\x08"s +
                           "calc.exe";
  const std::string head = checked(static_cast<char>(file.size()) + file);
  const Verdict verdict = scan("Rar!\x1a\x07\x01\0"s + checked("\3\1\0\0"s) + head + data + checked("\3\5\0\0"s));
  EXPECT_TRUE(verdict.leaves[0].is(FileType::rar));
  EXPECT_NE(leaf_named(verdict, "calc.exe"), nullptr);
  EXPECT_TRUE(has_program(verdict));
}

TEST(Carriers, Macintosh) {
  const std::string data = program();
  const std::string apple = "\0\5\x16\0"s + "\0\2\0\0"s + std::string(16, '\0') + big(2, 2) + big(1, 4) + big(62, 4) +
                            big(data.size(), 4) + big(3, 4) + big(50, 4) + big(8, 4) + "calc.exe" + "    " + data;
  const Verdict single = scan(apple);
  EXPECT_TRUE(single.leaves[0].is(FileType::appledouble));
  EXPECT_NE(leaf_named(single, "calc.exe"), nullptr);
  EXPECT_TRUE(has_program(single));

  const std::string file =
      "\10calc.exe\0"s + "APPLBOOM" + "\0\0"s + big(data.size(), 4) + big(0, 4) + "\0\0"s + data + "\0\0\0\0"s;
  constexpr std::string_view kAlphabet = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr";
  std::string hqx = "(This file must be converted with BinHex 4.0)\r\n:";
  uint32_t bits = 0;
  int have = 0;
  for (const char c : file) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (have += 8; have >= 6; have -= 6) hqx += kAlphabet[bits >> (have - 6) & 63];
  }
  if (have > 0) hqx += kAlphabet[bits << (6 - have) & 63];
  const Verdict binhex = scan("See below.\r\n" + hqx + ":\r\n");
  EXPECT_TRUE(binhex.leaves[0].is(FileType::binhex));
  ASSERT_NE(leaf_named(binhex, "calc.exe"), nullptr);
  EXPECT_TRUE(leaf_named(binhex, "calc.exe")->is(FileType::exe));
}

// Signed data of PKCS #7 around a content, without a signer.
// Made by chmcmd of Free Pascal, but with the number of the help compiler that wrote such files first; packed here by
// zlib.
TEST(Carriers, HelpFile) {
  const std::string packed = base64(
      "eNrtmntQU1cex09AEZBIRGkFBIJJeUsCouElFBIgAQJIIiDKI5BLQPIiCW+whSIoLdqgBJHlXRC2RRGKIBR5WLEIFqQIFuOrokVQpCpF6Lrsje"
      "K03dmZdndm/9id+znzm9/vnO/vd+7vzv3rnLk0JsNDGQAQARsKNnDuyzaFw7xCpf81bXh9mQao6N/y8PH6f5or8hVsWvHJK56JeeMHV/zfUW/8"
      "K1PwO2hMhr9CYsKm/vqBACit9LAM8zZPEa9sAfYXKIVaGQ2vL1180wNzRX+LP93T5zL617rXtQR4okrA0SjBVEoAqlhQ8XrGdIMbgBU1Ao7BDK"
      "D5ejJQ5wUoWGHsYTDd6SBTtUKgRsD7uXnRfBlMFCh0QRPCceEB7q4UujscADhDjRDF4kZZQckQqlCQDdYSYvlsKNkqRsLjogpdiBsdHCgsCYsh"
      "ZEVBBF8WD/KJFUtAZZKT6W8FhkQgYnEgAp1BFvCEIkgshtgEsoAvgfgSUL39k3TLP5UtEnAVWaBq22azPyyAJT6NHy0AVX6qhD/MZopYfHG0QM"
      "QjvH6BqiDj8H+jJo3kQbaxs7clbrWnbLPeam1NgSM3G9JWItGVSLa3drcnk8gZBBpfLGHxoyDFvoovFvtffkQAJIYkTFYkFwJVGXYAAQEBAQEB"
      "AQEBAQEB4X8BJioVbAUYwIyJFWNZoqiY2EQIm8QSY/kCCZbHYkPYyBSsJAbC0hlYKpPug6VCXCE2SCCKE8cIhKYiM1MJzwwrFAk4IhbPEhuZIF"
      "EUeIggCOvPEsOHfBMxNiqGh4UPo3HwORS7zcoGHmh1xWk0lguxFdlkKp3MY7+RlF/faawCj748B9TAO4BKdcUGQiJxrICPtbUi2VrZkYg2sI7/"
      "U2+nBNaCX28WgDK8wARr4HIFaAAwTByDjnp7fYOAgICAgICAgICAgICAgPB/iQFQAhpgN+CDKCAAPCAEIgABMTwgwIZ1DUAHDED+l5oKbD4hwW"
      "Ql8Ob3C6Xf3CPMbX7j0wAJeMD1NsAO2ANbQARbYU8B24A1HFnDgwKvva1Whc30N9XpKivbffj7rt+uq2JXg/hAxf8nxtbCIACW/dKO4m4O+Mxy"
      "9eO+v8Vtbp51SzgYwIsPKKlebNGO31snr67LbTIe3Xq9RPeW5R7z3sZqbzdJ/oxOX2QJAFtA9PsgQmnHV/POzrMvhjZoKZ3vFvCUNeLZqpZHDs"
      "p6lT0tjpiuwRmtOuzosNpreflDtdc9gEzUORQWO0YI9+n+yBy1NuheQLHhFnBr4aYg3St/nc6u9vN6H/nYRZJaK/LDn9bSWhhg6Z198qw9S+U2"
      "WG/WKc279npEckZWgPfx3pEmmdIjK2/jE9NNHytdjDcvK9+Qvs5HylL/1EhNZ3hjQW2PGd4XJdEadtUpLDxRPPei4BTGgTYFtLXqsA6HpzDaBX"
      "U9OiXF7flTRM8xfSrOaF2N9Lh6AE66rlZ6Ivc7qq/yNL7OKKFgtMLh8DRRu6C+0WFg+gtp56QDs+iS2+OmusZXgbtPh+3XXxgYr+ywTHhfNNMA"
      "ReS2eEeu+bnpMZYsS0z+G6QfsqtyElOvf5/AzV3fUnm66GarVvDqyjqtZ+qzrdnyGoOCz0d2FnTgKVWh6lu+t9KXzhVukkYUYamp732tdafe+k"
      "HSxaXkto5VycMECxVx0UHyiz29w0kNXzT8YgC26FhoDLrbJpQea+VX7g0wOS2xCJLncmvGT5+Ko7M7x86E1RqolMhk14+d+257i/52l/ou4zPh"
      "/aVxpKzVSd1PJHpj2ej6pxM3JyY2DhWWn408GlyKP9vTeLb/2V753r12fp0ll484RQmeXUVfvmpyu/VBa2thqY0fu9+gqbpOdhUaYO383PPk9s"
      "RBg5bNcs3NjLj4q/HxVxwTyobKHDlFS+4Ww1XmiU/2leyYpLWPNoRUB9YPihJEIumkgcZqk4rkwJ8swyCn/KKQtSrdc6oLP3nJnaiULN8RN+gz"
      "X+pUjRzPNbahTtfWS7t9g6gTfvvx/cb21Me+SVS5bwb1tl8e/ooJDS808cbHG/tSZ+ll0rt+X+EH6m20HuaZFzipW2jtHNXFp42G0J6ba36dMp"
      "9LsTLP6d+3X0st1HyDdyilIKXiq8nUOsJazU8g948e7BkRpoy9iAgbt1oQUNYZGr4yyeguzXAuNfRvKsftUXqY9HR61M7v43eD+tLNXV72dZX3"
      "YTx0MfYZqHll5U8pc6sEYQ0OL4PmAxYuY3pD/PV3rtoseCbGUBkH5QuzepcuVDiHJ97/FLNcYvTJAVZrNjrzL+hd3y7cw3y7OPdIbjtCodybzH"
      "l050KK2KXdrDmy6n7U4hRlftc1MaOe80r36oHz0SoNd7pcF9G7uz+k0a4d6Iqiz7777shnOhaDxYHPM+lD3X0LET2vjvbclkyNOXngnvU1ZKnp"
      "fZPtOykYyWI059SkktwcdN0dHauqMx/c94Ns9+dmjxmyms8Kv7mme87TI1fzrCPU2VbkdVLf2/FIYz/3hk8ZbmGOte35C5MZ9IslrDBH89gxqX"
      "SR/F5NGqmneb1e7yFNlkA9K+rYIec03FBJ8OENPeWBJ9FBTjmd8UU1+fOX8qhUH4M7t+taDUe5WoSwzjRL58Ebehw0uy//p/vFU447jusbXuEa"
      "uxywyfvmoQnb47lM9uMdQr41gWptvTggY/ufTIi+lJqQ0XJhcF/oROGZxy/bKYtpUtFIgYR0fmJcg9ZR2x3adcXCZeiphd+YLHkmQ2dAdiJzZv"
      "zkde6NQe3Ex0W2HzQzhjoOn36YuqBGO301Z/zn6O1pJeIquvw8q29+39wPhy787Xv95V+czVxpZpUWfDnH7lyPxc2bVdefdF0b7rKLbZsoknV6"
      "FTvW8u71slPuxiZHHNJdrSrgFJKICV7+Z6ZrgoQJ6UJOW03NWOHTsJn9RqztpgPj7T8Ev0zcPYzRGz20CZ3ndLzD4Ylj6LzPZ7/49F5usc7L4w"
      "V1fcAbHn+a9EBjU5fSvo0dIZYy3q4x9M6ZoDJC0hmrzMvD3TiBNo64+F5wW5K+08AabtdD767Fi1NTz4HtcwO1kh0/cnTrTuWQjq7Ha5wVn2y0"
      "5LneKv842uFi8pFk/4S4mSBd4x+XG+6eyFXp4PTmDzfNTUlm2r4gOrZzJI3ilFSOOC0hiZMakXjxWUzrgc+/NOzazbPSFMU136aAkYgb5CXt2W"
      "17N/KW0jI8VV0xbkbZbqrZGFWj/zy6a/QP9XlPPQ==");
  std::string help(10493, '\0');
  uLongf size = help.size();
  ASSERT_EQ(uncompress(reinterpret_cast<Bytef*>(help.data()), &size, reinterpret_cast<const Bytef*>(packed.data()),
                       packed.size()),
            Z_OK);
  const Verdict verdict = scan(help);
  EXPECT_TRUE(verdict.leaves[0].is(FileType::chm));
  EXPECT_TRUE(verdict.complete()) << reason_name(verdict.reason());
  EXPECT_TRUE(has_program(verdict));
  const Leaf* page = leaf_named(verdict, "/index.html");
  ASSERT_NE(page, nullptr);
  EXPECT_TRUE(holds(page->text, "The zebra stands here."));
  // Cut off, or with a table that is none: nothing of it counts as read.
  EXPECT_FALSE(scan(std::string_view(help).substr(0, help.size() - 700)).complete());
  help[0x28] = 0x10;
  EXPECT_EQ(scan(help).reason(), Reason::corrupt);
}

TEST(Carriers, PackedByCompressExe) {
  const std::string szdd = base64(
      "U1pERIjwJzNBAAACAACHTVoA8v0CDRINHAZAfhwAUEUAAEwBHA0ARQ1VDWUNdQ2FDZUNpQ21DQDFDdUN5Q31DQUdFR0lHTUdAEUdVR1lHXUdhR2V"
      "HaUdtR0AxR3VHeUX");
  Job job;
  job.bytes = szdd;
  job.name = "CALC.EX_";
  Verdict verdict = worker::scan_job(job);
  EXPECT_TRUE(verdict.leaves[0].is(FileType::szdd));
  EXPECT_TRUE(verdict.complete()) << reason_name(verdict.reason());
  EXPECT_TRUE(has_program(verdict));
  EXPECT_EQ(scan(std::string_view(szdd).substr(0, 60)).reason(), Reason::corrupt);
  // KWAJ, stored, with the length and the parts of a name in its header.
  const std::string kwaj = "KWAJ\x88\xf0\x27\xd1"s + little(0, 2) + little(14 + 4 + 9 + 4, 2) + little(1 | 8 | 16, 2) +
                           little(512, 4) + "calcfile\0"s + "exe\0"s + program();
  verdict = scan(kwaj);
  EXPECT_TRUE(verdict.leaves[0].is(FileType::szdd));
  EXPECT_TRUE(verdict.complete()) << reason_name(verdict.reason());
  EXPECT_NE(leaf_named(verdict, "calcfile.exe"), nullptr);
  EXPECT_TRUE(has_program(verdict));
}

// sis makes an installation file with one file, for all languages or one for each of two.
std::string sis(std::string_view file, uint64_t unpacked, uint32_t uid2, uint32_t options, uint32_t record = 0) {
  const std::string name = "!:\\calc.exe";
  const bool new_form = uid2 == 0x10003a12;
  const size_t forms = record == 0 ? 1 : 2;
  const size_t body = 100 + 28 + forms * (new_form ? 12 : 8) + (new_form ? 8 : 0);
  std::string out = little(1, 4) + little(uid2, 4) + little(0x10000419, 4) + little(0, 6) + little(2, 2) +
                    little(1, 2) + little(0, 14) + little(options, 2) + little(0, 14) + little(100, 4);
  out.resize(100, '\0');
  out += little(record, 4) + little(0, 8) + little(0, 8) + little(name.size(), 4) + little(body, 4);
  for (size_t i = 0; i < forms; ++i) out += little(file.size(), 4);
  for (size_t i = 0; i < forms; ++i) out += little(body + name.size(), 4);
  if (new_form) {
    for (size_t i = 0; i < forms; ++i) out += little(unpacked, 4);
    out += little(0, 8);
  }
  return out + name + std::string(file);
}

TEST(Carriers, SymbianInstallation) {
  const std::string raw = program();
  std::string packed(compressBound(raw.size()), '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(raw.data()), raw.size());
  packed.resize(size);
  for (const std::string& file : {sis(packed, raw.size(), 0x10003a12, 0), sis(raw, raw.size(), 0x10003a12, 8),
                                  sis(raw, raw.size(), 0x1000006d, 0), sis(packed, raw.size(), 0x10003a12, 0, 1)}) {
    const Verdict verdict = scan(file);
    EXPECT_TRUE(verdict.leaves[0].is(FileType::sis));
    EXPECT_TRUE(verdict.complete()) << reason_name(verdict.reason());
    EXPECT_NE(leaf_named(verdict, "calc.exe"), nullptr);
    EXPECT_TRUE(has_program(verdict));
    EXPECT_FALSE(scan(std::string_view(file).substr(0, file.size() - 8)).complete());
  }
  EXPECT_EQ(scan(sis(packed, raw.size() + 1, 0x10003a12, 0)).reason(), Reason::corrupt);
  // Conditions, and the format of Symbian 9.
  EXPECT_EQ(scan(sis(raw, 0, 0x1000006d, 0, 3)).reason(), Reason::unsupported);
  EXPECT_EQ(scan("\x7a\x1a\x20\x10"s + std::string(100, '\0')).reason(), Reason::unsupported);
}

// What nobody reads is never taken for read. Pictures are: their groups have them as documents for AsyncOS' sake.
TEST(Carriers, EveryDocumentAndContainerHasAReader) {
  for (const FileTypeInfo& row : file_types()) {
    const std::optional<FileType> type = find_type(row.name);
    if ((!row.in(Group::document) && !row.in(Group::compressed)) || row.in(Group::image)) continue;
    EXPECT_TRUE(std::ranges::any_of(worker::readings(), [&](const worker::Reading& each) { return each.type == type; }))
        << row.name;
  }
}

TEST(Carriers, OpaqueSignature) {
  const auto node = [](char tag, const std::string& body) {
    const std::string length =
        body.size() < 128 ? std::string(1, static_cast<char>(body.size())) : "\x82"s + big(body.size(), 2);
    return tag + length + body;
  };
  const std::string pkcs7 = "\x2a\x86\x48\x86\xf7\x0d\x01\x07"s;
  const std::string content = node('\x30', node('\x06', pkcs7 + "\1") + node('\xa0', node('\x04', program())));
  const std::string signed_data = node('\x30', node('\x02', "\1") + node('\x31', "") + content + node('\x31', ""));
  const Verdict verdict = scan(node('\x30', node('\x06', pkcs7 + "\2") + node('\xa0', signed_data)), "smime.p7m");
  EXPECT_TRUE(verdict.leaves[0].is(FileType::smime));
  EXPECT_TRUE(has_program(verdict));
}

// What other programs look for in any text: a header that names an encoding, and the content behind it.
TEST(Carriers, PartsOfMailInText) {
  std::string encoded;
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string data = program();
  for (size_t i = 0; i + 2 < data.size(); i += 3) {
    const uint32_t group = static_cast<unsigned char>(data[i]) << 16 | static_cast<unsigned char>(data[i + 1]) << 8 |
                           static_cast<unsigned char>(data[i + 2]);
    for (int shift = 18; shift >= 0; shift -= 6) encoded += kAlphabet[group >> shift & 63];
    if (i % 57 == 54) encoded += "\r\n";
  }
  const std::string part =
      "Content-Type: application/octet-stream; name=calc.exe\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded;
  for (const std::string& text :
       {"Hello.\r\n\r\n--b\r\n" + part + "\r\n--b--\r\n", "-b\r\n" + part + "\r\n-b--\r\n", part,
        "<html><pre>--b\r\n" + part + "\r\n</pre></html>",
        "--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=20b\r\n--c\r\n" + part}) {
    const Verdict verdict = scan(text, "a.txt");
    ASSERT_NE(leaf_named(verdict, "calc.exe"), nullptr) << text.substr(0, 60);
    EXPECT_TRUE(leaf_named(verdict, "calc.exe")->is(FileType::exe)) << text.substr(0, 60);
  }
  // Text about mail holds no file.
  EXPECT_EQ(
      scan("Set Content-Transfer-Encoding: 8bit\r\nor\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=3D\r\n",
           "a.txt")
          .leaves.size(),
      1u);
}

// Images of disks that are not read are never clean, and a program in one shows where it is not packed.
TEST(Carriers, ImagesOfDisks) {
  for (const std::string& head : {"MSWIM\0\0\0"s, "hsqs"s, "QFI\xfb"s, "KDMV"s, std::string(1024, '\0') + "H+\0\4"s}) {
    std::string image = head;
    image.resize(4096, '\1');
    const Verdict verdict = scan(image);
    EXPECT_TRUE(verdict.leaves[0].is(FileType::img)) << head;
    EXPECT_EQ(verdict.reason(), Reason::unsupported) << head;
    EXPECT_TRUE(scan(image + program() + image).leaves[0].is(FileType::exe)) << head;
  }
}

// A FAT12 volume of one file in two clusters that do not follow each other, with a name of its own for each system.
std::string fat_volume() {
  std::string boot = "\xeb\x3c\x90MSDOS5.0" + little(512, 2) + "\1"s + little(1, 2) + "\1"s + little(16, 2) +
                     little(16, 2) + "\xf8"s + little(1, 2);
  boot.resize(510, '\0');
  std::string table = "\xf8\xff\xff\x04\xf0\xff\xff\x0f"s;
  table.resize(512, '\0');
  const auto wide = name16("photo.jpg") + std::string(2, '\0') + std::string(26, '\xff');
  std::string root = "\x41" + wide.substr(0, 10) + "\x0f\0\0"s + wide.substr(10, 12) + "\0\0"s + wide.substr(22, 4) +
                     "CALC    EXE\x20" + std::string(14, '\0') + little(2, 2) + little(700, 4);
  root.resize(512, '\0');
  std::string data = program() + std::string(512, '\1') + std::string(512, '\2');
  std::string out = boot + "\x55\xaa" + table + root + data;
  out.resize(16 * 512, '\0');
  return out;
}

TEST(Carriers, DisksWithFat) {
  const std::string volume = fat_volume();
  std::string table(446, '\0');
  table += "\x80\0\0\0\x01\0\0\0"s + little(1, 4) + little(16, 4);
  table.resize(510, '\0');
  const std::string disk = table + "\x55\xaa" + volume;
  std::string footer = "conectix" + std::string(52, '\0') + big(2, 4);
  footer.resize(512, '\0');
  for (const std::string& image : {volume, disk, disk + footer}) {
    const Verdict verdict = scan(image, "a.img");
    const Leaf* file = leaf_named(verdict, "photo.jpg");
    ASSERT_NE(file, nullptr) << image.size();
    EXPECT_EQ(file->size, 700u);
    EXPECT_TRUE(file->is(FileType::exe));
    EXPECT_TRUE(verdict.complete()) << reason_name(verdict.reason());
  }
  EXPECT_EQ(scan(volume.substr(0, 3 * 512 + 300)).reason(), Reason::corrupt);
  footer[63] = '\3';
  EXPECT_EQ(scan(disk + footer).reason(), Reason::unsupported);
}

TEST(Documents, CalledPdfButNone) {
  Job job;
  const std::string text = "1 0 obj\n<< /Type /Catalog >>\nendobj\n";
  job.bytes = text;
  job.declared_mime = "application/pdf";
  EXPECT_EQ(worker::scan_job(job).reason(), Reason::corrupt);
  EXPECT_EQ(scan(text, "invoice.PDF").reason(), Reason::corrupt);
  EXPECT_EQ(scan(std::string(300, '\1'), "invoice.pdf").reason(), Reason::corrupt);
  EXPECT_TRUE(scan(text, "invoice.txt").complete());
  EXPECT_TRUE(scan("", "invoice.pdf").complete());
  EXPECT_TRUE(scan("{\\rtf1 x}", "invoice.pdf").complete());
  EXPECT_TRUE(scan("\x89PNG\r\n\x1a\n"s, "invoice.pdf").complete());
  // That something in it was not looked at says more: what is behind the limit may have any name.
  std::string parts;
  for (int i = 0; i < 4; ++i) {
    parts += "\nContent-Type: application/octet-stream; name=" + std::to_string(i) +
             ".bin\nContent-Transfer-Encoding: base64\n\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n";
  }
  job.bytes = parts;
  EXPECT_EQ(worker::scan_job(job).reason(), Reason::corrupt);
  EXPECT_EQ(worker::scan_job(job).leaves.size(), 5u);
  job.limits.members = 3;
  EXPECT_EQ(worker::scan_job(job).leaves[0].reason, Reason::members);
}

TEST(Documents, EncryptedPackages) {
  for (const std::string& version : {"\4\0\4\0"s, "\3\0\2\0"s, "\4\0\2\0"s, "\3\0\3\0"s, "\4\0\3\0"s}) {
    CompoundWriter writer;
    writer.stream(0, name16("EncryptionInfo"), version + std::string(60, '\0'));
    writer.stream(0, name16("EncryptedPackage"), little(4096, 8) + std::string(4096, '\7'));
    const Verdict verdict = scan(writer.finish(), "x.docx");
    EXPECT_EQ(verdict.leaves[0].protection, Protection::yes) << worker::byte_at(version, 2);
    EXPECT_EQ(verdict.reason(), Reason::password) << worker::byte_at(version, 2);
  }
}

TEST(Documents, BinaryWorkbook) {
  const auto record = [](uint32_t type, const std::string& body) {
    const std::string id =
        type < 128 ? std::string(1, static_cast<char>(type)) : little((type & 0x7f) | 0x80 | (type >> 7 << 8), 2);
    return id + static_cast<char>(body.size()) + body;
  };
  const auto wide = [](std::string_view text) { return little(text.size(), 4) + name16(text); };
  const std::string cell = little(0, 8);
  const Verdict verdict = scan(
      zip_of({{"[Content_Types].xml",
               "<Types><Default Extension=\"bin\" "
               "ContentType=\"application/vnd.ms-excel.sheet.binary.macroEnabled.main\"/><Override "
               "PartName=\"/xl/worksheets/sheet1.bin\" ContentType=\"application/vnd.ms-excel.worksheet\"/><Override "
               "PartName=\"/xl/sharedStrings.bin\" ContentType=\"application/vnd.ms-excel.sharedStrings\"/></Types>"},
              {"xl/workbook.bin", record(131, "") + record(156, little(0, 8) + wide("rId1") + wide("Budget"))},
              {"xl/sharedStrings.bin", record(159, little(0, 8)) + record(19, "\0"s + wide("shared Falkenflug"))},
              {"xl/worksheets/sheet1.bin", record(129, "") + record(0, std::string(17, '\0')) +
                                               record(7, cell + little(0, 4)) + record(6, cell + wide("in place")) +
                                               record(2, cell + little(17 << 2 | 2, 4))}}));
  EXPECT_TRUE(verdict.leaves[0].is(FileType::xlsb));
  const std::string& text = verdict.leaves[0].text;
  for (const char* part : {"Budget", "shared Falkenflug", "in place", "17"}) EXPECT_TRUE(holds(text, part)) << text;
}

TEST(Documents, Slides) {
  const auto record = [](uint32_t type, const std::string& body, uint32_t head = 0) {
    return little(head, 2) + little(type, 2) + little(body.size(), 4) + body;
  };
  const std::string slide =
      record(0x0fa0, name16("wide Falkenflug")) + record(0x0fa8, "narrow\rtext") + record(0x0fee, "");
  CompoundWriter writer;
  writer.stream(0, name16("PowerPoint Document"), record(0x03ee, slide, 0x0f));
  writer.stream(0, name16("Current User"), little(20, 4) + little(0, 4) + little(20, 4) + little(0xe391c05f, 4));
  const Verdict verdict = scan(writer.finish());
  EXPECT_TRUE(verdict.leaves[0].is(FileType::ppt));
  EXPECT_EQ(verdict.leaves[0].text, "wide Falkenflug\nnarrow\ntext");
  EXPECT_TRUE(verdict.leaves[0].has(Mark::active_content));
  CompoundWriter locked;
  locked.stream(0, name16("PowerPoint Document"), record(0x2f14, "x"));
  locked.stream(0, name16("Current User"), little(20, 4) + little(0, 4) + little(20, 4) + little(0xf3d1c4df, 4));
  EXPECT_EQ(scan(locked.finish()).leaves[0].protection, Protection::yes);
}

// vba makes a project of one module, its source packed in one raw chunk.
std::string vba(const std::string& compiled, const std::string& source) {
  const auto chunk = [](const std::string& text) {
    std::string body;
    for (size_t i = 0; i < text.size(); i += 8) body += '\0' + text.substr(i, 8);
    return "\1"s + little(0xb000 | (body.size() - 1), 2) + body;
  };
  const auto entry = [](uint32_t id, const std::string& body) { return little(id, 2) + little(body.size(), 4) + body; };
  CompoundWriter writer;
  const uint32_t macros = writer.storage(0, name16("VBA"));
  writer.stream(
      macros, name16("dir"),
      chunk(entry(0x1a, "Module1") + entry(0x32, name16("Module1")) + entry(0x31, little(compiled.size(), 4))));
  writer.stream(macros, name16("Module1"), compiled + chunk(source));
  return writer.finish();
}

TEST(Documents, SourceThatWasTakenAway) {
  const std::string constant = "\xb9\0"s + little(14, 2) + "powershell.exe";
  const std::string honest = "Attribute VB_Name = \"M\"\r\nSub A\r\nShell \"powershell.exe\"\r\nEnd Sub\r\n";
  const auto marks = [](const std::string& bytes) {
    const Verdict verdict = scan(bytes, "vbaProject.bin");
    uint16_t all = 0;
    for (const Leaf& leaf : verdict.leaves) all = static_cast<uint16_t>(all | leaf.marks);
    return all;
  };
  const auto bit = [](Mark mark) { return static_cast<uint16_t>(mark); };
  EXPECT_TRUE(marks(vba(constant, honest)) & bit(Mark::macro_vba));
  EXPECT_FALSE(marks(vba(constant, honest)) & bit(Mark::inconsistent));
  const uint16_t stomped = marks(vba(constant, "Attribute VB_Name = \"M\"\r\n"));
  EXPECT_TRUE(stomped & bit(Mark::macro_vba));
  EXPECT_TRUE(stomped & bit(Mark::inconsistent));
  EXPECT_FALSE(marks(vba("", "Attribute VB_Name = \"M\"\r\n")) & bit(Mark::macro_vba));
}

TEST(Documents, ActiveX) {
  const Verdict verdict = scan(
      zip_of({{"[Content_Types].xml", "<Types><Default Extension=\"xml\" ContentType=\"application/xml\"/></Types>"},
              {"word/document.xml", "<w:document xmlns:w=\"x\"/>"},
              {"word/activeX/activeX1.xml", "<ax:ocx xmlns:ax=\"x\"/>"}}));
  EXPECT_TRUE(verdict.leaves[0].has(Mark::active_content));
  CompoundWriter writer;
  writer.stream(0, name16("\3OCXNAME"), name16("CommandButton1"));
  EXPECT_TRUE(scan(writer.finish()).leaves[0].has(Mark::active_content));
}

TEST(Documents, PackagedCommand) {
  const auto link = [](std::string_view path) {
    const std::string body = little(2, 2) + "label\0"s + std::string(path) + '\0' + little(0, 2) + little(1, 2) +
                             little(1, 2) + std::string(path) + '\0';
    CompoundWriter writer;
    writer.stream(0, name16("\1Ole10Native"), little(body.size(), 4) + body);
    return scan(writer.finish());
  };
  const Verdict verdict = link("C:\\Windows\\System32\\cmd.exe /c calc");
  ASSERT_NE(leaf_named(verdict, "cmd.exe.lnk"), nullptr);
  EXPECT_TRUE(leaf_named(verdict, "cmd.exe.lnk")->is(FileType::lnk));
  EXPECT_FALSE(has_program(link("C:\\My Files\\plan.txt")));
}

TEST(Documents, OneNote) {
  const std::string guid("\xe7\x16\xe3\xbd\x65\x26\x11\x45\xa4\xc4\x8d\x4d\x0b\x7a\x9e\xac", 16);
  const std::string data = program();
  const Verdict verdict =
      scan("\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3"s + std::string(32, '\0') +
           "\x3f\xdd\x9a\x10\x1b\x91\xf5\x49\xa5\xd0\x17\x91\xed\xc8\xae\xd8"s + std::string(1024, '\0') +
           name16("secret Falkenflug") + "\0\0"s + name16("invoice.pdf") + "\0\0"s + guid + little(data.size(), 8) +
           std::string(12, '\0') + data + std::string(64, '\0'));
  EXPECT_TRUE(verdict.leaves[0].is(FileType::one));
  EXPECT_TRUE(holds(verdict.leaves[0].text, "secret Falkenflug"));
  ASSERT_EQ(verdict.leaves.size(), 2u);
  EXPECT_TRUE(verdict.leaves[1].is(FileType::exe));
  EXPECT_EQ(verdict.leaves[1].name, "invoice.pdf");
  EXPECT_TRUE(verdict.complete());
  // Built in the other way, as it comes from OneDrive.
  const Verdict other =
      scan("\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3"s + std::string(32, '\0') +
           "\x2f\xe9\x8d\x63\xd4\xa6\xc1\x4b\x9a\x36\xb3\xfc\x25\x11\xa5\xb7"s + std::string(64, '\0'));
  EXPECT_EQ(other.leaves[0].reason, Reason::unsupported);
}

TEST(Documents, DrawingsAndWordPerfect) {
  const Verdict vsdx = scan(zip_of(
      {{"[Content_Types].xml",
        "<Types><Override PartName=\"/visio/document.xml\" ContentType=\"application/vnd.ms-visio.drawing.main+xml\"/>"
        "<Override PartName=\"/visio/pages/page1.xml\" ContentType=\"application/vnd.ms-visio.page+xml\"/></Types>"},
       {"visio/document.xml", "<VisioDocument/>"},
       {"visio/pages/page1.xml",
        "<PageContents><Shapes><Shape><Text>Falken<cp IX=\"1\"/>flug</Text></Shape></Shapes>"
        "</PageContents>"}}));
  EXPECT_TRUE(vsdx.leaves[0].is(FileType::vsdx));
  EXPECT_TRUE(holds(vsdx.leaves[0].text, "Falkenflug")) << vsdx.leaves[0].text;

  // The trailer names one stream of text, unpacked.
  std::string drawing = "Visio (TM) Drawing\r\n"s;
  drawing.resize(0x24, '\0');
  drawing += little(0x14, 4) + little(0, 4) + little(0x80, 4) + little(64, 4) + little(0x50, 2);
  drawing.resize(0x80, '\0');
  std::string trailer = little(4, 4) + little(1, 4) + little(0, 4) + little(0, 8) + little(0x100, 4) + little(64, 4) +
                        little(0xd0 | 1, 2);
  trailer.resize(0x80, '\0');
  drawing += trailer + "Falkenflug in a drawing";
  drawing.resize(0x100 + 64, '\0');
  CompoundWriter writer;
  writer.stream(0, name16("VisioDocument"), drawing);
  const Verdict vsd = scan(writer.finish());
  EXPECT_TRUE(vsd.leaves[0].is(FileType::visio));
  EXPECT_TRUE(holds(vsd.leaves[0].text, "Falkenflug in a drawing")) << vsd.leaves[0].text;

  std::string perfect = "\xffWPC"s + little(16, 4) + "\1\x0a\2\1"s + little(0, 4);
  EXPECT_EQ(scan(perfect + "Falken\x80"s + "flug\xcc"s).leaves[0].text, "Falken flug");
  perfect[12] = '\1';
  EXPECT_EQ(scan(perfect + "x").leaves[0].protection, Protection::yes);
}

// Text in a form for older programs is shown by those that do not know what the newer form asks for.
TEST(Documents, FallbackThatDiffers) {
  const auto text = [](std::string_view choice, std::string_view fallback) {
    return scan(zip_of(
                    {{"[Content_Types].xml",
                      "<Types><Override PartName=\"/word/document.xml\" "
                      "ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.document."
                      "main+xml\"/></Types>"},
                     {"word/document.xml",
                      "<w:document xmlns:w=\"x\" xmlns:mc=\"y\"><mc:AlternateContent><mc:Choice Requires=\"zz\"><w:p>" +
                          std::string(choice) + "</w:p></mc:Choice><mc:Fallback><w:p>" + std::string(fallback) +
                          "</w:p></mc:Fallback></mc:AlternateContent></w:document>"}}))
        .leaves[0];
  };
  EXPECT_EQ(text("<w:t>box</w:t>", "<w:t>b</w:t><w:t>ox</w:t>").text, "box");
  EXPECT_EQ(text("<w:t>harmless</w:t>", "<w:t>Falkenflug</w:t>").text, "harmless\nFalkenflug");
  EXPECT_TRUE(text("<w:t>harmless</w:t>", "<w:instrText>DDEAUTO c:\\x y</w:instrText>").has(Mark::macro_dde));
}

TEST(Documents, FlatOnesAreNoArchives) {
  const std::string flat =
      "<office:document xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\" xmlns:text=\"t\" "
      "office:mimetype=\"application/vnd.oasis.opendocument.text\"><office:meta><dc:title>the title</dc:title>"
      "<meta:keyword>a key</meta:keyword></office:meta><office:body><text:p>Falkenflug</text:p></office:body>"
      "</office:document>";
  const Verdict verdict = scan(flat);
  EXPECT_TRUE(verdict.leaves[0].is(FileType::odt));
  EXPECT_TRUE(verdict.complete()) << reason_name(verdict.reason());
  EXPECT_EQ(verdict.leaves[0].text, "the title\na key\nFalkenflug");
}

}  // namespace
