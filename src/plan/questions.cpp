// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/questions.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/plan/names.h"
#include "src/plan/rules.h"

namespace mb::plan {
namespace {

using match::AddressType;

Subnet single(const IpAddress& address) { return {address, address_bits(address.family())}; }

class Asker {
 public:
  explicit Asker(const HostReport& report) : report_(report) {}

  void ask_about(const Network& network, bool assumed) {
    assumed_ = assumed;
    for (const auto& pool : network.pools) {
      ask_among(network, pool);
      ask_names(network, pool);
      if (network.internal) continue;
      for (const auto& uplink : uplinks(pool.subnet.family())) ask_outside(network, pool, uplink);
    }
  }

  void ask_about(const Container& container, const PublishedPort& port, const std::vector<Network>& networks) {
    assumed_ = false;
    const Rule rule = publish_rule(container, port, networks);
    const auto* dnat = std::get_if<target::Dnat>(&rule.target);
    const Network* network = dnat == nullptr ? nullptr : network_of(container, dnat->address, networks);
    if (network == nullptr) return;
    Question base;
    base.bridge = network->bridge.str();
    base.about = fmt::format("the published port {} of '{}'", port.str(), container.name.str());
    base.probe.family = rule.family;
    base.probe.protocol = port.protocol;
    base.probe.states = match::kNew | match::kDnat;
    if (network->mode != NetworkMode::nat) {
      ask_routed(base, port, dnat->address);
      return;
    }
    if (!port.host_address.is_loopback()) {
      for (const auto& uplink : uplinks(rule.family)) ask_port(base, port, dnat->address, uplink);
    }
    Question local = translated(base, port, dnat->address);
    local.way = Way::from_host;
    local.probe.hook = Hook::output;
    local.probe.source_type = AddressType::local;
    local.about += " when the host itself asks";
    put(local);
  }

  std::vector<Question> take() { return std::move(questions_); }

 private:
  std::vector<std::string> uplinks(Family family) const {
    const auto found = report_.uplinks.find(family);
    if (found == report_.uplinks.end() || found->second.empty()) return {""};
    return {found->second.begin(), found->second.end()};
  }

  const HostLink* link(const std::string& name) const {
    const auto found =
        std::find_if(report_.links.begin(), report_.links.end(), [&](const HostLink& l) { return l.name == name; });
    return found == report_.links.end() ? nullptr : &*found;
  }

  std::optional<Subnet> address_of(const std::string& interface, Family family) const {
    const auto* found = link(interface);
    if (found == nullptr) return std::nullopt;
    for (const auto& held : found->addresses) {
      if (held.address.family() == family && !held.address.is_link_local()) return single(held.address);
    }
    return std::nullopt;
  }

  std::uint32_t group_of(const std::string& interface) const {
    const auto* found = link(interface);
    return found == nullptr ? 0 : found->group;
  }

  void put(Question question) {
    question.assumed = assumed_;
    question.probe.in_group = group_of(question.probe.in);
    question.probe.out_group = group_of(question.probe.out);
    questions_.push_back(std::move(question));
  }

  static const Network* network_of(const Container& container, const IpAddress& address,
                                   const std::vector<Network>& networks) {
    for (const auto& endpoint : container.endpoints) {
      const auto* held = endpoint.address(address.family());
      if (held == nullptr || held->address != address) continue;
      const auto found = std::find_if(networks.begin(), networks.end(),
                                      [&](const Network& network) { return network.id == endpoint.network; });
      if (found != networks.end()) return &*found;
    }
    return nullptr;
  }

  static Question question(Way way, Hook hook, const Network& network, const AddressPool& pool, std::string about) {
    Question result;
    result.way = way;
    result.bridge = network.bridge.str();
    result.about = std::move(about);
    result.probe.hook = hook;
    result.probe.family = pool.subnet.family();
    return result;
  }

  std::string containers_of(const Network& network) const {
    return assumed_ ? "containers" : fmt::format("containers of network '{}'", network.name.str());
  }

  // Frames between ports of one bridge pass iptables only where br_netfilter hands them over; a bridge's own firewall
  // sees them always.
  void ask_among(const Network& network, const AddressPool& pool) {
    const bool v4 = pool.subnet.family() == Family::v4;
    const auto nf =
        report_.sysctls.find(v4 ? "net/bridge/bridge-nf-call-iptables" : "net/bridge/bridge-nf-call-ip6tables");
    if (nf == report_.sysctls.end() || nf->second != "1") return;
    auto among = question(Way::among, Hook::forward, network, pool,
                          fmt::format("what {} send each other", containers_of(network)));
    among.probe.in = among.probe.out = network.bridge.str();
    among.probe.source = among.probe.destination = pool.subnet;
    put(among);
  }

  void ask_names(const Network& network, const AddressPool& pool) {
    if (assumed_ || !serves_names(network)) return;
    auto names =
        question(Way::ask_host, Hook::input, network, pool, fmt::format("name queries of {}", containers_of(network)));
    names.probe.in = network.bridge.str();
    names.probe.source = pool.subnet;
    names.probe.destination = single(pool.gateway);
    names.probe.destination_type = AddressType::local;
    names.probe.protocol = Protocol::udp;
    names.probe.destination_ports = PortRange{53, 53};
    put(names);
  }

  void ask_outside(const Network& network, const AddressPool& pool, const std::string& uplink) {
    auto out = question(Way::out_of, Hook::forward, network, pool,
                        fmt::format("what {} send outside", containers_of(network)));
    out.probe.in = network.bridge.str();
    out.probe.out = uplink;
    out.probe.source = pool.subnet;
    put(out);
    out.probe.hook = Hook::postrouting;
    out.probe.in.clear();
    put(out);
    out.probe.hook = Hook::prerouting;
    out.probe.in = network.bridge.str();
    out.probe.out.clear();
    put(out);

    auto answers =
        question(Way::into, Hook::forward, network, pool, fmt::format("answers to {}", containers_of(network)));
    answers.probe.in = uplink;
    answers.probe.out = network.bridge.str();
    answers.probe.destination = pool.subnet;
    answers.probe.states = match::kEstablished;
    put(answers);
    answers.way = Way::answers;
    answers.probe.hook = Hook::prerouting;
    answers.probe.out.clear();
    answers.probe.destination = address_of(uplink, pool.subnet.family());
    answers.probe.destination_type = AddressType::local;
    put(answers);
    if (assumed_ || network.mode != NetworkMode::nat) return;
    auto uninvited = question(Way::uninvited, Hook::forward, network, pool, containers_of(network));
    uninvited.probe.in = uplink;
    uninvited.probe.out = network.bridge.str();
    uninvited.probe.destination = pool.subnet;
    put(uninvited);
  }

  static Question translated(Question base, const PublishedPort& port, const IpAddress& container) {
    base.probe.out = base.bridge;
    base.probe.destination = single(container);
    base.probe.destination_ports = port.container_ports;
    return base;
  }

  // Without translation: outsiders speak to the container's own address.
  void ask_routed(const Question& base, const PublishedPort& port, const IpAddress& container) {
    Question forwarded = translated(base, port, container);
    forwarded.probe.hook = Hook::forward;
    forwarded.probe.states = match::kNew;
    for (const auto& uplink : uplinks(base.probe.family)) {
      forwarded.probe.in = uplink;
      put(forwarded);
    }
  }

  void ask_port(const Question& base, const PublishedPort& port, const IpAddress& container,
                const std::string& uplink) {
    Question arriving = base;
    arriving.way = Way::to_port;
    arriving.probe.hook = Hook::prerouting;
    arriving.probe.in = uplink;
    arriving.probe.states = match::kNew;
    arriving.probe.destination =
        port.host_address.is_any() ? address_of(uplink, base.probe.family) : single(port.host_address);
    arriving.probe.destination_type = AddressType::local;
    arriving.probe.destination_ports = port.host_ports;
    put(arriving);
    Question forwarded = translated(base, port, container);
    forwarded.probe.in = uplink;
    forwarded.probe.hook = Hook::forward;
    put(forwarded);
    forwarded.probe.in.clear();
    forwarded.probe.hook = Hook::postrouting;
    put(forwarded);
  }

  const HostReport& report_;
  bool assumed_ = false;
  std::vector<Question> questions_;
};

Network first_network() {
  Network network;
  network.bridge = InterfaceName::parse("minibridge0");
  network.pools = {{Subnet::parse("172.17.0.0/16"), IpAddress::parse("172.17.0.1"), std::nullopt, {}}};
  return network;
}

}  // namespace

std::vector<Question> questions_about(const HostReport& report, const std::vector<Network>& networks,
                                      const std::vector<Container>& containers) {
  Asker asker(report);
  if (networks.empty()) asker.ask_about(first_network(), true);
  for (const auto& network : networks) asker.ask_about(network, false);
  for (const auto& container : containers) {
    if (!container.wants_network()) continue;
    for (const auto& port : container.ports) asker.ask_about(container, port, networks);
  }
  return asker.take();
}

}  // namespace mb::plan
