// SPDX-License-Identifier: Apache-2.0
// The tables, in SQL that SQLite and PostgreSQL read alike. Texts from outside are valid UTF-8 here (see columns.h);
// times are Unix seconds. A row of `kept` is one batch; `content` has a row for each content that anything refers to.
#include <fmt/format.h>

#include "engine/store/database.h"

namespace postern::store {

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

      "CREATE TABLE content (name TEXT PRIMARY KEY, size BIGINT NOT NULL, digest TEXT NOT NULL)",

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

base::Result<void> check_version(const Rows& rows) {
  if (rows.size() == 1 && rows[0].number(0) == kSchemaVersion) return {};
  const std::string found = rows.empty() ? "none" : rows[0].text(0);
  return base::fail(base::Cause::misconfigured,
                    fmt::format("the store has tables of version {}, this program needs {}", found, kSchemaVersion));
}

}  // namespace postern::store
