// SPDX-License-Identifier: Apache-2.0
// One connection for each exchange. libcurl of Debian 12 cannot be given a connection that is there already, so it
// makes its own, within the same limits as other engines' have.
#include "engine/inspect/rspamd.h"

#include <curl/curl.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "engine/base/decimal.h"
#include "engine/base/handle.h"
#include "engine/base/text.h"

namespace postern::inspect {
namespace {

using base::Cause;
using base::fail;
using CurlHandle = base::Handle<CURL, curl_easy_cleanup>;
using CurlList = base::Handle<curl_slist, curl_slist_free_all>;
using Json = nlohmann::json;

constexpr size_t kMostReply = 1u << 20;
constexpr int kMostDepth = 6;
constexpr size_t kMostValue = 1000;       // of a header field of the request
constexpr size_t kMostRecipients = 1000;  // told to rspamd

// Upload gives the pieces of the message to libcurl, one after the other.
struct Upload {
  std::span<const std::string_view> pieces;
  size_t at = 0;
  size_t offset = 0;
};

size_t give(char* to, size_t size, size_t count, void* upload_pointer) {
  Upload& upload = *static_cast<Upload*>(upload_pointer);
  const size_t room = size * count;
  size_t done = 0;
  while (done < room && upload.at < upload.pieces.size()) {
    const std::string_view rest = upload.pieces[upload.at].substr(upload.offset);
    const size_t step = std::min(rest.size(), room - done);
    std::memcpy(to + done, rest.data(), step);
    done += step;
    upload.offset += step;
    if (step == rest.size()) {
      ++upload.at;
      upload.offset = 0;
    }
  }
  return done;
}

size_t take(char* from, size_t size, size_t count, void* reply_pointer) {
  std::string& reply = *static_cast<std::string*>(reply_pointer);
  if (reply.size() + size * count > kMostReply) return 0;
  reply.append(from, size * count);
  return size * count;
}

// add puts a field on the list; without a value libcurl leaves out one that it would send by itself.
bool add(CurlList& list, std::string_view name, std::string_view value) {
  std::string line = std::string(name) + ":";
  if (!value.empty()) line += " " + base::one_line(value.substr(0, kMostValue));
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) return false;
  list.release();
  list.reset(longer);
  return true;
}

// exchange makes one request; `subject` is posted where there is one. The reply's body, where its status is 200.
base::Result<std::string> exchange(const Reach& reach, const char* path, const Subject* subject, const CurlList& list,
                                   bool& shown) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const CurlHandle handle(ready == CURLE_OK ? curl_easy_init() : nullptr);
  if (handle == nullptr) return fail(Cause::unavailable, "libcurl cannot be used");
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(reach.deadline - Clock::now());
  if (left.count() <= 0) return fail(Cause::unavailable, "no answer in time");
  char error[CURL_ERROR_SIZE] = "";
  std::string reply;
  const base::Endpoint& at = reach.endpoint;
  const bool six = at.host.find(':') != std::string::npos;
  const std::string url = "http://" +
                          (six               ? "[" + at.host + "]"
                           : at.host.empty() ? "localhost"
                                             : at.host) +
                          (at.path.empty() ? ":" + std::to_string(at.port) : std::string()) + path;
  CURL* curl = handle.get();
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(left.count()));
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(std::max<int64_t>(1, std::min(left, reach.connect_timeout).count())));
  // A look-up of the name that takes too long is left behind in its thread, not waited for.
  curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
  if (!at.path.empty()) curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, at.path.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list.get());
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply);
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  if (subject != nullptr) {
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(subject->size));
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
  }
  Upload upload;
  if (subject != nullptr) upload.pieces = subject->pieces;
  curl_easy_setopt(curl, CURLOPT_READDATA, &upload);
  const CURLcode code = curl_easy_perform(curl);
  curl_off_t connected = 0;
  curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &connected);
  shown = connected > 0;
  if (code == CURLE_OPERATION_TIMEDOUT) return fail(Cause::unavailable, "no answer in time");
  if (code == CURLE_WRITE_ERROR) return fail(Cause::malformed, "no answer of rspamd: it is too long");
  if (code != CURLE_OK) {
    return fail(Cause::unavailable, shortened(error[0] != '\0' ? error : curl_easy_strerror(code), kMostName));
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    return fail(Cause::unavailable, "HTTP status " + std::to_string(status) + " " + shortened(reply, kMostName));
  }
  return reply;
}

std::optional<int64_t> thousandths(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>() * 1000;
  if (!std::isfinite(value)) return std::nullopt;
  constexpr auto kMost = static_cast<double>(base::kMostThousandths);
  return std::llround(std::clamp(value, -kMost, kMost));
}

}  // namespace

base::Result<Answer> read_rspamd_reply(std::string_view json) {
  const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= kMostDepth; };
  const Json object = Json::parse(json.begin(), json.end(), shallow, false);
  if (!object.is_object()) return fail(Cause::malformed, "no answer of rspamd: no JSON object");
  if (const auto error = object.find("error"); error != object.end() && error->is_string()) {
    return fail(Cause::unavailable, "rspamd: " + shortened(error->get_ref<const std::string&>(), kMostName));
  }
  const auto score = thousandths(object, "score");
  if (!score) return fail(Cause::malformed, "no answer of rspamd: it has no score");
  // What rspamd says of a message that it had no time for (soft_reject_on_timeout): the score is of the tests that
  // ended.
  const auto messages = object.find("messages");
  if (messages != object.end() && messages->is_object() &&
      messages->value("smtp_message", Json()) == "timeout processing message") {
    return fail(Cause::unavailable, "rspamd: its task_timeout was reached");
  }
  Answer answer;
  answer.score = *score;
  answer.required = thousandths(object, "required_score").value_or(0);
  std::string names;
  if (const auto symbols = object.find("symbols"); symbols != object.end() && symbols->is_object()) {
    for (const auto& [name, ignored] : symbols->items()) {
      if (names.size() <= kMostSymbols) names += (names.empty() ? "" : ",") + name;
    }
  }
  answer.symbols = shortened(names, kMostSymbols);
  return answer;
}

base::Result<Answer> ask_rspamd(const Reach& reach, const Subject& subject, bool& shown) {
  CurlList list;
  bool good = add(list, "Content-Type", "message/rfc822") && add(list, "Connection", "close");
  // libcurl would wait for a 100 before a large body.
  good = good && add(list, "Expect", "");
  const auto tell = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) good = good && add(list, name, value);
  };
  tell("IP", subject.client_ip);
  tell("Hostname", subject.client_name);
  tell("Helo", subject.helo);
  tell("From", "<" + subject.from + ">");
  for (size_t i = 0; i < std::min(subject.recipients.size(), kMostRecipients); ++i) {
    tell("Rcpt", subject.recipients[i]);
  }
  if (subject.recipients.size() == 1) tell("Deliver-To", subject.recipients.front());
  tell("User", subject.user);
  tell("Queue-Id", subject.queue_id);
  tell("MTA-Name", subject.hostname);
  if (!good) return fail(Cause::unavailable, "out of memory");
  auto reply = exchange(reach, "/checkv2", &subject, list, shown);
  if (!reply) return std::unexpected(std::move(reply.error()));
  return read_rspamd_reply(*reply);
}

base::Result<void> ping_rspamd(const Reach& reach) {
  bool shown = false;
  CurlList list;
  if (!add(list, "Connection", "close")) return fail(Cause::unavailable, "out of memory");
  auto reply = exchange(reach, "/ping", nullptr, list, shown);
  if (!reply) return std::unexpected(std::move(reply.error()));
  if (base::trim(*reply) != "pong") {
    return fail(Cause::malformed, "no answer of rspamd: '" + shortened(*reply, kMostName) + "'");
  }
  return {};
}

}  // namespace postern::inspect
