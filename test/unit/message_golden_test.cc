// SPDX-License-Identifier: Apache-2.0
// Golden tests: every folder of test/golden/message holds a message, the edits made to it and the script that must come
// out. Adding a folder adds a test; POSTERN_UPDATE_GOLDEN=1 in the environment writes `expected` anew, to be read
// before it is committed. Each script is also applied by both models of an MTA and must give the edited message.
//
// `input.eml`: the message, lines ending in LF or CRLF; the body is given to Postern with CRLF as MTAs do.
// `edits`: comment lines (#) say why the case is there; then one edit a line; \n \r \0 \\ are escapes in the last word:
//   mail ADDRESS · rcpt ADDRESS                                    the envelope as received; before any other
//   from ADDRESS · add-rcpt ADDRESS · del-rcpt ADDRESS             the envelope edited ("<>" is the null sender)
//   append NAME VALUE · insert NAME VALUE · change NAME N VALUE · remove NAME N · remove-received NAME
//   drop PART · edit PART HEADER|CONTENT · body TYPE|ENCODING|CONTENT
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "engine/base/text.h"
#include "engine/message/changes.h"
#include "engine/mime/parser.h"
#include "test/support/fake_mta.h"

namespace postern::message {
namespace {

namespace fs = std::filesystem;

// A case that is taken away, or a folder that is not found, must not go unnoticed.
constexpr size_t kLeastCases = 26;

fs::path golden_directory() { return fs::path(POSTERN_SOURCE_DIR) / "test/golden/message"; }

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(golden_directory(), error)) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    switch (text[++i]) {
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case '0':
        out += '\0';
        break;
      default:
        out += text[i];
    }
  }
  return out;
}

std::string crlf(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) out += '\r';
    out += text[i];
  }
  return out;
}

std::string next_word(std::string_view& rest) {
  const size_t end = std::min(rest.find(' '), rest.size());
  std::string word(rest.substr(0, end));
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

size_t instance(const mime::HeaderList& headers, std::string_view name, size_t number) {
  size_t index = headers.find(name);
  while (number > 1 && index != mime::HeaderList::npos) {
    index = headers.find(name, index + 1);
    --number;
  }
  return index;
}

std::string address_of(std::string_view text) { return text == "<>" ? std::string() : std::string(text); }

// Makes one edit; false when the line is not understood or the edit is refused.
bool edit(Message& message, std::string_view line) {
  std::string_view rest = line;
  const std::string word = next_word(rest);
  const auto part_of = [&](const std::string& path) {
    const auto& parts = message.structure().parts;
    for (uint32_t i = 0; i < parts.size(); ++i) {
      if (parts[i].path == path) return i;
    }
    return UINT32_MAX;
  };
  if (word == "from") {
    message.envelope.from = address_of(rest);
    return true;
  }
  if (word == "add-rcpt") {
    message.envelope.recipients.push_back({std::string(rest), {}});
    return true;
  }
  if (word == "del-rcpt") {
    return std::erase_if(message.envelope.recipients, [&](const Recipient& r) { return r.address == rest; }) != 0;
  }
  if (word == "body") {
    const std::vector<std::string_view> words = base::split(rest, '|');
    if (words.size() != 3) return false;
    mime::Pieces content;
    content.add_text(crlf(unescape(words[2])));
    message.replace_body(std::string(words[0]), std::string(words[1]), std::move(content));
    return true;
  }
  const std::string name = next_word(rest);
  if (word == "append") return message.headers.append(name, unescape(rest));
  if (word == "insert") return message.headers.insert_top(name, unescape(rest));
  if (word == "remove-received") return message.headers.remove_received(name) != 0;
  if (word == "drop") return message.edit_part({part_of(name), true, "", ""});
  if (word == "edit") {
    const size_t bar = rest.find('|');
    if (bar == std::string_view::npos) return false;
    return message.edit_part(
        {part_of(name), false, crlf(unescape(rest.substr(0, bar))), crlf(unescape(rest.substr(bar + 1)))});
  }
  const size_t index = instance(message.headers, name, static_cast<size_t>(std::stoul(next_word(rest))));
  if (index == mime::HeaderList::npos) return false;
  if (word == "change") {
    message.headers.change(index, unescape(rest));
    return true;
  }
  if (word == "remove") {
    message.headers.remove(index);
    return true;
  }
  return false;
}

std::string visible(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\\') {
      out += "\\\\";
    } else if (byte < 0x20 || byte >= 0x7F) {
      constexpr char kDigits[] = "0123456789abcdef";
      out += "\\x";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    } else {
      out += c;
    }
  }
  return out;
}

std::string render(const ChangeList& list) {
  if (list.changes.empty()) return "nothing\n";
  std::string out;
  for (const Change& change : list.changes) {
    out += op_name(change.op);
    if (!change.name.empty()) out += " " + change.name;
    if (change.index != 0) out += " " + std::to_string(change.index);
    if (change.op != Op::delete_header && change.op != Op::replace_body) out += ":" + visible(change.value);
    out += '\n';
    if (change.op != Op::replace_body) continue;
    const std::string body = list.body.flatten();
    for (size_t at = 0; at < body.size();) {
      size_t end = body.find("\r\n", at);
      const bool last = end == std::string::npos;
      end = last ? body.size() : end;
      out += "  |" + visible(std::string_view(body).substr(at, end - at)) + (last ? "<no line end>\n" : "\n");
      at = last ? end : end + 2;
    }
  }
  return out;
}

// The first line that differs, with what both sides have from there on.
std::string difference(const std::string& want, const std::string& got) {
  std::istringstream a(want);
  std::istringstream b(got);
  std::string left;
  std::string right;
  std::string out;
  for (size_t line = 1;; ++line) {
    const bool has_left = static_cast<bool>(std::getline(a, left));
    const bool has_right = static_cast<bool>(std::getline(b, right));
    if (!has_left && !has_right) return out;
    if (has_left && has_right && left == right) continue;
    if (has_left) out += "line " + std::to_string(line) + " - " + left + "\n";
    if (has_right) out += "line " + std::to_string(line) + " + " + right + "\n";
  }
}

class GoldenMessage : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenMessage, GivesTheScript) {
  const fs::path directory = golden_directory() / GetParam();
  const std::string file = read_file(directory / "input.eml");
  const base::Limits limits;
  const mime::ParsedFile parsed = mime::parse_file_header(file, limits);
  const std::string body = crlf(std::string_view(file).substr(parsed.body_offset));
  Message message(limits);
  // As a milter sees them: folds are LF.
  for (const mime::HeaderField& field : parsed.header) {
    std::string value = field.value;
    std::erase(value, '\r');
    message.headers.add_received(field.name, value);
  }
  message.keep_received_header_size();
  message.set_body(body);

  std::istringstream edits(read_file(directory / "edits"));
  std::string line;
  bool kept = false;
  bool reason = false;
  while (std::getline(edits, line)) {
    if (line.empty()) continue;
    if (line.starts_with("#")) {
      reason = true;
      continue;
    }
    if (line.starts_with("mail ")) {
      message.envelope.from = address_of(std::string_view(line).substr(5));
    } else if (line.starts_with("rcpt ")) {
      message.envelope.recipients.push_back({line.substr(5), {}});
    } else {
      if (!kept) message.keep_received_envelope();
      kept = true;
      ASSERT_TRUE(edit(message, line)) << line;
    }
  }
  if (!kept) message.keep_received_envelope();
  EXPECT_TRUE(reason) << "`edits` begins with a comment that says why the case is there";

  const ChangeList list = diff(message);
  const std::string got = render(list);
  if (const char* update = std::getenv("POSTERN_UPDATE_GOLDEN"); update != nullptr && *update == '1') {
    std::ofstream(directory / "expected", std::ios::binary) << got;
  }
  const std::string want = read_file(directory / "expected");
  EXPECT_EQ(want, got) << difference(want, got);

  std::vector<test::Field> received;
  for (const auto& field : message.headers.received()) received.push_back({field.name, field.value});
  std::vector<test::Field> final;
  for (const auto& field : message.headers) final.push_back({field.name, field.value});
  for (const auto dialect : {test::FakeMta::Dialect::postfix, test::FakeMta::Dialect::sendmail}) {
    test::FakeMta mta(dialect, received);
    mta.set_body(body);
    mta.apply(list);
    EXPECT_EQ(mta.headers(), final);
    EXPECT_TRUE(mta.own_received_intact());
    EXPECT_EQ(mta.body(), message.final_body().flatten());
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, GoldenMessage, ::testing::ValuesIn(case_names()), [](const auto& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(GoldenMessages, AreAllThere) { EXPECT_GE(case_names().size(), kLeastCases); }

}  // namespace
}  // namespace postern::message

namespace postern::test {
void PrintTo(const Field& field, std::ostream* out) { *out << field.name << ":" << field.value << "\n"; }
}  // namespace postern::test
