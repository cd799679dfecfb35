// SPDX-License-Identifier: Apache-2.0
// What tests of the daemon share: a generation made of rule text without files, and an MTA that is a list of what it
// was told.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "milter/mta.h"
#include "milter/service.h"

namespace postern::milter {

// make_generation loads `rules` (text of one rule file) under one flow that takes everything.
inline std::shared_ptr<Generation> make_generation(const std::string& rules, uint64_t number = 1,
                                                   void (*adjust)(Settings&) = nullptr) {
  auto generation = std::make_shared<Generation>();
  generation->number = number;
  Settings& settings = generation->settings;
  settings.path = "test.yaml";
  settings.hostname = "mx.example.org";
  settings.spool_directory = std::filesystem::temp_directory_path().string();
  settings.quarantines = {"Policy"};
  Flow flow;
  flow.name = "all";
  settings.flows.push_back(flow);
  if (adjust != nullptr) adjust(settings);

  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  std::vector<uint32_t> files;
  if (!rules.empty()) files.push_back(sources.add_text("rules.yaml", rules));
  rules::LoadContext context;
  context.flows = {"all"};
  context.quarantines = {"Policy"};
  context.store = !settings.store.empty();
  context.reinject = !settings.reinject.server.empty();
  context.archives = {"project-mail"};
  generation->rules = rules::RuleSet::load(sources, files, context, diagnostics);
  EXPECT_NE(generation->rules, nullptr) << diagnostics.render();
  return generation;
}

// FakeMta writes down every call as one line of text; `fail_at` makes the call with that number (from 1) fail.
class FakeMta : public Mta {
 public:
  std::map<std::string, std::string> macros;
  std::vector<std::string> calls;
  std::string reply;  // of the last set_reply
  std::string body;
  int fail_at = 0;
  bool reply_fails = false;
  int edits = 0;
  int progress_calls = 0;

  const char* macro(const char* name) override {
    const auto found = macros.find(name);
    return found == macros.end() ? nullptr : found->second.c_str();
  }
  bool request_macros(Stage stage, const char* names) override {
    asked[stage] = names;
    return true;
  }
  bool set_reply(const char* code, const char* enhanced, const char* text) override {
    if (reply_fails) return false;
    reply = std::string(code) + " " + enhanced + " " + text;
    return true;
  }
  bool add_header(const char* name, const char* value) override { return edit("add", name, value); }
  bool insert_header(int index, const char* name, const char* value) override {
    return edit("insert " + std::to_string(index), name, value);
  }
  bool change_header(const char* name, int index, const char* value) override {
    return value == nullptr ? edit("delete " + std::to_string(index), name, "")
                            : edit("change " + std::to_string(index), name, value);
  }
  bool replace_body(std::string_view chunk) override {
    body += chunk;
    return edit("body", std::to_string(chunk.size()), "");
  }
  bool change_from(const char* address) override { return edit("from", address, ""); }
  bool add_recipient(const char* address) override { return edit("rcpt+", address, ""); }
  bool delete_recipient(const char* address) override { return edit("rcpt-", address, ""); }
  bool quarantine(const char* reason) override { return edit("quarantine", reason, ""); }
  bool progress() override {
    ++progress_calls;
    return true;
  }

  std::map<Stage, std::string> asked;

 private:
  bool edit(const std::string& what, const std::string& name, const std::string& value) {
    ++edits;
    if (edits == fail_at) return false;
    calls.push_back(what + " " + name + (value.empty() ? "" : ":" + value));
    return true;
  }
};

// CapturedLog sends the log to a file for as long as it lives.
class CapturedLog {
 public:
  explicit CapturedLog(base::Level level = base::Level::debug) {
    char name[] = "/tmp/postern-log-XXXXXX";
    const int fd = ::mkstemp(name);
    if (fd >= 0) ::close(fd);
    path_ = name;
    const auto opened = base::open_log({"file:" + path_, level});
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().text());
  }
  ~CapturedLog() {
    EXPECT_TRUE(base::flush_log(10'000));
    EXPECT_TRUE(base::open_log({"stderr", base::Level::error}));
    ::unlink(path_.c_str());
  }
  std::vector<std::string> lines() const {
    EXPECT_TRUE(base::flush_log(10'000));
    std::ifstream file(path_);
    std::vector<std::string> all;
    for (std::string line; std::getline(file, line);) all.push_back(line);
    return all;
  }
  // matching counts lines that contain `text`.
  size_t matching(const std::string& text) const {
    size_t found = 0;
    for (const std::string& line : lines()) found += line.find(text) != std::string::npos;
    return found;
  }

 private:
  std::string path_;
};

}  // namespace postern::milter
