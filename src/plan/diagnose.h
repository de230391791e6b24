// SPDX-License-Identifier: GPL-2.0-or-later
//
// From what a host looks like and what was asked for to what stops packets, in words: `doctor`.
//
// Every finding names what was seen, why it matters to our packets and the command that mends it. Commands are
// never carried out: foreign rules and switches are for the operator to change.
#pragma once

#include <string>
#include <vector>

#include "src/model/host_report.h"
#include "src/model/objects.h"
#include "src/model/step.h"

namespace mb::plan {

struct DiagnoseInput {
  HostReport report;
  std::vector<Network> networks;
  std::vector<Container> containers;
  Plan differences;  // what `repair` would do
  NameOf name_of;
};

// What has most weight comes first.
std::vector<Finding> diagnose(const DiagnoseInput& input);

// Only what rules stop for certain, of the given containers: for a warning right after something was published.
std::vector<Finding> certain_stops(const HostReport& report, const std::vector<Network>& networks,
                                   const std::vector<Container>& containers);

// What must be looked at for them.
ReportScope report_scope(const std::vector<Network>& networks, const std::vector<Container>& containers);

}  // namespace mb::plan
