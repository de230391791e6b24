// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/alive.h"

#include <fcntl.h>

#include <cerrno>
#include <charconv>
#include <cstdint>

#include <fmt/format.h>

#include "src/base/error.h"
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

}  // namespace

AliveLock AliveLock::hold(const std::string& state_dir, const Id& id) {
  store::make_state_directory(state_dir);
  const std::string path = alive_file(state_dir);
  struct flock lock = one_byte(id);
  netns::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file) throw system_failure(fmt::format("cannot open '{}'", path), errno);
  if (::fcntl(file.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno == EAGAIN || errno == EACCES) {
      throw Error(ErrorKind::conflict, fmt::format("container '{}' already has a supervisor", id));
    }
    throw system_failure(fmt::format("cannot lock '{}'", path), errno);
  }
  return AliveLock(std::move(file));
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

}  // namespace mb::container
