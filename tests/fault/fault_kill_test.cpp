// SPDX-License-Identifier: GPL-2.0-or-later
//
// kill -9 at every system call that changes something, and at random.
//
// A verb runs once under strace to see what it calls; then again and again, killed at one call after the other (strace
// injects the signal, so the product has no hook for it). After each kill the next verb must work, and afterwards
// nothing of ours may be left without an owner, nothing may be to be repaired, and the rules of others are as before.
// One thing may be lost, by the kernel's design: *counters* of others' rules in a table that was being replaced.
//
// The default run takes evenly spread calls; MB_FAULT_FULL=1 takes every one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <ostream>
#include <random>
#include <regex>
#include <set>

#include <fmt/format.h>

#include "tests/support/fault_cli.h"
#include "tests/support/fault_host.h"

namespace mb::test {
namespace {

// '?': not every architecture has all of them.
constexpr const char* kChanging =
    "?sendmsg,?setsockopt,?mount,?umount2,?unlink,?unlinkat,?mkdir,?mkdirat,?rmdir,?openat,?pwrite64,?write,?fcntl,?"
    "flock,"
    "?ftruncate,?fallocate,?clone,?clone3,?unshare,?setns,?symlink,?symlinkat,?rename,?fchmod,?bind";

// One call in the life of one process: the n-th of its name.
struct Call {
  std::string name;
  int number = 0;
  auto operator<=>(const Call&) const = default;
};

std::ostream& operator<<(std::ostream& stream, const Call& call) { return stream << call.name << " " << call.number; }

// Reading is not of interest, and neither is what the dynamic loader does.
bool changes_something(const std::string& line, const std::string& name) {
  const auto has = [&](const char* word) { return line.find(word) != std::string::npos; };
  if (name == "openat") return has("O_CREAT");
  if (name == "fcntl") return has("F_SETLK") || has("F_OFD_SETLK");
  return true;
}

// In the order of time, each once, from strace's log of a run that was left alone.
std::vector<Call> calls_in(const std::string& log) {
  static const std::regex kLine(R"(^(\d+) +(\w+)\()");
  std::map<std::pair<std::string, std::string>, int> count;  // process and name
  std::set<Call> seen;
  std::vector<Call> calls;
  std::ifstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;
    if (!std::regex_search(line, found, kLine)) continue;
    // The switch of forwarding is written again and again until the kernel has its lock (rtnl) free: one call to us.
    if (line.find("ERESTART") != std::string::npos) continue;
    const Call call{found[2], ++count[{found[1], found[2]}]};
    if (changes_something(line, call.name) && seen.insert(call).second) calls.push_back(call);
  }
  return calls;
}

std::size_t kills_in(const std::string& log) {
  std::size_t kills = 0;
  std::ifstream lines(log);
  for (std::string line; std::getline(lines, line);) kills += line.ends_with("+++ killed by SIGKILL +++") ? 1 : 0;
  return kills;
}

bool contains(const std::vector<Call>& calls, const Call& call) {
  return std::find(calls.begin(), calls.end(), call) != calls.end();
}

// The first, and what only the second has.
std::vector<Call> united(std::vector<Call> calls, const std::vector<Call>& others) {
  std::copy_if(others.begin(), others.end(), std::back_inserter(calls),
               [&](const Call& call) { return !contains(calls, call); });
  return calls;
}

std::vector<Call> spread(const std::vector<Call>& calls, std::size_t most) {
  if (std::getenv("MB_FAULT_FULL") != nullptr || calls.size() <= most) return calls;
  std::vector<Call> chosen;
  for (std::size_t i = 0; i < most; ++i) chosen.push_back(calls[i * calls.size() / most]);
  return chosen;
}

struct Victim {
  const char* name;
  std::string verb;
  std::function<void(const CliHost&)> prepare;  // makes it possible again, whatever the last kill left
};

std::ostream& operator<<(std::ostream& stream, const Victim& victim) { return stream << victim.name; }

void expect_works(const CliHost& host, const std::string& words) {
  const auto done = host.mb(words);
  EXPECT_EQ(done.status, 0) << words << ": " << done.err << dump_state(host.state_dir());
}

void have_no(const CliHost& host, const std::string& container) {
  if (host.has(container)) expect_works(host, "rm -f " + container);
}

bool has_network(const CliHost& host, const std::string& name) {
  const auto networks = host.networks();
  return std::any_of(networks.begin(), networks.end(),
                     [&](const Network& network) { return network.name.str() == name; });
}

void have_running(const CliHost& host, const std::string& name) {
  have_no(host, name);
  expect_works(host, "run -d --name " + name + " -p 8080:80 -- sleep 1000");
}

void have_box(const CliHost& host) {
  if (!host.has("box")) expect_works(host, "create box");
}

bool box_publishes(const CliHost& host) {
  for (const auto& container : host.containers()) {
    if (container.name.str() == "box") return !container.ports.empty();
  }
  return false;
}

void damage(const CliHost& host) {
  have_box(host);
  if (!box_publishes(host)) expect_works(host, "publish box 8443:443");
  for (const auto& container : host.containers()) {
    if (container.name.str() == "box") sh("ip link del " + container.endpoints.at(0).host_link.str());
  }
  sh("iptables-legacy -t nat -F; iptables-legacy -t nat -A POSTROUTING -s 203.0.113.0/24 -j MASQUERADE;"
     "iptables-legacy -t nat -A PREROUTING -p tcp -m tcp --dport 2222 -j REDIRECT --to-ports 22;"
     "iptables-legacy -F MINIBRIDGE-FORWARD; ip address flush dev minibridge0");
}

const std::vector<Victim> kVictims = {
    {"RunDetached", "run -d --name victim -p 8080:80 -- sleep 1000",
     [](const CliHost& host) { have_no(host, "victim"); }},
    {"Create", "create --publish 8080:80 victim", [](const CliHost& host) { have_no(host, "victim"); }},
    {"RunInTheForeground", "run --name victim -p 8080:80 -- true",
     [](const CliHost& host) { have_no(host, "victim"); }},
    {"Start", "start victim",
     [](const CliHost& host) {
       have_running(host, "victim");
       expect_works(host, "kill victim");
     }},
    {"Stop", "stop -t 0 victim", [](const CliHost& host) { have_running(host, "victim"); }},
    {"Restart", "restart -t 0 victim", [](const CliHost& host) { have_running(host, "victim"); }},
    {"Kill", "kill victim", [](const CliHost& host) { have_running(host, "victim"); }},
    {"RmForce", "rm -f victim", [](const CliHost& host) { have_running(host, "victim"); }},
    {"NetworkCreate", "network create nv",
     [](const CliHost& host) {
       if (has_network(host, "nv")) expect_works(host, "network rm nv");
     }},
    {"NetworkRm", "network rm nv",
     [](const CliHost& host) {
       if (!has_network(host, "nv")) expect_works(host, "network create nv");
     }},
    {"Publish", "publish box 8443:443",
     [](const CliHost& host) {
       have_box(host);
       if (box_publishes(host)) expect_works(host, "unpublish box 443");
     }},
    {"Unpublish", "unpublish box 443",
     [](const CliHost& host) {
       have_box(host);
       if (!box_publishes(host)) expect_works(host, "publish box 8443:443");
     }},
    {"FirstOfANetwork", "create --network named victim",
     [](const CliHost& host) {
       have_no(host, "victim");
       if (!has_network(host, "named")) expect_works(host, "network create named");
     }},
    {"LastOfANetwork", "rm victim",
     [](const CliHost& host) {
       have_no(host, "victim");
       if (!has_network(host, "named")) expect_works(host, "network create named");
       expect_works(host, "create --network named victim");
     }},
    {"Connect", "network connect --gw-priority 1 nv box",
     [](const CliHost& host) {
       have_box(host);
       if (!has_network(host, "nv")) expect_works(host, "network create nv");
       expect_works(host, "network disconnect -f nv box");
     }},
    {"Disconnect", "network disconnect -f nv box",
     [](const CliHost& host) {
       have_box(host);
       if (!has_network(host, "nv")) expect_works(host, "network create nv");
       expect_works(host, "network disconnect -f nv box");
       expect_works(host, "network connect --gw-priority 1 nv box");
     }},
    {"Repair", "repair", damage},
    {"Down", "down",
     [](const CliHost& host) {
       have_box(host);
       if (!has_network(host, "nv")) expect_works(host, "network create nv");
       have_running(host, "victim");
     }},
};

bool is_marked(const CliHost& host) { return dump_state(host.state_dir()).starts_with("marker"); }

class KillSweep : public testing::TestWithParam<Victim> {
 protected:
  // Returns what strace wrote.
  std::string run_victim(const CliHost& host, const std::string& inject) const {
    const std::string log = fmt::format("/run/strace.{}", ++runs_);
    // -D: strace is nobody's parent here, so the verb's own end and exit status are ours to see.
    std::vector<std::string> before{"strace", "-f", "-D", "-o", log, "-e", fmt::format("trace={}", kChanging)};
    if (!inject.empty()) before.insert(before.end(), {"-e", inject});
    last_ = host.mb_under(before, GetParam().verb);
    stray_ = host.settle();
    return log;
  }

  std::vector<Call> calls_of_one_run(const CliHost& host) const {
    GetParam().prepare(host);
    auto calls = calls_in(run_victim(host, ""));
    EXPECT_EQ(last_.status, 0) << last_.err;
    return calls;
  }

  mutable int runs_ = 0;
  mutable netns::Finished last_;
  mutable std::string stray_;
};

TEST_P(KillSweep, LeavesNothingWithoutAnOwner) {
  CliHost host;
  const auto at_first = look_at_host();
  const auto foreign = foreign_rules();
  // What comes next alternates, so that the next verb is one that adds and one that removes.
  const std::string next_verbs[] = {"create next", "rm next"};
  std::size_t turn = 0;

  // Once without looking: the first verb of all makes the state, and calls more than those after it.
  GetParam().prepare(host);
  run_victim(host, "");
  // With `next` there and without it the verb does not do quite the same; what it calls either way must be reached.
  const auto alone = calls_of_one_run(host);
  expect_works(host, next_verbs[0]);
  const auto beside_next = calls_of_one_run(host);
  have_no(host, "next");
  const auto all = united(alone, beside_next);
  ASSERT_GT(all.size(), 10U);
  const auto chosen = spread(all, 27);
  std::size_t expected = 0;
  std::size_t kills = 0;
  for (const auto& call : chosen) {
    SCOPED_TRACE(call);
    const bool expects_kill = contains(alone, call) && contains(beside_next, call);
    // Which thread makes how many of the calls is a matter of time: what was not reached is tried again.
    bool killed = false;
    for (int tries = 0; !killed && tries < (expects_kill ? 4 : 1); ++tries) {
      GetParam().prepare(host);
      killed = kills_in(run_victim(host, fmt::format("inject={}:signal=KILL:when={}", call.name, call.number))) > 0;
    }
    expected += expects_kill ? 1 : 0;
    kills += expects_kill && killed ? 1 : 0;
    EXPECT_EQ(stray_, "");
    // Killed before it began, `repair` has not mended what somebody else had broken, and nobody else is asked to.
    if (GetParam().verb == "repair" && !is_marked(host)) expect_works(host, "repair");
    // A `down` that was killed may have taken `next` away.
    if (turn % 2 == 1 && !host.has("next")) ++turn;
    expect_works(host, next_verbs[turn++ % 2]);
    EXPECT_EQ(host.complaints(), "");
    EXPECT_EQ(foreign_rules(), foreign);
    ASSERT_FALSE(HasFailure());
  }
  expect_works(host, "down");
  EXPECT_EQ(host.settle(), "");
  EXPECT_TRUE(host.processes().empty());
  EXPECT_FALSE(std::filesystem::exists(host.state_dir()));
  EXPECT_EQ(look_at_host(), at_first);
  RecordProperty("kills", static_cast<int>(kills));
  std::cout << fmt::format("{} kills at {} of {} calls\n", kills, chosen.size(), all.size());
  EXPECT_GE(kills, expected * 3 / 4) << "what a verb calls twice, it calls again";
  EXPECT_GE(expected, chosen.size() / 2) << "two runs of a verb are much alike";
}

INSTANTIATE_TEST_SUITE_P(Fault, KillSweep, testing::ValuesIn(kVictims),
                         [](const auto& tested) { return std::string(tested.param.name); });

// ------------------------------------------------------------------ processes of a container

Container only_container(const CliHost& host) {
  const auto containers = host.containers();
  if (containers.size() != 1) throw std::runtime_error("there should be one container");
  return containers.front();
}

TEST(Kill, ACommandThatIsKilledIsTakenOutOfTheRulesByItsSupervisor) {
  const CliHost host;
  expect_works(host, "run -d --name web -p 8080:80 -- sleep 1000");
  const auto web = only_container(host);
  const auto command = children_of(web.init_pid);
  ASSERT_EQ(command.size(), 1U);
  ::kill(command.front(), SIGKILL);
  ASSERT_TRUE(ends(web.supervisor_pid));
  EXPECT_EQ(must("iptables-legacy-save").find("minibridge web:"), std::string::npos);
  EXPECT_EQ(host.complaints(), "");
  EXPECT_EQ(only_container(host).status, ContainerStatus::exited);
  EXPECT_EQ(only_container(host).exit_status, 137);
}

TEST(Kill, AnInitThatIsKilledIsTakenOutOfTheRulesByItsSupervisor) {
  const CliHost host;
  expect_works(host, "run -d --name web -p 8080:80 -- sleep 1000");
  const auto web = only_container(host);
  ::kill(web.init_pid, SIGKILL);
  ASSERT_TRUE(ends(web.supervisor_pid));
  EXPECT_EQ(must("iptables-legacy-save").find("minibridge web:"), std::string::npos);
  EXPECT_EQ(host.complaints(), "");
}

TEST(Kill, AContainerDiesWithItsSupervisorAndTheNextVerbClearsTheRest) {
  const CliHost host;
  expect_works(host, "run -d --name web -p 8080:80 -- sleep 1000");
  const auto web = only_container(host);
  const auto command = children_of(web.init_pid);
  ASSERT_EQ(command.size(), 1U);
  ::kill(web.supervisor_pid, SIGKILL);
  EXPECT_TRUE(ends(command.front()));
  EXPECT_TRUE(ends(web.init_pid));
  EXPECT_NE(must("iptables-legacy-save").find("minibridge web:"), std::string::npos)
      << "nobody was there to take it out";
  expect_works(host, "create next");
  EXPECT_EQ(must("iptables-legacy-save").find("minibridge web:"), std::string::npos);
  EXPECT_EQ(host.settle(), "");
  EXPECT_EQ(host.complaints(), "");
}

TEST(Kill, AForegroundRunThatIsKilledLeavesNothingToTheNextVerb) {
  const CliHost host;
  expect_works(host, "create first");
  netns::Child run = host.start("run --name web -p 8080:80 -- sleep 1000");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  const auto is_up = [&] {
    for (const auto& container : host.containers()) {
      if (container.name.str() == "web" && !children_of(container.init_pid).empty()) return true;
    }
    return false;
  };
  while (!is_up() && std::chrono::steady_clock::now() < deadline) run.wait_for(std::chrono::milliseconds(5));
  ASSERT_TRUE(is_up());
  run.kill(SIGKILL);
  run.wait();
  EXPECT_EQ(host.settle(), "");
  expect_works(host, "create next");
  EXPECT_FALSE(host.has("web")) << "a foreground container goes when it ends";
  EXPECT_EQ(host.complaints(), "");
}

// ------------------------------------------------------------------ at random

// Seeded, so that a failure can be had again (as far as the scheduler plays along): MB_FAULT_SEED.
TEST(Kill, AtRandomMomentsTheNextVerbWorksAndNothingIsLeft) {
  const char* given = std::getenv("MB_FAULT_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : 20240607U;
  const int rounds = std::getenv("MB_FAULT_FULL") != nullptr ? 400 : 200;
  SCOPED_TRACE(fmt::format("MB_FAULT_SEED={}", seed));
  std::mt19937 random(seed);
  const auto draw = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };

  CliHost host;
  const auto foreign = foreign_rules();
  const auto at_first = look_at_host();
  int kills = 0;
  for (int round = 0; round < rounds; ++round) {
    SCOPED_TRACE(round);
    const std::string name = fmt::format("w{}", draw(3));  // no hexadecimal digits: never the beginning of an id
    const std::string verb = host.has(name)
                                 ? "rm -f " + name
                                 : fmt::format("run -d --name {} -p 80{}:80 -- sleep 1000", name, name.substr(1));
    netns::Child child = host.start(verb);
    child.wait_for(std::chrono::milliseconds(draw(120)));
    // Sometimes the verb itself, sometimes whoever of ours is there: supervisors, inits, commands.
    const auto all = host.processes();
    const pid_t target =
        draw(2) == 0 || all.empty() ? child.pid() : all[static_cast<std::size_t>(draw(static_cast<int>(all.size())))];
    if (target == child.pid()) {
      child.kill(SIGKILL);
    } else {
      ::kill(target, SIGKILL);
      EXPECT_TRUE(ends(target)) << "a process that the kernel is busy with dies a little later";
    }
    ++kills;
    child.wait();
    expect_works(host,
                 round % 2 == 0 ? "network create nv" : "network rm nv");  // at once, with whoever is still on the way
    EXPECT_EQ(host.settle(), "");
    expect_works(host, round % 2 == 0 ? "create next" : "rm next");
    EXPECT_EQ(host.complaints(), "");
    EXPECT_EQ(foreign_rules(), foreign);
    ASSERT_FALSE(HasFailure());
  }
  expect_works(host, "down");
  EXPECT_EQ(host.settle(), "");
  EXPECT_TRUE(host.processes().empty());
  EXPECT_EQ(look_at_host(), at_first);
  std::cout << kills << " kills\n";
}

}  // namespace
}  // namespace mb::test
