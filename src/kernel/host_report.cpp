// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/host_report.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "src/kernel/kernel.h"
#include "src/kernel/links.h"
#include "src/kernel/listeners.h"
#include "src/kernel/nf_tables.h"
#include "src/kernel/sysctls.h"
#include "src/model/chains.h"

namespace mb::kernel {
namespace {

constexpr std::array<Table, 5> kInOrder = {Table::raw, Table::mangle, Table::nat, Table::filter, Table::security};

class Gatherer {
 public:
  Gatherer(const ReportScope& scope, Socket& host, const Iptables& iptables)
      : scope_(scope), host_(host), iptables_(iptables) {}

  HostReport gather() {
    report_.tables = read_nf_tables();
    if (!scope_.everything) {
      add_table({Family::v4, Table::filter});
      if (scope_.ipv6) add_table({Family::v6, Table::filter});
      links();
      routes();
      return std::move(report_);
    }
    for (const Family family : {Family::v4, Family::v6}) {
      if (family == Family::v4 || scope_.ipv6) legacy_tables(family);
    }
    extensions();
    links();
    local_addresses();
    routes();
    sysctls();
    held_ports();
    return std::move(report_);
  }

 private:
  static bool is_minibridges(Table table) {
    return table == Table::raw || table == Table::nat || table == Table::filter;
  }

  void legacy_tables(Family family) {
    const bool have_networks = !scope_.links.empty();
    for (const Table table : kInOrder) {
      const bool ours = have_networks && is_minibridges(table);
      if (ours || Iptables::has_table({family, table})) add_table({family, table});
    }
  }

  void add_table(TableKey key) {
    try {
      report_.tables.push_back(iptables_.read_all(key));
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::privilege) throw;
      report_.unreadable.push_back({key, e.message(), e.hint()});
    }
  }

  void extensions() {
    for (const auto& missing : iptables_.missing_extensions(Family::v4)) report_.missing_extensions.insert(missing);
  }

  void links() {
    for (const auto& link : all_links(host_)) {
      names_[link.index] = link.name;
      report_.links.push_back({link.name, link.group, link.mtu, link.up, {}});
    }
  }

  void local_addresses() {
    for (const Family family : {Family::v4, Family::v6}) {
      for (const auto& address : all_addresses(host_, family)) report_.local_addresses.insert(address);
    }
  }

  void routes() {
    for (const Family family : {Family::v4, Family::v6}) {
      for (const auto& route : all_routes(host_, family)) {
        const auto found = names_.find(route.interface);
        const std::string name = found == names_.end() ? std::string() : found->second;
        if (route.table == RT_TABLE_LOCAL) continue;  // the host's own addresses
        if (route.destination.prefix() != 0) {
          report_.routes.push_back({route.destination, name});
        } else if (!name.empty() && name != "lo") {
          report_.uplinks[family].insert(name);
        }
      }
    }
    for (auto& link : report_.links) {
      if (scope_.links.contains(link.name) || is_uplink(link.name))
        link.addresses = addresses_of(host_, index_of(link.name));
    }
  }

  bool is_uplink(const std::string& name) const {
    return std::any_of(report_.uplinks.begin(), report_.uplinks.end(),
                       [&](const auto& entry) { return entry.second.contains(name); });
  }

  int index_of(const std::string& name) const {
    const auto found =
        std::find_if(names_.begin(), names_.end(), [&](const auto& entry) { return entry.second == name; });
    return found == names_.end() ? 0 : found->first;
  }

  void note_sysctl(const std::string& key) {
    if (auto value = find_host_sysctl(key)) report_.sysctls.emplace(key, std::move(*value));
  }

  void sysctls() {
    for (const char* key : {"net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv6/conf/all/forwarding",
                            "net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables",
                            "net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_count"}) {
      note_sysctl(key);
    }
    auto names = scope_.links;
    for (const auto& [family, uplinks] : report_.uplinks) names.insert(uplinks.begin(), uplinks.end());
    for (const auto& name : names) {
      note_sysctl(fmt::format("net/ipv4/conf/{}/forwarding", name));
      note_sysctl(fmt::format("net/ipv4/conf/{}/rp_filter", name));
      note_sysctl(fmt::format("net/ipv6/conf/{}/disable_ipv6", name));
    }
  }

  void held_ports() {
    std::set<Protocol> protocols;
    for (const auto& port : scope_.ports) protocols.insert(port.protocol);
    for (const auto protocol : protocols) {
      for (const auto& listener : find_listeners(protocol)) {
        const bool concerned = std::any_of(scope_.ports.begin(), scope_.ports.end(), [&](const PublishedPort& port) {
          return port.protocol == protocol && port.host_ports.contains(listener.port);
        });
        if (concerned) report_.held.push_back({listener, find_holder(listener.inode).value_or("")});
      }
    }
  }

  const ReportScope& scope_;
  Socket& host_;
  const Iptables& iptables_;
  HostReport report_;
  std::map<int, std::string> names_;
};

}  // namespace

bool foreign_rules_come_first() { return has_nf_tables() || !Iptables().is_first(Table::filter, "FORWARD"); }

HostReport gather_report(const ReportScope& scope, Socket& host, const Iptables& iptables) {
  return Gatherer(scope, host, iptables).gather();
}

}  // namespace mb::kernel
