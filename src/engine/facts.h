// SPDX-License-Identifier: GPL-2.0-or-later
//
// Gathers what a list of changes needs to know of the host, and no more: each question costs system calls.
#pragma once

#include <vector>

#include "src/kernel/kernel.h"
#include "src/model/change.h"
#include "src/model/facts.h"
#include "src/model/state_view.h"

namespace mb::engine {

HostFacts gather_facts(const std::vector<Change>& changes, const StateView& state, kernel::Kernel& kernel);

}  // namespace mb::engine
