// SPDX-License-Identifier: Apache-2.0
// diff: the smallest edit script. What an MTA lets a filter do is: change or delete an instance in place, insert above
// everything, append below everything. So every script splits the final list into three runs, top + kept + bottom, in
// which each field of `kept` is a received field of the same name, in the received order. Such a split always exists
// (an empty `kept` is one), so any final list can be reached; and each list made with HeaderList's own edits has one
// with all surviving fields in `kept`. The cost is one step for each received field not kept, for each field of top and
// bottom, and for each kept field whose value differs; the cheapest split is found exactly (best_split). Where several
// are equally cheap, the one that keeps most fields where they came from is taken.
//
// Order of the steps: first changes and deletions from the last received field to the first, so that no step moves the
// instance number of a later one whether the MTA renumbers at once (Postfix) or never (Sendmail), then insertions at
// index 0 from the last of `top` to the first, then additions. Insertions must come late: an inserted field counts as
// an instance, and in Postfix it also uncovers the MTA's own Received field that filters otherwise do not see.
#include "engine/message/changes.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "engine/base/text.h"

namespace postern::message {

namespace {

using mime::HeaderField;

constexpr uint32_t kNone = UINT32_MAX;
constexpr uint32_t kEnd = 1000000;      // an index for insertions past the end of any header
constexpr size_t kMaxPairs = 4u << 20;  // pairs of fields of one name that best_split looks at

// Split says which received field each final field is, or kNone; those that are one are contiguous and in order.
using Split = std::vector<uint32_t>;

bool same_value(const HeaderField& a, const HeaderField& b) { return a.value == b.value; }

// The split by provenance, as the edits were made; false where the surviving fields are not contiguous or not in order.
bool split_by_origin(const std::vector<HeaderField>& received, const mime::HeaderList& final, Split& split) {
  split.assign(final.size(), kNone);
  int64_t last = -1;
  size_t last_index = 0;
  for (size_t j = 0; j < final.size(); ++j) {
    const int32_t origin = final[j].received;
    if (origin < 0) continue;
    if (origin <= last || static_cast<size_t>(origin) >= received.size()) return false;
    if (last >= 0 && last_index + 1 != j) return false;
    if (final[j].value.empty() && !same_value(final[j], received[static_cast<size_t>(origin)])) return false;
    last = origin;
    last_index = j;
    split[j] = static_cast<uint32_t>(origin);
  }
  return true;
}

// Whether the split by provenance is certainly the cheapest. Steps never cross names, so it is when each name has only
// additions, only deletions, or at most two changes and nothing else: a difference in count needs that many steps, and
// keeping fewer fields of a name costs two. Looked at only where few steps are needed, which is nearly always.
bool plainly_smallest(const std::vector<HeaderField>& received, const mime::HeaderList& final, const Split& split) {
  constexpr size_t kFew = 12;
  enum class Kind { added, deleted, changed };
  struct Step {
    std::string_view name;
    Kind kind;
  };
  std::array<Step, kFew> steps;
  size_t count = 0;
  const auto note = [&](const HeaderField& field, Kind kind) {
    if (count == kFew) return false;
    steps[count++] = {field.name, kind};
    return true;
  };
  size_t next = 0;  // the received fields before it are dealt with
  for (size_t j = 0; j < final.size(); ++j) {
    if (split[j] == kNone) {
      if (!note(final[j], Kind::added)) return false;
      continue;
    }
    for (; next < split[j]; ++next) {
      if (!note(received[next], Kind::deleted)) return false;
    }
    ++next;
    if (!same_value(final[j], received[split[j]]) && !note(final[j], Kind::changed)) return false;
  }
  for (; next < received.size(); ++next) {
    if (!note(received[next], Kind::deleted)) return false;
  }
  for (size_t a = 0; a < count; ++a) {
    size_t changes = steps[a].kind == Kind::changed ? 1 : 0;
    for (size_t b = a + 1; b < count; ++b) {
      if (steps[a].name != steps[b].name) continue;
      if (steps[a].kind != steps[b].kind) return false;
      if (changes != 0 && ++changes > 2) return false;
    }
  }
  return true;
}

// best_split finds the cheapest split: the heaviest run of final fields that embeds in order into the received fields
// of the same names, where a field weighs 2 when its value is the same and 1 when it has to be changed (a kept field
// saves a deletion and an addition). For each final field only received fields of its name are looked at. False when
// there are too many such pairs.
bool best_split(const std::vector<HeaderField>& received, const mime::HeaderList& final, Split& split) {
  std::unordered_map<std::string_view, std::vector<uint32_t>> places;
  for (uint32_t i = 0; i < received.size(); ++i) places[received[i].name].push_back(i);
  std::unordered_map<std::string_view, uint32_t> value_ids;
  const auto value_id = [&](const HeaderField& field) {
    return value_ids.emplace(field.value, static_cast<uint32_t>(value_ids.size())).first->second;
  };
  std::vector<uint32_t> received_values(received.size());
  for (size_t i = 0; i < received.size(); ++i) received_values[i] = value_id(received[i]);

  struct Row {
    const std::vector<uint32_t>* places = nullptr;
    std::vector<uint32_t> from;  // for each place: the place in the row before, or kNone where the run begins
  };
  const uint64_t unit = final.size() + 1;  // one unit of weight is more than all bonuses for origin together
  std::vector<Row> rows(final.size());
  std::vector<uint64_t> weights;
  std::vector<uint64_t> before;
  uint64_t best = 0;
  size_t best_row = 0;
  size_t best_place = 0;
  size_t pairs = 0;
  for (size_t j = 0; j < final.size(); ++j) {
    before.swap(weights);
    weights.clear();
    const auto found = places.find(final[j].name);
    if (found == places.end()) continue;
    Row& row = rows[j];
    row.places = &found->second;
    pairs += row.places->size();
    if (pairs > kMaxPairs) return false;
    row.from.assign(row.places->size(), kNone);
    const uint32_t id = value_id(final[j]);
    size_t next = 0;  // first place of the row before that is not yet below the present one
    uint64_t heaviest = 0;
    uint32_t heaviest_place = kNone;
    for (size_t k = 0; k < row.places->size(); ++k) {
      const uint32_t i = (*row.places)[k];
      for (; next < before.size() && (*rows[j - 1].places)[next] < i; ++next) {
        if (before[next] > heaviest) {
          heaviest = before[next];
          heaviest_place = static_cast<uint32_t>(next);
        }
      }
      const bool same = received_values[i] == id;
      // A change to nothing would be taken for a deletion, so such a pair ends every run.
      if (!same && final[j].value.empty()) {
        weights.push_back(0);
        continue;
      }
      const bool origin = final[j].received >= 0 && static_cast<uint32_t>(final[j].received) == i;
      weights.push_back((same ? 2 : 1) * unit + (origin ? 1 : 0) + heaviest);
      row.from[k] = heaviest_place;
      if (weights.back() > best) {
        best = weights.back();
        best_row = j;
        best_place = k;
      }
    }
  }
  split.assign(final.size(), kNone);
  if (best == 0) return true;
  for (size_t j = best_row, k = best_place;; --j) {
    split[j] = (*rows[j].places)[k];
    const uint32_t from = rows[j].from[k];
    if (from == kNone) break;
    k = from;
  }
  return true;
}

// Values go to the MTA with LF folds and nothing else that could end a line; most are so already.
std::string outgoing(const HeaderField& field) {
  const std::string_view value = field.value;
  for (size_t i = value.find_first_of(std::string_view("\r\n\0", 3)); i != std::string_view::npos;
       i = value.find_first_of(std::string_view("\r\n\0", 3), i + 1)) {
    const bool fold = value[i] == '\n' && i + 1 < value.size() && (value[i + 1] == ' ' || value[i + 1] == '\t');
    if (!fold) return mime::fold_value(field.name, value);
  }
  return field.value;
}

void diff_headers(const Message& message, std::vector<Change>& changes) {
  const mime::HeaderList& final = message.headers;
  if (!final.edited()) return;
  const std::vector<HeaderField>& received = final.received();
  Split split;
  const bool by_origin = split_by_origin(received, final, split);
  if (!by_origin || !plainly_smallest(received, final, split)) {
    Split best;
    if (best_split(received, final, best)) {
      split = std::move(best);
    } else if (!by_origin) {
      split.assign(final.size(), kNone);
    }
  }

  std::vector<uint32_t> becomes(received.size(), kNone);
  size_t begin = final.size();
  size_t end = 0;
  for (size_t j = 0; j < final.size(); ++j) {
    if (split[j] == kNone) continue;
    becomes[split[j]] = static_cast<uint32_t>(j);
    begin = std::min(begin, j);
    end = j + 1;
  }
  if (begin > end) begin = 0;  // nothing kept: all is appended, below what the MTA put there itself

  size_t steps = 0;
  const auto is_step = [&](size_t i) { return becomes[i] == kNone || !same_value(received[i], final[becomes[i]]); };
  for (size_t i = 0; i < received.size(); ++i) steps += is_step(i) ? 1 : 0;
  if (steps != 0) {
    std::unordered_map<std::string, uint32_t> counts;
    if (steps > 4) {
      for (const HeaderField& field : received) ++counts[base::lower(field.name)];
    }
    for (size_t i = received.size(); i-- > 0;) {
      const HeaderField& field = received[i];
      uint32_t instance = 0;
      if (steps > 4) {
        instance = counts[base::lower(field.name)]--;
      } else if (is_step(i)) {
        for (size_t k = 0; k <= i; ++k) instance += base::iequals(received[k].name, field.name) ? 1 : 0;
      }
      if (becomes[i] == kNone) {
        changes.push_back({Op::delete_header, field.name, instance, ""});
      } else if (is_step(i)) {
        changes.push_back({Op::change_header, field.name, instance, outgoing(final[becomes[i]])});
      }
    }
  }
  for (size_t j = begin; j-- > 0;) changes.push_back({Op::insert_header, final[j].name, 0, outgoing(final[j])});
  std::vector<std::string_view> added;
  for (size_t j = end; j < final.size(); ++j) {
    const std::string_view name = final[j].name;
    const auto is_name = [name](const auto& other) { return base::iequals(other, name); };
    const bool about = is_name("Received") || std::ranges::any_of(received, is_name, &HeaderField::name) ||
                       std::ranges::any_of(added, is_name) ||
                       std::any_of(final.begin(), final.begin() + static_cast<ptrdiff_t>(begin),
                                   [&](const HeaderField& field) { return is_name(field.name); });
    if (about) {
      changes.push_back({Op::insert_header, final[j].name, kEnd, outgoing(final[j])});
    } else {
      changes.push_back({Op::add_header, final[j].name, 0, outgoing(final[j])});
      added.push_back(name);
    }
  }
}

void diff_envelope(const Message& message, std::vector<Change>& changes) {
  const Envelope& received = message.received_envelope();
  const Envelope& final = message.envelope;
  if (final.from && final.from != received.from) changes.push_back({Op::change_from, "", 0, *final.from});
  const bool same =
      std::ranges::equal(received.recipients, final.recipients, {}, &Recipient::address, &Recipient::address);
  if (same) return;

  // Mailbox is all spellings of one address, which differ in case alone.
  struct Mailbox {
    std::vector<std::string_view> received;  // each spelling once, in order; what Postfix has on record is the first
    std::vector<std::string_view> final;
  };
  std::unordered_map<std::string, Mailbox> mailboxes;
  const auto note = [](std::vector<std::string_view>& spellings, std::string_view address) {
    if (std::ranges::find(spellings, address) == spellings.end()) spellings.push_back(address);
  };
  for (const Recipient& one : received.recipients) note(mailboxes[base::lower(one.address)].received, one.address);
  for (const Recipient& one : final.recipients) note(mailboxes[base::lower(one.address)].final, one.address);
  // Each spelling that is gone is deleted once, in the order of the envelope; then what is new is added.
  for (const Recipient& one : received.recipients) {
    Mailbox& mailbox = mailboxes[base::lower(one.address)];
    const bool first_copy = std::ranges::find(mailbox.received, one.address)->data() == one.address.data();
    if (!first_copy || std::ranges::find(mailbox.final, one.address) != mailbox.final.end()) continue;
    changes.push_back({Op::delete_recipient, "", 0, one.address});
  }
  for (const Recipient& one : final.recipients) {
    Mailbox& mailbox = mailboxes[base::lower(one.address)];
    if (mailbox.final.empty()) continue;
    const std::vector<std::string_view> wanted = std::exchange(mailbox.final, {});
    const auto is_wanted = [&wanted](std::string_view address) {
      return std::ranges::find(wanted, address) != wanted.end();
    };
    if (!mailbox.received.empty() && is_wanted(mailbox.received.front())) continue;
    // Where another received spelling stays, Postfix has deleted it with the first; Sendmail has it, and adds no copy.
    const auto kept = std::ranges::find_if(mailbox.received, is_wanted);
    changes.push_back({Op::add_recipient, "", 0, std::string(kept == mailbox.received.end() ? wanted.front() : *kept)});
  }
}

// Whether `pieces` are the bytes of `body`.
bool same_bytes(const mime::Pieces& pieces, std::string_view body) {
  if (pieces.size() != body.size()) return false;
  for (const std::string_view view : pieces.views()) {
    if (view.data() != body.data() && view != body.substr(0, view.size())) return false;
    body.remove_prefix(view.size());
  }
  return true;
}

}  // namespace

std::string_view op_name(Op op) {
  switch (op) {
    case Op::change_header:
      return "change-header";
    case Op::delete_header:
      return "delete-header";
    case Op::insert_header:
      return "insert-header";
    case Op::add_header:
      return "add-header";
    case Op::replace_body:
      return "replace-body";
    case Op::change_from:
      return "change-from";
    case Op::add_recipient:
      return "add-recipient";
    case Op::delete_recipient:
      return "delete-recipient";
    case Op::quarantine:
      return "quarantine";
  }
  return "";
}

ChangeList diff(Message& message) {
  ChangeList list;
  diff_headers(message, list.changes);
  diff_envelope(message, list.changes);
  if (message.body_edited()) {
    mime::Pieces body = message.final_body();
    if (!message.has_body() || !same_bytes(body, message.received_body())) {
      list.changes.push_back({Op::replace_body, "", 0, ""});
      list.body = std::move(body);
    }
  }
  return list;
}

}  // namespace postern::message
