// SPDX-License-Identifier: GPL-2.0-or-later
//
// A new network: what was asked for checked against the other networks and the host, the rest chosen.
#pragma once

#include "src/model/change.h"
#include "src/model/facts.h"
#include "src/plan/draft.h"

namespace mb::plan {

// Throws Error: usage for what can never be, conflict for what is in the way at present.
Network make_network(const change::AddNetwork& wanted, const Draft& draft, const HostFacts& facts);

}  // namespace mb::plan
