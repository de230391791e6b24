// SPDX-License-Identifier: GPL-2.0-or-later
//
// From what is there to what should be there: an ordered list of steps.
//
// Order: links that go are taken down before any rule goes; isolation rules (raw, filter) stand before links that
// come; published ports (nat) come when the links are there; links go last. One commit per table.
#pragma once

#include "src/model/kernel_state.h"
#include "src/model/step.h"

namespace mb::plan {

// `scope` tells what `actual` covers. Throws Error(conflict) when something that is wanted exists and is not ours.
Plan diff(const Desired& desired, const Actual& actual, const Identity& identity, const Scope& scope);

}  // namespace mb::plan
