// SPDX-License-Identifier: GPL-2.0-or-later
//
// Order: the process is cloned into all its namespaces at once and waits; the starter writes the maps of user ids, which
// only somebody outside may do for more than one id; then the process makes its mounts its own, and builds.
#include "src/lab/hold.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <sstream>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/descriptors.h"
#include "src/container/failure.h"
#include "src/lab/room.h"

namespace mb::lab {
namespace {

constexpr std::uint64_t kNamespaces =
    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC;

// ---- the starter's part

// Returns 0, or the errno.
int write_file(const std::string& path, const std::string& text) {
  const netns::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), text.data(), text.size()) < 0) return errno;
  return 0;
}

void write_or_fail(const std::string& path, const std::string& text) {
  if (const int error = write_file(path, text); error != 0) {
    throw system_failure(fmt::format("cannot write '{}' to '{}'", text, path), error);
  }
}

// All ids that there are here, each as itself: "inside outside count" for every line of our own map.
std::string identity_map(const char* own_map) {
  std::ifstream lines(own_map);
  std::string map;
  std::uint64_t inside = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  while (lines >> inside >> outside >> count) map += fmt::format("{} {} {}\n", inside, inside, count);
  return map;
}

void map_ids(pid_t pid) {
  const auto file = [pid](const char* name) { return fmt::format("/proc/{}/{}", pid, name); };
  // Root may hand on all ids, so that programs in the lab can run as other users.
  if (::geteuid() == 0 && write_file(file("uid_map"), identity_map("/proc/self/uid_map")) == 0) {
    write_or_fail(file("gid_map"), identity_map("/proc/self/gid_map"));
    return;
  }
  // Others may map their own user only, and their group only after giving up setgroups(2) (user_namespaces(7)).
  write_or_fail(file("uid_map"), fmt::format("0 {} 1", ::geteuid()));
  write_or_fail(file("setgroups"), "deny");
  write_or_fail(file("gid_map"), fmt::format("0 {} 1", ::getegid()));
}

// ---- the part of the lab's first process

std::string program_path(const HoldOptions& options) {
  if (!options.program.empty()) return options.program;
  std::array<char, PATH_MAX> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  if (length < 0) throw system_failure("cannot find the path of this program", errno);
  return {path.data(), static_cast<std::size_t>(length)};
}

// Settings of the starter that would lead a program in a node out of it.
void set_environment(const HoldOptions& options) {
  for (const char* name : {"XTABLES_LOCKFILE", "MINIBRIDGE_STATE_DIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"}) {
    ::unsetenv(name);
  }
  const char* path = std::getenv("PATH");
  ::setenv("PATH", fmt::format("{}:{}", search_path(), path == nullptr ? "" : path).c_str(), 1);
  if (!options.lab_name.empty()) ::setenv("MINIBRIDGE_LAB", options.lab_name.c_str(), 1);
}

[[noreturn]] void live(const Topology& topology, const HoldOptions& options, const Life& life,
                       container::Channel channel) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<int> kept = options.kept;
  kept.push_back(channel.fd());
  container::close_all_but(kept);
  ::setsid();
  ::umask(022);
  const auto message = channel.receive();
  if (!message || message->word != container::Word::go) ::_exit(container::kOursFailed);
  try {
    const std::string program = program_path(options);
    set_environment(options);
    enter_common_room(program);
    World world(topology);
    channel.hang_up();
    ::_exit(life(world));
  } catch (const std::exception& error) {
    channel.send(container::Word::failed, container::encode_error(error));
  }
  ::_exit(container::kOursFailed);
}

}  // namespace

Holder hold(const Topology& topology, const HoldOptions& options, const Life& life) {
  auto process = container::spawn_process(
      kNamespaces, [&](container::Channel channel) { live(topology, options, life, std::move(channel)); });
  map_ids(process.init_pid());
  process.go();
  return Holder(std::move(process));
}

Holder hold_for_good(const Topology& topology, const HoldOptions& options) {
  auto ready = container::open_pipe();
  HoldOptions with_pipe = options;
  with_pipe.kept.push_back(ready.write.get());
  const int signal_fd = ready.write.get();
  Holder holder = hold(topology, with_pipe, [signal_fd](World& world) -> int {
    world.detach();
    ::close(signal_fd);  // says that our end no longer ends it
    world.stay();
  });
  ready.write.reset();
  char nothing = 0;
  while (::read(ready.read.get(), &nothing, 1) < 0 && errno == EINTR) {
  }
  return holder;
}

}  // namespace mb::lab
