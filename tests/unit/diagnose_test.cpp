// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/diagnose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/make.h"

namespace mb::plan {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;

HostRule rule(std::string_view line, std::uint64_t handle = 1) {
  return {parse_rule("-A X " + std::string(line)).rule, handle, std::nullopt};
}

HostChain base(std::string name, Hook hook, std::vector<HostRule> rules = {}, bool drops = false) {
  return {std::move(name), hook, 0, drops, std::move(rules)};
}

// A host of one network, `default`, with a container 'web' that has published 8080, and nothing in the way.
DiagnoseInput healthy() {
  DiagnoseInput input;
  Network network;
  network.id = "n00000000001";
  network.name = Name::parse("default");
  network.bridge = InterfaceName::parse("minibridge0");
  network.pools = {{Subnet::parse("172.17.0.0/16"), IpAddress::parse("172.17.0.1"), std::nullopt, {}}};
  input.networks = {network};
  Container web;
  web.id = "c00000000001";
  web.name = Name::parse("web");
  web.kind = ContainerKind::netns;
  Endpoint endpoint;
  endpoint.network = network.id;
  endpoint.name = InterfaceName::parse("eth0");
  endpoint.addresses = {{Family::v4, false, IpAddress::parse("172.17.0.2")}};
  web.endpoints = {endpoint};
  web.ports = {{IpAddress::any(Family::v4), {8080, 8080}, {80, 80}, Protocol::tcp}};
  input.containers = {web};
  auto& report = input.report;
  report.uplinks[Family::v4] = {"eth0"};
  report.links = {{"eth0", 0, 1500, true, {{IpAddress::parse("198.51.100.1"), 24}}},
                  {"minibridge0", 0x4d420001, 1500, true, {{IpAddress::parse("172.17.0.1"), 16}}}};
  report.local_addresses = {IpAddress::parse("198.51.100.1"), IpAddress::parse("172.17.0.1")};
  report.sysctls = {{"net/ipv4/ip_forward", "1"}, {"net/ipv4/conf/eth0/forwarding", "1"}};
  report.routes = {{Subnet::parse("172.17.0.0/16"), "minibridge0"}, {Subnet::parse("198.51.100.0/24"), "eth0"}};
  report.tables = {
      {Backend::legacy,
       "ip",
       "filter",
       {base("FORWARD", Hook::forward, {rule("-j MINIBRIDGE-USER", 1), rule("-j MINIBRIDGE-FORWARD", 2)}, true),
        {"MINIBRIDGE-USER", std::nullopt, 0, false, {}},
        {"MINIBRIDGE-FORWARD", std::nullopt, 0, false, {}}}}};
  return input;
}

void add_ipv6(DiagnoseInput& input) {
  input.networks.front().pools.push_back(
      {Subnet::parse("fd00:17::/64"), IpAddress::parse("fd00:17::1"), std::nullopt, {}});
}

std::vector<std::string> kinds(const std::vector<Finding>& findings) {
  std::vector<std::string> words;
  for (const auto& finding : findings) words.push_back(std::string(to_string(finding.weight)) + " " + finding.kind);
  return words;
}

HostTable nft(std::string name, std::vector<HostChain> chains) {
  return {Backend::nf_tables, "inet", std::move(name), std::move(chains)};
}

TEST(Diagnose, AHostWithNothingInTheWayHasNoFinding) {
  EXPECT_THAT(diagnose(healthy()), IsEmpty());
  EXPECT_THAT(diagnose({}), IsEmpty()) << "without a state";
}

struct Case {
  std::string kind;
  std::function<void(DiagnoseInput&)> break_it;
  std::string seen;  // parts of the sentences
  std::string mend;
};

void PrintTo(const Case& one, std::ostream* stream) { *stream << one.kind << " " << one.seen; }

class DiagnoseCase : public testing::TestWithParam<Case> {};

TEST_P(DiagnoseCase, IsFoundAndCanBeMended) {
  auto input = healthy();
  GetParam().break_it(input);
  const auto findings = diagnose(input);
  ASSERT_THAT(kinds(findings), ElementsAre(GetParam().kind));
  EXPECT_THAT(findings.front().seen, HasSubstr(GetParam().seen));
  EXPECT_THAT(findings.front().mend, HasSubstr(GetParam().mend));
  EXPECT_NE(findings.front().why, "");
}

HostReport::Held held(std::string_view address, std::string holder) {
  return {{Protocol::tcp, IpAddress::parse(address), 8080, 7}, std::move(holder)};
}

INSTANTIATE_TEST_SUITE_P(
    All, DiagnoseCase,
    testing::Values(
        Case{"stops ip_forward", [](DiagnoseInput& i) { i.report.sysctls["net/ipv4/ip_forward"] = "0"; },
             "net/ipv4/ip_forward is 0", "minibridge repair"},
        Case{"stops ip_forward",
             [](DiagnoseInput& i) {
               add_ipv6(i);
               i.report.sysctls["net/ipv6/conf/all/forwarding"] = "0";
             },
             "net/ipv6/conf/all/forwarding is 0", "minibridge repair"},
        Case{"stops ipv6_off",
             [](DiagnoseInput& i) {
               add_ipv6(i);
               i.report.sysctls["net/ipv6/conf/minibridge0/disable_ipv6"] = "1";
             },
             "net/ipv6/conf/minibridge0/disable_ipv6 is 1",
             "sysctl -w net/ipv6/conf/minibridge0/disable_ipv6=0 && minibridge repair"},
        Case{"stops route_overlap",
             [](DiagnoseInput& i) {
               add_ipv6(i);
               i.report.routes.push_back({Subnet::parse("fd00:17::/80"), "wg0"});
             },
             "fd00:17::/80 through 'wg0' overlaps fd00:17::/64", "ip route del fd00:17::/80 dev wg0"},
        Case{"stops interface_forwarding",
             [](DiagnoseInput& i) { i.report.sysctls["net/ipv4/conf/minibridge0/forwarding"] = "0"; },
             "net/ipv4/conf/minibridge0/forwarding is 0", "sysctl -w net/ipv4/conf/minibridge0/forwarding=1"},
        Case{"may_stop rp_filter",
             [](DiagnoseInput& i) {
               i.report.sysctls["net/ipv4/conf/eth0/rp_filter"] = "1";
               i.report.uplinks[Family::v4] = {"eth0", "eth1"};
             },
             "net/ipv4/conf/eth0/rp_filter is 1", "sysctl -w net/ipv4/conf/eth0/rp_filter=2"},
        Case{"remark br_netfilter",
             [](DiagnoseInput& i) { i.report.sysctls["net/bridge/bridge-nf-call-iptables"] = "1"; },
             "bridge-nf-call-iptables is 1", ""},
        Case{"stops route_overlap",
             [](DiagnoseInput& i) {
               i.report.routes.push_back({Subnet::parse("172.17.5.0/24"), "wg0"});
             },
             "172.17.5.0/24 through 'wg0' overlaps 172.17.0.0/16", "ip route del 172.17.5.0/24 dev wg0"},
        Case{"remark route_overlap",
             [](DiagnoseInput& i) {
               i.report.routes.push_back({Subnet::parse("172.16.0.0/12"), "tun0"});
             },
             "172.16.0.0/12 through 'tun0'", "network create --subnet"},
        Case{"remark port_held", [](DiagnoseInput& i) { i.report.held = {held("0.0.0.0", "nginx (pid 812)")}; },
             "nginx (pid 812) listens on tcp port 8080", "minibridge unpublish web 8080"},
        Case{"stops address_lost",
             [](DiagnoseInput& i) {
               auto& ports = i.containers.front().ports;
               ports.push_back({IpAddress::parse("198.51.100.5"), {8082, 8082}, {82, 82}, Protocol::udp});
               ports.push_back({IpAddress::parse("198.51.100.1"), {8082, 8082}, {82, 82}, Protocol::udp});
               ports.push_back({IpAddress::parse("127.0.0.9"), {8082, 8082}, {82, 82}, Protocol::udp});
             },
             "the host has no address 198.51.100.5", "minibridge unpublish web 198.51.100.5:8082:82/udp"},
        Case{"stops address_lost",
             [](DiagnoseInput& i) { i.networks.front().snat_to = IpAddress::parse("198.51.100.77"); },
             "the host has no address 198.51.100.77", "ip address add 198.51.100.77/32 dev lo"},
        Case{"stops no_legacy_tables",
             [](DiagnoseInput& i) {
               i.report.unreadable = {{{Family::v4, Table::nat}, "cannot read 'nat'", ""}};
             },
             "cannot read 'nat'", "modprobe iptable_nat"},
        Case{"stops missing_extension", [](DiagnoseInput& i) { i.report.missing_extensions = {"addrtype match"}; },
             "no addrtype match", "modprobe xt_addrtype"},
        Case{"remark missing_extension", [](DiagnoseInput& i) { i.report.missing_extensions = {"devgroup match"}; },
             "no devgroup match", "modprobe xt_devgroup"},
        Case{"stops differs",
             [](DiagnoseInput& i) {
               i.differences = {
                   step::AddAddress{{{}, InterfaceName::parse("minibridge0")}, {IpAddress::parse("172.17.0.1"), 16}}};
             },
             "172.17.0.1/16", "minibridge repair"},
        Case{"stops conntrack_full",
             [](DiagnoseInput& i) {
               i.report.sysctls["net/netfilter/nf_conntrack_max"] = "1000";
               i.report.sysctls["net/netfilter/nf_conntrack_count"] = "1000";
             },
             "1000 of at most 1000", "nf_conntrack_max=2000"},
        Case{"may_stop conntrack_full",
             [](DiagnoseInput& i) {
               i.report.sysctls["net/netfilter/nf_conntrack_max"] = "1000";
               i.report.sysctls["net/netfilter/nf_conntrack_count"] = "901";
             },
             "901 of at most 1000", ""},
        Case{"remark mtu", [](DiagnoseInput& i) { i.report.links.front().mtu = 1400; }, "'eth0' carries 1400",
             "--mtu 1400"},
        Case{"remark no_dnsmasq",
             [](DiagnoseInput& i) {
               i.report.has_dnsmasq = false;
               i.networks.front().name = Name::parse("front");
             },
             "no dnsmasq", "apt install dnsmasq-base"},
        Case{"stops iptables_drop",
             [](DiagnoseInput& i) {
               auto& forward = i.report.tables.front().chains.front();
               forward.rules.insert(forward.rules.begin(), rule("-i eth0 -j DROP", 1));
               forward.rules[1].handle = 2;
               forward.rules[2].handle = 3;
             },
             "rule 1 of chain 'FORWARD' (-A FORWARD -i eth0 -j DROP)",
             "iptables-legacy -D FORWARD 3 && iptables-legacy -D FORWARD 2 && minibridge repair"},
        Case{"stops operator_drop",
             [](DiagnoseInput& i) { i.report.tables.front().chains[1].rules = {rule("-o minibridge0 -j DROP")}; },
             "'MINIBRIDGE-USER'", "iptables-legacy -D MINIBRIDGE-USER 1"},
        Case{"remark isolation_open",
             [](DiagnoseInput& i) {
               auto& forward = i.report.tables.front().chains.front();
               forward.rules.insert(forward.rules.begin(), rule("-j ACCEPT", 1));
             },
             "(-A FORWARD -j ACCEPT)", "minibridge repair"},
        Case{"stops nft_drop",
             [](DiagnoseInput& i) {
               i.report.tables.push_back(
                   nft("guard", {base("fwd", Hook::forward, {rule("-o minibridge0 -j DROP", 12)})}));
             },
             "rule handle 12 of chain 'fwd' in the nf_tables table 'inet guard'",
             "nft insert rule inet guard fwd oifname \"minibridge0\" accept"},
        Case{"stops nft_drop",
             [](DiagnoseInput& i) {
               HostTable table{Backend::nf_tables, "ip", "filter", {base("FORWARD", Hook::forward, {}, true)}};
               i.report.tables.push_back(table);
             },
             "has policy DROP", "iptables-nft -I FORWARD -i minibridge0 -j ACCEPT"},
        Case{"stops nft_drop",
             [](DiagnoseInput& i) {
               i.report.tables.push_back(
                   nft("firewalld", {base("filter_FORWARD", Hook::forward, {rule("-j DROP", 5)})}));
             },
             "which firewalld wrote", "firewall-cmd --permanent --zone=trusted --add-interface=minibridge0"},
        Case{"stops nft_drop",
             [](DiagnoseInput& i) {
               i.report.tables.push_back(
                   nft("pre", {base("raw", Hook::prerouting, {rule("-p tcp -m tcp --dport 8080 -j DROP", 5)})}));
             },
             "rule handle 5", "nft insert rule inet pre raw tcp dport 8080 accept"},
        Case{"stops iptables_takes_port",
             [](DiagnoseInput& i) {
               i.report.tables.push_back(
                   {Backend::legacy,
                    "ip",
                    "nat",
                    {base("PREROUTING", Hook::prerouting,
                          {rule("-p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.9", 1),
                           rule("-j MINIBRIDGE-PUBLISH", 2)})}});
             },
             "rule 1 of chain 'PREROUTING'", "iptables-legacy -t nat -D PREROUTING 2 && minibridge repair"}));

TEST(Diagnose, ASwitchOfAFamilyThatNobodyHasIsNoFinding) {
  auto input = healthy();
  input.report.sysctls["net/ipv6/conf/all/forwarding"] = "0";
  input.report.sysctls["net/ipv6/conf/minibridge0/disable_ipv6"] = "1";
  EXPECT_THAT(diagnose(input), IsEmpty());
}

TEST(Diagnose, OneRuleIsOneFindingHoweverManyPacketsItStops) {
  auto input = healthy();
  input.report.tables.push_back(nft("guard", {base("fwd", Hook::forward, {}, true)}));
  const auto findings = diagnose(input);
  ASSERT_THAT(kinds(findings), ElementsAre("stops nft_drop"));
  EXPECT_THAT(findings.front().why, AllOf(HasSubstr("what containers of network 'default' send outside"),
                                          HasSubstr("the published port 8080 -> 80/tcp of 'web'")));
  EXPECT_THAT(findings.front().mend, AllOf(HasSubstr("iifname \"minibridge0\" accept"), HasSubstr("&&"),
                                           HasSubstr("oifname \"minibridge0\" accept")));
}

TEST(Diagnose, WithoutNetworksItForetellsWhatNfTablesWouldStop) {
  DiagnoseInput input;
  input.report.tables = {nft("guard", {base("fwd", Hook::forward, {}, true)}),
                         {Backend::legacy, "ip", "filter", {base("FORWARD", Hook::forward, {}, true)}}};
  EXPECT_THAT(kinds(diagnose(input)), ElementsAre("stops nft_drop")) << "in legacy tables ours will be asked first";
}

TEST(Diagnose, StrictReversePathsDoNotBiteWhereThereIsOneWayOut) {
  auto input = healthy();
  input.report.sysctls["net/ipv4/conf/eth0/rp_filter"] = "1";
  input.report.sysctls["net/ipv4/conf/minibridge0/rp_filter"] = "1";
  EXPECT_THAT(diagnose(input), IsEmpty());
}

TEST(Diagnose, TheSupervisorThatKeepsThePortIsNoStranger) {
  auto input = healthy();
  input.containers.front().supervisor_pid = 77;
  input.report.held = {held("0.0.0.0", "minibridge (pid 77)")};
  EXPECT_THAT(diagnose(input), IsEmpty());
}

TEST(Diagnose, AProgramOnAnotherAddressIsNotOnThePort) {
  auto input = healthy();
  input.containers.front().ports.front().host_address = IpAddress::parse("198.51.100.1");
  input.report.held = {held("127.0.0.1", "nginx (pid 812)")};
  EXPECT_THAT(diagnose(input), IsEmpty());
}

TEST(Diagnose, WhatStopsPacketsComesBeforeRemarks) {
  auto input = healthy();
  input.report.sysctls["net/bridge/bridge-nf-call-iptables"] = "1";
  input.report.tables.push_back(nft("guard", {base("fwd", Hook::forward, {}, true)}));
  EXPECT_THAT(kinds(diagnose(input)), ElementsAre("stops nft_drop", "remark br_netfilter"));
}

TEST(Diagnose, WithBrNetfilterADropAmongContainersIsFound) {
  auto input = healthy();
  auto& forward = input.report.tables.front().chains.front();
  forward.rules.insert(forward.rules.begin(), rule("-i minibridge0 -o minibridge0 -j DROP", 1));
  EXPECT_THAT(diagnose(input), IsEmpty());
  input.report.sysctls["net/bridge/bridge-nf-call-iptables"] = "1";
  EXPECT_THAT(kinds(diagnose(input)), ElementsAre("stops iptables_drop", "remark br_netfilter"));
}

TEST(Diagnose, APortOnLoopbackIsNotAskedForFromOutside) {
  auto input = healthy();
  input.containers.front().ports.front().host_address = IpAddress::parse("127.0.0.1");
  input.report.tables.push_back(
      nft("pre", {base("raw", Hook::prerouting, {rule("-p tcp -m tcp --dport 8080 -j DROP", 5)})}));
  EXPECT_THAT(diagnose(input), IsEmpty());
}

TEST(Diagnose, TheWarningAfterPublishingSaysOnlyWhatIsCertain) {
  auto input = healthy();
  auto unclear = rule("-o minibridge0 -j DROP");
  unclear.rule.matches.emplace_back(match::Opaque{"set", 0, {}});
  input.report.tables.push_back(nft("guard", {base("fwd", Hook::forward, {unclear})}));
  EXPECT_THAT(certain_stops(input.report, input.networks, input.containers), IsEmpty());
  EXPECT_THAT(kinds(diagnose(input)), ElementsAre("may_stop nft_drop"));
}

}  // namespace
}  // namespace mb::plan
