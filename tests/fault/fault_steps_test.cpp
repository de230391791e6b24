// SPDX-License-Identifier: GPL-2.0-or-later
//
// Fault k: every step of every change fails once, before and after it really happened, on a host with rules of others.
//
//   what adds      the host, the state and the files are as before; the error names the step and its reason
//   what removes   the next verb finishes it
//   and if undoing fails too, every further error is told, and the next verb heals
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <ostream>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/lifecycle.h"
#include "tests/support/fault_host.h"

namespace mb::test {
namespace {

using testing::HasSubstr;
using Changes = std::vector<Change>;

constexpr Faults::Moment kMoments[] = {Faults::Moment::before, Faults::Moment::after};

std::string describe(std::size_t step, Faults::Moment moment) {
  return fmt::format("step {} failed {} it happened", step, moment == Faults::Moment::before ? "before" : "after");
}

std::optional<Error> error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

struct Everything {
  explicit Everything(FaultHost& host) : kernel(host.look()), state(dump_state(host.state_dir())) {}
  std::string kernel;
  std::string state;
};

void expect_same(const Everything& before, FaultHost& host) {
  const Everything after(host);
  EXPECT_EQ(before.kernel, after.kernel);
  EXPECT_EQ(before.state, after.state);
}

// ------------------------------------------------------------------ what adds

struct Adding {
  const char* name;
  std::function<void(FaultHost&)> prepare;
  std::function<Changes(FaultHost&)> changes;
};

std::ostream& operator<<(std::ostream& stream, const Adding& adding) { return stream << adding.name; }

// The state directory exists from the first try on; that it is there, empty, is no difference.
void open_state_directory(FaultHost& host) { host.engine().run({}); }

void one_network(FaultHost& host) {
  host.engine().run({network("n1", "172.20.0.0/24"), container("keep", {"n1"}, {"7000:70"})});
}

// With a second network to connect to, in which somebody is already.
void connected(FaultHost& host) {
  one_network(host);
  host.engine().run({network("n2", "172.21.0.0/24"), container("other", {"n2"})});
}

// A bridge of somebody else, with a port of its own (without one its MAC and its carrier follow whoever comes), that sends
// nothing of its own accord: counters of the host are compared.
void their_bridge() {
  must(
      "ip link add their0 type bridge mcast_snooping 0 && sysctl -qw net.ipv6.conf.their0.disable_ipv6=1 && "
      "ip link add their1 type veth peer name their2 && ip link set their1 master their0 && ip link set their0 up");
}

change::AddNetwork network_on_their_bridge() {
  auto add = network("n3", "172.23.0.0/24");
  add.bridge = InterfaceName::parse("their0");
  add.adopt = true;
  return add;
}

const std::vector<Adding> kAdding = {
    {"FirstRun", open_state_directory,
     [](FaultHost& host) {
       return Changes{network("n1", "172.20.0.0/24"),
                      host.process("web", {"n1"}, {"8080:80", "9000-9009:2000-2009/udp"})};
     }},
    {"RunBesideOthers", one_network, [](FaultHost& host) { return Changes{host.process("web", {"n1"}, {"8080:80"})}; }},
    {"CreateOfThree", one_network,
     [](FaultHost&) {
       return Changes{container("a", {"n1"}, {"81:80"}), container("b", {"n1"}, {"82:80"}),
                      container("c", {"n1"}, {"83:80"})};
     }},
    {"NetworkCreate", one_network, [](FaultHost&) { return Changes{network("n2", "172.21.0.0/24")}; }},
    {"NetworkCreateOnAnAdoptedBridge",
     [](FaultHost& host) {
       their_bridge();
       one_network(host);
     },
     [](FaultHost&) {
       return Changes{network_on_their_bridge(), container("web", {"n3"}, {"8080:80"})};
     }},
    {"Publish", one_network,
     [](FaultHost&) {
       return Changes{change::Publish{"keep", {PublishSpec::parse("8443:443"), PublishSpec::parse("53:53/udp")}, 0}};
     }},
    {"ConnectWithTheDefaultRoute", connected,
     [](FaultHost&) {
       change::Connect connect{"keep", container("any", {"n2"}).endpoints.front(), {}, {}, 0};
       connect.endpoint.gateway_priority = 1;
       connect.endpoint.sysctls = {{"net.ipv4.conf.IFNAME.log_martians", "1"}};
       return Changes{connect};
     }},
    {"MoveOfAPort",
     [](FaultHost& host) {
       one_network(host);
       host.engine().run({container("heir", {"n1"})});
     },
     [](FaultHost&) {
       return Changes{change::Publish{"heir", {PublishSpec::parse("7000:70")}, 0, true}};
     }},
    {"Start",
     [](FaultHost& host) {
       one_network(host);
       auto web = host.process("web", {"n1"}, {"8080:80"});
       host.engine().run({web});
       host.engine().run({change::EndContainer{web.container.id, 0, 0}});
       host.alive().erase(web.container.id);
       // Somebody takes its old address, so that its /etc/hosts changes.
       host.engine().run({container("other", {"n1"})});
     },
     [](FaultHost& host) {
       const auto web = host.engine().plan({change::RemoveContainer{"web"}}).delta.containers.at(0).before->id;
       return Changes{host.start(web)};
     }},
};

class WhatAdds : public testing::TestWithParam<Adding> {};

TEST_P(WhatAdds, IsUndoneWhenAStepFails) {
  FaultHost host;
  GetParam().prepare(host);
  const auto changes = GetParam().changes(host);
  const Everything before(host);
  std::size_t tried = 0;
  for (bool done = false; !done; ++tried) {
    for (const auto moment : kMoments) {
      SCOPED_TRACE(describe(tried, moment));
      host.faults().begin();
      host.faults().fail_step = tried;
      host.faults().moment = moment;
      const auto error = error_of([&] { host.engine().run(changes); });
      done = !error;
      if (done) break;
      SCOPED_TRACE(host.faults().failed_step);
      EXPECT_EQ(error->message(), fmt::format("cannot {}: broken on purpose (EIO)", host.faults().failed_step));
      EXPECT_TRUE(error->causes().empty()) << error->causes().front().message();
      expect_same(before, host);
      ASSERT_FALSE(HasFailure());
    }
  }
  const bool rules_only = GetParam().name == std::string("Publish") || GetParam().name == std::string("MoveOfAPort");
  EXPECT_GT(tried, rules_only ? 1U : 5U);
  EXPECT_TRUE(host.engine().check().plan.empty());
  EXPECT_EQ(find_orphans(host.state_dir()), "");
}

// Exceptions that are not of our kind leave nothing either.
TEST_P(WhatAdds, IsUndoneWhenMemoryRunsOut) {
  FaultHost host;
  GetParam().prepare(host);
  const auto changes = GetParam().changes(host);
  const Everything before(host);
  const auto steps = host.engine().plan(changes).plan.size();
  for (const auto step : {std::size_t{0}, steps / 2, steps - 1}) {
    SCOPED_TRACE(step);
    host.faults().begin();
    host.faults().fail_step = step;
    host.faults().moment = Faults::Moment::after;
    host.faults().out_of_memory = true;
    const auto error = error_of([&] { host.engine().run(changes); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::failed);
    expect_same(before, host);
    ASSERT_FALSE(HasFailure());
  }
}

TEST_P(WhatAdds, IsUndoneWhenTheKernelCannotBeSeen) {
  FaultHost host;
  GetParam().prepare(host);
  const auto changes = GetParam().changes(host);
  const Everything before(host);
  std::size_t tried = 0;
  for (; tried < 10; ++tried) {
    SCOPED_TRACE(tried);
    host.faults().begin();
    host.faults().fail_observe = tried;
    const auto error = error_of([&] { host.engine().run(changes); });
    if (!error) break;
    EXPECT_THAT(error->message(), HasSubstr("cannot look at the kernel"));
    expect_same(before, host);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_EQ(tried, 2U) << "one look before, one after";
}

// Takes a fault in each undo, and in all at once.
TEST_P(WhatAdds, TellsEveryFurtherErrorAndIsHealedByTheNextVerb) {
  FaultHost host;
  GetParam().prepare(host);
  const auto changes = GetParam().changes(host);
  const Everything before(host);
  const auto tries = host.engine().plan(changes).plan.size();
  for (std::size_t undo = 0; undo <= tries; ++undo) {
    SCOPED_TRACE(fmt::format("undo {} failed", undo));
    // Shorter when something that was not undone is as it should be already: forwarding, a file nobody reads now.
    const auto length = host.engine().plan(changes).plan.size();
    host.faults().begin();
    host.faults().fail_step = length - 1;
    host.faults().moment = Faults::Moment::after;
    if (undo == tries) {
      host.faults().fail_every_undo = true;
    } else {
      host.faults().fail_undo = undo;
    }
    const auto error = error_of([&] { host.engine().run(changes); });
    ASSERT_TRUE(error);
    const bool undo_failed = host.faults().failed_undos > 0;
    EXPECT_THAT(error->message(), HasSubstr(host.faults().failed_step)) << "the first cause comes first";
    EXPECT_EQ(error->causes().size(), host.faults().failed_undos);
    for (const auto& cause : error->causes()) EXPECT_THAT(cause.message(), HasSubstr("cannot undo: "));
    EXPECT_EQ(dump_state(host.state_dir()).find("marker") != std::string::npos, undo_failed);
    host.faults().begin();
    host.engine().run({});
    EXPECT_EQ(find_orphans(host.state_dir()), "");
    EXPECT_TRUE(host.engine().check().plan.empty());
    if (!HasFailure() && GetParam().name != std::string("FirstRun")) expect_same(before, host);
    ASSERT_FALSE(HasFailure());
  }
  host.engine().run(changes);
  EXPECT_TRUE(host.engine().check().plan.empty());
}

INSTANTIATE_TEST_SUITE_P(Fault, WhatAdds, testing::ValuesIn(kAdding),
                         [](const auto& tested) { return std::string(tested.param.name); });

// Forwarding was switched on by the run that failed, and undoing that failed as well: what it was is not forgotten.
TEST(Fault, DownGivesForwardingBackAlthoughUndoingFailed) {
  FaultHost host;
  const auto before = host.look();
  const Changes changes{network("n1", "172.20.0.0/24"), container("web", {"n1"}, {"8080:80"})};
  host.faults().fail_step = 10;
  host.faults().fail_every_undo = true;
  ASSERT_TRUE(error_of([&] { host.engine().run(changes); }));
  EXPECT_EQ(must("sysctl -n net.ipv4.ip_forward"), "1\n");
  host.faults().begin();
  host.engine().run({});
  host.engine().take_down();
  EXPECT_EQ(before, host.look());
}

// Once it is committed it is done, whatever becomes of the marker: a directory in its place cannot be unlinked.
TEST(Fault, WhatIsCommittedIsNoFailureAlthoughTheMarkerStays) {
  FaultHost host;
  one_network(host);
  const auto marker = host.state_dir() + "/unfinished";
  auto setup = host.engine().setup();
  setup.report = [&](const std::string& /*step*/) {
    std::filesystem::remove(marker);
    std::filesystem::create_directory(marker);
  };
  for (const auto& changes :
       {Changes{container("web", {"n1"}, {"8080:80"})}, Changes{change::RemoveContainer{"web"}}}) {
    const auto outcome = engine::Engine(setup).run(changes);
    EXPECT_THAT(outcome.notices, testing::Contains(HasSubstr("the next command looks at everything again")));
    std::filesystem::remove(marker);
    EXPECT_TRUE(host.engine().check().plan.empty());
  }
}

// The same through a supervisor, with what it has of its own: log, status, the process in its namespaces.
TEST(Fault, ARunThatFailsLeavesNothingOfItsSupervisor) {
  FaultHost host;
  one_network(host);
  const Everything before(host);
  auto add = container("web", {"n1"}, {"8080:80"});
  add.container.kind = ContainerKind::process;
  add.container.process.argv = {"sleep", "1000"};
  for (std::size_t tried = 0; tried < 11; ++tried) {
    SCOPED_TRACE(tried);
    host.faults().begin();
    host.faults().fail_step = tried;
    const auto error = error_of([&] { mb::container::run_detached(host.engine(), {{}, add}, [](const auto&) {}); });
    ASSERT_TRUE(error);
    EXPECT_THAT(error->message(), HasSubstr("broken on purpose (EIO)"));
    std::filesystem::remove(host.state_dir() + "/alive");  // the file of locks stays
    expect_same(before, host);
    ASSERT_FALSE(HasFailure());
  }
}

// A container that was started between the signals and the lock: taking it out would leave its processes behind.
TEST(Fault, AContainerThatIsAliveInOtherHandsIsNotTakenOut) {
  FaultHost host;
  one_network(host);
  auto web = host.process("web", {"n1"}, {"8080:80"});
  web.container.supervisor_pid = ::getppid();
  host.engine().run({web});
  const Everything before(host);
  const Changes end{change::EndContainer{web.container.id, std::nullopt, 0}, change::RemoveContainer{"web"}};
  for (const auto& action :
       std::vector<std::function<void()>>{[&] { host.engine().run(end); }, [&] { host.engine().take_down(); }}) {
    const auto error = error_of(action);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::conflict);
    EXPECT_EQ(error->message(), "container 'web' is running");
    expect_same(before, host);
  }
  host.alive().clear();
  host.engine().run(end);
  EXPECT_EQ(find_orphans(host.state_dir()), "");
}

// ------------------------------------------------------------------ what removes

struct Removing {
  const char* name;
  std::function<Changes(FaultHost&)> prepare;  // on a host with one_network; gives the changes that remove
};

std::ostream& operator<<(std::ostream& stream, const Removing& removing) { return stream << removing.name; }

const std::vector<Removing> kRemoving = {
    {"RmOfSeveral",
     [](FaultHost& host) {
       host.engine().run(
           {container("a", {"n1"}, {"81:80"}), container("b", {"n1"}, {"82:80"}), container("c", {"n1"})});
       return Changes{change::RemoveContainer{"a"}, change::RemoveContainer{"b"}, change::RemoveContainer{"c"}};
     }},
    {"RmOfOne",
     [](FaultHost& host) {
       host.engine().run({container("a", {"n1"}, {"81:80/udp"})});
       return Changes{change::RemoveContainer{"a"}};
     }},
    {"Unpublish",
     [](FaultHost& host) {
       host.engine().run({change::Publish{"keep", {PublishSpec::parse("8443:443")}, 0}});
       return Changes{change::Unpublish{"keep", {PublishSpec::parse("8443:443")}}};
     }},
    {"DisconnectOfTheDefaultRoute",
     [](FaultHost& host) {
       host.engine().run({network("n2", "172.21.0.0/24")});
       change::Connect connect{"keep", container("any", {"n2"}).endpoints.front(), {}, {}, 0};
       connect.endpoint.gateway_priority = 1;
       host.engine().run({connect});
       return Changes{change::Disconnect{"keep", "n2"}, change::RemoveNetwork{"n2"}};
     }},
    {"EndOfAContainer",
     [](FaultHost& host) {
       auto web = host.process("web", {"n1"}, {"8080:80"});
       web.container.remove_when_ended = true;
       host.engine().run({web});
       host.alive().erase(web.container.id);
       return Changes{change::EndContainer{web.container.id, 0, 0}};
     }},
    {"NetworkRmOfAnAdoptedBridge",
     [](FaultHost& host) {
       host.engine().run({network_on_their_bridge()});
       return Changes{change::RemoveNetwork{"n3"}};
     }},
    {"NetworkRm",
     [](FaultHost& host) {
       host.engine().run({network("n2", "172.21.0.0/24")});
       return Changes{change::RemoveNetwork{"n2"}};
     }},
};

class WhatRemoves : public testing::TestWithParam<Removing> {};

TEST_P(WhatRemoves, IsFinishedByTheNextVerb) {
  FaultHost host;
  their_bridge();
  one_network(host);
  const auto kernel = host.look();
  const auto wishes = dump_wishes(host.state_dir());
  std::size_t tried = 0;
  for (bool done = false; !done; ++tried) {
    for (const auto moment : kMoments) {
      SCOPED_TRACE(describe(tried, moment));
      const auto changes = GetParam().prepare(host);
      host.faults().begin();
      host.faults().fail_step = tried;
      host.faults().moment = moment;
      const auto error = error_of([&] { host.engine().run(changes); });
      host.faults().begin();
      done = !error;
      if (error) {
        EXPECT_THAT(error->message(), HasSubstr("broken on purpose (EIO)"));
        EXPECT_THAT(error->hint(), HasSubstr("finished by the next command"));
        EXPECT_NE(dump_state(host.state_dir()).find("marker"), std::string::npos);
        host.engine().run({});
      }
      EXPECT_EQ(kernel, host.look());
      EXPECT_EQ(wishes, dump_wishes(host.state_dir()));
      EXPECT_EQ(dump_state(host.state_dir()).find("marker"), std::string::npos);
      EXPECT_TRUE(host.engine().check().plan.empty());
      ASSERT_FALSE(HasFailure());
      if (done) break;
    }
  }
  EXPECT_GT(tried, 1U);
}

TEST_P(WhatRemoves, IsFinishedByTheNextVerbWhenTheKernelCannotBeSeen) {
  FaultHost host;
  their_bridge();
  one_network(host);
  const auto kernel = host.look();
  const auto wishes = dump_wishes(host.state_dir());
  auto changes = GetParam().prepare(host);
  const Everything before(host);
  // The first look: nothing has been done, nothing is decided.
  host.faults().begin();
  host.faults().fail_observe = 0;
  auto error = error_of([&] { host.engine().run(changes); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->message(), HasSubstr("cannot look at the kernel"));
  expect_same(before, host);
  // The last look: everything has been done, but nobody knows.
  host.faults().begin();
  host.faults().fail_observe = 1;
  error = error_of([&] { host.engine().run(changes); });
  ASSERT_TRUE(error);
  host.faults().begin();
  host.engine().run({});
  EXPECT_EQ(kernel, host.look());
  EXPECT_EQ(wishes, dump_wishes(host.state_dir()));
  EXPECT_TRUE(host.engine().check().plan.empty());
}

INSTANTIATE_TEST_SUITE_P(Fault, WhatRemoves, testing::ValuesIn(kRemoving),
                         [](const auto& tested) { return std::string(tested.param.name); });

// Every step of a removal is tried, and every error is told.
TEST(Fault, ARemovalGoesOnAfterAStepThatFailed) {
  FaultHost host;
  one_network(host);
  host.engine().run({container("a", {"n1"}, {"81:80"})});
  const auto steps = host.engine().plan({change::RemoveContainer{"a"}}).plan.size();
  host.faults().begin();
  host.faults().fail_step = 0;
  ASSERT_TRUE(error_of([&] { host.engine().run({change::RemoveContainer{"a"}}); }));
  EXPECT_EQ(host.faults().steps, steps);
  EXPECT_EQ(must("iptables-legacy-save").find("minibridge a:"), std::string::npos)
      << "rules go although the links did not";
}

TEST(Fault, DownIsFinishedByTheNextDown) {
  FaultHost host;
  const auto before = host.look();
  std::size_t tried = 0;
  for (bool done = false; !done; ++tried) {
    for (const auto moment : kMoments) {
      SCOPED_TRACE(describe(tried, moment));
      one_network(host);
      host.engine().run({container("a", {"n1"}), host.process("web", {"n1"}, {"8080:80"})});
      host.faults().begin();
      host.faults().fail_step = tried;
      host.faults().moment = moment;
      const auto error = error_of([&] { host.engine().take_down(); });
      host.faults().begin();
      done = !error;
      if (error) host.engine().take_down();
      EXPECT_EQ(before, host.look());
      ASSERT_FALSE(HasFailure());
      if (done) break;
    }
  }
  EXPECT_GT(tried, 5U);
}

// ------------------------------------------------------------------ repair

TEST(Fault, RepairIsFinishedByTheNextRepair) {
  FaultHost host;
  one_network(host);
  host.engine().run({host.process("web", {"n1"}, {"8080:80"})});
  const auto kernel = host.look();
  std::size_t tried = 0;
  for (bool done = false; !done; ++tried) {
    for (const auto moment : kMoments) {
      SCOPED_TRACE(describe(tried, moment));
      // Indexes and the like are new after a link was made anew, so the links stay here; their settings go.
      must("ip link set br-n1 down; ip address flush dev br-n1; sysctl -qw net.ipv4.ip_forward=0");
      must("iptables-legacy -t nat -F MINIBRIDGE-PUBLISH; iptables-legacy -F MINIBRIDGE-FORWARD");
      must("iptables-legacy -t raw -F PREROUTING; rm " + host.state_dir() + "/containers/*/hosts");
      host.set_foreign_policies();
      host.faults().begin();
      host.faults().fail_step = tried;
      host.faults().moment = moment;
      const auto error = error_of([&] { host.engine().repair(); });
      host.faults().begin();
      done = !error;
      if (error) {
        EXPECT_THAT(error->message(), HasSubstr("broken on purpose (EIO)"));
        host.engine().repair();
      }
      EXPECT_TRUE(host.engine().check().plan.empty());
      EXPECT_EQ(kernel, host.look());
      ASSERT_FALSE(HasFailure());
      if (done) break;
    }
  }
  EXPECT_GT(tried, 4U);
}

}  // namespace
}  // namespace mb::test
