// SPDX-License-Identifier: GPL-2.0-or-later
//
// From a delta to a changed kernel and a committed state: the part of the pipe that touches things.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "src/base/error.h"
#include "src/engine/engine.h"
#include "src/engine/session.h"
#include "src/plan/desired.h"

namespace mb::engine {

class Passage {
 public:
  struct Extent {
    bool everything = false;  // look at all that is ours, not only at what the delta touches
    bool give_back = false;   // put sysctls of the host back
    // The flows that are to be forgotten are looked for once, when the rest is done: the kernel takes ten milliseconds to go
    // through its table. Not for who wants to know beforehand.
    bool flows_last = false;
  };

  Passage(const Setup& setup, Session& session, Delta delta, Extent extent);

  // The steps that would be taken.
  const Plan& plan() const { return plan_; }
  const Desired& desired() const { return desired_; }
  // As it was when last looked at.
  const Actual& actual() const { return actual_; }
  // Names for the ids in the plan.
  const NameOf& name_of() const { return name_of_; }
  // Adding: undone when a step fails.
  Outcome carry_out();
  // Removing and repairing: every step is tried; what fails is left to the next run.
  Outcome roll_forward();

 private:
  void compute();
  Plan remaining();
  Plan first_plan();
  Plan left_over();
  Plan forget_late_flows(Plan left);
  void tell(const Step& step) const;
  void apply(const Step& step);
  void try_one(const Step& step, std::vector<Error>& failures);
  void try_beside(const Step& deleting, const Plan& files, std::vector<Error>& failures);
  std::vector<Error> try_all();
  Plan pin_again();
  void undo(std::size_t failed, Error& cause);
  void remember_sysctls();
  void write_down_first();
  void close_books();
  std::optional<std::string> names_notice(const Delta& delta) const;
  Outcome outcome();

  const Setup& setup_;
  Session& session_;
  Delta delta_;
  Extent extent_;
  plan::DesiredInput input_;
  Desired desired_;
  Actual actual_;
  Scope scope_;
  Plan plan_;
  NameOf name_of_;
  std::vector<std::string> notices_;
  std::vector<std::string> remembered_sysctls_;  // in this passage
  std::vector<std::string> returned_sysctls_;    // those of adopted bridges that are left: not to be put back again
};

}  // namespace mb::engine
