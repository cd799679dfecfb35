// SPDX-License-Identifier: Apache-2.0
// A store of each kind for tests: SQLite in a directory of its own, PostgreSQL in a schema of its own on the server
// that POSTERN_TEST_POSTGRES names; and each once more with encrypted contents. One test, one thread.
#pragma once
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "engine/store/store.h"
#include "test/support/temporary_directory.h"
#include "test/unit/store_soft_keys.h"

namespace postern::store {

inline constexpr int64_t kNow = 1'800'000'000;

class StoreTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam().ends_with("_sealed")) key_ = "one";
    if (!postgres()) {
      where_ = "sqlite:" + directory_ + "/postern.db";
    } else {
      const char* server = std::getenv("POSTERN_TEST_POSTGRES");
      ASSERT_NE(server, nullptr) << "run by test/support/postgres.py";
      schema_ = "t" + directory_.substr(directory_.size() - 6) + "_" + std::to_string(getpid());
      sql(server, "CREATE SCHEMA \"" + schema_ + "\"");
      where_ = std::string("postgresql:") + server + " options='-csearch_path=\"" + schema_ + "\"'";
    }
    store_ = open();
  }

  void TearDown() override {
    store_.reset();
    if (!schema_.empty()) sql(std::getenv("POSTERN_TEST_POSTGRES"), "DROP SCHEMA \"" + schema_ + "\" CASCADE");
    // A test may set up again.
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) std::filesystem::remove_all(entry);
  }

  static bool is_postgres(const std::string& kind) { return kind.starts_with("postgresql"); }
  bool postgres() const { return is_postgres(GetParam()); }

  std::unique_ptr<Store> open(const std::string& owner = "mx1") {
    auto opened = Store::open({where_, owner, true, 1, keys_, key_, std::chrono::nanoseconds(0)});
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().text());
    return opened ? std::move(*opened) : nullptr;
  }

  // sql runs one statement and returns its first value, if it gives any.
  static std::string sql(const std::string& server, const std::string& text) {
    PGconn* const connection = PQconnectdb(server.c_str());
    PQsetNoticeProcessor(connection, [](void*, const char*) {}, nullptr);
    PGresult* const result = PQexec(connection, text.c_str());
    const ExecStatusType status = PQresultStatus(result);
    EXPECT_TRUE(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) << PQerrorMessage(connection);
    std::string out = PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "";
    PQclear(result);
    PQfinish(connection);
    return out;
  }

  // A batch of a message from a@example.org with `content`, held in `quarantines`.
  static Batch batch_of(uint64_t mid, std::string_view content, const std::vector<std::string>& quarantines) {
    Batch batch;
    batch.mid = mid;
    batch.queue_id = "4XyZ";
    batch.flow = "inbound";
    batch.client = "192.0.2.1";
    batch.identity = identity_of("a@example.org", {"b@example.net"}, {content});
    Entry entry;
    for (const std::string& name : quarantines) entry.holds.push_back({name, "strip-executables", "attachment"});
    entry.from = "a@example.org";
    entry.recipients = {"b@example.net"};
    entry.header_from = "A <a@example.org>";
    entry.subject = "A subject";
    entry.message_id = "<1@example.org>";
    entry.content = {content};
    if (!quarantines.empty()) batch.entries.push_back(entry);
    return batch;
  }

  // contents counts the contents that are stored.
  size_t contents() {
    if (postgres()) {
      return std::stoul(
          sql(std::getenv("POSTERN_TEST_POSTGRES"), "SELECT count(*) FROM \"" + schema_ + "\".chunk WHERE part = 0"));
    }
    size_t out = 0;
    for (const auto& file : std::filesystem::recursive_directory_iterator(directory_ + "/messages")) {
      out += file.is_regular_file() ? 1 : 0;
    }
    return out;
  }

  std::shared_ptr<StoreSoftKeys> keys_ = std::make_shared<StoreSoftKeys>();
  std::string key_;  // of new contents
  const test::TemporaryDirectory own_directory_;
  const std::string& directory_ = own_directory_.path();
  std::string where_;
  std::string schema_;
  Policies policies_;
  std::unique_ptr<Store> store_;
};

#define POSTERN_EVERY_STORE(Suite)                                                                        \
  INSTANTIATE_TEST_SUITE_P(Every, Suite,                                                                  \
                           testing::Values("sqlite", "postgresql", "sqlite_sealed", "postgresql_sealed"), \
                           [](const auto& kind) { return kind.param; })

// The value of a Result, or a failed test.
#define ASSERT_DONE(result)                     \
  do {                                          \
    const auto& done_ = (result);               \
    ASSERT_TRUE(done_) << done_.error().text(); \
  } while (false)

}  // namespace postern::store
