// SPDX-License-Identifier: GPL-2.0-or-later
//
// `plan VERB` and `--dry-run`: every verb says what it would do and does none of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <regex>

#include "tests/support/program.h"
#include "tests/support/snapshot.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

struct Planned {
  std::string words;
  std::string says;  // part of it
};

struct Plans : testing::Test {
  Plans() {
    ::setenv("XDG_RUNTIME_DIR", program.directory().c_str(), 1);
    Program::must_mb("network create --subnet 10.20.0.0/24 n1");
    Program::must_mb("network create --subnet 10.21.0.0/24 n2");
    Program::must_mb("run -d -p 8080:80 --name web");
    Program::must_mb("create --network n1 c1");
    Program::must_mb("run -d -p 8081:80 --name old -- sh -c 'echo said'");
    Program::must_mb("wait old");
    // Until its supervisor has cleared away: that it has ended is written down before.
    while (Program::inspect("old")["finished_at"].is_null() || Program::mb("repair --check").status != 0) {
    }
  }

  ~Plans() override { [[maybe_unused]] const auto ignored = sh("minibridge lab down --all"); }

  // The state, what runs, and files.
  [[nodiscard]] std::string wishes() const {
    return program.look_at_state() + Program::must_mb("inspect web c1 old n1 n2") +
           must("find " + program.directory() + " -not -path '*/state/*' | sort");
  }
  [[nodiscard]] std::string everything() const { return wishes() + snapshot_host(); }

  World world;
  Program program;
};

// Each with what it says; the words come after "plan".
std::vector<Planned> all_verbs(const std::string& touch) {
  return {
      {"run -p 8090:80", "make a network namespace"},
      {"run -- " + touch, "make a network namespace"},
      {"create x", "make a network namespace"},
      {"exec web -- " + touch, "would run '" + touch + "' in 'web'\n"},
      {"exec c1 -- " + touch, "would run '" + touch + "' in 'c1'\n"},
      {"ps", "web"},
      {"start web", "nothing to do\n"},
      {"start old", "make a network namespace for 'old'"},
      {"stop web", "would send SIGTERM to 'web', and SIGKILL 10 seconds later\n"},
      {"stop -t 0 web", "would send SIGKILL to 'web'\n"},
      {"stop old", "nothing to do\n"},
      {"kill web", "would send SIGKILL to 'web'\n"},
      {"kill -s HUP web", "would send SIGHUP to 'web'\n"},
      {"restart web", "would start 'web' again, as 'minibridge start web' does\n"},
      {"restart old", "  1  write containers/"},
      {"rm -f web", "would send SIGKILL to 'web'\n"},
      {"rm c1 old", "let go of the network namespace of 'c1'"},
      {"logs old", "said\n"},
      {"port web", "80/tcp -> 0.0.0.0:8080\n"},
      {"wait web", "would wait for the end of 'web'\n"},
      {"version", "minibridge "},
      {"publish web 8443:443", "--dport 8443"},
      {"unpublish web 8080:80", "--dport 8080"},
      {"inspect web", "\"web\""},
      {"network create n4", "add bridge"},
      {"network ls", "n1"},
      {"network inspect n1", "\"n1\""},
      {"network connect n1 web", "add veth"},
      {"network disconnect n1 c1", "delete mb"},
      {"network rm n2", "delete mb"},
      {"network prune", "delete mb"},
      {"repair", "nothing to do\n"},
      {"repair --check", "everything is as it was asked for\n"},
      {"doctor", ""},
      {"rules", "MINIBRIDGE-PUBLISH"},
      {"down", "would send SIGKILL to 'web'\n"},
      {"echo --listen 127.0.0.1:1234 --udp", "would listen on 127.0.0.1:1234/tcp and 127.0.0.1:1234/udp\n"},
      {"echo", "would listen on [::]:1234/tcp\n"},
      {"lab up three-machines", "would make a lab of the topology 'three-machines'"},
      {"lab ls", "NAME"},
      {"lab graph --topology article", "vm"},
      {"lab down --all", "nothing to do\n"},
      {"scenario ls", "redirect"},
      {"scenario show redirect", ""},
      {"scenario run redirect", "would run the scenario '05-redirect' in a lab of its own\n"},
      {"scenario doc --out " + touch.substr(6) + " redirect",
       "would run the scenario '05-redirect' in a lab of its own\nwould write its pages into '" + touch.substr(6) +
           "'\n"},
  };
}

TEST_F(Plans, ChangeNothing) {
  Program::must_mb("lab ls");  // it makes its directory
  const auto host = snapshot_host();
  const auto before = wishes();
  const auto touch = "touch " + program.directory() + "/touched";
  for (const auto& [words, says] : all_verbs(touch)) {
    SCOPED_TRACE("minibridge plan " + words);
    const auto planned = Program::mb("plan " + words);
    EXPECT_EQ(words == "doctor" ? 0 : planned.status, 0) << planned.err;
    EXPECT_THAT(planned.out, HasSubstr(says));
    EXPECT_EQ(wishes(), before);
  }
  EXPECT_EQ(snapshot_host(), host);
}

TEST_F(Plans, TheOptionAfterTheVerbIsThePlanToo) {
  const auto before = everything();
  const auto touch = "touch " + program.directory() + "/touched";
  EXPECT_EQ(Program::must_mb("kill web --dry-run"), Program::must_mb("plan kill web"));
  EXPECT_EQ(Program::must_mb("exec --dry-run web -- " + touch), Program::must_mb("plan exec web -- " + touch));
  EXPECT_EQ(Program::must_mb("echo --dry-run"), Program::must_mb("plan echo"));
  EXPECT_EQ(everything(), before);
}

TEST_F(Plans, EveryVerbIsInTheTable) {
  const auto help = Program::must_mb("--help");
  const auto table = all_verbs("touch /x");
  const std::regex verb("\n  ([a-z]+)");
  const auto text = help.substr(help.find("Subcommands:"));
  for (std::sregex_iterator at(text.begin(), text.end(), verb), end; at != end; ++at) {
    const auto name = (*at)[1].str();
    if (name == "plan") continue;
    EXPECT_TRUE(std::any_of(table.begin(), table.end(), [&](const Planned& planned) {
      return planned.words == name || planned.words.starts_with(name + " ");
    })) << name;
  }
}

TEST_F(Plans, OfALabThatIsUp) {
  Program::must_mb("lab up three-machines --name here");
  const auto before = must("ls -l " + program.directory() + "/minibridge-lab") + must("minibridge lab ls");
  EXPECT_EQ(Program::must_mb("plan lab exec a -- ip link add dummy0 type dummy"),
            "would run 'ip link add dummy0 type dummy' in node 'a' of lab 'here'\n");
  EXPECT_THAT(Program::must_mb("plan lab shell a"), AllOf(StartsWith("would run '"), HasSubstr("node 'a'")));
  EXPECT_EQ(Program::must_mb("plan lab down"), "would end lab 'here'\n");
  EXPECT_EQ(Program::mb("plan lab exec nowhere -- true").status, 1);
  EXPECT_NE(Program::mb("lab exec a -- ip link show dummy0").status, 0);
  EXPECT_EQ(must("ls -l " + program.directory() + "/minibridge-lab") + must("minibridge lab ls"), before);
  Program::must_mb("lab down here");
}

TEST_F(Plans, OfWordsThatCannotBeMeantAreRefused) {
  const std::vector<std::pair<std::string, int>> table = {
      {"kill nobody", 1},
      {"kill c1", 4},
      {"kill old", 4},
      {"kill -s NOSUCH web", 2},
      {"exec nobody -- true", 1},
      {"exec old -- true", 4},
      {"exec web", 2},
      {"rm web", 4},
      {"stop c1", 4},
      {"start c1", 4},
      {"restart c1", 4},
      {"echo --listen 0", 2},
      {"wait c1", 4},
      {"lab up nowhere", 1},
      {"lab down nowhere", 1},
      {"scenario run nowhere", 1},
  };
  for (const auto& [words, status] : table) {
    const auto refused = Program::mb("plan " + words);
    EXPECT_EQ(refused.status, status) << words << '\n' << refused.err;
    EXPECT_THAT(refused.out, IsEmpty()) << words;
  }
}

TEST_F(Plans, AsJsonAreOneDocument) {
  using nlohmann::json;
  const auto steps = [](const std::string& words) { return Program::json("plan " + words).at("steps"); };
  EXPECT_EQ(steps("kill web"), json::parse(R"([{"kind":"send_signal","text":"send SIGKILL to 'web'"}])"));
  EXPECT_EQ(steps("exec web -- true")[0]["kind"], "run_command");
  EXPECT_EQ(steps("echo")[0]["kind"], "listen");
  EXPECT_EQ(steps("wait web")[0]["kind"], "wait");
  EXPECT_EQ(steps("start web old").size(), 8U);
  EXPECT_EQ(steps("network prune --filter label=x"), json::array());
  const auto restart = steps("restart web old");
  EXPECT_EQ(restart[0]["kind"], "send_signal");
  EXPECT_EQ(restart[restart.size() - 1]["kind"], "start_container");
}

// The numbered lines of a plan, without rules.
std::string steps_of(const std::string& plan) {
  std::string steps;
  static const std::regex kStep(R"( *[0-9]+  (.*))");
  for (const auto& line : lines_of(plan)) {
    std::smatch match;
    if (std::regex_match(line, match, kStep)) steps += match[1].str() + '\n';
  }
  return steps;
}

// What -v tells while it is done is what the plan said.
TEST_F(Plans, AreWhatIsDoneThen) {
  Program::must_mb("rm -f web old");
  for (const std::string words :
       {"publish c1 8443:443", "unpublish c1 8443:443", "network connect --ip 10.21.0.9 n2 c1",
        "network disconnect n2 c1", "network rm n2", "rm c1", "network prune", "down"}) {
    const auto planned = Program::must_mb("plan " + words);
    const auto done = Program::mb("-v " + words);
    EXPECT_EQ(done.status, 0) << done.err;
    const auto told = std::regex_replace(done.err, std::regex("note: [^\n]*\n"), "");
    EXPECT_THAT(planned, Not(HasSubstr("nothing to do"))) << words;
    if (words.starts_with("network connect")) continue;  // the name of its link is drawn
    EXPECT_EQ(steps_of(planned), told) << words;
  }
}

TEST_F(Plans, OfOneThatIsStoppedStartsIt) {
  EXPECT_EQ(steps_of(Program::must_mb("plan restart old")), steps_of(Program::must_mb("plan start old")));
  EXPECT_THAT(Program::must_mb("plan restart old"), Not(HasSubstr("nothing to do")));
  // Both the end of one and the beginning of the other.
  const auto both = Program::must_mb("plan restart web old");
  EXPECT_THAT(both, AllOf(HasSubstr("let go of the network namespace of 'web'"),
                          HasSubstr("make a network namespace for 'old'")));
}

}  // namespace
}  // namespace mb::test
