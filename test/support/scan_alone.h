// SPDX-License-Identifier: Apache-2.0
// A context for one reader alone.
#pragma once
#include <chrono>
#include <cstdlib>
#include <string_view>

#include "engine/scan/worker/context.h"

namespace postern::scan::worker {

// Alone is a context for one reader; what it finds is looked at and not scanned.
class Alone : public Context {
 public:
  explicit Alone(std::string_view bytes, std::string_view charset = {}) : budget_(limits(), bytes.size()) {
    job_.bytes = bytes;
    job_.charset = charset;
    job_.limits = limits();
  }
  static ScanLimits limits() {
    ScanLimits out;
    out.size = out.total = 4u << 20;
    out.text = 1u << 20;
    out.members = 1000;
    out.time = std::chrono::milliseconds(5000);
    return out;
  }
  const Job& job() const override { return job_; }
  Budget& budget() override { return budget_; }
  Leaf& leaf() override { return leaf_; }
  std::string_view bytes() const override { return job_.bytes; }
  std::string_view charset() const override { return job_.charset; }
  bool child(const Child& child) override {
    if (child.bytes.size() > limits().size) std::abort();
    for (const std::string_view view : {child.bytes, child.name, child.declared_mime, child.label, child.charset}) {
      look_at(view);
    }
    return budget_.take_member();
  }
  bool member_unread(std::string_view name, uint64_t, Reason reason, Protection) override {
    if (reason == Reason::none) std::abort();
    look_at(name);
    return budget_.take_member();
  }
  bool text(std::string_view utf8) override {
    const uint64_t fits = budget_.take_text(utf8.size());
    leaf_.text.append(utf8.substr(0, fits));
    return fits == utf8.size();
  }
  bool wants_text() const override { return leaf_.text.size() < limits().text; }
  void fail(Reason reason) override {
    if (leaf_.reason == Reason::none) leaf_.reason = reason;
  }

 private:
  // A view of what is gone is seen by the sanitizer when it is read.
  void look_at(std::string_view view) {
    unsigned sum = sum_;
    for (const char c : view) sum += static_cast<unsigned char>(c);
    sum_ = sum;
  }

  Job job_;
  Budget budget_;
  Leaf leaf_;
  volatile unsigned sum_ = 0;
};

}  // namespace postern::scan::worker
