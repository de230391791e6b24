// SPDX-License-Identifier: GPL-2.0-or-later
//
// `create --netns PATH`: a namespace that somebody else made gets an endpoint, and loses just that again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/program.h"
#include "tests/support/snapshot.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using netns::Namespace;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct NetnsOption : testing::Test {
  NetnsOption() { must("ip netns add theirs && ip -n theirs link set lo up"); }
  ~NetnsOption() override { [[maybe_unused]] const auto ignored = sh("ip netns del theirs"); }

  static std::string look_inside() {
    return must(
        "ip netns exec theirs sh -c 'ip -o link | sed s/state.*//; ip -o address | sed s/valid_lft.*//; "
        "ip route show table all; sysctl -a -r ^net 2>/dev/null | grep -v nf_conntrack_count'");
  }

  World world;
  Program program;
};

TEST_F(NetnsOption, AttachesItAndPacketsFlow) {
  Program::must_mb("create --netns /run/netns/theirs -p 8080:80 c1");
  const auto theirs = Namespace::open("/run/netns/theirs");
  EXPECT_TRUE(Program::namespace_of("c1").same_as(theirs));
  const TcpServer server(theirs, "172.17.0.2", 80);
  EXPECT_THAT(tcp_talk(world.outside(), "198.51.100.1", 8080).reply, StartsWith("source=198.51.100.9:"));
  const TcpServer outside(world.outside(), "198.51.100.9", 7000);
  EXPECT_THAT(tcp_talk(theirs, "198.51.100.9", 7000).reply, StartsWith("source=198.51.100.1:"));
  EXPECT_EQ(Program::inspect("c1")["namespace_source"], "/run/netns/theirs");
  EXPECT_THAT(Program::must_mb("exec c1 -- ip -br link"), HasSubstr("eth0@"));
}

TEST_F(NetnsOption, RemovalTakesOutJustWhatWasPutIn) {
  must(
      "ip -n theirs link add eth0 type bridge && ip -n theirs address add 10.5.5.2/24 dev eth0 && "
      "ip -n theirs link set eth0 up && ip -n theirs route add 10.6.6.0/24 via 10.5.5.1");
  const auto before = look_inside();
  Program::must_mb("create --netns /run/netns/theirs c1");
  EXPECT_NE(look_inside(), before);
  Program::must_mb("rm c1");
  EXPECT_EQ(look_inside(), before);
  EXPECT_TRUE(std::filesystem::exists("/run/netns/theirs"));
}

TEST_F(NetnsOption, DownLeavesItThere) {
  const auto before = look_inside();
  Program::must_mb("create --netns /run/netns/theirs c1");
  Program::must_mb("down");
  EXPECT_EQ(look_inside(), before);
}

TEST_F(NetnsOption, TakesTheNextFreeName) {
  must("ip -n theirs link add eth0 type bridge && ip -n theirs link add eth2 type bridge");
  Program::must_mb("network create n1 && minibridge network create n2");
  Program::must_mb("create --netns /run/netns/theirs --network n1 --network n2 c1");
  const auto networks = Program::inspect("c1")["networks"];
  EXPECT_EQ(networks[0]["interface"], "eth1");
  EXPECT_EQ(networks[1]["interface"], "eth3");
  EXPECT_THAT(must("ip -n theirs -br link"), testing::AllOf(HasSubstr("eth1@"), HasSubstr("eth3@")));
}

TEST_F(NetnsOption, SetsADefaultRouteOnlyWhereThereIsNone) {
  Program::must_mb("create --netns /run/netns/theirs c1");
  EXPECT_THAT(must("ip -n theirs route show default"), StartsWith("default via 172.17.0.1 dev eth0"));
  Program::must_mb("rm c1");
  EXPECT_EQ(must("ip -n theirs route show default"), "");

  must(
      "ip -n theirs link add d0 type bridge && ip -n theirs address add 10.5.5.2/24 dev d0 && "
      "ip -n theirs link set d0 up && ip -n theirs route add default via 10.5.5.1");
  const auto before = must("ip -n theirs route show default");
  Program::must_mb("create --netns /run/netns/theirs c1");
  EXPECT_EQ(must("ip -n theirs route show default"), before);
  EXPECT_EQ(Program::mb("repair --check").status, 0);
  Program::must_mb("rm c1");
  EXPECT_EQ(must("ip -n theirs route show default"), before);
}

TEST_F(NetnsOption, TwoAttachmentsOfOneNamespaceDoNotDisturbEachOther) {
  Program::must_mb("network create n1 && minibridge network create n2");
  Program::must_mb("create --netns /run/netns/theirs --network n1 c1");
  Program::must_mb("create --netns /run/netns/theirs --network n2 c2");
  EXPECT_EQ(Program::inspect("c2")["networks"][0]["interface"], "eth1");
  Program::must_mb("rm c1");
  EXPECT_THAT(must("ip -n theirs -br link"), testing::AllOf(Not(HasSubstr("eth0@")), HasSubstr("eth1@")));
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

TEST_F(NetnsOption, ANamespaceThatIsGoneCanBeRemoved) {
  Program::must_mb("create --netns /run/netns/theirs -p 8080:80 c1");
  must("ip netns del theirs");
  Program::must_mb("rm c1");
  EXPECT_EQ(Program::mb("repair --check").status, 0);
  EXPECT_EQ(must("iptables-legacy-save | grep -c 8080 || true"), "0\n");
}

TEST_F(NetnsOption, APathThatIsNoNamespaceIsRefused) {
  const auto before = snapshot_host();
  for (const std::string path : {"/run/netns/nowhere", "/etc/passwd", "/run", "/proc/self/ns/mnt"}) {
    const auto refused = Program::mb("create --netns " + path + " c1");
    EXPECT_NE(refused.status, 0) << path;
    EXPECT_THAT(refused.err, HasSubstr("'" + path + "'"));
  }
  EXPECT_EQ(snapshot_host(), before);
}

TEST_F(NetnsOption, TheHostsOwnNamespaceIsRefused) {
  must("touch /run/netns/host && mount --bind /proc/self/ns/net /run/netns/host");
  const auto before = snapshot_host();
  EXPECT_NE(Program::mb("create --netns /run/netns/host c1").status, 0);
  EXPECT_EQ(snapshot_host(), before);
  must("umount /run/netns/host");
}

}  // namespace
}  // namespace mb::test
