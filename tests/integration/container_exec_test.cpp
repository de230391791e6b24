// SPDX-License-Identifier: GPL-2.0-or-later
//
// Further commands in containers that exist.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>

#include "src/container/exec.h"
#include "tests/integration/container_support.h"

namespace mb::container::test {
namespace {

using testing::HasSubstr;
using testing::Not;

// A container that runs until the object goes.
class Running {
 public:
  explicit Running(Launch launch) : container_(interactive(std::move(launch)), hooks()) {
    init_ = std::stoi(container_.line());
    EXPECT_EQ(container_.line(), "ready");
  }
  pid_t init() const { return init_; }
  Foreground& container() { return container_; }

 private:
  static Launch interactive(Launch launch) {
    launch.process.argv = {"/bin/sh", "-c", "echo ready; read line"};
    launch.process.interactive = true;
    return launch;
  }
  static Hooks hooks() {
    Hooks hooks;
    hooks.attach = [](const Prepared& container) { dprintf(STDOUT_FILENO, "%d\n", container.init_pid()); };
    return hooks;
  }

  Foreground container_;
  pid_t init_ = 0;
};

ExecTarget target_of(const Directory& state, pid_t init) {
  ExecTarget target;
  target.id = "0123456789ab";
  target.name = Name::parse("web");
  target.state_dir = state.path();
  target.init_pid = init;
  return target;
}

ProcessSpec spec_of(const Directory& state, const std::string& script) { return shell(state, script).process; }

Result exec(const ExecTarget& target, const ProcessSpec& spec) {
  Foreground run([&] { return exec_in_container(target, spec); });
  run.end_input();
  const std::string out = run.rest();
  const std::string err = run.errors();
  return {run.wait(), out, err};
}

TEST(ContainerExec, RunsBesideTheCommandInAllItsNamespaces) {
  const Directory state;
  Running box(launch_of(state, {}));
  const auto result =
      exec(target_of(state, box.init()),
           spec_of(state, "hostname; cat /proc/1/comm >/dev/null && readlink /proc/self/ns/net; exit 5"));
  EXPECT_EQ(result.status, 5);
  EXPECT_EQ(result.out, "web\n" + mb::test::must("readlink /proc/" + std::to_string(box.init()) + "/ns/net"));
}

TEST(ContainerExec, SeesTheContainersFilesAndNotTheState) {
  const Directory state;
  const Root root;
  Launch launch = launch_of(state, {});
  launch.process.rootfs = root.path();
  Running box(launch);
  const auto result = exec(target_of(state, box.init()), spec_of(state, "echo $HOME; ls -A " + state.path()));
  EXPECT_EQ(result.out, "/rooty\n");
  EXPECT_THAT(result.err, HasSubstr("No such file"));
}

TEST(ContainerExec, HasTheDefaultCapabilitiesUnlessPrivileged) {
  const Directory state;
  Running box(launch_of(state, {}));
  ProcessSpec spec = spec_of(state, "grep CapBnd /proc/self/status | cut -f2");
  EXPECT_EQ(exec(target_of(state, box.init()), spec).out, "00000000a80425fb\n");
  spec.privileged = true;
  EXPECT_EQ(exec(target_of(state, box.init()), spec).out, mb::test::must("grep CapBnd /proc/self/status | cut -f2"));
}

TEST(ContainerExec, ACommandThatDoesNotExistIs127) {
  const Directory state;
  Running box(launch_of(state, {}));
  ProcessSpec spec = spec_of(state, "");
  spec.argv = {"no-such-command"};
  const auto result = exec(target_of(state, box.init()), spec);
  EXPECT_EQ(result.status, 127);
  EXPECT_THAT(result.err, HasSubstr("there is no command 'no-such-command'"));
}

TEST(ContainerExec, HandsSignalsOn) {
  const Directory state;
  Running box(launch_of(state, {}));
  const ExecTarget target = target_of(state, box.init());
  const ProcessSpec spec = spec_of(state, "echo ready; exec sleep 1000");
  Foreground sleeper([&] { return exec_in_container(target, spec); });
  ASSERT_EQ(sleeper.line(), "ready");
  sleeper.process().signal(SIGINT);
  EXPECT_EQ(sleeper.wait(), 130);
}

TEST(ContainerExec, EndsWithTheContainer) {
  const Directory state;
  Running box(launch_of(state, {}));
  const ExecTarget target = target_of(state, box.init());
  const ProcessSpec spec = spec_of(state, "echo ready; exec sleep 1000");
  Foreground sleeper([&] { return exec_in_container(target, spec); });
  ASSERT_EQ(sleeper.line(), "ready");
  box.container().end_input();
  EXPECT_EQ(sleeper.wait(), 137);
  EXPECT_EQ(box.container().wait(), 1);
}

// A pid namespace cannot end before its last dead process is reaped, and what an exec leaves unreaped goes to whoever
// collects orphans outside. Here that is the test, which does not.
class CollectsNoOrphans {
 public:
  CollectsNoOrphans() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }
  ~CollectsNoOrphans() { ::prctl(PR_SET_CHILD_SUBREAPER, 0); }
  CollectsNoOrphans(const CollectsNoOrphans&) = delete;
  CollectsNoOrphans& operator=(const CollectsNoOrphans&) = delete;
};

TEST(ContainerExec, TheContainerCanEndAfterAnExecThatFailed) {
  const CollectsNoOrphans lazy;
  const Directory state;
  Running box(launch_of(state, {}));
  ProcessSpec spec = spec_of(state, "");
  spec.argv = {"no-such-command"};
  exec(target_of(state, box.init()), spec);
  box.container().end_input();
  EXPECT_EQ(box.container().wait(), 1);
}

TEST(ContainerExec, TheContainerCanEndAfterAnExecWasKilled) {
  const CollectsNoOrphans lazy;
  const Directory state;
  Running box(launch_of(state, {}));
  const ExecTarget target = target_of(state, box.init());
  const ProcessSpec spec = spec_of(state, "echo ready; exec sleep 1000");
  Foreground sleeper([&] { return exec_in_container(target, spec); });
  ASSERT_EQ(sleeper.line(), "ready");
  sleeper.process().signal(SIGKILL);
  sleeper.rest();  // the command held the other end: it is gone
  box.container().end_input();
  EXPECT_EQ(box.container().wait(), 1);
}

TEST(ContainerExec, AContainerThatHasEndedIsRefused) {
  const Directory state;
  pid_t init = 0;
  {
    Running box(launch_of(state, {}));
    init = box.init();
    box.container().end_input();
    box.container().wait();
  }
  const auto result = exec(target_of(state, init), spec_of(state, "true"));
  EXPECT_EQ(result.status, kOurs);
  EXPECT_THAT(result.err, HasSubstr("container 'web' is not running"));
}

// ------------------------------------------------------------------ a container without a process

class Bare {
 public:
  Bare() {
    netns::prepare_pin_directory(state.path() + "/netns");
    netns::pin(space, state.path() + "/netns/0123456789ab");
    std::filesystem::create_directories(state.path() + "/containers/0123456789ab");
    write_text(state.path() + "/containers/0123456789ab/hosts", "own hosts\n");
  }
  ~Bare() { netns::remove_pin_directory(state.path() + "/netns"); }

  ExecTarget target() const {
    ExecTarget target = target_of(state, 0);
    target.namespace_path = state.path() + "/netns/0123456789ab";
    target.hostname = "bare";
    return target;
  }

  const Directory state;
  const netns::Namespace space = netns::Namespace::create();
};

TEST(ContainerExec, EntersANamespaceWithoutAProcess) {
  const Bare bare;
  mb::test::must(bare.space, "ip link add inside type bridge");
  const auto result = exec(bare.target(), spec_of(bare.state, "hostname; cat /etc/hosts; ls /sys/class/net; exit 5"));
  EXPECT_EQ(result.out, "bare\nown hosts\ninside\nlo\n");
  EXPECT_EQ(result.status, 5);
  EXPECT_THAT(read_text("/etc/hosts"), Not(HasSubstr("own hosts")));
}

TEST(ContainerExec, HidesTheStateInANamespaceWithoutAProcess) {
  const Bare bare;
  const auto result =
      exec(bare.target(), spec_of(bare.state, "ls -A " + bare.state.path() + "; grep -c nsfs /proc/self/mountinfo"));
  EXPECT_EQ(result.out, "0\n");
}

}  // namespace
}  // namespace mb::container::test
