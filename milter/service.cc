// SPDX-License-Identifier: Apache-2.0
// The daemon's shared state: the generation in use, counters, numbers for messages and connections.
#include "milter/service.h"

#include <ctime>

#include "milter/mta.h"
#include "milter/store_keys.h"

namespace postern::milter {
namespace {

constexpr int64_t kFirstSecond = 1735689600;  // 2025-01-01 00:00:00 UTC

constexpr size_t kStoreConnections = 4;  // to PostgreSQL

uint64_t first_id() {
  const int64_t now = static_cast<int64_t>(std::time(nullptr));
  const int64_t since = now > kFirstSecond ? now - kFirstSecond : 0;
  return (static_cast<uint64_t>(since) << 16) + 1;
}

// may_quarantine tells whether a filter's on-unknown can end in quarantine, whatever its actions are.
bool may_quarantine(const rules::Filter& filter, const rules::LoadContext& context) {
  const auto quarantines = [&](rules::OnUnknown what) {
    return what == rules::OnUnknown::quarantine ||
           (what == rules::OnUnknown::by_action && (filter.strict || (filter.needs & rules::kEditBody) != 0));
  };
  if (filter.phase != rules::Phase::message) return false;
  if (filter.on_unknown) return quarantines(*filter.on_unknown);
  for (const rules::OnUnknown what : context.on_unknown) {
    if (quarantines(what)) return true;
  }
  return false;
}

}  // namespace

Negotiable wants_of(const Generation& generation) {
  const rules::RuleSet& rules = *generation.rules;
  const uint32_t needs = rules.needs();
  const bool count_size = generation.settings.message_size_given;
  Negotiable wants;

  if (needs & (rules::kEditHeader | rules::kEditBody)) wants.actions |= kActionAddHeader | kActionChangeHeader;
  if (needs & rules::kEditBody) wants.actions |= kActionChangeBody;
  if (needs & rules::kEditRecipients) wants.actions |= kActionAddRecipient | kActionDeleteRecipient;
  if (needs & rules::kEditSender) wants.actions |= kActionChangeFrom;
  bool quarantine = (needs & rules::kEditQuarantine) != 0;
  for (const rules::Filter& filter : rules.filters()) {
    quarantine = quarantine || (filter.enabled && may_quarantine(filter, rules.context()));
  }
  bool masquerade = false;
  for (const Flow& flow : generation.settings.flows) {
    for (const uint32_t index : flow.masquerade) {
      const stages::MasqueradeProfile& profile = generation.settings.masquerade[index];
      masquerade = masquerade || !profile.headers.empty();
      if (profile.envelope_sender) wants.actions |= kActionChangeFrom;
      quarantine = quarantine || !profile.quarantine.empty();
    }
  }
  if (masquerade) wants.actions |= kActionChangeHeader | kActionAddHeader;
  for (const Flow& flow : generation.settings.flows) {
    if (flow.route.empty()) continue;
    wants.actions |= kActionAddRecipient | kActionDeleteRecipient;
    for (const stages::QueryUse& use : flow.route.queries) {
      if (use.roles.host >= 0) wants.actions |= kActionChangeHeader | kActionAddHeader;
    }
  }
  const bool tracks = !generation.settings.store.empty() && generation.settings.tracking_keep != 0;
  const bool keeps = quarantine && !generation.settings.store.empty();
  if (quarantine && !keeps) wants.actions |= kActionQuarantine;

  // Signatures cover header and body; a body that is encoded for its way changes them too.
  bool sign = false;
  bool encode = false;
  for (const Flow& flow : generation.settings.flows) {
    for (const uint32_t index : flow.sign) {
      sign = true;
      encode = encode || generation.settings.dkim[index].encode_eight_bit;
    }
  }
  if (sign) wants.actions |= kActionAddHeader;
  if (encode) wants.actions |= kActionChangeHeader | kActionChangeBody;
  if (sign && generation.settings.mta == "sendmail") wants.actions |= kActionChangeHeader;

  // Mail of our own is known by a header field, which goes.
  const bool own_mail = !generation.settings.reinject.server.empty();
  if (own_mail) wants.actions |= kActionAddHeader | kActionChangeHeader;

  // Connect tells the log and the flows who is there; MAIL and RCPT make the envelope. The end of the header is seen at
  // the first byte of the body or at end of message.
  wants.steps_off = kNoEndOfHeader | kNoUnknown;
  if (!(needs & rules::kNeedHelo) && !rules.has_phase(rules::Phase::helo)) wants.steps_off |= kNoHelo;
  if (!rules.has_phase(rules::Phase::data)) wants.steps_off |= kNoData;
  const uint32_t body = rules::kNeedBody | rules::kNeedStructure | rules::kEditBody;
  wants.keep_body = (needs & body) != 0 || sign || keeps;
  if (!wants.keep_body && !count_size) wants.steps_off |= kNoBody;
  if (!wants.keep_body && !(needs & rules::kNeedHeader) && !masquerade && !count_size && !own_mail && !tracks) {
    wants.steps_off |= kNoHeader;
  }

  wants.no_replies = kNoReplyHeader | kNoReplyEndOfHeader | kNoReplyBody | kNoReplyUnknown;
  if (!rules.has_phase(rules::Phase::connect)) wants.no_replies |= kNoReplyConnect;
  if (!rules.has_phase(rules::Phase::helo)) wants.no_replies |= kNoReplyHelo;
  if (!rules.has_phase(rules::Phase::data)) wants.no_replies |= kNoReplyData;
  return wants;
}

Live::Live(std::shared_ptr<const Generation> loaded)
    : generation(std::move(loaded)), wants(wants_of(*generation)), filters(generation->rules->filters().size()) {}

Service::Service(std::shared_ptr<const Generation> first)
    : live_(std::make_shared<Live>(first)),
      number_(first->number),
      memory_(first->settings.limits.memory),
      next_id_(first_id()),
      started_(std::chrono::steady_clock::now()),
      store_place_(milter::store_place(first->settings, true, kStoreConnections)),
      mark_path_(first->settings.state_directory + "/mark.key") {}

base::Result<std::shared_ptr<const submit::MarkKey>> Service::mark_key() {
  auto key = mark_key_.lock();
  if (*key == nullptr) {
    auto made = submit::MarkKey::open(mark_path_);
    if (!made) return std::unexpected(std::move(made.error()).in("secret of our own mail"));
    *key = std::make_shared<const submit::MarkKey>(std::move(*made));
  }
  return *key;
}

base::Result<std::shared_ptr<store::Store>> Service::store() {
  if (store_place_.where.empty()) return base::fail(base::Cause::misconfigured, "postern.yaml names no store");
  // Whoever comes while it is being opened waits for the outcome, and has it too.
  auto opening = store_.lock();
  if (opening->store != nullptr) return opening->store;
  if (opening->failure && std::chrono::steady_clock::now() - opening->failed < store_retry_) {
    return std::unexpected(*opening->failure);
  }
  auto made = store::Store::open(store_place_);
  if (!made) {
    opening->failure = std::move(made.error()).in("store");
    opening->failed = std::chrono::steady_clock::now();
    return std::unexpected(*opening->failure);
  }
  opening->failure.reset();
  opening->store = std::move(*made);
  return opening->store;
}

std::shared_ptr<Live> Service::current() { return *live_.lock(); }

void Service::install(std::shared_ptr<const Generation> generation) {
  auto next = std::make_shared<Live>(generation);
  std::shared_ptr<Live> previous;  // freed outside the lock
  {
    auto live = live_.lock();
    previous = std::exchange(*live, std::move(next));
  }
  memory_.set_bound(generation->settings.limits.memory);
  number_.store(generation->number, std::memory_order_release);
}

}  // namespace postern::milter
