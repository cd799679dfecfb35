// SPDX-License-Identifier: Apache-2.0
// Quarantines as an administrator sees and changes them, and what time does to them.
#include "engine/store/quarantine.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/text.h"
#include "engine/store/quarantine_steps.h"

namespace postern::store {

using base::Cause;
using base::fail;
using base::Result;

namespace {

constexpr std::string_view kEntryColumns =
    "entry.id, entry.copy, entry.state, entry.mid, entry.queue_id, entry.flow, entry.client, entry.sender, "
    "entry.recipients, entry.header_from, entry.subject, entry.message_id, entry.content, entry.size, entry.created, "
    "entry.ended, entry.ended_by, entry.on_hold";

Listed listed_of(const Row& row) {
  Listed out;
  out.id = row.number(0);
  for (const Copy copy : {Copy::final_, Copy::duplicate, Copy::original}) {
    if (row.text(1) == copy_name(copy)) out.copy = copy;
  }
  out.state = row.text(2);
  out.mid = static_cast<uint64_t>(row.number(3));
  out.queue_id = row.text(4);
  out.flow = row.text(5);
  out.client = row.text(6);
  out.from = unescape_address(row.text(7));
  out.recipients = split_addresses(row.text(8));
  out.header_from = row.text(9);
  out.subject = row.text(10);
  out.message_id = row.text(11);
  out.content = row.text(12);
  out.size = static_cast<uint64_t>(row.number(13));
  out.created = row.number(14);
  out.ended = out.state == "held" ? 0 : row.number(15);
  out.ended_by = row.text(16);
  out.on_hold = row.number(17) != 0;
  return out;
}

Result<void> read_holds(Database& database, Listed& entry) {
  auto rows = database.run(
      "SELECT quarantine, filter, reason, state, ended, ended_by FROM hold WHERE entry = $1 ORDER BY quarantine",
      {entry.id});
  if (!rows) return std::unexpected(std::move(rows.error()));
  for (const Row& row : *rows) {
    entry.holds.push_back({row.text(0), row.text(1), row.text(2), row.text(3), row.number(4), row.text(5)});
  }
  return {};
}

// Conditions collects what a WHERE asks, with its parameters numbered.
class Conditions {
 public:
  // add takes a condition in which '?' stands for the parameter.
  void add(std::string_view condition, Value value) {
    const std::string name = parameter(std::move(value));
    text_ += text_.empty() ? "" : " AND ";
    for (const char c : condition) {
      if (c == '?') {
        text_ += name;
      } else {
        text_ += c;
      }
    }
  }
  // The same without one: its parameters were numbered by parameter().
  void add(const std::string& condition) { text_ += (text_.empty() ? "" : " AND ") + condition; }
  std::string parameter(Value value) {
    values_.push_back(std::move(value));
    return "$" + std::to_string(values_.size());
  }
  const std::string& text() const { return text_; }
  const Values& values() const { return values_; }

 private:
  std::string text_;
  Values values_;
};

}  // namespace

Result<std::vector<Listed>> Store::list(const Search& search) {
  const Impl::Lease database(*impl_);
  Conditions where;
  where.add("entry.id > ?", search.after);
  if (!search.ended) where.add("entry.state = ?", "held");
  if (search.mid) where.add("entry.mid = ?", static_cast<int64_t>(*search.mid));
  if (search.kept_before) where.add("entry.created < ?", *search.kept_before);
  if (search.kept_after) where.add("entry.created >= ?", *search.kept_after);
  const auto contains = [&](std::string_view column, const std::string& wanted) {
    return database->contains(column, where.parameter(base::lower(wanted)));
  };
  if (search.from) {
    const std::string sender = contains("entry.sender", escape_address(*search.from));
    where.add(fmt::format("({} OR {})", sender, contains("entry.header_from", shown(*search.from))));
  }
  if (search.to) where.add(contains("entry.recipients", escape_address(*search.to)));
  if (search.subject) where.add(contains("entry.subject", shown(*search.subject)));
  if (search.message_id) where.add(contains("entry.message_id", shown(*search.message_id)));
  if (search.quarantine) {
    where.add(fmt::format("EXISTS (SELECT 1 FROM hold WHERE hold.entry = entry.id AND hold.quarantine = ?{})",
                          search.ended ? "" : " AND hold.state = 'held'"),
              shown(*search.quarantine));
  }
  if (search.filter) {
    where.add("EXISTS (SELECT 1 FROM hold WHERE hold.entry = entry.id AND hold.filter = ?)", shown(*search.filter));
  }
  const std::string limit = where.parameter(static_cast<int64_t>(search.most));
  auto rows = database->run(
      fmt::format("SELECT {} FROM entry WHERE {} ORDER BY entry.id LIMIT {}", kEntryColumns, where.text(), limit),
      where.values());
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<Listed> out;
  for (const Row& row : *rows) {
    out.push_back(listed_of(row));
    if (auto read = read_holds(*database, out.back()); !read) return std::unexpected(std::move(read.error()));
  }
  return out;
}

Result<Listed> Store::show(int64_t id) {
  const Impl::Lease database(*impl_);
  auto rows = database->run(fmt::format("SELECT {} FROM entry WHERE entry.id = $1", kEntryColumns), {id});
  if (!rows) return std::unexpected(std::move(rows.error()));
  if (rows->empty()) return fail(Cause::not_found, fmt::format("there is no message {} in quarantine", id));
  Listed out = listed_of(rows->front());
  if (auto read = read_holds(*database, out); !read) return std::unexpected(std::move(read.error()));
  return out;
}

Result<bool> Store::release(int64_t id, std::string_view quarantine, std::string_view by, int64_t now) {
  const Impl::Lease database(*impl_);
  return transact(*database, [&] { return let_go(*database, id, quarantine, by, now); });
}

Result<void> Store::erase(int64_t id, std::string_view by, int64_t now) {
  const Impl::Lease database(*impl_);
  Dropped dropped;
  auto done = transact(*database, [&] {
    dropped.clear();
    return end_entry(*database, id, by, now, dropped);
  });
  if (!done) return done;
  for (const std::string& name : dropped) database->drop(name);
  return {};
}

Result<void> Store::forward(int64_t id, std::string_view from, const std::vector<std::string>& recipients,
                            int64_t now) {
  const Impl::Lease database(*impl_);
  return transact(*database, [&]() -> Result<void> {
    auto rows = database->run(
        fmt::format("SELECT content, size, mid FROM entry WHERE id = $1 AND state = 'held'{}", database->for_update()),
        {id});
    if (!rows) return std::unexpected(std::move(rows.error()));
    if (rows->empty()) return fail(Cause::not_found, fmt::format("no quarantine holds message {}", id));
    NewMail mail;
    mail.kind = MailKind::forward;
    mail.sender = escape_address(from);
    mail.recipients = join_addresses(recipients);
    mail.content = rows->front().text(0);
    mail.size = static_cast<uint64_t>(rows->front().number(1));
    mail.cause_mid = static_cast<uint64_t>(rows->front().number(2));
    mail.next = now;
    return insert_mail(*database, mail, now);
  });
}

Result<void> Store::hold_back(int64_t id, bool on) {
  const Impl::Lease database(*impl_);
  auto rows = database->run("UPDATE entry SET on_hold = $1 WHERE id = $2 AND state = 'held' RETURNING id",
                            {int64_t{on ? 1 : 0}, id});
  if (!rows) return std::unexpected(std::move(rows.error()));
  if (rows->empty()) return fail(Cause::not_found, fmt::format("no quarantine holds message {}", id));
  return {};
}

Result<std::vector<Usage>> Store::usage() {
  const Impl::Lease database(*impl_);
  auto rows = database->run(
      "SELECT quarantine, messages, bytes, (SELECT min(entry.created) FROM hold JOIN entry ON entry.id = hold.entry "
      "WHERE hold.quarantine = usage.quarantine AND hold.state = 'held') FROM usage ORDER BY quarantine",
      {});
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<Usage> out;
  for (const Row& row : *rows) {
    const auto count = [&](size_t column) { return static_cast<uint64_t>(std::max<int64_t>(0, row.number(column))); };
    out.push_back({row.text(0), count(1), count(2), row.number(3)});
  }
  return out;
}

Result<std::vector<Ended>> Store::expire(const Policies& policies, int64_t now) {
  const Impl::Lease database(*impl_);
  auto names = database->run("SELECT quarantine FROM usage WHERE messages > 0 ORDER BY quarantine", {});
  if (!names) return std::unexpected(std::move(names.error()));
  std::vector<Ended> out;
  for (const Row& name : *names) {
    const auto known = policies.find(name.text(0));
    // What the configuration does not know any more is nobody's to throw away.
    if (known == policies.end()) continue;
    const Policy& policy = known->second;
    auto due = database->run(
        "SELECT entry.id, entry.mid, entry.queue_id FROM hold JOIN entry ON entry.id = hold.entry WHERE "
        "hold.quarantine = $1 AND hold.state = 'held' AND entry.on_hold = 0 AND entry.created <= $2 ORDER BY entry.id "
        "LIMIT $3",
        {name.text(0), now - policy.retention, static_cast<int64_t>(kMaxExpire - std::min(kMaxExpire, out.size()))});
    if (!due) return std::unexpected(std::move(due.error()));
    for (const Row& row : *due) {
      Dropped dropped;
      auto ended = transact(*database, [&]() -> Result<void> {
        dropped.clear();
        if (!policy.release_at_end) return end_entry(*database, row.number(0), "expired", now, dropped);
        auto gone = let_go(*database, row.number(0), name.text(0), "expired", now);
        if (!gone) return std::unexpected(std::move(gone.error()));
        return {};
      });
      // Somebody else ended it meanwhile.
      if (!ended && ended.error().cause() == Cause::not_found) continue;
      if (!ended) return std::unexpected(std::move(ended.error()));
      for (const std::string& content : dropped) database->drop(content);
      out.push_back(
          {row.number(0), static_cast<uint64_t>(row.number(1)), name.text(0), policy.release_at_end, row.text(2)});
    }
  }
  return out;
}

Result<void> Store::tidy(int64_t now) {
  const Impl::Lease database(*impl_);
  Dropped dropped;
  const int64_t records = now - kRecordDays * 86400;
  // A transaction that a failed commit may have left in SQLite's log is either seen by this one or written over by it:
  // after it, what has no row will have none.
  auto done = transact(*database, [&]() -> Result<void> {
    dropped.clear();
    // What two gateways let go at the same moment, each seeing the other's use of it.
    auto unused = database->run(
        "DELETE FROM content WHERE NOT EXISTS (SELECT 1 FROM entry WHERE entry.content = content.name AND "
        "entry.state = 'held') AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.content = content.name) RETURNING "
        "name",
        {});
    if (!unused) return std::unexpected(std::move(unused.error()));
    for (const Row& row : *unused) dropped.push_back(row.text(0));
    if (auto gone = execute(
            *database, "DELETE FROM hold WHERE entry IN (SELECT id FROM entry WHERE state <> 'held' AND ended < $1)",
            {records});
        !gone) {
      return gone;
    }
    if (auto gone = execute(*database, "DELETE FROM entry WHERE state <> 'held' AND ended < $1", {records}); !gone) {
      return gone;
    }
    if (auto gone = execute(*database,
                            "DELETE FROM kept WHERE created < $1 AND "
                            "NOT EXISTS (SELECT 1 FROM entry WHERE entry.kept = kept.id) AND "
                            "NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.kept = kept.id)",
                            {now - kUnconfirmedAge});
        !gone) {
      return gone;
    }
    return execute(*database, "UPDATE meta SET value = $1 WHERE name = 'tidied'", {now});
  });
  if (!done) return done;
  for (const std::string& name : dropped) database->drop(name);
  auto swept = database->sweep(now);
  if (!swept) return std::unexpected(std::move(swept.error()));
  return {};
}

}  // namespace postern::store
