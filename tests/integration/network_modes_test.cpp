// SPDX-License-Identifier: GPL-2.0-or-later
//
// Networks that differ from the usual ones, with real packets: internal ones, and those whose containers go out under
// another source address.
//
//     outside 198.51.100.9 ---- 198.51.100.1 host ---- inner 172.18.0.0/16 (internal): c1 .2, c2 .3
//                                                 ---- n2    172.19.0.0/16: c3 .2
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>

#include "tests/support/capture.h"
#include "tests/support/program.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using netns::Namespace;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Sent and forgotten: the deadline is no proof, the barrier after it is.
constexpr std::chrono::milliseconds kForget{1};

void expect_source(const Outcome& outcome, const std::string& address) {
  EXPECT_TRUE(outcome.reached()) << outcome;
  EXPECT_THAT(outcome.reply, StartsWith("source=" + address + ":"));
}

// How many packets of a connection from port 40001 come by at `where`, before something that is allowed does.
std::size_t seen(const Namespace& where, const std::string& interface,
                 const std::function<void(TalkOptions)>& forbidden, const std::function<Outcome()>& barrier) {
  constexpr std::uint16_t kForbidden = 40001;
  Capture capture(where, interface);
  forbidden({.from_port = kForbidden, .deadline = kForget});
  const Outcome permitted = barrier();
  EXPECT_TRUE(permitted.reached()) << "the barrier: " << permitted;
  return count(capture.drain(), [](const Packet& packet) {
    return packet.source_port == kForbidden || packet.target_port == kForbidden;
  });
}

struct NetworkModes : testing::Test {
  World world;
  Program program;
};

struct Internal : NetworkModes {
  Internal() {
    Program::must_mb("network create --internal --subnet 172.18.0.0/16 inner");
    Program::must_mb("network create --subnet 172.19.0.0/16 n2");
    Program::must_mb("create --network inner c1 c2");
    Program::must_mb("create --network n2 c3");
  }
};

TEST_F(Internal, ItsContainersReachEachOtherAndTheGatewayOnly) {
  const auto c1 = Program::namespace_of("c1");
  const TcpServer sibling(Program::namespace_of("c2"), "172.18.0.3", 80);
  const TcpServer gateway(world.host(), "172.18.0.1", 7000);
  expect_source(tcp_talk(c1, "172.18.0.3", 80), "172.18.0.2");
  expect_source(tcp_talk(c1, "172.18.0.1", 7000), "172.18.0.2");
  for (const std::string address : {"198.51.100.9", "198.51.100.1", "172.19.0.2"}) {
    const Outcome outcome = tcp_talk(c1, address, 80);
    EXPECT_EQ(outcome.kind, Outcome::kUnreachable) << address << ": " << outcome;
    EXPECT_EQ(outcome.error, ENETUNREACH) << address;
  }
}

TEST_F(Internal, ADefaultRouteOfItsOwnLeadsAContainerNowhere) {
  const auto c1 = Program::namespace_of("c1");
  const auto c3 = Program::namespace_of("c3");
  const TcpServer outside(world.outside(), "198.51.100.9", 7000);
  const TcpServer host(world.host(), "0.0.0.0", 7001);
  const TcpServer on_c3(c3, "172.19.0.2", 80);
  must(c1, "ip route add default via 172.18.0.1");
  const auto to = [&](const std::string& address, std::uint16_t port) {
    return [&c1, address, port](const TalkOptions& options) { tcp_talk(c1, address, port, options); };
  };
  const auto c3_outside = [&] { return tcp_talk(c3, "198.51.100.9", 7000); };
  const auto c1_gateway = [&] { return tcp_talk(c1, "172.18.0.1", 7001); };
  const auto host_c3 = [&] { return tcp_talk(world.host(), "172.19.0.2", 80); };
  EXPECT_EQ(seen(world.outside(), "up0", to("198.51.100.9", 7000), c3_outside), 0U);
  EXPECT_EQ(seen(c3, "eth0", to("172.19.0.2", 80), host_c3), 0U);
  const auto answers = [&] {
    Capture capture(c1, "eth0");
    to("198.51.100.1", 7001)({.from_port = 40002, .deadline = kForget});
    EXPECT_TRUE(c1_gateway().reached());
    return count(capture.drain(), [](const Packet& packet) { return packet.target_port == 40002; });
  };
  EXPECT_EQ(answers(), 0U) << "another address of the host";

  must("iptables-legacy -F MINIBRIDGE-INPUT");
  EXPECT_GT(answers(), 0U) << "this test could not have told";
  must("iptables-legacy -I FORWARD -j ACCEPT");
  EXPECT_GT(seen(world.outside(), "up0", to("198.51.100.9", 7000), c3_outside), 0U);
  EXPECT_GT(seen(c3, "eth0", to("172.19.0.2", 80), host_c3), 0U);
}

TEST_F(Internal, NobodyReachesItsContainersButTheHost) {
  const auto c1 = Program::namespace_of("c1");
  const auto c3 = Program::namespace_of("c3");
  const TcpServer server(c1, "172.18.0.2", 80);
  const auto host = [&] { return tcp_talk(world.host(), "172.18.0.2", 80); };
  const auto from = [&](const Namespace& where) {
    return [&where](const TalkOptions& options) { tcp_talk(where, "172.18.0.2", 80, options); };
  };
  EXPECT_EQ(seen(c1, "eth0", from(world.outside()), host), 0U);
  EXPECT_EQ(seen(c1, "eth0", from(c3), host), 0U);
  must("iptables-legacy -I FORWARD -j ACCEPT");
  EXPECT_GT(seen(c1, "eth0", from(c3), host), 0U) << "this test could not have told";
}

TEST_F(Internal, AContainerThatIsAlsoElsewhereLeavesAndPublishesThere) {
  Program::must_mb("create --network inner --network n2 -p 8080:80 both");
  const auto both = Program::namespace_of("both");
  const TcpServer server(both, "172.19.0.3", 80);
  const TcpServer outside(world.outside(), "198.51.100.9", 7000);
  expect_source(tcp_talk(both, "198.51.100.9", 7000), "198.51.100.1");
  expect_source(tcp_talk(world.outside(), "198.51.100.1", 8080), "198.51.100.9");
  EXPECT_THAT(Program::must_mb("exec both -- ip route show default"), StartsWith("default via 172.19.0.1 dev eth1"));
}

TEST_F(Internal, ItsRulesAreRepairedAndGoWithIt) {
  must("iptables-legacy -F MINIBRIDGE-INPUT; iptables-legacy -F MINIBRIDGE-FORWARD");
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  Program::must_mb("repair");
  EXPECT_EQ(Program::mb("repair --check").status, 0);
  EXPECT_THAT(must("iptables-legacy-save"), HasSubstr("! -d 172.18.0.1/32"));
  EXPECT_EQ(Program::json("network inspect inner")[0]["internal"], true);
  Program::must_mb("rm c1 c2");
  Program::must_mb("network rm inner");
  EXPECT_THAT(must("iptables-legacy-save"), Not(HasSubstr("MINIBRIDGE-INPUT")));
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

TEST_F(NetworkModes, WithoutMasqueradeContainersAreSeenAsThemselves) {
  Program::must_mb("network create --masquerade=false --subnet 172.18.0.0/16 open");
  Program::must_mb("create --network open -p 8080:80 c1");
  const auto c1 = Program::namespace_of("c1");
  const TcpServer outside(world.outside(), "198.51.100.9", 7000);
  expect_source(tcp_talk(c1, "198.51.100.9", 7000), "172.18.0.2");
  const TcpServer server(c1, "172.18.0.2", 80);
  expect_source(tcp_talk(world.outside(), "198.51.100.1", 8080), "198.51.100.9");
  expect_source(tcp_talk(world.host(), "127.0.0.1", 8080), "172.18.0.1");
}

TEST_F(NetworkModes, TheSourceAddressOutsideCanBeChosen) {
  must("ip address add 198.51.100.77/24 dev up0");
  Program::must_mb("network create --snat-to 198.51.100.77 --subnet 172.18.0.0/16 chosen");
  Program::must_mb("network create --subnet 172.19.0.0/16 n2");
  Program::must_mb("create --network chosen c1 && minibridge create --network n2 c3");
  const TcpServer tcp(world.outside(), "198.51.100.9", 7000);
  const UdpServer udp(world.outside(), "198.51.100.9", 7000);
  expect_source(tcp_talk(Program::namespace_of("c1"), "198.51.100.9", 7000), "198.51.100.77");
  expect_source(udp_talk(Program::namespace_of("c1"), "198.51.100.9", 7000), "198.51.100.77");
  expect_source(tcp_talk(Program::namespace_of("c3"), "198.51.100.9", 7000), "198.51.100.1");
}

}  // namespace
}  // namespace mb::test
