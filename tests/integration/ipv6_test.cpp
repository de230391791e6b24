// SPDX-License-Identifier: GPL-2.0-or-later
//
// A network with both families, in both: what the behaviour table (tests/behaviour) does not ask.
//
//     outside 198.51.100.9 ---- 198.51.100.1 host ---- n1 172.18.0.0/16, fd00:18::/64: c1 .2 (published 8080), c2 .3
//             2001:db8:100::9   2001:db8:100::1
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/capture.h"
#include "tests/support/frames.h"
#include "tests/support/program.h"
#include "tests/support/snapshot.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr const char* kHost = "2001:db8:100::1";
constexpr const char* kOutside = "2001:db8:100::9";

void expect_source(const Outcome& outcome, const std::string& address) {
  EXPECT_TRUE(outcome.reached()) << outcome;
  EXPECT_THAT(outcome.reply, StartsWith("source=[" + address + "]:"));
}

// Seen by everybody on the link.
void advertise(const netns::Namespace& from, const std::string& interface, const std::string& router,
               const std::string& prefix) {
  send_frame(from, interface,
             ethernet("33:33:00:00:00:01", mac_of(from, interface), 0x86dd, router_advertisement(router, prefix)));
}

std::string sysctl(const std::string& path) {
  auto text = must("cat /proc/sys/net/ipv6/conf/" + path);
  text.pop_back();
  return text;
}

struct Ipv6 : testing::Test {
  Ipv6() { world.add_ipv6(); }

  static void make_network(const std::string& options = "") {
    Program::must_mb("network create --subnet 172.18.0.0/16 --subnet fd00:18::/64 " + options + " n1");
  }

  // The host as a host among others: with a router outside.
  void advertise_router() const {
    advertise(world.outside(), "up0", "fe80::beef", "2001:db8:ace::");
    ASSERT_TRUE(ping(world.outside(), kHost).reached());  // the path keeps the order
    ASSERT_THAT(must("ip -6 route show default"), StartsWith("default via fe80::beef dev up0 proto ra"));
  }

  World world;
  Program program;
};

// ------------------------------------------------------------------ packets

TEST_F(Ipv6, ARunningContainerAnswersInBothFamiliesUnderOneNumber) {
  make_network();
  Program::must_mb("run -d --network n1 -p 8080:80 -p 8080:80/udp -p 81 --name web");
  EXPECT_THAT(tcp_talk(world.outside(), kHost, 8080).reply, StartsWith("source{ip: 2001:db8:100::9, "));
  EXPECT_THAT(udp_talk(world.outside(), kHost, 8080).reply, StartsWith("source{ip: 2001:db8:100::9, "));
  EXPECT_THAT(tcp_talk(world.outside(), "198.51.100.1", 8080).reply, StartsWith("source{ip: 198.51.100.9, "));
  const auto ports = Program::json("port web");
  ASSERT_EQ(ports.size(), 6U);
  EXPECT_EQ(ports[0]["host_ip"], "0.0.0.0");
  EXPECT_EQ(ports[1]["host_ip"], "::");
  EXPECT_EQ(ports[4]["host_port"], ports[5]["host_port"]);
  const auto port = ports[5]["host_port"].get<std::uint16_t>();
  EXPECT_TRUE(tcp_talk(world.outside(), kHost, port).reached());
  const auto listed = Program::must_mb("ps");
  EXPECT_THAT(listed, AllOf(HasSubstr("172.18.0.2, fd00:18::2"), HasSubstr("8080 -> 80/tcp, 8080 -> 80/udp"),
                            Not(HasSubstr("[::]"))));
  EXPECT_THAT(Program::must_mb("port web"), StartsWith("80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"));
  EXPECT_THAT(Program::must_mb("network ls"), HasSubstr("172.18.0.0/16, fd00:18::/64"));
  EXPECT_EQ(Program::inspect("web")["networks"][0]["gateway6"], "fd00:18::1");
  EXPECT_EQ(Program::inspect("n1")["gateway6"], "fd00:18::1");
}

TEST_F(Ipv6, TheHostIsSeenAsTheGatewayOrRefusedAtOnce) {
  make_network();
  Program::must_mb("create --network n1 -p 8080:80 c1");
  const TcpServer server(Program::namespace_of("c1"), "fd00:18::2", 80);
  expect_source(tcp_talk(world.host(), kHost, 8080), "fd00:18::1");
  expect_source(tcp_talk(world.host(), "fd00:18::1", 8080), "fd00:18::1");
  EXPECT_EQ(tcp_talk(world.host(), "::1", 8080).kind, Outcome::kRefused);
  const auto link_local =
      must("ip -6 -o address show dev up0 scope link | grep -o 'fe80[^/]*' | head -1 | tr -d '\\n'");
  EXPECT_EQ(tcp_talk(world.host(), link_local + "%up0", 8080).kind, Outcome::kRefused);
  EXPECT_EQ(tcp_talk(world.outside(), link_local + "%up0", 8080).kind, Outcome::kRefused);
}

// Duplicate address detection would take a second, and so would a second solicitation after a lost one.
TEST_F(Ipv6, TheFirstPacketsAreNotLost) {
  make_network();
  const TcpServer outside(world.outside(), kOutside, 7000);
  for (int i = 2; i < 12; ++i) {
    const auto name = "c" + std::to_string(i);
    Program::must_mb("create --network n1 " + name);
    const auto container = Program::namespace_of(name);
    const auto address = "fd00:18::" + must("printf %x " + std::to_string(i));
    Capture bridge(world.host(), Program::inspect("n1")["bridge"].get<std::string>());
    // Forwarded, so that the bridge has to ask in its own name.
    EXPECT_EQ(tcp_talk(world.host(), address, 80).kind, Outcome::kRefused) << name;
    expect_source(tcp_talk(container, kOutside, 7000), kHost);
    const auto asked = count(bridge.drain(), [](const Packet& packet) { return packet.icmp_type == 135; });
    EXPECT_LE(asked, 2U) << name << ": neighbours had to be asked for twice";
    EXPECT_THAT(must(container, "ip -6 address show dev eth0"), Not(HasSubstr("tentative")));
  }
}

TEST_F(Ipv6, ForwardedPacketsFindAContainerThatNobodyHasSpokenTo) {
  make_network();
  Program::must_mb("create --network n1 -p 8080:80 c1");
  const TcpServer server(Program::namespace_of("c1"), "fd00:18::2", 80);
  Capture in_container(Program::namespace_of("c1"), "eth0");
  expect_source(tcp_talk(world.outside(), kHost, 8080), kOutside);
  const auto first = in_container.drain();
  EXPECT_EQ(count(first, [](const Packet& packet) { return packet.is_syn(); }), 1U) << "the first one was lost";
}

TEST_F(Ipv6, AnInternalNetworkKnowsItsGatewayAndNothingElse) {
  make_network("--internal");
  Program::must_mb("create --network n1 c1 c2");
  const auto c1 = Program::namespace_of("c1");
  const TcpServer gateway(world.host(), "fd00:18::1", 7000);
  const TcpServer host(world.host(), kHost, 7000);
  const TcpServer sibling(Program::namespace_of("c2"), "fd00:18::3", 80);
  expect_source(tcp_talk(c1, "fd00:18::1", 7000), "fd00:18::2");
  expect_source(tcp_talk(c1, "fd00:18::3", 80), "fd00:18::2");
  EXPECT_EQ(tcp_talk(c1, kHost, 7000).kind, Outcome::kUnreachable);
  must(c1, "ip route add default via fd00:18::1");
  tcp_talk(c1, kHost, 7000, {.deadline = std::chrono::milliseconds(1)});
  expect_source(tcp_talk(c1, "fd00:18::1", 7000), "fd00:18::2");
  EXPECT_THAT(host.seen(), IsEmpty());
}

TEST_F(Ipv6, ARunningUdpFlowFollowsAPortToItsNewContainer) {
  make_network();
  Program::must_mb("create --network n1 c1 c2");
  const UdpServer first(Program::namespace_of("c1"), "fd00:18::2", 80);
  const UdpServer second(Program::namespace_of("c2"), "fd00:18::3", 80);
  const TalkOptions same_flow{.from_port = 4000};
  Program::must_mb("publish c1 8080:80/udp");
  EXPECT_TRUE(udp_talk(world.outside(), kHost, 8080, same_flow).reached());
  Program::must_mb("publish --move c2 8080:80/udp");
  EXPECT_TRUE(udp_talk(world.outside(), kHost, 8080, same_flow).reached());
  EXPECT_EQ(first.seen().size(), 1U);
  EXPECT_EQ(second.seen().size(), 1U);
}

// ------------------------------------------------------------------ the host

TEST_F(Ipv6, DownGivesBackForwardingOfEveryInterface) {
  install_foreign_rules();
  must("echo 1 > /proc/sys/net/ipv6/conf/up0/forwarding");
  must("ip6tables-legacy -t nat -A POSTROUTING -o nowhere -j ACCEPT && ip6tables-legacy -P FORWARD DROP");
  const SnapshotOptions without_policies{.policy_counters = false};  // links that come up say so to their neighbours
  const auto before = snapshot_host(without_policies);
  make_network();
  const auto created = Program::mb("create --network n1 -p 8080:80 c1");
  EXPECT_EQ(sysctl("all/forwarding"), "1");
  EXPECT_EQ(sysctl("up0/accept_ra"), "1");  // it has no router to lose
  Program::must_mb("down");
  EXPECT_EQ(snapshot_host(without_policies), before);
  EXPECT_EQ(sysctl("up0/forwarding"), "1");
  EXPECT_EQ(sysctl("lo/forwarding"), "0");
}

TEST_F(Ipv6, TheHostKeepsItsAdvertisedRouter) {
  advertise_router();
  const auto made = Program::mb("network create --subnet 172.18.0.0/16 --subnet fd00:18::/64 n1");
  EXPECT_THAT(made.err, AllOf(HasSubstr("switched net/ipv6/conf/up0/accept_ra from 1 to 2"),
                              HasSubstr("switched net.ipv6.conf.all.forwarding from 0 to 1")));
  EXPECT_THAT(must("ip -6 route show default"), StartsWith("default via fe80::beef dev up0 proto ra"));
  must("ip -6 route del default");
  advertise_router();  // and still listens
  Program::must_mb("create --network n1 c1");
  Program::must_mb("down");
  EXPECT_EQ(sysctl("up0/accept_ra"), "1");
  EXPECT_EQ(sysctl("all/forwarding"), "0");
  EXPECT_THAT(must("ip -6 route show default"), StartsWith("default via fe80::beef dev up0 proto ra"));
}

TEST_F(Ipv6, AContainersAdvertisementGivesTheHostNoRoute) {
  make_network();
  Program::must_mb("create --network n1 c1");
  const auto c1 = Program::namespace_of("c1");
  advertise(c1, "eth0", "fe80::bad", "2001:db8:bad::");
  EXPECT_TRUE(ping(c1, "fd00:18::1").reached());  // after it, on the same path
  EXPECT_THAT(must("ip -6 route show default"), IsEmpty());
  EXPECT_THAT(must("ip -6 address show"), Not(HasSubstr("2001:db8:bad:")));
}

TEST_F(Ipv6, RepairPutsTheRulesBackAfterAFlush) {
  make_network();
  Program::must_mb("run -d --network n1 -p 8080:80 --name web");
  must("ip6tables-legacy -F && ip6tables-legacy -t nat -F && ip6tables-legacy -t nat -X");
  EXPECT_EQ(tcp_talk(world.outside(), kHost, 8080).kind, Outcome::kRefused);
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  Program::must_mb("repair");
  EXPECT_TRUE(tcp_talk(world.outside(), kHost, 8080).reached());
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

TEST_F(Ipv6, EveryKindOfRuleReadsBackAsItWasWritten) {
  make_network("--snat-to 2001:db8:100::1");
  Program::must_mb("network create --ipv6 --internal n2");
  Program::must_mb(
      "create --network n1 -p 9000-9009:2000-2009 -p [2001:db8:100::1]:8081:80 -p 53:53/udp -p 9:9/sctp c1");
  EXPECT_EQ(Program::mb("repair --check").status, 0);
  const auto rules = must("ip6tables-legacy-save");
  EXPECT_THAT(rules, AllOf(HasSubstr("--dport 9000:9009 "), HasSubstr("--to-destination [fd00:18::2]:2000-2009/9000\n"),
                           HasSubstr("-d 2001:db8:100::1/128 -p tcp -m tcp --dport 8081 "),
                           HasSubstr("-p udp -m udp --dport 53 "), HasSubstr("-p sctp -m sctp --dport 9 ")));
  EXPECT_THAT(rules,
              AllOf(HasSubstr("--to-source 2001:db8:100::1\n"), HasSubstr("-j MASQUERADE\n"),
                    HasSubstr("-p ipv6-icmp -m icmp6 --icmpv6-type 135 "), HasSubstr("! -s ::1/128 ! -d fe80::/10")));
}

TEST_F(Ipv6, AddressesThatALinkLostWhileItWasDownAreRepaired) {
  make_network();
  Program::must_mb("run -d --network n1 -p 8080:80 --name web");
  const auto bridge = Program::inspect("n1")["bridge"].get<std::string>();
  must("ip link set " + bridge + " down && ip link set " + bridge + " up");
  EXPECT_THAT(must("ip -6 address show dev " + bridge), Not(HasSubstr("fd00:18::1")));
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  Program::must_mb("repair");
  EXPECT_TRUE(tcp_talk(world.outside(), kHost, 8080).reached());
}

TEST_F(Ipv6, ANetworkOfTheOtherFamilyOnlyLeavesIpv6Alone) {
  Program::must_mb("network create --subnet 172.18.0.0/16 n1");
  Program::must_mb("create --network n1 -p 8080:80 c1");
  EXPECT_EQ(sysctl("all/forwarding"), "0");
  EXPECT_THAT(must("cat /proc/net/ip6_tables_names"), IsEmpty());
  EXPECT_THAT(must("ip -6 address show dev " + Program::inspect("n1")["bridge"].get<std::string>()), IsEmpty());
  EXPECT_EQ(tcp_talk(world.outside(), kHost, 8080).kind, Outcome::kRefused);
  Program::must_mb("repair");
  EXPECT_THAT(must("cat /proc/net/ip6_tables_names"), IsEmpty());
}

TEST_F(Ipv6, AHostWithoutItSaysSoAndNothingIsChanged) {
  must("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
  const auto refused = Program::mb("network create --ipv6 n1");
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("network 'n1' cannot have IPv6: net.ipv6.conf.default.disable_ipv6 is 1"));
  EXPECT_THAT(Program::must_mb("network ls -q"), IsEmpty());
}

// ------------------------------------------------------------------ host ports in use

TEST_F(Ipv6, ASocketForBothFamiliesHoldsThePortInBoth) {
  const TcpServer server(world.host(), "::", 8080);
  const auto refused = Program::mb("create -p 8080:80 c1");
  EXPECT_EQ(refused.status, 4);
  EXPECT_THAT(refused.err, HasSubstr("listens on"));
}

TEST_F(Ipv6, ASocketOfOneFamilyHoldsThePortInThatOneOnly) {
  make_network();
  const TcpServer server(world.host(), kHost, 8080);
  EXPECT_EQ(Program::mb("create --network n1 -p 8080:80 c1").status, 4);
  EXPECT_EQ(Program::mb("create --network n1 -p 198.51.100.1:8080:80 c2").status, 0);
}

}  // namespace
}  // namespace mb::test
