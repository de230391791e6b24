// SPDX-License-Identifier: GPL-2.0-or-later
//
// Entries of connection tracking (ctnetlink): finding and deleting those that contradict what is published, and looking
// at all of them.
//
// Why: the kernel looks at nat rules only for the first packet of a flow. Without the deletion, the packets of an
// old UDP flow would go to the container that had the port before for up to 120 s.
#pragma once

#include <functional>
#include <set>
#include <vector>

#include "src/model/kernel_state.h"

namespace mb::kernel {

// In the calling thread's namespace, whose addresses `own` tells when they matter. A kernel without connection tracking
// has no flows.
using OwnAddresses = std::function<std::vector<IpAddress>(Family)>;
std::set<Flow> find_flows(const std::vector<FlowQuery>& queries, const OwnAddresses& own);

// What has expired meanwhile is no error.
void delete_flows(const std::vector<Flow>& flows);

// One direction of an entry. The ports are 0 where the protocol has none.
struct FlowTuple {
  IpAddress source;
  IpAddress destination;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
};

// An entry of any protocol: what the first packet looked like, and what its answers are expected to look like.
struct TrackedFlow {
  std::uint8_t protocol = 0;  // of IP
  FlowTuple original;
  FlowTuple reply;
};

// All entries of the calling thread's namespace, of both families.
std::vector<TrackedFlow> all_flows();

}  // namespace mb::kernel
