// SPDX-License-Identifier: Apache-2.0
// Facts: what rules can ask about one transaction, computed once when first asked. A fact that was never delivered or
// could not be computed is unknown, never empty. One object per transaction, used by one thread; the message is edited
// while it lives, and header facts follow the edits. Parts that a filter dropped are no longer among the attachments
// and texts. Structure and texts are those of the message as received.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "engine/inspect/answer.h"
#include "engine/match/pattern_set.h"
#include "engine/message/message.h"
#include "rules/ast.h"
#include "rules/body_edits.h"
#include "rules/content.h"
#include "rules/inspection.h"
#include "rules/ruleset.h"

namespace postern::rules {

// Directory answers what rules ask about people. Every answer may be an error: nobody could say.
class Directory {
 public:
  virtual ~Directory() = default;
  // in_group tells, for each of `addresses`, whether it is in `group`.
  virtual std::vector<base::Result<bool>> in_group(std::span<const std::string> addresses,
                                                   const std::string& group) = 0;
  // is_login tells whether `login` is among the logins that `query` (PROFILE.QUERY) has for `address`.
  virtual base::Result<bool> is_login(const std::string& query, const std::string& address,
                                      const std::string& login) = 0;
};

// VirusFact is what the anti-virus engines of the flow said together. `asked` false: there is none.
struct VirusFact {
  bool asked = false;
  bool complete = true;  // every one gave an answer
  std::optional<inspect::VirusVerdict> gravest;
  std::vector<std::string> found;
};
// SpamFact is the same of the anti-spam engines. `reason` says why it is not complete.
struct SpamFact {
  bool asked = false;
  bool complete = true;
  Unknown reason = Unknown::engine;
  std::optional<int64_t> score;  // thousandths, the highest
};

// Engines shows the message to external engines when it is first asked, and remembers what they said.
class Engines {
 public:
  virtual ~Engines() = default;
  virtual const VirusFact& virus() = 0;
  virtual const SpamFact& spam() = 0;
};

class Facts {
 public:
  // `work_count` is what workqueue-count compares with; `flow` the name of the flow taken.
  Facts(message::Message& message, const RuleSet& rules, std::string_view flow, uint64_t work_count);

  message::Message& message() { return message_; }
  const RuleSet& rules() const { return rules_; }
  std::string_view flow() const { return flow_; }
  void set_flow(std::string_view flow) { flow_ = flow; }
  uint64_t work_count() const { return work_count_; }
  // hostname is this gateway's name for $Hostname; what the MTA calls itself where none was set. The text must outlive
  // the object.
  std::string_view hostname() const;
  void set_hostname(std::string_view hostname) { hostname_ = hostname; }

  // reserve is asked for the memory of what filters make beside the message, where it is set; false: there is none
  // left.
  std::function<bool(uint64_t)> reserve;

  // is_copy: the message is itself one that bcc-scan made.
  bool is_copy = false;
  // directory is nullptr where none is configured; it must outlive the object.
  Directory* directory = nullptr;
  // engines is nullptr where none are configured; it must outlive the object.
  Engines* engines = nullptr;
  // What skip-viruscheck and skip-spamcheck said.
  bool skip_virus = false;
  bool skip_spam = false;

  // The phase that evaluate() runs; facts of later phases are unknown.
  Phase phase = Phase::message;
  // headers_delivered false: the MTA was not asked for header fields, so facts about them are unknown.
  bool headers_delivered = true;
  bool headers_known() const { return phase == Phase::message && headers_delivered; }

  // now is seconds since 1970, the same during one transaction; set_now is for tests.
  int64_t now();
  void set_now(int64_t seconds) { now_ = seconds; }

  // header_values returns the decoded values of all fields in header slot `slot` of the rule set, as edited so far.
  const std::vector<std::string>& header_values(uint32_t slot);
  // header_may_match tells whether the pattern with this number of the slot's can match one of header_values(slot).
  bool header_may_match(uint32_t slot, uint32_t member) {
    if (slot < slots_.size() && slots_[slot].scanned_at == message_.headers.generation()) {
      return slots_[slot].candidates.has(member);
    }
    return scan_header(slot, member);
  }
  // content is what content rules search.
  Content& content() { return content_; }
  // inspection is what is in the leaves; who has a scanner gives it that.
  Inspection& inspection() { return inspection_; }
  // scan_text returns which of the patterns on texts can match in `text`.
  match::Candidates scan_text(std::string_view text) const;
  // header_present tells whether any field of that slot is there, decoding nothing.
  bool header_present(uint32_t slot);
  // header_text returns the decoded value of the first field called `name`; where none is there any more, the one that
  // a filter stripped last; else "".
  std::string header_text(std::string_view name);
  // remember_stripped keeps the first value of `name` for header_text before a filter strips it.
  void remember_stripped(std::string_view name);

  // client_address is the client's address as IpPattern's bytes, first true for IPv6; nullopt when the MTA gave none. A
  // mapped IPv4 address is IPv4.
  const std::optional<std::pair<bool, std::array<uint8_t, 16>>>& client_address();

  // structure is nullptr when the body was never delivered.
  const mime::Structure* structure();
  // saw_everything tells whether the structure holds all parts with whole headers: no limit stopped it.
  bool saw_everything();
  // saw_every_reading tells, besides, whether every reader finds these parts and no others.
  bool saw_every_reading();
  // saw_every_content tells, besides, whether every reader decodes them to the same; decodes all leaves.
  bool saw_every_content();
  // attachments are the indexes of leaves that are attachments and of whole attached messages, document order, without
  // the dropped.
  const std::vector<uint32_t>& attachments();
  // is_attached tells whether leaf `part` is an attachment or stands in one.
  bool is_attached(uint32_t part);
  // is_body_text tells whether leaf `part` is text of the body: not an attachment, not in an attached message.
  bool is_body_text(uint32_t part);
  bool dropped(uint32_t part) const { return part < dropped_.size() && dropped_[part]; }
  // mark_dropped takes `part` and everything below it out of the facts.
  void mark_dropped(uint32_t part);

  // What filters want done to the body; evaluate() writes it into the message when all filters have run.
  BodyEdits body_edits;

  // The last match of a content or regex rule of the running filter, for $MatchedContent; at most kMaxMatched bytes.
  std::string matched_content;
  static constexpr size_t kMaxMatched = 1024;
  // Names, types of attachments dropped so far, for $dropped_filename and its kin.
  std::vector<std::string> dropped_names;
  std::vector<std::string> dropped_types;
  // The recipient in question during Phase::rcpt; elsewhere all recipients are looked at.
  std::optional<std::string> current_recipient;

 private:
  struct Slot {
    uint32_t found_at = UINT32_MAX;    // HeaderList::generation() for which `fields` holds
    uint32_t decoded_at = UINT32_MAX;  // the same for `values`
    std::vector<uint32_t> fields;
    std::vector<std::string> values;
    uint32_t scanned_at = UINT32_MAX;  // the same for `candidates`
    uint32_t scans = 0;
    match::Candidates candidates;
  };
  Slot& find_slot(uint32_t slot);
  bool scan_header(uint32_t slot, uint32_t member);
  bool leaf_is_attachment(const mime::Structure& tree, uint32_t part);

  message::Message& message_;
  const RuleSet& rules_;
  std::string_view flow_;
  std::string_view hostname_;
  uint64_t work_count_;
  std::optional<int64_t> now_;
  const Prefilter* prefilter_;
  std::vector<Slot> slots_;
  Inspection inspection_;
  Content content_;
  std::vector<std::pair<std::string, std::string>> stripped_;  // lower-case name, decoded value
  bool client_parsed_ = false;
  std::optional<std::pair<bool, std::array<uint8_t, 16>>> client_;
  std::vector<bool> leaf_attachment_;  // mime::is_attachment by part, asked once
  bool attachments_known_ = false;
  std::vector<uint32_t> attachments_;
  std::vector<bool> dropped_;
};

}  // namespace postern::rules
