// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/diff.h"

#include <algorithm>
#include <set>
#include <string>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/model/name_files.h"
#include "src/model/sysctls.h"
#include "src/plan/diff_rules.h"
#include "src/plan/rules.h"

namespace mb::plan {
namespace {

template <class T>
bool contains(const std::vector<T>& values, const T& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

// Notes an attribute that has to change, with what it was.
template <class T>
void note(std::optional<T>& to, std::optional<T>& before, const T& wanted, const T& present) {
  if (wanted == present) return;
  to = wanted;
  before = present;
}

// The steps in the phases in which they are carried out; each phase is filled by whoever finds a difference.
struct Phases {
  Plan links_down;
  Plan early_rules;  // isolation stands before links come
  Plan uplinks;      // settings of the host's own interfaces, before forwarding is switched on
  Plan sysctls;
  Plan namespaces;
  Plan links;
  Plan routes;        // those that go before those that come: the kernel takes one default route at a time
  Plan name_servers;  // when they have their addresses
  Plan late_rules;    // published ports come when there is somebody to answer
  Plan flows;
  Plan announcements;
  Plan name_servers_gone;
  Plan links_gone;
  Plan namespaces_gone;
  Plan sysctls_back;

  Plan in_order() && {
    Plan all;
    for (auto* phase :
         {&links_down, &early_rules, &uplinks, &sysctls, &namespaces, &links, &routes, &name_servers, &late_rules,
          &flows, &announcements, &name_servers_gone, &links_gone, &namespaces_gone, &sysctls_back}) {
      std::move(phase->begin(), phase->end(), std::back_inserter(all));
    }
    return all;
  }
};

class Differ {
 public:
  Differ(const Desired& desired, const Actual& actual, const Identity& identity, const Scope& scope)
      : desired_(desired), actual_(actual), identity_(identity), scope_(scope) {}

  Plan run() && {
    refuse_foreign_objects();
    diff_name_servers();
    diff_directories();  // before the namespaces: a new one is still being made meanwhile
    diff_namespaces();
    diff_bridges();
    take_default_routes_back();
    diff_veths();
    diff_sysctls();
    diff_rules();
    if (!actual_.flows.empty()) {
      phases_.flows.emplace_back(step::DeleteFlows{{actual_.flows.begin(), actual_.flows.end()}});
    }
    if (!down_.empty()) phases_.links_down.emplace_back(step::TakeLinksDown{down_});
    if (!gone_.empty()) phases_.links_gone.emplace_back(step::DeleteLinks{gone_});
    return std::move(phases_).in_order();
  }

 private:
  void refuse_if_foreign(const InterfaceName& name, std::uint32_t group) const {
    if (is_ours(group)) return;
    const bool other_state = is_minibridge_group(group);
    throw Error(
        ErrorKind::conflict,
        fmt::format("an interface '{}' exists already and {}", name.str(),
                    other_state ? "belongs to another state directory of minibridge" : "was not made by minibridge"),
        other_state ? "use that state directory (--state-dir), or take its objects away with 'minibridge down' there"
                    : "choose another name with --bridge-name, or remove that interface");
  }

  void refuse_foreign_objects() const {
    for (const auto& [name, bridge] : actual_.bridges) {
      const auto wanted = desired_.bridges.find(name);
      if (wanted == desired_.bridges.end()) continue;
      const bool may_be_foreign = wanted->second.adopted && !is_minibridge_group(bridge.group);
      if (!may_be_foreign) refuse_if_foreign(name, bridge.group);
    }
    for (const auto& [name, veth] : actual_.veths) {
      if (desired_.veths.contains(name)) refuse_if_foreign(name, veth.group);
    }
    const auto group = group_in(actual_.rules);
    if (group && *group != identity_.group) {
      throw Error(ErrorKind::conflict,
                  "the MINIBRIDGE chains of iptables belong to another state directory of minibridge",
                  "use that state directory (--state-dir), or take its rules away with 'minibridge down' there");
    }
  }

  void diff_namespaces() {
    for (const auto& [id, wanted] : desired_.namespaces) {
      const auto found = actual_.namespaces.find(id);
      const bool unknown = found == actual_.namespaces.end();
      const bool missing = unknown || !found->second.pinned;
      if (missing) phases_.namespaces.emplace_back(step::PinNamespace{id, wanted.source});
      // A new one of our own comes with it up.
      if (wanted.loopback_up && (missing ? !wanted.source.empty() : !found->second.loopback_up)) {
        step::LinkChange up;
        up.up = true;
        step::LinkChange before;
        if (!missing) before.up = false;
        phases_.namespaces.emplace_back(step::ChangeLink{{id, InterfaceName::parse("lo")}, up, before});
      }
      const std::string present = unknown ? "" : found->second.link_name;
      if (!present.empty() && present != wanted.link_name) {
        phases_.namespaces_gone.emplace_back(step::UnlinkNamespace{id, present});
      }
      if (!wanted.link_name.empty() && present != wanted.link_name) {
        phases_.namespaces.emplace_back(step::LinkNamespace{id, wanted.link_name});
      }
    }
    step::UnpinNamespaces unpinned;
    for (const auto& [id, present] : actual_.namespaces) {
      if (desired_.namespaces.contains(id)) continue;
      if (!present.link_name.empty())
        phases_.namespaces_gone.emplace_back(step::UnlinkNamespace{id, present.link_name});
      // With neither pin nor name it is the file that a killed process had made to mount on.
      if (present.pinned || present.link_name.empty()) unpinned.containers.push_back(id);
    }
    if (!unpinned.containers.empty()) phases_.namespaces_gone.emplace_back(std::move(unpinned));
  }

  // What a server was started with it keeps, so another configuration needs another server.
  void diff_name_servers() {
    for (const auto& network : desired_.name_servers) {
      const bool runs = actual_.name_servers.contains(network);
      const auto path = name_server_config_path(network);
      const auto present = actual_.files.find(path);
      const bool same = present != actual_.files.end() && present->second == desired_.files.at(path);
      if (runs && !same) phases_.namespaces.emplace_back(step::StopNameServer{network});
      if (!runs || !same) phases_.name_servers.emplace_back(step::StartNameServer{network});
    }
    for (const auto& network : actual_.name_servers) {
      if (!desired_.name_servers.contains(network)) {
        phases_.name_servers_gone.emplace_back(step::StopNameServer{network});
      }
    }
    for (const auto& [path, content] : actual_.files) {
      if (!is_name_file(path) || desired_.files.contains(path)) continue;
      phases_.name_servers_gone.emplace_back(step::RemoveFile{path, content});
    }
  }

  void diff_directories() {
    for (const auto& id : desired_.directories) {
      if (!actual_.directories.contains(id)) phases_.namespaces.emplace_back(step::MakeDirectory{id});
    }
    for (const auto& [path, content] : desired_.files) {
      const auto found = actual_.files.find(path);
      if (found == actual_.files.end()) {
        phases_.namespaces.emplace_back(step::WriteFile{path, content, std::nullopt});
      } else if (found->second != content) {
        phases_.namespaces.emplace_back(step::WriteFile{path, content, found->second});
      }
    }
    for (const auto& id : actual_.directories) {
      if (!desired_.directories.contains(id)) phases_.namespaces_gone.emplace_back(step::RemoveDirectory{id});
    }
  }

  void diff_bridges() {
    for (const auto& [name, wanted] : desired_.bridges) {
      const auto found = actual_.bridges.find(name);
      const bool present = found != actual_.bridges.end();
      if (wanted.adopted) {
        // Where it has gone there is nothing to do: it is its owner's to make it again.
        if (present) adjust_adopted(wanted.name, wanted.addresses, found->second);
      } else if (!present || is_half_deleted(found->second.group)) {
        if (present) make_room(name);
        phases_.links.emplace_back(step::AddBridge{wanted});
        BridgeState fresh;
        fresh.mac = wanted.mac;
        fresh.mtu = wanted.mtu;
        fresh.up = false;
        fresh.route_localnet = false;
        adjust_bridge(wanted, fresh, true);
      } else {
        adjust_bridge(wanted, found->second, false);
      }
    }
    for (const auto& [name, present] : actual_.bridges) {
      if (desired_.bridges.contains(name)) continue;
      if (is_ours(present.group)) take_out(name, present.up);
      if (!is_minibridge_group(present.group)) adjust_adopted(name, {}, present);
    }
  }

  // Of a bridge that is somebody else's only the addresses with our mark are ours.
  void adjust_adopted(const InterfaceName& name, const std::vector<InterfaceAddress>& wanted,
                      const BridgeState& present) {
    const LinkRef link{{}, name};
    for (const auto& address : wanted) {
      if (!contains(present.addresses, address)) phases_.links.emplace_back(step::AddAddress{link, address});
    }
    for (const auto& address : present.marked) {
      if (!contains(wanted, address)) phases_.links_gone.emplace_back(step::DeleteAddress{link, address});
    }
  }

  void adjust_bridge(const BridgeState& wanted, const BridgeState& present, bool fresh) {
    const LinkRef link{{}, wanted.name};
    step::LinkChange to;
    step::LinkChange before;
    note(to.mac, before.mac, wanted.mac, present.mac);
    if (wanted.mtu != 0) note(to.mtu, before.mtu, wanted.mtu, present.mtu);
    if (wanted.filters_frames != present.filters_frames) {
      to.filters_frames = wanted.filters_frames;
      before.filters_frames = present.filters_frames;
    }
    note(to.route_localnet, before.route_localnet, wanted.route_localnet, present.route_localnet);
    note(to.accept_ra, before.accept_ra, wanted.accept_ra, present.accept_ra);
    note(to.alias, before.alias, wanted.alias, present.alias);
    for (const auto& address : wanted.addresses) {
      if (!contains(present.addresses, address)) phases_.links.emplace_back(step::AddAddress{link, address});
    }
    note(to.up, before.up, wanted.up, present.up);
    change_link(link, to, before, fresh);
  }

  // A pair whose other end is not where it belongs cannot be mended, only made anew.
  bool can_stay(const VethState& present, const VethState& wanted) const {
    return present.peer == wanted.peer && !is_half_deleted(present.group);
  }

  // In a container that stays: those of endpoints that go, too. Their link is down by then, and yet its routes would be
  // in the way of others.
  void take_default_routes_back() {
    for (const auto& [name, present] : actual_.veths) {
      if (!is_ours(present.group) || !desired_.namespaces.contains(present.container)) continue;
      const auto wanted = desired_.veths.find(name);
      const bool goes = wanted == desired_.veths.end();
      if (!goes && !can_stay(present, wanted->second)) continue;  // by then the pair has been made anew
      for (const auto& gateway : present.gateways) {
        if (!goes && contains(wanted->second.gateways, gateway)) continue;
        phases_.routes.emplace_back(step::DeleteDefaultRoute{{present.container, present.peer}, gateway});
      }
    }
  }

  void diff_veths() {
    for (const auto& [name, wanted] : desired_.veths) {
      const auto found = actual_.veths.find(name);
      const bool present = found != actual_.veths.end();
      if (present && can_stay(found->second, wanted)) {
        VethState remaining = found->second;
        const auto bridge = actual_.bridges.find(remaining.bridge);
        const bool bridge_goes = bridge != actual_.bridges.end() && is_half_deleted(bridge->second.group);
        if (bridge_goes) {  // its port's settings go with it
          remaining.bridge = {};
          remaining.hairpin = false;
          remaining.isolated = false;
        }
        adjust_veth(wanted, remaining, false);
      } else {
        if (present) make_room(name);
        phases_.links.emplace_back(step::AddVeth{wanted});
        VethState fresh = wanted;
        fresh.peer_up = false;
        fresh.addresses.clear();
        fresh.gateways.clear();
        fresh.rested.clear();
        adjust_veth(wanted, fresh, true);
      }
    }
    for (const auto& [name, present] : actual_.veths) {
      if (is_ours(present.group) && !desired_.veths.contains(name)) take_out(name, present.up);
    }
  }

  void adjust_veth(const VethState& wanted, const VethState& present, bool fresh) {
    const LinkRef host{{}, wanted.host};
    step::LinkChange to;
    step::LinkChange before;
    note(to.master, before.master, wanted.bridge, present.bridge);
    note(to.hairpin, before.hairpin, wanted.hairpin, present.hairpin);
    note(to.isolated, before.isolated, wanted.isolated, present.isolated);
    note(to.alias, before.alias, wanted.alias, present.alias);
    note(to.up, before.up, wanted.up, present.up);
    if (wanted.mtu != 0) note(to.mtu, before.mtu, wanted.mtu, present.mtu);
    change_link(host, to, before, fresh);
    adjust_peer(wanted, present, fresh);
  }

  void adjust_peer(const VethState& wanted, const VethState& present, bool fresh) {
    const LinkRef peer{wanted.container, wanted.peer};
    step::LinkChange to;
    step::LinkChange before;
    note(to.mac, before.mac, wanted.mac, present.mac);
    if (wanted.mtu != 0) note(to.mtu, before.mtu, wanted.mtu, present.mtu);
    note(to.up, before.up, wanted.peer_up, present.peer_up);
    step::Announce announcement{peer, wanted.host, wanted.mac, {}};
    for (const auto& address : wanted.addresses) {
      if (contains(present.addresses, address)) continue;
      phases_.links.emplace_back(step::AddAddress{peer, address});
      if (contains(wanted.rested, address.address)) announcement.addresses.push_back(address.address);
    }
    change_link(peer, to, before, fresh);
    if (!announcement.addresses.empty()) phases_.announcements.emplace_back(std::move(announcement));
    for (const auto& gateway : wanted.gateways) {
      if (!contains(present.gateways, gateway)) phases_.routes.emplace_back(step::AddDefaultRoute{peer, gateway});
    }
  }

  void change_link(const LinkRef& link, const step::LinkChange& to, const step::LinkChange& before, bool fresh) {
    if (to.empty()) return;
    phases_.links.emplace_back(step::ChangeLink{link, to, fresh ? step::LinkChange{} : before});
  }

  void diff_sysctls() {
    for (const auto& [key, wanted] : desired_.sysctls) {
      const auto found = actual_.sysctls.find(key);
      const SysctlState present = found == actual_.sysctls.end() ? SysctlState{} : found->second;
      if (present.value == wanted.value) continue;
      const bool unknown = key.container.empty() && found == actual_.sysctls.end();
      if (unknown && !is_forwarding_switch(key.name))
        continue;  // of an interface that has gone, and its switches with it
      auto& phase = wanted.put_back                  ? phases_.sysctls_back
                    : !key.container.empty()         ? phases_.links
                    : is_forwarding_switch(key.name) ? phases_.sysctls
                                                     : phases_.uplinks;
      phase.emplace_back(step::SetSysctl{key, wanted, present});
    }
  }

  void diff_rules() {
    std::set<TableKey> keys;
    for (const auto* rules : {&desired_.rules, &actual_.rules}) {
      for (const auto& [key, ignored] : *rules) keys.insert(key);
    }
    const TableRules none;
    for (const auto& key : keys) {
      const auto wanted = desired_.rules.find(key);
      const auto present = actual_.rules.find(key);
      auto commit = diff_table(key, wanted == desired_.rules.end() ? none : wanted->second,
                               present == actual_.rules.end() ? none : present->second, scope_);
      if (!commit) continue;
      auto& phase = key.table == Table::nat ? phases_.late_rules : phases_.early_rules;
      phase.emplace_back(std::move(*commit));
    }
  }

  // Somebody died while deleting it: what is in this group goes as a whole, so nothing that is wanted may stay in it.
  bool is_half_deleted(std::uint32_t group) const { return group == identity_.trash; }

  // A link that is to be made anew under the same name.
  void make_room(const InterfaceName& name) {
    phases_.links.emplace_back(step::TakeLinksDown{{name}});
    phases_.links.emplace_back(step::DeleteLinks{{name}});
  }

  bool is_ours(std::uint32_t group) const { return group == identity_.group || group == identity_.trash; }

  void take_out(const InterfaceName& name, bool up) {
    if (up) down_.push_back(name);
    gone_.push_back(name);
  }

  const Desired& desired_;
  const Actual& actual_;
  const Identity& identity_;
  const Scope& scope_;
  Phases phases_;
  std::vector<InterfaceName> down_;
  std::vector<InterfaceName> gone_;
};

}  // namespace

Plan diff(const Desired& desired, const Actual& actual, const Identity& identity, const Scope& scope) {
  return Differ(desired, actual, identity, scope).run();
}

}  // namespace mb::plan
