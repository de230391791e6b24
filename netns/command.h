// SPDX-License-Identifier: GPL-2.0-or-later
//
// Running a command, inside a network namespace or in the present one.
//
// The fork happens in the calling thread and the child changes namespace by itself, after the
// fork. Between fork and exec the child makes nothing but plain system calls, so a program with
// other threads may use this too. The command starts with /dev/null as standard input and with no
// signal blocked or ignored.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "netns/namespace.h"
#include "netns/unique_fd.h"

namespace netns {

/// What to run. The program is searched for in PATH.
struct Command {
  // Not explicit, so that run({"ip", "link"}) reads as it should.
  Command(std::initializer_list<std::string> words) : argv(words) {}
  explicit Command(std::vector<std::string> words) : argv(std::move(words)) {}

  std::vector<std::string> argv;
  /// "NAME=value" each, on top of the present environment.
  std::vector<std::string> environment{};
  /// Descriptors of further namespaces to enter (mount, uts …), in this order, before the network namespace.
  std::vector<int> also_enter{};
  /// Start it as the leader of a session of its own. What it starts can then be killed with it.
  bool own_session = false;
};

struct Finished {
  int status = 0;  ///< the exit code, or 128 + the signal that killed it
  std::string out;
  std::string err;
  bool timed_out = false;  ///< it was killed because it took too long
};

/// Runs it to its end and keeps what it printed. Does not wait for processes it left behind, even
/// when they still hold its output. Throws when the command cannot be started at all.
Finished run(const Command& command);
Finished run(const Command& command, const Namespace& target);
/// The same, but what still runs after `patience` is killed, with its session if it has one of its own.
Finished run_for(const Command& command, const Namespace& target, std::chrono::milliseconds patience);

/// Descriptors for the command's standard streams; -1 is ours, for the input /dev/null.
struct Streams {
  int out = -1;
  int err = -1;
  int in = -1;
};

/// A command that runs beside us. It is killed and reaped when this object goes, and killed by the
/// kernel when the *thread* that started it ends: so do not start one in a thread that ends early,
/// such as run_in's.
class Child {
 public:
  explicit Child(const Command& command, Streams streams = {});
  Child(const Command& command, const Namespace& target, Streams streams = {});
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// Readable once the command has ended: for poll(2).
  [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }

  /// Waits for the end. Returns the exit code, or 128 + the signal. May be called again.
  int wait();
  /// The same, or nothing when the command still runs after `patience`.
  std::optional<int> wait_for(std::chrono::milliseconds patience);

  /// Does nothing to a command that has ended.
  void kill(int signal);
  /// The same for everything in the session it leads (Command::own_session).
  void kill_session(int signal);

 private:
  Child() noexcept = default;
  void start(const Command& command, int namespace_fd, Streams streams);
  void end() noexcept;

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  std::optional<int> status_;
};

}  // namespace netns
