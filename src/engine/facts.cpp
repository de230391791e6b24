// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/engine/facts.h"

#include <algorithm>
#include <set>

#include "src/base/overloaded.h"

namespace mb::engine {
namespace {

struct Needs {
  bool routes = false;
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

Needs needs_of(const std::vector<Change>& changes, const StateView& state) {
  Needs needs;
  for (const auto& change : changes) {
    std::visit(Overloaded{
                   [&](const change::AddNetwork& c) {
                     const auto networks = state.networks();
                     const bool exists = std::any_of(networks.begin(), networks.end(),
                                                     [&](const Network& network) { return network.name == c.name; });
                     needs.routes = needs.routes || !exists;
                     needs.local_addresses = needs.local_addresses || c.snat_to;
                   },
                   [&](const change::AddContainer& c) { needs.add(c.container.publish); },
                   [&](const change::StartContainer& c) {
                     if (const auto container = state.find_container(c.container)) needs.add(container->publish);
                   },
                   [&](const change::Publish& c) { needs.add(c.ports); },
                   [](const auto&) {},
               },
               change);
  }
  return needs;
}

}  // namespace

HostFacts gather_facts(const std::vector<Change>& changes, const StateView& state, kernel::Kernel& kernel) {
  const auto needs = needs_of(changes, state);
  HostFacts facts;
  if (needs.routes) facts.routes = kernel.routes(Family::v4);
  if (needs.local_addresses) facts.local_addresses = kernel.local_addresses(Family::v4);
  if (needs.ephemeral_ports) facts.ephemeral_ports = kernel.ephemeral_ports();
  for (const auto protocol : needs.listeners) {
    const auto found = kernel.listeners(protocol);
    facts.listeners.insert(facts.listeners.end(), found.begin(), found.end());
  }
  facts.holder_of = [&kernel](const Listener& listener) { return kernel.holder_of(listener); };
  return facts;
}

}  // namespace mb::engine
