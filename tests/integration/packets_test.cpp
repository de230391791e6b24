// SPDX-License-Identifier: GPL-2.0-or-later
//
// What can be seen from outside (docs: behaviour table), with real packets: who reaches whom, and as whom is he seen.
//
//     outside 198.51.100.9 ---- 198.51.100.1 host ---- n1 172.18.0.0/16: c1 .2 (80, 81), c2 .3
//                                                 ---- n2 172.19.0.0/16: c3 .2 (80)
//     c1 publishes 8080:80 (TCP, UDP), 127.0.0.1:8081:80, 9000-9999:2000-2999
//
// Every fact holds with a FORWARD policy of ACCEPT and of DROP, with bridge-nf-call-iptables 0 and 1.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>

#include "tests/support/capture.h"
#include "tests/support/program.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using netns::Namespace;
using testing::StartsWith;

constexpr const char* kBridgeNf = "/proc/sys/net/bridge/bridge-nf-call-iptables";

// Sent and forgotten: the deadline is no proof, the barrier after it is.
constexpr std::chrono::milliseconds kForget{1};
constexpr std::uint16_t kForbiddenPort = 40001;

struct Circumstances {
  std::string name;
  std::string policy;
  bool bridge_nf;
};

class Packets : public testing::TestWithParam<Circumstances> {
 protected:
  void SetUp() override {
    if (GetParam().bridge_nf && !std::filesystem::exists(kBridgeNf)) GTEST_SKIP() << "kernel lacks br_netfilter";
    if (std::filesystem::exists(kBridgeNf)) std::ofstream(kBridgeNf) << (GetParam().bridge_nf ? "1" : "0");
    must("iptables-legacy -P FORWARD " + GetParam().policy);
    Program::must_mb("network create --subnet 172.18.0.0/16 n1");
    Program::must_mb("network create --subnet 172.19.0.0/16 n2");
    Program::must_mb("create --network n1 -p 8080:80 -p 8080:80/udp -p 127.0.0.1:8081:80 -p 9000-9999:2000-2999 c1");
    Program::must_mb("create --network n1 c2");
    Program::must_mb("create --network n2 c3");
    c1_ = std::make_unique<Namespace>(Program::namespace_of("c1"));
    c2_ = std::make_unique<Namespace>(Program::namespace_of("c2"));
    c3_ = std::make_unique<Namespace>(Program::namespace_of("c3"));
    on_80_ = std::make_unique<TcpServer>(*c1_, "172.18.0.2", std::uint16_t{80});
    udp_80_ = std::make_unique<UdpServer>(*c1_, "172.18.0.2", std::uint16_t{80});
  }

  [[nodiscard]] const Namespace& host() const { return world_.host(); }
  [[nodiscard]] const Namespace& outside() const { return world_.outside(); }
  [[nodiscard]] const Namespace& c1() const { return *c1_; }
  [[nodiscard]] const Namespace& c2() const { return *c2_; }
  [[nodiscard]] const Namespace& c3() const { return *c3_; }

  /// The addresses that they are seen with.
  static void expect_source(const Outcome& outcome, const std::string& address) {
    EXPECT_TRUE(outcome.reached()) << outcome;
    EXPECT_THAT(outcome.reply, StartsWith("source=" + address + ":"));
  }

  /// How many packets of the forbidden connection come by at `where` before the answered barrier does.
  std::size_t seen_of_forbidden(const Namespace& where, const std::function<void(const TalkOptions&)>& forbidden,
                                const std::function<Outcome(const TalkOptions&)>& barrier) {
    const auto forbidden_port = next_port_++;
    const auto barrier_port = next_port_++;
    Capture capture(where, "eth0");
    forbidden({.from_port = forbidden_port, .deadline = kForget});
    const Outcome permitted = barrier({.from_port = barrier_port});
    EXPECT_TRUE(permitted.reached()) << "the barrier: " << permitted;
    const auto belongs_to = [](std::uint16_t port) {
      return [port](const Packet& packet) { return packet.source_port == port || packet.target_port == port; };
    };
    return count(capture.until(belongs_to(barrier_port)), belongs_to(forbidden_port));
  }

  std::uint16_t next_port_ = 40010;
  World world_;
  Program program_;
  std::unique_ptr<Namespace> c1_;
  std::unique_ptr<Namespace> c2_;
  std::unique_ptr<Namespace> c3_;
  std::unique_ptr<TcpServer> on_80_;
  std::unique_ptr<UdpServer> udp_80_;
};

// ------------------------------------------------------------------ from outside

TEST_P(Packets, OutsideReachesAPublishedPortWithItsOwnSource) {
  expect_source(tcp_talk(outside(), "198.51.100.1", 8080), "198.51.100.9");
  expect_source(udp_talk(outside(), "198.51.100.1", 8080), "198.51.100.9");
}

TEST_P(Packets, APublishedRangeIsShiftedOneToOneByOneRule) {
  const TcpServer first(c1(), "172.18.0.2", 2000);
  const TcpServer middle(c1(), "172.18.0.2", 2005);
  const TcpServer last(c1(), "172.18.0.2", 2999);
  expect_source(tcp_talk(outside(), "198.51.100.1", 9000), "198.51.100.9");
  EXPECT_EQ(first.seen().size(), 1U);
  expect_source(tcp_talk(outside(), "198.51.100.1", 9005), "198.51.100.9");
  EXPECT_EQ(middle.seen().size(), 1U);
  expect_source(tcp_talk(outside(), "198.51.100.1", 9999), "198.51.100.9");
  EXPECT_EQ(last.seen().size(), 1U);
  EXPECT_EQ(must("iptables-legacy-save | grep -c 9000"), "1\n");
}

TEST_P(Packets, APortOnLoopbackIsRefusedFromOutside) {
  const Outcome outcome = tcp_talk(outside(), "198.51.100.1", 8081);
  EXPECT_EQ(outcome.kind, Outcome::kRefused) << outcome;
}

TEST_P(Packets, RoutedDirectlyToAContainerIsDropped) {
  const TcpServer unpublished(c1(), "172.18.0.2", 81);
  const auto barrier = [&](const TalkOptions& options) { return tcp_talk(outside(), "198.51.100.1", 8080, options); };
  for (const std::uint16_t port : {std::uint16_t{80}, std::uint16_t{81}}) {
    const auto forbidden = [&](const TalkOptions& options) { tcp_talk(outside(), "172.18.0.2", port, options); };
    EXPECT_EQ(seen_of_forbidden(c1(), forbidden, barrier), 0U) << port;
  }
  EXPECT_TRUE(unpublished.seen().empty());
}

// The neighbour takes 127.0.0.0/8 off its own loopback and routes it to the host.
void route_loopback(const Namespace& where, const std::string& gateway, const std::string& interface) {
  must(where,
       "sysctl -qw net.ipv4.conf.all.route_localnet=1 && ip address del 127.0.0.1/8 dev lo && "
       "ip route add 127.0.0.0/8 via " +
           gateway + " dev " + interface);
}

TEST_P(Packets, OutsideDoesNotReachAPortOnLoopbackByRoutingLoopbackToTheHost) {
  route_loopback(outside(), "198.51.100.1", "up0");
  const auto forbidden = [&](const TalkOptions& options) { tcp_talk(outside(), "127.0.0.1", 8081, options); };
  const auto barrier = [&](const TalkOptions& options) { return tcp_talk(outside(), "198.51.100.1", 8080, options); };
  EXPECT_EQ(seen_of_forbidden(c1(), forbidden, barrier), 0U);
  // Without "! -d 127.0.0.0/8" it would come through: this test can tell.
  must("iptables-legacy -t nat -I PREROUTING -j MINIBRIDGE-PUBLISH");
  EXPECT_GT(seen_of_forbidden(c1(), forbidden, barrier), 0U);
}

TEST_P(Packets, OutsideDoesNotReachALoopbackServiceOfTheHost) {
  const TcpServer service(host(), "127.0.0.1", 7000);
  const TcpServer open(host(), "198.51.100.1", 7001);
  route_loopback(outside(), "198.51.100.1", "up0");
  Capture capture(outside(), "up0");
  tcp_talk(outside(), "127.0.0.1", 7000, {.from_port = kForbiddenPort, .deadline = kForget});
  EXPECT_TRUE(tcp_talk(outside(), "198.51.100.1", 7001).reached());
  const auto answers = [](const Packet& packet) { return packet.target_port == kForbiddenPort; };
  EXPECT_EQ(count(capture.drain(), answers), 0U);
}

TEST_P(Packets, AContainerDoesNotReachALoopbackServiceOfTheHost) {
  const TcpServer service(host(), "127.0.0.1", 7000);
  const TcpServer open(host(), "172.18.0.1", 7001);
  route_loopback(c1(), "172.18.0.1", "eth0");
  Capture capture(c1(), "eth0");
  const auto answers = [](const Packet& packet) { return packet.target_port == kForbiddenPort; };
  const auto try_it = [&] {
    tcp_talk(c1(), "127.0.0.1", 7000, {.from_port = kForbiddenPort, .deadline = kForget});
    EXPECT_TRUE(tcp_talk(c1(), "172.18.0.1", 7001).reached());
    return count(capture.drain(), answers);
  };
  EXPECT_EQ(try_it(), 0U);
  must("iptables-legacy -t raw -F MINIBRIDGE-RAW");
  EXPECT_GT(try_it(), 0U) << "this test could not have told";
}

TEST_P(Packets, AContainerThatPretendsToBeLoopbackIsNotHeard) {
  must("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done");
  const UdpServer service(host(), "172.18.0.1", 7001);
  must(c1(), "sysctl -qw net.ipv4.conf.all.route_localnet=1 && ip address add 127.0.0.9/32 dev eth0");
  const auto try_it = [&] {
    udp_talk(c1(), "172.18.0.1", 7001, {.from_address = "127.0.0.9", .deadline = kForget});
    EXPECT_TRUE(udp_talk(c1(), "172.18.0.1", 7001).reached());
    const auto seen = service.seen();
    return std::count_if(seen.begin(), seen.end(), [](const auto& who) { return who.starts_with("127.0.0.9:"); });
  };
  EXPECT_EQ(try_it(), 0);
  must("iptables-legacy -t raw -F MINIBRIDGE-RAW");
  EXPECT_EQ(try_it(), 1) << "this test could not have told";
}

// ------------------------------------------------------------------ from the host

TEST_P(Packets, TheHostReachesPublishedPortsAsTheGateway) {
  expect_source(tcp_talk(host(), "127.0.0.1", 8080), "172.18.0.1");
  expect_source(tcp_talk(host(), "127.0.0.1", 8081), "172.18.0.1");
  expect_source(tcp_talk(host(), "198.51.100.1", 8080), "172.18.0.1");
  expect_source(tcp_talk(host(), "172.18.0.1", 8080), "172.18.0.1");
  expect_source(udp_talk(host(), "127.0.0.1", 8080), "172.18.0.1");
  expect_source(udp_talk(host(), "198.51.100.1", 8080), "172.18.0.1");
}

TEST_P(Packets, TheHostReachesAContainerDirectly) { expect_source(tcp_talk(host(), "172.18.0.2", 80), "172.18.0.1"); }

// ------------------------------------------------------------------ from containers

TEST_P(Packets, AContainerReachesItsOwnPublishedPortThroughTheHost) {
  for (const std::string address : {"198.51.100.1", "172.18.0.1"}) {
    expect_source(tcp_talk(c1(), address, 8080), "172.18.0.1");
    expect_source(udp_talk(c1(), address, 8080), "172.18.0.1");
  }
}

TEST_P(Packets, AContainerReachesASiblingsPublishedPortThroughTheHost) {
  for (const std::string address : {"198.51.100.1", "172.18.0.1"}) {
    expect_source(tcp_talk(c2(), address, 8080), "172.18.0.1");
    expect_source(udp_talk(c2(), address, 8080), "172.18.0.1");
  }
}

TEST_P(Packets, SiblingsReachEachOtherWithTheirOwnSource) {
  expect_source(tcp_talk(c2(), "172.18.0.2", 80), "172.18.0.3");
  expect_source(udp_talk(c2(), "172.18.0.2", 80), "172.18.0.3");
}

TEST_P(Packets, ContainersOfOtherNetworksReachAPublishedPortWithTheirOwnSource) {
  for (const std::string address : {"198.51.100.1", "172.19.0.1"}) {
    expect_source(tcp_talk(c3(), address, 8080), "172.19.0.2");
    expect_source(udp_talk(c3(), address, 8080), "172.19.0.2");
  }
}

TEST_P(Packets, NetworksAreIsolatedFromEachOther) {
  const TcpServer on_81(c1(), "172.18.0.2", 81);
  const auto to_c1 = [&](const TalkOptions& options) { return tcp_talk(c3(), "198.51.100.1", 8080, options); };
  for (const std::uint16_t port : {std::uint16_t{80}, std::uint16_t{81}}) {
    const auto forbidden = [&](const TalkOptions& options) { tcp_talk(c3(), "172.18.0.2", port, options); };
    EXPECT_EQ(seen_of_forbidden(c1(), forbidden, to_c1), 0U) << port;
  }
  const auto datagram = [&](const TalkOptions& options) { udp_talk(c3(), "172.18.0.2", 80, options); };
  EXPECT_EQ(seen_of_forbidden(c1(), datagram, to_c1), 0U);

  // The other way round the host itself is the barrier: what it sends takes the same way into the network.
  const TcpServer on_c3(c3(), "172.19.0.2", 80);
  const auto forbidden = [&](const TalkOptions& options) { tcp_talk(c1(), "172.19.0.2", 80, options); };
  const auto barrier = [&](const TalkOptions& options) { return tcp_talk(host(), "172.19.0.2", 80, options); };
  EXPECT_EQ(seen_of_forbidden(c3(), forbidden, barrier), 0U);
  must("iptables-legacy -I FORWARD -j ACCEPT");
  EXPECT_TRUE(tcp_talk(c1(), "172.19.0.2", 80).reached()) << "this test could not have told";
}

TEST_P(Packets, ContainersReachTheOutsideAsTheHost) {
  const TcpServer tcp(outside(), "198.51.100.9", 7000);
  const UdpServer udp(outside(), "198.51.100.9", 7000);
  expect_source(tcp_talk(c1(), "198.51.100.9", 7000), "198.51.100.1");
  expect_source(udp_talk(c3(), "198.51.100.9", 7000), "198.51.100.1");
}

TEST_P(Packets, ContainersReachAServiceOfTheHostOnTheirGateway) {
  const TcpServer tcp(host(), "172.18.0.1", 7000);
  const UdpServer udp(host(), "172.18.0.1", 7000);
  expect_source(tcp_talk(c1(), "172.18.0.1", 7000), "172.18.0.2");
  expect_source(udp_talk(c1(), "172.18.0.1", 7000), "172.18.0.2");
}

// ------------------------------------------------------------------ while it runs

TEST_P(Packets, APortCanBePublishedAndTakenBackWhileTheContainerRuns) {
  const TcpServer server(c2(), "172.18.0.3", 80);
  EXPECT_EQ(tcp_talk(outside(), "198.51.100.1", 8090).kind, Outcome::kRefused);
  Program::must_mb("publish c2 8090:80");
  expect_source(tcp_talk(outside(), "198.51.100.1", 8090), "198.51.100.9");
  Program::must_mb("unpublish c2 8090:80");
  EXPECT_EQ(tcp_talk(outside(), "198.51.100.1", 8090).kind, Outcome::kRefused);
}

// The kernel remembers a datagram flow to a port that nobody had, and would go on sending it to the host itself.
TEST_P(Packets, ADatagramFlowThatWasThereBeforeReachesTheContainerOncePublished) {
  const UdpServer server(c2(), "172.18.0.3", 53);
  const TalkOptions same_flow{.from_port = 40003};
  EXPECT_EQ(udp_talk(outside(), "198.51.100.1", 8054, same_flow).kind, Outcome::kRefused);
  Program::must_mb("publish c2 8054:53/udp");
  expect_source(udp_talk(outside(), "198.51.100.1", 8054, same_flow), "198.51.100.9");
  Program::must_mb("unpublish c2 8054:53/udp");
  EXPECT_EQ(udp_talk(outside(), "198.51.100.1", 8054, same_flow).kind, Outcome::kRefused);
}

INSTANTIATE_TEST_SUITE_P(Under, Packets,
                         testing::Values(Circumstances{"Accept_BridgeNf0", "ACCEPT", false},
                                         Circumstances{"Accept_BridgeNf1", "ACCEPT", true},
                                         Circumstances{"Drop_BridgeNf0", "DROP", false},
                                         Circumstances{"Drop_BridgeNf1", "DROP", true}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace mb::test
