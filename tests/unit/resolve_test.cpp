// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/resolve.h"

#include "tests/support/fake_state.h"
#include "tests/unit/make.h"

namespace mb::plan {
namespace {

using test::error_of;
using test::FakeState;
using test::ip;
using test::port;

change::AddNetwork add_network(const std::string& name, std::optional<std::string_view> subnet = {}) {
  change::AddNetwork add;
  add.id = "f00000" + name;
  add.name = Name::parse(name);
  add.bridge = InterfaceName::parse("br-" + name);
  if (subnet) add.v4.subnet = Subnet::parse(*subnet);
  return add;
}

change::AddContainer add_container(const std::string& name, const std::vector<std::string>& networks,
                                   const std::vector<std::string>& publish = {}) {
  change::AddContainer add;
  add.container.id = "c0ffee" + name;
  add.container.name = Name::parse(name);
  add.container.kind = ContainerKind::process;
  add.container.status = ContainerStatus::running;
  add.container.hostname = name;
  for (const auto& spec : publish) add.container.publish.push_back(PublishSpec::parse(spec));
  for (const auto& network : networks)
    add.endpoints.push_back({network, InterfaceName::parse("mb0" + network), {}, {}, {}, 0, {}});
  return add;
}

change::Publish publish(const std::string& name, const std::vector<std::string>& specs) {
  change::Publish change{name, {}, 0};
  for (const auto& spec : specs) change.ports.push_back(PublishSpec::parse(spec));
  return change;
}

change::Unpublish unpublish(const std::string& name, const std::vector<std::string>& specs) {
  return {name, publish(name, specs).ports};
}

std::vector<std::string> ports_of(const Container& container) {
  std::vector<std::string> texts;
  for (const auto& port : container.ports) texts.push_back(port.str());
  return texts;
}

std::string address_of(const Container& container, std::size_t endpoint = 0) {
  const auto& address = container.endpoints.at(endpoint).addresses.at(0).address;
  return address ? address->str() : "none";
}

class Resolve : public testing::Test {
 protected:
  // Carries the changes out on the state.
  Delta make(const std::vector<Change>& changes) {
    auto delta = resolve(changes, state_, facts_);
    state_.write(delta);
    return delta;
  }
  std::string refusal(const std::vector<Change>& changes) const {
    return error_of([&] { resolve(changes, state_, facts_); });
  }
  Container get(const std::string& name) const { return state_.find_container(name).value(); }

  FakeState state_;
  HostFacts facts_;
};

// ---- networks

TEST_F(Resolve, AddNetworkTakesTheFirstFreeSubnetAndItsFirstAddress) {
  const auto delta = make({add_network("a"), add_network("b")});
  ASSERT_EQ(delta.added_networks.size(), 2u);
  EXPECT_EQ(delta.added_networks[0].pools[0].subnet.str(), "172.17.0.0/16");
  EXPECT_EQ(delta.added_networks[0].pools[0].gateway, ip("172.17.0.1"));
  EXPECT_EQ(delta.added_networks[1].pools[0].subnet.str(), "172.18.0.0/16");
}

TEST_F(Resolve, AddNetworkKeepsWhatWasAskedFor) {
  auto add = add_network("a", "10.0.0.0/24");
  add.v4.gateway = ip("10.0.0.254");
  add.v4.range = Subnet::parse("10.0.0.128/25");
  add.v4.reserved = {ip("10.0.0.129")};
  add.mtu = 1400;
  add.labels = {{"team", "blue"}};
  add.created_at = 99;
  const auto made = make({add}).added_networks.at(0);
  EXPECT_EQ(made.bridge.str(), "br-a");
  EXPECT_EQ(made.pools[0].gateway, ip("10.0.0.254"));
  EXPECT_EQ(made.pools[0].range, Subnet::parse("10.0.0.128/25"));
  EXPECT_EQ(made.pools[0].reserved, std::vector{ip("10.0.0.129")});
  EXPECT_EQ(made.mtu, 1400u);
  EXPECT_EQ(made.labels.at("team"), "blue");
  EXPECT_EQ(made.created_at, 99);
}

TEST_F(Resolve, AddNetworkPutsTheGatewayInTheRangeAndPastReservedAddresses) {
  auto add = add_network("a", "10.0.0.0/24");
  add.v4.range = Subnet::parse("10.0.0.64/28");
  add.v4.reserved = {ip("10.0.0.64"), ip("10.0.0.65")};
  EXPECT_EQ(make({add}).added_networks[0].pools[0].gateway, ip("10.0.0.66"));
}

TEST_F(Resolve, AddNetworkIfAbsentLeavesAnExistingOneAlone) {
  make({add_network("default")});
  auto again = add_network("default");
  again.if_absent = true;
  EXPECT_TRUE(make({again}).empty());
  again.name = Name::parse("other");
  again.id = "f1";
  again.bridge = InterfaceName::parse("br-other");
  EXPECT_EQ(make({again}).added_networks.size(), 1u);
}

TEST_F(Resolve, AddNetworkIsRefused) {
  make({add_network("a", "10.0.0.0/24")});
  EXPECT_EQ(refusal({add_network("a", "10.1.0.0/24")}), "conflict: there is a network 'a' already");
  auto bridge = add_network("b");
  bridge.bridge = InterfaceName::parse("br-a");
  EXPECT_EQ(refusal({bridge}), "conflict: bridge 'br-a' belongs to network 'a'");
  EXPECT_EQ(refusal({add_network("b", "10.0.0.128/25")}),
            "conflict: subnet 10.0.0.128/25 overlaps 10.0.0.0/24 of network 'a'");
  facts_.routes = {{Subnet::parse("10.2.0.0/16"), "tun0"}};
  EXPECT_EQ(refusal({add_network("b", "10.2.3.0/24")}),
            "conflict: subnet 10.2.3.0/24 overlaps the host's route to 10.2.0.0/16 on tun0");
  EXPECT_EQ(refusal({add_network("b", "10.9.0.0/31")}),
            "usage: the subnet 10.9.0.0/31 has no room for a gateway and a container");
}

TEST_F(Resolve, AddNetworkRefusesSubnetsThatMeanSomethingElse) {
  for (const std::string subnet : {"127.0.0.0/16", "126.0.0.0/7", "224.0.0.0/8", "240.0.0.0/8", "192.0.0.0/2",
                                   "0.0.0.0/0", "0.0.0.0/8", "0.0.0.0/1"}) {
    EXPECT_EQ(refusal({add_network("b", subnet)}), "usage: the subnet " + subnet + " cannot be used for containers");
  }
}

TEST_F(Resolve, AddNetworkRefusesAGatewayOrRangeThatDoesNotFit) {
  const auto with = [](std::optional<std::string_view> subnet, std::string_view gateway, std::string_view range = "") {
    auto add = add_network("b", subnet);
    if (!gateway.empty()) add.v4.gateway = ip(gateway);
    if (!range.empty()) add.v4.range = Subnet::parse(range);
    return std::vector<Change>{add};
  };
  EXPECT_EQ(refusal(with({}, "10.0.0.1")), "usage: a gateway or a range needs the subnet that it lies in");
  EXPECT_EQ(refusal(with({}, "", "10.0.0.0/25")), "usage: a gateway or a range needs the subnet that it lies in");
  EXPECT_EQ(refusal(with("10.0.0.0/24", "10.0.1.1")),
            "usage: 10.0.1.1 cannot be the gateway of 10.0.0.0/24: it is outside the subnet");
  EXPECT_EQ(refusal(with("10.0.0.0/24", "10.0.0.0")),
            "usage: 10.0.0.0 cannot be the gateway of 10.0.0.0/24: it is the network's own");
  EXPECT_EQ(refusal(with("10.0.0.0/24", "10.0.0.255")),
            "usage: 10.0.0.255 cannot be the gateway of 10.0.0.0/24: it is the broadcast address");
  EXPECT_EQ(refusal(with("10.0.0.0/24", "", "10.0.1.0/25")),
            "usage: the range 10.0.1.0/25 is not inside the subnet 10.0.0.0/24");
  EXPECT_EQ(refusal(with("10.0.0.0/24", "", "10.0.0.0/23")),
            "usage: the range 10.0.0.0/23 is not inside the subnet 10.0.0.0/24");
  auto reserved = add_network("b", "10.0.0.0/24");
  reserved.v4.reserved = {ip("10.0.1.9")};
  EXPECT_EQ(refusal({reserved}), "usage: the reserved address 10.0.1.9 is outside the subnet 10.0.0.0/24");
  reserved.v4.reserved = {ip("10.0.0.9")};
  reserved.v4.gateway = ip("10.0.0.9");
  EXPECT_EQ(refusal({reserved}), "usage: 10.0.0.9 cannot be the gateway of 10.0.0.0/24: it is reserved");
}

TEST_F(Resolve, AddNetworkRefusesWhereNoAddressWouldBeLeft) {
  auto add = add_network("b", "10.0.0.0/30");
  add.v4.reserved = {ip("10.0.0.1"), ip("10.0.0.2")};
  EXPECT_EQ(refusal({add}), "usage: no address of 10.0.0.0/30 is left for the gateway");
  add.v4.reserved = {ip("10.0.0.1")};
  EXPECT_EQ(refusal({add}), "usage: no address of 10.0.0.0/30 is left for a container");
  add = add_network("b", "10.0.0.0/24");
  add.v4.range = Subnet::parse("10.0.0.255/32");
  EXPECT_EQ(refusal({add}), "usage: no address of 10.0.0.255/32 is left for the gateway");
  for (const auto* range : {"10.0.0.0/32", "10.0.0.64/32"}) {  // the second one is the gateway's
    add.v4.range = Subnet::parse(range);
    EXPECT_EQ(refusal({add}), "usage: no address of " + std::string(range) + " is left for a container");
  }
  add.v4.gateway = ip("10.0.0.1");
  EXPECT_EQ(refusal({add}), "(no error)");
}

TEST_F(Resolve, AMacAddressIsOneContainersInANetwork) {
  make({add_network("a"), add_network("b"), add_container("web", {"a"})});
  auto one = add_container("one", {"a"});
  one.endpoints[0].mac = MacAddress::parse("02:00:00:00:00:07");
  make({one});
  auto two = add_container("two", {"a"});
  two.endpoints[0].mac = one.endpoints[0].mac;
  EXPECT_EQ(refusal({two}), "conflict: MAC address 02:00:00:00:00:07 is taken: container 'one' has it in network 'a'");
  two.endpoints[0].mac = get("web").endpoints[0].mac();
  EXPECT_EQ(refusal({two}), "conflict: MAC address 02:6d:ac:11:00:02 is taken: container 'web' has it in network 'a'");
  two.endpoints[0].network = "b";
  EXPECT_EQ(refusal({two}), "(no error)");
}

TEST_F(Resolve, RemoveNetworkByNameAndById) {
  make({add_network("a"), add_network("b")});
  EXPECT_EQ(make({change::RemoveNetwork{"a"}}).dropped_networks.at(0).name.str(), "a");
  EXPECT_EQ(make({change::RemoveNetwork{"f00000b"}}).dropped_networks.at(0).name.str(), "b");
  EXPECT_TRUE(state_.networks().empty());
}

TEST_F(Resolve, RemoveNetworkIsRefused) {
  make({add_network("a"), add_container("web", {"a"})});
  EXPECT_EQ(refusal({change::RemoveNetwork{"x y"}}), "not_found: there is no network 'x y'");
  EXPECT_EQ(refusal({change::RemoveNetwork{"a"}}), "conflict: network 'a' is in use by container 'web'");
  make({change::EndContainer{get("web").id, 0, 1}});
  EXPECT_EQ(refusal({change::RemoveNetwork{"a"}}), "conflict: network 'a' is in use by container 'web'");
  EXPECT_EQ(refusal({change::RemoveContainer{"web"}, change::RemoveNetwork{"a"}}), "(no error)");
}

// ---- adding containers

TEST_F(Resolve, AddContainerGivesAddressPortAndDefaultRoute) {
  make({add_network("a", "10.0.0.0/24")});
  const auto made = make({add_container("web", {"a"}, {"8080:80", "90/udp"})}).containers.at(0);
  EXPECT_FALSE(made.before.has_value());
  EXPECT_EQ(address_of(*made.after), "10.0.0.2");
  EXPECT_EQ(made.after->endpoints[0].network, "f00000a");
  EXPECT_EQ(made.after->endpoints[0].name.str(), "eth0");
  EXPECT_EQ(made.after->endpoints[0].host_link.str(), "mb0a");
  EXPECT_TRUE(made.after->endpoints[0].addresses[0].default_route);
  EXPECT_EQ(made.after->endpoints[0].mac().str(), "02:6d:0a:00:00:02");
  EXPECT_EQ(ports_of(*made.after), (std::vector<std::string>{"8080 -> 80/tcp", "32768 -> 90/udp"}));
}

TEST_F(Resolve, AddContainersInOneListGetDistinctAddressesAndPorts) {
  make({add_network("a", "10.0.0.0/24")});
  const auto delta =
      make({add_container("x", {"a"}, {"80"}), add_container("y", {"a"}, {"80"}), add_container("z", {"a"}, {"80"})});
  ASSERT_EQ(delta.containers.size(), 3u);
  EXPECT_EQ(address_of(get("x")), "10.0.0.2");
  EXPECT_EQ(address_of(get("y")), "10.0.0.3");
  EXPECT_EQ(address_of(get("z")), "10.0.0.4");
  EXPECT_EQ(ports_of(get("x")), std::vector<std::string>{"32768 -> 80/tcp"});
  EXPECT_EQ(ports_of(get("y")), std::vector<std::string>{"32769 -> 80/tcp"});
  EXPECT_EQ(ports_of(get("z")), std::vector<std::string>{"32770 -> 80/tcp"});
}

TEST_F(Resolve, AddNetworkAndContainerInOneList) {
  const auto delta = make({add_network("a"), add_container("web", {"a"})});
  EXPECT_EQ(address_of(*delta.containers.at(0).after), "172.17.0.2");
}

TEST_F(Resolve, AddContainerOnTwoNetworksHasItsDefaultRouteOnTheFirst) {
  make({add_network("a", "10.0.0.0/24"), add_network("b", "10.1.0.0/24"), add_container("web", {"b", "a"})});
  const auto web = get("web");
  EXPECT_EQ(web.endpoints.at(0).name.str(), "eth0");
  EXPECT_EQ(address_of(web, 0), "10.1.0.2");
  EXPECT_TRUE(web.endpoints[0].addresses[0].default_route);
  EXPECT_EQ(web.endpoints.at(1).name.str(), "eth1");
  EXPECT_EQ(address_of(web, 1), "10.0.0.2");
  EXPECT_FALSE(web.endpoints[1].addresses[0].default_route);
}

TEST_F(Resolve, AddForeignNamespaceTakesTheNextFreeNameAndKeepsItsDefaultRoute) {
  auto add = add_container("theirs", {"a", "b"});
  add.container.kind = ContainerKind::foreign_netns;
  add.container.status = ContainerStatus::created;
  add.taken_links = {"lo", "eth0", "eth2"};
  add.default_routes = {Family::v4};
  make({add_network("a"), add_network("b"), add});
  const auto theirs = get("theirs");
  EXPECT_EQ(theirs.endpoints[0].name.str(), "eth1");
  EXPECT_EQ(theirs.endpoints[1].name.str(), "eth3");
  EXPECT_FALSE(theirs.endpoints[0].addresses[0].default_route || theirs.endpoints[1].addresses[0].default_route);
}

TEST_F(Resolve, AddContainerWithAFixedAddressAndMac) {
  auto add = add_container("web", {"a"});
  add.endpoints[0].addresses = {ip("10.0.0.77")};
  add.endpoints[0].mac = MacAddress::parse("02:00:00:00:00:07");
  make({add_network("a", "10.0.0.0/24"), add});
  EXPECT_EQ(address_of(get("web")), "10.0.0.77");
  EXPECT_TRUE(get("web").endpoints[0].addresses[0].fixed);
  EXPECT_EQ(get("web").endpoints[0].mac().str(), "02:00:00:00:00:07");
}

TEST_F(Resolve, AFixedAddressDoesNotMoveWhereTheNextIsTakenFrom) {
  auto fixed = add_container("fixed", {"a"});
  fixed.endpoints[0].addresses = {ip("10.0.0.77")};
  make({add_network("a", "10.0.0.0/24"), fixed, add_container("web", {"a"})});
  EXPECT_EQ(address_of(get("web")), "10.0.0.2");
}

TEST_F(Resolve, AddContainerThatIsNotRunningTakesNothingYet) {
  auto add = add_container("web", {"a"}, {"8080:80"});
  add.container.status = ContainerStatus::created;
  make({add_network("a"), add});
  EXPECT_EQ(address_of(get("web")), "none");
  EXPECT_TRUE(get("web").ports.empty());
  EXPECT_EQ(get("web").publish.size(), 1u);
}

TEST_F(Resolve, AddContainerIsRefused) {
  make({add_network("a", "10.0.0.0/24"), add_container("web", {"a"}, {"8080:80"})});
  EXPECT_EQ(refusal({add_container("web", {"a"})}), "conflict: there is a container 'web' already");
  EXPECT_EQ(refusal({add_container("x", {"nowhere"})}), "not_found: there is no network 'nowhere'");
  EXPECT_EQ(refusal({add_container("x", {"a", "f00000a"})}), "usage: container 'x' would be in network 'a' twice");
  EXPECT_EQ(refusal({add_container("x", {}, {"80"})}),
            "usage: container 'x' cannot publish ports: it is in no network");
  EXPECT_EQ(refusal({add_container("x", {"a"}, {"8080:80"})}),
            "conflict: cannot publish '8080 -> 80/tcp': container 'web' has published '8080 -> 80/tcp'");
  EXPECT_EQ(refusal({add_container("x", {"a"}, {"8081:80", "8080-8082:1-3"})}),
            "conflict: cannot publish '8080-8082 -> 1-3/tcp': it overlaps '8081 -> 80/tcp' of the same container");
  EXPECT_EQ(refusal({add_container("x", {"a"}, {"[::1]:80:80"})}),
            "usage: cannot publish '[::1]:80:80/tcp': container 'x' has no IPv6 address that could be reached");
  auto fixed = add_container("x", {"a"});
  fixed.endpoints[0].addresses = {ip("10.0.0.2")};
  EXPECT_EQ(refusal({fixed}), "conflict: address 10.0.0.2 is taken: container 'web' has it");
  fixed.endpoints[0].addresses = {ip("10.0.1.2")};
  EXPECT_EQ(refusal({fixed}),
            "usage: 10.0.1.2 cannot be a container's address in network 'a': it is outside the subnet");
}

TEST_F(Resolve, AddContainersOfOneListSeeEachOther) {
  make({add_network("a", "10.0.0.0/24")});
  EXPECT_EQ(refusal({add_container("x", {"a"}), add_container("x", {"a"})}),
            "conflict: there is a container 'x' already");
  EXPECT_EQ(refusal({add_container("x", {"a"}, {"80:80"}), add_container("y", {"a"}, {"80:80"})}),
            "conflict: cannot publish '80 -> 80/tcp': container 'x' has published '80 -> 80/tcp'");
}

// 'c0' is also how the id of 'web' begins.
TEST_F(Resolve, AddContainerMayHaveANameThatBeginsAnothersId) {
  make({add_network("a"), add_container("web", {"a"})});
  EXPECT_EQ(refusal({add_container("c0", {"a"})}), "(no error)");
}

TEST_F(Resolve, AddContainerIsRefusedWhenTheBridgeIsFull) {
  make({add_network("a", "10.0.0.0/16")});
  auto crowd = test::container("crowd");
  crowd.status = ContainerStatus::exited;
  crowd.endpoints.resize(1022);
  for (auto& endpoint : crowd.endpoints) endpoint.network = "f00000a";
  state_.write({{}, {}, {{std::nullopt, crowd}}});
  EXPECT_EQ(refusal({add_container("last", {"a"})}), "(no error)");
  EXPECT_EQ(refusal({add_container("last", {"a"}), add_container("one-more", {"a"})}),
            "conflict: network 'a' is full: the kernel allows 1023 ports on one bridge");
  make({add_container("last", {"a"})});
  EXPECT_EQ(refusal({add_container("one-more", {"a"})}),
            "conflict: network 'a' is full: the kernel allows 1023 ports on one bridge");
  EXPECT_EQ(refusal({change::RemoveContainer{"crowd"}, add_container("one-more", {"a"})}), "(no error)");
}

TEST_F(Resolve, ARefusedListChangesNothing) {
  make({add_network("a")});
  EXPECT_THROW(make({add_container("x", {"a"}), add_container("y", {"nowhere"})}), Error);
  EXPECT_TRUE(state_.containers().empty());
}

// ---- start and end

TEST_F(Resolve, EndContainerGivesBackAddressAndPortsButNotTheFixedAddress) {
  auto fixed = add_container("fixed", {"a"});
  fixed.endpoints[0].addresses = {ip("10.0.0.77")};
  make({add_network("a", "10.0.0.0/24"), add_container("web", {"a"}, {"8080:80"}), fixed});
  make({change::EndContainer{get("web").id, 3, 500}, change::EndContainer{get("fixed").id, {}, 501}});
  const auto web = get("web");
  EXPECT_EQ(web.status, ContainerStatus::exited);
  EXPECT_EQ(web.exit_status, 3);
  EXPECT_EQ(web.finished_at, 500);
  EXPECT_EQ(web.namespace_source, "");
  EXPECT_EQ(address_of(web), "none");
  EXPECT_TRUE(web.ports.empty());
  EXPECT_EQ(web.publish.size(), 1u);
  EXPECT_EQ(address_of(get("fixed")), "10.0.0.77");
  EXPECT_EQ(get("fixed").exit_status, std::nullopt);
}

TEST_F(Resolve, EndContainerThatIsGoneOrEndedIsNoChange) {
  make({add_network("a"), add_container("web", {"a"})});
  make({change::EndContainer{get("web").id, 0, 1}});
  EXPECT_TRUE(make({change::EndContainer{get("web").id, 9, 2}}).empty());
  EXPECT_TRUE(make({change::EndContainer{"0123456789ab", 9, 2}}).empty());
  EXPECT_EQ(get("web").exit_status, 0);
}

TEST_F(Resolve, EndContainerRemovesOneThatWasToBeRemoved) {
  auto add = add_container("web", {"a"});
  add.container.remove_when_ended = true;
  make({add_network("a"), add});
  const auto delta = make({change::EndContainer{get("web").id, 0, 1}});
  EXPECT_TRUE(delta.containers.at(0).before.has_value());
  EXPECT_FALSE(delta.containers.at(0).after.has_value());
  EXPECT_TRUE(state_.containers().empty());
}

TEST_F(Resolve, KeepContainerKeepsOneThatWasToBeRemovedAndStartMayTakeThatBack) {
  auto add = add_container("web", {"a"});
  add.container.remove_when_ended = true;
  make({add_network("a"), add});
  const auto id = get("web").id;
  make({change::KeepContainer{id}});
  EXPECT_TRUE(make({change::KeepContainer{id}, change::KeepContainer{"0123456789ab"}}).empty());
  make({change::EndContainer{id, 0, 1}});
  EXPECT_EQ(get("web").status, ContainerStatus::exited);
  make({change::StartContainer{id, 70, 71, "/proc/71/ns/net", "", 600, 0, true}});
  EXPECT_TRUE(get("web").remove_when_ended);
}

TEST_F(Resolve, StartContainerTakesAnAddressAndItsPortsAgain) {
  make({add_network("a", "10.0.0.0/24"), add_container("web", {"a"}, {"8080:80"})});
  const auto id = get("web").id;
  make({change::EndContainer{id, 3, 500}});
  make({change::StartContainer{id, 70, 71, "/proc/71/ns/net", "nameserver 192.0.2.1\n", 600, 0}});
  const auto web = get("web");
  EXPECT_EQ(web.status, ContainerStatus::running);
  EXPECT_EQ(web.supervisor_pid, 70);
  EXPECT_EQ(web.init_pid, 71);
  EXPECT_EQ(web.namespace_source, "/proc/71/ns/net");
  EXPECT_EQ(web.started_at, 600);
  EXPECT_EQ(web.exit_status, std::nullopt);
  EXPECT_EQ(address_of(web), "10.0.0.3");
  EXPECT_EQ(ports_of(web), std::vector<std::string>{"8080 -> 80/tcp"});
}

TEST_F(Resolve, StartContainerIsRefused) {
  make({add_network("a"), add_container("web", {"a"}, {"8080:80"})});
  const auto id = get("web").id;
  EXPECT_EQ(refusal({change::StartContainer{id, 1, 2, "", "", 3, 0}}), "conflict: container 'web' is running already");
  EXPECT_EQ(refusal({change::StartContainer{"nobody", 1, 2, "", "", 3, 0}}),
            "not_found: there is no container 'nobody'");
  make({change::EndContainer{id, 0, 1}, add_container("other", {"a"}, {"8080:80"})});
  EXPECT_EQ(refusal({change::StartContainer{id, 1, 2, "", "", 3, 0}}),
            "conflict: cannot publish '8080 -> 80/tcp': container 'other' has published '8080 -> 80/tcp'");
}

TEST_F(Resolve, EndAndStartInOneListIsOneChange) {
  make({add_network("a", "10.0.0.0/24"), add_container("web", {"a"}, {"8080:80"})});
  const auto id = get("web").id;
  const auto delta = make({change::EndContainer{id, 0, 1}, change::StartContainer{id, 1, 2, "x", "", 3, 0}});
  ASSERT_EQ(delta.containers.size(), 1u);
  EXPECT_EQ(address_of(*delta.containers[0].before), "10.0.0.2");
  EXPECT_EQ(address_of(*delta.containers[0].after), "10.0.0.3");
}

// ---- removing containers

TEST_F(Resolve, RemoveContainerThatHasEnded) {
  make({add_network("a"), add_container("web", {"a"})});
  make({change::EndContainer{get("web").id, 0, 1}, change::RemoveContainer{"web"}});
  EXPECT_TRUE(state_.containers().empty());
}

TEST_F(Resolve, RemoveContainerWithoutAProcess) {
  auto add = add_container("net", {"a"});
  add.container.kind = ContainerKind::netns;
  add.container.status = ContainerStatus::created;
  make({add_network("a"), add});
  make({change::RemoveContainer{"c0ffee"}});
  EXPECT_TRUE(state_.containers().empty());
}

TEST_F(Resolve, RemoveContainerIsRefused) {
  make({add_network("a"), add_container("web", {"a"})});
  EXPECT_EQ(refusal({change::RemoveContainer{"web"}}), "conflict: container 'web' is running");
  EXPECT_EQ(refusal({change::RemoveContainer{"nobody"}}), "not_found: there is no container 'nobody'");
}

TEST_F(Resolve, AddedAndRemovedInOneListIsNoChange) {
  auto add = add_container("net", {"a"});
  add.container.kind = ContainerKind::netns;
  make({add_network("a")});
  add.container.status = ContainerStatus::created;
  EXPECT_TRUE(make({add, change::RemoveContainer{"net"}}).empty());
}

TEST_F(Resolve, RemovedAndAddedAgainInOneListMakesRoomForItself) {
  auto add = add_container("net", {"a"}, {"8080:80"});
  add.container.kind = ContainerKind::netns;
  add.container.status = ContainerStatus::created;
  add.endpoints[0].addresses = {ip("10.0.0.9")};
  make({add_network("a", "10.0.0.0/24"), add});
  add.container.id = "d00d";
  const auto delta = make({change::RemoveContainer{"net"}, add});
  EXPECT_EQ(delta.containers.size(), 2u);
  EXPECT_EQ(get("net").id, "d00d");
}

// ---- publish and unpublish

TEST_F(Resolve, PublishAddsPorts) {
  make({add_network("a"), add_container("web", {"a"}, {"8080:80"})});
  make({publish("web", {"8081:81", "82"})});
  EXPECT_EQ(ports_of(get("web")), (std::vector<std::string>{"8080 -> 80/tcp", "8081 -> 81/tcp", "32768 -> 82/tcp"}));
  EXPECT_EQ(get("web").publish.size(), 3u);
}

TEST_F(Resolve, PublishIsRefused) {
  auto alone = add_container("alone", {});
  alone.container.attachment = Attachment::none;
  make({add_network("a"), add_container("web", {"a"}, {"8080:80"}), add_container("other", {"a"}), alone});
  EXPECT_EQ(refusal({publish("nobody", {"80:80"})}), "not_found: there is no container 'nobody'");
  EXPECT_EQ(refusal({publish("alone", {"80:80"})}),
            "usage: container 'alone' cannot publish ports: it is in no network");
  EXPECT_EQ(refusal({publish("other", {"8080:80"})}),
            "conflict: cannot publish '8080 -> 80/tcp': container 'web' has published '8080 -> 80/tcp'");
  EXPECT_EQ(refusal({publish("web", {"8080:80"})}),
            "conflict: cannot publish '8080 -> 80/tcp': it overlaps '8080 -> 80/tcp' of the same container");
  EXPECT_EQ(refusal({publish("other", {"1:1", "1:2"})}),
            "conflict: cannot publish '1 -> 2/tcp': it overlaps '1 -> 1/tcp' of the same container");
  make({change::EndContainer{get("web").id, 0, 1}});
  EXPECT_EQ(refusal({publish("web", {"1:1"})}), "conflict: container 'web' is not running");
}

TEST_F(Resolve, UnpublishTakesOutPortAndSpecification) {
  make({add_network("a"), add_container("web", {"a"}, {"8080:80", "8081:81", "90/udp"})});
  make({unpublish("web", {"8080:80"})});
  EXPECT_EQ(ports_of(get("web")), (std::vector<std::string>{"8081 -> 81/tcp", "32768 -> 90/udp"}));
  ASSERT_EQ(get("web").publish.size(), 2u);
  EXPECT_EQ(get("web").publish[0].str(), "8081:81/tcp");
}

TEST_F(Resolve, UnpublishMayLeaveOutTheHostPort) {
  make({add_network("a"), add_container("web", {"a"}, {"8080:80", "90/udp"})});
  make({unpublish("web", {"80", "90/udp"})});
  EXPECT_TRUE(get("web").ports.empty());
}

TEST_F(Resolve, UnpublishIsRefused) {
  make({add_network("a"), add_container("web", {"a"}, {"8080:80", "8081:80"})});
  EXPECT_EQ(refusal({unpublish("web", {"80"})}), "usage: '80/tcp' means 2 published ports of container 'web'");
  EXPECT_EQ(refusal({unpublish("web", {"8080:80/udp"})}), "not_found: container 'web' has not published '8080:80/udp'");
  EXPECT_EQ(refusal({unpublish("web", {"127.0.0.1:8080:80"})}),
            "not_found: container 'web' has not published '127.0.0.1:8080:80/tcp'");
  EXPECT_EQ(refusal({unpublish("web", {"8080:80", "8080:80"})}),
            "not_found: container 'web' has not published '8080:80/tcp'");
  EXPECT_EQ(refusal({unpublish("nobody", {"80"})}), "not_found: there is no container 'nobody'");
}

TEST_F(Resolve, APortMovesInOneList) {
  make({add_network("a"), add_container("old", {"a"}, {"8080:80"}), add_container("new", {"a"})});
  const auto delta = make({unpublish("old", {"8080:80"}), publish("new", {"8080:80"})});
  EXPECT_EQ(delta.containers.size(), 2u);
  EXPECT_TRUE(get("old").ports.empty());
  EXPECT_EQ(ports_of(get("new")), std::vector<std::string>{"8080 -> 80/tcp"});
}

TEST(Change, KnowsWhetherItRemoves) {
  EXPECT_TRUE(removes(change::RemoveNetwork{}) && removes(change::EndContainer{}) &&
              removes(change::RemoveContainer{}) && removes(change::Unpublish{}) && removes(change::Disconnect{}));
  EXPECT_FALSE(removes(change::AddNetwork{}) || removes(change::AddContainer{}) || removes(change::StartContainer{}) ||
               removes(change::Publish{}) || removes(change::Connect{}));
}

}  // namespace
}  // namespace mb::plan
