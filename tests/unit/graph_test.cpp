// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/graph.h"

#include <algorithm>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mb::lab {
namespace {

using testing::HasSubstr;

Topology pair() {
  return read_topology(
      "nodes:\n  left:\n  right: {kind: router, nat: {from: 10.0.0.0/24, out: e1}}\n"
      "links:\n  - ends:\n    - {node: left, interface: eth0, addresses: 10.0.0.1/24}\n"
      "    - {node: right, interface: e1, addresses: 10.0.0.2/24}\n",
      "t", "t");
}

// Nodes that all hang on one switch.
Topology star(int nodes) {
  std::string text = "nodes:\n";
  for (int i = 0; i < nodes; ++i) text += "  n" + std::to_string(i) + ":\n";
  text += "links:\n  - name: hub\n    switch: true\n    ends:\n";
  for (int i = 0; i < nodes; ++i) {
    text += "      - {node: n" + std::to_string(i) + ", interface: e, addresses: 10.0.0." + std::to_string(i + 1) +
            "/24}\n";
  }
  return read_topology(text, "t", "star");
}

// In characters: every byte that is not a continuation of a UTF-8 sequence.
std::size_t widest_line(const std::string& text) {
  std::size_t widest = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    widest = std::max(widest, static_cast<std::size_t>(
                                  std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; })));
  }
  return widest;
}

TEST(Graph, DrawsALinkWithItsInterfacesAndAddresses) {
  EXPECT_EQ(draw_text(pair(), 80),
            "┌──────┐               ┌─────────────┐\n"
            "│ left │               │    right    │\n"
            "│      │               │ router, NAT │\n"
            "└───┬──┘               └──────┬──────┘\n"
            "    └─eth0─────────────────e1─┘\n"
            "      10.0.0.1/24 10.0.0.2/24\n");
}

TEST(Graph, FitsIntoTheWidth) {
  for (const int nodes : {2, 3, 4, 6, 8, 40}) {
    EXPECT_LE(widest_line(draw_text(star(nodes), 80)), 80U) << nodes;
  }
}

TEST(Graph, WhatIsTooWideBecomesAList) {
  EXPECT_THAT(draw_text(star(40), 80), HasSubstr("n7\n  e        -- n0 e, n1 e, n2 e and 36 more\n"
                                                 "           10.0.0.8/24\n"));
}

TEST(Graph, NodesThatAreConnectedStandTogether) {
  const Topology topology = read_topology(
      "nodes: {a: , far: , b: }\nlinks:\n"
      "  - ends: [{node: a, interface: x}, {node: b, interface: y}]\n"
      "  - ends: [{node: b, interface: z}, {node: far, interface: q}]\n",
      "t", "t");
  const std::string first_names = draw_text(topology, 80).substr(0, 400);
  EXPECT_LT(first_names.find(" b "), first_names.find("far"));
}

TEST(Graph, MermaidNamesEveryNodeAndLink) {
  EXPECT_EQ(draw_mermaid(pair()),
            "graph LR\n"
            "  n0[\"left\"]\n"
            "  n1[\"right<br/>router, NAT\"]\n"
            "  n0 ---|\"eth0 10.0.0.1/24<br/>e1 10.0.0.2/24\"| n1\n");
  EXPECT_THAT(draw_mermaid(star(3)), HasSubstr("s0([\"hub\"])\n  n0 ---|\"e 10.0.0.1/24\"| s0\n"));
}

TEST(Graph, SvgIsWellFormedAndSaysEverything) {
  const std::string svg = draw_svg(pair());
  EXPECT_TRUE(svg.starts_with("<svg xmlns="));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  for (const char* text : {">left<", ">right<", ">router, NAT<", ">eth0<", ">10.0.0.1/24<", ">e1<", ">10.0.0.2/24<"}) {
    EXPECT_THAT(svg, HasSubstr(text));
  }
  Topology named = pair();
  named.about = "a < b & \"c\"";
  EXPECT_THAT(draw_svg(named), HasSubstr("<title>a &lt; b &amp; &quot;c&quot;</title>"));
}

}  // namespace
}  // namespace mb::lab
