// SPDX-License-Identifier: GPL-2.0-or-later
//
// Scenarios in labs of their own: one process each, any number side by side. What a run came to is brought back to the caller's
// process as text.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "src/base/error.h"
#include "src/lab/hold.h"
#include "src/lab/mutate.h"
#include "src/lab/report.h"
#include "src/lab/runner.h"
#include "src/model/names.h"

namespace mb::lab {

// What a run came to.
struct Digest {
  bool ok = false;
  std::size_t checks = 0;
  std::size_t failed = 0;
  std::chrono::milliseconds time{0};
  std::vector<std::string> failures;  // one sentence each
  std::string rendering;              // what the task asked for
  std::optional<Error> error;         // it could not be run
  std::optional<Name> kept_as;        // the lab that stays
};

struct Task {
  Scenario scenario;
  RunOptions options;
  Language language = Language::en;
  std::function<std::string(const Scenario&, const Report&)> render = [](const Scenario&, const Report&) {
    return std::string();
  };
};

// Runs them all, `jobs` at a time, and tells of each as it ends (not in their order). For a process with one thread.
void run_all(const std::vector<Task>& tasks, std::size_t jobs, const std::function<void(std::size_t, Digest)>& done);

// Runs one; `events` are told of in the lab's process (they may print). With `keep` the lab stays up afterwards under that name (or the
// next free one like it), which is then in `kept_as`.
Digest run_one(const Task& task, const RunEvents& events, const std::optional<Name>& keep = {});

}  // namespace mb::lab
