// SPDX-License-Identifier: Apache-2.0
// Doctor for Sendmail: reads sendmail.cf (the X and O lines) as the Sendmail Installation and Operation Guide describes
// them.
#include <charconv>

#include "engine/base/text.h"
#include "milter/cli/doctor.h"

namespace postern::cli {

namespace {

struct FilterLine {
  std::string name;
  std::string socket;
  std::string flags;
  std::map<std::string, std::string> times;  // C, S, R, E
};

FilterLine parse_filter_line(std::string_view line) {
  FilterLine filter;
  bool first = true;
  for (std::string_view piece : base::split(line, ',')) {
    piece = base::trim(piece);
    if (first) {
      filter.name = piece;
      first = false;
    } else if (piece.starts_with("S=")) {
      filter.socket = base::trim(piece.substr(2));
    } else if (piece.starts_with("F=")) {
      filter.flags = base::trim(piece.substr(2));
    } else if (piece.starts_with("T=")) {
      for (const std::string_view time : base::split(piece.substr(2), ';')) {
        const size_t colon = time.find(':');
        if (colon != std::string_view::npos) {
          filter.times[std::string(base::trim(time.substr(0, colon)))] = base::trim(time.substr(colon + 1));
        }
      }
    }
  }
  return filter;
}

bool same_socket(const std::string& theirs, const std::string& ours) {
  const auto path = [](const std::string& socket) { return socket.substr(socket.find(':') + 1); };
  const bool their_unix = theirs.starts_with("local:") || theirs.starts_with("unix:") || theirs.starts_with('/');
  const bool our_unix = !ours.starts_with("inet");
  if (their_unix != our_unix) return false;
  if (their_unix) return (theirs.starts_with('/') ? theirs : path(theirs)) == path(ours);
  return path(theirs).substr(0, path(theirs).find('@')) == path(ours).substr(0, path(ours).find('@'));
}

}  // namespace

base::Result<void> examine_sendmail(const std::string& file, const milter::Generation& generation, Findings& findings) {
  const base::Result<std::string> text = read_small_file(file);
  if (!text) return std::unexpected(text.error());
  const milter::Settings& settings = generation.settings;

  std::vector<FilterLine> filters;
  std::map<std::string, std::string> options;
  for (std::string_view line : base::split(*text, '\n')) {
    if (line.starts_with('X')) filters.push_back(parse_filter_line(line.substr(1)));
    if (line.starts_with("O ")) {
      const size_t equal = line.find('=');
      if (equal != std::string_view::npos) {
        options[base::lower(base::trim(line.substr(2, equal - 2)))] = base::trim(line.substr(equal + 1));
      }
    }
  }

  std::vector<std::string> used;
  for (const std::string_view name : base::split(options["inputmailfilters"], ',')) {
    if (!base::trim(name).empty()) used.emplace_back(base::trim(name));
  }
  bool anywhere = false;
  for (const FilterLine& filter : filters) {
    if (!same_socket(filter.socket, settings.listen.socket)) continue;
    size_t place = used.size();
    for (size_t i = 0; i < used.size(); ++i) {
      if (used[i] == filter.name) place = i;
    }
    if (place == used.size()) continue;
    anywhere = true;
    if (place + 1 < used.size()) findings.add("milter-after", used[place + 1] + " comes after posternd");
    const bool tempfail = filter.flags.find_first_of("T4") != std::string::npos;
    if (!tempfail && filter.flags.find('R') != std::string::npos) {
      findings.add("default-action-bounces", filter.name + ": F=" + filter.flags);
    } else if (!tempfail) {
      findings.add("default-action-unsafe",
                   filter.name + ": F=" + filter.flags + " lets mail pass when posternd is away");
    }
    const std::tuple<const char*, const char*, uint64_t> times[] = {
        {"S", "10s", kCommandSeconds}, {"R", "10s", kCommandSeconds}, {"E", "5m", kContentSeconds}};
    for (const auto& [key, fallback, ours] : times) {
      const auto it = filter.times.find(key);
      const std::string value = it == filter.times.end() ? fallback : it->second;
      const std::optional<uint64_t> seconds = seconds_of(value);
      if (!seconds || *seconds <= ours) {
        findings.add("timeout-short",
                     filter.name + ": T=" + key + ":" + value + "; posternd may take " + std::to_string(ours) + " s");
      }
    }
  }
  if (!anywhere) {
    findings.add("milter-not-configured",
                 "no filter of InputMailFilters in " + file + " uses " + settings.listen.socket);
  }

  const std::string& size = options["maxmessagesize"];
  uint64_t bytes = 0;
  std::from_chars(size.data(), size.data() + size.size(), bytes);
  if (bytes == 0 || bytes > settings.limits.message_size) {
    findings.add("message-size", "MaxMessageSize is " + (size.empty() ? std::string("not set") : size) +
                                     ", limits.message-size is " + base::format_size(settings.limits.message_size));
  }
  const std::string& header = options["maxheaderslength"];
  bytes = 32768;
  std::from_chars(header.data(), header.data() + header.size(), bytes);
  if (bytes < settings.limits.header_size) findings.add("header-size", "MaxHeadersLength is " + std::to_string(bytes));

  examine_socket(settings, options["runasuser"].empty() ? "root" : options["runasuser"], findings);
  return {};
}

}  // namespace postern::cli
