// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include <fmt/format.h>

#include "netns/unique_fd.h"
#include "src/base/error.h"
#include "src/base/text.h"

namespace mb::kernel {
namespace {

namespace fs = std::filesystem;

constexpr std::array kKnownFiles{"hosts", "hostname", "resolv.conf"};

void refuse_to_leave(std::string_view path) {
  for (const auto part : split(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      throw Error(ErrorKind::usage, fmt::format("'{}' is not a file of a container", printable(path)));
    }
  }
}

void write_all(int fd, std::string_view content, const std::string& attempt) {
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw system_failure(attempt, errno);
    content.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::optional<std::string> read_file(const std::string& path) {
  const netns::UniqueFd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file && errno == ENOENT) return std::nullopt;
  const std::string attempt = fmt::format("cannot read '{}'", path);
  if (!file) throw system_failure(attempt, errno);
  std::string content;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(file.get(), buffer, sizeof buffer)) > 0) content.append(buffer, static_cast<std::size_t>(got));
  if (got < 0) throw system_failure(attempt, errno);
  return content;
}

void make(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    throw system_failure(fmt::format("cannot make directory '{}'", directory), errno);
  }
}

}  // namespace

void Files::write(const std::string& path, std::string_view content) {
  refuse_to_leave(path);
  const std::string attempt = fmt::format("cannot write '{}'", path);
  const std::string full = state_dir_ + "/" + path;
  const netns::UniqueFd file(::open(full.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file) throw system_failure(attempt, errno);
  if (::fchmod(file.get(), 0644) != 0) throw system_failure(attempt, errno);  // whatever the umask is
  // First the content, then the end: on a full disk the old content is not lost before the new one has a place.
  write_all(file.get(), content, attempt);
  if (::ftruncate(file.get(), static_cast<off_t>(content.size())) != 0) throw system_failure(attempt, errno);
}

void Files::make_directory(const Id& container) {
  make(state_dir_ + "/containers");
  make(directory(container));
}

void Files::remove_directory(const Id& container) {
  refuse_to_leave(container);
  const std::string path = directory(container);
  // Mostly there is nothing else in it, and this takes a third of the calls.
  for (const std::string name : kKnownFiles) ::unlink(fmt::format("{}/{}", path, name).c_str());
  if (::rmdir(path.c_str()) == 0) return;
  std::error_code failed;
  fs::remove_all(path, failed);
  if (failed) throw system_failure(fmt::format("cannot remove '{}'", path), failed.value());
}

bool Files::has_directory(const Id& container) const {
  std::error_code absent;
  return fs::is_directory(fs::symlink_status(directory(container), absent));
}

std::set<Id> Files::directories() const {
  std::set<Id> found;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(state_dir_ + "/containers", absent)) {
    if (entry.is_directory() && !entry.is_symlink()) found.insert(entry.path().filename());
  }
  return found;
}

std::map<std::string, std::string> Files::read(const Id& container) const {
  std::map<std::string, std::string> found;
  for (const std::string name : kKnownFiles) {
    const std::string path = fmt::format("containers/{}/{}", container, name);
    if (auto content = read_file(state_dir_ + "/" + path)) found.emplace(path, std::move(*content));
  }
  return found;
}

}  // namespace mb::kernel
