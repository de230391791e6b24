// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/execute.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/container/failure.h"

namespace mb::container {
namespace {

constexpr std::string_view kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::optional<std::string> variable(const std::vector<std::string>& environment, std::string_view name) {
  for (const std::string& entry : environment) {
    const std::string_view text = entry;
    if (text.starts_with(name) && text.substr(name.size()).starts_with('=')) return entry.substr(name.size() + 1);
  }
  return std::nullopt;
}

// An empty element of PATH is the working directory.
std::vector<std::string> candidates(const std::string& program, const std::vector<std::string>& environment) {
  if (program.find('/') != std::string::npos) return {program};
  const std::string path = variable(environment, "PATH").value_or(std::string(kDefaultPath));
  std::vector<std::string> all;
  for (const std::string_view directory : split(path, ':')) {
    all.push_back(directory.empty() ? "./" + program : fmt::format("{}/{}", directory, program));
  }
  return all;
}

std::vector<char*> pointers_into(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

bool means_not_here(int error) { return error == ENOENT || error == ENOTDIR; }

struct Attempt {
  std::string path;
  int error = 0;
};

// The first candidate that exists and cannot be executed, if there is one: it says more than "not found".
Attempt try_all(const std::vector<std::string>& paths, std::vector<std::string>& argv,
                std::vector<std::string>& environment) {
  const std::vector<char*> arguments = pointers_into(argv);
  const std::vector<char*> variables = pointers_into(environment);
  Attempt first{argv[0], ENOENT};
  for (const std::string& path : paths) {
    ::execve(path.c_str(), arguments.data(), variables.data());
    if (means_not_here(errno) && ::access(path.c_str(), F_OK) != 0) continue;
    // A PATH may name directories that this user cannot look into; the search goes on, as in a shell.
    if (means_not_here(first.error)) first = {path, errno};
    if (errno != EACCES) break;
  }
  return first;
}

std::string hint_for(int error) {
  if (error == ENOEXEC) return "a script must begin with #! and its interpreter";
  if (error == EACCES)
    return "it must be a file that this user may execute (chmod +x), on a file system without noexec";
  return "it must be a program for this machine";
}

[[noreturn]] void fail(const std::string& program, const Attempt& attempt) {
  if (!means_not_here(attempt.error)) {
    throw CommandFailure(kCannotExecute, system_failure(fmt::format("cannot execute '{}'", attempt.path), attempt.error,
                                                        hint_for(attempt.error)));
  }
  const bool exists = ::access(attempt.path.c_str(), F_OK) == 0;
  const std::string where = program.find('/') == std::string::npos ? " in the container's PATH" : " in the container";
  const std::string message = exists ? fmt::format("cannot execute '{}': its interpreter or loader is missing{}",
                                                   attempt.path, " in the container")
                                     : fmt::format("there is no command '{}'{}", printable(program), where);
  const std::string hint = exists ? "install what its first line names, or the loader that 'file' shows"
                                  : "the container sees the host's files, or those of its --rootfs and --volume";
  throw CommandFailure(kCommandNotFound, Error(ErrorKind::not_found, message, hint, attempt.error));
}

}  // namespace

void execute(std::vector<std::string> argv, std::vector<std::string> environment) {
  const std::string program = argv.at(0);
  if (program.empty()) {
    throw CommandFailure(kCommandNotFound, Error(ErrorKind::not_found, "the command has no name",
                                                 "the first word after '--' is the command"));
  }
  fail(program, try_all(candidates(program, environment), argv, environment));
}

std::vector<std::string> with_home(std::vector<std::string> environment, const std::string& home) {
  if (!variable(environment, "HOME")) environment.push_back("HOME=" + home);
  return environment;
}

}  // namespace mb::container
