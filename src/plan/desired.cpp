// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/desired.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/plan/rules.h"

namespace mb::plan {
namespace {

constexpr std::string_view kForwarding = "net.ipv4.ip_forward";

bool has_namespace(const Container& container) {
  return container.wants_network() && container.attachment != Attachment::host;
}

std::string file_path(const Id& container, std::string_view file) {
  return fmt::format("containers/{}/{}", container, file);
}

// /etc/hosts of a container: itself under each of its addresses, then what the user added.
std::string hosts_file(const Container& container) {
  std::string text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
  for (const auto& endpoint : container.endpoints) {
    for (const auto& held : endpoint.addresses) {
      if (!held.address) continue;
      text += fmt::format("{}\t{}", held.address->str(), container.hostname);
      if (container.name.str() != container.hostname) text += " " + container.name.str();
      text += '\n';
    }
  }
  for (const auto& entry : container.extra_hosts) text += fmt::format("{}\t{}\n", entry.address.str(), entry.name);
  return text;
}

const Network* network_of(const std::vector<Network>& networks, const Id& id) {
  const auto found =
      std::find_if(networks.begin(), networks.end(), [&](const Network& network) { return network.id == id; });
  return found == networks.end() ? nullptr : &*found;
}

class DesiredBuilder {
 public:
  explicit DesiredBuilder(const DesiredInput& input) : input_(input) {}

  Desired build() {
    for (const auto& network : input_.networks) {
      if (input_.bridges_of.contains(network.id)) add_bridge(network);
    }
    std::vector<Container> publishing;
    for (const auto& container : input_.containers) {
      if (container.kind == ContainerKind::process) result_.directories.insert(container.id);
      if (!container.wants_network()) continue;
      add_container(container);
      publishing.push_back(container);
    }
    result_.rules = desired_rules(input_.identity, input_.devgroup, input_.networks, publishing);
    add_host_sysctls();
    return std::move(result_);
  }

 private:
  void add_bridge(const Network& network) {
    BridgeState bridge;
    bridge.name = network.bridge;
    bridge.group = input_.identity.group;
    bridge.mac = MacAddress::derived_from(network.pools.front().gateway);
    bridge.mtu = network.mtu;
    bridge.alias = input_.identity.alias();
    for (const auto& pool : network.pools) bridge.addresses.push_back({pool.gateway, pool.subnet.prefix()});
    result_.bridges[bridge.name] = bridge;
  }

  void add_container(const Container& container) {
    if (container.kind != ContainerKind::foreign_netns) {
      result_.directories.insert(container.id);
      if (has_namespace(container)) add_files(container);
    }
    if (!has_namespace(container)) return;
    NamespaceState space{container.id, container.namespace_source, container.kind != ContainerKind::foreign_netns, {}};
    if (input_.link_directory) space.link_name = link_name(container.name);
    result_.namespaces[container.id] = space;
    for (const auto& endpoint : container.endpoints) add_veth(container, endpoint);
    for (const auto& [key, value] : container.sysctls) result_.sysctls[{container.id, key}] = {value, {}};
  }

  void add_files(const Container& container) {
    result_.files[file_path(container.id, "hosts")] = hosts_file(container);
    result_.files[file_path(container.id, "hostname")] = container.hostname + "\n";
    result_.files[file_path(container.id, "resolv.conf")] = container.resolv_conf;
  }

  void add_veth(const Container& container, const Endpoint& endpoint) {
    const auto* network = network_of(input_.networks, endpoint.network);
    if (network == nullptr) return;
    VethState veth;
    veth.host = endpoint.host_link;
    veth.group = input_.identity.group;
    veth.bridge = network->bridge;
    veth.alias = input_.identity.alias();
    veth.container = container.id;
    veth.peer = endpoint.name;
    veth.mac = endpoint.mac();
    veth.mtu = network->mtu;
    for (const auto& held : endpoint.addresses) {
      const auto* pool = network->pool(held.family);
      if (!held.address || pool == nullptr) continue;
      veth.addresses.push_back({*held.address, pool->subnet.prefix()});
      if (endpoint.default_route) veth.gateways.push_back(pool->gateway);
    }
    result_.veths[veth.host] = veth;
  }

  void add_host_sysctls() {
    if (!input_.networks.empty()) result_.sysctls[{Id(), std::string(kForwarding)}] = {"1", {}};
    if (!input_.give_back) return;
    for (const auto& [key, state] : input_.sysctls_before) result_.sysctls[{Id(), key}] = state;
  }

  const DesiredInput& input_;
  Desired result_;
};

// Adds what a container has or wants to the scope.
void look_at(Scope& scope, const Container& container, bool link_directory) {
  scope.owners.insert(container.name.str());
  if (container.kind != ContainerKind::foreign_netns) scope.directories.insert(container.id);
  if (container.attachment == Attachment::host) return;
  scope.namespaces[container.id] = link_directory ? link_name(container.name) : "";
  for (const auto& endpoint : container.endpoints) {
    scope.veths[endpoint.host_link] = container.id;
    scope.peers[endpoint.host_link] = endpoint.name;
  }
  for (const auto& [key, value] : container.sysctls) scope.sysctls.insert({container.id, key});
}

// Flows that would contradict what is published afterwards.
void look_for_flows(Scope& scope, const Container& container) {
  for (const auto& port : container.ports) {
    if (port.protocol != Protocol::udp) continue;
    FlowQuery query;
    query.published = port;
    for (const auto& endpoint : container.endpoints) {
      const auto* held = endpoint.address(port.host_address.family());
      if (held != nullptr && held->address && !query.expected) query.expected = held->address;
    }
    scope.flows.push_back(query);
  }
}

void look_for_flows_of_gone(Scope& scope, const Container& before) {
  for (const auto& endpoint : before.endpoints) {
    for (const auto& held : endpoint.addresses) {
      if (!held.address) continue;
      FlowQuery query;
      query.gone = held.address;
      scope.flows.push_back(query);
    }
  }
}

// Ports that were published and are not any more: their running flows end.
void look_for_flows_of_unpublished(Scope& scope, const Container& before, const Container& after) {
  for (const auto& port : before.ports) {
    if (std::find(after.ports.begin(), after.ports.end(), port) != after.ports.end()) continue;
    FlowQuery query;
    query.published = port;
    scope.flows.push_back(query);
  }
}

}  // namespace

Desired desired(const DesiredInput& input) { return DesiredBuilder(input).build(); }

std::string link_name(const Name& container) { return "mb-" + container.str(); }

Scope scope_of(const Delta& delta, const DesiredInput& input) {
  Scope scope;
  for (const auto& network : input.networks) {
    if (input.bridges_of.contains(network.id)) scope.bridges.insert(network.bridge);
  }
  for (const auto& network : delta.dropped_networks) scope.bridges.insert(network.bridge);
  for (const auto& change : delta.containers) {
    if (change.before) look_at(scope, *change.before, input.link_directory);
    if (change.before && !change.after) scope.going.insert(change.before->id);
    if (change.after) look_at(scope, *change.after, input.link_directory);
    const bool ends =
        change.before && change.before->wants_network() && (!change.after || !change.after->wants_network());
    if (ends) look_for_flows_of_gone(scope, *change.before);
    if (change.before && change.after && !ends) look_for_flows_of_unpublished(scope, *change.before, *change.after);
    if (change.after && change.after->wants_network()) look_for_flows(scope, *change.after);
  }
  scope.sysctls.insert({Id(), std::string(kForwarding)});
  for (const auto& [key, state] : input.sysctls_before) scope.sysctls.insert({Id(), key});
  return scope;
}

}  // namespace mb::plan
