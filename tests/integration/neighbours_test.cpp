// SPDX-License-Identifier: GPL-2.0-or-later
//
// Beside other tools: their rules stay as they are to the byte and the counter, ours work among them, and where theirs
// win `doctor` says which rule it is and what lets packets through.
//
//     outside 198.51.100.9 ---- 198.51.100.1 host ---- default 172.17.0.0/16: web .2 (8080 -> 80), c2 .3
//          2001:db8:100::9 ---- 2001:db8:100::1   ---- or, for IPv6, six, which has fd00:17::/64 as well
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <regex>
#include <thread>
#include <tuple>

#include "tests/support/capture.h"
#include "tests/support/foreign_rules.h"
#include "tests/support/program.h"
#include "tests/support/snapshot.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct Neighbours : testing::Test {
  World world;
  Program program;

  Neighbours() { must("ip route add default via 198.51.100.9"); }

  // In the default network, or for IPv6 in one of both families.
  static void make_containers(Family family = Family::v4) {
    const auto network = network_of(family);
    if (family == Family::v6) Program::must_mb("network create --subnet 172.17.0.0/16 --subnet fd00:17::/64 six");
    Program::must_mb("create --network " + network + " -p 8080:80 web");
    Program::must_mb("create --network " + network + " c2");
  }
  static std::string network_of(Family family) { return family == Family::v4 ? "default" : "six"; }

  // Asks through the port, from the container outwards and from its sibling; what is not published stays closed.
  void expect_everything_works(Family family = Family::v4) const {
    const auto& who = kAddresses.at(family);
    const auto web = Program::namespace_of("web");
    const TcpServer server(web, who.web, 80);
    const TcpServer outside(world.outside(), who.outside, 4711);
    expect_source(tcp_talk(world.outside(), who.host, 8080), who.outside);
    expect_source(tcp_talk(world.host(), who.host_of_itself, 8080), who.gateway);
    expect_source(tcp_talk(web, who.outside, 4711), who.host);
    expect_source(tcp_talk(Program::namespace_of("c2"), who.web, 80), who.c2);
    EXPECT_EQ(come_straight(family), 0U);
    must(iptables_of(family) + " -I FORWARD -j ACCEPT");
    EXPECT_EQ(come_straight(family), 1U) << "this test could not have told";
    must(iptables_of(family) + " -D FORWARD -j ACCEPT");
  }

  // How many datagrams reach web from outside under its own address; who comes through the port is the barrier.
  [[nodiscard]] std::size_t come_straight(Family family) const {
    const auto& who = kAddresses.at(family);
    Capture at_web(Program::namespace_of("web"), "eth0", Direction::incoming);
    udp_talk(world.outside(), who.web, 81, {.deadline = std::chrono::milliseconds(0)});
    tcp_talk(world.outside(), who.host, 8080);
    return count(at_web.until([](const Packet& p) { return p.is_syn(); }),
                 [](const Packet& p) { return p.protocol == 17 && p.target_port == 81; });
  }

  static void expect_source(const Outcome& outcome, const std::string& address) {
    const bool is_v6 = address.find(':') != std::string::npos;
    EXPECT_THAT(outcome.reply, StartsWith("source=" + (is_v6 ? "[" + address + "]:" : address + ":"))) << outcome;
  }

  struct Addresses {
    std::string outside;
    std::string host;
    std::string host_of_itself;  // by which it asks for a port of its own
    std::string gateway;
    std::string web;
    std::string c2;
  };
  inline static const std::map<Family, Addresses> kAddresses{
      {Family::v4, {"198.51.100.9", "198.51.100.1", "127.0.0.1", "172.17.0.1", "172.17.0.2", "172.17.0.3"}},
      {Family::v6,
       {"2001:db8:100::9", "2001:db8:100::1", "2001:db8:100::1", "fd00:17::1", "fd00:17::2", "fd00:17::3"}}};

  [[nodiscard]] Outcome ask_published() const {
    const TcpServer server(Program::namespace_of("web"), "172.17.0.2", 80);
    return tcp_talk(world.outside(), "198.51.100.1", 8080);
  }
};

// Rules of somebody else, whether bridged frames pass iptables, and in which network ours are (make_containers).
using Set = std::tuple<ForeignRules, int, Family>;

std::string name_of(const testing::TestParamInfo<Set>& test) {
  const auto& [rules, bridge_nf, family] = test.param;
  return rules.name + "BridgeNf" + std::to_string(bridge_nf) + std::string(to_string(family));
}

struct NeighbourSet : Neighbours, testing::WithParamInterface<Set> {
  NeighbourSet() : rules(std::get<ForeignRules>(GetParam())), family(std::get<Family>(GetParam())) {
    // Absent where the kernel has no br_netfilter; then both values are the same test.
    for (const std::string tool : {"iptables", "ip6tables"}) {
      sh("sysctl -qw net.bridge.bridge-nf-call-" + tool + "=" + std::to_string(std::get<int>(GetParam())));
    }
    world.add_ipv6();
  }

  void expect_all_families_work() const {
    expect_everything_works();
    if (family == Family::v6) expect_everything_works(Family::v6);
  }

  const ForeignRules& rules;
  const Family family;
};

TEST_P(NeighbourSet, StaysByteForByteAndEverythingOfOursWorks) {
  std::optional<SilentIcmpv6> silence(std::in_place);
  restore(rules);
  const auto before = snapshot_host({.policy_counters = false});
  const auto theirs = foreign_rules_now();
  make_containers(family);
  EXPECT_EQ(foreign_rules_now(), theirs);
  for (const std::string verb : {"publish web 9090:80", "publish --move c2 9090:80", "unpublish c2 9090:80", "rm c2"}) {
    Program::must_mb(verb);
    EXPECT_EQ(foreign_rules_now(), theirs) << verb;
  }
  must(iptables_of(family) + " -F MINIBRIDGE-ENTER");
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  Program::must_mb("repair");
  EXPECT_EQ(foreign_rules_now(), theirs);
  Program::must_mb("down");
  EXPECT_EQ(snapshot_host({.policy_counters = false}), before);
  silence.reset();
  make_containers(family);
  expect_all_families_work();  // which moves counters of theirs too
  const auto doctor = Program::mb("doctor");
  EXPECT_EQ(doctor.status, 0) << doctor.out;
}

TEST_P(NeighbourSet, ThatComesLaterAndReplacesWholeTablesIsOutlivedAfterRepair) {
  make_containers(family);
  std::optional<SilentIcmpv6> silence(std::in_place);
  restore(rules);  // ours in these tables are gone
  const auto theirs = foreign_rules_now();
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  const auto findings = Program::mb("doctor");
  EXPECT_EQ(findings.status, 5);
  EXPECT_THAT(findings.out, AllOf(HasSubstr("differs"), HasSubstr("mend: minibridge repair")));
  Program::must_mb("repair");
  EXPECT_EQ(foreign_rules_now(), theirs);
  silence.reset();
  expect_all_families_work();
  EXPECT_EQ(Program::mb("doctor").status, 0) << Program::mb("doctor").out;
}

INSTANTIATE_TEST_SUITE_P(All, NeighbourSet,
                         testing::Combine(testing::Values(docker_rules(), ufw_rules(), firewalld_rules(),
                                                          libvirt_rules()),
                                          testing::Values(0, 1), testing::Values(Family::v4, Family::v6)),
                         name_of);

struct NeighboursIn : Neighbours, testing::WithParamInterface<Family> {
  NeighboursIn() { world.add_ipv6(); }

  const std::string iptables = iptables_of(GetParam());
};
INSTANTIATE_TEST_SUITE_P(All, NeighboursIn, testing::Values(Family::v4, Family::v6),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST_P(NeighboursIn, DockersJumpsInFrontOfOursAreNoHindrance) {
  make_containers(GetParam());
  // As when its daemon starts after us: chains added, jumps put to the top.
  auto later = GetParam() == Family::v4 ? docker_rules().v4 : docker_rules().v6;
  for (std::size_t at = 0; (at = later.find("-A FORWARD", at)) != std::string::npos;) later.replace(at, 2, "-I");
  must(iptables + "-restore -w --noflush <<'END'\n" + later + "END");
  expect_everything_works(GetParam());
  const auto findings = Program::json("doctor");
  for (const auto& finding : findings) EXPECT_EQ(finding["weight"], "remark") << finding;
}

TEST_P(NeighboursIn, AFlushByOthersIsRepairedAndTakesNothingOfTheirsAlong) {
  restore(docker_rules());
  make_containers(GetParam());
  must(iptables + " -F && " + iptables + " -t nat -F && " + iptables + " -t raw -F");
  must(iptables + " -A INPUT -p tcp --dport 25 -j DROP");
  std::optional<SilentIcmpv6> silence(std::in_place);
  const auto theirs = foreign_rules_now();
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  Program::must_mb("repair");
  EXPECT_EQ(foreign_rules_now(), theirs);
  silence.reset();
  expect_everything_works(GetParam());
}

TEST_P(NeighboursIn, AForeignProcessThatAddsAndDeletesAllTheTimeLosesNothingAndBreaksNothing) {
  restore(docker_rules());
  make_containers(GetParam());
  netns::Finished writer;
  std::thread foreign([&] {
    const bool is_v4 = GetParam() == Family::v4;
    writer = sh(world.host(), "iptables=" + iptables + " net=" + (is_v4 ? "203.0.113." : "2001:db8:113::") +
                                  " to=" + (is_v4 ? "10.200.0.3" : "fd00:200::3") +
                                  "; i=0; while [ $i -lt 25 ]; do i=$((i+1)); "
                                  "$iptables -w -A DOCKER-USER -s $net$i -j RETURN && "
                                  "$iptables -w -t nat -A DOCKER -p tcp --dport $((6000+i)) -j DNAT --to $to && "
                                  "$iptables -w -D DOCKER-USER -s $net$i -j RETURN || exit 1; done");
  });
  for (int i = 0; i < 5; ++i) {
    Program::must_mb("create --network " + network_of(GetParam()) + " -p 80 other" + std::to_string(i));
    Program::must_mb("publish web 9090:80");
    Program::must_mb("unpublish web 9090:80");
    Program::must_mb("rm other" + std::to_string(i));
  }
  foreign.join();
  EXPECT_EQ(writer.status, 0) << writer.err;
  EXPECT_EQ(must(iptables + " -t nat -S DOCKER | grep -c 'dport 60'"), "25\n");
  EXPECT_EQ(must(iptables + " -S DOCKER-USER | grep -c -- -s || true"), "0\n");
  EXPECT_EQ(Program::mb("repair --check").status, 0);
  expect_everything_works(GetParam());
}

// --- nf_tables: a drop there is final ---------------------------------------------------------------------------------

// The findings that stop packets, and only they.
std::vector<nlohmann::json> stops() {
  std::vector<nlohmann::json> found;
  const auto answer = Program::mb("--format json doctor");
  for (auto& finding : nlohmann::json::parse(answer.out)) {
    if (finding["weight"] == "stops") found.push_back(finding);
  }
  EXPECT_EQ(answer.status == 5, !found.empty() || answer.out.find("may_stop") != std::string::npos) << answer.out;
  return found;
}

TEST_F(Neighbours, AZoneFirewallInNfTablesWinsAndRunAndDoctorNameIt) {
  must("nft -f - <<'END'\n" + firewalld_nf_tables() + "END");
  const auto before = must("nft list ruleset");
  const auto created = Program::mb("create -p 8080:80 web");
  EXPECT_EQ(created.status, 0);
  EXPECT_THAT(created.err, AllOf(HasSubstr("note: "), HasSubstr("'inet firewalld'"), HasSubstr("8080 -> 80/tcp")));
  EXPECT_EQ(ask_published().kind, Outcome::kUnreachable);
  const auto found = stops();
  ASSERT_EQ(found.size(), 1U) << nlohmann::json(found);
  EXPECT_EQ(found.front()["kind"], "nft_drop");
  EXPECT_THAT(found.front()["seen"], AllOf(HasSubstr("'filter_FORWARD'"), HasSubstr("firewalld")));
  EXPECT_THAT(found.front()["mend"], StartsWith("firewall-cmd --permanent --zone=trusted --add-interface=minibridge0"));
  EXPECT_EQ(must("nft list ruleset"), before) << "nothing foreign is changed";
}

TEST_F(Neighbours, NoWarningWhereNothingIsInTheWay) {
  const auto created = Program::mb("create -p 8080:80 web");
  EXPECT_THAT(created.err, Not(HasSubstr("drop")));
  must(
      "nft add table inet mine && nft 'add chain inet mine forward { type filter hook forward priority 0; policy "
      "accept; }' "
      "&& nft add rule inet mine forward ip saddr 203.0.113.7 drop && nft add rule inet mine forward tcp dport 25 "
      "drop");
  EXPECT_THAT(Program::mb("create -p 8081:80 c2").err, "");
}

TEST_F(Neighbours, ACheckOfTheWayBackIsNotInTheWay) {
  Program::must_mb("create -p 8080:80 web");
  must("iptables-legacy -t raw -I PREROUTING -m rpfilter --validmark --invert -j DROP");
  must(
      "nft add table inet mine && nft 'add chain inet mine before { type filter hook prerouting priority -290; }' && "
      "nft add rule inet mine before fib saddr . mark . iif oif missing drop");
  EXPECT_EQ(Program::mb("doctor").status, 0) << Program::mb("doctor").out;
  EXPECT_EQ(ask_published().kind, Outcome::kReached);
  // And one that drops what comes back the right way.
  must("iptables-legacy -t raw -I PREROUTING -m rpfilter -j DROP");
  EXPECT_EQ(stops().size(), 1U);
}

struct Trouble {
  std::string name;
  std::string breaking;  // shell commands
  std::string kind;      // of the finding
};

void PrintTo(const Trouble& trouble, std::ostream* stream) { *stream << trouble.name; }

struct Mending : Neighbours, testing::WithParamInterface<Trouble> {
  // Counters of our own rules left out: they count what a container says of its own accord (group memberships).
  static std::string look() {
    static const std::regex kOurCounters(R"(\[\d+:\d+\] (?=-A [^\n]*minibridge))");
    return std::regex_replace(snapshot_host({.policy_counters = false}), kOurCounters, "");
  }
  // The command that doctor gives is carried out as it stands.
  void expect_found_and_mended() const {
    must(GetParam().breaking);
    const auto host = look();
    const auto state = program.look_at_state();
    const auto found = stops();
    EXPECT_EQ(look(), host) << "doctor changes nothing";
    EXPECT_EQ(program.look_at_state(), state);
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found.front()["kind"], GetParam().kind) << nlohmann::json(found).dump(1);
    for (const auto& finding : found) must(finding["mend"].get<std::string>());
    EXPECT_TRUE(stops().empty()) << nlohmann::json(stops()).dump(1);
  }
};

using DoctorMends = Mending;

TEST_P(DoctorMends, WhatItNamesAndPacketsFlow) {
  Program::must_mb("create -p 8080:80 web");
  Program::must_mb("create c2");
  expect_found_and_mended();
  expect_everything_works();
}

INSTANTIATE_TEST_SUITE_P(
    All, DoctorMends,
    testing::Values(
        Trouble{"ForwardingOff", "sysctl -qw net.ipv4.ip_forward=0", "ip_forward"},
        Trouble{"ForwardingOffOnTheUplink", "sysctl -qw net.ipv4.conf.up0.forwarding=0", "interface_forwarding"},
        Trouble{"ForwardingOffOnTheBridge", "sysctl -qw net.ipv4.conf.minibridge0.forwarding=0",
                "interface_forwarding"},
        Trouble{"RouteIntoTheSubnet", "ip route add 172.17.0.0/24 dev up0", "route_overlap"},
        Trouble{"GatewayAddressLost", "ip address del 172.17.0.1/16 dev minibridge0", "differs"},
        Trouble{"PublishedAddressLost",
                "ip address add 198.51.100.5/24 dev up0 && minibridge publish web 198.51.100.5:8082:82 && "
                "ip address del 198.51.100.5/24 dev up0",
                "address_lost"},
        Trouble{"JumpLost", "iptables-legacy -D FORWARD 2", "differs"},
        Trouble{"DropBeforeOurJump", "iptables-legacy -I FORWARD -i up0 -j DROP", "iptables_drop"},
        Trouble{"RejectInAForeignChain",
                "iptables-legacy -N guard && iptables-legacy -A guard -o minibridge0 -j REJECT && "
                "iptables-legacy -I FORWARD -j guard",
                "iptables_drop"},
        Trouble{"DropInRaw", "iptables-legacy -t raw -I PREROUTING -p tcp --dport 8080 -j DROP", "iptables_drop"},
        Trouble{"DropInMangle", "iptables-legacy -t mangle -A FORWARD -i minibridge0 -j DROP", "iptables_drop"},
        Trouble{"OperatorsOwnDrop", "iptables-legacy -A MINIBRIDGE-USER -o minibridge0 -j DROP", "operator_drop"},
        Trouble{"PortTakenBeforeUs",
                "iptables-legacy -t nat -I PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 10.200.0.9",
                "iptables_takes_port"},
        Trouble{"PolicyOfIptablesNft", "iptables-nft -P FORWARD DROP", "nft_drop"},
        Trouble{"RuleOfIptablesNft", "iptables-nft -A FORWARD -p tcp --dport 80 -m comment --comment no -j REJECT",
                "nft_drop"},
        Trouble{"MatchOfIptablesNft", "iptables-nft -A FORWARD -m conntrack --ctstate NEW -o minibridge0 -j DROP",
                "nft_drop"},
        Trouble{
            "PolicyOfANativeChain",
            "nft -f - <<'END'\ntable inet guard {\n chain pass {\n  type filter hook forward priority 0; policy drop;\n"
            "  ct state vmap { established : accept, related : accept, invalid : drop }\n"
            "  iifname vmap { \"lo\" : accept, \"eth9\" : jump zone }\n }\n chain zone {\n  tcp dport 22 accept\n "
            "}\n}\nEND",
            "nft_drop"},
        Trouble{"PortInPrerouting",
                "nft -f - <<'END'\ntable ip guard {\n chain early {\n  type filter hook prerouting priority -300; "
                "policy accept;\n"
                "  iif up0 tcp dport { 25, 8080 } drop\n }\n}\nEND",
                "nft_drop"},
        Trouble{"DestinationInPostrouting",
                "nft -f - <<'END'\ntable inet guard {\n chain late {\n  type filter hook postrouting priority 0; "
                "policy accept;\n"
                "  oifname \"minibr*\" ip daddr 172.17.0.0/16 tcp dport 1-1023 drop\n }\n}\nEND",
                "nft_drop"},
        Trouble{
            "TheHostItself",
            "nft -f - <<'END'\ntable inet guard {\n chain own {\n  type filter hook output priority 0; policy accept;\n"
            "  oifname minibridge0 ct state new drop\n }\n}\nEND",
            "nft_drop"}),
    [](const auto& trouble) { return trouble.param.name; });

// What may stop packets, or is good to know.
struct DoctorSays : Neighbours, testing::WithParamInterface<Trouble> {
  static bool says(const std::string& kind) {
    const auto findings = nlohmann::json::parse(Program::mb("--format json doctor").out);
    return std::any_of(findings.begin(), findings.end(), [&](const auto& found) { return found["kind"] == kind; });
  }
};

TEST_P(DoctorSays, WhatItSeesOnceItIsThere) {
  if (GetParam().kind == "br_netfilter" && sh(GetParam().breaking).status != 0) {
    GTEST_SKIP() << "the kernel lacks br_netfilter";
  }
  sh("sysctl -qw net.bridge.bridge-nf-call-iptables=0");
  Program::must_mb("network create n1 && minibridge create --network n1 -p 8080:80 web");
  EXPECT_FALSE(says(GetParam().kind));
  must(GetParam().breaking);
  EXPECT_TRUE(says(GetParam().kind)) << Program::mb("doctor").out;
  if (GetParam().kind == "no_dnsmasq") must("umount /usr/sbin/dnsmasq");
}

INSTANTIATE_TEST_SUITE_P(
    All, DoctorSays,
    testing::Values(Trouble{"StrictReversePath",
                            "ip link add up9 type veth peer name far9 && ip link set up9 up && "
                            "ip address add 203.0.113.1/24 dev up9 && ip link set far9 up && "
                            "ip route add default via 203.0.113.9 metric 9 && sysctl -qw net.ipv4.conf.up0.rp_filter=1",
                            "rp_filter"},
                    Trouble{"AnUplinkOfSmallPackets", "ip link set up0 mtu 1400", "mtu"},
                    Trouble{"BridgedFramesAreFiltered", "sysctl -qw net.bridge.bridge-nf-call-iptables=1",
                            "br_netfilter"},
                    Trouble{"NoDnsmasq", "mount --bind /dev/null /usr/sbin/dnsmasq", "no_dnsmasq"}),
    [](const auto& trouble) { return trouble.param.name; });

// The same for a network of both families: what is wrong is wrong in IPv6 only.
struct DoctorMendsIpv6 : Mending {
  DoctorMendsIpv6() {
    world.add_ipv6();
    must("ip -6 route add default via 2001:db8:100::9");
    Program::must_mb("network create --subnet 172.18.0.0/16 --subnet fd00:18::/64 --bridge-name six six");
    Program::must_mb("create --network six -p 8080:80 web");
  }

  void expect_both_ways_open() const {
    const auto web = Program::namespace_of("web");
    const TcpServer server(web, "fd00:18::2", 80);
    const TcpServer outside(world.outside(), "2001:db8:100::9", 4711);
    const auto outwards = tcp_talk(web, "2001:db8:100::9", 4711);
    EXPECT_THAT(outwards.reply, StartsWith("source=[2001:db8:100::1]:")) << outwards;
    const auto published = tcp_talk(world.outside(), "2001:db8:100::1", 8080);
    EXPECT_THAT(published.reply, StartsWith("source=[2001:db8:100::9]:")) << published;
  }
};

TEST_P(DoctorMendsIpv6, WhatItNamesAndPacketsFlow) {
  expect_found_and_mended();
  expect_both_ways_open();
}

INSTANTIATE_TEST_SUITE_P(
    All, DoctorMendsIpv6,
    testing::Values(
        Trouble{"ForwardingOff", "sysctl -qw net.ipv6.conf.all.forwarding=0", "ip_forward"},
        Trouble{"RouteIntoTheSubnet", "ip -6 route add fd00:18::/80 dev up0", "route_overlap"},
        Trouble{"RouteThroughAGatewayIntoTheSubnet", "ip -6 route add fd00:18::/96 via 2001:db8:100::9",
                "route_overlap"},
        Trouble{"GatewayAddressLost", "ip address del fd00:18::1/64 dev six", "differs"},
        Trouble{"SwitchedOffOnTheBridge", "sysctl -qw net.ipv6.conf.six.disable_ipv6=1", "ipv6_off"},
        Trouble{
            "PublishedAddressLost",
            "ip address add 2001:db8:100::5/64 dev up0 nodad && minibridge publish web [2001:db8:100::5]:8082:82 && "
            "ip address del 2001:db8:100::5/64 dev up0",
            "address_lost"},
        Trouble{"JumpLost", "ip6tables-legacy -D FORWARD 2", "differs"},
        Trouble{"DropBeforeOurJump", "ip6tables-legacy -I FORWARD -i up0 -j DROP", "iptables_drop"},
        Trouble{"PolicyOfIptablesNft", "ip6tables-nft -P FORWARD DROP", "nft_drop"},
        Trouble{"PortInPrerouting",
                "nft add table ip6 guard && nft 'add chain ip6 guard early { type filter hook prerouting priority "
                "-300; }' && nft add rule ip6 guard early iif up0 tcp dport 8080 drop",
                "nft_drop"}),
    [](const auto& trouble) { return trouble.param.name; });

// Ours accept before a policy is asked.
TEST_F(Neighbours, APolicyOfDropInForwardStopsNothingAndIsNoFinding) {
  must("iptables-legacy -P FORWARD DROP && ip6tables-legacy -P FORWARD DROP");
  world.add_ipv6();
  make_containers(Family::v6);
  EXPECT_TRUE(stops().empty());
  for (const Family family : {Family::v4, Family::v6}) expect_everything_works(family);
}

// --- the operator's own chain -----------------------------------------------------------------------------------------

TEST_F(Neighbours, TheOperatorsChainIsKeptThroughEveryVerbAndDown) {
  Program::must_mb("create -p 8080:80 web");
  must("iptables-legacy -A MINIBRIDGE-USER -s 203.0.113.7 -j DROP -m comment --comment 'mine, do not touch'");
  must("iptables-legacy -A MINIBRIDGE-USER -c 5 500 -p tcp --dport 25 -j REJECT");
  const auto rules = [] { return must("iptables-legacy-save -c -t filter | grep -- '-A MINIBRIDGE-USER'"); };
  const auto mine = rules();
  for (const char* verb : {"create c2", "publish web 9090:80", "unpublish web 9090:80", "network create n2",
                           "network rm n2", "repair", "rm web c2", "network rm default"}) {
    Program::must_mb(verb);
    EXPECT_EQ(rules(), mine) << verb;
  }
  Program::must_mb("create web");
  must("iptables-legacy -D FORWARD 1");  // its jump
  Program::must_mb("repair");
  EXPECT_EQ(must("iptables-legacy -S FORWARD | grep -c 'j MINIBRIDGE-USER'"), "1\n");
  const auto down = Program::mb("rm web && minibridge down");
  EXPECT_THAT(down.err, HasSubstr("MINIBRIDGE-USER holds rules of yours and was left in place"));
  EXPECT_EQ(rules(), mine);
  EXPECT_EQ(must("iptables-legacy -S FORWARD | grep -c MINIBRIDGE"), "1\n") << "with the jump to it";
  Program::must_mb("create -p 8080:80 web");
  EXPECT_EQ(rules(), mine);
  EXPECT_TRUE(ask_published().reached());
}

// --- links of others ----------------------------------------------------------------------------------------------------

TEST_F(Neighbours, ABridgeOfVirtualMachinesWithTheSubnetWeWouldTakeIsGivenWay) {
  must("ip link add virbr0 type bridge && ip address add 172.17.0.1/16 dev virbr0 && ip link set virbr0 up");
  restore(libvirt_rules());
  const auto before = snapshot_host({.policy_counters = false});
  Program::must_mb("create -p 8080:80 web");
  EXPECT_EQ(Program::ip_of("web"), "172.18.0.2");
  const TcpServer server(Program::namespace_of("web"), "172.18.0.2", 80);
  EXPECT_TRUE(tcp_talk(world.outside(), "198.51.100.1", 8080).reached());
  Program::must_mb("rm web");
  Program::must_mb("down");
  EXPECT_EQ(snapshot_host({.policy_counters = false}), before);
}

TEST_F(Neighbours, ABridgeThatTakesOurSubnetLaterIsNamed) {
  Program::must_mb("create -p 8080:80 web");
  must("ip link add virbr0 type bridge && ip link set virbr0 up && ip address add 172.17.64.1/18 dev virbr0");
  const auto found = stops();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front()["kind"], "route_overlap");
  EXPECT_THAT(found.front()["seen"], AllOf(HasSubstr("172.17.64.0/18"), HasSubstr("'virbr0'")));
}

TEST_F(Neighbours, WhatOthersPutIntoOurBridgeOutlivesIt) {
  Program::must_mb("create web");
  must(
      "ip link add theirs type veth peer name theirs-peer && ip link set theirs master minibridge0 up && "
      "ip route add 203.0.113.0/24 via 198.51.100.9");
  Program::must_mb("rm web");
  Program::must_mb("down");
  EXPECT_THAT(must("ip -o link show theirs"), Not(HasSubstr("master")));
  EXPECT_THAT(must("ip route show 203.0.113.0/24"), HasSubstr("via 198.51.100.9"));
  EXPECT_NE(sh("ip link show minibridge0").status, 0);
}

TEST_F(Neighbours, AContainerWhosePublishedAddressIsGoneSaysSoWhenItStarts) {
  must("ip address add 198.51.100.5/24 dev up0");
  Program::must_mb("run -d --name web -p 198.51.100.5:8082:80");
  Program::must_mb("stop -t 0 web");
  must("ip address del 198.51.100.5/24 dev up0");
  const auto start = Program::mb("start web");
  EXPECT_EQ(start.status, 1) << "the words are fine";
  EXPECT_THAT(start.err, AllOf(HasSubstr("cannot publish on 198.51.100.5: the host has no such address"),
                               HasSubstr("hint: give the host the address again")));
  must("ip address add 198.51.100.5/24 dev up0");
  Program::must_mb("start web");
}

// --- doctor without anything -----------------------------------------------------------------------------------------

TEST_F(Neighbours, DoctorWorksWithoutAStateAndMakesNone) {
  const auto before = snapshot_host();
  const auto fresh = Program::mb("doctor");
  EXPECT_EQ(fresh.status, 0) << fresh.err;
  EXPECT_EQ(fresh.out, "nothing on this host stops packets of minibridge\n");
  EXPECT_EQ(snapshot_host(), before);
  EXPECT_EQ(program.look_at_state(), "there is no state directory\n");
  must("iptables-nft -P FORWARD DROP");
  const auto found = stops();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found.front()["why"], HasSubstr("what containers send outside"));
}

TEST_F(Neighbours, AProgramThatTookThePortLaterIsNamedWithItsNumber) {
  Program::must_mb("create -p 8080:80 web");
  const TcpServer late(world.host(), "0.0.0.0", 8080);
  const auto findings = Program::json("doctor");
  const auto held =
      std::find_if(findings.begin(), findings.end(), [](const auto& f) { return f["kind"] == "port_held"; });
  ASSERT_NE(held, findings.end()) << findings;
  EXPECT_THAT((*held)["seen"], HasSubstr("(pid " + std::to_string(::getpid()) + ") listens on tcp port 8080"));
}

}  // namespace
}  // namespace mb::test
