// SPDX-License-Identifier: GPL-2.0-or-later
//
// Holding a lab: the process that is its first one, in user, pid, mount, network, uts and ipc namespaces of its own.
//
// Whatever ends that process, kill -9 included, ends every process of the lab and with them every namespace: nothing is
// left. It ends with whoever started it, unless World::detach() was called. It works for every user, and in a user
// namespace; nothing outside the lab is changed.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "src/container/process.h"
#include "src/lab/topology.h"
#include "src/lab/world.h"

namespace mb::lab {

// The lab as seen from the process that started it.
class Holder {
 public:
  explicit Holder(container::Prepared process) : process_(std::move(process)) {}

  pid_t pid() const { return process_.init_pid(); }
  // Readable when the lab has ended.
  int pidfd() const { return process_.pidfd(); }
  // Waits for the end and returns what `life` returned, or 128 + signal.
  int wait() { return process_.wait(); }
  // From here on it may outlive us (see World::detach). Otherwise it is killed when this object goes.
  void release() { process_.release(); }

 private:
  container::Prepared process_;
};

struct HoldOptions {
  std::string lab_name;   // MINIBRIDGE_LAB in the lab; empty: none
  std::string program;    // what `minibridge` is in the nodes; empty: the program that runs
  std::vector<int> kept;  // descriptors above the standard streams that stay open in the lab's first process
};

using Life = std::function<int(World&)>;

// Builds the world in a new process and lets `life` run there with it; the lab ends when `life` returns. Returns when the
// world stands. Throws what building it threw; then nothing of it is left. For a caller with a single thread.
Holder hold(const Topology& topology, const HoldOptions& options, const Life& life);

// The same for a lab that stays until it is taken down.
Holder hold_for_good(const Topology& topology, const HoldOptions& options);

}  // namespace mb::lab
