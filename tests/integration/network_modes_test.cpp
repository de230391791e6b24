// SPDX-License-Identifier: GPL-2.0-or-later
//
// Networks that differ from the usual ones: what the behaviour table (tests/behaviour) does not ask.
//
//     outside 198.51.100.9 ---- 198.51.100.1 host ---- inner 172.18.0.0/16 (internal): c1 .2, c2 .3
//                                                 ---- n2    172.19.0.0/16: c3 .2
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/program.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

void expect_source(const Outcome& outcome, const std::string& address) {
  EXPECT_TRUE(outcome.reached()) << outcome;
  EXPECT_THAT(outcome.reply, StartsWith("source=" + address + ":"));
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
  EXPECT_THAT(must("iptables-legacy-save"), Not(HasSubstr("! -d 172.18.0.1/32")));
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

TEST_F(NetworkModes, WithoutMasqueradePublishedPortsAnswerAllTheSame) {
  Program::must_mb("network create --masquerade=false --subnet 172.18.0.0/16 open");
  Program::must_mb("create --network open -p 8080:80 c1");
  const TcpServer server(Program::namespace_of("c1"), "172.18.0.2", 80);
  expect_source(tcp_talk(world.outside(), "198.51.100.1", 8080), "198.51.100.9");
  expect_source(tcp_talk(world.host(), "127.0.0.1", 8080), "172.18.0.1");
}

}  // namespace
}  // namespace mb::test
