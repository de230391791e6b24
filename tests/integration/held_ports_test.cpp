// SPDX-License-Identifier: GPL-2.0-or-later
//
// The host ports of a running container are nobody else's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>

#include <chrono>
#include <functional>
#include <system_error>

#include "tests/support/program.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Whether a server of somebody else could have the port.
bool can_listen(const std::string& address, std::uint16_t port) {
  try {
    const TcpServer server(netns::Namespace::current(), address, port);
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

bool can_bind_udp(const std::string& address, std::uint16_t port) {
  try {
    const UdpServer server(netns::Namespace::current(), address, port);
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

// A server whose socket is tied to an interface; no descriptor when it cannot have the port.
netns::UniqueFd listen_tied_to(const std::string& interface, std::uint16_t port) {
  netns::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  const auto size = static_cast<socklen_t>(interface.size());
  const bool listens = ::setsockopt(socket.get(), SOL_SOCKET, SO_BINDTODEVICE, interface.c_str(), size) == 0 &&
                       ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                       ::listen(socket.get(), 1) == 0;
  return listens ? std::move(socket) : netns::UniqueFd();
}

// The supervisor follows what is published a moment later.
bool comes_true(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
  }
  return true;
}

struct HeldPorts : testing::Test {
  World world;
  Program program;
};

TEST_F(HeldPorts, NoProgramGetsAPublishedPortAndTheContainerAnswersOnIt) {
  Program::must_mb("run -d --name web -p 8080:80 -p 127.0.0.1:8081:80 -p 5300:53/udp");
  EXPECT_FALSE(can_listen("0.0.0.0", 8080));
  EXPECT_FALSE(can_listen("198.51.100.1", 8080));
  EXPECT_FALSE(can_listen("127.0.0.1", 8081));
  EXPECT_TRUE(can_listen("198.51.100.1", 8081)) << "it is published on another address only";
  EXPECT_FALSE(can_bind_udp("0.0.0.0", 5300));
  EXPECT_THAT(tcp_talk(world.outside(), "198.51.100.1", 8080).reply, StartsWith("source{ip: 198.51.100.9,"));
  EXPECT_TRUE(tcp_talk(world.host(), "127.0.0.1", 8080).reached());
  EXPECT_TRUE(tcp_talk(world.host(), "127.0.0.1", 8081).reached());
  EXPECT_TRUE(udp_talk(world.outside(), "198.51.100.1", 5300).reached());
  Program::must_mb("stop -t 0 web");
  EXPECT_TRUE(can_listen("0.0.0.0", 8080));
  EXPECT_TRUE(can_bind_udp("0.0.0.0", 5300));
  Program::must_mb("start web");
  EXPECT_FALSE(can_listen("0.0.0.0", 8080));
}

TEST_F(HeldPorts, WhoComesByAWayThatIsNotPublishedFindsNobody) {
  Program::must_mb("run -d --name web -p 8080:80 -p 5300:53/udp");
  must("iptables-legacy -t nat -F MINIBRIDGE-PUBLISH");
  EXPECT_EQ(tcp_talk(world.outside(), "198.51.100.1", 8080).kind, test::Outcome::kRefused);
  EXPECT_EQ(udp_talk(world.outside(), "198.51.100.1", 5300).kind, test::Outcome::kRefused);
  EXPECT_EQ(udp_talk(world.host(), "127.0.0.1", 5300).kind, test::Outcome::kRefused);
}

// What docs/security.md says of it: the sockets that hold a port are tied to the container's own link, so that two of them do
// not meet while it moves, and one tied to another link does not meet them either.
TEST_F(HeldPorts, WhoTiesItsSocketToAnInterfaceGetsThePortAndNothingByIt) {
  Program::must_mb("run -d --name web -p 8080:80");
  const auto theirs = listen_tied_to("up0", 8080);
  ASSERT_TRUE(theirs);
  EXPECT_THAT(tcp_talk(world.outside(), "198.51.100.1", 8080).reply, StartsWith("source{ip: 198.51.100.9,"));
  EXPECT_LT(::accept(theirs.get(), nullptr, nullptr), 0) << "nobody has come to it";
}

TEST_F(HeldPorts, TheyFollowWhatIsPublishedWhileItRuns) {
  Program::must_mb("run -d --name web -p 80 -- sleep 1000");
  Program::must_mb("publish web 8080:80 5300:53/udp");
  EXPECT_TRUE(comes_true([] { return !can_listen("0.0.0.0", 8080) && !can_bind_udp("0.0.0.0", 5300); }));
  Program::must_mb("unpublish web 8080:80 5300:53/udp");
  EXPECT_TRUE(comes_true([] { return can_listen("0.0.0.0", 8080) && can_bind_udp("0.0.0.0", 5300); }));
}

TEST_F(HeldPorts, TheyMoveWithAPortThatMoves) {
  Program::must_mb("run -d --name old -p 8080:80 -p 5300:53/udp");
  Program::must_mb("run -d --name new -p 80 -- sleep 1000");
  Program::must_mb("publish --move new 8080:80 5300:53/udp");
  Program::must_mb("stop -t 0 old");
  EXPECT_TRUE(comes_true([] { return !can_listen("0.0.0.0", 8080) && !can_bind_udp("0.0.0.0", 5300); }));
  Program::must_mb("rm -f new");
  EXPECT_TRUE(can_listen("0.0.0.0", 8080));
}

TEST_F(HeldPorts, APortThatWasJustGivenBackCanBePublishedAgainAtOnce) {
  Program::must_mb("run -d --name old -p 8080:80 -p 5300:53/udp");
  for (int i = 0; i < 3; ++i) {
    Program::must_mb("unpublish old 8080:80 5300:53/udp");
    Program::must_mb("publish old 8080:80 5300:53/udp");
  }
  Program::must_mb("unpublish old 8080:80 5300:53/udp");
  Program::must_mb("run -d --name new -p 8080:80 -p 5300:53/udp");
  EXPECT_TRUE(comes_true([] { return !can_listen("0.0.0.0", 8080) && !can_bind_udp("0.0.0.0", 5300); }));
}

TEST_F(HeldPorts, SoItIsWithIpv6) {
  Program::must_mb("network create --ipv6 n6");
  Program::must_mb("run -d --name web --network n6 -p 8080:80 -p 5300:53/udp");
  EXPECT_FALSE(can_listen("::", 8080));
  EXPECT_FALSE(can_listen("::1", 8080));
  EXPECT_FALSE(can_bind_udp("::", 5300));
  EXPECT_FALSE(can_bind_udp("::1", 5300));
  // Where it is not published.
  EXPECT_EQ(tcp_talk(world.host(), "::1", 8080).kind, test::Outcome::kRefused);
  EXPECT_EQ(udp_talk(world.host(), "::1", 5300).kind, test::Outcome::kRefused);
}

TEST_F(HeldPorts, TheyAreFreeAsSoonAsTheSupervisorIsKilled) {
  Program::must_mb("run -d --name web -p 8080:80");
  ASSERT_FALSE(can_listen("0.0.0.0", 8080));
  const pid_t supervisor = Program::inspect("web")["supervisor_pid"];
  ASSERT_EQ(::kill(supervisor, SIGKILL), 0);
  EXPECT_TRUE(comes_true([] { return can_listen("0.0.0.0", 8080); }));
}

TEST_F(HeldPorts, TheyAreHeldAgainWhenTheContainerIsInANetworkAgain) {
  Program::must_mb("network create n1 && minibridge run -d --name web --network n1 -p 8080:80");
  Program::must_mb("network disconnect n1 web");
  EXPECT_TRUE(comes_true([] { return can_listen("0.0.0.0", 8080); }));
  Program::must_mb("network connect n1 web");
  EXPECT_TRUE(comes_true([] { return !can_listen("0.0.0.0", 8080); }));
  EXPECT_TRUE(tcp_talk(world.outside(), "198.51.100.1", 8080).reached());
}

TEST_F(HeldPorts, AContainerWithoutAProcessHasNobodyToHoldThem) {
  Program::must_mb("create -p 8080:80 web");
  EXPECT_TRUE(can_listen("0.0.0.0", 8080));
}

TEST_F(HeldPorts, PortOfNamesIsLeftToTheNameServers) {
  Program::must_mb("network create n1 && minibridge network create n2");
  Program::must_mb("run -d --name dns --network n1 -p 53:53/udp -p 53:53");
  Program::must_mb("run -d --name other --network n2 -- sleep 1000");  // starts a second server
  EXPECT_TRUE(udp_talk(world.outside(), "198.51.100.1", 53).reached());
}

TEST_F(HeldPorts, OfARangeTheOthersAreHeld) {
  Program::must_mb("network create n1 && minibridge run -d --name dns --network n1 -p 50-60:50-60 -- sleep 1000");
  EXPECT_FALSE(can_listen("0.0.0.0", 52));
  EXPECT_TRUE(can_listen("198.51.100.1", 53));
  EXPECT_FALSE(can_listen("0.0.0.0", 54));
}

TEST_F(HeldPorts, SoAreRangesUpToAWidth) {
  Program::must_mb(
      "run -d --name web -p 9000-9999:9000-9999 -p 20000-25000:20000-25000 -- sh -c 'ulimit -n; sleep 1000'");
  EXPECT_FALSE(can_listen("0.0.0.0", 9000));
  EXPECT_FALSE(can_listen("0.0.0.0", 9999));
  EXPECT_TRUE(can_listen("0.0.0.0", 20000)) << "wider than what is held";
  EXPECT_TRUE(comes_true([] { return Program::must_mb("logs web") == must("ulimit -n"); }))
      << "the supervisor's own limit is not the container's";
}

TEST_F(HeldPorts, ExposedPortsArePublishedAndServed) {
  Program::must_mb("run -d --name web -P --expose 80 --expose 7000-7001/udp");
  const auto ports = Program::json("port web");
  ASSERT_EQ(ports.size(), 2U);
  EXPECT_TRUE(tcp_talk(world.outside(), "198.51.100.1", ports[0]["host_port"]).reached());
  EXPECT_EQ(ports[1]["count"], 2);
  EXPECT_TRUE(udp_talk(world.outside(), "198.51.100.1", ports[1]["host_port"]).reached());
  EXPECT_EQ(Program::inspect("web")["exposed"], (std::vector<std::string>{"80/tcp", "7000-7001/udp"}));
  Program::must_mb("run -d --name twice -p 90 -P --expose 90 --expose 90/udp");
  EXPECT_EQ(Program::json("port twice").size(), 2U) << "what --publish says is published once";
  Program::must_mb("run -d --name other --expose 90");
  EXPECT_TRUE(tcp_talk(world.host(), Program::ip_of("other"), 90).reached());
  EXPECT_THAT(Program::mb("run -P -- true").err, HasSubstr("--publish-all has nothing to publish"));
  EXPECT_THAT(Program::mb("run --expose 80:80 -- true").err, HasSubstr("'80:80' is not a port to expose"));
}

}  // namespace
}  // namespace mb::test
