// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/address.h"

#include "tests/unit/make.h"

namespace mb {
namespace {

using test::ip;
using test::message_of;

struct Wrong {
  std::string_view text;
  std::string_view message;
};

TEST(IpAddress, PrintsWhatItParsed) {
  for (const std::string text :
       {"0.0.0.0", "1.2.3.4", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1:2:3:4", "::ffff:1.2.3.4"}) {
    EXPECT_EQ(ip(text).str(), text);
  }
}

TEST(IpAddress, PrintsIpv6InItsCanonicalForm) {
  EXPECT_EQ(ip("2001:DB8:0:0:0:0:0:1").str(), "2001:db8::1");
  EXPECT_EQ(ip("0:0:0:0:0:0:0:0").str(), "::");
}

TEST(IpAddress, SaysWhereAndWhyATextIsNone) {
  const std::vector<Wrong> table = {
      {"", "'' is not an IPv4 address: expected a number at position 1"},
      {"1", "'1' is not an IPv4 address: expected '.' at position 2"},
      {"1.2.3", "'1.2.3' is not an IPv4 address: expected '.' at position 6"},
      {"1.2.3.", "'1.2.3.' is not an IPv4 address: expected a number at position 7"},
      {"1.2.3.256", "'1.2.3.256' is not an IPv4 address: a number must be 0 to 255 at position 7"},
      {"1.2.3.99999999999", "'1.2.3.99999999999' is not an IPv4 address: a number must be 0 to 255 at position 7"},
      {"1.2.03.4", "'1.2.03.4' is not an IPv4 address: a number must not begin with 0 at position 5"},
      {"1.2.3.4.5", "'1.2.3.4.5' is not an IPv4 address: unexpected '.5' at position 8"},
      {"1.2.3.4 ", "'1.2.3.4 ' is not an IPv4 address: unexpected ' ' at position 8"},
      {" 1.2.3.4", "' 1.2.3.4' is not an IPv4 address: expected a number at position 1"},
      {"1.-2.3.4", "'1.-2.3.4' is not an IPv4 address: expected a number at position 3"},
      {"web", "'web' is not an IPv4 address: expected a number at position 1"},
      {"1.2.3.4\n", "'1.2.3.4\\x0a' is not an IPv4 address: unexpected '\\x0a' at position 8"},
      {"fe80::1%eth0", "'fe80::1%eth0' is not an IPv6 address: unexpected '%' at position 8"},
      {"[::1]", "'[::1]' is not an IPv6 address: unexpected '[' at position 1"},
      {"1:2:3", "'1:2:3' is not an IPv6 address: the groups do not add up to 16 bytes at position 6"},
      {"1::2::3", "'1::2::3' is not an IPv6 address: the groups do not add up to 16 bytes at position 8"},
      {":", "':' is not an IPv6 address: the groups do not add up to 16 bytes at position 2"},
      {"12345::", "'12345::' is not an IPv6 address: the groups do not add up to 16 bytes at position 8"},
  };
  for (const auto& [text, message] : table) {
    EXPECT_EQ(message_of([&, t = text] { IpAddress::parse(t); }), message);
  }
}

TEST(IpAddress, KnowsItsKind) {
  EXPECT_TRUE(ip("0.0.0.0").is_any() && ip("::").is_any());
  EXPECT_TRUE(ip("127.0.0.1").is_loopback() && ip("127.255.0.9").is_loopback() && ip("::1").is_loopback());
  EXPECT_FALSE(ip("128.0.0.1").is_loopback() || ip("::2").is_loopback());
  EXPECT_TRUE(ip("224.0.0.1").is_multicast() && ip("239.9.9.9").is_multicast() && ip("ff02::1").is_multicast());
  EXPECT_FALSE(ip("240.0.0.1").is_multicast());
  EXPECT_TRUE(ip("169.254.1.1").is_link_local() && ip("fe80::1").is_link_local() && ip("febf::1").is_link_local());
  EXPECT_FALSE(ip("169.253.1.1").is_link_local() || ip("fec0::1").is_link_local());
}

TEST(IpAddress, CountsOn) {
  EXPECT_EQ(ip("10.0.0.255").plus(1), ip("10.0.1.0"));
  EXPECT_EQ(ip("10.0.0.0").plus(65536), ip("10.1.0.0"));
  EXPECT_EQ(ip("255.255.255.255").plus(1), ip("0.0.0.0"));
  EXPECT_EQ(ip("fd00::ffff:ffff:ffff:ffff").plus(1), ip("fd00:0:0:1::"));
  EXPECT_EQ(ip("10.0.0.9").distance_to(ip("10.0.1.0")), 247u);
  EXPECT_EQ(ip("::").distance_to(ip("::ffff:ffff:ffff:ffff")), UINT64_MAX);
  EXPECT_EQ(ip("::").distance_to(ip("1::")), UINT64_MAX);
}

TEST(Subnet, PrintsWhatItParsed) {
  for (const std::string text :
       {"172.18.0.0/16", "0.0.0.0/0", "10.1.2.3/32", "10.1.2.2/31", "fd00::/64", "::/0", "::1/128"}) {
    EXPECT_EQ(Subnet::parse(text).str(), text);
  }
}

TEST(Subnet, SaysWhereAndWhyATextIsNone) {
  const std::vector<Wrong> table = {
      {"", "'' is not a subnet: expected an address at position 1"},
      {"/16", "'/16' is not a subnet: expected an address at position 1"},
      {"10.0.0.0", "'10.0.0.0' is not a subnet: expected '/' and a prefix length at position 9"},
      {"10.0.0.0/", "'10.0.0.0/' is not a subnet: expected the prefix length at position 10"},
      {"10.0.0.0/33", "'10.0.0.0/33' is not a subnet: the prefix length must be 0 to 32 at position 10"},
      {"10.0.0.0/08", "'10.0.0.0/08' is not a subnet: the prefix length must not begin with 0 at position 10"},
      {"10.0.0.0/8 ", "'10.0.0.0/8 ' is not a subnet: unexpected ' ' at position 11"},
      {"10.0.0.0/-1", "'10.0.0.0/-1' is not a subnet: expected the prefix length at position 10"},
      {"10.0.0.1/24", "'10.0.0.1/24' is not a subnet: host bits are set"},
      {"10.0.0/24", "'10.0.0' is not an IPv4 address: expected '.' at position 7"},
      {"fd00::1/64", "'fd00::1/64' is not a subnet: host bits are set"},
      {"fd00::/129", "'fd00::/129' is not a subnet: the prefix length must be 0 to 128 at position 8"},
  };
  for (const auto& [text, message] : table) {
    EXPECT_EQ(message_of([&, t = text] { Subnet::parse(t); }), message);
  }
}

TEST(Subnet, HintNamesTheSubnetInWhichTheAddressLies) {
  try {
    Subnet::parse("10.0.0.9/24");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.hint(), "the subnet in which it lies is 10.0.0.0/24");
  }
}

TEST(Subnet, RefusesAPrefixOutsideItsFamily) {
  EXPECT_EQ(message_of([] { Subnet(ip("10.0.0.0"), -1); }),
            "'10.0.0.0/-1' is not a subnet: the prefix length must be 0 to 32");
  EXPECT_EQ(message_of([] { Subnet(ip("fd00::"), 129); }),
            "'fd00::/129' is not a subnet: the prefix length must be 0 to 128");
}

TEST(Subnet, ContainsAndOverlaps) {
  const auto wide = Subnet::parse("10.0.0.0/8");
  const auto narrow = Subnet::parse("10.9.0.0/16");
  EXPECT_TRUE(wide.contains(narrow) && !narrow.contains(wide));
  EXPECT_TRUE(wide.overlaps(narrow) && narrow.overlaps(wide));
  EXPECT_FALSE(narrow.overlaps(Subnet::parse("10.10.0.0/16")));
  EXPECT_TRUE(narrow.contains(ip("10.9.255.255")));
  EXPECT_FALSE(narrow.contains(ip("10.10.0.0")) || narrow.contains(ip("::1")));
  EXPECT_FALSE(Subnet::parse("0.0.0.0/0").overlaps(Subnet::parse("::/0")));
  EXPECT_EQ(narrow.last(), ip("10.9.255.255"));
  EXPECT_EQ(Subnet::parse("10.0.0.4/30").last(), ip("10.0.0.7"));
  EXPECT_EQ(Subnet::parse("fd00::/64").last(), ip("fd00::ffff:ffff:ffff:ffff"));
}

TEST(InterfaceAddress, KnowsItsSubnet) {
  const InterfaceAddress address{ip("172.18.3.4"), 16};
  EXPECT_EQ(address.str(), "172.18.3.4/16");
  EXPECT_EQ(address.subnet(), Subnet::parse("172.18.0.0/16"));
}

TEST(MacAddress, PrintsInLowerCase) { EXPECT_EQ(MacAddress::parse("02:6D:aC:12:00:fF").str(), "02:6d:ac:12:00:ff"); }

TEST(MacAddress, SaysWhereAndWhyATextIsNone) {
  const std::vector<Wrong> table = {
      {"", "'' is not a MAC address: expected two hexadecimal digits at position 1"},
      {"02:6d:ac:12:00", "'02:6d:ac:12:00' is not a MAC address: expected ':' at position 15"},
      {"02:6d:ac:12:00:2", "'02:6d:ac:12:00:2' is not a MAC address: expected two hexadecimal digits at position 17"},
      {"02-6d-ac-12-00-02", "'02-6d-ac-12-00-02' is not a MAC address: expected ':' at position 3"},
      {"02:6d:ac:12:00:02:03", "'02:6d:ac:12:00:02:03' is not a MAC address: unexpected ':03' at position 18"},
      {"0g:6d:ac:12:00:02", "'0g:6d:ac:12:00:02' is not a MAC address: expected two hexadecimal digits at position 2"},
      {"01:00:5e:00:00:01",
       "'01:00:5e:00:00:01' is not a MAC address: a multicast address cannot belong to an interface at position 1"},
      {"ff:ff:ff:ff:ff:ff",
       "'ff:ff:ff:ff:ff:ff' is not a MAC address: a multicast address cannot belong to an interface at position 1"},
      {"00:00:00:00:00:00",
       "'00:00:00:00:00:00' is not a MAC address: the all-zero address cannot belong to an interface at position 1"},
  };
  for (const auto& [text, message] : table) {
    EXPECT_EQ(message_of([&, t = text] { MacAddress::parse(t); }), message);
  }
}

TEST(MacAddress, IsDerivedFromTheAddress) {
  EXPECT_EQ(MacAddress::derived_from(ip("172.18.0.2")).str(), "02:6d:ac:12:00:02");
  EXPECT_EQ(MacAddress::derived_from(ip("fd00::1:2")).str(), "02:6d:00:01:00:02");
}

}  // namespace
}  // namespace mb
