// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/rule.h"

#include "tests/support/random_state.h"
#include "tests/unit/make.h"

namespace mb {
namespace {

using test::ip;
using test::message_of;

TEST(Rule, PrintsAsIptablesSaveDoes) {
  Rule publish;
  publish.destination = {Subnet::parse("127.0.0.1/32"), false};
  publish.protocol = {6, false};
  publish.matches = {match::Ports{Protocol::tcp, {}, {{{9000, 9999}, false}}},
                     match::Comment{"minibridge web: 9000-9999 -> 2000-2999/tcp"}};
  publish.target = target::Dnat{ip("172.18.0.2"), PortRange{2000, 2999}, 9000};
  EXPECT_EQ(print("MINIBRIDGE-PUBLISH", publish),
            "-A MINIBRIDGE-PUBLISH -d 127.0.0.1/32 -p tcp -m tcp --dport 9000:9999 -m comment --comment "
            "\"minibridge web: 9000-9999 -> 2000-2999/tcp\" -j DNAT --to-destination 172.18.0.2:2000-2999/9000");

  Rule isolation;
  isolation.source = {Subnet::parse("10.0.0.0/8"), true};
  isolation.in = {"br0", false};
  isolation.out = {"eth+", true};
  isolation.matches = {match::ConnTrack{match::kDnat | match::kNew | match::kEstablished, true},
                       match::AddrType{{{match::AddressType::local, true}}, {{match::AddressType::unicast, false}}},
                       match::DevGroup{{}, {{0x4d420001, false}}}};
  isolation.target = target::Drop{};
  EXPECT_EQ(print(isolation),
            "! -s 10.0.0.0/8 -i br0 ! -o eth+ -m conntrack ! --ctstate NEW,ESTABLISHED,DNAT "
            "-m addrtype ! --src-type LOCAL --dst-type UNICAST -m devgroup --dst-group 0x4d420001 -j DROP");
}

TEST(Rule, PrintsEveryTarget) {
  const auto line = [](Target target) {
    Rule rule;
    rule.target = std::move(target);
    return print("X", rule);
  };
  EXPECT_EQ(line(target::None{}), "-A X");
  EXPECT_EQ(line(target::Accept{}), "-A X -j ACCEPT");
  EXPECT_EQ(line(target::Drop{}), "-A X -j DROP");
  EXPECT_EQ(line(target::Return{}), "-A X -j RETURN");
  EXPECT_EQ(line(target::Jump{"MINIBRIDGE-RAW"}), "-A X -j MINIBRIDGE-RAW");
  EXPECT_EQ(line(target::Dnat{ip("10.0.0.2"), {}, {}}), "-A X -j DNAT --to-destination 10.0.0.2");
  EXPECT_EQ(line(target::Dnat{ip("10.0.0.2"), PortRange{80, 80}, {}}), "-A X -j DNAT --to-destination 10.0.0.2:80");
  EXPECT_EQ(line(target::Dnat{ip("fd00::2"), {}, {}}), "-A X -j DNAT --to-destination fd00::2");
  EXPECT_EQ(line(target::Dnat{ip("fd00::2"), PortRange{80, 89}, {}}), "-A X -j DNAT --to-destination [fd00::2]:80-89");
  EXPECT_EQ(line(target::Snat{ip("192.0.2.1")}), "-A X -j SNAT --to-source 192.0.2.1");
  EXPECT_EQ(line(target::Masquerade{}), "-A X -j MASQUERADE");
  EXPECT_EQ(line(target::Opaque{"TTL", 1, {1, 2, 3}}), "-A X -j TTL [3 bytes not understood]");
}

TEST(Rule, QuotesACommentOnlyWhereItIsNeeded) {
  const auto comment = [](std::string text) {
    Rule rule;
    rule.matches = {match::Comment{std::move(text)}};
    return print(rule);
  };
  EXPECT_EQ(comment("web-1_x"), "-m comment --comment web-1_x");
  EXPECT_EQ(comment("two words"), "-m comment --comment \"two words\"");
  EXPECT_EQ(comment("a.b"), "-m comment --comment \"a.b\"");
  EXPECT_EQ(comment(""), "-m comment --comment \"\"");
  EXPECT_EQ(comment("it's \"so\" \\"), "-m comment --comment \"it\\'s \\\"so\\\" \\\\\"");
}

TEST(Rule, IsEqualWhateverItsWhy) {
  Rule a;
  Rule b;
  b.why = "because";
  EXPECT_EQ(a, b);
  b.target = target::Drop{};
  EXPECT_FALSE(a == b);
}

TEST(Rule, LinesComeBackAsTheyWere) {
  const std::vector<std::string> lines = {
      "-A FORWARD",
      "-A FORWARD -j MINIBRIDGE-USER",
      "-A PREROUTING ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -m comment --comment \"minibridge: published "
      "ports\" -j MINIBRIDGE-PUBLISH",
      "-A X -p udp -m udp ! --sport 53 --dport 1:65535 -j RETURN",
      "-A X -p sctp -m sctp --sport 1:2 -j DROP",
      "-A X ! -p icmp -m icmp --icmp-type 8 -j ACCEPT",
      "-A X -p 47 -j ACCEPT",
      "-A X -i br+ ! -o br-web -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
      "-A X -m devgroup ! --src-group 0x1 --dst-group 0x4d42beef -j ACCEPT",
      "-A X -s 0.0.0.0/0 -j MASQUERADE",
      "-A X -j DNAT --to-destination 10.0.0.2:80-89/8080",
      "-A X -j SNAT --to-source 192.0.2.1",
  };
  for (const auto& line : lines) {
    const auto [chain, rule] = parse_rule(line);
    EXPECT_EQ(print(chain, rule), line);
  }
  const std::vector<std::string> lines_of_v6 = {
      "-A X -s fd00::/64 -j DNAT --to-destination [fd00::2]:80",
      "-A X -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT",
  };
  for (const auto& line : lines_of_v6) {
    const auto [chain, rule] = parse_rule(line, Family::v6);
    EXPECT_EQ(print(chain, rule), line);
  }
}

TEST(Rule, RandomRulesComeBackAsTheyWere) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    test::Random random(seed);
    const Rule rule = test::random_rule(random);
    const auto line = print("MINIBRIDGE-X", rule);
    const auto [chain, back] = parse_rule(line);
    ASSERT_EQ(chain, "MINIBRIDGE-X");
    ASSERT_EQ(back, rule) << "seed " << seed << ": " << line << "\nbecame " << print(back);
  }
}

struct BadRule {
  std::string_view line;
  std::string_view message;
};

TEST(Rule, SaysWhereAndWhyALineIsNone) {
  const std::vector<BadRule> table = {
      {"", "'' is not an iptables rule: something is missing at position 1"},
      {"-I X", "'-I X' is not an iptables rule: expected -A at position 1"},
      {"-A", "'-A' is not an iptables rule: something is missing at position 3"},
      {"-A X -j", "'-A X -j' is not an iptables rule: something is missing at position 8"},
      {"-A X -x Y", "'-A X -x Y' is not an iptables rule: unknown option '-x' at position 6"},
      {"-A X ! -j Y", "'-A X ! -j Y' is not an iptables rule: unknown option '-j' at position 8"},
      {"-A X !", "'-A X !' is not an iptables rule: something is missing at position 7"},
      {"-A X -m limit", "'-A X -m limit' is not an iptables rule: unknown match 'limit' at position 9"},
      {"-A X -m tcp --tcp-flags A B",
       "'-A X -m tcp --tcp-flags A B' is not an iptables rule: unknown option '--tcp-flags' at position 13"},
      {"-A X -m conntrack --ctstate OLD",
       "'-A X -m conntrack --ctstate OLD' is not an iptables rule: unknown connection state at position 29"},
      {"-A X -m conntrack --ctstatus DNAT",
       "'-A X -m conntrack --ctstatus DNAT' is not an iptables rule: expected --ctstate at position 19"},
      {"-A X -m addrtype --dst-type MARS",
       "'-A X -m addrtype --dst-type MARS' is not an iptables rule: unknown address type at position 29"},
      {"-A X -m devgroup --src-group web",
       "'-A X -m devgroup --src-group web' is not an iptables rule: expected a group number at position 30"},
      {"-A X -m comment --comment \"open",
       "'-A X -m comment --comment \"open' is not an iptables rule: the quotes are not closed at position 32"},
      {"-A X -s 10.0.0.1/8", "'10.0.0.1/8' is not a subnet: host bits are set"},
      {"-A X -s 10.0.0.1", "'10.0.0.1' is not a subnet: expected '/' and a prefix length at position 9"},
      {"-A X -s fd00::/64",
       "'-A X -s fd00::/64' is not an iptables rule: it is of the other address family at position 9"},
      {"-A X -j SNAT --to-source fd00::1",
       "'-A X -j SNAT --to-source fd00::1' is not an iptables rule: it is of the other address family at position 26"},
      {"-A X -j DNAT --to-destination 10.0.0.2:90-80",
       "'10.0.0.2:90-80' is not a DNAT destination: the range is reversed at position 1"},
      {"-A X -j DNAT --to-destination 10.0.0.2:0",
       "'10.0.0.2:0' is not a DNAT destination: a port must be 1 to 65535 at position 10"},
      {"-A X -j DNAT --random",
       "'-A X -j DNAT --random' is not an iptables rule: expected --to-destination at position 14"},
      {"-A X -p tcp -m tcp --dport 5:4", "'5:4' is not a port range: the range is reversed at position 1"},
      {"-A X -p 256", "'256' is not a number: a protocol must be 0 to 255 at position 1"},
      {"-A \"a b\"", "'-A \"a b\"' is not an iptables rule: expected a plain word at position 4"},
      {"-A X -i \"\"", "'-A X -i \"\"' is not an iptables rule: expected a plain word at position 9"},
      {"-A X -j \"\\\"\"", "'-A X -j \"\\\"\"' is not an iptables rule: expected a plain word at position 9"},
  };
  for (const auto& [line, message] : table) {
    EXPECT_EQ(message_of([&, l = line] { parse_rule(l); }), message);
  }
}

constexpr std::string_view kDump =
    "# Generated by iptables-save\n"
    "*nat\n"
    ":PREROUTING ACCEPT [0:0]\n"
    ":DOCKER - [0:0]\n"
    ":MINIBRIDGE-PUBLISH - [12:34]\n"
    "[1:60] -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
    "[2:99] -A PREROUTING -m addrtype --dst-type LOCAL -j MINIBRIDGE-PUBLISH\n"
    "-A DOCKER -i docker0 -m statistic --mode nth --every 2 -j RETURN\n"
    "-A MINIBRIDGE-PUBLISH -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:80\n"
    "COMMIT\n"
    "*filter\n"
    ":FORWARD DROP [0:0]\n"
    "-A FORWARD -m comment --comment \"not -j MINIBRIDGE-USER\" -m limit --limit 5/min -j ACCEPT\n"
    "COMMIT\n"
    "# Completed\n";

TEST(Dump, KeepsOurChainsAndOurJumps) {
  const auto rules = parse_dump(kDump);
  ASSERT_EQ(rules.size(), 1u);
  const auto& nat = rules.at({Family::v4, Table::nat});
  ASSERT_EQ(nat.chains.size(), 1u);
  ASSERT_EQ(nat.chains.at("MINIBRIDGE-PUBLISH").size(), 1u);
  EXPECT_EQ(print(nat.chains.at("MINIBRIDGE-PUBLISH")[0]),
            "-p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:80");
  ASSERT_EQ(nat.hooks.at("PREROUTING").size(), 1u);
  EXPECT_EQ(print(nat.hooks.at("PREROUTING")[0]), "-m addrtype --dst-type LOCAL -j MINIBRIDGE-PUBLISH");
  EXPECT_EQ(print(rules, Family::v4),
            "*nat\n"
            ":MINIBRIDGE-PUBLISH - [0:0]\n"
            "-A PREROUTING -m addrtype --dst-type LOCAL -j MINIBRIDGE-PUBLISH\n"
            "-A MINIBRIDGE-PUBLISH -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:80\n"
            "COMMIT\n");
}

TEST(Dump, AChainWithoutRulesIsKept) {
  const auto rules = parse_dump("*filter\n:MINIBRIDGE-USER - [0:0]\nCOMMIT\n");
  EXPECT_TRUE(rules.at({Family::v4, Table::filter}).chains.at("MINIBRIDGE-USER").empty());
}

TEST(Dump, OfOthersIsEmpty) {
  EXPECT_TRUE(parse_dump("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m recent --set\nCOMMIT\n").empty());
  EXPECT_TRUE(parse_dump("").empty());
}

TEST(Dump, SaysWhatDoesNotBelong) {
  EXPECT_EQ(message_of([] { parse_dump("-A FORWARD -j DROP\n"); }),
            "'-A FORWARD -j DROP' is not a line of an iptables dump: it stands outside a table at position 1");
  EXPECT_EQ(message_of([] { parse_dump("*broute\n"); }),
            "'*broute' is not a line of an iptables dump: unknown table at position 2");
  EXPECT_EQ(message_of([] { parse_dump("*nat\nhello\n"); }),
            "'hello' is not a line of an iptables dump: expected a table, a chain, a rule or COMMIT at position 1");
  EXPECT_EQ(message_of([] { parse_dump("*nat\n-A MINIBRIDGE-PUBLISH -m limit\n"); }),
            "'-A MINIBRIDGE-PUBLISH -m limit' is not an iptables rule: unknown match 'limit' at position 26");
}

}  // namespace
}  // namespace mb
