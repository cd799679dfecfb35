// SPDX-License-Identifier: Apache-2.0
// Any bytes as a message, a job's header and a verdict, as a worker in the hands of an attacker may send them: what is
// taken keeps the promises of verdict.h and comes out of another round as it was.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <source_location>
#include <string>

#include "engine/base/text.h"
#include "engine/scan/client/protocol.h"

namespace {

using namespace postern;
using namespace postern::scan;

void require(bool condition, const std::source_location& where = std::source_location::current()) {
  if (condition) return;
  std::fprintf(stderr, "line %u: this does not hold\n", where.line());
  std::abort();
}

std::string encoded(Verdict verdict) {
  std::string frame;
  require(encode_verdict(
      verdict, [](uint64_t) { return true; },
      [&](std::string_view bytes) {
        frame += bytes;
        return true;
      }));
  return frame;
}

void check_verdict(std::string_view input) {
  constexpr uint64_t kText = 1000;
  const auto verdict = decode_verdict(input, kText);
  if (!verdict) return;
  require(!verdict->leaves.empty() && verdict->leaves.size() <= kMaxLeaves);
  uint64_t text = 0;
  for (size_t i = 0; i < verdict->leaves.size(); ++i) {
    const Leaf& leaf = verdict->leaves[i];
    require(i == 0 ? leaf.parent == 0 : leaf.parent < i);
    require(!leaf.types.empty() && leaf.types.size() <= kMaxTypes);
    for (const FileType type : leaf.types) require(!info(type).name.empty());
    require((leaf.marks & ~kAllMarks) == 0);
    require(leaf.path.size() <= kMaxPath && leaf.name.size() <= kMaxName && leaf.mime.size() <= kMaxMime);
    for (const std::string* name : {&leaf.path, &leaf.name, &leaf.mime, &leaf.declared_mime}) {
      require(base::is_valid_utf8(*name) && name->find('\n') == std::string::npos);
    }
    require(base::is_valid_utf8(leaf.text));
    text += leaf.text.size();
    reason_name(leaf.reason);
    protection_name(leaf.protection);
  }
  require(text <= kText);
  const std::string again = encoded(*verdict);
  const auto second = decode_verdict(again, kText);
  require(second && encoded(*second) == again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  check_verdict(input);
  if (const auto message = decode_message(input)) {
    require(encode_message(*message, input.substr(kMessageSize)) == input);
  }
  if (const auto job = decode_job(input)) {
    const std::string again = encode_job(*job);
    require(decode_job(again).has_value());
  }
  return 0;
}
