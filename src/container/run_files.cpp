// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/run_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/alive.h"
#include "src/container/descriptors.h"
#include "src/container/failure.h"

namespace mb::container {
namespace {

// So that a full disk is noticed now and not when there is something to say. Not every file system can.
void reserve_space(int file, const std::string& path) {
  constexpr off_t kEnough = 16;
  if (::fallocate(file, FALLOC_FL_KEEP_SIZE, 0, kEnough) == 0 || errno == EOPNOTSUPP) return;
  throw system_failure(fmt::format("cannot create '{}'", path), errno);
}

std::string status_path(const std::string& state_dir, const Id& id) { return directory_of(state_dir, id) + "/status"; }

std::optional<int> read_status(int file) {
  std::array<char, 16> text{};
  const ssize_t got = ::pread(file, text.data(), text.size(), 0);
  int status = 0;
  if (got <= 0 || std::from_chars(text.data(), text.data() + got, status).ec != std::errc{}) return std::nullopt;
  return status;
}

}  // namespace

std::string directory_of(const std::string& state_dir, const Id& id) {
  return fmt::format("{}/containers/{}", state_dir, id);
}

std::optional<int> written_exit_status(const std::string& state_dir, const Id& id) {
  const netns::UniqueFd file(::open(status_path(state_dir, id).c_str(), O_RDONLY | O_CLOEXEC));
  return file ? read_status(file.get()) : std::nullopt;
}

StatusFile StatusFile::create(const std::string& state_dir, const Id& id) {
  StatusFile status;
  const std::string path = status_path(state_dir, id);
  ::unlink(path.c_str());
  status.file_.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!status.file_) throw system_failure(fmt::format("cannot create '{}'", path), errno);
  reserve_space(status.file_.get(), path);
  return status;
}

// Nobody can be told when it fails; who waits then hears 137, as after a kill.
void StatusFile::write(int exit_status) const {
  const std::string text = fmt::format("{}\n", exit_status);
  [[maybe_unused]] const ssize_t ignored = ::pwrite(file_.get(), text.data(), text.size(), 0);
}

ExitWaiter::ExitWaiter(const std::string& state_dir, const Id& id, pid_t supervisor) {
  const std::string path = status_path(state_dir, id);
  file_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file_ && errno == ENOENT) throw Error(ErrorKind::not_found, fmt::format("container '{}' has never run", id));
  if (!file_) throw system_failure(fmt::format("cannot open '{}'", path), errno);
  supervisor_ = open_process_of(state_dir, id, supervisor);
}

int ExitWaiter::wait() const {
  if (supervisor_) wait_readable(supervisor_.get());
  return read_status(file_.get()).value_or(kKilled);
}

}  // namespace mb::container
