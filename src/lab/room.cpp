// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/room.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "netns/sysctl.h"
#include "src/base/error.h"
#include "src/base/text.h"
#include "src/container/mount_tree.h"

namespace mb::lab {
namespace {

namespace fs = std::filesystem;
using container::MountTree;

constexpr std::uint64_t kHarmless = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw system_failure(fmt::format("cannot write '{}' in the lab", path), errno);
}

void link_to(const std::string& target, const std::string& path) {
  if (::symlink(target.c_str(), path.c_str()) != 0) {
    throw system_failure(fmt::format("cannot make the link '{}' in the lab", path), errno);
  }
}

void make_directory(const std::string& path) {
  std::error_code failed;
  fs::create_directories(path, failed);
  if (failed) throw system_failure(fmt::format("cannot make '{}' in the lab", path), failed.value());
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

void make_run_directory() {
  if (::mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0) {
    throw system_failure("cannot mount a tmpfs on '/run' of the lab", errno);
  }
  make_directory("/run/lock");
  make_directory("/run/netns");
}

// The programs of the machine are found by the machine's own names; `iptables` alone depends on how it is set up there.
std::string find_program(const std::string& name) {
  for (const char* directory : {"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin"}) {
    std::string path = fmt::format("{}/{}", directory, name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

void make_programs(const std::string& program) {
  const std::string bin = fmt::format("{}/bin", kLabDir);
  make_directory(bin);
  link_to(program, bin + "/minibridge");
  for (const std::string family : {"iptables", "ip6tables"}) {
    for (const std::string suffix : {"", "-save", "-restore"}) {
      const std::string legacy = find_program(fmt::format("{}-legacy{}", family, suffix));
      if (!legacy.empty()) link_to(legacy, fmt::format("{}/{}{}", bin, family, suffix));
    }
  }
}

// The present /run is covered, so what a link into it meant has to be made anew.
void make_reachable(const std::string& path) {
  if (exists(path)) return;
  std::error_code failed;
  const fs::path target = fs::weakly_canonical(path, failed);
  if (failed || target.string().rfind("/run/", 0) != 0) return;
  make_directory(target.parent_path());
  write_text(target, "");
}

// Over a file of the machine; where there is none, there is nothing to cover.
void cover(const std::string& source, const std::string& path) {
  make_reachable(path);
  if (!exists(path)) return;
  if (::mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    throw system_failure(fmt::format("cannot mount '{}' on '{}' in the lab", source, path), errno);
  }
}

void enter_own_proc() {
  try {
    MountTree::create("proc", {}, kHarmless).attach("/proc");
  } catch (const Error& error) {
    if (error.error_number() != EPERM) throw;
    // mount_too_revealing() in the kernel's fs/namespace.c.
    throw Error(ErrorKind::privilege, "cannot make a /proc for the lab: Operation not permitted (EPERM)",
                "in a user namespace the kernel allows a new /proc only where the present one is fully visible: "
                "no part of it may be covered by other mounts",
                EPERM);
  }
}

// The machine's own switches: the root of a lab that root started is the machine's root to them.
void protect_machine() {
  const MountTree network = MountTree::clone("/proc/sys/net");
  for (const char* path : {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"}) {
    if (!exists(path)) continue;
    const MountTree tree = MountTree::clone(path);
    tree.make_read_only();
    tree.attach(path);
  }
  network.attach("/proc/sys/net");
}

// Best effort: without it programs see the machine's links in /sys/class/net.
void enter_own_sys() {
  try {
    const MountTree sys = MountTree::create("sysfs", {}, kHarmless);
    std::optional<MountTree> cgroups;
    if (exists("/sys/fs/cgroup")) cgroups = MountTree::clone("/sys/fs/cgroup");
    sys.attach("/sys");
    if (cgroups) cgroups->attach("/sys/fs/cgroup");
  } catch (const Error&) {
    return;
  }
}

void enter_node_room(const Node& node, const std::string& hosts) {
  const MountTree common = MountTree::clone(kLabDir);
  make_run_directory();
  make_directory(kLabDir);
  common.attach(kLabDir);
  write_text("/run/hostname", node.name.str() + "\n");
  write_text("/run/hosts", hosts);
  cover("/run/hosts", "/etc/hosts");
  cover(fmt::format("{}/resolv.conf", kLabDir), "/etc/resolv.conf");
  cover("/run/hostname", "/etc/hostname");
  enter_own_sys();
  if (::sethostname(node.name.str().data(), node.name.str().size()) != 0) {
    throw system_failure(fmt::format("cannot set the host name '{}'", node.name.str()), errno);
  }
}

// Where the machine has br_netfilter, a new namespace shows every bridged frame to iptables. A node begins as on a machine
// that has it not.
void keep_bridges_from_iptables() {
  for (const char* key : {"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"}) {
    if (exists(netns::sysctl_path(key))) write_own_sysctl(key, "0");
  }
}

// A new namespace takes its IPv4 settings from the machine (net.core.devconf_inherit_init_net), which may be a router. A
// node begins as the kernel's own defaults have it. While the lab is built, links give themselves no IPv6 address: their
// duplicate address detection would take a second.
void set_network_defaults() {
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, const char*>>{{"net.ipv4.ip_forward", "0"},
                                                                  {"net.ipv4.conf.all.rp_filter", "0"},
                                                                  {"net.ipv4.conf.default.rp_filter", "0"},
                                                                  {"net.ipv4.conf.all.route_localnet", "0"},
                                                                  {"net.ipv6.conf.default.addr_gen_mode", "1"}}) {
    write_own_sysctl(key, value);
  }
}

netns::UniqueFd open_own(const char* kind) {
  const std::string path = fmt::format("/proc/thread-self/ns/{}", kind);
  netns::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw system_failure(fmt::format("cannot open '{}'", path), errno);
  return fd;
}

}  // namespace

std::string search_path() {
  return fmt::format("{}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", kLabDir);
}

std::string door_path(const std::string& node, const std::string& kind) {
  return fmt::format("{}/nodes/{}/{}", kLabDir, node, kind);
}

void enter_common_room(const std::string& program) {
  // Before the first mount, or it would show on the machine.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    throw system_failure("cannot make the lab's mounts private", errno);
  }
  make_run_directory();
  make_directory(fmt::format("{}/nodes", kLabDir));
  make_directory(fmt::format("{}/log", kLabDir));
  make_programs(program);
  write_text(fmt::format("{}/resolv.conf", kLabDir), "# a lab has no name server; its nodes are in /etc/hosts\n");
  write_text(fmt::format("{}/bashrc", kLabDir),
             "PS1='\\[\\e[1m\\]'\"$MINIBRIDGE_NODE\"'\\[\\e[0m\\] ('\"$MINIBRIDGE_LAB\"') \\w # '\n");
  enter_own_proc();
  protect_machine();
}

Rooms make_rooms(const Topology& topology, const Node& node) {
  netns::UniqueFd mounts;
  netns::UniqueFd uts;
  std::optional<kernel::Socket> route;
  auto network = netns::Namespace::create([&] {
    if (::unshare(CLONE_NEWNS | CLONE_NEWUTS) != 0) {
      throw system_failure(fmt::format("cannot make the namespaces of node '{}'", node.name.str()), errno);
    }
    enter_node_room(node, hosts_file(topology, node.name));
    set_network_defaults();
    keep_bridges_from_iptables();
    mounts = open_own("mnt");
    uts = open_own("uts");
    route.emplace(NETLINK_ROUTE);
  });
  return {std::move(network), std::move(*route), std::move(mounts), std::move(uts)};
}

void write_own_sysctl(const std::string& key, const std::string& value) {
  const std::string path = netns::sysctl_path(key);
  const netns::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file && ::write(file.get(), value.data(), value.size()) >= 0) return;
  if (errno == ENOENT && key.starts_with("net.ipv6.")) return;  // a kernel without IPv6
  throw system_failure(fmt::format("cannot set '{}' to '{}'", key, value), errno);
}

void open_doors(const std::string& node, const Rooms& rooms) {
  make_directory(fmt::format("{}/nodes/{}", kLabDir, node));
  const auto link = [](const std::string& path, int fd) { link_to(fmt::format("/proc/1/fd/{}", fd), path); };
  link(door_path(node, "net"), rooms.network.fd());
  link(door_path(node, "mnt"), rooms.mounts.get());
  link(door_path(node, "uts"), rooms.uts.get());
  link(fmt::format("/run/netns/{}", node), rooms.network.fd());
}

}  // namespace mb::lab
