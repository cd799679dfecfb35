// SPDX-License-Identifier: Apache-2.0
// Database: what the store needs of SQLite and PostgreSQL, so that one text of SQL serves both: statements with $1, $2
// … in order of their first use, one write transaction at a time on a connection, and contents by name. Used by one
// thread at a time; private to the store.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/base/error.h"
#include "engine/store/batch.h"
#include "engine/store/files.h"
#include "engine/store/sealed.h"

namespace postern::store {

// Value is one parameter.
using Value = std::variant<std::monostate, int64_t, std::string>;
using Values = std::vector<Value>;

// Row is one row of a result; a null reads as an empty text and as 0.
struct Row {
  std::vector<std::string> columns;
  const std::string& text(size_t column) const { return columns[column]; }
  int64_t number(size_t column) const;
};
using Rows = std::vector<Row>;

// Tables is a set of tables that belong together; a database may hold several.
struct Tables {
  std::string_view meta;  // its table of single values, among them 'version'
  int64_t version = 0;
  bool contents = false;  // contents are kept beside them
  // The statements that make them; `id` is the type of a row's own number.
  std::vector<std::string> (*statements)(std::string_view id) = nullptr;
  // The statements that make tables of an older version into those of `version`; none where that cannot be done.
  std::vector<std::string> (*upgrade)(int64_t from) = nullptr;
};
extern const Tables kStoreTables;
extern const Tables kTrackingTables;

class Database {
 public:
  virtual ~Database() = default;

  // run executes one statement and returns all its rows.
  virtual base::Result<Rows> run(std::string_view sql, const Values& values) = 0;
  // begin opens a transaction that may write; commit makes it durable. After a commit that failed the transaction may
  // or may not be there when the database is next opened. rollback never fails: what
  // cannot be rolled back is disconnected, or was rolled back already.
  virtual base::Result<void> begin() = 0;
  virtual base::Result<void> commit() = 0;
  virtual void rollback() = 0;
  // conflicted tells, after a failure, whether another gateway was in the way: the transaction may be tried again.
  virtual bool conflicted() const = 0;
  // in_doubt tells, after a commit that failed, whether the transaction may be there all the same.
  virtual bool in_doubt() const = 0;

  // make_schema creates `tables` in a database that has them not, inside a transaction of its own, and checks the
  // version where it has; `create` false: one without is not_found.
  virtual base::Result<void> make_schema(const Tables& tables, bool create) = 0;
  // in_turn makes the transaction wait for others that called it, until their ends: what it writes then stands, by its
  // numbers, after all that they wrote.
  virtual base::Result<void> in_turn() = 0;

  // Contents that are kept in the database, and files where it has files: put_inside runs in the transaction in which
  // `name` gets its row in `content`, and does nothing where the bytes are a file, which is there before. has tells
  // whether the bytes are there. drop takes place after the transaction in which the row went.
  virtual base::Result<void> put_inside(const std::string& name, const Source& content) = 0;
  virtual base::Result<std::string> get(const std::string& name, uint64_t size) = 0;
  virtual base::Result<bool> has(const std::string& name) = 0;
  virtual void drop(const std::string& name) = 0;
  // sweep drops contents without a row that are older than an hour; returns how many.
  virtual base::Result<size_t> sweep(int64_t now) = 0;

  // contains is SQL for "the text `column` contains `parameter`", ASCII letters without case; the parameter must be in
  // lower case.
  virtual std::string contains(std::string_view column, std::string_view parameter) const = 0;
  // contains_exactly is the same with the case as it is.
  virtual std::string contains_exactly(std::string_view column, std::string_view parameter) const = 0;
  // contains_rarely is either of them, told to the planner as what few of the rows are that it has to look at: a search
  // for it begins there.
  virtual std::string contains_rarely(std::string_view column, std::string_view parameter, bool fold) const {
    return fold ? contains(column, parameter) : contains_exactly(column, parameter);
  }
  // for_update ends a SELECT whose rows are to be changed; skip_locked passes over those another gateway is changing.
  virtual std::string_view for_update() const = 0;
  virtual std::string_view skip_locked() const = 0;
};

// open_sqlite opens the database at `path`; its contents are in `files`, where it has any. `synced`: a commit is on the
// disk when it returns; else a power cut may take the last ones.
base::Result<std::unique_ptr<Database>> open_sqlite(const std::string& path, const Tables& tables, bool create,
                                                    bool synced, std::shared_ptr<const Files> files);
base::Result<std::unique_ptr<Database>> open_postgres(const std::string& conninfo);

// check_version compares the version read from the meta table.
base::Result<void> check_version(const Tables& tables, const Rows& rows);

}  // namespace postern::store
