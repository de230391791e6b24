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
using test::kIdentity;
using test::network;
using test::port;

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
    "-A MINIBRIDGE-PUBLISH -d 172.18.0.1/32 -i br-n1 -p udp -m udp --dport 53 -m comment --comment \"minibridge "
    "network n1: questions for names stay here\" -j RETURN\n"
    "-A MINIBRIDGE-PUBLISH -d 172.18.0.1/32 -i br-n1 -p tcp -m tcp --dport 53 -m comment --comment \"minibridge "
    "network n1: questions for names stay here\" -j RETURN\n"
    "-A MINIBRIDGE-PUBLISH -d 172.19.0.1/32 -i br-n2 -p udp -m udp --dport 53 -m comment --comment \"minibridge "
    "network n2: questions for names stay here\" -j RETURN\n"
    "-A MINIBRIDGE-PUBLISH -d 172.19.0.1/32 -i br-n2 -p tcp -m tcp --dport 53 -m comment --comment \"minibridge "
    "network n2: questions for names stay here\" -j RETURN\n"
    "-A MINIBRIDGE-PUBLISH -p tcp -m tcp --dport 8080 -m comment --comment \"minibridge web: 8080 -> 80/tcp\" -j DNAT "
    "--to-destination 172.18.0.2:80\n"
    "-A MINIBRIDGE-PUBLISH -d 127.0.0.1/32 -p tcp -m tcp --dport 8081 -m comment --comment \"minibridge web: "
    "127.0.0.1:8081 -> 80/tcp\" -j DNAT --to-destination 172.18.0.2:80\n"
    "-A MINIBRIDGE-PUBLISH -p tcp -m tcp --dport 9000:9999 -m comment --comment \"minibridge web: 9000-9999 -> "
    "2000-2999/tcp\" -j DNAT --to-destination 172.18.0.2:2000-2999/9000\n"
    "-A MINIBRIDGE-PUBLISH -p udp -m udp --dport 53 -m comment --comment \"minibridge dns: 53 -> 53/udp\" -j DNAT "
    "--to-destination 172.19.0.2\n"
    "COMMIT\n";

constexpr std::string_view kToNameServers =
    "-A MINIBRIDGE-INPUT -d 172.18.0.1/32 -i br-n1 -p udp -m udp --dport 53 -m comment --comment \"minibridge network "
    "n1: to the name server\" -j ACCEPT\n"
    "-A MINIBRIDGE-INPUT -d 172.18.0.1/32 -i br-n1 -p tcp -m tcp --dport 53 -m comment --comment \"minibridge network "
    "n1: to the name server\" -j ACCEPT\n"
    "-A MINIBRIDGE-INPUT -d 172.19.0.1/32 -i br-n2 -p udp -m udp --dport 53 -m comment --comment \"minibridge network "
    "n2: to the name server\" -j ACCEPT\n"
    "-A MINIBRIDGE-INPUT -d 172.19.0.1/32 -i br-n2 -p tcp -m tcp --dport 53 -m comment --comment \"minibridge network "
    "n2: to the name server\" -j ACCEPT\n"
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
                ":MINIBRIDGE-INPUT - [0:0]\n"
                ":MINIBRIDGE-USER - [0:0]\n"
                "-A FORWARD -m comment --comment \"minibridge: rules of the operator\" -j MINIBRIDGE-USER\n"
                "-A FORWARD -m comment --comment \"minibridge: forwarded packets\" -j MINIBRIDGE-FORWARD\n"
                "-A INPUT -m devgroup --src-group 0x4d42c19b -m comment --comment \"minibridge: containers to the "
                "host\" -j MINIBRIDGE-INPUT\n"
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
                "network\" -j ACCEPT\n" +
                std::string(kToNameServers));
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
          ":MINIBRIDGE-INPUT - [0:0]\n"
          ":MINIBRIDGE-USER - [0:0]\n"
          "-A FORWARD -m comment --comment \"minibridge: rules of the operator\" -j MINIBRIDGE-USER\n"
          "-A FORWARD -m comment --comment \"minibridge: forwarded packets\" -j MINIBRIDGE-FORWARD\n"
          "-A INPUT -i br-n1 -m comment --comment \"minibridge: containers to the host\" -j MINIBRIDGE-INPUT\n"
          "-A INPUT -i br-n2 -m comment --comment \"minibridge: containers to the host\" -j MINIBRIDGE-INPUT\n"
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
          "-A MINIBRIDGE-FORWARD -i br-n2 -m comment --comment \"minibridge: out of a network\" -j ACCEPT\n" +
          std::string(kToNameServers));
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

TEST(DesiredRules, OfIpv6LeaveOutWhatNoAnswerCouldReach) {
  const auto rules = desired_rules(kIdentity, true, {network("six", "fd00:18::/64")}, {});
  const auto text = print(rules, Family::v6);
  EXPECT_THAT(text,
              testing::HasSubstr("-A PREROUTING ! -d fe80::/10 -m addrtype ! --src-type LOCAL --dst-type LOCAL "));
  EXPECT_THAT(text, testing::HasSubstr("-A OUTPUT ! -s ::1/128 ! -d fe80::/10 -m addrtype --dst-type LOCAL "));
  EXPECT_THAT(text, testing::HasSubstr("-A MINIBRIDGE-RAW -d ::1/128 "));
  EXPECT_EQ(print(rules, Family::v4), "");
}

TEST(DesiredRules, OfAnInternalNetworkLetItsContainersFindTheGateway) {
  auto inner = network("six", "fd00:18::/64");
  inner.internal = true;
  const auto rules = desired_rules(kIdentity, true, {inner}, {});
  const auto& chain = rules.at({Family::v6, Table::filter}).chains.at(std::string(kInputChain));
  ASSERT_EQ(chain.size(), 5u);  // the first two are about names
  EXPECT_THAT(print(chain[2]), testing::StartsWith("-i br-six -p ipv6-icmp -m icmp6 --icmpv6-type 135 "));
  EXPECT_THAT(print(chain[3]), testing::StartsWith("-i br-six -p ipv6-icmp -m icmp6 --icmpv6-type 136 "));
  EXPECT_THAT(print(chain[4]), testing::StartsWith("! -d fd00:18::1/128 -i br-six "));
}

TEST(DesiredRules, NoNetworksNoRules) { EXPECT_TRUE(desired_rules(kIdentity, true, {}, {}).empty()); }

TEST(Identity, AddressesOfAnotherStateCarryAnotherMark) {
  EXPECT_NE(kIdentity.address_mark(), Identity::from_state_id("3fa2c19c").address_mark());
}

TEST(DesiredRules, NameTheirGroup) {
  EXPECT_EQ(group_in(desired_rules(kIdentity, true, two_networks(), {})), 0x4d42c19bu);
  EXPECT_EQ(group_in(desired_rules(kIdentity, false, two_networks(), {})), std::nullopt);
  EXPECT_EQ(group_in(parse_dump("*raw\n-A PREROUTING -m devgroup --src-group 0x7 -j MINIBRIDGE-RAW\nCOMMIT\n")),
            std::nullopt);
}

TEST(PublishRule, LeavesThePortAloneWhenItIsTheSame) {
  const auto n = network("n", "10.0.0.0/24");
  const auto web = container("web", {endpoint(n, "10.0.0.2")});
  EXPECT_EQ(print(publish_rule(web, port("0.0.0.0", {80, 89}, {80, 89}), {})),
            "-p tcp -m tcp --dport 80:89 -m comment --comment \"minibridge web: 80-89 -> 80-89/tcp\" -j DNAT "
            "--to-destination 10.0.0.2");
}

TEST(PublishRule, LeadsToTheFirstEndpoint) {
  const auto a = network("a", "10.0.0.0/24");
  const auto b = network("b", "10.1.0.0/24");
  const auto web = container("web", {endpoint(b, "10.1.0.7"), endpoint(a, "10.0.0.7", "eth1")});
  EXPECT_EQ(print(publish_rule(web, port("0.0.0.0", {1, 1}, {2, 2}, Protocol::sctp), {b, a})),
            "-p sctp -m sctp --dport 1 -m comment --comment \"minibridge web: 1 -> 2/sctp\" -j DNAT --to-destination "
            "10.1.0.7:2");
}

TEST(PublishRule, NeedsAnAddress) {
  EXPECT_EQ(error_of([] {
              publish_rule(container("web"), port("0.0.0.0", {1, 1}, {1, 1}), {});
            }),
            "failed: container 'web' publishes a port but has no IPv4 address in a network that is not internal");
}

TEST(PublishRule, LeadsToNoInternalNetwork) {
  auto closed = network("closed", "10.0.0.0/24");
  closed.internal = true;
  const auto open = network("open", "10.1.0.0/24");
  // The default route of a namespace that was given may be somebody else's.
  auto web = container("web", {endpoint(closed, "10.0.0.7"), endpoint(open, "10.1.0.7", "eth1")});
  for (auto& each : web.endpoints) each.addresses.front().default_route = false;
  EXPECT_EQ(published_address(web, Family::v4, {closed, open}), ip("10.1.0.7"));
  web.endpoints.pop_back();
  EXPECT_EQ(published_address(web, Family::v4, {closed, open}), std::nullopt);
}

TEST(PublishRule, KnowsItsOwner) {
  const auto n = network("n", "10.0.0.0/24");
  EXPECT_EQ(owner_of(publish_rule(container("web.1", {endpoint(n, "10.0.0.2")}), port("0.0.0.0", {1, 1}, {1, 1}), {})),
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
  theirs.endpoints[0].addresses[0].default_route = false;
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

Network dual_stack(const std::string& name = "n") {
  auto both = network(name, "10.0.0.0/24");
  both.pools.push_back(network("six", "fd00:18::/64").pools.front());
  return both;
}

TEST(DesiredState, OfANetworkWithIpv6ForwardsItAndKeepsTheUplinksListening) {
  auto input = input_of({dual_stack()}, {});
  input.following_uplinks = {"eth0.100"};
  const auto wanted = desired(input);
  EXPECT_EQ(wanted.sysctls.at({"", "net.ipv6.conf.all.forwarding"}).value, "1");
  EXPECT_EQ(wanted.sysctls.at({"", "net/ipv6/conf/eth0.100/accept_ra"}).value, "2");
  const auto& bridge = wanted.bridges.at(InterfaceName::parse("br-n"));
  EXPECT_THAT(bridge.addresses, testing::Contains(InterfaceAddress{ip("fe80::1"), 64}));
}

TEST(DesiredState, OfANetworkWithoutIpv6LeavesItAlone) {
  const auto wanted = desired(input_of({network("n", "10.0.0.0/24")}, {}));
  EXPECT_EQ(wanted.sysctls.size(), 1u);
  EXPECT_EQ(wanted.bridges.begin()->second.addresses.size(), 1u);
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
  EXPECT_EQ(scope.owners, (std::set<std::string>{"network n", "web"}));
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

TEST(ScopeOf, AnUnpublishedPortLooksForTheFlowsThatTheContainerAnswers) {
  const auto n = network("n", "10.0.0.0/24");
  auto web = container("web", {endpoint(n, "10.0.0.2")});
  const auto after = web;
  web.ports = {port("0.0.0.0", {80, 80}, {80, 80})};
  const auto scope = scope_for(web, after, n);
  ASSERT_EQ(scope.flows.size(), 1u);
  EXPECT_EQ(scope.flows[0].published, web.ports[0]);
  EXPECT_EQ(scope.flows[0].gone, ip("10.0.0.2"));
}

TEST(ScopeOf, OfSeveralAddressesTheOneToWhichThePortLeadsIsExpected) {
  const auto n = network("n", "10.0.0.0/24");
  const auto m = network("m", "10.0.1.0/24");
  auto web = container("web", {endpoint(n, "10.0.0.2"), endpoint(m, "10.0.1.2")});
  web.endpoints[0].addresses[0].default_route = false;
  web.endpoints[1].addresses[0].default_route = true;
  web.ports = {port("0.0.0.0", {53, 53}, {53, 53}, Protocol::udp)};
  EXPECT_EQ(scope_for({}, web, n).flows.at(0).expected, ip("10.0.1.2"));
}

TEST(ScopeOf, LooksAtIpv6OnlyWhereANetworkHasOrHadIt) {
  Delta delta;
  EXPECT_FALSE(scope_of(delta, input_of({network("n", "10.0.0.0/24")}, {})).ipv6);
  EXPECT_TRUE(scope_of(delta, input_of({dual_stack()}, {})).ipv6);
  delta.dropped_networks = {dual_stack()};
  EXPECT_TRUE(scope_of(delta, input_of({}, {})).ipv6);
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

// The rules of MINIBRIDGE-ENTER and MINIBRIDGE-ROUTED, without their comments.
std::string entering(const std::vector<Network>& networks, const std::vector<Container>& containers = {}) {
  std::string text;
  const auto rules = desired_rules(kIdentity, true, networks, containers);
  const auto& chains = rules.at({Family::v4, Table::filter}).chains;
  for (const auto chain : {kEnterChain, kRoutedChain}) {
    const auto found = chains.find(std::string(chain));
    if (found == chains.end()) continue;
    for (auto rule : found->second) {
      std::erase_if(rule.matches, [](const Match& match) { return std::holds_alternative<match::Comment>(match); });
      text += print(chain, rule) + "\n";
    }
  }
  return text;
}

TEST(RulesOfModes, WithoutIccContainersReachOnlyPublishedPortsOfEachOther) {
  auto n = network("n", "10.0.0.0/24");
  n.icc = false;
  EXPECT_EQ(entering({n}),
            "-A MINIBRIDGE-ENTER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
            "-A MINIBRIDGE-ENTER -m conntrack --ctstate DNAT -j ACCEPT\n"
            "-A MINIBRIDGE-ENTER -i br-n -o br-n -j DROP\n"
            "-A MINIBRIDGE-ENTER -j DROP\n");
}

TEST(RulesOfModes, ARoutedNetworkLetsInWhatIsPublishedAndPing) {
  auto n = network("n", "10.0.0.0/24");
  n.mode = NetworkMode::routed;
  n.masquerade = false;
  auto web = container("web", {endpoint(n, "10.0.0.2")});
  web.publish = {PublishSpec::parse("8080-8081:80-81"), PublishSpec::parse("53/udp")};
  EXPECT_EQ(entering({n}, {web}),
            "-A MINIBRIDGE-ENTER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
            "-A MINIBRIDGE-ENTER -m conntrack --ctstate DNAT -j ACCEPT\n"
            "-A MINIBRIDGE-ENTER -i br-n -o br-n -j ACCEPT\n"
            "-A MINIBRIDGE-ENTER -o br-n -j MINIBRIDGE-ROUTED\n"
            "-A MINIBRIDGE-ENTER -m devgroup --src-group 0x4d42c19b -j DROP\n"
            "-A MINIBRIDGE-ENTER -o br-n -p icmp -m icmp --icmp-type 8 -j ACCEPT\n"
            "-A MINIBRIDGE-ENTER -j DROP\n"
            "-A MINIBRIDGE-ROUTED -d 10.0.0.2/32 -p tcp -m tcp --dport 80:81 -j ACCEPT\n"
            "-A MINIBRIDGE-ROUTED -d 10.0.0.2/32 -p udp -m udp --dport 53 -j ACCEPT\n");
}

TEST(RulesOfModes, AnUnprotectedNetworkIsOpenToTheOutsideAndNotToOtherNetworks) {
  auto n = network("n", "10.0.0.0/24");
  n.mode = NetworkMode::unprotected;
  const auto text = entering({n, network("m", "10.0.1.0/24")});
  const auto closed = text.find("--src-group 0x4d42c19b -j DROP");
  EXPECT_LT(closed, text.find("-o br-n -j ACCEPT\n-A MINIBRIDGE-ENTER -j DROP"));
  EXPECT_EQ(text.find("-o br-m -j ACCEPT\n-A MINIBRIDGE-ENTER -j DROP"), std::string::npos);
}

TEST(RulesOfModes, PortsAreIsolatedWhereIptablesDoesNotSeeBridgedFrames) {
  auto n = network("n", "10.0.0.0/24");
  n.icc = false;
  DesiredInput input;
  input.identity = kIdentity;
  input.networks = {n};
  input.containers = {container("web", {endpoint(n, "10.0.0.2")})};
  input.bridges_of = {n.id};
  const auto isolated = [&] { return desired(input).veths.begin()->second.isolated; };
  const auto filters = [&] { return desired(input).bridges.begin()->second.filters_frames.value(); };
  EXPECT_TRUE(isolated());
  EXPECT_FALSE(filters());
  input.can_filter_frames = true;
  EXPECT_FALSE(isolated());
  EXPECT_TRUE(filters()) << "of this bridge, whatever holds for others";
  input.networks.front().adopted_bridge = true;
  EXPECT_TRUE(isolated());
  EXPECT_FALSE(filters()) << "it is somebody else's";
  input.filters_all_frames = true;
  EXPECT_FALSE(isolated());
}

}  // namespace
}  // namespace mb::plan
