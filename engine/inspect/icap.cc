// SPDX-License-Identifier: Apache-2.0
// No preview is offered: an anti-virus server wants the whole message anyway. A server that does not answer 204 sends
// the message back, which is compared as it comes and never kept.
#include "engine/inspect/icap.h"

#include <algorithm>
#include <charconv>
#include <deque>

#include "engine/base/text.h"

namespace postern::inspect {
namespace {

using base::Cause;
using base::fail;

constexpr size_t kMostHead = 64u << 10;
constexpr size_t kMostLine = 1024;
constexpr size_t kMostFields = 200;
constexpr uint64_t kMostExtra = 1u << 20;  // by which a page that replaces the message may be longer
constexpr size_t kChunk = 1u << 20;
constexpr std::string_view kEmptyLine = "\r\n\r\n";

std::unexpected<base::Error> no_answer(std::string_view why) {
  return fail(Cause::malformed, "no ICAP answer: " + std::string(why));
}

// status_of reads "ICAP/1.0 204 No Content" with the protocol's name in front; 0 where it is none.
int status_of(std::string_view line, std::string_view protocol, std::string* reason) {
  if (!line.starts_with(protocol)) return 0;
  const size_t blank = line.find(' ');
  if (blank == std::string_view::npos || line.size() < blank + 4) return 0;
  int code = 0;
  const char* begin = line.data() + blank + 1;
  const auto [end, error] = std::from_chars(begin, begin + 3, code);
  const bool whole = line.size() == blank + 4 || line[blank + 4] == ' ';
  if (error != std::errc() || end != begin + 3 || code < 100 || !whole) return 0;
  if (reason != nullptr) *reason = shortened(line.substr(blank + 4), kMostName);
  return code;
}

// threat_of takes the name out of "Type=0; Resolution=2; Threat=Eicar-Test;", and the type.
std::string_view threat_of(std::string_view value, char& type) {
  type = '0';
  std::string_view name;
  for (std::string_view part : base::split(value, ';')) {
    part = base::trim(part);
    if (base::istarts_with(part, "Type=") && part.size() == 6) type = part[5];
    if (base::istarts_with(part, "Threat=")) name = part.substr(7);
  }
  return name;
}

}  // namespace

std::string_view IcapReply::field(std::string_view name) const {
  const auto found = std::ranges::find_if(fields_, [&](const Field& each) { return base::iequals(each.name, name); });
  return found == fields_.end() ? std::string_view() : std::string_view(found->value);
}

base::Result<void> IcapReply::read_fields(std::string_view lines, std::vector<Field>& to) {
  for (const std::string_view line : base::split(lines, '\n')) {
    const std::string_view text = base::trim(line);
    if (text.empty()) continue;
    if (line.starts_with(' ') || line.starts_with('\t')) {
      if (to.empty()) return no_answer("its header begins with a continued line");
      to.back().value.append(" ").append(text);
      continue;
    }
    const size_t colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0) return no_answer("a line of its header is no field");
    if (to.size() >= kMostFields) return no_answer("its header has too many fields");
    to.push_back({std::string(text.substr(0, colon)), std::string(base::trim(text.substr(colon + 1)))});
  }
  return {};
}

base::Result<void> IcapReply::read_head(std::string_view head) {
  const size_t line = head.find("\r\n");
  status_ = status_of(head.substr(0, line), "ICAP/1.", &reason_);
  if (status_ == 0) return no_answer("'" + shortened(head.substr(0, line), kMostName) + "'");
  if (line != std::string_view::npos) {
    if (auto read = read_fields(head.substr(line), fields_); !read) return read;
  }
  const std::string encapsulated(field("Encapsulated"));
  state_ = State::done;
  if (status_ == 204 || encapsulated.empty()) return {};
  // "res-hdr=0, res-body=137": where each part begins; the last one is the body, or that there is none.
  uint64_t last = 0;
  bool ended = false;
  for (std::string_view part : base::split(encapsulated, ',')) {
    part = base::trim(part);
    const size_t equals = part.find('=');
    uint64_t offset = 0;
    const std::string_view number = equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), offset);
    if (number.empty() || error != std::errc() || end != number.data() + number.size() || offset < last ||
        offset > kMostHead || ended) {
      return no_answer("its 'Encapsulated' field cannot be read");
    }
    const std::string_view name = part.substr(0, equals);
    ended = name.ends_with("-body");
    has_body_ = ended && name != "null-body";
    last = offset;
  }
  if (!ended) return no_answer("its 'Encapsulated' field names no body");
  http_size_ = last;
  state_ = http_size_ != 0 ? State::http : (has_body_ ? State::size : State::done);
  return {};
}

// What is encapsulated may be a request's header and a response's, one behind the other.
base::Result<void> IcapReply::read_http(std::string_view head) {
  for (size_t at = 0; at < head.size();) {
    const size_t end = head.find(kEmptyLine, at);
    if (end == std::string_view::npos) return no_answer("the header in it is cut off");
    const std::string_view block = head.substr(at, end - at);
    const size_t line = block.find("\r\n");
    if (const int code = status_of(block.substr(0, line), "HTTP/1.", nullptr); code != 0) http_status_ = code;
    if (line != std::string_view::npos) {
      if (auto read = read_fields(block.substr(line), fields_); !read) return read;
    }
    at = end + kEmptyLine.size();
  }
  state_ = has_body_ ? State::size : State::done;
  return {};
}

// take_line takes one line, without its end, out of the buffer.
bool IcapReply::take_line(std::string_view& line) {
  const std::string_view rest = std::string_view(buffer_).substr(at_);
  const size_t end = rest.find("\r\n");
  if (end == std::string_view::npos) return false;
  line = rest.substr(0, end);
  at_ += end + 2;
  return true;
}

// step takes one thing out of the buffer; false: more bytes are needed.
base::Result<bool> IcapReply::step() {
  const std::string_view rest = std::string_view(buffer_).substr(at_);
  std::string_view line;
  switch (state_) {
    case State::head: {
      const size_t end = rest.find(kEmptyLine);
      if (end != std::string_view::npos && end > kMostHead) {
        return fail(Cause::limit, "the ICAP answer's header is too long");
      }
      if (end == std::string_view::npos) {
        if (rest.size() > kMostHead + 3) return fail(Cause::limit, "the ICAP answer's header is too long");
        return false;
      }
      at_ += end + kEmptyLine.size();
      if (auto read = read_head(rest.substr(0, end)); !read) return std::unexpected(std::move(read.error()));
      return true;
    }
    case State::http:
      if (rest.size() < http_size_) return false;
      at_ += http_size_;
      if (auto read = read_http(rest.substr(0, http_size_)); !read) return std::unexpected(std::move(read.error()));
      return true;
    case State::size: {
      if (!take_line(line)) {
        if (rest.size() > kMostLine + 1) return no_answer("a chunk has no size");
        return false;
      }
      if (line.size() > kMostLine) return no_answer("a chunk has no size");
      line = base::trim(line.substr(0, line.find(';')));
      const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), left_, 16);
      if (line.empty() || error != std::errc() || end != line.data() + line.size()) {
        return no_answer("a chunk has no size");
      }
      if (left_ > most_ - total_) return fail(Cause::limit, "the ICAP answer is too long");
      total_ += left_;
      state_ = left_ == 0 ? State::trailer : State::data;
      return true;
    }
    case State::data: {
      const std::string_view piece = rest.substr(0, left_);
      if (piece.empty()) return false;
      body_(piece);
      at_ += piece.size();
      left_ -= piece.size();
      if (left_ == 0) state_ = State::data_end;
      return true;
    }
    case State::data_end:
      if (rest.size() < 2) return false;
      if (!rest.starts_with("\r\n")) return no_answer("a chunk is longer than its size");
      at_ += 2;
      state_ = State::size;
      return true;
    case State::trailer:
      if (!take_line(line)) {
        if (rest.size() > kMostLine + 1) return no_answer("a line of its trailer is too long");
        return false;
      }
      if (line.size() > kMostLine) return no_answer("a line of its trailer is too long");
      if (line.empty()) state_ = State::done;
      return true;
    case State::done:
      break;
  }
  return false;
}

base::Result<void> IcapReply::feed(std::string_view bytes) {
  buffer_ += bytes;
  for (bool more = true; more;) {
    auto stepped = step();
    if (!stepped) return std::unexpected(std::move(stepped.error()));
    more = *stepped;
  }
  buffer_.erase(0, at_);
  at_ = 0;
  if (done()) buffer_.clear();
  return {};
}

base::Result<Answer> icap_verdict(const IcapReply& reply, bool same) {
  Answer answer;
  for (const std::string_view name : {"X-Infection-Found", "X-Violations-Found", "X-Virus-ID", "X-Virus-Name"}) {
    const std::string_view value = reply.field(name);
    if (value.empty()) continue;
    // Servers write a dash, or none, for a message in which nothing is.
    if (reply.status() == 204 && (value == "-" || base::iequals(value, "none") || base::iequals(value, "no"))) continue;
    char type = '0';
    std::string_view found = threat_of(value, type);
    answer.virus = type == '2' ? VirusVerdict::unscannable : VirusVerdict::infected;
    // "1", a line to each violation: the count, and names behind it.
    if (found.empty()) found = reply.field("X-Virus-ID").empty() ? value : reply.field("X-Virus-ID");
    answer.name = shortened(found, kMostName);
    return answer;
  }
  if (reply.status() == 204) return answer;
  if (reply.status() / 100 != 2) {
    return fail(Cause::unavailable, "ICAP status " + std::to_string(reply.status()) + " " + reply.reason());
  }
  if (!reply.has_body() && reply.http_status() == 0) return no_answer("a status of 200 without anything in it");
  // What is not given back as it was is not let through; there is no name for it then.
  const bool passes = same && (reply.http_status() == 0 || reply.http_status() / 100 == 2);
  if (!passes) {
    answer.virus = VirusVerdict::infected;
    answer.name = "blocked by the ICAP service";
  }
  return answer;
}

base::Result<Answer> ask_icap(Stream& stream, const Subject& subject, const IcapService& service) {
  const std::string type =
      "Content-Type: message/rfc822\r\nContent-Length: " + std::to_string(subject.size) + "\r\n\r\n";
  const std::string request =
      service.request ? "POST http://" + service.host + "/message.eml HTTP/1.1\r\nHost: " + service.host + "\r\n" + type
                      : "GET http://" + service.host + "/message.eml HTTP/1.1\r\nHost: " + service.host + "\r\n\r\n";
  const std::string response = service.request ? std::string() : "HTTP/1.1 200 OK\r\n" + type;
  std::string head = (service.request ? "REQMOD icap://" : "RESPMOD icap://") + service.host + "/" + service.name +
                     " ICAP/1.0\r\nHost: " + service.host +
                     "\r\nUser-Agent: postern\r\nAllow: 204\r\nConnection: close\r\nEncapsulated: req-hdr=0, ";
  head += service.request ? "req-body=" + std::to_string(request.size())
                          : "res-hdr=" + std::to_string(request.size()) +
                                ", res-body=" + std::to_string(request.size() + response.size());
  head += std::string(kEmptyLine) + request + response;
  std::vector<std::string_view> pieces{head};
  std::deque<std::string> sizes;
  for (std::string_view piece : subject.pieces) {
    while (!piece.empty()) {
      const std::string_view chunk = piece.substr(0, kChunk);
      char hex[32];
      const auto written = std::to_chars(hex, hex + sizeof hex, chunk.size(), 16);
      pieces.push_back(sizes.emplace_back(std::string(hex, written.ptr) + "\r\n"));
      pieces.push_back(chunk);
      pieces.emplace_back("\r\n");
      piece.remove_prefix(chunk.size());
    }
  }
  pieces.emplace_back("0\r\n\r\n");
  const auto sent = stream.send(pieces);
  if (!sent) return std::unexpected(sent.error());

  bool same = true;
  size_t at = 0;
  size_t offset = 0;
  const auto compare = [&](std::string_view body) {
    while (same && !body.empty()) {
      while (at < subject.pieces.size() && offset == subject.pieces[at].size()) {
        ++at;
        offset = 0;
      }
      same = at < subject.pieces.size();
      if (!same) return;
      const std::string_view want = subject.pieces[at].substr(offset, body.size());
      same = body.starts_with(want);
      offset += want.size();
      body.remove_prefix(std::min(want.size(), body.size()));
    }
  };
  IcapReply reply(compare, subject.size + kMostExtra);
  while (!reply.done()) {
    std::string bytes;
    auto more = stream.read(bytes);
    if (!more) return std::unexpected(std::move(more.error()));
    if (!*more) return fail(Cause::unavailable, "the connection was closed before the end of the answer");
    if (auto fed = reply.feed(bytes); !fed) return std::unexpected(std::move(fed.error()));
  }
  while (at < subject.pieces.size() && offset == subject.pieces[at].size()) {
    ++at;
    offset = 0;
  }
  return of_what_was_sent(icap_verdict(reply, same && at == subject.pieces.size()), *sent);
}

base::Result<void> ping_icap(Stream& stream, const IcapService& service) {
  const std::string request = "OPTIONS icap://" + service.host + "/" + service.name +
                              " ICAP/1.0\r\nHost: " + service.host +
                              "\r\nUser-Agent: postern\r\nConnection: close\r\n\r\n";
  const std::string_view piece = request;
  if (auto sent = stream.send({&piece, 1}); !sent) return std::unexpected(std::move(sent.error()));
  IcapReply reply([](std::string_view) {}, kMostExtra);
  while (!reply.done()) {
    std::string bytes;
    auto more = stream.read(bytes);
    if (!more) return std::unexpected(std::move(more.error()));
    if (!*more) return fail(Cause::unavailable, "the connection was closed before the end of the answer");
    if (auto fed = reply.feed(bytes); !fed) return fed;
  }
  if (reply.status() / 100 != 2) {
    return fail(Cause::unavailable, "ICAP status " + std::to_string(reply.status()) + " " + reply.reason());
  }
  return {};
}

}  // namespace postern::inspect
