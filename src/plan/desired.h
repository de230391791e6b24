// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel should look like, computed from the state alone.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "src/model/change.h"
#include "src/model/kernel_state.h"
#include "src/model/objects.h"

namespace mb::plan {

struct DesiredInput {
  Identity identity;
  bool devgroup = true;               // the kernel can match interface groups
  bool link_directory = true;         // names for `ip netns` can be made
  std::vector<Network> networks;      // all there are
  std::set<Id> bridges_of;            // the networks in scope
  std::vector<Container> containers;  // those in scope
  // Sysctls of the host as they were before minibridge changed them, and whether they are to be put back.
  std::map<std::string, SysctlState> sysctls_before;
  bool give_back = false;
};

Desired desired(const DesiredInput& input);

// What must be looked at for a change: everything that its objects, as they were and as they will be, have or want.
Scope scope_of(const Delta& delta, const DesiredInput& input);

// The symbolic name under which `ip netns` finds a container.
std::string link_name(const Name& container);

}  // namespace mb::plan
