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

#include <string>

#include "netns/unique_fd.h"
#include "src/model/objects.h"

namespace mb::container {

class AliveLock {
 public:
  // Throws Error(conflict) when somebody else holds it: the container already has a supervisor.
  static AliveLock hold(const std::string& state_dir, const Id& id);

 private:
  explicit AliveLock(netns::UniqueFd file) : file_(std::move(file)) {}
  netns::UniqueFd file_;
};

// Whether somebody holds the lock of this container, the calling process included.
bool is_alive(const std::string& state_dir, const Id& id);

}  // namespace mb::container
