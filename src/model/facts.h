// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the host looks like outside of what minibridge owns, as far as a decision depends on it. Gathered before a
// plan is made, so that planning itself asks nobody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/model/address.h"
#include "src/model/names.h"
#include "src/model/port.h"

namespace mb {

// A port of the host that a process holds.
struct Listener {
  Protocol protocol = Protocol::tcp;
  IpAddress address;  // any() = all
  std::uint16_t port = 0;
  std::uint64_t inode = 0;
};

struct Route {
  Subnet destination;     // a default route (prefix 0) is not listed
  std::string interface;  // its name, empty if there is none
};

// A link of the host that has the name of a bridge that is wanted, or that is one of somebody else which a network uses.
struct FoundLink {
  bool is_bridge = false;
  bool up = false;
  std::uint32_t group = 0;
  std::uint32_t mtu = 0;
  std::vector<InterfaceAddress> addresses;
  std::size_t foreign_ports = 0;  // of the bridge: those that are not minibridge's
};

struct HostFacts {
  std::vector<Route> routes;
  std::vector<IpAddress> local_addresses;
  std::map<InterfaceName, FoundLink> links;  // whose name a new network asks for, or whose network gets an endpoint
  std::vector<Listener> listeners;
  PortRange ephemeral_ports{32768, 60999};
  Subnet unique_local;           // the /48 of this machine that IPv6 subnets are taken from
  std::string ipv6_obstacle;     // why this host can have no IPv6; empty: it can
  std::uint32_t uplink_mtu = 0;  // of the interface with the default route; 0: there is none
  // "nginx (pid 812)" or nothing; asked only for the error message.
  std::function<std::optional<std::string>(const Listener&)> holder_of;
};

}  // namespace mb
