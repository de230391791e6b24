// SPDX-License-Identifier: GPL-2.0-or-later
//
// What others need for the same: a container's namespace with an interface, an address, a route and published ports.
#pragma once

#include <vector>

#include "tests/bench/measure.h"

namespace mb::bench {

// `minibridge create` with so many ports against netavark and against the CNI plugins, as whole commands. The others are
// given a namespace that is there already, as their callers do; ours makes it. Those that are not installed are left out.
std::vector<Figure> against_rivals(int ports, int rounds);

}  // namespace mb::bench
