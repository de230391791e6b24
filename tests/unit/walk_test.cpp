// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/make.h"

namespace mb::plan {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

// A chain from lines of iptables-save; "?" in front of one stands for a match that is not understood.
HostChain chain(std::string name, std::initializer_list<std::string_view> lines) {
  HostChain result;
  result.name = std::move(name);
  for (auto line : lines) {
    const bool unclear = line.starts_with('?');
    if (unclear) line.remove_prefix(1);
    auto rule = parse_rule("-A X " + std::string(line)).rule;
    if (auto* jump = std::get_if<target::Jump>(&rule.target); jump != nullptr && jump->chain == "REJECT") {
      rule.target = target::Opaque{"REJECT", 0, {}};
    }
    if (unclear) rule.matches.emplace_back(match::Opaque{"set", 0, {}});
    result.rules.push_back({rule, result.rules.size() + 1, std::nullopt});
  }
  return result;
}

HostTable filter(std::initializer_list<std::string_view> forward, std::vector<HostChain> more = {},
                 bool drops = false) {
  HostTable table{Backend::legacy, "ip", "filter", {chain("FORWARD", forward)}};
  table.chains.front().hook = Hook::forward;
  table.chains.front().drops = drops;
  table.chains.insert(table.chains.end(), more.begin(), more.end());
  return table;
}

// A new connection from a neighbour on eth0 to port 80 of a container.
Probe to_port() {
  Probe probe;
  probe.in = "eth0";
  probe.out = "minibridge0";
  probe.out_group = 0x4d420001;
  probe.destination = Subnet::parse("172.17.0.2/32");
  probe.protocol = Protocol::tcp;
  probe.destination_ports = PortRange{80, 80};
  probe.states = match::kNew | match::kDnat;
  return probe;
}

// "3 certain", "possible, then policy certain" …
std::string stops(const HostTable& table, const Probe& probe = to_port()) {
  std::string text;
  for (const auto& stop : fate_in(table, probe).stops) {
    if (!text.empty()) text += ", then ";
    text += stop.place.chain + (stop.place.rule == nullptr ? " policy" : ":" + std::to_string(stop.place.rule->handle));
    text += stop.certainty == Certainty::certain ? " certain" : " possible";
    if (stop.diverted) text += " diverted";
  }
  return text;
}

TEST(Walk, FindsTheDropThatConcernsAllOfThePackets) {
  EXPECT_EQ(stops(filter({"-i eth1 -j DROP", "-p tcp -m tcp --dport 80 -j DROP"})), "FORWARD:2 certain");
  EXPECT_EQ(stops(filter({"-j REJECT"})), "FORWARD:1 certain");
  EXPECT_EQ(stops(filter({"-i eth+ -o minibridge0 -j DROP"})), "FORWARD:1 certain");
  EXPECT_EQ(stops(filter({"-d 172.16.0.0/12 -j DROP"})), "FORWARD:1 certain");
  EXPECT_EQ(stops(filter({"-m conntrack --ctstate NEW -j DROP"})), "FORWARD:1 certain");
  EXPECT_EQ(stops(filter({"-m devgroup --dst-group 0x4d420001 -j DROP"})), "FORWARD:1 certain");
}

TEST(Walk, PassesByWhatConcernsOtherPackets) {
  EXPECT_EQ(stops(filter({"-i docker0 -j DROP", "-o virbr0 -j REJECT", "-p udp -m udp --dport 80 -j DROP",
                          "-p tcp -m tcp --dport 81 -j DROP", "-d 10.0.0.0/8 -j DROP", "! -i eth0 -j DROP",
                          "-p icmp -m icmp --icmp-type 8 -j DROP", "-m conntrack --ctstate INVALID -j DROP"})),
            "");
}

TEST(Walk, ARuleForSomeOfThePacketsIsItsAuthorsBusiness) {
  EXPECT_EQ(stops(filter({"-s 203.0.113.7/32 -j DROP"})), "");
  EXPECT_EQ(stops(filter({"-s 203.0.113.0/24 -j ACCEPT", "-j DROP"})), "FORWARD:2 certain") << "the others are stopped";
}

TEST(Walk, OfAMatchThatIsNotUnderstoodNothingIsKnown) {
  EXPECT_EQ(stops(filter({"?-j DROP"})), "FORWARD:1 possible");
  EXPECT_EQ(stops(filter({"?-j ACCEPT", "-j DROP"})), "FORWARD:2 possible");
  EXPECT_EQ(stops(filter({"?-j DROP", "-j DROP"})), "FORWARD:1 possible, then FORWARD:2 certain");
  EXPECT_EQ(stops(filter({"?-i docker0 -j DROP"})), "");
}

TEST(Walk, AnswersToContainersGoTheWayTheyCame) {
  const auto stops_with = [](std::uint8_t flags) {
    auto table = filter({"-j DROP"});
    table.chains.front().rules.front().rule.matches.emplace_back(match::Opaque{"rpfilter", 0, {flags}});
    return stops(table);
  };
  EXPECT_EQ(stops_with(8), "") << "--invert";
  EXPECT_EQ(stops_with(0), "FORWARD:1 certain");
}

TEST(Walk, FollowsJumpsGotosAndReturns) {
  EXPECT_EQ(stops(filter({"-j theirs"}, {chain("theirs", {"-i eth0 -j RETURN", "-j DROP"})})), "");
  EXPECT_EQ(stops(filter({"-j theirs", "-j DROP"}, {chain("theirs", {"-o minibridge0 -j ACCEPT"})})), "");
  EXPECT_EQ(stops(filter({"-j theirs"}, {chain("theirs", {"-j deeper"}), chain("deeper", {"-j DROP"})})),
            "deeper:1 certain");
  EXPECT_EQ(stops(filter({"-g theirs", "-j DROP"}, {chain("theirs", {"-i eth9 -j ACCEPT"})})), "");
  EXPECT_EQ(stops(filter({"-g theirs", "-j ACCEPT"}, {chain("theirs", {"-i eth9 -j ACCEPT"})}, true)),
            "FORWARD policy certain");
  EXPECT_EQ(stops(filter({"-s 203.0.113.0/24 -j theirs"}, {chain("theirs", {"-j DROP"})})), "");
  EXPECT_EQ(stops(filter({"-j gone", "-j DROP"})), "FORWARD:2 certain");
}

TEST(Walk, EndsAtOurJumpButLooksIntoTheOperatorsChain) {
  EXPECT_EQ(stops(filter({"-j MINIBRIDGE-USER", "-j MINIBRIDGE-FORWARD", "-j DROP"},
                         {chain("MINIBRIDGE-USER", {}), chain("MINIBRIDGE-FORWARD", {"-j DROP"})}, true)),
            "");
  EXPECT_EQ(stops(filter({"-j MINIBRIDGE-USER", "-j MINIBRIDGE-FORWARD"},
                         {chain("MINIBRIDGE-USER", {"-i eth0 -j DROP"}), chain("MINIBRIDGE-FORWARD", {})})),
            "MINIBRIDGE-USER:1 certain");
}

TEST(Walk, APolicyDropsWhatReachesTheEnd) {
  EXPECT_EQ(stops(filter({}, {}, true)), "FORWARD policy certain");
  EXPECT_EQ(stops(filter({"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"}, {}, true)),
            "FORWARD policy certain");
  EXPECT_EQ(stops(filter({"-m conntrack --ctstate DNAT -j ACCEPT"}, {}, true)), "");
  EXPECT_EQ(stops(filter({}, {}, false)), "");
}

TEST(Walk, TheFirstRuleThatDecidesInANatTableTakesThePacketsFromOurs) {
  auto table = filter({"-p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.9", "-j MINIBRIDGE-PUBLISH"});
  table.name = "nat";
  EXPECT_EQ(stops(table), "FORWARD:1 certain diverted");
  table = filter({"-j MINIBRIDGE-PUBLISH", "-j ACCEPT"});
  table.name = "nat";
  EXPECT_EQ(stops(table), "");
  table = filter({"-p tcp -j ACCEPT", "-j MINIBRIDGE-PUBLISH"});
  table.name = "nat";
  EXPECT_EQ(stops(table), "FORWARD:1 certain diverted");
}

TEST(Walk, EveryBaseChainAtTheHookIsAsked) {
  auto table = filter({"-j ACCEPT"});
  table.chains.push_back(chain("later", {"-j DROP"}));
  table.chains.back().hook = Hook::forward;
  table.chains.back().priority = 10;
  EXPECT_EQ(stops(table), "later:1 certain");
  table.chains.back().hook = Hook::input;
  EXPECT_EQ(stops(table), "");
}

TEST(Walk, ARuleAboutOneFamilyIsNotAboutTheOther) {
  auto table = filter({"-j DROP"});
  table.chains.front().rules.front().only = Family::v6;
  EXPECT_EQ(stops(table), "");
  table.chains.front().rules.front().only = Family::v4;
  EXPECT_EQ(stops(table), "FORWARD:1 certain");
}

TEST(Walk, TellsWhichForeignRuleAcceptsBeforeOurs) {
  const auto before = filter({"-i eth0 -j ACCEPT", "-j MINIBRIDGE-FORWARD"});
  const auto fate = fate_in(before, to_port());
  ASSERT_TRUE(fate.accepted);
  EXPECT_EQ(fate.accepted->rule->handle, 1U);
  EXPECT_FALSE(fate_in(filter({"-j MINIBRIDGE-FORWARD", "-j ACCEPT"}), to_port()).accepted);
}

TEST(Walk, ALoopInATableThatChangesWhileItIsReadEnds) {
  EXPECT_EQ(stops(filter({"-j a"}, {chain("a", {"-j b"}), chain("b", {"-j a"})})), "");
}

}  // namespace
}  // namespace mb::plan
