// SPDX-License-Identifier: GPL-2.0-or-later
//
// Containers that come into further networks and leave them while they live.
//
//     outside 198.51.100.9 ---- 198.51.100.1 host ---- n1 172.18.0.0/16: c1 .2
//                                                 ---- n2 172.19.0.0/16: other .2
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/program.h"
#include "tests/support/snapshot.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using netns::Namespace;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

void expect_source(const Outcome& outcome, const std::string& address) {
  EXPECT_TRUE(outcome.reached()) << outcome;
  EXPECT_THAT(outcome.reply, StartsWith("source=" + address + ":"));
}

std::string default_route_of(const std::string& container) {
  return Program::must_mb("exec " + container + " -- ip route show default");
}

std::string links_of(const std::string& container) { return Program::must_mb("exec " + container + " -- ip -br link"); }

struct Connect : testing::Test {
  Connect() {
    Program::must_mb("network create --subnet 172.18.0.0/16 n1");
    Program::must_mb("network create --subnet 172.19.0.0/16 n2");
    Program::must_mb("create --network n2 other");
  }
  static void nothing_is_left_to_do() { EXPECT_EQ(Program::mb("repair --check").status, 0); }

  World world;
  Program program;
};

TEST_F(Connect, ARunningContainerSpeaksInItsNewNetworkAndTheDefaultRouteStays) {
  Program::must_mb("run -d --name web --network n1 -- sleep 1000");
  EXPECT_EQ(Program::must_mb("network connect n2 web"), "");
  const auto web = Program::namespace_of("web");
  const TcpServer other(Program::namespace_of("other"), "172.19.0.2", 80);
  expect_source(tcp_talk(web, "172.19.0.2", 80), "172.19.0.3");
  const TcpServer outside(world.outside(), "198.51.100.9", 7000);
  expect_source(tcp_talk(web, "198.51.100.9", 7000), "198.51.100.1");
  EXPECT_THAT(default_route_of("web"), StartsWith("default via 172.18.0.1 dev eth0"));
  EXPECT_THAT(Program::must_mb("exec web -- cat /etc/hosts"), HasSubstr("172.19.0.3\tweb"));
  nothing_is_left_to_do();
}

TEST_F(Connect, TheDefaultRouteAndPublishedPortsFollowThePriorityThereAndBack) {
  Program::must_mb("create --network n1 -p 8080:80 c1");
  const auto c1 = Program::namespace_of("c1");
  Program::must_mb("network connect --gw-priority 1 n2 c1");
  EXPECT_THAT(default_route_of("c1"), StartsWith("default via 172.19.0.1 dev eth1"));
  {
    const TcpServer server(c1, "172.19.0.3", 80);
    expect_source(tcp_talk(world.outside(), "198.51.100.1", 8080), "198.51.100.9");
  }
  nothing_is_left_to_do();
  Program::must_mb("network disconnect n2 c1");
  EXPECT_THAT(default_route_of("c1"), StartsWith("default via 172.18.0.1 dev eth0"));
  const TcpServer server(c1, "172.18.0.2", 80);
  expect_source(tcp_talk(world.outside(), "198.51.100.1", 8080), "198.51.100.9");
  nothing_is_left_to_do();
}

TEST_F(Connect, WhatItIsConnectedWithIsWhatItGets) {
  Program::must_mb("create --network n1 c1");
  Program::must_mb(
      "network connect --ip 172.19.7.7 --mac-address 02:00:00:00:00:77 --alias db --alias data "
      "--sysctl net.ipv4.conf.IFNAME.log_martians=1 n2 c1");
  EXPECT_THAT(Program::must_mb("exec c1 -- ip -o address show eth1"), HasSubstr("172.19.7.7/16"));
  EXPECT_THAT(links_of("c1"), HasSubstr("02:00:00:00:00:77"));
  EXPECT_EQ(Program::must_mb("exec c1 -- sysctl -n net.ipv4.conf.eth1.log_martians"), "1\n");
  EXPECT_EQ(Program::must_mb("exec c1 -- sysctl -n net.ipv4.conf.eth0.log_martians"), "0\n");
  const auto place = Program::inspect("c1")["networks"][1];
  EXPECT_EQ(place["interface"], "eth1");
  EXPECT_EQ(place["aliases"], (std::vector<std::string>{"db", "data"}));
  must("minibridge exec --privileged c1 -- sysctl -qw net.ipv4.conf.eth1.log_martians=0");
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  Program::must_mb("repair");
  nothing_is_left_to_do();
}

TEST_F(Connect, EachNetworkOfANewContainerHasOptionsOfItsOwn) {
  Program::must_mb(
      "create --network name=n1,ip=172.18.5.5,alias=a,gw-priority=-1 "
      "--network name=n2,mac-address=02:00:00:00:00:78,sysctl=net.ipv4.conf.IFNAME.log_martians=1 c1");
  const auto networks = Program::inspect("c1")["networks"];
  EXPECT_EQ(networks[0]["ip"], "172.18.5.5");
  EXPECT_EQ(networks[0]["aliases"], std::vector<std::string>{"a"});
  EXPECT_EQ(networks[1]["mac"], "02:00:00:00:00:78");
  EXPECT_THAT(default_route_of("c1"), StartsWith("default via 172.19.0.1 dev eth1"));
  EXPECT_EQ(Program::must_mb("exec c1 -- sysctl -n net.ipv4.conf.eth1.log_martians"), "1\n");
}

TEST_F(Connect, LeavingTakesTheInterfaceAndItsFlowsAndNothingElse) {
  Program::must_mb("create --network n1 --network n2 -p 8080:80 c1");
  const auto c1 = Program::namespace_of("c1");
  const auto host_link = Program::inspect("c1")["networks"][0]["host_interface"].get<std::string>();
  {
    const TcpServer server(c1, "172.18.0.2", 80);
    expect_source(tcp_talk(world.outside(), "198.51.100.1", 8080), "198.51.100.9");
  }
  Program::must_mb("network disconnect n1 c1");
  EXPECT_THAT(links_of("c1"), AllOf(Not(HasSubstr("eth0@")), HasSubstr("eth1@")));
  EXPECT_THAT(must("ip -br link"), Not(HasSubstr(host_link)));
  EXPECT_THAT(default_route_of("c1"), StartsWith("default via 172.19.0.1 dev eth1"));
  nothing_is_left_to_do();
  Program::must_mb("network connect n1 c1");
  EXPECT_THAT(links_of("c1"), HasSubstr("eth0@"));
  nothing_is_left_to_do();
}

TEST_F(Connect, AContainerThatIsStoppedIsThereWhenItStarts) {
  Program::must_mb("run -d --name web --network n1 -- sleep 1000");
  Program::must_mb("stop -t 0 web");
  Program::must_mb("network connect n2 web");
  Program::must_mb("network disconnect n1 web");
  Program::must_mb("start web");
  EXPECT_THAT(links_of("web"), AllOf(Not(HasSubstr("eth0@")), HasSubstr("eth1@")));
  const TcpServer other(Program::namespace_of("other"), "172.19.0.2", 80);
  expect_source(tcp_talk(Program::namespace_of("web"), "172.19.0.2", 80), "172.19.0.3");
  nothing_is_left_to_do();
}

TEST_F(Connect, ANamespaceOfOthersKeepsEverythingThatIsNotOurs) {
  must(
      "ip netns add theirs && ip -n theirs link set lo up && ip -n theirs link add eth1 type bridge && "
      "ip -n theirs address add 10.5.5.2/24 dev eth1 && ip -n theirs link set eth1 up");
  const auto look = [] {
    return must(
        "ip -n theirs -o link | sed s/state.*//; ip -n theirs -o address | sed s/valid_lft.*//; "
        "ip -n theirs route show table all");
  };
  Program::must_mb("create --netns /run/netns/theirs --network n1 c1");
  const auto before = look();
  Program::must_mb("network connect --gw-priority 1 --sysctl net.ipv4.conf.IFNAME.log_martians=1 n2 c1");
  EXPECT_EQ(Program::inspect("c1")["networks"][1]["interface"], "eth2");
  EXPECT_THAT(must("ip -n theirs route show default"), StartsWith("default via 172.19.0.1 dev eth2"));
  Program::must_mb("network disconnect n2 c1");
  EXPECT_EQ(look(), before);
  must("ip -n theirs route replace default via 10.5.5.1");
  Program::must_mb("network connect --gw-priority 1 n2 c1");
  EXPECT_THAT(must("ip -n theirs route show default"), StartsWith("default via 10.5.5.1"));
  must("ip netns del theirs");
}

TEST_F(Connect, TheNetworkOfTheHostIsJoinedByNoOther) {
  Program::must_mb("run -d --name web --network host -- sleep 1000");
  const auto refused = Program::mb("network connect n1 web");
  EXPECT_EQ(refused.status, 4);
  EXPECT_THAT(refused.err, HasSubstr("uses the host's own network"));
}

TEST_F(Connect, AContainerWithoutANetworkGetsOne) {
  Program::must_mb("run -d --name web --network none -- sleep 1000");
  Program::must_mb("network connect n2 web");
  const TcpServer other(Program::namespace_of("other"), "172.19.0.2", 80);
  expect_source(tcp_talk(Program::namespace_of("web"), "172.19.0.2", 80), "172.19.0.3");
  nothing_is_left_to_do();
}

TEST_F(Connect, WhatCannotBeIsRefusedAndNothingIsChanged) {
  Program::must_mb("create --network n1 c1");
  const auto before = snapshot_host();
  const auto state = program.look_at_state();
  const std::pair<std::string, std::string> cases[] = {
      {"network connect n1 c1", "would be in network 'n1' twice"},
      {"network connect n3 c1", "there is no network 'n3'"},
      {"network connect n2 c2", "there is no container 'c2'"},
      {"network connect none c1", "'none' is no network"},
      {"network connect --ip 172.18.0.9 n2 c1", "it is outside the subnet"},
      {"network connect --ip fd00::1 n2 c1", "'fd00::1' is not an IPv4 address"},
      {"network connect --ip6 fd00::1 n2 c1", "has no IPv6 addresses"},
      {"network connect --gw-priority high n2 c1", "'high' is not a gateway priority"},
      {"network connect --alias a:b n2 c1", "unexpected ':' at position 2"},
      {"network connect --sysctl net.ipv4.ip_forward=1 n2 c1", "the key does not name the interface"},
      {"network connect --sysctl kernel.IFNAME.x=1 n2 c1", "only net.… belongs to"},
      {"network connect --sysctl net.ipv4.conf.IFNAME.nonsense=1 n2 c1", "net.ipv4.conf.eth1.nonsense"},
      {"network disconnect n2 c1", "container 'c1' is not in network 'n2'"},
  };
  for (const auto& [words, reason] : cases) {
    const auto refused = Program::mb(words);
    EXPECT_NE(refused.status, 0) << words;
    EXPECT_THAT(refused.err, HasSubstr(reason)) << words;
  }
  Program::must_mb("network disconnect -f n2 c1");
  EXPECT_EQ(snapshot_host(), before);
  EXPECT_EQ(program.look_at_state(), state);
}

}  // namespace
}  // namespace mb::test
