// SPDX-License-Identifier: GPL-2.0-or-later
//
// Network namespaces inside a node: what `ip netns` shows there, containers of minibridge among them.
#pragma once

#include <string>
#include <vector>

#include "netns/namespace.h"
#include "src/lab/world.h"

namespace mb::lab {

struct Guest {
  std::string name;
  netns::Namespace network;
};

// Each is kept alive while it is open.
std::vector<Guest> guests_of(const Rooms& node);

}  // namespace mb::lab
