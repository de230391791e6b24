// SPDX-License-Identifier: GPL-2.0-or-later
//
// The real kernel: hands every question and every step to the module that knows how.
#include "src/kernel/kernel.h"

#include <linux/rtnetlink.h>

#include <cerrno>
#include <charconv>
#include <system_error>

#include <fmt/format.h>

#include "src/kernel/conntrack.h"
#include "src/kernel/files.h"
#include "src/kernel/iptables.h"
#include "src/kernel/links.h"
#include "src/kernel/listeners.h"
#include "src/kernel/namespaces.h"
#include "src/kernel/netlink.h"
#include "src/kernel/observe.h"
#include "src/kernel/sysctls.h"

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
         std::holds_alternative<step::UnpinNamespace>(step) || std::holds_alternative<step::UnlinkNamespace>(step) ||
         std::holds_alternative<step::TakeLinksDown>(step) || std::holds_alternative<step::DeleteLinks>(step) ||
         std::holds_alternative<step::RemoveDirectory>(step) || std::holds_alternative<step::DeleteFlows>(step);
}

// netns/ and the standard library throw std::system_error, whose text has what was tried and the kernel's answer.
Error translated(const std::system_error& e) {
  const int error_number = e.code().value();
  const bool forbidden = error_number == EPERM || error_number == EACCES;
  return {forbidden ? ErrorKind::privilege : ErrorKind::failed,
          fmt::format("{} ({})", e.what(), errno_name(error_number)),
          {},
          error_number};
}

template <class Function>
auto with_our_errors(Function function) {
  try {
    return function();
  } catch (const std::system_error& e) {
    throw translated(e);
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
      Actual actual = Observer(config_.identity, host_, namespaces_, files_).observe(scope);
      actual.sysctls = read_sysctls(namespaces_, scope.sysctls);
      actual.rules = read_rules(scope);
      actual.flows = find_flows(scope.flows);
      return actual;
    });
  }

  void apply(const Step& step, bool undoing) override {
    try {
      with_our_errors([&] { std::visit([&](const auto& s) { carry_out(s); }, step); });
    } catch (const Error& e) {
      if (!means_gone(e.error_number()) || !(undoing || takes_away(step))) throw;
    }
  }

  Features features() override { return {iptables_.has_match(Family::v4, "devgroup", 0), namespaces_.can_link()}; }

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
  std::vector<Listener> listeners(Protocol protocol) override { return find_listeners(protocol); }
  std::optional<std::string> holder_of(const Listener& listener) override { return find_holder(listener.inode); }
  PortRange ephemeral_ports() override { return parse_range(read_host_sysctl("net.ipv4.ip_local_port_range")); }

  NamespaceContents inspect_namespace(const std::string& path) override {
    return with_our_errors([&] {
      Inside inside(netns::Namespace::open(path));
      NamespaceContents contents;
      for (const auto& link : all_links(inside.route)) contents.links.push_back(link.name);
      contents.default_route_v4 = has_default_route(inside.route, Family::v4);
      contents.default_route_v6 = has_default_route(inside.route, Family::v6);
      return contents;
    });
  }

  std::uint64_t namespace_cookie() override {
    return with_our_errors([] { return netns::Namespace::current().cookie(); });
  }

 private:
  // ---- the steps

  void carry_out(const step::PinNamespace& s) { namespaces_.pin(s.container, s.source); }
  void carry_out(const step::UnpinNamespace& s) { namespaces_.unpin(s.container); }
  void carry_out(const step::LinkNamespace& s) { namespaces_.link(s.container, s.link_name); }
  void carry_out(const step::UnlinkNamespace& s) { namespaces_.unlink(s.container, s.link_name); }

  void carry_out(const step::AddBridge& s) {
    add_bridge(host_, s.bridge);
    try {
      refuse_router_advertisements(s.bridge.name);
    } catch (...) {
      delete_links(host_, {s.bridge.name}, config_.identity);
      throw;
    }
  }
  void carry_out(const step::AddVeth& s) {
    Inside& inside = namespaces_.inside(s.veth.container);
    add_veth(host_, inside.route, inside.handle.fd(), s.veth);
  }
  void carry_out(const step::ChangeLink& s) { change_link(socket_of(s.link), s.link.name, s.to, place_of(s.link)); }
  void carry_out(const step::AddAddress& s) {
    add_address(socket_of(s.link), s.link.name, s.address, place_of(s.link));
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
  void carry_out(const step::TakeLinksDown& s) { take_links_down(host_, s.links); }
  void carry_out(const step::DeleteLinks& s) { delete_links(host_, s.links, config_.identity); }

  void carry_out(const step::SetSysctl& s) { set_sysctl(namespaces_, s.key, s.to); }
  void carry_out(const step::CommitRules& s) { iptables_.commit(s); }

  void carry_out(const step::WriteFile& s) { files_.write(s.path, s.content); }
  void carry_out(const step::MakeDirectory& s) { files_.make_directory(s.container); }
  void carry_out(const step::RemoveDirectory& s) { files_.remove_directory(s.container); }
  void carry_out(const step::DeleteFlows& s) { delete_flows(s.flows); }

  // ----

  // Before the bridge comes up: a container could otherwise give the host a default route. Netlink cannot say this.
  void refuse_router_advertisements(const InterfaceName& bridge) {
    try {
      set_sysctl(namespaces_, {{}, "net/ipv6/conf/" + bridge.str() + "/accept_ra"}, {"0", {}});
    } catch (const Error& e) {
      if (e.error_number() != ENOENT) throw;  // a kernel without IPv6
    }
  }

  Ruleset read_rules(const Scope& scope) {
    Ruleset rules;
    for (const Family family : {Family::v4, Family::v6}) {
      if (family == Family::v6 && !scope.ipv6) continue;
      for (const Table table : kTables) {
        if (scope.settled.contains({family, table})) continue;
        TableRules ours = iptables_.read({family, table}, scope);
        if (!ours.empty()) rules.emplace(TableKey{family, table}, std::move(ours));
      }
    }
    return rules;
  }

  static bool has_default_route(Socket& socket, Family family) {
    for (const auto& route : all_routes(socket, family)) {
      if (route.destination.prefix() == 0 && route.table == RT_TABLE_MAIN) return true;
    }
    return false;
  }

  Socket& socket_of(const LinkRef& link) {
    return link.container.empty() ? host_ : namespaces_.inside(link.container).route;
  }
  static std::string place_of(const LinkRef& link) {
    return link.container.empty() ? std::string() : fmt::format(" in namespace '{}'", link.container);
  }

  Config config_;
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
