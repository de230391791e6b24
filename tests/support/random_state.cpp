// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/random_state.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/model/chains.h"
#include "src/plan/resolve.h"

namespace mb::test {
namespace {

constexpr std::string_view kWordLetters = "abcdefghijklmnopqrstuvwxyz0123456789-_.";

PortRange random_range(Random& random) {
  const auto first = 1 + random.below(65535);
  const auto last = random.chance(50) ? first : first + random.below(65536 - first);
  return {static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)};
}

IpAddress random_address(Random& random) { return IpAddress::v4(static_cast<std::uint32_t>(random.below(1ULL << 32))); }

template <class T>
std::optional<Negatable<T>> maybe(Random& random, T value) {
  if (random.chance(50)) return std::nullopt;
  return Negatable<T>{value, random.chance(30)};
}

Subnet random_subnet(Random& random) {
  return Subnet::containing(random_address(random), static_cast<int>(random.below(33)));
}

Match random_match(Random& random) {
  const std::vector<match::AddressType> types = {match::AddressType::unicast, match::AddressType::local,
                                                 match::AddressType::broadcast, match::AddressType::multicast};
  switch (random.below(6)) {
    case 0: {
      const auto protocol = random.one_of(std::vector{Protocol::tcp, Protocol::udp, Protocol::sctp});
      const auto source = maybe(random, random_range(random));
      return match::Ports{protocol, source, maybe(random, random_range(random))};
    }
    case 1: {
      const auto source = maybe(random, random.one_of(types));
      return match::AddrType{source, maybe(random, random.one_of(types))};
    }
    case 2: {
      const auto source = maybe(random, static_cast<std::uint32_t>(random.below(1ULL << 32)));
      return match::DevGroup{source, maybe(random, static_cast<std::uint32_t>(random.below(1ULL << 32)))};
    }
    case 3: return match::ConnTrack{static_cast<std::uint16_t>(1 + random.below(127)), random.chance(30)};
    case 4: return match::IcmpType{static_cast<std::uint8_t>(random.below(256))};
    default: return match::Comment{random.text("abc \"'\\-:>/0123456789!$`", 40)};
  }
}

Target random_target(Random& random) {
  switch (random.below(9)) {
    case 7: return target::Goto{"C" + random.text(kWordLetters, 27)};
    case 0: return target::None{};
    case 1: return target::Accept{};
    case 2: return target::Drop{};
    case 3: return target::Return{};
    case 4: return target::Jump{"C" + random.text(kWordLetters, 27)};
    case 5: return target::Snat{random_address(random)};
    case 6: return target::Masquerade{};
    default: {
      target::Dnat dnat{random_address(random), std::nullopt, std::nullopt};
      if (random.chance(70)) dnat.ports = random_range(random);
      if (dnat.ports && random.chance(50)) dnat.base = static_cast<std::uint16_t>(1 + random.below(65535));
      return dnat;
    }
  }
}

InterfaceName new_link(Random& random) { return InterfaceName::parse("mb" + random.hex(12)); }

PublishSpec random_spec(Random& random) {
  PublishSpec spec;
  const auto first = static_cast<std::uint16_t>(1 + random.below(40));
  spec.container_ports = {first, static_cast<std::uint16_t>(first + random.below(3))};
  spec.protocol = random.one_of(std::vector{Protocol::tcp, Protocol::udp, Protocol::sctp});
  if (random.chance(70)) {
    const auto host = static_cast<std::uint16_t>(8000 + random.below(60));
    spec.host_ports = {host, static_cast<std::uint16_t>(host + spec.container_ports.count() - 1)};
  }
  if (random.chance(30)) spec.host_address = IpAddress::parse("127.0.0.1");
  return spec;
}

std::vector<PublishSpec> random_specs(Random& random) {
  std::vector<PublishSpec> specs;
  for (auto count = random.below(3); count > 0; --count) specs.push_back(random_spec(random));
  return specs;
}

change::AddNetwork random_network(Random& random) {
  change::AddNetwork network;
  network.id = random.hex(12);
  network.name = Name::parse(fmt::format("net{}", random.below(5)));
  network.bridge = InterfaceName::parse("br" + network.name.str());
  if (random.chance(50)) network.v4.subnet = Subnet::parse(fmt::format("10.{}.0.0/28", random.below(9)));
  if (random.chance(30)) network.mtu = 1400;
  if (random.chance(20)) network.internal = true;
  if (random.chance(20)) network.masquerade = false;
  if (random.chance(50)) network.v6.emplace();
  if (random.chance(20)) network.icc = false;
  if (!network.internal && random.chance(30)) network.mode = NetworkMode::routed;
  if (!network.internal && random.chance(10)) network.mode = NetworkMode::unprotected;
  return network;
}

change::EndpointRequest random_endpoint(Random& random, const Network& network) {
  change::EndpointRequest request;
  request.network = network.name.str();
  request.host_link = new_link(random);
  for (const auto& pool : network.pools) {
    if (random.chance(20)) request.addresses.push_back(pool.subnet.base().plus(2 + random.below(9)));
  }
  if (random.chance(20)) request.mac = MacAddress::derived_from(random_address(random));
  if (random.chance(20)) request.gateway_priority = static_cast<std::int32_t>(random.below(3));
  return request;
}

change::AddContainer random_container(Random& random, const StateView& state) {
  change::AddContainer add;
  auto& container = add.container;
  container.id = random.hex(12);
  container.name = Name::parse(fmt::format("web{}", random.below(8)));
  container.hostname = container.name.str();
  container.kind =
      random.one_of(std::vector{ContainerKind::process, ContainerKind::netns, ContainerKind::foreign_netns});
  container.resolv_conf = "nameserver 192.0.2.53\n";
  if (random.chance(30)) container.search_domains = {"example.test"};
  if (container.kind == ContainerKind::process) {
    container.status = ContainerStatus::running;
    container.namespace_source = "/proc/1234/ns/net";
    container.remove_when_ended = random.chance(30);
  }
  if (container.kind == ContainerKind::foreign_netns) container.namespace_source = "/run/theirs";
  if (random.chance(20)) container.sysctls["net.ipv4.ip_unprivileged_port_start"] = "0";
  for (const auto& network : state.networks()) {
    if (random.chance(40)) continue;
    add.endpoints.push_back(random_endpoint(random, network));
  }
  container.publish = random_specs(random);
  add.draw = random.below(1000);
  return add;
}

// A random element of an associative container; null when it is empty.
template <class Map>
auto pick(Map& map, Random& random) -> decltype(&*map.begin()) {
  if (map.empty()) return nullptr;
  return &*std::next(map.begin(), static_cast<std::ptrdiff_t>(random.below(map.size())));
}

void damage_bridge(KernelState& world, Random& random, const Identity& identity) {
  auto* entry = pick(world.bridges, random);
  if (entry == nullptr || entry->second.group != identity.group) return;
  auto& bridge = entry->second;
  switch (random.below(9)) {
    case 0: bridge.up = false; return;
    case 1: bridge.addresses.clear(); return;
    case 2: bridge.route_localnet = false; return;
    case 3: bridge.mac = MacAddress::parse("02:00:00:00:00:99"); return;
    case 4: bridge.alias = "renamed"; return;
    case 5:
      bridge.group = identity.trash;
      bridge.up = false;
      return;
    case 6: bridge.accept_ra = 2; return;
    case 7:
      bridge.filters_frames = bridge.filters_frames == false ? std::optional<bool>() : std::optional(false);
      return;
    default: {
      const auto name = bridge.name;
      world.bridges.erase(name);
      for (auto& [host, veth] : world.veths) {
        if (veth.bridge == name) veth.bridge = {};
      }
    }
  }
}

void damage_veth(KernelState& world, Random& random, const Identity& identity) {
  auto* entry = pick(world.veths, random);
  if (entry == nullptr || entry->second.group != identity.group) return;
  auto& veth = entry->second;
  const auto name = veth.host;
  switch (random.below(9)) {
    case 0: world.veths.erase(name); return;
    case 1: veth.up = false; return;
    case 2:
      veth.bridge = {};
      veth.hairpin = false;
      return;
    case 3: veth.gateways.clear(); return;
    case 4:
      veth.peer_up = false;
      veth.gateways.clear();
      return;
    case 5:
      veth.addresses.clear();
      veth.gateways.clear();
      return;
    case 6: veth.peer = InterfaceName::parse("renamed"); return;
    case 7:
      veth.group = identity.trash;
      veth.up = false;
      return;
    default: veth.mac = MacAddress::parse("02:00:00:00:00:98"); return;
  }
}

void damage_namespace(KernelState& world, Random& random) {
  auto* entry = pick(world.namespaces, random);
  if (entry == nullptr) return;
  switch (random.below(3)) {
    case 0: entry->second.loopback_up = false; return;
    case 1: entry->second.link_name.clear(); return;
    default: {
      const auto id = entry->first;
      world.namespaces.erase(id);
      std::erase_if(world.veths, [&](const auto& veth) { return veth.second.container == id; });
      std::erase_if(world.sysctls, [&](const auto& sysctl) { return sysctl.first.container == id; });
    }
  }
}

void damage_rules(KernelState& world, Random& random) {
  auto* table = pick(world.rules, random);
  if (table == nullptr) return;
  auto* chain = pick(table->second.chains, random);
  if (chain == nullptr) return;
  auto& rules = chain->second;
  switch (random.below(5)) {
    case 0:
      if (chain->first != kUserChain) rules.clear();
      return;
    case 1: {  // iptables -F BUILT-IN: everybody's rules are gone, ours among them
      auto* hook = pick(table->second.hooks, random);
      if (hook == nullptr) return;
      std::erase_if(hook->second, [](const Rule& rule) {
        const auto* jump = std::get_if<target::Jump>(&rule.target);
        return jump != nullptr && jump->chain.starts_with(kChainPrefix) && jump->chain != kUserChain;
      });
      if (hook->second.empty()) table->second.hooks.erase(hook->first);
      return;
    }
    case 2: {  // somebody's rule in a chain of ours
      Rule rule = random_rule(random);
      rule.target = target::Accept{};
      rules.insert(rules.begin() + static_cast<std::ptrdiff_t>(random.below(rules.size() + 1)), rule);
      return;
    }
    case 3:
      if (rules.empty() || chain->first == kUserChain) return;
      rules.push_back(rules[random.below(rules.size())]);  // one of ours twice
      return;
    default:
      if (rules.empty() || chain->first == kUserChain) return;
      rules.erase(rules.begin() + static_cast<std::ptrdiff_t>(random.below(rules.size())));
  }
}

void damage_hooks(KernelState& world, Random& random) {
  auto* table = pick(world.rules, random);
  if (table == nullptr) return;
  auto* hook = pick(table->second.hooks, random);
  if (hook == nullptr) return;
  auto& rules = hook->second;
  std::vector<std::size_t> ours;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const auto* jump = std::get_if<target::Jump>(&rules[i].target);
    if (jump != nullptr && jump->chain.starts_with(kChainPrefix)) ours.push_back(i);
  }
  if (ours.empty()) return;
  const Rule rule = rules[random.one_of(ours)];
  switch (random.below(3)) {
    case 0: rules.push_back(rule); return;
    case 1: rules.insert(rules.begin(), rule); return;
    default:
      rules.erase(std::find(rules.begin(), rules.end(), rule));
      if (rules.empty()) table->second.hooks.erase(hook->first);
  }
}

void damage_files(KernelState& world, Random& random) {
  if (!world.name_servers.empty() && random.chance(30)) {
    world.name_servers.erase(world.name_servers.begin());
    return;
  }
  auto* file = pick(world.files, random);
  if (file == nullptr || world.directories.empty()) return;
  switch (random.below(3)) {
    case 0: file->second += "# edited\n"; return;
    case 1: world.files.erase(file->first); return;
    default: {
      const Id id =
          *std::next(world.directories.begin(), static_cast<std::ptrdiff_t>(random.below(world.directories.size())));
      world.directories.erase(id);
      std::erase_if(world.files, [&](const auto& entry) { return entry.first.starts_with("containers/" + id + "/"); });
    }
  }
}

}  // namespace

std::string Random::hex(std::size_t digits) {
  std::string result;
  for (std::size_t i = 0; i < digits; ++i) result += "0123456789abcdef"[below(16)];
  return result;
}

std::string Random::text(std::string_view letters, std::size_t most) {
  std::string result;
  for (auto length = below(most + 1); length > 0; --length) result += letters[below(letters.size())];
  return result;
}

Rule random_rule(Random& random) {
  Rule rule;
  rule.source = maybe(random, random_subnet(random));
  rule.destination = maybe(random, random_subnet(random));
  rule.in = maybe(random, "i" + random.text(kWordLetters, 13) + (random.chance(20) ? "+" : ""));
  rule.out = maybe(random, "o" + random.text(kWordLetters, 13));
  rule.protocol = maybe(random, static_cast<std::uint8_t>(random.below(256)));
  for (auto count = random.below(4); count > 0; --count) rule.matches.push_back(random_match(random));
  rule.target = random_target(random);
  return rule;
}

Change random_change(Random& random, const StateView& state) {
  const auto containers = state.containers();
  const auto some = [&] { return containers.empty() ? Id("none") : random.one_of(containers).id; };
  switch (random.below(15)) {
    case 0:
    case 1: return random_network(random);
    case 2: return change::RemoveNetwork{fmt::format("net{}", random.below(5))};
    case 3: return change::RemoveContainer{some()};
    case 4: return change::EndContainer{some(), 0, 1};
    case 5:
      return change::StartContainer{some(), 1, 2, "/proc/99/ns/net", "nameserver 192.0.2.54\n", 3, random.below(999)};
    case 6: return change::Publish{some(), random_specs(random), random.below(999)};
    case 7: return change::Unpublish{some(), random_specs(random)};
    case 8: return change::Publish{some(), random_specs(random), random.below(999), true};
    case 9: {
      const auto networks = state.networks();
      if (networks.empty()) return random_network(random);
      return change::Connect{some(), random_endpoint(random, random.one_of(networks)), {}, {}, random.below(999)};
    }
    case 10: return change::Disconnect{some(), fmt::format("net{}", random.below(5))};
    default: return random_container(random, state);
  }
}

void grow(FakeState& state, Random& random, int count) {
  for (int i = 0; i < count; ++i) {
    try {
      state.write(plan::resolve({random_change(random, state)}, state, HostFacts{}));
    } catch (const Error&) {  // not possible in this state: nothing has happened
    }
  }
}

plan::DesiredInput whole_input(const StateView& state, const Identity& identity, bool devgroup, bool name_servers) {
  plan::DesiredInput input;
  input.identity = identity;
  input.devgroup = devgroup;
  input.networks = state.networks();
  for (const auto& network : input.networks) input.bridges_of.insert(network.id);
  input.containers = state.containers();
  input.name_servers = name_servers;
  for (const auto& container : input.containers) {
    if (!container.wants_network()) continue;
    for (const auto& endpoint : container.endpoints) {
      input.populated.insert(endpoint.network);
      input.members[endpoint.network].push_back(container);
    }
  }
  return input;
}

Scope whole_scope(const plan::DesiredInput& input) {
  Delta all;
  for (const auto& container : input.containers) all.containers.push_back({std::nullopt, container});
  Scope scope = plan::scope_of(all, input);
  scope.everything = true;
  return scope;
}

KernelState random_strangers(Random& random) {
  KernelState world;
  const auto their_bridge = InterfaceName::parse("docker0");
  auto& theirs = world.bridges[their_bridge];
  theirs.name = their_bridge;
  theirs.mac = MacAddress::parse("02:42:00:00:00:01");
  theirs.mtu = 1500;
  theirs.route_localnet = false;
  theirs.accept_ra = 1;
  VethState veth;
  veth.host = InterfaceName::parse("veth1234567");
  veth.bridge = their_bridge;
  world.veths[veth.host] = veth;
  world.sysctls[{Id(), "net.ipv4.ip_forward"}] = {"0", {{"net.ipv4.conf.all.forwarding", "0"}}};
  world.sysctls[{Id(), "net.ipv6.conf.all.forwarding"}] = {"0", {{"net.ipv6.conf.default.forwarding", "0"}}};
  for (const auto& [table, chain] :
       {std::pair{Table::filter, "FORWARD"}, std::pair{Table::filter, "INPUT"}, std::pair{Table::nat, "PREROUTING"},
        std::pair{Table::nat, "OUTPUT"}, std::pair{Table::nat, "POSTROUTING"}, std::pair{Table::raw, "PREROUTING"},
        std::pair{Table::mangle, "PREROUTING"}}) {
    for (auto count = random.below(3); count > 0; --count) {
      world.rules[{Family::v4, table}].hooks[chain].push_back(random_rule(random));
    }
  }
  return world;
}

void damage(KernelState& world, Random& random, const Identity& identity) {
  switch (random.below(7)) {
    case 0: return damage_bridge(world, random, identity);
    case 1: return damage_veth(world, random, identity);
    case 2: return damage_namespace(world, random);
    case 3: return damage_files(world, random);
    case 4: return damage_hooks(world, random);
    case 5: {
      const Flow stale{Protocol::udp,
                       IpAddress::parse("192.0.2.9"),
                       static_cast<std::uint16_t>(random.below(9)),
                       IpAddress::parse("192.0.2.1"),
                       53,
                       IpAddress::parse("10.0.0.2")};
      world.flows.insert(stale);
      return;
    }
    default: return damage_rules(world, random);
  }
}

}  // namespace mb::test
