// SPDX-License-Identifier: GPL-2.0-or-later
//
// `-t`: a real terminal in the container, and ours as it was afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include "src/container/exec.h"
#include "src/container/terminal.h"
#include "tests/integration/container_support.h"

namespace mb::container::test {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

// A user at a terminal: the test is the person, a child with that terminal as its own is minibridge.
class Seat {
 public:
  Seat(const winsize& size, const std::function<int()>& life)
      : pty_(open_pty(size)), before_(mode()), helper_(fork_helper([&] {
          ::setsid();
          take_terminal(pty_.slave);
          become_standard_streams({pty_.slave.get(), pty_.slave.get(), pty_.slave.get()});
          close_all_but({});
          return life();
        })) {}
  Seat(const winsize& size, const Launch& launch) : Seat(size, [&] { return supervise_foreground(launch, {}); }) {}

  void type(const std::string& keys) {
    [[maybe_unused]] const auto ignored = ::write(pty_.master.get(), keys.data(), keys.size());
  }
  // What has appeared on the screen once `text` has.
  std::string screen_with(const std::string& text) {
    char block[1024];
    while (screen_.find(text) == std::string::npos && readable(pty_.master.get())) {
      const ssize_t got = ::read(pty_.master.get(), block, sizeof block);
      if (got <= 0) break;
      screen_.append(block, static_cast<std::size_t>(got));
    }
    return screen_;
  }
  void resize(const winsize& size) { set_window_size(pty_.master.get(), size); }
  bool is_as_before() const {
    const termios now = mode();
    return now.c_lflag == before_.c_lflag && now.c_iflag == before_.c_iflag && now.c_oflag == before_.c_oflag;
  }
  Helper& process() { return helper_; }
  int wait() { return helper_.wait(); }

 private:
  termios mode() const {
    termios now{};
    ::tcgetattr(pty_.slave.get(), &now);
    return now;
  }

  Pty pty_;
  termios before_;
  std::string screen_;
  Helper helper_;
};

Launch terminal_shell(const Directory& state, const std::string& script) {
  Launch launch = shell(state, script);
  launch.process.terminal = true;
  launch.process.interactive = true;
  return launch;
}

constexpr winsize kSize{40, 100, 0, 0};

TEST(ContainerTerminal, HasANameAndTheSizeOfOurs) {
  const Directory state;
  Seat seat(kSize, terminal_shell(state, "tty; stty size; echo done; exit 3"));
  const std::string screen = seat.screen_with("done\r\n");
  EXPECT_THAT(screen, MatchesRegex("/dev/pts/[0-9]+\r\n40 100\r\ndone\r\n"));
  EXPECT_EQ(seat.wait(), 3);
}

TEST(ContainerTerminal, HasANameInARootFileSystemToo) {
  const Directory state;
  const Root root;
  Launch launch = terminal_shell(state, "tty; echo done");
  launch.process.rootfs = root.path();
  Seat seat(kSize, launch);
  EXPECT_EQ(seat.screen_with("done\r\n"), "/dev/pts/0\r\ndone\r\n");
  EXPECT_EQ(seat.wait(), 0);
}

TEST(ContainerTerminal, FollowsTheSizeOfOurs) {
  const Directory state;
  Seat seat(kSize, terminal_shell(state, std::string("trap 'stty size; exit 0' WINCH; ") + kWaits));
  seat.screen_with("ready");
  seat.resize({50, 120, 0, 0});
  EXPECT_THAT(seat.screen_with("50 120"), HasSubstr("50 120"));
  EXPECT_EQ(seat.wait(), 0);
}

TEST(ContainerTerminal, ControlCGoesToTheForegroundOfTheContainer) {
  const Directory state;
  Seat seat(kSize, terminal_shell(state, std::string("trap 'echo interrupted; exit 9' INT; ") + kWaits));
  seat.screen_with("ready");
  seat.type("\x03");
  EXPECT_THAT(seat.screen_with("interrupted"), HasSubstr("interrupted"));
  EXPECT_EQ(seat.wait(), 9);
}

TEST(ContainerTerminal, OursIsRawMeanwhileAndAsBeforeAfterwards) {
  const Directory state;
  Seat seat(kSize, terminal_shell(state, "echo ready; read line; echo got $line"));
  seat.screen_with("ready");
  EXPECT_FALSE(seat.is_as_before());
  seat.type("word\r");
  seat.screen_with("got word");
  EXPECT_EQ(seat.wait(), 0);
  EXPECT_TRUE(seat.is_as_before());
}

TEST(ContainerTerminal, OursIsAsBeforeAfterASignal) {
  const Directory state;
  Seat seat(kSize, terminal_shell(state, "echo ready; exec sleep 1000"));
  seat.screen_with("ready");
  seat.process().signal(SIGTERM);
  EXPECT_EQ(seat.wait(), 143);
  EXPECT_TRUE(seat.is_as_before());
}

TEST(ContainerTerminal, LosesNothingOfALongOutput) {
  const Directory state;
  Launch launch = shell(state, "seq 20000");
  launch.process.terminal = true;
  std::string expected;
  for (int i = 1; i <= 20000; ++i) expected += std::to_string(i) + "\r\n";
  EXPECT_EQ(run(launch).out, expected);
}

TEST(ContainerTerminal, InputThatEndsEndsTheTerminalsInput) {
  const Directory state;
  Launch launch = launch_of(state, {"cat"});
  launch.process.terminal = true;
  launch.process.interactive = true;
  Foreground cat(launch);
  cat.type("no newline");
  cat.end_input();
  EXPECT_EQ(cat.wait(), 0);
}

TEST(ContainerTerminal, ExecHasOneToo) {
  const Directory state;
  Launch launch = shell(state, "echo ready; read line");
  launch.process.interactive = true;
  Hooks hooks;
  hooks.attach = [](const Prepared& container) { dprintf(STDOUT_FILENO, "%d\n", container.init_pid()); };
  Foreground box(launch, hooks);
  ExecTarget target;
  target.id = launch.id;
  target.name = launch.name;
  target.state_dir = state.path();
  target.init_pid = std::stoi(box.line());
  ASSERT_EQ(box.line(), "ready");
  const ProcessSpec spec = terminal_shell(state, "stty size; echo done; exit 4").process;
  Seat seat(kSize, [&] { return exec_in_container(target, spec); });
  EXPECT_EQ(seat.screen_with("done\r\n"), "40 100\r\ndone\r\n");
  EXPECT_EQ(seat.wait(), 4);
  EXPECT_TRUE(seat.is_as_before());
}

}  // namespace
}  // namespace mb::container::test
