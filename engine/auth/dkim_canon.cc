// SPDX-License-Identifier: Apache-2.0
// The body is cut into lines where LF stands. What may turn out to be trailing (empty lines, and white space at the end
// of a line in the relaxed form) is counted, not kept, until something follows it.
#include "engine/auth/dkim_canon.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>

#include "engine/base/handle.h"
#include "engine/base/text.h"
#include "engine/x509/openssl.h"

namespace postern::auth {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// BodyCanon is the state between two chunks.
class BodyCanon {
 public:
  BodyCanon(Canonicalisation form, uint64_t most, ByteSink& sink)
      : relaxed_(form == Canonicalisation::relaxed), left_(most), sink_(sink) {}

  void add(std::string_view chunk) {
    while (!chunk.empty() && left_ > 0) {
      const size_t lf = chunk.find('\n');
      std::string_view line = chunk.substr(0, lf);
      if (!line.empty()) {
        if (held_cr_) text("\r");
        held_cr_ = line.back() == '\r';
        if (held_cr_) line.remove_suffix(1);
        if (!line.empty()) text(line);
      }
      if (lf == std::string_view::npos) return;
      held_cr_ = false;
      held_blank_ = false;
      ++held_lines_;
      chunk.remove_prefix(lf + 1);
    }
  }

  uint64_t finish() {
    if (held_cr_) text("\r");
    // The end of the last line that is not empty, whether it was there or not.
    if (any_ || !relaxed_) put("\r\n");
    flush();
    return written_;
  }

 private:
  void text(std::string_view line) {
    if (!relaxed_) {
      end_lines();
      put(line);
      return;
    }
    size_t i = 0;
    while (i < line.size()) {
      if (is_blank(line[i])) {
        held_blank_ = true;
        ++i;
        continue;
      }
      // As far as the bytes are canonical already: single blanks with text on both sides.
      size_t end = i + 1;
      while (end < line.size()) {
        if (!is_blank(line[end])) {
          ++end;
        } else if (line[end] == ' ' && end + 1 < line.size() && !is_blank(line[end + 1])) {
          end += 2;
        } else {
          break;
        }
      }
      end_lines();
      if (held_blank_) put(" ");
      held_blank_ = false;
      put(line.substr(i, end - i));
      i = end;
    }
  }

  void end_lines() {
    any_ = true;
    for (; held_lines_ > 0 && left_ > 0; --held_lines_) put("\r\n");
    held_lines_ = 0;
  }

  void put(std::string_view bytes) {
    bytes = bytes.substr(0, static_cast<size_t>(std::min<uint64_t>(bytes.size(), left_)));
    left_ -= bytes.size();
    written_ += bytes.size();
    if (bytes.size() > buffer_.size() - used_) {
      flush();
      if (bytes.size() > buffer_.size()) {
        sink_.take(bytes);
        return;
      }
    }
    std::memcpy(buffer_.data() + used_, bytes.data(), bytes.size());
    used_ += bytes.size();
  }

  void flush() {
    if (used_ > 0) sink_.take({buffer_.data(), used_});
    used_ = 0;
  }

  const bool relaxed_;
  uint64_t left_;
  ByteSink& sink_;
  uint64_t written_ = 0;
  uint64_t held_lines_ = 0;
  bool held_cr_ = false;     // a CR whose next byte is not known yet
  bool held_blank_ = false;  // white space that counts if text follows in this line
  bool any_ = false;         // something was written
  std::array<char, 2048> buffer_;
  size_t used_ = 0;
};

using x509::DigestContext;

// Sha256 uses the thread's own context, so one at a time.
class Sha256 final : public ByteSink {
 public:
  Sha256() {
    // Fetched once: looking the algorithm up costs more than hashing a short header.
    static const EVP_MD* const kAlgorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    static thread_local const DigestContext kContext(EVP_MD_CTX_new());
    context_ = kContext.get();
    if (context_ == nullptr || EVP_DigestInit_ex2(context_, kAlgorithm, nullptr) != 1) throw std::bad_alloc();
  }
  void take(std::string_view bytes) override { EVP_DigestUpdate(context_, bytes.data(), bytes.size()); }
  std::string finish() {
    std::string digest(32, '\0');
    if (EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(digest.data()), nullptr) != 1)
      throw std::bad_alloc();
    return digest;
  }

 private:
  EVP_MD_CTX* context_;
};

}  // namespace

std::string_view canonicalisation_name(Canonicalisation form) {
  return form == Canonicalisation::relaxed ? "relaxed" : "simple";
}

void append_canonical_header(Canonicalisation form, std::string_view name, std::string_view value, bool last,
                             std::string& out) {
  if (form == Canonicalisation::simple) {
    out += name;
    out += ':';
    for (size_t i = 0; i < value.size(); ++i) {
      if (value[i] == '\n' && (i == 0 || value[i - 1] != '\r')) out += '\r';
      out += value[i];
    }
  } else {
    for (const char c : base::trim(name)) out += base::ascii_lower(c);
    out += ':';
    bool blank = false;
    const size_t begin = out.size();
    for (size_t i = 0; i < value.size(); ++i) {
      const char c = value[i];
      if (c == '\n' || (c == '\r' && i + 1 < value.size() && value[i + 1] == '\n')) continue;
      if (is_blank(c)) {
        blank = true;
        continue;
      }
      if (blank && out.size() > begin) out += ' ';
      blank = false;
      out += c;
    }
  }
  if (!last) out += "\r\n";
}

uint64_t canonical_body(Canonicalisation form, const mime::Pieces& body, uint64_t most, ByteSink& sink) {
  BodyCanon canon(form, most, sink);
  for (const std::string_view view : body.views()) canon.add(view);
  return canon.finish();
}

BodyHash hash_body(Canonicalisation form, const mime::Pieces& body, uint64_t most) {
  Sha256 hash;
  BodyHash out;
  out.bytes = canonical_body(form, body, most, hash);
  out.digest = hash.finish();
  return out;
}

std::string sha256(std::string_view a, std::string_view b) {
  Sha256 hash;
  hash.take(a);
  hash.take(b);
  return hash.finish();
}

}  // namespace postern::auth
