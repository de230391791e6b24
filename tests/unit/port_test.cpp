// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/port.h"

#include "tests/unit/make.h"

namespace mb {
namespace {

using test::ip;
using test::message_of;
using test::port;

struct Good {
  std::string_view text;
  PublishSpec meaning;
  std::string_view canonical;
};

TEST(PublishSpec, MeansWhatItSays) {
  const std::optional<IpAddress> any;
  const auto local = ip("127.0.0.1");
  const std::optional<PortRange> some;
  const std::vector<Good> table = {
      {"80", {any, some, {80, 80}, Protocol::tcp}, "80/tcp"},
      {"8080:80", {any, PortRange{8080, 8080}, {80, 80}, Protocol::tcp}, "8080:80/tcp"},
      {"8080:80/tcp", {any, PortRange{8080, 8080}, {80, 80}, Protocol::tcp}, "8080:80/tcp"},
      {"53:53/udp", {any, PortRange{53, 53}, {53, 53}, Protocol::udp}, "53:53/udp"},
      {"9/sctp", {any, some, {9, 9}, Protocol::sctp}, "9/sctp"},
      {"9000-9999:2000-2999", {any, PortRange{9000, 9999}, {2000, 2999}, Protocol::tcp}, "9000-9999:2000-2999/tcp"},
      {"2000-2999", {any, some, {2000, 2999}, Protocol::tcp}, "2000-2999/tcp"},
      {"1-65535:1-65535", {any, PortRange{1, 65535}, {1, 65535}, Protocol::tcp}, "1-65535:1-65535/tcp"},
      {"7-7:9", {any, PortRange{7, 7}, {9, 9}, Protocol::tcp}, "7:9/tcp"},
      {"127.0.0.1:8081:80", {local, PortRange{8081, 8081}, {80, 80}, Protocol::tcp}, "127.0.0.1:8081:80/tcp"},
      {"127.0.0.1::80", {local, some, {80, 80}, Protocol::tcp}, "127.0.0.1::80/tcp"},
      {"127.0.0.1:80", {local, some, {80, 80}, Protocol::tcp}, "127.0.0.1::80/tcp"},
      {"0.0.0.0:1:2/udp", {ip("0.0.0.0"), PortRange{1, 1}, {2, 2}, Protocol::udp}, "0.0.0.0:1:2/udp"},
      {"[::1]:8080:80", {ip("::1"), PortRange{8080, 8080}, {80, 80}, Protocol::tcp}, "[::1]:8080:80/tcp"},
      {"[::]::80", {ip("::"), some, {80, 80}, Protocol::tcp}, "[::]::80/tcp"},
  };
  for (const auto& [text, meaning, canonical] : table) {
    const auto spec = PublishSpec::parse(text);
    EXPECT_EQ(spec, meaning) << text;
    EXPECT_EQ(spec.str(), canonical);
    EXPECT_EQ(PublishSpec::parse(spec.str()), spec) << text;
  }
}

struct BadPort {
  std::string text;
  std::string reason;  // what follows "'…' is not a publish specification: "
};

TEST(PublishSpec, SaysWhereAndWhyATextIsNone) {
  const std::vector<BadPort> table = {
      {"", "expected a port at position 1"},
      {"0", "a port must be 1 to 65535 at position 1"},
      {"0:80", "a port must be 1 to 65535 at position 1"},
      {"80:0", "a port must be 1 to 65535 at position 4"},
      {"65536", "a port must be 1 to 65535 at position 1"},
      {"8080:65536", "a port must be 1 to 65535 at position 6"},
      {"99999999999999999999:80", "a port must be 1 to 65535 at position 1"},
      {"90-80", "the range 90-80 is reversed at position 1"},
      {"80:90-80", "the range 90-80 is reversed at position 4"},
      {"9000-9001:80", "2 host ports for 1 container ports at position 11"},
      {"9000:80-81", "1 host ports for 2 container ports at position 6"},
      {"1-65535:1-65534", "65535 host ports for 65534 container ports at position 9"},
      {"080", "a port must not begin with 0 at position 1"},
      {"8080:00", "a port must not begin with 0 at position 6"},
      {":80", "expected a port at position 1"},
      {"80:", "expected a port at position 4"},
      {"80-", "expected a port at position 4"},
      {"-80", "expected a port at position 1"},
      {"80-90-95", "unexpected '-95' at position 6"},
      {"80/", "expected tcp, udp or sctp at position 4"},
      {"/tcp", "expected a port at position 1"},
      {"80/icmp", "expected tcp, udp or sctp at position 4"},
      {"80/TCP", "expected tcp, udp or sctp at position 4"},
      {"80/tcpx", "unexpected 'x' at position 7"},
      {"80/tcp/udp", "unexpected '/udp' at position 7"},
      {"8080:80:90", "unexpected ':90' at position 8"},
      {"1.2.3.4", "unexpected '.2.3.4' at position 2"},
      {"127.0.0.1:", "expected a port at position 11"},
      {"127.0.0.1::", "expected a port at position 12"},
      {"::1:80:80", "expected a port at position 1"},
      {"[::1]80", "expected ':' at position 6"},
      {"[::1:80:80", "expected ']' at position 11"},
      {"[1.2.3.4]:80:80", "brackets are for IPv6 addresses at position 2"},
      {"8080: 80", "expected a port at position 6"},
      {" 80", "expected a port at position 1"},
      {"80 ", "unexpected ' ' at position 3"},
      {"+80", "expected a port at position 1"},
      {"0x50", "a port must be 1 to 65535 at position 1"},
      {"web:80", "expected a port at position 1"},
  };
  for (const auto& [text, reason] : table) {
    EXPECT_EQ(message_of([&, t = text] { PublishSpec::parse(t); }),
              "'" + text + "' is not a publish specification: " + reason);
  }
}

TEST(PublishSpec, RejectsItsAddressInTheWordsOfTheAddress) {
  EXPECT_EQ(message_of([] { PublishSpec::parse("1.2.3.400:80:80"); }),
            "'1.2.3.400' is not an IPv4 address: a number must be 0 to 255 at position 7");
  EXPECT_EQ(message_of([] { PublishSpec::parse("[fe80::g]:80:80"); }),
            "'fe80::g' is not an IPv6 address: unexpected 'g' at position 7");
}

TEST(PublishSpec, ShowsControlCharactersWithoutSendingThem) {
  EXPECT_EQ(message_of([] { PublishSpec::parse("80\n"); }),
            "'80\\x0a' is not a publish specification: unexpected '\\x0a' at position 3");
  EXPECT_EQ(message_of([] { PublishSpec::parse(std::string_view("80\0", 3)); }),
            "'80\\x00' is not a publish specification: unexpected '\\x00' at position 3");
}

TEST(PublishSpec, RejectionIsAUsageError) {
  try {
    PublishSpec::parse("1:2-3");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::usage);
    EXPECT_EQ(e.hint(), "ranges map one to one, so both must have the same length");
  }
}

TEST(PublishedPort, PrintsForPeople) {
  EXPECT_EQ(port("0.0.0.0", {8080, 8080}, {80, 80}).str(), "8080 -> 80/tcp");
  EXPECT_EQ(port("127.0.0.1", {8081, 8081}, {80, 80}).str(), "127.0.0.1:8081 -> 80/tcp");
  EXPECT_EQ(port("0.0.0.0", {9000, 9999}, {2000, 2999}, Protocol::udp).str(), "9000-9999 -> 2000-2999/udp");
  EXPECT_EQ(port("::1", {1, 1}, {2, 2}).str(), "[::1]:1 -> 2/tcp");
}

TEST(PublishedPort, CollidesWhereAPacketCouldMeanBoth) {
  const auto everywhere = port("0.0.0.0", {80, 89}, {80, 89});
  EXPECT_TRUE(everywhere.collides_with(port("0.0.0.0", {89, 89}, {1, 1})));
  EXPECT_TRUE(everywhere.collides_with(port("127.0.0.1", {80, 80}, {1, 1})));
  EXPECT_TRUE(port("127.0.0.1", {80, 80}, {1, 1}).collides_with(everywhere));
  EXPECT_FALSE(everywhere.collides_with(port("0.0.0.0", {90, 90}, {1, 1})));
  EXPECT_FALSE(everywhere.collides_with(port("0.0.0.0", {80, 80}, {1, 1}, Protocol::udp)));
  EXPECT_FALSE(everywhere.collides_with(port("::", {80, 80}, {1, 1})));
  EXPECT_FALSE(port("127.0.0.1", {80, 80}, {1, 1}).collides_with(port("10.0.0.1", {80, 80}, {1, 1})));
}

}  // namespace
}  // namespace mb
