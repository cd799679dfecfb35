// SPDX-License-Identifier: Apache-2.0
// Sample mails; see mailgen.h. Text is drawn from a short list of words with a few addresses, numbers and links in it,
// so that a search for such things has something to look at and does not end at the first byte.
#include "test/bench/mailgen.h"

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>

namespace postern::bench {
namespace {

constexpr std::array<std::string_view, 64> kWords = {
    "the",      "agenda",   "for",     "Thursday", "holds",   "three",    "points",  "and",      "we",      "should",
    "bring",    "figures",  "from",    "last",     "quarter", "with",     "invoice", "number",   "which",   "customer",
    "returned", "because",  "pallets", "arrived",  "late",    "please",   "confirm", "delivery", "before",  "Friday",
    "noon",     "so",       "that",    "planning", "can",     "start",    "without", "delay",    "harbour", "weather",
    "report",   "says",     "wind",    "moderate", "to",      "strong",   "machine", "needs",    "new",     "bearings",
    "after",    "thousand", "hours",   "of",       "work",    "contract", "extends", "until",    "next",    "spring",
    "unless",   "either",   "party",   "objects"};

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {  // splitmix64
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(next() % bound); }

 private:
  uint64_t state_;
};

std::string hex(uint64_t value, int digits) {
  char text[24];
  std::snprintf(text, sizeof text, "%0*llx", digits, static_cast<unsigned long long>(value));
  return std::string(text).substr(0, static_cast<size_t>(digits));
}

std::string words(Random& random, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) {
    out += (i == 0 ? "" : " ");
    out += kWords[random.below(kWords.size())];
  }
  return out;
}

std::string base64_noise(Random& random, size_t length) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < length; ++i) {
    out.push_back(kAlphabet[random.below(64)]);
  }
  return out;
}

std::string text_line(Random& random) {
  std::string line;
  while (line.size() < 60) {
    switch (random.below(40)) {
      case 0:
        line += "order " + std::to_string(random.below(1'000'000));
        break;
      case 1:
        line += "https://www.example.org/" + hex(random.next(), 6) + "/index.html";
        break;
      case 2:
        line += "desk" + std::to_string(random.below(50)) + "@example.net";
        break;
      default:
        line += kWords[random.below(kWords.size())];
    }
    line += random.below(12) == 0 ? ", " : " ";
  }
  line.back() = '\r';
  line += '\n';
  return line;
}

void fill_text(std::string& body, Random& random, size_t until, std::string_view planted) {
  size_t middle = body.size() + (until > body.size() ? (until - body.size()) / 2 : 0);
  bool pending = !planted.empty();
  do {
    if (pending && body.size() >= middle) {
      body.append(planted).append("\r\n");
      pending = false;
    }
    body += text_line(random);
  } while (body.size() + 35 < until || pending);
}

size_t header_octets(const Mail& mail) {
  size_t octets = 2;
  for (const auto& [name, value] : mail.headers) {
    octets += name.size() + value.size() + 3;
  }
  return octets;
}

}  // namespace

Mail make_mail(uint64_t seed, uint32_t number, size_t size, Shape shape, const Plant& plant) {
  Random random(seed * 1'000'003 + number);
  std::string id = hex(random.next(), 12);
  std::string boundary = "=_part_" + hex(random.next(), 16);
  Mail mail;
  mail.sender = "sender" + std::to_string(random.below(100)) + "@example.com";
  mail.recipient = "rcpt" + std::to_string(random.below(100)) + "@example.org";
  auto add = [&mail](std::string_view name, std::string value) {
    mail.headers.emplace_back(std::string(name), " " + std::move(value));
  };
  for (int hop = 3; hop > 0; --hop) {
    std::string host = "relay" + std::to_string(hop) + ".example.com";
    add("Received", "from " + host + " (" + host + " [192.0.2." + std::to_string(random.below(254) + 1) +
                        "])\n\tby mx" + std::to_string(hop) + ".example.net (Postfix) with ESMTPS id " + id +
                        "\n\tfor <" + mail.recipient + ">; Mon,  6 Jan 2025 10:0" + std::to_string(6 - hop) +
                        ":00 +0000 (UTC)");
  }
  add("DKIM-Signature",
      "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s2025;\n\tt=1736157600; bh=" + base64_noise(random, 43) +
          "=;\n\th=From:To:Cc:Subject:Date:Message-ID:Reply-To:MIME-Version;\n\tb=" + base64_noise(random, 64) +
          "\n\t " + base64_noise(random, 64));
  add("From", "\"Sales Desk\" <" + mail.sender + ">");
  add("To", "Receiving <" + mail.recipient + ">, accounts@example.org");
  add("Cc", "\"Harbour Office\" <harbour@example.net>");
  add("Reply-To", "desk" + std::to_string(random.below(50)) + "@example.com");
  add("Subject", "Re: " + words(random, 6));
  add("Date", "Mon, 6 Jan 2025 10:00:00 +0000");
  add("Message-ID", "<" + id + "." + std::to_string(number) + "@mail.example.com>");
  add("In-Reply-To", "<" + hex(random.next(), 12) + ".1@mail.example.org>");
  add("References",
      "<" + hex(random.next(), 12) + ".0@mail.example.org>\n <" + hex(random.next(), 12) + ".1@mail.example.org>");
  add("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.5.0");
  add("X-Mailer", "Quarterly Mailer 7.2 (build " + std::to_string(random.below(10'000)) + ")");
  add("X-Originating-IP", "[198.51.100." + std::to_string(random.below(254) + 1) + "]");
  add("Organization", "Example Trading");
  add("List-Id", "Planning <planning.example.com>");
  add("MIME-Version", "1.0");
  if (shape == Shape::text) {
    add("Content-Type", "text/plain; charset=us-ascii");
    add("Content-Transfer-Encoding", "7bit");
  } else {
    add("Content-Type", "multipart/mixed; boundary=\"" + boundary + "\"");
  }
  for (const auto& [name, value] : plant.headers) {
    add(name, value);
  }

  size_t head = header_octets(mail);
  size_t room = size > head + 200 ? size - head : 200;
  if (shape == Shape::text) {
    fill_text(mail.body, random, room, plant.line);
    return mail;
  }
  mail.body = "--" + boundary + "\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n";
  fill_text(mail.body, random, mail.body.size() + std::min<size_t>(room / 2, 2048), plant.line);
  mail.body += "--" + boundary +
               "\r\nContent-Type: application/octet-stream; name=\"figures.bin\"\r\n"
               "Content-Disposition: attachment; filename=\"figures.bin\"\r\n"
               "Content-Transfer-Encoding: base64\r\n\r\n";
  do {
    mail.body += base64_noise(random, 76) + "\r\n";
  } while (mail.body.size() + boundary.size() + 45 < room);
  mail.body += "--" + boundary + "--\r\n";
  return mail;
}

std::optional<Mail> read_mail(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  std::string lines;
  lines.reserve(text.size() + text.size() / 32);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) lines += '\r';
    lines += text[i];
  }
  const size_t end = lines.find("\r\n\r\n");
  if (end == std::string::npos) return std::nullopt;
  Mail mail;
  mail.sender = "sender@example.com";
  mail.recipient = "recipient@example.net";
  mail.body = lines.substr(end + 4);
  lines.resize(end + 2);
  for (size_t at = 0; at < lines.size();) {
    const size_t stop = lines.find("\r\n", at);
    std::string line = lines.substr(at, stop - at);
    at = stop + 2;
    if (line.starts_with(' ') || line.starts_with('\t')) {
      if (mail.headers.empty()) return std::nullopt;
      mail.headers.back().second += "\n" + line;
      continue;
    }
    const size_t colon = line.find(':');
    if (colon == std::string::npos) return std::nullopt;
    mail.headers.emplace_back(line.substr(0, colon), line.substr(colon + 1));
  }
  return mail;
}

}  // namespace postern::bench
