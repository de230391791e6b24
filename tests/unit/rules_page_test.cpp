// SPDX-License-Identifier: GPL-2.0-or-later
//
// docs/rules.md shows the rules as the program makes them. What stands there between "<!-- rules: NAME -->" and
// "<!-- end -->" is written by this test:
//
//     MB_WRITE_DOCS=1 build/dev/unit_tests --gtest_filter='RulesPage.*'
//
// Without MB_WRITE_DOCS it fails where the page says something else than the program does.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include <fmt/format.h>

#include "src/plan/rules.h"
#include "tests/unit/make.h"

namespace mb::plan {
namespace {

using test::ip;
using test::kIdentity;

// The example: one network, one container with both families' addresses.
struct Example {
  Network network;
  Container web;
  bool devgroup = true;
};

AddressPool pool_v6() {
  AddressPool pool;
  pool.subnet = Subnet::parse("fd00:18::/64");
  pool.gateway = ip("fd00:18::1");
  return pool;
}

Example plain() {
  Example example{test::network("n1", "172.18.0.0/16"), {}};
  example.web = test::container("web", {test::endpoint(example.network, "172.18.0.2")});
  return example;
}

Example with_ipv6(Example example) {
  example.network.pools.push_back(pool_v6());
  example.web.endpoints.front().addresses.push_back({Family::v6, false, ip("fd00:18::2"), true});
  return example;
}

Example with(const std::function<void(Network&)>& change) {
  Example example = plain();
  change(example.network);
  return example;
}

Example publishing(PublishedPort port) {
  Example example = port.host_address.family() == Family::v6 ? with_ipv6(plain()) : plain();
  example.web.ports = {std::move(port)};
  return example;
}

// ------------------------------------------------------------------ lines of the page

struct Line {
  TableKey key;
  std::string chain;
  std::string rule;  // as iptables-save writes it, without its comment
  std::string why;
  auto operator<=>(const Line&) const = default;
};

std::string shown(const std::string& chain, Rule rule) {
  std::erase_if(rule.matches, [](const Match& match) { return std::holds_alternative<match::Comment>(match); });
  auto text = print(chain, rule);
  const auto group = fmt::format("{:#x}", kIdentity.group);
  const auto at = text.find(group);
  return at == std::string::npos ? text : text.replace(at, group.size(), "G");
}

// In the order in which a packet meets them: the built-in chains first, ours after them.
std::vector<Line> lines_of(const Example& example) {
  std::vector<Line> lines;
  const auto add = [&](const TableKey& key, const std::map<std::string, std::vector<Rule>>& chains) {
    for (const auto& [chain, rules] : chains) {
      for (const auto& rule : rules) lines.push_back({key, chain, shown(chain, rule), rule.why});
    }
  };
  const auto rules = desired_rules(kIdentity, example.devgroup, {example.network}, {example.web});
  for (const auto& [key, table] : rules) {
    add(key, table.hooks);
    add(key, table.chains);
  }
  return lines;
}

std::string table_name(const TableKey& key) {
  return fmt::format("{}{}", to_string(key.table), key.family == Family::v6 ? ", IPv6" : "");
}

std::string as_table(const std::vector<Line>& lines, const std::string& verdict = "") {
  std::string text = "| table | rule | why |\n|---|---|---|\n";
  for (const auto& line : lines) {
    text += fmt::format("| {} | {}`{}` | {} |\n", table_name(line.key), verdict, line.rule, line.why);
  }
  return text;
}

std::string difference(const std::vector<Line>& before, const std::vector<Line>& after) {
  const auto missing_in = [](const std::vector<Line>& from, const std::vector<Line>& there) {
    std::vector<Line> missing;
    std::copy_if(from.begin(), from.end(), std::back_inserter(missing), [&](const Line& line) {
      return std::none_of(there.begin(), there.end(), [&](const Line& other) { return other.rule == line.rule; });
    });
    return missing;
  };
  const auto more = missing_in(after, before);
  const auto less = missing_in(before, after);
  if (more.empty() && less.empty()) return "No rule differs.\n";
  std::string text = more.empty() ? "" : as_table(more);
  if (!less.empty()) text += (more.empty() ? "" : "\n") + std::string("Instead of, or without:\n\n") + as_table(less);
  return text;
}

// What a kind has that the usual network has not, and the other way round.
std::string difference(const Example& usual, const Example& kind) {
  return difference(lines_of(usual), lines_of(kind));
}

// The same of what IPv6 adds to both.
std::string difference_in_ipv6(const Example& usual, const Example& kind) {
  const auto lines = [](const Example& example) {
    auto of_both = lines_of(with_ipv6(example));
    std::erase_if(of_both, [](const Line& line) { return line.key.family == Family::v4; });
    return of_both;
  };
  return difference(lines(usual), lines(kind));
}

std::string counts(const std::string& what, const std::vector<Line>& lines) {
  std::map<Table, int> sums;
  for (const auto& line : lines) ++sums[line.key.table];
  return fmt::format("| {} | {} | {} | {} |\n", what, sums[Table::raw], sums[Table::nat], sums[Table::filter]);
}

std::vector<Line> without(std::vector<Line> lines, const std::vector<Line>& fewer) {
  for (const auto& line : fewer) {
    const auto found = std::find(lines.begin(), lines.end(), line);
    if (found != lines.end()) lines.erase(found);
  }
  return lines;
}

std::string cost() {
  auto second = plain();
  second.network = test::network("n2", "172.19.0.0/16");
  const auto one = lines_of(plain());
  const auto per_network = without(one, lines_of(second));
  const auto range = publishing(test::port("0.0.0.0", {9000, 9999}, {2000, 2999}));
  return "| rules for one address family in | raw | nat | filter |\n|---|---|---|---|\n" +
         counts("all networks together", without(one, per_network)) + counts("each network of mode nat", per_network) +
         counts("each published port or range", without(lines_of(range), one));
}

std::map<std::string, std::string> sections() {
  using test::port;
  const auto usual = plain();
  const auto published = [&](const PublishedPort& p) {
    const auto example = publishing(p);
    auto bare = example;
    bare.web.ports.clear();
    return difference(bare, example);
  };
  const auto only = [&](Table table) {
    auto lines = lines_of(usual);
    std::erase_if(lines, [&](const Line& line) { return line.key.table != table; });
    return as_table(lines);
  };
  auto routed = with([](Network& n) {
    n.mode = NetworkMode::routed;
    n.masquerade = false;
  });
  routed.web.publish = {PublishSpec::parse("8080:80")};
  auto by_name = usual;
  by_name.devgroup = false;
  const auto internal = with([](Network& n) { n.internal = true; });
  auto first = usual;
  first.network.name = Name::parse(kDefaultNetwork);
  return {
      {"raw", only(Table::raw)},
      {"nat", only(Table::nat)},
      {"filter", only(Table::filter)},
      {"publish 8080:80", published(port("0.0.0.0", {8080, 8080}, {80, 80}))},
      {"publish 8080:80/udp", published(port("0.0.0.0", {8080, 8080}, {80, 80}, Protocol::udp))},
      {"publish 132:132/sctp", published(port("0.0.0.0", {132, 132}, {132, 132}, Protocol::sctp))},
      {"publish 127.0.0.1:8081:80", published(port("127.0.0.1", {8081, 8081}, {80, 80}))},
      {"publish 9000-9999:2000-2999", published(port("0.0.0.0", {9000, 9999}, {2000, 2999}))},
      {"publish 9000-9999:9000-9999", published(port("0.0.0.0", {9000, 9999}, {9000, 9999}))},
      {"publish ipv6", published(port("::", {8080, 8080}, {80, 80}))},
      {"publish [2001:db8::1]:8080:80", published(port("2001:db8::1", {8080, 8080}, {80, 80}))},
      {"default network", difference(usual, first)},
      {"adopted bridge", difference(usual, with([](Network& n) { n.adopted_bridge = true; }))},
      {"internal", difference(usual, internal)},
      {"internal ipv6", difference_in_ipv6(usual, internal)},
      {"masquerade=false", difference(usual, with([](Network& n) { n.masquerade = false; }))},
      {"snat-to", difference(usual, with([](Network& n) { n.snat_to = ip("198.51.100.77"); }))},
      {"snat-to ipv6", difference_in_ipv6(usual, with([](Network& n) { n.snat_to = ip("2001:db8::77"); }))},
      {"icc=false", difference(usual, with([](Network& n) { n.icc = false; }))},
      {"routed", difference(usual, routed)},
      {"routed ipv6", difference_in_ipv6(usual, routed)},
      {"unprotected", difference(usual, with([](Network& n) { n.mode = NetworkMode::unprotected; }))},
      {"ipv6", difference(usual, with_ipv6(usual))},
      {"without devgroup", difference(usual, by_name)},
      {"cost", cost()},
  };
}

// ------------------------------------------------------------------ the page

const std::string kPage = MB_SOURCE_DIR "/docs/rules.md";

std::string read_page() {
  std::ifstream in(kPage);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The page with every section in its present form; `shown_sections` gets the names of those it has.
std::string rewritten(const std::string& page, std::set<std::string>& shown_sections) {
  const auto made = sections();
  std::string text;
  std::istringstream lines(page);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "<!-- end -->") inside = false;
    if (!inside) text += line + "\n";
    const std::string begin = "<!-- rules: ";
    if (!line.starts_with(begin)) continue;
    inside = true;
    const auto name = line.substr(begin.size(), line.find(" -->") - begin.size());
    shown_sections.insert(name);
    const auto section = made.find(name);
    text += section == made.end() ? "nobody makes this section\n" : "\n" + section->second + "\n";
  }
  return text;
}

TEST(RulesPage, ShowsTheRulesThatTheProgramMakes) {
  const auto page = read_page();
  std::set<std::string> shown_sections;
  const auto expected = rewritten(page, shown_sections);
  if (std::getenv("MB_WRITE_DOCS") != nullptr) std::ofstream(kPage) << expected;
  EXPECT_EQ(read_page(), expected)
      << "write it anew: MB_WRITE_DOCS=1 build/dev/unit_tests --gtest_filter='RulesPage.*'";
}

TEST(RulesPage, ShowsEveryKindOfNetworkAndOfPublishing) {
  std::set<std::string> shown_sections;
  rewritten(read_page(), shown_sections);
  std::set<std::string> made;
  for (const auto& [name, text] : sections()) made.insert(name);
  EXPECT_EQ(shown_sections, made);
}

TEST(RulesPage, EveryRuleHasAWhy) {
  auto every = with_ipv6(plain());
  every.network.internal = true;
  every.web.ports = {test::port("0.0.0.0", {8080, 8080}, {80, 80}), test::port("::", {8080, 8080}, {80, 80})};
  for (const auto& line : lines_of(every)) EXPECT_FALSE(line.why.empty()) << line.rule;
}

}  // namespace
}  // namespace mb::plan
