// SPDX-License-Identifier: Apache-2.0
// SQLite: write-ahead log, synced at every commit; contents are files beside the database. Several processes may have
// it open (posternd, and `postern quarantine` beside it): a writer waits for the others up to kBusyMilliseconds.
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "engine/base/handle.h"
#include "engine/store/database.h"

namespace postern::store {
namespace {

using base::Cause;
using base::fail;
using base::Result;

constexpr int kBusyMilliseconds = 10'000;
constexpr int64_t kOrphanAge = 3600;

void close_database(sqlite3* database) { sqlite3_close_v2(database); }
void finalize(sqlite3_stmt* statement) { sqlite3_finalize(statement); }
using Connection = base::Handle<sqlite3, close_database>;
using Statement = base::Handle<sqlite3_stmt, finalize>;

class Sqlite final : public Database {
 public:
  Sqlite(std::string path, Connection connection, std::shared_ptr<const Files> files)
      : path_(std::move(path)), connection_(std::move(connection)), files_(std::move(files)) {}
  ~Sqlite() override {
    statements_.clear();
    connection_.reset();
  }

  Result<Rows> run(std::string_view sql, const Values& values) override {
    auto statement = prepare(sql);
    if (!statement) return std::unexpected(std::move(statement.error()));
    Result<Rows> rows = step(*statement, values);
    sqlite3_reset(*statement);
    sqlite3_clear_bindings(*statement);
    return rows;
  }

  Result<void> begin() override { return plain("BEGIN IMMEDIATE"); }
  Result<void> commit() override {
    auto done = plain("COMMIT");
    // The frame that ends a transaction is written last: a full disk means that it is not there.
    const int code = sqlite3_errcode(connection_.get());
    in_doubt_ = !done && code != SQLITE_FULL && code != SQLITE_BUSY;
    return done;
  }
  // Writers stand in one queue.
  bool conflicted() const override { return false; }
  bool in_doubt() const override { return in_doubt_; }
  void rollback() override {
    // Nothing to roll back where SQLite has done so itself, after a full disk for example.
    if (sqlite3_get_autocommit(connection_.get()) == 0) (void)plain("ROLLBACK");
  }

  Result<void> make_schema(const Tables& tables, bool create) override {
    if (auto begun = begin(); !begun) return begun;
    auto found = run("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1", {std::string(tables.meta)});
    if (found && found->empty() && !create) found = fail(Cause::not_found, path_ + " is no store yet");
    if (!found) {
      rollback();
      return std::unexpected(found.error());
    }
    std::vector<std::string> needed;
    if (found->empty()) {
      needed = tables.statements("INTEGER PRIMARY KEY AUTOINCREMENT");
    } else if (create) {
      auto before = run(fmt::format("SELECT value FROM {} WHERE name = 'version'", tables.meta), {});
      if (before && !before->empty()) needed = tables.upgrade(before->front().number(0));
    }
    for (const std::string& sql : needed) {
      if (auto made = plain(sql); !made) {
        rollback();
        return made;
      }
    }
    if (auto done = commit(); !done) {
      rollback();
      return done;
    }
    auto version = run(fmt::format("SELECT value FROM {} WHERE name = 'version'", tables.meta), {});
    if (!version) return std::unexpected(version.error());
    return check_version(tables, *version);
  }
  // Writers stand in one queue.
  Result<void> in_turn() override { return {}; }

  Result<void> put_inside(const std::string&, const Source&) override { return {}; }
  Result<std::string> get(const std::string& name, uint64_t size) override { return files_->read(name, size); }
  Result<bool> has(const std::string& name) override { return files_->has(name); }
  void drop(const std::string& name) override { files_->remove(name); }

  Result<size_t> sweep(int64_t now) override {
    return files_->sweep(now - kOrphanAge, [this](const std::string& name) -> Result<bool> {
      auto rows = run("SELECT 1 FROM content WHERE name = $1", {name});
      if (!rows) return std::unexpected(rows.error());
      return !rows->empty();
    });
  }

  std::string contains(std::string_view column, std::string_view parameter) const override {
    return fmt::format("instr(lower({}), {}) > 0", column, parameter);
  }
  std::string contains_exactly(std::string_view column, std::string_view parameter) const override {
    return fmt::format("instr({}, {}) > 0", column, parameter);
  }
  std::string_view for_update() const override { return ""; }
  std::string_view skip_locked() const override { return ""; }

 private:
  base::Error error(std::string_view sql) const {
    const int code = sqlite3_extended_errcode(connection_.get());
    return {Cause::unavailable, fmt::format("{}: {} ({}) in {}", path_, sqlite3_errmsg(connection_.get()), code,
                                            sql.substr(0, sql.find(' ', 12)))};
  }

  Result<sqlite3_stmt*> prepare(std::string_view sql) {
    const auto known = statements_.find(sql);
    if (known != statements_.end()) return known->second.get();
    sqlite3_stmt* made = nullptr;
    if (sqlite3_prepare_v3(connection_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                           &made, nullptr) != SQLITE_OK) {
      return std::unexpected(error(sql));
    }
    // Filters of a list make texts of their own; they must not pile up.
    if (statements_.size() > 200) statements_.clear();
    statements_.emplace(sql, made);
    return made;
  }

  Result<Rows> step(sqlite3_stmt* statement, const Values& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      const int at = static_cast<int>(i) + 1;
      int bound = SQLITE_OK;
      if (const auto* number = std::get_if<int64_t>(&values[i])) {
        bound = sqlite3_bind_int64(statement, at, *number);
      } else if (const auto* text = std::get_if<std::string>(&values[i])) {
        bound = sqlite3_bind_text64(statement, at, text->data(), text->size(), SQLITE_STATIC, SQLITE_UTF8);
      }
      if (bound != SQLITE_OK) return std::unexpected(error(sqlite3_sql(statement)));
    }
    Rows rows;
    for (;;) {
      const int result = sqlite3_step(statement);
      if (result == SQLITE_DONE) return rows;
      if (result != SQLITE_ROW) return std::unexpected(error(sqlite3_sql(statement)));
      Row row;
      const int columns = sqlite3_column_count(statement);
      for (int i = 0; i < columns; ++i) {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, i));
        row.columns.emplace_back(text == nullptr ? "" : text,
                                 text == nullptr ? 0 : static_cast<size_t>(sqlite3_column_bytes(statement, i)));
      }
      rows.push_back(std::move(row));
    }
  }

  Result<void> plain(std::string_view sql) {
    auto rows = run(sql, {});
    if (!rows) return std::unexpected(std::move(rows.error()));
    return {};
  }

  std::string path_;
  Connection connection_;
  std::shared_ptr<const Files> files_;
  bool in_doubt_ = false;
  std::map<std::string, Statement, std::less<>> statements_;
};

}  // namespace

Result<std::unique_ptr<Database>> open_sqlite(const std::string& path, const Tables& tables, bool create, bool synced,
                                              std::shared_ptr<const Files> files) {
  if (!create && ::access(path.c_str(), F_OK) != 0) {
    return std::unexpected(base::system_error("store " + path, errno));
  }
  sqlite3* opened = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
  const int result = sqlite3_open_v2(path.c_str(), &opened, flags, nullptr);
  Connection connection(opened);
  std::string wrong = result == SQLITE_OK ? "" : opened == nullptr ? "out of memory" : sqlite3_errmsg(opened);
  // SQLite gives its other files the mode (and, for root, the owner) of this one.
  if (wrong.empty() && create && ::chmod(path.c_str(), 0600) != 0 && errno != EPERM) wrong = "its mode cannot be set";
  if (wrong.empty()) {
    sqlite3_busy_timeout(opened, kBusyMilliseconds);
    char* message = nullptr;
    const std::string pragmas = fmt::format(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {}; PRAGMA secure_delete = FAST;", synced ? "FULL" : "NORMAL");
    if (sqlite3_exec(opened, pragmas.c_str(), nullptr, nullptr, &message) != SQLITE_OK) {
      wrong = message == nullptr ? sqlite3_errmsg(opened) : message;
    }
    sqlite3_free(message);
  }
  if (!wrong.empty()) return fail(Cause::unavailable, "store " + path + ": " + wrong);
  auto database = std::make_unique<Sqlite>(path, std::move(connection), std::move(files));
  if (auto made = database->make_schema(tables, create); !made) return std::unexpected(std::move(made.error()));
  return database;
}

}  // namespace postern::store
