// SPDX-License-Identifier: Apache-2.0
// The outbox, and contents that come and go with its rows and the quarantines'.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/store/impl.h"

namespace postern::store {

using base::Cause;
using base::fail;
using base::Result;

int64_t Row::number(size_t column) const {
  int64_t out = 0;
  const std::string& text = columns[column];
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

Result<void> execute(Database& database, std::string_view sql, const Values& values) {
  auto rows = database.run(sql, values);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return {};
}

uint64_t size_of(const Content& content) {
  uint64_t out = 0;
  for (const std::string_view piece : content) out += piece.size();
  return out;
}

// The digest of what is encrypted would tell who has the message what it is; its tags are checked instead.
NewContent::NewContent(const Content& pieces, const KeyRing::Key& key)
    : name(random_name()),
      content(&pieces),
      digest(key == nullptr ? sha256_hex(pieces) : std::string()),
      data_key(key == nullptr ? std::string() : key->id),
      source(key == nullptr ? plain_source(pieces) : sealed_source(key, name, pieces)) {}

Result<void> insert_content(Database& database, const NewContent& content) {
  return execute(database, "INSERT INTO content (name, size, digest, data_key) VALUES ($1, $2, $3, $4)",
                 {content.name, static_cast<int64_t>(size_of(*content.content)), content.digest, content.data_key});
}

Result<void> drop_unused(Database& database, const std::string& name, Dropped& dropped) {
  auto gone = database.run(
      "DELETE FROM content WHERE name = $1 "
      "AND NOT EXISTS (SELECT 1 FROM entry WHERE content = $1 AND state = 'held') "
      "AND NOT EXISTS (SELECT 1 FROM outbox WHERE content = $1) RETURNING name",
      {name});
  if (!gone) return std::unexpected(std::move(gone.error()));
  if (!gone->empty()) dropped.push_back(name);
  return {};
}

Result<void> insert_mail(Database& database, const NewMail& mail, int64_t now) {
  return execute(
      database,
      "INSERT INTO outbox (kept, kind, state, sender, recipients, content, size, cause_mid, mid, host, flow, "
      "quarantine, attempts, created, next, owner, leased, last_error) VALUES ($1, $2, 'waiting', $3, $4, $5, "
      "$6, $7, $8, $9, $10, $11, 0, $12, $13, '', 0, '')",
      {mail.kept, std::string(mail_kind_name(mail.kind)), mail.sender, mail.recipients, mail.content,
       static_cast<int64_t>(mail.size), static_cast<int64_t>(mail.cause_mid), static_cast<int64_t>(mail.mid),
       shown(mail.host), shown(mail.flow), shown(mail.quarantine), now, mail.next});
}

namespace {

constexpr std::string_view kColumns =
    "id, kind, state, sender, recipients, content, size, cause_mid, mid, quarantine, attempts, created, next, "
    "last_error, host, flow";

MailKind kind_of(std::string_view word) {
  for (const MailKind kind : {MailKind::notify, MailKind::notify_copy, MailKind::bcc, MailKind::bcc_scan,
                              MailKind::archive, MailKind::release, MailKind::forward}) {
    if (mail_kind_name(kind) == word) return kind;
  }
  return MailKind::alert;
}

std::vector<Outgoing> outgoing_of(const Rows& rows) {
  std::vector<Outgoing> out;
  for (const Row& row : rows) {
    Outgoing mail;
    mail.id = row.number(0);
    mail.kind = kind_of(row.text(1));
    mail.state = row.text(2) == "failed" ? Outgoing::State::failed : Outgoing::State::waiting;
    mail.from = unescape_address(row.text(3));
    mail.recipients = split_addresses(row.text(4));
    mail.content = row.text(5);
    mail.size = static_cast<uint64_t>(row.number(6));
    mail.cause_mid = static_cast<uint64_t>(row.number(7));
    mail.mid = static_cast<uint64_t>(row.number(8));
    mail.quarantine = row.text(9);
    mail.attempts = static_cast<uint32_t>(row.number(10));
    mail.created = row.number(11);
    mail.next = row.number(12);
    mail.last_error = row.text(13);
    mail.host = row.text(14);
    mail.flow = row.text(15);
    out.push_back(std::move(mail));
  }
  return out;
}

// one tells whether a statement with RETURNING found the row it was for.
Result<void> one(Result<Rows> rows, int64_t id) {
  if (!rows) return std::unexpected(std::move(rows.error()));
  if (rows->empty()) return fail(Cause::not_found, fmt::format("there is no mail {} in the outbox", id));
  return {};
}

}  // namespace

Result<void> Store::queue(const Mail& mail, uint64_t cause_mid, int64_t now) {
  auto key = impl_->keys->current(impl_->ask());
  if (!key) return std::unexpected(std::move(key.error()));
  const NewContent content(mail.content, *key);
  NewMail row;
  row.kind = mail.kind;
  row.sender = escape_address(mail.from);
  row.recipients = join_addresses(mail.recipients);
  row.content = content.name;
  row.size = size_of(mail.content);
  row.cause_mid = cause_mid;
  row.mid = mail.mid;
  row.host = mail.host;
  row.flow = mail.flow;
  row.next = now;
  if (auto stored = impl_->put_early(content.name, content.source); !stored) return stored;
  const Impl::Lease database(*impl_);
  auto done = transact(*database, [&]() -> Result<void> {
    if (auto made = insert_content(*database, content); !made) return made;
    if (auto put = database->put_inside(content.name, content.source); !put) return put;
    return insert_mail(*database, row, now);
  });
  if (!done && !database->in_doubt()) impl_->take_back({row.content});
  return done;
}

Result<std::vector<Outgoing>> Store::claim_due(int64_t now, size_t most) {
  const Impl::Lease database(*impl_);
  // Asked every second; nothing is written while nothing is due.
  auto due =
      database->run("SELECT 1 FROM outbox WHERE state = 'waiting' AND next <= $1 AND leased <= $1 LIMIT 1", {now});
  if (!due) return std::unexpected(std::move(due.error()));
  if (due->empty()) return std::vector<Outgoing>();
  auto claimed = transact(*database, [&]() -> Result<Rows> {
    return database->run(
        fmt::format("UPDATE outbox SET owner = $1, leased = $2 WHERE id IN (SELECT id FROM outbox WHERE "
                    "state = 'waiting' AND next <= $3 AND leased <= $3 ORDER BY next, id LIMIT $4{}) RETURNING {}",
                    database->skip_locked(), kColumns),
        {impl_->owner, now + kLease, now, static_cast<int64_t>(std::min(most, kMaxClaim))});
  });
  if (!claimed) return std::unexpected(std::move(claimed.error()));
  std::vector<Outgoing> out = outgoing_of(*claimed);
  std::ranges::sort(out, {}, [](const Outgoing& mail) { return std::pair(mail.next, mail.id); });
  return out;
}

Result<void> Store::forget_claims() {
  const Impl::Lease database(*impl_);
  return execute(*database, "UPDATE outbox SET owner = '', leased = 0 WHERE owner = $1 AND leased > 0", {impl_->owner});
}

Result<void> Store::sent(int64_t id) { return remove(id); }

Result<void> Store::remove(int64_t id) {
  const Impl::Lease database(*impl_);
  Dropped dropped;
  auto done = transact(*database, [&]() -> Result<void> {
    auto rows = database->run("DELETE FROM outbox WHERE id = $1 RETURNING content", {id});
    if (!rows || rows->empty()) return one(std::move(rows), id);
    return drop_unused(*database, rows->front().text(0), dropped);
  });
  if (!done) return done;
  for (const std::string& name : dropped) database->drop(name);
  return {};
}

Result<void> Store::retry(int64_t id, int64_t when, std::string_view error) {
  const Impl::Lease database(*impl_);
  return one(database->run("UPDATE outbox SET attempts = attempts + 1, next = $1, last_error = $2, owner = '', "
                           "leased = 0 WHERE id = $3 RETURNING id",
                           {when, shown(error), id}),
             id);
}

Result<void> Store::narrow(int64_t id, const std::vector<std::string>& recipients, int64_t now) {
  const Impl::Lease database(*impl_);
  return one(database->run("UPDATE outbox SET recipients = $1, leased = $2 WHERE id = $3 RETURNING id",
                           {join_addresses(recipients), now + kLease, id}),
             id);
}

Result<void> Store::renew(int64_t id, int64_t now) {
  const Impl::Lease database(*impl_);
  return one(database->run(
                 "UPDATE outbox SET created = CASE WHEN state = 'failed' THEN $1 ELSE created END, state = 'waiting', "
                 "next = $1 WHERE id = $2 RETURNING id",
                 {now, id}),
             id);
}

Result<void> Store::failed(int64_t id, std::string_view error) {
  const Impl::Lease database(*impl_);
  return one(database->run("UPDATE outbox SET state = 'failed', attempts = attempts + 1, last_error = $1, owner = '', "
                           "leased = 0 WHERE id = $2 RETURNING id",
                           {shown(error), id}),
             id);
}

Result<std::vector<Outgoing>> Store::outbox(int64_t after, size_t most) {
  const Impl::Lease database(*impl_);
  auto rows = database->run(fmt::format("SELECT {} FROM outbox WHERE id > $1 ORDER BY id LIMIT $2", kColumns),
                            {after, static_cast<int64_t>(most)});
  if (!rows) return std::unexpected(std::move(rows.error()));
  return outgoing_of(*rows);
}

Result<OutboxSummary> Store::outbox_summary() {
  const Impl::Lease database(*impl_);
  auto states = database->run("SELECT state, COUNT(*), MIN(created) FROM outbox GROUP BY state", {});
  if (!states) return std::unexpected(std::move(states.error()));
  OutboxSummary out;
  for (const Row& row : *states) {
    if (row.text(0) == "failed") {
      out.failed = static_cast<uint64_t>(row.number(1));
    } else {
      out.waiting = static_cast<uint64_t>(row.number(1));
      out.oldest = row.number(2);
    }
  }
  auto error = database->run("SELECT last_error FROM outbox WHERE last_error <> '' ORDER BY id DESC LIMIT 1", {});
  if (!error) return std::unexpected(std::move(error.error()));
  if (!error->empty()) out.last_error = error->front().text(0);
  return out;
}

}  // namespace postern::store
