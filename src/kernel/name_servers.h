// SPDX-License-Identifier: GPL-2.0-or-later
//
// The servers of names, one process per network, as the kernel's user sees them. How a process is started and looked
// after is known above; whoever makes the kernel hands that in.
#pragma once

#include <string>

#include "src/model/objects.h"

namespace mb::kernel {

class NameServers {
 public:
  NameServers() = default;
  NameServers(const NameServers&) = delete;
  NameServers& operator=(const NameServers&) = delete;
  virtual ~NameServers() = default;

  // Whether the program that does it is installed.
  virtual bool available() const = 0;
  virtual bool is_running(const Id& network) const = 0;
  // Returns when it answers. It serves what lies in STATE/names/NETWORK, from the addresses that are said there.
  virtual void start(const Id& network) = 0;
  // Returns when nothing is left of it. One that does not run is fine.
  virtual void stop(const Id& network) = 0;
};

}  // namespace mb::kernel
