// SPDX-License-Identifier: GPL-2.0-or-later
//
// The pipe that every verb runs:
//
//     change of state -> desired --+
//                                  +-> diff -> plan -> apply -> observe again: empty -> commit
//     kernel -> observe -> actual -+
//
// Promises
//   * under the lock between processes, from reading the state to committing it.
//   * what adds is undone when a step fails: the kernel and the state are as before, the first cause is reported with all further ones.
//   * what removes rolls forward: the intent is committed first; what could not be carried out is finished by the next run.
//   * a run that finds that somebody died in the middle (the marker), or that a supervisor died, puts that right first.
// There is no other way to change the kernel, and no teardown code.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/kernel/kernel.h"
#include "src/model/change.h"
#include "src/model/step.h"

namespace mb::store {
class Store;
}
namespace mb::kernel {
class NameServers;
}

namespace mb::engine {

// Everything the pipe takes from outside. A test hands in its own.
struct Setup {
  std::string state_dir;
  std::string link_dir = "/run/netns";
  std::function<std::unique_ptr<kernel::Kernel>(const kernel::Config&)> make_kernel;  // empty: the real one
  std::function<bool(const Id&)> is_alive;  // whether a container's supervisor lives
  // How a container's last run ended, as its supervisor wrote it down before it died itself. May be empty.
  std::function<std::optional<int>(const Id&)> written_exit_status;
  std::shared_ptr<kernel::NameServers> name_servers;  // none: names are in /etc/hosts only
  std::function<std::int64_t()> now;                  // seconds since 1970
  std::function<std::string()> draw_state_id;         // 8 hexadecimal digits
  std::function<void(const std::string&)>
      report;  // told each step in words just before it is carried out; may be empty
  // Between two operations of one Engine the state file stays open: for whoever does many in a row. Others that live
  // long (a supervisor) have no use for it.
  bool keeps_state_open = false;
};

// Whether a container's process runs: what the state says, and whether its supervisor lives.
bool is_running(const Setup& setup, const Container& container);
// A container as it is, and not as it was when its supervisor died: with that it has ended.
Container as_it_is(const Setup& setup, Container container);

struct Outcome {
  Plan plan;                         // what was done, or would be
  Delta delta;                       // the objects before and after
  std::vector<std::string> notices;  // what the user should know: a sysctl that was switched …
  NameOf name_of;                    // names for the ids in the plan
};

// Our rules as they should be (with their whys) and as the kernel has them.
struct RuleReport {
  Ruleset wanted;
  Ruleset present;
};

// Not for several threads at once.
class Engine {
 public:
  explicit Engine(Setup setup) : setup_(std::move(setup)) {}

  // Carries the changes out. Throws Error.
  Outcome run(const std::vector<Change>& changes) const;
  // What `run` would do; changes nothing and creates no file.
  Outcome plan(const std::vector<Change>& changes) const;

  // Compares everything that is ours with what was asked for, and puts it right.
  Outcome repair() const;
  Outcome check() const;

  // Takes all containers and networks away (Error(conflict) if one is running), gives back what was changed on the host, and removes the state directory.
  Outcome take_down() const;
  Outcome plan_take_down() const;

  RuleReport rules() const;

  const Setup& setup() const { return setup_; }

 private:
  Setup setup_;
  mutable std::shared_ptr<store::Store> kept_;  // see Setup::keeps_state_open
};

}  // namespace mb::engine
