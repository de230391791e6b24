// SPDX-License-Identifier: GPL-2.0-or-later
//
// A network on a bridge that somebody else has made: used, and left as it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/program.h"
#include "tests/support/snapshot.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct AdoptedBridge : testing::Test {
  AdoptedBridge() {
    must(
        "sysctl -qw net.ipv4.ip_forward=1 && ip link add br0 type bridge mcast_snooping 0 && ip address add "
        "10.7.0.1/24 dev br0 && "
        "ip link add theirs type veth peer name theirs1 && ip link set theirs master br0 && ip link set br0 up && ip "
        "link set theirs "
        "up");
  }
  static std::string addresses() { return must("ip -o address show br0 scope global"); }

  World world;
  Program program;
};

TEST_F(AdoptedBridge, GivesTheNetworkItsAddressesAndIsLeftAsItWas) {
  // A bridge inherits limits of its ports and keeps them, and the tables that were used stay.
  must(
      "minibridge network create --bridge-name br0 n1 && minibridge create --network n1 c1 && minibridge rm c1 && "
      "minibridge network rm n1");
  const auto before = snapshot_host();
  Program::must_mb("network create --bridge-name br0 n1");
  const auto network = Program::json("network inspect n1")[0];
  EXPECT_EQ(network["subnet"], "10.7.0.0/24");
  EXPECT_EQ(network["gateway"], "10.7.0.1");
  EXPECT_EQ(network["adopted_bridge"], true);
  Program::must_mb("create --network n1 -p 8080:80 c1");
  EXPECT_THAT(addresses(), HasSubstr("10.7.0.1/24"));
  const TcpServer server(Program::namespace_of("c1"), "10.7.0.2", 80);
  EXPECT_THAT(tcp_talk(world.outside(), "198.51.100.1", 8080).reply, StartsWith("source=198.51.100.9:"));
  EXPECT_THAT(tcp_talk(world.host(), "127.0.0.1", 8080).reply, StartsWith("source=10.7.0.1:"));
  EXPECT_EQ(Program::mb("repair --check").status, 0);
  Program::must_mb("rm c1");
  Program::must_mb("network rm n1");
  EXPECT_EQ(snapshot_host(), before);
}

TEST_F(AdoptedBridge, IsFullWhenItsOwnersPortsAndOursAreAllThatTheKernelAllows) {
  must(
      "for i in $(seq 1021); do echo link add p$i master br0 type veth peer name q$i; done | ip -batch -");  // with `theirs` 1022
  Program::must_mb("network create --bridge-name br0 n1 && minibridge create --network n1 c1");
  const auto before = must("ip -o link; iptables-legacy-save | grep -v '^#'");
  const auto next = Program::mb("create --network n1 -p 8080:80 c2");
  EXPECT_EQ(next.status, 4);
  EXPECT_THAT(next.err, HasSubstr("network 'n1' is full: the kernel allows 1023 ports on one bridge, and 1022 of 'br0' "
                                  "are not minibridge's"));
  EXPECT_EQ(must("ip -o link; iptables-legacy-save | grep -v '^#'"), before);
}

TEST_F(AdoptedBridge, IsolatesItsContainersFromOtherNetworks) {
  Program::must_mb("network create --bridge-name br0 n1 && minibridge network create --subnet 172.19.0.0/16 n2");
  Program::must_mb("create --network n1 c1 && minibridge create --network n2 c2");
  const TcpServer inside(Program::namespace_of("c1"), "10.7.0.2", 80);
  const TcpServer other(Program::namespace_of("c2"), "172.19.0.2", 80);
  const TalkOptions brief{.deadline = std::chrono::milliseconds(300)};
  EXPECT_FALSE(tcp_talk(Program::namespace_of("c2"), "10.7.0.2", 80, brief).reached());
  EXPECT_FALSE(tcp_talk(Program::namespace_of("c1"), "172.19.0.2", 80, brief).reached());
  EXPECT_THAT(must("iptables-legacy -t raw -S PREROUTING"), HasSubstr("-i br0 "));
  const TcpServer outside(world.outside(), "198.51.100.9", 7000);
  EXPECT_THAT(tcp_talk(Program::namespace_of("c1"), "198.51.100.9", 7000).reply, StartsWith("source=198.51.100.1:"));
}

TEST_F(AdoptedBridge, KeepsItsMac) {
  must("ip link set theirs address fa:ff:ff:ff:ff:ff");  // br0 has it from there: the lowest of its ports'
  const auto mac = [] { return must("ip -o link show br0 | grep -o 'link/ether [^ ]*'"); };
  ASSERT_EQ(mac(), "link/ether fa:ff:ff:ff:ff:ff\n");
  Program::must_mb("network create --bridge-name br0 n1");
  for (const std::string name : {"c1", "c2", "c3"}) Program::must_mb("create --network n1 " + name);
  EXPECT_EQ(mac(), "link/ether fa:ff:ff:ff:ff:ff\n");
}

TEST_F(AdoptedBridge, GetsOnlyTheAddressesThatAreMissing) {
  must("ip address flush dev br0 && ip address add 10.8.0.9/24 dev br0");
  const auto before = addresses();
  Program::must_mb("network create --bridge-name br0 --subnet 10.9.0.0/24 n1");
  EXPECT_THAT(addresses(), AllOf(HasSubstr("10.8.0.9/24"), HasSubstr("10.9.0.1/24")));
  must("ip address del 10.9.0.1/24 dev br0");
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  Program::must_mb("repair");
  EXPECT_THAT(addresses(), HasSubstr("10.9.0.1/24"));
  Program::must_mb("network rm n1");
  EXPECT_EQ(addresses(), before);
}

TEST_F(AdoptedBridge, DownLeavesItWithItsSettings) {
  must("ip address flush dev br0");
  const auto look = [] {
    return must(
        "ip -d -o link show br0 | sed -E 's/_timer +[0-9.]+//g'; ip -o address show br0 scope global; ip -o link show "
        "master br0; "
        "sysctl -a -r 'net.ipv4.conf.br0' 2>/dev/null");
  };
  Program::must_mb("network create --bridge-name br0 n0");  // its ports give limits to a bridge
  Program::must_mb("create --network n0 c0 && minibridge rm c0 && minibridge network rm n0");
  const auto before = look();
  Program::must_mb("network create --bridge-name br0 n1");
  EXPECT_NE(addresses(), "");
  Program::must_mb("create --network n1 -p 127.0.0.1:8080:80 c1");
  EXPECT_EQ(must("sysctl -n net.ipv4.conf.br0.route_localnet"), "1\n");
  Program::must_mb("down");
  EXPECT_EQ(look(), before);
}

TEST_F(AdoptedBridge, ThatItsOwnerHasRemovedIsNoReasonNotToRemoveTheNetwork) {
  Program::must_mb("network create --bridge-name br0 n1");
  Program::must_mb("create --network n1 -p 8080:80 c1");
  must("ip link del br0");
  EXPECT_NE(Program::mb("create --network n1 c2").status, 0);
  Program::must_mb("rm c1");
  Program::must_mb("network rm n1");
  EXPECT_EQ(Program::mb("repair --check").status, 0);
  EXPECT_THAT(must("iptables-legacy-save"), Not(HasSubstr("br0")));
}

TEST_F(AdoptedBridge, WhatCannotBeUsedIsRefused) {
  must("ip link add name vpn0 type bridge && ip address add 10.7.0.9/25 dev vpn0 && ip link set vpn0 up");
  const auto before = snapshot_host();
  auto refused = Program::mb("network create --bridge-name up0 n1");
  EXPECT_EQ(refused.status, 4);
  EXPECT_THAT(refused.err, HasSubstr("'up0' cannot be the bridge"));
  refused = Program::mb("network create --bridge-name br0 n1");
  EXPECT_EQ(refused.status, 4);
  EXPECT_THAT(refused.err, HasSubstr("overlaps the host's route to 10.7.0.0/25 on vpn0"));
  EXPECT_EQ(snapshot_host(), before);
}

TEST_F(AdoptedBridge, NetworksAreListedAndPrunedByTheirLabels) {
  Program::must_mb("network create --bridge-name br0 --label owner=ci --label keep n1");
  Program::must_mb("network create --label owner=ci n2");
  Program::must_mb("network create --label owner=me n3");
  const auto names = [](const std::string& words) {
    std::string text;
    for (const auto& network : Program::json("network ls " + words)) text += network["name"].get<std::string>() + " ";
    return text;
  };
  EXPECT_EQ(names("--filter label=owner"), "n1 n2 n3 ");
  EXPECT_EQ(names("--filter label=owner=ci"), "n1 n2 ");
  EXPECT_EQ(names("--filter label=owner=ci --filter label!=keep"), "n2 ");
  EXPECT_THAT(Program::mb("network ls --filter name=n1").err, HasSubstr("only labels can be filtered by"));
  Program::must_mb("network prune -f --filter label=owner=ci --filter label!=keep");
  EXPECT_EQ(names(""), "n1 n3 ");
}

}  // namespace
}  // namespace mb::test
