// SPDX-License-Identifier: Apache-2.0
// All profiles sign the same bytes: which fit is decided first, then the body is made fit for transport once, then each
// signs, and the signatures are put on top together.
#include "milter/stages/sign.h"

#include <algorithm>
#include <utility>

#include "engine/base/text.h"
#include "engine/message/address.h"
#include "milter/stages/recode.h"
#include "milter/stages/sendmail_form.h"

namespace postern::stages {
namespace {

constexpr size_t kMostAddresses = 100;  // of From and Sender; more is no author's field
constexpr uint32_t kWeakestRsa = 1024;  // RFC 8301 section 3.2

using Outcome = ProfileReport::Outcome;

// The only field called `name`, or why there is none.
base::Result<std::string_view> only_field(const mime::HeaderList& headers, std::string_view name) {
  const size_t at = headers.find(name);
  if (at == mime::HeaderList::npos) return base::fail(base::Cause::not_found, "there is no " + std::string(name));
  if (headers.find(name, at + 1) != mime::HeaderList::npos) {
    return base::fail(base::Cause::malformed, "there is more than one " + std::string(name) + " field");
  }
  return std::string_view(headers[at].value);
}

std::string normal_address(const message::Mailbox& mailbox) {
  return base::lower(mailbox.local) + "@" + message::a_labels(mailbox.domain);
}

Author nobody(std::string why) { return {{}, std::move(why)}; }

// The one mailbox of Sender.
Author find_sender(const mime::HeaderList& headers) {
  const auto field = only_field(headers, "Sender");
  if (!field) return nobody(field.error().text());
  const message::AddressList list = message::parse_address_list(*field, 2);
  if (list.malformed || list.truncated || list.mailboxes.size() != 1 || list.mailboxes[0].domain.empty()) {
    return nobody("Sender is not one address");
  }
  return {normal_address(list.mailboxes[0]), {}};
}

bool is_below(std::string_view domain, std::string_view parent) {
  if (domain == parent) return true;
  return domain.size() > parent.size() && domain.ends_with(parent) && domain[domain.size() - parent.size() - 1] == '.';
}

// A name or address as lists of users hold it.
std::string normal_user(std::string_view user) {
  const size_t at = user.rfind('@');
  if (at == std::string_view::npos) return base::lower(user);
  return base::lower(user.substr(0, at)) + "@" + message::a_labels(user.substr(at + 1));
}

bool listed(const std::vector<std::string>& users, std::string_view who) {
  if (who.empty()) return false;
  const size_t at = who.rfind('@');
  return std::ranges::any_of(users, [&](const std::string& entry) {
    if (entry == who) return true;
    return entry.starts_with('@') && at != std::string_view::npos && who.substr(at) == entry;
  });
}

bool has_eight_bit_header(const mime::HeaderList& headers) {
  return std::ranges::any_of(headers, [](const mime::HeaderField& field) { return !base::is_ascii(field.value); });
}

}  // namespace

std::string_view align_name(Align align) {
  switch (align) {
    case Align::from:
      return "from";
    case Align::sender:
      return "sender";
    case Align::any:
      return "any";
  }
  return "from";
}

std::string_view when_unavailable_name(WhenUnavailable what) {
  switch (what) {
    case WhenUnavailable::defer:
      return "defer";
    case WhenUnavailable::unsigned_:
      return "unsigned";
    case WhenUnavailable::reject:
      return "reject";
  }
  return "defer";
}

Author find_author(const mime::HeaderList& headers, Align align) {
  const auto from = only_field(headers, "From");
  if (!from) return nobody(from.error().text());
  if (align == Align::sender && headers.find("Sender") != mime::HeaderList::npos) return find_sender(headers);
  const message::AddressList list = message::parse_address_list(*from, kMostAddresses);
  if (list.malformed || list.truncated) return nobody("From cannot be read without doubt");
  if (list.mailboxes.empty()) return nobody("From has no address");
  if (list.mailboxes.size() > 1) {
    Author sender = find_sender(headers);
    if (sender.address.empty()) return nobody("From has several addresses and " + sender.why);
    return sender;
  }
  if (list.mailboxes[0].domain.empty()) return nobody("From has an address without a domain");
  return {normal_address(list.mailboxes[0]), {}};
}

std::string why_not(const SigningProfile& profile, const Author& author, const std::optional<std::string>& user) {
  if (profile.align != Align::any) {
    if (author.address.empty()) return author.why;
    const std::string_view domain = std::string_view(author.address).substr(author.address.rfind('@') + 1);
    if (!is_below(domain, profile.dkim.domain)) return "the author's domain is " + std::string(domain);
  }
  if (!profile.users.empty() && !listed(profile.users, author.address) &&
      !(user && listed(profile.users, normal_user(*user)))) {
    return "neither author nor login is among its users";
  }
  return {};
}

Signer::Signer(std::vector<SigningProfile> profiles, std::shared_ptr<crypto::KeyOps> keys,
               std::chrono::milliseconds timeout, bool sendmail)
    : profiles_(std::move(profiles)), keys_(std::move(keys)), timeout_(timeout), sendmail_(sendmail) {
  for (const SigningProfile& profile : profiles_) {
    known_types_.push_back(std::make_unique<std::atomic<uint8_t>[]>(profile.dkim.keys.size()));
  }
}

Signer::~Signer() = default;

// with_types returns the profile with the types of its keys filled in.
base::Result<auth::DkimProfile> Signer::with_types(uint32_t index, crypto::Deadline deadline) const {
  const SigningProfile& profile = profiles_[index];
  auth::DkimProfile out = profile.dkim;
  for (size_t i = 0; i < out.keys.size(); ++i) {
    auth::DkimKey& key = out.keys[i];
    std::atomic<uint8_t>& known = known_types_[index][i];
    if (const uint8_t type = known.load(std::memory_order_relaxed); type != 0) {
      key.type = static_cast<crypto::KeyType>(type);
      continue;
    }
    if (profile.types[i]) {
      key.type = *profile.types[i];
    } else {
      auto info = keys_->describe(key.key, deadline);
      if (!info) return std::unexpected(std::move(info.error()).in("key '" + key.key + "'"));
      if (info->type == crypto::KeyType::rsa && info->bits != 0 && info->bits < kWeakestRsa) {
        return base::fail(base::Cause::misconfigured, "key '" + key.key + "' has " + std::to_string(info->bits) +
                                                          " bits; verifiers take 1024 and more");
      }
      key.type = info->type;
    }
    known.store(static_cast<uint8_t>(key.type), std::memory_order_relaxed);
  }
  return out;
}

// forget_types makes the next message ask again: a key may have been replaced by one of another type.
void Signer::forget_types(uint32_t index) const {
  for (size_t i = 0; i < profiles_[index].dkim.keys.size(); ++i) {
    known_types_[index][i].store(0, std::memory_order_relaxed);
  }
}

SignReport Signer::run(message::Message& message, std::span<const uint32_t> chosen, int64_t now) const {
  SignReport report;
  std::vector<uint32_t> fitting;
  bool encode = false;
  std::optional<Author> authors[3];  // by Align; found once
  for (const uint32_t index : chosen) {
    const SigningProfile& profile = profiles_[index];
    std::optional<Author>& author = authors[static_cast<size_t>(profile.align)];
    if (!author) author = find_author(message.headers, profile.align);
    std::string why = why_not(profile, *author, message.envelope.auth_user);
    if (!why.empty()) {
      report.profiles.push_back({profile.name, Outcome::passed_over, std::move(why), {}, {}});
      continue;
    }
    fitting.push_back(index);
    encode = encode || profile.encode_eight_bit;
  }
  if (fitting.empty()) return report;

  if (encode) {
    Recoded recoded = recode_for_transport(message);
    report.recoded_parts = recoded.parts;
    report.left = std::move(recoded.left);
  }
  if (sendmail_) use_sendmail_form(message.headers);
  report.eight_bit_header = has_eight_bit_header(message.headers);

  const crypto::Deadline deadline = crypto::Deadline::clock::now() + timeout_;
  const mime::Pieces body = message.final_body();
  std::vector<std::string> signatures;
  for (const uint32_t index : fitting) {
    const SigningProfile& profile = profiles_[index];
    const auto fail = [&](const base::Error& error) {
      report.profiles.push_back({profile.name, Outcome::failed, error.text(), error.cause(), profile.when_unavailable});
      if (profile.when_unavailable == WhenUnavailable::unsigned_) return;
      // A deferred message may still be refused later; the other way round nothing can be made good.
      if (report.decision != WhenUnavailable::defer) report.decision = profile.when_unavailable;
    };
    const auto typed = with_types(index, deadline);
    if (!typed) {
      fail(typed.error());
      continue;
    }
    auto values = auth::sign_message(*typed, message.headers, body, now, *keys_, deadline);
    if (!values) {
      if (values.error().cause() != base::Cause::unavailable) forget_types(index);
      fail(values.error());
      continue;
    }
    std::string detail = "d=" + typed->domain;
    for (const auth::DkimKey& key : typed->keys) detail += " s=" + key.selector;
    report.profiles.push_back({profile.name, Outcome::signed_, std::move(detail), {}, {}});
    for (std::string& value : *values) signatures.push_back(std::move(value));
  }
  if (report.decision) return report;
  // The first key's signature ends up on top.
  for (auto it = signatures.rbegin(); it != signatures.rend(); ++it) {
    message.headers.insert_top("DKIM-Signature", *it);
  }
  return report;
}

}  // namespace postern::stages
