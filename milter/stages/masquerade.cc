// SPDX-License-Identifier: Apache-2.0
// Three steps: read every place that may change; look up every address; compose every new value. Only then the message
// is edited.
#include "milter/stages/masquerade.h"

#include <algorithm>
#include <unordered_map>

#include "engine/base/text.h"
#include "engine/message/address.h"
#include "engine/message/rewrite.h"

namespace postern::stages {
namespace {

using base::Cause;
using base::fail;

// Place is one address in the message.
struct Place {
  std::string address;
  size_t field = SIZE_MAX;  // index into Fields; SIZE_MAX: the envelope sender
  size_t mailbox = 0;
  std::optional<message::Replacement> becomes;
};

// Field is one field of the header that a profile names.
struct Field {
  size_t index = 0;  // in the header
  std::string name;
  message::AddressField read;
  std::optional<std::string> value;  // the new one
};

bool covers(const MasqueradeProfile& profile, const Place& place, const std::vector<Field>& fields) {
  if (!in_domains(message::domain_of(place.address), profile.domains)) return false;
  if (place.field == SIZE_MAX) return profile.envelope_sender;
  return std::ranges::any_of(profile.headers,
                             [&](const std::string& name) { return base::iequals(name, fields[place.field].name); });
}

class Run {
 public:
  Run(message::Message& message, std::span<const MasqueradeProfile* const> profiles, const Profiles& directories,
      directory::Deadline deadline)
      : message_(message), profiles_(profiles), directories_(directories), deadline_(deadline) {}

  MasqueradeReport run() {
    read();
    for (const MasqueradeProfile* profile : profiles_) {
      if (auto done = look_up(*profile); !done) {
        report_.error = std::move(done.error());
        report_.left.clear();
        return std::move(report_);
      }
    }
    compose();
    edit();
    return std::move(report_);
  }

 private:
  void read() {
    const auto named = [this](std::string_view field) {
      return std::ranges::any_of(profiles_, [&](const MasqueradeProfile* profile) {
        return std::ranges::any_of(profile->headers, [&](const auto& name) { return base::iequals(name, field); });
      });
    };
    const std::optional<std::string>& sender = message_.envelope.from;
    if (sender && !sender->empty()) places_.push_back({*sender, SIZE_MAX, 0, {}});
    for (size_t i = 0; i < message_.headers.size(); ++i) {
      const mime::HeaderField& field = message_.headers[i];
      if (!named(field.name)) continue;
      Field& entry = fields_.emplace_back();
      entry.index = i;
      entry.name = field.name;
      entry.read = message::read_address_field(field.value, room());
      if (!entry.read.doubt.empty()) {
        leave(entry, entry.read.doubt);
        continue;
      }
      for (size_t k = 0; k < entry.read.list.mailboxes.size(); ++k) {
        const message::Mailbox& mailbox = entry.read.list.mailboxes[k];
        places_.push_back({mailbox.addr_spec(), fields_.size() - 1, k, {}});
      }
    }
  }

  // room is how many addresses the message may have yet: the limit holds for all its fields together.
  size_t room() const {
    const size_t most = message_.limits().addresses;
    return places_.size() < most ? most - places_.size() : 0;
  }

  void leave(const Field& field, const std::string& reason) {
    report_.left.push_back({field.name, reason});
    if (!report_.quarantine.empty()) return;
    for (const MasqueradeProfile* profile : profiles_) {
      const bool named =
          std::ranges::any_of(profile->headers, [&](const auto& name) { return base::iequals(name, field.name); });
      if (named && !profile->quarantine.empty()) {
        report_.quarantine = profile->quarantine;
        return;
      }
    }
  }

  base::Result<void> look_up(const MasqueradeProfile& profile) {
    // Each distinct address once.
    std::vector<directory::Key> keys;
    std::vector<std::vector<Place*>> askers;
    std::unordered_map<std::string, size_t> known;
    for (Place& place : places_) {
      if (place.becomes || !covers(profile, place, fields_)) continue;
      if (profile.table != nullptr) {
        if (auto found = profile.table->find(place.address)) {
          place.becomes = message::Replacement{std::move(*found), std::nullopt};
          continue;
        }
      }
      const auto [entry, fresh] = known.emplace(base::lower(place.address), keys.size());
      if (fresh) {
        keys.push_back({place.address, {}, {}});
        askers.emplace_back();
      }
      askers[entry->second].push_back(&place);
    }
    if (profile.queries.empty() || keys.empty()) return {};
    const auto hits = ask_chain(directories_, profile.queries, keys, deadline_);
    for (size_t i = 0; i < hits.size(); ++i) {
      if (!hits[i]) return std::unexpected(hits[i].error());
      auto becomes = replacement(*hits[i], keys[i].address);
      if (!becomes) return std::unexpected(std::move(becomes.error()));
      for (Place* place : askers[i]) {
        place->becomes = *becomes;
        if (place->becomes && place->becomes->address.empty()) place->becomes->address = place->address;
      }
    }
    return {};
  }

  // replacement takes the new address, and the name, out of a directory's answer. No value is no change.
  base::Result<std::optional<message::Replacement>> replacement(const Hit& hit, const std::string& address) const {
    if (hit.answer == nullptr) return std::nullopt;
    const auto addresses = hit.values(hit.use->roles.address);
    const auto names = hit.values(hit.use->roles.name);
    const auto bad = [&](std::string_view what) {
      return fail(Cause::malformed, hit.use->profile + "." + hit.use->query + " answers " + std::string(what) +
                                        " for " + base::escape_for_log(address, 200));
    };
    if (addresses.empty() && names.empty()) return std::nullopt;
    message::Replacement out{{}, std::nullopt};  // without an address each place keeps its own
    if (!addresses.empty()) {
      if (addresses.size() > 1) return bad("more than one address");
      if (!message::is_one_address(addresses[0], message_.envelope.smtputf8))
        return bad("something that is no address");
      out.address = addresses[0];
    }
    if (!names.empty() && !names[0].empty()) {
      const std::string& name = names[0];
      const bool good =
          base::is_valid_utf8(name) && name.size() <= 1000 && base::trim(name) == name &&
          name.find("\xEF\xBF\xBD") == std::string::npos &&
          std::ranges::none_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
      if (!good) return bad("a name that cannot stand in a header");
      out.name = name;
    }
    return out;
  }

  void compose() {
    // Places come in the order of fields.
    auto next = places_.begin();
    for (size_t i = 0; i < fields_.size(); ++i) {
      Field& field = fields_[i];
      while (next != places_.end() && (next->field == SIZE_MAX || next->field < i)) ++next;
      const auto first = next;
      while (next != places_.end() && next->field == i) ++next;
      if (first == next) continue;
      std::vector<std::optional<message::Replacement>> replacements(field.read.list.mailboxes.size());
      bool any = false;
      for (auto at = first; at != next; ++at) {
        const Place& place = *at;
        if (!place.becomes) continue;
        const message::Mailbox& mailbox = field.read.list.mailboxes[place.mailbox];
        const bool same_name = !place.becomes->name || *place.becomes->name == mailbox.display;
        if (place.becomes->address == place.address && same_name) continue;
        replacements[place.mailbox] = place.becomes;
        any = true;
      }
      if (!any) continue;
      field.value = message::rewrite_field(field.read, replacements);
      if (!field.value) {
        leave(field, "the new value would not read back as meant");
        continue;
      }
      for (size_t k = 0; k < replacements.size(); ++k) {
        if (!replacements[k]) continue;
        report_.changes.push_back({field.name, field.read.list.mailboxes[k].addr_spec(), replacements[k]->address});
      }
    }
  }

  void edit() {
    for (const Place& place : places_) {
      if (place.field != SIZE_MAX || !place.becomes || place.becomes->address == place.address) continue;
      report_.changes.insert(report_.changes.begin(), {"envelope sender", place.address, place.becomes->address});
      message_.envelope.from = place.becomes->address;
    }
    for (const Field& field : fields_) {
      if (field.value) message_.headers.change(field.index, *field.value);
    }
  }

  message::Message& message_;
  const std::span<const MasqueradeProfile* const> profiles_;
  const Profiles& directories_;
  const directory::Deadline deadline_;
  std::vector<Place> places_;
  std::vector<Field> fields_;
  MasqueradeReport report_;
};

}  // namespace

MasqueradeReport masquerade(message::Message& message, std::span<const MasqueradeProfile* const> profiles,
                            const Profiles& directories, directory::Deadline deadline) {
  return Run(message, profiles, directories, deadline).run();
}

}  // namespace postern::stages
