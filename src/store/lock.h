// SPDX-License-Identifier: GPL-2.0-or-later
//
// The lock between processes: flock on STATE/lock. Whoever changes the state or the kernel holds it; readers never do.
// (SQLite's own busy handler sleeps: 32 verbs at once took seconds with it.)
#pragma once

#include <string>

#include "netns/unique_fd.h"

namespace mb::store {

// Makes the directory (0700) and its parents where they are missing.
void make_state_directory(const std::string& state_dir);

// Whether the open file is the one under this name still. Who waited for a lock on a file may have got that of one that was
// removed meanwhile.
bool is_same_file(int fd, const std::string& path);

class StateLock {
 public:
  // Makes the state directory (0700) if needed and waits for the lock. A lock file that `down` removed while we waited is
  // taken anew.
  static StateLock take(const std::string& state_dir);

 private:
  explicit StateLock(netns::UniqueFd fd) : fd_(std::move(fd)) {}
  netns::UniqueFd fd_;
};

}  // namespace mb::store
