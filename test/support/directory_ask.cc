// SPDX-License-Identifier: Apache-2.0
// directory-ask: a directory::Profile on standard input and output, for tests against servers. First line: its settings
// (JSON); then one command a line, one answer a line, with the events that came since.
#include <csignal>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "engine/directory/directory.h"

namespace {

using namespace postern::directory;
using nlohmann::json;

std::mutex events_mutex;
json events = json::array();

void note(const Event& event) {
  constexpr const char* kNames[] = {"server_down", "server_up", "outage", "recovery", "bad_answer"};
  const std::lock_guard<std::mutex> guard(events_mutex);
  events.push_back({{"kind", kNames[static_cast<size_t>(event.kind)]},
                    {"server", std::string(event.server)},
                    {"reason", std::string(event.reason)}});
}

template <class T>
T must(postern::base::Result<T> result) {
  if (!result) {
    std::cerr << result.error().text() << std::endl;
    std::exit(78);
  }
  return std::move(*result);
}

ProfileSettings settings_of(const json& in) {
  ProfileSettings out;
  out.name = in.value("name", "test");
  for (const auto& url : in.at("servers")) out.servers.push_back(must(read_server_url(url.get<std::string>())));
  out.load_balance = in.value("load_balance", false);
  out.base = in.value("base", "dc=example,dc=org");
  out.starttls = in.value("starttls", false);
  out.trusted = in.value("trusted", "");
  out.certificate = in.value("certificate", "");
  out.key = in.value("key", "");
  out.bind_dn = in.value("bind_dn", "");
  out.secret_file = in.value("secret_file", "");
  out.sasl_external = in.value("sasl_external", false);
  out.connections = in.value("connections", 8u);
  out.connect_timeout = std::chrono::milliseconds(in.value("connect_timeout", 3000));
  out.timeout = std::chrono::milliseconds(in.value("timeout", 5000));
  out.retry = std::chrono::milliseconds(in.value("retry", 30000));
  out.answer_bytes = in.value("answer_bytes", 1u << 20);
  out.ignore_references = in.value("ignore_references", false);
  out.cache_entries = in.value("cache_entries", 0u);
  for (const auto& row : in.at("queries")) {
    QuerySettings query;
    query.name = row.at("name");
    query.filter = must(QueryTemplate::filter(row.at("filter").get<std::string>()));
    if (row.contains("base")) query.base = must(QueryTemplate::dn(row["base"].get<std::string>()));
    query.attributes = row.value("attributes", std::vector<std::string>{});
    query.any_entry = row.value("any_entry", false);
    query.dn_query = row.value("dn_query", "");
    out.queries.push_back(std::move(query));
  }
  return out;
}

json ask(Profile& profile, const json& command) {
  std::vector<Key> keys;
  for (const auto& key : command.at("keys")) keys.push_back({key, command.value("group", ""), ""});
  const QuerySettings* query = profile.query(command.at("ask").get<std::string>());
  json answers = json::array();
  const auto deadline = Clock::now() + std::chrono::milliseconds(command.value("deadline", 20000));
  for (const Found& found : profile.find(*query, keys, deadline)) {
    if (found) {
      answers.push_back({{"found", (*found)->found}, {"dn", (*found)->dn}, {"values", (*found)->values}});
    } else {
      answers.push_back({{"error", found.error().text()}, {"cause", postern::base::cause_name(found.error().cause())}});
    }
  }
  return answers;
}

}  // namespace

int main() {
  std::signal(SIGPIPE, SIG_IGN);
  std::string line;
  std::getline(std::cin, line);
  const json first = json::parse(line);
  auto profile = std::make_unique<Profile>(settings_of(first), KeySource{}, note);
  while (std::getline(std::cin, line)) {
    const json command = json::parse(line);
    json out;
    const auto begin = Clock::now();
    if (command.contains("ask")) {
      out["answers"] = ask(*profile, command);
    } else if (command.contains("together")) {
      // The same command on several threads at once.
      const size_t count = command["together"];
      std::vector<json> answers(count);
      std::vector<std::thread> threads;
      for (size_t i = 0; i < count; ++i) {
        threads.emplace_back([&, i] { answers[i] = ask(*profile, command["command"]); });
      }
      for (auto& thread : threads) thread.join();
      out["answers"] = answers;
    } else if (command.contains("probe")) {
      profile->probe();
    } else if (command.contains("reload")) {
      auto next = std::make_unique<Profile>(settings_of(command["reload"].is_object() ? command["reload"] : first),
                                            KeySource{}, note);
      next->inherit(*profile);
      profile = std::move(next);
    }
    const ProfileStatus status = profile->status();
    out["outage"] = status.outage;
    out["hits"] = status.hits;
    out["misses"] = status.misses;
    out["servers"] = json::array();
    for (const ServerStatus& server : status.servers) {
      out["servers"].push_back({{"url", server.url},
                                {"up", server.up},
                                {"reason", server.reason},
                                {"connections", server.connections},
                                {"questions", server.questions}});
    }
    out["milliseconds"] = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
    const std::lock_guard<std::mutex> guard(events_mutex);
    out["events"] = std::exchange(events, json::array());
    std::cout << out.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
  }
  return 0;
}
