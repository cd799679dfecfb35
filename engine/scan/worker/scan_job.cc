// SPDX-License-Identifier: Apache-2.0
// The loop of a scan: what is found is scanned as what was given.
#include "engine/scan/worker/scan_job.h"

#include <algorithm>
#include <deque>
#include <new>
#include <vector>

#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/filetype.h"
#include "engine/scan/worker/office.h"
#include "engine/scan/worker/pdf.h"
#include "engine/scan/worker/readers.h"
#include "engine/scan/worker/text_readers.h"

namespace postern::scan::worker {
namespace {

// Whether a file of this type may need a password, which nobody looks for in what is skipped.
bool may_need_password(FileType type) {
  const FileTypeInfo& row = info(type);
  return row.in(Group::document) || row.in(Group::compressed) || type == FileType::smime || type == FileType::pgp;
}

// Scan is the state of one scan: the leaves so far, and what they may still cost.
struct Scan {
  explicit Scan(const Job& asked) : job(asked), budget(asked.limits, asked.bytes.size()) {}
  const Job& job;
  Budget budget;
  std::deque<Leaf> leaves;  // a leaf stays where it is while more are added
};

void read_leaf(Scan& scan, uint32_t index, uint32_t depth, const Child& what);

class LeafContext : public Context {
 public:
  LeafContext(Scan& scan, uint32_t index, uint32_t depth, const Child& what)
      : scan_(scan), index_(index), depth_(depth), bytes_(what.bytes), charset_(what.charset) {}

  const Job& job() const override { return scan_.job; }
  Budget& budget() override { return scan_.budget; }
  Leaf& leaf() override { return scan_.leaves[index_]; }
  std::string_view bytes() const override { return bytes_; }
  std::string_view charset() const override { return charset_; }
  bool wants_text() const override { return scan_.job.want_text && !text_full_; }

  bool child(const Child& found) override {
    if (depth_ + 1 > scan_.job.limits.depth) {
      fail(Reason::depth);
      return false;
    }
    if (found.bytes.size() > scan_.job.limits.size) {
      member_unread(found.name, found.bytes.size(), Reason::size, Protection::unknown);
      return true;
    }
    const std::optional<uint32_t> index = add(found);
    if (!index) return false;
    read_leaf(scan_, *index, depth_ + 1, found);
    if (!scan_.budget.expired()) return true;
    fail(Reason::time);
    return false;
  }

  bool member_unread(std::string_view name, uint64_t size, Reason reason, Protection protection) override {
    Child found;
    found.name = name;
    const std::optional<uint32_t> index = add(found);
    if (!index) return false;
    Leaf& added = scan_.leaves[*index];
    added.size = size;
    added.reason = reason;
    added.protection = protection;
    added.types.push_back(FileType::unknown);
    added.mime = info(FileType::unknown).mime;
    return true;
  }

  bool text(std::string_view utf8) override {
    if (!wants_text()) return false;
    const uint64_t fits = scan_.budget.take_text(utf8.size());
    uint64_t whole = fits;
    while (whole > 0 && whole < utf8.size() && (utf8[whole] & 0xC0) == 0x80) --whole;
    std::string& text = leaf().text;
    const uint64_t size = text.size() + whole;
    // Much text grows in few steps, as each holds old and new; pages that nothing is written to take no memory.
    constexpr uint64_t kMuch = 4u << 20;
    if (size > text.capacity()) {
      const uint64_t wanted = (size > kMuch ? 4 : 2) * uint64_t{text.capacity()};
      text.reserve(std::max(size, std::min(wanted, scan_.job.limits.text)));
    }
    text.append(utf8.substr(0, whole));
    if (fits == utf8.size()) return true;
    text_full_ = true;
    fail(Reason::text);
    return false;
  }

  void fail(Reason reason) override {
    if (outweighs(reason, leaf().reason)) leaf().reason = reason;
  }

 private:
  std::optional<uint32_t> add(const Child& found) {
    if (scan_.leaves.size() >= kMaxLeaves || !scan_.budget.take_member()) {
      fail(Reason::members);
      return std::nullopt;
    }
    Leaf added;
    added.name = clean_name(found.name, kMaxName);
    added.path = leaf().path + found.separator + clean_name(found.label, kMaxName) + added.name;
    if (added.path.size() > kMaxPath) added.path.resize(kMaxPath);
    added.declared_mime = clean_name(found.declared_mime, kMaxMime);
    added.size = found.bytes.size();
    added.parent = index_;
    added.reason = found.lost;
    if (found.embedded) added.marks = static_cast<uint16_t>(Mark::embedded);
    scan_.leaves.push_back(std::move(added));
    return static_cast<uint32_t>(scan_.leaves.size() - 1);
  }

  Scan& scan_;
  uint32_t index_;
  uint32_t depth_;
  std::string_view bytes_;
  std::string_view charset_;
  bool text_full_ = false;
};

// lacks_pdf tells whether something is called a PDF and is none, nor anything else but text: other readers repair such
// files, and show what was not read here.
bool lacks_pdf(const Leaf& leaf) {
  const bool called = type_of_extension(plain_name(leaf.name)) == FileType::pdf ||
                      leaf.declared_mime == "application/pdf" || leaf.declared_mime == "application/x-pdf";
  return called && leaf.size > 0 && std::ranges::all_of(leaf.types, [](FileType type) {
           return type == FileType::unknown || info(type).in(Group::text);
         });
}

// lacks_archive tells whether something is called an archive, or an image, and is nothing that has a reader: what it is
// called may be unpacked elsewhere. A program that is found in it may be a member. A part of a volume may look like
// anything; in text is one that is called so alone.
bool lacks_archive(const Leaf& leaf, std::string_view bytes) {
  const std::string name = plain_name(leaf.name);
  if (bytes.empty() || !is_called_packed(name)) return false;
  // Zero bytes that happen to stand as in UTF-16 make no text of a volume.
  const bool marked = bytes.starts_with("\xff\xfe") || bytes.starts_with("\xfe\xff");
  const bool zeros = !marked && bytes.find('\0') != std::string_view::npos;
  bool text = false;
  for (const FileType type : leaf.types) {
    if (type == FileType::txt) {
      text = !zeros;
    } else if (type != FileType::unknown && (type != FileType::exe || bytes.starts_with("MZ"))) {
      return false;
    }
  }
  if (!text) return true;
  const size_t dot = name.rfind('.');
  const bool number = name.find_first_not_of("0123456789", dot + 1) == std::string::npos;
  if (number) return is_called_packed(name.substr(0, dot));
  // Names that text has, too.
  constexpr std::string_view kOfText[] = {"a", "arc", "br", "pkg", "z"};
  return std::ranges::find(kOfText, name.substr(dot + 1)) == std::end(kOfText);
}

// Recursion is as deep as limits.depth, at most 50.
void read_leaf(Scan& scan, uint32_t index, uint32_t depth, const Child& what) {
  LeafContext context(scan, index, depth, what);
  TypeGuess guess = guess_types(what.bytes, context.leaf().name, context.leaf().declared_mime);
  if (what.is_message && guess.types.front() != FileType::rfc822) {
    std::erase(guess.types, FileType::rfc822);
    guess.types.insert(guess.types.begin(), FileType::rfc822);
    guess.mime = info(FileType::rfc822).mime;
  }
  if (guess.types.size() > kMaxTypes) guess.types.resize(kMaxTypes);
  context.leaf().types = guess.types;
  context.leaf().mime = guess.mime;
  const auto skipped = [&](FileType type) { return scan.job.skip.test(static_cast<size_t>(type)); };
  if (std::ranges::all_of(guess.types, skipped)) {
    if (std::ranges::any_of(guess.types, may_need_password)) context.leaf().protection = Protection::unknown;
    return;
  }
  if (guess.packed) context.fail(Reason::unsupported);
  if (guess.as_text) guess.types.push_back(FileType::txt);
  if (lacks_pdf(context.leaf())) context.fail(Reason::corrupt);
  if (lacks_archive(context.leaf(), what.bytes)) context.fail(Reason::unsupported);
  const auto read = [&context](Reader reader) {
    try {
      reader(context);
    } catch (const std::bad_alloc&) {
      context.fail(Reason::memory);
    } catch (const std::exception&) {
      context.fail(Reason::corrupt);
    }
  };
  std::vector<Reader> done;
  // It has no type of its own, and what is in it may give it any.
  if (is_webarchive(what.bytes)) {
    done.push_back(read_webarchive);
    read(read_webarchive);
  }
  for (const FileType type : guess.types) {
    for (const Reading& row : readings()) {
      if (row.type != type || std::ranges::find(done, row.reader) != done.end()) continue;
      done.push_back(row.reader);
      read(row.reader);
    }
  }
  // Readers stop in many places when the time is over.
  if (!done.empty() && scan.budget.expired()) context.fail(Reason::time);
}

}  // namespace

void prepare() {
  prepare_types();
  prepare_archives();
  prepare_office();
  prepare_text();
  prepare_pdf();
}

Verdict scan_job(const Job& job) {
  Scan scan(job);
  Leaf first;
  first.name = clean_name(job.name, kMaxName);
  first.declared_mime = clean_name(job.declared_mime, kMaxMime);
  first.size = job.bytes.size();
  scan.leaves.push_back(std::move(first));
  Child whole;
  whole.bytes = job.bytes;
  whole.name = job.name;
  whole.charset = job.charset;
  whole.is_message = job.is_message;
  read_leaf(scan, 0, 0, whole);
  Verdict verdict;
  verdict.leaves.assign(std::make_move_iterator(scan.leaves.begin()), std::make_move_iterator(scan.leaves.end()));
  return verdict;
}

}  // namespace postern::scan::worker
