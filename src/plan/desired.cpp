// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/desired.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/model/host_ports.h"
#include "src/model/name_files.h"
#include "src/model/sysctls.h"
#include "src/plan/rules.h"

namespace mb::plan {
namespace {

// On every bridge with IPv6 and on no other link of ours. The kernel asks for the owner of an address in the name of the
// bridge's link-local one when it forwards somebody else's packet; the one it would make by itself is not usable until it
// has been probed for a second.
const InterfaceAddress& bridge_link_local() {
  static const InterfaceAddress kAddress{IpAddress::parse("fe80::1"), 64};
  return kAddress;
}

bool has_ipv6(const std::vector<Network>& networks) {
  return std::any_of(networks.begin(), networks.end(),
                     [](const Network& network) { return network.pool(Family::v6) != nullptr; });
}

// Written with slashes, because an interface's name may hold dots.
std::string accept_ra_of(const std::string& link) { return fmt::format("net/ipv6/conf/{}/accept_ra", link); }

bool has_namespace(const Container& container) {
  return container.wants_network() && container.attachment != Attachment::host;
}

std::string file_path(const Id& container, std::string_view file) {
  return fmt::format("containers/{}/{}", container, file);
}

// Of a container and of its endpoints, by their names in the kernel.
std::map<std::string, std::string> sysctls_of(const Container& container) {
  auto all = container.sysctls;
  for (const auto& endpoint : container.endpoints) {
    for (const auto& [key, value] : endpoint.sysctls) all[sysctl_of(endpoint, key)] = value;
  }
  return all;
}

// Of a bridge of our own it is an attribute of the link; that of an adopted one has a value to go back to.
std::string route_localnet_key(const Network& network) {
  return fmt::format("net/ipv4/conf/{}/route_localnet", network.bridge.str());
}

std::set<std::string> route_localnet_keys(const DesiredInput& input) {
  std::set<std::string> keys;
  for (const auto& network : input.networks) {
    if (network.adopted_bridge && input.bridges_of.contains(network.id)) keys.insert(route_localnet_key(network));
  }
  return keys;
}

class DesiredBuilder {
 public:
  explicit DesiredBuilder(const DesiredInput& input) : input_(input) {}

  Desired build() {
    for (const auto& network : input_.networks) {
      if (!input_.bridges_of.contains(network.id)) continue;
      add_bridge(network);
      if (input_.populated.contains(network.id)) add_name_server(network);
    }
    std::vector<Container> publishing;
    for (const auto& container : input_.containers) {
      if (container.kind == ContainerKind::process) result_.directories.insert(container.id);
      if (!container.wants_network()) continue;
      add_container(container);
      publishing.push_back(container);
    }
    for (const auto& reader : input_.readers) result_.files[file_path(reader.id, "hosts")] = hosts_text(reader);
    result_.rules = desired_rules(input_.identity, input_.devgroup, input_.networks, publishing);
    add_host_sysctls();
    return std::move(result_);
  }

 private:
  void add_bridge(const Network& network) {
    if (network.adopted_bridge) return adopt_bridge(network);
    BridgeState bridge;
    bridge.name = network.bridge;
    bridge.group = input_.identity.group;
    bridge.mac = MacAddress::derived_from(network.pools.front().gateway);
    bridge.mtu = network.mtu;
    bridge.alias = input_.identity.alias();
    bridge.filters_frames = !network.icc && input_.can_filter_frames;
    for (const auto& pool : network.pools) bridge.addresses.push_back({pool.gateway, pool.subnet.prefix()});
    if (network.pool(Family::v6) != nullptr) bridge.addresses.push_back(bridge_link_local());
    result_.bridges[bridge.name] = bridge;
  }

  void adopt_bridge(const Network& network) {
    BridgeState bridge;
    bridge.name = network.bridge;
    bridge.adopted = true;
    for (const auto& pool : network.pools) {
      const auto& found = network.found_addresses;
      if (std::find(found.begin(), found.end(), pool.gateway) != found.end()) continue;
      bridge.addresses.push_back({pool.gateway, pool.subnet.prefix()});
    }
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
    for (const auto& endpoint : container.endpoints) {
      add_veth(container, endpoint);
      if (result_.name_servers.contains(endpoint.network)) {
        result_.files[name_records_path(endpoint.network, container.id)] = name_records(container, endpoint.network);
      }
    }
    for (const auto& [key, value] : sysctls_of(container)) result_.sysctls[{container.id, key}] = {value, {}};
  }

  void add_name_server(const Network& network) {
    if (!input_.name_servers || !serves_names(network)) return;
    result_.name_servers.insert(network.id);
    result_.files[name_server_config_path(network.id)] = name_server_config(network);
  }

  std::string hosts_text(const Container& container) const {
    return hosts_file(container, networks_in_hosts_file(container, input_.networks, input_.name_servers),
                      input_.members);
  }

  void add_files(const Container& container) {
    result_.files[file_path(container.id, "hosts")] = hosts_text(container);
    result_.files[file_path(container.id, "hostname")] = container.hostname + "\n";
    result_.files[file_path(container.id, "resolv.conf")] =
        resolver_file(container, asked_networks(container, input_.networks, input_.name_servers));
    if (container.kind == ContainerKind::process) {
      result_.files[file_path(container.id, "ports")] = host_ports_text(container);
    }
  }

  // With br_netfilter the rule keeps siblings apart, and a sibling's published port is translated while the frame is still
  // on its way from port to port: an isolated port would then drop what is allowed. On a bridge of ours it is switched on,
  // so that others may switch it on and off for all bridges; one that was adopted stays as its owner has it.
  bool meets_rules_on_the_bridge(const Network& network) const {
    return network.adopted_bridge ? input_.filters_all_frames : input_.can_filter_frames;
  }

  void add_veth(const Container& container, const Endpoint& endpoint) {
    const auto* network = network_of(input_.networks, endpoint.network);
    if (network == nullptr) return;
    VethState veth;
    veth.host = endpoint.host_link;
    veth.group = input_.identity.group;
    veth.bridge = network->bridge;
    veth.isolated = !network->icc && !meets_rules_on_the_bridge(*network);
    veth.alias = input_.identity.alias();
    veth.container = container.id;
    veth.peer = endpoint.name;
    veth.mac = endpoint.mac();
    veth.mtu = network->mtu;
    for (const auto& held : endpoint.addresses) {
      const auto* pool = network->pool(held.family);
      if (!held.address || pool == nullptr) continue;
      veth.addresses.push_back({*held.address, pool->subnet.prefix()});
      if (input_.rested.contains({container.id, *held.address})) veth.rested.push_back(*held.address);
      if (held.default_route) veth.gateways.push_back(pool->gateway);
    }
    result_.veths[veth.host] = veth;
  }

  void add_host_sysctls() {
    if (!input_.networks.empty()) set_host_sysctl(std::string(kForwarding), "1");
    if (has_ipv6(input_.networks)) {
      for (const auto& link : input_.following_uplinks) set_host_sysctl(accept_ra_of(link), "2");
      set_host_sysctl(std::string(kForwardingV6), "1");
    }
    for (const auto& key : route_localnet_keys(input_)) set_host_sysctl(key, "1");
    for (const auto& [key, state] : input_.sysctls_before) {
      if (input_.give_back || is_left_behind(key)) result_.sysctls[{Id(), key}] = {state.value, state.related, true};
    }
  }

  // The switch of a bridge that was adopted.
  bool is_left_behind(const std::string& key) const {
    return key.ends_with("/route_localnet") &&
           std::none_of(input_.networks.begin(), input_.networks.end(),
                        [&](const Network& network) { return key == route_localnet_key(network); });
  }

  void set_host_sysctl(const std::string& key, const std::string& value) { result_.sysctls[{Id(), key}] = {value, {}}; }

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
  for (const auto& [key, value] : sysctls_of(container)) scope.sysctls.insert({container.id, key});
}

void look_at_name_server(Scope& scope, const Id& network) {
  scope.name_servers.insert(network);
  scope.files.insert(name_server_config_path(network));
}

void look_at_records(Scope& scope, const Container& container, const std::set<Id>& serving) {
  for (const auto& endpoint : container.endpoints) {
    if (serving.contains(endpoint.network)) scope.files.insert(name_records_path(endpoint.network, container.id));
  }
}

// Flows that would contradict what is published afterwards.
void look_for_flows(Scope& scope, const Container& container, const std::vector<Network>& networks) {
  for (const auto& port : container.ports) {
    if (port.protocol != Protocol::udp) continue;
    FlowQuery query;
    query.published = port;
    query.expected = published_address(container, port.host_address.family(), networks);
    scope.flows.push_back(query);
  }
}

bool holds(const Container& container, const IpAddress& address) {
  return std::any_of(container.endpoints.begin(), container.endpoints.end(), [&](const Endpoint& endpoint) {
    const auto* held = endpoint.address(address.family());
    return held != nullptr && held->address == address;
  });
}

// Of addresses that the container has no longer.
void look_for_flows_of_gone(Scope& scope, const Container& before, const std::optional<Container>& after) {
  for (const auto& endpoint : before.endpoints) {
    for (const auto& held : endpoint.addresses) {
      if (!held.address || (after && after->wants_network() && holds(*after, *held.address))) continue;
      FlowQuery query;
      query.gone = held.address;
      scope.flows.push_back(query);
    }
  }
}

// Whether another container has the port afterwards: it has moved, and what runs on it runs on.
bool has_moved(const PublishedPort& port, const Delta& delta) {
  return std::any_of(delta.containers.begin(), delta.containers.end(), [&](const auto& change) {
    return change.after && std::any_of(change.after->ports.begin(), change.after->ports.end(),
                                       [&](const PublishedPort& other) { return other.collides_with(port); });
  });
}

// Ports that were published and are not any more: their running flows end.
void look_for_flows_of_unpublished(Scope& scope, const Container& before, const Container& after, const Delta& delta,
                                   const std::vector<Network>& networks) {
  for (const auto& port : before.ports) {
    if (std::find(after.ports.begin(), after.ports.end(), port) != after.ports.end()) continue;
    if (has_moved(port, delta)) continue;
    FlowQuery query;
    query.published = port;
    query.gone = published_address(before, port.host_address.family(), networks);
    scope.flows.push_back(query);
  }
}

}  // namespace

const Network* network_of(const std::vector<Network>& networks, const Id& id) {
  const auto found =
      std::find_if(networks.begin(), networks.end(), [&](const Network& network) { return network.id == id; });
  return found == networks.end() ? nullptr : &*found;
}

Desired desired(const DesiredInput& input) { return DesiredBuilder(input).build(); }

std::string link_name(const Name& container) { return "mb-" + container.str(); }

Scope scope_of(const Delta& delta, const DesiredInput& input) {
  Scope scope;
  for (const auto& network : input.networks) {
    if (input.bridges_of.contains(network.id)) scope.bridges.insert(network.bridge);
  }
  for (const auto& network : delta.dropped_networks) scope.bridges.insert(network.bridge);
  std::set<Id> serving;
  for (const auto& network : input.networks) {
    if (input.bridges_of.contains(network.id) && serves_names(network)) serving.insert(network.id);
  }
  for (const auto& network : delta.dropped_networks) {
    if (serves_names(network)) serving.insert(network.id);
  }
  for (const auto& network : serving) look_at_name_server(scope, network);
  for (const auto& reader : input.readers) scope.files.insert(file_path(reader.id, "hosts"));
  for (const auto& change : delta.containers) {
    for (const auto& container : {change.before, change.after}) {
      if (container) look_at_records(scope, *container, serving);
    }
    if (change.before) look_at(scope, *change.before, input.link_directory);
    if (change.before && !change.after) scope.going.insert(change.before->id);
    if (change.after) look_at(scope, *change.after, input.link_directory);
    if (change.before && change.before->wants_network()) {
      look_for_flows_of_gone(scope, *change.before, change.after);
      const bool stays = change.after && change.after->wants_network();
      if (stays) look_for_flows_of_unpublished(scope, *change.before, *change.after, delta, input.networks);
    }
    if (change.after && change.after->wants_network()) look_for_flows(scope, *change.after, input.networks);
  }
  scope.ipv6 = has_ipv6(input.networks) || has_ipv6(delta.dropped_networks);
  // Of the chain of published ports only what these own is looked at.
  for (const auto* networks : {&input.networks, &delta.dropped_networks}) {
    for (const auto& network : *networks) scope.owners.insert("network " + network.name.str());
  }
  scope.sysctls.insert({Id(), std::string(kForwarding)});
  if (has_ipv6(input.networks)) {
    scope.sysctls.insert({Id(), std::string(kForwardingV6)});
    for (const auto& link : input.following_uplinks) scope.sysctls.insert({Id(), accept_ra_of(link)});
  }
  for (const auto& key : route_localnet_keys(input)) scope.sysctls.insert({Id(), key});
  for (const auto& [key, state] : input.sysctls_before) scope.sysctls.insert({Id(), key});
  return scope;
}

}  // namespace mb::plan
