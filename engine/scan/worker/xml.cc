// SPDX-License-Identifier: Apache-2.0
// Expat with its memory counted, its depth bounded, and exceptions kept out of it.
#include "engine/scan/worker/xml.h"

#include <expat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include "engine/mime/charset.h"
#include "engine/scan/worker/bytes.h"

namespace postern::scan::worker {
namespace {

constexpr uint32_t kDepth = 150000;
constexpr size_t kMemory = 32u << 20;
constexpr size_t kStep = 64u << 10;

// What expat holds is counted, a thread's parsers together; each block begins with its size.
thread_local size_t held = 0;
constexpr size_t kHead = alignof(std::max_align_t);

void* take(size_t size) {
  if (size > kMemory || held + size > kMemory) return nullptr;
  auto* block = static_cast<char*>(std::malloc(size + kHead));
  if (block == nullptr) return nullptr;
  std::memcpy(block, &size, sizeof size);
  held += size;
  return block + kHead;
}
void give(void* pointer) {
  if (pointer == nullptr) return;
  char* block = static_cast<char*>(pointer) - kHead;
  size_t size = 0;
  std::memcpy(&size, block, sizeof size);
  held -= size;
  std::free(block);
}
void* retake(void* pointer, size_t size) {
  if (pointer == nullptr) return take(size);
  char* block = static_cast<char*>(pointer) - kHead;
  size_t before = 0;
  std::memcpy(&before, block, sizeof before);
  if (size > kMemory || held - before + size > kMemory) return nullptr;
  auto* larger = static_cast<char*>(std::realloc(block, size + kHead));
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, &size, sizeof size);
  held = held - before + size;
  return larger + kHead;
}

const XML_Memory_Handling_Suite kCounted = {take, retake, give};

// local_part is a name without its prefix, in one pass; most are a few characters long.
std::string_view local_part(const char* name) {
  const char* local = name;
  const char* at = name;
  for (; *at != '\0'; ++at) {
    if (*at == ':') local = at + 1;
  }
  return {local, static_cast<size_t>(at - local)};
}

}  // namespace

struct XmlParser::State {
  XmlHandler& handler;
  XML_Parser parser = nullptr;
  bool doctype = false;
  bool stopped = false;
  uint32_t depth = 0;
  Reason reason = Reason::none;

  void stop(Reason why) {
    if (reason == Reason::none) reason = why;
    stopped = true;
    XML_StopParser(parser, XML_FALSE);
  }
  // guard runs a call of the handler; no exception may pass through expat.
  template <typename Call>
  void guard(Call call) {
    if (stopped) return;
    try {
      call();
    } catch (const std::bad_alloc&) {
      stop(Reason::memory);
    } catch (const std::exception&) {
      stop(Reason::corrupt);
    }
  }
};

std::string_view XmlAttributes::get(std::string_view name) const {
  for (const char** pair = pairs_; *pair != nullptr; pair += 2) {
    if (local_part(*pair) == name) return pair[1];
  }
  return {};
}

bool XmlAttributes::has(std::string_view name) const {
  for (const char** pair = pairs_; *pair != nullptr; pair += 2) {
    if (local_part(*pair) == name) return true;
  }
  return false;
}

XmlParser::XmlParser(XmlHandler& handler, bool doctype) : state_(new State{handler}) {
  state_->doctype = doctype;
  state_->parser = XML_ParserCreate_MM(nullptr, &kCounted, nullptr);
  if (state_->parser == nullptr) {
    state_->reason = Reason::memory;
    state_->stopped = true;
    return;
  }
  XML_SetUserData(state_->parser, state_.get());
  XML_SetElementHandler(
      state_->parser,
      [](void* user, const XML_Char* name, const XML_Char** pairs) {
        auto* state = static_cast<State*>(user);
        if (++state->depth > kDepth) return state->stop(Reason::depth);
        state->guard([&] { state->handler.start(local_part(name), XmlAttributes(pairs)); });
      },
      [](void* user, const XML_Char* name) {
        auto* state = static_cast<State*>(user);
        --state->depth;
        state->guard([&] { state->handler.end(local_part(name)); });
      });
  XML_SetCharacterDataHandler(state_->parser, [](void* user, const XML_Char* text, int length) {
    auto* state = static_cast<State*>(user);
    state->guard([&] { state->handler.characters({text, static_cast<size_t>(length)}); });
  });
  XML_SetCommentHandler(state_->parser, [](void* user, const XML_Char* text) {
    auto* state = static_cast<State*>(user);
    state->guard([&] { state->handler.comment(text); });
  });
  XML_SetStartDoctypeDeclHandler(state_->parser,
                                 [](void* user, const XML_Char*, const XML_Char*, const XML_Char*, int subset) {
                                   auto* state = static_cast<State*>(user);
                                   if (subset != 0 || !state->doctype) state->stop(Reason::unsupported);
                                 });
  XML_SetUnknownEncodingHandler(
      state_->parser,
      [](void*, const XML_Char* name, XML_Encoding* encoding) -> int {
        if (!mime::is_known_charset(name)) return XML_STATUS_ERROR;
        for (int i = 0; i < 256; ++i) {
          const char byte = static_cast<char>(i);
          const mime::Converted one = mime::to_utf8({&byte, 1}, name);
          const uint32_t lead = byte_at(one.utf8, 0);
          uint32_t code = lead;
          const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : 3;
          if (length > 1) code = lead & (0x7fu >> length);
          for (size_t k = 1; k < length; ++k) code = code << 6 | (byte_at(one.utf8, k) & 0x3f);
          encoding->map[i] = one.utf8.size() == length ? static_cast<int>(code) : -1;
        }
        encoding->data = nullptr;
        encoding->convert = nullptr;
        encoding->release = nullptr;
        return XML_STATUS_OK;
      },
      nullptr);
}

XmlParser::~XmlParser() {
  if (state_->parser != nullptr) XML_ParserFree(state_->parser);
}

void XmlParser::stop() { state_->stop(Reason::none); }

Reason XmlParser::reason() const { return state_->reason; }

bool XmlParser::feed(std::string_view bytes, bool last) {
  do {
    if (state_->stopped) return false;
    const std::string_view now = bytes.substr(0, kStep);
    bytes.remove_prefix(now.size());
    const bool end = last && bytes.empty();
    const XML_Status status =
        XML_Parse(state_->parser, now.data(), static_cast<int>(now.size()), end ? XML_TRUE : XML_FALSE);
    if (!parsed(status == XML_STATUS_OK)) return false;
  } while (!bytes.empty());
  return true;
}

char* XmlParser::room(size_t size) {
  if (state_->stopped) return nullptr;
  void* const memory = XML_GetBuffer(state_->parser, static_cast<int>(size));
  if (memory == nullptr) parsed(false);
  return static_cast<char*>(memory);
}

bool XmlParser::parse(size_t size, bool last) {
  if (state_->stopped) return false;
  return parsed(XML_ParseBuffer(state_->parser, static_cast<int>(size), last ? XML_TRUE : XML_FALSE) == XML_STATUS_OK);
}

bool XmlParser::parsed(bool good) {
  if (good) return true;
  if (state_->reason == Reason::none && !state_->stopped) {
    const XML_Error error = XML_GetErrorCode(state_->parser);
    state_->reason = error == XML_ERROR_NO_MEMORY          ? Reason::memory
                     : error == XML_ERROR_UNKNOWN_ENCODING ? Reason::unsupported
                                                           : Reason::corrupt;
  }
  state_->stopped = true;
  return false;
}

Reason parse_xml(std::string_view bytes, XmlHandler& handler, bool doctype) {
  XmlParser parser(handler, doctype);
  parser.feed(bytes, true);
  return parser.reason();
}

}  // namespace postern::scan::worker
