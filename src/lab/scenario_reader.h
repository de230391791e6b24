// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reads a scenario from its file: docs/scenario-format.md.
//
// Promises: whatever is wrong with the file and can be known without running it is an Error(usage) "FILE:LINE: SENTENCE": unknown
// keys, nodes, interfaces and errno names, bad addresses, words that do not go together. Nothing is started by reading.
#pragma once

#include <functional>
#include <string>

#include "src/lab/document.h"
#include "src/lab/scenario.h"

namespace mb::lab {

// How a topology is found by name or path (load_topology in the program).
using TopologyLoader = std::function<Topology(const std::string& name_or_path)>;

// `name` is the scenario's: its file's name without folder and ".yaml".
Scenario parse_scenario(const Value& file, const std::string& name, const TopologyLoader& load);

// "10.0.2.15:80", "10.0.2.15:same", "[fd00::1]:80", "fd00::1", "*:80", "*".
AddressPattern parse_address_pattern(std::string_view text);
// "reached", "dropped", "refused" or the name of an errno.
Outcome parse_outcome(std::string_view text);
// "ECONNREFUSED" -> 111. Throws Error(usage) for a name that there is not.
int parse_errno(std::string_view name);

}  // namespace mb::lab
