// SPDX-License-Identifier: GPL-2.0-or-later
//
// A container's life from the front ends' side: running, starting, stopping, killing, waiting. Signals are sent and deaths
// are waited for here, before the pipe and its lock; what follows from them goes through the pipe.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "src/base/error.h"
#include "src/engine/engine.h"
#include "src/model/change.h"
#include "src/model/objects.h"

namespace mb::container {

// What a supervisor has for taking its container out, after the end.
constexpr auto kClearingAway = std::chrono::minutes(1);

using Notify = std::function<void(const std::vector<std::string>& notices)>;

// Runs a new container. `before` are changes that come first (the default network on first use).
struct RunRequest {
  std::vector<Change> before;
  change::AddContainer add;
};
struct Ended {
  int exit_status = 0;             // the command's
  std::optional<Error> left_over;  // none: the container is gone
};
Ended run_foreground(const engine::Engine& engine, RunRequest request, const Notify& notify);
// Returns when the command runs.
void run_detached(const engine::Engine& engine, const RunRequest& request, const Notify& notify);

// A stopped container runs again, detached. `start` says which, with fresh draws and files. The supervisor of its last run may
// be on its way out still.
void start(const engine::Engine& engine, const Container& container, const change::StartContainer& start,
           const Notify& notify);

// Sends a signal to the container's command; after SIGKILL returns when its supervisor has taken it out. Throws
// Error(conflict) if it does not run.
void kill(const engine::Setup& setup, const Container& container, int signal);

// SIGTERM to all, then SIGKILL to those that are still there after `patience`; returns when their supervisors have
// taken them out. Containers that do not run are passed over. Throws Error(failed) when a supervisor has not done so after
// `clearing_away`: it is stopped itself, or hangs.
void stop(const engine::Setup& setup, const std::vector<Container>& containers, std::chrono::milliseconds patience,
          std::chrono::milliseconds clearing_away = kClearingAway);

// Waits until the container's process has ended; its exit status.
int wait_for_end(const engine::Setup& setup, const Container& container);

// Throws Error for a container that has no process (made by `create`).
void require_process(const Container& container);

}  // namespace mb::container
