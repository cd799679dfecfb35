// SPDX-License-Identifier: Apache-2.0
// Passes over lines. CR, LF and CRLF each end one, as for the parser; where a reader disagrees about which do, that is
// a cut or a set of its own.
#include "engine/mime/delimiters.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/mime/loose_header.h"
#include "engine/mime/part_header.h"

namespace postern::mime {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool all_blank(std::string_view text) { return std::ranges::all_of(text, is_blank); }

// Line is a line of `text`, with its end: CRs before an LF belong to it, other CRs end a line each.
struct Line {
  size_t begin = 0;
  size_t end = 0;
  size_t next = 0;
  bool crlf() const { return next - end == 2; }
  bool bare_cr = false;
};
Line line_at(std::string_view text, size_t begin) {
  Line out;
  out.begin = begin;
  out.end = std::min(text.find_first_of("\r\n", begin), text.size());
  size_t i = out.end;
  while (i < text.size() && text[i] == '\r') ++i;
  if (i < text.size() && text[i] == '\n') {
    out.next = i + 1;
  } else {
    out.bare_cr = i > out.end;
    out.next = std::min(out.end + 1, text.size());
  }
  return out;
}

// is_void tells whether a line has nothing in it that can be seen.
bool is_void(std::string_view line) {
  return std::ranges::all_of(line, [](char c) { return static_cast<unsigned char>(c) <= ' '; });
}

void add_cut(HeaderCuts& cuts, const HeaderCut& cut) {
  constexpr size_t kMostCuts = 8;
  const auto same = [&](const HeaderCut& each) { return each.content == cut.content && each.begin == cut.begin; };
  if (std::ranges::any_of(cuts.list, same)) return;
  if (cuts.list.size() < kMostCuts) {
    cuts.list.push_back(cut);
  } else {
    cuts.complete = false;
  }
}

// is_lead tells whether a byte may stand before a delimiter without being text.
bool is_lead(char c) {
  return static_cast<unsigned char>(c) < ' ' ? c != '\r' && c != '\n'
                                             : c == ' ' || c == '"' || c == '\'' || c == '<' || c == '-';
}

// Rule is one by which lines are chosen.
enum class Rule { exact, prefix, loose };

std::string_view without_dashes(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of('-'), text.size()));
  return text;
}

bool matches(std::string_view line, std::string_view boundary, Rule rule) {
  if (rule == Rule::loose) {
    const std::string_view bare = without_dashes(boundary);
    return bare.empty() ? std::ranges::all_of(line, [](char c) { return c == '-' || is_blank(c); })
                        : base::istarts_with(without_dashes(line), bare);
  }
  std::string_view rest = line.substr(2);
  if (!rest.starts_with(boundary)) return false;
  rest.remove_prefix(boundary.size());
  if (rule == Rule::prefix) return !boundary.empty();
  if (rest.starts_with("--")) rest.remove_prefix(2);
  return all_blank(rest);
}

void add_set(DelimiterSets& out, std::vector<DelimiterLine> lines, std::string_view why) {
  constexpr size_t kMostSets = 32;
  if (lines.empty()) return;
  const auto same = [&](const DelimiterSet& set) {
    return std::ranges::equal(set.lines, lines, [](const auto& a, const auto& b) {
      return a.begin == b.begin && a.next == b.next && a.text_end == b.text_end;
    });
  };
  if (std::ranges::any_of(out.list, same)) return;
  if (out.list.size() >= kMostSets) {
    out.complete = false;
    return;
  }
  out.list.push_back({std::move(lines), why});
}

// add_embedded adds the lines that hold `boundary` behind something else than "--" (one dash, white space, quotes), and
// those that end with it behind text.
void add_embedded(DelimiterSets& out, std::string_view bytes, size_t begin, size_t end, std::string_view boundary) {
  constexpr size_t kShortest = 3;
  constexpr size_t kMostFound = 4096;
  constexpr size_t kMostBefore = 16;
  const std::string_view bare = without_dashes(boundary);
  if (bare.size() < kShortest) return;
  const std::string_view content = bytes.substr(0, end);
  out.work += end - begin;
  std::vector<DelimiterLine> alone;
  std::vector<DelimiterLine> anywhere;
  for (size_t at = content.find(bare, begin); at != std::string_view::npos;) {
    const Line line = line_at(content, at);
    DelimiterLine found;
    found.begin = at;
    while (found.begin > begin && content[found.begin - 1] == '-') --found.begin;
    found.end = line.end;
    found.next = line.next;
    size_t lead = found.begin;  // of what cannot be text before it
    while (lead > begin && found.begin - lead < kMostBefore && is_lead(content[lead - 1])) --lead;
    const bool at_start = lead == begin || content[lead - 1] == '\n' || content[lead - 1] == '\r';
    found.text_end = at_start ? lead : found.begin;
    if (at_start) {
      if (found.text_end > begin && content[found.text_end - 1] == '\n') --found.text_end;
      if (found.text_end > begin && content[found.text_end - 1] == '\r') --found.text_end;
      alone.push_back(found);
    }
    std::string_view rest = content.substr(at + bare.size(), line.end - at - bare.size());
    if (rest.starts_with("--")) rest.remove_prefix(2);
    if (at_start || all_blank(rest)) anywhere.push_back(found);
    if (anywhere.size() > kMostFound) {
      out.complete = false;
      break;
    }
    at = content.find(bare, std::max(line.end, at + 1));
  }
  add_set(out, std::move(alone), "delimiter");
  add_set(out, std::move(anywhere), "delimiter");
}

}  // namespace

HeaderCuts header_cuts(std::string_view entity, size_t limit) {
  HeaderCuts out;
  size_t start = 0;
  bool odd = false;
  Line line = line_at(entity, 0);
  // Blank lines first, however many: no header for most readers, skipped by others.
  while (start < entity.size() && is_void(entity.substr(line.begin, line.end - line.begin))) {
    if (start == 0) add_cut(out, {0, 0, line.next, false});
    start = line.next;
    line = line_at(entity, start);
  }
  const std::string_view text = entity.substr(0, start + std::min(limit, entity.size() - start));
  if (start > 0) {
    // A field there is the header of a part for a reader that skips blank lines, and of a message in a digest.
    const std::string_view words = entity.substr(line.begin, line.end - line.begin);
    if (start >= entity.size() || (split_field(words).name.empty() && !is_content_line(words))) {
      out.work = start;
      return out;
    }
    odd = true;
  }
  bool junk = false;
  bool was_crlf = true;
  size_t at = start;
  while (at < text.size()) {
    line = line_at(text, at);
    const std::string_view words = text.substr(at, line.end - at);
    if (words.empty()) {
      add_cut(out, {start, at, line.next, odd || junk || !line.crlf()});
      // A reader for which only CRLF CRLF ends a header goes on to that, or to one that has LF for both.
      if (line.bare_cr || (line.crlf() != was_crlf)) {
        odd = true;
        at = line.next;
        was_crlf = line.crlf();
        continue;
      }
      break;
    }
    if (is_void(words)) {
      add_cut(out, {start, at, line.next, true});
    } else if (!is_blank(words.front()) && split_field(words).name.empty() && !junk) {
      // Text, or a line that is skipped.
      add_cut(out, {start, at, at, true});
      if (!is_content_line(words)) junk = true;
    }
    if (line.next - line.end > 2) add_cut(out, {start, line.end, line.next, true});  // CR CR LF
    was_crlf = line.crlf();
    at = line.next;
  }
  out.work = std::min(at, text.size());
  if (at < text.size()) return out;
  if (text.size() == entity.size()) {
    add_cut(out, {start, text.size(), text.size(), odd});
  } else if (!junk) {
    out.complete = false;  // a header that is longer than is looked at
  }
  return out;
}

DelimiterLines delimiter_lines(std::string_view bytes) {
  DelimiterLines out;
  size_t before = 0;  // where the line before ends, without its line end
  bool before_cr = false;
  bool before_lf = false;
  for (size_t at = 0; at < bytes.size();) {
    const Line line = line_at(bytes, at);
    const bool bare_lf = line.next - line.end == 1 && !line.bare_cr;
    if (bytes.substr(at).starts_with("--")) {
      if (out.list.size() >= kMostDelimiterLines) {
        out.complete = false;
        break;
      }
      out.list.push_back({at, line.end, line.next, before, line.bare_cr || before_cr, bare_lf || before_lf});
    }
    before = line.end;
    before_cr = line.bare_cr;
    before_lf = bare_lf;
    at = line.next;
  }
  return out;
}

DelimiterSets delimiter_sets(std::string_view bytes, const DelimiterLines& lines, size_t begin, size_t end,
                             const std::vector<std::string>& boundaries) {
  constexpr size_t kMostGuesses = 16;
  DelimiterSets out;
  const auto first = std::ranges::lower_bound(lines.list, begin, {}, &DelimiterLine::begin);
  const auto last = std::ranges::lower_bound(first, lines.list.end(), end, {}, &DelimiterLine::begin);
  const auto line_text = [&](const DelimiterLine& line) {
    return bytes.substr(line.begin, std::min(line.end, end) - line.begin);
  };
  const auto count = static_cast<uint64_t>(last - first);
  for (const std::string& boundary : boundaries) {
    for (const Rule rule : {Rule::exact, Rule::prefix, Rule::loose}) {
      std::vector<DelimiterLine> found;
      std::vector<DelimiterLine> without_cr;
      std::vector<DelimiterLine> only_crlf;
      for (auto it = first; it != last; ++it) {
        if (!matches(line_text(*it), boundary, rule)) continue;
        found.push_back(*it);
        if (!it->bare_cr) without_cr.push_back(*it);
        if (!it->bare_cr && !it->bare_lf) only_crlf.push_back(*it);
      }
      out.work += count * (boundary.size() + 8);
      add_set(out, std::move(found), rule == Rule::exact ? "boundary" : "delimiter");
      if (rule != Rule::exact) continue;
      add_set(out, std::move(without_cr), "line end");
      add_set(out, std::move(only_crlf), "line end");
    }
    add_embedded(out, bytes, begin, end, boundary);
  }
  // A guess: lines before what looks like the header of a part, and others like them.
  std::vector<std::string_view> words;
  for (auto it = first; it != last; ++it) {
    const std::string_view next = bytes.substr(it->next, 256);
    std::string_view word = without_dashes(line_text(*it));
    while (!word.empty() && (word.back() == '-' || is_blank(word.back()))) word.remove_suffix(1);
    if (!is_content_line(next.substr(0, next.find_first_of("\r\n"))) || std::ranges::find(words, word) != words.end()) {
      continue;
    }
    if (words.size() >= kMostGuesses) {
      out.complete = false;
      break;
    }
    words.push_back(word);
  }
  // The parts of a digest need no header: then it is the first line that could be one.
  if (words.empty() && first != last) {
    std::string_view word = without_dashes(line_text(*first));
    while (!word.empty() && (word.back() == '-' || is_blank(word.back()))) word.remove_suffix(1);
    if (!word.empty()) words.push_back(word);
  }
  std::vector<DelimiterLine> guessed;
  for (auto it = first; it != last && !words.empty(); ++it) {
    const std::string_view line = without_dashes(line_text(*it));
    const auto fits = [&](std::string_view word) {
      return word.empty() ? without_dashes(line).empty() : line.starts_with(word);
    };
    if (std::ranges::any_of(words, fits)) guessed.push_back(*it);
  }
  out.work += count * (words.size() + 1) * 8;
  add_set(out, std::move(guessed), "guessed boundary");
  return out;
}

}  // namespace postern::mime
