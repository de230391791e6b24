// SPDX-License-Identifier: GPL-2.0-or-later
//
// Somebody broke it. `repair --check` says so with status 5 and changes nothing; `repair` mends it; packets flow again;
// what belongs to others stays as it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/fault_cli.h"
#include "tests/support/program.h"
#include "tests/support/snapshot.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct Damage {
  std::string name;
  std::string command;  // $LINK: the container's host end; $ID: its id
  std::string said;     // part of what --check says
};

class Repair : public testing::TestWithParam<Damage> {
 protected:
  Repair() {
    install_foreign_rules();
    Program::must_mb("network create --subnet 10.20.0.0/24 --bridge-name br-n1 n1");
    // Two, so that every table and the bridge are shared with one that must not suffer.
    Program::must_mb("run -d --network n1 -p 8080:80 --name web");
    Program::must_mb("run -d --network n1 -p 8081:80 --name other");
    const auto web = Program::inspect("web");
    ::setenv("LINK", web["networks"][0]["host_interface"].get<std::string>().c_str(), 1);
    ::setenv("ID", web["id"].get<std::string>().c_str(), 1);
    ::setenv("STATE", program_.state_dir().c_str(), 1);
    whole_ = host_without_counters();
  }

  // The test's own packets count; the order of published ports is free.
  static std::string host_without_counters() {
    return must(
        "iptables-legacy-save | grep -v -e '^#' -e '^-A MINIBRIDGE-PUBLISH' | sed 's/ \\[.*\\]$//'; "
        "iptables-legacy-save | grep '^-A MINIBRIDGE-PUBLISH' | sort");
  }

  // With all that was still on its way, such as the end of a connection, which counts.
  static std::string quiet_host() {
    auto before = snapshot_host();
    constexpr int kMostLooks = 20;
    for (int look = 0; look < kMostLooks; ++look) {
      auto now = snapshot_host();
      if (now == before) break;
      before = std::move(now);
    }
    return before;
  }

  void expect_traffic() const {
    for (const std::uint16_t port : {std::uint16_t{8080}, std::uint16_t{8081}}) {
      const auto outcome = tcp_talk(world_.outside(), "198.51.100.1", port);
      EXPECT_TRUE(outcome.reached()) << port << ": " << outcome;
      EXPECT_THAT(outcome.reply, StartsWith("source{ip: 198.51.100.9, ")) << port;
    }
    EXPECT_TRUE(tcp_talk(world_.host(), "127.0.0.1", 8080).reached());
    const auto web = Program::namespace_of("web");
    EXPECT_TRUE(tcp_talk(web, "10.20.0.3", 80).reached());
    EXPECT_TRUE(tcp_talk(web, "10.20.0.1", 8080).reached());
    const TcpServer server(world_.outside(), "198.51.100.9", 7000);
    EXPECT_THAT(tcp_talk(web, "198.51.100.9", 7000).reply, StartsWith("source=198.51.100.1:"));
  }

  World world_;
  Program program_;
  std::string whole_;
};

TEST_P(Repair, SaysItMendsItAndTouchesNothingElse) {
  expect_traffic();
  ASSERT_EQ(Program::mb("repair --check").status, 0);
  must(GetParam().command);
  const auto broken = quiet_host();

  const auto check = Program::mb("repair --check");
  EXPECT_EQ(check.status, 5);
  EXPECT_THAT(check.out, HasSubstr(GetParam().said));
  EXPECT_FALSE(Program::mb("--format json repair --check").out.empty());
  EXPECT_EQ(snapshot_host(), broken) << "--check changed something";

  const auto repaired = Program::mb("repair");
  EXPECT_EQ(repaired.status, 0) << repaired.err;
  EXPECT_THAT(repaired.out, HasSubstr("repaired: "));
  const auto again = Program::mb("repair --check");
  EXPECT_EQ(again.status, 0) << again.out;
  expect_traffic();
  EXPECT_EQ(host_without_counters(), whole_);
}

const std::vector<Damage> kDamages{
    {"ARuleDeleted",
     "eval iptables-legacy -t nat -D $(iptables-legacy -t nat -S MINIBRIDGE-PUBLISH | sed -n '/8080/s/^-A //p')",
     "8080"},
    {"AJumpDeleted",
     "iptables-legacy -D FORWARD -j MINIBRIDGE-FORWARD -m comment --comment "
     "\"$(iptables-legacy-save | sed -n 's/^-A FORWARD .*comment \"\\(.*\\)\" -j MINIBRIDGE-FORWARD/\\1/p')\"",
     "MINIBRIDGE-FORWARD"},
    {"ChainsFlushed",
     "iptables-legacy -F MINIBRIDGE-ENTER; iptables-legacy -t nat -F MINIBRIDGE-MASQUERADE; "
     "iptables-legacy -t raw -F MINIBRIDGE-RAW",
     "MINIBRIDGE-ENTER"},
    {"RulesSwapped",
     "rule=$(iptables-legacy -S MINIBRIDGE-ENTER | sed -n '2s/^-A //p'); iptables-legacy -D MINIBRIDGE-ENTER 1 && "
     "eval iptables-legacy -A $rule",
     "MINIBRIDGE-ENTER"},
    {"ARuleTwice",
     "rule=$(iptables-legacy -t nat -S MINIBRIDGE-PUBLISH | sed -n '/8080/s/^-A //p'); "
     "eval iptables-legacy -t nat -A $rule",
     "8080"},
    {"AForeignRuleInOurChain", "iptables-legacy -I MINIBRIDGE-FORWARD -s 10.66.0.0/16 -j ACCEPT", "10.66.0.0/16"},
    {"AForeignRuleThatWeDoNotUnderstandInOurChain",
     "iptables-legacy -t nat -I MINIBRIDGE-PUBLISH -m statistic --mode nth --every 2 --packet 0 -j RETURN",
     "MINIBRIDGE-PUBLISH"},
    {"TheVethDeleted", "ip link del $LINK", "web"},
    {"TheBridgeDeleted", "ip link del br-n1", "br-n1"},
    {"TheAddressDeleted", "ip address del 10.20.0.1/24 dev br-n1", "10.20.0.1/24"},
    {"TheBridgeDown", "ip link set br-n1 down", "br-n1"},
    {"ThePortDown", "ip link set $LINK down", "mb"},
    {"ThePortOutOfTheBridge", "ip link set $LINK nomaster", "br-n1"},
    {"ThePortWithoutHairpin", "ip link set $LINK type bridge_slave hairpin off", "hairpin"},
    {"NoRouteLocalnet", "sysctl -qw net.ipv4.conf.br-n1.route_localnet=0", "route_localnet"},
    {"FramesFilteredInOneFamily", "ip link set br-n1 type bridge nf_call_ip6tables 1", "nf_call_iptables off"},
    {"RouterAdvertisementsBelieved", "sysctl -qw net.ipv6.conf.br-n1.accept_ra=2", "accept_ra"},
    {"ForwardingOff", "sysctl -qw net.ipv4.ip_forward=0", "ip_forward"},
    {"TheRouteInsideDeleted", "ip netns exec mb-web ip route del default", "default"},
    {"TheAddressInsideDeleted", "ip netns exec mb-web ip address flush dev eth0", "10.20.0.2"},
    {"TheLinkInsideDown", "ip netns exec mb-web ip link set eth0 down", "eth0"},
    {"TheMacInsideChanged", "ip netns exec mb-web ip link set eth0 address 02:00:00:00:00:77", "02:6d:0a:14:00:02"},
    {"ThePinUnmounted", "umount $STATE/netns/$ID", "pin"},
    {"TheNameForIpNetnsRemoved", "rm /run/netns/mb-web", "mb-web"},
};

INSTANTIATE_TEST_SUITE_P(Of, Repair, testing::ValuesIn(kDamages), [](const auto& test) { return test.param.name; });

// These take rules of others with them, which is not ours to mend; tables of others that were not flushed stay.
class RepairAfterFlush : public Repair {};

TEST_P(RepairAfterFlush, PutsOursBackAndNothingElse) {
  must(GetParam().command);
  const auto mangle = must("iptables-legacy-save -c -t mangle | grep -v '^[#:]'");
  const auto foreign = must("iptables-legacy-save | grep -v -e '^[#:]' -e MINIBRIDGE -e minibridge || true");
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  Program::must_mb("repair");
  EXPECT_EQ(Program::mb("repair --check").status, 0);
  expect_traffic();
  EXPECT_EQ(must("iptables-legacy-save -c -t mangle | grep -v '^[#:]'"), mangle);
  EXPECT_EQ(must("iptables-legacy-save | grep -v -e '^[#:]' -e MINIBRIDGE -e minibridge || true"), foreign);
}

INSTANTIATE_TEST_SUITE_P(
    Of, RepairAfterFlush,
    testing::Values(Damage{"Filter", "iptables-legacy -F", ""}, Damage{"Nat", "iptables-legacy -t nat -F", ""},
                    Damage{"Raw", "iptables-legacy -t raw -F && iptables-legacy -t raw -X", ""},
                    Damage{"EverythingOfFilter", "iptables-legacy -F && iptables-legacy -X", ""},
                    Damage{"EverythingOfNat", "iptables-legacy -t nat -F && iptables-legacy -t nat -X", ""},
                    Damage{"All",
                           "for t in nat filter raw; do iptables-legacy -t $t -F; "
                           "iptables-legacy -t $t -X; done",
                           ""}),
    [](const auto& test) { return test.param.name; });

// ------------------------------------------------------------------ by hand

struct RepairOnce : testing::Test {
  World world;
  Program program;
};

TEST_F(RepairOnce, ANamespaceThatWentWithItsPinIsMadeAnew) {
  Program::must_mb("create -p 8080:80 c1");
  must("umount " + program.state_dir() + "/netns/" + Program::inspect("c1")["id"].get<std::string>());
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  Program::must_mb("repair");
  EXPECT_EQ(Program::mb("repair --check").status, 0);
  const TcpServer server(Program::namespace_of("c1"), "172.17.0.2", 80);
  EXPECT_TRUE(tcp_talk(world.outside(), "198.51.100.1", 8080).reached());
}

// As a process leaves it that is killed between making the file and mounting on it.
TEST_F(RepairOnce, TheEmptyFileOfAPinGoes) {
  Program::must_mb("run -d --name web -- sleep 600");
  Program::must_mb("kill web");
  const auto pin = program.state_dir() + "/netns/" + Program::inspect("web")["id"].get<std::string>();
  must("touch " + pin);
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  Program::must_mb("repair");
  EXPECT_FALSE(std::filesystem::exists(pin));
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

// The process keeps it alive: made anew, its connections would end.
TEST_F(RepairOnce, ANamespaceThatLostItsPinOnlyIsPinnedAgain) {
  Program::must_mb("run -d -p 8080:80 --name web");
  const auto web = Program::inspect("web");
  const auto look = [&] {
    return must("ip -o link show " + web["networks"][0]["host_interface"].get<std::string>() + " | cut -d: -f1; " +
                "nsenter --net=/proc/" + std::to_string(web["pid"].get<int>()) + "/ns/net ip -o link show eth0");
  };
  const auto before = look();
  must("umount " + program.state_dir() + "/netns/" + web["id"].get<std::string>());
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  EXPECT_THAT(Program::must_mb("repair"), HasSubstr("pin"));
  EXPECT_EQ(look(), before);
  EXPECT_EQ(Program::mb("repair --check").status, 0);
  EXPECT_TRUE(tcp_talk(world.outside(), "198.51.100.1", 8080).reached());
}

TEST_F(RepairOnce, WithNothingWrongSaysSoAndCommitsNoTable) {
  Program::must_mb("create -p 8080:80 c1");
  must("iptables-legacy -P FORWARD DROP && iptables-legacy -A FORWARD -s 10.1.1.1 -j ACCEPT");
  const auto before = snapshot_host();
  EXPECT_EQ(Program::must_mb("repair"), "everything is as it was asked for\n");
  EXPECT_EQ(Program::must_mb("repair --check"), "everything is as it was asked for\n");
  EXPECT_EQ(snapshot_host(), before);
}

TEST_F(RepairOnce, TheNextVerbFindsTheContainerWhoseSupervisorWasKilled) {
  Program::must_mb("run -d -p 8080:80 --name web");
  const auto web = Program::inspect("web");
  const auto supervisor = web["supervisor_pid"].get<pid_t>();
  must("kill -9 " + std::to_string(supervisor));
  ASSERT_TRUE(ends(supervisor));
  Program::must_mb("create c2");
  const auto after = Program::inspect("web");
  EXPECT_EQ(after["status"], "exited");
  EXPECT_TRUE(after["ports"].empty());
  EXPECT_EQ(must("iptables-legacy-save | grep -c 8080 || true"), "0\n");
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

TEST_F(RepairOnce, RulesMarksWhatIsMissingAndWhatIsTooMuch) {
  Program::must_mb("create -p 8080:80 c1");
  must("iptables-legacy -t nat -D MINIBRIDGE-PUBLISH 1 && iptables-legacy -A MINIBRIDGE-ENTER -s 10.66.0.1 -j ACCEPT");
  const auto rules = Program::must_mb("rules");
  EXPECT_THAT(rules, HasSubstr("# MISSING"));
  EXPECT_THAT(rules, HasSubstr("# NOT ASKED FOR"));
}

}  // namespace
}  // namespace mb::test
