// SPDX-License-Identifier: GPL-2.0-or-later
//
// A test server in any namespace of a lab, as a process of its own.
#pragma once

#include <vector>

#include "netns/namespace.h"
#include "src/container/process.h"
#include "src/lab/topology.h"

namespace mb::lab {

// It accepts connections when this returns, and ends with the object. Throws Error when it cannot. For a process with one thread.
container::Prepared serve_echo(const netns::Namespace& where, const std::vector<Listen>& listen);

}  // namespace mb::lab
