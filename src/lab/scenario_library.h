// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where scenarios come from: a path, or the program itself (see embedded.h).
#pragma once

#include <string>
#include <vector>

#include "src/lab/scenario.h"

namespace mb::lab {

// "01-test-server", "02-host-firewall" …, in their order.
std::vector<std::string> scenario_names();

// A name, its number ("5", "05") or what follows the number ("redirect"); anything with a '/' or that ends in ".yaml" is a path. Throws
// Error(not_found), or Error(usage) for what is wrong in the file.
Scenario load_scenario(const std::string& name_or_path);

}  // namespace mb::lab
