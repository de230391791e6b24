// SPDX-License-Identifier: GPL-2.0-or-later
//
// Attacks with packets that claim to come from somebody else, or that name the way they want to be sent.
#include "tests/behaviour/attacks.h"

namespace mb::test {
namespace {

class ForgedSources : public Attacks {
 protected:
  // A look at the way back leaves a container only the addresses of its own network.
  void look_at_the_way_back() const {
    if (is_v4()) {
      must("sysctl -qw net.ipv4.conf." + bridge("n1") + ".rp_filter=1");
    } else {
      iptables("-t raw -I PREROUTING -i " + bridge("n1") + " -m rpfilter --invert -j DROP");
    }
  }
};
INSTANTIATE_TEST_SUITE_P(In, ForgedSources, testing::Values(Family::v4, Family::v6),
                         [](const auto& test) { return std::string(to_string(test.param)); });

// Of nobody in this world.
std::string stranger(Family family) { return family == Family::v4 ? "203.0.113.5" : "2001:db8:bad::5"; }

TEST_P(ForgedSources, ANeighbourIsNotForwardedToAContainer) {
  const auto reaches = [&](const std::string& source, const std::string& target, std::uint16_t port) {
    return come_by(
        "c1", [&] { forge("wire", source, target, port); }, talk("wire", "host", 8080));
  };
  for (const auto& source :
       {ip("wire"), ip("c2"), ip("gateway n1"), ip("c3"), stranger(family()), ip("loopback"), ip("host")}) {
    EXPECT_EQ(reaches(source, ip("c1"), 80), 0U) << source;
  }
  iptables("-I FORWARD -j ACCEPT");
  EXPECT_EQ(reaches(ip("c2"), ip("c1"), 80), 1U) << "this test could not have told";
}

// The host itself does not come from the wire, nor from a container.
TEST_P(ForgedSources, NobodyReachesAPublishedPortInTheNameOfTheHost) {
  const auto from_wire = [&](const std::string& source) {
    return come_by(
        "c1", [&] { forge("wire", source, ip("host"), 8080); }, talk("wire", "host", 8080));
  };
  const auto from_container = [&](const std::string& source) {
    return come_by(
        "c1", [&] { forge("rogue", source, ip("host"), 8080); }, talk("c3", "host", 8080));
  };
  for (const auto& source : {ip("loopback"), ip("host"), ip("gateway n1"), ip("gateway n2")}) {
    EXPECT_EQ(from_wire(source), 0U) << source;
    EXPECT_EQ(from_container(source), 0U) << source;
  }
  if (is_v4()) {
    must("for f in /proc/sys/net/ipv4/conf/*/accept_local; do echo 1 > $f; done");
  } else {
    iptables("-t raw -F MINIBRIDGE-RAW");
    iptables("-t nat -I PREROUTING -j MINIBRIDGE-PUBLISH");
  }
  EXPECT_EQ(from_wire(ip("host")), 1U) << "this test could not have told";
  EXPECT_EQ(from_container(ip("host")), 1U) << "this test could not have told";
}

TEST_P(ForgedSources, ANeighbourReachesAPublishedPortInTheNameOfAContainer) {
  EXPECT_EQ(come_by(
                "c1", [&] { forge("wire", ip("c2"), ip("host"), 8080); }, talk("wire", "host", 8080)),
            1U);
  expect_in_docs("a neighbour that forges a container's address and sends to a published port");
}

TEST_P(ForgedSources, AContainerReachesNoOtherNetwork) {
  const auto reaches = [&](const std::string& source) {
    return come_by(
        "c3", [&] { forge("rogue", source, ip("c3"), 80); }, talk("rogue", "host", 8083));
  };
  for (const auto& source : {ip("rogue"), ip("c2"), ip("gateway n1"), ip("gateway n2"), ip("outside"), ip("loopback"),
                             either("172.19.0.3", "fd00:19::3")}) {
    EXPECT_EQ(reaches(source), 0U) << source;
  }
  iptables("-I FORWARD -j ACCEPT");
  EXPECT_EQ(reaches(either("172.19.0.3", "fd00:19::3")), 1U) << "this test could not have told";
}

// 127.0.0.1 and ::1 the kernel stops by itself; the rest of 127.0.0.0/8 it does not, nor in IPv6 other addresses of the host.
TEST_P(ForgedSources, AContainerIsNotHeardByTheHostInTheNameOfTheHost) {
  const auto rest = either("127.0.0.53", ip("host"));
  for (const auto& source : {ip("loopback"), rest, ip("host"), ip("gateway n1"), ip("gateway n2")}) {
    EXPECT_FALSE(host_hears(source)) << source;
  }
  iptables("-t raw -F MINIBRIDGE-RAW");
  EXPECT_TRUE(host_hears(rest)) << "this test could not have told";
}

TEST_P(ForgedSources, AContainerIsNotHeardOutsideInTheNameOfTheHost) {
  const auto is_heard = [&](const std::string& source) {
    return come_by(
        "outside", [&] { forge("rogue", source, ip("outside"), 7003); }, talk("rogue", "outside", 7003));
  };
  const auto rest = either("127.0.0.53", ip("host"));
  for (const auto& source : {ip("loopback"), rest, ip("host"), ip("gateway n1"), ip("gateway n2")}) {
    EXPECT_EQ(is_heard(source), 0U) << source;
  }
  iptables("-t raw -F MINIBRIDGE-RAW");
  EXPECT_EQ(is_heard(rest), 1U) << "this test could not have told";
}

TEST_P(ForgedSources, AContainerIsHeardByTheHostAndOutsideInTheNameOfOthers) {
  const auto heard_outside = [&](const std::string& source) {
    return come_by(
        "outside", [&] { forge("rogue", source, ip("outside"), 7003); }, talk("rogue", "outside", 7003));
  };
  for (const auto& source : {ip("c2"), ip("c3"), stranger(family())}) {
    EXPECT_EQ(heard_outside(source), 1U) << source;
    EXPECT_TRUE(host_hears(source)) << source;
  }
  expect_in_docs("a container that sends with a source address that is not its own");
  look_at_the_way_back();
  for (const auto& source : {ip("c3"), stranger(family())}) EXPECT_EQ(heard_outside(source), 0U) << source;
}

// Connection tracking knows the two ends of a flow, not the link by which its answers have to come.
TEST_P(ForgedSources, AContainerSpeaksIntoAFlowOfAnotherInTheNameOfItsFarEnd) {
  const TalkOptions known_port{.from_port = 5353};
  ASSERT_TRUE(udp_talk(at("c3"), ip("outside"), 7003, known_port).reached());
  const auto inject = [&] {
    send("rogue", bridge_mac("n1"), udp_packet(ip("outside"), 7003, ip("host"), 5353, "forged"));
  };
  EXPECT_EQ(come_by("c3", inject, talk("rogue", "host", 8083)), 1U);
  expect_in_docs("a container that forges the far end of another's UDP flow");
  look_at_the_way_back();
  EXPECT_EQ(come_by("c3", inject, talk("rogue", "host", 8083)), 0U);
}

// Loose source routing (IPv4), segment routing (IPv6).
TEST_P(ForgedSources, APacketWithASourceRouteReachesNoContainer) {
  const auto from_outside = [&] { forge("outside", ip("outside"), ip("host"), 80, {.source_route = {ip("c1")}}); };
  const auto from_container = [&] { forge("rogue", ip("rogue"), ip("gateway n1"), 80, {.source_route = {ip("c3")}}); };
  const auto try_both = [&](std::size_t expected) {
    EXPECT_EQ(come_by("c1", from_outside, talk("outside", "host", 8080)), expected);
    EXPECT_EQ(come_by("c3", from_container, talk("rogue", "host", 8083)), expected);
  };
  try_both(0);
  must("for f in /proc/sys/net/" + either("ipv4/conf/*/accept_source_route", "ipv6/conf/*/seg6_enabled") +
       "; do echo 1 > $f; done");
  try_both(0);  // not even where the administrator lets the kernel follow them
  iptables("-I FORWARD -j ACCEPT");
  try_both(1);
}

}  // namespace
}  // namespace mb::test
