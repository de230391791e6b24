// SPDX-License-Identifier: GPL-2.0-or-later
//
// Each verb as a user types it: what it prints, where, and how it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "tests/support/program.h"
#include "tests/support/snapshot.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

struct Verbs : testing::Test {
  World world;
  Program program;
};

// ------------------------------------------------------------------ help

TEST_F(Verbs, EachHasAHelpWithAnExample) {
  for (const std::string verb : {"run",
                                 "create",
                                 "exec",
                                 "ps",
                                 "start",
                                 "stop",
                                 "restart",
                                 "kill",
                                 "rm",
                                 "logs",
                                 "port",
                                 "wait",
                                 "version",
                                 "publish",
                                 "unpublish",
                                 "inspect",
                                 "network create",
                                 "network ls",
                                 "network inspect",
                                 "network rm",
                                 "network prune",
                                 "plan",
                                 "repair",
                                 "rules",
                                 "down",
                                 "echo"}) {
    const auto help = Program::mb(verb + " --help");
    EXPECT_EQ(help.status, 0) << verb;
    EXPECT_THAT(help.err, IsEmpty()) << verb;
    const std::string example = "Example: minibridge " + verb;
    EXPECT_THAT(help.out, HasSubstr(example)) << verb;
  }
  EXPECT_THAT(Program::must_mb("network --help"), HasSubstr("prune"));
  EXPECT_FALSE(std::filesystem::exists(program.state_dir())) << "help makes no file";
}

TEST_F(Verbs, TheShortFormIsHelpTooWhereItIsNotTheHostName) {
  for (const std::string verb :
       {"", "ps", "exec", "network", "network create", "lab", "lab up", "scenario run", "doctor"}) {
    EXPECT_EQ(Program::must_mb(verb + " -h"), Program::must_mb(verb + " --help")) << verb;
  }
  EXPECT_EQ(Program::must_mb("run -h box -- hostname"), "box\n");
}

TEST_F(Verbs, WithoutAWordTheHelpIsShown) {
  const auto alone = Program::mb("");
  EXPECT_EQ(alone.status, 2);
  EXPECT_THAT(alone.out + alone.err, HasSubstr("network"));
}

TEST_F(Verbs, VersionIsOneLine) {
  EXPECT_THAT(Program::must_mb("version"), MatchesRegex("minibridge [0-9]+\\.[0-9]+\\.[0-9]+\n"));
  EXPECT_TRUE(Program::json("version").at("version").is_string());
}

// ------------------------------------------------------------------ containers

TEST_F(Verbs, TheLifeOfADetachedContainer) {
  const auto run = Program::mb("run -d -p 8080:80 --name web");
  EXPECT_EQ(run.status, 0);
  EXPECT_THAT(run.out, MatchesRegex("[0-9a-f]{12}\n")) << "standard output is data only";
  const auto id = run.out.substr(0, 12);

  EXPECT_THAT(must("curl -sS --max-time 10 localhost:8080"), StartsWith("source{ip: 172.17.0.1, port: "));
  EXPECT_THAT(must(world.outside(), "curl -sS --max-time 10 198.51.100.1:8080"),
              StartsWith("source{ip: 198.51.100.9, port: "));
  EXPECT_EQ(nlohmann::json::parse(must("curl -sS --max-time 10 -H 'Accept: application/json' localhost:8080"))
                .at("dest")
                .at("ip"),
            "172.17.0.2");
  EXPECT_EQ(Program::must_mb("port web"), "80/tcp -> 0.0.0.0:8080\n");
  EXPECT_EQ(Program::must_mb("ps -q"), id + "\n");
  EXPECT_EQ(Program::inspect(id)["name"], "web");

  EXPECT_EQ(Program::must_mb("stop -t 5 web"), "web\n");
  EXPECT_EQ(Program::must_mb("ps -q"), "");
  EXPECT_EQ(Program::must_mb("ps -a -q"), id + "\n");
  EXPECT_EQ(Program::json("ps -a")[0]["status"], "exited");
  EXPECT_EQ(sh("curl -sS --max-time 10 localhost:8080").status, 7) << "connection refused";
  EXPECT_EQ(Program::must_mb("stop web"), "web\n") << "again";

  EXPECT_EQ(Program::must_mb("start web"), "web\n");
  EXPECT_EQ(Program::json("ps")[0]["status"], "running");
  EXPECT_THAT(must("curl -sS --max-time 10 localhost:8080"), StartsWith("source{ip: 172.17.0.1, port: "));
  const auto pid = Program::inspect("web")["pid"];
  EXPECT_EQ(Program::must_mb("restart -t 5 web"), "web\n");
  EXPECT_NE(Program::inspect("web")["pid"], pid);

  EXPECT_EQ(Program::mb("rm web").status, 4);
  EXPECT_EQ(Program::must_mb("rm -f web"), "web\n");
  EXPECT_EQ(Program::must_mb("ps -a -q"), "");
  EXPECT_EQ(must("ls " + program.state_dir() + "/containers " + program.state_dir() + "/netns | grep -v :").size(), 1U);
}

TEST_F(Verbs, PsAsJsonIsWhatIsDocumented) {
  Program::must_mb("run -d -p 127.0.0.1:9000-9009:90-99/udp --name web -- sleep 600");
  Program::must_mb("create c2");
  const auto list = Program::json("ps -a");
  ASSERT_EQ(list.size(), 2U);
  const auto web = list[0]["name"] == "web" ? list[0] : list[1];
  std::vector<std::string> keys;
  for (const auto& [key, value] : web.items()) keys.push_back(key);
  EXPECT_THAT(keys, testing::IsSupersetOf({"id", "name", "status", "pid", "command", "networks", "ports"}));
  EXPECT_EQ(web["status"], "running");
  EXPECT_TRUE(std::filesystem::exists("/proc/" + std::to_string(web["pid"].get<int>())));
  EXPECT_EQ(web["command"], nlohmann::json({"sleep", "600"}));
  EXPECT_EQ(web["networks"][0], (nlohmann::json{{"name", "default"},
                                                {"ip", "172.17.0.2"},
                                                {"ip6", nullptr},
                                                {"mac", "02:6d:ac:11:00:02"},
                                                {"gateway", "172.17.0.1"},
                                                {"gateway6", nullptr}}));
  EXPECT_EQ(
      web["ports"][0],
      (nlohmann::json{
          {"host_ip", "127.0.0.1"}, {"host_port", 9000}, {"container_port", 90}, {"protocol", "udp"}, {"count", 10}}));
  EXPECT_EQ(Program::json("port web"), web["ports"]);
}

TEST_F(Verbs, AnEmptyHostHasEmptyListsAndNoFile) {
  EXPECT_EQ(Program::json("ps -a"), nlohmann::json::array());
  EXPECT_EQ(Program::json("network ls"), nlohmann::json::array());
  EXPECT_EQ(Program::must_mb("ps -q"), "");
  EXPECT_EQ(Program::mb("repair --check").status, 0);
  EXPECT_EQ(Program::must_mb("rules"), "");
  EXPECT_FALSE(std::filesystem::exists(program.state_dir()));
}

TEST_F(Verbs, DownOnAnEmptyHostChangesNothing) {
  const auto before = snapshot_host();
  EXPECT_EQ(Program::mb("down").status, 0);
  EXPECT_EQ(snapshot_host(), before);
  EXPECT_FALSE(std::filesystem::exists(program.state_dir()));
}

TEST_F(Verbs, LogsShowsBothStreamsWhereTheyBelong) {
  Program::must_mb("run -d --name talker -- sh -c 'for i in 1 2 3 4 5; do echo line $i; done; echo oops >&2; exit 3'");
  EXPECT_EQ(Program::must_mb("wait talker"), "3\n");
  const auto logs = Program::mb("logs talker");
  EXPECT_EQ(logs.out, "line 1\nline 2\nline 3\nline 4\nline 5\n");
  EXPECT_EQ(logs.err, "oops\n");
  EXPECT_EQ(Program::mb("logs --tail 2 talker").out + Program::mb("logs --tail 2 talker").err, "line 5\noops\n");
  EXPECT_EQ(Program::mb("logs --tail 0 talker").out, "");
  EXPECT_EQ(Program::mb("logs -f talker").out, logs.out) << "one that ended is not waited for";
  EXPECT_EQ(Program::inspect("talker")["exit_status"], 3);
  EXPECT_EQ(Program::json("wait talker"), (nlohmann::json{{"name", "talker"}, {"exit_status", 3}}));
}

TEST_F(Verbs, LogsFollowsUntilTheEnd) {
  const auto fifo = program.directory() + "/fifo";
  must("mkfifo " + fifo);
  Program::must_mb("run -d --name talker -v " + program.directory() +
                   ":/mnt -- sh -c 'echo one; read x < /mnt/fifo; echo $x'");
  netns::Child follow(netns::Command{"sh", "-c", "minibridge logs -f talker > " + program.directory() + "/followed"});
  EXPECT_TRUE(appears(program.directory() + "/followed"));
  must("echo two > " + fifo);
  EXPECT_EQ(follow.wait(), 0);
  EXPECT_EQ(read_text(program.directory() + "/followed"), "one\ntwo\n");
}

TEST_F(Verbs, KillSendsTheSignalThatIsNamed) {
  Program::must_mb("run -d --name trapper -- sh -c 'trap \"exit 42\" USR1; echo ready; while :; do sleep 0.05; done'");
  while (Program::mb("logs trapper").out.empty()) {
  }
  EXPECT_EQ(Program::must_mb("kill -s USR1 trapper"), "trapper\n");
  EXPECT_EQ(Program::must_mb("wait trapper"), "42\n");
  EXPECT_EQ(Program::mb("kill trapper").status, 4) << "it is not running";
  Program::must_mb("start trapper");
  EXPECT_EQ(Program::must_mb("kill trapper"), "trapper\n");
  EXPECT_EQ(Program::must_mb("wait trapper"), "137\n");
}

TEST_F(Verbs, KillTakesTheNamesOfSignalsAsDockerDoes) {
  Program::must_mb("run -d --name web -- sleep 600");
  const auto sent = [](const std::string& name) { return Program::must_mb("plan kill -s " + name + " web"); };
  for (const std::string name : {"hup", "HUP", "sighup", "SIGHUP", "1"}) {
    EXPECT_EQ(sent(name), "would send SIGHUP to 'web'\n") << name;
  }
  EXPECT_EQ(sent("rtmin"), "would send SIGRTMIN to 'web'\n");
  EXPECT_EQ(sent("SIGRTMIN"), "would send SIGRTMIN to 'web'\n");
  EXPECT_EQ(sent("RTMIN+3"), "would send SIGRTMIN+3 to 'web'\n");
  EXPECT_EQ(sent("SIGRTMAX-1"), "would send SIGRTMIN+29 to 'web'\n");
  EXPECT_EQ(sent("RTMAX"), "would send SIGRTMAX to 'web'\n");
  Program::must_mb("kill -s rtmin+3 web");
  EXPECT_EQ(Program::must_mb("wait web"), std::to_string(128 + SIGRTMIN + 3) + "\n");
}

TEST_F(Verbs, ADetachedContainerWithRmIsGoneWhenItEnds) {
  const auto before = Program::must_mb("run -d --rm --name brief -- sh -c 'exit 5'");
  [[maybe_unused]] const auto waited = Program::mb("wait brief");
  // It may have been over before we asked; its supervisor clears it away under the lock that this verb waits for.
  Program::must_mb("network create n1");
  EXPECT_EQ(Program::mb("repair --check").status, 0);
  while (!Program::must_mb("ps -a -q").empty()) {
  }
  EXPECT_EQ(Program::mb("inspect brief").status, 1);
}

TEST_F(Verbs, CreateMakesNamespacesWithoutAProcess) {
  const auto created = Program::must_mb("create c1 c2");
  EXPECT_THAT(created, MatchesRegex("[0-9a-f]{12}\n[0-9a-f]{12}\n"));
  EXPECT_EQ(Program::json("ps")[0]["pid"], nullptr);
  EXPECT_EQ(Program::mb("exec c1 -- ping -q -c1 -W5 172.17.0.3").status, 0);
  EXPECT_EQ(Program::mb("exec c1 -- sh -c 'exit 9'").status, 9);
  EXPECT_EQ(Program::must_mb("exec c1 -- hostname"), "c1\n");
  EXPECT_EQ(Program::must_mb("rm c1 c2"), "c1\nc2\n");
  EXPECT_EQ(must("ip -o link show master minibridge0"), "") << "the host's end of each veth is gone";
}

TEST_F(Verbs, PublishAndUnpublishOnOneThatRuns) {
  Program::must_mb("run -d --name web -p 8080:80");
  EXPECT_EQ(Program::mb("publish web 8081:80 127.0.0.1:9000-9009:80-89").status, 0);
  EXPECT_EQ(Program::json("port web").size(), 3U);
  EXPECT_THAT(must("curl -sS --max-time 10 localhost:8081"), HasSubstr("dest{ip: 172.17.0.2, port: 80}"));
  EXPECT_THAT(must("curl -sS --max-time 10 localhost:9000"), HasSubstr("dest{ip: 172.17.0.2, port: 80}"));
  Program::must_mb("unpublish web 8080:80 9000-9009:80-89");
  EXPECT_EQ(Program::must_mb("port web"), "80/tcp -> 0.0.0.0:8081\n");
  EXPECT_NE(sh("curl -sS --max-time 10 localhost:8080").status, 0);
  Program::must_mb("restart -t 1 web");
  EXPECT_EQ(Program::must_mb("port web"), "80/tcp -> 0.0.0.0:8081\n") << "start takes what is published now";
}

// ------------------------------------------------------------------ networks

TEST_F(Verbs, TheLifeOfANetwork) {
  EXPECT_THAT(Program::must_mb("network create --subnet 10.20.0.0/24 --mtu 1400 --label a=b --bridge-name br-n1 n1"),
              MatchesRegex("[0-9a-f]{12}\n"));
  const auto list = Program::json("network ls");
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0]["bridge"], "br-n1");
  EXPECT_EQ(list[0]["subnet"], "10.20.0.0/24");
  EXPECT_EQ(list[0]["subnet6"], nullptr);
  EXPECT_EQ(list[0]["mode"], "nat");
  EXPECT_EQ(list[0]["internal"], false);
  EXPECT_EQ(list[0]["icc"], true);
  Program::must_mb("create --network n1 c1");
  const auto one = Program::json("network inspect n1")[0];
  EXPECT_EQ(one["gateway"], "10.20.0.1");
  EXPECT_EQ(one["labels"], (nlohmann::json{{"a", "b"}}));
  EXPECT_EQ(one["containers"][0]["name"], "c1");
  EXPECT_EQ(one, Program::inspect("n1"));
  EXPECT_THAT(must("ip link show br-n1"), HasSubstr("mtu 1400"));
  EXPECT_THAT(Program::must_mb("exec c1 -- ip link show eth0"), HasSubstr("mtu 1400"));
  Program::must_mb("network create n2");
  EXPECT_EQ(Program::must_mb("network prune"), "n2\n");
  EXPECT_EQ(Program::must_mb("network prune"), "");
  Program::must_mb("rm c1");
  EXPECT_EQ(Program::must_mb("network rm n1"), "n1\n");
  EXPECT_EQ(Program::json("network ls"), nlohmann::json::array());
}

TEST_F(Verbs, TheBeginningOfAnIdIsEnough) {
  const auto network = Program::must_mb("network create n1").substr(0, 12);
  const auto container = Program::must_mb("create --network n1 -p 8080:80 c1").substr(0, 12);
  for (const std::size_t length : {12U, 8U}) {
    const auto n = network.substr(0, length);
    const auto c = container.substr(0, length);
    EXPECT_EQ(Program::must_mb("rules " + c), Program::must_mb("rules c1"));
    EXPECT_EQ(Program::must_mb("rules " + n), Program::must_mb("rules n1"));
    EXPECT_THAT(Program::must_mb("rules " + c), HasSubstr("minibridge c1: "));
    EXPECT_THAT(Program::must_mb("rules " + n), HasSubstr("minibridge network n1: "));
    EXPECT_EQ(Program::must_mb("network inspect " + n), Program::must_mb("network inspect n1"));
    EXPECT_EQ(Program::must_mb("inspect " + n), Program::must_mb("inspect n1"));
    EXPECT_EQ(Program::must_mb("inspect " + c), Program::must_mb("inspect c1"));
    EXPECT_THAT(Program::must_mb("plan create --network " + n + " x"), HasSubstr("add veth"));
    EXPECT_THAT(Program::must_mb("plan network disconnect " + n + " " + c), HasSubstr("delete mb"));
  }
  Program::must_mb("rm " + container.substr(0, 8));
  EXPECT_EQ(Program::must_mb("network rm " + network.substr(0, 8)), network.substr(0, 8) + "\n");
}

TEST_F(Verbs, RulesAreReadByTheRestorers) {
  Program::must_mb("network create --ipv6 n1");
  Program::must_mb("create --network n1 -p 8080:80 c1");
  const auto rules = Program::must_mb("rules");
  ASSERT_THAT(rules, StartsWith("# iptables\n*raw\n:MINIBRIDGE-RAW - [0:0]\n"));
  const auto second = rules.find("# ip6tables\n*raw\n:MINIBRIDGE-RAW - [0:0]\n");
  ASSERT_NE(second, std::string::npos) << rules;
  EXPECT_THAT(rules.substr(0, second), testing::EndsWith("COMMIT\n"));
  const auto v4 = program.write("v4", rules.substr(0, second));
  const auto v6 = program.write("v6", rules.substr(second));
  // Also where none of it is there, and so each chain has to be declared before a rule leads to it.
  for (const auto& where : {&world.host(), &world.outside()}) {
    must(*where, "iptables-legacy-restore --test --noflush < " + v4);
    must(*where, "ip6tables-legacy-restore --test --noflush < " + v6);
  }
  // And what it puts there is what is here.
  must(world.outside(), "iptables-legacy-restore --noflush < " + v4);
  const std::string saved = "iptables-legacy-save -t filter | grep -v '^#' | sed 's/\\[.*//'";
  EXPECT_EQ(must(world.outside(), saved), must(saved));
}

TEST_F(Verbs, AContainerCanBeInTwoNetworks) {
  Program::must_mb("network create --subnet 10.20.0.0/24 n1 && minibridge network create --subnet 10.21.0.0/24 n2");
  Program::must_mb("create --network n1 --network n2 c1");
  EXPECT_THAT(Program::must_mb("exec c1 -- ip -o -4 address"),
              testing::AllOf(HasSubstr("10.20.0.2/24"), HasSubstr("10.21.0.2/24")));
  EXPECT_THAT(Program::must_mb("exec c1 -- ip route show default"), StartsWith("default via 10.20.0.1 dev eth0"));
}

// ------------------------------------------------------------------ output

TEST_F(Verbs, AReaderThatGoesAwayIsNoError) {
  Program::must_mb("create c1 c2 c3");
  for (const std::string words : {"ps -a", "rules", "inspect c1", "--help", "--format json ps -a", "plan create x"}) {
    const auto cut = sh("(minibridge " + words + "; echo $? >&2) | head -0");
    EXPECT_EQ(cut.err, "0\n") << words;
  }
}

TEST_F(Verbs, WhatCannotBeWrittenIsAnError) {
  Program::must_mb("create c1");
  const auto lost = sh("minibridge ps -a > /dev/full");
  EXPECT_EQ(lost.status, 1);
  EXPECT_THAT(lost.err, HasSubstr("No space left on device"));
  for (const std::string words : {"--help", "ps --help", "network create -h", ""}) {
    const auto help = sh("minibridge " + words + " > /dev/full");
    EXPECT_EQ(help.status, 1) << words;
    EXPECT_THAT(help.err, HasSubstr("error: cannot write the output: No space left on device")) << words;
  }
}

TEST_F(Verbs, ColourIsOnlyForATerminalOrWhenAskedFor) {
  Program::must_mb("create c1");
  EXPECT_THAT(Program::must_mb("ps -a"), Not(HasSubstr("\x1b[")));
  EXPECT_THAT(Program::must_mb("--color always ps -a"), HasSubstr("\x1b["));
  EXPECT_THAT(Program::must_mb("rules"), Not(HasSubstr("\x1b[")));
}

TEST_F(Verbs, OptionsMayStandBeforeOrAfterTheVerb) {
  Program::must_mb("create c1");
  EXPECT_EQ(Program::must_mb("--format json ps"), Program::must_mb("ps --format json"));
  EXPECT_EQ(Program::must_mb("--format=json ps"), Program::must_mb("ps --format json"));
  EXPECT_EQ(sh("env -u MINIBRIDGE_STATE_DIR minibridge --state-dir " + program.state_dir() + " ps -q").out,
            Program::must_mb("ps -q"));
}

TEST_F(Verbs, ARelativeStateDirectoryIsOneFolder) {
  const auto name = std::filesystem::path(program.directory()).filename().string();  // nobody else has one like this
  const std::string there = "cd " + program.directory() + " && minibridge --state-dir " + name + " ";
  must(there + "run -d --name web -p 8080:80");
  EXPECT_FALSE(std::filesystem::exists("/" + name)) << "the supervisor's part";
  EXPECT_EQ(must(there + "ps -q"), must("minibridge --state-dir " + program.directory() + "/" + name + " ps -q"));
  must(there + "exec web -- true");
  must(there + "stop -t 0 web");
  EXPECT_EQ(must("cd " + program.directory() + " && MINIBRIDGE_STATE_DIR=./" + name + " minibridge repair --check"),
            "everything is as it was asked for\n");
  must(there + "down");
  EXPECT_FALSE(std::filesystem::exists(program.directory() + "/" + name));
}

TEST_F(Verbs, VerboseTellsEachStepOnStandardError) {
  const auto told = Program::mb("-v create c1");
  EXPECT_THAT(told.out, MatchesRegex("[0-9a-f]{12}\n"));
  EXPECT_THAT(told.err, testing::AllOf(HasSubstr("minibridge0"), HasSubstr("veth"), HasSubstr("commit table nat")));
}

TEST_F(Verbs, PlanAsJsonNamesTheSteps) {
  const auto plan = Program::json("plan create -p 8080:80 c1");
  ASSERT_TRUE(plan["steps"].is_array());
  EXPECT_GT(plan["steps"].size(), 5U);
  for (const auto& step : plan["steps"]) {
    EXPECT_TRUE(step["kind"].is_string());
    EXPECT_TRUE(step["text"].is_string());
  }
  EXPECT_FALSE(std::filesystem::exists(program.state_dir()));
}

TEST_F(Verbs, TheSupervisorAndTheStateAreNotVisibleInside) {
  Program::must_mb("run -d -p 8080:80 --name web");
  EXPECT_EQ(Program::must_mb("exec web -- sh -c 'ls -A " + program.state_dir() + " 2>/dev/null | wc -l'"), "0\n");
  EXPECT_THAT(Program::must_mb("exec web -- sh -c 'ls -d /proc/[0-9]* | wc -l'"), MatchesRegex("[2-6]\n"));
}

}  // namespace
}  // namespace mb::test
