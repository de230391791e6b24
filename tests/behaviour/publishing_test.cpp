// SPDX-License-Identifier: GPL-2.0-or-later
//
// Ports that are published, taken back and moved while containers run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace mb::test
