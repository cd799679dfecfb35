// SPDX-License-Identifier: Apache-2.0
// A machine over lines. Outside header blocks a line matters only when it begins with "--", so content is skipped by
// memchr; a line cut by a chunk border is kept only as far as it can still be a delimiter or is a header line. CRLF, LF
// and a bare CR each end a line (CRs before an LF belong to it), because some reader takes each of them so. The stack
// holds the open parts, outermost first; its depth is bounded by limits.mime_depth.
#include "engine/mime/parser.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/base/text.h"
#include "engine/mime/loose_header.h"
#include "engine/mime/part_header.h"

namespace postern::mime {
namespace {

constexpr size_t kLongestLine = 998;
constexpr size_t kDelimiterKeep = kLongestBoundary + 8;  // of a content line cut by a chunk border
constexpr size_t kTailKeep = 80;                         // of the end of a line
constexpr unsigned kMostProbed = 32;                     // lines looked at for a header that is in the wrong place
constexpr uint64_t kHeaderBytesFactor = 32;              // all part headers together, in units of limits.header_size

bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool all_blank(std::string_view text) { return std::ranges::all_of(text, is_blank); }

// Line is one line without its end. `head` is its beginning, all of it when it is short enough to matter.
struct Line {
  std::string_view head;
  std::string_view tail;  // its end, at most kTailKeep bytes
  uint64_t begin = 0;
  uint64_t size = 0;       // without the line end
  uint64_t eol = 0;        // bytes of the line end
  bool tail_blank = true;  // what `head` lacks is white space
  bool has_nul = false;
  uint64_t end() const { return begin + size + eol; }
  bool whole() const { return head.size() == size; }
};

// Match is what a line means to one boundary.
enum class Match { none, open, close, near };

constexpr size_t kShortestNear = 3;
std::string_view without_dashes(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of("-\"' \t"), text.size()));
  return text;
}

// is_near tells whether a line is the boundary with some dashes, blanks or quotes more or fewer before it.
bool is_near(const Line& line, std::string_view boundary) {
  const std::string_view bare = without_dashes(boundary);
  return bare.size() >= kShortestNear && without_dashes(line.head).starts_with(bare);
}

// ends_with_boundary tells whether a line that is no delimiter ends with the boundary: behind text, or behind one dash.
bool ends_with_boundary(const Line& line, std::string_view boundary) {
  const std::string_view bare = without_dashes(boundary);
  return bare.size() >= kShortestNear &&
         line.tail.ends_with(bare.substr(bare.size() - std::min(bare.size(), kTailKeep)));
}

Match match_delimiter(const Line& line, std::string_view boundary) {
  if (line.head.size() < boundary.size() + 2) return Match::none;
  if (line.head[2] != boundary[0] || line.head.substr(2, boundary.size()) != boundary) return Match::none;
  std::string_view rest = line.head.substr(boundary.size() + 2);
  if (line.tail_blank && all_blank(rest)) return Match::open;
  if (line.tail_blank && rest.starts_with("--") && all_blank(rest.substr(2))) return Match::close;
  return Match::near;
}

}  // namespace

class Parser::Machine {
 public:
  Machine(const HeaderList& header, const base::Limits& limits) : limits_(limits) {
    structure_.parts.emplace_back();
    describe_part(structure_.parts[0], {header.begin(), header.end()}, HeaderRole::message);
    stack_.push_back({});
    in_header_ = false;
    open_body(0);
    // What is the body of a message that is no more than headers begins with one.
    const std::string& type = structure_.parts[0].type.value;
    if (!in_header_ && !type.starts_with("message/") && type != "text/rfc822-headers") probe();
  }

  void feed(std::string_view chunk);
  Structure finish();

 private:
  // Open is a part whose end was not seen yet.
  struct Open {
    uint32_t part = 0;
    std::string boundary;   // empty unless a multipart
    bool seen = false;      // a delimiter that opens a part was seen
    bool closed = false;    // its closing delimiter was seen
    std::string watched{};  // boundary of what is no multipart: some reader cuts there all the same
  };

  Part& part(const Open& open) { return structure_.parts[open.part]; }
  Part& current() { return part(stack_.back()); }

  size_t keep_limit() const { return std::max<size_t>(in_header_ ? limits_.header_size + 1 : 0, kDelimiterKeep); }

  void probe() {
    probe_ = kMostProbed;
    probed_text_ = false;
  }
  void probe_line(const Line& line);
  void note_near() {
    current().defects.add(Defect::ambiguous_delimiter);
    current().other_reading = true;
  }
  bool ends_like_boundary(char last) const { return boundary_ends_[static_cast<unsigned char>(last)]; }

  void take(std::string_view text);
  void end_line(uint64_t eol, bool line_feed);
  void on_line(const Line& line);
  bool on_header_line(const Line& line);
  bool on_delimiter(const Line& line);
  void add_field(const FieldLine& field, const Line& line);
  bool room_in_header(const Line& line);
  void leave_header(uint64_t end, bool blank_line);
  void open_body(uint64_t begin);
  bool open_part(uint32_t parent, uint64_t outer_begin, uint64_t header_begin);
  void close_above(size_t keep, uint64_t delimiter_begin, uint64_t eol);
  void end_open(const Open& open);
  void number_parts();

  base::Limits limits_;
  Structure structure_;
  std::vector<Open> stack_;
  bool stopped_ = false;  // a limit was hit: no more parts are opened

  // The line being read.
  std::string kept_;         // its beginning, when earlier chunks hold part of it
  std::string tail_;         // its end, likewise
  std::string_view direct_;  // all of it, when it lies in one chunk
  uint64_t line_begin_ = 0;
  uint64_t line_size_ = 0;
  bool tail_blank_ = true;
  bool line_nul_ = false;
  bool chunk_has_nul_ = false;
  uint64_t crs_ = 0;       // CRs read after the line, meaning not yet known
  uint64_t last_eol_ = 0;  // bytes of the line end before this line
  std::string_view last_eol_text_;

  // The header block being read.
  bool in_header_ = false;
  uint64_t header_begin_ = 0;
  uint64_t header_bytes_ = 0;      // stored, of this block
  uint64_t all_header_bytes_ = 0;  // stored, of all blocks
  bool header_full_ = false;
  bool suspect_ = false;  // a line was no field: the block may have ended there
  uint64_t suspect_begin_ = 0;
  unsigned probe_ = 0;        // lines still to be looked at, because what comes first may be a header all the same
  bool probed_text_ = false;  // one was not blank
  std::array<bool, 256> boundary_ends_{};  // last bytes of boundaries
};

// take adds `text` to the line being read, keeping of it what may matter: a header line up to the header's limit, of
// content only what can be a delimiter.
void Parser::Machine::take(std::string_view text) {
  if (text.empty()) return;
  if (chunk_has_nul_ && !line_nul_) line_nul_ = std::memchr(text.data(), 0, text.size()) != nullptr;
  const bool all_kept = kept_.size() == line_size_;
  line_size_ += text.size();
  tail_.append(text.substr(text.size() - std::min(text.size(), kTailKeep)));
  if (tail_.size() > kTailKeep) tail_.erase(0, tail_.size() - kTailKeep);
  if (all_kept) {
    if (!in_header_ && probe_ == 0) {
      if (kept_.empty() && text[0] != '-') return;
      const size_t second = 1 - std::min<size_t>(kept_.size(), 1);
      if (kept_.size() < 2 && second < text.size() && text[second] != '-') return;
    }
    const std::string_view more = text.substr(0, keep_limit() - std::min<uint64_t>(keep_limit(), kept_.size()));
    kept_.append(more);
    text.remove_prefix(more.size());
  }
  if (tail_blank_) tail_blank_ = all_blank(text);
}

void Parser::Machine::feed(std::string_view chunk) {
  if (chunk.empty()) return;
  chunk_has_nul_ = std::memchr(chunk.data(), 0, chunk.size()) != nullptr;
  const char* at = chunk.data();
  const char* const end = at + chunk.size();
  const char* line_feed = at;  // the next LF at or after `at`, or `end`
  bool searched = false;
  while (at < end) {
    if (crs_ > 0) {
      if (*at == '\r') {
        ++crs_;
        ++at;
        continue;
      }
      const uint64_t crs = crs_;
      crs_ = 0;
      if (*at == '\n') {
        ++at;
        if (crs > 1) current().defects.add(Defect::bare_cr);
        end_line(crs + 1, true);
        continue;
      }
      for (uint64_t i = 0; i < crs; ++i) end_line(1, false);
    }
    if (!searched || line_feed < at) {
      const void* found = std::memchr(at, '\n', static_cast<size_t>(end - at));
      line_feed = found == nullptr ? end : static_cast<const char*>(found);
      searched = true;
    }
    const void* found = std::memchr(at, '\r', static_cast<size_t>(line_feed - at));
    const char* const stop = found == nullptr ? line_feed : static_cast<const char*>(found);
    const auto size = static_cast<size_t>(stop - at);
    const bool crlf = found != nullptr && stop + 1 == line_feed && line_feed < end;
    // Nearly every line of a body: content, no delimiter, nothing wrong with it.
    if (crlf && !in_header_ && probe_ == 0 && line_size_ == 0 && *at != '-' && size <= kLongestLine &&
        !chunk_has_nul_ && (size == 0 || !ends_like_boundary(at[size - 1]))) {
      line_begin_ += size + 2;
      last_eol_ = 2;
      at = stop + 2;
      continue;
    }
    const std::string_view text(at, size);
    if (stop == end) {
      take(text);
      return;
    }
    if (line_size_ == 0) {
      direct_ = text;
      line_size_ = size;
      if (chunk_has_nul_ && size > 0) line_nul_ = std::memchr(at, 0, size) != nullptr;
    } else {
      take(text);
    }
    if (crlf) {
      at = stop + 2;
      end_line(2, true);
    } else if (found != nullptr) {
      // A CR whose meaning the next byte decides; what was read of the line must survive the chunk.
      if (!direct_.empty()) {
        const std::string_view whole = direct_;
        direct_ = {};
        line_size_ = 0;
        take(whole);
      }
      crs_ = 1;
      at = stop + 1;
    } else {
      at = stop + 1;
      end_line(1, true);
    }
  }
}

void Parser::Machine::end_line(uint64_t eol, bool line_feed) {
  Line line;
  line.begin = line_begin_;
  line.size = line_size_;
  line.eol = eol;
  line.has_nul = line_nul_;
  if (direct_.empty()) {
    line.head = kept_;
    line.tail = tail_;
    line.tail_blank = tail_blank_;
  } else {
    line.head = direct_.substr(0, keep_limit());
    line.tail = direct_.substr(direct_.size() - std::min(direct_.size(), kTailKeep));
    line.tail_blank = all_blank(direct_.substr(line.head.size()));
  }
  Defects& defects = current().defects;
  if (line_nul_) defects.add(Defect::nul_byte);
  if (line_size_ > kLongestLine) defects.add(Defect::line_too_long);
  if (line_feed && eol == 1) defects.add(Defect::bare_lf);
  if (!line_feed && eol == 1) defects.add(Defect::bare_cr);
  if (in_header_ && (line_nul_ || (!line_feed && eol == 1))) defects.add(Defect::malformed_header);
  on_line(line);
  last_eol_ = eol;
  last_eol_text_ = !line_feed ? "\r" : eol == 1 ? "\n" : "\r\n";
  line_begin_ += line_size_ + eol;
  line_size_ = 0;
  kept_.clear();
  tail_.clear();
  direct_ = {};
  tail_blank_ = true;
  line_nul_ = false;
}

void Parser::Machine::on_line(const Line& line) {
  if (probe_ > 0) probe_line(line);
  if (line.head.starts_with("--") && on_delimiter(line)) return;
  // A line that ends the header block is read again by what follows; each turn goes one part deeper.
  const bool in_text = !in_header_;
  while (in_header_ && !on_header_line(line)) {
    if (line.head.starts_with("--") && on_delimiter(line)) return;
  }
  if (in_text && !stopped_ && !line.tail.empty() && ends_like_boundary(line.tail.back())) {
    const auto is_end = [&](const Open& open) {
      return !open.boundary.empty() && ends_with_boundary(line, open.boundary);
    };
    if (std::ranges::any_of(stack_, is_end)) note_near();
  }
}

// probe_line looks at one line of the first paragraph of a content. A reader that ended the header earlier or later
// than this parser, or that goes on behind a closing delimiter, takes a field about the content for what it says.
void Parser::Machine::probe_line(const Line& line) {
  if (line.size == 0) {
    if (probed_text_) probe_ = 0;
    return;
  }
  probed_text_ = true;
  --probe_;
  if (!is_content_line(line.head)) return;
  probe_ = 0;
  current().defects.add(Defect::malformed_header);
  current().other_reading = true;
}

// on_header_line takes one line of a header block; false when the block had ended before it.
bool Parser::Machine::on_header_line(const Line& line) {
  Part& here = current();
  if (line.size == 0) {
    leave_header(line.end(), true);
    return true;
  }
  // No field name begins so in practice, while text and stray delimiters do.
  if (line.head.starts_with("--")) {
    leave_header(line.begin, false);
    return false;
  }
  if (header_full_) return true;
  const bool continues = is_blank(line.head[0]);
  if (continues && !suspect_ && !here.fields.empty()) {
    if (line.whole() && all_blank(line.head)) here.defects.add(Defect::malformed_header);
    if (room_in_header(line)) here.fields.back().value.append(last_eol_text_).append(line.head);
    return true;
  }
  const FieldLine field = continues ? FieldLine() : split_field(line.head);
  if (!field.name.empty() &&
      (!suspect_ || base::istarts_with(field.name, "Content-") || base::iequals(field.name, "MIME-Version"))) {
    if (suspect_) here.defects.add(Defect::malformed_header);
    suspect_ = false;
    add_field(field, line);
    return true;
  }
  const bool mbox_line =
      line.begin == header_begin_ && (line.head.starts_with("From ") || line.head.starts_with(">From "));
  if (mbox_line) {
    here.defects.add(Defect::malformed_header);
  } else if (!suspect_) {
    // Some readers end the header here and others skip the line. It is skipped when a field about the content follows
    // before the blank line, which those others would act on; else the text begins here.
    suspect_ = true;
    suspect_begin_ = line.begin;
    here.other_reading = true;
  }
  return true;
}

bool Parser::Machine::room_in_header(const Line& line) {
  header_bytes_ += line.size + line.eol;
  all_header_bytes_ += line.size + line.eol;
  if (line.whole() && header_bytes_ <= limits_.header_size &&
      all_header_bytes_ <= limits_.header_size * kHeaderBytesFactor) {
    return true;
  }
  header_full_ = true;
  current().defects.add(Defect::header_too_large);
  structure_.complete = false;
  return false;
}

void Parser::Machine::add_field(const FieldLine& field, const Line& line) {
  Part& here = current();
  if (field.blank_before_colon) here.defects.add(Defect::malformed_header);
  if (!room_in_header(line)) return;
  if (here.fields.size() >= limits_.header_count) {
    header_full_ = true;
    here.defects.add(Defect::header_too_large);
    structure_.complete = false;
    return;
  }
  here.fields.push_back(
      {std::string(field.name), std::string(field.value), static_cast<int32_t>(here.fields.size()), false});
}

// leave_header ends the header block of the current part at `end` (behind the blank line, if there was one).
void Parser::Machine::leave_header(uint64_t end, bool blank_line) {
  Part& here = current();
  if (suspect_) {
    end = suspect_begin_;
    blank_line = false;
  }
  if (!blank_line && end > header_begin_) here.defects.add(Defect::missing_blank_line);
  if (!blank_line && suspect_) here.defects.add(Defect::missing_blank_line);
  const Part& parent = structure_.parts[here.parent];
  here.header = {header_begin_, end};
  const HeaderRole role = parent.kind == PartKind::message          ? HeaderRole::message
                          : parent.type.value == "multipart/digest" ? HeaderRole::digest_part
                                                                    : HeaderRole::part;
  describe_part(here, here.fields, role);
  in_header_ = false;
  probe_ = 0;
  if (blank_line && here.fields.empty()) probe();
  const bool text_was_read = suspect_;
  suspect_ = false;
  open_body(end);
  if (in_header_ && text_was_read) {
    // The embedded message begins with the text that was read as no header; it has none.
    suspect_ = true;
    suspect_begin_ = end;
    leave_header(end, false);
  }
}

// open_body decides what the content of the current part is, which begins at `begin`.
void Parser::Machine::open_body(uint64_t begin) {
  Open& open = stack_.back();
  Part& here = part(open);
  here.content = {begin, begin};
  const bool multipart = here.type.value.starts_with("multipart/");
  const bool message = is_message_type(here.type.value) && !here.defects.has(Defect::encoding_on_multipart);
  if (!multipart) open.watched = usable_boundary(here);
  if ((!multipart && !message) || stopped_) return;
  if (here.depth >= limits_.mime_depth) {
    here.defects.add(Defect::too_deep);
    structure_.complete = false;
    return;
  }
  if (message) {
    here.kind = PartKind::message;
    if (!open_part(open.part, begin, begin)) structure_.parts[stack_.back().part].kind = PartKind::leaf;
    return;
  }
  const std::string_view boundary = usable_boundary(here);
  if (boundary.empty()) return;
  for (const Open& outer : stack_) {
    if (outer.boundary == boundary) here.defects.add(Defect::duplicate_boundary);
  }
  open.boundary = boundary;
  boundary_ends_[static_cast<unsigned char>(boundary.back())] = true;
  here.kind = PartKind::multipart;
  probe();
}

bool Parser::Machine::open_part(uint32_t parent, uint64_t outer_begin, uint64_t header_begin) {
  if (structure_.parts.size() >= limits_.mime_parts) {
    structure_.parts[parent].defects.add(Defect::too_many_parts);
    structure_.complete = false;
    stopped_ = true;
    return false;
  }
  Part next;
  next.parent = parent;
  next.depth = structure_.parts[parent].depth + 1;
  next.outer = {outer_begin, outer_begin};
  const auto index = static_cast<uint32_t>(structure_.parts.size());
  structure_.parts.push_back(std::move(next));
  stack_.push_back({index, {}, false, false});
  in_header_ = true;
  probe_ = 0;
  header_begin_ = header_begin;
  header_bytes_ = 0;
  header_full_ = false;
  suspect_ = false;
  return true;
}

// on_delimiter handles `line` when it delimits one of the open multiparts, innermost first.
bool Parser::Machine::on_delimiter(const Line& line) {
  if (stopped_) return false;
  size_t found = stack_.size();
  bool close = false;
  bool near = false;
  for (size_t i = stack_.size(); i-- > 0;) {
    if (stack_[i].boundary.empty()) {
      near = near || (!stack_[i].watched.empty() && match_delimiter(line, stack_[i].watched) != Match::none);
      continue;
    }
    const Match match = match_delimiter(line, stack_[i].boundary);
    if (match == Match::none || match == Match::near) {
      near = near || match == Match::near || is_near(line, stack_[i].boundary);
      continue;
    }
    // One that was closed comes after every open one of the same boundary.
    if (found != stack_.size() && stack_[i].closed) continue;
    found = i;
    close = match == Match::close;
    if (!stack_[i].closed) break;
  }
  if (found == stack_.size()) {
    if (near) note_near();
    return false;
  }
  Open& open = stack_[found];
  if (!close && structure_.parts.size() >= limits_.mime_parts) {
    part(open).defects.add(Defect::too_many_parts);
    structure_.complete = false;
    stopped_ = true;
    return false;
  }
  // A header block that a delimiter ends is empty content; an embedded message in it has an empty header too.
  while (in_header_) leave_header(line.begin, false);
  close_above(found, line.begin, last_eol_);
  Open& container = stack_[found];
  if (container.closed) part(container).defects.add(Defect::ambiguous_delimiter);
  if (close) {
    container.closed = true;
    probe();
    return true;
  }
  container.seen = true;
  open_part(container.part, line.begin, line.end());
  return true;
}

// close_above ends every open part above stack_[keep] before the delimiter at `delimiter_begin`; the line end before it
// is the delimiter's own (RFC 2046 5.1.1), unless it already ended a header or another delimiter.
void Parser::Machine::close_above(size_t keep, uint64_t delimiter_begin, uint64_t eol) {
  const uint64_t text_end = delimiter_begin - std::min(eol, delimiter_begin);
  uint64_t inner_end = 0;
  while (stack_.size() > keep + 1) {
    const Open& open = stack_.back();
    Part& here = part(open);
    here.content.end = std::max({here.content.begin, inner_end, text_end});
    here.outer.end = stack_.size() == keep + 2 ? delimiter_begin : here.content.end;
    inner_end = here.outer.end;
    end_open(open);
    stack_.pop_back();
  }
}

void Parser::Machine::end_open(const Open& open) {
  if (open.boundary.empty()) return;
  Part& here = part(open);
  if (!open.seen) {
    // Nothing was split off, so what is there is looked at as one piece.
    here.kind = PartKind::leaf;
    if (!stopped_) {
      here.defects.add(Defect::missing_first_boundary);
      if (here.content.size() > 2) here.other_reading = true;  // more than a blank line
    }
  } else if (!open.closed && !stopped_) {
    here.defects.add(Defect::missing_final_boundary);
  }
}

Structure Parser::Machine::finish() {
  const uint64_t crs = crs_;
  crs_ = 0;
  for (uint64_t i = 0; i < crs; ++i) end_line(1, false);
  if (line_size_ > 0) end_line(0, true);
  const uint64_t end = line_begin_;
  while (in_header_) leave_header(end, false);
  close_above(0, end, 0);
  Part& root = structure_.parts[0];
  root.outer = {0, end};
  root.header = {0, 0};
  root.content = {0, end};
  end_open(stack_[0]);
  number_parts();
  for (const Part& each : structure_.parts) {
    structure_.defects.merge(each.defects);
    structure_.one_reading = structure_.one_reading && !each.other_reading;
  }
  return std::move(structure_);
}

void Parser::Machine::number_parts() {
  std::vector<uint32_t> children(structure_.parts.size(), 0);
  std::vector<Part>& parts = structure_.parts;
  parts[0].path = parts[0].is_leaf() ? "1" : "";
  for (size_t i = 1; i < parts.size(); ++i) {
    const Part& parent = parts[parts[i].parent];
    if (parent.kind == PartKind::message && parts[i].kind == PartKind::multipart) {
      parts[i].path = parent.path;
      continue;
    }
    const std::string number = std::to_string(++children[parts[i].parent]);
    parts[i].path = parent.path.empty() ? number : parent.path + "." + number;
  }
}

Parser::Parser(const HeaderList& header, const base::Limits& limits)
    : machine_(std::make_unique<Machine>(header, limits)) {}
Parser::~Parser() = default;
void Parser::feed(std::string_view chunk) { machine_->feed(chunk); }
Structure Parser::finish() { return machine_->finish(); }

Structure parse(const HeaderList& header, std::string_view body, const base::Limits& limits) {
  Parser parser(header, limits);
  parser.feed(body);
  return parser.finish();
}

}  // namespace postern::mime
