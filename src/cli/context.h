// SPDX-License-Identifier: GPL-2.0-or-later
//
// What every verb has at hand: the global options, the engine, and how to speak to the user.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "src/cli/deed.h"
#include "src/engine/engine.h"
#include "src/model/objects.h"
#include "src/store/store.h"

namespace mb::cli {

struct Globals {
  std::string state_dir = "/run/minibridge";
  std::string format = "table";
  std::string color = "auto";
  bool verbose = false;
  bool dry_run = false;

  bool json() const { return format == "json"; }
};

class Context {
 public:
  Globals globals;
  int exit_status = 0;
  std::vector<std::string> command;  // the words after "--"

  engine::Setup setup() const;
  engine::Engine engine() const { return engine::Engine(setup()); }
  // The state, to be read.
  std::unique_ptr<store::Store> state() const;
  // Throws Error(not_found).
  Container container(const store::Store& state, const std::string& name) const;
  Network network(const store::Store& state, const std::string& name) const;

  // Runs changes through the pipe, or prints the plan (--dry-run). `what` is printed, one a line, when done.
  void change(const std::vector<Change>& changes, const std::vector<std::string>& what = {});
  // For a plan: of changes, and of what is done before them and after.
  void print_deed(const std::string& kind, const std::string& text) const { print_plan({}, {{kind, text}}); }
  void print_plan_of(const std::vector<Change>& changes, const std::vector<Deed>& before = {},
                     const std::vector<Deed>& after = {}) const;
  void print_plan(const engine::Outcome& outcome, const std::vector<Deed>& before = {},
                  const std::vector<Deed>& after = {}) const;
  static void notify(const std::vector<std::string>& notices);
};

// Throws Error(privilege) when the process may not look at networks and configure them, in one sentence that says what is
// missing. Plans need it too: they compare with what the kernel has.
void require_privilege();

// Throws Error(conflict) if the container has a process that does not run.
void require_running(const engine::Setup& setup, const Container& container);
// "running", "created", "exited (0)" …
std::string status_text(const engine::Setup& setup, const Container& container);

}  // namespace mb::cli
