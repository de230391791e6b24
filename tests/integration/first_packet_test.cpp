// SPDX-License-Identifier: GPL-2.0-or-later
//
// When a verb has returned, the very next packet gets through.
//
// While the state of a new link is still settling, the first ARP request is lost and the second comes a second later. The
// kernel counts the requests it sent for a neighbour, those that a link without a queue swallowed included; that count
// is the proof, not a stopwatch. A capture on the bridge tells the same of what came by.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/capture.h"
#include "tests/support/program.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::HasSubstr;

// The count begins at ucast_solicit, 3: "probes 4" is one request.
constexpr const char* kOneRequest = "probes 4 ";

std::size_t requests_for(const std::vector<Packet>& packets, const std::string& sender, const std::string& target) {
  return count(packets, [&](const Packet& packet) {
    return packet.arp && packet.arp->operation == 1 && packet.arp->sender_ip == sender &&
           packet.arp->target_ip == target;
  });
}

struct FirstPacket : testing::Test {
  World world;
  Program program;
};

TEST_F(FirstPacket, OfTwentyFiveContainersToTheirGatewayIsNotLost) {
  Program::must_mb("create c0");
  const UdpServer server(world.host(), "172.17.0.1", 7000);
  Capture bridge(world.host(), "minibridge0");
  for (int i = 1; i <= 25; ++i) {
    const auto name = "c" + std::to_string(i);
    Program::must_mb("create " + name);
    const auto container = Program::namespace_of(name);
    EXPECT_TRUE(udp_talk(container, "172.17.0.1", 7000).reached());
    EXPECT_THAT(must(container, "ip -s neigh show 172.17.0.1"), HasSubstr(kOneRequest)) << name;
    EXPECT_EQ(requests_for(bridge.drain(), "172.17.0." + std::to_string(i + 2), "172.17.0.1"), 1U) << name;
  }
}

TEST_F(FirstPacket, OfTheHostToTwentyFiveContainersIsNotLost) {
  Program::must_mb("create c0");
  Capture bridge(world.host(), "minibridge0");
  for (int i = 1; i <= 25; ++i) {
    const auto name = "c" + std::to_string(i);
    Program::must_mb("create " + name);
    const auto address = "172.17.0." + std::to_string(i + 2);
    // Nobody listens: the refusal is the answer.
    EXPECT_EQ(tcp_talk(world.host(), address, 80).kind, Outcome::kRefused) << name;
    EXPECT_THAT(must("ip -s neigh show " + address), HasSubstr(kOneRequest)) << name;
    EXPECT_EQ(requests_for(bridge.drain(), "172.17.0.1", address), 1U) << name;
  }
}

TEST_F(FirstPacket, OfTheVeryFirstContainerWithItsNetworkIsNotLost) {
  const UdpServer server(world.outside(), "198.51.100.9", 7000);
  Program::must_mb("create c1");
  const auto container = Program::namespace_of("c1");
  EXPECT_TRUE(udp_talk(container, "198.51.100.9", 7000).reached());
  EXPECT_THAT(must(container, "ip -s neigh show 172.17.0.1"), HasSubstr(kOneRequest));
}

// Its command's first act is to call; the publish rule must be there, too.
TEST_F(FirstPacket, OfACommandThatRunsIsNotLost) {
  Program::must_mb("create c0");
  for (int i = 0; i < 10; ++i) {
    const auto said =
        Program::must_mb("run -- sh -c 'ping -q -c1 -W5 172.17.0.1 >/dev/null; ip -s neigh show 172.17.0.1'");
    EXPECT_THAT(said, HasSubstr(kOneRequest));
  }
}

}  // namespace
}  // namespace mb::test
