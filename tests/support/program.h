// SPDX-License-Identifier: GPL-2.0-or-later
//
// The program as a user runs it: `minibridge` is in PATH, the state directory is a fresh one below the private /run, and
// whatever a test leaves is taken down when the object goes. Use it inside a World.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "netns/netns.h"

namespace mb::test {

class Program {
 public:
  Program();
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// A directory of this test's own, which goes with the object; the state directory lies in it.
  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string state_dir() const { return directory_ + "/state"; }

  /// "minibridge WORDS", quoted as for a shell.
  [[nodiscard]] static netns::Finished mb(const std::string& words);
  /// The same for what must work: returns its standard output.
  static std::string must_mb(const std::string& words);
  /// The same with --format json.
  [[nodiscard]] static nlohmann::json json(const std::string& words);

  /// Where a container's interfaces are.
  [[nodiscard]] static netns::Namespace namespace_of(const std::string& container);
  /// The one object that `inspect` shows.
  [[nodiscard]] static nlohmann::json inspect(const std::string& name);
  /// A container's first IPv4 address; "" while it has none.
  [[nodiscard]] static std::string ip_of(const std::string& container);

  /// Every file below the state directory, and what the state says, as text: "nothing was changed".
  [[nodiscard]] std::string look_at_state() const;

  /// Writes a file into directory() and returns its path.
  std::string write(const std::string& name, const std::string& text) const;

 private:
  std::string directory_;
};

std::string read_text(const std::string& path);
std::vector<std::string> lines_of(const std::string& text);

/// Rules of others with counters, a chain of theirs and a policy: what must be there afterwards as before.
void install_foreign_rules();

/// Waits until `path` can be seen, at most 20 seconds. Returns whether it can.
bool appears(const std::string& path);

}  // namespace mb::test
