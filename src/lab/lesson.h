// SPDX-License-Identifier: GPL-2.0-or-later
//
// A scenario that reads like a lesson: what is wanted, the command, what happened, why. Pure: events of a run become text.
#pragma once

#include <string>
#include <vector>

#include "src/lab/paint.h"
#include "src/lab/report.h"
#include "src/lab/scenario.h"

namespace mb::lab {

class Lesson {
 public:
  Lesson(Language language, Paint paint, std::size_t width)
      : language_(language), paint_(std::move(paint)), width_(width) {}

  std::string opening(const Scenario& scenario) const;
  std::string step_begins(std::size_t number, std::size_t of, const Step& step) const;
  // A failure is told with its place in the scenario's file.
  std::string action_done(const Scenario& scenario, const Action& action) const;
  std::string step_ends(const Step& step, const StepReport& report) const;
  std::string closing(const Report& report) const;

  // What it would do, without a run.
  std::string outline(const Scenario& scenario) const;

 private:
  std::string paragraph(const std::string& text, const std::string& indent) const;
  std::string command_lines(const std::string& place, const std::string& command) const;
  std::string printed(const Action& action) const;
  std::string mark(bool ok) const;
  std::string finding_line(const std::string& file, const Finding& finding) const;
  std::string findings_of(const std::string& file, const Action& action) const;
  std::string side_by_side(const std::vector<Pair>& pairs) const;
  std::string request_done(const std::string& file, const Action& action) const;
  std::string outline_of(const Request& request) const;
  std::string outline_of(const Command& command) const;
  std::string say(const char* en, const char* zh) const;

  Language language_;
  Paint paint_;
  std::size_t width_;
};

}  // namespace mb::lab
