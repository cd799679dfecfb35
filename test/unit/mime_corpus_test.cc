// SPDX-License-Identifier: Apache-2.0
// Properties over a folder of real mail, documents and attacks, each file read as if it were mail: nothing crashes,
// spans account for every byte, chunking changes nothing, parse then write is the identity; and vectors of other
// projects for encoded words and content types.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "engine/base/text.h"
#include "engine/mime/encoded_word.h"
#include "engine/mime/writer.h"
#include "test/unit/mime_generator.h"
#include "test/unit/mime_support.h"

namespace postern::mime {
namespace {

using nlohmann::json;

std::vector<std::filesystem::path> corpus_files(std::string_view folder = "") {
  std::vector<std::filesystem::path> out;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(std::filesystem::path(POSTERN_CORPUS) / folder)) {
    if (entry.is_regular_file() && entry.file_size() < 4'000'000) out.push_back(entry.path());
  }
  std::ranges::sort(out);
  return out;
}

std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST(MimeCorpus, PropertiesHoldForEveryFile) {
  test::Generator random(31);
  size_t files = 0;
  for (const auto& path : corpus_files()) {
    SCOPED_TRACE(path);
    const std::string file = contents(path);
    const test::Mail mail = test::read(file);
    ++files;
    test::check_accounting(mail.structure, mail.body);
    const Pieces pieces = write_body(mail.structure, mail.body, {});
    ASSERT_EQ(pieces.size(), mail.body.size());
    ASSERT_EQ(pieces.flatten(), mail.body);
    const std::string expected = test::describe(mail.structure);
    for (int round = 0; round < 2; ++round) {
      Parser parser(mail.header, {});
      for (size_t at = 0; at < mail.body.size();) {
        const size_t size = 1 + random.pick(round == 0 ? 100 : 65536);
        parser.feed(std::string_view(mail.body).substr(at, size));
        at += size;
      }
      ASSERT_EQ(test::describe(parser.finish()), expected);
    }
    for (const HeaderField& field : mail.header) ASSERT_TRUE(base::is_valid_utf8(decode_words(field.value)));
    for (uint32_t i = 0; i < mail.structure.parts.size(); ++i) {
      const Part& part = mail.structure.parts[i];
      if (!part.is_leaf()) continue;
      ASSERT_LE(decode_content(part, mail.body).bytes.size(), part.content.size());
      ASSERT_TRUE(base::is_valid_utf8(decode_text(part, mail.body).utf8));
      for (const std::string& name : part.file_names) ASSERT_TRUE(base::is_valid_utf8(name));
      // Taking one leaf out leaves all other bytes as they were.
      const std::string without = write_body(mail.structure, mail.body, {{i, true, "", ""}}).flatten();
      if (i > 0) {
        const size_t before = part.outer.begin >= 2 ? part.outer.begin - 2 : 0;
        ASSERT_EQ(without.substr(0, before), mail.body.substr(0, before));
        const std::string behind = mail.body.substr(part.outer.end);
        ASSERT_TRUE(without.ends_with(behind));
      }
    }
  }
  EXPECT_GT(files, 100u);
  std::printf("%zu files\n", files);
}

// A mail built to be read in two ways shows its payload or has a defect.
TEST(MimeCorpus, AmbiguousMailIsSeenOrFlagged) {
  size_t flagged = 0;
  size_t seen = 0;
  for (const auto& path : corpus_files("ambiguity")) {
    const test::Mail mail = test::read(contents(path));
    Defects defects = mail.structure.defects;
    defects.merge(mail.file_defects);
    defects.merge(decoding_defects(mail.structure, mail.body));
    bool executable = false;
    for (const Part& part : mail.structure.parts) {
      const bool attached = part.is_leaf() && part.type.value != "text/plain" && !part.file_names.empty();
      executable = executable || attached || decode_content(part, mail.body).bytes.find("MZ") == 0;
    }
    seen += executable ? 1 : 0;
    flagged += defects.empty() ? 0 : 1;
    const std::string name = path.filename();
    // Those carry nothing a MIME parser can see: scripts, a reference to content elsewhere, and a mail made to be
    // harmless.
    const bool nothing_to_see =
        name == "base_benign.eml" || name == "html_smuggling_js.eml" || name == "part_external_body.eml";
    EXPECT_TRUE(executable || !defects.empty() || nothing_to_see) << path;
  }
  std::printf("payload seen in %zu, defects in %zu\n", seen, flagged);
  EXPECT_GT(seen, 50u);
}

TEST(MimeCorpus, VectorsOfOtherProjects) {
  size_t text_equal = 0;
  size_t text_all = 0;
  size_t type_equal = 0;
  size_t type_all = 0;
  for (const auto& path : corpus_files("rfc2047")) {
    if (path.extension() != ".jsonl") continue;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
      const json vector = json::parse(line);
      const std::string input = vector["input"];
      if (vector["kind"] == "text") {
        const bool equal = decode_words(input) == vector["expected"].get<std::string>();
        ++text_all;
        text_equal += equal ? 1 : 0;
        EXPECT_TRUE(equal || vector["python_agrees"] != true) << input << "\n" << decode_words(input);
      } else if (vector["kind"] == "content-type") {
        const StructuredValue value = parse_content_type(input);
        // Keys are absent, or the whole is null, where there is nothing to expect.
        const json& given = vector["expected"];
        const auto expected = [&](const char* key) { return given.is_object() ? given.value(key, json()) : json(); };
        std::string type = expected("c_type").is_string() ? expected("c_type").get<std::string>() : "";
        if (expected("c_subtype").is_string()) type += "/" + expected("c_subtype").get<std::string>();
        bool equal = value.value == type || (value.value.empty() && type.find('/') == std::string::npos);
        const json attributes = expected("attributes");
        for (const json& attribute : attributes) {
          const bool found = std::ranges::any_of(value.parameters, [&](const Parameter& parameter) {
            return parameter.name == attribute[0] && parameter.value == attribute[1];
          });
          equal = equal && found;
        }
        ++type_all;
        type_equal += equal ? 1 : 0;
      }
    }
  }
  std::printf("encoded words: %zu of %zu, content types: %zu of %zu\n", text_equal, text_all, type_equal, type_all);
  EXPECT_GE(text_equal * 10, text_all * 8);
  EXPECT_GE(type_equal * 10, type_all * 8);
  EXPECT_GT(text_all, 0u);
  EXPECT_GT(type_all, 0u);
}

}  // namespace
}  // namespace postern::mime
