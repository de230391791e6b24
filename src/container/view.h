// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a container sees of the file tree.
//
// Promises: nothing done here shows outside (propagation is cut first); the state directory is not visible, and no
// other container's namespace is kept alive by our copy of its pin; /etc/hosts, /etc/resolv.conf and /etc/hostname are
// the container's own where the engine has written them; /proc and /sys are those of its namespaces.
//
// Order: cut propagation; drop the pins; take the own files; hide the state; take volumes and file systems; with a root
// file system pivot into it; attach. Mount points are created only in a root file system of the container's own, never
// among the host's files.
#pragma once

#include <string>
#include <vector>

#include "src/model/objects.h"

namespace mb::container {

struct View {
  std::string state_dir;
  Id id;
  std::string rootfs;  // empty: the host's files
  std::vector<Volume> volumes;
  std::vector<Volume> from_state;  // the same, out of the state directory, which no volume of a user's can show
  bool own_processes = true;       // it has a pid namespace: a fresh /proc
  bool own_network = true;         // it has a network namespace: a fresh /sys
  bool privileged = false;         // /proc/sys and /sys may be written
};

// Changes the mounts of the calling process, which must be in a mount namespace of its own.
void enter_view(const View& view);

}  // namespace mb::container
