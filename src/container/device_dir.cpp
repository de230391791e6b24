// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/device_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "src/base/error.h"

namespace mb::container {
namespace {

constexpr std::uint64_t kNoPrograms = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;

// Group 5 is "tty" nearly everywhere; with a single id mapped the kernel knows no group 5 and refuses.
MountTree make_terminals() {
  const MountTree::Options plain{{"ptmxmode", "0666"}, {"mode", "0620"}};
  MountTree::Options with_group = plain;
  with_group.emplace_back("gid", "5");
  try {
    return MountTree::create("devpts", with_group, kNoPrograms);
  } catch (const Error&) {
    return MountTree::create("devpts", plain, kNoPrograms);
  }
}

void make_directory(const char* path) {
  if (::mkdir(path, 0755) != 0 && errno != EEXIST) throw system_failure(fmt::format("cannot create '{}'", path), errno);
}

void make_link(const char* target, const char* path) {
  if (::symlink(target, path) != 0) throw system_failure(fmt::format("cannot create '{}'", path), errno);
}

void make_file(const std::string& path) {
  const netns::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!file) throw system_failure(fmt::format("cannot create '{}'", path), errno);
}

}  // namespace

DeviceSources take_devices() {
  std::vector<Device> devices;
  for (const char* name : {"null", "zero", "full", "random", "urandom", "tty"}) {
    devices.push_back({name, MountTree::clone(fmt::format("/dev/{}", name))});
  }
  return {std::move(devices), MountTree::create("tmpfs", {{"mode", "0755"}, {"size", "64k"}}, kNoPrograms),
          make_terminals(),
          MountTree::create("tmpfs", {{"mode", "1777"}, {"size", "64m"}}, kNoPrograms | MOUNT_ATTR_NODEV)};
}

void make_device_dir(const DeviceSources& sources) {
  make_directory("/dev");
  sources.dev.attach("/dev");
  for (const Device& device : sources.devices) {
    const std::string path = "/dev/" + device.name;
    make_file(path);
    device.tree.attach(path);
  }
  make_directory("/dev/pts");
  sources.terminals.attach("/dev/pts");
  make_directory("/dev/shm");
  sources.shared_memory.attach("/dev/shm");
  make_link("pts/ptmx", "/dev/ptmx");
  make_link("/proc/self/fd", "/dev/fd");
  make_link("/proc/self/fd/0", "/dev/stdin");
  make_link("/proc/self/fd/1", "/dev/stdout");
  make_link("/proc/self/fd/2", "/dev/stderr");
}

}  // namespace mb::container
