// SPDX-License-Identifier: GPL-2.0-or-later
//
// The part of `doctor` that follows packets through everybody's rules: which of ours are stopped, by which rule, and what
// lets them through.
#pragma once

#include <vector>

#include "src/model/host_report.h"
#include "src/model/objects.h"

namespace mb::plan {

std::vector<Finding> diagnose_rules(const HostReport& report, const std::vector<Network>& networks,
                                    const std::vector<Container>& containers);

}  // namespace mb::plan
