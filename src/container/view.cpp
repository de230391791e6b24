// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/view.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/device_dir.h"
#include "src/container/mount_tree.h"

namespace mb::container {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kHarmless = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

struct Placed {
  MountTree tree;
  std::string target;
  bool is_directory = true;
  bool optional = false;  // where the host has no such file there is nothing to cover
};

bool exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

bool is_directory(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool is_link(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode);
}

// Slave, not private: what the host unmounts later is unmounted here too, so a container never keeps a disk busy.
void cut_propagation() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    throw system_failure("cannot cut the container's mounts off from the host's", errno);
  }
}

// Every mount namespace begins with copies of all pins; each would keep another container's network alive.
void drop_pins(const std::string& state_dir) {
  const std::string pins = state_dir + "/netns";
  if (::umount2(pins.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) {
    throw system_failure(fmt::format("cannot drop the mounts in '{}'", pins), errno);
  }
}

// Parents before what lies inside them, whatever the order on the command line.
std::vector<Placed> take_volumes(std::vector<Volume> volumes) {
  std::stable_sort(volumes.begin(), volumes.end(),
                   [](const Volume& a, const Volume& b) { return a.container_path < b.container_path; });
  std::vector<Placed> placed;
  for (const Volume& volume : volumes) {
    MountTree tree = MountTree::clone(volume.host_path);
    if (volume.read_only) tree.make_read_only();
    placed.push_back({std::move(tree), volume.container_path, is_directory(volume.host_path)});
  }
  return placed;
}

// A volume on the same path is what the user wants instead.
std::vector<Placed> take_own_files(const View& view) {
  std::vector<Placed> files;
  for (const char* name : {"hosts", "resolv.conf", "hostname"}) {
    const std::string source = fmt::format("{}/containers/{}/{}", view.state_dir, view.id, name);
    const std::string target = fmt::format("/etc/{}", name);
    const bool replaced = std::any_of(view.volumes.begin(), view.volumes.end(),
                                      [&](const Volume& volume) { return volume.container_path == target; });
    if (replaced || !exists(source)) continue;
    files.push_back({MountTree::clone(source), target, false, true});
  }
  return files;
}

void hide(const std::string& state_dir) {
  const auto empty =
      MountTree::create("tmpfs", {{"size", "4k"}, {"nr_inodes", "2"}, {"mode", "0555"}}, kHarmless | MOUNT_ATTR_RDONLY);
  empty.attach(state_dir);
}

MountTree make_proc() {
  try {
    return MountTree::create("proc", {}, kHarmless);
  } catch (const Error& error) {
    if (error.error_number() != EPERM) throw;
    // mount_too_revealing() in the kernel's fs/namespace.c.
    throw Error(ErrorKind::privilege, error.message(),
                "in a user namespace the kernel allows a new /proc only where the present one is fully visible: "
                "no part of it may be covered by other mounts",
                EPERM);
  }
}

// Best effort: where the kernel refuses a fresh /sys the container sees the old one, which tells about the host's links
// but changes nothing for it.
std::optional<MountTree> make_sys(bool privileged) {
  try {
    return MountTree::create("sysfs", {}, privileged ? kHarmless : kHarmless | MOUNT_ATTR_RDONLY);
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<MountTree> clone_if_present(const std::string& path) {
  if (!exists(path)) return std::nullopt;
  return MountTree::clone(path);
}

// A fresh sysfs has an empty /sys/fs/cgroup: programs that look there find what they found before.
void place_sys(const View& view, std::vector<Placed>& placed) {
  if (view.own_network) {
    std::optional<MountTree> cgroup = clone_if_present("/sys/fs/cgroup");
    if (std::optional<MountTree> sys = make_sys(view.privileged)) {
      placed.push_back({std::move(*sys), "/sys"});
      if (cgroup) placed.push_back({std::move(*cgroup), "/sys/fs/cgroup", true, true});
      return;
    }
  }
  if (!view.rootfs.empty()) placed.push_back({MountTree::clone("/sys"), "/sys"});
}

void place_proc(const View& view, std::vector<Placed>& placed) {
  if (view.own_processes) {
    placed.push_back({make_proc(), "/proc"});
  } else if (!view.rootfs.empty()) {
    placed.push_back({MountTree::clone("/proc"), "/proc"});
  }
}

// A new mount's parent must not be the old root itself, so the tree is first laid over its own path; then "." on "."
// puts the old root on top of the new one, from where it is detached (pivot_root(2), NOTES).
void pivot_into(const std::string& rootfs) {
  const auto fail = [&rootfs] { throw system_failure(fmt::format("cannot change the root to '{}'", rootfs), errno); };
  MountTree::clone(rootfs).attach(rootfs);
  if (::chdir(rootfs.c_str()) != 0) fail();
  if (::syscall(SYS_pivot_root, ".", ".") != 0) fail();
  if (::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0) fail();
}

// Follows what is there; a link that leads nowhere is replaced, since the file is to be covered anyway.
void create_mount_point(const std::string& path, bool as_directory) {
  std::error_code failed;
  if (as_directory) {
    fs::create_directories(path, failed);
  } else {
    fs::create_directories(fs::path(path).parent_path(), failed);
    if (is_link(path)) ::unlink(path.c_str());
    const netns::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (!file) failed = {errno, std::generic_category()};
  }
  if (failed) {
    throw system_failure(fmt::format("cannot create the mount point '{}' in the root file system", path),
                         failed.value());
  }
}

void attach(const Placed& placed, bool own_root) {
  if (!exists(placed.target)) {
    if (!own_root && placed.optional) return;
    if (!own_root) {
      throw Error(ErrorKind::failed, fmt::format("cannot mount on '{}': there is no such path", placed.target),
                  "the container sees the host's files, in which nothing is created; make it, or use --rootfs");
    }
    create_mount_point(placed.target, placed.is_directory);
  }
  placed.tree.attach(placed.target);
}

// The switches of the machine (docker's list): the container's root is the host's root to them.
void protect_proc() {
  for (const char* path : {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}) {
    if (!exists(path)) continue;
    const MountTree tree = MountTree::clone(path);
    tree.make_read_only();
    tree.attach(path);
  }
}

void append(std::vector<Placed>& all, std::vector<Placed> more) {
  std::move(more.begin(), more.end(), std::back_inserter(all));
}

}  // namespace

void enter_view(const View& view) {
  const bool own_root = !view.rootfs.empty();
  cut_propagation();
  drop_pins(view.state_dir);
  std::vector<Placed> own_files = take_own_files(view);
  append(own_files, take_volumes(view.from_state));
  hide(view.state_dir);

  std::vector<Placed> placed;
  place_proc(view, placed);
  place_sys(view, placed);
  std::vector<Placed> volumes = take_volumes(view.volumes);
  if (own_root) {
    const DeviceSources devices = take_devices();
    pivot_into(view.rootfs);
    for (const Placed& each : placed) attach(each, own_root);
    make_device_dir(devices);
  } else {
    for (const Placed& each : placed) attach(each, own_root);
  }
  append(volumes, std::move(own_files));
  for (const Placed& each : volumes) attach(each, own_root);
  if (view.own_processes && !view.privileged) protect_proc();
}

}  // namespace mb::container
