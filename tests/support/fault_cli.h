// SPDX-License-Identifier: GPL-2.0-or-later
//
// The program itself on a host of its own, to be killed: runs verbs, finds every process that came from them, and waits
// until those that belong to nothing have ended.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "netns/netns.h"
#include "src/engine/engine.h"
#include "tests/support/world.h"

namespace mb::test {

class CliHost {
 public:
  CliHost();
  ~CliHost();
  CliHost(const CliHost&) = delete;
  CliHost& operator=(const CliHost&) = delete;

  [[nodiscard]] const std::string& state_dir() const { return state_dir_; }

  /// "minibridge WORDS", split by blanks.
  netns::Finished mb(const std::string& words) const;
  /// The same, without waiting for it. What it prints goes to `output`; -1: where ours goes.
  [[nodiscard]] netns::Child start(const std::string& words, int output = -1) const;
  /// The same, with words before it ("strace …").
  [[nodiscard]] netns::Finished mb_under(const std::vector<std::string>& before, const std::string& words) const;

  /// The engine with the product's own parts, in this process: for questions.
  [[nodiscard]] engine::Engine engine() const;
  [[nodiscard]] std::vector<Container> containers() const;
  [[nodiscard]] std::vector<Network> networks() const;
  [[nodiscard]] bool has(const std::string& container) const;

  /// Processes that came from our verbs, their containers' included.
  [[nodiscard]] std::vector<pid_t> processes() const;
  /// Of these, those that are not in the hands of a running container's supervisor.
  [[nodiscard]] std::vector<pid_t> stray_processes() const;
  /// Waits until there is no stray process. Returns what is still there in the end, as text.
  [[nodiscard]] std::string settle() const;

  /// After settle(): what is wrong on this host, as text. Empty: nothing without an owner, and nothing to repair.
  [[nodiscard]] std::string complaints() const;

 private:
  [[nodiscard]] netns::Command command(const std::vector<std::string>& before, const std::string& words) const;

  World world_;
  std::string directory_;
  std::string state_dir_;
};

/// Rules of others, without counters: those a kill may cost, see design.
std::string foreign_rules();

/// Waits for a process that need not be ours. False: it lives after the deadline.
bool ends(pid_t pid, std::chrono::milliseconds deadline = std::chrono::seconds(20));

/// The supervisors of name servers: who holds the lock on a server's configuration.
std::vector<pid_t> name_server_supervisors(const std::string& state_dir);

/// Processes whose parent is `pid`.
std::vector<pid_t> children_of(pid_t pid);

}  // namespace mb::test
