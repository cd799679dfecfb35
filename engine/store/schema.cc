// SPDX-License-Identifier: Apache-2.0
// The tables, in SQL that SQLite and PostgreSQL read alike. Texts from outside are valid UTF-8 here (see columns.h);
// times are Unix seconds. A row of `kept` is one batch; `content` has a row for each content that anything refers to.
#include <fmt/format.h>

#include "engine/store/database.h"

namespace postern::store {
namespace {

constexpr int64_t kSchemaVersion = 2;
constexpr int64_t kTrackingVersion = 1;

// Data keys of encrypted contents, wrapped; content.data_key is empty where the bytes are as they came.
constexpr const char* kStoreKey =
    "CREATE TABLE store_key (id TEXT PRIMARY KEY, name TEXT NOT NULL, fingerprint TEXT NOT NULL, wrapped TEXT NOT "
    "NULL, created BIGINT NOT NULL, UNIQUE (name, fingerprint))";

std::vector<std::string> schema(std::string_view id) {
  return {
      "CREATE TABLE meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
      fmt::format("INSERT INTO meta VALUES ('version', {})", kSchemaVersion),
      "INSERT INTO meta VALUES ('tidied', 0)",

      fmt::format("CREATE TABLE kept (id {}, identity TEXT NOT NULL, plan TEXT NOT NULL, mid BIGINT NOT NULL, "
                  "created BIGINT NOT NULL, confirmed INT NOT NULL)",
                  id),
      "CREATE INDEX kept_unconfirmed ON kept (identity) WHERE confirmed = 0",
      "CREATE INDEX kept_created ON kept (created)",

      "CREATE TABLE content (name TEXT PRIMARY KEY, size BIGINT NOT NULL, digest TEXT NOT NULL, "
      "data_key TEXT NOT NULL DEFAULT '')",
      kStoreKey,

      fmt::format("CREATE TABLE entry (id {}, kept BIGINT NOT NULL, copy TEXT NOT NULL, mid BIGINT NOT NULL, "
                  "queue_id TEXT NOT NULL, flow TEXT NOT NULL, client TEXT NOT NULL, sender TEXT NOT NULL, "
                  "recipients TEXT NOT NULL, header_from TEXT NOT NULL, subject TEXT NOT NULL, "
                  "message_id TEXT NOT NULL, host TEXT NOT NULL, content TEXT NOT NULL, size BIGINT NOT NULL, created "
                  "BIGINT NOT NULL, "
                  "state TEXT NOT NULL, ended BIGINT NOT NULL, ended_by TEXT NOT NULL, on_hold INT NOT NULL)",
                  id),
      "CREATE INDEX entry_state ON entry (state, ended)",
      "CREATE INDEX entry_kept ON entry (kept)",
      "CREATE INDEX entry_mid ON entry (mid)",
      "CREATE INDEX entry_content ON entry (content)",

      "CREATE TABLE hold (entry BIGINT NOT NULL, quarantine TEXT NOT NULL, filter TEXT NOT NULL, reason TEXT NOT NULL, "
      "state TEXT NOT NULL, ended BIGINT NOT NULL, ended_by TEXT NOT NULL, PRIMARY KEY (entry, quarantine))",
      "CREATE INDEX hold_quarantine ON hold (quarantine, state, entry)",
      "CREATE TABLE usage (quarantine TEXT PRIMARY KEY, messages BIGINT NOT NULL, bytes BIGINT NOT NULL)",

      fmt::format("CREATE TABLE outbox (id {}, kept BIGINT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL, "
                  "sender TEXT NOT NULL, recipients TEXT NOT NULL, content TEXT NOT NULL, size BIGINT NOT NULL, "
                  "cause_mid BIGINT NOT NULL, mid BIGINT NOT NULL, host TEXT NOT NULL, flow TEXT NOT NULL, quarantine "
                  "TEXT NOT NULL, attempts INT NOT NULL, "
                  "created BIGINT NOT NULL, next BIGINT NOT NULL, owner TEXT NOT NULL, leased BIGINT NOT NULL, "
                  "last_error TEXT NOT NULL)",
                  id),
      "CREATE INDEX outbox_due ON outbox (state, next)",
      "CREATE INDEX outbox_kept ON outbox (kept)",
      "CREATE INDEX outbox_content ON outbox (content)",
  };
}

// Lines of the log by the message they are about. A `…_key` is the column before it in lower case, for look-ups by
// index. What is searched for a part of it stands by itself: a pass over it reads no more than that.
std::vector<std::string> tracking(std::string_view id) {
  return {
      "CREATE TABLE tracking_meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
      fmt::format("INSERT INTO tracking_meta VALUES ('version', {})", kTrackingVersion),
      "CREATE TABLE tracking_writer (gateway TEXT PRIMARY KEY, batch TEXT NOT NULL)",

      fmt::format("CREATE TABLE tracked (id {}, gateway TEXT NOT NULL, mid BIGINT NOT NULL, icid BIGINT NOT NULL, "
                  "started BIGINT NOT NULL, queue_id TEXT NOT NULL, client TEXT NOT NULL, client_name TEXT NOT NULL, "
                  "helo TEXT NOT NULL, auth TEXT NOT NULL, flow TEXT NOT NULL, sender TEXT NOT NULL, sender_key TEXT "
                  "NOT NULL, author TEXT NOT NULL, author_key TEXT NOT NULL, message_id TEXT NOT NULL, message_id_key "
                  "TEXT NOT NULL, size BIGINT NOT NULL, verdict TEXT NOT NULL, reply TEXT NOT NULL)",
                  id),
      "CREATE INDEX tracked_mid ON tracked (mid)",
      "CREATE INDEX tracked_started ON tracked (started)",
      "CREATE INDEX tracked_queue_id ON tracked (queue_id) WHERE queue_id <> ''",
      "CREATE INDEX tracked_sender ON tracked (sender_key)",
      "CREATE INDEX tracked_author ON tracked (author_key) WHERE author_key <> ''",
      "CREATE INDEX tracked_message_id ON tracked (message_id_key) WHERE message_id_key <> ''",
      "CREATE INDEX tracked_verdict ON tracked (verdict, id)",

      "CREATE TABLE tracked_text (message BIGINT PRIMARY KEY, sender TEXT NOT NULL, header_from TEXT NOT NULL, subject "
      "TEXT NOT NULL)",

      "CREATE TABLE tracked_recipient (message BIGINT NOT NULL, address TEXT NOT NULL, "
      "address_key TEXT NOT NULL, PRIMARY KEY (message, address))",
      "CREATE INDEX tracked_recipient_address ON tracked_recipient (address_key, message)",

      fmt::format(
          "CREATE TABLE tracked_line (id {}, message BIGINT NOT NULL, time BIGINT NOT NULL, level INT NOT NULL, "
          "event TEXT NOT NULL, filter TEXT NOT NULL, text TEXT NOT NULL)",
          id),
      "CREATE INDEX tracked_line_message ON tracked_line (message, id)",
      "CREATE INDEX tracked_line_filter ON tracked_line (filter, message) WHERE filter <> ''",
  };
}

std::vector<std::string> upgrade(int64_t from) {
  if (from != 1) return {};
  return {
      "ALTER TABLE content ADD COLUMN data_key TEXT NOT NULL DEFAULT ''",
      kStoreKey,
      fmt::format("UPDATE meta SET value = {} WHERE name = 'version'", kSchemaVersion),
  };
}

std::vector<std::string> no_upgrade(int64_t) { return {}; }

}  // namespace

constexpr Tables kStoreTables{"meta", kSchemaVersion, true, schema, upgrade};
constexpr Tables kTrackingTables{"tracking_meta", kTrackingVersion, false, tracking, no_upgrade};

base::Result<void> check_version(const Tables& tables, const Rows& rows) {
  if (rows.size() == 1 && rows[0].number(0) == tables.version) return {};
  const std::string found = rows.empty() ? "none" : rows[0].text(0);
  return base::fail(base::Cause::misconfigured,
                    fmt::format("the store has tables of version {}, this program needs {}", found, tables.version));
}

}  // namespace postern::store
