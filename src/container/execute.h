// SPDX-License-Identifier: GPL-2.0-or-later
//
// Finding and executing a program as a shell would.
#pragma once

#include <string>
#include <vector>

namespace mb::container {

// Replaces the process. Looks a name without a slash up in the PATH *of that environment*. Throws CommandFailure: 127
// when there is no such program, 126 when there is one that cannot be executed.
[[noreturn]] void execute(std::vector<std::string> argv, std::vector<std::string> environment);

// With HOME=home when it has no HOME yet.
std::vector<std::string> with_home(std::vector<std::string> environment, const std::string& home);

}  // namespace mb::container
