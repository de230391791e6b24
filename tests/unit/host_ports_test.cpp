// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/host_ports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/make.h"

namespace mb::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(HostPorts, AreReadBackAsTheyWereWritten) {
  auto web = container("web", {endpoint(network("n", "10.0.0.0/24"), "10.0.0.2")});
  web.ports = {port("0.0.0.0", {8080, 8081}, {80, 81}), port("fd00::1", {53, 53}, {53, 53}, Protocol::udp)};
  const auto text = host_ports_text(web);
  EXPECT_EQ(text, "tcp 0.0.0.0 8080-8081 mb-.0.2\nudp fd00::1 53 mb-.0.2\n");
  EXPECT_THAT(parse_host_ports(text, 64), ElementsAre(HostPort{Protocol::tcp, ip("0.0.0.0"), 8080, "mb-.0.2"},
                                                      HostPort{Protocol::tcp, ip("0.0.0.0"), 8081, "mb-.0.2"},
                                                      HostPort{Protocol::udp, ip("fd00::1"), 53, "mb-.0.2"}));
}

TEST(HostPorts, PortsThatANameServerNeedsAreNotAmongThem) {
  auto web = container("web", {endpoint(network("n", "10.0.0.0/24"), "10.0.0.2")});
  web.ports = {port("0.0.0.0", {53, 53}, {53, 53}, Protocol::udp), port("::", {50, 60}, {50, 60}),
               port("127.0.0.1", {53, 53}, {53, 53})};
  EXPECT_EQ(host_ports_text(web), "tcp :: 50-52 mb-.0.2\ntcp :: 54-60 mb-.0.2\ntcp 127.0.0.1 53 mb-.0.2\n");
  web.ports = {port("0.0.0.0", {53, 54}, {53, 54}), port("0.0.0.0", {52, 53}, {52, 53}, Protocol::udp)};
  EXPECT_EQ(host_ports_text(web), "tcp 0.0.0.0 54 mb-.0.2\nudp 0.0.0.0 52 mb-.0.2\n");
}

TEST(HostPorts, RangesThatWouldBeTooManyAreLeftOutInEachFamily) {
  const auto ports = parse_host_ports("tcp 0.0.0.0 1-3 v\ntcp :: 1-3 v\ntcp 0.0.0.0 5-6 v\ntcp 0.0.0.0 9 v\n", 4);
  ASSERT_EQ(ports.size(), 7U);
  EXPECT_EQ(ports.back().port, 9);
}

TEST(HostPorts, ATextThatIsBeingWrittenIsNoTrouble) {
  EXPECT_THAT(parse_host_ports("", 64), IsEmpty());
  EXPECT_THAT(parse_host_ports("tcp 0.0.0.0 80", 64), IsEmpty());
  EXPECT_THAT(parse_host_ports("tcp 0.0.0.0 8x v\ntcp 0.0 80 v\nicmp 0.0.0.0 80 v\n\0\n", 64), IsEmpty());
}

}  // namespace
}  // namespace mb::test
