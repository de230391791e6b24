// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who is alive: each supervisor holds a lock on its own byte of STATE/alive.
//
// The byte's offset is the container's id read as a number (12 hexadecimal digits, 48 bits), so the file stays empty
// and everybody finds the byte without a list. The kernel drops the lock when the supervisor ends, however it ends.
//
// It is an "open file description" lock (fcntl(2), F_OFD_SETLK): unlike a POSIX lock it is not lost when any other
// descriptor of the file is closed. It *is* shared with children through fork, though: whoever forks while holding one
// must see to it that the child closes the descriptor at once. It is close-on-exec.
#pragma once

#include <sys/types.h>

#include <string>

#include "netns/unique_fd.h"
#include "src/container/launch.h"

namespace mb::container {

class AliveLock {
 public:
  // The supervisor of an earlier run may be on its way out still: waits for it as long as the launch allows. Throws
  // Error(conflict) when the container still has another supervisor then. The caller has a single thread.
  static AliveLock hold(const Launch& launch);

 private:
  explicit AliveLock(netns::UniqueFd file) : file_(std::move(file)) {}
  netns::UniqueFd file_;
};

// Whether somebody holds the lock of this container, the calling process included.
bool is_alive(const std::string& state_dir, const Id& id);

// The container's supervisor or init, by the number that was written down when it started and may have passed to another
// process since. The lock tells: still held after the descriptor was opened, it is the process that is meant. Empty: none.
netns::UniqueFd open_process_of(const std::string& state_dir, const Id& id, pid_t pid);

}  // namespace mb::container
