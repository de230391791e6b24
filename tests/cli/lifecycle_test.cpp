// SPDX-License-Identifier: GPL-2.0-or-later
//
// The life of a container where it goes wrong: supervisors that were killed or take their time, clean-up that fails,
// one verb on the heels of another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include <fmt/format.h>

#include "netns/unique_fd.h"
#include "tests/support/fault_cli.h"
#include "tests/support/program.h"
#include "tests/support/snapshot.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct Lifecycle : testing::Test {
  World world;
  Program program;

  // Of a detached container's log, `logs` apart, which takes no part of a line.
  void wait_for_log(const std::string& container, const std::string& text) const {
    const std::string log = fmt::format("{}/containers/{}/log", program.state_dir(), id_of(container));
    eventually([&] { return read_text(log).find(text) != std::string::npos; });
  }
  static std::string id_of(const std::string& container) { return Program::inspect(container)["id"]; }
  static pid_t supervisor_of(const std::string& container) { return Program::inspect(container)["supervisor_pid"]; }
  static std::string status_of(const std::string& container) { return Program::inspect(container)["status"]; }
  static pid_t command_of(const std::string& container) {
    return children_of(Program::inspect(container)["pid"].get<pid_t>()).at(0);
  }

  static void kill_supervisor(const std::string& container) {
    const auto pid = supervisor_of(container);
    ::kill(pid, SIGKILL);
    ASSERT_TRUE(ends(pid));
  }

  static void eventually(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "it does not come to that";
  }
};

// 'R', 'S', 'T' …: the state of a process (proc_pid_stat(5)).
char state_of(pid_t pid) {
  const auto stat = read_text(fmt::format("/proc/{}/stat", pid));
  return stat.at(stat.rfind(')') + 2);
}

// "1: -> OFDLCK …": the arrow is somebody who waits (proc_locks(5)).
bool somebody_waits_for(const std::string& file) {
  struct stat there {};
  if (::stat(file.c_str(), &there) != 0) return false;
  for (const auto& line : lines_of(read_text("/proc/locks"))) {
    if (line.find("-> OFDLCK") != std::string::npos &&
        line.find(fmt::format(":{} ", there.st_ino)) != std::string::npos)
      return true;
  }
  return false;
}

// The byte of a container, as a supervisor that has written down its end but has not ended yet holds it.
netns::UniqueFd hold_byte(const std::string& state_dir, const std::string& id) {
  netns::UniqueFd file(::open((state_dir + "/alive").c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = std::stoll(id, nullptr, 16);
  lock.l_len = 1;
  if (::fcntl(file.get(), F_OFD_SETLK, &lock) != 0) throw std::runtime_error("the byte is taken");
  return file;
}

// ------------------------------------------------------------------ start

TEST_F(Lifecycle, AContainerWhoseSupervisorWasKilledStartsAgain) {
  Program::must_mb("run -d --name a -p 8080:80 -- sleep 600");
  kill_supervisor("a");
  EXPECT_EQ(Program::mb("--dry-run start a").status, 0);
  EXPECT_EQ(Program::must_mb("start a"), "a\n");
  EXPECT_EQ(status_of("a"), "running");
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

TEST_F(Lifecycle, StartWaitsForTheSupervisorOfTheLastRun) {
  Program::must_mb("run -d --name a -- true");
  EXPECT_EQ(Program::must_mb("wait a"), "0\n");
  const auto id = id_of("a");
  auto byte = [&] {
    netns::UniqueFd held;
    eventually([&] {
      try {
        held = hold_byte(program.state_dir(), id);
        return true;
      } catch (const std::runtime_error&) {
        return false;
      }
    });
    return held;
  }();
  netns::Child start(netns::Command{"minibridge", "start", "a"});
  eventually([&] { return somebody_waits_for(program.state_dir() + "/alive") || start.wait_for({}); });
  byte.reset();
  EXPECT_EQ(start.wait(), 0);
}

TEST_F(Lifecycle, OneVerbMayFollowTheOther) {
  Program::must_mb("run -d --name a -- sleep 600");
  for (int round = 0; round < 10; ++round) {
    ASSERT_EQ(Program::must_mb("kill a && minibridge start a"), "a\na\n");
    ASSERT_EQ(status_of("a"), "running");
  }
  Program::must_mb("run -d --name b -- true");
  for (int round = 0; round < 10; ++round) ASSERT_EQ(Program::must_mb("wait b && minibridge restart b"), "0\nb\n");
}

// ------------------------------------------------------------------ restart

TEST_F(Lifecycle, RestartKeepsAContainerThatIsToBeRemovedWhenItEnds) {
  Program::must_mb("run -d --rm --name brief -- sleep 600");
  const auto before = Program::inspect("brief");
  EXPECT_EQ(Program::must_mb("restart -t 0 brief"), "brief\n");
  const auto after = Program::inspect("brief");
  EXPECT_EQ(after["status"], "running");
  EXPECT_EQ(after["id"], before["id"]);
  EXPECT_NE(after["pid"], before["pid"]);
  EXPECT_EQ(after["auto_remove"], true);
  Program::must_mb("stop -t 0 brief");
  EXPECT_THAT(Program::must_mb("ps -a -q"), IsEmpty());
}

TEST_F(Lifecycle, StartAndRestartTakeTheHostsResolversAsTheyAreThen) {
  const auto mine = program.write("resolv.conf", "nameserver 192.0.2.1\nsearch old.test\n");
  must("mount --bind " + mine + " /etc/resolv.conf");
  Program::must_mb("run -d --name follows -- sleep 600");
  Program::must_mb("run -d --name own --dns 192.0.2.53 --dns 127.0.0.1 --dns-search mine.test -- sleep 600");
  program.write("resolv.conf", "nameserver 192.0.2.2\nsearch new.test\noptions ndots:3\n");
  Program::must_mb("restart -t 0 follows own");
  EXPECT_THAT(
      Program::must_mb("exec follows -- cat /etc/resolv.conf"),
      AllOf(HasSubstr("nameserver 192.0.2.2\nsearch new.test\noptions ndots:3\n"), Not(HasSubstr("192.0.2.1"))));
  EXPECT_THAT(Program::must_mb("exec own -- cat /etc/resolv.conf"),
              AllOf(HasSubstr("nameserver 192.0.2.53\nnameserver 127.0.0.1\nsearch mine.test\noptions ndots:3\n"),
                    Not(HasSubstr("192.0.2.2"))));
  Program::must_mb("stop -t 0 follows");
  program.write("resolv.conf", "nameserver 192.0.2.3\n");
  Program::must_mb("start follows");
  EXPECT_THAT(Program::must_mb("exec follows -- cat /etc/resolv.conf"), HasSubstr("nameserver 192.0.2.3\n"));
  must("umount /etc/resolv.conf");
}

// ------------------------------------------------------------------ the end

TEST_F(Lifecycle, WhenCleanUpFailsAForegroundRunStillEndsWithTheCommandsStatus) {
  must("mkfifo " + program.directory() + "/go");
  netns::UniqueFd errors(::open((program.directory() + "/errors").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  netns::Child run(netns::Command{"sh", "-c",
                                  "exec minibridge run --name web -v " + program.directory() +
                                      ":/mnt -- sh -c 'echo up > /mnt/up; read x < /mnt/go; exit 7' 2> " +
                                      program.directory() + "/errors"});
  ASSERT_TRUE(appears(program.directory() + "/up"));
  const auto database = program.state_dir() + "/state.db";
  fs::rename(database, database + ".aside");
  std::ofstream(database) << "somebody else's words, and more of them than a header has: " << std::string(100, 'x');
  must("echo > " + program.directory() + "/go");
  EXPECT_EQ(run.wait(), 7);
  EXPECT_THAT(read_text(program.directory() + "/errors"), AllOf(HasSubstr("container 'web' could not be cleared away"),
                                                                HasSubstr("not a state file"), HasSubstr("hint: ")));
  fs::rename(database + ".aside", database);
}

TEST_F(Lifecycle, WhenCleanUpFailsInADetachedSupervisorTheLogSaysSo) {
  must("mkfifo " + program.directory() + "/go");
  Program::must_mb("run -d --name web -v " + program.directory() + ":/mnt -- sh -c 'read x < /mnt/go; exit 7'");
  const auto supervisor = supervisor_of("web");
  const auto database = program.state_dir() + "/state.db";
  fs::rename(database, database + ".aside");
  std::ofstream(database) << "somebody else's words, and more of them than a header has: " << std::string(100, 'x');
  must("echo > " + program.directory() + "/go");
  ASSERT_TRUE(ends(supervisor));
  fs::rename(database + ".aside", database);
  EXPECT_THAT(Program::mb("logs web").err,
              AllOf(HasSubstr("minibridge: container 'web' could not be cleared away"), HasSubstr("not a state file")));
}

// The lock between processes is held by somebody, so the supervisor gets no further than to write down the status.
TEST_F(Lifecycle, TheExitStatusIsKnownAlthoughTheSupervisorDiedBeforeItClearedAway) {
  must("mkfifo " + program.directory() + "/go");
  Program::must_mb("run -d --name web -v " + program.directory() + ":/mnt -- sh -c 'read x < /mnt/go; exit 7'");
  const auto supervisor = supervisor_of("web");
  const auto status_file = fmt::format("{}/containers/{}/status", program.state_dir(), id_of("web"));
  netns::UniqueFd lock(::open((program.state_dir() + "/lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
  must("echo > " + program.directory() + "/go");
  eventually([&] { return !read_text(status_file).empty(); });
  ::kill(supervisor, SIGKILL);
  ASSERT_TRUE(ends(supervisor));
  lock.reset();
  EXPECT_THAT(Program::must_mb("ps -a"), HasSubstr("exited (7)"));
  EXPECT_EQ(Program::inspect("web")["exit_status"], 7);
  Program::must_mb("create next");
  EXPECT_EQ(Program::inspect("web")["exit_status"], 7);
  EXPECT_EQ(Program::must_mb("wait web"), "7\n");
}

// ------------------------------------------------------------------ signals

TEST_F(Lifecycle, StopAndContinueAreForTheCommand) {
  Program::must_mb(
      "run -d --name web -- sh -c 'trap \"echo caught\" USR1; echo ready; while :; do sleep 600 & wait; done'");
  wait_for_log("web", "ready");
  const auto init = Program::inspect("web")["pid"].get<pid_t>();
  const auto command = command_of("web");
  Program::must_mb("kill -s STOP web");
  eventually([&] { return state_of(command) == 'T' || state_of(init) == 'T'; });
  EXPECT_EQ(state_of(command), 'T');
  EXPECT_NE(state_of(init), 'T');
  Program::must_mb("kill -s USR1 web");
  Program::must_mb("kill -s CONT web");
  wait_for_log("web", "caught");
  Program::must_mb("kill -s STOP web");
  eventually([&] { return state_of(command) == 'T'; });
  EXPECT_EQ(Program::must_mb("stop -t 0 web"), "web\n");
}

// ------------------------------------------------------------------ create --netns

TEST_F(Lifecycle, TheHostsOwnNamespaceIsNotAttached) {
  Program::must_mb("create c1");
  const auto host = snapshot_host();
  const auto state = program.look_at_state();
  for (const std::string verb : {"create", "--dry-run create"}) {
    const auto refused = Program::mb(verb + " --netns /proc/self/ns/net -p 8080:80 me");
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err,
                AllOf(HasSubstr("'/proc/self/ns/net' is the host's own network namespace"), HasSubstr("hint: ")));
  }
  EXPECT_EQ(snapshot_host(), host);
  EXPECT_EQ(program.look_at_state(), state);
}

}  // namespace
}  // namespace mb::test
