// SPDX-License-Identifier: GPL-2.0-or-later
//
// Ports that are published, taken back and moved while containers run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/capture.h"
#include "tests/support/frames.h"
#include "tests/support/program.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::StartsWith;

void expect_source(const Outcome& outcome, const std::string& address) {
  EXPECT_TRUE(outcome.reached()) << outcome;
  EXPECT_THAT(outcome.reply, StartsWith("source=" + address + ":"));
}

struct Publishing : testing::Test {
  Publishing() {
    Program::must_mb("network create --subnet 172.18.0.0/16 n1");
    Program::must_mb("create --network n1 c1 c2");
  }

  [[nodiscard]] Outcome outside_tcp(std::uint16_t port) const {
    return tcp_talk(world.outside(), "198.51.100.1", port);
  }
  [[nodiscard]] Outcome outside_udp(std::uint16_t port, const TalkOptions& options) const {
    return udp_talk(world.outside(), "198.51.100.1", port, options);
  }

  World world;
  Program program;
};

TEST_F(Publishing, APortComesAndGoesWhileTheContainerRuns) {
  const TcpServer server(Program::namespace_of("c2"), "172.18.0.3", 80);
  EXPECT_EQ(outside_tcp(8090).kind, Outcome::kRefused);
  Program::must_mb("publish c2 8090:80");
  expect_source(outside_tcp(8090), "198.51.100.9");
  Program::must_mb("unpublish c2 8090:80");
  EXPECT_EQ(outside_tcp(8090).kind, Outcome::kRefused);
}

// The kernel remembers a datagram flow to a port that nobody had, and would go on sending it to the host itself.
TEST_F(Publishing, ADatagramFlowThatWasThereBeforeReachesTheContainerOncePublished) {
  const UdpServer server(Program::namespace_of("c2"), "172.18.0.3", 53);
  const TalkOptions same_flow{.from_port = 40003};
  EXPECT_EQ(outside_udp(8054, same_flow).kind, Outcome::kRefused);
  Program::must_mb("publish c2 8054:53/udp");
  expect_source(outside_udp(8054, same_flow), "198.51.100.9");
  Program::must_mb("unpublish c2 8054:53/udp");
  EXPECT_EQ(outside_udp(8054, same_flow).kind, Outcome::kRefused);
}

// Frames, since kernels without SCTP sockets forward and translate it all the same.
TEST_F(Publishing, AnSctpAssociationBeginsThroughThePublishedPortOnly) {
  Program::must_mb("publish c2 8132:132/sctp");
  const auto send_init = [&](std::uint16_t from_port, const std::string& target, std::uint16_t port) {
    send_frame(world.outside(), "up0",
               ethernet(mac_of(world.host(), "up0"), mac_of(world.outside(), "up0"), 0x0800,
                        init_packet("198.51.100.9", from_port, target, port)));
  };
  Capture at_c2(Program::namespace_of("c2"), "eth0", Direction::incoming);
  const auto came_straight = [&] {
    send_init(40001, "172.18.0.3", 132);
    send_init(40002, "198.51.100.1", 8132);
    const auto seen = at_c2.until([](const Packet& p) { return p.protocol == 132 && p.source_port == 40002; });
    EXPECT_EQ(seen.back().source, "198.51.100.9");
    EXPECT_EQ(seen.back().target, "172.18.0.3");
    EXPECT_EQ(seen.back().target_port, 132);
    return count(seen, [](const Packet& p) { return p.source_port == 40001; });
  };
  EXPECT_EQ(came_straight(), 0U);
  must("iptables-legacy -I FORWARD -j ACCEPT");
  EXPECT_EQ(came_straight(), 1U) << "this test could not have told";
}

}  // namespace
}  // namespace mb::test
