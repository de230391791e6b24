// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/step.h"

#include "tests/unit/make.h"

namespace mb {
namespace {

using test::ip;
using Edit = step::RuleEdit;

InterfaceName link(std::string_view text) { return InterfaceName::parse(text); }

const LinkRef kInside{"c1", InterfaceName::parse("eth0")};

BridgeState bridge() {
  BridgeState bridge;
  bridge.name = link("br0");
  bridge.mac = MacAddress::parse("02:6d:ac:12:00:01");
  return bridge;
}

VethState veth() {
  VethState veth;
  veth.host = link("mb0123456789ab");
  veth.bridge = link("br0");
  veth.container = "c1";
  veth.peer = link("eth0");
  veth.mac = MacAddress::parse("02:6d:ac:12:00:02");
  return veth;
}

Rule drop() {
  Rule rule;
  rule.target = target::Drop{};
  return rule;
}

step::ChangeLink down_and_up() {
  step::ChangeLink change{{{}, link("br0")}, {}, {}};
  change.to.up = true;
  change.before.up = false;
  return change;
}

step::CommitRules commit() {
  return {{Family::v4, Table::nat},
          {{Edit::Kind::add_chain, "NEW", {}, Edit::kEnd},
           {Edit::Kind::remove, "OLD", drop(), 0},
           {Edit::Kind::insert, "NEW", drop(), Edit::kEnd},
           {Edit::Kind::insert, "NEW", drop(), 0},
           {Edit::Kind::remove_chain, "OLD", {}, Edit::kEnd}}};
}

struct Printed {
  Step step;
  std::string_view kind;
  std::string_view line;
};

TEST(Step, TellsPeopleWhatItDoes) {
  step::LinkChange many;
  many.mac = MacAddress::parse("02:00:00:00:00:01");
  many.mtu = 1400;
  many.master = link("br0");
  many.hairpin = true;
  many.route_localnet = false;
  many.alias = "minibridge:1";
  many.up = true;
  step::LinkChange free;
  free.master = InterfaceName();
  free.up = false;
  const InterfaceAddress address{ip("10.0.0.2"), 24};
  const std::vector<Printed> table = {
      {step::PinNamespace{"c1", ""}, "pin_namespace", "make a network namespace for 'web'"},
      {step::PinNamespace{"c1", "/proc/7/ns/net"}, "pin_namespace",
       "pin the network namespace of 'web' (/proc/7/ns/net)"},
      {step::UnpinNamespaces{{"c1"}}, "unpin_namespaces", "let go of the network namespace of 'web'"},
      {step::LinkNamespace{"c1", "mb-web"}, "link_namespace", "name it 'mb-web' for ip netns"},
      {step::UnlinkNamespace{"c1", "mb-web"}, "unlink_namespace", "take the name 'mb-web' from ip netns"},
      {step::AddBridge{bridge()}, "add_bridge", "add bridge br0 (02:6d:ac:12:00:01)"},
      {step::AddVeth{veth()}, "add_veth",
       "add veth mb0123456789ab in br0 hairpin on, its peer eth0 (02:6d:ac:12:00:02) in 'web'"},
      {step::ChangeLink{{{}, link("mb1")}, many, {}}, "change_link",
       "set mb1: address 02:00:00:00:00:01 mtu 1400 master br0 hairpin on route_localnet off alias 'minibridge:1' up"},
      {step::ChangeLink{kInside, free, {}}, "change_link", "set eth0 in 'web': no master down"},
      {step::AddAddress{kInside, address}, "add_address", "add address 10.0.0.2/24 to eth0 in 'web'"},
      {step::DeleteAddress{{{}, link("br0")}, address}, "delete_address", "delete address 10.0.0.2/24 from br0"},
      {step::AddDefaultRoute{kInside, ip("10.0.0.1")}, "add_default_route",
       "add route default via 10.0.0.1 on eth0 in 'web'"},
      {step::DeleteDefaultRoute{kInside, ip("10.0.0.1")}, "delete_default_route",
       "delete route default via 10.0.0.1 on eth0 in 'web'"},
      {step::TakeLinksDown{{link("a"), link("b")}}, "take_links_down", "take down a, b"},
      {step::DeleteLinks{{link("a"), link("b"), link("c"), link("d"), link("e"), link("f")}}, "delete_links",
       "delete a, b, c, d and 2 more"},
      {step::SetSysctl{{"", "net.ipv4.ip_forward"}, {"1", {}}, {"0", {}}}, "set_sysctl",
       "set net.ipv4.ip_forward = 1 (was 0)"},
      {step::SetSysctl{{"c1", "net.x"}, {"1", {}}, {"", {}}}, "set_sysctl", "set net.x = 1 in 'web'"},
      {commit(), "commit_rules", "commit table nat: +1 chain +2 rules -1 rule -1 chain"},
      {step::WriteFile{"containers/c1/hosts", "x", {}}, "write_file", "write containers/c1/hosts"},
      {step::MakeDirectory{"c1"}, "make_directory", "make the directory of 'web'"},
      {step::RemoveFile{"names/n1/hosts/c1", "x"}, "remove_file", "remove names/n1/hosts/c1"},
      {step::StartNameServer{"c1"}, "start_name_server", "start the name server of network 'web'"},
      {step::StopNameServer{"c1"}, "stop_name_server", "stop the name server of network 'web'"},
      {step::RemoveDirectory{"c1"}, "remove_directory", "remove the directory of 'web'"},
      {step::DeleteFlows{{Flow{}}}, "delete_flows", "forget 1 flow of connection tracking"},
      {step::DeleteFlows{{Flow{}, Flow{}}}, "delete_flows", "forget 2 flows of connection tracking"},
  };
  const auto name_of = [](const Id& id) { return id == "c1" ? std::string("web") : id; };
  for (const auto& [step, kind, line] : table) {
    EXPECT_EQ(print(step, name_of), line);
    EXPECT_EQ(kind_name(step), kind);
  }
  EXPECT_EQ(print(step::MakeDirectory{"c1"}), "make the directory of 'c1'");
}

TEST(Step, PrintsACommitForIptablesRestore) {
  EXPECT_EQ(print_rules(commit()),
            "*nat\n"
            ":NEW - [0:0]\n"
            "-D OLD -j DROP\n"
            "-A NEW -j DROP\n"
            "-I NEW 1 -j DROP\n"
            "-X OLD\n"
            "COMMIT\n");
  EXPECT_EQ(print_rules(step::MakeDirectory{"c1"}), "");
}

TEST(Step, WhatAddsHasAnInverse) {
  const InterfaceAddress address{ip("10.0.0.2"), 24};
  EXPECT_EQ(inverse(step::PinNamespace{"c1", ""}), Step(step::UnpinNamespaces{{"c1"}}));
  EXPECT_EQ(inverse(step::LinkNamespace{"c1", "mb-web"}), Step(step::UnlinkNamespace{"c1", "mb-web"}));
  EXPECT_EQ(inverse(step::AddBridge{bridge()}), Step(step::DeleteLinks{{link("br0")}}));
  EXPECT_EQ(inverse(step::AddVeth{veth()}), Step(step::DeleteLinks{{link("mb0123456789ab")}}));
  EXPECT_EQ(inverse(step::AddAddress{kInside, address}), Step(step::DeleteAddress{kInside, address}));
  EXPECT_EQ(inverse(step::AddDefaultRoute{kInside, ip("10.0.0.1")}),
            Step(step::DeleteDefaultRoute{kInside, ip("10.0.0.1")}));
  // One that makes room for another.
  EXPECT_EQ(inverse(step::DeleteDefaultRoute{kInside, ip("10.0.0.1")}),
            Step(step::AddDefaultRoute{kInside, ip("10.0.0.1")}));
  EXPECT_EQ(inverse(step::MakeDirectory{"c1"}), Step(step::RemoveDirectory{"c1"}));
  EXPECT_EQ(inverse(step::WriteFile{"f", "new", "old"}), Step(step::WriteFile{"f", "old", "new"}));
  EXPECT_EQ(inverse(step::WriteFile{"f", "new", {}}), Step(step::RemoveFile{"f", "new"}));
  EXPECT_EQ(inverse(step::StartNameServer{"n1"}), Step(step::StopNameServer{"n1"}));
}

TEST(Step, WhatRemovesHasNone) {
  const std::vector<Step> steps = {step::UnpinNamespaces{{"c1"}},
                                   step::UnlinkNamespace{"c1", "x"},
                                   step::DeleteAddress{kInside, {}},
                                   step::TakeLinksDown{{link("a")}},
                                   step::DeleteLinks{{link("a")}},
                                   step::RemoveDirectory{"c1"},
                                   step::DeleteFlows{},
                                   step::RemoveFile{"f", "x"},
                                   step::StopNameServer{"n1"}};
  for (const auto& step : steps) EXPECT_EQ(inverse(step), std::nullopt) << kind_name(step);
}

TEST(Step, WhatIsPartOfSomethingNewGoesWithIt) {
  step::LinkChange up;
  up.up = true;
  EXPECT_EQ(inverse(step::ChangeLink{kInside, up, {}}), std::nullopt);
  EXPECT_EQ(inverse(step::SetSysctl{{"c1", "net.x"}, {"1", {}}, {}}), std::nullopt);
}

TEST(Step, InverseOfTheInverseIsTheStep) {
  const step::SetSysctl sysctl{{"", "net.ipv4.ip_forward"}, {"1", {}}, {"0", {{"net.ipv4.conf.all.forwarding", "0"}}}};
  for (const Step& step :
       {Step(commit()), Step(down_and_up()), Step(sysctl), Step(step::WriteFile{"f", "new", "old"})}) {
    ASSERT_TRUE(inverse(step).has_value());
    EXPECT_EQ(inverse(*inverse(step)), step) << kind_name(step);
  }
}

TEST(Step, EditsAreTakenBackLastFirst) {
  const auto back = std::get<step::CommitRules>(*inverse(commit()));
  EXPECT_EQ(print_rules(back),
            "*nat\n"
            ":OLD - [0:0]\n"
            "-D NEW -j DROP\n"
            "-D NEW -j DROP\n"
            "-I OLD 1 -j DROP\n"
            "-X NEW\n"
            "COMMIT\n");
}

}  // namespace
}  // namespace mb
