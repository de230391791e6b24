// SPDX-License-Identifier: GPL-2.0-or-later
//
// Interface numbers are given out here, in the order of the file, so that nothing has to be looked up.
#include "src/lab/build.h"

#include <array>
#include <future>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "netns/namespace.h"
#include "src/base/error.h"
#include "src/kernel/iptables.h"
#include "src/kernel/wires.h"

namespace mb::lab {
namespace {

constexpr int kFirstNumber = 2;  // 1 is lo

// Making namespaces is most of the work, and the kernel does it on several processors at once.
std::map<std::string, Rooms> make_all_rooms(const Topology& topology) {
  const auto& nodes = topology.nodes;
  const std::size_t workers = std::min<std::size_t>(std::max(1U, std::thread::hardware_concurrency()), nodes.size());
  std::vector<std::future<std::vector<Rooms>>> parts;
  for (std::size_t worker = 0; worker < workers; ++worker) {
    parts.push_back(std::async(std::launch::async, [&topology, worker, workers] {
      std::vector<Rooms> rooms;
      for (std::size_t i = worker; i < topology.nodes.size(); i += workers) {
        rooms.push_back(make_rooms(topology, topology.nodes[i]));
      }
      return rooms;
    }));
  }
  std::map<std::string, Rooms> all;
  for (std::size_t worker = 0; worker < workers; ++worker) {
    auto rooms = parts[worker].get();
    for (std::size_t i = 0; i < rooms.size(); ++i) {
      all.emplace(nodes[worker + i * workers].name.str(), std::move(rooms[i]));
    }
  }
  return all;
}

// The address that the kernel would give (RFC 4291, appendix A), without the second it takes to look for duplicates.
InterfaceAddress link_local(const MacAddress& mac) {
  constexpr std::uint8_t kUniversal = 0x02;
  const auto& hardware = mac.bytes();
  std::array<std::uint8_t, 16> bytes{0xfe, 0x80};
  bytes[8] = hardware[0] ^ kUniversal;
  bytes[9] = hardware[1];
  bytes[10] = hardware[2];
  bytes[11] = 0xff;
  bytes[12] = 0xfe;
  bytes[13] = hardware[3];
  bytes[14] = hardware[4];
  bytes[15] = hardware[5];
  return {IpAddress::v6(bytes), 64};
}

// IPv6 wants one on every interface that speaks it; the file may have said another.
bool lacks_link_local(const End& end) {
  bool speaks_v6 = false;
  for (const InterfaceAddress& each : end.addresses) {
    if (each.address.family() != Family::v6) continue;
    if (each.address.is_link_local()) return false;
    speaks_v6 = true;
  }
  return speaks_v6;
}

class Builder {
 public:
  explicit Builder(const Topology& topology)
      : topology_(topology), rooms_(make_all_rooms(topology)), between_(NETLINK_ROUTE) {}

  std::map<std::string, Rooms> build() {
    for (const Link& link : topology_.links) {
      if (link.is_switch) {
        add_switch(link);
      } else {
        add_pair(link);
      }
    }
    for (const Node& node : topology_.nodes) set_up(node);
    return std::move(rooms_);
  }

 private:
  kernel::WireEnd numbered(const End& end) {
    auto& next = next_number_.try_emplace(end.node.str(), kFirstNumber).first->second;
    numbers_[{end.node.str(), end.interface.str()}] = next;
    return {end.interface, next++, end.mac};
  }

  void add_pair(const Link& link) {
    const kernel::WireEnd near = numbered(link.ends[0]);
    const kernel::WireEnd far = numbered(link.ends[1]);
    kernel::add_wire(rooms_of(link.ends[0]).route, near, 0, far, rooms_of(link.ends[1]).network.fd(), link.mtu);
  }

  void add_switch(const Link& link) {
    const int bridge = next_between_++;
    kernel::add_switch(between_, InterfaceName::parse(fmt::format("sw{}", bridge)), bridge);
    for (const End& end : link.ends) {
      const int number = next_between_++;
      const auto mac = MacAddress::derived_from(IpAddress::v4(static_cast<std::uint32_t>(number)));
      const kernel::WireEnd port{InterfaceName::parse(fmt::format("port{}", number)), number, mac};
      kernel::add_wire(between_, port, bridge, numbered(end), rooms_of(end).network.fd(), link.mtu);
    }
  }

  Rooms& rooms_of(const End& end) { return rooms_.at(end.node.str()); }

  std::vector<kernel::NumberedAddress> addresses_of(const Node& node) const {
    std::vector<kernel::NumberedAddress> all;
    for (const Link& link : topology_.links) {
      for (const End& end : link.ends) {
        if (end.node != node.name) continue;
        const int number = number_of(node, end.interface);
        for (const auto& address : end.addresses) all.push_back({number, address});
        // A router asks for its neighbours from this address; without one it cannot forward.
        if (lacks_link_local(end)) all.push_back({number, link_local(end.mac)});
      }
    }
    return all;
  }

  std::vector<int> links_of(const Node& node) const {
    std::vector<int> all;
    const auto end = next_number_.find(node.name.str());
    for (int i = kFirstNumber; end != next_number_.end() && i < end->second; ++i) all.push_back(i);
    return all;
  }

  int number_of(const Node& node, const InterfaceName& interface) const {
    return numbers_.at({node.name.str(), interface.str()});
  }

  std::vector<kernel::NumberedRoute> routes_of(const Node& node) const {
    std::vector<kernel::NumberedRoute> all;
    for (const Route& route : node.routes) {
      all.push_back({route.to, route.via, route.interface ? number_of(node, *route.interface) : 0, route.source});
    }
    return all;
  }

  void set_up(const Node& node) {
    Rooms& rooms = rooms_.at(node.name.str());
    kernel::set_up_namespace(rooms.route, links_of(node), addresses_of(node), routes_of(node),
                             fmt::format("cannot set up the network of node '{}'", node.name.str()));
    netns::run_in(rooms.network, [&node] {
      write_own_sysctl("net.ipv6.conf.default.addr_gen_mode", "0");
      if (node.kind == NodeKind::router) {
        write_own_sysctl("net.ipv4.ip_forward", "1");
        write_own_sysctl("net.ipv6.conf.all.forwarding", "1");
      }
      for (const Sysctl& sysctl : node.sysctls) set_sysctl_of(node, sysctl);
      translate(node);
    });
    open_doors(node.name.str(), rooms);
  }

  static void set_sysctl_of(const Node& node, const Sysctl& sysctl) {
    try {
      write_own_sysctl(sysctl.name, sysctl.value);
    } catch (const Error& error) {
      throw Error(error.kind(), fmt::format("{}: node '{}': {}", sysctl.where, node.name.str(), error.message()),
                  error.hint(), error.error_number());
    }
  }

  // One rule for each translation, in one commit for each family.
  static void translate(const Node& node) {
    for (const Family family : {Family::v4, Family::v6}) {
      step::CommitRules commit;
      commit.table = {family, Table::nat};
      for (const Nat& nat : node.nat) {
        if (nat.source.family() != family) continue;
        commit.edits.push_back({step::RuleEdit::Kind::insert, "POSTROUTING", translation(nat), step::RuleEdit::kEnd});
      }
      if (!commit.edits.empty()) kernel::Iptables().commit(commit);
    }
  }

  static Rule translation(const Nat& nat) {
    Rule rule;
    rule.family = nat.source.family();
    rule.source = {nat.source, false};
    rule.out = {nat.out.str(), false};
    rule.matches.emplace_back(match::Comment{fmt::format("lab: {} goes out under our address", nat.source.str())});
    rule.target = target::Masquerade{};
    return rule;
  }

  const Topology& topology_;
  std::map<std::string, Rooms> rooms_;
  kernel::Socket between_;
  int next_between_ = kFirstNumber;
  std::map<std::string, int> next_number_;                      // by node
  std::map<std::pair<std::string, std::string>, int> numbers_;  // by node and interface
};

}  // namespace

std::map<std::string, Rooms> build_network(const Topology& topology) { return Builder(topology).build(); }

}  // namespace mb::lab
