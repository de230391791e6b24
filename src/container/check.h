// SPDX-License-Identifier: GPL-2.0-or-later
//
// What can be said about a process before anything is made for it.
#pragma once

#include "src/model/objects.h"

namespace mb::container {

// Throws Error(usage) for the first thing that cannot be meant: a root file system or volume that does not exist, a
// relative path, an unknown capability, an environment entry without a name.
void check_process_spec(const ProcessSpec& spec);

}  // namespace mb::container
