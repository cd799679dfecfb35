// SPDX-License-Identifier: Apache-2.0
// milterload: puts load on a milter as an MTA would, checks every answer against the protocol and prints one JSON
// object with what was measured. Exit status: 0 done; 1 the filter broke the protocol or answered otherwise than
// expected; 64 usage; 69 the filter cannot be reached.
#include <getopt.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "test/bench/client.h"

namespace {

using namespace postern::bench;

constexpr const char* kUsage =
    R"(usage: milterload --socket unix:PATH|inet:PORT@HOST [options]

What to send
  --messages N          this many messages (default 100)
  --seconds S           instead: new messages until S seconds have passed
  --connections N       at the same time (default 1)
  --per-session N       messages of one SMTP session (default 1)
  --size OCTETS         of one message, header included (default 4096)
  --shape text|attachment
  --seed N              another seed, other messages; the same seed, the same bytes
  --variants N          different messages, used in turn (default 16)
  --mail FILE           the mail in FILE instead of made ones; may be repeated, used in turn
  --plant-line TEXT     put this line into every text
  --plant-header 'NAME: VALUE'   add this field to every header; may be repeated
  --each-packet         write every packet by itself, as Sendmail does; else as Postfix does
  --offer-steps 0xBITS, --offer-actions 0xBITS   what the MTA offers (default: all of version 6)
  --timeout S           give up after S seconds without an answer (default 30)

Other uses
  --negotiate           only negotiate, print what the filter asks for
  --hold helo|body      open the connections up to this point, print "ready", keep them until standard input ends

What must come back
  --expect VERDICT      accept (default), reject, tempfail, discard, quarantine or any
  --expect-header NAME  every message gets a header field of this name added, inserted or changed
)";

int usage(int status) {
  std::fputs(kUsage, status == 0 ? stdout : stderr);
  return status;
}

bool parse_number(const char* text, uint64_t most, uint64_t& number) {
  char* end = nullptr;
  number = std::strtoull(text, &end, 0);
  return *text >= '0' && *text <= '9' && *end == '\0' && number <= most;
}

// quoted writes a JSON string; everything that is not plain ASCII becomes an escape.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c < ' ' || c == 127 || c == '"' || c == '\\') {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned char>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string counts(const std::map<std::string, uint64_t>& map) {
  std::string out = "{";
  for (const auto& [name, count] : map) {
    out += (out.size() > 1 ? "," : "") + quoted(name) + ":" + std::to_string(count);
  }
  return out + "}";
}

std::string negotiated_json(const Negotiated& negotiated) {
  char head[96];
  std::snprintf(head, sizeof head, "{\"version\":%u,\"actions\":\"0x%x\",\"steps\":\"0x%x\",\"symbols\":{",
                negotiated.version, negotiated.actions, negotiated.steps);
  std::string out = head;
  bool first = true;
  for (const auto& [stage, names] : negotiated.symbols) {
    std::string list;
    for (const auto& name : names) {
      list += (list.empty() ? "" : " ") + name;
    }
    out += (first ? "\"" : ",\"") + std::to_string(stage) + "\":" + quoted(list);
    first = false;
  }
  return out + "}}";
}

void print_report(const LoadReport& report) {
  auto sorted = report.latencies_us;
  std::ranges::sort(sorted);
  auto at = [&sorted](double share) {
    return sorted.empty() ? 0u : sorted[std::min(sorted.size() - 1, static_cast<size_t>(share * sorted.size()))];
  };
  std::printf("{\"messages\":%llu,\"seconds\":%.6f,\"per_second\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,",
              static_cast<unsigned long long>(report.messages), report.seconds,
              report.seconds > 0 ? static_cast<double>(report.messages) / report.seconds : 0, at(0.5), at(0.99),
              sorted.empty() ? 0u : sorted.back());
  std::printf("\"verdicts\":%s,\"changes\":%s,\"header_changes\":%s,\"negotiated\":%s}\n",
              counts(report.verdicts).c_str(), counts(report.changes).c_str(), counts(report.header_changes).c_str(),
              report.negotiated ? negotiated_json(*report.negotiated).c_str() : "null");
}

enum Option : int {
  kSocket = 1,
  kMessages,
  kSeconds,
  kConnections,
  kPerSession,
  kSize,
  kShape,
  kSeed,
  kVariants,
  kMail,
  kPlantLine,
  kPlantHeader,
  kEachPacket,
  kOfferSteps,
  kOfferActions,
  kTimeout,
  kNegotiate,
  kHold,
  kExpect,
  kExpectHeader,
  kHelp
};

constexpr option kOptions[] = {{"socket", required_argument, nullptr, kSocket},
                               {"messages", required_argument, nullptr, kMessages},
                               {"seconds", required_argument, nullptr, kSeconds},
                               {"connections", required_argument, nullptr, kConnections},
                               {"per-session", required_argument, nullptr, kPerSession},
                               {"size", required_argument, nullptr, kSize},
                               {"shape", required_argument, nullptr, kShape},
                               {"seed", required_argument, nullptr, kSeed},
                               {"variants", required_argument, nullptr, kVariants},
                               {"mail", required_argument, nullptr, kMail},
                               {"plant-line", required_argument, nullptr, kPlantLine},
                               {"plant-header", required_argument, nullptr, kPlantHeader},
                               {"each-packet", no_argument, nullptr, kEachPacket},
                               {"offer-steps", required_argument, nullptr, kOfferSteps},
                               {"offer-actions", required_argument, nullptr, kOfferActions},
                               {"timeout", required_argument, nullptr, kTimeout},
                               {"negotiate", no_argument, nullptr, kNegotiate},
                               {"hold", required_argument, nullptr, kHold},
                               {"expect", required_argument, nullptr, kExpect},
                               {"expect-header", required_argument, nullptr, kExpectHeader},
                               {"help", no_argument, nullptr, kHelp},
                               {}};

struct Request {
  LoadOptions load;
  bool negotiate = false;
  std::string expect = "accept";
  std::string expect_header;
};

// read_options returns the exit status when there is nothing to run.
std::optional<int> read_options(int argc, char** argv, Request& request) {
  LoadOptions& load = request.load;
  for (int option = 0; (option = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    uint64_t number = 0;
    char* end = nullptr;
    bool good = true;
    std::string value = optarg != nullptr ? optarg : "";
    switch (option) {
      case kSocket:
        load.socket = value;
        good = value.starts_with("unix:") || value.starts_with("inet:");
        break;
      case kMessages:
        good = parse_number(optarg, 100'000'000, number) && number > 0;
        load.messages = static_cast<uint32_t>(number);
        break;
      case kSeconds:
        load.seconds = std::strtod(optarg, &end);
        good = *end == '\0' && load.seconds > 0;
        break;
      case kConnections:
        good = parse_number(optarg, 20'000, number) && number > 0;
        load.connections = static_cast<uint32_t>(number);
        break;
      case kPerSession:
        good = parse_number(optarg, 1'000'000, number) && number > 0;
        load.per_session = static_cast<uint32_t>(number);
        break;
      case kSize:
        good = parse_number(optarg, 1u << 30, number) && number > 0;
        load.size = number;
        break;
      case kShape:
        good = value == "text" || value == "attachment";
        load.shape = value == "text" ? Shape::text : Shape::attachment;
        break;
      case kSeed:
        good = parse_number(optarg, UINT32_MAX, load.seed);
        break;
      case kVariants:
        good = parse_number(optarg, 4096, number) && number > 0;
        load.variants = static_cast<uint32_t>(number);
        break;
      case kMail: {
        std::optional<Mail> mail = read_mail(value);
        good = mail.has_value();
        if (good) load.mails.push_back(std::move(*mail));
        break;
      }
      case kPlantLine:
        load.plant.line = value;
        break;
      case kPlantHeader: {
        size_t colon = value.find(": ");
        good = colon != std::string::npos && colon > 0;
        load.plant.headers.emplace_back(value.substr(0, colon), good ? value.substr(colon + 2) : "");
        break;
      }
      case kEachPacket:
        load.each_packet = true;
        break;
      case kOfferSteps:
        good = parse_number(optarg, kAllSteps, number);
        load.steps = static_cast<uint32_t>(number);
        break;
      case kOfferActions:
        good = parse_number(optarg, kAllActions, number);
        load.actions = static_cast<uint32_t>(number);
        break;
      case kTimeout:
        load.timeout = std::strtod(optarg, &end);
        good = *end == '\0' && load.timeout > 0;
        break;
      case kNegotiate:
        request.negotiate = true;
        break;
      case kHold:
        good = value == "helo" || value == "body";
        load.hold = value == "helo" ? Hold::helo : Hold::body;
        break;
      case kExpect:
        request.expect = value;
        break;
      case kExpectHeader:
        request.expect_header = value;
        break;
      case kHelp:
        return usage(0);
      default:
        good = false;
    }
    if (!good) {
      return usage(64);
    }
  }
  if (load.socket.empty() || optind != argc) {
    return usage(64);
  }
  if (!load.mails.empty()) load.variants = static_cast<uint32_t>(load.mails.size());
  if (load.messages == 0 && load.seconds == 0) {
    load.messages = 100;
  } else if (load.seconds > 0) {
    load.messages = 0;
  }
  return std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  Request request;
  if (auto status = read_options(argc, argv, request)) {
    return *status;
  }
  std::string problem;
  bool unreachable = false;
  if (request.negotiate) {
    request.load.seconds = 1e-9;  // a session without a message
    request.load.messages = 0;
    request.load.connections = 1;
  }
  Client client(request.load);
  if (!client.run(problem, unreachable)) {
    std::fprintf(stderr, "milterload: %s\n", problem.c_str());
    return unreachable ? 69 : 1;
  }
  const LoadReport& report = client.report();
  if (request.negotiate) {
    std::printf("%s\n", negotiated_json(*report.negotiated).c_str());
    return 0;
  }
  if (request.load.hold != Hold::none) {
    return 0;
  }
  print_report(report);
  for (const auto& [verdict, count] : report.verdicts) {
    if (request.expect != "any" && verdict != request.expect) {
      std::fprintf(stderr, "milterload: %llu messages answered with %s, not %s\n",
                   static_cast<unsigned long long>(count), verdict.c_str(), request.expect.c_str());
      return 1;
    }
  }
  if (!request.expect_header.empty()) {
    auto found = report.header_changes.find(request.expect_header);
    if (found == report.header_changes.end() || found->second < report.messages) {
      std::fprintf(stderr, "milterload: not every message got the header field %s\n", request.expect_header.c_str());
      return 1;
    }
  }
  return 0;
}
