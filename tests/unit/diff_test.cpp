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
using test::kIdentity;
using test::network;
using test::observe;
using test::port;

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
            (std::vector<std::string>{"commit raw", "commit filter", "set_sysctl", "make_directory", "write_file",
                                      "write_file", "write_file", "write_file", "pin_namespace", "change_link",
                                      "link_namespace", "add_bridge", "add_address", "change_link", "add_veth",
                                      "add_address", "change_link", "add_default_route", "commit nat"}));
}

TEST_F(Diff, IsEmptyWhenAllIsAsItShouldBe) { EXPECT_EQ(text_of(plan()), ""); }

TEST_F(Diff, RemovesLinksDownThenRulesThenLinks) {
  nothing_is_wanted();
  const auto steps = plan();
  EXPECT_EQ(kinds(steps),
            (std::vector<std::string>{"take_links_down", "commit raw", "commit filter", "commit nat", "delete_links",
                                      "remove_directory", "unlink_namespace", "unpin_namespaces"}));
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

TEST_F(Diff, LetsUplinksListenBeforeForwardingAndGivesBackInTheOtherOrder) {
  input_.networks.front().pools.push_back(test::network("six", "fd00:18::/64").pools.front());
  input_.following_uplinks = {"eth0"};
  const auto forwarding = SysctlKey{Id(), "net.ipv6.conf.all.forwarding"};
  const auto advertisements = SysctlKey{Id(), "net/ipv6/conf/eth0/accept_ra"};
  scope_ = scope_of({{}, {}, {{std::nullopt, input_.containers.front()}}}, input_);
  EXPECT_TRUE(scope_.sysctls.contains(forwarding) && scope_.sysctls.contains(advertisements));
  world_.sysctls[forwarding] = {"0", {}};
  world_.sysctls[advertisements] = {"1", {}};
  const auto step_names = [](const Plan& plan) {
    std::vector<std::string> names;
    for (const auto& step : plan) {
      if (const auto* set = std::get_if<step::SetSysctl>(&step)) names.push_back(set->key.name + "=" + set->to.value);
    }
    return names;
  };
  EXPECT_EQ(step_names(plan()),
            (std::vector<std::string>{"net/ipv6/conf/eth0/accept_ra=2", "net.ipv6.conf.all.forwarding=1"}));
  repair();
  nothing_is_wanted();
  input_.give_back = true;
  input_.sysctls_before = {{"net/ipv6/conf/eth0/accept_ra", {"1", {}}},
                           {"net.ipv6.conf.all.forwarding", {"0", {{"net/ipv6/conf/eth0/forwarding", "0"}}}}};
  const auto back = plan();
  EXPECT_EQ(step_names(back),
            (std::vector<std::string>{"net.ipv6.conf.all.forwarding=0", "net/ipv6/conf/eth0/accept_ra=1"}));
  EXPECT_EQ(kind_name(back.back()), "set_sysctl");
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
      {"frames past iptables", [](KernelState& w) { bridge(w).filters_frames = true; },
       "set br-n: nf_call_iptables off\n"},
      {"router advertisements believed", [](KernelState& w) { bridge(w).accept_ra = 2; }, "set br-n: accept_ra 0\n"},
      {"a further address on the bridge is somebody else's",
       [](KernelState& w) {
         bridge(w).addresses.push_back({ip("192.0.2.1"), 32});
       },
       ""},
      {"veth gone", [](KernelState& w) { w.veths.clear(); },
       "add veth mb-.0.2 in br-n hairpin on, its peer eth0 (02:6d:0a:00:00:02) in 'id-web'\n"
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
       "add veth mb-.0.2 in br-n hairpin on, its peer eth0 (02:6d:0a:00:00:02) in 'id-web'\n"
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
       "commit table nat: +3 rules\n"
       "*nat\n"
       "-I MINIBRIDGE-PUBLISH 1 -d 10.0.0.1/32 -i br-n -p udp -m udp --dport 53 -m comment --comment \"minibridge "
       "network "
       "n: questions for names stay here\" -j RETURN\n"
       "-I MINIBRIDGE-PUBLISH 1 -d 10.0.0.1/32 -i br-n -p tcp -m tcp --dport 53 -m comment --comment \"minibridge "
       "network "
       "n: questions for names stay here\" -j RETURN\n"
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

TEST_F(Diff, AnAddressThatSomebodyHadBeforeIsAnnouncedOnceTheContainerIsThere) {
  input_.rested = {{"id-web", ip("10.0.0.2")}};
  EXPECT_EQ(text_of(plan()), "") << "it is there already";
  KernelState bare;
  bare.sysctls[{Id(), "net.ipv4.ip_forward"}] = {"1", {}};
  const auto steps = diff(desired(input_), observe(bare, kIdentity, scope_), kIdentity, scope_);
  ASSERT_EQ(kinds(steps).back(), "announce");
  EXPECT_EQ(print(steps.back()), "tell the neighbours of eth0 in 'id-web' that 10.0.0.2 is at 02:6d:0a:00:00:02");
  apply_all(bare, steps);
}

// The network is on a bridge of somebody else that has an address of its own.
class Adopted : public Diff {
 protected:
  Adopted() {
    network_.adopted_bridge = true;
    input_.networks = {network_};
    world_ = {};
    world_.sysctls[{Id(), "net.ipv4.ip_forward"}] = {"1", {}};
    world_.sysctls[{Id(), kSwitch}] = {"0", {}};
    auto& bridge = world_.bridges[kBridge];
    bridge.name = kBridge;
    bridge.addresses = {{ip("10.9.0.1"), 24}};
    scope_ = scope_of({{network_}, {}, {{std::nullopt, input_.containers[0]}}}, input_);
  }
  static constexpr const char* kSwitch = "net/ipv4/conf/br-n/route_localnet";
};

TEST_F(Adopted, GetsTheMissingAddressAndItsNameInTheRules) {
  const auto before = world_;
  const auto text = repair();
  EXPECT_NE(text.find("add address 10.0.0.1/24 to br-n\n"), std::string::npos) << text;
  EXPECT_NE(text.find("-i br-n "), std::string::npos) << text;
  EXPECT_NE(text.find("--src-group"), std::string::npos) << "for networks of our own" << text;
  EXPECT_EQ(text.find("set br-n"), std::string::npos) << text;
  EXPECT_EQ(world_.sysctls.at({Id(), kSwitch}).value, "1");
  const auto left = [&] {
    auto rest = input_;
    rest.sysctls_before = {{kSwitch, {"0", {}}}};
    nothing_is_wanted();
    rest.networks.clear();
    rest.bridges_of.clear();
    rest.containers.clear();
    auto scope = scope_of({{}, {network_}, {}}, rest);
    scope.everything = true;
    return apply_all(world_, diff(desired(rest), observe(world_, kIdentity, scope), kIdentity, scope));
  }();
  EXPECT_EQ(left.bridges, before.bridges);
  EXPECT_EQ(left.sysctls.at({Id(), kSwitch}).value, "0");
  EXPECT_TRUE(left.rules.empty());
}

TEST_F(Adopted, AnAddressThatItHadAlreadyIsNotOurs) {
  world_.bridges[kBridge].addresses.push_back({ip("10.0.0.1"), 24});
  network_.found_addresses = {ip("10.0.0.1")};
  input_.networks = {network_};
  EXPECT_EQ(repair().find("add address 10.0.0.1/24 to br-n\n"), std::string::npos);
  EXPECT_TRUE(world_.bridges[kBridge].marked.empty());
}

// A container in two networks, the default route by way of the first.
class TwoNetworks : public Diff {
 protected:
  TwoNetworks() {
    input_.networks.push_back(other_);
    input_.bridges_of.insert(other_.id);
    auto& web = input_.containers.at(0);
    web.endpoints.push_back(endpoint(other_, "10.1.0.3", "eth1"));
    route_through(0);
    scope_ = scope_of({{other_}, {}, {{web, web}}}, input_);
    world_ = apply_all(world_, plan());
  }
  void route_through(std::size_t endpoint) {
    auto& endpoints = input_.containers.at(0).endpoints;
    for (std::size_t i = 0; i < endpoints.size(); ++i) endpoints[i].addresses.at(0).default_route = i == endpoint;
  }

  Network other_ = network("m", "10.1.0.0/24");
};

TEST_F(TwoNetworks, TheDefaultRouteIsTakenBackBeforeItIsSetElsewhereAndPublishedPortsFollow) {
  route_through(1);
  const auto steps = plan();
  EXPECT_EQ(kinds(steps), (std::vector<std::string>{"delete_default_route", "add_default_route", "commit nat"}));
  EXPECT_EQ(inverse(steps[0]), Step(step::AddDefaultRoute{{"id-web", InterfaceName::parse("eth0")}, ip("10.0.0.1")}));
  EXPECT_EQ(repair(),
            "delete route default via 10.0.0.1 on eth0 in 'id-web'\n"
            "add route default via 10.1.0.1 on eth1 in 'id-web'\n"
            "commit table nat: +1 rule -1 rule\n"
            "*nat\n"
            "-D MINIBRIDGE-PUBLISH -p tcp -m tcp --dport 8080 -m comment --comment \"minibridge web: 8080 -> 80/tcp\" "
            "-j DNAT --to-destination 10.0.0.2:80\n"
            "-A MINIBRIDGE-PUBLISH -p tcp -m tcp --dport 8080 -m comment --comment \"minibridge web: 8080 -> 80/tcp\" "
            "-j DNAT --to-destination 10.1.0.3:80\n"
            "COMMIT\n");
}

TEST_F(TwoNetworks, AnEndpointThatGoesTakesItsDefaultRouteAlong) {
  const auto before = input_.containers.at(0);
  auto& after = input_.containers.at(0);
  after.endpoints.erase(after.endpoints.begin());
  route_through(0);
  scope_ = scope_of({{}, {}, {{before, after}}}, input_);
  EXPECT_EQ(kinds(plan()),
            (std::vector<std::string>{"take_links_down", "write_file", "write_file", "delete_default_route",
                                      "add_default_route", "commit nat", "delete_links"}));
  ASSERT_EQ(scope_.flows.size(), 1u);
  EXPECT_EQ(scope_.flows[0].gone, ip("10.0.0.2"));
  repair();
}

TEST_F(TwoNetworks, SysctlsOfAnEndpointGoByTheNameOfItsInterface) {
  auto& web = input_.containers.at(0);
  web.endpoints.at(1).sysctls = {{"net.ipv4.conf.IFNAME.log_martians", "1"}};
  scope_ = scope_of({{}, {}, {{web, web}}}, input_);
  EXPECT_EQ(repair(), "set net.ipv4.conf.eth1.log_martians = 1 in 'id-web'\n");
}

}  // namespace
}  // namespace mb::plan
