// SPDX-License-Identifier: GPL-2.0-or-later
//
// A host with a state directory, rules of somebody else, and an engine that can be made to fail; and the question that
// all fault tests end with: is anything of ours left that has no owner?
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "src/engine/engine.h"
#include "tests/support/fault_kernel.h"
#include "tests/support/world.h"

namespace mb::test {

/// A container that is a namespace with one endpoint in each of the networks, publishing `publish`.
change::AddContainer container(const std::string& name, const std::vector<std::string>& networks,
                               const std::vector<std::string>& publish = {});
/// A further network for a container.
change::Connect connection(const std::string& name, const std::string& to);
/// A network whose bridge is called after it ("br-NAME"); of both families if there is a `subnet6`.
change::AddNetwork network(const std::string& name, const std::string& subnet, const std::string& subnet6 = {});

/// The tables of the state file as text, the marker of accidents first; "" while there is none.
std::string dump_state(const std::string& state_dir);
/// Without addresses that rest and without the marker: what the user asked for.
std::string dump_wishes(const std::string& state_dir);

/// One line for each thing that carries our mark in links, rules, pins, symlinks and directories, but belongs to nothing
/// in the state.
std::string find_orphans(const std::string& state_dir);

/// snapshot_host() without what comes to a bridge of ours by itself, some time after it is up.
std::string look_at_host();

class FaultHost {
 public:
  /// Foreign rules with counters, a foreign policy with counters, and an empty state directory path.
  FaultHost();
  ~FaultHost();
  FaultHost(const FaultHost&) = delete;
  FaultHost& operator=(const FaultHost&) = delete;

  const std::string& state_dir() const { return state_dir_; }
  Faults& faults() { return faults_; }
  const engine::Engine& engine() const { return engine_; }

  /// Ids here count as alive (for containers of kind process).
  std::set<Id>& alive() { return alive_; }

  /// A container of kind process in a namespace that we hold open, as `run` hands it to the engine.
  change::AddContainer process(const std::string& name, const std::vector<std::string>& networks,
                               const std::vector<std::string>& publish);
  /// The change with which `process` is started again.
  change::StartContainer start(const Id& container);

  /// The counters of the policies, as at first: iptables zeroes them with whatever it does.
  void set_foreign_policies() const;

  /// Host, foreign rules with counters, and files of ours (the database left out), as one text.
  std::string look() const;

 private:
  engine::Setup setup();
  std::string new_namespace();

  World world_;
  std::string state_dir_;
  Faults faults_;
  std::set<Id> alive_;
  std::vector<netns::Namespace> namespaces_;
  engine::Engine engine_;
};

}  // namespace mb::test
