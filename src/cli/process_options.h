// SPDX-License-Identifier: GPL-2.0-or-later
//
// Options about the process in a container, shared by `run` and `exec`.
#pragma once

#include <string>
#include <vector>

#include "src/model/objects.h"

namespace CLI {
class App;
}

namespace mb::cli {

struct ProcessOptions {
  std::vector<std::string> environment;
  std::vector<std::string> environment_files;
  std::string working_directory;
  std::string user;
  std::string rootfs;
  std::vector<std::string> volumes;
  std::vector<std::string> cap_add;
  std::vector<std::string> cap_drop;
  bool privileged = false;
  bool terminal = false;
  bool interactive = false;
};

// All of them, for `run`.
void add_process_options(CLI::App& verb, ProcessOptions& options);
// Those that can be chosen for a further command, for `exec`.
void add_exec_options(CLI::App& verb, ProcessOptions& options);

ProcessSpec process_spec(const ProcessOptions& options, const std::vector<std::string>& command,
                         const std::string& hostname);

// PATH, HOSTNAME, and TERM when there is a terminal.
std::vector<std::string> default_environment(const std::string& hostname, bool terminal);
// Adds TERM where there is none yet.
void give_terminal_type(std::vector<std::string>& environment);
// `base` with the assignments of --env-file and --env laid over it; "K" alone takes the caller's value.
std::vector<std::string> environment_with(std::vector<std::string> base, const ProcessOptions& options);

}  // namespace mb::cli
