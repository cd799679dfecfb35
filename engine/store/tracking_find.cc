// SPDX-License-Identifier: Apache-2.0
// Finding what is tracked: by an index where the key is whole, else by one pass over a column of the messages that are
// kept.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "engine/base/text.h"
#include "engine/store/impl.h"
#include "engine/store/tracking.h"

namespace postern::store {

using base::Result;

namespace {

constexpr size_t kIdsAtOnce = 20;

// Condition is a WHERE clause in the making.
class Condition {
 public:
  Condition(const Database& database, bool fold) : database_(database), fold_(fold) {}

  // term adds a condition; each {} in it stands for the next of `values`.
  void term(std::string_view text, Values values) {
    text_ += text_.empty() ? " WHERE " : " AND ";
    for (Value& value : values) {
      const size_t at = text.find("{}");
      text_ += text.substr(0, at);
      text_ += parameter(std::move(value));
      text.remove_prefix(at + 2);
    }
    text_ += text;
  }

  // same is "the column is `wanted`", found by the index of its key column.
  std::string same(std::string_view column, std::string_view wanted) {
    std::string out = fmt::format("{}_key = {}", column, parameter(base::lower(wanted)));
    if (!fold_) out += fmt::format(" AND {} = {}", column, parameter(std::string(wanted)));
    return "(" + out + ")";
  }
  // anywhere is "the column contains `wanted`"; `first`: the search begins there.
  std::string anywhere(std::string_view column, std::string_view wanted, bool first) {
    if (first) {
      return database_.contains_rarely(column, parameter(fold_ ? base::lower(wanted) : std::string(wanted)), fold_);
    }
    return fold_ ? database_.contains(column, parameter(base::lower(wanted)))
                 : database_.contains_exactly(column, parameter(std::string(wanted)));
  }

  const std::string& text() const { return text_; }
  Values take_values() { return std::move(values_); }
  std::string parameter(Value value) {
    values_.push_back(std::move(value));
    return fmt::format("${}", values_.size());
  }

 private:
  const Database& database_;
  bool fold_;
  std::string text_;
  Values values_;
};

// is_narrow tells whether an index finds few messages, so that it is quicker to look at each than at all that have a
// text.
bool is_narrow(const TrackSearch& search) {
  return search.mid || !search.queue_id.empty() || !search.message_id.empty() || !search.filter.empty() ||
         is_whole_address(search.from) || is_whole_address(search.to);
}

// among is "a row of `table` about the message is so".
std::string among(std::string_view table, const std::string& so, bool narrow) {
  return narrow ? fmt::format("EXISTS (SELECT 1 FROM {0} WHERE {0}.message = tracked.id AND {1})", table, so)
                : fmt::format("id IN (SELECT message FROM {} WHERE {})", table, so);
}

std::string where_of(Condition& condition, const TrackSearch& search) {
  const bool narrow = is_narrow(search);
  if (!search.from.empty()) {
    const std::string wanted = as_tracked(search.from);
    if (is_whole_address(search.from)) {
      const std::string sender = condition.same("sender", wanted);
      condition.term("(" + sender + " OR " + condition.same("author", wanted) + " AND author_key <> '')", {});
    } else {
      const std::string sender = condition.anywhere("tracked_text.sender", wanted, !narrow);
      const std::string so =
          "(" + sender + " OR " + condition.anywhere("tracked_text.header_from", wanted, !narrow) + ")";
      condition.term(among("tracked_text", so, narrow), {});
    }
  }
  if (!search.to.empty()) {
    const std::string wanted = as_tracked(search.to);
    const bool whole = is_whole_address(search.to);
    const std::string so = whole ? condition.same("address", wanted) : condition.anywhere("address", wanted, !narrow);
    condition.term(among("tracked_recipient", so, narrow && !whole), {});
  }
  if (!search.subject.empty()) {
    condition.term(
        among("tracked_text", condition.anywhere("tracked_text.subject", as_tracked(search.subject), !narrow), narrow),
        {});
  }
  if (!search.message_id.empty()) {
    condition.term(condition.same("message_id", as_tracked(search.message_id)) + " AND message_id_key <> ''", {});
  }
  if (search.mid) condition.term("mid = {}", {static_cast<int64_t>(*search.mid)});
  if (!search.queue_id.empty()) condition.term("queue_id = {} AND queue_id <> ''", {as_tracked(search.queue_id)});
  if (!search.filter.empty()) {
    condition.term("id IN (SELECT message FROM tracked_line WHERE filter = {} AND filter <> '')",
                   {as_tracked(search.filter)});
  }
  if (!search.verdict.empty()) condition.term("verdict = {}", {as_tracked(search.verdict)});
  if (search.since) condition.term("started >= {}", {*search.since});
  if (search.until) condition.term("started <= {}", {*search.until});
  if (search.line_after) {
    condition.term("id IN (SELECT message FROM tracked_line WHERE id > {})", {*search.line_after});
  }
  return condition.text();
}

TrackedMessage message_of(const Row& row) {
  TrackedMessage out;
  out.id = row.number(0);
  out.gateway = row.text(1);
  out.mid = static_cast<uint64_t>(row.number(2));
  out.icid = static_cast<uint64_t>(row.number(3));
  out.started = row.number(4);
  out.queue_id = row.text(5);
  out.client = row.text(6);
  out.client_name = row.text(7);
  out.helo = row.text(8);
  out.auth = row.text(9);
  out.flow = row.text(10);
  if (!row.text(11).empty()) out.from = row.text(11) == "<>" ? "" : row.text(11);
  out.author = row.text(12);
  out.message_id = row.text(13);
  out.size = static_cast<uint64_t>(row.number(14));
  out.verdict = row.text(15);
  out.reply = row.text(16);
  return out;
}

}  // namespace

bool is_whole_address(std::string_view text) {
  const size_t at = text.rfind('@');
  return at != std::string_view::npos && at > 0 && at + 1 < text.size();
}

Result<int64_t> Tracking::last_line() {
  auto rows = database_->run("SELECT MAX(id) FROM tracked_line", {});
  if (!rows) return std::unexpected(std::move(rows.error()));
  return rows->front().number(0);
}

Result<std::vector<TrackedMessage>> Tracking::find(const TrackSearch& search) {
  Condition condition(*database_, search.fold);
  std::string sql =
      "SELECT id, gateway, mid, icid, started, queue_id, client, client_name, helo, auth, flow, sender, author, "
      "message_id, size, verdict, reply FROM tracked" +
      where_of(condition, search);
  sql += " ORDER BY id DESC LIMIT " + condition.parameter(static_cast<int64_t>(search.most));
  auto rows = database_->run(sql, condition.take_values());
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<TrackedMessage> out;
  std::unordered_map<int64_t, size_t> place;
  std::ranges::reverse(*rows);
  for (const Row& row : *rows) {
    out.push_back(message_of(row));
    place.emplace(out.back().id, out.size() - 1);
  }

  for (size_t at = 0; at < out.size(); at += kIdsAtOnce) {
    // Always as many, so that the statement stays one text; ids that are missing are none.
    Values ids;
    std::string list;
    for (size_t i = 0; i < kIdsAtOnce; ++i) {
      ids.emplace_back(at + i < out.size() ? out[at + i].id : int64_t{-1});
      fmt::format_to(std::back_inserter(list), "{}${}", i == 0 ? "" : ", ", i + 1);
    }
    auto texts = database_->run(
        fmt::format("SELECT message, header_from, subject FROM tracked_text WHERE message IN ({})", list), ids);
    if (!texts) return std::unexpected(std::move(texts.error()));
    for (const Row& row : *texts) {
      TrackedMessage& message = out[place[row.number(0)]];
      message.header_from = row.text(1);
      message.subject = row.text(2);
    }
    auto recipients =
        database_->run(fmt::format("SELECT message, address FROM tracked_recipient WHERE message IN ({})", list), ids);
    if (!recipients) return std::unexpected(std::move(recipients.error()));
    for (const Row& row : *recipients) out[place[row.number(0)]].recipients.push_back(row.text(1));
    auto lines = database_->run(
        fmt::format("SELECT message, id, time, level, event, filter, text FROM tracked_line WHERE message IN ({}) "
                    "ORDER BY id",
                    list),
        ids);
    if (!lines) return std::unexpected(std::move(lines.error()));
    for (const Row& row : *lines) {
      out[place[row.number(0)]].lines.push_back(
          {row.number(1), row.number(2), static_cast<uint8_t>(row.number(3)), row.text(4), row.text(5), row.text(6)});
    }
  }
  for (TrackedMessage& message : out) std::ranges::sort(message.recipients);
  return out;
}

}  // namespace postern::store
