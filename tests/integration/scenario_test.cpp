// SPDX-License-Identifier: GPL-2.0-or-later
//
// Scenarios as a user runs them: what holds is found to hold, what does not is found not to, and every word of the format does what
// docs/scenario-format.md says.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/support/program.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kHead = R"(title: {en: Test, zh: 测试}
summary: {en: Two machines, zh: 两台机器}
topology:
  nodes:
    left: {}
    right: {services: [{name: web, echo: [80, 53/udp]}]}
  links:
    - name: cable
      ends:
        - {node: left, interface: eth0, addresses: [10.9.0.1/24, "fd00:9::1/64"]}
        - {node: right, interface: eth0, addresses: [10.9.0.2/24, "fd00:9::2/64"]}
steps:
)";

class ScenarioRun : public testing::Test {
 protected:
  // Runs a scenario with these steps.
  netns::Finished run(const std::string& steps, const std::string& words = "") const {
    return Program::mb("scenario run " + program_.write("test.yaml", kHead + steps) + " --lang en " + words);
  }

  void expect_holds(const std::string& steps) const {
    const auto finished = run(steps);
    EXPECT_EQ(finished.status, 0) << finished.out << finished.err;
    EXPECT_THAT(finished.out, AnyOf(HasSubstr("checks hold"), HasSubstr("the only check holds")));
  }

  World world_;
  Program program_;
};

// A lab has a user namespace of its own, in which nobody is the machine's root.
bool labs_read_the_kernels_log() { return sh("unshare --user --map-root-user dmesg").status == 0; }

std::string step(const std::string& rest) { return "  - want: {en: Want, zh: 愿望}\n" + rest; }

TEST_F(ScenarioRun, HostFirewallHolds) {
  const auto finished = Program::mb("scenario run host-firewall --lang en");
  EXPECT_EQ(finished.status, 0) << finished.out << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("vm $ iptables -t filter -I INPUT -s 192.168.57.1 -j DROP"));
  EXPECT_THAT(finished.out, Not(HasSubstr("\x1b["))) << "no colour in a pipe";
}

TEST_F(ScenarioRun, RedirectHoldsAndReadsInChinese) {
  const auto finished = Program::mb("scenario run 5 --lang zh");
  EXPECT_EQ(finished.status, 0) << finished.out << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("项检查全部符合"));
  EXPECT_THAT(finished.out, HasSubstr("[192.168.57.3:1234]"));
}

TEST_F(ScenarioRun, EveryCommandLeftOutIsNoticed) {
  const auto finished = Program::mb("--format json scenario run 2 5 --mutate");
  EXPECT_EQ(finished.status, 0) << finished.out << finished.err;
  const auto mutants = nlohmann::json::parse(finished.out);
  EXPECT_GT(mutants.size(), 12U);
  for (const auto& mutant : mutants) EXPECT_TRUE(mutant.at("noticed")) << mutant;
}

TEST_F(ScenarioRun, ARowOfTheSelfTestIsOneLine) {
  const auto finished = run(step("    run:\n      - node: left\n        command: |\n          iptables -N A\n"
                                 "          iptables -N B\n    expect: [{node: left, command: iptables -nL B}]\n"),
                            "--mutate");
  EXPECT_EQ(finished.status, 0) << finished.out;
  EXPECT_THAT(finished.out, HasSubstr("left$ iptables -N A …\n"));
  EXPECT_EQ(std::count(finished.out.begin(), finished.out.end(), '\n'), 2) << finished.out;
}

// And there is one to leave out: a scenario that cannot fail would not be noticed otherwise. All of them, by hand: scenario run --all --mutate
TEST_F(ScenarioRun, OneCommandOfEachScenarioLeftOutIsNoticed) {
  const auto finished = Program::mb("--format json scenario run --all --mutate=one");
  EXPECT_EQ(finished.status, 0) << finished.out << finished.err;
  std::set<std::string> noticed;
  for (const auto& mutant : nlohmann::json::parse(finished.out)) {
    EXPECT_TRUE(mutant.at("noticed")) << mutant;
    noticed.insert(mutant.at("name"));
  }
  for (const auto& scenario : Program::json("scenario ls")) {
    EXPECT_TRUE(noticed.contains(scenario.at("name"))) << scenario.at("name") << " has no command to leave out";
  }
}

TEST_F(ScenarioRun, WhatIsLeftOutUnnoticedFailsTheSelfTest) {
  const auto finished = run(step(R"(    run:
      - {node: right, command: iptables -A INPUT -p udp -j DROP}
      - {node: right, command: iptables -A INPUT -p icmp -j ACCEPT}
    expect:
      - {from: left, to: "10.9.0.2:53", proto: udp, outcome: dropped}
      - {from: left, to: 10.9.0.2, proto: icmp, outcome: reached}
)"),
                            "--mutate --format json");
  EXPECT_EQ(finished.status, 1) << finished.out << finished.err;
  const auto mutants = nlohmann::json::parse(finished.out);
  ASSERT_EQ(mutants.size(), 2U);
  EXPECT_TRUE(mutants.at(0).at("noticed"));
  EXPECT_FALSE(mutants.at(1).at("noticed"));
}

TEST_F(ScenarioRun, AllHold) {
  const auto finished = Program::mb("scenario run --all --lang en");
  EXPECT_EQ(finished.status, 0) << finished.out << finished.err;
  const auto scenarios = Program::json("scenario ls");
  for (const auto& scenario : scenarios) {
    EXPECT_THAT(finished.out, HasSubstr(scenario.at("name").get<std::string>()));
  }
  const auto count = std::to_string(scenarios.size());
  EXPECT_THAT(finished.out, HasSubstr("\n" + count + " of " + count + " hold, "));
}

// Each of these says something that is not so.
TEST_F(ScenarioRun, WhatDoesNotHoldFailsWithItsLine) {
  const auto finished = run(step(R"(    run:
      - {node: right, command: iptables -A INPUT -p udp -j DROP}
    expect:
      - {from: left, to: "10.9.0.2:81", outcome: dropped}
      - {from: left, to: "10.9.0.2:53", proto: udp, outcome: refused}
      - {from: left, to: "10.9.0.2:80", outcome: refused}
      - {from: left, to: "10.9.0.2:80", outcome: reached, seen: {source: "10.9.0.1:other"}}
      - {node: right, command: iptables -S INPUT, stdout: {lacks: DROP}}
      - {from: left/nowhere, to: "10.9.0.2:80", outcome: reached}
)"),
                            "--format json");
  EXPECT_EQ(finished.status, 1) << finished.out << finished.err;
  const auto report = nlohmann::json::parse(finished.out).at(0);
  EXPECT_EQ(report.at("failed"), 6);
  int line = 16;
  for (const auto& action : report.at("steps").at(0).at("actions")) {
    EXPECT_EQ(action.at("ok"), action.at("kind") == "run") << action;
    if (action.at("kind") == "run") continue;
    EXPECT_EQ(action.at("line"), ++line);
  }
}

TEST_F(ScenarioRun, UndoThatLeavesSomethingFails) {
  const std::string steps = step(R"(    run:
      - {node: right, command: iptables -N MINE}
      - {node: right, command: ip address add 10.9.0.3/24 dev eth0}
    undo:
      - {node: right, command: iptables -X MINE}
)");
  const auto finished = run(steps);
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.out, HasSubstr("10.9.0.3/24"));
  EXPECT_THAT(finished.out, Not(HasSubstr("MINE -")));
}

TEST_F(ScenarioRun, UndoThatLeavesARoutingRuleFails) {
  const auto finished = run(step(R"(    run:
      - {node: right, command: ip rule add fwmark 7 prohibit}
    undo:
      - {node: right, command: "true"}
)"));
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.out, HasSubstr("fwmark 0x7 prohibit"));
}

TEST_F(ScenarioRun, EveryKindOfRequestIsObserved) {
  expect_holds(step(R"(    expect:
      - {from: left, to: "10.9.0.2:80", source: ":5000", outcome: reached, seen: {source: "10.9.0.1:5000"}}
      - {from: left, to: "10.9.0.2:53", proto: udp, outcome: reached, seen: {dest: "10.9.0.2:53"}}
      - {from: left, to: "10.9.0.2:54", proto: udp, outcome: refused}
      - {from: left, to: 10.9.0.2, proto: icmp, outcome: reached}
      - {from: left, to: 10.9.0.2, proto: icmp, icmp: timestamp, outcome: reached}
      - {from: left, to: "[fd00:9::2]:80", outcome: reached, seen: {source: "fd00:9::1", dest: "[fd00:9::2]:80"}}
      - {from: left, to: "[fd00:9::2]:53", proto: udp, outcome: reached}
      - {from: left, to: "fd00:9::2", proto: icmp, outcome: reached}
      - {from: left, to: "10.9.0.2:81", flags: [fin, psh, urg], outcome: refused}
      - {from: left, to: "10.9.0.2:80", flags: [syn], source: ":6000", outcome: reached}
      - {from: left, to: "10.9.0.2:80", flags: [], outcome: dropped}
      - {from: left, to: "10.9.0.2:81", flags: [ack], outcome: refused}
      - {from: left, to: "10.9.0.2:81", flags: [ack], repeat: 2, outcome: refused}
      - {from: left, to: "10.9.0.2:81", flags: [ack], source: ":6000", outcome: refused}
      - {from: left, to: "10.9.0.2:81", flags: [ack], source: ":6000", outcome: refused}
      - {from: right, to: "127.0.0.1:80", outcome: reached}
      - {from: left, to: "192.0.2.1:80", outcome: ENETUNREACH}
)"));
}

// A machine that is not there is another fact than a drop: the kernel of the sender says so in the end.
TEST_F(ScenarioRun, NobodyAtTheAddressIsNoDrop) {
  expect_holds(step("    expect: [{from: left, to: \"10.9.0.77:80\", outcome: EHOSTUNREACH}]\n"));
}

TEST_F(ScenarioRun, DropsAreToldFromEachOtherByPlace) {
  expect_holds(step(R"(    run:
      - {node: right, command: iptables -A INPUT -p tcp --dport 80 -j DROP}
      - {node: right, command: iptables -A OUTPUT -p udp --sport 53 -j DROP}
      - {node: left, command: iptables -A OUTPUT -p tcp --dport 81 -j DROP}
    expect:
      - from: left
        to: 10.9.0.2:80
        outcome: dropped
        last_seen: {at: right/eth0, direction: in}
      - from: left
        to: 10.9.0.2:53
        proto: udp
        outcome: dropped
        last_seen: {at: right/eth0, direction: in}
        wire: [{at: right/eth0, direction: out, absent: true}]
      - from: left
        to: 10.9.0.2:81
        outcome: dropped
        wire: [{at: left/eth0, direction: out, absent: true}]
)"));
}

// The client of the first two gets the same errno; on the wire they differ.
TEST_F(ScenarioRun, RefusalsAreToldFromEachOtherOnTheWire) {
  expect_holds(step(R"(    run:
      - {node: right, command: iptables -A INPUT -p tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable}
      - {node: right, command: iptables -A INPUT -p tcp --dport 82 -j REJECT --reject-with icmp-admin-prohibited}
    expect:
      - from: left
        to: 10.9.0.2:80
        outcome: refused
        wire:
          - {at: left/eth0, direction: in, source: 10.9.0.2, icmp: 3/3}
          - {at: left/eth0, direction: in, flags: [rst, ack], absent: true}
      - from: left
        to: 10.9.0.2:81
        outcome: refused
        wire:
          - {at: left/eth0, direction: in, source: "10.9.0.2:81", flags: [rst, ack]}
          - {at: left/eth0, direction: in, icmp: 3, absent: true}
      - from: left
        to: 10.9.0.2:82
        outcome: EHOSTUNREACH
        last_seen: {of: reply, at: left/eth0, direction: in, icmp: 3/13}
)"));
}

TEST_F(ScenarioRun, CountersLogMarksConntrackAndRepetitionAreObserved) {
  expect_holds(step(R"(    run:
      - {node: right, command: iptables -A INPUT -p udp -j NFLOG --nflog-group 7 --nflog-prefix "seen "}
      - {node: right, command: iptables -A INPUT -m conntrack --ctstate NEW -p icmp -j DROP}
      - {node: left, command: iptables -A OUTPUT -m mark --mark 5 -j REJECT --reject-with icmp-host-prohibited}
      - {node: right, command: ip6tables -A INPUT -p icmpv6 --icmpv6-type echo-request -j DROP}
    expect:
      - from: left
        to: 10.9.0.2:53
        proto: udp
        repeat: 3
        outcome: reached
        counters: [{node: right, chain: INPUT, rule: 1, packets: 3}, {node: right, chain: INPUT, rule: 2, packets: 0}]
        log: [{node: right, group: 7, prefix: "seen ", source: "10.9.0.1", packets: 3}]
        conntrack: [{node: right, original: {dest: "10.9.0.2:53"}, reply: {source: "10.9.0.2:53"}}]
      - from: left
        to: 10.9.0.2
        proto: icmp
        outcome: dropped
        counters: [{node: right, chain: INPUT, rule: 2, packets: 1}]
        conntrack: [{node: right, original: {dest: "10.9.0.2:80"}, absent: true}]
      - {from: left, to: "10.9.0.2:80", mark: 5, outcome: EHOSTUNREACH}
      - {from: left, to: "10.9.0.2:80", outcome: reached}
      - from: left
        to: fd00:9::2
        proto: icmp
        outcome: dropped
        counters: [{node: right, family: ipv6, chain: INPUT, rule: 1, packets: 1}]
)"));
}

TEST_F(ScenarioRun, AStepThatNeedsTheKernelsLogHasItOrIsLeftOut) {
  const auto finished = run(step("    needs: [kernel_log]\n    run: [{node: left, command: dmesg > /dev/null}]\n"));
  EXPECT_EQ(finished.status, 0) << finished.out;
  EXPECT_EQ(finished.out.find("left out here") == std::string::npos, labs_read_the_kernels_log()) << finished.out;
}

TEST_F(ScenarioRun, TheOrderOfTablesIsObserved) {
  expect_holds(step(R"(    run:
      - {node: right, command: iptables -t filter -A INPUT -p udp -j NFLOG --nflog-group 3 --nflog-prefix filter}
      - {node: right, command: iptables -t mangle -A PREROUTING -p udp -j NFLOG --nflog-group 3 --nflog-prefix prerouting}
    expect:
      - from: left
        to: 10.9.0.2:53
        proto: udp
        outcome: reached
        log_order: [{node: right, group: 3, prefixes: [prerouting, filter]}]
)"));
}

TEST_F(ScenarioRun, HeldConnectionsStayUntilTheStepEnds) {
  expect_holds(step(R"(    run:
      - {node: right, command: iptables -A INPUT -p tcp --syn -m connlimit --connlimit-above 1 -j REJECT --reject-with tcp-reset}
    expect:
      - {from: left, to: "10.9.0.2:80", hold: true, outcome: reached}
      - {from: left, to: "10.9.0.2:80", outcome: refused}
)"));
}

TEST_F(ScenarioRun, NamespacesInsideANodeArePlaces) {
  expect_holds(step(R"(    run:
      - node: right
        command: |
          ip netns add box
          ip link add veth0 type veth peer name eth0 netns box
          ip address add 10.8.0.1/24 dev veth0
          ip link set veth0 up
          ip -n box link set lo up
          ip -n box link set eth0 up
          ip -n box address add 10.8.0.2/24 dev eth0
          ip -n box route add default via 10.8.0.1
          sysctl -w net.ipv4.ip_forward=1
      - {node: left, command: ip route add 10.8.0.0/24 via 10.9.0.2}
    serve:
      - {at: right/box, listen: [8080]}
    expect:
      - from: left
        to: 10.8.0.2:8080
        outcome: reached
        wire:
          - {at: right/veth0, direction: out, source: "10.9.0.1:same"}
          - {at: right/box/eth0, direction: in, source: "10.9.0.1:same"}
      - {from: right/box, to: "10.9.0.1", proto: icmp, outcome: reached}
    undo:
      - node: right
        command: |
          ip link delete veth0
          ip netns delete box
          sysctl -w net.ipv4.ip_forward=0
      - {node: left, command: ip route delete 10.8.0.0/24}
)"));
}

TEST_F(ScenarioRun, WhatARuleHasCountedIsNoChangeThatMustBePutBack) {
  expect_holds(step(R"(    run:
      - {node: right, command: "iptables-nft -A INPUT -p tcp --dport 81 -j DROP; iptables -A INPUT -p tcp --dport 80"}
    expect:
      - {from: left, to: "10.9.0.2:80", outcome: reached}
  - want: {en: a, zh: b}
    run:
      - {node: right, command: sysctl -w net.ipv4.ip_forward=1}
    expect:
      - {from: left, to: "10.9.0.2:81", outcome: dropped}
      - {from: left, to: "10.9.0.2:80", outcome: reached}
    undo:
      - {node: right, command: sysctl -w net.ipv4.ip_forward=0}
)"));
}

TEST_F(ScenarioRun, PagesAreTheSameInEveryRun) {
  const auto write = [&](const std::string& folder) {
    const auto finished = Program::mb("scenario doc 2 5 --out " + program_.directory() + "/" + folder);
    EXPECT_EQ(finished.status, 0) << finished.err;
  };
  write("one");
  write("two");
  const auto difference = sh("diff -r " + program_.directory() + "/one " + program_.directory() + "/two");
  EXPECT_EQ(difference.status, 0) << difference.out;
}

// Whoever changes a scenario makes its pages anew: minibridge scenario doc
TEST_F(ScenarioRun, PagesInDocsAreUpToDate) {
  std::uint64_t first = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  std::ifstream("/proc/self/uid_map") >> first >> outside >> count;
  if (count == 1) GTEST_SKIP() << "the pages show what a lab with several users shows, and this user has one id";
  if (::access("/proc/sys/net/bridge/bridge-nf-call-iptables", F_OK) != 0) {
    GTEST_SKIP() << "the kernel lacks br_netfilter, and the pages show what it does";
  }
  if (labs_read_the_kernels_log()) GTEST_SKIP() << "the kernel lacks dmesg_restrict=1, and the pages leave out its log";
  const auto finished = Program::mb("scenario doc --out " + program_.directory() + "/pages");
  EXPECT_EQ(finished.status, 0) << finished.err;
  const auto difference = sh("diff -r " + program_.directory() + "/pages " + MB_SOURCE_DIR + "/docs/scenarios");
  EXPECT_EQ(difference.status, 0) << difference.out;
}

}  // namespace
}  // namespace mb::test
