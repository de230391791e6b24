// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "src/lab/lesson.h"
#include "src/lab/page.h"

namespace mb::lab {
namespace {

using testing::HasSubstr;
using testing::Not;

Scenario scenario() {
  Scenario all;
  all.name = "07-example";
  all.file = "scenarios/07-example.yaml";
  all.title = {"Title", "标题"};
  all.summary = {"Summary", "摘要"};
  all.topology.name = "article";
  Step step;
  step.want = {"Wanted", "愿望"};
  step.why = {"Because", "因为"};
  step.claim = Claim{{"It cannot be", "不可能"}, {"It can", "可以"}};
  all.steps = {step};
  return all;
}

Report report(bool ok) {
  Action command{
      Action::run, "vm", "iptables -A INPUT -j DROP", {}, {{true, Aspect::status, {"0", "0"}, {"0", "0"}, 9}}, {}, {},
      {},          9};
  Action request{
      Action::request,
      "workstation",
      "192.168.57.3:80/tcp",
      {},
      {{ok, Aspect::outcome, {"dropped", "被丢弃"}, {ok ? "dropped" : "reached", ok ? "被丢弃" : "可达"}, 12},
       {true, Aspect::seen_source, {"192.168.57.1:same", ""}, {"192.168.57.1:43210", "192.168.57.1:43210"}, 12}},
      {},
      {},
      {},
      12};
  Report all;
  all.steps = {{{}, {command, request}}};
  return all;
}

TEST(ScenarioReport, CountsChecksAndFailures) {
  EXPECT_EQ(report(true).checks(), 3U);
  EXPECT_TRUE(report(true).ok());
  EXPECT_EQ(report(false).failed(), 1U);
}

TEST(ScenarioReport, AFailureNamesFileLineAndBothFacts) {
  const auto failures = failures_of(report(false), scenario(), Language::en);
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(
      failures[0],
      "scenarios/07-example.yaml:12: workstation → 192.168.57.3:80/tcp: outcome: expected dropped, observed reached");
}

TEST(ScenarioReport, JsonHasItsDocumentedKeys) {
  const auto json = nlohmann::json::parse(json_of(report(false), scenario()));
  EXPECT_EQ(json.at("name"), "07-example");
  EXPECT_EQ(json.at("ok"), false);
  EXPECT_EQ(json.at("checks"), 3);
  EXPECT_EQ(json.at("failed"), 1);
  const auto& action = json.at("steps").at(0).at("actions").at(1);
  EXPECT_EQ(action.at("kind"), "request");
  EXPECT_EQ(action.at("findings").at(0).at("observed"), "reached");
}

TEST(ScenarioReport, OutputThatIsNotUtf8StaysJson) {
  auto broken = report(true);
  broken.steps[0].actions[0].out = "\xff\xfe";
  EXPECT_TRUE(nlohmann::json::accept(json_of(broken, scenario())));
}

TEST(ScenarioReport, JunitEscapesAndCounts) {
  auto all = report(false);
  all.steps[0].actions[1].text = "<&\">";
  const auto text = junit_of(all, scenario());
  EXPECT_THAT(text, HasSubstr("tests=\"2\" failures=\"1\""));
  EXPECT_THAT(text, HasSubstr("&lt;&amp;&quot;&gt;"));
  EXPECT_THAT(text, HasSubstr("<failure message=\"outcome: expected dropped, observed reached\">"));
}

TEST(ScenarioLesson, SaysSuccessAndFailureInWordsInBothLanguages) {
  const Lesson english(Language::en, {}, 100);
  const Lesson chinese(Language::zh, {}, 100);
  const auto good = report(true).steps[0].actions[1];
  const auto bad = report(false).steps[0].actions[1];
  EXPECT_THAT(english.action_done(scenario(), good), HasSubstr("ok  workstation → 192.168.57.3:80/tcp: dropped"));
  EXPECT_THAT(english.action_done(scenario(), bad), HasSubstr("NOT OK  outcome: expected dropped"));
  EXPECT_THAT(chinese.action_done(scenario(), good), HasSubstr("符合  workstation"));
  EXPECT_THAT(chinese.action_done(scenario(), bad), HasSubstr("不符"));
  EXPECT_THAT(english.closing(report(false)), HasSubstr("1 of 3 checks do not hold"));
  EXPECT_THAT(chinese.closing(report(true)), HasSubstr("3 项检查全部符合"));
}

TEST(ScenarioLesson, AFailureIsToldWithItsPlaceInTheFile) {
  const auto bad = report(false).steps[0].actions[1];
  EXPECT_THAT(Lesson(Language::en, {}, 100).action_done(scenario(), bad),
              HasSubstr("      NOT OK  outcome: expected dropped\n          observed reached\n"
                        "          scenarios/07-example.yaml:12\n"));
}

TEST(ScenarioLesson, NoneAndASingleCheckAreNotCalledAll) {
  EXPECT_THAT(Lesson(Language::en, {}, 100).closing({}), HasSubstr("nothing was checked"));
  auto one = report(true);
  one.steps[0].actions.pop_back();
  EXPECT_THAT(Lesson(Language::en, {}, 100).closing(one), HasSubstr("the only check holds"));
  one.steps[0].actions[0].findings[0].ok = false;
  EXPECT_THAT(Lesson(Language::en, {}, 100).closing(one), HasSubstr("the only check does not hold"));
}

Request odd_request() {
  Request request;
  request.from = {"workstation", {}};
  request.to = IpAddress::parse("192.168.57.3");
  request.to_port = 80;
  request.outcome = {Outcome::dropped};
  request.source_port = 5500;
  request.uid = 1000;
  request.mark = 2;
  request.payload = "hi";
  request.hold = true;
  return request;
}

TEST(ScenarioReport, TheMannerOfARequestIsSaidInBothLanguages) {
  EXPECT_EQ(manner_of(odd_request()).en, "from port 5500, as user 1000, with mark 2, saying 'hi', kept open");
  EXPECT_EQ(manner_of(odd_request()).zh, "源端口 5500，用户 1000，标记 2，内容“hi”，保持连接");
  EXPECT_TRUE(manner_of(Request{}).empty());
  Request other;
  other.source = IpAddress::parse("192.168.57.10");
  other.tcp_flags = 0x29;
  EXPECT_EQ(manner_of(other).en, "one packet with fin psh urg, from 192.168.57.10");
  other.source_port = 7;
  other.tcp_flags = 0;
  EXPECT_EQ(manner_of(other).en, "one packet without flags, from 192.168.57.10:7");
  Request ping;
  ping.timestamp = true;
  EXPECT_EQ(manner_of(ping).zh, "时间戳请求");
}

TEST(ScenarioReport, TheMannerStandsInEveryForm) {
  auto all = report(false);
  all.steps[0].actions[1].manner = {"from port 5500", "源端口 5500"};
  const std::string asked = "192.168.57.3:80/tcp, from port 5500: ";
  EXPECT_THAT(failures_of(all, scenario(), Language::en)[0], HasSubstr(asked));
  EXPECT_THAT(Lesson(Language::en, {}, 100).action_done(scenario(), all.steps[0].actions[1]), HasSubstr(asked));
  EXPECT_THAT(page_of(scenario(), all, Language::en), HasSubstr("`192.168.57.3:80/tcp`, from port 5500: **"));
  EXPECT_THAT(page_of(scenario(), all, Language::zh), HasSubstr("`192.168.57.3:80/tcp`，源端口 5500：**"));
  EXPECT_THAT(junit_of(all, scenario()), HasSubstr("192.168.57.3:80/tcp, from port 5500"));
  const auto json = nlohmann::json::parse(json_of(all, scenario()));
  EXPECT_EQ(json.at("steps").at(0).at("actions").at(1).at("manner").at("zh"), "源端口 5500");
  EXPECT_TRUE(json.at("steps").at(0).at("actions").at(0).at("manner").is_null());
}

TEST(ScenarioLesson, TheOutlineSpeaksItsLanguage) {
  Scenario all = scenario();
  all.steps[0].expect.emplace_back(odd_request());
  EXPECT_THAT(
      Lesson(Language::zh, {}, 100).outline(all),
      HasSubstr("workstation → 192.168.57.3:80/tcp，源端口 5500，用户 1000，标记 2，内容“hi”，保持连接：被丢弃"));
  EXPECT_THAT(Lesson(Language::en, {}, 100).outline(all), HasSubstr("kept open: dropped"));
}

TEST(ScenarioLesson, ShowsTheCommandTheClaimAndTheWhy) {
  const Lesson lesson(Language::en, {}, 100);
  EXPECT_THAT(lesson.action_done(scenario(), report(true).steps[0].actions[0]),
              HasSubstr("vm $ iptables -A INPUT -j DROP"));
  const auto end = lesson.step_ends(scenario().steps[0], report(true).steps[0]);
  EXPECT_THAT(end, HasSubstr("It is said: It cannot be"));
  EXPECT_THAT(end, HasSubstr("In truth: It can"));
  EXPECT_THAT(end, HasSubstr("Because"));
}

TEST(ScenarioPage, WhatMinibridgeMakesStandsBesideWhatWasMadeByHand) {
  Scenario all = scenario();
  all.steps[0].pairs = {{{"-A one"}, {"-A two", "-A three"}}, {{}, {"-A four"}}};
  EXPECT_THAT(
      page_of(all, report(true), Language::en),
      HasSubstr("\n| by hand | minibridge |\n|---|---|\n| `-A one` | `-A two`<br>`-A three` |\n|  | `-A four` |\n"));
  EXPECT_THAT(page_of(all, report(true), Language::zh), HasSubstr("| 手工 | minibridge |"));
  EXPECT_THAT(
      Lesson(Language::en, {}, 100).step_ends(all.steps[0], {}),
      HasSubstr("  by hand     -A one\n  minibridge  -A two\n              -A three\n\n  minibridge  -A four\n"));
}

TEST(ScenarioPage, HidesWhatDiffersBetweenRuns) {
  const auto page = page_of(scenario(), report(true), Language::en);
  EXPECT_THAT(page, HasSubstr("`192.168.57.1:50001`"));
  EXPECT_THAT(page, Not(HasSubstr("43210")));
  EXPECT_THAT(page, HasSubstr("vm$ iptables -A INPUT -j DROP"));
  EXPECT_THAT(page, HasSubstr("[中文](07-example.zh.md)"));
}

}  // namespace
}  // namespace mb::lab
