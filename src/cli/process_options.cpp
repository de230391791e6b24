// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/cli/process_options.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb::cli {
namespace {

void assign(std::vector<std::string>& environment, const std::string& assignment) {
  const auto name = assignment.substr(0, assignment.find('='));
  if (name.empty()) {
    throw Error(ErrorKind::usage, fmt::format("'{}' sets no variable: the name is missing", printable(assignment)));
  }
  std::erase_if(environment, [&](const std::string& other) { return other.starts_with(name + "="); });
  if (assignment.find('=') != std::string::npos) {
    environment.push_back(assignment);
  } else if (const char* value = std::getenv(name.c_str())) {
    environment.push_back(fmt::format("{}={}", name, value));
  }
}

[[noreturn]] void reject_file(const std::string& path, int error) {
  const auto what = fmt::format("cannot read the environment file '{}'", printable(path));
  throw Error(ErrorKind::usage, system_failure(what, error).message(), "name a file of lines K=V", error);
}

void assign_file(std::vector<std::string>& environment, const std::string& path) {
  std::ifstream file(path);
  if (!file) reject_file(path, errno);
  for (std::string line; std::getline(file, line);) {
    const auto begin = line.find_first_not_of(" \t");
    if (begin == std::string::npos || line[begin] == '#') continue;
    assign(environment, line.substr(begin));
  }
  if (file.bad()) reject_file(path, errno);  // a directory can be opened, and only reading tells
}

Volume parse_volume(const std::string& text) {
  Scanner scan("volume", text, "for example /srv/data:/data:ro");
  Volume volume;
  volume.host_path = scan.until(":");
  if (volume.host_path.empty()) scan.fail("expected a path on the host");
  if (!scan.accept(':')) scan.fail("expected ':' and a path in the container");
  const auto at = scan.offset();
  volume.container_path = scan.until(":");
  if (!volume.container_path.starts_with('/')) scan.fail_at(at, "the path in the container must begin with '/'");
  if (scan.accept(':')) {
    if (scan.accept("ro")) {
      volume.read_only = true;
    } else if (!scan.accept("rw")) {
      scan.fail("expected ro or rw");
    }
  }
  scan.expect_end();
  volume.host_path = std::filesystem::absolute(volume.host_path).lexically_normal();
  return volume;
}

}  // namespace

void add_exec_options(CLI::App& verb, ProcessOptions& options) {
  verb.add_option("-e,--env", options.environment, "K=V, or K to pass the caller's value (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option("-w,--workdir", options.working_directory, "working directory");
  verb.add_option("-u,--user", options.user, "name|uid[:group|gid]");
  verb.add_flag("--privileged", options.privileged, "keep all capabilities");
  verb.add_flag("-t,--tty", options.terminal, "give it a terminal");
  verb.add_flag("-i,--interactive", options.interactive, "connect standard input");
}

void add_process_options(CLI::App& verb, ProcessOptions& options) {
  add_exec_options(verb, options);
  verb.add_option("--env-file", options.environment_files, "a file of K=V lines (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option("-v,--volume", options.volumes, "HOST:DIR[:ro] (repeatable)")->take_all()->allow_extra_args(false);
  verb.add_option("--rootfs", options.rootfs, "a directory to use as the root file system");
  verb.add_option("--cap-add", options.cap_add, "add a capability (repeatable)")->take_all()->allow_extra_args(false);
  verb.add_option("--cap-drop", options.cap_drop, "drop a capability, or ALL (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
}

std::vector<std::string> default_environment(const std::string& hostname, bool terminal) {
  std::vector<std::string> environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                          fmt::format("HOSTNAME={}", hostname)};
  if (terminal) give_terminal_type(environment);
  return environment;
}

void give_terminal_type(std::vector<std::string>& environment) {
  const bool has_one = std::any_of(environment.begin(), environment.end(),
                                   [](const std::string& entry) { return entry.starts_with("TERM="); });
  if (!has_one) environment.emplace_back("TERM=xterm");
}

std::vector<std::string> environment_with(std::vector<std::string> base, const ProcessOptions& options) {
  for (const auto& path : options.environment_files) assign_file(base, path);
  for (const auto& assignment : options.environment) assign(base, assignment);
  return base;
}

ProcessSpec process_spec(const ProcessOptions& options, const std::vector<std::string>& command,
                         const std::string& hostname) {
  ProcessSpec spec;
  spec.argv = command;
  spec.environment = environment_with(default_environment(hostname, options.terminal), options);
  if (!options.working_directory.empty()) spec.working_directory = options.working_directory;
  spec.user = options.user;
  if (!options.rootfs.empty()) spec.rootfs = std::filesystem::absolute(options.rootfs).lexically_normal();
  for (const auto& volume : options.volumes) spec.volumes.push_back(parse_volume(volume));
  spec.cap_add = options.cap_add;
  spec.cap_drop = options.cap_drop;
  spec.privileged = options.privileged;
  spec.terminal = options.terminal;
  spec.interactive = options.interactive;
  return spec;
}

}  // namespace mb::cli
