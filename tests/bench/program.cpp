// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/bench/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "netns/netns.h"
#include "src/base/text.h"
#include "tests/bench/host.h"

namespace mb::bench {
namespace {

std::vector<char*> pointers(const Words& words) {
  std::vector<char*> all;
  for (const auto& word : words) all.push_back(const_cast<char*>(word.c_str()));
  all.push_back(nullptr);
  return all;
}

void check(int status, const Words& words) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  throw std::runtime_error("'" + join(words, " ") + "' failed");
}

// A line "NAME:  123 …" of /proc/PID/status.
long status_line(pid_t process, std::string_view name) {
  std::ifstream file("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name)) return std::stol(line.substr(name.size() + 1));
  }
  throw std::runtime_error("no such process any more");
}

[[noreturn]] void be_traced(const Words& words) {
  ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  const int nowhere = ::open("/dev/null", O_WRONLY);
  ::dup2(nowhere, STDOUT_FILENO);
  ::execvp(words.front().c_str(), pointers(words).data());
  ::_exit(127);
}

}  // namespace

Words minibridge(const Words& words) {
  Words all{MB_BINARY, "--state-dir", kStateDir};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

void run(const Words& words) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t process = 0;
  const int error = posix_spawnp(&process, words.front().c_str(), &actions, nullptr, pointers(words).data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::system_error(error, std::generic_category(), words.front());
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  check(status, words);
}

std::string output_of(const Words& words) {
  const auto finished = netns::run(netns::Command(words));
  if (finished.status != 0) throw std::runtime_error("'" + join(words, " ") + "' failed: " + finished.err);
  return finished.out;
}

// Asked at the last moment before the process is gone. ru_maxrss would not do: across exec it remembers what the
// process held that started it.
long peak_memory(const Words& words) {
  const pid_t process = ::fork();
  if (process < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (process == 0) be_traced(words);
  int status = 0;
  ::waitpid(process, &status, 0);
  ::ptrace(PTRACE_SETOPTIONS, process, nullptr, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL);
  long peak = 0;
  int signal = 0;
  while (true) {
    ::ptrace(PTRACE_CONT, process, nullptr, signal);
    ::waitpid(process, &status, 0);
    if (!WIFSTOPPED(status)) break;
    const bool ends = status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8);
    if (ends) peak = peak_memory_of(process);
    signal = ends || WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
  }
  check(status, words);
  return peak;
}

long peak_memory_of(pid_t process) { return status_line(process, "VmHWM"); }
pid_t parent_of(pid_t process) { return static_cast<pid_t>(status_line(process, "PPid")); }

// Of its first thread only, which is where they are made: -f would wait for the name server that a verb leaves behind.
int count_commits(const Words& words) {
  const std::string log = "/run/strace.log";
  Words all{"strace", "-o", log, "-e", "trace=setsockopt"};
  all.insert(all.end(), words.begin(), words.end());
  run(all);
  std::ifstream file(log);
  int count = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.find("IPT_SO_SET_REPLACE") != std::string::npos) ++count;
  }
  return count;
}

}  // namespace mb::bench
