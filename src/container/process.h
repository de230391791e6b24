// SPDX-License-Identifier: GPL-2.0-or-later
//
// A container's first process, before and while it runs.
//
//   spawn()   the namespaces exist, held by our own tiny init (pid 1 in them), which waits
//   …         whoever wants to attaches the network by namespace_source()
//   go()      init arranges the file tree, forks the command, and from then on hands on signals and reaps
//
// Init is a fork of the caller and executes nothing. It dies with the process that spawned it (PR_SET_PDEATHSIG, and the
// channel for the moment before that is set), and everything in the container dies with init, so a Prepared that goes
// out of scope leaves nothing behind. The caller must have a single thread and stay alive in it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "netns/unique_fd.h"
#include "src/container/channel.h"
#include "src/container/command.h"
#include "src/container/launch.h"

namespace mb::container {

class Prepared {
 public:
  Prepared(Prepared&& other) noexcept;
  Prepared& operator=(Prepared&&) = delete;
  ~Prepared();

  pid_t init_pid() const { return pid_; }
  std::string namespace_source() const;  // "/proc/PID/ns/net"
  // Readable once everything in the container has ended.
  int pidfd() const { return pidfd_.get(); }

  // Returns when the command runs. Throws CommandFailure (126, 127) or Error; then nothing of it is left.
  void go();
  // The master of the container's terminal, after go().
  netns::UniqueFd take_terminal() { return std::move(terminal_); }
  void send(int signal) const;
  // From here on the process may outlive this object, which watches it no longer.
  void release() { pid_ = -1; }
  // Waits for the end of the container and returns the command's exit status, or 128 + signal.
  int wait();

 private:
  friend Prepared spawn_process(std::uint64_t namespaces, const std::function<void(Channel)>& life);
  Prepared(pid_t pid, netns::UniqueFd pidfd, Channel channel);
  void end() noexcept;

  pid_t pid_;
  netns::UniqueFd pidfd_;
  Channel channel_;
  netns::UniqueFd terminal_;
};

// Creates the namespaces and init in them.
Prepared spawn(const Launch& launch, const Stdio& stdio);

// The general form: forks into new namespaces (CLONE_NEW…, or 0) a process that lives by the rules of channel.h. `life`
// must not return; every signal is blocked in it.
Prepared spawn_process(std::uint64_t namespaces, const std::function<void(Channel)>& life);

}  // namespace mb::container
