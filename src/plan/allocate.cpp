// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/allocate.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/plan/names.h"

namespace mb::plan {
namespace {

const AddressPool& pool_of(const Network& network, Family family) {
  if (const auto* pool = network.pool(family)) return *pool;
  throw Error(ErrorKind::usage, fmt::format("network '{}' has no {} addresses", network.name.str(), to_string(family)));
}

const Subnet& giving_range(const AddressPool& pool) { return pool.range ? *pool.range : pool.subnet; }

std::optional<IpAddress> next_fresh(const Network& network, const AddressPool& pool, const StateView& state) {
  const auto range = giving_range(pool);
  auto candidate = range.base();
  if (const auto highest = state.highest_given(network.id, pool.subnet.family()); highest && *highest >= candidate) {
    if (*highest >= range.last()) return std::nullopt;
    candidate = highest->plus(1);
  }
  while (true) {
    if (unusable(pool, candidate).empty() && !state.address_holder(network.id, candidate)) return candidate;
    if (candidate == range.last()) return std::nullopt;
    candidate = candidate.plus(1);
  }
}

// 172.17–172.31 /16, then 192.168.0.0/16 in /20: 31 networks.
std::vector<Subnet> pools_v4() {
  constexpr std::uint32_t k172 = 172U << 24;
  constexpr std::uint32_t k192 = 192U << 24 | 168U << 16;
  std::vector<Subnet> pools;
  for (std::uint32_t second = 17; second <= 31; ++second) pools.emplace_back(IpAddress::v4(k172 | second << 16), 16);
  for (std::uint32_t third = 0; third < 256; third += 16) pools.emplace_back(IpAddress::v4(k192 | third << 8), 20);
  return pools;
}

const Network* overlapping_network(const Subnet& subnet, const std::vector<Network>& networks) {
  for (const auto& network : networks) {
    const auto* pool = network.pool(subnet.family());
    if (pool != nullptr && pool->subnet.overlaps(subnet)) return &network;
  }
  return nullptr;
}

const Route* overlapping_route(const Subnet& subnet, const std::vector<Route>& routes) {
  const auto found = std::find_if(routes.begin(), routes.end(),
                                  [&](const Route& route) { return route.destination.overlaps(subnet); });
  return found == routes.end() ? nullptr : &*found;
}

bool holds(const Listener& listener, const PublishedPort& port) {
  return listener.protocol == port.protocol && listener.address.family() == port.host_address.family() &&
         port.host_ports.contains(listener.port) &&
         (listener.address.is_any() || port.host_address.is_any() || listener.address == port.host_address);
}

// A name server of ours. It answers its network beside a port that is published on every address: see plan/rules.cpp.
bool is_name_server(const Listener& listener, const PublishedPort& port, const std::vector<Network>& networks) {
  constexpr std::uint16_t kDomain = 53;
  if (listener.port != kDomain || !port.host_address.is_any()) return false;
  return std::any_of(networks.begin(), networks.end(), [&](const Network& network) {
    const auto* pool = network.pool(listener.address.family());
    return pool != nullptr && serves_names(network) && pool->gateway == listener.address;
  });
}

// A sentence about who has (part of) the port; empty if nobody.
std::string taken_by(const PublishedPort& port, const std::vector<PublishedPort>& own, const StateView& state,
                     const HostFacts& facts, bool name_the_process) {
  for (const auto& other : own) {
    if (other.collides_with(port)) return fmt::format("it overlaps '{}' of the same container", other.str());
  }
  for (const auto& [container, other] : state.published_in(port.protocol, port.host_ports)) {
    if (other.collides_with(port)) return fmt::format("container '{}' has published '{}'", container, other.str());
  }
  for (const auto& listener : facts.listeners) {
    if (!holds(listener, port) || is_name_server(listener, port, state.networks())) continue;
    const auto holder = name_the_process && facts.holder_of ? facts.holder_of(listener) : std::nullopt;
    return fmt::format("{} listens on {}:{}/{} of the host", holder.value_or("a process"), listener.address.str(),
                       listener.port, to_string(listener.protocol));
  }
  return {};
}

// One port for each family, with the same numbers.
std::vector<PublishedPort> in_families(const PublishSpec& spec, const PortRange& host_ports,
                                       const std::vector<Family>& families) {
  std::vector<PublishedPort> ports;
  for (const auto family : families) {
    ports.push_back(
        {spec.host_address.value_or(IpAddress::any(family)), host_ports, spec.container_ports, spec.protocol});
  }
  return ports;
}

std::vector<PublishedPort> pick_ports(const PublishSpec& spec, const std::vector<Family>& families,
                                      const std::vector<PublishedPort>& own, const StateView& state,
                                      const HostFacts& facts, std::uint64_t draw) {
  const auto& ephemeral = facts.ephemeral_ports;
  const std::uint32_t wanted = spec.container_ports.count();
  if (wanted <= ephemeral.count()) {
    const std::uint32_t starts = ephemeral.count() - wanted + 1;
    for (std::uint32_t i = 0; i < starts; ++i) {
      const auto first = static_cast<std::uint16_t>(ephemeral.first + (draw + i) % starts);
      auto ports = in_families(spec, {first, static_cast<std::uint16_t>(first + wanted - 1)}, families);
      const bool free = std::all_of(ports.begin(), ports.end(), [&](const PublishedPort& port) {
        return taken_by(port, own, state, facts, false).empty();
      });
      if (free) return ports;
    }
  }
  throw Error(ErrorKind::conflict,
              fmt::format("no {} in {} for container port {}",
                          wanted == 1 ? "free host port" : fmt::format("{} free host ports in a row", wanted),
                          ephemeral.str(), spec.container_ports.str()),
              "name the host port, or widen net.ipv4.ip_local_port_range");
}

// Why nothing that is sent to an address of the host gets to a container; empty if it does. See publish_hooks in plan/rules.
std::string_view leads_nowhere(const IpAddress& address) {
  if (address.family() == Family::v4) return {};
  if (address.is_loopback()) return "the kernel lets ::1 speak to itself only";
  if (address.is_link_local()) return "a link-local address is known on its own link only, and no container is there";
  return {};
}

void check_host_address(const IpAddress& address, const HostFacts& facts) {
  if (const auto reason = leads_nowhere(address); !reason.empty()) {
    throw Error(ErrorKind::usage, fmt::format("cannot publish on {}: {}", address.str(), reason),
                "name a global IPv6 address of the host or 127.0.0.1, or leave the address out for every address");
  }
  const auto& local = facts.local_addresses;
  if (address.is_any() || address.is_loopback() || std::find(local.begin(), local.end(), address) != local.end())
    return;
  throw Error(ErrorKind::usage, fmt::format("cannot publish on {}: the host has no such address", address.str()),
              "leave the address out to publish on every address of the host");
}

}  // namespace

std::string_view unusable(const AddressPool& pool, const IpAddress& address) {
  if (!pool.subnet.contains(address)) return "it is outside the subnet";
  if (address == pool.gateway) return "it is the gateway's";
  // /31 and /32 have neither (RFC 3021); IPv6 has no broadcast, but its base is the routers' anycast address (RFC 4291).
  const bool has_network_address = pool.subnet.prefix() < address_bits(address.family()) - 1;
  if (has_network_address && address == pool.subnet.base()) return "it is the network's own";
  if (has_network_address && address.family() == Family::v4 && address == pool.subnet.last()) {
    return "it is the broadcast address";
  }
  if (std::find(pool.reserved.begin(), pool.reserved.end(), address) != pool.reserved.end()) return "it is reserved";
  return {};
}

Allocation allocate_address(const Network& network, Family family, const StateView& state) {
  const auto& pool = pool_of(network, family);
  if (const auto fresh = next_fresh(network, pool, state)) return {*fresh, false};
  for (const auto& address : state.released(network.id, family)) {
    const bool fits = giving_range(pool).contains(address) && unusable(pool, address).empty();
    if (fits && !state.address_holder(network.id, address)) return {address, true};
  }
  throw Error(ErrorKind::conflict,
              fmt::format("network '{}' has no free address in {}", network.name.str(), giving_range(pool).str()),
              "remove a container, or make a network with a larger subnet");
}

void check_fixed_address(const Network& network, const IpAddress& address, const StateView& state) {
  const auto& pool = pool_of(network, address.family());
  if (const auto reason = unusable(pool, address); !reason.empty()) {
    throw Error(ErrorKind::usage,
                fmt::format("{} cannot be a container's address in network '{}': {}", address.str(), network.name.str(),
                            reason),
                fmt::format("choose one in {}", pool.subnet.str()));
  }
  if (const auto holder = state.address_holder(network.id, address)) {
    throw Error(ErrorKind::conflict, fmt::format("address {} is taken: container '{}' has it", address.str(), *holder),
                "choose another one, or leave out --ip");
  }
}

Subnet allocate_subnet(const std::vector<Network>& networks, const std::vector<Route>& routes) {
  for (const auto& subnet : pools_v4()) {
    if (overlapping_network(subnet, networks) == nullptr && overlapping_route(subnet, routes) == nullptr) return subnet;
  }
  throw Error(ErrorKind::conflict, "every subnet of the address pools overlaps a network or a route of the host",
              "remove a network, or choose a subnet with --subnet");
}

Subnet allocate_subnet6(const Subnet& unique_local, const std::vector<Network>& networks,
                        const std::vector<Route>& routes) {
  for (std::uint32_t i = 0; i <= 0xffff; ++i) {
    auto bytes = unique_local.base().bytes();
    bytes[6] = static_cast<std::uint8_t>(i >> 8);
    bytes[7] = static_cast<std::uint8_t>(i & 0xff);
    const Subnet subnet(IpAddress::v6(bytes), 64);
    if (overlapping_network(subnet, networks) == nullptr && overlapping_route(subnet, routes) == nullptr) return subnet;
  }
  throw Error(ErrorKind::conflict,
              fmt::format("every subnet of {} overlaps a network or a route of the host", unique_local.str()),
              "remove a network, or choose a subnet with --subnet");
}

Subnet unique_local_of(std::string_view machine) {
  // FNV-1a: nothing is secret here, the bits only have to be spread. 40 of them are the global id.
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : machine) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  std::array<std::uint8_t, 16> bytes{0xfd};
  for (std::size_t i = 1; i <= 5; ++i) bytes.at(i) = static_cast<std::uint8_t>(hash >> (8 * (i + 2)));
  return {IpAddress::v6(bytes), 48};
}

void check_subnet(const Subnet& subnet, const std::vector<Network>& networks, const std::vector<Route>& routes) {
  if (const auto* network = overlapping_network(subnet, networks)) {
    throw Error(ErrorKind::conflict,
                fmt::format("subnet {} overlaps {} of network '{}'", subnet.str(),
                            network->pool(subnet.family())->subnet.str(), network->name.str()),
                "choose another --subnet, or leave it out and a free one is taken");
  }
  if (const auto* route = overlapping_route(subnet, routes)) {
    throw Error(ErrorKind::conflict,
                fmt::format("subnet {} overlaps the host's route to {}{}", subnet.str(), route->destination.str(),
                            route->interface.empty() ? "" : " on " + route->interface),
                "choose another --subnet, or leave it out and a free one is taken");
  }
}

std::vector<PublishedPort> settle_port(const PublishSpec& spec, const std::vector<Family>& families,
                                       const std::vector<PublishedPort>& own, const StateView& state,
                                       const HostFacts& facts, std::uint64_t draw) {
  if (spec.host_address) check_host_address(*spec.host_address, facts);
  if (!spec.host_ports) return pick_ports(spec, families, own, state, facts, draw);
  auto ports = in_families(spec, *spec.host_ports, families);
  for (const auto& port : ports) {
    if (const auto holder = taken_by(port, own, state, facts, true); !holder.empty()) {
      throw Error(ErrorKind::conflict, fmt::format("cannot publish '{}': {}", port.str(), holder),
                  "choose another host port, or leave it out and a free one is taken");
    }
  }
  return ports;
}

}  // namespace mb::plan
