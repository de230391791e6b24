// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel should look like, computed from the state alone.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "src/model/change.h"
#include "src/model/kernel_state.h"
#include "src/model/objects.h"
#include "src/plan/names.h"

namespace mb::plan {

struct DesiredInput {
  Identity identity;
  bool devgroup = true;        // the kernel can match interface groups
  bool link_directory = true;  // names for `ip netns` can be made
  // Asked where a network has icc=false: iptables can be asked about frames that a bridge of ours passes on (br_netfilter is
  // loaded), and it is asked about those of every bridge.
  bool can_filter_frames = false;
  bool filters_all_frames = false;
  std::vector<Network> networks;      // all there are
  std::set<Id> bridges_of;            // the networks in scope
  std::vector<Container> containers;  // those in scope
  // Interfaces of the host that would stop following router advertisements when IPv6 forwarding is switched on.
  std::vector<std::string> following_uplinks;
  // Names: whether servers can be started, the networks in scope in which somebody runs, the containers besides those
  // in scope whose /etc/hosts is to be kept, and whom all these have to know.
  bool name_servers = false;
  std::set<Id> populated;
  std::vector<Container> readers;
  Members members;
  std::set<std::pair<Id, IpAddress>> rested;  // as in Delta
  // Sysctls of the host as they were before minibridge changed them, and whether all are to be put back; those of bridges
  // that were adopted and are not any more always are.
  std::map<std::string, SysctlState> sysctls_before;
  bool give_back = false;
};

Desired desired(const DesiredInput& input);

// Returns nullptr when it is not among them.
const Network* network_of(const std::vector<Network>& networks, const Id& id);

// What must be looked at for a change: everything that its objects, as they were and as they will be, have or want.
Scope scope_of(const Delta& delta, const DesiredInput& input);

// The symbolic name under which `ip netns` finds a container.
std::string link_name(const Name& container);

}  // namespace mb::plan
