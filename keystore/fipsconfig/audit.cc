// SPDX-License-Identifier: Apache-2.0
// fipsconfig audit: the records of fipsd, shown and checked. The chain is checked here, over what was read, by the same
// code that wrote it.
#include "keystore/audit.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "engine/base/handle.h"
#include "keystore/fipsconfig/session.h"

namespace postern::keystore::fipsconfig {
namespace {

constexpr int kFollowMilliseconds = 500;
constexpr size_t kMaxLine = 64u << 10;

// Calls `take` with each line of `text`, which ends with a line end, until it returns an error.
template <class Take>
Answer<int> each_line(std::string_view text, Take take) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return stop(kUnavailable, "fipsd's answer is not understood");
    if (const Answer<int> done = take(text.substr(0, end)); !done) return done;
    text.remove_prefix(end + 1);
  }
  return kDone;
}

// The number in front of a record, {"seq":7,…; 0 where there is none.
uint64_t sequence_of(std::string_view line) {
  constexpr std::string_view kBegin = "{\"seq\":";
  if (!line.starts_with(kBegin)) return 0;
  uint64_t number = 0;
  for (const char c : line.substr(kBegin.size())) {
    if (c < '0' || c > '9' || number > UINT64_MAX / 10 - 1) break;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number;
}

void print_record(std::string_view line) {
  const auto record = nlohmann::ordered_json::parse(line, nullptr, false);
  if (record.is_discarded() || !record.is_object()) {
    out(shown(line) + "\n");
    return;
  }
  std::string text;
  for (const auto& [name, value] : record.items()) {
    if (name == "prev" || name == "segment") continue;
    const auto* word = value.get_ptr<const std::string*>();
    // The writer has made values safe already, so what is shown is what was recorded; shown() only guards the terminal.
    const std::string safe = word != nullptr ? shown(*word) : value.dump();
    if (name == "seq" || name == "time" || name == "action") {
      text += (text.empty() ? "" : " ") + safe;
    } else {
      text += fmt::format(" {}={}", shown(name), safe.find(' ') == std::string::npos ? safe : "\"" + safe + "\"");
    }
  }
  out(text + "\n");
}

void print_line(std::string_view line, bool json) {
  if (!json) return print_record(line);
  const Json record = Json::parse(line, nullptr, false);
  // As fipsd wrote it, so that the chain can be checked over it; unless that could harm a terminal.
  const bool plain = std::ranges::all_of(line, [](char c) { return c >= 0x20 && c <= 0x7E; });
  out((plain || record.is_discarded() ? shown(line) : record.dump(-1, ' ', true)) + "\n");
}

// Reads one page of records from `from` on and moves it.
Answer<std::string> page_from(Session& session, uint64_t& from) {
  AuditPage question;
  question.from = from;
  const auto text = session.ask(Verb::audit_read, question.encode());
  if (!text) return std::unexpected(text.error());
  const auto page = AuditPage::decode(*text);
  if (!page) return stop(kUnavailable, page.error().text());
  if (page->next < from || (page->next == from && !page->data.empty()))
    return stop(kUnavailable, "fipsd's answer is not understood");
  from = page->next;
  return std::string(page->data);
}

// Prints what there is from `from` to `to`, and moves `from` behind it.
Answer<int> print_records(Session& session, uint64_t& from, uint64_t to, bool json) {
  for (;;) {
    const uint64_t before = from;
    const auto page = page_from(session, from);
    if (!page) return std::unexpected(page.error());
    const auto done = each_line(*page, [&](std::string_view line) -> Answer<int> {
      if (sequence_of(line) <= to) print_line(line, json);
      return kDone;
    });
    if (!done) return done;
    if (from == before || from > to) return kDone;
  }
}

struct Head {
  uint64_t first = 0;
  uint64_t last = 0;
  std::string hash;
};

Answer<Head> head_of(Session& session) {
  const auto status = session.status();
  if (!status) return std::unexpected(status.error());
  const Json& audit = member(*status, "audit");
  return Head{number_of(audit, "first"), number_of(audit, "sequence"), text_of(audit, "hash")};
}

Answer<int> show(const Common& common, const AuditQuery& query) {
  if (query.from > query.to) return stop(kUsage, "--from is after --to");
  auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  const auto head = head_of(*session);
  if (!head) return std::unexpected(head.error());
  uint64_t from = std::max({query.from, head->first, uint64_t{1}});
  if (from > head->last) return kDone;
  return print_records(*session, from, std::min(query.to, head->last), query.json);
}

Answer<int> tail(const Common& common, const AuditQuery& query) {
  auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  const auto head = head_of(*session);
  if (!head) return std::unexpected(head.error());
  uint64_t from = std::max({head->first, uint64_t{1}, head->last >= query.count ? head->last - query.count + 1 : 0});
  for (;;) {
    if (const auto done = print_records(*session, from, UINT64_MAX, query.json); !done) return done;
    if (!query.follow) return kDone;
    // Whoever reads the output may go; then there is nobody to follow for.
    if (std::fflush(stdout) != 0) return kDone;
    pollfd reader{STDOUT_FILENO, 0, 0};
    if (::poll(&reader, 1, kFollowMilliseconds) > 0 && (reader.revents & (POLLERR | POLLHUP)) != 0) return kDone;
  }
}

// Chain follows records across pages and files.
class Chain {
 public:
  Answer<int> take(std::string_view line) {
    uint64_t count = 0;
    auto hash = verify_audit(std::string(line) + "\n", hash_, count);
    if (!hash) return stop(kNo, fmt::format("after record {}: {}", last_, hash.error().text()));
    hash_ = std::move(*hash);
    last_ = sequence_of(line);
    if (first_ == 0) first_ = last_;
    ++count_;
    return kDone;
  }
  const std::string& hash() const { return hash_; }
  uint64_t first() const { return first_; }
  uint64_t last() const { return last_; }
  uint64_t count() const { return count_; }

 private:
  std::string hash_;
  uint64_t first_ = 0;
  uint64_t last_ = 0;
  uint64_t count_ = 0;
};

Answer<int> report(const Chain& chain, const Answer<int>& outcome, bool json) {
  if (json) {
    Json answer = {{"ok", outcome.has_value()},
                   {"records", chain.count()},
                   {"first", chain.first()},
                   {"last", chain.last()},
                   {"hash", chain.hash()}};
    if (!outcome) answer["error"] = outcome.error().text;
    out_json(answer);
  } else if (outcome) {
    out(fmt::format("{} records, {} to {}, unbroken; last hash {}\n", chain.count(), chain.first(), chain.last(),
                    chain.hash()));
  }
  return outcome;
}

Answer<int> follow_chain(Session& session, Chain& chain) {
  const auto head = head_of(session);
  if (!head) return std::unexpected(head.error());
  uint64_t from = std::max(head->first, uint64_t{1});
  const uint64_t first = from;
  while (chain.last() < head->last) {
    const uint64_t before = from;
    const auto page = page_from(session, from);
    if (!page) return std::unexpected(page.error());
    // Records that came after the question are left for the next time.
    const auto done = each_line(*page, [&](std::string_view line) -> Answer<int> {
      return chain.last() < head->last ? chain.take(line) : kDone;
    });
    if (!done) return done;
    if (from == before) return stop(kNo, fmt::format("records after {} are missing", chain.last()));
  }
  if (chain.count() == 0) return kDone;
  if (chain.first() != first) return stop(kNo, fmt::format("record {} is missing", first));
  if (chain.last() != head->last || chain.hash() != head->hash)
    return stop(kNo, fmt::format("record {} is not the one that fipsd wrote last", chain.last()));
  return kDone;
}

Answer<int> follow_file(const std::string& path, Chain& chain) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return stop(kBadData, base::system_error(path, errno).text());
  std::string buffer;
  std::string piece(1u << 20, '\0');
  for (;;) {
    const ssize_t count = ::read(fd.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return stop(kBadData, base::system_error(path, errno).text());
    if (count == 0) break;
    buffer.append(piece, 0, static_cast<size_t>(count));
    const size_t whole = buffer.rfind('\n') + 1;
    const auto done =
        each_line(std::string_view(buffer).substr(0, whole), [&](std::string_view line) { return chain.take(line); });
    if (!done) return stop(kNo, path + ": " + done.error().text);
    buffer.erase(0, whole);
    if (buffer.size() > kMaxLine) break;
  }
  if (!buffer.empty())
    return stop(kNo, fmt::format("{}: after record {}: the last line has no end", path, chain.last()));
  return kDone;
}

Answer<int> verify(const Common& common, const AuditQuery& query) {
  Chain chain;
  if (query.files.empty()) {
    auto session = Session::open(common);
    if (!session) return std::unexpected(session.error());
    return report(chain, follow_chain(*session, chain), query.json);
  }
  Answer<int> outcome = kDone;
  for (const std::string& path : query.files) {
    outcome = follow_file(path, chain);
    if (!outcome) break;
  }
  return report(chain, outcome, query.json);
}

}  // namespace

int run_audit_show(const Common& common, const AuditQuery& query) { return finish(show(common, query)); }
int run_audit_tail(const Common& common, const AuditQuery& query) { return finish(tail(common, query)); }
int run_audit_verify(const Common& common, const AuditQuery& query) { return finish(verify(common, query)); }

}  // namespace postern::keystore::fipsconfig
