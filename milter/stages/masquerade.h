// SPDX-License-Identifier: Apache-2.0
// Masquerade: internal addresses become external ones, in the envelope sender and in address fields of the header, by
// tables and by directories. All is computed before the first edit: where any question has no answer, not a byte of the
// message changes and the message is deferred. Each address goes through once: what it became is not looked up again.
// The stage edits the message and says what it did; it knows neither the MTA nor the log.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/message/message.h"
#include "milter/stages/address_table.h"
#include "milter/stages/lookup.h"

namespace postern::stages {

// MasqueradeProfile is one entry of `masquerade` in postern.yaml.
struct MasqueradeProfile {
  std::string name;
  std::string table_file;  // absolute; empty: none
  std::shared_ptr<const AddressTable> table;
  std::vector<QueryUse> queries;
  bool envelope_sender = true;
  std::vector<std::string> headers{"From", "To", "Cc", "Reply-To"};
  std::vector<std::string> domains;  // of the addresses it looks at; empty: all
  std::string quarantine;            // for mail with a field that had to be left alone; empty: it goes on
};

// Masqueraded is one address that changed.
struct Masqueraded {
  std::string place;  // "envelope sender", or the field's name
  std::string from;
  std::string to;
};

// LeftAlone is one field that readers may take apart differently.
struct LeftAlone {
  std::string field;
  std::string reason;
};

struct MasqueradeReport {
  std::optional<base::Error> error;  // then nothing was changed
  std::vector<Masqueraded> changes;
  std::vector<LeftAlone> left;
  std::string quarantine;  // where the mail must be held for what was left alone
};

// masquerade runs the chain of `profiles` (of which, for each address, the first that knows it decides) on `message`.
MasqueradeReport masquerade(message::Message& message, std::span<const MasqueradeProfile* const> profiles,
                            const Profiles& directories, directory::Deadline deadline);

}  // namespace postern::stages
