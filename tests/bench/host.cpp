// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/bench/host.h"

#include <ctime>

#include <fmt/format.h>

#include "src/kernel/iptables_codec.h"
#include "src/model/chains.h"
#include "src/plan/rules.h"

namespace mb::bench {
namespace {

constexpr const char* kSingleId = "00000000de0f";
constexpr std::uint32_t kFloorGroup = 0x0badf100;

// Ids and link names as the command draws them: hexadecimal, here from what they are for.
std::string digits(const std::string& name) { return fmt::format("{:012x}", std::hash<std::string>{}(name) >> 16); }

engine::Setup setup() {
  engine::Setup setup;
  setup.state_dir = kStateDir;
  setup.keeps_state_open = true;  // as a program has it that attaches one container after the other
  setup.is_alive = [](const Id&) { return true; };
  setup.now = [] { return static_cast<std::int64_t>(std::time(nullptr)); };
  setup.draw_state_id = [] { return std::string("0be9c400"); };
  return setup;
}

Container container(const std::string& name, std::uint16_t port) {
  Container container;
  container.id = digits(name);
  container.name = Name::parse(name);
  container.kind = ContainerKind::netns;
  container.hostname = name;
  container.resolv_conf = "nameserver 198.51.100.53\n";
  if (port != 0) container.publish = {PublishSpec::parse(fmt::format("{}:80", port))};
  return container;
}

std::vector<PublishSpec> single_ports(std::uint16_t first, int count) {
  std::vector<PublishSpec> specs;
  for (int port = first; port < first + count; ++port)
    specs.push_back(PublishSpec::parse(fmt::format("{0}:{0}", port)));
  return specs;
}

}  // namespace

Host::Host() : engine_(setup()) {
  change::AddNetwork add;
  add.id = kSingleId;
  add.name = Name::parse(kSingle);
  add.bridge = InterfaceName::parse(kBridge);
  add.v4.subnet = Subnet::parse("172.18.0.0/16");
  engine_.run({add});
}

Host::~Host() {
  try {
    engine_.take_down();
  } catch (const std::exception& problem) {
    fmt::print(stderr, "the host was not left clean: {}\n", problem.what());
  }
}

void Host::add_dual_network() const {
  change::AddNetwork add;
  add.id = "00000000d0a1";
  add.name = Name::parse(kDual);
  add.bridge = InterfaceName::parse("minibridge1");
  add.v4.subnet = Subnet::parse("172.19.0.0/16");
  add.v6.emplace().subnet = Subnet::parse("fd00:19::/64");
  engine_.run({add});
}

void Host::add(const std::vector<std::string>& names, std::uint16_t port, const char* network) const {
  std::vector<Change> changes;
  for (const auto& name : names) {
    change::AddContainer add;
    add.container = container(name, port == 0 ? std::uint16_t{0} : port++);
    change::EndpointRequest endpoint;
    endpoint.network = network;
    endpoint.host_link = InterfaceName::parse("mb" + digits(name));
    add.endpoints = {endpoint};
    changes.emplace_back(std::move(add));
  }
  engine_.run(changes);
}

void Host::remove(const std::vector<std::string>& names) const {
  std::vector<Change> changes;
  for (const auto& name : names) changes.emplace_back(change::RemoveContainer{name});
  engine_.run(changes);
}

void Host::publish(const std::string& name, const std::string& spec) const {
  engine_.run({change::Publish{name, {PublishSpec::parse(spec)}, 0}});
}

void Host::unpublish(const std::string& name, const std::string& spec) const {
  engine_.run({change::Unpublish{name, {PublishSpec::parse(spec)}}});
}

void Host::publish_each(const std::string& name, std::uint16_t first, int count) const {
  engine_.run({change::Publish{name, single_ports(first, count), 0}});
}

void Host::unpublish_each(const std::string& name, std::uint16_t first, int count) const {
  engine_.run({change::Unpublish{name, single_ports(first, count)}});
}

Order Host::order(int number, std::uint16_t port) const {
  const std::string name = fmt::format("floor{}", number);
  Order order;
  order.id = digits(name);
  order.link_name = "mb-" + name;
  order.host_link = "mb" + order.id;
  order.alias = Identity::from_state_id("0be9c400").alias();
  order.group = kFloorGroup;
  order.address = IpAddress::parse("172.18.200.0").plus(static_cast<std::uint64_t>(number) + 1);
  order.mac = MacAddress::derived_from(order.address);
  order.prefix = 16;
  order.gateway = IpAddress::parse("172.18.0.1");
  order.hosts = fmt::format("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{}\t{}\n",
                            order.address.str(), name);
  order.hostname = name + "\n";
  order.resolv_conf = "nameserver 198.51.100.53\n";
  if (port == 0) return order;
  Container twin = container(name, port);
  Endpoint endpoint;
  endpoint.addresses = {{Family::v4, false, order.address}};
  Network network;
  network.id = endpoint.network = kSingleId;
  twin.endpoints = {endpoint};
  order.rule = kernel::encode(
      plan::publish_rule(twin, {IpAddress::any(Family::v4), {port, port}, {80, 80}, Protocol::tcp}, {network}));
  return order;
}

std::vector<std::string> names(const std::string& prefix, int count) {
  std::vector<std::string> all;
  for (int i = 0; i < count; ++i) all.push_back(prefix + std::to_string(i));
  return all;
}

std::string namespace_path(const std::string& container) { return "/run/netns/mb-" + container; }

}  // namespace mb::bench
