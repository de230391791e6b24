// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/observe.h"

#include <cerrno>

namespace mb::kernel {
namespace {

bool is_ours(const Link& link, const Identity& identity) {
  return link.group == identity.group || link.group == identity.trash;
}

// A bridge of somebody else to which we have added an address.
bool is_adopted(const Link& link, const std::set<int>& marked) {
  return link.kind == "bridge" && !is_minibridge_group(link.group) && marked.contains(link.index);
}

// The kernel takes names that we do not (bytes beyond ASCII, '%'). Links of ours have none of them; what was renamed
// inside a container shows as no name at all.
InterfaceName name_or_none(const std::string& text) {
  try {
    return InterfaceName::parse(text);
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

Actual Observer::observe(const Scope& asked_for) && {
  const Scope scope = widened(asked_for);
  std::set<InterfaceName> going;
  for (const auto& [name, container] : scope.veths) {
    if (scope.going.contains(container)) going.insert(name);
  }
  going_ = find_links(host_, going);
  for (const auto& [container, link_name] : scope.namespaces) observe_namespace(scope, container, link_name);
  if (scope.everything) observe_leftovers(scope);
  for (const auto& name : scope.bridges) observe_bridge(name);
  for (const auto& [name, container] : scope.veths) observe_veth(scope, name, container);
  for (const auto& container : scope.directories) observe_directory(scope, container);
  for (const auto& path : scope.files) {
    if (auto content = files_.read(path)) actual_.files.emplace(path, std::move(*content));
  }
  return std::move(actual_);
}

Scope Observer::widened(const Scope& scope) {
  Scope all = scope;
  if (!scope.everything) return all;
  const auto marked = links_with_marked_addresses(host_, identity_.address_mark());
  for (const auto& link : all_links(host_)) {
    const InterfaceName name = name_or_none(link.name);
    if (name.str().empty()) continue;
    if (is_adopted(link, marked)) all.bridges.insert(name);
    if (!is_ours(link, identity_)) continue;
    if (link.kind == "bridge") all.bridges.insert(name);
    if (link.kind == "veth") all.veths.emplace(name, Id());
  }
  all.directories.merge(files_.directories());
  all.files.merge(files_.name_files());
  return all;
}

void Observer::observe_bridge(const InterfaceName& name) {
  const auto link = find_link(host_, name.str());
  if (!link) return;
  BridgeState bridge;
  bridge.name = name;
  // Something else under that name is not ours, whatever group somebody gave it.
  bridge.group = link->kind == "bridge" ? link->group : 0;
  bridge.mac = link->mac;
  bridge.mtu = link->mtu;
  bridge.up = link->up;
  bridge.route_localnet = link->route_localnet;
  bridge.filters_frames = link->filters_frames;
  bridge.accept_ra = link->accept_ra;
  bridge.alias = link->alias;
  bridge.addresses = addresses_of(host_, link->index);
  if (!is_minibridge_group(link->group))
    bridge.marked = marked_addresses_of(host_, link->index, identity_.address_mark());
  bridge_names_.emplace(link->index, name);
  actual_.bridges.emplace(name, std::move(bridge));
}

void Observer::observe_veth(const Scope& scope, const InterfaceName& name, Id container) {
  const bool goes = scope.going.contains(container);
  const auto listed = going_.find(name);
  const auto link = !goes                    ? find_link(host_, name.str())
                    : listed == going_.end() ? std::nullopt
                                             : std::optional(listed->second);
  if (!link) return;
  // Down and in the group of links that are being deleted: as good as gone. Whoever looks at everything wants to
  // finish what was interrupted and must see it.
  if (!scope.everything && link->group == identity_.trash && !link->up) return;
  VethState veth;
  veth.host = name;
  veth.group = link->group;
  veth.bridge = bridge_name(link->master);
  veth.up = link->up;
  veth.hairpin = link->hairpin;
  veth.isolated = link->isolated;
  veth.alias = link->alias;
  veth.peer_up = false;
  if (container.empty() && link->peer_nsid) container = container_by_number(*link->peer_nsid);
  veth.container = container;
  const bool has_inside = link->kind == "veth" && !container.empty() && !goes;
  if (has_inside && namespaces_.is_pinned(container)) observe_peer(scope, veth, *link);
  actual_.veths.emplace(name, std::move(veth));
}

// The other end counts only if it is in the container's own namespace.
void Observer::observe_peer(const Scope& scope, VethState& veth, const Link& host) {
  Inside& inside = namespaces_.inside(veth.container);
  if (!host.peer_nsid || namespace_number(host_, inside.handle().fd()) != host.peer_nsid) return;
  const auto peer = find_link(inside.route(), host.peer_index);
  if (!peer) return;
  veth.peer = name_or_none(peer->name);
  veth.mac = peer->mac;
  veth.mtu = peer->mtu;
  veth.peer_up = peer->up;
  veth.addresses = addresses_of(inside.route(), peer->index);
  for (const Family family : {Family::v4, Family::v6}) {
    if (family == Family::v6 && !scope.ipv6 && !scope.everything) continue;
    const auto gateways = gateways_of(inside.route(), peer->index, family);
    veth.gateways.insert(veth.gateways.end(), gateways.begin(), gateways.end());
  }
}

void Observer::observe_namespace(const Scope& scope, const Id& container, const std::string& link_name) {
  if (!namespaces_.is_pinned(container)) return;
  NamespaceState state;
  state.container = container;
  if (!scope.going.contains(container)) {
    state.loopback_up = namespaces_.inside(container).route().is_link_up("lo");
  }
  if (!link_name.empty() && namespaces_.is_linked(container, link_name)) state.link_name = link_name;
  actual_.namespaces.emplace(container, std::move(state));
}

// Pins and symlinks of containers nobody knows any more, and symlinks that have another name than they should.
// A pin counts even when only its empty file is left: letting go of it removes that too.
void Observer::observe_leftovers(const Scope& scope) {
  for (const auto& container : namespaces_.pins()) {
    const auto [found, not_mounted] = actual_.namespaces.try_emplace(container);
    if (!not_mounted) continue;
    found->second.container = container;
    found->second.pinned =
        !scope.namespaces.contains(container);  // of one that is known it may be wanted, and is missing
  }
  for (const auto& [container, name] : namespaces_.links()) {
    const auto [known, only_a_name] = actual_.namespaces.try_emplace(container);
    auto& state = known->second;
    if (only_a_name) state.pinned = false;
    state.container = container;
    const auto wanted = scope.namespaces.find(container);
    if (state.link_name.empty() || (wanted != scope.namespaces.end() && name != wanted->second)) state.link_name = name;
  }
}

void Observer::observe_directory(const Scope& scope, const Id& container) {
  if (!files_.has_directory(container)) return;
  actual_.directories.insert(container);
  if (!scope.going.contains(container)) actual_.files.merge(files_.read_all(container));
}

InterfaceName Observer::bridge_name(int index) {
  if (index == 0) return {};
  const auto known = bridge_names_.find(index);
  if (known != bridge_names_.end()) return known->second;
  const auto name = host_.link_name(index);
  return bridge_names_[index] = name ? name_or_none(*name) : InterfaceName();
}

Id Observer::container_by_number(int number) {
  if (!numbered_) {
    for (const auto& container : namespaces_.pins()) {
      if (!namespaces_.is_pinned(container)) continue;
      const auto pinned = netns::Namespace::open(namespaces_.pin_path(container));
      if (const auto found = namespace_number(host_, pinned.fd())) containers_by_number_.emplace(*found, container);
    }
    numbered_ = true;
  }
  const auto found = containers_by_number_.find(number);
  return found == containers_by_number_.end() ? Id() : found->second;
}

}  // namespace mb::kernel
