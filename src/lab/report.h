// SPDX-License-Identifier: GPL-2.0-or-later
//
// What happened when a scenario was run, as a value; and its forms for machines. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "src/lab/journey.h"
#include "src/lab/judge.h"
#include "src/lab/scenario.h"

namespace mb::lab {

// One thing that was done or looked at in a step.
struct Action {
  enum Kind : std::uint8_t {
    run,      // a command that changes something
    serve,    // a test server was started
    request,  // an exchange
    look,     // a command that only looks
    undo,     // a command that puts back
    check,    // undo has put everything back
  };
  Kind kind = run;
  std::string place;  // who did it
  std::string text;   // the command, or what was asked of whom: "192.168.57.3:1234/tcp"
  Texts note;
  std::vector<Finding> findings;
  std::string out;  // what a command printed
  std::string err;
  std::optional<Journey> journey;
  int line = 0;
  Texts manner{};  // of a request that is not the usual one: "from port 5500, kept open"

  bool ok() const { return all_ok(findings); }
};

struct StepReport {
  std::optional<Texts> left_out;  // the reason
  std::vector<Action> actions;
};

struct Report {
  std::vector<StepReport> steps;  // as many as were begun
  std::chrono::milliseconds time{0};

  std::size_t checks() const;
  std::size_t failed() const;
  bool ok() const { return failed() == 0; }
};

// "workstation → 192.168.57.3:12345/tcp: reached: expected refused (ECONNREFUSED), observed reached" of each that failed.
std::vector<std::string> failures_of(const Report& report, const Scenario& scenario, Language language);

// An object; docs/json.md has its keys.
std::string json_of(const Report& report, const Scenario& scenario);
// A <testsuite> with one <testcase> per action that was judged.
std::string junit_of(const Report& report, const Scenario& scenario);

// The same for a scenario that could not be run.
std::string junit_of_error(const Scenario& scenario, const std::string& sentence);

// "192.168.57.3:1234/tcp".
std::string describe(const Request& request);
// In which way it is asked, where that is not left to the runner: "from port 5500, with mark 2"; empty otherwise.
Texts manner_of(const Request& request);
// "192.168.57.3:1234/tcp, from port 5500".
std::string with_manner(const std::string& text, const Texts& manner, Language language);
// What stands between a name and what is said of it.
inline const char* colon(Language language) { return language == Language::zh ? "：" : ": "; }
// What an aspect is called in a sentence.
Texts name_of(Aspect aspect);

}  // namespace mb::lab
