// SPDX-License-Identifier: Apache-2.0
// noop: the least a libmilter filter can do, as the yardstick of the benchmark. It asks for exactly the steps, actions
// and macros it is told to (those a real filter asked for), keeps nothing, and lets every message pass. Where answers
// are suppressed it gives none. libmilter's threads run the callbacks; there is no state to share.
#include <getopt.h>
#include <libmilter/mfapi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace {

unsigned long wanted_steps = 0;
unsigned long wanted_actions = 0;
std::vector<std::pair<int, std::string>> wanted_symbols;
unsigned long agreed_steps = 0;  // the same for every connection of one run

sfsistat answer(unsigned long silent) { return (agreed_steps & silent) != 0 ? SMFIS_NOREPLY : SMFIS_CONTINUE; }

sfsistat on_negotiate(SMFICTX* context, unsigned long actions, unsigned long steps, unsigned long, unsigned long,
                      unsigned long* actions_out, unsigned long* steps_out, unsigned long* reserved0,
                      unsigned long* reserved1) {
  if ((wanted_steps & ~steps) != 0 || (wanted_actions & ~actions) != 0) {
    std::fprintf(stderr, "noop: the MTA does not offer the steps or actions wanted\n");
    return SMFIS_REJECT;
  }
  for (auto& [stage, names] : wanted_symbols) {
    if (smfi_setsymlist(context, stage, names.data()) == MI_FAILURE) {
      return SMFIS_REJECT;
    }
  }
  *actions_out = wanted_actions;
  *steps_out = wanted_steps;
  *reserved0 = *reserved1 = 0;
  return SMFIS_CONTINUE;
}

sfsistat on_connect(SMFICTX*, char*, _SOCK_ADDR*) { return answer(SMFIP_NR_CONN); }
sfsistat on_helo(SMFICTX*, char*) { return answer(SMFIP_NR_HELO); }
sfsistat on_mail(SMFICTX*, char**) { return answer(SMFIP_NR_MAIL); }
sfsistat on_rcpt(SMFICTX*, char**) { return answer(SMFIP_NR_RCPT); }
sfsistat on_data(SMFICTX*) { return answer(SMFIP_NR_DATA); }
sfsistat on_unknown(SMFICTX*, const char*) { return answer(SMFIP_NR_UNKN); }
sfsistat on_header(SMFICTX*, char*, char*) { return answer(SMFIP_NR_HDR); }
sfsistat on_end_of_header(SMFICTX*) { return answer(SMFIP_NR_EOH); }
sfsistat on_body(SMFICTX*, unsigned char*, size_t) { return answer(SMFIP_NR_BODY); }
sfsistat on_end(SMFICTX*) { return SMFIS_CONTINUE; }

int usage(int status) {
  std::fprintf(
      status == 0 ? stdout : stderr,
      "usage: noop --socket unix:PATH|inet:PORT@HOST [--steps 0xBITS] [--actions 0xBITS] [--symbols STAGE=NAMES]…\n"
      "A libmilter filter that lets everything pass, asking for these SMFIP_* steps, SMFIF_* actions and macros.\n");
  return status;
}

bool parse_bits(const char* text, unsigned long& bits) {
  char* end = nullptr;
  bits = std::strtoul(text, &end, 0);
  return *text != '\0' && *end == '\0';
}

}  // namespace

int main(int argc, char** argv) {
  constexpr option kOptions[] = {
      {"socket", required_argument, nullptr, 's'},  {"steps", required_argument, nullptr, 'p'},
      {"actions", required_argument, nullptr, 'a'}, {"symbols", required_argument, nullptr, 'm'},
      {"help", no_argument, nullptr, 'h'},          {}};
  std::string socket;
  for (int option = 0; (option = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    switch (option) {
      case 's':
        socket = optarg;
        break;
      case 'p':
        if (!parse_bits(optarg, wanted_steps)) {
          return usage(64);
        }
        break;
      case 'a':
        if (!parse_bits(optarg, wanted_actions)) {
          return usage(64);
        }
        break;
      case 'm': {
        const char* equals = std::strchr(optarg, '=');
        if (equals == nullptr || optarg[0] < '0' || optarg[0] > '6' || equals != optarg + 1) {
          return usage(64);
        }
        wanted_symbols.emplace_back(optarg[0] - '0', equals + 1);
        break;
      }
      case 'h':
        return usage(0);
      default:
        return usage(64);
    }
  }
  if (socket.empty() || optind != argc) {
    return usage(64);
  }
  agreed_steps = wanted_steps;

  char name[] = "noop";
  smfiDesc filter{};
  filter.xxfi_name = name;
  filter.xxfi_version = SMFI_VERSION;
  filter.xxfi_flags = wanted_actions;
  filter.xxfi_connect = on_connect;
  filter.xxfi_helo = on_helo;
  filter.xxfi_envfrom = on_mail;
  filter.xxfi_envrcpt = on_rcpt;
  filter.xxfi_header = on_header;
  filter.xxfi_eoh = on_end_of_header;
  filter.xxfi_body = on_body;
  filter.xxfi_eom = on_end;
  filter.xxfi_unknown = on_unknown;
  filter.xxfi_data = on_data;
  filter.xxfi_negotiate = on_negotiate;
  if (smfi_register(filter) == MI_FAILURE || smfi_setconn(socket.data()) == MI_FAILURE ||
      smfi_setbacklog(1024) == MI_FAILURE || smfi_opensocket(true) == MI_FAILURE) {
    std::fprintf(stderr, "noop: cannot listen on %s\n", socket.c_str());
    return 69;
  }
  return smfi_main() == MI_SUCCESS ? 0 : 70;
}
