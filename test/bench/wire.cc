// SPDX-License-Identifier: Apache-2.0
// Packets and the checks on a filter's answers; see wire.h. The checks are the protocol's own demands and those of
// Postfix and Sendmail on values: lines of a header value end in LF alone and stay below 998 octets, a reply code's
// class is 4 or 5, body chunks follow each other without another change between them.
#include "test/bench/wire.h"

#include <algorithm>
#include <cctype>
#include <cstdio>

namespace postern::bench {
namespace {

constexpr size_t kMaxLine = 998;

std::string letter_name(char letter) {
  char text[16];
  if (std::isprint(static_cast<unsigned char>(letter))) {
    std::snprintf(text, sizeof text, "'%c'", letter);
  } else {
    std::snprintf(text, sizeof text, "0x%02x", static_cast<unsigned char>(letter));
  }
  return text;
}

// split_texts cuts NUL-terminated strings; false when the last one has no NUL.
bool split_texts(std::string_view data, std::vector<std::string_view>& texts) {
  while (!data.empty()) {
    size_t end = data.find('\0');
    if (end == std::string_view::npos) {
      return false;
    }
    texts.push_back(data.substr(0, end));
    data.remove_prefix(end + 1);
  }
  return true;
}

bool check_header(std::string_view name, std::string_view value, std::string& violation) {
  if (name.empty() || !std::ranges::all_of(name, [](char c) { return c > ' ' && c < 127 && c != ':'; })) {
    violation = "header name is not one of RFC 5322";
    return false;
  }
  if (value.find('\r') != std::string_view::npos) {
    violation = "header value holds a CR";
    return false;
  }
  size_t start = 0;
  bool first = true;
  while (true) {
    size_t end = value.find('\n', start);
    std::string_view line = value.substr(start, end == std::string_view::npos ? end : end - start);
    if (!first && (line.empty() || (line[0] != ' ' && line[0] != '\t'))) {
      violation = "header value holds a line end that is not a fold";
      return false;
    }
    if (line.size() + (first ? name.size() + 1 : 0) > kMaxLine) {
      violation = "header line longer than 998 octets";
      return false;
    }
    if (end == std::string_view::npos) {
      return true;
    }
    first = false;
    start = end + 1;
  }
}

bool check_reply_text(std::string_view text, Answer::Kind& kind, std::string& violation) {
  kind = !text.empty() && text[0] == '4' ? Answer::Kind::tempfail : Answer::Kind::reject;
  size_t start = 0;
  while (true) {
    size_t end = text.find("\r\n", start);
    std::string_view line = text.substr(start, end == std::string_view::npos ? end : end - start);
    bool last = end == std::string_view::npos;
    bool code = line.size() >= 3 && (line[0] == '4' || line[0] == '5') && std::isdigit(line[1] & 0x7f) &&
                std::isdigit(line[2] & 0x7f) && line.substr(0, 3) == text.substr(0, 3);
    if (!code || (line.size() > 3 && line[3] != (last ? ' ' : '-'))) {
      violation = "reply code is not three digits of class 4 or 5";
      return false;
    }
    if (line.find_first_of("\r\n") != std::string_view::npos) {
      violation = "reply text holds a bare CR or LF";
      return false;
    }
    for (size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '%' && (++i == line.size() || line[i] != '%')) {
        violation = "reply text holds a single '%'";
        return false;
      }
    }
    if (last) {
      return true;
    }
    start = end + 2;
  }
}

// ChangeRule is what a change needs: the action agreed upon and the number of strings after an optional index.
struct ChangeRule {
  char letter;
  const char* name;
  uint32_t action;
  bool index;
  size_t least;
  size_t most;
};

constexpr ChangeRule kChanges[] = {
    {'+', "add recipient", kAddRecipient, false, 1, 1},
    {'2', "add recipient with arguments", kAddRecipientArguments, false, 1, 2},
    {'-', "delete recipient", kDeleteRecipient, false, 1, 1},
    {'e', "change sender", kChangeFrom, false, 1, 2},
    {'h', "add header", kAddHeaders, false, 2, 2},
    {'i', "insert header", kAddHeaders, true, 2, 2},
    {'m', "change header", kChangeHeaders, true, 2, 2},
    {'q', "quarantine", kQuarantine, false, 1, 1},
};

bool check_change(const ChangeRule& rule, std::string_view data, std::string& header, std::string& violation) {
  if (rule.index) {
    if (data.size() < 4 || get_u32(data) > 0x7fffffff) {
      violation = std::string(rule.name) + ": no index";
      return false;
    }
    data.remove_prefix(4);
  }
  std::vector<std::string_view> texts;
  if (!split_texts(data, texts) || texts.size() < rule.least || texts.size() > rule.most) {
    violation = std::string(rule.name) + ": wrong number of strings";
    return false;
  }
  if (rule.letter == 'h' || rule.letter == 'i' || rule.letter == 'm') {
    header = texts[0];
    return check_header(texts[0], texts[1], violation);
  }
  if (texts[0].empty() && rule.letter != 'e') {
    violation = std::string(rule.name) + ": empty";
    return false;
  }
  if (std::ranges::any_of(texts, [](auto text) { return text.find_first_of("\r\n") != std::string_view::npos; })) {
    violation = std::string(rule.name) + ": holds a line end";
    return false;
  }
  return true;
}

}  // namespace

void put_u32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(value >> shift & 0xff));
  }
}

uint32_t get_u32(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

void append_packet(std::string& out, Command command, std::string_view data) {
  put_u32(out, static_cast<uint32_t>(data.size() + 1));
  out.push_back(static_cast<char>(command));
  out.append(data);
}

void append_text(std::string& out, std::string_view text) {
  out.append(text);
  out.push_back('\0');
}

std::optional<Frame> next_frame(std::string_view& bytes, std::string& violation) {
  if (bytes.size() < 4) {
    return std::nullopt;
  }
  uint32_t length = get_u32(bytes);
  if (length == 0 || length > kMaxData + 1) {
    violation = "packet length " + std::to_string(length) + " is out of range";
    return std::nullopt;
  }
  if (bytes.size() < 4 + static_cast<size_t>(length)) {
    return std::nullopt;
  }
  Frame frame{bytes[4], bytes.substr(5, length - 1)};
  bytes.remove_prefix(4 + length);
  return frame;
}

std::optional<Negotiated> parse_negotiation(const Frame& frame, uint32_t offered_actions, uint32_t offered_steps,
                                            std::string& violation) {
  if (frame.letter != static_cast<char>(Command::negotiate) || frame.data.size() < 12) {
    violation = "the answer to the negotiation is not one";
    return std::nullopt;
  }
  Negotiated result;
  result.version = get_u32(frame.data);
  result.actions = get_u32(frame.data.substr(4));
  result.steps = get_u32(frame.data.substr(8));
  if (result.version < 2 || result.version > kVersion) {
    violation = "the filter speaks version " + std::to_string(result.version);
    return std::nullopt;
  }
  if ((result.actions & ~offered_actions) != 0) {
    violation = "the filter asks for actions that were not offered";
    return std::nullopt;
  }
  if ((result.steps & ~offered_steps) != 0) {
    violation = "the filter asks for steps that were not offered";
    return std::nullopt;
  }
  std::string_view rest = frame.data.substr(12);
  if (!rest.empty() && (result.actions & kSetSymbols) == 0) {
    violation = "macro lists without the action for them";
    return std::nullopt;
  }
  while (!rest.empty()) {
    size_t end = rest.find('\0', 4);
    if (rest.size() < 5 || end == std::string_view::npos || get_u32(rest) >= static_cast<uint32_t>(kStages)) {
      violation = "malformed macro list";
      return std::nullopt;
    }
    auto& names = result.symbols[static_cast<int>(get_u32(rest))];
    std::string_view list = rest.substr(4, end - 4);
    while (!list.empty()) {
      size_t stop = std::min(list.find_first_of(" ,"), list.size());
      if (stop > 0) {
        names.emplace_back(list.substr(0, stop));
      }
      list.remove_prefix(std::min(stop + 1, list.size()));
    }
    rest.remove_prefix(end + 1);
  }
  return result;
}

std::optional<Answer> AnswerCheck::check(const Frame& frame, Command asked, std::string& violation) {
  using Kind = Answer::Kind;
  Answer answer{Kind::proceed, frame.letter, {}};
  switch (frame.letter) {
    case 'c':
    case 'a':
    case 'r':
    case 't':
    case 'd':
    case 's':
      answer.kind = frame.letter == 'a'   ? Kind::accept
                    : frame.letter == 'r' ? Kind::reject
                    : frame.letter == 't' ? Kind::tempfail
                    : frame.letter == 'd' ? Kind::discard
                    : frame.letter == 's' ? Kind::skip
                                          : Kind::proceed;
      if (!frame.data.empty()) {
        violation = "data after the answer " + letter_name(frame.letter);
        return std::nullopt;
      }
      if (answer.kind == Kind::skip && (asked != Command::body || !negotiated_->has(kSkip))) {
        violation = "skip where it was not agreed upon";
        return std::nullopt;
      }
      if (answer.kind == Kind::discard && (asked == Command::connect || asked == Command::helo)) {
        violation = "discard before there is a message";
        return std::nullopt;
      }
      return answer;
    case 'y':
      if (frame.data.empty() || frame.data.back() != '\0' || frame.data.find('\0') != frame.data.size() - 1) {
        violation = "reply code is not one string";
        return std::nullopt;
      }
      if (!check_reply_text(frame.data.substr(0, frame.data.size() - 1), answer.kind, violation)) {
        return std::nullopt;
      }
      return answer;
    case 'p':
      if (asked != Command::end_of_body) {
        violation = "progress before end of message";
        return std::nullopt;
      }
      answer.kind = Kind::progress;
      return answer;
    case 'b':
      answer.kind = Kind::change;
      if (asked != Command::end_of_body) {
        violation = "change of the body before end of message";
      } else if ((negotiated_->actions & kChangeBody) == 0) {
        violation = "change of the body was not agreed upon";
      } else if (body_ended_) {
        violation = "body chunks with another change between them";
      } else {
        body_begun_ = true;
        return answer;
      }
      return std::nullopt;
    default:
      break;
  }
  const auto* rule = std::ranges::find(kChanges, frame.letter, &ChangeRule::letter);
  if (rule == std::end(kChanges)) {
    violation = "unknown answer " + letter_name(frame.letter);
    return std::nullopt;
  }
  if (asked != Command::end_of_body) {
    violation = std::string(rule->name) + " before end of message";
    return std::nullopt;
  }
  if ((negotiated_->actions & rule->action) == 0) {
    violation = std::string(rule->name) + " was not agreed upon";
    return std::nullopt;
  }
  body_ended_ = body_begun_;
  answer.kind = Kind::change;
  if (!check_change(*rule, frame.data, answer.header, violation)) {
    return std::nullopt;
  }
  return answer;
}

}  // namespace postern::bench
