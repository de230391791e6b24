// SPDX-License-Identifier: GPL-2.0-or-later
//
// The /dev of a container with a root file system of its own.
//
// A tmpfs with the handful of devices every program expects. They are bind-mounted from the host's /dev, because
// mknod(2) is refused in a user namespace; terminals come from a devpts of the container's own.
#pragma once

#include <string>
#include <vector>

#include "src/container/mount_tree.h"

namespace mb::container {

struct Device {
  std::string name;
  MountTree tree;
};

struct DeviceSources {
  std::vector<Device> devices;
  MountTree dev;
  MountTree terminals;
  MountTree shared_memory;
};

// Before the pivot.
DeviceSources take_devices();
// After it: builds /dev in the present root.
void make_device_dir(const DeviceSources& sources);

}  // namespace mb::container
