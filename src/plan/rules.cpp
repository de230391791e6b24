// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/rules.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "src/base/error.h"

namespace mb::plan {
namespace {

enum class Side : std::uint8_t { from, to };

// Builds the rules of one address family. Methods stand in the order in which a packet meets their rules.
class RuleBuilder {
 public:
  RuleBuilder(Family family, const Identity& identity, bool devgroup, const std::vector<Network>& networks)
      : family_(family), group_(identity.group), devgroup_(devgroup) {
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
    Rule from = rule(target::Drop{}, "no container pretends to be loopback",
                     "a packet that comes from a container with a loopback source address is forged");
    from.source = {loopback, false};
    chain = {to, from};
    hook(table, "PREROUTING", kRawChain, Side::from, "what comes from containers",
         "only packets that containers send are looked at");
    return table;
  }

  TableRules nat(const std::vector<Container>& containers) {
    TableRules table;
    publish_hooks(table);
    auto& publish = table.chains[std::string(kPublishChain)];
    for (const auto& container : containers) {
      for (const auto& port : container.ports) {
        if (port.host_address.family() == family_) publish.push_back(publish_rule(container, port));
      }
    }
    Rule hook_rule = rule(target::Jump{std::string(kMasqueradeChain)}, "source addresses",
                          "where the source address of a packet is chosen, on its way out");
    table.hooks["POSTROUTING"] = {hook_rule};
    masquerade(table.chains[std::string(kMasqueradeChain)]);
    return table;
  }

  TableRules filter() {
    TableRules table;
    table.chains[std::string(kUserChain)];
    table.hooks["FORWARD"] = {
        rule(target::Jump{std::string(kUserChain)}, "rules of the operator",
             "asked first, so that an operator can forbid what minibridge would allow; minibridge never touches them"),
        rule(target::Jump{std::string(kForwardChain)}, "forwarded packets",
             "packets that this host passes on for containers")};
    forward(table.chains[std::string(kForwardChain)]);
    enter(table.chains[std::string(kEnterChain)]);
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

  Rule network_rule(const Network& network, Target target, std::string_view comment, std::string_view why) const {
    Rule result = rule(std::move(target), comment, why);
    result.matches.back() = match::Comment{fmt::format("minibridge network {}: {}", network.name.str(), comment)};
    return result;
  }

  // The rule restricted to packets from or to our bridges: one rule by group, or one per bridge.
  std::vector<Rule> for_our_bridges(const Rule& base, Side side) const {
    std::vector<Rule> rules;
    if (devgroup_) {
      Rule by_group = base;
      match::DevGroup match;
      (side == Side::from ? match.source : match.destination) = {group_, false};
      by_group.matches.insert(by_group.matches.begin(), match);
      return {by_group};
    }
    for (const auto* network : networks_) {
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

  void publish_hooks(TableRules& table) const {
    const auto own_addresses = match::AddrType{std::nullopt, {{match::AddressType::local, false}}};
    Rule outside = rule(target::Jump{std::string(kPublishChain)}, "published ports",
                        "packets for an address of this host may be meant for a container; ports published on loopback "
                        "are not for the wire");
    outside.destination = {family_ == Family::v4 ? Subnet::parse("127.0.0.0/8") : Subnet::parse("fe80::/10"), true};
    outside.matches.insert(outside.matches.begin(), own_addresses);
    table.hooks["PREROUTING"] = {outside};
    Rule local = rule(target::Jump{std::string(kPublishChain)}, "published ports for the host itself",
                      "what the host sends to one of its own addresses does not pass PREROUTING");
    local.matches.insert(local.matches.begin(), own_addresses);
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
      if (!network->internal) continue;
      Rule other = network_rule(*network, target::Drop{}, "of the host only the gateway",
                                "an internal network ends at its gateway; other addresses of the host are outside");
      other.in = {network->bridge.str(), false};
      other.destination = {Subnet(network->pool(family_)->gateway, address_bits(family_)), true};
      table.chains[std::string(kInputChain)].push_back(std::move(other));
    }
    if (!table.chains.contains(std::string(kInputChain))) return;
    hook(table, "INPUT", kInputChain, Side::from, "containers to the host",
         "only packets that containers send to the host itself are looked at");
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
    for (const auto* network : networks_) {
      Rule among = network_rule(*network, target::Accept{}, "among its containers",
                                "containers of one network reach each other");
      among.in = {network->bridge.str(), false};
      among.out = {network->bridge.str(), false};
      chain.push_back(std::move(among));
    }
    chain.push_back(rule(target::Drop{}, "everything else", "networks are isolated from each other and from outside"));
  }

  Family family_;
  std::uint32_t group_;
  bool devgroup_;
  std::vector<const Network*> networks_;
};

// Where a published port leads: the endpoint by which answers leave, else the first with an address of the family.
IpAddress destination_of(const Container& container, Family family) {
  std::optional<IpAddress> first;
  for (const auto& endpoint : container.endpoints) {
    const auto* held = endpoint.address(family);
    if (held == nullptr || !held->address) continue;
    if (endpoint.default_route) return *held->address;
    if (!first) first = held->address;
  }
  if (first) return *first;
  throw Error(ErrorKind::failed, fmt::format("container '{}' publishes a port but has no {} address",
                                             container.name.str(), to_string(family)));
}

}  // namespace

Rule publish_rule(const Container& container, const PublishedPort& port) {
  Rule rule;
  rule.family = port.host_address.family();
  if (!port.host_address.is_any()) rule.destination = {Subnet(port.host_address, address_bits(rule.family)), false};
  rule.protocol = {static_cast<std::uint8_t>(port.protocol), false};
  rule.matches = {match::Ports{port.protocol, std::nullopt, {{port.host_ports, false}}},
                  match::Comment{fmt::format("minibridge {}: {}", container.name.str(), port.str())}};
  target::Dnat dnat{destination_of(container, rule.family), std::nullopt, std::nullopt};
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
    rules[{family, Table::filter}] = builder.filter();
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
