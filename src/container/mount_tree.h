// SPDX-License-Identifier: GPL-2.0-or-later
//
// Mounts that are not attached yet, held by a descriptor (the kernel's "new mount API", Linux 5.12).
//
// They let a container collect everything it needs from the old file tree first, then pivot into the new one and only
// there say where things go. So a path inside a root file system is never followed through a link to the host's files.
#pragma once

#include <sys/mount.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "netns/unique_fd.h"

namespace mb::container {

class MountTree {
 public:
  // What a bind mount of `path` would show, with everything that is mounted below it.
  static MountTree clone(const std::string& path);

  // A new file system: type "proc" with options such as {"mode", "0755"} and MOUNT_ATTR_ flags.
  using Options = std::vector<std::pair<std::string, std::string>>;
  static MountTree create(const std::string& type, const Options& options, std::uint64_t attributes);

  // It and everything below it.
  void make_read_only() const;
  // Puts it at `target`, through symbolic links. May be called once.
  void attach(const std::string& target) const;

 private:
  MountTree(netns::UniqueFd fd, std::string what) : fd_(std::move(fd)), what_(std::move(what)) {}
  netns::UniqueFd fd_;
  std::string what_;
};

}  // namespace mb::container
