// SPDX-License-Identifier: GPL-2.0-or-later
//
// Gathers who has to know whom by name: the containers that a change touches, and those that hear of it.
#pragma once

#include <set>

#include "src/kernel/kernel.h"
#include "src/plan/desired.h"
#include "src/store/store.h"

namespace mb::engine {

// Fills in what `input` says about names; its networks and containers are there already. `changed`: containers that the
// stored state has in another form. Networks without a name server cost nothing.
void gather_names(plan::DesiredInput& input, const std::set<Id>& changed, const store::Store& store,
                  kernel::Kernel& kernel);

}  // namespace mb::engine
