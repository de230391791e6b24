// SPDX-License-Identifier: GPL-2.0-or-later
//
// Labs as worlds: what is reached in them, that they do not meet, and that nothing is left of them.
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "netns/netns.h"
#include "src/base/error.h"
#include "src/lab/hold.h"
#include "src/lab/topology.h"
#include "tests/support/program.h"
#include "tests/support/world.h"

namespace mb {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr auto kPatience = 60s;

lab::HoldOptions options() {
  lab::HoldOptions options;
  const char* copy = std::getenv("MINIBRIDGE");  // where others may execute it
  options.program = copy == nullptr ? MB_BINARY : copy;
  return options;
}

// What `life` says in the lab: "" when all is well. The sentence comes back through a file both sides see.
std::string in_lab(const lab::Topology& topology, const std::function<std::string(lab::World&)>& life) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  auto with_pipe = options();
  with_pipe.kept = {ends[1]};
  auto holder = lab::hold(topology, with_pipe, [&](lab::World& world) {
    std::string said;
    try {
      said = life(world);
    } catch (const std::exception& error) {
      said = error.what();
    }
    return ::write(ends[1], said.data(), said.size()) < 0 ? 1 : 0;
  });
  ::close(ends[1]);
  std::string said;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    said.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  const int status = holder.wait();
  return status == 0 ? said : said + " (status " + std::to_string(status) + ")";
}

std::string output_of(const lab::World& world, const std::string& node, const std::string& command) {
  const auto result = world.run(node, {"/bin/sh", "-c", command}, kPatience);
  return result.out + result.err;
}

TEST(Lab, TheArticlesMachineReachesTheInternetThroughTheTranslation) {
  const auto said = in_lab(lab::load_topology("article"), [](lab::World& world) {
    return output_of(world, "vm", "nc -w 20 198.51.100.2 80 </dev/null; nc -w 20 183.3.226.35 22 </dev/null");
  });
  EXPECT_THAT(said, HasSubstr("source{ip: 198.51.100.1,"));
  EXPECT_THAT(said, HasSubstr("dest{ip: 183.3.226.35, port: 22}"));
}

TEST(Lab, OnlyTheNamedSubnetIsTranslated) {
  const auto said = in_lab(lab::load_topology("article"), [](lab::World& world) {
    return output_of(world, "gateway", "iptables -t nat -S POSTROUTING; iptables -V");
  });
  EXPECT_THAT(said, HasSubstr("-A POSTROUTING -s 10.0.2.0/24 -o wan "));
  EXPECT_THAT(said, HasSubstr("(legacy)"));
}

TEST(Lab, ARouterTranslatesBothFamilies) {
  const auto topology = lab::read_topology(
      "nodes:\n"
      "  inside: {routes: [{to: default, via: 10.0.0.1}, {to: default, via: \"fd00::1\"}]}\n"
      "  gate:\n"
      "    kind: router\n"
      "    nat: [{from: 10.0.0.0/24, out: wan}, {from: \"fd00::/64\", out: wan}]\n"
      "  shop: {services: [{echo: 80}]}\n"
      "links:\n"
      "  - ends:\n"
      "      - {node: inside, interface: e0, addresses: [10.0.0.2/24, \"fd00::2/64\"]}\n"
      "      - {node: gate, interface: lan, addresses: [10.0.0.1/24, \"fd00::1/64\"]}\n"
      "  - ends:\n"
      "      - {node: gate, interface: wan, addresses: [203.0.113.1/24, \"2001:db8::1/64\"]}\n"
      "      - {node: shop, interface: e0, addresses: [203.0.113.2/24, \"2001:db8::2/64\"]}\n",
      "t", "t");
  const auto said = in_lab(topology, [](lab::World& world) {
    return output_of(world, "inside", "nc -w 20 203.0.113.2 80 </dev/null; nc -w 20 2001:db8::2 80 </dev/null");
  });
  EXPECT_THAT(said, HasSubstr("source{ip: 203.0.113.1,"));
  EXPECT_THAT(said, HasSubstr("source{ip: 2001:db8::1,"));
}

// Whatever the machine does: docker, say, lets iptables see them.
TEST(Lab, BridgedFramesAreNotShownToIptables) {
  const auto said = in_lab(lab::load_topology("article"), [](lab::World& world) {
    return output_of(world, "vm", "cat /proc/sys/net/bridge/bridge-nf-call-ip*tables 2>/dev/null");
  });
  EXPECT_THAT(said, testing::Not(HasSubstr("1")));
}

TEST(Lab, NodesKnowEachOtherByNameAndThemselves) {
  const auto said = in_lab(lab::load_topology("article"), [](lab::World& world) {
    return output_of(world, "workstation", "hostname; ping -c 1 -w 20 vm; ls /sys/class/net; echo $MINIBRIDGE_NODE");
  });
  EXPECT_THAT(said, HasSubstr("workstation\n"));
  EXPECT_THAT(said, HasSubstr("1 received"));
  EXPECT_THAT(said, HasSubstr("vboxnet1"));
}

TEST(Lab, ASwitchConnectsAllItsEnds) {
  const auto topology = lab::read_topology(
      "nodes: {a: , b: , c: }\nlinks:\n  - ends:\n"
      "      - {node: a, interface: e0, addresses: [10.0.0.1/24, \"fd00::1/64\"]}\n"
      "      - {node: b, interface: e0, addresses: [10.0.0.2/24, \"fd00::2/64\"]}\n"
      "      - {node: c, interface: e0, addresses: [10.0.0.3/24, \"fd00::3/64\"]}\n",
      "t", "t");
  const auto said = in_lab(topology, [](lab::World& world) {
    return output_of(world, "a", "ping -c 1 -w 20 10.0.0.2; ping -c 1 -w 20 fd00::3");
  });
  EXPECT_THAT(said, HasSubstr("from 10.0.0.2"));
  EXPECT_THAT(said, HasSubstr("from fd00::3"));
}

TEST(Lab, ServicesCanBeStoppedAndStartedAgain) {
  const auto topology = lab::read_topology("nodes: {a: {services: [{name: web, echo: 80}]}}\n", "t", "t");
  const auto said = in_lab(topology, [](lab::World& world) -> std::string {
    if (!world.is_running("a", "web")) return "it does not run";
    world.stop_service("a", "web");
    if (world.is_running("a", "web")) return "it still runs";
    const auto refused = world.run("a", {"nc", "-w", "20", "127.0.0.1", "80"}, kPatience);
    if (refused.status == 0) return "something answers";
    world.start_service("a", world.topology().node("a").services.front());
    return output_of(world, "a", "nc -w 20 127.0.0.1 80 </dev/null");
  });
  EXPECT_THAT(said, HasSubstr("dest{ip: 127.0.0.1, port: 80}"));
}

TEST(Lab, ACommandThatTakesTooLongIsKilledWithWhatItStarted) {
  const auto topology = lab::read_topology("nodes: {a: }\n", "t", "t");
  const auto said = in_lab(topology, [](lab::World& world) -> std::string {
    const auto result = world.run("a", {"/bin/sh", "-c", "echo begun; sleep 1000"}, 500ms);
    return result.out + (result.timed_out ? "timed out " : "") + std::to_string(result.status) +
           output_of(world, "a", "while pgrep -r R,S,D sleep >/dev/null; do :; done; echo alone");
  });
  EXPECT_EQ(said, "begun\ntimed out 137alone\n");
}

TEST(Lab, AFailingSetupIsReportedAndNothingStarts) {
  const auto topology = lab::read_topology("nodes: {a: {setup: ['echo no good >&2; exit 3']}}\n", "t", "t");
  try {
    in_lab(topology, [](lab::World&) { return std::string(); });
    FAIL() << "no complaint";
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "t:1: node 'a': its setup failed with status 3: echo no good >&2; exit 3");
    EXPECT_EQ(error.hint(), "no good");
  }
}

TEST(Lab, MachineSwitchesAreOutOfReach) {
  const auto topology = lab::read_topology("nodes: {a: {sysctls: {net.ipv4.ip_forward: 1}}}\n", "t", "t");
  const auto said = in_lab(topology, [](lab::World& world) {
    return output_of(world, "a", "cat /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/kernel/pid_max");
  });
  EXPECT_THAT(said, HasSubstr("1\n"));
  EXPECT_THAT(said, HasSubstr("Read-only file system"));
}

// ---- as a user has it

class LabVerbs : public testing::Test {
 protected:
  LabVerbs() {
    ::setenv("XDG_RUNTIME_DIR", program_.directory().c_str(), 1);
    // What lost its parent comes to us, so that this test and not the machine's init sees its end.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  ~LabVerbs() override { (void)test::Program::mb("lab down --all"); }

  static pid_t pid_of(const std::string& name) {
    for (const auto& lab : test::Program::json("lab ls")) {
      if (lab.at("name") == name) return lab.at("pid").get<pid_t>();
    }
    return 0;
  }

  test::Program program_;
};

TEST_F(LabVerbs, TwoLabsOfOneTopologyDoNotMeet) {
  EXPECT_EQ(test::Program::must_mb("lab up three-machines"), "three-machines\n");
  EXPECT_EQ(test::Program::must_mb("lab up three-machines"), "three-machines-2\n");
  test::Program::must_mb("lab exec --lab three-machines a -- ip link set eth0 down");
  EXPECT_THAT(test::Program::must_mb("lab exec --lab three-machines-2 a -- ping -c 1 -w 20 192.168.1.146"),
              HasSubstr("1 received"));
  EXPECT_EQ(test::Program::mb("lab exec a -- true").status, 125);  // which one?
  EXPECT_EQ(test::Program::must_mb("lab down three-machines"), "three-machines\n");
  EXPECT_EQ(test::Program::must_mb("lab exec a -- hostname"), "a\n");
}

TEST_F(LabVerbs, KillingTheFirstProcessEndsEverything) {
  test::Program::must_mb("lab up three-machines");
  const pid_t pid = pid_of("three-machines");
  ASSERT_GT(pid, 0);
  const auto inside = netns::Namespace::open("/proc/" + std::to_string(pid) + "/ns/net");
  const int watch = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  pollfd ended{watch, POLLIN, 0};
  ASSERT_EQ(::poll(&ended, 1, 60000), 1);
  ::close(watch);
  EXPECT_EQ(test::Program::json("lab ls").size(), 0U);
  EXPECT_TRUE(std::filesystem::is_empty(program_.directory() + "/minibridge-lab"));
}

TEST_F(LabVerbs, DownLeavesNothing) {
  test::Program::must_mb("lab up three-machines");
  EXPECT_EQ(test::Program::must_mb("lab down"), "three-machines\n");
  EXPECT_EQ(test::Program::json("lab ls").size(), 0U);
  EXPECT_TRUE(std::filesystem::is_empty(program_.directory() + "/minibridge-lab"));
  EXPECT_THAT(test::Program::mb("lab down").err, HasSubstr("no lab is up"));
}

// The shell waits until nobody holds the other end of its pipe.
TEST_F(LabVerbs, ALabThatStaysUpKeepsNothingOfItsStartersOutput) {
  for (const std::string topology : {"three-machines", "docker-host"}) {
    const auto finished = test::sh("timeout 60 sh -c 'x=$(minibridge lab up " + topology + " 2>&1); echo \"[$x]\"'");
    EXPECT_EQ(finished.status, 0) << topology;
    EXPECT_EQ(finished.out, "[" + topology + "]\n");
  }
}

TEST_F(LabVerbs, ExecPassesInputOutputAndTheExitStatus) {
  test::Program::must_mb("lab up three-machines");
  const auto finished = netns::run({"/bin/sh", "-c", "echo in | minibridge lab exec a -- sh -c 'cat; exit 7'"});
  EXPECT_EQ(finished.out, "in\n");
  EXPECT_EQ(finished.status, 7);
  EXPECT_EQ(test::Program::mb("lab exec a -- /no/such/command").status, 127);
  EXPECT_EQ(test::Program::mb("lab exec a -- /etc/passwd").status, 126);
  const auto unknown = test::Program::mb("lab exec d -- true");
  EXPECT_EQ(unknown.status, 125);
  EXPECT_THAT(unknown.err, HasSubstr("there is no node 'd' in this lab"));
}

TEST_F(LabVerbs, APublishedPortOfAHostInTheLabIsReachedFromItsNeighbour) {
  test::Program::must_mb("lab up docker-host");
  EXPECT_THAT(test::Program::must_mb("lab exec outside -- sh -c 'nc -w 20 host 8080 </dev/null'"),
              HasSubstr("dest{ip: 172.18.0.2, port: 80}"));
  EXPECT_THAT(test::Program::must_mb("lab exec host -- minibridge ps"), HasSubstr("8080 -> 80/tcp"));
  test::Program::must_mb("lab exec host -- minibridge repair --check");
}

TEST_F(LabVerbs, RoutedContainersKeepTheirAddress) {
  test::Program::must_mb("lab up routed");
  const auto said =
      test::Program::must_mb("lab exec one -- minibridge exec app -- sh -c 'nc -w 20 10.10.1.1 80 </dev/null'");
  EXPECT_THAT(said, HasSubstr("source{ip: 172.30.1.10,"));
  const auto other =
      test::Program::must_mb("lab exec two -- minibridge exec app -- sh -c 'nc -w 20 172.30.1.10 80 </dev/null'");
  EXPECT_THAT(other, HasSubstr("source{ip: 172.30.2.10,"));
  EXPECT_THAT(other, HasSubstr("dest{ip: 172.30.1.10, port: 80}"));
}

TEST_F(LabVerbs, AWrongFileIsRefusedWithItsLineAndNothingStarts) {
  const auto path = program_.write("wrong.yaml", "nodes:\n  a: {kind: swich}\n");
  const auto finished = test::Program::mb("lab up " + path);
  EXPECT_EQ(finished.status, 2);
  EXPECT_THAT(finished.err, HasSubstr("wrong.yaml:2: 'swich' is not a kind of node"));
  EXPECT_EQ(test::Program::json("lab ls").size(), 0U);
}

}  // namespace
}  // namespace mb
