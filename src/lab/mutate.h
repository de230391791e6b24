// SPDX-License-Identifier: GPL-2.0-or-later
//
// The self-test of scenarios: every way to take one command away, so that a check can show that it notices. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "src/lab/scenario.h"

namespace mb::lab {

struct Mutation {
  std::size_t step = 0;
  bool in_undo = false;
  std::size_t command = 0;
  int line = 0;
  std::string node;
  std::string was;
  std::optional<std::string> becomes;  // nothing: the command is left out
};

// One per command in `run` and `undo`, except those marked harmless, in the order of the file.
std::vector<Mutation> mutations_of(const Scenario& scenario);

Scenario apply(const Mutation& mutation, Scenario scenario);

}  // namespace mb::lab
