// SPDX-License-Identifier: Apache-2.0
// Opening a store, and keep(): the one transaction of a message.
#include "engine/store/store.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/text.h"
#include "engine/store/impl.h"
#include "engine/store/quarantine_steps.h"

namespace postern::store {

using base::Cause;
using base::fail;
using base::Result;

namespace {

constexpr std::string_view kSqlite = "sqlite:";
constexpr std::string_view kPostgres = "postgresql:";

// plan_of is what a batch is to leave behind, without the bytes: a message that comes again under other rules has
// another plan.
std::string plan_of(const Batch& batch) {
  std::string text;
  for (const Entry& entry : batch.entries) {
    text +=
        fmt::format("{}\n{}\n{}", copy_name(entry.copy), escape_address(entry.from), join_addresses(entry.recipients));
    std::vector<std::string> names;
    for (const Hold& hold : entry.holds) names.push_back(hold.quarantine);
    std::ranges::sort(names);
    text += join_addresses(names) + "\n";
  }
  for (const Mail& mail : batch.mails) {
    text += fmt::format("{}\n{}\n{}\n", mail_kind_name(mail.kind), escape_address(mail.from),
                        join_addresses(mail.recipients));
  }
  return sha256_hex({text});
}

// Pieces that are the same pieces are one content.
std::vector<std::shared_ptr<const NewContent>> new_contents(const Batch& batch, const KeyRing::Key& key) {
  std::vector<std::shared_ptr<const NewContent>> out;
  const auto same = [](const Content& a, const Content& b) {
    return std::ranges::equal(
        a, b, [](std::string_view x, std::string_view y) { return x.data() == y.data() && x.size() == y.size(); });
  };
  const auto add = [&](const Content& content) {
    const auto known = std::ranges::find_if(out, [&](const auto& each) { return same(*each->content, content); });
    out.push_back(known == out.end() ? std::make_shared<const NewContent>(content, key) : *known);
  };
  for (const Entry& entry : batch.entries) add(entry.content);
  for (const Mail& mail : batch.mails) add(mail.content);
  return out;
}

// identities returns what a batch's message may be known by: as it would be written down now, then as it may have been
// under other keys. The digest of a message that is stored encrypted is nobody's to compare.
std::vector<std::string> identities(const Batch& batch, const KeyRing::Key& current, const KeyRing& ring) {
  if (batch.identity.empty()) return {""};
  std::vector<std::string> out{current == nullptr ? batch.identity : keyed_digest(*current, batch.identity)};
  for (const KeyRing::Key& key : ring.loaded()) {
    if (key != current) out.push_back(keyed_digest(*key, batch.identity));
  }
  if (current != nullptr) out.push_back(batch.identity);
  return out;
}

// Earlier is an unconfirmed batch of the same message.
struct Earlier {
  int64_t id = 0;
  uint64_t mid = 0;
  std::string plan;
};

Result<std::optional<Earlier>> find_earlier(Database& database, const std::vector<std::string>& names, int64_t now) {
  for (const std::string& identity : names) {
    if (identity.empty()) continue;
    auto rows = database.run(
        "SELECT id, mid, plan FROM kept WHERE identity = $1 AND confirmed = 0 AND created > $2 ORDER BY id DESC LIMIT "
        "1",
        {identity, now - kUnconfirmedAge});
    if (!rows) return std::unexpected(std::move(rows.error()));
    if (rows->empty()) continue;
    const Row& row = rows->front();
    return Earlier{row.number(0), static_cast<uint64_t>(row.number(1)), row.text(2)};
  }
  return std::nullopt;
}

// whole tells whether every content that the batch still needs is there.
Result<bool> whole(Database& database, int64_t kept) {
  auto rows = database.run(
      "SELECT content FROM entry WHERE kept = $1 AND state = 'held' UNION "
      "SELECT content FROM outbox WHERE kept = $1",
      {kept});
  if (!rows) return std::unexpected(std::move(rows.error()));
  for (const Row& row : *rows) {
    const Result<bool> there = database.has(row.text(0));
    if (!there || !*there) return there;
  }
  return true;
}

// take_over makes the earlier batch that of the message that came again.
Result<void> take_over(Database& database, const Earlier& earlier, const Batch& batch) {
  const auto mid = static_cast<int64_t>(batch.mid);
  if (auto done = execute(database, "UPDATE kept SET mid = $1 WHERE id = $2", {mid, earlier.id}); !done) return done;
  if (auto done = execute(database, "UPDATE outbox SET cause_mid = $1 WHERE kept = $2", {mid, earlier.id}); !done) {
    return done;
  }
  return execute(database, "UPDATE entry SET mid = $1, queue_id = $2 WHERE kept = $3",
                 {mid, shown(batch.queue_id), earlier.id});
}

// supersede takes back what the earlier batch left and nobody has dealt with yet.
Result<void> supersede(Database& database, const Earlier& earlier, int64_t now, Dropped& dropped) {
  auto entries = database.run("SELECT id FROM entry WHERE kept = $1 AND state = 'held' ORDER BY id", {earlier.id});
  if (!entries) return std::unexpected(std::move(entries.error()));
  for (const Row& row : *entries) {
    if (auto done = end_entry(database, row.number(0), "sent again", now, dropped); !done) return done;
  }
  auto mails = database.run("SELECT content FROM outbox WHERE kept = $1", {earlier.id});
  if (!mails) return std::unexpected(std::move(mails.error()));
  if (auto done = execute(database, "DELETE FROM outbox WHERE kept = $1", {earlier.id}); !done) return done;
  for (const Row& row : *mails) {
    if (auto done = drop_unused(database, row.text(0), dropped); !done) return done;
  }
  return execute(database, "UPDATE kept SET confirmed = 1 WHERE id = $1", {earlier.id});
}

Result<void> insert_batch(Database& database, const Batch& batch,
                          const std::vector<std::shared_ptr<const NewContent>>& contents, int64_t kept, int64_t now) {
  for (size_t i = 0; i < contents.size(); ++i) {
    const auto end = contents.begin() + static_cast<ptrdiff_t>(i);
    if (std::find(contents.begin(), end, contents[i]) != end) continue;
    if (auto done = insert_content(database, *contents[i]); !done) return done;
    if (auto done = database.put_inside(contents[i]->name, contents[i]->source); !done) return done;
  }
  size_t at = 0;
  for (const Entry& entry : batch.entries) {
    if (auto done = insert_entry(database, batch, entry, contents[at++]->name, kept, now); !done) return done;
  }
  for (const Mail& mail : batch.mails) {
    NewMail row;
    row.kept = kept;
    row.kind = mail.kind;
    row.sender = escape_address(mail.from);
    row.recipients = join_addresses(mail.recipients);
    row.content = contents[at++]->name;
    row.size = size_of(mail.content);
    row.cause_mid = batch.mid;
    row.mid = mail.mid;
    row.host = mail.host;
    row.flow = mail.flow;
    row.next = now + kUnconfirmedWait;
    if (auto done = insert_mail(database, row, now); !done) return done;
  }
  return {};
}

}  // namespace

// ---- connections

Store::Impl::Lease::Lease(Impl& impl) : impl_(impl) {
  std::unique_lock lock(impl.mutex);
  impl.returned.wait(lock, [&] { return !impl.idle.empty(); });
  database_ = std::move(impl.idle.back());
  impl.idle.pop_back();
}

Store::Impl::Lease::~Lease() {
  {
    const std::lock_guard lock(impl_.mutex);
    impl_.idle.push_back(std::move(database_));
  }
  impl_.returned.notify_one();
}

Result<void> Store::Impl::put_early(const std::string& name, const Source& content) {
  return files != nullptr ? files->write(name, content) : Result<void>();
}

void Store::Impl::take_back(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (files != nullptr) files->remove(name);
  }
}

KeyRing::Ask Store::Impl::ask() {
  return [this](std::string_view sql, const Values& values) {
    const Lease database(*this);
    return database->run(sql, values);
  };
}

Result<void> Store::Impl::apply_confirmations(Database& database, int64_t now, std::vector<int64_t>& written) {
  {
    const std::lock_guard lock(mutex);
    written = confirmed;
  }
  for (const int64_t id : written) {
    if (auto done = execute(database, "UPDATE kept SET confirmed = 1 WHERE id = $1", {id}); !done) return done;
    if (auto done = execute(database, "UPDATE outbox SET next = $1 WHERE kept = $2 AND attempts = 0", {now, id});
        !done) {
      return done;
    }
  }
  return {};
}

void Store::Impl::confirmations_written(const std::vector<int64_t>& written) {
  const std::lock_guard lock(mutex);
  std::erase_if(confirmed, [&](int64_t id) { return std::ranges::find(written, id) != written.end(); });
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

std::string Store::where_fault(std::string_view where) {
  if (where.starts_with(kSqlite)) {
    return where.size() > kSqlite.size() && where[kSqlite.size()] == '/' ? "" : "sqlite: needs an absolute path";
  }
  if (where.starts_with(kPostgres)) {
    return where.size() > kPostgres.size() ? "" : "postgresql: needs how to connect, as in postgresql:service=postern";
  }
  return "it must begin with sqlite: or postgresql:";
}

Result<std::unique_ptr<Store>> Store::open(const Open& how) {
  if (const std::string fault = where_fault(how.where); !fault.empty()) return fail(Cause::misconfigured, fault);
  auto impl = std::make_unique<Impl>();
  impl->owner = shown(how.owner);
  impl->keys = std::make_unique<KeyRing>(how.keys, how.key, how.key_retry);
  const bool sqlite = how.where.starts_with(kSqlite);
  // SQLite lets one write at a time in any case.
  const size_t connections = sqlite ? 1 : std::max<size_t>(1, how.connections);
  if (sqlite) {
    const std::string path = how.where.substr(kSqlite.size());
    auto files = Files::open(path.substr(0, path.find_last_of('/') + 1) + "messages", how.create);
    if (!files) return std::unexpected(std::move(files.error()).in("store " + path));
    impl->files = std::make_shared<const Files>(std::move(*files));
  }
  for (size_t i = 0; i < connections; ++i) {
    auto database = sqlite ? open_sqlite(how.where.substr(kSqlite.size()), kStoreTables, how.create, true, impl->files)
                           : open_postgres(how.where.substr(kPostgres.size()));
    if (!database) return std::unexpected(std::move(database.error()));
    if (!sqlite && i == 0) {
      if (auto made = (*database)->make_schema(kStoreTables, how.create); !made)
        return std::unexpected(std::move(made.error()));
    }
    impl->idle.push_back(std::move(*database));
  }
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

// ---- keeping

Result<Kept> Store::keep(const Batch& batch, const Policies& policies, int64_t now) {
  const auto key = impl_->keys->current(impl_->ask());
  if (!key) return std::unexpected(key.error());
  const auto contents = new_contents(batch, *key);
  const std::vector<std::string> names = identities(batch, *key, *impl_->keys);
  const std::string plan = plan_of(batch);
  // What was stored before the transaction and is not in it goes again. After a commit whose end is not known nothing
  // goes: the rows may be there when the database is next opened.
  Dropped unused;
  for (const auto& content : contents) {
    if (std::ranges::find(unused, content->name) != unused.end()) continue;
    if (auto stored = impl_->put_early(content->name, content->source); !stored) {
      impl_->take_back(unused);
      return std::unexpected(std::move(stored.error()));
    }
    unused.push_back(content->name);
  }

  const Impl::Lease database(*impl_);
  Kept kept;
  Dropped dropped;
  std::vector<int64_t> confirmations;
  const auto work = [&]() -> Result<void> {
    kept = {};
    dropped.clear();
    if (auto done = impl_->apply_confirmations(*database, now, confirmations); !done) return done;
    auto earlier = find_earlier(*database, names, now);
    if (!earlier) return std::unexpected(std::move(earlier.error()));
    if (*earlier) {
      kept.again = (*earlier)->mid;
      bool good = (*earlier)->plan == plan;
      if (good) {
        const Result<bool> there = whole(*database, (*earlier)->id);
        if (!there) return std::unexpected(there.error());
        good = *there;
      }
      if (good) {
        kept.id = (*earlier)->id;
        dropped = unused;
        return take_over(*database, **earlier, batch);
      }
      if (auto done = supersede(*database, **earlier, now, dropped); !done) return done;
    }
    if (auto locked = lock_usage(*database, batch); !locked) return locked;
    for (const Entry& entry : batch.entries) {
      if (auto room = make_room(*database, entry, policies, now, dropped, kept.expired); !room) return room;
    }
    auto row = database->run(
        "INSERT INTO kept (identity, plan, mid, created, confirmed) VALUES ($1, $2, $3, $4, 0) RETURNING id",
        {names.front(), plan, static_cast<int64_t>(batch.mid), now});
    if (!row) return std::unexpected(std::move(row.error()));
    kept.id = row->front().number(0);
    return insert_batch(*database, batch, contents, kept.id, now);
  };
  if (auto done = transact(*database, work); !done) {
    if (!database->in_doubt()) impl_->take_back(unused);
    return std::unexpected(std::move(done.error()));
  }
  impl_->confirmations_written(confirmations);
  for (const std::string& name : dropped) database->drop(name);
  return kept;
}

void Store::confirm(int64_t kept) {
  const std::lock_guard lock(impl_->mutex);
  impl_->confirmed.push_back(kept);
}

Result<void> Store::settle(int64_t now) {
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->confirmed.empty()) return {};
  }
  const Impl::Lease database(*impl_);
  std::vector<int64_t> confirmations;
  auto done = transact(*database, [&] { return impl_->apply_confirmations(*database, now, confirmations); });
  if (done) impl_->confirmations_written(confirmations);
  return done;
}

Result<std::string> Store::content(const std::string& name) {
  std::string key;
  Result<std::string> bytes;
  {
    const Impl::Lease database(*impl_);
    auto rows = database->run("SELECT size, digest, data_key FROM content WHERE name = $1", {name});
    if (!rows) return std::unexpected(std::move(rows.error()));
    if (rows->empty()) return fail(Cause::not_found, "there is no content '" + name + "'");
    const auto size = static_cast<uint64_t>(rows->front().number(0));
    key = rows->front().text(2);
    bytes = database->get(name, key.empty() ? size : sealed_size(size));
    if (bytes && key.empty() && sha256_hex({*bytes}) != rows->front().text(1)) {
      return fail(Cause::internal, "content " + name + " is not what was stored");
    }
  }
  if (!bytes || key.empty()) return bytes;
  const auto found = impl_->keys->find(impl_->ask(), key);
  if (!found) return std::unexpected(base::Error(found.error()).in("content " + name + " is encrypted"));
  return open_sealed(**found, name, std::move(*bytes));
}

Result<void> Store::check_content(const std::string& name) {
  {
    const Impl::Lease database(*impl_);
    auto rows = database->run("SELECT data_key FROM content WHERE name = $1", {name});
    if (!rows) return std::unexpected(std::move(rows.error()));
    if (rows->empty() || rows->front().text(0).empty()) return {};
  }
  auto bytes = content(name);
  if (!bytes) return std::unexpected(std::move(bytes.error()));
  return {};
}

Result<void> Store::check_key() { return impl_->keys->check(impl_->ask()); }

}  // namespace postern::store
