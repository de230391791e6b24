// SPDX-License-Identifier: GPL-2.0-or-later
//
// Running a command in a node of a lab that another process holds, with our terminal and standard streams.
#pragma once

#include <string>
#include <vector>

#include "src/lab/registry.h"

namespace mb::lab {

// Returns the command's exit status (128 + signal). Throws container::CommandFailure or Error when it cannot be
// started. On a terminal it has one of its own, as in `exec -it`.
int run_in_node(const Registry& registry, const Lab& lab, const std::string& node, std::vector<std::string> command);

// The words of a shell whose prompt names the node.
std::vector<std::string> shell_command();

}  // namespace mb::lab
