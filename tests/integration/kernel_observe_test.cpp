// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel is seen to hold: exactly what was applied, and what others put in the way.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/integration/kernel_fixture.h"

namespace mb::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::Pair;
using testing::SizeIs;

class KernelObserve : public KernelTest {};

std::string slurp(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(KernelObserve, AnEmptyHostHasNothingOfOurs) {
  EXPECT_EQ(kernel_->observe(scope()), Actual{});
  EXPECT_EQ(kernel_->observe(everything()), Actual{});
}

TEST_F(KernelObserve, ReturnsTheBridgeThatWasApplied) {
  add_bridge();
  auto wanted = bridge();
  wanted.mtu = 1500;
  EXPECT_EQ(kernel_->observe(scope()).bridges.at(wanted.name), wanted);
}

TEST_F(KernelObserve, ReturnsTheVethThatWasApplied) {
  add_bridge();
  add_namespace();
  add_veth();
  auto wanted = veth();
  wanted.mtu = 1500;
  EXPECT_EQ(kernel_->observe(scope()).veths.at(wanted.host), wanted);
}

TEST_F(KernelObserve, ReturnsAddressesAndGatewaysOfBothFamilies) {
  add_bridge();
  add_namespace();
  add_veth();
  apply(step::AddAddress{{kContainer, veth().peer}, cidr("fd00:6d62::2", 64)});
  apply(step::AddDefaultRoute{{kContainer, veth().peer}, IpAddress::parse("fd00:6d62::1")});
  Scope both = scope();
  both.ipv6 = true;
  const auto found = kernel_->observe(both).veths.at(veth().host);
  EXPECT_THAT(found.addresses, ElementsAre(cidr("172.18.0.2", 16), cidr("fd00:6d62::2", 64)));
  EXPECT_THAT(found.gateways, ElementsAre(IpAddress::parse("172.18.0.1"), IpAddress::parse("fd00:6d62::1")));
}

TEST_F(KernelObserve, SeesWhatSomebodyChanged) {
  add_bridge();
  add_namespace();
  add_veth();
  must("ip link set mb0123456789ab nomaster down");
  must("ip address flush dev minibridge0; ip link set minibridge0 down");
  must(inside(), "ip link set eth0 address 02:00:00:00:00:07; ip route del default; ip address flush dev eth0");
  const auto actual = kernel_->observe(scope());
  const auto& found = actual.veths.at(veth().host);
  EXPECT_EQ(found.bridge.str(), "");
  EXPECT_FALSE(found.up);
  EXPECT_FALSE(found.hairpin);
  EXPECT_EQ(found.mac.str(), "02:00:00:00:00:07");
  EXPECT_THAT(found.addresses, IsEmpty());
  EXPECT_THAT(found.gateways, IsEmpty());
  EXPECT_FALSE(actual.bridges.at(bridge().name).up);
  EXPECT_THAT(actual.bridges.at(bridge().name).addresses, IsEmpty());
}

TEST_F(KernelObserve, AGatewayRouteOfSomebodyElseIsNotOurs) {
  add_bridge();
  add_namespace();
  add_veth();
  must(inside(), "ip route replace default via 172.18.0.1 dev eth0 proto static");
  EXPECT_THAT(kernel_->observe(scope()).veths.at(veth().host).gateways, IsEmpty());
}

TEST_F(KernelObserve, APeerThatWasTakenElsewhereIsNotThere) {
  add_bridge();
  add_namespace();
  add_veth();
  const auto elsewhere = netns::Namespace::create();
  const auto number = std::to_string(shown(inside(), "eth0").at("ifindex").get<int>());
  must(inside(),
       "ip link set eth0 netns /proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(elsewhere.fd()));
  must(inside(), "ip link add eth0 index " + number + " type bridge");  // in its place, under its number
  EXPECT_EQ(kernel_->observe(scope()).veths.at(veth().host).peer.str(), "");
  EXPECT_THAT(kernel_->observe(everything()).veths, ElementsAre(Key(veth().host)));
}

TEST_F(KernelObserve, APeerThatWasRenamedShowsItsNewName) {
  add_bridge();
  add_namespace();
  add_veth();
  must(inside(), "ip link set eth0 down; ip link set eth0 name wan0");
  EXPECT_EQ(kernel_->observe(scope()).veths.at(veth().host).peer.str(), "wan0");
}

TEST_F(KernelObserve, AVethWhoseNamespaceIsNotPinnedHasNoPeer) {
  add_bridge();
  add_namespace();
  add_veth();
  const auto keeps_it_alive = inside();
  apply(step::UnpinNamespaces{{kContainer}});
  const auto actual = kernel_->observe(scope());
  EXPECT_EQ(actual.veths.at(veth().host).peer.str(), "");
  EXPECT_FALSE(actual.veths.at(veth().host).peer_up);
  EXPECT_THAT(actual.namespaces, IsEmpty());
}

TEST_F(KernelObserve, AForeignLinkWithTheNameOfOurBridgeIsVisibleAsForeign) {
  must("ip link add minibridge0 address 02:00:00:00:00:09 group 7 type veth");
  const auto found = kernel_->observe(scope()).bridges.at(bridge().name);
  EXPECT_EQ(found.group, 0U);
  EXPECT_EQ(found.mac.str(), "02:00:00:00:00:09");
}

TEST_F(KernelObserve, ABridgeOfAnotherStateDirectoryShowsItsGroup) {
  const auto other = Identity::from_state_id("00000001");
  must("ip link add minibridge0 group " + std::to_string(other.group) + " type bridge");
  EXPECT_EQ(kernel_->observe(scope()).bridges.at(bridge().name).group, other.group);
  EXPECT_THAT(kernel_->observe(everything()).bridges, IsEmpty());
}

TEST_F(KernelObserve, EverythingFindsOursByItsGroupAndWhoseItIs) {
  add_bridge();
  add_namespace();
  add_veth();
  apply(step::MakeDirectory{"aaaaaaaaaaaa"});
  apply(step::LinkNamespace{kContainer, "mb-web"});
  renew();
  const auto actual = kernel_->observe(everything());
  EXPECT_THAT(actual.bridges, ElementsAre(Key(bridge().name)));
  ASSERT_THAT(actual.veths, ElementsAre(Key(veth().host)));
  EXPECT_EQ(actual.veths.at(veth().host).container, kContainer);
  EXPECT_EQ(actual.veths.at(veth().host).peer, veth().peer);
  EXPECT_THAT(actual.directories, ElementsAre("aaaaaaaaaaaa"));
  ASSERT_THAT(actual.namespaces, ElementsAre(Key(kContainer)));
  EXPECT_EQ(actual.namespaces.at(kContainer).link_name, "mb-web");
}

TEST_F(KernelObserve, ALinkOnItsWayToDeletionCountsAsGoneUnlessEverythingIsLookedAt) {
  add_bridge();
  add_namespace();
  add_veth();
  must("ip link set mb0123456789ab down group " + std::to_string(identity_.trash));
  EXPECT_THAT(kernel_->observe(scope()).veths, IsEmpty());
  EXPECT_THAT(kernel_->observe(everything()).veths, ElementsAre(Key(veth().host)));
}

TEST_F(KernelObserve, ANamespaceShowsWhetherItsLoopbackIsUp) {
  apply(step::PinNamespace{kContainer, {}});
  must(inside(), "ip link set lo down");
  EXPECT_FALSE(kernel_->observe(scope()).namespaces.at(kContainer).loopback_up);
  apply(change({kContainer, link_name("lo")}, up()));
  EXPECT_TRUE(kernel_->observe(scope()).namespaces.at(kContainer).loopback_up);
}

TEST_F(KernelObserve, ANamespaceMadeByOthersIsPinnedAndStaysWhenItIsLetGo) {
  const auto theirs = netns::Namespace::create();
  apply(step::PinNamespace{kContainer, "/proc/self/fd/" + std::to_string(theirs.fd())});
  EXPECT_TRUE(inside().same_as(theirs));
  apply(step::UnpinNamespaces{{kContainer}});
  EXPECT_EQ(sh(theirs, "true").status, 0);
  EXPECT_THAT(kernel_->observe(everything()).namespaces, IsEmpty());
}

TEST_F(KernelObserve, APinThatFailsLeavesNothing) {
  EXPECT_THROW(apply(step::PinNamespace{kContainer, "/proc/self/ns/uts"}), Error);
  EXPECT_THROW(apply(step::PinNamespace{kContainer, "/nowhere"}), Error);
  EXPECT_THAT(kernel_->observe(everything()).namespaces, IsEmpty());
}

TEST_F(KernelObserve, AHalfMadePinIsFinishedByTheNextOne) {
  add_namespace();
  apply(step::UnpinNamespaces{{kContainer}});
  std::ofstream(state_ + "/netns/" + kContainer).flush();
  EXPECT_THAT(kernel_->observe(scope()).namespaces, IsEmpty());
  EXPECT_THAT(kernel_->observe(everything()).namespaces, ElementsAre(Key(kContainer)));
  apply(step::PinNamespace{kContainer, {}});
  EXPECT_THAT(kernel_->observe(scope()).namespaces, ElementsAre(Key(kContainer)));
}

TEST_F(KernelObserve, ANameForIpNetnsIsMadeSeenAndTakenAway) {
  add_namespace();
  apply(step::LinkNamespace{kContainer, "mb-web"});
  EXPECT_EQ(std::filesystem::read_symlink(state_ + "/links/mb-web"), state_ + "/netns/" + kContainer);
  EXPECT_EQ(kernel_->observe(scope()).namespaces.at(kContainer).link_name, "mb-web");
  apply(step::UnlinkNamespace{kContainer, "mb-web"});
  EXPECT_FALSE(std::filesystem::is_symlink(state_ + "/links/mb-web"));
}

TEST_F(KernelObserve, ANameThatBelongsToSomebodyElseIsNeitherReplacedNorRemoved) {
  add_namespace();
  std::filesystem::create_directory(state_ + "/links");
  std::filesystem::create_symlink("/proc/self/ns/net", state_ + "/links/mb-web");
  EXPECT_EQ(error_of([&] { apply(step::LinkNamespace{kContainer, "mb-web"}); }).kind(), ErrorKind::conflict);
  apply(step::UnlinkNamespace{kContainer, "mb-web"});
  EXPECT_EQ(std::filesystem::read_symlink(state_ + "/links/mb-web"), "/proc/self/ns/net");
}

TEST_F(KernelObserve, ANameLeftByAContainerThatIsGoneIsTakenOverAndThenNotRemovedForTheOldOne) {
  std::filesystem::create_directory(state_ + "/links");
  std::filesystem::create_symlink(state_ + "/netns/000000000000", state_ + "/links/mb-web");
  EXPECT_EQ(kernel_->observe(everything()).namespaces.at("000000000000").link_name, "mb-web");
  add_namespace();
  apply(step::LinkNamespace{kContainer, "mb-web"});
  apply(step::UnlinkNamespace{"000000000000", "mb-web"});
  EXPECT_EQ(kernel_->observe(scope()).namespaces.at(kContainer).link_name, "mb-web");
}

TEST_F(KernelObserve, FilesAreWrittenInPlaceAndRead) {
  apply(step::MakeDirectory{kContainer});
  const std::string path = std::string("containers/") + kContainer + "/hosts";
  apply(step::WriteFile{path, "127.0.0.1\tlocalhost\n172.18.0.2\tweb\n", {}});
  struct stat first {};
  ASSERT_EQ(::stat((state_ + "/" + path).c_str(), &first), 0);
  EXPECT_EQ(first.st_mode & 07777, 0644U);
  apply(step::WriteFile{path, "short\n", {}});
  struct stat second {};
  ASSERT_EQ(::stat((state_ + "/" + path).c_str(), &second), 0);
  EXPECT_EQ(first.st_ino, second.st_ino);
  EXPECT_EQ(slurp(state_ + "/" + path), "short\n");
  EXPECT_THAT(kernel_->observe(scope()).files, ElementsAre(Pair(path, "short\n")));
  EXPECT_THAT(kernel_->observe(scope()).directories, ElementsAre(kContainer));
}

TEST_F(KernelObserve, AFileIsNeverWrittenOutsideOfTheStateDirectory) {
  EXPECT_THROW(apply(step::WriteFile{"containers/../../escaped", "x", {}}), Error);
  EXPECT_FALSE(std::filesystem::exists("/run/escaped"));
}

TEST_F(KernelObserve, ADirectoryIsRemovedWithoutFollowingSymlinks) {
  apply(step::MakeDirectory{kContainer});
  std::filesystem::create_directory(state_ + "/elsewhere");
  std::ofstream(state_ + "/elsewhere/kept") << "kept";
  std::filesystem::create_directory_symlink(state_ + "/elsewhere", state_ + "/containers/" + kContainer + "/trap");
  apply(step::RemoveDirectory{kContainer});
  EXPECT_FALSE(std::filesystem::exists(state_ + "/containers/" + kContainer));
  EXPECT_EQ(slurp(state_ + "/elsewhere/kept"), "kept");
  apply(step::RemoveDirectory{kContainer});
}

TEST_F(KernelObserve, SysctlsOfTheHostAndOfAContainerAreReadAndSet) {
  add_namespace();
  Scope only;
  const SysctlKey range{kContainer, "net.ipv4.ip_local_port_range"};
  only.sysctls = {range, {{}, "net.ipv4.ip_forward"}, {{}, "net.ipv4.no_such_key"}};
  apply(step::SetSysctl{range, {"10000\t10100", {}}, {}});
  const auto found = kernel_->observe(only).sysctls;
  EXPECT_EQ(found.at(range).value, "10000\t10100");
  EXPECT_EQ(found.at({{}, "net.ipv4.ip_forward"}).value, "0");
  EXPECT_THAT(found, SizeIs(2));
}

TEST_F(KernelObserve, WhatSwitchingForwardingOverwritesIsReadBeforeAndPutBackAfter) {
  must("ip link add eth0.1 type veth");
  must(
      "sysctl -qw net/ipv4/conf/eth0.1/forwarding=1 net.ipv4.conf.default.forwarding=1 "
      "net.ipv4.conf.all.accept_redirects=0");
  const auto before = snapshot_host();
  const SysctlKey forward{{}, "net.ipv4.ip_forward"};
  Scope only;
  only.sysctls = {forward};
  const auto found = kernel_->observe(only).sysctls.at(forward);
  EXPECT_EQ(found.value, "0");
  EXPECT_THAT(found.related, Contains(Pair("net/ipv4/conf/eth0.1/forwarding", "1")));
  const step::SetSysctl on{forward, {"1", {}}, found};
  apply(on);
  EXPECT_EQ(must("sysctl -n net/ipv4/conf/lo/forwarding"), "1\n");
  EXPECT_THAT(kernel_->observe(only).sysctls.at(forward).related, IsEmpty());
  undo(on);
  EXPECT_EQ(snapshot_host(), before);
}

TEST_F(KernelObserve, ARelatedKeyOfALinkThatIsGoneIsNoError) {
  const SysctlKey forward{{}, "net.ipv4.ip_forward"};
  apply(step::SetSysctl{forward, {"0", {{"net/ipv4/conf/gone/forwarding", "1"}}}, {}});
}

TEST_F(KernelObserve, ASysctlThatDoesNotExistCannotBeSet) {
  const auto e = error_of([&] { apply(step::SetSysctl{{{}, "net.ipv4.no_such_key"}, {"1", {}}, {}}); });
  EXPECT_EQ(e.message(), "cannot write '1' to sysctl 'net.ipv4.no_such_key': No such file or directory (ENOENT)");
}

}  // namespace
}  // namespace mb::test
