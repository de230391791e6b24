// SPDX-License-Identifier: GPL-2.0-or-later
#include "netns/pin.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <exception>
#include <filesystem>

#include "netns/failure.h"

namespace netns {
namespace {

bool is_absent(int error) { return error == ENOENT || error == ENOTDIR; }

// One umount at a time, topmost first. Returns false when nothing is mounted there (any more).
bool detach(const std::string& path) {
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return true;
  if (errno != EINVAL && !is_absent(errno)) fail(errno, "cannot unmount '" + path + "'");
  return false;
}

bool is_mount_point(const std::string& path) {
  struct statx found {};
  if (::statx(AT_FDCWD, path.c_str(), AT_NO_AUTOMOUNT, STATX_TYPE, &found) != 0) {
    fail(errno, "cannot examine '" + path + "'");
  }
  return (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// Where pins are gathered so that one umount takes all of them. Not a name that a pin has.
std::string heap_of(const std::string& directory) { return directory + "/.going"; }

void drop_heap(const std::string& heap) {
  while (detach(heap)) {
  }
  if (::rmdir(heap.c_str()) != 0 && !is_absent(errno)) fail(errno, "cannot remove '" + heap + "'");
}

// Whatever does not work out here stays in its place.
void gather(const std::string& directory, const std::vector<std::string>& names) {
  const std::string heap = heap_of(directory);
  if (::mkdir(heap.c_str(), 0700) != 0) return;
  if (::mount("tmpfs", heap.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0) return;
  const auto below = [](std::string folder, const std::string& name) { return folder.append("/").append(name); };
  for (const auto& name : names) {
    const std::string place = below(heap, name);
    const UniqueFd file(::open(place.c_str(), O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0400));
    const std::string pin = below(directory, name);
    if (file) (void)::mount(pin.c_str(), place.c_str(), nullptr, MS_MOVE, nullptr);
  }
}

void remove_stale_pins(const std::string& directory) {
  namespace fs = std::filesystem;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const bool stale = entry.is_regular_file() && !entry.is_symlink() && entry.file_size() == 0;
    if (stale) fs::remove(entry.path());
  }
}

}  // namespace

void pin(const Namespace& target, const std::string& path) {
  // The mode is that of the empty file below; the mount on top has the namespace's own.
  const UniqueFd file(::open(path.c_str(), O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0444));
  if (!file) fail(errno, "cannot create '" + path + "' to pin a network namespace");

  const std::string source = "/proc/self/fd/" + std::to_string(target.fd());
  if (::mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    const int error = errno;
    ::unlink(path.c_str());  // nothing better to do if this fails too: unpin() removes the rest
    fail(error, "cannot mount a network namespace on '" + path + "'");
  }
}

bool unpin(const std::string& path) {
  bool found = false;
  while (detach(path)) found = true;
  if (::unlink(path.c_str()) == 0) return true;
  if (!is_absent(errno)) fail(errno, "cannot remove '" + path + "'");
  return found;
}

void unpin(const std::string& directory, const std::vector<std::string>& names) {
  const std::string heap = heap_of(directory);
  drop_heap(heap);
  if (names.size() > 1) {
    gather(directory, names);
    drop_heap(heap);
  }
  // Only now: as long as the files are there, whoever comes after an accident knows that there is something to finish.
  std::exception_ptr first_failure;
  for (const auto& name : names) {
    try {
      unpin(std::string(directory).append("/").append(name));
    } catch (...) {
      if (!first_failure) first_failure = std::current_exception();
    }
  }
  if (first_failure) std::rethrow_exception(first_failure);
}

bool is_pinned(const std::string& path) {
  struct statfs where {};
  if (::statfs(path.c_str(), &where) != 0) {
    if (is_absent(errno)) return false;
    fail(errno, "cannot examine '" + path + "'");
  }
  return where.f_type == NSFS_MAGIC;
}

void prepare_pin_directory(const std::string& directory) {
  std::filesystem::create_directories(directory);
  const char* path = directory.c_str();
  if (!is_mount_point(directory) && ::mount(path, path, nullptr, MS_BIND, nullptr) != 0) {
    fail(errno, "cannot make '" + directory + "' a mount point");
  }
  // Also on one that was there: a process may have died between the two calls.
  if (::mount(nullptr, path, nullptr, MS_PRIVATE, nullptr) != 0) {
    fail(errno, "cannot make the mount '" + directory + "' private");
  }
}

bool remove_pin_directory(const std::string& directory) {
  if (!std::filesystem::exists(directory)) return false;
  while (is_mount_point(directory) && detach(directory)) {
  }
  remove_stale_pins(directory);
  drop_heap(heap_of(directory));
  if (::rmdir(directory.c_str()) != 0) fail(errno, "cannot remove '" + directory + "'");
  return true;
}

}  // namespace netns
