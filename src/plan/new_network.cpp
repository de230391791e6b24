// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/new_network.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/model/kernel_state.h"
#include "src/plan/allocate.h"
#include "src/plan/names.h"

namespace mb::plan {
namespace {

void check_bridge_is_free(const InterfaceName& bridge, const Draft& draft) {
  for (const auto& other : draft.networks()) {
    if (other.bridge != bridge) continue;
    throw Error(ErrorKind::conflict, fmt::format("bridge '{}' belongs to network '{}'", bridge.str(), other.name.str()),
                "choose another --bridge-name");
  }
}

// The reason why packets keep the source address of their container; empty if they do not.
std::string_view keeps_source(const change::AddNetwork& wanted) {
  if (wanted.internal) return "from an internal network none leaves";
  if (wanted.mode == NetworkMode::routed) return "in this mode containers are known outside by their own addresses";
  if (!wanted.masquerade) return "with --masquerade=false they keep their own source address";
  return {};
}

// The address that packets to the outside are to carry must be one of ours, or no answer comes back.
void check_source_address(const change::AddNetwork& wanted, const HostFacts& facts) {
  if (!wanted.snat_to) return;
  const std::string attempt = fmt::format("packets cannot leave under {}", wanted.snat_to->str());
  if (const auto reason = keeps_source(wanted); !reason.empty()) {
    throw Error(ErrorKind::usage, fmt::format("{}: {}", attempt, reason), "leave --snat-to out");
  }
  if (wanted.snat_to->family() == Family::v6 && !wanted.v6) {
    throw Error(ErrorKind::usage, fmt::format("{}: the network has no IPv6", attempt), "add --ipv6");
  }
  if (wanted.snat_to->is_loopback() || wanted.snat_to->is_link_local()) {
    throw Error(ErrorKind::usage, fmt::format("{}: nobody outside could answer it", attempt),
                "name an address of this host that is known outside");
  }
  const auto& own = facts.local_addresses;
  if (std::find(own.begin(), own.end(), *wanted.snat_to) == own.end()) {
    throw Error(ErrorKind::usage, fmt::format("{}: the host has no such address", attempt),
                "name an address that 'ip address' shows");
  }
}

void check_ipv6(const change::AddNetwork& wanted, const HostFacts& facts) {
  if (!wanted.v6 || facts.ipv6_obstacle.empty()) return;
  throw Error(ErrorKind::failed,
              fmt::format("network '{}' cannot have IPv6: {}", wanted.name.str(), facts.ipv6_obstacle),
              "switch IPv6 on for this host, or leave out --ipv6");
}

// With less the kernel takes IPv6 off a link (RFC 8200; IPV6_MIN_MTU in the kernel's include/linux/ipv6.h).
void check_mtu(const Network& network, bool asked_for) {
  constexpr std::uint32_t kLeast = 1280;
  if (network.pool(Family::v6) == nullptr || network.mtu == 0 || network.mtu >= kLeast) return;
  throw Error(ErrorKind::usage,
              fmt::format("network '{}' cannot have IPv6 with an MTU of {}{}: IPv6 needs {}", network.name.str(),
                          network.mtu, asked_for ? "" : ", that of the uplink", kLeast),
              fmt::format("give it an --mtu of {} or more, or leave out --ipv6", kLeast));
}

void check_mode(const change::AddNetwork& wanted) {
  if (wanted.internal && wanted.mode != NetworkMode::nat) {
    throw Error(ErrorKind::usage,
                fmt::format("an internal network cannot be {}: nothing passes its border", to_string(wanted.mode)),
                "leave out --internal or --mode");
  }
}

// "This" network, loopback, and all from multicast upwards (RFC 6890); for IPv6 what is not unicast, and fe80::/10,
// which every link has for itself.
bool means_something_else(const Subnet& subnet) {
  static constexpr const char* kSpecial[] = {"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3",
                                             "::/8",      "fe80::/10",   "ff00::/8"};
  return std::any_of(std::begin(kSpecial), std::end(kSpecial),
                     [&](const char* special) { return subnet.overlaps(Subnet::parse(special)); });
}

void check_usable_subnet(const Subnet& subnet) {
  const int longest = address_bits(subnet.family()) - 2;
  if (subnet.prefix() > longest) {
    throw Error(ErrorKind::usage, fmt::format("the subnet {} has no room for a gateway and a container", subnet.str()),
                fmt::format("use a prefix length of {} or less", longest));
  }
  if (means_something_else(subnet)) {
    throw Error(ErrorKind::usage, fmt::format("the subnet {} cannot be used for containers", subnet.str()),
                subnet.family() == Family::v4 ? "choose one of the private ranges, for example 10.20.0.0/24"
                                              : "choose a unique local one, for example fd12:3456:789a:1::/64");
  }
}

const Subnet& range_of(const AddressPool& pool) { return pool.range ? *pool.range : pool.subnet; }

// The first address from `candidate` on that a container could have; none if there is none up to `last`.
std::optional<IpAddress> first_usable(const AddressPool& pool, IpAddress candidate, const IpAddress& last) {
  while (!unusable(pool, candidate).empty()) {
    if (candidate == last) return std::nullopt;
    candidate = candidate.plus(1);
  }
  return candidate;
}

[[noreturn]] void refuse_as_full(const Subnet& addresses, std::string_view whom) {
  throw Error(ErrorKind::usage, fmt::format("no address of {} is left for {}", addresses.str(), whom),
              "take a larger --subnet or --ip-range, or reserve fewer addresses");
}

// docker's choice: the first address of the range, or else of the subnet, that is not reserved.
IpAddress first_gateway(const AddressPool& pool) {
  if (const auto found = first_usable(pool, range_of(pool).base(), pool.subnet.last())) return *found;
  refuse_as_full(range_of(pool), "the gateway");
}

void check_leaves_room(const AddressPool& pool) {
  const auto& range = range_of(pool);
  if (!first_usable(pool, range.base(), range.last())) refuse_as_full(range, "a container");
}

Subnet choose_subnet(Family family, const change::PoolRequest& wanted, const Draft& draft, const HostFacts& facts) {
  if (wanted.subnet) {
    check_usable_subnet(*wanted.subnet);
    check_subnet(*wanted.subnet, draft.networks(), facts.routes);
    return *wanted.subnet;
  }
  if (wanted.gateway || wanted.range) {
    throw Error(ErrorKind::usage, "a gateway or a range needs the subnet that it lies in", "add --subnet");
  }
  return family == Family::v4 ? allocate_subnet(draft.networks(), facts.routes)
                              : allocate_subnet6(facts.unique_local, draft.networks(), facts.routes);
}

void check_gateway(const AddressPool& pool) {
  const bool known = pool.subnet.contains(pool.gateway);
  AddressPool without_gateway = pool;
  without_gateway.gateway = IpAddress::any(pool.subnet.family());
  const auto reason = known ? unusable(without_gateway, pool.gateway) : "it is outside the subnet";
  if (reason.empty()) return;
  throw Error(ErrorKind::usage,
              fmt::format("{} cannot be the gateway of {}: {}", pool.gateway.str(), pool.subnet.str(), reason));
}

AddressPool make_pool(Family family, const change::PoolRequest& wanted, const Draft& draft, const HostFacts& facts) {
  AddressPool pool;
  pool.subnet = choose_subnet(family, wanted, draft, facts);
  pool.reserved = wanted.reserved;
  pool.range = wanted.range;
  if (pool.range && !pool.subnet.contains(*pool.range)) {
    throw Error(ErrorKind::usage,
                fmt::format("the range {} is not inside the subnet {}", pool.range->str(), pool.subnet.str()));
  }
  pool.gateway = wanted.gateway ? *wanted.gateway : first_gateway(pool);
  check_gateway(pool);
  for (const auto& address : pool.reserved) {
    if (pool.subnet.contains(address)) continue;
    throw Error(ErrorKind::usage,
                fmt::format("the reserved address {} is outside the subnet {}", address.str(), pool.subnet.str()));
  }
  check_leaves_room(pool);
  return pool;
}

// The bridge of somebody else that is to be used; none: one is to be made.
const FoundLink* find_adoptable(const change::AddNetwork& wanted, const HostFacts& facts) {
  const auto found = facts.links.find(wanted.bridge);
  // Bridges of other state directories are refused where all that is not ours is.
  if (!wanted.adopt || found == facts.links.end() || is_minibridge_group(found->second.group)) return nullptr;
  if (found->second.is_bridge) return &found->second;
  throw Error(
      ErrorKind::conflict,
      fmt::format("'{}' cannot be the bridge: there is an interface of that name, and it is none", wanted.bridge.str()),
      "choose another --bridge-name");
}

void check_can_stay_as_it_is(const FoundLink& bridge, const change::AddNetwork& wanted) {
  const auto name = wanted.bridge.str();
  if (!bridge.up) {
    throw Error(ErrorKind::conflict, fmt::format("bridge '{}' is down, and it is not minibridge's to bring up", name),
                fmt::format("bring it up ('ip link set {} up'), or choose another --bridge-name", name));
  }
  // The kernel gives a bridge the smallest MTU of its ports.
  if (wanted.mtu == 0 || wanted.mtu >= bridge.mtu) return;
  throw Error(
      ErrorKind::usage,
      fmt::format("mtu {} is less than that of bridge '{}', {}, which would follow it", wanted.mtu, name, bridge.mtu),
      "leave out --mtu: the network takes that of the bridge");
}

// What an adopted bridge has decides what is not asked for: its address is the gateway, and its subnet the network's. No
// container gets one of its other addresses.
change::PoolRequest fitted(change::PoolRequest wanted, Family family, const FoundLink& bridge) {
  for (const auto& found : bridge.addresses) {
    const bool fits = found.address.family() == family && !found.address.is_link_local() &&
                      (!wanted.subnet || wanted.subnet->contains(found.address));
    if (!fits) continue;
    if (!wanted.subnet) wanted.subnet = found.subnet();
    if (!wanted.gateway) wanted.gateway = found.address;
    if (found.address != wanted.gateway) wanted.reserved.push_back(found.address);
  }
  return wanted;
}

void adopt(Network& network, const FoundLink& bridge) {
  network.adopted_bridge = true;
  for (const auto& pool : network.pools) {
    const bool has = std::any_of(bridge.addresses.begin(), bridge.addresses.end(),
                                 [&](const InterfaceAddress& found) { return found.address == pool.gateway; });
    if (has) network.found_addresses.push_back(pool.gateway);
  }
}

// The gateway may be an address on which its owner answers for names already, as libvirt does.
void check_names_can_be_served(const Network& network, const HostFacts& facts) {
  constexpr std::uint16_t kDomain = 53;
  if (!serves_names(network)) return;
  for (const auto& listener : facts.listeners) {
    const auto& found = network.found_addresses;
    const bool in_the_way = listener.protocol == Protocol::udp && listener.port == kDomain &&
                            std::find(found.begin(), found.end(), listener.address) != found.end();
    if (!in_the_way) continue;
    const auto holder = facts.holder_of ? facts.holder_of(listener) : std::nullopt;
    throw Error(
        ErrorKind::conflict,
        fmt::format(
            "{} answers for names on {}, which would be the gateway of network '{}' and the address of its name "
            "server",
            holder.value_or("a process"), listener.address.str(), network.name.str()),
        "give the network a gateway of its own: --gateway with a free address of the subnet");
  }
}

// Its own routes are no reason not to use it.
HostFacts without_routes_of(const InterfaceName& bridge, HostFacts facts) {
  std::erase_if(facts.routes, [&](const Route& route) { return route.interface == bridge.str(); });
  return facts;
}

Network make_network_on(const FoundLink& bridge, change::AddNetwork wanted, const Draft& draft,
                        const HostFacts& facts) {
  check_can_stay_as_it_is(bridge, wanted);
  wanted.adopt = false;
  wanted.v4 = fitted(wanted.v4, Family::v4, bridge);
  if (wanted.v6) wanted.v6 = fitted(*wanted.v6, Family::v6, bridge);
  if (wanted.mtu == 0) wanted.mtu = bridge.mtu;
  auto network = make_network(wanted, draft, without_routes_of(wanted.bridge, facts));
  adopt(network, bridge);
  check_names_can_be_served(network, facts);
  return network;
}

}  // namespace

Network make_network(const change::AddNetwork& wanted, const Draft& draft, const HostFacts& facts) {
  if (const auto* bridge = find_adoptable(wanted, facts)) return make_network_on(*bridge, wanted, draft, facts);
  check_bridge_is_free(wanted.bridge, draft);
  check_mode(wanted);
  check_ipv6(wanted, facts);
  check_source_address(wanted, facts);
  Network network;
  network.id = wanted.id;
  network.name = wanted.name;
  network.bridge = wanted.bridge;
  network.pools.push_back(make_pool(Family::v4, wanted.v4, draft, facts));
  if (wanted.v6) network.pools.push_back(make_pool(Family::v6, *wanted.v6, draft, facts));
  network.mode = wanted.mode;
  network.mtu = wanted.mtu != 0 ? wanted.mtu : facts.uplink_mtu;
  check_mtu(network, wanted.mtu != 0);
  network.labels = wanted.labels;
  network.created_at = wanted.created_at;
  network.internal = wanted.internal;
  network.masquerade = wanted.masquerade && wanted.mode != NetworkMode::routed;
  network.snat_to = wanted.snat_to;
  network.icc = wanted.icc;
  return network;
}

}  // namespace mb::plan
