// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the command's root may do: docker's default set, changed by --cap-add, --cap-drop and --privileged.
//
// The bounding set is what counts: a program that root executes gets exactly it. The inheritable and ambient sets stay
// empty. Nobody gets more than the caller of minibridge has.
#pragma once

#include <vector>

#include "src/model/objects.h"

namespace mb::container {

using Capabilities = std::vector<int>;  // the kernel's numbers, ascending

// Throws Error(usage) that lists every name that is not known.
Capabilities wanted_capabilities(const ProcessSpec& spec);

// Takes everything else out of the bounding set, for good. Before a change of user, which may lose the right to.
void limit_capabilities(const Capabilities& wanted);
// Keeps only these in the effective and permitted sets.
void keep_capabilities(const Capabilities& wanted);

// For a process that only sends signals to its children, whoever they have become.
void keep_only_signalling();

}  // namespace mb::container
