// SPDX-License-Identifier: GPL-2.0-or-later
#include "netns/own_world.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "netns/failure.h"
#include "netns/unique_fd.h"

namespace netns {
namespace {

constexpr int kNetworkAndMounts = CLONE_NEWNET | CLONE_NEWNS;

void write_file(const std::string& path, const std::string& text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), text.data(), text.size()) < 0) {
    fail(errno, "cannot write '" + text + "' to '" + path + "'");
  }
}

void enter_as_mapped_root() {
  // Asked before: afterwards both are the overflow id until the maps are written.
  const std::string uid = std::to_string(::geteuid());
  const std::string gid = std::to_string(::getegid());
  if (::unshare(CLONE_NEWUSER | kNetworkAndMounts) != 0) {
    fail(errno, "cannot create user, network and mount namespaces");
  }
  // An unprivileged process may map its group only after giving up setgroups(2): otherwise it
  // could drop a group that files deny access to (user_namespaces(7)).
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", "0 " + uid + " 1");
  write_file("/proc/self/gid_map", "0 " + gid + " 1");
}

void enter(Privilege privilege) {
  // Trying says more than the user id: root may have lost CAP_SYS_ADMIN, others may have it.
  if (privilege == Privilege::kUseWhatWeHave) {
    if (::unshare(kNetworkAndMounts) == 0) return;
    if (errno != EPERM) fail(errno, "cannot create network and mount namespaces");
  }
  enter_as_mapped_root();
}

}  // namespace

void enter_own_world(Privilege privilege) {
  enter(privilege);
  // Before the first mount, or it would show on the real machine.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    fail(errno, "cannot make the mounts private");
  }
  if (::mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0) {
    fail(errno, "cannot mount a tmpfs on '/run'");
  }
}

}  // namespace netns
