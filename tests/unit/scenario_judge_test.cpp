// SPDX-License-Identifier: GPL-2.0-or-later
//
// Each expectation holds for one observation and fails for the one that a user would want to be told of.
#include "src/lab/judge.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/lab/look_at_node.h"
#include "src/lab/mutate.h"
#include "src/lab/scenario_reader.h"

namespace mb::lab {
namespace {

SocketAddress at(const char* address, std::uint16_t port) { return {IpAddress::parse(address), port}; }

const InterfacePlace kVm{{"vm", ""}, "enp0s9"};
const InterfacePlace kWorkstation{{"workstation", ""}, "eth1"};

Request request_for(Outcome outcome) {
  Request request;
  request.from = {"workstation", ""};
  request.to = IpAddress::parse("192.168.57.3");
  request.to_port = 12345;
  request.outcome = outcome;
  return request;
}

// What REDIRECT 12345 -> 1234 looks like.
Observation redirected() {
  Observation seen;
  seen.outcome = {Outcome::reached};
  seen.client = at("192.168.57.1", 43210);
  seen.seen = container::Sighting{at("192.168.57.1", 43210), at("192.168.57.3", 1234), at("192.168.57.3", 12345)};
  seen.interfaces = {kVm, kWorkstation};
  const auto there = [&](const InterfacePlace& place, Direction direction, std::int64_t time) {
    return Packet{time, place, direction, false, 6, at("192.168.57.1", 43210), at("192.168.57.3", 12345), 2, 0};
  };
  const auto back = [&](const InterfacePlace& place, Direction direction, std::int64_t time) {
    return Packet{time, place, direction, true, 6, at("192.168.57.3", 12345), at("192.168.57.1", 43210), 0x12, 0};
  };
  seen.packets = {there(kWorkstation, Direction::out, 1), there(kVm, Direction::in, 2), back(kVm, Direction::out, 3),
                  back(kWorkstation, Direction::in, 4)};
  seen.tracked = {{{"vm", ""},
                   6,
                   at("192.168.57.1", 43210),
                   at("192.168.57.3", 12345),
                   at("192.168.57.3", 1234),
                   at("192.168.57.1", 43210)}};
  return seen;
}

bool holds(const Request& request, const Observation& seen = redirected()) { return all_ok(judge(request, seen)); }

std::optional<AddressPattern> pattern(const char* text) { return parse_address_pattern(text); }

TEST(ScenarioJudge, TimeoutAndRefusalAreDifferentFacts) {
  Observation seen;
  seen.outcome = {Outcome::error, ECONNREFUSED};
  EXPECT_TRUE(holds(request_for({Outcome::error, ECONNREFUSED}), seen));
  EXPECT_FALSE(holds(request_for({Outcome::dropped}), seen));
  EXPECT_FALSE(holds(request_for({Outcome::reached}), seen));
  EXPECT_FALSE(holds(request_for({Outcome::error, EHOSTUNREACH}), seen));
}

TEST(ScenarioJudge, WhatTheServerSawIsCompared) {
  auto request = request_for({Outcome::reached});
  request.seen = {pattern("192.168.57.1:same"), pattern("192.168.57.3:1234"), OriginalPattern{*pattern("*:12345")}};
  EXPECT_TRUE(holds(request));
  request.seen.source = pattern("192.168.57.1:other");
  EXPECT_FALSE(holds(request));
  request.seen.source = pattern("10.0.2.15");
  EXPECT_FALSE(holds(request));
}

TEST(ScenarioJudge, AnErrnoIsNoOriginalDestination) {
  auto request = request_for({Outcome::reached});
  request.seen.original = OriginalPattern{std::vector<int>{ENOENT, ENOPROTOOPT}};
  EXPECT_FALSE(holds(request));
  auto seen = redirected();
  seen.seen->original = ENOENT;
  EXPECT_TRUE(holds(request, seen));
  seen.seen->original = EPERM;
  EXPECT_FALSE(holds(request, seen));
}

TEST(ScenarioJudge, AServerThatSaidNothingFails) {
  auto request = request_for({Outcome::reached});
  request.seen.dest = pattern("*");
  auto seen = redirected();
  seen.seen.reset();
  EXPECT_FALSE(holds(request, seen));
}

TEST(ScenarioJudge, PacketsMustHavePassedOrMustNot) {
  auto request = request_for({Outcome::reached});
  request.wire = {{{}, kVm, Direction::out, pattern("192.168.57.3:12345"), pattern("192.168.57.1:same"), false},
                  {{}, kWorkstation, Direction::in, pattern("192.168.57.3:1234"), {}, true}};
  EXPECT_TRUE(holds(request));
  request.wire[0].direction = Direction::in;
  EXPECT_FALSE(holds(request));
  request.wire[0].direction = Direction::out;
  request.wire[0].absent = true;
  EXPECT_FALSE(holds(request));
}

TEST(ScenarioJudge, WhatRightlyIsNotThereIsSaidToBeAbsent) {
  auto request = request_for({Outcome::reached});
  request.wire = {{{}, kWorkstation, Direction::in, pattern("192.168.57.3:1234"), {}, true}};
  request.conntrack = {{{}, "vm", {pattern("*:80"), {}}, {}, true}};
  const auto findings = judge(request, redirected());
  const auto wire =
      std::find_if(findings.begin(), findings.end(), [](const auto& f) { return f.aspect == Aspect::wire; });
  EXPECT_EQ(wire->observed.en, "no packet workstation/eth1 in  192.168.57.3:1234 > *");
  EXPECT_EQ(findings.back().observed.en, "no entry vm: *:80 > *, * > *");
}

TEST(ScenarioJudge, FlagsOfTheWireAreCompared) {
  auto request = request_for({Outcome::reached});
  request.wire = {{{}, kWorkstation, Direction::in, {}, {}, false, std::uint8_t{0x12}}};
  EXPECT_TRUE(holds(request));
  request.wire[0].tcp_flags = 0x10;
  EXPECT_FALSE(holds(request)) << "exactly these, not these among others";
  request.wire[0].tcp_flags.reset();
  request.wire[0].icmp = IcmpPattern{0, {}};
  EXPECT_FALSE(holds(request)) << "a TCP packet has no type";
}

TEST(ScenarioJudge, TypeAndCodeOfIcmpAreCompared) {
  Observation seen;
  seen.outcome = {Outcome::error, EHOSTUNREACH};
  seen.interfaces = {kWorkstation};
  seen.packets = {{1, kWorkstation, Direction::in, true, 1, at("192.168.57.3", 0), at("192.168.57.1", 0), 0, 3, 13}};
  auto request = request_for({Outcome::error, EHOSTUNREACH});
  request.wire = {{{}, kWorkstation, Direction::in, {}, {}, false, {}, IcmpPattern{3, 13}}};
  EXPECT_TRUE(holds(request, seen));
  request.wire[0].icmp = IcmpPattern{3, {}};
  EXPECT_TRUE(holds(request, seen));
  request.wire[0].icmp = IcmpPattern{3, 1};
  EXPECT_FALSE(holds(request, seen));
  request.wire[0].icmp = IcmpPattern{11, {}};
  EXPECT_FALSE(holds(request, seen));
  request.wire[0].icmp.reset();
  request.wire[0].tcp_flags = 0;
  EXPECT_FALSE(holds(request, seen)) << "an ICMP message has no flags";
}

TEST(ScenarioJudge, AbsenceAtAnInterfaceThatIsNotThereProvesNothing) {
  auto request = request_for({Outcome::reached});
  request.wire = {{{}, {{"vm", ""}, "enp0s99"}, Direction::in, {}, {}, true}};
  EXPECT_FALSE(holds(request));
}

TEST(ScenarioJudge, LastSightingSaysWhereTheDropWas) {
  auto seen = redirected();
  seen.outcome = {Outcome::dropped};
  auto request = request_for({Outcome::dropped});
  request.last_seen = LastSeenPattern{{{}, kVm, Direction::in, pattern("192.168.57.1"), {}, false}, false};
  EXPECT_TRUE(holds(request, seen));
  request.last_seen->packet.at = kWorkstation;
  EXPECT_FALSE(holds(request, seen));
  request.last_seen->packet.source = pattern("192.168.57.3");
  request.last_seen->reply = true;
  EXPECT_TRUE(holds(request, seen));
}

TEST(ScenarioJudge, CountersAreExactUnlessAtLeast) {
  auto request = request_for({Outcome::reached});
  request.counters = {{{}, "vm", Family::v4, "filter", "INPUT", 1, {2, false}}};
  auto seen = redirected();
  seen.counted = {3};
  EXPECT_FALSE(holds(request, seen));
  request.counters[0].packets.at_least = true;
  EXPECT_TRUE(holds(request, seen));
  seen.counted = {std::nullopt};
  EXPECT_FALSE(holds(request, seen)) << "there is no such rule";
}

TEST(ScenarioJudge, ConntrackEntriesAreComparedInBothDirections) {
  auto request = request_for({Outcome::reached});
  request.conntrack = {{{}, "vm", {pattern("*:same"), pattern("*:12345")}, {pattern("*:1234"), {}}, false}};
  EXPECT_TRUE(holds(request));
  request.conntrack[0].absent = true;
  EXPECT_FALSE(holds(request));
  request.conntrack[0].reply.source = pattern("*:80");
  EXPECT_TRUE(holds(request));
}

TEST(ScenarioJudge, LoggedPacketsAreCounted) {
  auto request = request_for({Outcome::reached});
  request.log = {{{}, "vm", 5, "ssh ", pattern("192.168.57.1"), {}, {1, true}}};
  auto seen = redirected();
  EXPECT_FALSE(holds(request, seen));
  seen.logged = {{"vm", 5, "ssh ", at("192.168.57.1", 43210), at("192.168.57.3", 22)}};
  EXPECT_TRUE(holds(request, seen));
  seen.logged[0].prefix = "other ";
  EXPECT_FALSE(holds(request, seen));
}

TEST(ScenarioJudge, TheOrderOfWhatIsLoggedIsAFact) {
  auto request = request_for({Outcome::reached});
  request.log_order = {{{}, "vm", 5, {"mangle", "filter", "nat"}}};
  auto seen = redirected();
  const auto logged = [](const char* prefix) { return Logged{"vm", 5, prefix, {}, {}}; };
  seen.logged = {logged("mangle"), logged("filter"), logged("nat")};
  EXPECT_TRUE(holds(request, seen));
  std::swap(seen.logged[1], seen.logged[2]);
  EXPECT_FALSE(holds(request, seen));
  EXPECT_FALSE(holds(request)) << "nothing was logged";
}

TEST(ScenarioJudge, CommandsAreJudgedByStatusAndOutput) {
  Command command;
  command.out.equals = "-P INPUT ACCEPT\n";
  CommandResult result{0, "-P INPUT ACCEPT  \n\n", "", false};
  EXPECT_TRUE(all_ok(judge(command, result)));
  result.out = "-P INPUT DROP\n";
  EXPECT_FALSE(all_ok(judge(command, result)));
  command.out = {{}, {"DROP"}, {"ACCEPT"}, {"^-P \\w+ DROP$"}};
  EXPECT_TRUE(all_ok(judge(command, result)));
  result.status = 1;
  EXPECT_FALSE(all_ok(judge(command, result)));
  command.status = std::nullopt;
  EXPECT_TRUE(all_ok(judge(command, result)));
  result.timed_out = true;
  EXPECT_FALSE(all_ok(judge(command, result)));
}

TEST(ScenarioJudge, UndoneNamesWhatWasLeft) {
  const auto finding = judge_undone({}, "[vm]\na", "[vm]\na\n-A INPUT -j DROP");
  EXPECT_FALSE(finding.ok);
  EXPECT_EQ(finding.observed.en, "+ -A INPUT -j DROP");
  EXPECT_TRUE(judge_undone({}, "same", "same").ok);
}

TEST(LookAtNode, EmptyTablesCountersAndTimesDoNotCount) {
  const std::string empty_table =
      "[x]\n# Generated at noon\n*nat\n:PREROUTING ACCEPT [5:300]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
  EXPECT_EQ(comparable(empty_table), "[x]");
  EXPECT_EQ(comparable("*filter\n:INPUT DROP [1:2]\nCOMMIT\n"), "*filter\n:INPUT DROP");
  EXPECT_EQ(comparable("*filter\n:INPUT ACCEPT [1:2]\n:MINE - [0:0]\n-A INPUT -j DROP\nCOMMIT\n"),
            "*filter\n:INPUT ACCEPT\n:MINE -\n-A INPUT -j DROP");
}

TEST(LookAtNode, WhatTheKernelDoesByItselfDoesNotCount) {
  EXPECT_EQ(comparable("2: eth0 inet6 fd00::1/64 scope global tentative nodad\n2: eth0 inet6 fe80::1/64 scope link\n"),
            comparable("2: eth0 inet6 fd00::1/64 scope global nodad\n"));
}

TEST(Mutations, LeaveOutOneCommandAfterTheOtherButNotTheHarmless) {
  Scenario scenario;
  Step step;
  step.run.resize(2);
  step.run[0].command = "one";
  step.run[1].harmless = "only looks";
  step.undo.resize(1);
  step.undo[0].mutate = "another";
  scenario.steps = {step, step};
  const auto mutations = mutations_of(scenario);
  ASSERT_EQ(mutations.size(), 4U);
  EXPECT_EQ(mutations[0].was, "one");
  const auto first = apply(mutations[0], scenario);
  EXPECT_TRUE(first.steps[0].run[0].left_out);
  EXPECT_FALSE(first.steps[1].run[0].left_out);
  const auto last = apply(mutations[3], scenario);
  EXPECT_EQ(last.steps[1].undo[0].command, "another");
  EXPECT_FALSE(last.steps[1].undo[0].left_out);
}

}  // namespace
}  // namespace mb::lab
