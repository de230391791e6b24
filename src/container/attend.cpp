// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/attend.h"

#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <optional>

#include "src/base/error.h"
#include "src/container/descriptors.h"
#include "src/container/signals.h"

namespace mb::container {
namespace {

// Orphans of the container end up with its init and are collected here with the rest.
std::optional<int> collect_dead(pid_t command) {
  int status = 0;
  std::optional<int> result;
  for (pid_t dead = 0; (dead = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (dead == command) result = exit_status_of(status);
  }
  return result;
}

// A command that has just ended is a zombie until collect_dead: the number is still its own.
void hand_on(pid_t command, int signal) {
  if (signal == SIGCHLD) return;
  if (signal == orphaned_signal()) signal = SIGKILL;
  if (signal == stopping_signal()) signal = SIGSTOP;
  ::kill(command, signal);
}

}  // namespace

int orphaned_signal() { return SIGRTMAX; }
int stopping_signal() { return SIGRTMAX - 1; }

int exit_status_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

int reap(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw system_failure("cannot wait for a process of ours", errno);
  }
  return exit_status_of(status);
}

int attend(pid_t command) {
  const SignalReader signals(all_signals());
  while (true) {
    wait_readable(signals.fd());
    while (const std::optional<int> signal = signals.next()) {
      hand_on(command, *signal);
    }
    if (const auto status = collect_dead(command)) return *status;
  }
}

}  // namespace mb::container
