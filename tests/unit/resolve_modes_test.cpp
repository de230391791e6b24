// SPDX-License-Identifier: GPL-2.0-or-later
//
// Resolving changes: IPv6, modes, several networks, ports that move.
#include "src/plan/resolve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/plan/allocate.h"
#include "src/plan/publish.h"
#include "tests/support/fake_state.h"
#include "tests/unit/make.h"

namespace mb::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ResolveModes : public testing::Test {
 protected:
  ResolveModes() { facts_.unique_local = Subnet::parse("fd12:3456:789a::/48"); }

  Delta work_out(const std::vector<Change>& changes) {
    auto delta = plan::resolve(changes, state_, facts_);
    state_.write(delta);
    return delta;
  }
  std::string refusal(const std::vector<Change>& changes) {
    return error_of([&] { plan::resolve(changes, state_, facts_); });
  }
  Container find(const std::string& name) { return state_.find_container(name).value(); }

  static change::AddNetwork network(const std::string& name, std::string_view subnet = {}, bool ipv6 = false) {
    change::AddNetwork add;
    add.id = "f00000" + name;
    add.name = Name::parse(name);
    add.bridge = InterfaceName::parse("br-" + name);
    if (!subnet.empty()) add.v4.subnet = Subnet::parse(subnet);
    if (ipv6) add.v6.emplace();
    return add;
  }
  static change::EndpointRequest endpoint(const std::string& network, std::int32_t priority = 0) {
    change::EndpointRequest request;
    request.network = network;
    request.host_link = InterfaceName::parse("mb0" + network);
    request.gateway_priority = priority;
    return request;
  }
  static change::AddContainer container(const std::string& name, const std::vector<change::EndpointRequest>& endpoints,
                                        const std::vector<std::string>& publish = {}) {
    change::AddContainer add;
    add.container.id = "c0ffee" + name;
    add.container.name = Name::parse(name);
    add.container.hostname = name;
    add.container.status = ContainerStatus::running;
    for (const auto& spec : publish) add.container.publish.push_back(PublishSpec::parse(spec));
    add.endpoints = endpoints;
    return add;
  }
  static std::vector<std::string> texts(const std::vector<PublishedPort>& ports) {
    std::vector<std::string> all;
    for (const auto& port : ports) all.push_back(port.str());
    return all;
  }
  // "eth0 v4 eth1 v6": where the default routes go.
  static std::string routes(const Container& container) {
    std::string text;
    for (const auto& endpoint : container.endpoints) {
      for (const auto& held : endpoint.addresses) {
        if (!held.default_route) continue;
        text += fmt::format("{}{} {}", text.empty() ? "" : " ", endpoint.name.str(),
                            held.family == Family::v4 ? "v4" : "v6");
      }
    }
    return text;
  }

  FakeState state_;
  HostFacts facts_;
};

TEST(UniqueLocal, IsTheSameForTheSameMachineOnly) {
  const auto here = plan::unique_local_of("0123456789abcdef0123456789abcdef");
  EXPECT_EQ(here, plan::unique_local_of("0123456789abcdef0123456789abcdef"));
  EXPECT_NE(here, plan::unique_local_of("0123456789abcdef0123456789abcdee"));
  EXPECT_EQ(here.prefix(), 48);
  EXPECT_TRUE(Subnet::parse("fd00::/8").contains(here));
}

TEST_F(ResolveModes, Ipv6NetworksTakeOneSubnetAfterTheOtherOfTheMachinesOwn) {
  facts_.routes = {{Subnet::parse("fd12:3456:789a:1::/64"), "vpn0"}};
  const auto delta = work_out({network("a", {}, true), network("b", {}, true)});
  EXPECT_EQ(delta.added_networks[0].pools[1].subnet.str(), "fd12:3456:789a::/64");
  EXPECT_EQ(delta.added_networks[0].pools[1].gateway.str(), "fd12:3456:789a::1");
  EXPECT_EQ(delta.added_networks[1].pools[1].subnet.str(), "fd12:3456:789a:2::/64") << "past the route of the host";
}

TEST_F(ResolveModes, Ipv6SubnetsThatMeanSomethingElseAreRefused) {
  for (const auto* subnet : {"::/64", "fe80::/64", "ff02::/64", "fd00::/127"}) {
    auto add = network("a", {}, true);
    add.v6->subnet = Subnet::parse(subnet);
    EXPECT_THAT(refusal({add}), HasSubstr(fmt::format("the subnet {}", subnet)));
  }
}

TEST_F(ResolveModes, AContainerGetsAnAddressOfEachFamilyAndItsMacFromTheFirst) {
  work_out({network("a", "10.0.0.0/24", true), container("web", {endpoint("a")})});
  const auto web = find("web");
  const auto& place = web.endpoints.at(0);
  EXPECT_EQ(place.addresses.at(0).address->str(), "10.0.0.2");
  EXPECT_EQ(place.addresses.at(1).address->str(), "fd12:3456:789a::2");
  EXPECT_EQ(place.mac().str(), "02:6d:0a:00:00:02");
}

TEST_F(ResolveModes, APortIsPublishedUnderTheSameNumberInBothFamilies) {
  facts_.listeners = {{Protocol::tcp, IpAddress::parse("::"), 32768, 7}};
  work_out({network("a", {}, true), container("web", {endpoint("a")}, {"8080:80", "81", "127.0.0.1:82:82"})});
  EXPECT_THAT(texts(find("web").ports), ElementsAre("8080 -> 80/tcp", "[::]:8080 -> 80/tcp", "32769 -> 81/tcp",
                                                    "[::]:32769 -> 81/tcp", "127.0.0.1:82 -> 82/tcp"));
  change::Unpublish back{"web", {PublishSpec::parse("81")}};
  work_out({back});
  EXPECT_THAT(texts(find("web").ports), ElementsAre("8080 -> 80/tcp", "[::]:8080 -> 80/tcp", "127.0.0.1:82 -> 82/tcp"));
  EXPECT_EQ(find("web").publish.size(), 2u);
}

TEST_F(ResolveModes, ARoutedNetworkKeepsTheSourceAddress) {
  auto routed = network("a");
  routed.mode = NetworkMode::routed;
  EXPECT_FALSE(work_out({routed}).added_networks.at(0).masquerade);
  auto chosen = network("b");
  chosen.mode = NetworkMode::routed;
  chosen.snat_to = IpAddress::parse("192.0.2.1");
  EXPECT_EQ(refusal({chosen}),
            "usage: packets cannot leave under 192.0.2.1: in this mode containers are known outside by their own "
            "addresses");
  auto internal = network("c");
  internal.mode = NetworkMode::routed;
  internal.internal = true;
  EXPECT_EQ(refusal({internal}), "usage: an internal network cannot be routed: nothing passes its border");
}

TEST_F(ResolveModes, PacketsCannotLeaveUnderAnAddressThatNobodyOutsideCanAnswer) {
  facts_.local_addresses = {ip("127.0.0.1"), ip("169.254.3.4"), ip("::1"), ip("fe80::1")};
  for (const auto* address : {"127.0.0.1", "169.254.3.4", "::1", "fe80::1"}) {
    auto chosen = network("b", {}, true);
    chosen.snat_to = ip(address);
    EXPECT_EQ(refusal({chosen}),
              fmt::format("usage: packets cannot leave under {}: nobody outside could answer it", address));
  }
}

TEST_F(ResolveModes, InARoutedNetworkAPortTakesNoPortOfTheHost) {
  auto routed = network("a", "10.0.0.0/24");
  routed.mode = NetworkMode::routed;
  work_out({routed, container("one", {endpoint("a")}, {"80:80"}), container("two", {endpoint("a")}, {"80:80"})});
  EXPECT_TRUE(find("one").ports.empty());
  EXPECT_THAT(texts(plan::routed_ports(find("two"), state_.networks())), ElementsAre("10.0.0.3:80 -> 80/tcp"));
  work_out({change::Unpublish{"two", {PublishSpec::parse("80")}}});
  EXPECT_TRUE(find("two").publish.empty());
}

TEST_F(ResolveModes, APortOfOneAddressOfTheHostIsNoPortOfARoutedNetwork) {
  auto routed = network("r", "10.0.0.0/24");
  routed.mode = NetworkMode::routed;
  work_out({routed, network("n", "10.1.0.0/24")});
  EXPECT_EQ(
      refusal({container("one", {endpoint("r")}, {"127.0.0.1:8086:80"})}),
      "usage: cannot publish '127.0.0.1:8086:80/tcp': container 'one' is in routed networks only, where no address "
      "of the host leads to it");
  work_out({container("two", {endpoint("n"), endpoint("r")}, {"127.0.0.1:8086:80", "0.0.0.0:8087:81"})});
  EXPECT_THAT(texts(find("two").ports), ElementsAre("127.0.0.1:8086 -> 80/tcp", "8087 -> 81/tcp"));
  EXPECT_THAT(texts(plan::routed_ports(find("two"), state_.networks())), ElementsAre("10.0.0.2:81 -> 81/tcp"));
  work_out({change::Disconnect{"two", "n"}});
  EXPECT_THAT(texts(plan::routed_ports(find("two"), state_.networks())), ElementsAre("10.0.0.2:81 -> 81/tcp"));
}

TEST_F(ResolveModes, APortPublishedTwiceInARoutedNetworkIsOneAndIsTakenBackAtOnce) {
  auto routed = network("a", "10.0.0.0/24");
  routed.mode = NetworkMode::routed;
  work_out({routed, container("one", {endpoint("a")}, {"80", "8080:80"})});
  work_out({change::Publish{"one", {PublishSpec::parse("80")}, 0, false}});
  EXPECT_THAT(texts(plan::routed_ports(find("one"), state_.networks())), ElementsAre("10.0.0.2:80 -> 80/tcp"));
  work_out({change::Unpublish{"one", {PublishSpec::parse("80")}}});
  EXPECT_THAT(texts(plan::routed_ports(find("one"), state_.networks())), testing::IsEmpty());
}

TEST_F(ResolveModes, ANetworkHasTheMtuOfTheUplinkUnlessAskedOtherwise) {
  facts_.uplink_mtu = 1420;
  auto asked = network("b");
  asked.mtu = 1280;
  const auto delta = work_out({network("a"), asked});
  EXPECT_EQ(delta.added_networks[0].mtu, 1420u);
  EXPECT_EQ(delta.added_networks[1].mtu, 1280u);
}

TEST_F(ResolveModes, Ipv6NeedsAnMtuThatTheKernelTakesForIt) {
  auto small = network("b", {}, true);
  small.mtu = 1279;
  EXPECT_EQ(refusal({small}), "usage: network 'b' cannot have IPv6 with an MTU of 1279: IPv6 needs 1280");
  small.mtu = 1280;
  EXPECT_EQ(refusal({small}), "(no error)");
  facts_.uplink_mtu = 1000;
  EXPECT_EQ(refusal({network("a", {}, true)}),
            "usage: network 'a' cannot have IPv6 with an MTU of 1000, that of the uplink: IPv6 needs 1280");
  EXPECT_EQ(refusal({network("a")}), "(no error)");
}

TEST_F(ResolveModes, TheDefaultRouteFollowsPriorityFamilyByFamily) {
  auto inner = network("inner", {}, true);
  inner.internal = true;
  work_out({network("a"), network("b", {}, true), inner,
            container("web", {endpoint("inner", 9), endpoint("a"), endpoint("b")})});
  EXPECT_EQ(routes(find("web")), "eth1 v4 eth2 v6");
  work_out({network("c"), change::Connect{"web", endpoint("c", 1), {}, {}, 0}});
  EXPECT_EQ(routes(find("web")), "eth2 v6 eth3 v4");
  work_out({change::Disconnect{"web", "c"}});
  EXPECT_EQ(routes(find("web")), "eth1 v4 eth2 v6");
}

TEST_F(ResolveModes, ConnectTakesTheNextFreeNameAndAnAddress) {
  work_out({network("a"), network("b", "10.1.0.0/24"), container("web", {endpoint("a")})});
  work_out({change::Connect{"web", endpoint("b"), {"eth1"}, {Family::v4}, 0}});
  const auto web = find("web");
  EXPECT_EQ(web.endpoints.at(1).name.str(), "eth2") << "eth1 is somebody else's";
  EXPECT_EQ(web.endpoints.at(1).addresses.at(0).address->str(), "10.1.0.2");
  EXPECT_EQ(refusal({change::Connect{"web", endpoint("b"), {}, {}, 0}}),
            "usage: container 'web' would be in network 'b' twice");
}

TEST_F(ResolveModes, NamesOfInterfacesStayWhenAnotherGoes) {
  work_out({network("a"), network("b"), container("web", {endpoint("a"), endpoint("b")})});
  work_out({change::Disconnect{"web", "a"}});
  EXPECT_EQ(find("web").endpoints.at(0).name.str(), "eth1");
  work_out({change::Connect{"web", endpoint("a"), {}, {}, 0}});
  EXPECT_EQ(find("web").endpoints.at(1).name.str(), "eth0");
}

TEST_F(ResolveModes, ADisconnectedContainerLosesItsPortsAndGetsThemBackWithTheNextNetwork) {
  work_out({network("a"), network("b", {}, true), container("web", {endpoint("a")}, {"8080:80"})});
  work_out({change::Disconnect{"web", "a"}});
  EXPECT_TRUE(find("web").ports.empty());
  work_out({change::Connect{"web", endpoint("b"), {}, {}, 0}});
  EXPECT_THAT(texts(find("web").ports), ElementsAre("8080 -> 80/tcp", "[::]:8080 -> 80/tcp"));
}

TEST_F(ResolveModes, DisconnectFromANetworkItIsNotInIsRefused) {
  work_out({network("a"), network("b"), container("web", {endpoint("a")})});
  EXPECT_EQ(refusal({change::Disconnect{"web", "b"}}), "not_found: container 'web' is not in network 'b'");
}

TEST_F(ResolveModes, ABridgeThatIsThereSaysWhatTheNetworkLooksLike) {
  facts_.links[InterfaceName::parse("br-a")] = {true, true, 0, 1400, {{ip("10.7.0.9"), 24}}};
  facts_.routes = {{Subnet::parse("10.7.0.0/24"), "br-a"}, {Subnet::parse("10.8.0.0/24"), "vpn0"}};
  auto add = network("a");
  add.adopt = true;
  auto made = work_out({add}).added_networks.at(0);
  EXPECT_TRUE(made.adopted_bridge);
  EXPECT_EQ(made.pools.at(0).subnet.str(), "10.7.0.0/24");
  EXPECT_EQ(made.pools.at(0).gateway.str(), "10.7.0.9");
  EXPECT_THAT(made.found_addresses, ElementsAre(ip("10.7.0.9")));
  EXPECT_EQ(made.mtu, 1400u);
  EXPECT_EQ(refusal({add}), "conflict: there is a network 'a' already");
  add = network("b", "10.8.0.0/25");
  add.bridge = InterfaceName::parse("br-a");
  add.adopt = true;
  EXPECT_EQ(refusal({add}), "conflict: bridge 'br-a' belongs to network 'a'");
  work_out({change::RemoveNetwork{"a"}});
  EXPECT_THAT(refusal({add}), HasSubstr("overlaps the host's route to 10.8.0.0/24 on vpn0"));
  add.v4.subnet = Subnet::parse("10.9.0.0/24");
  made = work_out({add}).added_networks.at(0);
  EXPECT_EQ(made.pools.at(0).gateway.str(), "10.9.0.1");
  EXPECT_THAT(made.found_addresses, testing::IsEmpty());
}

TEST_F(ResolveModes, OnlyABridgeIsAdopted) {
  facts_.links[InterfaceName::parse("br-a")] = {false, true, 0, 1500, {}};
  auto add = network("a");
  add.adopt = true;
  EXPECT_THAT(refusal({add}), HasSubstr("'br-a' cannot be the bridge"));
}

TEST_F(ResolveModes, ABridgeIsAdoptedOnlyWhereNothingOfItHasToChange) {
  auto& found = facts_.links[InterfaceName::parse("br-a")];
  found = {true, false, 0, 1500, {{ip("10.7.0.9"), 24}}};
  auto add = network("a");
  add.adopt = true;
  EXPECT_EQ(refusal({add}), "conflict: bridge 'br-a' is down, and it is not minibridge's to bring up");
  found.up = true;
  add.mtu = 1400;
  EXPECT_EQ(refusal({add}), "usage: mtu 1400 is less than that of bridge 'br-a', 1500, which would follow it");
  add.mtu = 1500;
  EXPECT_EQ(work_out({add}).added_networks.at(0).mtu, 1500u);
}

TEST_F(ResolveModes, AnAddressOfTheBridgeIsNobodyElses) {
  facts_.links[InterfaceName::parse("br-a")] = {true, true, 0, 1500, {{ip("10.7.0.1"), 24}, {ip("10.7.0.2"), 24}}};
  auto add = network("a");
  add.adopt = true;
  work_out({add, container("web", {endpoint("a")})});
  EXPECT_EQ(find("web").endpoints.at(0).addresses.at(0).address, ip("10.7.0.3"));
}

TEST_F(ResolveModes, OnABridgeThatWasThereThePortsOfOthersCount) {
  facts_.links[InterfaceName::parse("br-a")] = {true, true, 0, 1500, {{ip("10.7.0.1"), 24}}, 1022};
  auto add = network("a");
  add.adopt = true;
  work_out({add, network("b"), container("one", {endpoint("a")})});
  const std::string full =
      "conflict: network 'a' is full: the kernel allows 1023 ports on one bridge, and 1022 of 'br-a' are not "
      "minibridge's";
  EXPECT_EQ(refusal({container("two", {endpoint("a")})}), full);
  work_out({container("three", {endpoint("b")})});
  EXPECT_EQ(refusal({change::Connect{"three", endpoint("a"), {}, {}, 0}}), full);
}

TEST_F(ResolveModes, AGatewayOnWhichSomebodyAnswersForNamesIsRefused) {
  facts_.links[InterfaceName::parse("br-a")] = {true, true, 0, 1500, {{ip("10.7.0.1"), 24}}};
  facts_.listeners = {{Protocol::udp, ip("10.7.0.1"), 53, 7}};
  auto add = network("a");
  add.adopt = true;
  EXPECT_EQ(
      refusal({add}),
      "conflict: a process answers for names on 10.7.0.1, which would be the gateway of network 'a' and the address of "
      "its name server");
  add.v4.gateway = ip("10.7.0.9");
  EXPECT_EQ(work_out({add}).added_networks.at(0).pools.at(0).gateway, ip("10.7.0.9"));
}

TEST_F(ResolveModes, AnAddressThatSomebodyHadBeforeIsNoted) {
  auto fixed = endpoint("a");
  fixed.addresses = {ip("10.0.0.9")};
  EXPECT_TRUE(work_out({network("a", "10.0.0.0/24"), container("old", {fixed})}).rested.empty());
  work_out({change::EndContainer{find("old").id, 0, 1}, change::RemoveContainer{"old"}});
  fixed.host_link = InterfaceName::parse("mb1a");
  EXPECT_EQ(work_out({container("new", {fixed})}).rested, (std::set{std::pair{Id("c0ffeenew"), ip("10.0.0.9")}}));
}

TEST_F(ResolveModes, AnAddressThatItHadItselfBeforeItEndedIsNoted) {
  auto fixed = endpoint("a");
  fixed.addresses = {ip("10.0.0.9")};
  work_out({network("a", "10.0.0.0/24"), container("web", {fixed})});
  work_out({change::EndContainer{find("web").id, 0, 1}});
  change::StartContainer start;
  start.container = "web";
  EXPECT_EQ(work_out({start}).rested, (std::set{std::pair{Id("c0ffeeweb"), ip("10.0.0.9")}}));
}

TEST_F(ResolveModes, DisconnectMayBeAskedForInAnyCase) {
  work_out({network("a"), network("b"), container("web", {endpoint("a")})});
  EXPECT_TRUE(work_out({change::Disconnect{"web", "b", true}}).empty());
}

TEST_F(ResolveModes, AStoppedContainerGetsItsAddressInTheNewNetworkWhenItStarts) {
  work_out({network("a"), network("b", "10.1.0.0/24"), container("web", {endpoint("a")})});
  const auto id = find("web").id;
  work_out({change::EndContainer{id, 0, 1}});
  work_out({change::Connect{"web", endpoint("b", 1), {}, {}, 0}});
  EXPECT_FALSE(find("web").endpoints.at(1).addresses.at(0).address);
  work_out({change::StartContainer{id, 1, 2, "/proc/2/ns/net", "", 3, 0}});
  EXPECT_EQ(find("web").endpoints.at(1).addresses.at(0).address->str(), "10.1.0.2");
  EXPECT_EQ(routes(find("web")), "eth1 v4");
}

TEST_F(ResolveModes, ADefaultRouteOfSomebodyElseIsLeftAlone) {
  auto theirs = container("theirs", {endpoint("a")});
  theirs.container.kind = ContainerKind::foreign_netns;
  theirs.default_routes = {Family::v4};
  work_out({network("a"), network("b"), theirs});
  EXPECT_EQ(routes(find("theirs")), "");
  work_out({change::Connect{"theirs", endpoint("b", 5), {}, {Family::v4}, 0}});
  EXPECT_EQ(routes(find("theirs")), "");
  work_out({change::Disconnect{"theirs", "a"}});
  EXPECT_EQ(routes(find("theirs")), "");
}

TEST_F(ResolveModes, APortMovesToAnotherContainerWithEverythingBehindIt) {
  work_out({network("a", {}, true), container("old", {endpoint("a")}, {"8080:80", "9090:90"}),
            container("new", {endpoint("a")})});
  change::Publish move{"new", {PublishSpec::parse("8080:8000")}, 0, false};
  EXPECT_THAT(refusal({move}), HasSubstr("container 'old' has published '8080 -> 80/tcp'"));
  move.take_over = true;
  const auto delta = work_out({move});
  EXPECT_EQ(delta.containers.size(), 2u) << "both in one change, so that they share one commit";
  EXPECT_THAT(texts(find("old").ports), ElementsAre("9090 -> 90/tcp", "[::]:9090 -> 90/tcp"));
  EXPECT_EQ(find("old").publish.size(), 1u);
  EXPECT_THAT(texts(find("new").ports), ElementsAre("8080 -> 8000/tcp", "[::]:8080 -> 8000/tcp"));
}

TEST_F(ResolveModes, APartOfARangeDoesNotMove) {
  work_out(
      {network("a"), container("old", {endpoint("a")}, {"8000-8009:8000-8009"}), container("new", {endpoint("a")})});
  change::Publish move{"new", {PublishSpec::parse("8005:80")}, 0, true};
  EXPECT_EQ(refusal({move}),
            "conflict: cannot take over '8005:80/tcp': container 'old' has published '8000-8009 -> 8000-8009/tcp' as a "
            "whole");
}

}  // namespace
}  // namespace mb::test
