// SPDX-License-Identifier: Apache-2.0
// trackfill STORE COUNT: puts COUNT made-up messages into the tracking store, the same in every store, and says how
// long that took. One message in ten thousand has something of its own to be found by.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "engine/store/tracking.h"

namespace {

using namespace postern;

constexpr int64_t kFirst = 1'790'000'000;
constexpr size_t kBatch = 500;

store::TrackedMessage make(uint64_t number, std::mt19937_64& random) {
  store::TrackedMessage out;
  out.mid = 1000 + number;
  out.icid = 500 + number / 3;
  out.started = kFirst + static_cast<int64_t>(number) * 20;
  out.queue_id = fmt::format("4T{:08X}z", number * 2654435761u);
  out.client = fmt::format("192.0.2.{}", random() % 250);
  out.client_name = fmt::format("host{}.example.org", random() % 1000);
  out.helo = out.client_name;
  out.flow = "inbound";
  const bool rare = number % 10'000 == 1234;
  out.from = fmt::format("user{}@{}.example.org", random() % 5000, rare ? "rare" : "mail");
  out.author = *out.from;
  out.header_from = fmt::format("\"A. User\" <{}>", *out.from);
  const size_t recipients = 1 + random() % 3;
  for (size_t i = 0; i < recipients; ++i)
    out.recipients.push_back(fmt::format("rcpt{}@example.net", random() % 20'000));
  out.subject = fmt::format("{} number {} about something or other{}", random() % 2 == 0 ? "Invoice" : "Re: meeting",
                            random() % 100'000, rare ? ", the Needle" : "");
  out.message_id = fmt::format("<{:016x}.{}@mail.example.org>", random(), number);
  out.size = 2000 + random() % 100'000;
  out.verdict = rare ? "reject" : number % 50 == 0 ? "quarantine" : "accept";
  const auto line = [&](uint8_t level, const char* event, std::string text, std::string filter = "") {
    out.lines.push_back({0, out.started, level, event, std::move(filter), std::move(text)});
  };
  line(2, "connection-new",
       fmt::format("New SMTP ICID {} interface mx address {} reverse dns host {}", out.icid, out.client,
                   out.client_name));
  line(3, "message-start", fmt::format("Start MID {} ICID {}", out.mid, out.icid));
  line(2, "message-from", fmt::format("MID {} ICID {} From: <{}>", out.mid, out.icid, *out.from));
  for (size_t i = 0; i < recipients; ++i) {
    line(2, "message-to", fmt::format("MID {} ICID {} RID {} To: <{}>", out.mid, out.icid, i, out.recipients[i]));
  }
  line(3, "message-flow", fmt::format("MID {} matched all recipients for flow inbound", out.mid));
  line(3, "message-id", fmt::format("MID {} Message-ID '{}'", out.mid, out.message_id));
  line(3, "message-subject", fmt::format("MID {} Subject '{}'", out.mid, out.subject));
  const std::string filter = rare ? "rare-filter" : fmt::format("filter-{}", number % 20);
  line(2, "filter-match",
       fmt::format("MID {} filter '{}' matched: insert-header X-Seen: yes queue-id={} (rules.d/10.yaml:{})", out.mid,
                   filter, out.queue_id, number % 300),
       filter);
  line(2, "message-ready",
       fmt::format("MID {} ready {} bytes from <{}> queue-id={}", out.mid, out.size, *out.from, out.queue_id));
  line(2, "message-done", fmt::format("Message finished MID {} done queue-id={}", out.mid, out.queue_id));
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: trackfill STORE COUNT\n");
    return 64;
  }
  const uint64_t count = std::strtoull(argv[2], nullptr, 10);
  auto tracking = store::Tracking::open({argv[1], "mx1", true, 1});
  if (!tracking) {
    std::fprintf(stderr, "trackfill: %s\n", tracking.error().text().c_str());
    return 69;
  }
  std::mt19937_64 random(1);
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t number = 0; number < count;) {
    std::vector<store::TrackedMessage> batch;
    for (; number < count && batch.size() < kBatch; ++number) batch.push_back(make(number, random));
    if (auto done = (*tracking)->write(batch, std::to_string(number)); !done) {
      std::fprintf(stderr, "trackfill: %s\n", done.error().text().c_str());
      return 69;
    }
  }
  std::printf("%.1f\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return 0;
}
