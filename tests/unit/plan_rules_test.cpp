// SPDX-License-Identifier: GPL-2.0-or-later
//
// The rules as a user sees them in iptables-save, and what the state asks of the kernel besides.
#include <fmt/format.h>

#include "src/model/chains.h"
#include "src/plan/desired.h"
#include "src/plan/rules.h"
#include "tests/unit/make.h"

namespace mb::plan {
namespace {

using test::container;
using test::endpoint;
using test::error_of;
using test::ip;
using test::network;
using test::port;

const Identity kIdentity = Identity::from_state_id("3fa2c19b");

std::vector<Network> two_networks() { return {network("n1", "172.18.0.0/16"), network("n2", "172.19.0.0/16")}; }

std::vector<Container> two_containers(const std::vector<Network>& networks) {
  auto web = container("web", {endpoint(networks[0], "172.18.0.2")});
  web.ports = {port("0.0.0.0", {8080, 8080}, {80, 80}), port("127.0.0.1", {8081, 8081}, {80, 80}),
               port("0.0.0.0", {9000, 9999}, {2000, 2999})};
  auto dns = container("dns", {endpoint(networks[1], "172.19.0.2")});
  dns.ports = {port("0.0.0.0", {53, 53}, {53, 53}, Protocol::udp)};
  return {web, dns};
}

constexpr std::string_view kPublished =
    ":MINIBRIDGE-MASQUERADE - [0:0]\n"
    ":MINIBRIDGE-PUBLISH - [0:0]\n"
    "-A OUTPUT -m addrtype --dst-type LOCAL -m comment --comment \"minibridge: published ports for the host itself\" "
    "-j MINIBRIDGE-PUBLISH\n"
    "-A POSTROUTING -m comment --comment \"minibridge: source addresses\" -j MINIBRIDGE-MASQUERADE\n"
    "-A PREROUTING ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -m comment --comment \"minibridge: published ports\" "
    "-j MINIBRIDGE-PUBLISH\n";

constexpr std::string_view kPublishRules =
    "-A MINIBRIDGE-PUBLISH -p tcp -m tcp --dport 8080 -m comment --comment \"minibridge web: 8080 -> 80/tcp\" -j DNAT "
    "--to-destination 172.18.0.2:80\n"
    "-A MINIBRIDGE-PUBLISH -d 127.0.0.1/32 -p tcp -m tcp --dport 8081 -m comment --comment \"minibridge web: "
    "127.0.0.1:8081 -> 80/tcp\" -j DNAT --to-destination 172.18.0.2:80\n"
    "-A MINIBRIDGE-PUBLISH -p tcp -m tcp --dport 9000:9999 -m comment --comment \"minibridge web: 9000-9999 -> "
    "2000-2999/tcp\" -j DNAT --to-destination 172.18.0.2:2000-2999/9000\n"
    "-A MINIBRIDGE-PUBLISH -p udp -m udp --dport 53 -m comment --comment \"minibridge dns: 53 -> 53/udp\" -j DNAT "
    "--to-destination 172.19.0.2\n"
    "COMMIT\n";

TEST(DesiredRules, WithDevgroup) {
  const auto networks = two_networks();
  const auto rules = desired_rules(kIdentity, true, networks, two_containers(networks));
  EXPECT_EQ(kIdentity.group, 0x4d42c19bu);
  EXPECT_EQ(print(rules, Family::v4),
            "*raw\n"
            ":MINIBRIDGE-RAW - [0:0]\n"
            "-A PREROUTING -m devgroup --src-group 0x4d42c19b -m comment --comment \"minibridge: what comes from "
            "containers\" -j MINIBRIDGE-RAW\n"
            "-A MINIBRIDGE-RAW -d 127.0.0.0/8 -m comment --comment \"minibridge: no container reaches loopback "
            "services\" -j DROP\n"
            "-A MINIBRIDGE-RAW -s 127.0.0.0/8 -m comment --comment \"minibridge: no container pretends to be "
            "loopback\" -j DROP\n"
            "COMMIT\n"
            "*nat\n" +
                std::string(kPublished) +
                "-A MINIBRIDGE-MASQUERADE -m devgroup --dst-group 0x4d42c19b -m addrtype --src-type LOCAL -m comment "
                "--comment \"minibridge: the host to a published port\" -j MASQUERADE\n"
                "-A MINIBRIDGE-MASQUERADE -s 172.18.0.0/16 -o br-n1 -m conntrack --ctstate DNAT -m comment --comment "
                "\"minibridge network n1: a published port of the own network\" -j MASQUERADE\n"
                "-A MINIBRIDGE-MASQUERADE -s 172.19.0.0/16 -o br-n2 -m conntrack --ctstate DNAT -m comment --comment "
                "\"minibridge network n2: a published port of the own network\" -j MASQUERADE\n"
                "-A MINIBRIDGE-MASQUERADE -m devgroup --dst-group 0x4d42c19b -m comment --comment \"minibridge: into a "
                "network the source stays\" -j RETURN\n"
                "-A MINIBRIDGE-MASQUERADE -s 172.18.0.0/16 -m comment --comment \"minibridge network n1: out under the "
                "address of the host\" -j MASQUERADE\n"
                "-A MINIBRIDGE-MASQUERADE -s 172.19.0.0/16 -m comment --comment \"minibridge network n2: out under the "
                "address of the host\" -j MASQUERADE\n" +
                std::string(kPublishRules) +
                "*filter\n"
                ":MINIBRIDGE-ENTER - [0:0]\n"
                ":MINIBRIDGE-FORWARD - [0:0]\n"
                ":MINIBRIDGE-USER - [0:0]\n"
                "-A FORWARD -m comment --comment \"minibridge: rules of the operator\" -j MINIBRIDGE-USER\n"
                "-A FORWARD -m comment --comment \"minibridge: forwarded packets\" -j MINIBRIDGE-FORWARD\n"
                "-A MINIBRIDGE-ENTER -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment \"minibridge: "
                "answers\" -j ACCEPT\n"
                "-A MINIBRIDGE-ENTER -m conntrack --ctstate DNAT -m comment --comment \"minibridge: published ports\" "
                "-j ACCEPT\n"
                "-A MINIBRIDGE-ENTER -i br-n1 -o br-n1 -m comment --comment \"minibridge network n1: among its "
                "containers\" -j ACCEPT\n"
                "-A MINIBRIDGE-ENTER -i br-n2 -o br-n2 -m comment --comment \"minibridge network n2: among its "
                "containers\" -j ACCEPT\n"
                "-A MINIBRIDGE-ENTER -m comment --comment \"minibridge: everything else\" -j DROP\n"
                "-A MINIBRIDGE-FORWARD -m devgroup --dst-group 0x4d42c19b -m comment --comment \"minibridge: into a "
                "network\" -j MINIBRIDGE-ENTER\n"
                "-A MINIBRIDGE-FORWARD -m devgroup --src-group 0x4d42c19b -m comment --comment \"minibridge: out of a "
                "network\" -j ACCEPT\n"
                "COMMIT\n");
}

TEST(DesiredRules, WithoutDevgroup) {
  const auto networks = two_networks();
  const auto rules = desired_rules(kIdentity, false, networks, two_containers(networks));
  EXPECT_EQ(
      print(rules, Family::v4),
      "*raw\n"
      ":MINIBRIDGE-RAW - [0:0]\n"
      "-A PREROUTING -i br-n1 -m comment --comment \"minibridge: what comes from containers\" -j MINIBRIDGE-RAW\n"
      "-A PREROUTING -i br-n2 -m comment --comment \"minibridge: what comes from containers\" -j MINIBRIDGE-RAW\n"
      "-A MINIBRIDGE-RAW -d 127.0.0.0/8 -m comment --comment \"minibridge: no container reaches loopback services\" -j "
      "DROP\n"
      "-A MINIBRIDGE-RAW -s 127.0.0.0/8 -m comment --comment \"minibridge: no container pretends to be loopback\" -j "
      "DROP\n"
      "COMMIT\n"
      "*nat\n" +
          std::string(kPublished) +
          "-A MINIBRIDGE-MASQUERADE -o br-n1 -m addrtype --src-type LOCAL -m comment --comment \"minibridge: the host "
          "to a published port\" -j MASQUERADE\n"
          "-A MINIBRIDGE-MASQUERADE -o br-n2 -m addrtype --src-type LOCAL -m comment --comment \"minibridge: the host "
          "to a published port\" -j MASQUERADE\n"
          "-A MINIBRIDGE-MASQUERADE -s 172.18.0.0/16 -o br-n1 -m conntrack --ctstate DNAT -m comment --comment "
          "\"minibridge network n1: a published port of the own network\" -j MASQUERADE\n"
          "-A MINIBRIDGE-MASQUERADE -s 172.19.0.0/16 -o br-n2 -m conntrack --ctstate DNAT -m comment --comment "
          "\"minibridge network n2: a published port of the own network\" -j MASQUERADE\n"
          "-A MINIBRIDGE-MASQUERADE -o br-n1 -m comment --comment \"minibridge: into a network the source stays\" -j "
          "RETURN\n"
          "-A MINIBRIDGE-MASQUERADE -o br-n2 -m comment --comment \"minibridge: into a network the source stays\" -j "
          "RETURN\n"
          "-A MINIBRIDGE-MASQUERADE -s 172.18.0.0/16 -m comment --comment \"minibridge network n1: out under the "
          "address of the host\" -j MASQUERADE\n"
          "-A MINIBRIDGE-MASQUERADE -s 172.19.0.0/16 -m comment --comment \"minibridge network n2: out under the "
          "address of the host\" -j MASQUERADE\n" +
          std::string(kPublishRules) +
          "*filter\n"
          ":MINIBRIDGE-ENTER - [0:0]\n"
          ":MINIBRIDGE-FORWARD - [0:0]\n"
          ":MINIBRIDGE-USER - [0:0]\n"
          "-A FORWARD -m comment --comment \"minibridge: rules of the operator\" -j MINIBRIDGE-USER\n"
          "-A FORWARD -m comment --comment \"minibridge: forwarded packets\" -j MINIBRIDGE-FORWARD\n"
          "-A MINIBRIDGE-ENTER -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment \"minibridge: answers\" "
          "-j ACCEPT\n"
          "-A MINIBRIDGE-ENTER -m conntrack --ctstate DNAT -m comment --comment \"minibridge: published ports\" -j "
          "ACCEPT\n"
          "-A MINIBRIDGE-ENTER -i br-n1 -o br-n1 -m comment --comment \"minibridge network n1: among its containers\" "
          "-j ACCEPT\n"
          "-A MINIBRIDGE-ENTER -i br-n2 -o br-n2 -m comment --comment \"minibridge network n2: among its containers\" "
          "-j ACCEPT\n"
          "-A MINIBRIDGE-ENTER -m comment --comment \"minibridge: everything else\" -j DROP\n"
          "-A MINIBRIDGE-FORWARD -o br-n1 -m comment --comment \"minibridge: into a network\" -j MINIBRIDGE-ENTER\n"
          "-A MINIBRIDGE-FORWARD -o br-n2 -m comment --comment \"minibridge: into a network\" -j MINIBRIDGE-ENTER\n"
          "-A MINIBRIDGE-FORWARD -i br-n1 -m comment --comment \"minibridge: out of a network\" -j ACCEPT\n"
          "-A MINIBRIDGE-FORWARD -i br-n2 -m comment --comment \"minibridge: out of a network\" -j ACCEPT\n"
          "COMMIT\n");
}

TEST(DesiredRules, ComeBackFromTheirDump) {
  const auto networks = two_networks();
  for (const bool devgroup : {true, false}) {
    const auto rules = desired_rules(kIdentity, devgroup, networks, two_containers(networks));
    EXPECT_EQ(parse_dump(print(rules, Family::v4)), rules);
  }
}

TEST(DesiredRules, EachHasAWhyAndACommentThatNamesUs) {
  const auto networks = two_networks();
  for (const auto& [key, table] : desired_rules(kIdentity, true, networks, two_containers(networks))) {
    for (const auto* chains : {&table.chains, &table.hooks}) {
      for (const auto& [name, rules] : *chains) {
        for (const auto& rule : rules) {
          EXPECT_FALSE(rule.why.empty()) << print(name, rule);
          EXPECT_TRUE(rule.comment().starts_with("minibridge")) << print(name, rule);
          EXPECT_LE(rule.comment().size(), 255u);
        }
      }
    }
  }
}

TEST(DesiredRules, NoNetworksNoRules) { EXPECT_TRUE(desired_rules(kIdentity, true, {}, {}).empty()); }

TEST(DesiredRules, NameTheirGroup) {
  EXPECT_EQ(group_in(desired_rules(kIdentity, true, two_networks(), {})), 0x4d42c19bu);
  EXPECT_EQ(group_in(desired_rules(kIdentity, false, two_networks(), {})), std::nullopt);
  EXPECT_EQ(group_in(parse_dump("*raw\n-A PREROUTING -m devgroup --src-group 0x7 -j MINIBRIDGE-RAW\nCOMMIT\n")),
            std::nullopt);
}

TEST(PublishRule, LeavesThePortAloneWhenItIsTheSame) {
  const auto n = network("n", "10.0.0.0/24");
  const auto web = container("web", {endpoint(n, "10.0.0.2")});
  EXPECT_EQ(print(publish_rule(web, port("0.0.0.0", {80, 89}, {80, 89}))),
            "-p tcp -m tcp --dport 80:89 -m comment --comment \"minibridge web: 80-89 -> 80-89/tcp\" -j DNAT "
            "--to-destination 10.0.0.2");
}

TEST(PublishRule, LeadsToTheFirstEndpoint) {
  const auto a = network("a", "10.0.0.0/24");
  const auto b = network("b", "10.1.0.0/24");
  const auto web = container("web", {endpoint(b, "10.1.0.7"), endpoint(a, "10.0.0.7", "eth1")});
  EXPECT_EQ(print(publish_rule(web, port("0.0.0.0", {1, 1}, {2, 2}, Protocol::sctp))),
            "-p sctp -m sctp --dport 1 -m comment --comment \"minibridge web: 1 -> 2/sctp\" -j DNAT --to-destination "
            "10.1.0.7:2");
}

TEST(PublishRule, NeedsAnAddress) {
  EXPECT_EQ(error_of([] {
              publish_rule(container("web"), port("0.0.0.0", {1, 1}, {1, 1}));
            }),
            "failed: container 'web' publishes a port but has no IPv4 address");
}

TEST(PublishRule, KnowsItsOwner) {
  const auto n = network("n", "10.0.0.0/24");
  EXPECT_EQ(owner_of(publish_rule(container("web.1", {endpoint(n, "10.0.0.2")}), port("0.0.0.0", {1, 1}, {1, 1}))),
            "web.1");
  EXPECT_EQ(owner_in_comment("minibridge: answers"), "");
  EXPECT_EQ(owner_in_comment("somebody web: 1"), "");
  EXPECT_EQ(owner_in_comment("minibridge web"), "");
}

// ---- the state as the kernel should show it

DesiredInput input_of(std::vector<Network> networks, std::vector<Container> containers) {
  DesiredInput input;
  input.identity = kIdentity;
  input.networks = std::move(networks);
  for (const auto& network : input.networks) input.bridges_of.insert(network.id);
  input.containers = std::move(containers);
  return input;
}

TEST(DesiredState, OfARunningContainer) {
  auto n = network("n", "10.0.0.0/24");
  n.mtu = 1400;
  auto web = container("web", {endpoint(n, "10.0.0.2")});
  web.hostname = "www";
  web.extra_hosts = {{"db", ip("192.0.2.7")}};
  web.sysctls = {{"net.core.somaxconn", "99"}};
  const auto wanted = desired(input_of({n}, {web}));

  const auto& bridge = wanted.bridges.at(InterfaceName::parse("br-n"));
  EXPECT_EQ(bridge.group, 0x4d42c19bu);
  EXPECT_EQ(bridge.mac.str(), "02:6d:0a:00:00:01");
  EXPECT_EQ(bridge.mtu, 1400u);
  EXPECT_EQ(bridge.alias, "minibridge:3fa2c19b");
  ASSERT_EQ(bridge.addresses.size(), 1u);
  EXPECT_EQ(bridge.addresses[0].str(), "10.0.0.1/24");
  EXPECT_TRUE(bridge.up && bridge.route_localnet);

  const auto& veth = wanted.veths.at(web.endpoints[0].host_link);
  EXPECT_EQ(veth.bridge.str(), "br-n");
  EXPECT_EQ(veth.container, "id-web");
  EXPECT_EQ(veth.peer.str(), "eth0");
  EXPECT_EQ(veth.mac.str(), "02:6d:0a:00:00:02");
  EXPECT_EQ(veth.mtu, 1400u);
  ASSERT_EQ(veth.addresses.size(), 1u);
  EXPECT_EQ(veth.addresses[0].str(), "10.0.0.2/24");
  EXPECT_EQ(veth.gateways, std::vector{ip("10.0.0.1")});

  EXPECT_EQ(wanted.namespaces.at("id-web"), (NamespaceState{"id-web", "/proc/77/ns/net", true, "mb-web"}));
  EXPECT_EQ(wanted.sysctls.at({"id-web", "net.core.somaxconn"}).value, "99");
  EXPECT_EQ(wanted.sysctls.at({"", "net.ipv4.ip_forward"}).value, "1");
  EXPECT_EQ(wanted.directories, std::set<Id>{"id-web"});
  EXPECT_EQ(wanted.files.at("containers/id-web/hosts"),
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.2\twww web\n192.0.2.7\tdb\n");
  EXPECT_EQ(wanted.files.at("containers/id-web/hostname"), "www\n");
  EXPECT_EQ(wanted.files.at("containers/id-web/resolv.conf"), "nameserver 192.0.2.53\n");
}

TEST(DesiredState, OfAStoppedContainerIsItsDirectory) {
  const auto n = network("n", "10.0.0.0/24");
  auto web = container("web", {endpoint(n, "10.0.0.2")});
  web.status = ContainerStatus::exited;
  web.endpoints[0].addresses[0].address.reset();
  const auto wanted = desired(input_of({n}, {web}));
  EXPECT_TRUE(wanted.veths.empty() && wanted.namespaces.empty() && wanted.files.empty());
  EXPECT_EQ(wanted.directories, std::set<Id>{"id-web"});
}

TEST(DesiredState, OfANamespaceMadeByOthersLeavesItsLoopbackAlone) {
  const auto n = network("n", "10.0.0.0/24");
  auto theirs = container("theirs", {endpoint(n, "10.0.0.2", "eth1")});
  theirs.kind = ContainerKind::foreign_netns;
  theirs.namespace_source = "/run/theirs";
  theirs.endpoints[0].default_route = false;
  const auto wanted = desired(input_of({n}, {theirs}));
  EXPECT_FALSE(wanted.namespaces.at("id-theirs").loopback_up);
  EXPECT_TRUE(wanted.veths.begin()->second.gateways.empty());
  EXPECT_TRUE(wanted.directories.empty() && wanted.files.empty());
}

TEST(DesiredState, OfAContainerOnTheHostNetworkHasNoNamespace) {
  auto web = container("web");
  web.attachment = Attachment::host;
  const auto wanted = desired(input_of({}, {web}));
  EXPECT_TRUE(wanted.namespaces.empty() && wanted.veths.empty() && wanted.sysctls.empty());
}

TEST(DesiredState, CoversOnlyTheBridgesInScope) {
  auto input = input_of(two_networks(), {});
  input.bridges_of = {"id-n2"};
  const auto wanted = desired(input);
  EXPECT_EQ(wanted.bridges.size(), 1u);
  EXPECT_TRUE(wanted.bridges.contains(InterfaceName::parse("br-n2")));
}

TEST(DesiredState, WithoutNetworksGivesTheSysctlsBack) {
  auto input = input_of({}, {});
  EXPECT_TRUE(desired(input).sysctls.empty());
  input.sysctls_before = {{"net.ipv4.ip_forward", {"0", {{"net.ipv4.conf.all.forwarding", "0"}}}}};
  EXPECT_TRUE(desired(input).sysctls.empty());
  input.give_back = true;
  EXPECT_EQ(desired(input).sysctls.at({"", "net.ipv4.ip_forward"}).value, "0");
}

TEST(DesiredState, LinksNoNamesWhereTheyCannotBeMade) {
  auto input = input_of({}, {container("web")});
  input.link_directory = false;
  EXPECT_EQ(desired(input).namespaces.at("id-web").link_name, "");
}

// ---- what is looked at

Scope scope_for(const std::optional<Container>& before, const std::optional<Container>& after, const Network& n) {
  Delta delta;
  delta.containers = {{before, after}};
  return scope_of(delta, input_of({n}, {}));
}

TEST(ScopeOf, AContainerThatComes) {
  const auto n = network("n", "10.0.0.0/24");
  auto web = container("web", {endpoint(n, "10.0.0.2")});
  web.ports = {port("0.0.0.0", {53, 53}, {53, 53}, Protocol::udp), port("0.0.0.0", {80, 80}, {80, 80})};
  const auto scope = scope_for({}, web, n);
  EXPECT_FALSE(scope.everything);
  EXPECT_EQ(scope.bridges, std::set{InterfaceName::parse("br-n")});
  EXPECT_EQ(scope.veths.at(web.endpoints[0].host_link), "id-web");
  EXPECT_EQ(scope.peers.at(web.endpoints[0].host_link).str(), "eth0");
  EXPECT_EQ(scope.namespaces.at("id-web"), "mb-web");
  EXPECT_EQ(scope.owners, std::set<std::string>{"web"});
  EXPECT_EQ(scope.directories, std::set<Id>{"id-web"});
  ASSERT_EQ(scope.flows.size(), 1u);  // TCP flows are never looked for when a port is published
  EXPECT_EQ(scope.flows[0].published, web.ports[0]);
  EXPECT_EQ(scope.flows[0].expected, ip("10.0.0.2"));
}

TEST(ScopeOf, AContainerThatGoesLooksForItsFlowsByAddress) {
  const auto n = network("n", "10.0.0.0/24");
  const auto web = container("web", {endpoint(n, "10.0.0.2")});
  const auto scope = scope_for(web, {}, n);
  ASSERT_EQ(scope.flows.size(), 1u);
  EXPECT_EQ(scope.flows[0].gone, ip("10.0.0.2"));
  EXPECT_TRUE(scope.veths.contains(web.endpoints[0].host_link));
}

TEST(ScopeOf, AnUnpublishedPortLooksForAllItsFlows) {
  const auto n = network("n", "10.0.0.0/24");
  auto web = container("web", {endpoint(n, "10.0.0.2")});
  const auto after = web;
  web.ports = {port("0.0.0.0", {80, 80}, {80, 80})};
  const auto scope = scope_for(web, after, n);
  ASSERT_EQ(scope.flows.size(), 1u);
  EXPECT_EQ(scope.flows[0].published, web.ports[0]);
  EXPECT_EQ(scope.flows[0].expected, std::nullopt);
}

TEST(ScopeOf, ANetworkThatGoes) {
  const auto n = network("n", "10.0.0.0/24");
  Delta delta;
  delta.dropped_networks = {n};
  EXPECT_EQ(scope_of(delta, input_of({}, {})).bridges, std::set{InterfaceName::parse("br-n")});
}

TEST(Identity, GroupsAreMarked) {
  EXPECT_EQ(kIdentity.trash, 0x4d43c19bu);
  EXPECT_EQ(kIdentity.alias(), "minibridge:3fa2c19b");
  EXPECT_TRUE(is_minibridge_group(kIdentity.group) && is_minibridge_group(kIdentity.trash));
  EXPECT_FALSE(is_minibridge_group(0) || is_minibridge_group(0x4d44'0000));
}

}  // namespace
}  // namespace mb::plan
