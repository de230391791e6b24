// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/topology.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mb::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Topology read(std::string_view text) { return read_topology(text, "t.yaml", "t"); }

constexpr std::string_view kTwoNodes = R"(about: two
nodes:
  a:
    routes:
      - {to: default, via: 10.0.0.2}
      - {to: "2001:db8:9::/48", interface: eth0}
    sysctls: {net.ipv4.ip_forward: 1}
    services:
      - echo: [80, 53/udp]
      - {name: shell, command: [sh, -c, "sleep 1"]}
    setup: ip link
  b:
    kind: router
    aliases: [bee]
    nat: {from: 10.0.0.0/24, out: lan}
links:
  - ends:
      - {node: a, interface: eth0, addresses: [10.0.0.1/24, "2001:db8::1/64"]}
      - {node: b, interface: lan, addresses: 10.0.0.2/24, mac: "02:00:00:00:00:07"}
)";

TEST(Topology, HoldsWhatTheFileSays) {
  const Topology topology = read(kTwoNodes);
  EXPECT_EQ(topology.name, "t");
  EXPECT_THAT(topology.node_names(), ElementsAre("a", "b"));
  const Node& a = topology.node("a");
  EXPECT_EQ(a.kind, NodeKind::host);
  EXPECT_EQ(a.routes.at(0).to.str(), "0.0.0.0/0");
  EXPECT_EQ(a.routes.at(1).interface->str(), "eth0");
  EXPECT_EQ(a.sysctls.at(0).name, "net.ipv4.ip_forward");
  EXPECT_EQ(a.services.at(0).name, "echo-80");
  EXPECT_EQ(a.services.at(0).echo.at(1).protocol, Protocol::udp);
  EXPECT_THAT(a.services.at(1).command, ElementsAre("sh", "-c", "sleep 1"));
  ASSERT_EQ(a.setup.size(), 1U);
  EXPECT_EQ(a.setup[0].line, "ip link");
  EXPECT_EQ(topology.node("b").nat.at(0).out.str(), "lan");
  const Link& link = topology.links.at(0);
  EXPECT_FALSE(link.is_switch);
  EXPECT_EQ(link.name, "a-b");
  EXPECT_EQ(link.ends.at(1).mac.str(), "02:00:00:00:00:07");
}

TEST(Topology, EveryInterfaceHasAMacAddressThatIsTheSameEachTime) {
  const Topology topology = read(kTwoNodes);
  EXPECT_EQ(topology.links.at(0).ends.at(0).mac, MacAddress::derived_from(IpAddress::parse("10.0.0.1")));
  EXPECT_EQ(read(kTwoNodes).links.at(0).ends.at(0).mac, topology.links.at(0).ends.at(0).mac);
}

TEST(Topology, ThreeEndsMakeASwitch) {
  const Topology topology = read(
      "nodes: {a: , b: , c: }\n"
      "links:\n"
      "  - ends: [{node: a, interface: e}, {node: b, interface: e}, {node: c, interface: e}]\n");
  EXPECT_TRUE(topology.links.at(0).is_switch);
}

TEST(Topology, NamesStandForTheAddressOnACommonLink) {
  const Topology topology = read(
      "nodes: {a: , b: {aliases: [bee]}, c: }\n"
      "links:\n"
      "  - ends: [{node: a, interface: e, addresses: 10.0.0.1/24}, {node: b, interface: e, addresses: 10.0.0.2/24}]\n"
      "  - ends: [{node: b, interface: f, addresses: 10.1.0.2/24}, {node: c, interface: e, addresses: 10.1.0.3/24}]\n");
  EXPECT_THAT(hosts_file(topology, Name::parse("a")), HasSubstr("\n10.0.0.2 b bee\n"));
  EXPECT_THAT(hosts_file(topology, Name::parse("c")), HasSubstr("\n10.1.0.2 b bee\n"));
  EXPECT_THAT(hosts_file(topology, Name::parse("c")), Not(HasSubstr("10.0.0.2")));
  EXPECT_THAT(hosts_file(topology, Name::parse("c")), HasSubstr("\n10.0.0.1 a\n"));
}

TEST(Topology, AnUnknownNodeIsRefusedWithTheNearestName) {
  const Topology topology = read("nodes: {gateway: , vm: }\n");
  try {
    (void)topology.node("gatway");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::not_found);
    EXPECT_EQ(error.message(), "there is no node 'gatway' in this lab");
    EXPECT_EQ(error.hint(), "did you mean 'gateway'?");
  }
}

TEST(Topology, AllThatAreInstalledAreRight) {
  const std::filesystem::path folder = std::filesystem::path(MB_SOURCE_DIR) / "scenarios/topologies";
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    EXPECT_NO_THROW(read_topology(text, entry.path().string(), "t")) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 4U);
}

struct Wrong {
  std::string_view text;
  std::string_view sentence;
};

class WrongTopology : public testing::TestWithParam<Wrong> {};

TEST_P(WrongTopology, IsRefusedWithItsLine) {
  try {
    read(GetParam().text);
    FAIL() << "no complaint";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_EQ(error.message() + (error.hint().empty() ? "" : " | " + error.hint()), GetParam().sentence);
  }
}

#define MB_LINK(a, b) "links:\n  - ends:\n      - {" a "}\n      - {" b "}\n"

INSTANTIATE_TEST_SUITE_P(
    All, WrongTopology,
    testing::Values(
        Wrong{"links: []\n", "t.yaml:1: a topology needs 'nodes'"},
        Wrong{"nodes: {}\n", "t.yaml:1: a topology needs a node"},
        Wrong{"nodes:\n  a:\nlinks:\n", "t.yaml:3: a list is expected here, not nothing | one '- …' per line"},
        Wrong{"nodes: {a: }\nnods: {}\n", "t.yaml:2: a topology has no 'nods' | did you mean 'nodes'?"},
        Wrong{"nodes:\n  a:\n    rotes: []\n", "t.yaml:3: a node has no 'rotes' | did you mean 'routes'?"},
        Wrong{"nodes:\n  a:\n  a:\n", "t.yaml:3: 'a' is given twice, first in line 2"},
        Wrong{"nodes:\n  a:\n    kind: switch\n", "t.yaml:3: 'switch' is not a kind of node | host or router"},
        Wrong{"nodes:\n  a: {aliases: [b]}\n  b:\n", "t.yaml:3: the name 'b' belongs to node 'a' already"},
        Wrong{"nodes:\n  a: {aliases: [b, b]}\n", "t.yaml:2: the name 'b' is given twice"},
        Wrong{"nodes:\n  localhost:\n", "t.yaml:2: the name 'localhost' belongs to every node already"},
        Wrong{"nodes:\n  a: {aliases: [x y]}\n", "t.yaml:2: 'x y' is not a host name"},
        Wrong{"nodes:\n  a:\n    sysctls: {kernel.pid_max: 1}\n",
              "t.yaml:3: 'kernel.pid_max' is not a network sysctl | for example net.ipv4.ip_forward"},
        Wrong{"nodes:\n  a:\n    services:\n      - {name: x}\n",
              "t.yaml:4: a service needs either 'echo' or 'command'"},
        Wrong{"nodes:\n  a:\n    services:\n      - echo: []\n", "t.yaml:4: this service does nothing"},
        Wrong{"nodes:\n  a:\n    services:\n      - echo: 80\n      - {name: echo-80, echo: 81}\n",
              "t.yaml:5: this node has two services 'echo-80' | give one a 'name'"},
        Wrong{"nodes:\n  a:\n    services:\n      - echo: 10.0.0.1:80\n",
              "t.yaml:4: node 'a' has no address '10.0.0.1' to listen on"},
        Wrong{"nodes:\n  a:\n    nat: {from: 10.0.0.0/24, out: eth0}\n",
              "t.yaml:3: only a node of kind 'router' translates addresses | in a host the tables are left to whoever "
              "works there"},
        Wrong{"nodes:\n  a:\n    kind: router\n    nat:\n      - {from: 10.0.0.0/24, out: eth0}\n",
              "t.yaml:5: node 'a' has no interface 'eth0' | it is on no link"},
        Wrong{"nodes: {a: }\nlinks:\n  - ends: [{node: a, interface: e}]\n",
              "t.yaml:3: a link needs two ends | or 'switch: true', to which more can be connected"},
        Wrong{"nodes: {alpha: , b: }\n" MB_LINK("node: alhpa, interface: e", "node: b, interface: e"),
              "t.yaml:4: there is no node 'alhpa' | did you mean 'alpha'?"},
        Wrong{"nodes: {a: , b: }\n" MB_LINK("node: a, interface: e", "node: a, interface: e"),
              "t.yaml:5: node 'a' has two interfaces 'e'"},
        Wrong{"nodes: {a: , b: }\n" MB_LINK("node: a, interface: lo", "node: b, interface: e"),
              "t.yaml:4: every node has its own 'lo' already"},
        Wrong{"nodes: {a: , b: }\n" MB_LINK("node: a, interface: e, mac: \"02:00:00:00:00:01\"",
                                            "node: b, interface: e, mac: \"02:00:00:00:00:01\""),
              "t.yaml:5: the MAC address '02:00:00:00:00:01' is given twice"},
        Wrong{"nodes: {a: , b: }\n" MB_LINK("node: a, interface: e, addresses: 10.0.0.1/24",
                                            "node: b, interface: e, addresses: 10.0.0.1/24"),
              "t.yaml:5: the address '10.0.0.1' is given twice, first to node 'a'"},
        Wrong{"nodes: {a: , b: }\n" MB_LINK("node: a, interface: e, addresses: 10.0.0.1/24",
                                            "node: b, interface: e, addresses: 10.0.1.2/24"),
              "t.yaml:5: '10.0.1.2/24' is in another subnet than '10.0.0.1/24' on the same link | name the subnets of "
              "the link under 'subnets' if there are several"},
        Wrong{"nodes: {a: , b: }\nlinks:\n  - subnets: [10.0.0.0/24]\n    ends:\n"
              "      - {node: a, interface: e, addresses: 10.0.1.1/24}\n      - {node: b, interface: e}\n",
              "t.yaml:5: '10.0.1.1/24' is in no subnet of link 'a-b'"},
        Wrong{"nodes: {a: , b: }\n" MB_LINK("node: a, interface: e, addresses: 10.0.0.1", "node: b, interface: e"),
              "t.yaml:4: '10.0.0.1' is not an address with a prefix length | for example 10.0.0.1/24"},
        Wrong{"nodes: {a: , b: }\n" MB_LINK("node: a, interface: e, addresses: 0.0.0.0/24", "node: b, interface: e"),
              "t.yaml:4: '0.0.0.0/24' cannot be the address of an interface"},
        Wrong{"nodes:\n  a: {routes: [{to: default}]}\n", "t.yaml:2: a route needs 'via' or 'interface'"},
        Wrong{"nodes:\n  a: {routes: [{via: 10.0.0.1}]}\n", "t.yaml:2: a route needs 'to'"},
        Wrong{
            "nodes:\n  a: {routes: [{to: default, via: 10.0.0.2}]}\n",
            "t.yaml:2: '10.0.0.2' is on no link of node 'a' | a gateway is reached directly, without another gateway"},
        Wrong{"nodes:\n  a: {routes: [{to: \"2001:db8::/64\", via: 10.0.0.2}]}\n",
              "t.yaml:2: '10.0.0.2' and '2001:db8::/64' are of different families"},
        Wrong{"nodes: {a: }\nlinks:\n  - {name: x, switch: true, ends: [{node: a, interface: e}]}\n"
              "  - {name: x, switch: true, ends: [{node: a, interface: f}]}\n",
              "t.yaml:4: two links are called 'x' | give one another 'name'"}));

TEST(WrongTopologyNames, AnInterfaceNameThatIsTooLongIsRefusedWithItsLine) {
  try {
    read("nodes: {a: , b: }\n" MB_LINK("node: a, interface: sixteencharacter", "node: b, interface: e"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("t.yaml:4: 'sixteencharacter'"));
  }
}

}  // namespace
}  // namespace mb::lab
