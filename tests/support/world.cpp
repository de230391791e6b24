// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/world.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace mb::test {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

netns::Namespace move_to_fresh_host() {
  if (::unshare(CLONE_NEWNET) != 0) fail("cannot create the test's host");
  bring_loopback_up();
  return netns::Namespace::current();
}

std::string checked(const std::string& command, const netns::Finished& finished) {
  if (finished.status == 0) return finished.out;
  throw std::runtime_error("'" + command + "' ended with " + std::to_string(finished.status) + ":\n" + finished.out +
                           finished.err);
}

}  // namespace

void enter_test_machine() {
  const bool separated = std::getenv("MB_TEST_USER_NAMESPACE") != nullptr;
  netns::enter_own_world(separated ? netns::Privilege::kAlwaysSeparated : netns::Privilege::kUseWhatWeHave);
  bring_loopback_up();
  ::setenv("XTABLES_LOCKFILE", "/run/xtables.lock", 1);
  const char* path = std::getenv("PATH");
  const std::string present = path != nullptr ? std::string(path) + ":" : std::string();
  ::setenv("PATH", (present + "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin").c_str(), 1);
}

netns::Finished sh(const netns::Namespace& target, const std::string& command) {
  return netns::run({"/bin/sh", "-c", command}, target);
}

netns::Finished sh(const std::string& command) { return netns::run({"/bin/sh", "-c", command}); }

std::string must(const netns::Namespace& target, const std::string& command) {
  return checked(command, sh(target, command));
}

std::string must(const std::string& command) { return checked(command, sh(command)); }

std::string iptables_of(Family family) { return family == Family::v4 ? "iptables-legacy" : "ip6tables-legacy"; }

void bring_loopback_up() {
  const netns::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) fail("cannot open a socket");
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) fail("cannot bring 'lo' up");
}

World::World()
    : before_(netns::Namespace::current()),
      host_(move_to_fresh_host()),
      outside_(add_neighbour("up0", "198.51.100.1/24", "198.51.100.9/24")) {
  must(outside_, "ip route add 172.16.0.0/12 via 198.51.100.1");
}

World::~World() { ::setns(before_.fd(), CLONE_NEWNET); }

void World::route_everything_through_host() const { must(outside_, "ip route add default via 198.51.100.1"); }

netns::Namespace World::add_neighbour(const std::string& name, const std::string& host_address,
                                      const std::string& its_address) {
  netns::Namespace neighbour = netns::Namespace::create();
  // A name with a slash is a path to ip(8). No duplicate address detection: it sends packets of
  // its own and keeps addresses tentative for a second.
  const std::string path = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(neighbour.fd());
  const auto end = [&](const std::string& address) {
    return "echo 0 > /proc/sys/net/ipv6/conf/" + name + "/accept_dad && ip address add " + address + " dev " + name +
           " && ip link set " + name + " up";
  };
  must("ip link add " + name + " type veth peer name " + name + " netns " + path + " && " + end(host_address));
  must(neighbour, "ip link set lo up && " + end(its_address));
  // Asking for a link makes the kernel settle its state; before that the first packet that
  // resolves an address may be lost, and the second comes a second later.
  must("ip link show " + name);
  must(neighbour, "ip link show " + name);
  return neighbour;
}

void World::add_ipv6(const netns::Namespace& neighbour, const std::string& name, const std::string& prefix) {
  // Even without duplicate address detection the kernel takes an address into use a while later, in a worker of its own.
  const auto add = [&](const std::string& address) {
    return "ip address add " + address + "/64 dev " + name + " nodad && until ip -6 route show table local dev " +
           name + " | grep -q '" + address + " '; do :; done";
  };
  must(add(prefix + "::1"));
  must(neighbour, add(prefix + "::9") + " && ip route add fd00::/8 via " + prefix + "::1");
}

}  // namespace mb::test
