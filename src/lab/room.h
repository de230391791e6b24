// SPDX-License-Identifier: GPL-2.0-or-later
//
// What programs in a lab see of the machine: the machine's files, but /run, /proc, /sys and some files in /etc of their own.
//
// The common room is that of the lab's first process; every node has a room of its own, which it is copied from. Nothing
// here shows on the machine: all of it happens in mount namespaces of the lab.
#pragma once

#include <string>

#include "netns/namespace.h"
#include "netns/unique_fd.h"
#include "src/kernel/netlink.h"
#include "src/lab/topology.h"

namespace mb::lab {

// In every node: programs (`minibridge`, the legacy iptables), the shell's settings, and links to the nodes' namespaces.
inline constexpr const char* kLabDir = "/run/minibridge-lab";

// What comes first in PATH.
std::string search_path();
// kLabDir/nodes/NODE/{net,mnt,uts}
std::string door_path(const std::string& node, const std::string& kind);

// To be called once, by the lab's first process, when it has a mount namespace and user ids. `program` is `minibridge`.
void enter_common_room(const std::string& program);

// The namespaces of one node.
struct Rooms {
  netns::Namespace network;
  kernel::Socket route;
  netns::UniqueFd mounts;
  netns::UniqueFd uts;
};

// Makes them, in a thread that ends with it. The network has no link but lo, which is down.
Rooms make_rooms(const Topology& topology, const Node& node);

// Of the network namespace the calling thread is in.
void write_own_sysctl(const std::string& key, const std::string& value);

// Puts what leads into them where `lab exec` looks: kLabDir/nodes and /run/netns.
void open_doors(const std::string& node, const Rooms& rooms);

}  // namespace mb::lab
