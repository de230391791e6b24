// SPDX-License-Identifier: GPL-2.0-or-later
//
// A small world for tests against the real kernel: a host with a neighbour outside.
//
//     host  (the namespace of the test's thread)        outside
//       up0 198.51.100.1/24  ------------------------   up0 198.51.100.9/24
//                                                       172.16.0.0/12 via 198.51.100.1
//
// The test process has left the real machine before the first test (integration_main.cpp); each
// World is a fresh host on top of that, so one test's rules and links are gone for the next.
// Commands (ip, iptables-legacy, nft) prepare worlds and look at results: tests may, we do not.
#pragma once

#include <string>

#include "netns/netns.h"
#include "src/model/address.h"
#include "tests/support/snapshot.h"
#include "tests/support/traffic.h"

namespace mb::test {

/// Leaves the real machine (netns::enter_own_world), brings lo up, gives the iptables tools a lock
/// file in the private /run and finds the administrator's tools for users who lack them in PATH.
/// With MB_TEST_USER_NAMESPACE in the environment root gets a user namespace too, as everybody else does.
void enter_test_machine();

/// Runs a shell command line in a namespace (or in the present one) and returns how it went.
netns::Finished sh(const netns::Namespace& target, const std::string& command);
netns::Finished sh(const std::string& command);

/// The same for steps that must work: returns its standard output, throws with all of it if not.
std::string must(const netns::Namespace& target, const std::string& command);
std::string must(const std::string& command);

/// The command for the tables of a family.
std::string iptables_of(Family family);

/// Brings up lo of the present namespace.
void bring_loopback_up();

class World {
 public:
  /// Moves the calling thread (the test's main thread) onto a fresh host.
  World();
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  [[nodiscard]] const netns::Namespace& host() const { return host_; }
  [[nodiscard]] const netns::Namespace& outside() const { return outside_; }

  /// outside: default route through the host.
  void route_everything_through_host() const;

  /// A further namespace joined to the host by a veth pair named `name` on both sides.
  /// Addresses in CIDR form; lo is up.
  [[nodiscard]] static netns::Namespace add_neighbour(const std::string& name, const std::string& host_address,
                                                      const std::string& its_address);
  /// IPv6 besides on such a pair: PREFIX::1/64 for the host, PREFIX::9/64 for the neighbour, and its route to fd00::/8.
  static void add_ipv6(const netns::Namespace& neighbour, const std::string& name, const std::string& prefix);
  /// The same for outside: 2001:db8:100::1 and 2001:db8:100::9.
  void add_ipv6() const { add_ipv6(outside_, "up0", "2001:db8:100"); }

 private:
  netns::Namespace before_;
  netns::Namespace host_;
  netns::Namespace outside_;
};

}  // namespace mb::test
