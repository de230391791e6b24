// SPDX-License-Identifier: GPL-2.0-or-later
//
// An address that comes to another container, and a neighbour that remembers where it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/capture.h"
#include "tests/support/program.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kOldMac = "02:00:00:00:00:01";
constexpr const char* kNewMac = "02:00:00:00:00:02";
constexpr std::uint8_t kAdvertisement = 136;

struct Announce : testing::Test {
  Announce() {
    Program::must_mb("network create --subnet 172.18.0.0/16 --subnet fd18::/64 n1");
    Program::must_mb("create --network n1 watcher");
    Program::must_mb(std::string("create --network n1 --ip 172.18.0.9 --ip6 fd18::9 --mac-address ") + kOldMac +
                     " old");
  }
  // What the watcher believes after it has spoken with the address.
  static std::string neighbour(const std::string& address) {
    return Program::must_mb("exec watcher -- ip neigh show " + address);
  }
  static void speak_with(const std::string& address, std::uint16_t port) {
    const TcpServer server(Program::namespace_of("old"), address, port);
    ASSERT_TRUE(tcp_talk(Program::namespace_of("watcher"), address, port).reached());
    ASSERT_THAT(neighbour(address), HasSubstr(kOldMac));
  }

  World world;
  Program program;
};

TEST_F(Announce, TheNeighbourLearnsTheNewMacAtOnce) {
  speak_with("172.18.0.9", 80);
  Program::must_mb("rm old");
  Capture at_watcher(Program::namespace_of("watcher"), "eth0");
  Program::must_mb(std::string("create --network n1 --ip 172.18.0.9 --mac-address ") + kNewMac + " new");
  at_watcher.until([](const Packet& packet) {
    return packet.arp && packet.arp->sender_ip == "172.18.0.9" && packet.arp->sender_mac == kNewMac;
  });
  EXPECT_THAT(neighbour("172.18.0.9"), HasSubstr(kNewMac));
}

TEST_F(Announce, ANeighbourOfIpv6DoesSoToo) {
  speak_with("fd18::9", 80);
  Program::must_mb("rm old");
  Capture at_watcher(Program::namespace_of("watcher"), "eth0");
  Program::must_mb("create --network n1 --ip6 fd18::9 new");
  at_watcher.until([](const Packet& packet) {
    return packet.protocol == 58 && packet.icmp_type == kAdvertisement && packet.source == "fd18::9";
  });
  EXPECT_THAT(neighbour("fd18::9"), Not(HasSubstr(kOldMac)));
  EXPECT_THAT(neighbour("fd18::9"), HasSubstr("lladdr"));
}

TEST_F(Announce, AnAddressThatNobodyHadBeforeIsNotAnnounced) {
  EXPECT_THAT(Program::must_mb("--dry-run create --network n1 fresh"), Not(HasSubstr("tell the neighbours")));
  Program::must_mb("rm old");
  EXPECT_THAT(Program::must_mb("--dry-run create --network n1 --ip 172.18.0.9 again"),
              HasSubstr("tell the neighbours of eth0 in 'again' that 172.18.0.9 is at 02:6d:ac:12:00:09"));
}

}  // namespace
}  // namespace mb::test
