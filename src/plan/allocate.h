// SPDX-License-Identifier: GPL-2.0-or-later
//
// Choosing addresses, subnets and ports: pure functions of what is asked for, what is taken and what the host looks like.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "src/model/facts.h"
#include "src/model/objects.h"
#include "src/model/state_view.h"

namespace mb::plan {

// Why an address can never be given to a container of the pool; empty if it can ("it is the gateway's").
std::string_view unusable(const AddressPool& pool, const IpAddress& address);

struct Allocation {
  IpAddress address;
  bool rested = false;  // somebody had it before
};

// A free address: the next one never given out, and when all have been, the least recently released one, so that an address
// rests as long as possible before it means another container. Throws Error(conflict) when there is none.
Allocation allocate_address(const Network& network, Family family, const StateView& state);

// Throws Error: usage if it cannot be a container's address in this network, conflict if it is taken.
void check_fixed_address(const Network& network, const IpAddress& address, const StateView& state);

// The first subnet of the pools (172.17.0.0/16 … 172.31.0.0/16, then 192.168.0.0/16 in /20) that overlaps neither a
// network nor a route of the host, not even one through a gateway (a VPN). Throws Error(conflict) when all are taken.
Subnet allocate_subnet(const std::vector<Network>& networks, const std::vector<Route>& routes);

// The first /64 of the machine's unique local /48 that overlaps neither a network nor a route. Throws Error(conflict).
Subnet allocate_subnet6(const Subnet& unique_local, const std::vector<Network>& networks,
                        const std::vector<Route>& routes);

// fdXX:XXXX:XXXX::/48 (RFC 4193), always the same one for the same machine: `machine` is text that names it.
Subnet unique_local_of(std::string_view machine);

// Throws Error(conflict) naming the network or route that the subnet overlaps.
void check_subnet(const Subnet& subnet, const std::vector<Network>& networks, const std::vector<Route>& routes);

// Settles the host ports of a specification: the same numbers in each of the families. Throws Error(conflict) naming the holder of a port that is taken:
// a container (`own` are the container's other ports) or a process of the host.
std::vector<PublishedPort> settle_port(const PublishSpec& spec, const std::vector<Family>& families,
                                       const std::vector<PublishedPort>& own, const StateView& state,
                                       const HostFacts& facts, std::uint64_t draw);

}  // namespace mb::plan
