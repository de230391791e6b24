// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the host looks like outside of what is ours: routes, addresses, listeners, flows, features.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "tests/integration/kernel_fixture.h"

namespace mb::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

class KernelHost : public KernelTest {};

auto is_route(const char* destination, const char* interface) {
  return AllOf(Field(&Route::destination, Subnet::parse(destination)), Field(&Route::interface, interface));
}

auto is_listener(const char* address, std::uint16_t port) {
  return AllOf(Field(&Listener::address, IpAddress::parse(address)), Field(&Listener::port, port));
}

netns::UniqueFd bound(int family, int type, std::uint16_t port, bool only_v6 = false) {
  netns::UniqueFd socket(::socket(family, type | SOCK_CLOEXEC, 0));
  const int on = only_v6 ? 1 : 0;
  if (family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* address =
      family == AF_INET6 ? reinterpret_cast<const sockaddr*>(&v6) : reinterpret_cast<const sockaddr*>(&v4);
  const auto size = static_cast<socklen_t>(family == AF_INET6 ? sizeof v6 : sizeof v4);
  if (::bind(socket.get(), address, size) != 0) throw std::system_error(errno, std::generic_category(), "bind");
  if (type == SOCK_STREAM) ::listen(socket.get(), 1);
  return socket;
}

TEST_F(KernelHost, RoutesOfAllTablesAreListedButNotDefaultRoutes) {
  must(
      "ip route add default via 198.51.100.9; ip route add 10.9.0.0/16 via 198.51.100.9 table 77; "
      "ip route add unreachable 10.8.0.0/16");
  const auto routes = kernel_->routes(Family::v4);
  EXPECT_THAT(routes, Contains(is_route("198.51.100.0/24", "up0")));
  EXPECT_THAT(routes, Contains(is_route("10.9.0.0/16", "up0")));
  EXPECT_THAT(routes, Contains(is_route("10.8.0.0/16", "")));
  EXPECT_THAT(routes, Not(Contains(Field(&Route::destination, Subnet::parse("0.0.0.0/0")))));
}

TEST_F(KernelHost, RoutesOfIPv6AreListedByThemselves) {
  must("ip route add fd00:1::/64 dev up0");
  EXPECT_THAT(kernel_->routes(Family::v6), Contains(is_route("fd00:1::/64", "up0")));
  EXPECT_THAT(kernel_->routes(Family::v4), Not(Contains(Field(&Route::destination, Subnet::parse("fd00:1::/64")))));
}

TEST_F(KernelHost, LocalAddressesAreThoseOfAllLinks) {
  EXPECT_THAT(kernel_->local_addresses(Family::v4),
              UnorderedElementsAre(IpAddress::parse("127.0.0.1"), IpAddress::parse("198.51.100.1")));
  EXPECT_THAT(kernel_->local_addresses(Family::v6), Contains(IpAddress::parse("::1")));
}

TEST_F(KernelHost, ListenersOfTcpAreFoundWithTheirHolder) {
  const auto socket = bound(AF_INET, SOCK_STREAM, 8080);
  const auto found = kernel_->listeners(Protocol::tcp);
  ASSERT_THAT(found, ElementsAre(is_listener("127.0.0.1", 8080)));
  std::string own_name;
  std::getline(std::ifstream("/proc/self/comm") >> std::ws, own_name);
  EXPECT_EQ(kernel_->holder_of(found.front()), own_name + " (pid " + std::to_string(::getpid()) + ")");
  EXPECT_THAT(kernel_->listeners(Protocol::udp), IsEmpty());
}

TEST_F(KernelHost, ASocketOfIPv6OnAllAddressesTakesIPv4TooUnlessItSaysOtherwise) {
  const auto both = bound(AF_INET6, SOCK_STREAM, 8080);
  const auto only = bound(AF_INET6, SOCK_STREAM, 8081, true);
  EXPECT_THAT(kernel_->listeners(Protocol::tcp),
              UnorderedElementsAre(is_listener("::", 8080), is_listener("0.0.0.0", 8080), is_listener("::", 8081)));
}

TEST_F(KernelHost, BoundUdpSocketsCountAndConnectedOnesDoNot) {
  const auto server = bound(AF_INET, SOCK_DGRAM, 5353);
  const auto client = bound(AF_INET, SOCK_DGRAM, 5354);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(5353);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  EXPECT_THAT(kernel_->listeners(Protocol::udp), ElementsAre(is_listener("127.0.0.1", 5353)));
  EXPECT_THAT(kernel_->listeners(Protocol::sctp), IsEmpty());
}

TEST_F(KernelHost, NobodyHoldsASocketThatIsGone) {
  EXPECT_EQ(kernel_->holder_of({Protocol::tcp, {}, 80, 0}), std::nullopt);
}

TEST_F(KernelHost, TheRangeOfEphemeralPortsIsThatOfTheSysctl) {
  must("sysctl -qw net.ipv4.ip_local_port_range='20000 20999'");
  EXPECT_EQ(kernel_->ephemeral_ports(), (PortRange{20000, 20999}));
}

TEST_F(KernelHost, ANamespaceOfOthersIsInspectedWithoutTouchingIt) {
  const auto theirs = netns::Namespace::create();
  const std::string path = "/proc/self/fd/" + std::to_string(theirs.fd());
  auto found = kernel_->inspect_namespace(path);
  EXPECT_THAT(found.links, ElementsAre("lo"));
  EXPECT_TRUE(found.default_routes.empty());
  must(theirs,
       "ip link add eth0 type bridge; ip address add 10.0.0.2/24 dev eth0; ip link set eth0 up; "
       "ip route add default via 10.0.0.1");
  found = kernel_->inspect_namespace(path);
  EXPECT_THAT(found.links, UnorderedElementsAre("lo", "eth0"));
  EXPECT_EQ(found.default_routes, std::set{Family::v4});
}

TEST_F(KernelHost, SomethingThatIsNoNamespaceCannotBeInspected) {
  EXPECT_EQ(error_of([&] { kernel_->inspect_namespace("/nowhere"); }).error_number(), ENOENT);
}

TEST_F(KernelHost, TheCookieTellsNamespacesApart) {
  const auto mine = kernel_->namespace_cookie();
  EXPECT_EQ(mine, kernel_->namespace_cookie());
  EXPECT_NE(mine, netns::run_in(world_.outside(), [&] { return kernel_->namespace_cookie(); }));
}

TEST_F(KernelHost, TheLinkDirectoryNeedNotExistToBeUsable) {
  EXPECT_TRUE(kernel_->features().link_directory);
  EXPECT_FALSE(std::filesystem::exists(state_ + "/links"));
  std::ofstream(state_ + "/file").flush();
  EXPECT_FALSE(kernel::make_kernel({identity_, state_, state_ + "/file/links"})->features().link_directory);
}

// ---- flows

class KernelFlows : public KernelTest {
 protected:
  // Connection tracking works in a namespace from its first rule about states on.
  KernelFlows() {
    must("iptables-legacy -t nat -A PREROUTING -p udp --dport 5000 -j DNAT --to-destination 198.51.100.1:6000");
  }

  static PublishedPort published(std::uint16_t port, const char* address = "0.0.0.0") {
    return {IpAddress::parse(address), {port, port}, {port, port}, Protocol::udp};
  }

  Scope asking(const FlowQuery& query) const {
    Scope scope;
    scope.flows = {query};
    return scope;
  }

  void talk_from_outside() {
    UdpServer server(world_.host(), "198.51.100.1", 6000);
    ASSERT_TRUE(udp_talk(world_.outside(), "198.51.100.1", 5000).reached());
  }
};

TEST_F(KernelFlows, AFlowToAPublishedPortThatAnotherAnswersIsFoundAndDeleted) {
  talk_from_outside();
  const auto query = asking({published(5000), IpAddress::parse("172.18.0.2"), {}});
  const auto flows = kernel_->observe(query).flows;
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows.begin()->protocol, Protocol::udp);
  EXPECT_EQ(flows.begin()->source.str(), "198.51.100.9");
  EXPECT_EQ(flows.begin()->destination_port, 5000);
  EXPECT_EQ(flows.begin()->reply_source.str(), "198.51.100.1");
  apply(step::DeleteFlows{{*flows.begin()}});
  EXPECT_THAT(kernel_->observe(query).flows, IsEmpty());
  apply(step::DeleteFlows{{*flows.begin()}});
}

TEST_F(KernelFlows, AFlowThatTheRightOneAnswersStays) {
  talk_from_outside();
  EXPECT_THAT(kernel_->observe(asking({published(5000), IpAddress::parse("198.51.100.1"), {}})).flows, IsEmpty());
}

TEST_F(KernelFlows, AnotherPortAddressOrProtocolIsAnotherMatter) {
  talk_from_outside();
  const auto nobody = IpAddress::parse("172.18.0.2");
  EXPECT_THAT(kernel_->observe(asking({published(6000), nobody, {}})).flows, IsEmpty());
  EXPECT_THAT(kernel_->observe(asking({published(5000, "127.0.0.1"), nobody, {}})).flows, IsEmpty());
  auto tcp = published(5000);
  tcp.protocol = Protocol::tcp;
  EXPECT_THAT(kernel_->observe(asking({tcp, nobody, {}})).flows, IsEmpty());
}

TEST_F(KernelFlows, OfAPortThatIsNoMoreOnlyWhatTheFormerHolderAnswersIsFound) {
  talk_from_outside();
  const auto former = [&](const char* address) {
    return kernel_->observe(asking({published(5000), {}, IpAddress::parse(address)})).flows.size();
  };
  EXPECT_EQ(former("198.51.100.1"), 1U);
  EXPECT_EQ(former("172.18.0.2"), 0U);
}

TEST_F(KernelFlows, WhatTheHostForwardsToThatPortElsewhereIsNoConcernOfAPublishedPort) {
  must("sysctl -qw net.ipv4.ip_forward=1");
  const auto inside = World::add_neighbour("down0", "172.18.0.1/24", "172.18.0.2/24");
  must(inside, "ip route add default via 172.18.0.1");
  const UdpServer server(world_.outside(), "198.51.100.9", 6002);
  ASSERT_TRUE(udp_talk(inside, "198.51.100.9", 6002).reached());
  EXPECT_THAT(kernel_->observe(asking({published(6002), IpAddress::parse("172.18.0.2"), {}})).flows, IsEmpty());
}

TEST_F(KernelFlows, FlowsOfAnAddressThatIsGoneAreFoundFromEitherEnd) {
  talk_from_outside();
  EXPECT_EQ(kernel_->observe(asking({{}, {}, IpAddress::parse("198.51.100.9")})).flows.size(), 1U);
  EXPECT_EQ(kernel_->observe(asking({{}, {}, IpAddress::parse("198.51.100.1")})).flows.size(), 1U);
  EXPECT_THAT(kernel_->observe(asking({{}, {}, IpAddress::parse("198.51.100.2")})).flows, IsEmpty());
}

TEST_F(KernelFlows, SeveralQueriesAreAnsweredTogether) {
  talk_from_outside();
  Scope scope;
  scope.flows = {{published(4999), {}, {}}, {published(5000), {}, {}}, {{}, {}, IpAddress::parse("10.0.0.1")}};
  EXPECT_EQ(kernel_->observe(scope).flows.size(), 1U);
}

TEST_F(KernelFlows, TheKernelFiltersByPort) {
  UdpServer server(world_.host(), "198.51.100.1", 6001);
  talk_from_outside();
  ASSERT_TRUE(udp_talk(world_.outside(), "198.51.100.1", 6001).reached());
  const auto flows = kernel_->observe(asking({published(6001), {}, {}})).flows;
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows.begin()->destination_port, 6001);
}

}  // namespace
}  // namespace mb::test
