// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the program does to the host: no more than it says, and nothing is left afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>

#include "tests/support/program.h"
#include "tests/support/snapshot.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class Engine : public testing::Test {
 protected:
  World world_;
  Program program_;
};

// Everything that others may have on a host, and nothing that changes by itself: no table of IPv6, whose policies count
// what every new link sends.
void furnish() {
  install_foreign_rules();
  must(
      "iptables-legacy -P FORWARD DROP && "
      "ip link add name dummy0 type bridge && ip address add 10.9.9.1/24 dev dummy0 && "
      "ip route add blackhole 10.9.8.0/24 && ip rule add from 10.9.9.0/24 lookup 77");
}

const char* const kFill =
    "minibridge network create --subnet 10.20.0.0/24 n1 && minibridge network create n2 && "
    "minibridge create --network n1 -p 8080:80 -p 9000-9010:2000-2010/udp c1 && "
    "minibridge create --network n1 --network n2 --sysctl net.ipv4.ip_unprivileged_port_start=0 c2 && "
    "minibridge run -d --network n2 -p 127.0.0.1:8081:80 --name web && "
    "minibridge publish c2 8082:80 && minibridge unpublish c1 8080:80";

TEST_F(Engine, RemovingContainersAndNetworksLeavesTheHostAsItWas) {
  furnish();
  must("sysctl -qw net.ipv4.ip_forward=1");
  const auto before = snapshot_host();
  must(kFill);
  ASSERT_NE(snapshot_host(), before);
  Program::must_mb("rm -f c1 c2 web");
  Program::must_mb("network rm n1 n2");
  EXPECT_EQ(snapshot_host(), before);
}

TEST_F(Engine, RemovingContainersLeavesTheNetworkAsItWas) {
  furnish();
  must("minibridge network create n1 && minibridge network create n2");
  // A bridge inherits limits of its first port (tso_max_size) and keeps them.
  must("minibridge create --network n1 c0 && minibridge create --network n2 c1 && minibridge rm c0 c1");
  const auto before = snapshot_host();
  Program::must_mb("create --network n1 -p 8080:80 c1");
  must("minibridge create --network n2 -p 8081:80 c3 && minibridge run -d --network n1 -p 80 --name web");
  Program::must_mb("rm -f c1 c3 web");
  EXPECT_EQ(snapshot_host(), before);
}

TEST_F(Engine, DownGivesBackForwardingToEachInterface) {
  furnish();
  // The global switch sets every interface's own, and accept_redirects with them: none of these has its default now.
  must(
      "sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.up0.forwarding=1 net.ipv4.conf.up0.accept_redirects=0 "
      "net.ipv4.conf.dummy0.accept_redirects=1 net.ipv4.conf.default.forwarding=1");
  const auto before = snapshot_host();
  must(kFill);
  EXPECT_EQ(must("sysctl -n net.ipv4.ip_forward"), "1\n");
  Program::must_mb("down");
  EXPECT_EQ(snapshot_host(), before);
  EXPECT_FALSE(std::filesystem::exists(program_.state_dir()));
  EXPECT_THAT(must("ls /run/netns"), IsEmpty());
}

// What FORWARD has counted in both families ("[41:4100]"). Nothing is forwarded here, so that nobody else moves it.
std::string forward_policies() {
  return must(
      "iptables-legacy-save -c -t filter | grep ^:FORWARD; ip6tables-legacy-save -c -t filter | grep ^:FORWARD");
}

TEST_F(Engine, WhatChainPoliciesOfOthersHaveCountedStays) {
  for (const std::string tool : {"iptables-legacy-restore", "ip6tables-legacy-restore"}) {
    must(tool +
         " -c <<'END'\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [41:4100]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\nEND");
  }
  const std::string before = ":FORWARD DROP [41:4100]\n:FORWARD DROP [41:4100]\n";
  ASSERT_EQ(forward_policies(), before);
  Program::must_mb("network create --ipv6 n1");
  EXPECT_EQ(forward_policies(), before);
  Program::must_mb("create --network n1 -p 8080:80 c1");
  Program::must_mb("publish c1 8081:81");
  EXPECT_EQ(forward_policies(), before);
  Program::must_mb("rm c1");
  EXPECT_EQ(forward_policies(), before);
  Program::must_mb("down");
  EXPECT_EQ(forward_policies(), before);
}

TEST_F(Engine, SaysThatItSwitchedForwardingOn) {
  const auto first = Program::mb("create c1");
  EXPECT_THAT(first.err, HasSubstr("net.ipv4.ip_forward from 0 to 1"));
  EXPECT_THAT(Program::mb("create c2").err, IsEmpty());
}

TEST_F(Engine, ForeignRulesOfOurOwnDoingStayWhereTheyAre) {
  Program::must_mb("create -p 8080:80 c1");
  must("iptables-legacy -A MINIBRIDGE-USER -s 10.1.1.1 -j DROP && iptables-legacy -I FORWARD 1 -s 10.1.1.2 -j ACCEPT");
  const auto before = snapshot_host();
  Program::must_mb("create -p 8081:80 c2");
  Program::must_mb("rm c2");
  EXPECT_EQ(snapshot_host(), before);
  EXPECT_THAT(Program::mb("down").err, HasSubstr("MINIBRIDGE-USER"));
  const auto left = must("iptables-legacy -S");
  EXPECT_THAT(left, HasSubstr("-A MINIBRIDGE-USER -s 10.1.1.1/32 -j DROP"));
  EXPECT_THAT(left, HasSubstr("-A FORWARD -s 10.1.1.2/32 -j ACCEPT"));
}

TEST_F(Engine, ABridgeThatIsFullIsSaidBeforeAnythingChanges) {
  Program::must_mb("network create --bridge-name br-n1 n1");
  must("minibridge create --network n1 $(seq -f c%g 1023)");
  EXPECT_EQ(must("ip -o link show master br-n1 | wc -l"), "1023\n");
  const auto look = [&] { return must("ip -o link; iptables-legacy-save | grep -v '^#'") + program_.look_at_state(); };
  const auto before = look();
  const auto next = Program::mb("create --network n1 -p 8080:80 one-more");
  EXPECT_EQ(next.status, 4);
  EXPECT_THAT(next.err, HasSubstr("network 'n1' is full: the kernel allows 1023 ports on one bridge"));
  EXPECT_EQ(look(), before);
}

TEST_F(Engine, PlanSaysWhatWillBeDoneAndDoesNothing) {
  furnish();
  Program::must_mb("create c1");
  const auto before = snapshot_host();
  const auto state = program_.look_at_state();
  for (const std::string verb : {"run -p 8080:80", "run --network none -- true", "create c2 c3", "rm c1",
                                 "network create n1", "down", "network prune", "publish c1 8080:80", "repair"}) {
    const auto said = Program::must_mb("plan " + verb);
    EXPECT_FALSE(said.empty()) << verb << ": \"nothing to do\" at least";
    EXPECT_EQ(snapshot_host(), before) << verb;
    EXPECT_EQ(program_.look_at_state(), state) << verb;
  }
}

TEST_F(Engine, PlanOnAFreshHostMakesNoFile) {
  const auto said = Program::must_mb("plan run --publish 8080:80");
  EXPECT_THAT(said, HasSubstr("-A MINIBRIDGE-PUBLISH"));
  EXPECT_FALSE(std::filesystem::exists(program_.state_dir()));
  EXPECT_THAT(must("ls /run/netns 2>/dev/null || true"), IsEmpty());
}

// ------------------------------------------------------------------ rules

std::vector<std::string> rules_only(const std::string& text) {
  std::vector<std::string> rules;
  std::string table;
  for (const auto& line : lines_of(text)) {
    if (line.starts_with("*")) table = line;
    const auto at = line.find("-A ");
    if (at != std::string::npos && line.find_first_not_of(' ') == at) rules.push_back(table + " " + line.substr(at));
  }
  return rules;
}

// The order of published ports is free; the order of all other rules is what `repair` looks after.
TEST_F(Engine, RulesPrintsWhatTheKernelHas) {
  must(kFill);
  const auto ours = rules_only(Program::must_mb("rules"));
  EXPECT_GT(ours.size(), 20U);
  EXPECT_THAT(ours, testing::UnorderedElementsAreArray(rules_only(must("iptables-legacy-save"))));
}

// On an empty host "insert as the first" is the same as "append", and the state, with it the link group, is drawn anew.
std::string as_in_the_kernel(const std::string& rule) {
  const auto appended = std::regex_replace(rule, std::regex("-I ([^ ]+) [0-9]+"), "-A $1");
  return std::regex_replace(appended, std::regex("^.*?(-A .*)"), "$1");
}

std::string without_group(const std::string& rule) {
  return std::regex_replace(rule, std::regex("0x4d42[0-9a-f]{4}"), "GROUP");
}

TEST_F(Engine, PlanPrintsTheRulesThatTheKernelGets) {
  const std::string verb = "create -p 8080:80 -p 127.0.0.1:9000-9009:80-89/udp c1";
  std::vector<std::string> planned;
  for (const auto& line : lines_of(Program::must_mb("plan " + verb))) {
    const auto text = line.substr(std::min(line.find_first_not_of(' '), line.size()));
    if (text.starts_with("-A ") || text.starts_with("-I ")) planned.push_back(without_group(as_in_the_kernel(text)));
  }
  Program::must_mb(verb);
  std::vector<std::string> kernel;
  for (const auto& line : lines_of(must("iptables-legacy-save"))) {
    if (line.starts_with("-A ")) kernel.push_back(without_group(line));
  }
  EXPECT_THAT(planned, testing::UnorderedElementsAreArray(kernel));
}

TEST_F(Engine, RulesCanBeRestrictedToOneContainerOrNetwork) {
  must(kFill);
  const auto of_web = rules_only(Program::must_mb("rules web"));
  ASSERT_EQ(of_web.size(), 1U);
  EXPECT_THAT(of_web[0], HasSubstr("-d 127.0.0.1/32 -p tcp -m tcp --dport 8081"));
  for (const auto& rule : rules_only(Program::must_mb("rules n1"))) EXPECT_THAT(rule, HasSubstr("network n1"));
  EXPECT_EQ(Program::mb("rules nobody").status, 1);
}

TEST_F(Engine, EachPublishedRangeIsOneRuleInNatAndNoneElsewhere) {
  Program::must_mb("create c1");
  const auto without = rules_only(must("iptables-legacy-save"));
  Program::must_mb("publish c1 1000-1999:1000-1999 3000-3999:4000-4999 8080:80/udp");
  const auto with = rules_only(must("iptables-legacy-save"));
  EXPECT_EQ(with.size(), without.size() + 3);
  EXPECT_EQ(std::count_if(with.begin(), with.end(),
                          [](const auto& rule) { return rule.starts_with("*nat -A MINIBRIDGE-PUBLISH"); }),
            3);
}

// ------------------------------------------------------------------ MAC addresses

std::string mac_of(const netns::Namespace& where, const std::string& interface) {
  return netns::run_in(where, [&] {
    const auto text = must("ip -o link show " + interface);
    return text.substr(text.find("link/ether ") + 11, 17);
  });
}

TEST_F(Engine, MacAddressesAreDerivedFromTheAddress) {
  Program::must_mb("network create --subnet 10.20.30.0/24 n1");
  Program::must_mb("create --network n1 --ip 10.20.30.77 c1");
  Program::must_mb("create --network n1 --mac-address 02:11:22:33:44:55 c2");
  EXPECT_EQ(mac_of(Program::namespace_of("c1"), "eth0"), "02:6d:0a:14:1e:4d");
  EXPECT_EQ(mac_of(Program::namespace_of("c2"), "eth0"), "02:11:22:33:44:55");
  EXPECT_EQ(Program::inspect("c1")["networks"][0]["mac"], "02:6d:0a:14:1e:4d");
  EXPECT_EQ(Program::inspect("c2")["networks"][0]["mac"], "02:11:22:33:44:55");
}

// A bridge without an address of its own takes the lowest of its ports, and every neighbour's entry is stale at once.
TEST_F(Engine, TheBridgeKeepsItsMacWhilePortsComeAndGo) {
  Program::must_mb("network create --bridge-name br-test n1");
  const auto mac = mac_of(world_.host(), "br-test");
  for (const std::string name : {"c1", "c2", "c3"}) {
    Program::must_mb("create --network n1 " + name);
    EXPECT_EQ(mac_of(world_.host(), "br-test"), mac);
  }
  Program::must_mb("rm c1 c2 c3");
  EXPECT_EQ(mac_of(world_.host(), "br-test"), mac);
}

// So many that links and files go on two threads.
TEST_F(Engine, OfManyThatGoOnlyWhatCannotGoStays) {
  const std::string many = must("printf 'm%d ' $(seq 24)");
  Program::must_mb("network create n1");
  Program::must_mb("create --network n1 -p 80 " + many);
  const std::string id = Program::json("inspect m7")[0]["id"];
  const std::string folder = program_.state_dir() + "/containers/" + id;
  must("mount --bind /dev/null " + folder + "/hosts");
  const auto removed = Program::mb("rm " + many);
  EXPECT_EQ(removed.status, 1);
  EXPECT_THAT(removed.err, HasSubstr("containers/" + id));
  EXPECT_THAT(must("minibridge ps -aq"), IsEmpty());
  EXPECT_THAT(must("ls /run/netns"), IsEmpty());
  EXPECT_THAT(must("ip -o link show type veth"), testing::Not(HasSubstr("mb")));
  EXPECT_EQ(must("ls " + program_.state_dir() + "/containers"), id + "\n");
  must("umount " + folder + "/hosts");
  Program::must_mb("repair");
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST_F(Engine, ATransactionOfManyNamesIsAllOrNothing) {
  Program::must_mb("create c1 c2 c3");
  const auto before = snapshot_host();
  const auto state = program_.look_at_state();
  EXPECT_EQ(Program::mb("create c4 c5 c1").status, 4);
  EXPECT_EQ(Program::mb("rm c1 c2 nobody").status, 1);
  EXPECT_EQ(snapshot_host(), before);
  EXPECT_EQ(program_.look_at_state(), state);
  Program::must_mb("rm c1 c2 c3");
  EXPECT_EQ(Program::must_mb("ps -a -q"), "");
}

}  // namespace
}  // namespace mb::test
