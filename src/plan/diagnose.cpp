// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/diagnose.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "src/base/text.h"
#include "src/plan/diagnose_rules.h"
#include "src/plan/names.h"

namespace mb::plan {
namespace {

std::string conf(Family family, std::string_view interface, std::string_view key) {
  return fmt::format("net/{}/conf/{}/{}", family == Family::v4 ? "ipv4" : "ipv6", interface, key);
}

std::string set_command(std::string_view key, std::string_view value) {
  return fmt::format("sysctl -w {}={}", key, value);
}

std::string_view forwarding_key(Family family) {
  return family == Family::v4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";
}

class Diagnosis {
 public:
  explicit Diagnosis(const DiagnoseInput& input) : input_(input), report_(input.report) {}

  std::vector<Finding> run() {
    tables();
    extensions();
    switched_off();
    differences();
    for (const Family family : {Family::v4, Family::v6}) {
      if (!has_networks(family)) continue;
      forwarding(family);
      reverse_path(family);
    }
    for (auto& finding : diagnose_rules(report_, input_.networks, input_.containers))
      findings_.push_back(std::move(finding));
    routes();
    lost_addresses();
    held_ports();
    connection_tracking();
    packet_sizes();
    bridge_firewall();
    names();
    std::stable_sort(findings_.begin(), findings_.end(),
                     [](const Finding& a, const Finding& b) { return a.weight < b.weight; });
    return std::move(findings_);
  }

 private:
  void add(Weight weight, std::string kind, std::string seen, std::string why, std::string mend) {
    findings_.push_back({weight, std::move(kind), std::move(seen), std::move(why), std::move(mend)});
  }

  std::string sysctl(std::string_view key) const {
    const auto found = report_.sysctls.find(std::string(key));
    return found == report_.sysctls.end() ? "" : found->second;
  }

  long number(std::string_view key, long otherwise) const {
    const auto text = sysctl(key);
    long value = otherwise;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }

  bool has_networks(Family family) const {
    return std::any_of(input_.networks.begin(), input_.networks.end(),
                       [&](const Network& network) { return network.pool(family) != nullptr; });
  }

  std::set<std::string> uplinks(Family family) const {
    const auto found = report_.uplinks.find(family);
    return found == report_.uplinks.end() ? std::set<std::string>{} : found->second;
  }

  // The interfaces by which packets of our networks come in.
  std::set<std::string> ways_in(Family family) const {
    auto names = uplinks(family);
    for (const auto& network : input_.networks) {
      if (network.pool(family) != nullptr) names.insert(network.bridge.str());
    }
    return names;
  }

  // --- what our rules stand on

  void tables() {
    for (const auto& lost : report_.unreadable) {
      add(Weight::stops, "no_legacy_tables", lost.message,
          fmt::format("the rules of minibridge live in the {} tables of legacy {}; without them nothing is published "
                      "and no network is isolated",
                      to_string(lost.table.family), lost.table.family == Family::v4 ? "iptables" : "ip6tables"),
          lost.table.family == Family::v4 ? fmt::format("modprobe iptable_{}", to_string(lost.table.table))
                                          : fmt::format("modprobe ip6table_{}", to_string(lost.table.table)));
    }
  }

  void extensions() {
    for (const auto& extension : report_.missing_extensions) {
      const auto name = extension.substr(0, extension.find(' '));
      const bool optional = name == "devgroup";
      add(optional ? Weight::remark : Weight::stops, "missing_extension",
          fmt::format("this kernel has no {} of iptables", extension),
          optional ? "our rules name each bridge instead, so there are more of them"
                   : "our rules need it, and no verb that adds a network or a container can succeed",
          fmt::format("modprobe xt_{}", name));
    }
  }

  // The addresses went with it, and while it is off nobody can put them back.
  void switched_off() {
    for (const auto& network : input_.networks) {
      const auto key = conf(Family::v6, network.bridge.str(), "disable_ipv6");
      if (network.pool(Family::v6) == nullptr || sysctl(key) != "1") continue;
      add(Weight::stops, "ipv6_off", fmt::format("{} is 1", key),
          fmt::format("the bridge of network '{}' has no IPv6 addresses: its containers have lost their gateway",
                      network.name.str()),
          set_command(key, "0") + " && minibridge repair");
    }
  }

  void differences() {
    constexpr std::size_t kShown = 5;
    std::vector<std::string> words;
    std::size_t more = 0;
    for (const auto& step : input_.differences) {
      if (is_host_switch(step)) continue;  // has a finding of its own
      if (words.size() < kShown) {
        words.push_back(print(step, input_.name_of));
      } else {
        ++more;
      }
    }
    if (words.empty()) return;
    if (more > 0) words.push_back(fmt::format("{} more", more));
    add(Weight::stops, "differs",
        fmt::format("not everything is as minibridge made it; to be done again: {}", join(words, "; ")),
        "somebody changed rules, links, addresses or switches of ours since", "minibridge repair");
  }

  static bool is_host_switch(const Step& step) {
    const auto* set = std::get_if<step::SetSysctl>(&step);
    return set != nullptr && set->key.container.empty();
  }

  // --- switches

  void forwarding(Family family) {
    const auto key = forwarding_key(family);
    if (sysctl(key) == "0") {
      add(Weight::stops, "ip_forward", fmt::format("{} is 0", key),
          fmt::format("the kernel passes no {} packet on: no container reaches the outside or is reached from there",
                      to_string(family)),
          "minibridge repair");
      return;
    }
    if (family == Family::v6) return;  // where an interface's own switch does not decide
    for (const auto& name : ways_in(family)) {
      const auto own = conf(family, name, "forwarding");
      if (sysctl(own) != "0") continue;
      add(Weight::stops, "interface_forwarding", fmt::format("{} is 0, though forwarding is on for the host", own),
          fmt::format("packets that come in by '{}' are not passed on", name), set_command(own, "1"));
    }
  }

  // 1 (strict): what comes in by another interface than answers would leave by is dropped without a word. The higher of
  // the interface's own value and that of `all` counts.
  void reverse_path(Family family) {
    if (family == Family::v6) return;
    const auto ways_out = uplinks(family);
    for (const auto& name : ways_in(family)) {
      const auto own = conf(family, name, "rp_filter");
      const bool from_all = number(conf(family, "all", "rp_filter"), 0) == 1 && number(own, 0) == 0;
      if (number(own, 0) != 1 && !from_all) continue;
      const bool is_uplink = ways_out.contains(name);
      if (is_uplink ? ways_out.size() < 2 : !is_hidden(name)) continue;
      add(Weight::may_stop, "rp_filter",
          fmt::format("{} is 1 (strict)", from_all ? conf(family, "all", "rp_filter") : own),
          is_uplink
              ? fmt::format("the host has several ways out ({}); a packet to a published port that comes in by '{}' is "
                            "dropped when its answer would leave by another",
                            join({ways_out.begin(), ways_out.end()}, ", "), name)
              : fmt::format("another interface has a route to the subnet of '{}' too, so what its containers send is "
                            "taken for forged and dropped",
                            name),
          set_command(own, "2"));
    }
  }

  bool is_hidden(const std::string& bridge) const {
    return std::any_of(input_.networks.begin(), input_.networks.end(), [&](const Network& network) {
      return network.bridge.str() == bridge &&
             std::any_of(report_.routes.begin(), report_.routes.end(), [&](const Route& route) {
               return std::any_of(network.pools.begin(), network.pools.end(),
                                  [&](const AddressPool& pool) { return takes_from(route, network, pool); });
             });
    });
  }

  // --- routes

  static bool takes_from(const Route& route, const Network& network, const AddressPool& pool) {
    return route.interface != network.bridge.str() && pool.subnet.contains(route.destination);
  }

  void routes() {
    for (const auto& network : input_.networks) {
      for (const auto& pool : network.pools) {
        for (const auto& route : report_.routes) overlap(network, pool, route);
      }
    }
  }

  void overlap(const Network& network, const AddressPool& pool, const Route& route) {
    if (route.interface == network.bridge.str() || route.destination.family() != pool.subnet.family()) return;
    if (!route.destination.overlaps(pool.subnet)) return;
    const std::string through = route.interface.empty() ? "" : fmt::format(" through '{}'", route.interface);
    const bool takes = takes_from(route, network, pool);
    add(takes ? Weight::stops : Weight::remark, "route_overlap",
        fmt::format("the host's route to {}{} overlaps {}, the subnet of network '{}'", route.destination.str(),
                    through, pool.subnet.str(), network.name.str()),
        takes ? fmt::format("packets for containers with an address in {} go there instead of into the network",
                            route.destination.str())
              : fmt::format("what is behind that route with an address in {} cannot be reached from this host",
                            pool.subnet.str()),
        takes && !route.interface.empty()
            ? fmt::format("ip route del {} dev {}", route.destination.str(), route.interface)
            : fmt::format("minibridge network create --subnet ANOTHER {}2", network.name.str()));
  }

  // --- addresses of the host that were named

  bool has_lost(const IpAddress& address) const {
    return !address.is_any() && !address.is_loopback() && !report_.local_addresses.contains(address);
  }

  void lost_addresses() {
    for (const auto& container : input_.containers) {
      for (const auto& port : container.ports) {
        if (has_lost(port.host_address)) lost_port(container, port);
      }
    }
    for (const auto& network : input_.networks) {
      if (network.snat_to && has_lost(*network.snat_to)) lost_source(network, *network.snat_to);
    }
  }

  void lost_port(const Container& container, const PublishedPort& port) {
    const PublishSpec spec{port.host_address, port.host_ports, port.container_ports, port.protocol};
    add(Weight::stops, "address_lost",
        fmt::format("the host has no address {} any more, on which '{}' has published {}", port.host_address.str(),
                    container.name.str(), port.str()),
        "only what is for an address of this host is looked at for published ports: nobody reaches this one. Give the "
        "host its address back, or take the port back",
        fmt::format("minibridge unpublish {} {}", container.name.str(), spec.str()));
  }

  void lost_source(const Network& network, const IpAddress& address) {
    add(Weight::stops, "address_lost",
        fmt::format("the host has no address {} any more, under which the containers of network '{}' go out",
                    address.str(), network.name.str()),
        "answers to it do not come to this host",
        fmt::format("ip address add {}/{} dev lo", address.str(), address_bits(address.family())));
  }

  // --- programs on ports

  void held_ports() {
    for (const auto& container : input_.containers) {
      if (!container.wants_network()) continue;
      for (const auto& port : container.ports) {
        for (const auto& held : report_.held) {
          if (collides(held.listener, port) && !is_own(held, container)) held_port(container, port, held);
        }
      }
    }
  }

  static bool collides(const Listener& listener, const PublishedPort& port) {
    if (listener.protocol != port.protocol || !port.host_ports.contains(listener.port)) return false;
    if (listener.address.family() != port.host_address.family()) return false;
    return listener.address == port.host_address || listener.address.is_any() || port.host_address.is_any();
  }

  // A supervisor keeps the ports of its container from others.
  static bool is_own(const HostReport::Held& held, const Container& container) {
    return container.supervisor_pid != 0 && held.holder.ends_with(fmt::format("(pid {})", container.supervisor_pid));
  }

  void held_port(const Container& container, const PublishedPort& port, const HostReport::Held& held) {
    add(Weight::remark, "port_held",
        fmt::format("{} listens on {} port {} of this host, which '{}' has published ({})",
                    held.holder.empty() ? "a program" : held.holder, to_string(port.protocol), held.listener.port,
                    container.name.str(), port.str()),
        "the published port goes first: nobody reaches that program there, and when the container ends it takes over",
        fmt::format("minibridge unpublish {} {}", container.name.str(), held.listener.port));
  }

  // --- limits

  void connection_tracking() {
    const long most = number("net/netfilter/nf_conntrack_max", 0);
    const long count = number("net/netfilter/nf_conntrack_count", 0);
    constexpr long kTenth = 10;
    if (most <= 0 || count < most - most / kTenth) return;
    add(count >= most ? Weight::stops : Weight::may_stop, "conntrack_full",
        fmt::format("connection tracking holds {} of at most {} flows", count, most),
        "when it is full every new connection is dropped, to containers and to the host",
        set_command("net/netfilter/nf_conntrack_max", fmt::format("{}", most * 2)));
  }

  const HostLink* link(const std::string& name) const {
    const auto found =
        std::find_if(report_.links.begin(), report_.links.end(), [&](const HostLink& l) { return l.name == name; });
    return found == report_.links.end() ? nullptr : &*found;
  }

  void packet_sizes() {
    std::set<std::string> names = uplinks(Family::v4);
    names.merge(uplinks(Family::v6));
    for (const auto& name : names) {
      const auto* uplink = link(name);
      if (uplink == nullptr) continue;
      for (const auto& network : input_.networks) packet_size(network, *uplink);
    }
  }

  void packet_size(const Network& network, const HostLink& uplink) {
    const auto* bridge = link(network.bridge.str());
    if (network.internal || bridge == nullptr || bridge->mtu <= uplink.mtu) return;
    add(Weight::remark, "mtu",
        fmt::format("packets in network '{}' may have {} bytes, '{}' carries {}", network.name.str(), bridge->mtu,
                    uplink.name, uplink.mtu),
        "larger packets are cut, or refused with a message that firewalls on the way back often swallow: connections "
        "then "
        "begin well and hang with the first large answer",
        fmt::format("minibridge network create --mtu {} {}2", uplink.mtu, network.name.str()));
  }

  // --- good to know

  void bridge_firewall() {
    if (sysctl("net/bridge/bridge-nf-call-iptables") != "1" || input_.networks.empty()) return;
    add(Weight::remark, "br_netfilter", "net/bridge/bridge-nf-call-iptables is 1 (br_netfilter)",
        "what containers of one network send each other passes the FORWARD chains of everybody too. Ours let it "
        "through "
        "with this switch on and off; a foreign rule that stops it is listed above",
        "");
  }

  void names() {
    const bool wanted = std::any_of(input_.networks.begin(), input_.networks.end(), serves_names);
    if (report_.has_dnsmasq || !wanted) return;
    add(Weight::remark, "no_dnsmasq", "there is no dnsmasq on this host",
        "containers of a network do not find each other by name over DNS; /etc/hosts is kept up to date all the same",
        "apt install dnsmasq-base");
  }

  const DiagnoseInput& input_;
  const HostReport& report_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> diagnose(const DiagnoseInput& input) { return Diagnosis(input).run(); }

std::vector<Finding> certain_stops(const HostReport& report, const std::vector<Network>& networks,
                                   const std::vector<Container>& containers) {
  auto findings = diagnose_rules(report, networks, containers);
  std::erase_if(findings, [](const Finding& finding) { return finding.weight != Weight::stops; });
  return findings;
}

ReportScope report_scope(const std::vector<Network>& networks, const std::vector<Container>& containers) {
  ReportScope scope;
  for (const auto& network : networks) {
    scope.links.insert(network.bridge.str());
    scope.ipv6 = scope.ipv6 || network.pool(Family::v6) != nullptr;
  }
  for (const auto& container : containers) {
    scope.ports.insert(scope.ports.end(), container.ports.begin(), container.ports.end());
  }
  return scope;
}

}  // namespace mb::plan
