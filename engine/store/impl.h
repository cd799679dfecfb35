// SPDX-License-Identifier: Apache-2.0
// Store::Impl: the connections of one store, and the steps that several of its functions take inside one transaction.
// Private to the store.
#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/store/columns.h"
#include "engine/store/database.h"
#include "engine/store/key_ring.h"
#include "engine/store/store.h"

namespace postern::store {

// Dropped collects contents that lost their last use in a transaction; they go after it.
using Dropped = std::vector<std::string>;

inline constexpr int kConflictTries = 5;

template <class Work>
auto transact_once(Database& database, Work&& work) -> decltype(work()) {
  if (auto begun = database.begin(); !begun) return std::unexpected(std::move(begun.error()));
  // Also when an exception passes: the connection must not be given back in the middle of a transaction.
  struct Rollback {
    Database* database;
    ~Rollback() {
      if (database != nullptr) database->rollback();
    }
  } guard{&database};
  auto result = work();
  if (!result) return result;
  if (auto done = database.commit(); !done) return std::unexpected(std::move(done.error()));
  guard.database = nullptr;
  return result;
}

// transact runs `work` in a transaction of `database` and makes it durable; on any error nothing of it stays. `work`
// runs again where another gateway was in the way.
template <class Work>
auto transact(Database& database, Work&& work) -> decltype(work()) {
  auto result = transact_once(database, work);
  for (int again = 0; again < kConflictTries && !result && database.conflicted(); ++again) {
    result = transact_once(database, work);
  }
  return result;
}

struct Store::Impl {
  std::string owner;
  std::shared_ptr<const Files> files;  // of the contents, where they are files

  // put_early makes a content's file durable, before its transaction and without a connection: the others go on
  // meanwhile. take_back removes such files again, where the transaction did not come about.
  base::Result<void> put_early(const std::string& name, const Source& content);
  void take_back(const std::vector<std::string>& names);

  // Lease is a connection in the hands of one thread.
  class Lease {
   public:
    explicit Lease(Impl& impl);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Database& operator*() const { return *database_; }
    Database* operator->() const { return database_.get(); }

   private:
    Impl& impl_;
    std::unique_ptr<Database> database_;
  };

  // apply_confirmations writes down, inside a transaction, what confirm() remembered; `written` are to be given to
  // confirmations_written() after it.
  base::Result<void> apply_confirmations(Database& database, int64_t now, std::vector<int64_t>& written);
  void confirmations_written(const std::vector<int64_t>& written);

  // ask runs one statement on a connection of its own; for `keys`.
  KeyRing::Ask ask();

  std::unique_ptr<KeyRing> keys;
  std::mutex mutex;
  std::condition_variable returned;
  std::vector<std::unique_ptr<Database>> idle;
  std::vector<int64_t> confirmed;
};

// execute runs a statement whose rows nobody needs.
base::Result<void> execute(Database& database, std::string_view sql, const Values& values);

// NewMail is a row of the outbox in the making.
struct NewMail {
  int64_t kept = 0;
  MailKind kind = MailKind::notify;
  std::string sender;      // as in the column
  std::string recipients;  // as in the column
  std::string content;
  uint64_t size = 0;
  uint64_t cause_mid = 0;
  uint64_t mid = 0;
  std::string host;
  std::string flow;
  std::string quarantine;
  int64_t next = 0;
};
base::Result<void> insert_mail(Database& database, const NewMail& mail, int64_t now);

// NewContent is a content of a batch or mail on its way in: encrypted, where there is a key. Its pieces must outlive
// it.
struct NewContent {
  NewContent(const Content& pieces, const KeyRing::Key& key);
  std::string name;
  const Content* content;
  std::string digest;    // of what is stored as it is
  std::string data_key;  // id of the key
  Source source;
};

// insert_content gives a content its row; the bytes go by put_early() and put_inside().
base::Result<void> insert_content(Database& database, const NewContent& content);
// drop_unused removes the row of `name` if no entry in a quarantine and no mail needs it any more.
base::Result<void> drop_unused(Database& database, const std::string& name, Dropped& dropped);

uint64_t size_of(const Content& content);

}  // namespace postern::store
