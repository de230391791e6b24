// SPDX-License-Identifier: GPL-2.0-or-later
//
// Works out a list of changes: checks them against the state and the host, draws addresses, subnets and ports, and
// gives back the objects before and after. Pure; throws Error and then nothing has happened.
#pragma once

#include <vector>

#include "src/model/change.h"
#include "src/model/facts.h"
#include "src/model/state_view.h"

namespace mb::plan {

// The kernel's limit of ports on one bridge (BR_MAX_PORTS in net/bridge/br_private.h, less one that it never gives out).
inline constexpr std::size_t kMostEndpoints = 1023;

Delta resolve(const std::vector<Change>& changes, const StateView& state, const HostFacts& facts);

}  // namespace mb::plan
