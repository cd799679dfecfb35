// SPDX-License-Identifier: Apache-2.0
// Doctor for Postfix: reads main.cf and master.cf as postconf(5) and master(5) describe them and looks at every smtpd
// service.
#include <charconv>
#include <cstdio>

#include "engine/base/text.h"
#include "milter/cli/doctor.h"

namespace postern::cli {

namespace {

constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// Logical lines: comment and empty lines are skipped, a line that begins with white space continues the one before.
std::vector<std::string> logical_lines(std::string_view text) {
  std::vector<std::string> lines;
  for (std::string_view line : base::split(text, '\n')) {
    const std::string_view content = base::trim(line);
    if (content.empty() || content.front() == '#') continue;
    if (is_blank(line.front()) && !lines.empty()) {
      lines.back() += ' ';
      lines.back() += content;
    } else {
      lines.emplace_back(content);
    }
  }
  return lines;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  int depth = 0;
  std::string word;
  for (const char c : text) {
    if (c == '{') ++depth;
    if (c == '}') --depth;
    if (is_blank(c) && depth <= 0) {
      if (!word.empty()) out.push_back(std::move(word));
      word.clear();
    } else {
      word += c;
    }
  }
  if (!word.empty()) out.push_back(std::move(word));
  return out;
}

// Parameters of one service: its overrides over main.cf over Postfix's own defaults, with $name expanded.
class Parameters {
 public:
  Parameters(const std::map<std::string, std::string>& main, const MasterService* service)
      : main_(main), service_(service) {}

  std::string get(const std::string& name, std::string_view fallback) const { return expand(raw(name, fallback), 0); }
  bool given(const std::string& name) const {
    return (service_ != nullptr && service_->overrides.contains(name)) || main_.contains(name);
  }

 private:
  std::string raw(const std::string& name, std::string_view fallback) const {
    if (service_ != nullptr) {
      if (const auto it = service_->overrides.find(name); it != service_->overrides.end()) return it->second;
    }
    if (const auto it = main_.find(name); it != main_.end()) return it->second;
    return std::string(fallback);
  }

  std::string expand(std::string_view text, int depth) const {
    constexpr int kDeepest = 20;
    constexpr size_t kLongest = 65536;
    std::string out;
    for (size_t i = 0; i < text.size() && out.size() < kLongest; ++i) {
      if (text[i] != '$' || i + 1 == text.size()) {
        out += text[i];
        continue;
      }
      if (text[i + 1] == '$') {
        out += '$';
        ++i;
        continue;
      }
      const char open = text[i + 1];
      size_t start = i + 1;
      size_t end;
      if (open == '{' || open == '(') {
        end = text.find(open == '{' ? '}' : ')', ++start);
        if (end == std::string_view::npos) return out;
        i = end;
      } else {
        end = start;
        while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_'))
          ++end;
        i = end - 1;
      }
      if (depth < kDeepest) out += expand(raw(std::string(text.substr(start, end - start)), ""), depth + 1);
    }
    return out;
  }

  const std::map<std::string, std::string>& main_;
  const MasterService* service_;
};

// Whether an element of smtpd_milters is our socket, as a process of this service would resolve it.
enum class Match { no, yes, outside_chroot };

Match match_address(const std::string& address, const std::string& ours, bool chroot, const std::string& queue) {
  const bool unix_ours = ours.starts_with("unix:") || ours.starts_with("local:");
  const std::string our_path = ours.substr(ours.find(':') + 1);
  if (address.starts_with("unix:")) {
    if (!unix_ours) return Match::no;
    const std::string path = address.substr(5);
    if (path.empty()) return Match::no;
    const std::string seen = path.front() != '/' ? queue + "/" + path : chroot ? queue + path : path;
    if (seen == our_path) return Match::yes;
    return path == our_path ? Match::outside_chroot : Match::no;
  }
  if (address.starts_with("inet:") && ours.starts_with("inet")) {
    // Postfix: inet:host:port; ours: inet:port@host.
    const size_t colon = address.rfind(':');
    const std::string port = address.substr(colon + 1);
    const std::string our_port = our_path.substr(0, our_path.find('@'));
    return port == our_port ? Match::yes : Match::no;
  }
  return Match::no;
}

// Whether a branch has an action that Postfix acts on through milter_header_checks. Depth is bounded by the loader.
bool uses_route(const rules::Branch& branch) {
  const auto any = [](const std::vector<rules::Statement>& statements) {
    for (const rules::Statement& statement : statements) {
      if (statement.branch != nullptr && uses_route(*statement.branch)) return true;
      if (!statement.action) continue;
      if (statement.action->row->name == "alt-mailhost" || statement.action->row->name == "alt-src-host") return true;
    }
    return false;
  };
  return any(branch.then_part) || any(branch.else_part);
}

// Whether a service of master.cf is where mail of our own goes: "127.0.0.1:10026", "[::1]:10026", "10026".
bool is_reinjection(const MasterService& service, const milter::Reinject& reinject) {
  if (reinject.server.empty() || service.type != "inet") return false;
  const std::string& name = service.name;
  const std::string port = std::to_string(reinject.smtp.port);
  return name == port || name.ends_with(":" + port);
}

void examine_entry(const MilterEntry& entry, const Parameters& parameters, const std::string& where,
                   Findings& findings) {
  const auto setting = [&](const std::string& own, const std::string& parameter, std::string_view fallback) {
    const auto it = entry.settings.find(own);
    return it != entry.settings.end() ? it->second : parameters.get(parameter, fallback);
  };
  const std::string action = setting("default_action", "milter_default_action", "tempfail");
  if (action == "accept" || action == "quarantine") {
    findings.add("default-action-unsafe", where + ": default action is " + action);
  } else if (action == "reject") {
    findings.add("default-action-bounces", where + ": default action is reject");
  }
  const std::string protocol = setting("protocol", "milter_protocol", "6");
  int version = 0;
  std::from_chars(protocol.data(), protocol.data() + protocol.size(), version);
  if (version < 6) findings.add("protocol-old", where + ": milter_protocol is " + protocol);
  const std::pair<const char*, uint64_t> times[] = {{"command_timeout", kCommandSeconds},
                                                    {"content_timeout", kContentSeconds}};
  for (const auto& [name, ours] : times) {
    const std::string value = setting(name, std::string("milter_") + name, ours == kContentSeconds ? "300s" : "30s");
    const std::optional<uint64_t> seconds = seconds_of(value);
    if (!seconds || *seconds <= ours) {
      findings.add("timeout-short",
                   where + ": milter_" + name + " is " + value + "; posternd may take " + std::to_string(ours) + " s");
    }
  }
}

}  // namespace

std::map<std::string, std::string> parse_main_cf(std::string_view text) {
  std::map<std::string, std::string> out;
  for (const std::string& line : logical_lines(text)) {
    const size_t equal = line.find('=');
    if (equal == std::string::npos) continue;
    out[std::string(base::trim(std::string_view(line).substr(0, equal)))] =
        base::trim(std::string_view(line).substr(equal + 1));
  }
  return out;
}

std::vector<MasterService> parse_master_cf(std::string_view text) {
  std::vector<MasterService> out;
  for (const std::string& line : logical_lines(text)) {
    const std::vector<std::string> fields = words(line);
    if (fields.size() < 8) continue;
    MasterService service;
    service.name = fields[0];
    service.type = fields[1];
    service.chroot = fields[4] == "y";
    service.command = fields[7];
    for (size_t i = 8; i < fields.size(); ++i) {
      std::string option = fields[i];
      if (option == "-o" && i + 1 < fields.size()) {
        option = fields[++i];
      } else if (option.starts_with("-o")) {
        option = option.substr(2);
      } else {
        continue;
      }
      if (option.starts_with('{') && option.ends_with('}'))
        option = base::trim(std::string_view(option).substr(1, option.size() - 2));
      const size_t equal = option.find('=');
      if (equal == std::string::npos) continue;
      service.overrides[std::string(base::trim(std::string_view(option).substr(0, equal)))] =
          base::trim(std::string_view(option).substr(equal + 1));
    }
    out.push_back(std::move(service));
  }
  return out;
}

std::vector<MilterEntry> parse_milter_list(std::string_view value) {
  std::vector<MilterEntry> out;
  const auto separator = [](char c) { return is_blank(c) || c == ',' || c == '\n'; };
  for (size_t i = 0; i < value.size();) {
    if (separator(value[i])) {
      ++i;
      continue;
    }
    MilterEntry entry;
    if (value[i] == '{') {
      const size_t end = std::min(value.find('}', i), value.size());
      bool first = true;
      for (std::string_view piece : base::split(value.substr(i + 1, end - i - 1), ',')) {
        piece = base::trim(piece);
        // Settings may also be separated by blanks alone.
        while (!piece.empty()) {
          size_t stop = 0;
          while (stop < piece.size() && !is_blank(piece[stop])) ++stop;
          // "name = value" is one setting.
          size_t next = stop;
          while (next < piece.size() && is_blank(piece[next])) ++next;
          if (!first && next < piece.size() && piece[next] == '=') {
            stop = piece.size();
          }
          const std::string_view word = piece.substr(0, stop);
          if (first) {
            entry.address = word;
            first = false;
          } else if (const size_t equal = word.find('='); equal != std::string_view::npos) {
            entry.settings[std::string(base::trim(word.substr(0, equal)))] = base::trim(word.substr(equal + 1));
          }
          piece = base::trim(piece.substr(stop));
        }
      }
      i = end + 1;
    } else {
      size_t end = i;
      while (end < value.size() && !separator(value[end])) ++end;
      entry.address = value.substr(i, end - i);
      i = end;
    }
    if (!entry.address.empty()) out.push_back(std::move(entry));
  }
  return out;
}

base::Result<void> examine_postfix(const std::string& folder, const milter::Generation& generation,
                                   Findings& findings) {
  const base::Result<std::string> main_text = read_small_file(folder + "/main.cf");
  if (!main_text) return std::unexpected(main_text.error());
  const base::Result<std::string> master_text = read_small_file(folder + "/master.cf");
  if (!master_text) return std::unexpected(master_text.error());
  const std::map<std::string, std::string> main = parse_main_cf(*main_text);
  const std::vector<MasterService> services = parse_master_cf(*master_text);
  const milter::Settings& settings = generation.settings;
  const Parameters global(main, nullptr);
  const std::string queue = global.get("queue_directory", "/var/spool/postfix");

  bool anywhere = false;
  bool reinjection = false;
  std::vector<std::string> without;
  for (const MasterService& service : services) {
    if (service.command != "smtpd") continue;
    const Parameters parameters(main, &service);
    const std::string where = service.name + "/" + service.type;
    const std::vector<MilterEntry> entries = parse_milter_list(parameters.get("smtpd_milters", ""));
    bool here = false;
    for (size_t i = 0; i < entries.size(); ++i) {
      switch (match_address(entries[i].address, settings.listen.socket, service.chroot, queue)) {
        case Match::no:
          continue;
        case Match::outside_chroot:
          findings.add("socket-outside-chroot", where + ": " + entries[i].address + " is looked for below " + queue);
          here = true;
          continue;
        case Match::yes:
          break;
      }
      here = true;
      examine_entry(entries[i], parameters, where, findings);
      if (i + 1 < entries.size())
        findings.add("milter-after", where + ": " + entries[i + 1].address + " comes after posternd");
    }
    if (is_reinjection(service, settings.reinject)) {
      reinjection = true;
      const bool off = parameters.get("receive_override_options", "").find("no_milters") != std::string::npos;
      if (!here || off) findings.add("reinject-unmarked", where + " does not use posternd");
      const std::string name = parameters.get("milter_macro_daemon_name", global.get("myhostname", ""));
      if (name != settings.reinject.daemon_name) {
        findings.add("reinject-daemon-name",
                     where + ": milter_macro_daemon_name is " + (name.empty() ? "not set" : name));
      }
      if (service.name.find(':') == std::string::npos) findings.add("reinject-exposed", where + " names no address");
    }
    anywhere = anywhere || here;
    if (!here) without.push_back(where);
    if (here && parameters.get("receive_override_options", "").find("no_milters") != std::string::npos) {
      findings.add("milters-disabled", where + ": receive_override_options has no_milters");
    }
    const std::string newline = parameters.get("smtpd_forbid_bare_newline", "no");
    if (newline != "yes" && newline != "normalize" && newline != "reject") {
      findings.add("bare-newline",
                   where + ": smtpd_forbid_bare_newline is " +
                       (parameters.given("smtpd_forbid_bare_newline") ? newline : "not set (no before Postfix 3.9)"));
    }
  }
  const std::string& host = settings.reinject.smtp.host;
  const bool local = host.starts_with("127.") || host == "localhost" || host == "::1";
  if (!settings.reinject.server.empty() && local && !reinjection) {
    findings.add("reinject-missing", "no smtpd service in " + folder + " listens on " + settings.reinject.server);
  }
  if (!anywhere) {
    findings.add("milter-not-configured", "no smtpd service in " + folder + " uses " + settings.listen.socket);
  } else {
    for (const std::string& where : without) findings.add("service-without-milter", where + " does not use posternd");
  }
  if (global.get("non_smtpd_milters", "").empty()) findings.add("local-mail-unfiltered", "non_smtpd_milters is empty");

  const std::string size = global.get("message_size_limit", "10240000");
  uint64_t bytes = 0;
  std::from_chars(size.data(), size.data() + size.size(), bytes);
  if (bytes == 0 || bytes > settings.limits.message_size) {
    findings.add("message-size", "message_size_limit is " + size + ", limits.message-size is " +
                                     base::format_size(settings.limits.message_size));
  }
  const std::string header = global.get("header_size_limit", "102400");
  std::from_chars(header.data(), header.data() + header.size(), bytes = 0);
  if (bytes < settings.limits.header_size) findings.add("header-size", "header_size_limit is " + header);

  if (!settings.masquerade.empty() && !global.get("local_header_rewrite_clients", "permit_inet_interfaces").empty()) {
    findings.add("headers-rewritten", "local_header_rewrite_clients is not empty");
  }

  bool routes = false;
  for (const rules::Filter& filter : generation.rules->filters()) routes = routes || uses_route(filter.body);
  if (routes && global.get("milter_header_checks", "").empty())
    findings.add("routes-unused", "milter_header_checks is empty");

  examine_socket(settings, global.get("mail_owner", "postfix"), findings);
  return {};
}

}  // namespace postern::cli
