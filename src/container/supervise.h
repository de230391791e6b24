// SPDX-License-Identifier: GPL-2.0-or-later
//
// The process outside: makes the container, stays with it, clears away after it.
//
// A supervisor holds its byte of STATE/alive from before the container exists until everything of it is cleared away.
// A container never outlives its supervisor. The network is none of its business: whoever calls hands in what to do when
// the namespaces exist and when the command has ended, and that is called in the supervisor.
//
// In this order:
//   alive lock · namespaces · hooks.attach · status file · the command starts · … · exit status written · hooks.ended
// STATE/containers/ID is there when attach returns; it is not made here, so that who is killed before leaves nothing.
// When attach throws nothing has happened. When the command cannot be started after attach, hooks.failed is called.
// The caller must have a single thread and hold no lock.
#pragma once

#include <functional>

#include "src/container/launch.h"
#include "src/container/poll_loop.h"
#include "src/container/process.h"

namespace mb::container {

struct Hooks {
  std::function<void(const Prepared&)> attach;  // throwing aborts
  std::function<void()> attached;               // before the command is started; throwing aborts
  std::function<void()> failed;                 // attach succeeded, the command could not be started
  std::function<void(PollLoop&)> join;          // what else is to be looked after while the command runs
  std::function<void(int exit_status)> ended;   // what a detached supervisor's throws goes to the container's log
};

// Stays until the command has ended and returns its exit status (128 + signal). The standard streams are ours, or a
// terminal's that is connected to ours. SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 go to the command and never end us
// before `ended` has run. Throws CommandFailure or Error when it did not come to that.
int supervise_foreground(const Launch& launch, const Hooks& hooks);

// Returns when the command runs in the hands of a supervisor of its own, and throws what that one threw otherwise. When
// the caller is killed in between, the supervisor gives up if attach has not been called yet, else it goes on alone.
void supervise_detached(const Launch& launch, const Hooks& hooks);

}  // namespace mb::container
