// SPDX-License-Identifier: Apache-2.0
// PostgreSQL: a store that several gateways share. Contents are rows of pieces, in the same transaction as what refers
// to them. Every statement has a deadline of ours, also against a server that takes data and says nothing; a connection
// that fails is made anew before the next transaction.
#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <chrono>
#include <set>

#include "engine/base/handle.h"
#include "engine/store/database.h"

namespace postern::store {
namespace {

using base::Cause;
using base::fail;
using base::Result;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kStatementTime{20};
constexpr const char* kConnectSeconds = "5";
constexpr size_t kChunk = 1u << 20;

using Connection = base::Handle<PGconn, PQfinish>;
using Reply = base::Handle<PGresult, PQclear>;

// Parameter is a value as libpq takes it.
struct Parameter {
  std::string text;
  bool null = false;
  bool binary = false;
};

class Postgres final : public Database {
 public:
  explicit Postgres(std::string conninfo) : conninfo_(std::move(conninfo)) {}

  Result<Rows> run(std::string_view sql, const Values& values) override {
    std::vector<Parameter> parameters;
    for (const Value& value : values) {
      Parameter parameter;
      if (const auto* number = std::get_if<int64_t>(&value)) {
        parameter.text = std::to_string(*number);
      } else if (const auto* text = std::get_if<std::string>(&value)) {
        parameter.text = *text;
      } else {
        parameter.null = true;
      }
      parameters.push_back(std::move(parameter));
    }
    auto reply = ask(sql, parameters, false);
    if (!reply) return std::unexpected(std::move(reply.error()));
    Rows rows(static_cast<size_t>(PQntuples(reply->get())));
    const int columns = PQnfields(reply->get());
    for (int r = 0; r < PQntuples(reply->get()); ++r) {
      for (int c = 0; c < columns; ++c) {
        rows[static_cast<size_t>(r)].columns.emplace_back(PQgetvalue(reply->get(), r, c),
                                                          static_cast<size_t>(PQgetlength(reply->get(), r, c)));
      }
    }
    return rows;
  }

  Result<void> begin() override {
    auto begun = plain("BEGIN ISOLATION LEVEL READ COMMITTED");
    in_transaction_ = begun.has_value();
    return begun;
  }
  Result<void> commit() override {
    // COMMIT after a failed statement succeeds, and rolls back.
    if (connection_ != nullptr && PQtransactionStatus(connection_.get()) != PQTRANS_INTRANS) {
      return fail(Cause::unavailable, "PostgreSQL: the transaction failed before its end");
    }
    auto done = plain("COMMIT");
    in_transaction_ = !done;
    return done;
  }
  void rollback() override {
    const bool conflicted = conflicted_;
    if (connection_ != nullptr && PQtransactionStatus(connection_.get()) != PQTRANS_IDLE && !plain("ROLLBACK")) {
      connection_.reset();
    }
    conflicted_ = conflicted;
    in_transaction_ = false;
  }
  bool conflicted() const override { return conflicted_; }
  // Contents are part of the transaction, so nothing hangs on the answer.
  bool in_doubt() const override { return true; }

  Result<void> make_schema(const Tables& tables, bool create) override {
    auto found = run("SELECT to_regclass($1) IS NOT NULL", {std::string(tables.meta)});
    if (!found) return std::unexpected(std::move(found.error()));
    if (found->front().text(0) != "t") {
      if (!create) return fail(Cause::not_found, "the database is no store yet");
      if (auto made = make_tables(tables); !made) return made;
    }
    const std::string asked = fmt::format("SELECT value FROM {} WHERE name = 'version'", tables.meta);
    auto version = run(asked, {});
    if (version && create && version->size() == 1 && !tables.upgrade(version->front().number(0)).empty()) {
      if (auto made = make_tables(tables); !made) return made;
      version = run(asked, {});
    }
    if (!version) return std::unexpected(std::move(version.error()));
    return check_version(tables, *version);
  }
  Result<void> in_turn() override { return plain("SELECT pg_advisory_xact_lock(7077838218)"); }

  Result<void> put_inside(const std::string& name, const Source& content) override {
    std::string chunk;
    int64_t part = 0;
    const auto flush = [&]() -> Result<void> {
      std::vector<Parameter> parameters(3);
      parameters[0].text = name;
      parameters[1].text = std::to_string(part++);
      parameters[2].text = std::move(chunk);
      parameters[2].binary = true;
      chunk.clear();
      auto reply = ask("INSERT INTO chunk (content, part, data) VALUES ($1, $2, $3)", parameters, false);
      if (!reply) return std::unexpected(std::move(reply.error()));
      return {};
    };
    auto put = content([&](std::string_view piece) -> Result<void> {
      while (!piece.empty()) {
        const std::string_view taken = piece.substr(0, kChunk - chunk.size());
        chunk += taken;
        piece.remove_prefix(taken.size());
        if (chunk.size() < kChunk) continue;
        if (auto done = flush(); !done) return done;
      }
      return {};
    });
    if (!put) return put;
    return chunk.empty() && part != 0 ? Result<void>() : flush();
  }

  Result<std::string> get(const std::string& name, uint64_t size) override {
    std::string out;
    for (int64_t part = 0; out.size() < size || part == 0; ++part) {
      std::vector<Parameter> parameters(2);
      parameters[0].text = name;
      parameters[1].text = std::to_string(part);
      auto reply = ask("SELECT data FROM chunk WHERE content = $1 AND part = $2", parameters, true);
      if (!reply) return std::unexpected(std::move(reply.error()));
      if (PQntuples(reply->get()) != 1) {
        return fail(part == 0 ? Cause::not_found : Cause::internal, "content " + name + " is not whole");
      }
      out.append(PQgetvalue(reply->get(), 0, 0), static_cast<size_t>(PQgetlength(reply->get(), 0, 0)));
    }
    if (out.size() != size) return fail(Cause::internal, "content " + name + " has another size");
    return out;
  }

  Result<bool> has(const std::string& name) override {
    auto rows = run("SELECT 1 FROM chunk WHERE content = $1 AND part = 0", {name});
    if (!rows) return std::unexpected(std::move(rows.error()));
    return !rows->empty();
  }

  // Pieces go with the row of their content.
  void drop(const std::string&) override {}
  Result<size_t> sweep(int64_t) override { return 0; }

  std::string contains(std::string_view column, std::string_view parameter) const override {
    // The collation "C" folds ASCII letters alone, as SQLite does.
    return fmt::format("strpos(lower({} COLLATE \"C\"), {}) > 0", column, parameter);
  }
  std::string contains_exactly(std::string_view column, std::string_view parameter) const override {
    return fmt::format("strpos({}, {}) > 0", column, parameter);
  }
  // Of LIKE the planner knows that few rows are so; of strpos() it thinks a third, and walks an index.
  std::string contains_rarely(std::string_view column, std::string_view parameter, bool fold) const override {
    const std::string text = fold ? fmt::format("lower({} COLLATE \"C\")", column) : std::string(column);
    return fmt::format(R"({} LIKE '%' || replace(replace(replace({}, '\', '\\'), '%', '\%'), '_', '\_') || '%')", text,
                       parameter);
  }
  std::string_view for_update() const override { return " FOR UPDATE"; }
  std::string_view skip_locked() const override { return " FOR UPDATE SKIP LOCKED"; }

  Result<void> connect() {
    const char* keywords[] = {"connect_timeout", "application_name", "client_encoding", "dbname", nullptr};
    const char* values[] = {kConnectSeconds, "postern", "UTF8", conninfo_.c_str(), nullptr};
    connection_.reset(PQconnectdbParams(keywords, values, 1));
    prepared_.clear();
    in_transaction_ = false;
    if (connection_ == nullptr || PQstatus(connection_.get()) != CONNECTION_OK) return give_up("connecting");
    PQsetnonblocking(connection_.get(), 1);
    PQsetNoticeProcessor(connection_.get(), [](void*, const char*) {}, nullptr);
    // Whatever the server's default is, a commit is on its disk when it returns; and a statement ends there, too.
    auto set = exchange([&] {
      return PQsendQuery(connection_.get(),
                         "SET synchronous_commit = on; SET statement_timeout = '20s'; SET lock_timeout = '10s'; "
                         "SET idle_in_transaction_session_timeout = '60s'");
    });
    if (!set) return std::unexpected(std::move(set.error()));
    auto encoding = exchange([&] { return PQsendQuery(connection_.get(), "SHOW server_encoding"); });
    if (!encoding) return std::unexpected(std::move(encoding.error()));
    if (std::string_view(PQgetvalue(encoding->get(), 0, 0)) != "UTF8") {
      connection_.reset();
      return fail(Cause::misconfigured, "PostgreSQL: the store's database must have the encoding UTF8");
    }
    return {};
  }

 private:
  // give_up ends the connection and says why.
  std::unexpected<base::Error> give_up(std::string_view doing) {
    std::string why = connection_ == nullptr ? "out of memory" : PQerrorMessage(connection_.get());
    while (!why.empty() && why.back() == '\n') why.pop_back();
    connection_.reset();
    return fail(Cause::unavailable, fmt::format("PostgreSQL, {}: {}", doing, why.empty() ? "no answer" : why));
  }

  Result<void> make_tables(const Tables& tables) {
    if (auto begun = begin(); !begun) return begun;
    // Gateways that start together: one makes the tables, the others find them.
    auto work = [&]() -> Result<void> {
      if (auto locked = plain("SELECT pg_advisory_xact_lock(7077838217)"); !locked) return locked;
      auto found = run("SELECT to_regclass($1) IS NOT NULL", {std::string(tables.meta)});
      if (!found) return std::unexpected(std::move(found.error()));
      if (found->front().text(0) == "t") {
        auto version = run(fmt::format("SELECT value FROM {} WHERE name = 'version'", tables.meta), {});
        if (!version) return std::unexpected(std::move(version.error()));
        for (const std::string& sql : tables.upgrade(version->empty() ? 0 : version->front().number(0))) {
          if (auto made = plain(sql); !made) return made;
        }
        return {};
      }
      for (const std::string& sql : tables.statements("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")) {
        if (auto made = plain(sql); !made) return made;
      }
      if (!tables.contents) return {};
      return plain(
          "CREATE TABLE chunk (content TEXT NOT NULL REFERENCES content (name) ON DELETE CASCADE, part BIGINT NOT "
          "NULL, "
          "data BYTEA NOT NULL, PRIMARY KEY (content, part))");
    };
    auto done = work();
    if (done) done = commit();
    if (!done) rollback();
    return done;
  }

  Result<void> plain(std::string_view sql) {
    auto reply = ask(sql, {}, false);
    if (!reply) return std::unexpected(std::move(reply.error()));
    return {};
  }

  // ask runs one statement; outside a transaction it is tried once more on a new connection.
  Result<Reply> ask(std::string_view sql, const std::vector<Parameter>& parameters, bool binary_reply) {
    conflicted_ = false;
    if (connection_ == nullptr) {
      if (in_transaction_) return fail(Cause::unavailable, "PostgreSQL: the connection broke");
      if (auto connected = connect(); !connected) return std::unexpected(std::move(connected.error()));
      return ask_once(sql, parameters, binary_reply);
    }
    auto reply = ask_once(sql, parameters, binary_reply);
    if (reply || connection_ != nullptr || in_transaction_) return reply;
    if (auto connected = connect(); !connected) return std::unexpected(std::move(connected.error()));
    return ask_once(sql, parameters, binary_reply);
  }

  Result<Reply> ask_once(std::string_view sql, const std::vector<Parameter>& parameters, bool binary_reply) {
    auto name = prepare(sql);
    if (!name) return std::unexpected(std::move(name.error()));
    std::vector<const char*> values;
    std::vector<int> lengths;
    std::vector<int> formats;
    for (const Parameter& parameter : parameters) {
      values.push_back(parameter.null ? nullptr : parameter.text.c_str());
      lengths.push_back(static_cast<int>(parameter.text.size()));
      formats.push_back(parameter.binary ? 1 : 0);
    }
    return exchange([&] {
      return PQsendQueryPrepared(connection_.get(), name->c_str(), static_cast<int>(values.size()), values.data(),
                                 lengths.data(), formats.data(), binary_reply ? 1 : 0);
    });
  }

  Result<std::string> prepare(std::string_view sql) {
    // The name of a prepared statement is its text: server and client then cannot differ about it.
    const std::string text(sql);
    const std::string name = fmt::format("postern-{:016x}", std::hash<std::string>()(text));
    if (prepared_.contains(text)) return name;
    // Filters of a list make texts of their own; they must not pile up.
    if (prepared_.size() > 200) {
      auto reply = exchange([&] { return PQsendQuery(connection_.get(), "DEALLOCATE ALL"); });
      if (!reply) return std::unexpected(std::move(reply.error()));
      prepared_.clear();
    }
    auto reply = exchange([&] { return PQsendPrepare(connection_.get(), name.c_str(), text.c_str(), 0, nullptr); });
    if (!reply) return std::unexpected(std::move(reply.error()));
    prepared_.insert(text);
    return name;
  }

  // exchange sends by `send` and waits for the last result, with a deadline.
  template <class Send>
  Result<Reply> exchange(Send&& send) {
    if (send() != 1) return give_up("sending");
    const Clock::time_point deadline = Clock::now() + kStatementTime;
    Reply last;
    for (;;) {
      const int unsent = PQflush(connection_.get());
      if (unsent < 0) return give_up("sending");
      if (unsent == 0 && PQisBusy(connection_.get()) == 0) {
        Reply reply(PQgetResult(connection_.get()));
        if (reply == nullptr) break;
        // Of several statements the first error counts.
        if (last == nullptr || PQresultStatus(last.get()) != PGRES_FATAL_ERROR) last = std::move(reply);
        continue;
      }
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
      pollfd event{PQsocket(connection_.get()), static_cast<short>(POLLIN | (unsent > 0 ? POLLOUT : 0)), 0};
      const int ready = left > 0 ? ::poll(&event, 1, static_cast<int>(left)) : 0;
      if (ready == 0) {
        connection_.reset();
        return fail(Cause::unavailable, fmt::format("PostgreSQL: no answer for {} s", kStatementTime.count()));
      }
      if (ready < 0 && errno != EINTR) return give_up("waiting");
      if (ready > 0 && PQconsumeInput(connection_.get()) != 1) return give_up("reading");
    }
    const ExecStatusType status = PQresultStatus(last.get());
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return last;
    if (PQstatus(connection_.get()) != CONNECTION_OK) return give_up("a statement");
    const char* const state = PQresultErrorField(last.get(), PG_DIAG_SQLSTATE);
    const std::string_view code = state == nullptr ? "" : state;
    conflicted_ = code == "40001" || code == "40P01";
    const char* const primary = PQresultErrorField(last.get(), PG_DIAG_MESSAGE_PRIMARY);
    return fail(Cause::unavailable, fmt::format("PostgreSQL: {} ({})",
                                                primary == nullptr ? PQresultErrorMessage(last.get()) : primary, code));
  }

  std::string conninfo_;
  Connection connection_;
  std::set<std::string, std::less<>> prepared_;
  bool in_transaction_ = false;
  bool conflicted_ = false;
};

}  // namespace

Result<std::unique_ptr<Database>> open_postgres(const std::string& conninfo) {
  // "postgresql://host/name" is a URI of libpq's own, "postgresql:host=… dbname=…" is ours.
  auto database = std::make_unique<Postgres>(conninfo.starts_with("//") ? "postgresql:" + conninfo : conninfo);
  if (auto connected = database->connect(); !connected) return std::unexpected(std::move(connected.error()));
  return database;
}

}  // namespace postern::store
