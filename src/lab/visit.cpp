// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/visit.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/exec.h"
#include "src/lab/room.h"

namespace mb::lab {
namespace {

constexpr int kAllNamespaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC;

// The doors are there only for who is in the lab already.
void enter_node(int process, const std::string& node) {
  const std::string what = fmt::format("cannot enter node '{}'", node);
  if (::setns(process, kAllNamespaces) != 0) {
    throw system_failure(
        what, errno, errno == EPERM ? "a lab can be entered only from the user namespace in which it was made" : "");
  }
  std::vector<netns::UniqueFd> doors;
  for (const char* kind : {"net", "uts", "mnt"}) {
    doors.emplace_back(::open(door_path(node, kind).c_str(), O_RDONLY | O_CLOEXEC));
    if (!doors.back()) throw system_failure(what, errno);
  }
  for (const auto& door : doors) {
    if (::setns(door.get(), 0) != 0) throw system_failure(what, errno);
  }
}

// Ours, without what would lead a program in the node out of it.
std::vector<std::string> environment_in(const Lab& lab, const std::string& node) {
  constexpr std::string_view kNotThese[] = {"XTABLES_LOCKFILE",
                                            "MINIBRIDGE_STATE_DIR",
                                            "XDG_RUNTIME_DIR",
                                            "DBUS_SESSION_BUS_ADDRESS",
                                            "PATH",
                                            "HOSTNAME",
                                            "MINIBRIDGE_LAB",
                                            "MINIBRIDGE_NODE",
                                            "PS1"};
  std::vector<std::string> environment;
  for (char** each = ::environ; each != nullptr && *each != nullptr; ++each) {
    const std::string_view entry(*each);
    const auto name = entry.substr(0, entry.find('='));
    if (std::find(std::begin(kNotThese), std::end(kNotThese), name) == std::end(kNotThese)) {
      environment.emplace_back(entry);
    }
  }
  const char* path = std::getenv("PATH");
  environment.push_back(fmt::format("PATH={}:{}", search_path(), path == nullptr ? "" : path));
  environment.push_back("HOSTNAME=" + node);
  environment.push_back("MINIBRIDGE_LAB=" + lab.name.str());
  environment.push_back("MINIBRIDGE_NODE=" + node);
  environment.push_back(fmt::format("PS1={} # ", node));
  return environment;
}

// Where we are, unless the node has another directory of that name.
std::string working_directory() {
  std::error_code failed;
  const std::string here = std::filesystem::current_path(failed).string();
  for (const char* own : {"/run", "/proc", "/sys"}) {
    if (here == own || here.starts_with(std::string(own) + "/")) return "/";
  }
  return failed ? "/" : here;
}

}  // namespace

int run_in_node(const Registry& registry, const Lab& lab, const std::string& node, std::vector<std::string> command) {
  const std::string name = lab.topology.node(node).name.str();
  const netns::UniqueFd process = registry.open_process(lab);
  ProcessSpec spec;
  spec.argv = std::move(command);
  spec.environment = environment_in(lab, name);
  spec.working_directory = working_directory();
  spec.privileged = true;
  spec.interactive = true;
  spec.terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  return container::exec_elsewhere(spec, {process.get()}, [&] { enter_node(process.get(), name); });
}

std::vector<std::string> shell_command() {
  if (::access("/bin/bash", X_OK) == 0) {
    return {"/bin/bash", "--noprofile", "--rcfile", fmt::format("{}/bashrc", kLabDir), "-i"};
  }
  return {"/bin/sh", "-i"};
}

}  // namespace mb::lab
