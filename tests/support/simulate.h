// SPDX-License-Identifier: GPL-2.0-or-later
//
// A kernel in memory, as strict as the real one: carrying steps out on the value and looking at it.
//
// The world is a KernelState in which hooks hold whole built-in chains (foreign rules included) and bridges and veths
// hold foreign links too; observe() sees of it what the real observer would.
#pragma once

#include "src/model/kernel_state.h"
#include "src/model/step.h"

namespace mb::test {

// Throws std::logic_error where the real kernel would refuse: a link that exists or is missing, a jump to a chain that
// is not there, a chain that is still jumped to, a route over a link that is down ...
KernelState apply_step(KernelState world, const Step& step);
KernelState apply_all(KernelState world, const Plan& plan);

// What the observer sees within the scope. Links with another group are seen only when they are named.
Actual observe(const KernelState& world, const Identity& identity, const Scope& scope);

// The world without what minibridge's marks claim: it must never change.
KernelState strangers_of(const KernelState& world);

}  // namespace mb::test
