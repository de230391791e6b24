// SPDX-License-Identifier: GPL-2.0-or-later
//
// Compares what was observed with what the scenario says must be observed. Pure.
#pragma once

#include <string>
#include <vector>

#include "src/lab/observation.h"
#include "src/lab/scenario.h"

namespace mb::lab {

// What a finding is about.
enum class Aspect : std::uint8_t {
  outcome,
  seen_source,
  seen_dest,
  seen_original,
  wire,
  last_seen,
  counter,
  conntrack,
  log,
  status,
  standard_output,
  standard_error,
  undone,  // undo has put everything back
  setup,   // the step could not be carried out at all
};
std::string_view to_string(Aspect aspect);  // as JSON names it: "seen_source"

// One comparison.
struct Finding {
  bool ok = false;
  Aspect aspect = Aspect::outcome;
  Texts expected;
  Texts observed;
  int line = 0;          // in the scenario's file
  bool absence = false;  // that something was not printed: the output cannot show it
};

std::vector<Finding> judge(const Request& request, const Observation& observation);
std::vector<Finding> judge(const Command& command, const CommandResult& result);
// Two looks at the nodes, before a step and after its undo, as lines of text.
Finding judge_undone(const Step& step, const std::string& before, const std::string& after);

// "dropped: no answer, and none can come".
Texts name_of(const Outcome& outcome);

bool all_ok(const std::vector<Finding>& findings);

// Whether an address is as the pattern says; `client_port` is what 'same' and 'other' refer to.
bool matches(const AddressPattern& pattern, const SocketAddress& address, std::uint16_t client_port);

// "vm/enp0s9 in  192.168.57.1:43210 > 192.168.57.3:1234 tcp".
std::string describe(const Packet& packet);

}  // namespace mb::lab
