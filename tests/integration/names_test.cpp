// SPDX-License-Identifier: GPL-2.0-or-later
//
// Containers of one network find each other by name: real questions from inside, to a real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include "src/container/pidfd.h"
#include "tests/support/fault_cli.h"
#include "tests/support/program.h"
#include "tests/support/questions.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr const char* kGateway = "10.20.0.1";

// One process and all that came from it, the youngest last.
std::vector<pid_t> family_of(pid_t process) {
  std::vector<pid_t> all{process};
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (const pid_t child : children_of(all[i])) all.push_back(child);
  }
  return all;
}

class Names : public testing::Test {
 protected:
  Names() { Program::must_mb("network create --subnet 10.20.0.0/24 n1"); }

  static void create(const std::string& words) { Program::must_mb("create --network n1 " + words); }
  static Answer from(const std::string& container, const std::string& name, const std::string& type = "A",
                     Over over = Over::kUdp) {
    return ask(Program::namespace_of(container), kGateway, name, type, over);
  }
  static std::string etc(const std::string& container, const std::string& file) {
    return must("minibridge exec " + container + " -- cat /etc/" + file);
  }

  World world_;
  Program program_;
};

TEST_F(Names, ContainersFindEachOtherForwardAndBackOverUdpAndTcp) {
  create("web db");
  const auto id = Program::inspect("db")["id"].get<std::string>();
  for (const auto over : {Over::kUdp, Over::kTcp}) {
    EXPECT_EQ(from("web", "db", "A", over), found({"10.20.0.3"}));
    EXPECT_EQ(from("db", "web", "A", over), found({"10.20.0.2"}));
    EXPECT_EQ(from("db", "db", "A", over), found({"10.20.0.3"}));
    EXPECT_EQ(from("web", id, "A", over), found({"10.20.0.3"}));
    EXPECT_EQ(from("web", "10.20.0.3", "PTR", over), found({"db"}));
    EXPECT_EQ(from("web", "nobody", "A", over), no_such_name());
    EXPECT_EQ(from("web", "db", "AAAA", over).kind, Answer::kNoData) << "known, without such an address";
  }
  EXPECT_EQ(from("web", "10.20.0.200", "PTR"), no_such_name()) << "the network's addresses are asked for nowhere else";
  EXPECT_THAT(must("minibridge exec web -- getent hosts db"), StartsWith("10.20.0.3"));
  EXPECT_THAT(etc("web", "resolv.conf"), AllOf(HasSubstr("nameserver 10.20.0.1\n"), HasSubstr("ndots:0")));
}

TEST_F(Names, WhoComesIsKnownAndWhoGoesIsForgottenWhenTheVerbReturns) {
  create("watcher");
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(from("watcher", "web"), no_such_name());
    Program::must_mb("run -d --network n1 --name web -- sleep 600");
    EXPECT_EQ(from("watcher", "web").kind, Answer::kFound);
    Program::must_mb("rm -f web");
  }
}

TEST_F(Names, TheServerComesWithTheFirstContainerAndGoesWithTheLast) {
  EXPECT_THAT(name_server_supervisors(program_.state_dir()), IsEmpty());
  create("web");
  const auto first = name_server_supervisors(program_.state_dir());
  ASSERT_EQ(first.size(), 1U);
  const auto family = family_of(first.front());
  create("db");
  EXPECT_EQ(name_server_supervisors(program_.state_dir()), first) << "not started again";
  EXPECT_EQ(family_of(first.front()), family) << "dnsmasq itself neither";
  EXPECT_EQ(from("web", "db"), found({"10.20.0.3"}));
  Program::must_mb("rm web");
  EXPECT_EQ(name_server_supervisors(program_.state_dir()), first);
  EXPECT_EQ(family_of(first.front()), family);
  Program::must_mb("rm db");
  for (const pid_t pid : family) EXPECT_TRUE(ends(pid)) << pid << " still runs";
  EXPECT_THAT(sh("ls " + program_.state_dir() + "/names").out, IsEmpty());
  EXPECT_EQ(must("ss -lnH 'sport = 53'"), "");
}

TEST_F(Names, AliasesComeAndGoWithTheConnection) {
  create("watcher");
  const auto servers = family_of(name_server_supervisors(program_.state_dir()).front());
  Program::must_mb("create web");
  for (const std::string alias : {"www", "shop"}) {
    Program::must_mb("network connect --alias " + alias + " n1 web");
    EXPECT_EQ(from("watcher", alias).kind, Answer::kFound);
    EXPECT_EQ(from("watcher", "web").kind, Answer::kFound);
    Program::must_mb("network disconnect n1 web");
    EXPECT_EQ(from("watcher", alias), no_such_name());
    EXPECT_EQ(from("watcher", "web"), no_such_name());
  }
  EXPECT_EQ(family_of(name_server_supervisors(program_.state_dir()).front()), servers) << "not started again";
}

TEST_F(Names, OfTheDefaultNetworkAreNotServed) {
  Program::must_mb("create c1");
  EXPECT_THAT(name_server_supervisors(program_.state_dir()), IsEmpty());
  EXPECT_THAT(etc("c1", "resolv.conf"), Not(HasSubstr("172.17.0.1")));
}

TEST_F(Names, ServerThatDiesComesBack) {
  create("web db");
  const auto supervisor = name_server_supervisors(program_.state_dir()).front();
  ASSERT_EQ(family_of(supervisor).size(), 3U) << "the supervisor, its init, dnsmasq";
  const auto server = container::open_process(family_of(supervisor).back());
  container::send_signal(server, SIGKILL);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  Answer answer;
  while (answer.kind == Answer::kNone && std::chrono::steady_clock::now() < deadline) {
    answer = ask(Program::namespace_of("web"), kGateway, "db", "A", Over::kUdp, std::chrono::milliseconds(200));
  }
  EXPECT_EQ(answer, found({"10.20.0.3"}));
  EXPECT_EQ(name_server_supervisors(program_.state_dir()).front(), supervisor);
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

TEST_F(Names, AServerWithoutASupervisorIsMissedAndReplaced) {
  create("web db");
  const auto supervisor = name_server_supervisors(program_.state_dir()).front();
  const auto process = container::open_process(supervisor);
  container::send_signal(process, SIGKILL);
  ASSERT_TRUE(ends(supervisor));
  const auto check = Program::mb("repair --check");
  EXPECT_EQ(check.status, 5);
  EXPECT_THAT(check.out, HasSubstr("start the name server of network 'n1'"));
  EXPECT_EQ(Program::mb("repair").status, 0);
  EXPECT_EQ(from("web", "db"), found({"10.20.0.3"}));
}

TEST_F(Names, DownEndsTheServer) {
  create("web");
  const auto family = family_of(name_server_supervisors(program_.state_dir()).front());
  Program::must_mb("down");
  for (const pid_t pid : family) EXPECT_TRUE(ends(pid)) << pid << " still runs";
  EXPECT_EQ(sh("test -e " + program_.state_dir()).status, 1);
}

TEST_F(Names, AnAliasThatTwoHaveLeadsToBoth) {
  create("--network-alias db --network-alias store one");
  create("--network-alias db two");
  create("asker");
  EXPECT_EQ(from("asker", "db"), found({"10.20.0.2", "10.20.0.3"}));
  EXPECT_EQ(from("asker", "store"), found({"10.20.0.2"}));
  EXPECT_EQ(from("asker", "10.20.0.2", "PTR"), found({"one"})) << "an alias is not its name";
  Program::must_mb("rm one");
  EXPECT_EQ(from("asker", "db"), found({"10.20.0.3"}));
}

TEST_F(Names, AreServedOverIpv6Too) {
  Program::must_mb("network create --ipv6 --subnet 10.26.0.0/24 --subnet fd26::/64 n6");
  Program::must_mb("create --network n6 web db");
  const auto web = Program::namespace_of("web");
  for (const auto over : {Over::kUdp, Over::kTcp}) {
    EXPECT_EQ(ask(web, "fd26::1", "db", "AAAA", over), found({"fd26::3"}));
    EXPECT_EQ(ask(web, "10.26.0.1", "db", "AAAA", over), found({"fd26::3"}));
    EXPECT_EQ(ask(web, "fd26::1", "db", "A", over), found({"10.26.0.3"}));
    EXPECT_EQ(ask(web, "fd26::1", "fd26::3", "PTR", over), found({"db"}));
  }
}

// ------------------------------------------------------------------ outside

// A server of names outside, and a host that asks it.
class NamesOutside : public Names {
 protected:
  NamesOutside() {
    const auto config = program_.write("resolv.conf", "# a host's\nsearch example.test\nnameserver 198.51.100.9\n");
    must("mount --bind " + config + " /etc/resolv.conf");
    must(world_.outside(),
         "dnsmasq --conf-file=/dev/null --no-hosts --no-resolv --user=root --group= --bind-interfaces "
         "--listen-address=198.51.100.9 --pid-file=" +
             program_.directory() + "/upstream.pid --address=/outside.example/203.0.113.7");
  }
  ~NamesOutside() override { sh("kill $(cat " + program_.directory() + "/upstream.pid); umount /etc/resolv.conf"); }
};

TEST_F(NamesOutside, AreAskedOfTheHostsResolvers) {
  create("web");
  EXPECT_EQ(from("web", "outside.example"), found({"203.0.113.7"}));
  EXPECT_EQ(from("web", "outside.example", "A", Over::kTcp), found({"203.0.113.7"}));
  EXPECT_THAT(etc("web", "resolv.conf"), AllOf(HasSubstr("nameserver 10.20.0.1\n"), HasSubstr("search example.test"),
                                               Not(HasSubstr("198.51.100.9"))));
}

TEST_F(NamesOutside, AreNotAskedForByInternalNetworks) {
  Program::must_mb("network create --subnet 10.21.0.0/24 --internal closed");
  Program::must_mb("create --network closed inside sibling");
  const auto inside = Program::namespace_of("inside");
  EXPECT_EQ(ask(inside, "10.21.0.1", "outside.example"), no_such_name());
  EXPECT_EQ(ask(inside, "10.21.0.1", "sibling"), found({"10.21.0.3"}));
}

TEST_F(NamesOutside, ContainerWithItsOwnResolverFindsSiblingsInItsHostsFile) {
  create("web");
  create("--dns 198.51.100.9 own");
  create("late");
  EXPECT_THAT(etc("own", "resolv.conf"), AllOf(HasSubstr("198.51.100.9"), Not(HasSubstr(kGateway))));
  EXPECT_THAT(etc("own", "hosts"), AllOf(HasSubstr("10.20.0.2\tweb"), HasSubstr("10.20.0.4\tlate")));
  EXPECT_EQ(from("late", "own"), found({"10.20.0.3"}));
  Program::must_mb("rm late");
  EXPECT_THAT(etc("own", "hosts"), Not(HasSubstr("late")));
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

// ------------------------------------------------------------------ beside others

TEST_F(Names, AHostThatLetsNobodyInAnswersForNamesOnly) {
  Program::must_mb("network create --ipv6 --subnet 10.26.0.0/24 --subnet fd26::/64 n6");
  Program::must_mb("create --network n6 web db");
  const auto web = Program::namespace_of("web");
  const std::vector<std::string> gateways{"10.26.0.1", "fd26::1"};
  must("iptables-legacy -P INPUT DROP");
  must("ip6tables-legacy -A INPUT -p ipv6-icmp -j ACCEPT && ip6tables-legacy -P INPUT DROP");  // neighbours are found
  constexpr std::chrono::milliseconds kShort{200};
  for (const auto& gateway : gateways) {
    for (const auto over : {Over::kUdp, Over::kTcp}) {
      EXPECT_EQ(ask(web, gateway, "db", "A", over), found({"10.26.0.3"})) << gateway;
    }
    EXPECT_EQ(tcp_talk(web, gateway, 54, {.deadline = kShort}).kind, Outcome::kTimedOut) << gateway;
  }
  constexpr const char* kWhy =
      "# a host that lets nobody in (INPUT policy DROP) still answers its containers' questions";
  const auto rules = lines_of(Program::must_mb("rules"));
  for (const std::string rule : {"-A MINIBRIDGE-INPUT -d 10.26.0.1/32 ", "-A MINIBRIDGE-INPUT -d fd26::1/128 "}) {
    const auto line = std::find_if(rules.begin(), rules.end(), [&](const auto& l) { return l.starts_with(rule); });
    ASSERT_NE(line, rules.end()) << rule;
    EXPECT_THAT(*(line - 1), StartsWith(kWhy));
  }
  must("iptables-legacy -F MINIBRIDGE-INPUT && ip6tables-legacy -F MINIBRIDGE-INPUT");
  for (const auto& gateway : gateways) {
    EXPECT_EQ(ask(web, gateway, "db", "A", Over::kUdp, kShort).kind, Answer::kNone) << "this test could not have told";
  }
}

TEST_F(Names, APublishedPort53DoesNotStealTheNetworksOwnQuestions) {
  Program::must_mb("run -d --network n1 -p 53:53/udp -p 53:53 --name thief");
  create("web");
  for (const auto over : {Over::kUdp, Over::kTcp}) EXPECT_EQ(from("web", "thief", "A", over), found({"10.20.0.2"}));
  EXPECT_TRUE(udp_talk(world_.outside(), "198.51.100.1", 53).reached()) << "from outside it is the container's";
  EXPECT_EQ(Program::mb("repair --check").status, 0) << "those questions were answered by the right one";
  udp_talk(Program::namespace_of("web"), "198.51.100.9", 53, {.deadline = std::chrono::milliseconds(1)});
  EXPECT_EQ(Program::mb("repair --check").status, 0) << "what others answer outside is not ours to judge";
}

TEST_F(Names, APort53CanBePublishedWhereANameServerRuns) {
  create("web");
  const auto refused = Program::mb("create --network n1 -p 10.20.0.1:53:53/udp greedy");
  EXPECT_EQ(refused.status, 4);
  EXPECT_THAT(refused.err, HasSubstr("dnsmasq"));
  create("-p 53:53/udp resolver");
  EXPECT_EQ(from("web", "resolver"), found({"10.20.0.3"}));
}

TEST_F(Names, NobodyOutsideIsAnswered) {
  create("web");
  must(world_.outside(), "ip route add 10.20.0.0/24 via 198.51.100.1");
  EXPECT_EQ(ask(world_.outside(), "198.51.100.1", "web", "A", Over::kTcp).kind, Answer::kNone);
}

TEST_F(Names, OfEachOfItsNetworksAreKnownToAContainer) {
  Program::must_mb("network create --subnet 10.30.0.0/24 n2");
  create("web");
  Program::must_mb("create --network n1 --network n2 both");
  Program::must_mb("create --network n2 db");
  EXPECT_THAT(must("minibridge exec both -- getent hosts web"), StartsWith("10.20.0.2"));
  EXPECT_THAT(must("minibridge exec both -- getent hosts db"), StartsWith("10.30.0.3"));
  EXPECT_EQ(from("web", "both"), found({"10.20.0.3"})) << "by its address in the asker's network alone";
  EXPECT_EQ(ask(Program::namespace_of("db"), "10.30.0.1", "both"), found({"10.30.0.2"}));
  EXPECT_EQ(ask(Program::namespace_of("db"), "10.30.0.1", "web"), no_such_name());
  Program::must_mb("rm db");
  EXPECT_NE(sh("minibridge exec both -- getent hosts db").status, 0);
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

TEST_F(Names, WithoutDnsmasqOneSentenceSaysSoAndHostsFilesAreKept) {
  must("mount --bind /dev/null /usr/sbin/dnsmasq");
  const auto first = Program::mb("create --network n1 web");
  const auto second = Program::mb("create --network n1 db");
  must("umount /usr/sbin/dnsmasq");
  EXPECT_EQ(first.status, 0);
  EXPECT_THAT(first.err, AllOf(StartsWith("note: network 'n1' has no name server"), HasSubstr("dnsmasq-base")));
  EXPECT_EQ(lines_of(first.err).size(), 1U);
  EXPECT_THAT(name_server_supervisors(program_.state_dir()), IsEmpty());
  for (const std::string container : {"web", "db"}) {
    EXPECT_THAT(etc(container, "hosts"), AllOf(HasSubstr("10.20.0.2\tweb"), HasSubstr("10.20.0.3\tdb"))) << container;
    EXPECT_THAT(etc(container, "resolv.conf"), Not(HasSubstr(kGateway)));
  }
  // Now that it is installed again, what was asked for is to be had.
  EXPECT_EQ(Program::mb("repair --check").status, 5);
  EXPECT_EQ(Program::mb("repair").status, 0);
  EXPECT_EQ(from("web", "db"), found({"10.20.0.3"}));
  EXPECT_THAT(etc("web", "hosts"), Not(HasSubstr("db")));
}

TEST_F(Names, AnOccupiedPortIsAnErrorThatSaysSoAndNothingIsLeft) {
  const TcpServer other(world_.host(), "0.0.0.0", 53);
  Program::must_mb("create --network none first");  // what is made once and stays is there then
  const auto before = program_.look_at_state();
  const auto refused = Program::mb("create --network n1 web");
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("cannot start the name server"), HasSubstr("in use"), HasSubstr("hint: ")));
  EXPECT_EQ(program_.look_at_state(), before);
}

}  // namespace
}  // namespace mb::test
