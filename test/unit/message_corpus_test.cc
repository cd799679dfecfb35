// SPDX-License-Identifier: Apache-2.0
// Message edits over a folder of sample mails, for checkouts that have one beside them: unedited, every body is written
// back byte for byte; with any one part dropped, no byte of that part is left.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "engine/message/changes.h"
#include "engine/mime/parser.h"
#include "test/support/fake_mta.h"

namespace postern::message {
namespace {

TEST(MessageCorpus, DroppingPartsOfRealMail) {
  size_t files = 0;
  const base::Limits limits;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(POSTERN_CORPUS)) {
    if (!entry.is_regular_file() || entry.path().extension() != ".eml" || entry.file_size() > (1u << 20)) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string file(std::istreambuf_iterator<char>(in), {});
    const mime::ParsedFile parsed = mime::parse_file_header(file, limits);
    const std::string body = file.substr(parsed.body_offset);
    const mime::Structure tree = mime::parse(parsed.header, body, limits);
    ASSERT_EQ(mime::write_body(tree, body, {}).flatten(), body) << entry.path();
    ++files;
    for (uint32_t k = 1; k < tree.parts.size() && k < 20; ++k) {
      Message message(limits);
      for (const auto& field : parsed.header) message.headers.add_received(field.name, field.value);
      message.set_body(body);
      ASSERT_TRUE(message.edit_part({k, true, "", ""}));
      const std::string edited = message.final_body().flatten();
      test::FakeMta mta(test::FakeMta::Dialect::postfix, {});
      mta.set_body(body);
      mta.apply(diff(message));
      ASSERT_EQ(mta.body(), edited) << entry.path();
      ASSERT_LE(edited.size(), body.size() + 64) << entry.path();
      // No byte of the part that went may be left, where it had enough bytes to tell.
      const std::string gone = std::string(tree.parts[k].content.of(body));
      if (gone.size() < 40) continue;
      const auto count = [&gone](std::string_view text) {
        size_t n = 0;
        for (size_t at = text.find(gone); at != std::string_view::npos; at = text.find(gone, at + 1)) ++n;
        return n;
      };
      ASSERT_LT(count(edited), count(body)) << entry.path() << " part " << tree.parts[k].path;
    }
  }
  EXPECT_GT(files, 50u);
}

}  // namespace
}  // namespace postern::message
