// SPDX-License-Identifier: GPL-2.0-or-later
//
// What on this host stops packets of our networks: looks, changes nothing, and works where there is no state.
#pragma once

#include <string>
#include <vector>

#include "src/engine/engine.h"
#include "src/model/host_report.h"

namespace mb::engine {

std::vector<Finding> examine(const Setup& setup);

// Right after something was published: what surely stops these containers' packets, as notices. Where nobody's rules can be
// in the way this costs two questions to the kernel. Never throws: the publishing has succeeded.
std::vector<std::string> warn_of_stops(const Setup& setup, const std::vector<Id>& containers) noexcept;

}  // namespace mb::engine
