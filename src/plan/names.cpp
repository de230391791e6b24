// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/names.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/text.h"
#include "src/plan/desired.h"

namespace mb::plan {
namespace {

// The first one is what a reverse lookup answers.
std::vector<std::string> names_of(const Container& container, const Endpoint& endpoint) {
  std::vector<std::string> names{container.name.str()};
  const auto add = [&names](const std::string& name) {
    if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  add(container.hostname);
  for (const auto& alias : endpoint.aliases) add(alias);
  add(container.id);
  return names;
}

// The host's resolvers without those a container cannot speak to: over IPv6 without IPv6, or by way of an interface of the
// host ("fe80::1%eth0"). What the user has named stays.
std::string reachable_resolvers(const Container& container) {
  if (container.own_resolvers) return container.resolv_conf;
  const bool has_ipv6 = std::any_of(container.endpoints.begin(), container.endpoints.end(),
                                    [](const auto& endpoint) { return endpoint.address(Family::v6) != nullptr; });
  std::string text;
  for (const auto line : split(container.resolv_conf, '\n')) {
    const bool over_ipv6 = line.starts_with("nameserver") && line.find(':') != std::string_view::npos;
    const bool reachable = !over_ipv6 || (has_ipv6 && line.find('%') == std::string_view::npos);
    if (!line.empty() && reachable) text += fmt::format("{}\n", line);
  }
  return text;
}

}  // namespace

bool serves_names(const Network& network) { return network.name.str() != kDefaultNetwork; }

std::string name_server_config(const Network& network) {
  std::string text = fmt::format("# Made by minibridge for network '{}'.\n", network.name.str());
  // Nobody but this network's containers is answered, and nothing but their names is taken from this host.
  text += "bind-interfaces\nexcept-interface=lo\nno-hosts\n";
  for (const auto& pool : network.pools) {
    text += fmt::format("listen-address={}\nrev-server={}\n", pool.gateway.str(), pool.subnet.str());
  }
  // A name without a dot is a container's or nobody's; asking outside would only tell who is looked for.
  text += "domain-needed\nno-negcache\n";
  if (network.internal) text += "no-resolv\nlocal=/#/\n";
  return text;
}

std::string name_records(const Container& container, const Id& network) {
  std::string text;
  for (const auto& endpoint : container.endpoints) {
    if (endpoint.network != network) continue;
    const auto names = join(names_of(container, endpoint), " ");
    for (const auto& held : endpoint.addresses) {
      if (held.address) text += fmt::format("{}\t{}\n", held.address->str(), names);
    }
  }
  return text;
}

std::vector<const Network*> asked_networks(const Container& container, const std::vector<Network>& networks,
                                           bool servers) {
  std::vector<const Network*> asked;
  if (!servers || container.own_resolvers) return asked;
  for (const auto& endpoint : container.endpoints) {
    const auto* network = network_of(networks, endpoint.network);
    if (network != nullptr && serves_names(*network)) asked.push_back(network);
  }
  // One that knows the world comes before one that ends at its border.
  std::stable_partition(asked.begin(), asked.end(), [](const Network* network) { return !network->internal; });
  return asked;
}

std::set<Id> networks_in_hosts_file(const Container& container, const std::vector<Network>& networks, bool servers) {
  const auto asked = asked_networks(container, networks, servers);
  std::set<Id> listed;
  for (const auto& endpoint : container.endpoints) {
    const auto* network = network_of(networks, endpoint.network);
    if (network == nullptr || !serves_names(*network)) continue;
    if (asked.empty() || network->id != asked.front()->id) listed.insert(network->id);
  }
  return listed;
}

std::string hosts_file(const Container& container, const std::set<Id>& networks, const Members& members) {
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
  for (const auto& network : networks) {
    const auto found = members.find(network);
    if (found == members.end()) continue;
    for (const auto& member : found->second) {
      if (member.id != container.id) text += name_records(member, network);
    }
  }
  return text;
}

std::string resolver_file(const Container& container, const std::vector<const Network*>& asked) {
  if (asked.empty()) return reachable_resolvers(container);
  std::string text;
  bool told = false;
  const auto tell = [&] {
    for (const auto* network : asked) text += fmt::format("nameserver {}\n", network->pools.front().gateway.str());
    told = true;
  };
  for (const auto line : split(container.resolv_conf, '\n')) {
    if (line.empty()) continue;
    if (!line.starts_with('#') && !told) tell();
    if (!line.starts_with("nameserver")) text += fmt::format("{}\n", line);
  }
  if (!told) tell();
  // A container's name is a whole name, however few dots it has (docker's choice).
  if (text.find("ndots:") == std::string::npos) text += "options ndots:0\n";
  return text;
}

}  // namespace mb::plan
