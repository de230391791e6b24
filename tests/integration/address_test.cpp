// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which address a container gets, through the program, as its interface has it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/support/program.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::HasSubstr;

struct Addresses : testing::Test {
  static std::string create(const std::string& name, const std::string& options = "--network n1") {
    Program::must_mb("create " + options + " " + name);
    const auto ip = Program::ip_of(name);
    EXPECT_THAT(must(Program::namespace_of(name), "ip -o -4 address show dev eth0"), HasSubstr(" " + ip + "/"));
    return ip;
  }

  World world;
  Program program;
};

TEST_F(Addresses, AreGivenInOrderBeginningAfterTheGateway) {
  Program::must_mb("network create --subnet 10.20.0.0/24 n1");
  EXPECT_EQ(create("c1"), "10.20.0.2");
  EXPECT_EQ(create("c2"), "10.20.0.3");
  EXPECT_EQ(create("c3"), "10.20.0.4");
}

TEST_F(Addresses, AreNotReusedAtOnce) {
  Program::must_mb("network create --subnet 10.20.0.0/24 n1");
  create("c1");
  Program::must_mb("rm c1");
  EXPECT_EQ(create("c2"), "10.20.0.3");
}

TEST_F(Addresses, TheOneThatRestedLongestComesBackFirst) {
  Program::must_mb("network create --subnet 10.20.0.0/29 n1");
  for (const std::string name : {"c2", "c3", "c4", "c5", "c6"}) create(name);
  Program::must_mb("rm c4");
  Program::must_mb("rm c2");
  Program::must_mb("rm c6");
  EXPECT_EQ(create("a"), "10.20.0.4");
  EXPECT_EQ(create("b"), "10.20.0.2");
  EXPECT_EQ(create("c"), "10.20.0.6");
}

TEST_F(Addresses, OfASmallNetworkAreUsedUpToTheLastAndThenRefused) {
  Program::must_mb("network create --subnet 10.20.0.0/29 n1");
  std::set<std::string> given;
  for (const std::string name : {"c1", "c2", "c3", "c4", "c5"}) given.insert(create(name));
  EXPECT_EQ(given, (std::set<std::string>{"10.20.0.2", "10.20.0.3", "10.20.0.4", "10.20.0.5", "10.20.0.6"}));
  const auto refused = Program::mb("create --network n1 c6");
  EXPECT_EQ(refused.status, 4);
  EXPECT_THAT(refused.err, HasSubstr("network 'n1' has no free address in 10.20.0.0/29"));
  Program::must_mb("rm c3");
  EXPECT_EQ(create("c6"), "10.20.0.4");
}

TEST_F(Addresses, ATransactionThatIsTooLargeTakesNone) {
  Program::must_mb("network create --subnet 10.20.0.0/29 n1");
  EXPECT_EQ(Program::mb("create --network n1 a b c d e f").status, 4);
  EXPECT_EQ(create("c1"), "10.20.0.2");
}

TEST_F(Addresses, AFixedOneIsSkippedByTheOthers) {
  Program::must_mb("network create --subnet 10.20.0.0/29 n1");
  EXPECT_EQ(create("c1", "--network n1 --ip 10.20.0.3"), "10.20.0.3");
  EXPECT_EQ(create("c2"), "10.20.0.2");
  EXPECT_EQ(create("c3"), "10.20.0.4");
  const auto refused = Program::mb("create --network n1 --ip 10.20.0.3 c4");
  EXPECT_EQ(refused.status, 4);
  EXPECT_THAT(refused.err, HasSubstr("container 'c1' has it"));
}

TEST_F(Addresses, ComeFromTheRangeAndNeverFromTheReservedOnes) {
  Program::must_mb(
      "network create --subnet 10.20.0.0/24 --gateway 10.20.0.254 --ip-range 10.20.0.64/30 "
      "--aux-address printer=10.20.0.65 n1");
  EXPECT_EQ(create("c1"), "10.20.0.64");
  EXPECT_EQ(create("c2"), "10.20.0.66");
  EXPECT_EQ(create("c3"), "10.20.0.67");
  EXPECT_EQ(Program::mb("create --network n1 c4").status, 4);
  EXPECT_EQ(create("c5", "--network n1 --ip 10.20.0.7"), "10.20.0.7");
  EXPECT_EQ(Program::mb("create --network n1 --ip 10.20.0.65 c6").status, 2);
}

TEST_F(Addresses, DefaultNetworksSkipWhateverTheHostHasARouteTo) {
  must("ip route add 172.18.5.0/24 via 198.51.100.9 && ip route add 172.20.0.0/14 via 198.51.100.9 table 77");
  const auto subnet_of = [](const std::string& name) {
    Program::must_mb("network create " + name);
    return Program::inspect(name)["subnet"].get<std::string>();
  };
  EXPECT_EQ(subnet_of("n1"), "172.17.0.0/16");
  EXPECT_EQ(subnet_of("n2"), "172.19.0.0/16");
  EXPECT_EQ(subnet_of("n3"), "172.24.0.0/16");
}

// ------------------------------------------------------------------ stopped and started

TEST_F(Addresses, AStoppedContainerFreesItsAddressAndPortsAndStartTakesThemAgain) {
  Program::must_mb("network create --subnet 10.20.0.0/29 n1");
  Program::must_mb("run -d --network n1 -p 8080:80 --name web");
  EXPECT_EQ(Program::ip_of("web"), "10.20.0.2");
  Program::must_mb("stop -t 5 web");
  EXPECT_EQ(Program::ip_of("web"), "");
  EXPECT_TRUE(Program::inspect("web")["ports"].empty());
  EXPECT_EQ(must("iptables-legacy-save | grep -c 8080 || true"), "0\n");

  Program::must_mb("create --network n1 -p 8080:80 other");
  const auto refused = Program::mb("start web");
  EXPECT_EQ(refused.status, 4);
  EXPECT_THAT(refused.err, HasSubstr("container 'other' has published"));
  Program::must_mb("rm other");
  Program::must_mb("start web");
  EXPECT_NE(Program::ip_of("web"), "");
  EXPECT_EQ(Program::json("port web")[0]["host_port"], 8080);
}

TEST_F(Addresses, AStoppedContainerKeepsAFixedAddress) {
  Program::must_mb("network create --subnet 10.20.0.0/29 n1");
  Program::must_mb("run -d --network n1 --ip 10.20.0.4 --name web -- sleep 600");
  Program::must_mb("stop -t 0 web");
  EXPECT_EQ(Program::ip_of("web"), "10.20.0.4");
  EXPECT_EQ(Program::mb("create --network n1 --ip 10.20.0.4 other").status, 4);
  for (const std::string name : {"a", "b", "c", "d"}) EXPECT_NE(create(name), "10.20.0.4");
  EXPECT_EQ(Program::mb("create --network n1 e").status, 4);
  Program::must_mb("start web");
  EXPECT_EQ(Program::ip_of("web"), "10.20.0.4");
}

TEST_F(Addresses, APortThatTheSystemChoseIsChosenAnewAndShown) {
  Program::must_mb("run -d -p 80 --name web");
  const int port = Program::json("port web")[0]["host_port"].get<int>();
  const auto range = must("cat /proc/sys/net/ipv4/ip_local_port_range");
  EXPECT_GE(port, std::stoi(range));
  EXPECT_LE(port, std::stoi(range.substr(range.find('\t'))));
  EXPECT_THAT(must("curl -sS --max-time 10 localhost:" + std::to_string(port)), HasSubstr("source{ip: 172.17.0.1, "));
}

// ------------------------------------------------------------------ what a container finds

TEST_F(Addresses, TheContainersFilesSayWhoItIs) {
  Program::must_mb("network create --subnet 10.20.0.0/24 n1");
  const auto said = Program::must_mb(
      "run --network n1 --name web -h www --dns 192.0.2.53 --dns-search example.org --add-host db:10.0.0.5 -- "
      "sh -c 'cat /etc/hosts; echo --; cat /etc/resolv.conf; echo --; cat /etc/hostname; hostname; getent hosts db "
      "www'");
  EXPECT_THAT(said, HasSubstr("127.0.0.1\tlocalhost"));
  EXPECT_THAT(said, HasSubstr("10.0.0.5\tdb\n"));
  EXPECT_THAT(said, HasSubstr("10.20.0.2\twww"));
  EXPECT_THAT(said, HasSubstr("nameserver 192.0.2.53\n"));
  EXPECT_THAT(said, HasSubstr("search example.org\n"));
  EXPECT_THAT(said, HasSubstr("--\nwww\nwww\n"));
}

TEST_F(Addresses, ResolversOnTheHostsLoopbackAreNotPassedOn) {
  // Bound over the host's file, in this test's own mount namespace.
  const auto file = program.write("resolv.conf", "nameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch lan\n");
  must("mount --bind " + file + " $(readlink -f /etc/resolv.conf)");
  const auto said = Program::must_mb("run -- cat /etc/resolv.conf");
  EXPECT_THAT(said, testing::Not(HasSubstr("127.0.0.53")));
  EXPECT_THAT(said, HasSubstr("nameserver 192.0.2.1"));
  must("umount $(readlink -f /etc/resolv.conf)");
}

TEST_F(Addresses, OtherToolsFindTheNamespaceByName) {
  Program::must_mb("create c1");
  Program::must_mb("run -d -p 8080:80 --name web");
  EXPECT_THAT(must("ip netns list"), testing::AllOf(HasSubstr("mb-c1"), HasSubstr("mb-web")));
  EXPECT_THAT(must("ip netns exec mb-c1 ip -o -4 address show dev eth0"), HasSubstr(" 172.17.0.2/16 "));
  EXPECT_THAT(must("ip netns exec mb-web ip -o -4 address show dev eth0"), HasSubstr(" 172.17.0.3/16 "));
  EXPECT_THAT(must("ip -n mb-web route"), HasSubstr("default via 172.17.0.1 dev eth0"));
  EXPECT_THAT(Program::must_mb("exec c1 -- sh -c 'ip -o -4 address show dev eth0; hostname'"),
              HasSubstr("172.17.0.2/16"));
  Program::must_mb("rm -f c1 web");
  EXPECT_EQ(must("ip netns list"), "");
}

}  // namespace
}  // namespace mb::test
