// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/simulate.h"

#include <algorithm>
#include <stdexcept>

#include "src/base/overloaded.h"
#include "src/model/chains.h"
#include "src/model/name_files.h"

namespace mb::test {
namespace {

using Rules = std::vector<Rule>;

void require(bool fine, const std::string& what) {
  if (!fine) throw std::logic_error("the simulated kernel refuses: " + what);
}

bool is_ours(std::string_view chain) { return chain.starts_with(kChainPrefix); }

const std::string* jump_of(const Rule& rule) {
  const auto* jump = std::get_if<target::Jump>(&rule.target);
  return jump == nullptr ? nullptr : &jump->chain;
}

bool jumps_to_ours(const Rule& rule) {
  const auto* chain = jump_of(rule);
  return chain != nullptr && is_ours(*chain);
}

class World {
 public:
  explicit World(KernelState& state) : state_(state) {}

  void operator()(const step::PinNamespace& s) const {
    require(!state_.namespaces.contains(s.container), "namespace pinned twice");
    state_.namespaces[s.container] = {s.container, s.source, s.source.empty(), {}};
  }
  void operator()(const step::UnpinNamespaces& s) const {
    for (const auto& container : s.containers) {
      require(state_.namespaces.erase(container) == 1, "no such namespace");
      std::erase_if(state_.sysctls, [&](const auto& entry) { return entry.first.container == container; });
    }
  }
  void operator()(const step::LinkNamespace& s) const { space(s.container).link_name = s.link_name; }
  void operator()(const step::UnlinkNamespace& s) const {
    if (auto& name = space(s.container).link_name; name == s.link_name) name.clear();
  }

  void operator()(const step::AddBridge& s) const {
    require_fresh(s.bridge.name);
    BridgeState bridge = s.bridge;
    bridge.up = false;
    bridge.route_localnet = false;
    bridge.alias.clear();
    bridge.addresses.clear();
    state_.bridges[bridge.name] = bridge;
  }
  void operator()(const step::AddVeth& s) const {
    require_fresh(s.veth.host);
    require(state_.namespaces.contains(s.veth.container), "veth into no namespace");
    require(state_.bridges.contains(s.veth.bridge), "veth into no bridge");
    VethState veth = s.veth;
    veth.up = true;
    veth.peer_up = false;
    veth.addresses.clear();
    veth.gateways.clear();
    veth.rested.clear();
    state_.veths[veth.host] = veth;
  }

  void operator()(const step::ChangeLink& s) const {
    require(!s.to.empty(), "a change of nothing");
    if (s.link.container.empty()) {
      change_host_link(s.link.name, s.to);
    } else if (s.link.name.str() == "lo") {
      require(s.to.up.has_value(), "odd change of lo");
      space(s.link.container).loopback_up = *s.to.up;
    } else {
      change_peer(peer(s.link), s.to);
    }
  }

  void operator()(const step::AddAddress& s) const {
    auto& addresses = addresses_of(s.link);
    require(std::find(addresses.begin(), addresses.end(), s.address) == addresses.end(), "address exists");
    addresses.push_back(s.address);
    if (auto* bridge = adopted(s.link)) bridge->marked.push_back(s.address);
  }
  void operator()(const step::DeleteAddress& s) const {
    require(std::erase(addresses_of(s.link), s.address) == 1, "no such address");
    if (auto* bridge = adopted(s.link)) require(std::erase(bridge->marked, s.address) == 1, "a foreign address goes");
    if (s.link.container.empty()) return;
    std::erase_if(peer(s.link).gateways,
                  [&](const IpAddress& gateway) { return s.address.subnet().contains(gateway); });
  }
  void operator()(const step::AddDefaultRoute& s) const {
    auto& veth = peer(s.link);
    require(veth.peer_up, "route over a link that is down");
    require(std::any_of(veth.addresses.begin(), veth.addresses.end(),
                        [&](const InterfaceAddress& address) { return address.subnet().contains(s.gateway); }),
            "gateway out of reach");
    require(!has_default_route(s.link.container, s.gateway.family()), "route exists");
    veth.gateways.push_back(s.gateway);
  }
  void operator()(const step::DeleteDefaultRoute& s) const {
    require(std::erase(peer(s.link).gateways, s.gateway) == 1, "no such route");
  }

  void operator()(const step::Announce& s) const {
    const auto& veth = peer(s.link);
    require(veth.peer_up && veth.up, "an announcement over a link that is down");
    for (const auto& address : s.addresses) {
      require(std::any_of(veth.addresses.begin(), veth.addresses.end(),
                          [&](const InterfaceAddress& held) { return held.address == address; }),
              "an announcement of an address that is not there");
    }
  }

  void operator()(const step::TakeLinksDown& s) const {
    step::LinkChange down;
    down.up = false;
    for (const auto& name : s.links) change_host_link(name, down);
  }
  void operator()(const step::DeleteLinks& s) const {
    for (const auto& name : s.links) {
      require(state_.bridges.erase(name) + state_.veths.erase(name) == 1, "no such link " + name.str());
      for (auto& [host, veth] : state_.veths) {
        if (veth.bridge == name) veth.bridge = {};
      }
    }
  }

  void operator()(const step::SetSysctl& s) const {
    auto& sysctl = state_.sysctls[s.key];
    sysctl.value = s.to.value;
    for (const auto& [key, value] : s.to.related) sysctl.related[key] = value;
  }

  void operator()(const step::CommitRules& s) const {
    require(!s.edits.empty(), "a commit of nothing");
    auto& table = state_.rules[s.table];
    for (const auto& edit : s.edits) apply(table, edit);
    if (table.empty()) state_.rules.erase(s.table);
  }

  void operator()(const step::WriteFile& s) const {
    require(
        is_name_file(s.path) || std::any_of(state_.directories.begin(), state_.directories.end(),
                                            [&](const Id& id) { return s.path.starts_with("containers/" + id + "/"); }),
        "no directory for " + s.path);
    state_.files[s.path] = s.content;
  }
  void operator()(const step::RemoveFile& s) const { state_.files.erase(s.path); }
  void operator()(const step::StartNameServer& s) const {
    require(state_.files.contains(name_server_config_path(s.network)), "a name server without a configuration");
    require(state_.name_servers.insert(s.network).second, "a second name server");
  }
  void operator()(const step::StopNameServer& s) const {
    require(state_.name_servers.erase(s.network) == 1, "no such name server");
  }
  void operator()(const step::MakeDirectory& s) const {
    require(state_.directories.insert(s.container).second, "directory exists");
  }
  void operator()(const step::RemoveDirectory& s) const {
    require(state_.directories.erase(s.container) == 1, "no such directory");
    std::erase_if(state_.files,
                  [&](const auto& file) { return file.first.starts_with("containers/" + s.container + "/"); });
  }
  void operator()(const step::DeleteFlows& s) const {
    for (const auto& flow : s.flows) state_.flows.erase(flow);
  }

 private:
  void require_fresh(const InterfaceName& name) const {
    require(!state_.bridges.contains(name) && !state_.veths.contains(name), "link exists: " + name.str());
  }

  NamespaceState& space(const Id& container) const {
    const auto found = state_.namespaces.find(container);
    require(found != state_.namespaces.end(), "no namespace of " + container);
    return found->second;
  }

  VethState& peer(const LinkRef& link) const {
    space(link.container);
    for (auto& [host, veth] : state_.veths) {
      if (veth.container == link.container && veth.peer == link.name) return veth;
    }
    throw std::logic_error("the simulated kernel refuses: no " + link.name.str() + " in " + link.container);
  }

  BridgeState* adopted(const LinkRef& link) const {
    if (!link.container.empty()) return nullptr;
    const auto found = state_.bridges.find(link.name);
    return found == state_.bridges.end() || is_minibridge_group(found->second.group) ? nullptr : &found->second;
  }

  // The kernel takes one of each family, whatever the link.
  bool has_default_route(const Id& container, Family family) const {
    return std::any_of(state_.veths.begin(), state_.veths.end(), [&](const auto& entry) {
      const auto& gateways = entry.second.gateways;
      return entry.second.container == container &&
             std::any_of(gateways.begin(), gateways.end(),
                         [&](const IpAddress& gateway) { return gateway.family() == family; });
    });
  }

  std::vector<InterfaceAddress>& addresses_of(const LinkRef& link) const {
    if (!link.container.empty()) return peer(link).addresses;
    const auto found = state_.bridges.find(link.name);
    require(found != state_.bridges.end(), "no bridge " + link.name.str());
    return found->second.addresses;
  }

  template <class T, class U>
  static void set(T& present, const std::optional<U>& wanted) {
    if (wanted) present = *wanted;
  }

  void change_host_link(const InterfaceName& name, const step::LinkChange& to) const {
    if (const auto bridge = state_.bridges.find(name); bridge != state_.bridges.end()) {
      require(!to.master && !to.hairpin, "a bridge is no port");
      set(bridge->second.up, to.up);
      set(bridge->second.route_localnet, to.route_localnet);
      set(bridge->second.accept_ra, to.accept_ra);
      set(bridge->second.filters_frames, to.filters_frames);
      set(bridge->second.mac, to.mac);
      set(bridge->second.mtu, to.mtu);
      set(bridge->second.alias, to.alias);
      return;
    }
    const auto veth = state_.veths.find(name);
    require(veth != state_.veths.end(), "no link " + name.str());
    require(!to.master || to.master->str().empty() || state_.bridges.contains(*to.master), "no such master");
    set(veth->second.up, to.up);
    set(veth->second.bridge, to.master);
    require(!to.hairpin || !veth->second.bridge.str().empty(), "hairpin without a bridge");
    set(veth->second.hairpin, to.hairpin);
    set(veth->second.alias, to.alias);
  }

  static void change_peer(VethState& veth, const step::LinkChange& to) {
    require(!to.master && !to.hairpin && !to.alias && !to.route_localnet, "odd change of a container's link");
    set(veth.peer_up, to.up);
    set(veth.mac, to.mac);
    set(veth.mtu, to.mtu);
    if (!veth.peer_up) veth.gateways.clear();
  }

  static bool is_jumped_to(const TableRules& table, const std::string& chain) {
    const auto any = [&](const std::map<std::string, Rules>& chains) {
      return std::any_of(chains.begin(), chains.end(), [&](const auto& entry) {
        return entry.first != chain && std::any_of(entry.second.begin(), entry.second.end(), [&](const Rule& rule) {
                 const auto* jump = jump_of(rule);
                 return jump != nullptr && *jump == chain;
               });
      });
    };
    return any(table.hooks) || any(table.chains);
  }

  static void apply(TableRules& table, const step::RuleEdit& edit) {
    using Kind = step::RuleEdit::Kind;
    switch (edit.kind) {
      case Kind::add_chain: table.chains[edit.chain]; return;
      case Kind::remove_chain:
        if (edit.chain == kUserChain && !table.chains[edit.chain].empty()) return;
        require(!is_jumped_to(table, edit.chain), "chain is jumped to: " + edit.chain);
        table.chains.erase(edit.chain);
        return;
      case Kind::insert: insert(table, edit); return;
      case Kind::remove: remove(table, edit); return;
    }
  }

  static Rules& chain_of(TableRules& table, const std::string& name) {
    if (!is_ours(name)) return table.hooks[name];
    const auto found = table.chains.find(name);
    require(found != table.chains.end(), "no chain " + name);
    return found->second;
  }

  static void insert(TableRules& table, const step::RuleEdit& edit) {
    const auto* jump = jump_of(edit.rule);
    require(jump == nullptr || !is_ours(*jump) || table.chains.contains(*jump), "jump to no chain");
    auto& rules = chain_of(table, edit.chain);
    const auto at = std::min(edit.position, rules.size());
    rules.insert(rules.begin() + static_cast<std::ptrdiff_t>(at), edit.rule);
  }

  // As iptables -D: the first that is equal, wherever it is; none is no error.
  static void remove(TableRules& table, const step::RuleEdit& edit) {
    auto& rules = chain_of(table, edit.chain);
    const auto found = std::find(rules.begin(), rules.end(), edit.rule);
    if (found != rules.end()) rules.erase(found);
    if (!is_ours(edit.chain) && rules.empty()) table.hooks.erase(edit.chain);
  }

  KernelState& state_;
};

// The whole rule set without what the filter drops; empty tables and chains of others vanish.
Ruleset hooks_where(const Ruleset& rules, bool ours) {
  Ruleset result;
  for (const auto& [key, table] : rules) {
    TableRules kept;
    if (ours) kept.chains = table.chains;
    for (const auto& [chain, hooks] : table.hooks) {
      for (const auto& rule : hooks) {
        if (jumps_to_ours(rule) == ours) kept.hooks[chain].push_back(rule);
      }
    }
    if (!kept.empty()) result[key] = kept;
  }
  return result;
}

bool belongs_to(const std::string& path, const std::set<Id>& directories) {
  return std::any_of(directories.begin(), directories.end(),
                     [&](const Id& id) { return path.starts_with("containers/" + id + "/"); });
}

}  // namespace

KernelState apply_step(KernelState world, const Step& step) {
  std::visit(World(world), step);
  return world;
}

KernelState apply_all(KernelState world, const Plan& plan) {
  for (const auto& step : plan) std::visit(World(world), step);
  return world;
}

Actual observe(const KernelState& world, const Identity& identity, const Scope& scope) {
  Actual seen = world;
  const auto ours = [&](std::uint32_t group) { return group == identity.group || group == identity.trash; };
  seen.rules = hooks_where(world.rules, true);
  std::erase_if(seen.bridges, [&](const auto& entry) {
    return !scope.bridges.contains(entry.first) &&
           !(scope.everything && (ours(entry.second.group) || !entry.second.marked.empty()));
  });
  std::erase_if(seen.veths, [&](const auto& entry) {
    return !scope.veths.contains(entry.first) && !(scope.everything && ours(entry.second.group));
  });
  if (scope.everything) return seen;
  std::erase_if(seen.namespaces, [&](const auto& entry) { return !scope.namespaces.contains(entry.first); });
  std::erase_if(seen.sysctls, [&](const auto& entry) { return !scope.sysctls.contains(entry.first); });
  std::erase_if(seen.directories, [&](const Id& id) { return !scope.directories.contains(id); });
  std::erase_if(seen.files, [&](const auto& entry) {
    return !belongs_to(entry.first, scope.directories) && !scope.files.contains(entry.first);
  });
  std::erase_if(seen.name_servers, [&](const Id& id) { return !scope.name_servers.contains(id); });
  for (auto& [key, table] : seen.rules) {
    for (auto& [name, rules] : table.chains) {
      if (!is_by_owner(name)) continue;
      std::erase_if(rules, [&](const Rule& rule) { return !scope.owners.contains(std::string(owner_of(rule))); });
    }
  }
  return seen;
}

KernelState strangers_of(const KernelState& world) {
  KernelState others;
  others.rules = hooks_where(world.rules, false);
  for (const auto& [name, bridge] : world.bridges) {
    if (!is_minibridge_group(bridge.group)) others.bridges[name] = bridge;
  }
  for (const auto& [name, veth] : world.veths) {
    if (!is_minibridge_group(veth.group)) others.veths[name] = veth;
  }
  return others;
}

}  // namespace mb::test
