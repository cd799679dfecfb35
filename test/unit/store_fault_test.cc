// SPDX-License-Identifier: Apache-2.0
// A message is kept while each call of the file system, or each exchange with the database server, fails in turn, once
// or from then on: what was not said to be kept leaves nothing that could be delivered beside the second try, what was
// said to be kept is there, and after the sender's second try it is there once.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>

#include "test/support/faulty_disk.h"
#include "test/unit/store_fixture.h"

namespace {

// Calls of send and recv, as FaultyDisk counts those on files.
std::atomic<uint64_t> exchanges{0};
std::atomic<uint64_t> first_broken{0};
std::atomic<uint64_t> last_broken{0};

// A connection that broke is broken for what comes after, too.
bool broken(int fd) {
  const uint64_t number = ++exchanges;
  if (first_broken == 0 || number < first_broken || number > last_broken) return false;
  (void)::shutdown(fd, SHUT_RDWR);
  errno = ECONNRESET;
  return true;
}

template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t send(int fd, const void* data, size_t size, int flags) {
  static auto* const next = real<ssize_t(int, const void*, size_t, int)>("send");
  return broken(fd) ? -1 : next(fd, data, size, flags);
}

ssize_t recv(int fd, void* data, size_t size, int flags) {
  static auto* const next = real<ssize_t(int, void*, size_t, int)>("recv");
  return broken(fd) ? -1 : next(fd, data, size, flags);
}

}  // extern "C"

namespace postern::store {
namespace {

using test::FaultyDisk;
using testing::SizeIs;

class StoreFaults : public StoreTest {
 protected:
  void TearDown() override {
    heal();
    StoreTest::TearDown();
  }

  // fail lets the k-th call from now on fail, and `times` in a row (0: all from then on).
  void fail(uint64_t k, int number, uint64_t times) {
    if (postgres()) {
      exchanges = 0;
      last_broken = times == 0 ? UINT64_MAX : k + times - 1;
      first_broken = k;
    } else {
      FaultyDisk::fail_call(k, number, times);
    }
  }
  uint64_t calls() const { return postgres() ? exchanges.load() : FaultyDisk::calls(); }
  void heal() {
    first_broken = 0;
    FaultyDisk::heal();
  }

  static Batch batch(uint64_t mid, std::string_view content) {
    Batch out = batch_of(mid, content, {"Policy", "Legal"});
    out.entries.push_back(out.entries[0]);
    out.entries[1].copy = Copy::duplicate;
    out.entries[1].holds = {{"Archive", "f", ""}};
    out.mails.push_back({MailKind::notify, "", {"admin@example.org"}, {"Subject: notice\r\n\r\n"}, 0});
    return out;
  }

  // once checks that `content` is there once with all it leaves, among `others` more of its kind.
  void once(std::string_view content, size_t others) {
    auto entries = store_->list({});
    ASSERT_DONE(entries);
    size_t found = 0;
    for (const Listed& entry : *entries) {
      auto text = store_->content(entry.content);
      ASSERT_DONE(text);
      found += *text == content ? 1 : 0;
    }
    EXPECT_EQ(found, 2u);
    EXPECT_THAT(*entries, SizeIs(2 * (others + 1)));
    auto mails = store_->outbox(0, 10'000);
    ASSERT_DONE(mails);
    EXPECT_THAT(*mails, SizeIs(others + 1));
    for (const Outgoing& mail : *mails) ASSERT_DONE(store_->content(mail.content));
    for (const Usage& usage : store_->usage().value_or(std::vector<Usage>())) {
      EXPECT_EQ(usage.messages, others + 1) << usage.quarantine;
    }
  }

  // sweep fails every call of keep() in turn; returns how many there were. `reopen`: the process ends after the fault.
  uint64_t sweep(int number, uint64_t times, bool reopen) {
    uint64_t k = 1;
    for (;; ++k) {
      SCOPED_TRACE("call " + std::to_string(k) + (reopen ? ", reopened" : ""));
      const std::string content = "message " + std::to_string(k) + "\r\n" + std::string(5000, 'x');
      fail(k, number, times);
      auto kept = store_->keep(batch(2 * k, content), policies_, kNow);
      const bool faulted = calls() >= k;
      heal();
      if (reopen) {
        store_ = nullptr;
        store_ = open();
        if (store_ == nullptr) return 0;
      }
      if (kept) {
        once(content, k - 1);
        if (!reopen) store_->confirm(kept->id);
      } else {
        EXPECT_EQ(kept.error().cause(), base::Cause::unavailable) << kept.error().text();
      }
      if (!kept || reopen) {
        auto again = store_->keep(batch(2 * k + 1, content), policies_, kNow + 60);
        if (!again) ADD_FAILURE() << again.error().text();
        if (again && kept) {
          EXPECT_EQ(again->again.value_or(0), 2 * k);
        }
        once(content, k - 1);
        if (again) store_->confirm(again->id);
      }
      if (HasFailure() || !faulted) break;
    }
    // Everything a fault left over goes; one content of each message and of each notice stays.
    const auto tidied = store_->tidy(static_cast<int64_t>(std::time(nullptr)) + 4000);
    EXPECT_TRUE(tidied) << (tidied ? "" : tidied.error().text());
    EXPECT_EQ(contents(), 2 * k);
    return k - 1;
  }
};

TEST_P(StoreFaults, EachCallFailsOnce) {
  for (const int number : {ENOSPC, EIO}) {
    const uint64_t calls = sweep(number, 1, false);
    RecordProperty("calls", static_cast<int>(calls));
    EXPECT_GT(calls, 5u);
    TearDown();
    SetUp();
  }
}

TEST_P(StoreFaults, EachCallFailsAndAllAfterIt) {
  for (const int number : {ENOSPC, EIO}) {
    EXPECT_GT(sweep(number, 0, false), 5u);
    TearDown();
    SetUp();
  }
}

TEST_P(StoreFaults, EachCallFailsAndTheProcessEnds) {
  for (const int number : {ENOSPC, EIO}) {
    EXPECT_GT(sweep(number, 0, true), 5u);
    TearDown();
    SetUp();
  }
}

TEST_P(StoreFaults, AFullDiskDefersAndLeavesNothing) {
  if (postgres()) return;  // its disk is the server's
  auto first = store_->keep(batch(1, "first"), policies_, kNow);
  ASSERT_DONE(first);
  store_->confirm(first->id);
  const size_t before = contents();
  FaultyDisk::fill();
  for (uint64_t mid = 2; mid < 10; ++mid) {
    auto kept = store_->keep(batch(mid, std::string(100'000, static_cast<char>('a' + mid))), policies_, kNow);
    ASSERT_FALSE(kept);
    EXPECT_EQ(kept.error().cause(), base::Cause::unavailable);
    EXPECT_EQ(contents(), before);
  }
  FaultyDisk::heal();
  ASSERT_DONE(store_->keep(batch(10, "second"), policies_, kNow));
  once("second", 1);
}

POSTERN_EVERY_STORE(StoreFaults);

}  // namespace
}  // namespace postern::store
