// SPDX-License-Identifier: GPL-2.0-or-later
//
// The words of `minibridge scenario`, right and wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/support/program.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class ScenarioWords : public testing::Test {
 protected:
  ScenarioWords() { ::setenv("XDG_RUNTIME_DIR", program_.directory().c_str(), 1); }
  ~ScenarioWords() override { static_cast<void>(Program::mb("lab down --all")); }

  void expect_refused(const std::string& words, int status, const std::string& sentence) const {
    const auto finished = Program::mb("scenario " + words);
    EXPECT_EQ(finished.status, status) << words << ": " << finished.err;
    EXPECT_THAT(finished.out, IsEmpty());
    EXPECT_THAT(finished.err, StartsWith("error: " + sentence));
    EXPECT_THAT(finished.err, HasSubstr("hint: "));
  }

  World world_;
  Program program_;
};

TEST_F(ScenarioWords, WrongOnesAreRefusedInOneSentence) {
  expect_refused("run nothing-like-that", 1, "there is no scenario 'nothing-like-that'");
  expect_refused("run", 2, "which scenario?");
  expect_refused("run --all redirect", 2, "'--all' and names exclude each other");
  expect_refused("run --all --pause", 2, "'--pause' and '--keep' are for a single scenario");
  expect_refused("run 5 --mutate --format junit", 2, "the self-test has no junit form");
  expect_refused("run 5 --format xml", 2, "");
  expect_refused("show 5 --lang fr", 2, "");
}

TEST_F(ScenarioWords, AWrongFileIsRefusedWithItsLineBeforeAnythingStarts) {
  const auto path = program_.write("bad.yaml",
                                   "title: {en: T, zh: T}\nsummary: {en: S, zh: S}\ntopology: article\nsteps:\n"
                                   "  - want: {en: W, zh: W}\n    run: [{node: router, command: ls}]\n");
  expect_refused("run " + path, 2, path + ":6: there is no node 'router' in topology 'article'");
  expect_refused("run " + program_.write("tab.yaml", "title:\n\ten: T\n"), 2,
                 program_.directory() + "/tab.yaml:2: a tab");
  expect_refused(
      "run " + program_.write("world.yaml",
                              "title: {en: T, zh: T}\nsummary: {en: S, zh: S}\ntopology: atlantis\nsteps: []\n"),
      2, program_.directory() + "/world.yaml:3: there is no topology 'atlantis'");
}

TEST_F(ScenarioWords, ListNamesEachWithBothTitles) {
  const auto list = Program::json("scenario ls");
  ASSERT_GE(list.size(), 2U);
  for (const auto& scenario : list) {
    EXPECT_FALSE(scenario.at("title").at("en").get<std::string>().empty());
    EXPECT_FALSE(scenario.at("title").at("zh").get<std::string>().empty());
    EXPECT_GT(scenario.at("steps"), 0);
  }
  EXPECT_THAT(Program::must_mb("scenario ls --lang zh"), HasSubstr("主机防火墙"));
}

TEST_F(ScenarioWords, ShowTellsWithoutRunning) {
  const auto text = Program::must_mb("scenario show 05 --lang en");
  EXPECT_THAT(text, HasSubstr("vm $ iptables -t nat -I PREROUTING -p tcp --dport 12345 -j REDIRECT --to-ports 1234"));
  EXPECT_THAT(text, HasSubstr("workstation → 192.168.57.3:12345/tcp: reached"));
}

TEST_F(ScenarioWords, TheLocaleChoosesTheLanguage) {
  EXPECT_THAT(must("LC_ALL=zh_CN.UTF-8 minibridge scenario show redirect"), HasSubstr("拓扑"));
  EXPECT_THAT(must("LC_ALL=C minibridge scenario show redirect"), HasSubstr("topology"));
}

TEST_F(ScenarioWords, JunitNamesFileAndLineOfWhatFailed) {
  const auto path =
      program_.write("fails.yaml",
                     "title: {en: T, zh: T}\nsummary: {en: S, zh: S}\ntopology: {nodes: {a: {}}}\nsteps:\n"
                     "  - want: {en: W, zh: W}\n    expect: [{node: a, command: \"echo '<no>'; false\"}]\n");
  const auto finished = Program::mb("scenario run " + path + " --format junit");
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.out, StartsWith("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites"));
  EXPECT_THAT(finished.out, HasSubstr("tests=\"1\" failures=\"1\""));
  EXPECT_THAT(finished.out, HasSubstr("line=\"6\""));
  EXPECT_THAT(finished.out, HasSubstr("&lt;no&gt;"));
}

TEST_F(ScenarioWords, KeepLeavesTheLabUp) {
  const auto path = program_.write(
      "kept.yaml",
      "title: {en: T, zh: T}\nsummary: {en: S, zh: S}\ntopology: {nodes: {a: {}}}\nsteps:\n"
      "  - want: {en: W, zh: W}\n    run: [{node: a, command: ip link add kept0 type veth peer name kept1}]\n");
  const auto finished = Program::mb("scenario run " + path + " --keep");
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_THAT(finished.err, HasSubstr("the lab 'kept' stays up"));
  EXPECT_THAT(Program::must_mb("lab exec --lab kept a -- ip -o link"), HasSubstr("kept0"));
  Program::must_mb("lab down kept");
}

// The shell waits until nobody holds the other end of its pipe.
TEST_F(ScenarioWords, AKeptLabKeepsNothingOfItsStartersOutput) {
  const auto path = program_.write("kept.yaml",
                                   "title: {en: T, zh: T}\nsummary: {en: S, zh: S}\ntopology: {nodes: {a: {}}}\n"
                                   "services: {a: [80]}\nsteps:\n"
                                   "  - want: {en: W, zh: W}\n    serve: [{at: a, listen: [81]}]\n"
                                   "    expect: [{from: a, to: \"127.0.0.1:80\", outcome: reached}]\n");
  const auto finished = sh("timeout 60 sh -c 'minibridge scenario run " + path + " --keep 2>&1 | tail -n 1'");
  EXPECT_EQ(finished.status, 0);
  EXPECT_THAT(finished.out, HasSubstr("the lab 'kept' stays up"));
}

}  // namespace
}  // namespace mb::test
