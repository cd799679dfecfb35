// SPDX-License-Identifier: Apache-2.0
// An entry is held while any of its holds is. The last release puts it into the outbox; one deletion ends it. `usage`
// is the sum over the holds that hold, kept with every change so that a full quarantine is known at once.
#include "engine/store/quarantine_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "engine/base/text.h"

namespace postern::store {

using base::Cause;
using base::fail;
using base::Result;

namespace {

// count changes what a quarantine holds.
Result<void> count(Database& database, const std::string& quarantine, int64_t messages, int64_t bytes) {
  return execute(database,
                 "INSERT INTO usage (quarantine, messages, bytes) VALUES ($1, $2, $3) ON CONFLICT (quarantine) DO "
                 "UPDATE SET messages = usage.messages + $2, bytes = usage.bytes + $3",
                 {quarantine, messages, bytes});
}

}  // namespace

Result<void> insert_entry(Database& database, const Batch& batch, const Entry& entry, const std::string& content,
                          int64_t kept, int64_t now) {
  const auto size = static_cast<int64_t>(size_of(entry.content));
  auto row = database.run(
      "INSERT INTO entry (kept, copy, mid, queue_id, flow, client, sender, recipients, header_from, subject, "
      "message_id, "
      "host, content, size, created, state, ended, ended_by, on_hold) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'held', 0, '', 0) RETURNING id",
      {kept, std::string(copy_name(entry.copy)), static_cast<int64_t>(batch.mid), shown(batch.queue_id),
       shown(batch.flow), shown(batch.client), escape_address(entry.from), join_addresses(entry.recipients),
       shown(entry.header_from), shown(entry.subject), shown(entry.message_id), shown(entry.host), content, size, now});
  if (!row) return std::unexpected(std::move(row.error()));
  const int64_t id = row->front().number(0);
  // Every transaction that changes several rows of `usage` takes them in the same order, so that none waits for another
  // in a ring.
  std::vector<const Hold*> holds;
  for (const Hold& hold : entry.holds) holds.push_back(&hold);
  std::ranges::sort(holds, {}, [](const Hold* hold) -> const std::string& { return hold->quarantine; });
  for (const Hold* hold : holds) {
    const std::string quarantine = shown(hold->quarantine);
    auto made = database.run(
        "INSERT INTO hold (entry, quarantine, filter, reason, state, ended, ended_by) VALUES ($1, $2, $3, $4, 'held', "
        "0, '') ON CONFLICT (entry, quarantine) DO NOTHING RETURNING entry",
        {id, quarantine, shown(hold->filter), shown(hold->reason)});
    if (!made) return std::unexpected(std::move(made.error()));
    if (made->empty()) continue;
    if (auto done = count(database, quarantine, 1, size); !done) return done;
  }
  return {};
}

Result<void> end_entry(Database& database, int64_t id, std::string_view by, int64_t now, Dropped& dropped) {
  auto entry = database.run(
      "UPDATE entry SET state = 'deleted', ended = $1, ended_by = $2 WHERE id = $3 AND state = 'held' RETURNING "
      "content, size",
      {now, shown(by), id});
  if (!entry) return std::unexpected(std::move(entry.error()));
  if (entry->empty()) return fail(Cause::not_found, fmt::format("no quarantine holds message {}", id));
  auto holds = database.run(
      "UPDATE hold SET state = 'deleted', ended = $1, ended_by = $2 WHERE entry = $3 AND state = 'held' RETURNING "
      "quarantine",
      {now, shown(by), id});
  if (!holds) return std::unexpected(std::move(holds.error()));
  std::ranges::sort(*holds, {}, [](const Row& row) -> const std::string& { return row.text(0); });
  for (const Row& hold : *holds) {
    if (auto done = count(database, hold.text(0), -1, -entry->front().number(1)); !done) return done;
  }
  return drop_unused(database, entry->front().text(0), dropped);
}

Result<bool> let_go(Database& database, int64_t id, std::string_view quarantine, std::string_view by, int64_t now) {
  // The entry's row first: who changes the same entry elsewhere waits here.
  auto entry = database.run(
      "UPDATE entry SET ended = $1 WHERE id = $2 AND state = 'held' RETURNING kept, sender, recipients, content, size, "
      "mid, host",
      {now, id});
  if (!entry) return std::unexpected(std::move(entry.error()));
  if (entry->empty()) return fail(Cause::not_found, fmt::format("no quarantine holds message {}", id));
  Values values{now, shown(by), id};
  if (!quarantine.empty()) values.push_back(shown(quarantine));
  auto holds = database.run(
      fmt::format("UPDATE hold SET state = 'released', ended = $1, ended_by = $2 WHERE entry = $3 AND state = 'held'{} "
                  "RETURNING quarantine",
                  quarantine.empty() ? "" : " AND quarantine = $4"),
      values);
  if (!holds) return std::unexpected(std::move(holds.error()));
  if (holds->empty()) {
    return fail(Cause::not_found, fmt::format("quarantine {} does not hold message {}", shown(quarantine), id));
  }
  std::ranges::sort(*holds, {}, [](const Row& row) -> const std::string& { return row.text(0); });
  const Row& row = entry->front();
  std::string names;
  for (const Row& hold : *holds) {
    names += (names.empty() ? "" : ", ") + hold.text(0);
    if (auto done = count(database, hold.text(0), -1, -row.number(4)); !done) return std::unexpected(done.error());
  }
  auto left = database.run("SELECT 1 FROM hold WHERE entry = $1 AND state = 'held' LIMIT 1", {id});
  if (!left) return std::unexpected(std::move(left.error()));
  if (!left->empty()) return false;
  if (auto done = execute(database, "UPDATE entry SET state = 'released', ended = $1, ended_by = $2 WHERE id = $3",
                          {now, shown(by), id});
      !done) {
    return std::unexpected(done.error());
  }
  NewMail mail;
  mail.kind = MailKind::release;
  mail.sender = row.text(1);
  mail.recipients = row.text(2);
  mail.content = row.text(3);
  mail.size = static_cast<uint64_t>(row.number(4));
  mail.cause_mid = static_cast<uint64_t>(row.number(5));
  mail.host = row.text(6);
  mail.quarantine = names;
  mail.next = now;
  if (auto done = insert_mail(database, mail, now); !done) return std::unexpected(done.error());
  return true;
}

Result<void> lock_usage(Database& database, const Batch& batch) {
  if (database.for_update().empty()) return {};
  std::set<std::string> names;
  for (const Entry& entry : batch.entries) {
    for (const Hold& hold : entry.holds) names.insert(shown(hold.quarantine));
  }
  for (const std::string& name : names) {
    if (auto done = execute(database, fmt::format("SELECT 1 FROM usage WHERE quarantine = $1{}", database.for_update()),
                            {name});
        !done) {
      return done;
    }
  }
  return {};
}

Result<void> make_room(Database& database, const Entry& entry, const Policies& policies, int64_t now, Dropped& dropped,
                       std::vector<Ended>& expired) {
  const uint64_t size = size_of(entry.content);
  for (const Hold& hold : entry.holds) {
    const auto known = policies.find(hold.quarantine);
    const Policy policy = known == policies.end() ? Policy() : known->second;
    const std::string name = shown(hold.quarantine);
    if (size > policy.size) {
      return fail(Cause::unavailable, fmt::format("quarantine {} may hold {} in all, this message has {} bytes", name,
                                                  base::format_size(policy.size), size));
    }
    for (;;) {
      auto usage =
          database.run(fmt::format("SELECT bytes FROM usage WHERE quarantine = $1{}", database.for_update()), {name});
      if (!usage) return std::unexpected(std::move(usage.error()));
      const uint64_t used = usage->empty() ? 0 : static_cast<uint64_t>(std::max<int64_t>(0, usage->front().number(0)));
      if (used + size <= policy.size) break;
      auto oldest = database.run(
          "SELECT entry.id, entry.mid, entry.queue_id FROM hold JOIN entry ON entry.id = hold.entry WHERE "
          "hold.quarantine = $1 AND "
          "hold.state = 'held' AND entry.on_hold = 0 ORDER BY entry.id LIMIT 1",
          {name});
      if (!oldest) return std::unexpected(std::move(oldest.error()));
      if (oldest->empty()) {
        return fail(Cause::unavailable, fmt::format("quarantine {} is full and all of it is on hold", name));
      }
      const int64_t id = oldest->front().number(0);
      expired.push_back(
          {id, static_cast<uint64_t>(oldest->front().number(1)), name, policy.release_at_end, oldest->front().text(2)});
      if (policy.release_at_end) {
        if (auto done = let_go(database, id, name, "queue full", now); !done) return std::unexpected(done.error());
      } else if (auto done = end_entry(database, id, "queue full", now, dropped); !done) {
        return done;
      }
    }
  }
  return {};
}

}  // namespace postern::store
