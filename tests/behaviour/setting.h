// SPDX-License-Identifier: GPL-2.0-or-later
//
// The world in which the behaviour table is tried, made by the program as a user would make it.
//
//     outside 198.51.100.9 ---- up0 .1 host ---- n1          172.18.0.0/16  c1 .2 (published), c2 .3, rogue .4
//     wire    198.51.101.9 ---- up1 .1      ---- n2          172.19.0.0/16  c3 .2 (published)
//                                           ---- inner       172.20.0.0/16  i1 .2, i2 .3, stray .4: internal
//                                           ---- routed      172.21.0.0/16  r1 .2 (published)
//                                           ---- unprotected 172.22.0.0/16  u1 .2
//                                           ---- quiet       172.23.0.0/16  q1 .2 (published), q2 .3: icc=false
//                                           ---- open        172.24.0.0/16  o1 .2: no masquerading
//                                           ---- chosen      172.25.0.0/16  k1 .2: its own source address outside
//
// IPv6 in the same world: 2001:db8:100::/64 and 2001:db8:101::/64 outside, fd00:18::/64 … inside, the same last numbers.
//
// outside has routes to all containers. wire and rogue are adversaries: they route 127.0.0.0/8 to the host. stray has given
// itself a default route out of an internal network.
#pragma once

#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/model/address.h"
#include "src/model/port.h"
#include "tests/support/program.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {

/// What the host's administrator may have chosen, and what must make no difference.
struct Circumstances {
  bool bridge_nf = false;         // bridged frames pass iptables (br_netfilter)
  std::string policy = "ACCEPT";  // of FORWARD
};

std::ostream& operator<<(std::ostream& stream, const Circumstances& circumstances);

/// All that this kernel can have: four, or two without br_netfilter. The last are the usual ones.
std::vector<Circumstances> all_circumstances();

/// A destination: "c1:80", "host:8080", "gateway n1:7000", "loopback:8081".
struct Target {
  std::string place;
  std::uint16_t port = 0;

  static Target parse(const std::string& text);
};

class Setting {
 public:
  /// The kernel must have br_netfilter if the circumstances ask for it; see kernel_has_bridge_nf().
  /// `networks`: only these of them; empty means all.
  explicit Setting(const Circumstances& circumstances, const std::vector<std::string>& networks = {});

  [[nodiscard]] static bool kernel_has_bridge_nf();
  /// As an administrator would while all goes on.
  static void become(const Circumstances& circumstances);
  /// The switch for all bridges of the host.
  static void filter_bridged_frames(Family family, bool on);

  [[nodiscard]] const netns::Namespace& at(const std::string& place) const;
  /// The interface by which a place is reached.
  [[nodiscard]] static std::string interface_of(const std::string& place);
  /// The bridge of a network.
  [[nodiscard]] std::string bridge_of(const std::string& network) const;
  /// Also of "gateway NETWORK", "loopback" and "link-local" (the host's, as outside has to write it).
  [[nodiscard]] std::string address(const std::string& place, Family family) const;
  /// Back from an address to a place; the address itself when it is nobody's.
  [[nodiscard]] std::string name_of(const std::string& address) const;

  /// Who spoke to the server at this target so far ("198.51.100.9:43210"); empty if there is no server.
  [[nodiscard]] std::vector<std::string> heard_at(const Target& target, Family family, Protocol protocol) const;

  /// The host closes its INPUT chain as ufw does: policy DROP; answers, loopback and ICMP pass. And opens it again.
  static void close_input();
  static void open_input();

  /// The host (snapshot_host) before minibridge did anything: with rules of others and their counters.
  [[nodiscard]] const std::string& host_before() const { return host_before_; }

 private:
  // A network, the second number of its subnets, its options, and its containers from address .2 on.
  struct NetworkPlan {
    std::string name;
    int number;
    std::string options;
    std::vector<std::string> containers;
  };
  static const std::vector<NetworkPlan>& all_networks();

  struct Listening {
    std::string place;
    std::uint16_t port;
    Family family;
    Protocol protocol;
    Server server;
  };

  void name_addresses();
  void prepare_outside();
  void make_networks() const;
  void make_containers();
  void turn_adversaries();
  void listen();
  void serve(const std::string& place, std::uint16_t port);

  std::vector<NetworkPlan> networks_;
  World world_;
  netns::Namespace wire_;
  Program program_;
  std::map<std::string, netns::Namespace> containers_;
  std::map<std::string, std::map<Family, std::string>> addresses_;
  std::vector<Listening> servers_;
  std::string host_before_;
};

}  // namespace mb::test
