// SPDX-License-Identifier: Apache-2.0
// libcurl's own result says too little (a refused recipient and a lost connection are one code), so its commands and
// the server's replies are followed as they pass. One transaction goes to all recipients; when the server refuses any,
// it is given up before DATA, and submit_own() gives each recipient one of his own.
#include "engine/submit/smtp.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/base/text.h"
#include "engine/submit/curl.h"

namespace postern::submit {
namespace {

constexpr size_t kLongestReply = 1000;

bool is_code(std::string_view text) {
  return text.size() >= 3 && std::ranges::all_of(text.substr(0, 3), [](char c) { return c >= '0' && c <= '9'; });
}

// Dialogue follows one transfer.
struct Dialogue {
  enum class Stage : uint8_t { connect, hello, mail, recipient, data, content };
  Stage stage = Stage::connect;
  bool greeted = false;
  int code = 0;  // of the last whole reply
  std::string reply;
  std::string partial;
  bool leaving = false;  // libcurl says goodbye after what was refused

  void command(std::string_view line) {
    leaving = leaving || base::istarts_with(line, "QUIT") || base::istarts_with(line, "RSET");
    if (leaving) return;
    code = 0;
    if (base::istarts_with(line, "MAIL ")) {
      stage = Stage::mail;
    } else if (base::istarts_with(line, "RCPT ")) {
      stage = Stage::recipient;
    } else if (base::istarts_with(line, "DATA")) {
      stage = Stage::data;
    } else if (base::istarts_with(line, "EHLO ") || base::istarts_with(line, "HELO ") ||
               base::istarts_with(line, "STARTTLS")) {
      stage = Stage::hello;
    }
  }

  void answer(std::string_view line) {
    const std::string_view text = base::trim(line);
    if (leaving || !is_code(text)) return;
    greeted = true;
    if (partial.size() + text.size() < kLongestReply) {
      partial += partial.empty() ? std::string(text) : " " + std::string(text.substr(std::min<size_t>(4, text.size())));
    }
    if (text.size() > 3 && text[3] == '-') return;
    code = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
    reply = std::exchange(partial, {});
    if (stage == Stage::data && code == 354) {
      stage = Stage::content;
      code = 0;
    }
  }

  // Replies about the way (encryption or a login is missing) say nothing about the mail.
  bool about_the_mail() const {
    return stage >= Stage::mail && code != 421 && code != 530 && code != 534 && code != 535 && code != 538;
  }
};

int follow(CURL*, curl_infotype type, char* data, size_t size, void* to) {
  auto& dialogue = *static_cast<Dialogue*>(to);
  std::string_view text(data, size);
  if (type == CURLINFO_HEADER_OUT) dialogue.command(text);
  if (type == CURLINFO_HEADER_IN) {
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      dialogue.answer(text.substr(0, end));
      text.remove_prefix(std::min(text.size(), end + 1));
    }
  }
  return 0;
}

struct Source {
  std::string_view head;
  std::string_view rest;
};

size_t read_content(char* to, size_t size, size_t count, void* from) {
  auto& source = *static_cast<Source*>(from);
  std::string_view& piece = source.head.empty() ? source.rest : source.head;
  const size_t bytes = std::min(piece.size(), size * count);
  std::memcpy(to, piece.data(), bytes);
  piece.remove_prefix(bytes);
  return bytes;
}

size_t ignore(char*, size_t size, size_t count, void*) { return size * count; }

}  // namespace

struct SmtpClient::Curl {
  CurlHandle handle;
};

SmtpClient::SmtpClient(SmtpServer server)
    : server_(std::move(server)), curl_(std::make_unique<Curl>(Curl{new_curl()})) {}
SmtpClient::~SmtpClient() = default;

SmtpResult SmtpClient::transact(const SmtpMail& mail, const std::atomic<bool>& stop, bool& reached) {
  CURL* handle = curl_->handle.get();
  if (handle == nullptr) return {SmtpResult::What::later, "libcurl cannot be used"};
  const bool v6 = server_.host.find(':') != std::string::npos;
  const std::string url = "smtp://" + (v6 ? "[" + server_.host + "]" : server_.host) + ":" +
                          std::to_string(server_.port) + "/" + server_.name;
  char error[CURL_ERROR_SIZE];
  prepare_curl(handle, url, "smtp", server_.timeout, stop, error);
  if (server_.tls != SmtpTls::none) {
    const bool must = server_.tls == SmtpTls::require;
    curl_easy_setopt(handle, CURLOPT_USE_SSL, static_cast<long>(must ? CURLUSESSL_ALL : CURLUSESSL_TRY));
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, must ? 1L : 0L);
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, must ? 2L : 0L);
    if (must && !server_.ca_file.empty()) curl_easy_setopt(handle, CURLOPT_CAINFO, server_.ca_file.c_str());
  }
  const std::string from = "<" + std::string(mail.from) + ">";
  curl_easy_setopt(handle, CURLOPT_MAIL_FROM, from.c_str());
  curl_slist* built = nullptr;
  for (const std::string& recipient : mail.recipients) {
    curl_slist* longer = curl_slist_append(built, ("<" + recipient + ">").c_str());
    if (longer == nullptr) {
      curl_slist_free_all(built);
      return {SmtpResult::What::later, "out of memory"};
    }
    built = longer;
  }
  const CurlList recipients(built);
  curl_easy_setopt(handle, CURLOPT_MAIL_RCPT, recipients.get());
  Source source{mail.head, mail.rest};
  curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(handle, CURLOPT_READFUNCTION, read_content);
  curl_easy_setopt(handle, CURLOPT_READDATA, &source);
  curl_easy_setopt(handle, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(mail.head.size() + mail.rest.size()));
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, ignore);
  Dialogue dialogue;
  curl_easy_setopt(handle, CURLOPT_VERBOSE, 1L);
  curl_easy_setopt(handle, CURLOPT_DEBUGFUNCTION, follow);
  curl_easy_setopt(handle, CURLOPT_DEBUGDATA, &dialogue);

  const CURLcode code = curl_easy_perform(handle);
  reached = reached || dialogue.greeted;
  const bool at_recipient =
      mail.recipients.size() > 1 && dialogue.stage == Dialogue::Stage::recipient && dialogue.code >= 400;
  if (code == CURLE_OK && dialogue.stage == Dialogue::Stage::content && dialogue.code / 100 == 2) {
    return {SmtpResult::What::taken, base::one_line(dialogue.reply)};
  }
  if (dialogue.code >= 500 && dialogue.about_the_mail()) {
    return {SmtpResult::What::refused, base::one_line(dialogue.reply), at_recipient};
  }
  if (dialogue.code >= 400) return {SmtpResult::What::later, base::one_line(dialogue.reply), at_recipient};
  return {SmtpResult::What::later, curl_failure(code, error)};
}

std::vector<SmtpResult> SmtpClient::send(const SmtpMail& mail, const std::atomic<bool>& stop, bool& reached) {
  reached = false;
  return {mail.recipients.size(), transact(mail, stop, reached)};
}

}  // namespace postern::submit
