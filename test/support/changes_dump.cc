// SPDX-License-Identifier: Apache-2.0
// changes-dump SEED COUNT: prints COUNT cases of diff(), one JSON line each, for a test that has a real mail server
// carry them out: the message as received, the script, and what must be delivered. All texts are ASCII.
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "test/support/changes_case.h"

namespace {

nlohmann::json fields(const std::vector<postern::test::Field>& list) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& field : list) out.push_back({field.name, field.value});
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 64;
  std::mt19937_64 random(std::strtoull(argv[1], nullptr, 10));
  for (long left = std::strtol(argv[2], nullptr, 10); left > 0;) {
    std::vector<uint8_t> bytes(20 + random() % 80);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    const auto made = postern::test::make_case(bytes, true);
    if (made->list.changes.empty()) continue;
    --left;
    nlohmann::json script = nlohmann::json::array();
    for (const auto& change : made->list.changes) {
      script.push_back({postern::message::op_name(change.op), change.name, change.index, change.value});
    }
    std::cout << nlohmann::json{{"received", fields(made->received)},
                                {"recipients", made->received_recipients()},
                                {"body", made->body},
                                {"script", script},
                                {"final", fields(made->final)},
                                {"final_from", *made->message->envelope.from},
                                {"final_recipients", made->final_recipients()},
                                {"final_body", made->final_body}}
                     .dump()
              << "\n";
  }
  return 0;
}
