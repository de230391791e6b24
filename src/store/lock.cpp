// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/store/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "src/base/error.h"

namespace mb::store {
namespace {

constexpr const char* kHint = "--state-dir names another place for the state";

}  // namespace

bool is_same_file(int fd, const std::string& path) {
  struct stat held {};
  struct stat named {};
  return fstat(fd, &held) == 0 && stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
         held.st_dev == named.st_dev;
}

void make_state_directory(const std::string& state_dir) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(state_dir).parent_path(), error);
  if (mkdir(state_dir.c_str(), 0700) != 0 && errno != EEXIST) {
    throw system_failure(fmt::format("cannot make the state directory '{}'", state_dir), errno, kHint);
  }
}

StateLock StateLock::take(const std::string& state_dir) {
  const std::string path = state_dir + "/lock";
  while (true) {
    make_state_directory(state_dir);
    netns::UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (fd.get() < 0) {
      if (errno == ENOENT) continue;  // the directory has just been removed by `down`
      throw system_failure(fmt::format("cannot open '{}'", path), errno, kHint);
    }
    while (flock(fd.get(), LOCK_EX) != 0) {
      if (errno != EINTR) throw system_failure(fmt::format("cannot lock '{}'", path), errno);
    }
    if (is_same_file(fd.get(), path)) return StateLock(std::move(fd));
  }
}

}  // namespace mb::store
