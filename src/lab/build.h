// SPDX-License-Identifier: GPL-2.0-or-later
//
// Building the network of a lab: a room for every node, then the links, then addresses, routes, sysctls and translations.
#pragma once

#include <map>
#include <string>

#include "src/lab/room.h"
#include "src/lab/topology.h"

namespace mb::lab {

// By node. Switches are bridges in the calling thread's network namespace, which must be the lab's own.
std::map<std::string, Rooms> build_network(const Topology& topology);

}  // namespace mb::lab
