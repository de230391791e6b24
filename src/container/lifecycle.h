// SPDX-License-Identifier: GPL-2.0-or-later
//
// A container's life from the front ends' side: running, starting, stopping, killing, waiting. Signals are sent and deaths
// are waited for here, before the pipe and its lock; what follows from them goes through the pipe.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "src/engine/engine.h"
#include "src/model/change.h"
#include "src/model/objects.h"

namespace mb::container {

using Notify = std::function<void(const std::vector<std::string>& notices)>;

// Runs a new container. `before` are changes that come first (the default network on first use).
struct RunRequest {
  std::vector<Change> before;
  change::AddContainer add;
};
// Returns the command's exit status; the container is gone then.
int run_foreground(const engine::Engine& engine, RunRequest request, const Notify& notify);
// Returns when the command runs.
void run_detached(const engine::Engine& engine, const RunRequest& request, const Notify& notify);

// A stopped container runs again, detached. `start` says which, with fresh draws and files.
void start(const engine::Engine& engine, const Container& container, const change::StartContainer& start,
           const Notify& notify);

// Sends a signal to the container's command. Throws Error(conflict) if it does not run.
void send_signal(const engine::Setup& setup, const Container& container, int signal);

// SIGTERM to all, then SIGKILL to those that are still there after `patience`; returns when their supervisors have
// taken them out. Containers that do not run are passed over.
void stop(const engine::Setup& setup, const std::vector<Container>& containers, std::chrono::milliseconds patience);

// Waits until the container's process has ended; its exit status.
int wait_for_end(const engine::Setup& setup, const Container& container);

// Throws Error for a container that has no process (made by `create`).
void require_process(const Container& container);

}  // namespace mb::container
