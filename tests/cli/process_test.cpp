// SPDX-License-Identifier: GPL-2.0-or-later
//
// `run` and `exec` as a user meets them: exit status, streams, signals, terminals, and what the command finds inside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "tests/support/program.h"
#include "tests/support/snapshot.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

struct Processes : testing::Test {
  World world;
  Program program;
};

// ------------------------------------------------------------------ exit status

TEST_F(Processes, TheExitStatusIsTheCommands) {
  EXPECT_EQ(Program::mb("run -- true").status, 0);
  EXPECT_EQ(Program::mb("run -- sh -c 'exit 7'").status, 7);
  EXPECT_EQ(Program::mb("run -- sh -c 'kill -TERM $$'").status, 143);
  EXPECT_EQ(Program::mb("run -- /run/no/such/command").status, 127);
  EXPECT_EQ(Program::mb("run -- no-such-command").status, 127);
  EXPECT_EQ(Program::mb("run -- /etc/passwd").status, 126);
  EXPECT_EQ(Program::mb("run -- /etc").status, 126);
  Program::must_mb("create c1");
  EXPECT_EQ(Program::mb("exec c1 -- sh -c 'exit 7'").status, 7);
  EXPECT_EQ(Program::mb("exec c1 -- no-such-command").status, 127);
  EXPECT_EQ(Program::mb("exec c1 -- /etc/passwd").status, 126);
}

TEST_F(Processes, ACommandMayFollowWithoutDashes) {
  EXPECT_EQ(Program::must_mb("run echo hello"), "hello\n");
  EXPECT_EQ(Program::must_mb("run -- echo -n -- x"), "-- x");
}

TEST_F(Processes, NothingIsLeftOfAForegroundRun) {
  Program::must_mb("create c1");
  const auto host = snapshot_host();
  const auto state = program.look_at_state();
  EXPECT_EQ(Program::mb("run -p 8080:80 -- sh -c 'exit 3'").status, 3);
  EXPECT_EQ(Program::mb("run -p 8080:80 -- no-such-command").status, 127);
  EXPECT_EQ(Program::mb("run -d --name x -p 8080:80 -- no-such-command").status, 127);
  EXPECT_EQ(program.look_at_state().size(), state.size());
  EXPECT_EQ(snapshot_host(), host);
}

TEST_F(Processes, StreamsArePassedThrough) {
  const auto ran = Program::mb("run -- sh -c 'echo out; echo err >&2'");
  EXPECT_EQ(ran.out, "out\n");
  EXPECT_THAT(ran.err, testing::EndsWith("err\n"));
  EXPECT_EQ(must("echo hello | minibridge run -i -- cat"), "hello\n");
  EXPECT_EQ(must("head -c 1000000 /dev/zero | minibridge run -i -- cat | wc -c"), "1000000\n");
  EXPECT_EQ(must("echo hello | minibridge run -- sh -c 'cat | wc -c'"), "0\n") << "without -i there is no input";
  Program::must_mb("create c1");
  EXPECT_EQ(must("echo hello | minibridge exec -i c1 -- cat"), "hello\n");
}

TEST_F(Processes, MissingStandardStreamsAreNoHindrance) {
  must("timeout 30 minibridge run -d --name none -- sleep 600 <&- >&- 2>&-");
  EXPECT_THAT(Program::must_mb("ps"), HasSubstr("none"));
  Program::must_mb("rm -f none");
  EXPECT_EQ(sh("timeout 30 minibridge run -- true <&- >&-").status, 0);
  must("timeout 30 minibridge create c1 >&-");
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

// ------------------------------------------------------------------ signals

class Signalled : public Processes, public testing::WithParamInterface<int> {};

TEST_P(Signalled, TheForegroundContainerEndsAndIsRemoved) {
  Program::must_mb("create c1");
  const auto host = snapshot_host();
  netns::Child child(netns::Command{"minibridge", "run", "--name", "fg", "-p", "8080:80", "-v",
                                    program.directory() + ":/mnt", "--", "sh", "-c",
                                    "echo up > /mnt/up; exec sleep 600"});
  ASSERT_TRUE(appears(program.directory() + "/up"));
  child.kill(GetParam());
  EXPECT_EQ(child.wait(), 128 + GetParam());
  EXPECT_THAT(Program::must_mb("ps -a"), Not(HasSubstr("fg")));
  EXPECT_EQ(snapshot_host(), host);
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

INSTANTIATE_TEST_SUITE_P(By, Signalled, testing::Values(SIGTERM, SIGINT, SIGHUP),
                         [](const auto& test) { return std::string("SIG") + sigabbrev_np(test.param); });

// ------------------------------------------------------------------ terminals

// A person at a terminal in front of "minibridge WORDS".
class Seat {
 public:
  explicit Seat(const std::string& words) {
    const winsize size{31, 97, 0, 0};
    pid_ = ::forkpty(&master_, nullptr, nullptr, &size);
    if (pid_ != 0) return;
    ::execl("/bin/sh", "sh", "-c", ("exec minibridge " + words).c_str(), nullptr);
    ::_exit(99);
  }
  ~Seat() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
    ::close(master_);
  }
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;

  void type(const std::string& keys) const {
    [[maybe_unused]] const auto ignored = ::write(master_, keys.data(), keys.size());
  }
  // What has appeared since the last call once `text` has; all there was if it does not.
  std::string until(const std::string& text) {
    std::string seen;
    char c = 0;
    pollfd entry{master_, POLLIN, 0};
    while (seen.find(text) == std::string::npos && ::poll(&entry, 1, 30'000) > 0 && ::read(master_, &c, 1) == 1)
      seen += c;
    return seen;
  }
  void resize(unsigned short rows, unsigned short columns) const {
    const winsize size{rows, columns, 0, 0};
    ::ioctl(master_, TIOCSWINSZ, &size);
  }
  int wait() {
    until("\xff\xff never comes");  // to the end of the output, so that nobody waits for us to read
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  int master_ = -1;
  pid_t pid_ = -1;
};

TEST_F(Processes, TheTerminalIsARealOne) {
  Seat seat("run -it -- sh -c 'tty; stty size; echo =; read x; stty size; exit 4'");
  EXPECT_THAT(seat.until("=\r\n"), HasSubstr("\r\n31 97\r\n"));
  seat.resize(20, 60);
  seat.type("go\n");
  EXPECT_THAT(seat.until("20 60"), HasSubstr("20 60"));
  EXPECT_EQ(seat.wait(), 4);
}

TEST_F(Processes, JobControlWorksInside) {
  Seat seat("run -it -- sh -c 'PS1=\"prompt: \" exec bash --norc --noprofile -i'");
  seat.until("prompt: ");
  // Typed in two halves, so that a whole word is only in an answer of the job: then it has the terminal.
  seat.type("sh -c 'trap \"echo $1$2\" CONT; echo $3$4; sleep 600 & while :; do wait; done' - ba ck be gun\n");
  ASSERT_THAT(seat.until("begun\r\n"), HasSubstr("begun"));
  seat.type("\x1a");  // Ctrl-Z
  EXPECT_THAT(seat.until("prompt: "), HasSubstr("Stopped"));
  seat.type("jobs; fg\n");
  seat.until("fg\r\n");
  EXPECT_THAT(seat.until("be gun\r\n"), HasSubstr("Stopped"));
  EXPECT_THAT(seat.until("back\r\n"), HasSubstr("back"));
  seat.type("\x03");  // Ctrl-C ends the job, not the shell
  seat.until("prompt: ");
  seat.type("echo $((6*7)); exit 5\n");
  EXPECT_THAT(seat.until("42\r\n"), HasSubstr("42\r\n"));
  EXPECT_EQ(seat.wait(), 5);
}

TEST_F(Processes, ExecGivesATerminalToo) {
  Program::must_mb("create c1");
  Seat seat("exec -it c1 -- sh -c 'tty; stty size; ip -br link show eth0'");
  EXPECT_THAT(seat.until("eth0@"), testing::AllOf(HasSubstr("/dev/pts/"), HasSubstr("31 97")));
  EXPECT_EQ(seat.wait(), 0);
}

TEST_F(Processes, CtrlCAtATerminalEndsAForegroundRunThatHasNone) {
  Seat seat("run --name fg -- sh -c 'echo up; exec sleep 600'");
  EXPECT_THAT(seat.until("up\r\n"), HasSubstr("up"));
  seat.type("\x03");
  EXPECT_EQ(seat.wait(), 130);
  EXPECT_EQ(Program::must_mb("ps -a -q"), "");
}

TEST_F(Processes, WithoutATerminalTisStillOneForTheCommand) {
  EXPECT_THAT(Program::must_mb("run -t -- tty"), StartsWith("/dev/pts/"));
  EXPECT_EQ(Program::mb("run -- tty").status, 1);
}

// ------------------------------------------------------------------ what the command finds

TEST_F(Processes, TheEnvironmentIsWhatWasAskedFor) {
  const auto file = program.write("env", "# comment\nFROM_FILE=1\n\nBOTH=file\nGIVEN\n");
  const auto said = must("GIVEN=given PASSED=passed minibridge run --name web --env-file " + file +
                         " -e BOTH=option -e PASSED -e ABSENT -e 'SPACE=a b' -- env");
  const auto lines = lines_of(said);
  EXPECT_THAT(lines, testing::IsSupersetOf(
                         {"FROM_FILE=1", "BOTH=option", "GIVEN=given", "PASSED=passed", "SPACE=a b", "HOSTNAME=web"}));
  EXPECT_THAT(said, testing::AllOf(Not(HasSubstr("ABSENT")), Not(HasSubstr("comment")), Not(HasSubstr("MINIBRIDGE"))));
}

TEST_F(Processes, ExecHasTheEnvironmentOfTheContainer) {
  Program::must_mb("run -d --name web -e COLOUR=green -e TERM=vt100 -- sleep 600");
  Program::must_mb("create c1");
  for (const std::string terminal : {"", "-t "}) {
    EXPECT_THAT(Program::must_mb("exec " + terminal + "-e MORE=1 web -- env"),
                testing::AllOf(HasSubstr("COLOUR=green"), HasSubstr("TERM=vt100"), HasSubstr("MORE=1"),
                               HasSubstr("HOSTNAME=web"), HasSubstr("PATH=")));
  }
  EXPECT_THAT(Program::must_mb("exec -t c1 -- env"), HasSubstr("TERM=xterm"));
  EXPECT_THAT(Program::must_mb("exec -t -e TERM=dumb web -- env"), HasSubstr("TERM=dumb"));
  EXPECT_THAT(Program::must_mb("exec c1 -- env"), Not(HasSubstr("TERM=")));
}

TEST_F(Processes, WorkingDirectoryAndVolumes) {
  fs::create_directories(program.directory() + "/data");
  program.write("data/file", "content\n");
  const std::string volume = program.directory() + "/data:/mnt";
  EXPECT_EQ(Program::must_mb("run -w /mnt -v " + volume + " -- sh -c 'pwd; cat file; echo new > made'"),
            "/mnt\ncontent\n");
  EXPECT_EQ(read_text(program.directory() + "/data/made"), "new\n");
  const auto refused = Program::mb("run -v " + volume + ":ro -- sh -c 'echo x > /mnt/file'");
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("Read-only file system"));
  EXPECT_EQ(Program::mb("run -w /no/such/directory -- true").status, 125);
}

TEST_F(Processes, TheUserCanBeChanged) {
  if (!read_text("/proc/self/setgroups").starts_with("allow")) {
    const auto refused = Program::mb("run -u 65534 -- id -u");
    EXPECT_EQ(refused.status, 125) << "one id is mapped here, so there is no other user to become";
    EXPECT_THAT(refused.err, StartsWith("error: "));
    return;
  }
  EXPECT_EQ(Program::must_mb("run -u 65534:65534 -- id -u"), "65534\n");
  EXPECT_EQ(Program::must_mb("run -u nobody -- id -un"), "nobody\n");
}

TEST_F(Processes, CapabilitiesAreDockersAndCanBeChanged) {
  const auto effective = [](const std::string& options) {
    const auto text = Program::must_mb("run " + options + " -- sh -c 'grep CapEff /proc/self/status'");
    return std::stoull(text.substr(text.find_first_of("0123456789abcdef", 7)), nullptr, 16);
  };
  constexpr unsigned kNetAdmin = 12;
  constexpr unsigned kNetRaw = 13;
  const auto usual = effective("");
  EXPECT_EQ(usual, 0xa80425fbULL);
  EXPECT_EQ(usual >> kNetAdmin & 1, 0U);
  EXPECT_EQ(usual >> kNetRaw & 1, 1U);
  EXPECT_EQ(effective("--cap-add NET_ADMIN --cap-drop CAP_NET_RAW"), (usual | 1U << kNetAdmin) & ~(1ULL << kNetRaw));
  EXPECT_EQ(effective("--cap-drop ALL"), 0U);
  EXPECT_EQ(effective("--privileged") >> kNetAdmin & 1, 1U);
}

TEST_F(Processes, ARootFileSystemOfItsOwn) {
  const auto root = program.directory() + "/root";
  must("mkdir -p " + root + "/usr " + root + "/etc && mount --rbind /usr " + root + "/usr && cd " + root +
       " && for d in bin lib lib64 sbin; do test -L /$d && ln -s usr/$d $d; done; echo mine > etc/issue");
  EXPECT_EQ(
      Program::must_mb("run --name web --rootfs " + root + " -- sh -c 'cat /etc/issue /etc/hostname; test -d /proc/1'"),
      "mine\nweb\n");
  EXPECT_EQ(Program::mb("run --rootfs " + root + " -- ls " + root).status, 2) << "the host's files are not there";
  must("umount -l " + root + "/usr");
}

TEST_F(Processes, NamespacesAreItsOwn) {
  const auto said = Program::must_mb("run -- sh -c 'for n in net pid mnt uts ipc; do readlink /proc/self/ns/$n; done'");
  const auto ours = must("for n in net pid mnt uts ipc; do readlink /proc/self/ns/$n; done");
  const auto inside = lines_of(said);
  const auto outside = lines_of(ours);
  ASSERT_EQ(inside.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NE(inside[i], outside[i]);
  EXPECT_EQ(Program::must_mb("run --network host -- readlink /proc/self/ns/net"), outside[0] + "\n");
  EXPECT_EQ(Program::must_mb("run --network none -- ip -br link").substr(0, 2), "lo");
}

TEST_F(Processes, TheHostHasANameInsideWhenAskedFor) {
  const auto entry = [](const std::string& options) {
    return Program::must_mb("run " + options + " --add-host outer:host-gateway -- grep outer /etc/hosts");
  };
  EXPECT_EQ(entry(""), "172.17.0.1\touter\n") << "the default network is made by the same run";
  EXPECT_EQ(entry("--add-host db:192.0.2.7"), "172.17.0.1\touter\n");
  Program::must_mb("network create --subnet 10.20.0.0/24 --gateway 10.20.0.77 n1");
  Program::must_mb("network create --subnet 10.21.0.0/24 n2");
  EXPECT_EQ(entry("--network n1 --network n2"), "10.20.0.77\touter\n");
  const auto refused = Program::mb("run --network none --add-host outer:host-gateway -- true");
  EXPECT_EQ(refused.status, 125);
  EXPECT_THAT(refused.err, HasSubstr("host-gateway"));
}

TEST_F(Processes, SysctlsOfItsNetwork) {
  EXPECT_EQ(
      Program::must_mb("run --sysctl net.ipv4.ip_unprivileged_port_start=0 --sysctl net.ipv4.ip_default_ttl=77 -- "
                       "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ip_default_ttl"),
      "0\n77\n");
}

TEST_F(Processes, EndingTheFirstProcessEndsEverything) {
  Program::must_mb("run -- sh -c 'sleep 600 & echo $! ; exit 0'");
  EXPECT_EQ(Program::must_mb("ps -a -q"), "");
  Program::must_mb("run -d --name web -- sh -c 'sleep 600 & exec sleep 600'");
  const int init = Program::inspect("web")["pid"].get<int>();
  Program::must_mb("rm -f web");
  EXPECT_FALSE(fs::exists("/proc/" + std::to_string(init)));
}

}  // namespace
}  // namespace mb::test
