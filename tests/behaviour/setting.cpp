// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/behaviour/setting.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <sstream>
#include <stdexcept>

namespace mb::test {
namespace {

constexpr const char* kBridgeNf = "/proc/sys/net/bridge/bridge-nf-call-iptables";

std::string published_by(const std::string& container) {
  if (container == "c1") {
    return "-p 8080:80 -p 8080:80/udp -p 127.0.0.1:8081:80 -p 9000-9999:2000-2999 "
           "-p 198.51.100.1:8090:80 -p [2001:db8:100::1]:8090:80 -p 127.0.0.2:8091:80 "
           "-p 198.51.100.1:8092:80 -p 198.51.100.77:8092:80";
  }
  if (container == "c3") return "-p 8083:80";
  if (container == "r1") return "-p 8086:80 -p 8086:80/udp";
  if (container == "q1") return "-p 8085:80 -p 8085:80/udp";
  return "";
}

std::string v4_of(int number, std::size_t last) {
  return "172." + std::to_string(number) + ".0." + std::to_string(last);
}

std::string v6_of(int number, std::size_t last) {
  return "fd00:" + std::to_string(number) + "::" + std::to_string(last);
}

void write_switch(const std::string& path, bool on) { std::ofstream(path) << (on ? "1" : "0"); }

void change_input(const std::string& action) {
  for (const std::string tool : {"iptables-legacy", "ip6tables-legacy"}) {
    const std::string begin = tool + " " + action + " INPUT ";
    must(begin + "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT && " + begin + "-i lo -j ACCEPT && " + begin +
         (tool.starts_with("ip6") ? "-p ipv6-icmp -j ACCEPT" : "-p icmp -j ACCEPT"));
  }
}

// 127.0.0.0/8 leaves the own loopback and is routed to the host.
void route_loopback(const netns::Namespace& where, const std::string& gateway, const std::string& interface) {
  must(where,
       "sysctl -qw net.ipv4.conf.all.route_localnet=1 && ip address del 127.0.0.1/8 dev lo && "
       "ip route add 127.0.0.0/8 via " +
           gateway + " dev " + interface);
}

}  // namespace

const std::vector<Setting::NetworkPlan>& Setting::all_networks() {
  static const std::vector<NetworkPlan> kPlans{
      {"n1", 18, "", {"c1", "c2", "rogue"}},
      {"n2", 19, "", {"c3"}},
      {"inner", 20, "--internal", {"i1", "i2", "stray"}},
      {"routed", 21, "--mode routed", {"r1"}},
      {"unprotected", 22, "--mode unprotected", {"u1"}},
      {"quiet", 23, "--icc=false", {"q1", "q2"}},
      {"open", 24, "--masquerade=false", {"o1"}},
      {"chosen", 25, "--snat-to 198.51.100.77", {"k1"}},
  };
  return kPlans;
}

std::ostream& operator<<(std::ostream& stream, const Circumstances& circumstances) {
  return stream << "FORWARD " << circumstances.policy << ", bridge-nf-call " << circumstances.bridge_nf;
}

std::vector<Circumstances> all_circumstances() {
  std::vector<Circumstances> all;
  for (const std::string policy : {"DROP", "ACCEPT"}) {
    if (Setting::kernel_has_bridge_nf()) all.push_back({true, policy});
    all.push_back({false, policy});
  }
  return all;
}

Target Target::parse(const std::string& text) {
  const auto colon = text.rfind(':');
  return {text.substr(0, colon), static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1)))};
}

void Setting::filter_bridged_frames(Family family, bool on) {
  write_switch(family == Family::v4 ? kBridgeNf : "/proc/sys/net/bridge/bridge-nf-call-ip6tables", on);
}

void Setting::become(const Circumstances& circumstances) {
  if (kernel_has_bridge_nf()) {
    for (const Family family : {Family::v4, Family::v6}) filter_bridged_frames(family, circumstances.bridge_nf);
  }
  must("iptables-legacy -P FORWARD " + circumstances.policy + " && ip6tables-legacy -P FORWARD " +
       circumstances.policy);
}

bool Setting::kernel_has_bridge_nf() { return std::filesystem::exists(kBridgeNf); }

Setting::Setting(const Circumstances& circumstances, const std::vector<std::string>& networks)
    : networks_(all_networks()), wire_(World::add_neighbour("up1", "198.51.101.1/24", "198.51.101.9/24")) {
  std::erase_if(networks_, [&](const NetworkPlan& plan) {
    return !networks.empty() && std::find(networks.begin(), networks.end(), plan.name) == networks.end();
  });
  install_foreign_rules();
  become(circumstances);
  prepare_outside();
  host_before_ = snapshot_host({.policy_counters = false});
  make_networks();
  make_containers();
  name_addresses();
  turn_adversaries();
  listen();
}

void Setting::prepare_outside() {
  must("ip address add 198.51.100.77/24 dev up0");
  world_.add_ipv6();
  World::add_ipv6(wire_, "up1", "2001:db8:101");
  // A host that does not look at source addresses leaves it all to our rules.
  must("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done");
}

void Setting::make_networks() const {
  for (const auto& plan : networks_) {
    const auto number = std::to_string(plan.number);
    Program::must_mb("network create --subnet 172." + number + ".0.0/16 --ipv6 --subnet fd00:" + number + "::/64 " +
                     plan.options + " " + plan.name);
  }
}

void Setting::make_containers() {
  for (const auto& plan : networks_) {
    for (const auto& name : plan.containers) {
      Program::must_mb("create --network " + plan.name + " " + published_by(name) + " " + name);
      containers_.emplace(name, Program::namespace_of(name));
    }
  }
}

void Setting::name_addresses() {
  addresses_["host"] = {{Family::v4, "198.51.100.1"}, {Family::v6, "2001:db8:100::1"}};
  addresses_["outside"] = {{Family::v4, "198.51.100.9"}, {Family::v6, "2001:db8:100::9"}};
  addresses_["wire"] = {{Family::v4, "198.51.101.9"}, {Family::v6, "2001:db8:101::9"}};
  addresses_["chosen source"] = {{Family::v4, "198.51.100.77"}};
  addresses_["loopback"] = {{Family::v4, "127.0.0.1"}, {Family::v6, "::1"}};
  addresses_["127.0.0.2"] = {{Family::v4, "127.0.0.2"}};
  for (const auto& plan : networks_) {
    addresses_["gateway " + plan.name] = {{Family::v4, v4_of(plan.number, 1)}, {Family::v6, v6_of(plan.number, 1)}};
    for (std::size_t i = 0; i < plan.containers.size(); ++i) {
      addresses_[plan.containers[i]] = {{Family::v4, v4_of(plan.number, i + 2)},
                                        {Family::v6, v6_of(plan.number, i + 2)}};
    }
  }
  std::istringstream link_local(must("ip -6 -o address show dev up0 scope link"));
  for (std::string word; link_local >> word;) {
    if (word.starts_with("fe80:")) addresses_["link-local"][Family::v6] = word.substr(0, word.find('/')) + "%up0";
  }
}

void Setting::turn_adversaries() {
  must(wire_,
       "ip route add 198.51.100.0/24 via 198.51.101.1 && ip route add 2001:db8:100::/64 via 2001:db8:101::1 && "
       "ip route add 172.16.0.0/12 via 198.51.101.1");
  route_loopback(wire_, "198.51.101.1", "up1");
  route_loopback(at("rogue"), "172.18.0.1", "eth0");
  must(at("rogue"), "ip address add 127.0.0.9/32 dev eth0");
  if (containers_.contains("stray")) {
    must(at("stray"), "ip route add default via 172.20.0.1 && ip route add default via fd00:20::1");
  }
}

void Setting::listen() {
  for (const std::string place : {"c1", "c3", "i1", "i2", "r1", "u1", "q1"}) serve(place, 80);
  for (const std::string place : {"c1", "r1", "u1"}) serve(place, 81);
  for (const int port : {2000, 2005, 2999}) serve("c1", static_cast<std::uint16_t>(port));
  for (const std::string place : {"gateway n1", "gateway inner"}) serve(place, 7000);
  serve("loopback", 7001);
  serve("host", 7002);
  serve("outside", 7003);
}

void Setting::serve(const std::string& place, std::uint16_t port) {
  if (!addresses_.contains(place)) return;  // of a network that is not there
  for (const auto& [family, text] : addresses_.at(place)) {
    servers_.push_back({place, port, family, Protocol::tcp, TcpServer(at(place), text, port)});
    servers_.push_back({place, port, family, Protocol::udp, UdpServer(at(place), text, port)});
  }
}

const netns::Namespace& Setting::at(const std::string& place) const {
  if (place == "outside") return world_.outside();
  if (place == "wire") return wire_;
  const auto container = containers_.find(place);
  return container == containers_.end() ? world_.host() : container->second;
}

std::string Setting::interface_of(const std::string& place) {
  if (place == "outside") return "up0";
  return place == "wire" ? "up1" : "eth0";
}

std::string Setting::bridge_of(const std::string& network) const {
  return must("ip -o -4 address show to " + address("gateway " + network, Family::v4) + "/32 | awk '{printf $2}'");
}

std::string Setting::address(const std::string& place, Family family) const {
  const auto found = addresses_.find(place);
  if (found == addresses_.end() || !found->second.contains(family)) {
    throw std::invalid_argument("'" + place + "' has no " + std::string(to_string(family)) + " address");
  }
  return found->second.at(family);
}

std::string Setting::name_of(const std::string& address) const {
  for (const auto& [place, texts] : addresses_) {
    for (const auto& [family, text] : texts) {
      if (text == address) return place;
    }
  }
  return address;
}

std::vector<std::string> Setting::heard_at(const Target& target, Family family, Protocol protocol) const {
  for (const auto& listening : servers_) {
    if (listening.place == target.place && listening.port == target.port && listening.family == family &&
        listening.protocol == protocol) {
      return listening.server.seen();
    }
  }
  return {};
}

void Setting::close_input() {
  change_input("-A");
  must("iptables-legacy -P INPUT DROP && ip6tables-legacy -P INPUT DROP");
}

void Setting::open_input() {
  change_input("-D");
  must("iptables-legacy -P INPUT ACCEPT && ip6tables-legacy -P INPUT ACCEPT");
}

}  // namespace mb::test
