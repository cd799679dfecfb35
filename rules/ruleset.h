// SPDX-License-Identifier: Apache-2.0
// RuleSet: all filters of one configuration generation, checked and frozen. Immutable; shared by all threads through
// shared_ptr; each message uses one RuleSet from start to end.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/source.h"
#include "engine/config/yaml.h"
#include "engine/match/dictionary.h"
#include "rules/ast.h"

namespace postern::rules {

// LoadContext is what the daemon's file says that rules may refer to.
struct LoadContext {
  std::vector<std::string> flows;          // names of the flows
  std::vector<std::string> quarantines;    // names that `quarantine` may use
  bool store = false;                      // there is a store for what quarantines keep
  bool groups = false;                     // there is a query for groups
  std::vector<std::string> login_queries;  // PROFILE.QUERY of queries that have logins
  bool virus_engines = false;              // a flow has an engine whose verdict virus-verdict is
  bool spam_engines = false;               // the same of spam-score
  bool sendmail = false;                   // mta: sendmail — actions that only Postfix can do are refused
  std::array<OnUnknown, kUnknownReasons> on_unknown = {OnUnknown::skip,      OnUnknown::by_action,
                                                       OnUnknown::by_action, OnUnknown::tempfail,
                                                       OnUnknown::skip,      OnUnknown::by_action};  // by Unknown
  std::string default_quarantine = "Policy";
  std::vector<std::shared_ptr<const match::Dictionary>> dictionaries;  // that rules may name
  bool reinject = false;                                               // mail of our own can be submitted
  std::string notice_from;            // From of notices that name none; empty: postmaster of this host
  std::vector<std::string> archives;  // names that `archive` may use
  std::vector<std::pair<std::string, uint32_t>> texts;  // of notices: name, and the source that holds it
};

struct Prefilter;

// Gate is a header pattern without which a filter's condition is false, as slot and number (Test::member); kNoMember:
// there is none.
struct Gate {
  uint32_t slot = 0;
  uint32_t member = kNoMember;
};

class RuleSet {
 public:
  RuleSet();
  ~RuleSet();
  // load parses and checks the rule files `sources` (ids in order); every error of every file goes to `diagnostics`.
  // Returns nullptr when there is any error.
  static std::shared_ptr<const RuleSet> load(const config::Sources& sources, const std::vector<uint32_t>& files,
                                             const LoadContext& context, config::Diagnostics& diagnostics);

  const std::vector<Filter>& filters() const { return filters_; }
  // header_names are the header fields that conditions name, lower case, each once; Test::header_slot indexes it.
  const std::vector<std::string>& header_names() const { return header_names_; }
  const LoadContext& context() const { return context_; }
  // dictionaries are those that rules name, in the order in which they first did. Entry i of one is number
  // dictionary_member(d) + i among the patterns of texts.
  const std::vector<std::shared_ptr<const match::Dictionary>>& dictionaries() const { return dictionaries_; }
  uint32_t dictionary_member(uint32_t dictionary) const { return dictionary_members_[dictionary]; }
  // needs is the union over enabled filters of `flow`; an empty flow name means all flows.
  uint32_t needs() const { return needs_; }
  // prepare builds what makes long lists of patterns fast; takes about a millisecond a pattern. Messages may be
  // evaluated before, during and after; those begun after use it. Once is enough, more do nothing.
  void prepare() const;
  // gates has one entry per filter.
  const std::vector<Gate>& gates() const { return gates_; }
  // prefilter is what prepare() made, or nullptr.
  const Prefilter* prefilter() const { return prefilter_.load(std::memory_order_acquire); }
  // has_phase tells whether any enabled filter runs at `phase`.
  bool has_phase(Phase phase) const { return phases_ >> static_cast<unsigned>(phase) & 1; }

 private:
  friend class Loader;
  std::vector<Filter> filters_;
  std::vector<Gate> gates_;
  std::vector<std::string> header_names_;
  LoadContext context_;
  std::vector<std::shared_ptr<const match::Dictionary>> dictionaries_;
  std::vector<uint32_t> dictionary_members_;
  uint32_t needs_ = 0;
  uint32_t phases_ = 0;
  mutable std::once_flag prepared_;
  mutable std::unique_ptr<const Prefilter> owned_prefilter_;
  mutable std::atomic<const Prefilter*> prefilter_{nullptr};
};

}  // namespace postern::rules
