// SPDX-License-Identifier: GPL-2.0-or-later
//
// A lab against the same world made with iproute2: one batch for the namespaces and links, one for each node's inside.
#pragma once

#include "tests/bench/measure.h"

namespace mb::bench {

// A router with `nodes` - 1 hosts around it, each with an address and a default route.
Figure lab_of(int nodes, int rounds);

}  // namespace mb::bench
