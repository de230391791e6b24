// SPDX-License-Identifier: GPL-2.0-or-later
//
// Every step about links, addresses and routes, and its effect as ip(8) sees it.
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <system_error>

#include "tests/integration/kernel_fixture.h"

namespace mb::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class KernelLinks : public KernelTest {};

TEST_F(KernelLinks, AddBridgeSetsGroupAndMacAndSwitchesSnoopingOff) {
  apply(step::AddBridge{bridge()});
  const auto link = shown("minibridge0");
  EXPECT_EQ(link.at("linkinfo").at("info_kind"), "bridge");
  EXPECT_EQ(link.at("linkinfo").at("info_data").at("mcast_snooping"), 0);
  EXPECT_EQ(link.at("address"), "02:6d:ac:12:00:01");
  EXPECT_EQ(link.at("group"), std::to_string(identity_.group));
  EXPECT_FALSE(is_up(link));
}

TEST_F(KernelLinks, AddBridgeHonoursTheMtu) {
  auto small = bridge();
  small.mtu = 1400;
  apply(step::AddBridge{small});
  EXPECT_EQ(shown("minibridge0").at("mtu"), 1400);
}

TEST_F(KernelLinks, AddBridgeFailsWhenTheNameIsTaken) {
  must("ip link add minibridge0 type veth");
  const auto e = error_of([&] { apply(step::AddBridge{bridge()}); });
  EXPECT_EQ(e.error_number(), EEXIST);
  EXPECT_EQ(e.message(), "cannot add bridge 'minibridge0': File exists (EEXIST)");
  EXPECT_EQ(shown("minibridge0").at("linkinfo").at("info_kind"), "veth");
}

TEST_F(KernelLinks, ChangeLinkSetsUpAliasMtuMacAndRouteLocalnetAtOnce) {
  apply(step::AddBridge{bridge()});
  step::LinkChange to = up();
  to.alias = "minibridge:3fa2c19b";
  to.mtu = 1300;
  to.mac = MacAddress::parse("02:6d:ac:13:00:01");
  to.route_localnet = true;
  apply(change({{}, bridge().name}, to));
  const auto link = shown("minibridge0");
  EXPECT_TRUE(is_up(link));
  EXPECT_EQ(link.at("ifalias"), "minibridge:3fa2c19b");
  EXPECT_EQ(link.at("mtu"), 1300);
  EXPECT_EQ(link.at("address"), "02:6d:ac:13:00:01");
  EXPECT_EQ(must("cat /proc/sys/net/ipv4/conf/minibridge0/route_localnet"), "1\n");
}

TEST_F(KernelLinks, ChangeLinkTakesAnAliasAwayAgain) {
  add_bridge();
  step::LinkChange to;
  to.alias = "";
  apply(change({{}, bridge().name}, to));
  EXPECT_FALSE(shown("minibridge0").contains("ifalias"));
}

TEST_F(KernelLinks, AddVethPutsBothEndsWhereTheyBelongWithOneQueueEach) {
  add_bridge();
  add_namespace();
  apply(step::AddVeth{veth()});
  const auto host = shown("mb0123456789ab");
  EXPECT_EQ(host.at("master"), "minibridge0");
  EXPECT_EQ(host.at("group"), std::to_string(identity_.group));
  EXPECT_TRUE(is_up(host));
  EXPECT_EQ(host.at("num_tx_queues"), 1);
  EXPECT_EQ(host.at("num_rx_queues"), 1);
  EXPECT_EQ(host.at("ifalias"), veth().alias);
  EXPECT_THAT(must("bridge -d link show dev mb0123456789ab"), HasSubstr("hairpin on"));
  const auto peer = shown(inside(), "eth0");
  EXPECT_EQ(peer.at("address"), "02:6d:ac:12:00:02");
  EXPECT_FALSE(is_up(peer));
  EXPECT_EQ(peer.at("num_tx_queues"), 1);
}

TEST_F(KernelLinks, NeitherEndOfAVethGetsAnAddressByItself) {
  add_bridge();
  add_namespace();
  add_veth();
  EXPECT_EQ(shown("mb0123456789ab").at("inet6_addr_gen_mode"), "none");
  EXPECT_EQ(shown(inside(), "eth0").at("inet6_addr_gen_mode"), "none");
  EXPECT_THAT(must("ip -6 -o address show dev mb0123456789ab"), IsEmpty());
  EXPECT_THAT(must(inside(), "ip -6 -o address show dev eth0"), IsEmpty());
}

TEST_F(KernelLinks, ABridgeTakesNoRouterAdvertisements) {
  apply(step::AddBridge{bridge()});
  EXPECT_EQ(must("cat /proc/sys/net/ipv6/conf/minibridge0/accept_ra"), "0\n");
}

TEST_F(KernelLinks, AddVethGivesTheMtuToBothEnds) {
  add_bridge();
  add_namespace();
  auto small = veth();
  small.mtu = 1400;
  apply(step::AddVeth{small});
  EXPECT_EQ(shown("mb0123456789ab").at("mtu"), 1400);
  EXPECT_EQ(shown(inside(), "eth0").at("mtu"), 1400);
}

TEST_F(KernelLinks, AddVethWithoutItsBridgeNamesTheBridgeAndLeavesNothing) {
  add_namespace();
  const auto e = error_of([&] { apply(step::AddVeth{veth()}); });
  EXPECT_EQ(e.message(),
            "cannot add veth 'mb0123456789ab' to bridge 'minibridge0': there is no link 'minibridge0' (ENODEV)");
  EXPECT_TRUE(shown("mb0123456789ab").is_null());
  EXPECT_TRUE(shown(inside(), "eth0").is_null());
}

TEST_F(KernelLinks, AddVethWhosePeerNameIsTakenLeavesNothing) {
  add_bridge();
  add_namespace();
  must(inside(), "ip link add eth0 type veth");
  EXPECT_EQ(error_of([&] { apply(step::AddVeth{veth()}); }).error_number(), EEXIST);
  EXPECT_TRUE(shown("mb0123456789ab").is_null());
}

TEST_F(KernelLinks, HairpinIsSetOnAPortAndTakenAwayAgain) {
  add_bridge();
  add_namespace();
  apply(step::AddVeth{veth()});
  step::LinkChange to;
  to.hairpin = true;
  apply(change({{}, veth().host}, to));
  EXPECT_EQ(shown("mb0123456789ab").at("linkinfo").at("info_slave_data").at("hairpin"), true);
  to.hairpin = false;
  apply(change({{}, veth().host}, to));
  EXPECT_EQ(shown("mb0123456789ab").at("linkinfo").at("info_slave_data").at("hairpin"), false);
}

TEST_F(KernelLinks, ALinkIsPutBackIntoItsBridgeWithHairpinInOneStep) {
  add_bridge();
  add_namespace();
  add_veth();
  must("ip link set mb0123456789ab nomaster");
  step::LinkChange to;
  to.master = bridge().name;
  to.hairpin = true;
  apply(change({{}, veth().host}, to));
  const auto link = shown("mb0123456789ab");
  EXPECT_EQ(link.at("master"), "minibridge0");
  EXPECT_EQ(link.at("linkinfo").at("info_slave_data").at("hairpin"), true);
}

TEST_F(KernelLinks, AnErrorCarriesTheKernelsOwnSentence) {
  add_bridge();
  must("ip link add mbv12 type bridge");
  step::LinkChange to;
  to.master = bridge().name;
  const auto e = error_of([&] { apply(change({{}, link_name("mbv12")}, to)); });
  EXPECT_EQ(e.message(), "cannot add 'mbv12' to bridge 'minibridge0': Can not enslave a bridge to a bridge (ELOOP)");
  EXPECT_EQ(e.error_number(), ELOOP);
  EXPECT_EQ(e.kind(), ErrorKind::failed);
}

TEST_F(KernelLinks, AddressesOfBothFamiliesComeReadyAndGo) {
  add_bridge();
  const LinkRef link{{}, bridge().name};
  apply(step::AddAddress{link, cidr("fd00:6d62::1", 64)});
  const auto listed = must("ip -o address show dev minibridge0");
  EXPECT_THAT(listed, HasSubstr("inet 172.18.0.1/16 scope global"));
  EXPECT_THAT(listed, HasSubstr("inet6 fd00:6d62::1/64 scope global nodad"));
  apply(step::DeleteAddress{link, cidr("172.18.0.1", 16)});
  apply(step::DeleteAddress{link, cidr("fd00:6d62::1", 64)});
  EXPECT_THAT(must("ip -o address show dev minibridge0 scope global"), IsEmpty());
}

TEST_F(KernelLinks, AnAddressThatIsThereAlreadyIsAnErrorThatNamesIt) {
  add_bridge();
  const auto e = error_of([&] { apply(step::AddAddress{{{}, bridge().name}, cidr("172.18.0.1", 16)}); });
  EXPECT_THAT(e.message(), HasSubstr("cannot add address '172.18.0.1/16' to 'minibridge0': "));
  EXPECT_EQ(e.error_number(), EEXIST);
}

TEST_F(KernelLinks, DefaultRoutesCarryOurProtocolNumber) {
  add_bridge();
  add_namespace();
  add_veth();
  EXPECT_EQ(must(inside(), "ip -N route show default"), "default via 172.18.0.1 dev eth0 proto 109 \n");
  apply(step::DeleteDefaultRoute{{kContainer, veth().peer}, IpAddress::parse("172.18.0.1")});
  EXPECT_THAT(must(inside(), "ip route show default"), IsEmpty());
}

TEST_F(KernelLinks, ADefaultRouteThatIsNotOursIsNotDeleted) {
  add_bridge();
  add_namespace();
  add_veth();
  must(inside(), "ip route replace default via 172.18.0.9 dev eth0");
  apply(step::DeleteDefaultRoute{{kContainer, veth().peer}, IpAddress::parse("172.18.0.9")});
  EXPECT_THAT(must(inside(), "ip route show default"), HasSubstr("via 172.18.0.9"));
}

TEST_F(KernelLinks, ADefaultRouteOfIPv6GoesThroughTheSameSteps) {
  add_bridge();
  add_namespace();
  add_veth();
  const LinkRef eth0{kContainer, veth().peer};
  apply(step::AddAddress{eth0, cidr("fd00:6d62::2", 64)});
  apply(step::AddDefaultRoute{eth0, IpAddress::parse("fd00:6d62::1")});
  EXPECT_THAT(must(inside(), "ip -6 -N route show default"), HasSubstr("default via fd00:6d62::1 dev eth0 proto 109"));
  apply(step::DeleteDefaultRoute{eth0, IpAddress::parse("fd00:6d62::1")});
  EXPECT_THAT(must(inside(), "ip -6 route show default"), IsEmpty());
}

TEST_F(KernelLinks, UndoingEveryStepLeavesTheHostAsItWas) {
  const auto before = snapshot_host();
  std::vector<Step> steps{step::AddBridge{bridge()}, step::AddAddress{{{}, bridge().name}, cidr("172.18.0.1", 16)},
                          step::PinNamespace{kContainer, {}}, step::AddVeth{veth()},
                          step::AddAddress{{kContainer, veth().peer}, cidr("172.18.0.2", 16)}};
  for (const auto& step : steps) apply(step);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) undo(*step);
  EXPECT_EQ(snapshot_host(), before);
  EXPECT_FALSE(std::filesystem::exists(state_ + "/netns/" + kContainer));
}

TEST_F(KernelLinks, UndoingWhatIsGoneAlreadyIsNoError) {
  const LinkRef missing{{}, link_name("minibridge0")};
  undo(step::AddBridge{bridge()});
  undo(step::AddAddress{missing, cidr("172.18.0.1", 16)});
  undo(step::AddDefaultRoute{{kContainer, veth().peer}, IpAddress::parse("172.18.0.1")});
  undo(step::ChangeLink{missing, up(), up(false)});
  undo(step::AddVeth{veth()});
  undo(step::PinNamespace{kContainer, {}});
}

TEST_F(KernelLinks, DeletingManyLinksTakesOnlyOurs) {
  add_bridge();
  add_namespace();
  std::vector<InterfaceName> links;
  for (int i = 0; i < 20; ++i) {
    auto one = veth();
    one.host = link_name(fmt::format("mb{:012d}", i).c_str());
    one.peer = link_name(fmt::format("eth{}", i).c_str());
    apply(step::AddVeth{one});
    links.push_back(one.host);
  }
  must("ip link add foreign type veth peer name foreign2; ip link set foreign group 7 up");
  links.push_back(bridge().name);
  links.push_back(link_name("mbgone"));
  apply(step::TakeLinksDown{links});
  apply(step::DeleteLinks{links});
  EXPECT_THAT(must("ip -o link show group " + std::to_string(identity_.trash)), IsEmpty());
  EXPECT_THAT(must("ip -o link show group " + std::to_string(identity_.group)), IsEmpty());
  EXPECT_FALSE(shown("foreign").is_null());
  EXPECT_TRUE(shown(inside(), "eth7").is_null());
}

TEST_F(KernelLinks, ALinkThatIsNotOursIsNeverDeletedAndNothingElseIsEither) {
  add_bridge();
  must("ip link add foreign type veth");
  const auto e = error_of([&] { apply(step::DeleteLinks{{bridge().name, link_name("foreign")}}); });
  EXPECT_EQ(e.kind(), ErrorKind::conflict);
  EXPECT_THAT(e.message(), HasSubstr("refusing to delete link 'foreign'"));
  EXPECT_FALSE(shown("foreign").is_null());
  EXPECT_FALSE(shown("minibridge0").is_null());
}

// Without CAP_NET_ADMIN while it lives. The other threads of the process keep theirs.
class Powerless {
 public:
  Powerless() {
    if (::syscall(SYS_capget, &header_, before_) != 0)
      throw std::system_error(errno, std::generic_category(), "capget");
    __user_cap_data_struct less[2] = {before_[0], before_[1]};
    less[0].effective &= ~(1U << CAP_NET_ADMIN);
    if (::syscall(SYS_capset, &header_, less) != 0) throw std::system_error(errno, std::generic_category(), "capset");
  }
  ~Powerless() { ::syscall(SYS_capset, &header_, before_); }

 private:
  __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct before_[2]{};
};

TEST_F(KernelLinks, WithoutPrivilegeTheErrorIsOfThatKind) {
  const Powerless powerless;
  const auto e = error_of([&] { apply(step::AddBridge{bridge()}); });
  EXPECT_EQ(e.kind(), ErrorKind::privilege);
  EXPECT_EQ(e.message(), "cannot add bridge 'minibridge0': Operation not permitted (EPERM)");
}

}  // namespace
}  // namespace mb::test
