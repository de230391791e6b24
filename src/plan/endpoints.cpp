// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/endpoints.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/plan/allocate.h"
#include "src/plan/resolve.h"

namespace mb::plan {
namespace {

InterfaceName next_link_name(const Container& container, const std::vector<std::string>& taken) {
  for (int i = 0;; ++i) {
    const auto name = fmt::format("eth{}", i);
    const bool is_ours = std::any_of(container.endpoints.begin(), container.endpoints.end(),
                                     [&](const Endpoint& endpoint) { return endpoint.name.str() == name; });
    if (!is_ours && std::find(taken.begin(), taken.end(), name) == taken.end()) return InterfaceName::parse(name);
  }
}

// Ports of an adopted bridge that its owner has put there.
std::size_t foreign_ports(const Network& network, const HostFacts& facts) {
  const auto found = facts.links.find(network.bridge);
  return network.adopted_bridge && found != facts.links.end() ? found->second.foreign_ports : 0;
}

void check_room(const Container& container, const Network& network, const Draft& draft, const HostFacts& facts) {
  for (const auto& other : container.endpoints) {
    if (other.network != network.id) continue;
    throw Error(ErrorKind::usage,
                fmt::format("container '{}' would be in network '{}' twice", container.name.str(), network.name.str()));
  }
  const auto foreign = foreign_ports(network, facts);
  if (draft.endpoint_count(network.id) + foreign < kMostEndpoints) return;
  const auto theirs =
      foreign == 0 ? "" : fmt::format(", and {} of '{}' are not minibridge's", foreign, network.bridge.str());
  throw Error(ErrorKind::conflict,
              fmt::format("network '{}' is full: the kernel allows {} ports on one bridge{}", network.name.str(),
                          kMostEndpoints, theirs),
              "make another network");
}

bool has_mac(const Endpoint& endpoint, const MacAddress& mac) {
  if (endpoint.fixed_mac) return endpoint.fixed_mac == mac;
  const bool has_address = std::any_of(endpoint.addresses.begin(), endpoint.addresses.end(),
                                       [](const EndpointAddress& held) { return held.address.has_value(); });
  return has_address && endpoint.mac() == mac;
}

// The bridge would send what is for one of them now to one port, now to the other.
void check_mac_is_free(const MacAddress& mac, const Network& network, const Draft& draft) {
  for (const auto& container : draft.containers()) {
    const bool has = std::any_of(container.endpoints.begin(), container.endpoints.end(), [&](const Endpoint& endpoint) {
      return endpoint.network == network.id && has_mac(endpoint, mac);
    });
    if (!has) continue;
    throw Error(ErrorKind::conflict,
                fmt::format("MAC address {} is taken: container '{}' has it in network '{}'", mac.str(),
                            container.name.str(), network.name.str()),
                "choose another one, or leave out --mac-address");
  }
}

void take_fixed(Endpoint& endpoint, const Network& network, const IpAddress& address, const Draft& draft) {
  check_fixed_address(network, address, draft);
  for (auto& held : endpoint.addresses) {
    if (held.family == address.family()) held = {held.family, true, address, held.default_route};
  }
}

}  // namespace

Endpoint make_endpoint(const Container& container, const change::EndpointRequest& request,
                       const std::vector<std::string>& taken, const Draft& draft, const HostFacts& facts) {
  const auto network = draft.network(request.network);
  check_room(container, network, draft, facts);
  if (request.mac) check_mac_is_free(*request.mac, network, draft);
  Endpoint endpoint;
  endpoint.network = network.id;
  endpoint.host_link = request.host_link;
  endpoint.name = next_link_name(container, taken);
  endpoint.fixed_mac = request.mac;
  endpoint.aliases = request.aliases;
  endpoint.gateway_priority = request.gateway_priority;
  endpoint.sysctls = request.sysctls;
  for (const auto& pool : network.pools)
    endpoint.addresses.push_back({pool.subnet.family(), false, std::nullopt, false});
  for (const auto& address : request.addresses) take_fixed(endpoint, network, address, draft);
  return endpoint;
}

void choose_default_routes(Container& container, const std::set<Family>& foreign, const Draft& draft) {
  for (const auto family : {Family::v4, Family::v6}) {
    EndpointAddress* best = nullptr;
    std::int32_t highest = 0;
    for (auto& endpoint : container.endpoints) {
      const bool leads_out = !draft.network(endpoint.network).internal && !foreign.contains(family);
      for (auto& held : endpoint.addresses) {
        if (held.family != family) continue;
        held.default_route = false;
        if (!leads_out || (best != nullptr && endpoint.gateway_priority <= highest)) continue;
        best = &held;
        highest = endpoint.gateway_priority;
      }
    }
    if (best != nullptr) best->default_route = true;
  }
}

}  // namespace mb::plan
