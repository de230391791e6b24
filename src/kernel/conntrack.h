// SPDX-License-Identifier: GPL-2.0-or-later
//
// Entries of connection tracking that contradict what is published: finding and deleting them (ctnetlink).
//
// Why: the kernel looks at nat rules only for the first packet of a flow. Without the deletion, the packets of an
// old UDP flow would go to the container that had the port before for up to 120 s.
#pragma once

#include <set>
#include <vector>

#include "src/model/kernel_state.h"

namespace mb::kernel {

// In the calling thread's namespace. A kernel without connection tracking has no flows.
std::set<Flow> find_flows(const std::vector<FlowQuery>& queries);

// What has expired meanwhile is no error.
void delete_flows(const std::vector<Flow>& flows);

}  // namespace mb::kernel
