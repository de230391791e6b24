// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/diff.h"

#include <functional>

#include <fmt/format.h>

#include "src/model/chains.h"
#include "src/plan/desired.h"
#include "tests/support/simulate.h"
#include "tests/unit/make.h"

namespace mb::plan {
namespace {

using test::apply_all;
using test::container;
using test::endpoint;
using test::error_of;
using test::ip;
using test::network;
using test::observe;
using test::port;

const Identity kIdentity = Identity::from_state_id("3fa2c19b");
const TableKey kFilter{Family::v4, Table::filter};
const TableKey kNat{Family::v4, Table::nat};
const TableKey kRaw{Family::v4, Table::raw};
const InterfaceName kBridge = InterfaceName::parse("br-n");
const InterfaceName kVeth = InterfaceName::parse("mb-.0.2");

Rule rule_of(std::string_view line) { return parse_rule(line).rule; }

// The plan as people see it, rules included.
std::string text_of(const Plan& plan) {
  std::string text;
  for (const auto& step : plan) text += print(step) + "\n" + print_rules(step);
  return text;
}

// One network, one container with one published port, made real in a simulated kernel.
class Diff : public testing::Test {
 protected:
  Diff() {
    auto web = container("web", {endpoint(network_, "10.0.0.2")});
    web.ports = {port("0.0.0.0", {8080, 8080}, {80, 80})};
    input_.identity = kIdentity;
    input_.networks = {network_};
    input_.bridges_of = {network_.id};
    input_.containers = {web};
    scope_ = scope_of({{}, {}, {{std::nullopt, web}}}, input_);
    world_.sysctls[{Id(), "net.ipv4.ip_forward"}] = {"0", {}};
    first_ = plan();
    world_ = apply_all(world_, first_);
  }

  Plan plan() const { return diff(desired(input_), observe(world_, kIdentity, scope_), kIdentity, scope_); }
  // Carries the plan out and gives its text; there must be nothing left to do.
  std::string repair() {
    const auto steps = plan();
    world_ = apply_all(world_, steps);
    EXPECT_EQ(text_of(plan()), "");
    return text_of(steps);
  }
  void nothing_is_wanted() {
    input_.networks.clear();
    input_.bridges_of.clear();
    input_.containers.clear();
  }

  Network network_ = network("n", "10.0.0.0/24");
  DesiredInput input_;
  Scope scope_;
  KernelState world_;
  Plan first_;
};

std::vector<std::string> kinds(const Plan& plan) {
  std::vector<std::string> names;
  for (const auto& step : plan) {
    const auto* commit = std::get_if<step::CommitRules>(&step);
    names.push_back(commit == nullptr ? std::string(kind_name(step))
                                      : fmt::format("commit {}", to_string(commit->table.table)));
  }
  return names;
}

TEST_F(Diff, AddsIsolationThenLinksThenPublishedPorts) {
  EXPECT_EQ(kinds(first_),
            (std::vector<std::string>{"commit raw", "commit filter", "set_sysctl", "pin_namespace", "change_link",
                                      "link_namespace", "make_directory", "write_file", "write_file", "write_file",
                                      "add_bridge", "add_address", "change_link", "add_veth", "change_link",
                                      "add_address", "change_link", "add_default_route", "commit nat"}));
}

TEST_F(Diff, IsEmptyWhenAllIsAsItShouldBe) { EXPECT_EQ(text_of(plan()), ""); }

TEST_F(Diff, RemovesLinksDownThenRulesThenLinks) {
  nothing_is_wanted();
  const auto steps = plan();
  EXPECT_EQ(kinds(steps),
            (std::vector<std::string>{"take_links_down", "commit raw", "commit filter", "commit nat", "delete_links",
                                      "unlink_namespace", "unpin_namespace", "remove_directory"}));
  EXPECT_EQ(std::get<step::TakeLinksDown>(steps[0]).links, (std::vector{kBridge, kVeth}));
  EXPECT_EQ(std::get<step::DeleteLinks>(steps[4]).links, (std::vector{kBridge, kVeth}));
  world_ = apply_all(world_, steps);
  EXPECT_TRUE(world_.rules.empty() && world_.bridges.empty() && world_.veths.empty() && world_.namespaces.empty());
}

TEST_F(Diff, DeletesLinksThatAreDownWithoutTakingThemDown) {
  world_.bridges.at(kBridge).up = false;
  world_.veths.at(kVeth).up = false;
  nothing_is_wanted();
  EXPECT_EQ(kinds(plan()).front(), "commit raw");
}

TEST_F(Diff, GivesTheSysctlBackLast) {
  nothing_is_wanted();
  input_.give_back = true;
  input_.sysctls_before = {{"net.ipv4.ip_forward", {"0", {{"net.ipv4.conf.all.forwarding", "0"}}}}};
  const auto steps = plan();
  EXPECT_EQ(print(steps.back()), "set net.ipv4.ip_forward = 0 (was 1)");
}

// ---- one accident, and the steps that repair it

struct Accident {
  std::string_view name;
  std::function<void(KernelState&)> happens;
  std::string_view steps;
};

VethState& veth(KernelState& world) { return world.veths.at(kVeth); }
BridgeState& bridge(KernelState& world) { return world.bridges.at(kBridge); }
std::vector<Rule>& chain(KernelState& world, TableKey table, std::string_view name) {
  return world.rules.at(table).chains.at(std::string(name));
}

const std::vector<Accident>& accidents() {
  static const std::vector<Accident> kTable = {
      {"bridge gone",
       [](KernelState& w) {
         w.bridges.clear();
         veth(w).bridge = {};
         veth(w).hairpin = false;
       },
       "add bridge br-n (02:6d:0a:00:00:01)\n"
       "add address 10.0.0.1/24 to br-n\n"
       "set br-n: route_localnet on alias 'minibridge:3fa2c19b' up\n"
       "set mb-.0.2: master br-n hairpin on\n"},
      {"bridge down", [](KernelState& w) { bridge(w).up = false; }, "set br-n: up\n"},
      {"bridge address gone", [](KernelState& w) { bridge(w).addresses.clear(); }, "add address 10.0.0.1/24 to br-n\n"},
      {"bridge MAC changed", [](KernelState& w) { bridge(w).mac = MacAddress::parse("02:00:00:00:00:01"); },
       "set br-n: address 02:6d:0a:00:00:01\n"},
      {"route_localnet off", [](KernelState& w) { bridge(w).route_localnet = false; }, "set br-n: route_localnet on\n"},
      {"a further address on the bridge is somebody else's",
       [](KernelState& w) {
         bridge(w).addresses.push_back({ip("192.0.2.1"), 32});
       },
       ""},
      {"veth gone", [](KernelState& w) { w.veths.clear(); },
       "add veth mb-.0.2 in br-n, its peer eth0 (02:6d:0a:00:00:02) in 'id-web'\n"
       "set mb-.0.2: hairpin on alias 'minibridge:3fa2c19b'\n"
       "add address 10.0.0.2/24 to eth0 in 'id-web'\n"
       "set eth0 in 'id-web': up\n"
       "add route default via 10.0.0.1 on eth0 in 'id-web'\n"},
      {"veth down", [](KernelState& w) { veth(w).up = false; }, "set mb-.0.2: up\n"},
      {"master lost",
       [](KernelState& w) {
         veth(w).bridge = {};
         veth(w).hairpin = false;
       },
       "set mb-.0.2: master br-n hairpin on\n"},
      {"peer down",
       [](KernelState& w) {
         veth(w).peer_up = false;
         veth(w).gateways.clear();
       },
       "set eth0 in 'id-web': up\nadd route default via 10.0.0.1 on eth0 in 'id-web'\n"},
      {"address gone",
       [](KernelState& w) {
         veth(w).addresses.clear();
         veth(w).gateways.clear();
       },
       "add address 10.0.0.2/24 to eth0 in 'id-web'\nadd route default via 10.0.0.1 on eth0 in 'id-web'\n"},
      {"route gone", [](KernelState& w) { veth(w).gateways.clear(); },
       "add route default via 10.0.0.1 on eth0 in 'id-web'\n"},
      {"peer renamed", [](KernelState& w) { veth(w).peer = InterfaceName::parse("eth7"); },
       "take down mb-.0.2\n"
       "delete mb-.0.2\n"
       "add veth mb-.0.2 in br-n, its peer eth0 (02:6d:0a:00:00:02) in 'id-web'\n"
       "set mb-.0.2: hairpin on alias 'minibridge:3fa2c19b'\n"
       "add address 10.0.0.2/24 to eth0 in 'id-web'\n"
       "set eth0 in 'id-web': up\n"
       "add route default via 10.0.0.1 on eth0 in 'id-web'\n"},
      {"loopback down", [](KernelState& w) { w.namespaces.at("id-web").loopback_up = false; },
       "set lo in 'id-web': up\n"},
      {"name for ip netns gone", [](KernelState& w) { w.namespaces.at("id-web").link_name.clear(); },
       "name it 'mb-web' for ip netns\n"},
      {"name for ip netns wrong", [](KernelState& w) { w.namespaces.at("id-web").link_name = "mb-old"; },
       "name it 'mb-web' for ip netns\ntake the name 'mb-old' from ip netns\n"},
      {"file changed", [](KernelState& w) { w.files.at("containers/id-web/hosts") = "x"; },
       "write containers/id-web/hosts\n"},
      {"file gone", [](KernelState& w) { w.files.erase("containers/id-web/hosts"); },
       "write containers/id-web/hosts\n"},
      {"forwarding off", [](KernelState& w) { w.sysctls.begin()->second.value = "0"; },
       "set net.ipv4.ip_forward = 1 (was 0)\n"},
      {"stale flow", [](KernelState& w) { w.flows.insert(Flow{}); }, "forget 1 flow of connection tracking\n"},
      {"chain flushed", [](KernelState& w) { chain(w, kFilter, kForwardChain).clear(); },
       "commit table filter: +2 rules\n"
       "*filter\n"
       "-A MINIBRIDGE-FORWARD -m devgroup --dst-group 0x4d42c19b -m comment --comment \"minibridge: into a network\" "
       "-j MINIBRIDGE-ENTER\n"
       "-A MINIBRIDGE-FORWARD -m devgroup --src-group 0x4d42c19b -m comment --comment \"minibridge: out of a network\" "
       "-j ACCEPT\n"
       "COMMIT\n"},
      {"published port flushed", [](KernelState& w) { chain(w, kNat, kPublishChain).clear(); },
       "commit table nat: +1 rule\n"
       "*nat\n"
       "-A MINIBRIDGE-PUBLISH -p tcp -m tcp --dport 8080 -m comment --comment \"minibridge web: 8080 -> 80/tcp\" -j "
       "DNAT --to-destination 10.0.0.2:80\n"
       "COMMIT\n"},
      {"hook gone", [](KernelState& w) { w.rules.at(kRaw).hooks.clear(); },
       "commit table raw: +1 rule\n"
       "*raw\n"
       "-I PREROUTING 1 -m devgroup --src-group 0x4d42c19b -m comment --comment \"minibridge: what comes from "
       "containers\" -j MINIBRIDGE-RAW\n"
       "COMMIT\n"},
      {"foreign rule inside our chain",
       [](KernelState& w) {
         auto& rules = chain(w, kFilter, kEnterChain);
         rules.insert(rules.begin() + 2, rule_of("-A X -s 192.0.2.0/24 -j ACCEPT"));
       },
       "commit table filter: -1 rule\n"
       "*filter\n"
       "-D MINIBRIDGE-ENTER -s 192.0.2.0/24 -j ACCEPT\n"
       "COMMIT\n"},
      {"rules in the wrong order",
       [](KernelState& w) {
         auto& rules = chain(w, kFilter, kForwardChain);
         std::swap(rules[0], rules[1]);
       },
       "commit table filter: +1 rule -1 rule\n"
       "*filter\n"
       "-D MINIBRIDGE-FORWARD -m devgroup --dst-group 0x4d42c19b -m comment --comment \"minibridge: into a network\" "
       "-j MINIBRIDGE-ENTER\n"
       "-I MINIBRIDGE-FORWARD 1 -m devgroup --dst-group 0x4d42c19b -m comment --comment \"minibridge: into a network\" "
       "-j MINIBRIDGE-ENTER\n"
       "COMMIT\n"},
      {"a rule in the operator's chain is the operator's",
       [](KernelState& w) { chain(w, kFilter, kUserChain).push_back(rule_of("-A X -s 192.0.2.0/24 -j DROP")); }, ""},
      {"a rule before our jump is somebody else's",
       [](KernelState& w) {
         auto& forward = w.rules.at(kFilter).hooks.at("FORWARD");
         forward.insert(forward.begin(), rule_of("-A X -j ACCEPT"));
       },
       ""},
  };
  return kTable;
}

TEST_F(Diff, RepairsEachAccidentWithTheseSteps) {
  const auto whole = world_;
  for (const auto& accident : accidents()) {
    world_ = whole;
    accident.happens(world_);
    EXPECT_EQ(repair(), accident.steps) << accident.name;
  }
}

// The three that follow were wrong once: the position of a jump counts all rules of a built-in chain, not only ours.
TEST_F(Diff, AJumpThatIsMissingAfterOneThatIsThereTakesBothToTheTop) {
  auto& forward = world_.rules.at(kFilter).hooks.at("FORWARD");
  forward = {rule_of("-A X -s 192.0.2.0/24 -j DROP"), forward.at(0)};
  repair();
  const auto& repaired = world_.rules.at(kFilter).hooks.at("FORWARD");
  ASSERT_EQ(repaired.size(), 3u);
  EXPECT_EQ(std::get<target::Jump>(repaired[0].target).chain, kUserChain);
  EXPECT_EQ(std::get<target::Jump>(repaired[1].target).chain, kForwardChain);
  EXPECT_EQ(print(repaired[2]), "-s 192.0.2.0/24 -j DROP");
}

TEST_F(Diff, AJumpThatIsMissingBeforeOneThatIsThereGoesToTheTop) {
  auto& forward = world_.rules.at(kFilter).hooks.at("FORWARD");
  forward = {rule_of("-A X -s 192.0.2.0/24 -j DROP"), forward.at(1)};
  EXPECT_EQ(repair(),
            "commit table filter: +1 rule\n"
            "*filter\n"
            "-I FORWARD 1 -m comment --comment \"minibridge: rules of the operator\" -j MINIBRIDGE-USER\n"
            "COMMIT\n");
}

TEST_F(Diff, ASecondNetworkWithoutDevgroupFindsItsPlaceAmongForeignRules) {
  input_.devgroup = false;
  repair();
  auto& hooks = world_.rules.at(kRaw).hooks.at("PREROUTING");
  hooks.insert(hooks.begin(), rule_of("-A X -s 192.0.2.0/24 -j DROP"));
  input_.networks.push_back(network("o", "10.1.0.0/24"));
  input_.bridges_of.insert("id-o");
  scope_ = scope_of({input_.networks, {}, {{std::nullopt, input_.containers[0]}}}, input_);
  repair();
  EXPECT_EQ(world_.rules.at(kRaw).hooks.at("PREROUTING").size(), 3u);
}

// A rule is removed by what it says; the kernel takes the first that says it, which here is the one that has to stay.
TEST_F(Diff, ARuleThatIsThereTwiceIsThereOnceAfterwards) {
  auto& rules = chain(world_, kFilter, kEnterChain);
  const auto before = rules;
  rules.push_back(rules[0]);
  repair();
  EXPECT_EQ(chain(world_, kFilter, kEnterChain), before);
}

TEST_F(Diff, AJumpThatIsThereTwiceIsThereOnceAfterwards) {
  auto& forward = world_.rules.at(kFilter).hooks.at("FORWARD");
  const auto before = forward;
  forward.push_back(forward[0]);
  repair();
  EXPECT_EQ(world_.rules.at(kFilter).hooks.at("FORWARD"), before);
}

TEST_F(Diff, JumpsInTheWrongOrderAreMendedEvenWhenTheOperatorHasRules) {
  chain(world_, kFilter, kUserChain).push_back(rule_of("-A X -j ACCEPT"));
  auto& forward = world_.rules.at(kFilter).hooks.at("FORWARD");
  const auto before = forward;
  std::swap(forward[0], forward[1]);
  repair();
  EXPECT_EQ(world_.rules.at(kFilter).hooks.at("FORWARD"), before);
}

TEST_F(Diff, TheOperatorsChainStaysWithItsContentWhenAllElseGoes) {
  chain(world_, kFilter, kUserChain).push_back(rule_of("-A X -s 192.0.2.0/24 -j DROP"));
  nothing_is_wanted();
  world_ = apply_all(world_, plan());
  EXPECT_EQ(print(world_.rules, Family::v4),
            "*filter\n"
            ":MINIBRIDGE-USER - [0:0]\n"
            "-A FORWARD -m comment --comment \"minibridge: rules of the operator\" -j MINIBRIDGE-USER\n"
            "-A MINIBRIDGE-USER -s 192.0.2.0/24 -j DROP\n"
            "COMMIT\n");
}

// ---- the publish chain: only the owners in scope are compared

TEST_F(Diff, APublishedPortOfAContainerOutOfScopeStays) {
  world_.rules.at(kNat)
      .chains.at(std::string(kPublishChain))
      .push_back(rule_of("-A X -p tcp -m tcp --dport 1 -m comment --comment \"minibridge other: 1 -> 1/tcp\" -j DNAT "
                         "--to-destination 10.0.0.9"));
  EXPECT_EQ(text_of(plan()), "");
  scope_.owners.insert("other");
  EXPECT_EQ(repair(),
            "commit table nat: -1 rule\n"
            "*nat\n"
            "-D MINIBRIDGE-PUBLISH -p tcp -m tcp --dport 1 -m comment --comment \"minibridge other: 1 -> 1/tcp\" -j "
            "DNAT --to-destination 10.0.0.9\n"
            "COMMIT\n");
}

TEST_F(Diff, APublishedPortMovesInOneCommit) {
  auto other = container("other", {endpoint(network_, "10.0.0.3")});
  other.kind = ContainerKind::netns;
  std::swap(other.ports, input_.containers[0].ports);
  input_.containers.push_back(other);
  scope_ = scope_of({{}, {}, {{input_.containers[0], input_.containers[0]}, {std::nullopt, other}}}, input_);
  const auto steps = plan();
  const auto* commit = std::get_if<step::CommitRules>(&steps.back());
  ASSERT_NE(commit, nullptr);
  EXPECT_EQ(print_rules(*commit),
            "*nat\n"
            "-D MINIBRIDGE-PUBLISH -p tcp -m tcp --dport 8080 -m comment --comment \"minibridge web: 8080 -> 80/tcp\" "
            "-j DNAT --to-destination 10.0.0.2:80\n"
            "-A MINIBRIDGE-PUBLISH -p tcp -m tcp --dport 8080 -m comment --comment \"minibridge other: 8080 -> "
            "80/tcp\" -j DNAT --to-destination 10.0.0.3:80\n"
            "COMMIT\n");
}

// ---- what is not ours

TEST_F(Diff, RefusesABridgeThatIsNotOurs) {
  bridge(world_).group = 0;
  EXPECT_EQ(error_of([&] { plan(); }), "conflict: an interface 'br-n' exists already and was not made by minibridge");
  bridge(world_).group = 0x4d420001;
  EXPECT_EQ(error_of([&] { plan(); }),
            "conflict: an interface 'br-n' exists already and belongs to another state directory of minibridge");
}

TEST_F(Diff, RefusesAHostEndThatIsNotOurs) {
  veth(world_).group = 0;
  EXPECT_EQ(error_of([&] { plan(); }),
            "conflict: an interface 'mb-.0.2' exists already and was not made by minibridge");
}

TEST_F(Diff, RefusesTheChainsOfAnotherStateDirectory) {
  auto theirs = input_;
  theirs.identity = Identity::from_state_id("00000001");
  world_.rules = desired(theirs).rules;
  EXPECT_EQ(error_of([&] { plan(); }),
            "conflict: the MINIBRIDGE chains of iptables belong to another state directory of minibridge");
}

TEST_F(Diff, NeverDeletesALinkThatIsNotOurs) {
  bridge(world_).group = 0;
  veth(world_).group = 7;
  nothing_is_wanted();
  for (const auto& kind : kinds(plan())) EXPECT_TRUE(kind != "delete_links" && kind != "take_links_down");
}

TEST_F(Diff, LeavesTheChainsOfAnotherStateDirectoryAloneAlsoWhenNothingIsWanted) {
  auto theirs = input_;
  theirs.identity = Identity::from_state_id("00000001");
  world_.rules = desired(theirs).rules;
  nothing_is_wanted();
  EXPECT_EQ(error_of([&] { plan(); }),
            "conflict: the MINIBRIDGE chains of iptables belong to another state directory of minibridge");
}

// ---- half deleted: somebody died after moving links to the group that goes

TEST_F(Diff, DeletesWhatIsHalfDeleted) {
  bridge(world_).group = kIdentity.trash;
  veth(world_).group = kIdentity.trash;
  nothing_is_wanted();
  world_ = apply_all(world_, plan());
  EXPECT_TRUE(world_.bridges.empty() && world_.veths.empty());
}

TEST_F(Diff, MakesAnewWhatIsHalfDeletedButWanted) {
  bridge(world_).group = kIdentity.trash;
  veth(world_).group = kIdentity.trash;
  repair();
  EXPECT_EQ(bridge(world_).group, kIdentity.group);
  EXPECT_EQ(veth(world_).group, kIdentity.group);
  EXPECT_EQ(veth(world_).bridge, kBridge);
}

}  // namespace
}  // namespace mb::plan
