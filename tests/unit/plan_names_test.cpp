// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/model/chains.h"
#include "src/model/name_files.h"
#include "src/plan/desired.h"
#include "src/plan/diff.h"
#include "src/plan/names.h"
#include "tests/unit/make.h"

namespace mb::plan {
namespace {

using test::container;
using test::endpoint;
using test::kIdentity;
using test::network;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Network default_network() { return network("default", "172.17.0.0/16"); }

TEST(Names, TheDefaultNetworkHasNoServer) {
  EXPECT_FALSE(serves_names(default_network()));
  EXPECT_TRUE(serves_names(network("n1", "10.0.0.0/24")));
}

TEST(Names, AServerListensOnTheGatewayAndKnowsItsSubnet) {
  const auto text = name_server_config(network("n1", "10.0.0.0/24"));
  EXPECT_THAT(text, HasSubstr("listen-address=10.0.0.1\n"));
  EXPECT_THAT(text, HasSubstr("rev-server=10.0.0.0/24\n"));
  EXPECT_THAT(text, Not(HasSubstr("no-resolv")));
}

TEST(Names, AServerOfAnInternalNetworkAsksNobody) {
  auto closed = network("n1", "10.0.0.0/24");
  closed.internal = true;
  EXPECT_THAT(name_server_config(closed), HasSubstr("no-resolv\nlocal=/#/\n"));
}

TEST(Names, ARecordIsTheNameThenAllOtherNamesOnce) {
  const auto n = network("n1", "10.0.0.0/24");
  auto web = container("web", {endpoint(n, "10.0.0.2")});
  web.hostname = "www";
  web.endpoints[0].aliases = {"site", "web"};
  EXPECT_EQ(name_records(web, n.id), "10.0.0.2\tweb www site " + web.id + "\n");
  EXPECT_EQ(name_records(web, "another"), "");
}

TEST(Names, AContainerAsksTheServerThatKnowsTheWorldFirst) {
  auto closed = network("closed", "10.0.0.0/24");
  closed.internal = true;
  const auto open = network("open", "10.1.0.0/24");
  const std::vector<Network> networks{closed, open, default_network()};
  const auto web = container("web", {endpoint(closed, "10.0.0.2"), endpoint(open, "10.1.0.2", "eth1"),
                                     endpoint(default_network(), "172.17.0.2", "eth2")});
  EXPECT_THAT(asked_networks(web, networks, true), ElementsAre(&networks[1], &networks[0]));
  EXPECT_THAT(networks_in_hosts_file(web, networks, true), ElementsAre(closed.id));
  EXPECT_THAT(networks_in_hosts_file(web, networks, false), ElementsAre(closed.id, open.id)) << "not the default one";
}

TEST(Names, WhoHasResolversOfItsOwnAsksNobodyOfOurs) {
  const auto n = network("n1", "10.0.0.0/24");
  auto web = container("web", {endpoint(n, "10.0.0.2")});
  web.own_resolvers = true;
  EXPECT_TRUE(asked_networks(web, {n}, true).empty());
  EXPECT_THAT(networks_in_hosts_file(web, {n}, true), ElementsAre(n.id));
}

TEST(Names, TheHostsFileListsOthersAndNotItselfTwice) {
  const auto n = network("n1", "10.0.0.0/24");
  const auto web = container("web", {endpoint(n, "10.0.0.2")});
  const auto db = container("db", {endpoint(n, "10.0.0.3")});
  const auto text = hosts_file(web, {n.id}, {{n.id, {web, db}}});
  EXPECT_THAT(text, HasSubstr("10.0.0.3\tdb"));
  EXPECT_EQ(text.find("10.0.0.2"), text.rfind("10.0.0.2"));
  EXPECT_THAT(hosts_file(web, {}, {{n.id, {web, db}}}), Not(HasSubstr("db")));
}

TEST(Names, TheGatewayTakesThePlaceOfTheHostsResolvers) {
  auto web = container("web");
  web.resolv_conf = "# Made for it.\nnameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch example.test\n";
  const auto n = network("n1", "10.0.0.0/24");
  EXPECT_EQ(resolver_file(web, {&n}), "# Made for it.\nnameserver 10.0.0.1\nsearch example.test\noptions ndots:0\n");
  web.resolv_conf = "options ndots:2\n";
  EXPECT_EQ(resolver_file(web, {&n}), "nameserver 10.0.0.1\noptions ndots:2\n");
  EXPECT_EQ(resolver_file(web, {}), web.resolv_conf);
}

TEST(Names, ResolversOfTheHostThatTheContainerCannotSpeakToAreLeftOut) {
  const auto n = network("n", "10.0.0.0/24");
  auto web = container("web", {endpoint(n, "10.0.0.2")});
  web.resolv_conf = "nameserver 2001:db8::53\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nsearch a:b\n";
  EXPECT_EQ(resolver_file(web, {}), "nameserver 192.0.2.53\nsearch a:b\n");
  web.endpoints.front().addresses.push_back({Family::v6, false, IpAddress::parse("fd00::2"), true});
  EXPECT_EQ(resolver_file(web, {}), "nameserver 2001:db8::53\nnameserver 192.0.2.53\nsearch a:b\n");
  web.own_resolvers = true;
  EXPECT_EQ(resolver_file(web, {}), web.resolv_conf);
}

// ------------------------------------------------------------------ the plan

struct NamesPlan : testing::Test {
  Network n = network("n", "10.0.0.0/24");
  Container web = container("web", {endpoint(n, "10.0.0.2")});
  DesiredInput input;

  NamesPlan() {
    web.status = ContainerStatus::running;
    input.identity = kIdentity;
    input.networks = {n};
    input.bridges_of = {n.id};
    input.containers = {web};
    input.populated = {n.id};
    input.name_servers = true;
  }
  Plan plan(const Actual& actual) const {
    Delta delta;
    delta.containers = {{web, web}};
    const auto scope = scope_of(delta, input);
    Plan names;
    for (const auto& step : diff(desired(input), actual, kIdentity, scope)) {
      const auto text = print(step);
      if (text.find("name server") != std::string::npos || text.find(" names/") != std::string::npos)
        names.push_back(step);
    }
    return names;
  }
  Actual as_wanted() const { return desired(input); }
};

TEST_F(NamesPlan, RecordsAreThereBeforeTheServerStarts) {
  auto actual = as_wanted();
  actual.files.clear();
  actual.name_servers.clear();
  std::vector<std::string> texts;
  for (const auto& step : plan(actual)) texts.push_back(print(step));
  EXPECT_THAT(texts, ElementsAre("write names/" + n.id + "/dnsmasq.conf", "write names/" + n.id + "/hosts/" + web.id,
                                 "start the name server of network '" + n.id + "'"));
}

TEST_F(NamesPlan, ANewRecordIsNoReasonToStartAnew) {
  auto actual = as_wanted();
  actual.files.erase(name_records_path(n.id, web.id));
  EXPECT_THAT(
      plan(actual),
      ElementsAre(Step(step::WriteFile{name_records_path(n.id, web.id), name_records(web, n.id), std::nullopt})));
}

TEST_F(NamesPlan, AnotherConfigurationNeedsAnotherServer) {
  auto actual = as_wanted();
  const auto path = name_server_config_path(n.id);
  actual.files[path] = "edited";
  EXPECT_THAT(plan(actual), ElementsAre(Step(step::StopNameServer{n.id}),
                                        Step(step::WriteFile{path, name_server_config(n), "edited"}),
                                        Step(step::StartNameServer{n.id})));
}

TEST_F(NamesPlan, WhenNobodyIsLeftTheServerGoesBeforeItsFiles) {
  const auto actual = as_wanted();
  input.populated.clear();
  web.status = ContainerStatus::exited;
  input.containers = {web};
  const auto steps = plan(actual);
  ASSERT_EQ(steps.size(), 3U);
  EXPECT_EQ(steps[0], Step(step::StopNameServer{n.id}));
  EXPECT_EQ(kind_name(steps[1]), "remove_file");
  EXPECT_EQ(kind_name(steps[2]), "remove_file");
}

TEST_F(NamesPlan, WithoutDnsmasqThereIsNoServer) {
  input.name_servers = false;
  const auto wanted = desired(input);
  EXPECT_TRUE(wanted.name_servers.empty());
  EXPECT_FALSE(wanted.files.contains(name_records_path(n.id, web.id)));
}

TEST_F(NamesPlan, ADoublyPresentOrMisplacedExceptionComesBackToTheTop) {
  auto actual = as_wanted();
  auto& chain = actual.rules[{Family::v4, Table::nat}].chains[std::string(kPublishChain)];
  ASSERT_EQ(chain.size(), 2U);
  Rule port = chain[0];
  port.target = target::Dnat{IpAddress::parse("10.0.0.2"), std::nullopt, std::nullopt};
  chain = {chain[0], port, chain[1]};
  Delta delta;
  delta.containers = {{web, web}};
  const auto scope = scope_of(delta, input);
  const auto steps = diff(desired(input), actual, kIdentity, scope);
  ASSERT_EQ(steps.size(), 1U);
  const auto& edits = std::get<step::CommitRules>(steps[0]).edits;
  ASSERT_FALSE(edits.empty());
  EXPECT_EQ(edits.back().kind, step::RuleEdit::Kind::insert);
  EXPECT_EQ(edits.back().position, 0U);
}

}  // namespace
}  // namespace mb::plan
