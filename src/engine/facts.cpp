// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/engine/facts.h"

#include <algorithm>
#include <set>

#include "src/base/overloaded.h"
#include "src/plan/allocate.h"

namespace mb::engine {
namespace {

struct Needs {
  bool network = false;  // what a new network needs
  std::vector<InterfaceName> links;
  bool ipv6_network = false;
  bool local_addresses = false;
  bool ephemeral_ports = false;
  std::set<Protocol> listeners;

  void add(const std::vector<PublishSpec>& ports) {
    for (const auto& spec : ports) {
      listeners.insert(spec.protocol);
      if (spec.host_address && !spec.host_address->is_any()) local_addresses = true;
      if (!spec.host_ports) ephemeral_ports = true;
    }
  }
};

// Those that the new endpoints are to be ports of, where others may have ports as well.
void add_adopted_bridges(Needs& needs, const std::vector<change::EndpointRequest>& endpoints, const StateView& state) {
  for (const auto& network : state.networks()) {
    const bool wanted = std::any_of(endpoints.begin(), endpoints.end(), [&](const change::EndpointRequest& endpoint) {
      return endpoint.network == network.name.str() || endpoint.network == network.id;
    });
    if (wanted && network.adopted_bridge) needs.links.push_back(network.bridge);
  }
}

Needs needs_of(const std::vector<Change>& changes, const StateView& state) {
  Needs needs;
  for (const auto& change : changes) {
    std::visit(Overloaded{
                   [&](const change::AddNetwork& c) {
                     const auto networks = state.networks();
                     const bool exists = std::any_of(networks.begin(), networks.end(),
                                                     [&](const Network& network) { return network.name == c.name; });
                     if (exists) return;
                     needs.network = true;
                     needs.ipv6_network = needs.ipv6_network || c.v6;
                     needs.local_addresses = needs.local_addresses || c.snat_to;
                     if (!c.adopt) return;
                     needs.links.push_back(c.bridge);
                     needs.listeners.insert(Protocol::udp);
                   },
                   [&](const change::AddContainer& c) {
                     needs.add(c.container.publish);
                     add_adopted_bridges(needs, c.endpoints, state);
                   },
                   [&](const change::StartContainer& c) {
                     if (const auto container = state.find_container(c.container)) needs.add(container->publish);
                   },
                   [&](const change::Connect& c) {
                     add_adopted_bridges(needs, {c.endpoint}, state);
                     if (const auto container = state.find_container(c.container)) needs.add(container->publish);
                   },
                   [&](const change::Publish& c) { needs.add(c.ports); },
                   [](const auto&) {},
               },
               change);
  }
  return needs;
}

template <class T>
void append(std::vector<T>& list, const std::vector<T>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

}  // namespace

HostFacts gather_facts(const std::vector<Change>& changes, const StateView& state, kernel::Kernel& kernel) {
  const auto needs = needs_of(changes, state);
  HostFacts facts;
  if (needs.network) {
    facts.routes = kernel.routes(Family::v4);
    facts.uplink_mtu = kernel.uplink_mtu();
  }
  if (needs.ipv6_network) {
    append(facts.routes, kernel.routes(Family::v6));
    facts.ipv6_obstacle = kernel.ipv6_obstacle().value_or("");
    facts.unique_local = plan::unique_local_of(kernel.machine_id());
  }
  if (needs.local_addresses) {
    for (const Family family : {Family::v4, Family::v6}) append(facts.local_addresses, kernel.local_addresses(family));
  }
  for (const auto& name : needs.links) {
    if (facts.links.contains(name)) continue;
    if (auto link = kernel.host_link(name)) facts.links.emplace(name, std::move(*link));
  }
  if (needs.ephemeral_ports) facts.ephemeral_ports = kernel.ephemeral_ports();
  for (const auto protocol : needs.listeners) {
    append(facts.listeners, kernel.listeners(protocol));
  }
  facts.holder_of = [&kernel](const Listener& listener) { return kernel.holder_of(listener); };
  return facts;
}

}  // namespace mb::engine
