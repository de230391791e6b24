// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/document.h"

#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/base/text.h"
#include "src/model/address.h"

namespace mb::lab {
namespace {

using namespace std::chrono_literals;

template <class Action>
std::string complaint(Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.hint().empty() ? error.message() : error.message() + " | " + error.hint();
  }
  return "no complaint";
}

TEST(Document, KnowsWhereEverythingStands) {
  const Value file = parse_document("# a comment\nnodes:\n  vm:\n    ports: [80, 443]\n", "f.yaml");
  const Entry& nodes = file.entries().at(0);
  EXPECT_EQ(nodes.key.where(), "f.yaml:2");
  const Entry& vm = nodes.value.entries().at(0);
  EXPECT_EQ(vm.key.text(), "vm");
  EXPECT_EQ(vm.key.column(), 3);
  EXPECT_EQ(vm.value.entries().at(0).value.items().at(1).line(), 4);
  EXPECT_EQ(vm.value.entries().at(0).value.items().at(1).text(), "443");
}

TEST(Document, ReadsScalarsAsWhatIsAskedFor) {
  const Value file = parse_document("[42, true, 200ms, 5s, 2m, \"quoted\", 10.0.0.1]", "f");
  const auto& items = file.items();
  EXPECT_EQ(items[0].integer(1, 65535), 42);
  EXPECT_TRUE(items[1].boolean());
  EXPECT_EQ(items[2].duration(), 200ms);
  EXPECT_EQ(items[3].duration(), 5s);
  EXPECT_EQ(items[4].duration(), 2min);
  EXPECT_EQ(items[5].text(), "quoted");
  EXPECT_EQ(items[6].as([](std::string_view text) { return IpAddress::parse(text); }), IpAddress::parse("10.0.0.1"));
}

TEST(Document, ASingleValueCountsAsAListOfOne) {
  const Value file = parse_document("one: a\nmany: [a, b]\nnone:\n", "f");
  const Mapping map(file, "the file", {"one", "many", "none"});
  EXPECT_EQ(map.required("one").one_or_more().size(), 1U);
  EXPECT_EQ(map.required("many").one_or_more().size(), 2U);
  EXPECT_TRUE(map.required("none").one_or_more().empty());
  EXPECT_EQ(map.optional("other"), nullptr);
}

struct Wrong {
  std::string_view text;
  std::string_view sentence;
};

class WrongDocument : public testing::TestWithParam<Wrong> {};

TEST_P(WrongDocument, IsRefusedWithItsLine) {
  EXPECT_EQ(complaint([&] { parse_document(GetParam().text, "f.yaml"); }), GetParam().sentence);
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongDocument,
    testing::Values(Wrong{"", "f.yaml:1: there is nothing in this file"},
                    Wrong{"a: 1\n\tb: 2\n", "f.yaml:2: a tab indents this line | indent with spaces"},
                    Wrong{"a:\n  \t- x\n", "f.yaml:2: a tab indents this line | indent with spaces"},
                    Wrong{"a: 1\nb: 2\na: 3\n", "f.yaml:3: 'a' is given twice, first in line 1"},
                    Wrong{"a: &x 1\n", "f.yaml:1: an anchor ('&') is not understood here"},
                    Wrong{"a: &x 1\nb: *x\n", "f.yaml:1: an anchor ('&') is not understood here"},
                    Wrong{"<<: {a: 1}\n", "f.yaml:1: a merge key ('<<') is not understood here | write the values out"},
                    Wrong{"a: !x 1\n", "f.yaml:1: a tag ('!') is not understood here"},
                    Wrong{"a: 1\n---\nb: 2\n", "f.yaml:3: a second document begins here"},
                    Wrong{"[a, b]: 1\n", "f.yaml:1: a key must be plain text"},
                    Wrong{"a: [1, 2\nb: 3\n", "f.yaml:2: not YAML: end of sequence flow not found (column 2)"},
                    Wrong{"a: b: c\n", "f.yaml:1: not YAML: illegal map value (column 5)"}));

constexpr std::string_view kUnclosed = "a quoted text begins here and does not end in this line";

std::string unclosed(int line, char quote) {
  return "f.yaml:" + std::to_string(line) + ": " + std::string(kUnclosed) + " | close it with " + quote +
         "; a text of several lines is written with '|' or '>'";
}

// YAML reads on to the next quote, wherever that is: what lies between would silently be missing.
TEST(Document, AQuotedTextThatRunsOverTheEndOfItsLineIsRefused) {
  const auto said = [](std::string_view text) { return complaint([&] { parse_document(text, "f.yaml"); }); };
  EXPECT_EQ(said("nodes:\n  a: {about: \"first}\n  b: {}\n  c: {about: second\"}\n"), unclosed(2, '"'));
  EXPECT_EQ(said("nodes:\n  a:\n    about: 'first\n  b: {}\n  c: {about: second'}\n"), unclosed(3, '\''));
  EXPECT_EQ(said("a: \"first\nb: 2\n"), unclosed(1, '"')) << "to the end of the file";
  EXPECT_EQ(said("a: 1\nb:\n  - 'first\n"), unclosed(3, '\''));
  EXPECT_EQ(said("a: \"first\nb: \"second\"\nc: 3\n"), unclosed(1, '"')) << "what follows is no YAML";
  EXPECT_EQ(said("\"a: 1\nb: 2\n"), unclosed(1, '"')) << "a key";
}

TEST(Document, QuotesThatCloseMayHoldAnything) {
  const auto text = [](std::string_view file) { return parse_document(file, "f").entries().at(0).value.text(); };
  EXPECT_EQ(text("a: \"b \\\" c\"\n"), "b \" c");
  EXPECT_EQ(text("a: \"b \\\\\"\n"), "b \\");
  EXPECT_EQ(text("a: 'it''s'\n"), "it's");
  EXPECT_EQ(text("a: ''\n"), "");
  EXPECT_EQ(text("a: '换' # don't\n"), "换");
  EXPECT_EQ(text("a: it's \"so\n"), "it's \"so");
  EXPECT_EQ(text("a: |\n  \"so\nb: 1\n"), "\"so\n");
}

TEST(Document, AValueOfAnotherKindIsRefusedWithItsLine) {
  const Value file = parse_document("list: [1]\nmap: {a: 1}\ntext: x\nnothing:\n", "f");
  const auto& entries = file.entries();
  EXPECT_EQ(complaint([&] { (void)entries[0].value.text(); }), "f:1: a single value is expected here, not a list");
  EXPECT_EQ(complaint([&] { (void)entries[1].value.items(); }),
            "f:2: a list is expected here, not a map | one '- …' per line");
  EXPECT_EQ(complaint([&] { (void)entries[2].value.entries(); }),
            "f:3: a map is expected here, not a single value | one 'key: value' per line");
  EXPECT_EQ(complaint([&] { (void)entries[3].value.text(); }), "f:4: a single value is expected here, not nothing");
  EXPECT_EQ(complaint([&] { (void)entries[2].value.integer(1, 9); }), "f:3: 'x' is not a number from 1 to 9");
  EXPECT_EQ(complaint([&] { (void)entries[2].value.boolean(); }), "f:3: 'x' is neither true nor false");
  EXPECT_EQ(complaint([&] { (void)entries[2].value.duration(); }), "f:3: 'x' is not a duration | 200ms, 5s or 2m");
}

TEST(Document, AnUnknownKeyIsRefusedWithTheNearestKnownOne) {
  const Value file = parse_document("nodes: {}\nlinsk: []\n", "f");
  EXPECT_EQ(complaint([&] {
              Mapping(file, "a topology", {"nodes", "links"});
            }),
            "f:2: a topology has no 'linsk' | did you mean 'links'?");
  EXPECT_EQ(complaint([&] {
              Mapping(file, "a bird", {"nodes", "wings"});
            }),
            "f:2: a bird has no 'linsk' | it may have: nodes, wings");
  EXPECT_EQ(complaint([&] {
              (void)Mapping(file, "a topology", {"nodes", "linsk", "name"}).required("name");
            }),
            "f:1: a topology needs 'name'");
}

TEST(Nearest, FindsTheWordThatWasMeant) {
  EXPECT_EQ(nearest("gatway", {"vm", "gateway", "internet"}), "gateway");
  EXPECT_EQ(nearest("xyz", {"vm", "gateway"}), "");
  EXPECT_EQ(nearest("wm", {"vm", "gateway"}), "vm");
}

}  // namespace
}  // namespace mb::lab
