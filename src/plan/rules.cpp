// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/rules.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/plan/names.h"
#include "src/plan/publish.h"

namespace mb::plan {
namespace {

enum class Side : std::uint8_t { from, to };

Rule routed_rule(const Container& container, const PublishedPort& port) {
  Rule rule;
  rule.family = port.host_address.family();
  rule.destination = {Subnet(port.host_address, address_bits(rule.family)), false};
  rule.protocol = {static_cast<std::uint8_t>(port.protocol), false};
  const auto text = fmt::format("{}/{}", port.container_ports.str(), to_string(port.protocol));
  rule.matches = {match::Ports{port.protocol, std::nullopt, {{port.container_ports, false}}},
                  match::Comment{fmt::format("minibridge {}: {}", container.name.str(), text)}};
  rule.target = target::Accept{};
  rule.why =
      fmt::format("port {} of '{}' answers under its own address", port.container_ports.str(), container.name.str());
  return rule;
}

// Builds the rules of one address family. Methods stand in the order in which a packet meets their rules.
class RuleBuilder {
 public:
  RuleBuilder(Family family, const Identity& identity, bool devgroup, const std::vector<Network>& networks)
      : family_(family), group_(identity.group), devgroup_(devgroup), all_networks_(networks) {
    for (const auto& network : networks) {
      if (network.pool(family) != nullptr) networks_.push_back(&network);
    }
  }

  bool wanted() const { return !networks_.empty(); }

  TableRules raw() {
    TableRules table;
    auto& chain = table.chains[std::string(kRawChain)];
    const auto loopback = family_ == Family::v4 ? Subnet::parse("127.0.0.0/8") : Subnet::parse("::1/128");
    Rule to = rule(target::Drop{}, "no container reaches loopback services",
                   "published ports on 127.0.0.1 need route_localnet on the bridge, and with it a container could "
                   "address the host's loopback services");
    to.destination = {loopback, false};
    chain = {to, from_the_host()};
    hook(table, "PREROUTING", kRawChain, Side::from, "what comes from containers",
         "only packets that containers send are looked at");
    return table;
  }

  TableRules nat(const std::vector<Container>& containers) {
    TableRules table;
    publish_hooks(table);
    auto& publish = table.chains[std::string(kPublishChain)];
    for (const auto* network : networks_) {
      for (auto& question : to_name_server(*network, target::Return{}, "questions for names stay here",
                                           "port 53 of the gateway is the network's name server, even where a "
                                           "container has published port 53 on every address of the host")) {
        publish.push_back(std::move(question));
      }
    }
    for (const auto& container : containers) {
      for (const auto& port : container.ports) {
        if (port.host_address.family() == family_) publish.push_back(publish_rule(container, port, all_networks_));
      }
    }
    Rule hook_rule = rule(target::Jump{std::string(kMasqueradeChain)}, "source addresses",
                          "where the source address of a packet is chosen, on its way out");
    table.hooks["POSTROUTING"] = {hook_rule};
    masquerade(table.chains[std::string(kMasqueradeChain)]);
    return table;
  }

  TableRules filter(const std::vector<Container>& containers) {
    TableRules table;
    table.chains[std::string(kUserChain)];
    table.hooks["FORWARD"] = {
        rule(target::Jump{std::string(kUserChain)}, "rules of the operator",
             "asked first, so that an operator can forbid what minibridge would allow; minibridge never touches them"),
        rule(target::Jump{std::string(kForwardChain)}, "forwarded packets",
             "packets that this host passes on for containers")};
    forward(table.chains[std::string(kForwardChain)]);
    enter(table.chains[std::string(kEnterChain)]);
    if (has_routed()) {
      auto& chain = table.chains[std::string(kRoutedChain)];
      for (const auto& container : containers) {
        for (const auto& port : routed_ports(container, all_networks_)) {
          if (port.host_address.family() == family_) chain.push_back(routed_rule(container, port));
        }
      }
    }
    input(table);
    return table;
  }

 private:
  Rule rule(Target target, std::string_view comment, std::string_view why) const {
    Rule rule;
    rule.family = family_;
    rule.matches.push_back(match::Comment{fmt::format("minibridge: {}", comment)});
    rule.target = std::move(target);
    rule.why = why;
    return rule;
  }

  // The kernel itself throws away what comes from elsewhere with an address of the host: in IPv6 with ::1, in IPv4 with any
  // but the loopback addresses where route_localnet is on.
  Rule from_the_host() const {
    if (family_ == Family::v4) {
      Rule from = rule(target::Drop{}, "no container pretends to be loopback",
                       "a packet that comes from a container with a loopback source address is forged");
      from.source = {Subnet::parse("127.0.0.0/8"), false};
      return from;
    }
    Rule from = rule(target::Drop{}, "no container pretends to be the host",
                     "a packet that comes from a container with an address of the host as its source is forged");
    from.matches.insert(from.matches.begin(), match::AddrType{{{match::AddressType::local, false}}, std::nullopt});
    return from;
  }

  Rule network_rule(const Network& network, Target target, std::string_view comment, std::string_view why) const {
    Rule result = rule(std::move(target), comment, why);
    result.matches.back() = match::Comment{fmt::format("minibridge network {}: {}", network.name.str(), comment)};
    return result;
  }

  // The rule restricted to packets from or to our bridges: one rule by group and one for each bridge that we have adopted,
  // whose group is its owner's; or one per bridge.
  std::vector<Rule> for_our_bridges(const Rule& base, Side side) const {
    std::vector<Rule> rules;
    if (devgroup_) {
      Rule by_group = base;
      match::DevGroup match;
      (side == Side::from ? match.source : match.destination) = {group_, false};
      by_group.matches.insert(by_group.matches.begin(), match);
      rules.push_back(std::move(by_group));
    }
    for (const auto* network : networks_) {
      if (devgroup_ && !network->adopted_bridge) continue;
      Rule by_name = base;
      (side == Side::from ? by_name.in : by_name.out) = {network->bridge.str(), false};
      rules.push_back(std::move(by_name));
    }
    return rules;
  }

  void hook(TableRules& table, const std::string& built_in, std::string_view chain, Side side, std::string_view comment,
            std::string_view why) const {
    auto rules = for_our_bridges(rule(target::Jump{std::string(chain)}, comment, why), side);
    auto& hooks = table.hooks[built_in];
    hooks.insert(hooks.end(), rules.begin(), rules.end());
  }

  // What its containers ask the name server on their gateway, over UDP and TCP.
  std::vector<Rule> to_name_server(const Network& network, const Target& target, std::string_view comment,
                                   std::string_view why) const {
    std::vector<Rule> rules;
    if (!serves_names(network)) return rules;
    for (const auto protocol : {Protocol::udp, Protocol::tcp}) {
      Rule question = network_rule(network, target, comment, why);
      question.in = {network.bridge.str(), false};
      question.destination = {Subnet(network.pool(family_)->gateway, address_bits(family_)), false};
      question.protocol = {static_cast<std::uint8_t>(protocol), false};
      constexpr PortRange kDomain{53, 53};
      question.matches.insert(question.matches.begin(), match::Ports{protocol, std::nullopt, {{kDomain, false}}});
      rules.push_back(std::move(question));
    }
    return rules;
  }

  void publish_hooks(TableRules& table) const {
    const auto own_addresses = match::AddrType{std::nullopt, {{match::AddressType::local, false}}};
    Rule outside = rule(target::Jump{std::string(kPublishChain)}, "published ports",
                        "packets for an address of this host may be meant for a container; ports published on loopback "
                        "are not for the wire");
    outside.destination = {family_ == Family::v4 ? Subnet::parse("127.0.0.0/8") : Subnet::parse("fe80::/10"), true};
    outside.matches.insert(outside.matches.begin(), own_addresses);
    if (family_ == Family::v6) {
      // In IPv4 the kernel throws them away itself.
      std::get<match::AddrType>(outside.matches.front()).source = {{match::AddressType::local, true}};
      outside.why += ", and what comes from there in the name of this host is forged";
    }
    table.hooks["PREROUTING"] = {outside};
    Rule local = rule(target::Jump{std::string(kPublishChain)}, "published ports for the host itself",
                      "what the host sends to one of its own addresses does not pass PREROUTING");
    local.matches.insert(local.matches.begin(), own_addresses);
    if (family_ == Family::v6) {
      // From ::1 nobody can be spoken to but ::1, and no packet leaves for a link-local address by another interface than
      // the one that was named: translated, both would wait for an answer in vain. Untranslated they are refused.
      local.source = {Subnet::parse("::1/128"), true};
      local.destination = {Subnet::parse("fe80::/10"), true};
    }
    table.hooks["OUTPUT"] = {local};
  }

  void masquerade(std::vector<Rule>& chain) const {
    const auto append = [&chain](const std::vector<Rule>& rules) {
      chain.insert(chain.end(), rules.begin(), rules.end());
    };
    Rule host = rule(target::Masquerade{}, "the host to a published port",
                     "a container could not answer 127.0.0.1, so the host speaks to it from the gateway address");
    host.matches.insert(host.matches.begin(), match::AddrType{{{match::AddressType::local, false}}, std::nullopt});
    append(for_our_bridges(host, Side::to));
    for (const auto* network : networks_) {
      Rule hairpin = network_rule(*network, target::Masquerade{}, "a published port of the own network",
                                  "without this the answer would go past the host, which has to translate it back");
      hairpin.source = {network->pool(family_)->subnet, false};
      hairpin.out = {network->bridge.str(), false};
      hairpin.matches.insert(hairpin.matches.begin(), match::ConnTrack{match::kDnat, false});
      chain.push_back(std::move(hairpin));
    }
    append(for_our_bridges(
        rule(target::Return{}, "into a network the source stays", "containers see who really speaks to them"),
        Side::to));
    for (const auto* network : networks_) {
      if (network->internal || !network->masquerade) continue;
      Rule out = network_rule(*network, target::Masquerade{}, "out under the address of the host",
                              "nobody outside has a way back to a container's private address");
      if (network->snat_to && network->snat_to->family() == family_) {
        out = network_rule(*network, target::Snat{*network->snat_to}, "out under the address that was chosen",
                           "nobody outside has a way back to a container's private address");
      }
      out.source = {network->pool(family_)->subnet, false};
      chain.push_back(std::move(out));
    }
  }

  void forward(std::vector<Rule>& chain) const {
    // Entering is decided for all networks before leaving: the other way round "leaving: accept" of one network
    // would let it into every other.
    const auto entering = for_our_bridges(
        rule(target::Jump{std::string(kEnterChain)}, "into a network", "who may speak to a container is decided there"),
        Side::to);
    const auto leaving = for_our_bridges(
        rule(target::Accept{}, "out of a network", "containers may reach everything outside"), Side::from);
    chain = entering;
    for (const auto* network : networks_) {
      if (!network->internal) continue;
      Rule stays = network_rule(*network, target::Drop{}, "nothing leaves an internal network",
                                "a container may have given itself a default route");
      stays.in = {network->bridge.str(), false};
      chain.push_back(std::move(stays));
    }
    chain.insert(chain.end(), leaving.begin(), leaving.end());
  }

  // The host has more addresses than the gateway's, and through them a container would look out of its network.
  void input(TableRules& table) const {
    for (const auto* network : networks_) {
      auto& chain = table.chains[std::string(kInputChain)];
      for (auto& question : to_name_server(*network, target::Accept{}, "to the name server",
                                           "a host that lets nobody in (INPUT policy DROP) still answers its "
                                           "containers' questions for names; nothing else is opened")) {
        chain.push_back(std::move(question));
      }
      if (!network->internal) continue;
      if (family_ == Family::v6) find_neighbours(*network, table.chains[std::string(kInputChain)]);
      Rule other = network_rule(*network, target::Drop{}, "of the host only the gateway",
                                "an internal network ends at its gateway; other addresses of the host are outside");
      other.in = {network->bridge.str(), false};
      other.destination = {Subnet(network->pool(family_)->gateway, address_bits(family_)), true};
      chain.push_back(std::move(other));
    }
    if (table.chains[std::string(kInputChain)].empty()) {
      table.chains.erase(std::string(kInputChain));
      return;
    }
    hook(table, "INPUT", kInputChain, Side::from, "containers to the host",
         "only packets that containers send to the host itself are looked at");
  }

  // ARP never comes by here, but IPv6 asks for the owner of an address by ICMPv6, sent to multicast groups and to the
  // bridge's link-local address.
  void find_neighbours(const Network& network, std::vector<Rule>& chain) const {
    constexpr std::uint8_t kIcmpV6 = 58;
    constexpr std::uint8_t kSolicitation = 135;
    constexpr std::uint8_t kAdvertisement = 136;
    for (const auto type : {kSolicitation, kAdvertisement}) {
      Rule ask = network_rule(network, target::Return{}, "neighbour discovery",
                              "a container must be able to find its gateway, and the gateway the container");
      ask.in = {network.bridge.str(), false};
      ask.protocol = {kIcmpV6, false};
      ask.matches.insert(ask.matches.begin(), match::IcmpType{type});
      chain.push_back(std::move(ask));
    }
  }

  // Before anything that accepts: not even an answer or a published port crosses its border.
  void internal(const Network& network, std::vector<Rule>& chain) const {
    Rule out = network_rule(network, target::Drop{}, "nothing leaves an internal network",
                            "an internal network speaks to nobody else, not even to other networks");
    out.in = {network.bridge.str(), false};
    out.out = {network.bridge.str(), true};
    Rule in = network_rule(network, target::Drop{}, "nothing enters an internal network",
                           "an internal network is spoken to by nobody else");
    in.in = {network.bridge.str(), true};
    in.out = {network.bridge.str(), false};
    chain.push_back(std::move(out));
    chain.push_back(std::move(in));
  }

  Rule among(const Network& network) const {
    Rule rule = network.icc ? network_rule(network, target::Accept{}, "among its containers",
                                           "containers of one network reach each other")
                            : network_rule(network, target::Drop{}, "not among its containers",
                                           "--icc=false: they reach each other through published ports only");
    rule.in = {network.bridge.str(), false};
    rule.out = {network.bridge.str(), false};
    return rule;
  }

  bool has_routed() const { return has_mode(NetworkMode::routed); }
  bool has_mode(NetworkMode mode) const {
    return std::any_of(networks_.begin(), networks_.end(), [mode](const Network* n) { return n->mode == mode; });
  }

  // What goes straight to a container's own address. Published ports are for everybody, the rest for the outside only.
  void straight(std::vector<Rule>& chain) const {
    for (const auto* network : networks_) {
      if (network->mode != NetworkMode::routed) continue;
      Rule published = network_rule(*network, target::Jump{std::string(kRoutedChain)}, "published ports",
                                    "in a routed network a published port answers under the container's own address");
      published.out = {network->bridge.str(), false};
      chain.push_back(std::move(published));
    }
    if (!has_routed() && !has_mode(NetworkMode::unprotected)) return;
    const auto isolated =
        for_our_bridges(rule(target::Drop{}, "no other network",
                             "what follows is for the outside; networks are isolated from each other"),
                        Side::from);
    chain.insert(chain.end(), isolated.begin(), isolated.end());
    for (const auto* network : networks_) {
      if (network->mode == NetworkMode::routed) chain.push_back(ping(*network));
      if (network->mode == NetworkMode::unprotected) chain.push_back(every_port(*network));
    }
  }

  Rule ping(const Network& network) const {
    constexpr std::uint8_t kEchoRequest4 = 8;    // RFC 792
    constexpr std::uint8_t kEchoRequest6 = 128;  // RFC 4443
    Rule rule = network_rule(network, target::Accept{}, "ping", "whoever has a route to a container may ask for it");
    rule.out = {network.bridge.str(), false};
    rule.protocol = {family_ == Family::v4 ? std::uint8_t{1} : std::uint8_t{58}, false};
    rule.matches.insert(rule.matches.begin(), match::IcmpType{family_ == Family::v4 ? kEchoRequest4 : kEchoRequest6});
    return rule;
  }

  Rule every_port(const Network& network) const {
    Rule rule =
        network_rule(network, target::Accept{}, "every port", "--mode unprotected: nothing is kept away from it");
    rule.out = {network.bridge.str(), false};
    return rule;
  }

  void enter(std::vector<Rule>& chain) const {
    Rule known = rule(target::Accept{}, "answers", "what belongs to a conversation that was allowed to begin");
    known.matches.insert(known.matches.begin(), match::ConnTrack{match::kRelated | match::kEstablished, false});
    Rule published =
        rule(target::Accept{}, "published ports",
             "only what came through a published port was translated; a packet routed straight to a container was not");
    published.matches.insert(published.matches.begin(), match::ConnTrack{match::kDnat, false});
    for (const auto* network : networks_) {
      if (network->internal) internal(*network, chain);
    }
    chain.push_back(known);
    chain.push_back(published);
    for (const auto* network : networks_) chain.push_back(among(*network));
    straight(chain);
    chain.push_back(rule(target::Drop{}, "everything else", "networks are isolated from each other and from outside"));
  }

  Family family_;
  std::uint32_t group_;
  bool devgroup_;
  const std::vector<Network>& all_networks_;
  std::vector<const Network*> networks_;  // those with addresses of the family
};

IpAddress destination_of(const Container& container, Family family, const std::vector<Network>& networks) {
  if (const auto address = published_address(container, family, networks)) return *address;
  throw Error(ErrorKind::failed,
              fmt::format("container '{}' publishes a port but has no {} address in a network that is not internal",
                          container.name.str(), to_string(family)));
}

bool is_internal(const Id& id, const std::vector<Network>& networks) {
  return std::any_of(networks.begin(), networks.end(),
                     [&](const Network& network) { return network.id == id && network.internal; });
}

}  // namespace

std::optional<IpAddress> published_address(const Container& container, Family family,
                                           const std::vector<Network>& networks) {
  std::optional<IpAddress> first;
  for (const auto& endpoint : container.endpoints) {
    const auto* held = endpoint.address(family);
    if (held == nullptr || !held->address) continue;
    if (held->default_route) return held->address;
    if (!first && !is_internal(endpoint.network, networks)) first = held->address;
  }
  return first;
}

Rule publish_rule(const Container& container, const PublishedPort& port, const std::vector<Network>& networks) {
  Rule rule;
  rule.family = port.host_address.family();
  if (!port.host_address.is_any()) rule.destination = {Subnet(port.host_address, address_bits(rule.family)), false};
  rule.protocol = {static_cast<std::uint8_t>(port.protocol), false};
  rule.matches = {match::Ports{port.protocol, std::nullopt, {{port.host_ports, false}}},
                  match::Comment{fmt::format("minibridge {}: {}", container.name.str(), port.str())}};
  target::Dnat dnat{destination_of(container, rule.family, networks), std::nullopt, std::nullopt};
  if (port.container_ports != port.host_ports) {
    dnat.ports = port.container_ports;
    // Without a base the kernel would pick any port of the range; with it the range is shifted one to one.
    if (port.container_ports.count() > 1) dnat.base = port.host_ports.first;
  }
  rule.target = dnat;
  rule.why = fmt::format("whoever speaks to port {} of this host reaches port {} of '{}'", port.host_ports.str(),
                         port.container_ports.str(), container.name.str());
  return rule;
}

Ruleset desired_rules(const Identity& identity, bool devgroup, const std::vector<Network>& networks,
                      const std::vector<Container>& containers) {
  Ruleset rules;
  for (const auto family : {Family::v4, Family::v6}) {
    RuleBuilder builder(family, identity, devgroup, networks);
    if (!builder.wanted()) continue;
    rules[{family, Table::raw}] = builder.raw();
    rules[{family, Table::nat}] = builder.nat(containers);
    rules[{family, Table::filter}] = builder.filter(containers);
  }
  return rules;
}

std::optional<std::uint32_t> group_in(const Ruleset& rules) {
  std::optional<std::uint32_t> group;
  const auto look = [&group](const std::map<std::string, std::vector<Rule>>& chains) {
    for (const auto& [name, chain] : chains) {
      for (const auto& rule : chain) {
        for (const auto& match : rule.matches) {
          const auto* devgroup = std::get_if<match::DevGroup>(&match);
          if (devgroup == nullptr) continue;
          const auto& side = devgroup->source ? devgroup->source : devgroup->destination;
          if (side && is_minibridge_group(side->value)) group = side->value;
        }
      }
    }
  };
  for (const auto& [key, table] : rules) {
    look(table.hooks);
    look(table.chains);
  }
  return group;
}

}  // namespace mb::plan
