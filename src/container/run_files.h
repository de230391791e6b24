// SPDX-License-Identifier: GPL-2.0-or-later
//
// STATE/containers/ID/status: how a run of a container ended.
//
// Empty while it runs; the supervisor writes the exit status as soon as it knows it, before anything is cleared away.
// Each run has a file of its own (a new inode under the old name): whoever opened it in time can read it after the
// container, its directory and its next run have come and gone.
#pragma once

#include <optional>
#include <string>

#include "netns/unique_fd.h"
#include "src/model/objects.h"

namespace mb::container {

// Where the files of a container are: its log, its status, what is mounted into it.
std::string directory_of(const std::string& state_dir, const Id& id);

// What the last run wrote down at its end; none: nothing, or it runs, or there never was one.
std::optional<int> written_exit_status(const std::string& state_dir, const Id& id);

class StatusFile {
 public:
  // In the container's directory, which is there once the container is in the state.
  static StatusFile create(const std::string& state_dir, const Id& id);

  void write(int exit_status) const;

 private:
  StatusFile() = default;
  netns::UniqueFd file_;
};

// Waits for the end of the present run.
class ExitWaiter {
 public:
  // Throws Error(not_found) when the container never ran.
  ExitWaiter(const std::string& state_dir, const Id& id, pid_t supervisor);

  // Readable when the supervisor has ended, and with it all clearing away; -1 when it already has.
  int fd() const { return supervisor_.get(); }
  // Waits. 137 when the supervisor was killed and so could not say.
  int wait() const;

 private:
  netns::UniqueFd file_;
  netns::UniqueFd supervisor_;
};

}  // namespace mb::container
