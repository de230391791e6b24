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
#include "src/model/name_files.h"

namespace mb::kernel {
namespace {

namespace fs = std::filesystem;

constexpr std::array kKnownFiles{"hosts", "hostname", "resolv.conf", "ports"};
constexpr std::string_view kIncoming = "incoming";

void refuse_to_leave(std::string_view path) {
  for (const auto part : split(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      throw Error(ErrorKind::usage, fmt::format("'{}' is not a file below the state directory", printable(path)));
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
  while (true) {
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0) throw system_failure(attempt, errno);
    content.append(buffer, static_cast<std::size_t>(got));
    if (static_cast<std::size_t>(got) < sizeof buffer) return content;  // less than asked for: that was the end
  }
}

void make(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    throw system_failure(fmt::format("cannot make directory '{}'", directory), errno);
  }
}

}  // namespace

void Files::write(const std::string& path, std::string_view content) {
  refuse_to_leave(path);
  if (is_name_file(path)) {
    rename_into_place(path, content);
  } else {
    write_in_place(path, content);
  }
}

void Files::write_in_place(const std::string& path, std::string_view content) const {
  const std::string attempt = fmt::format("cannot write '{}'", path);
  const std::string full = state_dir_ + "/" + path;
  const netns::UniqueFd file(::open(full.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file) throw system_failure(attempt, errno);
  if (::fchmod(file.get(), 0644) != 0) throw system_failure(attempt, errno);  // whatever the umask is
  // First the content, then the end: on a full disk the old content is not lost before the new one has a place.
  write_all(file.get(), content, attempt);
  if (::ftruncate(file.get(), static_cast<off_t>(content.size())) != 0) throw system_failure(attempt, errno);
}

void Files::rename_into_place(const std::string& path, std::string_view content) const {
  const std::string full = state_dir_ + "/" + path;
  const std::string names = state_dir_ + "/" + std::string(kNamesDirectory);
  make(names);
  for (std::size_t slash = full.find('/', names.size() + 1); slash != std::string::npos;
       slash = full.find('/', slash + 1)) {
    make(full.substr(0, slash));
  }
  // Beside the directories that are watched. Writers hold the lock between verbs, so one name is enough.
  const std::string incoming = fmt::format("{}/{}", kNamesDirectory, kIncoming);
  write_in_place(incoming, content);
  if (::rename((state_dir_ + "/" + incoming).c_str(), full.c_str()) != 0) {
    throw system_failure(fmt::format("cannot write '{}'", path), errno);
  }
}

void Files::remove(const std::string& path) {
  refuse_to_leave(path);
  fs::path full = fs::path(state_dir_) / path;
  if (::unlink(full.c_str()) != 0 && errno != ENOENT) {
    throw system_failure(fmt::format("cannot remove '{}'", path), errno);
  }
  if (!is_name_file(path)) return;
  const fs::path names = fs::path(state_dir_) / kNamesDirectory;
  while (full != names && ::rmdir((full = full.parent_path()).c_str()) == 0) {
  }
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

std::map<std::string, std::string> Files::read_all(const Id& container) const {
  std::map<std::string, std::string> found;
  for (const std::string name : kKnownFiles) {
    const std::string path = fmt::format("containers/{}/{}", container, name);
    if (auto content = read_file(state_dir_ + "/" + path)) found.emplace(path, std::move(*content));
  }
  return found;
}

std::optional<std::string> Files::read(const std::string& path) const { return read_file(state_dir_ + "/" + path); }

std::set<std::string> Files::name_files() const {
  std::set<std::string> found;
  std::error_code absent;
  const fs::path state = state_dir_;
  for (const auto& entry : fs::recursive_directory_iterator(state / kNamesDirectory, absent)) {
    if (!entry.is_directory() || entry.is_symlink()) found.insert(entry.path().lexically_relative(state));
  }
  return found;
}

std::set<Id> Files::name_directories() const {
  std::set<Id> found;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(fs::path(state_dir_) / kNamesDirectory, absent)) {
    if (entry.is_directory() && !entry.is_symlink()) found.insert(entry.path().filename());
  }
  return found;
}

}  // namespace mb::kernel
