// SPDX-License-Identifier: GPL-2.0-or-later
//
// Containers in the foreground: what the command sees, how it ends, and what ends with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <regex>

#include "src/container/check.h"
#include "src/container/lifecycle.h"
#include "src/container/run_files.h"
#include "src/store/store.h"
#include "tests/integration/container_support.h"
#include "tests/support/fault_cli.h"

namespace mb::container::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// ------------------------------------------------------------------ exit status and signals

TEST(ContainerRun, ExitStatusIsTheCommands) {
  const Directory state;
  EXPECT_EQ(run(shell(state, "exit 7")).status, 7);
  EXPECT_EQ(run(shell(state, "exit 0")).status, 0);
}

TEST(ContainerRun, ASignalThatEndsTheCommandCounts128AndItsNumber) {
  const Directory state;
  EXPECT_EQ(run(shell(state, "kill -9 $$")).status, 137);
}

TEST(ContainerRun, SigtermEndsACommandThatDoesNotHandleIt) {
  const Directory state;
  Foreground sleeper(shell(state, "echo ready; exec sleep 1000"));
  ASSERT_EQ(sleeper.line(), "ready");
  sleeper.process().signal(SIGTERM);
  EXPECT_EQ(sleeper.wait(), 143);
}

TEST(ContainerRun, EverySupervisedSignalIsHandedOn) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) {
    const Directory state;
    Foreground handler(shell(state, std::string("trap 'exit 3' TERM INT HUP QUIT USR1 USR2; ") + kWaits));
    ASSERT_EQ(handler.line(), "ready");
    handler.process().signal(signal);
    EXPECT_EQ(handler.wait(), 3) << "signal " << signal;
  }
}

TEST(ContainerRun, EndedRunsAfterASignal) {
  const Directory state;
  Hooks hooks;
  hooks.ended = [](int status) { dprintf(STDOUT_FILENO, "ended %d\n", status); };
  Foreground sleeper(shell(state, "echo ready; exec sleep 1000"), hooks);
  ASSERT_EQ(sleeper.line(), "ready");
  sleeper.process().signal(SIGTERM);
  EXPECT_EQ(sleeper.line(), "ended 143");
  EXPECT_EQ(sleeper.wait(), 143);
}

TEST(ContainerRun, TheCommandIsNotPid1) {
  const Directory state;
  EXPECT_EQ(run(shell(state, "echo $$ $PPID")).out, "2 1\n");
}

TEST(ContainerRun, OrphansAreReaped) {
  const Directory state;
  // `cat` ends when the orphan, which holds the pipe, has ended.
  const auto result =
      run(shell(state,
                "(sh -c 'exit 0' & ) | cat; for i in $(seq 300); do"
                "  ps -eo stat,ppid | grep -q '^Z.* 1$' || { echo clean; exit 0; }; done; ps -eo stat,ppid,args"));
  EXPECT_EQ(result.out, "clean\n");
}

TEST(ContainerRun, WhatTheCommandLeftBehindEndsWithIt) {
  const Directory state;
  // The pipe of standard output closes only when the sleeper is gone.
  EXPECT_EQ(run(shell(state, "sleep 1000 & echo $!")).status, 0);
}

// ------------------------------------------------------------------ life and death of the supervisor

Hooks announcing_init() {
  Hooks hooks;
  hooks.attach = [](const Prepared& container) { dprintf(STDOUT_FILENO, "%d\n", container.init_pid()); };
  return hooks;
}

TEST(ContainerRun, DiesWithItsSupervisor) {
  const Directory state;
  Foreground sleeper(shell(state, "echo ready; exec sleep 1000"), announcing_init());
  const netns::UniqueFd init = open_process(std::stoi(sleeper.line()));
  ASSERT_TRUE(init);
  ASSERT_EQ(sleeper.line(), "ready");
  ASSERT_FALSE(readable(init.get(), 0));
  sleeper.process().signal(SIGKILL);
  EXPECT_TRUE(readable(init.get())) << "init outlives its supervisor";
}

TEST(ContainerRun, DiesWithItsSupervisorBeforeItWasStarted) {
  const Directory state;
  Hooks hooks;
  hooks.attach = [](const Prepared& container) {
    dprintf(STDOUT_FILENO, "%d\n", container.init_pid());
    ::pause();
  };
  Foreground waiting(shell(state, "true"), hooks);
  const netns::UniqueFd init = open_process(std::stoi(waiting.line()));
  ASSERT_TRUE(init);
  waiting.process().signal(SIGKILL);
  EXPECT_TRUE(readable(init.get()));
}

TEST(ContainerRun, TheSupervisorHoldsItsByteWhileItLives) {
  const Directory state;
  Foreground sleeper(shell(state, "echo ready; exec sleep 1000"));
  ASSERT_EQ(sleeper.line(), "ready");
  EXPECT_TRUE(is_alive(state.path(), "0123456789ab"));
  EXPECT_FALSE(is_alive(state.path(), "0123456789ac"));
  sleeper.process().signal(SIGKILL);
  sleeper.wait();
  EXPECT_FALSE(is_alive(state.path(), "0123456789ab"));
}

TEST(ContainerRun, ASecondSupervisorIsRefused) {
  const Directory state;
  Foreground sleeper(shell(state, "echo ready; exec sleep 1000"));
  ASSERT_EQ(sleeper.line(), "ready");
  auto again = shell(state, "true");
  again.patience = {};
  const auto second = run(again);
  EXPECT_EQ(second.status, kOurs);
  EXPECT_THAT(second.err, HasSubstr("container 'web' has a supervisor"));
}

// "1: -> OFDLCK …": the arrow is somebody who waits (proc_locks(5)).
bool somebody_waits_for(const std::string& file) {
  struct stat there {};
  if (::stat(file.c_str(), &there) != 0) return false;
  const std::regex waiter("-> OFDLCK .*:" + std::to_string(there.st_ino) + " ");
  return std::regex_search(read_text("/proc/locks"), waiter);
}

// As `down` has it, from before it looks whether somebody lives until it has removed the file.
TEST(ContainerRun, AByteOfAFileThatDownRemovesIsTakenAnew) {
  const Directory state;
  const auto file = state.path() + "/alive";
  netns::UniqueFd down(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  struct flock whole {};
  whole.l_type = F_WRLCK;
  ASSERT_EQ(::fcntl(down.get(), F_OFD_SETLK, &whole), 0);
  Foreground sleeper(shell(state, "echo ready; exec sleep 1000"));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kDeadlineMs);
  while (!somebody_waits_for(file)) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  std::filesystem::remove(file);
  down.reset();
  EXPECT_EQ(sleeper.line(), "ready");
  EXPECT_TRUE(is_alive(state.path(), "0123456789ab"));
}

TEST(ContainerRun, DownLeavesTheFileOfASupervisorThatLives) {
  const Directory state;
  Foreground sleeper(shell(state, "echo ready; exec sleep 1000"));
  ASSERT_EQ(sleeper.line(), "ready");
  store::remove_state(state.path());
  EXPECT_TRUE(is_alive(state.path(), "0123456789ab"));
  sleeper.process().signal(SIGKILL);
  sleeper.wait();
  std::filesystem::remove_all(state.path() + "/containers");
  store::remove_state(state.path());
  EXPECT_FALSE(std::filesystem::exists(state.path()));
}

TEST(ContainerRun, StopSaysWhichSupervisorDoesNotClearAway) {
  const Directory state;
  Foreground sleeper(shell(state, "echo ready; exec sleep 1000"));
  ASSERT_EQ(sleeper.line(), "ready");
  Container web;
  web.id = "0123456789ab";
  web.name = Name::parse("web");
  web.status = ContainerStatus::running;
  web.supervisor_pid = sleeper.process().pid();
  web.init_pid = mb::test::children_of(web.supervisor_pid).at(0);
  engine::Setup setup;
  setup.state_dir = state.path();
  sleeper.process().signal(SIGSTOP);
  try {
    stop(setup, {web}, std::chrono::milliseconds(0), std::chrono::milliseconds(1));
    FAIL() << "it cannot have";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("the supervisor of container 'web' has not cleared it away"));
    EXPECT_NE(error.hint(), "");
  }
}

TEST(ContainerRun, WhenAttachThrowsNothingIsLeft) {
  const Directory state;
  Hooks hooks;
  hooks.attach = [](const Prepared& container) {
    dprintf(STDOUT_FILENO, "%d\n", container.init_pid());
    throw Error(ErrorKind::conflict, "the port is taken");
  };
  hooks.failed = [] { dprintf(STDOUT_FILENO, "failed was called\n"); };
  const auto result = run(shell(state, "echo ran"), hooks);
  EXPECT_EQ(result.status, kOurs);
  EXPECT_EQ(result.err, "the port is taken\n");
  EXPECT_NE(::kill(std::stoi(result.out), 0), 0);
  EXPECT_THAT(result.out, Not(HasSubstr("failed was called")));
  EXPECT_TRUE(std::filesystem::is_empty(state.path() + "/containers/0123456789ab"));
}

TEST(ContainerRun, AfterAttachAFailedStartIsTakenBack) {
  const Directory state;
  Hooks hooks;
  hooks.attach = [](const Prepared&) {};
  hooks.failed = [] { dprintf(STDOUT_FILENO, "taken back\n"); };
  hooks.ended = [](int) { dprintf(STDOUT_FILENO, "ended\n"); };
  const auto result = run(launch_of(state, {"no-such-command"}), hooks);
  EXPECT_EQ(result.status, 127);
  EXPECT_EQ(result.out, "taken back\n");
}

TEST(ContainerRun, TheExitStatusIsWrittenBeforeEndedRuns) {
  const Directory state;
  const std::string file = state.path() + "/containers/0123456789ab/status";
  Hooks hooks;
  hooks.attach = [&](const Prepared&) { dprintf(STDOUT_FILENO, "[%s]", read_text(file).c_str()); };
  hooks.ended = [&](int) { dprintf(STDOUT_FILENO, "[%s]", read_text(file).c_str()); };
  EXPECT_EQ(run(shell(state, "exit 9"), hooks).out, "[][9\n]");
}

// ------------------------------------------------------------------ a command that cannot run

TEST(ContainerRun, ACommandThatDoesNotExistIs127) {
  const Directory state;
  const auto result = run(launch_of(state, {"no-such-command"}));
  EXPECT_EQ(result.status, 127);
  EXPECT_THAT(result.err, HasSubstr("there is no command 'no-such-command'"));
}

TEST(ContainerRun, AFileThatIsNotExecutableIs126) {
  const Directory state;
  const auto result = run(launch_of(state, {"/etc/passwd"}));
  EXPECT_EQ(result.status, 126);
  EXPECT_THAT(result.err, HasSubstr("cannot execute '/etc/passwd': Permission denied"));
}

TEST(ContainerRun, TheProgramIsLookedUpInTheContainersPath) {
  const Directory state;
  const Directory programs;
  write_text(programs.path() + "/hello", "#!/bin/sh\necho hello\n");
  ::chmod((programs.path() + "/hello").c_str(), 0755);
  Launch launch = launch_of(state, {"hello"});
  launch.process.environment = {"PATH=" + programs.path()};
  EXPECT_EQ(run(launch).out, "hello\n");
}

TEST(ContainerRun, AWorkingDirectoryThatDoesNotExistIsAFailureOfOurs) {
  const Directory state;
  Launch launch = shell(state, "pwd");
  launch.process.working_directory = "/no/such/place";
  const auto result = run(launch);
  EXPECT_EQ(result.status, kOurs);
  EXPECT_THAT(result.err, HasSubstr("cannot enter the working directory '/no/such/place'"));
}

TEST(ContainerRun, AnUnknownUserIsNamed) {
  const Directory state;
  Launch launch = shell(state, "id");
  launch.process.user = "nosuch";
  const auto result = run(launch);
  EXPECT_EQ(result.status, kOurs);
  EXPECT_THAT(result.err, HasSubstr("there is no user 'nosuch' in the container's /etc/passwd"));
}

// ------------------------------------------------------------------ what it sees

TEST(ContainerRun, HasItsOwnHostname) {
  const Directory state;
  EXPECT_EQ(run(shell(state, "hostname")).out, "web\n");
  EXPECT_NE(mb::test::must("hostname"), "web\n");
}

TEST(ContainerRun, ProcShowsOnlyItsOwnProcesses) {
  const Directory state;
  EXPECT_EQ(run(shell(state, "cd /proc; echo [0-9]*")).out, "1 2\n");
}

TEST(ContainerRun, SysShowsOnlyItsOwnLinks) {
  const Directory state;
  EXPECT_EQ(run(shell(state, "ls /sys/class/net")).out, "lo\n");
}

TEST(ContainerRun, WithTheHostsNetworkItSeesTheHostsLinks) {
  const Directory state;
  Launch launch = shell(state, "readlink /proc/self/ns/net");
  launch.attachment = Attachment::host;
  EXPECT_EQ(run(launch).out, mb::test::must("readlink /proc/self/ns/net"));
  EXPECT_NE(run(shell(state, "readlink /proc/self/ns/net")).out, mb::test::must("readlink /proc/self/ns/net"));
}

TEST(ContainerRun, TheStateDirectoryLooksEmptyAndCannotBeWritten) {
  const Directory state;
  const auto result = run(shell(state, "ls -A " + state.path() + "; touch " + state.path() + "/x"));
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_NE(result.status, 0);
}

TEST(ContainerRun, HoldsNoOtherContainersNamespace) {
  const Directory state;
  netns::prepare_pin_directory(state.path() + "/netns");
  netns::pin(netns::Namespace::create(), state.path() + "/netns/other");
  EXPECT_EQ(run(shell(state, "grep -c nsfs /proc/self/mountinfo")).out, "0\n");
  netns::remove_pin_directory(state.path() + "/netns");
}

TEST(ContainerRun, HasItsOwnHostsResolvConfAndHostname) {
  const Directory state;
  const std::string own = state.path() + "/containers/0123456789ab";
  Hooks hooks;
  hooks.attach = [&](const Prepared&) {
    for (const std::string name : {"hosts", "resolv.conf", "hostname"})
      write_text(own + "/" + name, "own " + name + "\n");
  };
  const auto result = run(shell(state, "cat /etc/hosts /etc/resolv.conf /etc/hostname"), hooks);
  EXPECT_EQ(result.out, "own hosts\nown resolv.conf\nown hostname\n");
  EXPECT_THAT(read_text("/etc/hosts"), Not(HasSubstr("own")));
}

TEST(ContainerRun, InheritsNoDescriptorButItsStreams) {
  const Directory state;
  // 3 is the one `ls` itself opens.
  EXPECT_EQ(run(shell(state, "exec ls /proc/self/fd")).out, "0\n1\n2\n3\n");
}

TEST(ContainerRun, InputIsEmptyUnlessInteractive) {
  const Directory state;
  Launch launch = launch_of(state, {"cat"});
  Foreground quiet(launch);
  EXPECT_EQ(quiet.wait(), 0);
  launch.process.interactive = true;
  Foreground open(launch);
  open.type("hello\n");
  EXPECT_EQ(open.line(), "hello");
  open.end_input();
  EXPECT_EQ(open.wait(), 0);
}

TEST(ContainerRun, HomeIsTheUsersUnlessGiven) {
  const Directory state;
  const Root root;
  Launch launch = shell(state, "echo $HOME");
  launch.process.rootfs = root.path();
  EXPECT_EQ(run(launch).out, "/rooty\n");
  launch.process.environment.emplace_back("HOME=/given");
  EXPECT_EQ(run(launch).out, "/given\n");
}

TEST(ContainerRun, VolumesAppearAndMayBeReadOnly) {
  const Directory state;
  const Directory source;
  const Directory target;
  Launch launch = shell(state, "cat " + target.path() + "/f; echo new >" + target.path() + "/g");
  launch.process.volumes = {{source.path(), target.path(), false}};
  write_text(source.path() + "/f", "from the host\n");
  EXPECT_EQ(run(launch).out, "from the host\n");
  EXPECT_EQ(read_text(source.path() + "/g"), "new\n");
  launch.process.volumes = {{source.path(), target.path(), true}};
  EXPECT_THAT(run(launch).err, HasSubstr("Read-only"));
  EXPECT_FALSE(std::filesystem::exists(target.path() + "/f")) << "the mount shows outside";
}

TEST(ContainerRun, AVolumeDoesNotShowTheStateDirectory) {
  const Directory state;
  const Directory target;
  Launch launch = shell(state, "ls -A " + target.path() + state.path().substr(4));
  launch.process.volumes = {{"/run", target.path(), false}};
  write_text(state.path() + "/secret", "");
  const auto result = run(launch);
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.out, IsEmpty());
}

TEST(ContainerRun, NothingIsCreatedAmongTheHostsFiles) {
  const Directory state;
  const Directory source;
  Launch launch = shell(state, "true");
  launch.process.volumes = {{source.path(), source.path() + "/missing", false}};
  const auto result = run(launch);
  EXPECT_EQ(result.status, kOurs);
  EXPECT_THAT(result.err, HasSubstr("there is no such path"));
  EXPECT_FALSE(std::filesystem::exists(source.path() + "/missing"));
}

TEST(ContainerRun, NoMountShowsOutsideEvenWhereMountsAreShared) {
  const Directory shared;
  mb::test::must("mount -t tmpfs shared " + shared.path() + " && mount --make-shared " + shared.path());
  Launch launch = shell(shared, "true");
  launch.state_dir = shared.path() + "/state";
  std::filesystem::create_directories(launch.state_dir + "/containers/" + launch.id);
  EXPECT_EQ(run(launch).status, 0);
  EXPECT_EQ(mb::test::must("grep -c ' " + launch.state_dir + " ' /proc/self/mountinfo || true"), "0\n");
  ::umount2(shared.path().c_str(), MNT_DETACH);
}

// ------------------------------------------------------------------ a root file system of its own

TEST(ContainerRun, RootfsIsTheWholeTree) {
  const Directory state;
  const Root root;
  Launch launch = shell(state, "ls -A /; ls /dev; readlink /dev/fd; cat /proc/sys/kernel/hostname");
  launch.process.rootfs = root.path();
  const auto result = run(launch);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out,
            "bin\ndev\netc\nlib\nlib64\nproc\nsbin\nsys\nusr\n"
            "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n"
            "/proc/self/fd\nweb\n");
}

TEST(ContainerRun, NoMountOfTheHostRemainsInRootfs) {
  const Directory state;
  const Root root;
  Launch launch = shell(state, "cut -d' ' -f5 /proc/self/mountinfo | grep -v -e ^/proc -e ^/sys -e ^/dev -e ^/usr");
  launch.process.rootfs = root.path();
  EXPECT_EQ(run(launch).out, "/\n");
}

TEST(ContainerRun, DevicesOfRootfsWork) {
  const Directory state;
  const Root root;
  Launch launch =
      shell(state, "echo x >/dev/null && head -c 3 /dev/urandom | wc -c && echo y >/dev/shm/f && cat /dev/shm/f");
  launch.process.rootfs = root.path();
  EXPECT_EQ(run(launch).out, "3\ny\n");
}

TEST(ContainerRun, MountPointsAreCreatedInRootfsAndLinksDoNotLeadOut) {
  const Directory state;
  const Directory source;
  const Root root;
  write_text(source.path() + "/f", "volume\n");
  std::filesystem::create_symlink("/nowhere/resolv.conf", root.path() + "/etc/resolv.conf");
  Hooks hooks;
  hooks.attach = [&](const Prepared&) {
    write_text(state.path() + "/containers/0123456789ab/resolv.conf", "nameserver 192.0.2.1\n");
  };
  Launch launch = shell(state, "cat /etc/resolv.conf /deep/er/f");
  launch.process.rootfs = root.path();
  launch.process.volumes = {{source.path(), "/deep/er", true}};
  const auto result = run(launch, hooks);
  EXPECT_EQ(result.out, "nameserver 192.0.2.1\nvolume\n") << result.err;
}

// ------------------------------------------------------------------ user and capabilities

TEST(ContainerRun, CapabilitiesAreDockersDefaults) {
  const Directory state;
  const auto result = run(shell(state, "grep Cap /proc/self/status"));
  EXPECT_EQ(result.out,
            "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n"
            "CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n");
}

std::string bounding_set(const Launch& launch) {
  Launch asking = launch;
  asking.process.argv = {"/bin/sh", "-c", "grep CapBnd /proc/self/status | cut -f2"};
  return run(asking).out;
}

TEST(ContainerRun, CapabilitiesAreAddedAndDropped) {
  const Directory state;
  Launch launch = shell(state, "");
  launch.process.cap_add = {"NET_ADMIN"};
  launch.process.cap_drop = {"cap_net_raw"};
  EXPECT_EQ(bounding_set(launch), "00000000a80415fb\n");
  launch.process.cap_drop = {"ALL"};
  EXPECT_EQ(bounding_set(launch), "0000000000001000\n");
}

TEST(ContainerRun, PrivilegedKeepsWhatTheCallerHas) {
  const Directory state;
  Launch launch = shell(state, "");
  launch.process.privileged = true;
  EXPECT_EQ(bounding_set(launch), mb::test::must("grep CapBnd /proc/self/status | cut -f2"));
}

TEST(ContainerRun, SwitchesOfTheMachineCannotBeWritten) {
  const Directory state;
  EXPECT_THAT(run(shell(state, "echo 0 >/proc/sys/net/ipv4/ip_forward")).err, HasSubstr("Read-only"));
}

TEST(ContainerRun, RunsAsAnotherUserOfItsOwnPasswd) {
  const Directory state;
  const Root root;
  Launch launch = shell(state, "id -u; id -g; id -G; echo $HOME; grep CapEff /proc/self/status");
  launch.process.rootfs = root.path();
  launch.process.user = "app";
  const auto result = run(launch);
  if (may_change_user()) {
    EXPECT_EQ(result.out, "1000\n1000\n1000 1001\n/srv\nCapEff:\t0000000000000000\n");
  } else {
    EXPECT_THAT(result.err, HasSubstr("this user namespace has no such id"));
  }
}

TEST(ContainerRun, RootMayBeAskedForEverywhere) {
  const Directory state;
  Launch launch = shell(state, "id -u");
  for (const std::string user : {"root", "0", "0:0", "root:root"}) {
    launch.process.user = user;
    EXPECT_EQ(run(launch).out, "0\n") << user;
  }
}

// ------------------------------------------------------------------ what is refused beforehand

void expect_refused(const std::function<void(ProcessSpec&)>& change, const std::string& why) {
  ProcessSpec spec;
  change(spec);
  try {
    check_process_spec(spec);
    ADD_FAILURE() << "accepted: " << why;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.message(), HasSubstr(why));
  }
}

TEST(ContainerCheck, RefusesWhatCannotBeMeant) {
  expect_refused([](auto& s) { s.rootfs = "/no/such"; }, "cannot use the root file system '/no/such'");
  expect_refused([](auto& s) { s.rootfs = "/etc/passwd"; }, "is not a directory");
  expect_refused([](auto& s) { s.volumes = {{"/no/such", "/x"}}; }, "the volume '/no/such' does not exist");
  expect_refused([](auto& s) { s.volumes = {{"/etc", "x"}}; }, "'x' is not an absolute path");
  expect_refused([](auto& s) { s.volumes = {{"/etc", "/"}}; }, "cannot be mounted on '/'");
  expect_refused([](auto& s) { s.working_directory = "tmp"; }, "the working directory 'tmp' is not an absolute path");
  expect_refused([](auto& s) { s.environment = {"=x"}; }, "'=x' is not an environment variable");
  expect_refused([](auto& s) { s.user = "app:"; }, "'app:' is not a user");
  expect_refused([](auto& s) { s.cap_add = {"NET_ADMIN", "FLY", "CAP_SWIM"}; }, "unknown capability 'FLY', 'CAP_SWIM'");
}

TEST(ContainerCheck, AcceptsWhatCanBe) {
  ProcessSpec spec;
  spec.rootfs = "/";
  spec.volumes = {{"/etc", "/x", true}};
  spec.environment = {"A=", "B=c=d"};
  spec.user = "1:2";
  spec.cap_add = {"all", "Net_Admin"};
  spec.cap_drop = {"CAP_CHOWN"};
  EXPECT_NO_THROW(check_process_spec(spec));
}

// ------------------------------------------------------------------ the built-in test server

TEST(ContainerRun, WithoutACommandTheTestServerAnswers) {
  const Directory state;
  const Root root;
  Launch launch = launch_of(state, {});
  launch.process.rootfs = root.path();
  launch.publish = {PublishSpec::parse("8080:81")};
  Hooks hooks;
  hooks.attach = [](const Prepared& container) {
    netns::run_in(netns::Namespace::of_process(container.init_pid()), [] { mb::test::bring_loopback_up(); });
    dprintf(STDOUT_FILENO, "%d\n", container.init_pid());
  };
  Foreground server(launch, hooks);
  const auto inside = netns::Namespace::of_process(std::stoi(server.line()));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kDeadlineMs);
  std::string answer;
  while (answer.empty() && std::chrono::steady_clock::now() < deadline) {
    answer = mb::test::sh(inside, "bash -c 'exec 3<>/dev/tcp/127.0.0.1/81 && cat <&3' 2>/dev/null").out;
  }
  EXPECT_THAT(answer, AllOf(StartsWith("source{ip: 127.0.0.1"), HasSubstr("dest{ip: 127.0.0.1, port: 81}")));
  server.process().signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
}

}  // namespace
}  // namespace mb::container::test
