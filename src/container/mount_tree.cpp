// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/mount_tree.h"

#include <fcntl.h>

#include <cerrno>

#include <fmt/format.h>

#include "src/base/error.h"

namespace mb::container {

MountTree MountTree::clone(const std::string& path) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | static_cast<unsigned>(AT_RECURSIVE);
  netns::UniqueFd fd(::open_tree(AT_FDCWD, path.c_str(), flags));
  if (!fd) throw system_failure(fmt::format("cannot take '{}' into the container", path), errno);
  return {std::move(fd), "'" + path + "'"};
}

MountTree MountTree::create(const std::string& type, const Options& options, std::uint64_t attributes) {
  const auto fail = [&type] { throw system_failure(fmt::format("cannot make a {} for the container", type), errno); };
  const netns::UniqueFd context(::fsopen(type.c_str(), FSOPEN_CLOEXEC));
  if (!context) fail();
  const auto set = [&](const char* key, const std::string& value) {
    if (::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) != 0) fail();
  };
  set("source", type);  // what /proc/mounts shows as the device
  for (const auto& [key, value] : options) set(key.c_str(), value);
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) fail();
  netns::UniqueFd fd(::fsmount(context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  if (!fd) fail();
  return {std::move(fd), "a " + type};
}

void MountTree::make_read_only() const {
  mount_attr change{};
  change.attr_set = MOUNT_ATTR_RDONLY;
  if (::mount_setattr(fd_.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &change, sizeof change) != 0) {
    throw system_failure(fmt::format("cannot make {} read-only in the container", what_), errno);
  }
}

void MountTree::attach(const std::string& target) const {
  const unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS;
  if (::move_mount(fd_.get(), "", AT_FDCWD, target.c_str(), flags) != 0) {
    throw system_failure(fmt::format("cannot mount {} on '{}' in the container", what_, target), errno);
  }
}

}  // namespace mb::container
