// SPDX-License-Identifier: GPL-2.0-or-later
//
// Attacks on a link: neighbours, routers and gateways that somebody only claims to be.
#include <map>

#include "tests/behaviour/attacks.h"
#include "tests/support/capture.h"

namespace mb::test {
namespace {

using netns::Namespace;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kAllNodes = "33:33:00:00:00:01";  // the Ethernet address of ff02::1

std::string name_of(const testing::TestParamInfo<Family>& test) { return std::string(to_string(test.param)); }

// ------------------------------------------------------------------ neighbours

class Impostors : public Attacks {
 protected:
  Impostors() {
    // ARP believes a change of heart only after a second; a test need not wait for it.
    for (const std::string place : {"host", "c2", "c3"}) {
      must(at(place), "for f in /proc/sys/net/ipv4/neigh/*/locktime; do echo 0 > $f; done");
    }
  }

  /// rogue says to `victim` (in IPv6 to all): `address` is me.
  void claim(const std::string& address, const std::string& victim_mac, const std::string& victim) const {
    if (is_v4()) {
      send_frame(at("rogue"), "eth0", arp_reply(mac("rogue"), address, victim_mac, victim));
    } else {
      send("rogue", kAllNodes, neighbour_advertisement(address, mac("rogue")));
    }
  }

  static std::string neighbours(const Namespace& where, const std::string& words) {
    return must(where, "ip neigh show " + words);
  }
};
INSTANTIATE_TEST_SUITE_P(In, Impostors, testing::Values(Family::v4, Family::v6), name_of);

TEST_P(Impostors, OfTheGatewayOrASiblingAreBelieved) {
  ASSERT_TRUE(tcp_talk(at("c2"), ip("gateway n1"), 7000).reached());
  const auto is_believed = [&](const std::string& who, const std::string& address) {
    return neighbours(at(who), address).find(mac("rogue")) != std::string::npos;
  };
  bool believed = false;
  constexpr int kMostTries = 50;  // whom it claims to be may put it right before anybody has looked
  for (int tries = 0; tries < kMostTries && !believed; ++tries) {
    claim(ip("gateway n1"), mac("c2"), ip("c2"));
    claim(ip("c2"), bridge_mac("n1"), ip("gateway n1"));
    ASSERT_TRUE(tcp_talk(at("rogue"), ip("gateway n1"), 7000).reached());
    believed = is_believed("c2", ip("gateway n1")) && is_believed("host", ip("c2"));
  }
  EXPECT_TRUE(believed);
  expect_in_docs("a container that claims a sibling's IP or MAC address, or the gateway's (ARP, neighbour discovery)");
}

// What it can claim ends at its own network.
TEST_P(Impostors, OfAnotherNetworkAreNotBelieved) {
  ASSERT_TRUE(tcp_talk(at("host"), ip("c3"), 80).reached());
  ASSERT_TRUE(tcp_talk(at("c3"), ip("gateway n2"), 8080).reached());
  const auto is_rogue = [rogue = mac("rogue")](const Packet& p) { return p.source_mac == rogue; };
  Capture c3(at("c3"), "eth0");
  const auto claim_both = [&] {
    claim(ip("gateway n2"), "ff:ff:ff:ff:ff:ff", ip("c3"));
    claim(ip("c3"), bridge_mac("n1"), ip("gateway n1"));
  };
  const auto seen_of_rogue = [&] {
    claim_both();
    EXPECT_TRUE(tcp_talk(at("rogue"), ip("host"), 8083).reached());
    return count(c3.drain(), is_rogue);
  };
  EXPECT_EQ(in_all_circumstances(seen_of_rogue), 0U);
  EXPECT_THAT(neighbours(at("host"), ip("c3") + " dev " + bridge("n2")), Not(HasSubstr(mac("rogue"))));

  must("ip link set $(ip -o link show master " + bridge("n2") + " | sed 's/^[0-9]*: \\([^@:]*\\).*/\\1/') master " +
       bridge("n1"));
  claim_both();
  EXPECT_NO_THROW(c3.until(is_rogue)) << "this test could not have told";
}

// ------------------------------------------------------------------ routers

using RouterAdvertisements = Attacks;
INSTANTIATE_TEST_SUITE_P(In, RouterAdvertisements, testing::Values(Family::v6), name_of);

std::string default_route(const Namespace& where) { return must(where, "ip -6 route show default"); }

TEST_P(RouterAdvertisements, OfAContainerChangeNothingAtTheHost) {
  const auto route_after_an_advertisement = [&] {
    send("rogue", kAllNodes, router_advertisement("fe80::bad", "2001:db8:bad::"));
    EXPECT_TRUE(tcp_talk(at("rogue"), ip("gateway n1"), 7000).reached());
    return default_route(at("host"));
  };
  EXPECT_EQ(in_all_circumstances(route_after_an_advertisement), "");
  EXPECT_THAT(must("ip -6 address"), Not(HasSubstr("2001:db8:bad:")));
  must("sysctl -qw net.ipv6.conf." + bridge("n1") + ".accept_ra=2");
  EXPECT_THAT(route_after_an_advertisement(), HasSubstr("fe80::bad")) << "this test could not have told";
}

TEST_P(RouterAdvertisements, OfAContainerAreBelievedByItsSiblings) {
  send("rogue", kAllNodes, router_advertisement("fe80::bad", "2001:db8:bad::"));
  ASSERT_TRUE(tcp_talk(at("rogue"), ip("c1"), 80).reached());
  EXPECT_THAT(default_route(at("c1")), HasSubstr("fe80::bad"));
  expect_in_docs("a container that sends router advertisements to its siblings");
}

// ------------------------------------------------------------------ redirects

// The kernel believes a redirect in the name of the present gateway, to one whose MAC address it knows. In IPv6 both are
// named by link-local addresses.
class Redirects : public Attacks {
 protected:
  // As it is named in routes and by redirects.
  [[nodiscard]] std::string router(const std::string& place) const {
    static const std::map<std::string, std::string> kLinkLocal{
        {"gateway n1", "fe80::1"}, {"c2", "fe80::3"}, {"rogue", "fe80::4"}};
    return is_v4() ? ip(place) : kLinkLocal.at(place);
  }
  [[nodiscard]] static std::string far_away() { return either("203.0.113.1", "2001:db8:77::1"); }
  [[nodiscard]] std::string way_of(const std::string& place) const {
    return must(at(place), "ip route get " + far_away());
  }
};
INSTANTIATE_TEST_SUITE_P(In, Redirects, testing::Values(Family::v4, Family::v6), name_of);

TEST_P(Redirects, OfAContainerDoNotChangeTheHostsRoutes) {
  must("ip route add " + either("203.0.113.0/24", "2001:db8:77::/64") + " via " + router("c2") + " dev " +
       bridge("n1"));
  const auto way_after_a_redirect = [&] {
    EXPECT_TRUE(tcp_talk(at("rogue"), ip("gateway n1"), 7000).reached());
    send("rogue", bridge_mac("n1"), redirect_packet(router("c2"), ip("gateway n1"), far_away(), router("rogue")));
    EXPECT_TRUE(tcp_talk(at("rogue"), ip("gateway n1"), 7000).reached());
    return way_of("host");
  };
  EXPECT_THAT(in_all_circumstances(way_after_a_redirect), HasSubstr("via " + router("c2")));
  must(either("for f in /proc/sys/net/ipv4/conf/*/accept_redirects; do echo 1 > $f; done",
              "sysctl -qw net.ipv6.conf." + bridge("n1") + ".forwarding=0"));
  EXPECT_THAT(way_after_a_redirect(), HasSubstr("via " + router("rogue"))) << "this test could not have told";
}

class RedirectsAmongSiblings : public Redirects {
 protected:
  [[nodiscard]] std::string way_after_a_redirect() const {
    EXPECT_EQ(tcp_talk(at("c2"), ip("rogue"), 80).kind, Outcome::kRefused);
    send("rogue", mac("c2"), redirect_packet(router("gateway n1"), ip("c2"), far_away(), router("rogue")));
    EXPECT_EQ(tcp_talk(at("rogue"), ip("c2"), 80).kind, Outcome::kRefused);
    return way_of("c2");
  }
};

using RedirectsAmongSiblingsV4 = RedirectsAmongSiblings;
INSTANTIATE_TEST_SUITE_P(In, RedirectsAmongSiblingsV4, testing::Values(Family::v4), name_of);

TEST_P(RedirectsAmongSiblingsV4, InTheNameOfTheGatewayAreBelieved) {
  EXPECT_THAT(way_after_a_redirect(), HasSubstr("via " + router("rogue")));
  expect_in_docs("a container that sends ICMP redirects in the gateway's name to its siblings");
}

// A redirect comes from a link-local address, and a container knows its gateway by another.
using RedirectsAmongSiblingsV6 = RedirectsAmongSiblings;
INSTANTIATE_TEST_SUITE_P(In, RedirectsAmongSiblingsV6, testing::Values(Family::v6), name_of);

TEST_P(RedirectsAmongSiblingsV6, InTheNameOfTheGatewayAreNotBelieved) {
  EXPECT_THAT(in_all_circumstances([&] { return way_after_a_redirect(); }), HasSubstr("via " + ip("gateway n1")));
  must(at("c2"), "ip route replace default via " + router("gateway n1") + " dev eth0");
  EXPECT_THAT(way_after_a_redirect(), HasSubstr("via " + router("rogue"))) << "this test could not have told";
}

}  // namespace
}  // namespace mb::test
