// SPDX-License-Identifier: Apache-2.0
// store-steps WHERE COMMAND: one step on a store in a process of its own, so that a test can kill it anywhere in it.
//   init           makes the store
//   keep MID       keeps a message in two quarantines, with a copy and a notice; says "kept" when it is durable
//   release        releases every message from every quarantine
//   count          says what is there: "held=N copies=N released=N mails=N bad=N" (bad: contents that are not whole)
//   tidy           removes what is left over, as if an hour had passed
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "engine/store/store.h"

namespace {

using namespace postern::store;

constexpr int64_t kNow = 1'800'000'000;

int fail(const postern::base::Error& error) {
  std::fprintf(stderr, "store-steps: %s\n", error.text().c_str());
  return 1;
}

int keep(Store& store, uint64_t mid) {
  const std::string header = "From: a@example.org\r\nSubject: x\r\n\r\n";
  const std::string body(200'000, 'b');
  Batch batch;
  batch.mid = mid;
  batch.identity = identity_of("a@example.org", {"b@example.net"}, {header, body});
  Entry entry;
  entry.holds = {{"Policy", "f", "r"}, {"Legal", "f", "r"}};
  entry.from = "a@example.org";
  entry.recipients = {"b@example.net"};
  entry.content = {header, body};
  batch.entries = {entry, entry};
  batch.entries[1].copy = Copy::duplicate;
  batch.entries[1].holds = {{"Archive", "f", "r"}};
  batch.mails.push_back({MailKind::notify, "", {"admin@example.org"}, {"Subject: notice\r\n\r\n"}, 0, {}, {}});
  auto kept = store.keep(batch, {}, kNow);
  if (!kept) return fail(kept.error());
  std::puts("kept");
  return std::fflush(stdout);
}

int release(Store& store) {
  auto entries = store.list({});
  if (!entries) return fail(entries.error());
  for (const Listed& entry : *entries) {
    if (auto done = store.release(entry.id, "", "test", kNow); !done) return fail(done.error());
  }
  return 0;
}

int count(Store& store) {
  Search search;
  search.ended = true;
  auto entries = store.list(search);
  if (!entries) return fail(entries.error());
  auto mails = store.outbox(0, 1000);
  if (!mails) return fail(mails.error());
  int held = 0;
  int copies = 0;
  int released = 0;
  int bad = 0;
  for (const Listed& entry : *entries) {
    if (entry.state == "deleted") continue;
    (entry.state == "released" ? released : entry.copy == Copy::final_ ? held : copies) += 1;
    if (!store.content(entry.content)) ++bad;
  }
  for (const Outgoing& mail : *mails) {
    if (!store.content(mail.content)) ++bad;
  }
  std::printf("held=%d copies=%d released=%d mails=%zu bad=%d\n", held, copies, released, mails->size(), bad);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc > 2 ? argv[2] : "";
  if (argc < 3 || (command == "keep" && argc != 4)) {
    std::fputs("usage: store-steps WHERE init|keep MID|release|count|tidy\n", stderr);
    return 64;
  }
  auto store = Store::open({argv[1], "mx1", command == "init", 1});
  if (!store) return fail(store.error());
  if (command == "keep") return keep(**store, std::strtoull(argv[3], nullptr, 10));
  if (command == "release") return release(**store);
  if (command == "count") return count(**store);
  if (command == "tidy") {
    auto done = (*store)->tidy(static_cast<int64_t>(std::time(nullptr)) + 4000);
    return done ? 0 : fail(done.error());
  }
  return 0;
}
