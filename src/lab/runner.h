// SPDX-License-Identifier: GPL-2.0-or-later
//
// Runs a scenario in a world that stands, step by step, and reports each action as it is done. The only part of the scenarios that touches
// the world; what it sees is judged elsewhere (judge.h).
//
// It sets in every node, beside what the topology says: no limit to the rate of ICMP errors (a burst of rejected requests would otherwise
// look like drops) and no second SYN-ACK (it would count in rules long after its request).
#pragma once

#include <functional>

#include "src/lab/report.h"
#include "src/lab/scenario.h"
#include "src/lab/world.h"

namespace mb::lab {

struct RunEvents {
  std::function<void(std::size_t, const Step&)> step_begins = [](std::size_t, const Step&) {};
  std::function<void(const Action&)> action_done = [](const Action&) {};
  std::function<void(std::size_t, const Step&, const StepReport&)> step_ends = [](std::size_t, const Step&,
                                                                                  const StepReport&) {};
};

struct RunOptions {
  bool stop_at_failure = false;  // after the first action that failed
};

Report run_scenario(World& world, const Scenario& scenario, const RunEvents& events = {},
                    const RunOptions& options = {});

}  // namespace mb::lab
