// SPDX-License-Identifier: Apache-2.0
// Any bytes as an encrypted content, with and without a proper head; and a content that was encrypted, cut, extended,
// turned over and rearranged as the input says: unless it is what it was, it is an error.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <source_location>
#include <string>

#include "engine/store/sealed.h"

namespace {

using namespace postern;

void require(bool condition, const std::source_location& where = std::source_location::current()) {
  if (condition) return;
  std::fprintf(stderr, "line %u: this does not hold\n", where.line());
  std::abort();
}

const std::shared_ptr<const store::DataKey>& key() {
  static const auto kKey = std::make_shared<const store::DataKey>(
      store::DataKey{"00112233445566778899aabbccddeeff", base::Secret(std::string(store::kDataKeySize, 'k'))});
  return kKey;
}

void refused(std::string bytes, size_t chunk) {
  const auto opened = store::open_sealed(*key(), "name", std::move(bytes), chunk);
  require(!opened && opened.error().cause() == base::Cause::internal);
}

// mutate takes the input three bytes at a time: what to do, where, and with what.
void mutate(std::string& bytes, std::string_view how) {
  for (; how.size() >= 3 && !bytes.empty(); how.remove_prefix(3)) {
    const auto what = static_cast<unsigned char>(how[0]);
    const size_t at = (static_cast<unsigned char>(how[1]) * 257u + static_cast<unsigned char>(how[2])) % bytes.size();
    switch (what % 5) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << (what / 5 % 8)));
        break;
      case 1:
        bytes.resize(at);
        break;
      case 2:
        bytes.append(how.substr(1, 2));
        break;
      case 3:
        bytes.insert(at, bytes.substr(at, what / 5));
        break;
      default:
        std::rotate(bytes.begin() + static_cast<ptrdiff_t>(at / 2), bytes.begin() + static_cast<ptrdiff_t>(at),
                    bytes.end());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.empty()) return 0;
  const size_t chunk = 1 + static_cast<unsigned char>(input[0]) % 40;
  refused(std::string(input), chunk);
  refused(std::string("PSTNENC\x01\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 24) +
              std::string(input),
          chunk);

  const std::string_view text = input.substr(0, input.size() / 2);
  const store::Content content{text};
  std::string sealed;
  const auto done = store::sealed_source(key(), "name", content, chunk)([&](std::string_view piece) {
    sealed += piece;
    return base::Result<void>();
  });
  require(done.has_value() && sealed.size() == store::sealed_size(text.size(), chunk));
  std::string changed = sealed;
  mutate(changed, input.substr(input.size() / 2));
  const auto opened = store::open_sealed(*key(), "name", changed, chunk);
  require(opened.has_value() == (changed == sealed));
  if (opened) require(*opened == text);
  return 0;
}
