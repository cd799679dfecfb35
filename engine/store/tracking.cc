// SPDX-License-Identifier: Apache-2.0
// Writing and forgetting what is tracked. Rows of a message go in by as few statements as there are, since a server may
// be a network away.
#include "engine/store/tracking.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/text.h"
#include "engine/store/impl.h"

namespace postern::store {

using base::Result;

namespace {

constexpr size_t kRowsAtOnce = 16;

std::string key_of(std::string_view text) { return base::lower(text); }

std::string sender_of(const std::optional<std::string>& from) {
  if (!from) return {};
  return from->empty() ? "<>" : as_tracked(*from);
}

// line_text is a line as it is: the log has escaped what came from outside.
std::string line_text(std::string_view line) {
  const bool fits = line.size() <= kMaxTrackedLine && base::is_valid_utf8(line) &&
                    std::ranges::none_of(line, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  return fits ? std::string(line) : base::escape_for_log(line, kMaxTrackedLine);
}

// insert_rows puts `rows` values of `columns` in, so many at a time that few statements' texts are in use.
Result<void> insert_rows(Database& database, std::string_view into, size_t columns, Values values,
                         std::string_view after) {
  size_t at = 0;
  while (at < values.size()) {
    const size_t left = (values.size() - at) / columns;
    const size_t rows = left >= kRowsAtOnce ? kRowsAtOnce : left >= 4 ? 4 : 1;
    std::string sql = fmt::format("INSERT INTO {} VALUES ", into);
    size_t number = 0;
    for (size_t row = 0; row < rows; ++row) {
      sql += row == 0 ? "(" : ", (";
      for (size_t column = 0; column < columns; ++column) {
        fmt::format_to(std::back_inserter(sql), "{}${}", column == 0 ? "" : ", ", ++number);
      }
      sql += ')';
    }
    sql += after;
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(at);
    const Values some(std::make_move_iterator(first),
                      std::make_move_iterator(first + static_cast<std::ptrdiff_t>(rows * columns)));
    if (auto done = execute(database, sql, some); !done) return done;
    at += rows * columns;
  }
  return {};
}

}  // namespace

std::string as_tracked(std::string_view text) { return shown(text); }

Tracking::Tracking(std::unique_ptr<Database> database, std::string gateway, std::string_view writer)
    : database_(std::move(database)), gateway_(std::move(gateway)), writer_(gateway_) {
  if (!writer.empty()) writer_.append(" ").append(writer);
}
Tracking::~Tracking() = default;

Result<std::unique_ptr<Tracking>> Tracking::open(const Store::Open& how, std::string_view writer) {
  if (const std::string fault = Store::where_fault(how.where); !fault.empty()) {
    return base::fail(base::Cause::misconfigured, fault);
  }
  const std::string place = how.where.substr(how.where.find(':') + 1);
  const bool sqlite = how.where.starts_with("sqlite:");
  auto database = sqlite ? open_sqlite(place.substr(0, place.find_last_of('/') + 1) + "tracking.db", kTrackingTables,
                                       how.create, false, nullptr)
                         : open_postgres(place);
  if (!database) return std::unexpected(std::move(database.error()));
  if (!sqlite) {
    if (auto made = (*database)->make_schema(kTrackingTables, how.create); !made) {
      return std::unexpected(std::move(made.error()));
    }
  }
  return std::unique_ptr<Tracking>(new Tracking(std::move(*database), shown(how.owner), writer));
}

// place returns the row of a message, which it makes where there is none.
Result<int64_t> Tracking::place(const TrackedMessage& message) {
  const auto mid = static_cast<int64_t>(message.mid);
  // What another gateway took in may be released, sent on or ended here.
  auto row = message.elsewhere
                 ? database_->run(
                       "SELECT id FROM tracked WHERE mid = $1 ORDER BY CASE WHEN queue_id = $2 THEN 0 ELSE 1 END, "
                       "CASE WHEN gateway = $3 THEN 0 ELSE 1 END, id DESC LIMIT 1",
                       {mid, message.queue_id.empty() ? std::string("?") : shown(message.queue_id), gateway_})
                 : database_->run("SELECT id FROM tracked WHERE mid = $1 AND gateway = $2 ORDER BY id DESC LIMIT 1",
                                  {mid, gateway_});
  if (!row) return std::unexpected(std::move(row.error()));
  const std::string sender = sender_of(message.from);
  if (row->empty()) {
    auto made = database_->run(
        "INSERT INTO tracked (gateway, mid, icid, started, queue_id, client, client_name, helo, auth, flow, sender, "
        "sender_key, author, author_key, message_id, message_id_key, size, verdict, reply) VALUES ($1, $2, $3, $4, $5, "
        "$6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) RETURNING id",
        {gateway_, mid, static_cast<int64_t>(message.icid), message.started, shown(message.queue_id),
         shown(message.client), shown(message.client_name), shown(message.helo), shown(message.auth),
         shown(message.flow), sender, key_of(sender), shown(message.author), key_of(shown(message.author)),
         shown(message.message_id), key_of(shown(message.message_id)), static_cast<int64_t>(message.size),
         shown(message.verdict), shown(message.reply)});
    if (!made) return std::unexpected(std::move(made.error()));
    return made->front().number(0);
  }
  const int64_t id = row->front().number(0);
  std::string set;
  Values values;
  const auto text = [&](std::string_view column, std::string value) {
    if (value.empty()) return;
    values.emplace_back(std::move(value));
    fmt::format_to(std::back_inserter(set), "{}{} = ${}", set.empty() ? "" : ", ", column, values.size());
  };
  text("queue_id", shown(message.queue_id));
  text("flow", shown(message.flow));
  text("sender", sender);
  text("sender_key", key_of(sender));
  text("author", shown(message.author));
  text("author_key", key_of(shown(message.author)));
  text("message_id", shown(message.message_id));
  text("message_id_key", key_of(shown(message.message_id)));
  text("reply", shown(message.reply));
  if (message.size != 0) {
    values.emplace_back(static_cast<int64_t>(message.size));
    fmt::format_to(std::back_inserter(set), "{}size = ${}", set.empty() ? "" : ", ", values.size());
  }
  if (!message.verdict.empty()) {
    values.emplace_back(shown(message.verdict));
    // A message in the MTA's hold queue was quarantined, and then taken.
    fmt::format_to(std::back_inserter(set), "{}verdict = {}${}{}", set.empty() ? "" : ", ",
                   message.verdict == "accept" ? "CASE WHEN verdict = 'quarantine' THEN verdict ELSE " : "",
                   values.size(), message.verdict == "accept" ? " END" : "");
  }
  if (values.empty()) return id;
  values.emplace_back(id);
  if (auto done = execute(*database_, fmt::format("UPDATE tracked SET {} WHERE id = ${}", set, values.size()), values);
      !done) {
    return std::unexpected(std::move(done.error()));
  }
  return id;
}

Result<void> Tracking::add(const TrackedMessage& message) {
  auto id = place(message);
  if (!id) return std::unexpected(std::move(id.error()));
  if (message.from || !message.header_from.empty() || !message.subject.empty()) {
    const auto keep = [](std::string_view column) {
      return fmt::format("{0} = CASE WHEN excluded.{0} = '' THEN tracked_text.{0} ELSE excluded.{0} END", column);
    };
    auto text = execute(
        *database_,
        fmt::format("INSERT INTO tracked_text (message, sender, header_from, subject) VALUES ($1, $2, $3, $4) ON "
                    "CONFLICT (message) DO UPDATE SET {}, {}, {}",
                    keep("sender"), keep("header_from"), keep("subject")),
        {*id, sender_of(message.from), shown(message.header_from), shown(message.subject)});
    if (!text) return text;
  }
  Values recipients;
  for (const std::string& recipient : message.recipients) {
    const std::string address = shown(recipient);
    for (Value value : Values{*id, address, key_of(address)}) recipients.push_back(std::move(value));
  }
  if (auto done = insert_rows(*database_, "tracked_recipient (message, address, address_key)", 3, std::move(recipients),
                              " ON CONFLICT (message, address) DO NOTHING");
      !done) {
    return done;
  }
  Values lines;
  for (const TrackedLine& line : message.lines) {
    for (Value value :
         Values{*id, line.time, int64_t{line.level}, shown(line.event), shown(line.filter), line_text(line.text)}) {
      lines.push_back(std::move(value));
    }
  }
  return insert_rows(*database_, "tracked_line (message, time, level, event, filter, text)", 6, std::move(lines), "");
}

Result<void> Tracking::write(const std::vector<TrackedMessage>& messages, const std::string& batch) {
  return transact(*database_, [&]() -> Result<void> {
    if (auto turn = database_->in_turn(); !turn) return turn;
    auto last = database_->run("SELECT batch FROM tracking_writer WHERE gateway = $1", {writer_});
    if (!last) return std::unexpected(std::move(last.error()));
    if (!last->empty() && last->front().text(0) == batch) return {};
    for (const TrackedMessage& message : messages) {
      if (auto done = add(message); !done) return done;
    }
    return execute(*database_,
                   "INSERT INTO tracking_writer (gateway, batch) VALUES ($1, $2) ON CONFLICT (gateway) DO UPDATE SET "
                   "batch = excluded.batch",
                   {writer_, batch});
  });
}

Result<size_t> Tracking::forget(int64_t before, size_t most) {
  size_t gone = 0;
  auto done = transact(*database_, [&]() -> Result<void> {
    if (auto turn = database_->in_turn(); !turn) return turn;
    constexpr std::string_view kOld = "(SELECT id FROM tracked WHERE started < $1 ORDER BY started, id LIMIT $2)";
    const Values which = {before, static_cast<int64_t>(most)};
    for (const std::string_view table : {"tracked_line", "tracked_recipient", "tracked_text"}) {
      if (auto deleted = execute(*database_, fmt::format("DELETE FROM {} WHERE message IN {}", table, kOld), which);
          !deleted) {
        return deleted;
      }
    }
    auto old = database_->run(fmt::format("DELETE FROM tracked WHERE id IN {} RETURNING id", kOld), which);
    if (!old) return std::unexpected(std::move(old.error()));
    gone = old->size();
    return {};
  });
  if (!done) return std::unexpected(std::move(done.error()));
  return gone;
}

}  // namespace postern::store
