// SPDX-License-Identifier: GPL-2.0-or-later
//
// The page of a scenario for docs/scenarios/, in Markdown: what is wanted, the commands, what was observed, how the addresses change on the
// way. Pure, and the same for every run that passes: ports that the kernel drew and interface names that minibridge drew are replaced
// (with_stable_ports, with_stable_interfaces).
#pragma once

#include <string>
#include <vector>

#include "src/lab/report.h"
#include "src/lab/scenario.h"

namespace mb::lab {

// "05-redirect.md", "05-redirect.zh.md".
std::string page_name(const std::string& scenario, Language language);
std::string page_of(const Scenario& scenario, const Report& report, Language language);
// The list of all pages.
std::string index_page(const std::vector<Scenario>& scenarios, Language language);

// Every port that the scenario itself names: in requests, expectations, servers and commands.
std::vector<std::uint16_t> named_ports(const Scenario& scenario);

}  // namespace mb::lab
