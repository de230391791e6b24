// SPDX-License-Identifier: GPL-2.0-or-later
//
// The real kernel: hands every question and every step to the module that knows how.
#include "src/kernel/kernel.h"

#include <linux/rtnetlink.h>
#include <algorithm>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include "netns/worker.h"
#include "src/kernel/announce.h"
#include "src/kernel/conntrack.h"
#include "src/kernel/files.h"
#include "src/kernel/host_report.h"
#include "src/kernel/iptables.h"
#include "src/kernel/links.h"
#include "src/kernel/listeners.h"
#include "src/kernel/name_servers.h"
#include "src/kernel/namespaces.h"
#include "src/kernel/netlink.h"
#include "src/kernel/observe.h"
#include "src/kernel/sysctls.h"
#include "src/model/sysctls.h"

namespace mb::kernel {
namespace {

constexpr Table kTables[] = {Table::raw, Table::nat, Table::filter};

// What an error number says when that which was to be taken away is gone already.
bool means_gone(int error_number) {
  return error_number == ENODEV || error_number == ENOENT || error_number == ESRCH || error_number == EADDRNOTAVAIL;
}

// Steps that take away: they roll forward, and what has gone by itself meanwhile (a namespace died) is fine.
bool takes_away(const Step& step) {
  return std::holds_alternative<step::DeleteAddress>(step) || std::holds_alternative<step::DeleteDefaultRoute>(step) ||
         std::holds_alternative<step::UnpinNamespaces>(step) || std::holds_alternative<step::UnlinkNamespace>(step) ||
         std::holds_alternative<step::TakeLinksDown>(step) || std::holds_alternative<step::DeleteLinks>(step) ||
         std::holds_alternative<step::RemoveFile>(step) || std::holds_alternative<step::RemoveDirectory>(step) ||
         std::holds_alternative<step::DeleteFlows>(step) || std::holds_alternative<step::StopNameServer>(step);
}

std::string read_first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

template <class Function>
auto with_our_errors(Function function) {
  try {
    return function();
  } catch (const std::system_error& e) {
    throw as_error(e);
  }
}

PortRange parse_range(const std::string& text) {
  PortRange range;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, range.first);
  const char* second = first.ptr;
  while (second != end && (*second == ' ' || *second == '\t')) ++second;
  const auto last = std::from_chars(second, end, range.last);
  if (first.ec != std::errc() || last.ec != std::errc()) {
    throw Error(ErrorKind::failed, fmt::format("'{}' is not a range of ports", text));
  }
  return range;
}

class RealKernel final : public Kernel {
 public:
  explicit RealKernel(Config config)
      : config_(std::move(config)),
        host_(NETLINK_ROUTE),
        namespaces_(config_.state_dir, config_.link_dir, config_.spare),
        files_(config_.state_dir) {}

  Actual observe(const Scope& scope) override {
    return with_our_errors([&] {
      // The tables share nothing with links and files.
      Ruleset rules;
      auto reading = worker().offer([&] { rules = read_rules(scope); });
      Actual actual = Observer(config_.identity, host_, namespaces_, files_).observe(scope);
      actual.sysctls = read_sysctls(namespaces_, scope.sysctls);
      reading.finish();
      actual.rules = std::move(rules);
      actual.flows = find_flows(scope.flows, [this](Family family) { return local_addresses(family); });
      actual.name_servers = running_name_servers(scope);
      return actual;
    });
  }

  void apply(const Step& step, bool undoing) override {
    try {
      with_our_errors([&] {
        if (const auto* commit = std::get_if<step::CommitRules>(&step)) return iptables_.commit(*commit, undoing);
        std::visit([&](const auto& s) { carry_out(s); }, step);
      });
    } catch (const Error& e) {
      const bool put_back_already = undoing && e.error_number() == EEXIST;
      const bool gone_already = means_gone(e.error_number()) && (undoing || takes_away(step));
      if (!put_back_already && !gone_already) throw;
    }
  }

  Features features() override { return {iptables_.has_match(Family::v4, "devgroup", 0), namespaces_.can_link()}; }

  std::optional<bool> filters_bridged_frames(Family family) override {
    const char* key =
        family == Family::v4 ? "net.bridge.bridge-nf-call-iptables" : "net.bridge.bridge-nf-call-ip6tables";
    const auto value = find_host_sysctl(key);
    return value ? std::optional(*value != "0") : std::nullopt;
  }

  std::vector<Route> routes(Family family) override {
    std::map<int, std::string> names;
    std::vector<Route> routes;
    for (const auto& entry : all_routes(host_, family)) {
      if (entry.destination.prefix() == 0) continue;
      const auto [name, is_new] = names.try_emplace(entry.interface);
      if (is_new && entry.interface != 0) {
        if (const auto link = find_link(host_, entry.interface)) name->second = link->name;
      }
      routes.push_back({entry.destination, name->second});
    }
    return routes;
  }

  std::vector<IpAddress> local_addresses(Family family) override { return all_addresses(host_, family); }
  std::optional<FoundLink> host_link(const InterfaceName& name) override {
    const auto link = find_link(host_, name.str());
    if (!link) return std::nullopt;
    FoundLink found{link->kind == "bridge", link->up, link->group, link->mtu, addresses_of(host_, link->index)};
    const auto links = all_links(host_);
    found.foreign_ports = static_cast<std::size_t>(std::count_if(links.begin(), links.end(), [&](const Link& port) {
      return port.master == link->index && !is_minibridge_group(port.group);
    }));
    return found;
  }
  std::vector<Listener> listeners(Protocol protocol) override { return find_listeners(protocol); }
  std::optional<std::string> holder_of(const Listener& listener) override { return find_holder(listener.inode); }
  PortRange ephemeral_ports() override { return parse_range(read_host_sysctl("net.ipv4.ip_local_port_range")); }

  NamespaceContents inspect_namespace(const std::string& path) override {
    return with_our_errors([&] {
      Inside inside(netns::Namespace::open(path));
      NamespaceContents contents;
      contents.cookie = inside.handle().cookie();
      for (const auto& link : all_links(inside.route())) contents.links.push_back(link.name);
      for (const Family family : {Family::v4, Family::v6}) {
        for (const auto& route : all_routes(inside.route(), family)) {
          const bool is_default = route.destination.prefix() == 0 && route.table == RT_TABLE_MAIN;
          if (is_default) contents.default_routes.insert(family);
          if (is_default && !route.ours) contents.foreign_default_routes.insert(family);
        }
      }
      return contents;
    });
  }

  std::string machine_id() override { return read_first_line("/etc/machine-id"); }

  std::uint32_t uplink_mtu() override {
    for (const Family family : {Family::v4, Family::v6}) {
      const auto index = default_link(host_, family);
      if (!index || *index == 0) continue;
      if (const auto link = find_link(host_, *index)) return link->mtu;
    }
    return 0;
  }
  bool can_serve_names() override { return config_.name_servers && config_.name_servers->available(); }

  std::vector<std::string> following_uplinks() override {
    std::vector<std::string> uplinks;
    if (read_host_sysctl(std::string(kForwardingV6)) != "0") return uplinks;
    std::set<int> candidates;
    for (const auto& route : all_routes(host_, Family::v6)) {
      const bool matters = route.advertised || (route.destination.prefix() == 0 && route.table == RT_TABLE_MAIN);
      if (matters && route.interface != 0) candidates.insert(route.interface);
    }
    for (const int index : candidates) {
      const auto link = find_link(host_, index);
      if (link && is_following_advertisements(link->name)) uplinks.push_back(link->name);
    }
    return uplinks;
  }

  std::optional<std::string> ipv6_obstacle() override { return mb::kernel::ipv6_obstacle(); }

  HostReport report(const ReportScope& scope) override {
    return with_our_errors([&] {
      auto report = gather_report(scope, host_, iptables_);
      if (scope.everything) report.has_dnsmasq = can_serve_names();
      return report;
    });
  }

  std::uint64_t namespace_cookie() override {
    return with_our_errors([] { return netns::Namespace::current().cookie(); });
  }

 private:
  // ---- the steps

  void carry_out(const step::PinNamespace& s) { namespaces_.pin(s.container, s.source); }
  void carry_out(const step::UnpinNamespaces& s) { namespaces_.unpin(s.containers); }
  void carry_out(const step::LinkNamespace& s) { namespaces_.link(s.container, s.link_name); }
  void carry_out(const step::UnlinkNamespace& s) { namespaces_.unlink(s.container, s.link_name); }

  void carry_out(const step::AddBridge& s) {
    add_bridge(host_, s.bridge);
    try {
      set_accept_ra(s.bridge.name, s.bridge.accept_ra);
    } catch (...) {
      delete_links(host_, {s.bridge.name}, config_.identity);
      throw;
    }
  }
  void carry_out(const step::AddVeth& s) {
    Inside& inside = namespaces_.inside(s.veth.container);
    add_veth(host_, inside.handle().fd(), s.veth);
    keep_free_of_addresses(inside.route(), s.veth.peer);  // not before: a new namespace is still being furnished
  }
  void carry_out(const step::ChangeLink& s) {
    if (s.to.accept_ra) set_accept_ra(s.link.name, *s.to.accept_ra);
    change_link(socket_of(s.link), s.link.name, s.to, place_of(s.link));
  }
  void carry_out(const step::AddAddress& s) {
    add_address(socket_of(s.link), s.link.name, s.address, config_.identity.address_mark(), place_of(s.link));
  }
  void carry_out(const step::DeleteAddress& s) {
    delete_address(socket_of(s.link), s.link.name, s.address, place_of(s.link));
  }
  void carry_out(const step::AddDefaultRoute& s) {
    add_default_route(socket_of(s.link), s.link.name, s.gateway, place_of(s.link));
  }
  void carry_out(const step::DeleteDefaultRoute& s) {
    delete_default_route(socket_of(s.link), s.link.name, s.gateway, place_of(s.link));
  }
  void carry_out(const step::Announce& s) {
    // The kernel lets nothing through a new link until its carrier state is settled, which being asked about it does.
    find_link(host_, s.host_link.str());
    Inside& inside = namespaces_.inside(s.link.container);
    const auto link = find_link(inside.route(), s.link.name.str());
    if (link) announce(inside.handle(), link->index, s.mac, s.addresses);
  }
  void carry_out(const step::TakeLinksDown& s) { take_links_down(host_, s.links); }
  void carry_out(const step::DeleteLinks& s) { delete_links(host_, s.links, config_.identity); }

  void carry_out(const step::SetSysctl& s) { set_sysctl(namespaces_, s.key, s.to); }
  void carry_out(const step::CommitRules& s) { iptables_.commit(s, false); }

  void carry_out(const step::WriteFile& s) { files_.write(s.path, s.content); }
  void carry_out(const step::MakeDirectory& s) { files_.make_directory(s.container); }
  void carry_out(const step::RemoveDirectory& s) { files_.remove_directory(s.container); }
  void carry_out(const step::RemoveFile& s) { files_.remove(s.path); }
  void carry_out(const step::DeleteFlows& s) { delete_flows(s.flows); }
  void carry_out(const step::StartNameServer& s) {
    // A copy of this process that another thread was at work in would begin with its locks held for ever.
    worker().wait();
    name_servers().start(s.network);
  }
  void carry_out(const step::StopNameServer& s) { name_servers().stop(s.network); }

  // ----

  // Netlink shows it, and cannot change it.
  void set_accept_ra(const InterfaceName& bridge, std::uint32_t value) {
    try {
      set_sysctl(namespaces_, {{}, "net/ipv6/conf/" + bridge.str() + "/accept_ra"}, {std::to_string(value), {}});
    } catch (const Error& e) {
      if (e.error_number() != ENOENT) throw;  // a kernel without IPv6
    }
  }

  netns::Worker& worker() { return config_.worker != nullptr ? *config_.worker : idle_; }

  NameServers& name_servers() {
    if (!config_.name_servers) throw Error(ErrorKind::failed, "name servers cannot be started here");
    return *config_.name_servers;
  }

  std::set<Id> running_name_servers(const Scope& scope) {
    std::set<Id> running;
    if (!config_.name_servers) return running;
    auto networks = scope.name_servers;
    if (scope.everything) networks.merge(files_.name_directories());
    for (const auto& network : networks) {
      if (config_.name_servers->is_running(network)) running.insert(network);
    }
    return running;
  }

  Ruleset read_rules(const Scope& scope) {
    Ruleset rules;
    for (const Family family : {Family::v4, Family::v6}) {
      if (family == Family::v6 && !scope.ipv6 && !scope.everything) continue;
      for (const Table table : kTables) {
        // Where nobody wants IPv6, looking must not bring a table into being.
        if (family == Family::v6 && !scope.ipv6 && !Iptables::has_table({family, table})) continue;
        if (scope.settled.contains({family, table})) continue;
        TableRules ours = iptables_.read({family, table}, scope);
        if (!ours.empty()) rules.emplace(TableKey{family, table}, std::move(ours));
      }
    }
    return rules;
  }

  // The interface of the default route that is used first; none if there is no such route.
  static std::optional<int> default_link(Socket& socket, Family family) {
    for (const auto& route : all_routes(socket, family)) {  // the kernel lists lower metrics first
      if (route.destination.prefix() == 0 && route.table == RT_TABLE_MAIN) return route.interface;
    }
    return std::nullopt;
  }

  Socket& socket_of(const LinkRef& link) {
    return link.container.empty() ? host_ : namespaces_.inside(link.container).route();
  }
  static std::string place_of(const LinkRef& link) {
    return link.container.empty() ? std::string() : fmt::format(" in namespace '{}'", link.container);
  }

  Config config_;
  netns::Worker idle_;  // for want of another: never has a thread
  Socket host_;
  Namespaces namespaces_;
  Files files_;
  Iptables iptables_;
};

}  // namespace

std::unique_ptr<Kernel> make_kernel(Config config) {
  return with_our_errors([&] { return std::make_unique<RealKernel>(std::move(config)); });
}

}  // namespace mb::kernel
