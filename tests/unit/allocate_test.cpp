// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/allocate.h"

#include <fmt/format.h>

#include "src/plan/resolve.h"
#include "tests/support/fake_state.h"
#include "tests/unit/make.h"

namespace mb::plan {
namespace {

using test::container;
using test::endpoint;
using test::error_of;
using test::FakeState;
using test::ip;
using test::network;
using test::port;

void add(FakeState& state, const Container& container) { state.write({{}, {}, {{std::nullopt, container}}}); }
void remove(FakeState& state, const Container& container) { state.write({{}, {}, {{container, std::nullopt}}}); }

IpAddress next(const FakeState& state, const Network& network) {
  return allocate_address(network, Family::v4, state).address;
}

// Gives the next address to a new container.
Container give(FakeState& state, const Network& network, const std::string& name) {
  const auto made = container(name, {endpoint(network, next(state, network).str())});
  add(state, made);
  return made;
}

TEST(AllocateAddress, BeginsAfterTheGateway) {
  const FakeState state;
  EXPECT_EQ(next(state, network("n", "172.18.0.0/16")), ip("172.18.0.2"));
}

TEST(AllocateAddress, GoesOnEvenWhenEarlierOnesAreFree) {
  FakeState state;
  const auto n = network("n", "172.18.0.0/16");
  const auto first = give(state, n, "a");
  give(state, n, "b");
  remove(state, first);
  EXPECT_EQ(next(state, n), ip("172.18.0.4"));
}

TEST(AllocateAddress, SkipsGatewayReservedAndFixed) {
  FakeState state;
  auto n = network("n", "10.0.0.0/24");
  n.pools[0].gateway = ip("10.0.0.2");
  n.pools[0].reserved = {ip("10.0.0.3")};
  auto fixed = container("fixed", {endpoint(n, "10.0.0.1")});
  fixed.endpoints[0].addresses[0].fixed = true;
  add(state, fixed);
  EXPECT_EQ(next(state, n), ip("10.0.0.4"));
}

TEST(AllocateAddress, StaysInsideTheRange) {
  FakeState state;
  auto n = network("n", "10.0.0.0/24");
  n.pools[0].range = Subnet::parse("10.0.0.64/31");
  EXPECT_EQ(give(state, n, "a").endpoints[0].addresses[0].address, ip("10.0.0.64"));
  EXPECT_EQ(give(state, n, "b").endpoints[0].addresses[0].address, ip("10.0.0.65"));
  EXPECT_EQ(error_of([&] { next(state, n); }), "conflict: network 'n' has no free address in 10.0.0.64/31");
}

TEST(AllocateAddress, NeverTheFirstOrLastOfTheSubnet) {
  FakeState state;
  const auto n = network("n", "10.0.0.4/30");
  EXPECT_EQ(give(state, n, "only").endpoints[0].addresses[0].address, ip("10.0.0.6"));
  EXPECT_EQ(error_of([&] { next(state, n); }), "conflict: network 'n' has no free address in 10.0.0.4/30");
}

TEST(AllocateAddress, AWholeSubnetGives253DistinctAddresses) {
  FakeState state;
  const auto n = network("n", "10.0.0.0/24");
  std::set<IpAddress> given;
  for (int i = 0; i < 253; ++i) given.insert(*give(state, n, fmt::format("c{}", i)).endpoints[0].addresses[0].address);
  EXPECT_EQ(given.size(), 253u);
  EXPECT_EQ(*given.begin(), ip("10.0.0.2"));
  EXPECT_EQ(*given.rbegin(), ip("10.0.0.254"));
  EXPECT_EQ(error_of([&] { next(state, n); }), "conflict: network 'n' has no free address in 10.0.0.0/24");
}

TEST(AllocateAddress, ReusesTheLeastRecentlyReleased) {
  FakeState state;
  const auto n = network("n", "10.0.0.0/29");
  std::vector<Container> all;
  for (const auto* name : {"a", "b", "c", "d", "e"}) all.push_back(give(state, n, name));
  remove(state, all[3]);  // .5
  remove(state, all[0]);  // .2
  EXPECT_EQ(next(state, n), ip("10.0.0.5"));
  give(state, n, "f");
  EXPECT_EQ(next(state, n), ip("10.0.0.2"));
}

TEST(AllocateAddress, AReleasedAddressOutsideTheRangeIsNotGiven) {
  FakeState state;
  auto n = network("n", "10.0.0.0/24");
  n.pools[0].range = Subnet::parse("10.0.0.64/32");
  auto fixed = container("fixed", {endpoint(n, "10.0.0.9")});
  fixed.endpoints[0].addresses[0].fixed = true;
  add(state, fixed);
  remove(state, fixed);
  give(state, n, "a");
  EXPECT_EQ(error_of([&] { next(state, n); }), "conflict: network 'n' has no free address in 10.0.0.64/32");
}

TEST(AllocateAddress, OfAFamilyThatTheNetworkLacks) {
  const FakeState state;
  EXPECT_EQ(error_of([&] { allocate_address(network("n", "10.0.0.0/24"), Family::v6, state); }),
            "usage: network 'n' has no IPv6 addresses");
}

TEST(FixedAddress, IsRefusedForItsReason) {
  FakeState state;
  auto n = network("n", "10.0.0.0/24");
  n.pools[0].reserved = {ip("10.0.0.3")};
  add(state, container("web", {endpoint(n, "10.0.0.9")}));
  const auto refusal = [&](std::string_view address) {
    return error_of([&] { check_fixed_address(n, ip(address), state); });
  };
  const std::string cannot = " cannot be a container's address in network 'n': ";
  EXPECT_EQ(refusal("10.0.1.9"), "usage: 10.0.1.9" + cannot + "it is outside the subnet");
  EXPECT_EQ(refusal("10.0.0.1"), "usage: 10.0.0.1" + cannot + "it is the gateway's");
  EXPECT_EQ(refusal("10.0.0.0"), "usage: 10.0.0.0" + cannot + "it is the network's own");
  EXPECT_EQ(refusal("10.0.0.255"), "usage: 10.0.0.255" + cannot + "it is the broadcast address");
  EXPECT_EQ(refusal("10.0.0.3"), "usage: 10.0.0.3" + cannot + "it is reserved");
  EXPECT_EQ(refusal("10.0.0.9"), "conflict: address 10.0.0.9 is taken: container 'web' has it");
  EXPECT_EQ(refusal("fd00::2"), "usage: network 'n' has no IPv6 addresses");
  EXPECT_EQ(refusal("10.0.0.10"), "(no error)");
}

TEST(FixedAddress, Ipv6HasNoBroadcastAddress) {
  AddressPool pool{Subnet::parse("fd00::/64"), ip("fd00::1"), {}, {}};
  EXPECT_EQ(unusable(pool, ip("fd00::")), "it is the network's own");
  EXPECT_EQ(unusable(pool, ip("fd00::ffff:ffff:ffff:ffff")), "");
}

TEST(AllocateSubnet, GivesThirtyOneThenNone) {
  std::vector<Network> networks;
  std::vector<std::string> subnets;
  for (int i = 0; i < 31; ++i) {
    subnets.push_back(allocate_subnet(networks, {}).str());
    networks.push_back(network(fmt::format("n{}", i), subnets.back()));
  }
  EXPECT_EQ(subnets.front(), "172.17.0.0/16");
  EXPECT_EQ(subnets[14], "172.31.0.0/16");
  EXPECT_EQ(subnets[15], "192.168.0.0/20");
  EXPECT_EQ(subnets.back(), "192.168.240.0/20");
  EXPECT_EQ(error_of([&] { allocate_subnet(networks, {}); }),
            "conflict: every subnet of the address pools overlaps a network or a route of the host");
}

TEST(AllocateSubnet, SkipsWhatOverlaps) {
  EXPECT_EQ(allocate_subnet({network("n", "172.17.200.0/24")}, {}).str(), "172.18.0.0/16");
  EXPECT_EQ(allocate_subnet({}, {{Subnet::parse("172.16.0.0/14"), "tun0"}}).str(), "172.20.0.0/16");
  EXPECT_EQ(allocate_subnet({}, {{Subnet::parse("172.16.0.0/12"), ""}}).str(), "192.168.0.0/20");
}

TEST(CheckSubnet, NamesWhatItOverlaps) {
  const auto wanted = Subnet::parse("172.18.0.0/16");
  EXPECT_EQ(error_of([&] { check_subnet(wanted, {network("web", "172.18.5.0/24")}, {}); }),
            "conflict: subnet 172.18.0.0/16 overlaps 172.18.5.0/24 of network 'web'");
  EXPECT_EQ(error_of([&] {
              check_subnet(wanted, {}, {{Subnet::parse("172.16.0.0/12"), "tun0"}});
            }),
            "conflict: subnet 172.18.0.0/16 overlaps the host's route to 172.16.0.0/12 on tun0");
  EXPECT_EQ(error_of([&] {
              check_subnet(wanted, {}, {{Subnet::parse("172.18.1.1/32"), ""}});
            }),
            "conflict: subnet 172.18.0.0/16 overlaps the host's route to 172.18.1.1/32");
  EXPECT_EQ(error_of([&] { check_subnet(wanted, {network("web", "172.19.0.0/16")}, {}); }), "(no error)");
}

class SettlePort : public testing::Test {
 protected:
  SettlePort() {
    const auto n = network("n", "10.0.0.0/24");
    auto web = container("web", {endpoint(n, "10.0.0.9")});
    web.ports = {port("0.0.0.0", {8080, 8080}, {80, 80}), port("127.0.0.1", {9000, 9009}, {1, 10})};
    add(state_, web);
    facts_.local_addresses = {ip("192.0.2.1"), ip("192.0.2.2")};
    facts_.listeners = {{Protocol::tcp, ip("0.0.0.0"), 22, 5},
                        {Protocol::udp, ip("127.0.0.1"), 53, 6},
                        {Protocol::tcp, ip("192.0.2.1"), 443, 7}};
    facts_.holder_of = [](const Listener& listener) -> std::optional<std::string> {
      if (listener.inode == 5) return "sshd (pid 812)";
      return std::nullopt;
    };
  }

  std::string settle(std::string_view spec, const std::vector<PublishedPort>& own = {}, std::uint64_t draw = 0) const {
    const auto parsed = PublishSpec::parse(spec);
    const auto family = parsed.host_address ? parsed.host_address->family() : Family::v4;
    std::string settled;
    const auto error =
        error_of([&] { settled = settle_port(parsed, {family}, own, state_, facts_, draw).front().str(); });
    return settled.empty() ? error : settled;
  }

  FakeState state_;
  HostFacts facts_;
};

TEST_F(SettlePort, TakesAFreePort) {
  EXPECT_EQ(settle("8081:80"), "8081 -> 80/tcp");
  EXPECT_EQ(settle("192.0.2.2:443:443"), "192.0.2.2:443 -> 443/tcp");
}

TEST_F(SettlePort, NamesTheContainerThatHasIt) {
  EXPECT_EQ(settle("8080:81"),
            "conflict: cannot publish '8080 -> 81/tcp': container 'web' has published '8080 -> 80/tcp'");
  EXPECT_EQ(settle("127.0.0.1:8080:81"),
            "conflict: cannot publish '127.0.0.1:8080 -> 81/tcp': container 'web' has published '8080 -> 80/tcp'");
  EXPECT_EQ(settle("9009-9010:1-2"),
            "conflict: cannot publish '9009-9010 -> 1-2/tcp': container 'web' has published '127.0.0.1:9000-9009 -> "
            "1-10/tcp'");
  EXPECT_EQ(settle("192.0.2.1:9000:1"), "192.0.2.1:9000 -> 1/tcp");
}

TEST_F(SettlePort, NamesTheProcessThatListens) {
  EXPECT_EQ(settle("22:22"),
            "conflict: cannot publish '22 -> 22/tcp': sshd (pid 812) listens on 0.0.0.0:22/tcp of the host");
  EXPECT_EQ(settle("20-30:20-30"),
            "conflict: cannot publish '20-30 -> 20-30/tcp': sshd (pid 812) listens on 0.0.0.0:22/tcp of the host");
  EXPECT_EQ(settle("192.0.2.1:443:443"),
            "conflict: cannot publish '192.0.2.1:443 -> 443/tcp': a process listens on 192.0.2.1:443/tcp of the host");
  EXPECT_EQ(settle("53:53/udp"),
            "conflict: cannot publish '53 -> 53/udp': a process listens on 127.0.0.1:53/udp of the host");
}

TEST_F(SettlePort, ProtocolsDoNotCollide) {
  EXPECT_EQ(settle("8080:80/udp"), "8080 -> 80/udp");
  EXPECT_EQ(settle("53:53/tcp"), "53 -> 53/tcp");
  EXPECT_EQ(settle("22:22/sctp"), "22 -> 22/sctp");
}

TEST_F(SettlePort, OverlapWithItsOwnPorts) {
  EXPECT_EQ(settle("7001:1", {port("0.0.0.0", {7000, 7009}, {1, 10})}),
            "conflict: cannot publish '7001 -> 1/tcp': it overlaps '7000-7009 -> 1-10/tcp' of the same container");
}

TEST_F(SettlePort, ChoosesAFreePortByTheDraw) {
  EXPECT_EQ(settle("80"), "32768 -> 80/tcp");
  EXPECT_EQ(settle("80", {}, 5), "32773 -> 80/tcp");
  EXPECT_EQ(settle("80", {}, 5), "32773 -> 80/tcp");
  EXPECT_EQ(settle("80", {port("0.0.0.0", {32773, 32773}, {80, 80})}, 5), "32774 -> 80/tcp");
  EXPECT_EQ(settle("80", {}, 60999 - 32768 + 1), "32768 -> 80/tcp");
  EXPECT_EQ(settle("127.0.0.1::80"), "127.0.0.1:32768 -> 80/tcp");
}

TEST_F(SettlePort, ChoosesARangeInARow) {
  EXPECT_EQ(settle("80-89", {port("0.0.0.0", {32772, 32772}, {80, 80})}), "32773-32782 -> 80-89/tcp");
  facts_.ephemeral_ports = {40000, 40009};
  EXPECT_EQ(settle("80-89", {}, 77), "40000-40009 -> 80-89/tcp");
  EXPECT_EQ(settle("80-90"), "conflict: no 11 free host ports in a row in 40000-40009 for container port 80-90");
}

TEST_F(SettlePort, SaysWhenNoneIsFree) {
  facts_.ephemeral_ports = {8080, 8080};
  EXPECT_EQ(settle("80"), "conflict: no free host port in 8080 for container port 80");
}

TEST_F(SettlePort, RefusesAnAddressOnWhichNoContainerCouldAnswer) {
  facts_.local_addresses.push_back(ip("fe80::1"));
  EXPECT_EQ(settle("[::1]:80:80"), "usage: cannot publish on ::1: the kernel lets ::1 speak to itself only");
  EXPECT_EQ(settle("[fe80::1]:80:80"),
            "usage: cannot publish on fe80::1: a link-local address is known on its own link only, and no container is "
            "there");
}

TEST_F(SettlePort, RefusesAnAddressThatTheHostLacks) {
  EXPECT_EQ(settle("203.0.113.9:80:80"), "usage: cannot publish on 203.0.113.9: the host has no such address");
  EXPECT_EQ(settle("127.0.0.5:80:80"), "127.0.0.5:80 -> 80/tcp");
}

}  // namespace
}  // namespace mb::plan
