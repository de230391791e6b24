// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/alive.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/descriptors.h"
#include "src/container/pidfd.h"
#include "src/store/lock.h"

namespace mb::container {
namespace {

std::string alive_file(const std::string& state_dir) { return state_dir + "/alive"; }

std::int64_t offset_of(const Id& id) {
  constexpr std::size_t kDigits = 12;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number, 16);
  if (id.size() != kDigits || error != std::errc{} || end != id.data() + id.size() || number < 0) {
    throw Error(ErrorKind::failed, fmt::format("'{}' is not a container id", id));
  }
  return number;
}

// F_OFD_* want l_pid to be 0.
struct flock one_byte(const Id& id) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = offset_of(id);
  lock.l_len = 1;
  return lock;
}

bool try_lock(const netns::UniqueFd& file, struct flock lock, const std::string& path) {
  if (::fcntl(file.get(), F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  throw system_failure(fmt::format("cannot lock '{}'", path), errno);
}

// The kernel waits for a lock for ever or not at all. So a child waits, through our own open file: what it gets is ours.
void wait_for_lock(const netns::UniqueFd& file, struct flock lock, std::chrono::milliseconds patience) {
  const pid_t child = ::fork();
  if (child < 0) throw system_failure("cannot wait for a supervisor", errno);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::fcntl(file.get(), F_OFD_SETLKW, &lock);
    ::_exit(EXIT_SUCCESS);
  }
  const auto waiter = open_process(child);
  if (waiter && !wait_readable(waiter.get(), patience)) ::kill(child, SIGKILL);
  // Who ignores SIGCHLD has nothing to collect.
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// None: `down` has just removed the directory.
netns::UniqueFd open_or_make(const std::string& state_dir) {
  store::make_state_directory(state_dir);
  const std::string path = alive_file(state_dir);
  netns::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const bool may_come = errno == ENOENT && !std::filesystem::is_symlink(state_dir);
  if (!file && !may_come) throw system_failure(fmt::format("cannot open '{}'", path), errno);
  return file;
}

}  // namespace

AliveLock AliveLock::hold(const Launch& launch) {
  const std::string path = alive_file(launch.state_dir);
  const struct flock lock = one_byte(launch.id);
  while (true) {
    netns::UniqueFd file = open_or_make(launch.state_dir);
    if (!file) continue;
    if (!try_lock(file, lock, path)) {
      wait_for_lock(file, lock, launch.patience);
      if (!try_lock(file, lock, path)) {
        throw Error(ErrorKind::conflict,
                    fmt::format("container '{}' has a supervisor that starts or ends it", launch.name.str()),
                    fmt::format("wait until it has done so: 'minibridge ps -a' shows how '{}' is", launch.name.str()));
      }
    }
    if (store::is_same_file(file.get(), path)) return AliveLock(std::move(file));
  }
}

bool is_alive(const std::string& state_dir, const Id& id) {
  const std::string path = alive_file(state_dir);
  struct flock lock = one_byte(id);
  const netns::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && errno == ENOENT) return false;
  if (!file) throw system_failure(fmt::format("cannot open '{}'", path), errno);
  if (::fcntl(file.get(), F_OFD_GETLK, &lock) != 0) throw system_failure(fmt::format("cannot probe '{}'", path), errno);
  return lock.l_type != F_UNLCK;
}

netns::UniqueFd open_process_of(const std::string& state_dir, const Id& id, pid_t pid) {
  if (pid <= 0) return {};
  auto process = open_process(pid);
  if (!process && errno != ESRCH) throw system_failure(fmt::format("cannot watch process {}", pid), errno);
  if (!is_alive(state_dir, id)) return {};
  return process;
}

}  // namespace mb::container
