// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/mutate.h"

namespace mb::lab {
namespace {

void add_mutations(std::vector<Mutation>& mutations, const std::vector<Command>& commands, std::size_t step,
                   bool in_undo) {
  for (std::size_t i = 0; i < commands.size(); ++i) {
    const Command& command = commands[i];
    if (command.harmless) continue;
    mutations.push_back({step, in_undo, i, command.position.line, command.node, command.command, command.mutate});
  }
}

}  // namespace

std::vector<Mutation> mutations_of(const Scenario& scenario) {
  std::vector<Mutation> mutations;
  for (std::size_t i = 0; i < scenario.steps.size(); ++i) {
    add_mutations(mutations, scenario.steps[i].run, i, false);
    add_mutations(mutations, scenario.steps[i].undo, i, true);
  }
  return mutations;
}

Scenario apply(const Mutation& mutation, Scenario scenario) {
  Step& step = scenario.steps.at(mutation.step);
  auto& commands = mutation.in_undo ? step.undo : step.run;
  Command& command = commands.at(mutation.command);
  if (mutation.becomes) {
    command.command = *mutation.becomes;
  } else {
    command.left_out = true;
  }
  return scenario;
}

}  // namespace mb::lab
