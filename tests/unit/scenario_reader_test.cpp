// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/scenario_reader.h"

#include <cerrno>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/base/error.h"
#include "src/lab/document.h"

namespace mb::lab {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Topology world(const std::string&) {
  return parse_topology(parse_document(R"(nodes:
  vm: {}
  workstation: {}
links:
  - name: cable
    ends:
      - {node: vm, interface: enp0s9, addresses: [192.168.57.3/24]}
      - {node: workstation, interface: eth1, addresses: [192.168.57.1/24]}
)",
                                       "world.yaml"),
                        "world");
}

const std::string kHead = R"(title: {en: Title, zh: 标题}
summary: {en: Summary, zh: 摘要}
topology: world
services: {vm: [1234]}
steps:
)";

Scenario read(const std::string& steps, const std::string& head = kHead) {
  return parse_scenario(parse_document(head + steps, "s.yaml"), "s", world);
}

std::string failure(const std::string& steps, const std::string& head = kHead) {
  try {
    read(steps, head);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage) << error.message();
    return error.message();
  }
  return "no failure";
}

// The steps begin in line 6.
std::string step(const std::string& rest) { return "  - want: {en: Want, zh: 愿望}\n" + rest; }

TEST(ScenarioReader, ReadsARequestWithEverythingThatCanBeObserved) {
  const auto scenario = read(step(R"(    expect:
      - from: workstation
        to: 192.168.57.3:12345
        outcome: reached
        seen: {source: "192.168.57.1:same", dest: "192.168.57.3:1234", original: [ENOENT, ENOPROTOOPT]}
        wire:
          - {at: vm/enp0s9, direction: out, source: "192.168.57.3:12345", absent: true}
          - {at: vm/enp0s9, direction: out, icmp: 3/13}
          - {at: vm/enp0s9, direction: out, icmp: 11}
          - {at: vm/enp0s9, direction: out, flags: [rst, ack]}
        last_seen: {of: reply, at: workstation/eth1, direction: in}
        counters:
          - {node: vm, table: nat, chain: PREROUTING, rule: 1, packets: {at_least: 1}}
        conntrack:
          - {node: vm, original: {dest: "192.168.57.3:12345"}, reply: {source: "192.168.57.3:1234"}}
        log:
          - {node: vm, group: 5, prefix: "ssh ", packets: 2}
        journey: true
)"));
  const auto& request = std::get<Request>(scenario.steps.at(0).expect.at(0));
  EXPECT_EQ(request.from.str(), "workstation");
  EXPECT_EQ(request.target(), "192.168.57.3:12345");
  EXPECT_EQ(request.outcome, Outcome{Outcome::reached});
  EXPECT_EQ(request.seen.source->port.kind, PortPattern::same);
  EXPECT_EQ(std::get<std::vector<int>>(request.seen.original->is), (std::vector<int>{ENOENT, ENOPROTOOPT}));
  EXPECT_TRUE(request.wire.at(0).absent);
  EXPECT_EQ(request.wire.at(0).at.str(), "vm/enp0s9");
  EXPECT_EQ(request.wire.at(1).icmp->str(), "3/13");
  EXPECT_EQ(request.wire.at(2).icmp->str(), "11");
  EXPECT_EQ(request.wire.at(3).tcp_flags, 0x14);
  EXPECT_TRUE(request.last_seen->reply);
  EXPECT_EQ(request.counters.at(0).table, "nat");
  EXPECT_TRUE(request.counters.at(0).packets.at_least);
  EXPECT_EQ(request.conntrack.at(0).reply.source->str(), "192.168.57.3:1234");
  EXPECT_EQ(request.log.at(0).packets.packets, 2U);
  EXPECT_EQ(request.position.line, 8);
  EXPECT_TRUE(request.journey);
}

TEST(ScenarioReader, ReadsWhatAStepNeeds) {
  const auto scenario = read(step("    needs: [br_netfilter, ids]\n    run: [{node: vm, command: ls}]\n"));
  EXPECT_EQ(scenario.steps.at(0).needs, (std::vector{Need::br_netfilter, Need::ids}));
}

TEST(ScenarioReader, ReadsCommandsWithWhatTheyMustPrint) {
  const auto scenario = read(step(R"(    run:
      - {node: vm, command: iptables -P INPUT REJECT, status: failure, stderr: Bad policy, harmless: changes nothing}
    expect:
      - {node: vm, command: iptables -S, stdout: {equals: "-P INPUT ACCEPT", matches: ["^-P"]}}
    undo:
      - {node: vm, command: "true", mutate: "false"}
)"));
  const Step& only = scenario.steps.at(0);
  EXPECT_FALSE(only.run.at(0).status);
  EXPECT_EQ(only.run.at(0).err.contains.at(0), "Bad policy");
  EXPECT_EQ(*only.run.at(0).harmless, "changes nothing");
  EXPECT_EQ(*std::get<Command>(only.expect.at(0)).out.equals, "-P INPUT ACCEPT");
  EXPECT_EQ(*only.undo.at(0).mutate, "false");
  EXPECT_EQ(only.undo.at(0).status, 0);
}

TEST(ScenarioReader, ServicesOfTheScenarioAreAddedToTheNode) {
  const auto scenario = read(step("    run: [{node: vm, command: ls}]\n"));
  ASSERT_EQ(scenario.topology.node("vm").services.size(), 1U);
  EXPECT_EQ(scenario.topology.node("vm").services.at(0).echo.at(0).port, 1234);
}

TEST(ScenarioReader, TopologyMayStandInTheFile) {
  const auto scenario = read(step("    run: [{node: a, command: ls}]\n"),
                             "title: {en: T, zh: T}\nsummary: {en: S, zh: S}\n"
                             "topology: {nodes: {a: {}}}\nsteps:\n");
  EXPECT_EQ(scenario.topology.node_names(), std::vector<std::string>{"a"});
  EXPECT_EQ(read_topology(scenario.topology.source, "again", "s").node_names(), scenario.topology.node_names());
}

TEST(ScenarioReader, AddressPatternsPrintAsTheyAreWritten) {
  for (const char* text :
       {"*", "10.0.2.15", "10.0.2.15:80", "10.0.2.15:same", "10.0.2.15:other", "*:80", "fd00::1", "[fd00::1]:80"}) {
    EXPECT_EQ(parse_address_pattern(text).str(), text);
  }
}

TEST(ScenarioReader, OutcomesPrintAsTheyAreWritten) {
  for (const char* text : {"reached", "dropped", "refused", "EPERM", "EHOSTUNREACH"}) {
    EXPECT_EQ(parse_outcome(text).str(), text);
  }
  EXPECT_EQ(parse_outcome("ECONNREFUSED"), parse_outcome("refused"));
}

struct Wrong {
  const char* step;
  const char* sentence;
};

class ScenarioReaderRefuses : public testing::TestWithParam<Wrong> {};

TEST_P(ScenarioReaderRefuses, WithFileLineAndASentence) {
  EXPECT_THAT(failure(step(GetParam().step)), StartsWith(GetParam().sentence));
}

INSTANTIATE_TEST_SUITE_P(
    Scenario, ScenarioReaderRefuses,
    testing::Values(
        Wrong{"    expekt: []\n", "s.yaml:7: a step has no 'expekt'"},
        Wrong{"    why: {en: a, zh: b}\n", "s.yaml:6: a step needs 'run' or 'expect'"},
        Wrong{"    run: [{node: wm, command: ls}]\n", "s.yaml:7: there is no node 'wm' in topology 'world'"},
        Wrong{"    run: [{node: vm, command: ls, status: 300}]\n", "s.yaml:7: '300' is not a number from 0 to 255"},
        Wrong{"    run: [{node: vm, command: ls, mutate: a, harmless: b}]\n", "s.yaml:7: 'mutate' and 'harmless'"},
        Wrong{"    expect: [{node: vm, command: ls, stdout: {matches: \"(\"}}]\n",
              "s.yaml:7: '(' is not a regular expression"},
        Wrong{"    expect: [{node: vm, command: ls, stdout: {}}]\n", "s.yaml:7: nothing is said here"},
        Wrong{"    expect: [{to: 10.0.0.1}]\n", "s.yaml:7: an expectation is a request or a command"},
        Wrong{"    expect: [{from: vm, outcome: reached}]\n", "s.yaml:7: a request needs 'to'"},
        Wrong{"    expect: [{from: vm, to: 10.0.0.1, outcome: reached}]\n", "s.yaml:7: '10.0.0.1' has no port"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:99999\", outcome: reached}]\n", "s.yaml:7: '10.0.0.1:99999'"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.300:1\", outcome: reached}]\n", "s.yaml:7: '10.0.0.300'"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", outcome: perhaps}]\n",
              "s.yaml:7: 'perhaps' is not an outcome"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", outcome: ENOWAY}]\n",
              "s.yaml:7: 'ENOWAY' is not the name of an errno"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", proto: sctp, outcome: reached}]\n",
              "s.yaml:7: 'sctp' is not a protocol of a request"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", outcome: dropped, seen: {dest: \"*\"}}]\n",
              "s.yaml:7: 'seen' is about an answer"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", proto: udp, hold: true, outcome: reached}]\n",
              "s.yaml:7: only a tcp connection can be held"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", source: \"fd00::1\", outcome: reached}]\n",
              "s.yaml:7: source and target are of different families"},
        Wrong{"    expect: [{from: nobody/c1, to: \"10.0.0.1:1\", outcome: reached}]\n",
              "s.yaml:7: there is no node 'nobody'"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", outcome: reached, wire: [{at: vm, direction: in}]}]\n",
              "s.yaml:7: 'vm' is not an interface"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", outcome: reached, wire: [{at: vm/lo, direction: up}]}]\n",
              "s.yaml:7: 'up' is not a direction"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", outcome: refused, wire: [{at: vm/lo, direction: in, "
              "icmp: 3/256}]}]\n",
              "s.yaml:7: '3/256' is not a kind of ICMP message"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", outcome: refused, wire: [{at: vm/lo, direction: in, "
              "icmp: 3, flags: [rst]}]}]\n",
              "s.yaml:7: a packet of ICMP has no flags"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", outcome: reached, counters: [{node: vm, table: net, "
              "chain: X, rule: 1, packets: 1}]}]\n",
              "s.yaml:7: there is no table 'net'"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", flags: [fun], outcome: refused}]\n",
              "s.yaml:7: 'fun' is not a TCP flag"},
        Wrong{"    expect: [{from: vm, to: \"10.0.0.1:1\", outcome: dropped, counters: [{node: vm, chain: INPUT, rule: "
              "1, "
              "packets: 1}]}]\n",
              "s.yaml:7: tcp sends again what was dropped"},
        Wrong{"    expect: [{node: vm, command: ls, stdout: {equals: a}}]\n    pairs: [{by_hand: b}]\n",
              "s.yaml:8: no check of this step demands the line 'b'"},
        Wrong{"    expect: [{node: vm, command: ls, stdout: {equals: \"a\\nb\"}}]\n    pairs: [{minibridge: b}]\n",
              "s.yaml:8: the line 'a' stands in no pair"},
        Wrong{"    expect: [{node: vm, command: ls, stdout: {equals: a}}]\n    pairs: [{}]\n",
              "s.yaml:8: this pair is empty"},
        Wrong{"    needs: [luck]\n    run: [{node: vm, command: ls}]\n", "s.yaml:7: 'luck' is nothing that a step"},
        Wrong{"    run: [{node: vm, command: ls}]\n    claim: {says: {en: a, zh: b}, truth: {en: a, zh: b}}\n",
              "s.yaml:6: a claim is refuted by expectations"}));

TEST(ScenarioReader, BothLanguagesAreDemanded) {
  EXPECT_EQ(failure("  - want: {en: only English}\n    run: [{node: vm, command: ls}]\n"),
            "s.yaml:6: a text needs 'zh'");
}

TEST(ScenarioReader, AServiceNeedsANodeThatThereIs) {
  EXPECT_THAT(failure(step("    run: [{node: vm, command: ls}]\n"),
                      "title: {en: T, zh: T}\nsummary: {en: S, zh: S}\ntopology: world\nservices: {wm: [1]}\nsteps:\n"),
              StartsWith("s.yaml:4: there is no node 'wm'"));
}

}  // namespace
}  // namespace mb::lab
