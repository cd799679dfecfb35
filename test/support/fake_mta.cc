// SPDX-License-Identifier: Apache-2.0
// The two dialects, step by step; see the header for what each does.
#include "test/support/fake_mta.h"

#include <algorithm>

#include "engine/base/text.h"

namespace postern::test {

namespace {
constexpr const char* kOwnReceived = " by fake.example id 1";
}

FakeMta::FakeMta(Dialect dialect, std::vector<Field> fields, const std::vector<std::string>& configured)
    : dialect_(dialect) {
  entries_.push_back({"Received", kOwnReceived, false, true, true});
  if (dialect_ == Dialect::sendmail) {
    for (const std::string& name : configured) {
      const bool given = std::any_of(fields.begin(), fields.end(),
                                     [&](const Field& field) { return base::iequals(field.name, name); });
      entries_.push_back({name, given ? std::nullopt : std::optional<std::string>(" default"), false, false, true});
    }
  }
  for (Field& field : fields) entries_.push_back({std::move(field.name), std::move(field.value), true, false, false});
}

void FakeMta::set_envelope(std::string from, const std::vector<std::string>& recipients) {
  from_ = std::move(from);
  for (const std::string& address : recipients) add_recipient(address);
  seen_.clear();
}

FakeMta::Entry* FakeMta::find(std::string_view name, uint32_t index) {
  if (index == 0) index = 1;
  size_t position = 0;
  for (Entry& entry : entries_) {
    if (dialect_ == Dialect::postfix && position++ == 0) continue;
    if (dialect_ == Dialect::sendmail && !entry.shown) continue;
    if (base::iequals(entry.name, name) && --index == 0) return &entry;
  }
  return nullptr;
}

void FakeMta::change(const std::string& name, uint32_t index, const std::string& value) {
  Entry* entry = find(name, index);
  if (dialect_ == Dialect::postfix) {
    if (entry == nullptr) {
      if (!value.empty()) add(name, value);
    } else if (value.empty()) {
      entries_.erase(entries_.begin() + (entry - entries_.data()));
    } else {
      entry->name = name;
      entry->value = value;
    }
    return;
  }
  if (entry == nullptr) {
    for (Entry& other : entries_) {
      if (!other.shown && !other.trace && base::iequals(other.name, name)) entry = &other;
    }
  }
  if (entry == nullptr) {
    if (!value.empty()) add(name, value);
  } else if (value.empty()) {
    entry->value.reset();
  } else {
    entry->value = value;
    entry->shown = true;
  }
}

void FakeMta::insert(const std::string& name, uint32_t index, const std::string& value) {
  const size_t position = std::min<size_t>(index, entries_.size());
  entries_.insert(entries_.begin() + static_cast<ptrdiff_t>(position), {name, value, true, false, false});
}

void FakeMta::add(const std::string& name, const std::string& value) {
  if (dialect_ == Dialect::sendmail) {
    for (Entry& entry : entries_) {
      if (!entry.shown && !entry.trace && base::iequals(entry.name, name)) {
        entry.value = value;
        entry.shown = true;
        return;
      }
    }
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (base::iequals(entries_[i].name, name)) return insert(name, static_cast<uint32_t>(i), value);
    }
  }
  entries_.push_back({name, value, true, false, false});
}

void FakeMta::add_recipient(const std::string& address) {
  if (dialect_ == Dialect::postfix) {
    std::string folded = base::lower(address);
    if (std::find(seen_.begin(), seen_.end(), folded) != seen_.end()) return;
    seen_.push_back(std::move(folded));
  } else if (std::find(recipients_.begin(), recipients_.end(), address) != recipients_.end()) {
    return;
  }
  recipients_.push_back(address);
}

void FakeMta::delete_recipient(const std::string& address) { std::erase(recipients_, address); }

void FakeMta::apply(const message::ChangeList& list) {
  for (const message::Change& change_step : list.changes) {
    switch (change_step.op) {
      case message::Op::change_header:
        change(change_step.name, change_step.index, change_step.value);
        break;
      case message::Op::delete_header:
        change(change_step.name, change_step.index, "");
        break;
      case message::Op::insert_header:
        insert(change_step.name, change_step.index, change_step.value);
        break;
      case message::Op::add_header:
        add(change_step.name, change_step.value);
        break;
      case message::Op::replace_body:
        body_ = list.body.flatten();
        break;
      case message::Op::change_from:
        from_ = change_step.value;
        break;
      case message::Op::add_recipient:
        add_recipient(change_step.value);
        break;
      case message::Op::delete_recipient:
        delete_recipient(change_step.value);
        break;
      case message::Op::quarantine:
        break;
    }
  }
}

std::vector<Field> FakeMta::headers() const {
  std::vector<Field> fields;
  for (const Entry& entry : entries_) {
    if (entry.value && (entry.shown || !entry.own)) fields.push_back({entry.name, *entry.value});
  }
  return fields;
}

std::vector<std::string> FakeMta::recipients() const { return recipients_; }

bool FakeMta::own_received_intact() const {
  return std::count_if(entries_.begin(), entries_.end(), [](const Entry& entry) {
           return entry.trace && entry.own && !entry.shown && entry.value == kOwnReceived && entry.name == "Received";
         }) == 1;
}

}  // namespace postern::test
