// SPDX-License-Identifier: GPL-2.0-or-later
//
// The netns library against the real kernel, and the helpers that the other kernel tests trust.
#include "netns/netns.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "tests/support/capture.h"
#include "tests/support/snapshot.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using netns::Child;
using netns::Command;
using netns::Namespace;
using netns::run_in;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// What a call throws, for the tests that look at the error's words.
template <typename Function>
std::system_error failure_of(Function function) {
  try {
    function();
  } catch (const std::system_error& e) {
    return e;
  }
  throw std::logic_error("it did not fail");
}

// A path of this test's own in the private /run.
std::string scratch(const std::string& name) {
  const std::string directory = std::string("/run/") + testing::UnitTest::GetInstance()->current_test_info()->name();
  std::filesystem::create_directories(directory);
  return directory + "/" + name;
}

bool exists(const std::string& path) { return std::filesystem::exists(path); }

// ------------------------------------------------------------------ UniqueFd

TEST(UniqueFd, ClosesWhenItGoes) {
  int number = -1;
  {
    const netns::UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    number = fd.get();
    EXPECT_NE(::fcntl(number, F_GETFD), -1);
  }
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(UniqueFd, MovingLeavesNothingBehind) {
  netns::UniqueFd from(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = from.get();
  netns::UniqueFd to(std::move(from));
  EXPECT_EQ(to.get(), number);
  EXPECT_FALSE(from);  // NOLINT(bugprone-use-after-move): the point of the test
  netns::UniqueFd& itself = to;
  to = std::move(itself);
  EXPECT_NE(::fcntl(number, F_GETFD), -1);
}

// ------------------------------------------------------------------ Namespace

TEST(Namespace, CreateLeavesTheCallerWhereItIs) {
  const Namespace before = Namespace::current();
  const Namespace made = Namespace::create();
  EXPECT_TRUE(Namespace::current().same_as(before));
  EXPECT_FALSE(made.same_as(before));
}

TEST(Namespace, ANewOneHasOnlyALoopbackThatIsDown) {
  const std::string links = must(Namespace::create(), "ip -o link");
  EXPECT_THAT(links, AllOf(StartsWith("1: lo: <LOOPBACK> "), HasSubstr("state DOWN")));
  EXPECT_EQ(std::count(links.begin(), links.end(), '\n'), 1);
}

TEST(Namespace, CookiesDifferAndBelongToTheNamespace) {
  const Namespace a = Namespace::create();
  const Namespace b = Namespace::create();
  const Namespace a_again = Namespace::open("/proc/self/fd/" + std::to_string(a.fd()));
  EXPECT_NE(a.cookie(), 0U);
  EXPECT_EQ(a.cookie(), a_again.cookie());
  EXPECT_NE(a.cookie(), b.cookie());
  EXPECT_NE(a.cookie(), Namespace::current().cookie());
}

TEST(Namespace, OfProcessIsWhereThatProcessIs) {
  const Namespace box = Namespace::create();
  const Child sleeper(Command{"sleep", "600"}, box);
  EXPECT_TRUE(Namespace::of_process(sleeper.pid()).same_as(box));
  EXPECT_TRUE(Namespace::of_process(::getpid()).same_as(Namespace::current()));
}

TEST(Namespace, OfProcessNamesTheProcessThatIsNotThere) {
  const auto failure = failure_of([] { Namespace::of_process(0x3fffffff); });
  EXPECT_EQ(failure.code().value(), ENOENT);
  EXPECT_THAT(failure.what(), HasSubstr("network namespace of process 1073741823"));
}

TEST(Namespace, OpenRefusesWhatIsNoNetworkNamespace) {
  std::ofstream(scratch("empty"));
  ASSERT_EQ(::mkfifo(scratch("fifo").c_str(), 0600), 0);
  for (const std::string& path : {scratch("empty"), scratch("fifo"), std::string("/run"), std::string("/dev/null"),
                                  std::string("/proc/self/ns/mnt")}) {
    const auto failure = failure_of([&] { Namespace::open(path); });
    EXPECT_EQ(failure.code().value(), EINVAL) << path;
    EXPECT_EQ(failure.what(), "'" + path + "' is not a network namespace: Invalid argument");
  }
  EXPECT_EQ(failure_of([] { Namespace::open("/run/nowhere"); }).code().value(), ENOENT);
}

// ------------------------------------------------------------------ run_in

TEST(RunIn, ReturnsTheResultFromInside) {
  const Namespace box = Namespace::create();
  EXPECT_TRUE(run_in(box, [] { return Namespace::current(); }).same_as(box));
  EXPECT_EQ(*run_in(box, [] { return std::make_unique<int>(7); }), 7);
}

TEST(RunIn, TakesFunctionsWithoutResultAndWithReferences) {
  const Namespace box = Namespace::create();
  int calls = 0;
  run_in(box, [&] { ++calls; });
  int& same = run_in(box, [&]() -> int& { return calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(&same, &calls);
}

TEST(RunIn, RethrowsWhatTheFunctionThrew) {
  struct Mine {
    int number;
  };
  try {
    run_in(Namespace::current(), [] { throw Mine{42}; });
    FAIL() << "nothing was thrown";
  } catch (const Mine& mine) {
    EXPECT_EQ(mine.number, 42);
  }
}

TEST(RunIn, TheCallerStaysAlsoWhenTheFunctionThrows) {
  const Namespace before = Namespace::current();
  const Namespace box = Namespace::create();
  EXPECT_THROW(run_in(box, [] { throw std::runtime_error("no"); }), std::runtime_error);
  EXPECT_TRUE(Namespace::current().same_as(before));
}

TEST(RunIn, BlocksEverySignalInsideAndLeavesTheCallersMask) {
  sigset_t only_usr1;
  sigemptyset(&only_usr1);
  sigaddset(&only_usr1, SIGUSR1);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &only_usr1, nullptr), 0);
  const sigset_t inside = run_in(Namespace::current(), [] {
    sigset_t mask;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    return mask;
  });
  sigset_t after;
  sigset_t none;
  sigemptyset(&none);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &none, &after), 0);
  EXPECT_TRUE(sigismember(&inside, SIGTERM) && sigismember(&inside, SIGCHLD));
  EXPECT_TRUE(sigismember(&after, SIGUSR1));
  EXPECT_FALSE(sigismember(&after, SIGTERM));
}

TEST(RunIn, ASocketStaysInTheNamespaceItWasOpenedIn) {
  const World world;
  const TcpServer server(world.outside(), "198.51.100.9", 7000);
  const netns::UniqueFd socket(run_in(world.outside(), [] { return ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); }));
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  ASSERT_EQ(::getsockopt(socket.get(), SOL_SOCKET, 71, &cookie, &size), 0);
  EXPECT_EQ(cookie, world.outside().cookie());
}

// ------------------------------------------------------------------ pins

netns::UniqueFd link_events() {
  netns::UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("cannot listen to link events");
  }
  return fd;
}

bool reports_a_removed_link(int events) {
  pollfd entry{events, POLLIN, 0};
  while (::poll(&entry, 1, 10'000) > 0) {
    alignas(nlmsghdr) char buffer[16384];
    const ssize_t got = ::recv(events, buffer, sizeof buffer, 0);
    if (got < 0) return false;
    if (reinterpret_cast<const nlmsghdr*>(buffer)->nlmsg_type == RTM_DELLINK) return true;
  }
  return false;
}

TEST(NamespaceToCome, HasRunTheFunctionInsideWhenItIsSettled) {
  netns::Worker worker;
  std::uint64_t cookie = 0;
  netns::NamespaceToCome coming(worker, [&cookie] { cookie = Namespace::current_cookie(); });
  const Namespace box = coming.take();
  coming.settle();
  EXPECT_EQ(box.cookie(), cookie);
  EXPECT_NE(box.cookie(), Namespace::current_cookie());
}

TEST(NamespaceToCome, ThrowsWhatTheFunctionInsideThrew) {
  netns::Worker worker;
  netns::NamespaceToCome coming(worker, [] { throw std::runtime_error("inside"); });
  EXPECT_NO_THROW((void)coming.take());
  EXPECT_THROW(coming.settle(), std::runtime_error);
}

#ifndef MB_SANITIZE  // a sanitizer needs descriptors, too
TEST(NamespaceToCome, ThrowsWhenThereIsNoDescriptorLeft) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  netns::Worker worker;
  netns::NamespaceToCome coming(worker, [] {});
  EXPECT_THROW((void)coming.take(), std::system_error);
  ::setrlimit(RLIMIT_NOFILE, &before);
}
#endif

TEST(NamespaceToCome, NeedNotBeTaken) {
  netns::Worker worker;
  int runs = 0;
  {
    const netns::NamespaceToCome coming(worker, [&runs] { ++runs; });
  }
  EXPECT_LE(runs, 1);  // it may not have been begun
  const int before = runs;
  worker.begin([] {}).finish();
  EXPECT_EQ(runs, before);
}

TEST(NamespaceToCome, LeavesTheWorkerWhereItWas) {
  netns::Worker worker;
  netns::NamespaceToCome good(worker, [] {});
  netns::NamespaceToCome bad(worker, [] { throw std::runtime_error("inside"); });
  std::uint64_t cookie = 0;
  auto further = worker.begin([&cookie] { cookie = Namespace::current_cookie(); });
  further.finish();
  EXPECT_EQ(cookie, Namespace::current_cookie());
  EXPECT_NE(good.take().cookie(), cookie);
  EXPECT_THROW(bad.settle(), std::runtime_error);
}

// ------------------------------------------------------------------ the worker

// Holds the worker up until it goes.
class Obstacle {
 public:
  explicit Obstacle(netns::Worker& worker)
      : task_(worker.begin([this] {
          in_the_way_.set_value();
          released_.get_future().wait();
        })) {
    in_the_way_.get_future().wait();
  }
  ~Obstacle() { released_.set_value(); }

 private:
  std::promise<void> in_the_way_;
  std::promise<void> released_;
  netns::Worker::Task task_;
};

TEST(Worker, DoesWhatItWasGivenOnAnotherThread) {
  netns::Worker worker;
  std::thread::id where;
  worker.begin([&where] { where = std::this_thread::get_id(); }).finish();
  EXPECT_NE(where, std::this_thread::get_id());
  EXPECT_NE(where, std::thread::id());
}

TEST(Worker, WhatItHasNotComeToIsDoneByWhoeverNeedsIt) {
  netns::Worker worker;
  const Obstacle obstacle(worker);
  std::thread::id where;
  worker.offer([&where] { where = std::this_thread::get_id(); }).finish();
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST(Worker, IsHelpedWithWhatIsNotBoundToIt) {
  netns::Worker worker;
  const Obstacle obstacle(worker);
  std::thread::id where;
  bool ran = false;
  auto free = worker.offer([&where] { where = std::this_thread::get_id(); });
  {
    const auto bound = worker.begin([&ran] { ran = true; });
    worker.help();
    EXPECT_FALSE(ran);
  }
  EXPECT_EQ(where, std::this_thread::get_id());
  free.finish();
}

TEST(Worker, NeedsNoThreadForWhatIsOnlyOffered) {
  netns::Worker worker;
  std::thread::id where;
  auto task = worker.offer([&where] { where = std::this_thread::get_id(); });
  task.finish();
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST(Worker, TellsWhatFailed) {
  netns::Worker worker;
  const auto fail = [] { throw std::runtime_error("why"); };
  EXPECT_THROW(worker.begin(fail).finish(), std::runtime_error);
  EXPECT_THROW(worker.begin(fail).finish(), std::runtime_error);
  EXPECT_THROW(netns::Worker().offer(fail).finish(), std::runtime_error);
}

TEST(Worker, DropsWhatNobodyWaitsForAnyMore) {
  netns::Worker worker;
  bool ran = false;
  {
    const Obstacle obstacle(worker);
    (void)worker.offer([&ran] { ran = true; });
  }
  worker.wait();
  EXPECT_FALSE(ran);
}

TEST(Worker, BeginsAgainAfterItWasClosedOrHasLeft) {
  netns::Worker worker;
  int done = 0;
  worker.begin([&] { ++done; }).finish();
  worker.close();
  worker
      .begin([&] {
        ++done;
        worker.leave();
      })
      .finish();
  worker.begin([&] { ++done; }).finish();
  EXPECT_EQ(done, 3);
}

TEST(Worker, WhatWaitsBehindALeavingThreadIsDoneAllTheSame) {
  netns::Worker worker;
  bool ran = false;
  auto last = worker.begin([&worker] { worker.leave(); });
  auto stranded = worker.offer([&ran] { ran = true; });
  last.finish();
  stranded.finish();
  EXPECT_TRUE(ran);
}

TEST(Pin, KeepsTheNamespaceWhenAllHandlesAreClosed) {
  const std::string path = scratch("box");
  std::uint64_t cookie = 0;
  {
    const Namespace box = Namespace::create();
    cookie = box.cookie();
    netns::pin(box, path);
  }
  EXPECT_TRUE(netns::is_pinned(path));
  EXPECT_EQ(Namespace::open(path).cookie(), cookie);
  EXPECT_TRUE(netns::unpin(path));
}

TEST(Pin, UnpinFreesTheNamespaceAndTheName) {
  const World world;
  const std::string path = scratch("box");
  netns::pin(World::add_neighbour("peer", "203.0.113.1/24", "203.0.113.2/24"), path);
  EXPECT_THAT(must("ip -o link"), HasSubstr("peer"));
  const netns::UniqueFd events = link_events();
  EXPECT_TRUE(netns::unpin(path));
  EXPECT_FALSE(exists(path));
  EXPECT_FALSE(netns::is_pinned(path));
  // That was the last reference: the kernel takes the links away a little later, and says so.
  EXPECT_TRUE(reports_a_removed_link(events.get()));
  EXPECT_NE(sh("ip link show peer").status, 0);
}

TEST(Pin, AnExistingPathIsRefusedAndLeftAlone) {
  const std::string path = scratch("taken");
  std::ofstream(path) << "mine";
  const auto failure = failure_of([&] { netns::pin(Namespace::current(), path); });
  EXPECT_EQ(failure.code().value(), EEXIST);
  EXPECT_THAT(failure.what(), HasSubstr("'" + path + "'"));
  EXPECT_EQ(std::filesystem::file_size(path), 4U);
}

// Capabilities belong to a thread: this one goes with its own.
void give_up_all_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2] = {};
  if (::syscall(SYS_capset, &header, none) != 0) throw std::runtime_error("cannot give up capabilities");
}

TEST(Pin, AFailureLeavesNoFile) {
  const std::string path = scratch("box");
  const Namespace box = Namespace::create();
  const auto failure = run_in(Namespace::current(), [&] {
    give_up_all_capabilities();
    return failure_of([&] { netns::pin(box, path); });
  });
  EXPECT_EQ(failure.code().value(), EPERM);
  EXPECT_EQ(failure.what(), "cannot mount a network namespace on '" + path + "': Operation not permitted");
  EXPECT_FALSE(exists(path));
}

TEST(Pin, UnpinFinishesWhatWasInterrupted) {
  const std::string path = scratch("box");
  EXPECT_FALSE(netns::unpin(path));  // nothing there

  std::ofstream{path};  // the file without its mount
  EXPECT_FALSE(netns::is_pinned(path));
  EXPECT_TRUE(netns::unpin(path));
  EXPECT_FALSE(exists(path));

  netns::pin(Namespace::current(), path);  // two mounts on one file
  ASSERT_EQ(::mount("/proc/self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr), 0);
  EXPECT_TRUE(netns::unpin(path));
  EXPECT_FALSE(exists(path));
}

TEST(Pin, UnpinSaysWhatItCannotRemove) {
  const std::string path = scratch("directory");
  std::filesystem::create_directory(path);
  EXPECT_THAT(failure_of([&] { netns::unpin(path); }).what(), HasSubstr("'" + path + "'"));
}

TEST(Pin, IpNetnsFollowsAPin) {
  std::filesystem::create_directories("/run/netns");
  const std::string path = scratch("box");
  netns::pin(Namespace::create(), path);
  std::filesystem::create_symlink(path, "/run/netns/mb-box");
  EXPECT_THAT(must("ip netns list"), HasSubstr("mb-box"));
  EXPECT_THAT(must("ip -n mb-box -o link"), StartsWith("1: lo: <LOOPBACK> "));
  std::filesystem::remove("/run/netns/mb-box");
  netns::unpin(path);
}

// ------------------------------------------------------------------ the directory of pins

std::size_t mounts_at(const std::string& path) {
  std::ifstream mounts("/proc/self/mountinfo");
  std::size_t found = 0;
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(" " + path + " ") != std::string::npos) ++found;
  }
  return found;
}

std::set<std::string> names_in(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.insert(entry.path().filename());
  return names;
}

TEST(PinDirectory, ManyPinsGoAtOnceAndTheOthersStay) {
  const std::string directory = scratch("pins");
  netns::prepare_pin_directory(directory);
  for (const char* name : {"/a", "/b", "/stays"}) netns::pin(Namespace::create(), directory + name);
  std::ofstream{directory + "/half"};
  netns::unpin(directory, {"a", "half", "b", "missing"});
  EXPECT_EQ(names_in(directory), std::set<std::string>{"stays"});
  EXPECT_TRUE(netns::is_pinned(directory + "/stays"));
}

// Killed in the middle, the namespaces hang on while their pins look as if only the files were left.
TEST(PinDirectory, UnpinFreesWhatAnInterruptedCallHadGathered) {
  const World world;
  const std::string directory = scratch("pins");
  netns::prepare_pin_directory(directory);
  netns::pin(World::add_neighbour("peer", "203.0.113.1/24", "203.0.113.2/24"), directory + "/a");
  const std::string heap = directory + "/.going";
  std::filesystem::create_directory(heap);
  ASSERT_EQ(::mount("tmpfs", heap.c_str(), "tmpfs", 0, nullptr), 0);
  std::ofstream{heap + "/a"};
  ASSERT_EQ(::mount((directory + "/a").c_str(), (heap + "/a").c_str(), nullptr, MS_MOVE, nullptr), 0);
  const netns::UniqueFd events = link_events();
  netns::unpin(directory, {"a"});
  EXPECT_EQ(names_in(directory), std::set<std::string>{});
  EXPECT_EQ(mounts_at(heap), 0U);
  EXPECT_TRUE(reports_a_removed_link(events.get()));
}

TEST(PinDirectory, IsMadeAMountPointOnce) {
  const std::string directory = scratch("a/b/netns");
  netns::prepare_pin_directory(directory);
  netns::prepare_pin_directory(directory);
  EXPECT_EQ(mounts_at(directory), 1U);
  EXPECT_TRUE(netns::remove_pin_directory(directory));
  EXPECT_EQ(mounts_at(directory), 0U);
  EXPECT_FALSE(exists(directory));
  EXPECT_TRUE(exists(scratch("a/b")));
}

TEST(PinDirectory, IsPrivateInsideASharedMount) {
  ASSERT_EQ(::mount(nullptr, "/run", nullptr, MS_SHARED, nullptr), 0);
  const std::string directory = scratch("netns");
  netns::prepare_pin_directory(directory);
  const std::string line = must("grep ' " + directory + " ' /proc/self/mountinfo");
  EXPECT_THAT(line, testing::Not(HasSubstr("shared:")));
  netns::remove_pin_directory(directory);
  ASSERT_EQ(::mount(nullptr, "/run", nullptr, MS_PRIVATE, nullptr), 0);
}

TEST(PinDirectory, AContainerDropsAllPinsWithOneUnmountAndOursStay) {
  const std::string directory = scratch("netns");
  netns::prepare_pin_directory(directory);
  netns::pin(Namespace::create(), directory + "/one");
  netns::pin(Namespace::create(), directory + "/two");
  EXPECT_EQ(must("unshare --mount --propagation unchanged sh -c 'umount -l " + directory + " && grep -c " + directory +
                 " /proc/self/mountinfo || true'"),
            "0\n");
  EXPECT_TRUE(netns::is_pinned(directory + "/one"));
  EXPECT_TRUE(netns::is_pinned(directory + "/two"));
  EXPECT_TRUE(netns::remove_pin_directory(directory));
  EXPECT_FALSE(exists(directory));
}

TEST(PinDirectory, ForeignFilesInItAreKeptAndNamed) {
  const std::string directory = scratch("netns");
  netns::prepare_pin_directory(directory);
  std::ofstream(directory + "/letter") << "not a pin";
  const auto failure = failure_of([&] { netns::remove_pin_directory(directory); });
  EXPECT_EQ(failure.code().value(), ENOTEMPTY);
  EXPECT_TRUE(exists(directory + "/letter"));
  EXPECT_FALSE(netns::remove_pin_directory(scratch("nowhere")));
}

// ------------------------------------------------------------------ sysctls

TEST(Sysctl, BelongsToItsNamespace) {
  const Namespace a = Namespace::create();
  const Namespace b = Namespace::create();
  netns::write_sysctl(a, "net.ipv4.ip_forward", "1");
  netns::write_sysctl(b, "net.ipv4.ip_forward", "0");
  EXPECT_EQ(netns::read_sysctl(a, "net.ipv4.ip_forward"), "1");
  EXPECT_EQ(netns::read_sysctl(b, "net.ipv4.ip_forward"), "0");
  EXPECT_EQ(must(a, "cat /proc/sys/net/ipv4/ip_forward"), "1\n");
  EXPECT_EQ(must(b, "cat /proc/sys/net/ipv4/ip_forward"), "0\n");
}

TEST(Sysctl, InterfaceNamesMayContainDots) {
  const Namespace box = Namespace::create();
  must(box, "ip link add eth0.1 type veth peer name eth1");
  netns::write_sysctl(box, "net/ipv4/conf/eth0.1/forwarding", "1");
  EXPECT_EQ(netns::read_sysctl(box, "net.ipv4.conf.eth0/1.forwarding"), "1");
  EXPECT_EQ(netns::read_sysctl(box, "net/ipv4/conf/eth0.1/forwarding"), "1");
  EXPECT_EQ(must(box, "sysctl -n net/ipv4/conf/eth0.1/forwarding"), "1\n");
}

TEST(Sysctl, KeysOutsideNetAreRefused) {
  for (const std::string key : {"kernel.hostname", "net", "net.", "net..ipv4", "net/../kernel/x",
                                "net/ipv4/./ip_forward", "/net/ipv4/ip_forward", "", "network.x"}) {
    EXPECT_EQ(failure_of([&] { netns::sysctl_path(key); }).code().value(), EINVAL) << key;
  }
}

TEST(Sysctl, AFailureNamesKeyValueAndReason) {
  const Namespace box = Namespace::create();
  EXPECT_STREQ(failure_of([&] { netns::write_sysctl(box, "net.ipv4.ip_forward", "maybe"); }).what(),
               "cannot write 'maybe' to sysctl 'net.ipv4.ip_forward': Invalid argument");
  EXPECT_STREQ(failure_of([&] { netns::read_sysctl(box, "net.ipv4.no_such"); }).what(),
               "cannot read sysctl 'net.ipv4.no_such': No such file or directory");
}

// ------------------------------------------------------------------ commands

TEST(Run, KeepsOutputErrorsAndStatusApart) {
  const auto finished = netns::run({"sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(finished.status, 7);
  EXPECT_EQ(finished.out, "out\n");
  EXPECT_EQ(finished.err, "err\n");
}

TEST(Run, IsInsideTheNamespaceAndTheCallerIsNot) {
  const Namespace before = Namespace::current();
  const Namespace box = Namespace::create();
  EXPECT_EQ(netns::run({"readlink", "/proc/self/ns/net"}, box).out, run_in(box, [] {
              return netns::run({"readlink", "/proc/thread-self/ns/net"}).out;
            }));
  EXPECT_TRUE(Namespace::current().same_as(before));
}

TEST(Run, ASignalIsReportedAs128PlusItsNumber) {
  EXPECT_EQ(netns::run({"sh", "-c", "kill -TERM $$"}).status, 128 + SIGTERM);
}

TEST(Run, ReadsMoreThanAPipeHolds) {
  const auto finished = netns::run({"sh", "-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2"});
  EXPECT_EQ(finished.out.size(), 1'000'000U);
  EXPECT_EQ(finished.err.size(), 1'000'000U);
}

TEST(Run, DoesNotWaitForWhatTheCommandLeftBehind) {
  // The sleeper holds our pipes; were it waited for, this test would run into ctest's time limit.
  const auto finished = netns::run({"sh", "-c", "sleep 600 & echo $!"});
  const auto sleeper = static_cast<pid_t>(std::stol(finished.out));
  EXPECT_EQ(::kill(sleeper, SIGKILL), 0);
}

TEST(Run, AddsToTheEnvironmentAndReplacesInIt) {
  ::setenv("MB_OLD", "old", 1);
  ::setenv("MB_KEPT", "kept", 1);
  Command command{"sh", "-c", "echo $MB_OLD $MB_KEPT $MB_NEW"};
  command.environment = {"MB_OLD=replaced", "MB_NEW=new"};
  EXPECT_EQ(netns::run(command).out, "replaced kept new\n");
  EXPECT_STREQ(std::getenv("MB_OLD"), "old");
}

TEST(Run, GivesTheCommandAnEmptyInputAndNoNamespaceDescriptor) {
  const Namespace box = Namespace::create();
  EXPECT_EQ(netns::run({"cat"}).out, "");
  const auto finished = netns::run({"sh", "-c", "ls -l /proc/$$/fd"}, box);
  EXPECT_THAT(finished.out, AllOf(HasSubstr("0 -> /dev/null"), testing::Not(HasSubstr("net:["))));
}

TEST(Run, WhatCannotBeStartedThrowsAndSaysWhy) {
  EXPECT_STREQ(failure_of([] { netns::run({"/run/no-such-program"}); }).what(),
               "cannot execute '/run/no-such-program': No such file or directory");
  EXPECT_STREQ(failure_of([] { netns::run({"/run"}); }).what(), "cannot execute '/run': Permission denied");
  EXPECT_THROW(netns::run(Command(std::vector<std::string>{})), std::system_error);
}

TEST(Child, WaitForGivesUpOnOneThatRunsAndTellsTheStatusOfOneThatEnded) {
  Child child(Command{"sleep", "600"});
  EXPECT_EQ(child.wait_for(std::chrono::milliseconds(0)), std::nullopt);
  child.kill(SIGINT);
  ASSERT_EQ(child.wait_for(std::chrono::seconds(10)), 128 + SIGINT);
  EXPECT_EQ(child.wait(), 128 + SIGINT);
  child.kill(SIGTERM);  // nothing: its number may belong to somebody else by now
}

TEST(Child, IsKilledAndReapedWhenItsObjectGoes) {
  pid_t pid = 0;
  {
    const Child child(Command{"sleep", "600"});
    pid = child.pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(Child, MovesWithItsProcess) {
  Child first(Command{"sleep", "600"});
  Child second(Command{"sleep", "600"});
  const pid_t overwritten = first.pid();
  const pid_t kept = second.pid();
  first = std::move(second);
  EXPECT_EQ(first.pid(), kept);
  EXPECT_EQ(::kill(kept, 0), 0);
  EXPECT_EQ(::kill(overwritten, 0), -1);
}

TEST(Child, DiesWithTheThreadThatStartedIt) {
  // The trap that run_in's comment warns of, kept as a fact.
  std::optional<Child> child;
  std::thread([&] { child.emplace(Command{"sleep", "600"}); }).join();
  EXPECT_EQ(child->wait_for(std::chrono::seconds(10)), 128 + SIGKILL);
}

TEST(Child, StartsWithEverySignalOpenAndAtItsDefault) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &all, &before), 0);
  const auto old_handler = std::signal(SIGINT, SIG_IGN);  // as a shell does for a job in the background
  // Not through a shell: dash blocks all signals while it starts a command.
  const auto finished = netns::run({"grep", "-E", "SigBlk|SigIgn", "/proc/self/status"});
  std::signal(SIGINT, old_handler);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
  EXPECT_EQ(finished.out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

// ------------------------------------------------------------------ a world of one's own

TEST(OwnWorld, HasAPrivateRunAndARootUser) {
  EXPECT_EQ(::geteuid(), 0U);
  EXPECT_EQ(must("stat -f -c %T /run"), "tmpfs\n");
  EXPECT_EQ(must("stat -c %a /run"), "755\n");
  EXPECT_EQ(must("ip -o link | cut -d: -f2"), " lo\n");
}

TEST(OwnWorld, AUserNamespaceCanBeAskedForByRootToo) {
  if (std::getenv("MB_TEST_USER_NAMESPACE") != nullptr) {  // the run inside, started below
    EXPECT_EQ(must("set -- $(cat /proc/self/uid_map) && echo $1 $3"), "0 1\n");
    EXPECT_EQ(must("cat /proc/self/setgroups"), "deny\n");
    return;
  }
  Command again{"/proc/self/exe", "--gtest_filter=OwnWorld.AUserNamespaceCanBeAskedForByRootToo"};
  again.environment = {"MB_TEST_USER_NAMESPACE=1"};
  const auto finished = netns::run(again);
  EXPECT_EQ(finished.status, 0) << finished.out << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("[  PASSED  ] 1 test."));
}

// ------------------------------------------------------------------ the helpers of other tests

TEST(World, EachIsAFreshHost) {
  const Namespace before = Namespace::current();
  {
    const World world;
    must("ip link add leftover type veth peer name leftover1");
    EXPECT_TRUE(Namespace::current().same_as(world.host()));
  }
  EXPECT_TRUE(Namespace::current().same_as(before));
  const World world;
  EXPECT_NE(sh("ip link show leftover").status, 0);
}

TEST(World, TcpIsReachedRefusedUnreachableOrTimedOut) {
  const World world;
  const TcpServer server(world.host(), "198.51.100.1", 7000);
  TalkOptions options;
  options.from_port = 43210;
  const Outcome reached = tcp_talk(world.outside(), "198.51.100.1", 7000, options);
  EXPECT_EQ(reached.kind, Outcome::kReached) << reached;
  EXPECT_EQ(reached.reply, "source=198.51.100.9:43210");
  EXPECT_EQ(reached.local, "198.51.100.9:43210");
  EXPECT_THAT(server.seen(), ElementsAre("198.51.100.9:43210"));

  EXPECT_EQ(tcp_talk(world.outside(), "198.51.100.1", 7001).kind, Outcome::kRefused);
  EXPECT_EQ(tcp_talk(world.outside(), "203.0.113.1", 7000).error, ENETUNREACH);

  must("iptables-legacy -A INPUT -p tcp --dport 7002 -j DROP");
  options = {};
  options.deadline = std::chrono::milliseconds(50);
  EXPECT_EQ(tcp_talk(world.outside(), "198.51.100.1", 7002, options).kind, Outcome::kTimedOut);
}

TEST(World, UdpIsReachedOrRefused) {
  const World world;
  const UdpServer server(world.outside(), "198.51.100.9", 7000);
  const Outcome reached = udp_talk(world.host(), "198.51.100.9", 7000);
  EXPECT_EQ(reached.reply, "source=" + reached.local);
  EXPECT_THAT(server.seen(), ElementsAre(reached.local));
  EXPECT_EQ(udp_talk(world.host(), "198.51.100.9", 7001).kind, Outcome::kRefused);
}

TEST(World, ServersSpeakIPv6) {
  const World world;
  const TcpServer tcp(world.host(), "::1", 0);
  const UdpServer udp(world.host(), "::1", 0);
  EXPECT_THAT(tcp_talk(world.host(), "::1", tcp.port()).reply, StartsWith("source=[::1]:"));
  EXPECT_THAT(udp_talk(world.host(), "::1", udp.port()).reply, StartsWith("source=[::1]:"));
}

TEST(World, ManyClientsAreServedWhileOneSaysNothing) {
  const World world;
  const TcpServer server(world.host(), "127.0.0.1", 7000);
  TalkOptions silent;
  silent.message = "";
  silent.deadline = std::chrono::milliseconds(20);
  EXPECT_EQ(tcp_talk(world.host(), "127.0.0.1", 7000, silent).kind, Outcome::kTimedOut);
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(tcp_talk(world.host(), "127.0.0.1", 7000).reached());
  }
  EXPECT_EQ(server.seen().size(), 51U);
}

bool is_barrier(const Packet& packet) {
  return !packet.outgoing && packet.protocol == 17 && packet.target_port == 7999;
}

bool is_forbidden(const Packet& packet) {
  return !packet.outgoing && packet.protocol == 17 && packet.target_port == 7000;
}

void send_datagram(const Namespace& from, std::uint16_t port) {
  TalkOptions options;
  options.deadline = std::chrono::milliseconds(0);
  options.message = "x" + std::to_string(port);
  udp_talk(from, "198.51.100.9", port, options);
}

TEST(Capture, ProvesThatADroppedPacketDidNotArrive) {
  const World world;
  Capture at_receiver(world.outside(), "up0");
  send_datagram(world.host(), 7000);
  send_datagram(world.host(), 7999);
  const auto open = at_receiver.until(is_barrier);
  EXPECT_EQ(count(open, is_forbidden), 1U);
  EXPECT_EQ(open.back().payload, "x7999");
  EXPECT_EQ(open.back().source, "198.51.100.1");

  must("iptables-legacy -A OUTPUT -p udp --dport 7000 -j DROP");
  send_datagram(world.host(), 7000);
  send_datagram(world.host(), 7999);
  EXPECT_EQ(count(at_receiver.until(is_barrier), is_forbidden), 0U);
}

TEST(Capture, ReadsArpAndTcp) {
  const World world;
  must("ip neighbour flush dev up0");
  must(world.outside(), "ip neighbour flush dev up0");
  Capture capture(world.outside(), "up0");
  const TcpServer server(world.outside(), "198.51.100.9", 7000);
  ASSERT_TRUE(tcp_talk(world.host(), "198.51.100.9", 7000).reached());
  const auto packets = capture.drain();
  EXPECT_EQ(count(packets,
                  [](const Packet& p) {
                    return p.arp && p.arp->operation == 1 && p.arp->sender_ip == "198.51.100.1" &&
                           p.arp->target_ip == "198.51.100.9";
                  }),
            1U);
  EXPECT_EQ(count(packets, [](const Packet& p) { return p.is_syn(); }), 1U);
  EXPECT_EQ(count(packets, [](const Packet& p) { return p.payload == "hello\n"; }), 1U);
}

TEST(Capture, SaysWhatCameInsteadOfThePacketWaitedFor) {
  const World world;
  Capture capture(world.outside(), "up0");
  send_datagram(world.host(), 7000);
  try {
    capture.until([](const Packet&) { return false; }, std::chrono::milliseconds(50));
    FAIL() << "it did not give up";
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("198.51.100.9:7000 protocol 17 payload 5"));
  }
}

TEST(Capture, CutShortFramesStayEmpty) {
  const std::string frame("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x08\x00\x45\x00", 16);
  const Packet packet = parse_frame(frame);
  EXPECT_EQ(packet.ethertype, 0x0800);
  EXPECT_EQ(packet.source, "");
  EXPECT_EQ(parse_frame("").ethertype, 0);
}

TEST(Snapshot, IsEqualWhenNothingChanged) {
  const World world;
  must("iptables-legacy -A FORWARD -s 203.0.113.7 -j DROP");
  EXPECT_EQ(snapshot_host(), snapshot_host());
}

TEST(Snapshot, SeesEachKindOfChange) {
  const World world;
  std::set<std::string> seen{snapshot_host()};
  for (const std::string change :
       {"iptables-legacy -A FORWARD -s 203.0.113.7 -j DROP", "iptables-legacy -t nat -N MINE",
        "iptables-legacy -P FORWARD DROP", "ip6tables-legacy -A FORWARD -j DROP",
        "ip link add d0 type veth peer name d1", "ip link set d0 group 7", "ip address add 203.0.113.1/24 dev d0",
        "ip route add blackhole 203.0.113.128/25", "ip rule add from 203.0.113.5 lookup 7",
        "sysctl -w net.ipv4.conf.lo.rp_filter=2"}) {
    must(change);
    EXPECT_TRUE(seen.insert(snapshot_host()).second) << change;
  }
}

TEST(Snapshot, CountersOfRulesCountAndThoseOfPoliciesOnlyWhenWanted) {
  const World world;
  const TcpServer server(world.host(), "127.0.0.1", 7000);
  must("iptables-legacy -A INPUT -p udp -j ACCEPT");
  const std::string with = snapshot_host();
  const std::string without = snapshot_host({.policy_counters = false});
  ASSERT_TRUE(tcp_talk(world.host(), "127.0.0.1", 7000).reached());
  EXPECT_NE(snapshot_host(), with);
  EXPECT_EQ(snapshot_host({.policy_counters = false}), without);
  const UdpServer udp(world.host(), "127.0.0.1", 7001);
  ASSERT_TRUE(udp_talk(world.host(), "127.0.0.1", 7001).reached());
  EXPECT_NE(snapshot_host({.policy_counters = false}), without);
}

TEST(Snapshot, ATableThatWasMerelyTouchedIsLeftOut) {
  const World world;
  const std::string before = snapshot_host();
  must(
      "iptables-legacy -t raw -S && iptables-legacy -t nat -A OUTPUT -j ACCEPT && "
      "iptables-legacy -t nat -D OUTPUT -j ACCEPT");
  EXPECT_EQ(snapshot_host(), before);
}

}  // namespace
}  // namespace mb::test
