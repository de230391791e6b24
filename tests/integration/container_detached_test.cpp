// SPDX-License-Identifier: GPL-2.0-or-later
//
// Containers in the background: their supervisor, their log, their end.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <csignal>
#include <optional>

#include <fmt/format.h>

#include "src/container/descriptors.h"
#include "src/container/log.h"
#include "src/container/run_files.h"
#include "tests/integration/container_support.h"

namespace mb::container::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kId = "0123456789ab";

// A detached container whose supervisor's number comes back through a pipe, as it would through the database.
class Detached {
 public:
  explicit Detached(const Launch& launch, Hooks hooks = {}) : state_dir_(launch.state_dir) {
    const Pipe numbers = open_pipe();
    hooks.attach = [&](const Prepared& container) {
      const pid_t both[2] = {::getpid(), container.init_pid()};
      [[maybe_unused]] const auto ignored = ::write(numbers.write.get(), both, sizeof both);
    };
    supervise_detached(launch, hooks);
    pid_t both[2];
    if (::read(numbers.read.get(), both, sizeof both) != sizeof both) throw std::runtime_error("no numbers");
    supervisor_ = both[0];
    init_ = both[1];
  }
  ~Detached() {
    if (is_alive(state_dir_, kId)) ::kill(supervisor_, SIGKILL);
    ::waitpid(supervisor_, nullptr, 0);
  }
  Detached(const Detached&) = delete;
  Detached& operator=(const Detached&) = delete;

  pid_t supervisor() const { return supervisor_; }
  pid_t init() const { return init_; }
  int wait() const { return ExitWaiter(state_dir_, kId, supervisor_).wait(); }

 private:
  std::string state_dir_;
  pid_t supervisor_ = 0;
  pid_t init_ = 0;
};

struct Logged {
  std::string out;
  std::string err;
  std::string both;

  LogSink sink() {
    return [this](Stream stream, std::string_view text) {
      (stream == Stream::out ? out : err) += text;
      both += text;
    };
  }
};

Logged log_of(const Directory& state, std::optional<std::size_t> tail = {}) {
  Logged logged;
  read_log(state.path(), kId, tail, logged.sink());
  return logged;
}

// ------------------------------------------------------------------ start and end

TEST(ContainerDetached, RunsOnWithItsExitStatusInTheStatusFile) {
  const Directory state;
  const Detached container(shell(state, "exit 6"));
  EXPECT_EQ(container.wait(), 6);
}

TEST(ContainerDetached, TheExitStatusCanBeReadAfterTheDirectoryIsGone) {
  const Directory state;
  const Detached container(launch_of(state, {"sleep", "1000"}));
  const ExitWaiter waiter(state.path(), kId, container.supervisor());
  std::filesystem::remove_all(state.path() + "/containers");
  ::kill(container.init(), SIGTERM);
  EXPECT_EQ(waiter.wait(), 143);
}

TEST(ContainerDetached, AKilledSupervisorCounts137AndTakesTheContainerAlong) {
  const Directory state;
  const Detached container(launch_of(state, {"sleep", "1000"}));
  const netns::UniqueFd init = open_process(container.init());
  const ExitWaiter waiter(state.path(), kId, container.supervisor());
  ::kill(container.supervisor(), SIGKILL);
  EXPECT_EQ(waiter.wait(), 137);
  EXPECT_TRUE(readable(init.get()));
}

TEST(ContainerDetached, WaitingForOneThatHasEndedReturnsAtOnce) {
  const Directory state;
  const Detached container(shell(state, "exit 6"));
  container.wait();
  EXPECT_EQ(ExitWaiter(state.path(), kId, container.supervisor()).fd(), -1);
  EXPECT_EQ(container.wait(), 6);
}

TEST(ContainerDetached, EndedRunsInTheSupervisor) {
  const Directory state;
  Hooks hooks;
  hooks.ended = [&](int status) { write_text(state.path() + "/ended", std::to_string(status)); };
  const Detached container(shell(state, "exit 6"), hooks);
  container.wait();
  EXPECT_EQ(read_text(state.path() + "/ended"), "6");
}

TEST(ContainerDetached, ACommandThatDoesNotExistComesBack) {
  const Directory state;
  try {
    supervise_detached(launch_of(state, {"no-such-command"}), {});
    FAIL() << "it was started";
  } catch (const CommandFailure& failure) {
    EXPECT_EQ(failure.exit_status(), 127);
    EXPECT_EQ(failure.kind(), ErrorKind::not_found);
    EXPECT_THAT(failure.message(), HasSubstr("there is no command 'no-such-command'"));
  }
  EXPECT_FALSE(is_alive(state.path(), kId));
  EXPECT_EQ(read_text(state.path() + "/containers/0123456789ab/status"), "") << "nothing ran that could have a status";
}

TEST(ContainerDetached, AnErrorOfAttachComesBackWhole) {
  const Directory state;
  Hooks hooks;
  hooks.attach = [](const Prepared&) {
    Error error(ErrorKind::conflict, "the port is taken", "take another", EADDRINUSE);
    Error cause(ErrorKind::failed, "and this failed too");
    cause.add_cause(Error(ErrorKind::privilege, "because"));
    error.add_cause(cause);
    throw error;
  };
  try {
    supervise_detached(shell(state, "true"), hooks);
    FAIL() << "it was started";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::conflict);
    EXPECT_EQ(error.message(), "the port is taken");
    EXPECT_EQ(error.hint(), "take another");
    EXPECT_EQ(error.error_number(), EADDRINUSE);
    ASSERT_EQ(error.causes().size(), 1U);
    ASSERT_EQ(error.causes()[0].causes().size(), 1U);
    EXPECT_EQ(error.causes()[0].causes()[0].message(), "because");
    EXPECT_EQ(error.causes()[0].causes()[0].kind(), ErrorKind::privilege);
  }
}

TEST(ContainerDetached, AFailureOfTheTakingBackIsToldUnderTheFirst) {
  const Directory state;
  Hooks hooks;
  hooks.attach = [](const Prepared&) {};
  hooks.failed = [] { throw Error(ErrorKind::failed, "cannot take it back"); };
  try {
    supervise_detached(launch_of(state, {"no-such-command"}), hooks);
    FAIL() << "it was started";
  } catch (const CommandFailure& failure) {
    ASSERT_EQ(failure.causes().size(), 1U);
    EXPECT_EQ(failure.causes()[0].message(), "cannot take it back");
  }
}

TEST(ContainerDetached, AKilledSupervisorIsNoticedByWhoWaitsForTheStart) {
  const Directory state;
  Hooks hooks;
  hooks.attach = [](const Prepared&) { ::kill(::getpid(), SIGKILL); };
  try {
    supervise_detached(shell(state, "true"), hooks);
    FAIL() << "it was started";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("supervisor ended before the command ran"));
  }
}

// What a supervisor says of its steps, to be read by a test whose own child, the supervisor's parent, is gone.
class News {
 public:
  Hooks hooks(const std::function<void()>& in_attach) {
    Hooks hooks;
    hooks.attach = [this, in_attach](const Prepared&) {
      say("attach ");
      in_attach();
    };
    hooks.ended = [this](int) { say("ended"); };
    return hooks;
  }
  void wait_for_first() const { ASSERT_TRUE(readable(pipe_.read.get())); }
  // All of it, once nobody is left who could say more.
  std::string all() {
    pipe_.write.reset();
    std::string text;
    char block[64];
    while (readable(pipe_.read.get())) {
      const ssize_t got = ::read(pipe_.read.get(), block, sizeof block);
      if (got <= 0) return text;
      text.append(block, static_cast<std::size_t>(got));
    }
    return text + "(and somebody still lives)";
  }

 private:
  void say(const std::string& text) const {
    [[maybe_unused]] const auto ignored = ::write(pipe_.write.get(), text.data(), text.size());
  }
  Pipe pipe_ = open_pipe();
};

TEST(ContainerDetached, WhenTheParentDiesAfterAttachTheContainerGoesOn) {
  const Directory state;
  News news;
  const Pipe gone = open_pipe();
  const auto wait_until_gone = [&gone] {
    char byte = 0;
    [[maybe_unused]] const auto ignored = ::read(gone.read.get(), &byte, 1);
  };
  {
    const Helper parent(fork_helper([&] {
      supervise_detached(shell(state, "true"), news.hooks(wait_until_gone));
      return 0;
    }));
    news.wait_for_first();
  }  // killed here
  ASSERT_EQ(::write(gone.write.get(), "x", 1), 1);
  EXPECT_EQ(news.all(), "attach ended");
}

TEST(ContainerDetached, WhenTheParentDiesBeforeAttachNothingIsStarted) {
  const Directory state;
  // The first thing a supervisor does is to open this file. Who has a lease on it is told, and the kernel lets the
  // supervisor wait until the lease is given up.
  const netns::UniqueFd lease(::open((state.path() + "/alive").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  sigset_t told;
  sigemptyset(&told);
  sigaddset(&told, SIGIO);
  ASSERT_EQ(::sigprocmask(SIG_BLOCK, &told, nullptr), 0);
  ASSERT_EQ(::fcntl(lease.get(), F_SETLEASE, F_WRLCK), 0);
  News news;
  {
    const Helper parent(fork_helper([&] {
      supervise_detached(shell(state, "true"), news.hooks([] {}));
      return 0;
    }));
    constexpr timespec kDeadline{20, 0};
    ASSERT_EQ(::sigtimedwait(&told, nullptr, &kDeadline), SIGIO);
  }  // killed here
  ASSERT_EQ(::fcntl(lease.get(), F_SETLEASE, F_UNLCK), 0);
  EXPECT_EQ(news.all(), "");
  EXPECT_FALSE(is_alive(state.path(), kId));
}

// ------------------------------------------------------------------ logs

TEST(ContainerLog, KeepsTheTwoStreamsApart) {
  const Directory state;
  Detached(shell(state, "echo one; echo two >&2; echo three; printf four >&2")).wait();
  const Logged logged = log_of(state);
  EXPECT_EQ(logged.out, "one\nthree\n");
  EXPECT_EQ(logged.err, "two\nfour");
}

TEST(ContainerLog, IsSafeForAnyByte) {
  const Directory state;
  LogWriter writer((std::filesystem::create_directories(state.path() + "/containers/0123456789ab"), state.path()), kId);
  std::string every;
  for (int i = 0; i < 512; ++i) every += static_cast<char>(i);
  writer.write(Stream::out, every);
  writer.write(Stream::err, "\n\n");
  writer.write(Stream::out, every);
  EXPECT_EQ(log_of(state).out, every + every);
  EXPECT_EQ(log_of(state).err, "\n\n");
  EXPECT_EQ(log_of(state).both, every + "\n\n" + every);
}

TEST(ContainerLog, TailCountsLinesAndTheUnfinishedLast) {
  const Directory state;
  std::filesystem::create_directories(state.path() + "/containers/0123456789ab");
  LogWriter writer(state.path(), kId);
  writer.write(Stream::out, "one\ntwo\n");
  writer.write(Stream::err, "three\n");
  writer.write(Stream::out, "fo");
  writer.write(Stream::out, "ur");
  EXPECT_EQ(log_of(state, 0).both, "");
  EXPECT_EQ(log_of(state, 1).both, "four");
  EXPECT_EQ(log_of(state, 2).both, "three\nfour");
  EXPECT_EQ(log_of(state, 9).both, "one\ntwo\nthree\nfour");
}

TEST(ContainerLog, OfAContainerWithoutOneIsEmpty) {
  const Directory state;
  EXPECT_THAT(log_of(state).both, IsEmpty());
}

TEST(ContainerLog, IsBoundedAndKeepsTheNewest) {
  const Directory state;
  const std::string directory = state.path() + "/containers/0123456789ab";
  std::filesystem::create_directories(directory);
  LogWriter writer(state.path(), kId);
  const std::string line(16 * 1024 - 1, 'x');
  constexpr int kLines = 2000;  // 31 MiB
  for (int i = 0; i < kLines; ++i) writer.write(Stream::out, line + "\n");
  writer.write(Stream::out, "the end\n");
  EXPECT_EQ(log_of(state, 1).both, "the end\n");
  const auto kept = std::filesystem::file_size(directory + "/log") + std::filesystem::file_size(directory + "/log.1");
  EXPECT_LE(kept, 16U * 1024 * 1024);
  EXPECT_GE(kept, 8U * 1024 * 1024);
  EXPECT_EQ(writer.dropped_bytes(), 0U);
}

TEST(ContainerLog, OnAFullDiskOutputIsDroppedCountedAndReported) {
  const Directory state;
  ASSERT_EQ(::mount("tmpfs", state.path().c_str(), "tmpfs", 0, "size=64k"), 0);
  std::filesystem::create_directories(state.path() + "/containers/0123456789ab");
  LogWriter writer(state.path(), kId);
  const std::string line = std::string(1023, 'x') + "\n";
  for (int i = 0; i < 100; ++i) writer.write(Stream::out, line);
  EXPECT_GT(writer.dropped_bytes(), 30U * 1024);
  const std::string kept = log_of(state).both;
  EXPECT_EQ(kept.size() % line.size(), 0U) << "half a line was kept";
  ::mount("tmpfs", state.path().c_str(), "tmpfs", MS_REMOUNT, "size=1m");
  writer.write(Stream::out, "room again\n");
  EXPECT_EQ(log_of(state, 2).both,
            fmt::format("minibridge: {} bytes of output could not be kept here\nroom again\n", writer.dropped_bytes()));
  ::umount2(state.path().c_str(), MNT_DETACH);
}

TEST(ContainerLog, OnAFullDiskTheContainerDoesNotHang) {
  const Directory state;
  ASSERT_EQ(::mount("tmpfs", state.path().c_str(), "tmpfs", 0, "size=256k"), 0);
  EXPECT_EQ(Detached(shell(state, "yes | head -c 3000000; exit 4")).wait(), 4);
  ::umount2(state.path().c_str(), MNT_DETACH);
}

TEST(ContainerLog, FollowEndsWithTheContainerAndMissesNothing) {
  const Directory state;
  const Detached container(shell(state, "for i in $(seq 500); do echo line $i; done"));
  const ExitWaiter ended(state.path(), kId, container.supervisor());
  Logged logged;
  follow_log(state.path(), kId, std::nullopt, logged.sink(), ended);
  EXPECT_EQ(logged.both, mb::test::must("for i in $(seq 500); do echo line $i; done"));
}

TEST(ContainerLog, FollowShowsWhatComesWhileTheContainerRuns) {
  const Directory state;
  const Detached container(
      shell(state, "trap 'echo second; exit 0' TERM; echo first; while :; do sleep 1000 & wait; done"));
  const ExitWaiter ended(state.path(), kId, container.supervisor());
  Logged logged;
  const LogSink sink = logged.sink();
  follow_log(
      state.path(), kId, std::nullopt,
      [&](Stream stream, std::string_view text) {
        sink(stream, text);
        if (logged.both == "first\n") ::kill(container.init(), SIGTERM);
      },
      ended);
  EXPECT_EQ(logged.both, "first\nsecond\n");
}

TEST(ContainerDetached, ATerminalGoesToTheLog) {
  const Directory state;
  Launch launch = shell(state, "tty >/dev/null && echo a terminal; echo err >&2");
  launch.process.terminal = true;
  EXPECT_EQ(Detached(launch).wait(), 0);
  EXPECT_EQ(log_of(state).out, "a terminal\r\nerr\r\n");
}

TEST(ContainerDetached, AnInteractiveOneWaitsForInputThatNeverComes) {
  const Directory state;
  Launch launch = launch_of(state, {"cat"});
  EXPECT_EQ(Detached(launch).wait(), 0);
  launch.process.interactive = true;
  const Detached waiting(launch);
  const ExitWaiter ended(state.path(), kId, waiting.supervisor());
  ASSERT_GE(ended.fd(), 0);
  ::kill(waiting.init(), SIGTERM);
  EXPECT_EQ(waiting.wait(), 143);
}

TEST(ContainerDetached, AnotherRunContinuesTheLogAndHasAStatusOfItsOwn) {
  const Directory state;
  {
    const Detached first(shell(state, "echo first; exit 1"));
    first.wait();
  }
  const Detached second(shell(state, "echo second; exit 2"));
  EXPECT_EQ(second.wait(), 2);
  EXPECT_EQ(log_of(state).out, "first\nsecond\n");
}

}  // namespace
}  // namespace mb::container::test
