// SPDX-License-Identifier: Apache-2.0
// The daemon itself looks into its store, so that nobody else's files, locks or rights come into it.
#include "milter/outbox_requests.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "engine/base/text.h"
#include "milter/events.h"

namespace postern::milter {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kPage = 500;

// All mails of the outbox, at most kMostListed.
base::Result<std::vector<store::Outgoing>> all_mails(Service& service) {
  auto store = service.store();
  if (!store) return std::unexpected(std::move(store.error()));
  std::vector<store::Outgoing> out;
  while (out.size() < kMostListed) {
    auto page = (*store)->outbox(out.empty() ? 0 : out.back().id, kPage);
    if (!page) return std::unexpected(std::move(page.error()));
    const bool last = page->size() < kPage;
    for (store::Outgoing& mail : *page) out.push_back(std::move(mail));
    if (last) break;
  }
  return out;
}

std::string_view state_name(const store::Outgoing& mail) {
  return mail.state == store::Outgoing::State::failed ? "failed" : "waiting";
}

Json refusal(std::string_view reason) { return {{"error", reason}}; }

}  // namespace

Json outbox_summary(Service& service) {
  if (service.current()->generation->settings.store.empty()) return nullptr;
  auto store = service.store();
  if (!store) return refusal(store.error().text());
  const auto found = (*store)->outbox_summary();
  if (!found) return refusal(found.error().text());
  return {{"waiting", found->waiting},
          {"failed", found->failed},
          {"oldest", found->waiting == 0 ? Json() : Json(found->oldest)},
          {"last_error", found->last_error}};
}

Json outbox_request(Service& service, const Json& request, unsigned uid) {
  const std::string action = request.value("action", std::string());
  if (action == "list") {
    const auto mails = all_mails(service);
    if (!mails) return refusal(mails.error().text());
    Json list = Json::array();
    for (const store::Outgoing& mail : *mails) {
      list.push_back({{"id", mail.id},
                      {"kind", store::mail_kind_name(mail.kind)},
                      {"state", state_name(mail)},
                      {"mid", mail.mid},
                      {"cause_mid", mail.cause_mid},
                      {"from", mail.from},
                      {"to", mail.recipients},
                      {"size", mail.size},
                      {"attempts", mail.attempts},
                      {"created", mail.created},
                      {"next", mail.next},
                      {"host", mail.host},
                      {"last_error", mail.last_error}});
    }
    return {{"mails", std::move(list)}};
  }
  if (action != "retry" && action != "drop") return refusal("an action is list, retry or drop");
  std::vector<int64_t> ids;
  if (request.value("failed", false)) {
    const auto mails = all_mails(service);
    if (!mails) return refusal(mails.error().text());
    for (const store::Outgoing& mail : *mails) {
      if (mail.state == store::Outgoing::State::failed) ids.push_back(mail.id);
    }
  }
  if (const auto given = request.find("ids"); given != request.end() && given->is_array()) {
    for (const Json& id : *given) {
      if (id.is_number_integer()) ids.push_back(id.get<int64_t>());
    }
  }
  auto store = service.store();
  if (!store) return refusal(store.error().text());
  Json changed = Json::array();
  Json missing = Json::array();
  for (const int64_t id : ids) {
    const base::Result<void> done =
        action == "retry" ? (*store)->renew(id, static_cast<int64_t>(std::time(nullptr))) : (*store)->remove(id);
    if (!done && done.error().cause() != base::Cause::not_found) return refusal(done.error().text());
    (done ? changed : missing).push_back(id);
    if (!done) continue;
    base::emit(event(Event::outbox_changed), {{"id", std::to_string(id)},
                                              {"what", action == "retry" ? "made due" : "dropped"},
                                              {"uid", std::to_string(uid)}});
  }
  if (action == "retry") service.mail_waits();
  return {{"changed", std::move(changed)}, {"missing", std::move(missing)}};
}

}  // namespace postern::milter
