// SPDX-License-Identifier: Apache-2.0
// RFC 2047. Decoding looks for words anywhere in the text, joins the bytes of neighbours before converting them
// (senders cut words inside characters), and keeps what is no word as it stands. The search for the end of a word never
// goes twice over the same text.
#include "engine/mime/encoded_word.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/header.h"
#include "engine/mime/transfer_coding.h"

namespace postern::mime {
namespace {

constexpr size_t kLongestCharset = 80;  // with a language tag
constexpr size_t kLineLimit = 76;
constexpr std::string_view kWordStart = "=?utf-8?";
constexpr size_t kWordOverhead = 12;  // "=?utf-8?q?" and "?="
constexpr size_t kWordText = 75 - kWordOverhead;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_alnum(char c) {
  const char low = base::ascii_lower(c);
  return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9');
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char low = base::ascii_lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

std::string decode_q(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_') {
      out += ' ';
    } else if (text[i] == '=' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

struct Word {
  std::string_view charset;
  std::string_view text;
  bool base64 = false;
  size_t end = 0;  // behind the "?="
};

// Scanner finds encoded words in one text, going forward only.
class Scanner {
 public:
  explicit Scanner(std::string_view in) : in_(in) {}

  // word_at reads the word that begins at `at`, where "=?" stands; false when it is none.
  bool word_at(size_t at, Word& word) {
    const size_t charset = at + 2;
    const size_t question = in_.substr(charset, kLongestCharset + 1).find('?');
    if (question == std::string_view::npos || question == 0) return false;
    word.charset = in_.substr(charset, question);
    if (!std::ranges::all_of(word.charset, [](char c) { return c > ' ' && c < 127 && c != '='; })) return false;
    word.charset = word.charset.substr(0, word.charset.find('*'));
    if (word.charset.empty()) return false;
    const size_t encoding = charset + question + 1;
    if (encoding + 1 >= in_.size() || in_[encoding + 1] != '?') return false;
    const char kind = base::ascii_lower(in_[encoding]);
    if (kind != 'b' && kind != 'q') return false;
    word.base64 = kind == 'b';
    const size_t text = encoding + 2;
    if (end_ < text) end_ = std::min(in_.find("?=", text), in_.size());
    if (end_ == in_.size()) return false;
    word.text = in_.substr(text, end_ - text);
    // The start of another word inside means that this one was never finished.
    if (word.text.find("=?") != std::string_view::npos) return false;
    word.end = end_ + 2;
    return true;
  }

 private:
  std::string_view in_;
  size_t end_ = 0;  // the first "?=" at or after every place asked for so far
};

// sequence_size returns how many bytes the character at `at` of valid UTF-8 takes.
size_t sequence_size(std::string_view text, size_t at) {
  size_t size = 1;
  while (at + size < text.size() && (static_cast<unsigned char>(text[at + size]) & 0xC0) == 0x80) ++size;
  return size;
}

bool is_q_plain(char c) { return is_alnum(c) || std::string_view("!*+-/").find(c) != std::string_view::npos; }

size_t q_size(std::string_view text) {
  size_t size = 0;
  for (const char c : text) size += is_q_plain(c) || c == ' ' ? 1 : 3;
  return size;
}

void append_q(std::string_view text, std::string& out) {
  constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : text) {
    if (c == ' ') {
      out += '_';
    } else if (is_q_plain(c)) {
      out += c;
    } else {
      out += '=';
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
    }
  }
}

void append_b(std::string_view text, std::string& out) {
  std::string lines = encode_base64(text);
  std::erase_if(lines, is_space);
  out += lines;
}

// Output writes words to a header value, folding before the one that does not fit.
struct Output {
  std::string text;
  size_t used;

  void fold() {
    text += "\n ";
    used = 1;
  }
  // plain writes ASCII text, folding at its blanks.
  void plain(std::string_view in) {
    size_t at = 0;
    while (at < in.size()) {
      size_t end = at + 1;
      while (end < in.size() && !(in[end] == ' ' && in[end - 1] != ' ')) ++end;
      const std::string_view piece = in.substr(at, end - at);
      const bool foldable = piece.front() == ' ' && piece.back() != ' ';
      if (foldable && used + piece.size() > kLineLimit) {
        // The blanks that are there become the fold's.
        text += '\n';
        text.append(piece);
        used = piece.size();
      } else {
        text.append(piece);
        used += piece.size();
      }
      at = end;
    }
  }
  // encoded writes text as encoded words. A blank is in `text` before it, or nothing.
  void encoded(std::string_view in) {
    const bool use_q = q_size(in) <= (in.size() + 2) / 3 * 4;
    size_t at = 0;
    bool first = true;
    while (at < in.size()) {
      constexpr size_t kLeastText = 16;
      if (!first) {
        fold();
      } else if (used + kWordOverhead + kLeastText > kLineLimit) {
        // The blank before the first word becomes the fold's.
        if (!text.empty() && text.back() == ' ') text.pop_back();
        fold();
      }
      first = false;
      const size_t room = std::min(kWordText, kLineLimit - used - kWordOverhead);
      size_t end = at;
      size_t size = 0;
      while (end < in.size()) {
        const size_t length = sequence_size(in, end);
        const size_t next = use_q ? size + q_size(in.substr(end, length)) : (end - at + length + 2) / 3 * 4;
        if (next > room) break;
        size = next;
        end += length;
      }
      const size_t begin = text.size();
      text.append(kWordStart).append(use_q ? "q?" : "b?");
      if (use_q) {
        append_q(in.substr(at, end - at), text);
      } else {
        append_b(in.substr(at, end - at), text);
      }
      text += "?=";
      used += text.size() - begin;
      at = end;
    }
  }
};

bool is_plain_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= ' ' && c < 127) || c == '\t'; });
}

bool is_atom_char(char c) {
  return is_alnum(c) || std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

// encode writes `utf8` with encoded words where it must; in a phrase, also for what is no atom.
std::string encode(std::string_view utf8, size_t used, bool phrase) {
  // The words from the first to the last that need it are encoded as one text.
  constexpr size_t kLongestPlainWord = 60;
  size_t first = utf8.size();
  size_t last = 0;
  size_t word_before = 0;
  bool after_blanks = false;  // more than one blank, which no fold can take apart
  for (size_t at = 0; at < utf8.size();) {
    size_t end = at;
    while (end < utf8.size() && utf8[end] != ' ') ++end;
    const std::string_view word = utf8.substr(at, end - at);
    if (word.empty()) {
      first = std::min(first, word_before);
      after_blanks = true;
      at = end + 1;
      continue;
    }
    if (after_blanks || !is_plain_ascii(word) || (phrase && !std::ranges::all_of(word, is_atom_char)) ||
        word.find("=?") != std::string_view::npos || word.find("?=") != std::string_view::npos ||
        word.find('\t') != std::string_view::npos || word.size() > kLongestPlainWord) {
      first = std::min(first, at);
      last = end;
    }
    after_blanks = false;
    word_before = at;
    at = end + 1;
  }
  if (first == utf8.size()) first = 0;
  // Blanks are safe outside only one by one and between words.
  const std::string_view before = utf8.substr(0, first);
  if (before.size() < 2 || before.front() == ' ' || before[before.size() - 2] == ' ') first = 0;
  const std::string_view after = utf8.substr(std::min(last, utf8.size()));
  if (last == 0 || after.size() < 2 || after.back() == ' ' || after[1] == ' ') last = utf8.size();
  Output out{{}, used};
  out.plain(utf8.substr(0, first));
  out.encoded(utf8.substr(first, last - first));
  out.plain(utf8.substr(last));
  return out.text;
}

}  // namespace

std::string decode_words(std::string_view raw, std::string_view fallback_charset) {
  const std::string_view plain = base::trim(raw);
  const bool folded = plain.find('\n') != std::string_view::npos || plain.find('\r') != std::string_view::npos;
  std::string in = folded ? unfold(plain) : std::string(plain);
  if (in.find("=?") == std::string::npos && base::is_valid_utf8(in)) return in;
  std::string out;
  out.reserve(in.size());
  const auto put_raw = [&](std::string_view text) {
    if (base::is_valid_utf8(text)) {
      out.append(text);
    } else {
      out.append(to_utf8(text, fallback_charset).utf8);
    }
  };
  Scanner scanner(in);
  std::string pending;  // decoded bytes of neighbouring words
  std::string_view pending_charset;
  const auto put_pending = [&] {
    const Converted converted = to_utf8(pending, pending_charset);
    // Under an unknown label, what is UTF-8 most likely was meant to be.
    out.append(!converted.known && base::is_valid_utf8(pending) ? pending : converted.utf8);
    pending.clear();
    pending_charset = {};
  };
  bool after_word = false;
  size_t text_begin = 0;
  size_t at = 0;
  while (true) {
    at = std::min(in.find("=?", at), in.size());
    if (at == in.size()) break;
    Word word;
    if (!scanner.word_at(at, word)) {
      ++at;
      continue;
    }
    const std::string_view between = std::string_view(in).substr(text_begin, at - text_begin);
    const bool joined = after_word && std::ranges::all_of(between, is_space);
    if (!joined || !base::iequals(word.charset, pending_charset)) put_pending();
    if (!joined) put_raw(between);
    pending_charset = word.charset;
    pending.append(word.base64 ? decode_transfer(TransferEncoding::base64, word.text).bytes : decode_q(word.text));
    after_word = true;
    at = word.end;
    text_begin = at;
  }
  put_pending();
  put_raw(std::string_view(in).substr(text_begin));
  return out;
}

std::string encode_words(std::string_view utf8, size_t first_line_used) {
  const bool blank_ends = !utf8.empty() && (is_space(utf8.front()) || is_space(utf8.back()));
  if (is_plain_ascii(utf8) && utf8.find("=?") == std::string_view::npos && !blank_ends) return std::string(utf8);
  if (!base::is_valid_utf8(utf8)) return encode(to_utf8(utf8, "utf-8").utf8, first_line_used, false);
  return encode(utf8, first_line_used, false);
}

std::string encode_phrase(std::string_view utf8) {
  constexpr size_t kNameRoom = 10;
  const bool ascii = std::ranges::all_of(utf8, [](char c) { return c >= ' ' && c < 127; });
  if (!ascii || utf8.find("=?") != std::string_view::npos) {
    return base::is_valid_utf8(utf8) ? encode(utf8, kNameRoom, true)
                                     : encode(to_utf8(utf8, "utf-8").utf8, kNameRoom, true);
  }
  const auto atom = [](char c) { return c == ' ' || is_atom_char(c); };
  const bool atoms = !utf8.empty() && utf8.front() != ' ' && utf8.back() != ' ' &&
                     utf8.find("  ") == std::string_view::npos && std::ranges::all_of(utf8, atom);
  if (atoms) return std::string(utf8);
  std::string out = "\"";
  for (const char c : utf8) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace postern::mime
