// SPDX-License-Identifier: GPL-2.0-or-later
//
// What holds while things change: under a flood nothing crosses between networks, a port moves without one connection
// lost, and what others do never touches an established flow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <future>
#include <map>
#include <optional>

#include "src/engine/engine.h"
#include "tests/support/capture.h"
#include "tests/support/fault_host.h"
#include "tests/support/frames.h"
#include "tests/support/program.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using netns::Namespace;
using testing::HasSubstr;

bool is_flood(const Packet& packet) { return packet.payload == "flood"; }

std::string name_of(const testing::TestParamInfo<Family>& test) { return std::string(to_string(test.param)); }

// The engine in this process: as fast as changes can follow each other.
class Changing : public testing::Test {
 protected:
  Changing() : engine_(setup()) {
    // A router already: whatever lets go of a packet lets it through.
    must("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    world_.add_ipv6();
    change({network("n1", "172.18.0.0/16", "fd00:18::/64"), network("n2", "172.19.0.0/16", "fd00:19::/64")});
    change({container("c1", {"n1"}, {"8080:80"}), container("c2", {"n1"}), container("c3", {"n2"})});
  }

  void change(const std::vector<Change>& changes) const { engine_.run(changes); }
  void publish(const std::string& name, const std::vector<std::string>& specs, bool take_over = false) const {
    change({mb::change::Publish{name, parsed(specs), 0, take_over}});
  }
  void unpublish(const std::string& name, const std::vector<std::string>& specs) const {
    change({mb::change::Unpublish{name, parsed(specs)}});
  }

  static Namespace at(const std::string& name) { return Program::namespace_of(name); }
  [[nodiscard]] const World& world() const { return world_; }
  [[nodiscard]] const engine::Engine& engine() const { return engine_; }

  static std::string look() {
    settle_carriers();
    return must("ip -o link && iptables-legacy-save | grep -v '^#'");
  }

  /// "100:80", "101:80" …
  static std::vector<std::string> ports_from(int first, int count) {
    std::vector<std::string> specs;
    for (int i = 0; i < count; ++i) specs.push_back(std::to_string(first + i) + ":80");
    return specs;
  }

 private:
  static std::vector<PublishSpec> parsed(const std::vector<std::string>& specs) {
    std::vector<PublishSpec> ports;
    for (const auto& spec : specs) ports.push_back(PublishSpec::parse(spec));
    return ports;
  }

  engine::Setup setup() const {
    engine::Setup setup;
    setup.state_dir = program_.state_dir();
    setup.is_alive = [](const Id&) { return true; };
    setup.now = [] { return std::int64_t{1'700'000'000}; };
    setup.draw_state_id = [] { return "3fa2c19b"; };
    setup.keeps_state_open = true;
    return setup;
  }

  World world_;
  Program program_;
  engine::Engine engine_;
};

// What holds in each family, while both are changed.
class ChangingIn : public Changing, public testing::WithParamInterface<Family> {
 protected:
  [[nodiscard]] static std::string ip(const std::string& place) {
    static const std::map<std::string, std::pair<std::string, std::string>> kAddresses{
        {"host", {"198.51.100.1", "2001:db8:100::1"}},
        {"c1", {"172.18.0.2", "fd00:18::2"}},
        {"c2", {"172.18.0.3", "fd00:18::3"}},
        {"c3", {"172.19.0.2", "fd00:19::2"}}};
    const auto& [v4, v6] = kAddresses.at(place);
    return GetParam() == Family::v4 ? v4 : v6;
  }
  static void iptables(const std::string& words) { must(iptables_of(GetParam()) + " " + words); }

  // A network that comes and goes.
  static change::AddNetwork passing(const std::string& name, const std::string& number) {
    return network(name, "10.20." + number + ".0/24", "fd00:20:" + number + "::/64");
  }
  // It answers to the host: all that was sent to it before has come by.
  void expect_an_answer_of(const std::string& place) const {
    EXPECT_EQ(tcp_talk(world().host(), ip(place), 9).kind, Outcome::kRefused);
  }
};

// ------------------------------------------------------------------ isolation

using Isolation = ChangingIn;
INSTANTIATE_TEST_SUITE_P(In, Isolation, testing::Values(Family::v4, Family::v6), name_of);

// Both ends of a flood in both directions, and what of it came by.
class CrossFire {
 public:
  CrossFire(const std::string& address_of_c1, const std::string& address_of_c3)
      : c1_(Program::namespace_of("c1")),
        c3_(Program::namespace_of("c3")),
        at_c1_(c1_, "eth0", Direction::incoming),
        at_c3_(c3_, "eth0", Direction::incoming),
        there_(c1_, address_of_c3, 4000),
        back_(c3_, address_of_c1, 4000) {}

  void go_on() const {
    there_.wait_for(200);
    back_.wait_for(200);
  }

  /// How many packets came by since the last call.
  std::size_t crossed() { return count(at_c1_.drain(), is_flood) + count(at_c3_.drain(), is_flood); }

 private:
  Namespace c1_;
  Namespace c3_;
  Capture at_c1_;
  Capture at_c3_;
  Flood there_;
  Flood back_;
};

TEST_P(Isolation, LetsNothingCrossWhileNetworksContainersAndPortsComeAndGo) {
  CrossFire fire(ip("c1"), ip("c3"));
  const auto crossed = [&] {
    fire.go_on();
    for (const std::string place : {"c1", "c3"}) expect_an_answer_of(place);
    return fire.crossed();
  };
  for (int i = 0; i < 50; ++i) {
    const auto number = std::to_string(i);
    change({passing("x" + number, number)});
    change({container("x" + number, {i % 2 == 0 ? "n1" : "n2", "x" + number})});
    if (i % 10 == 0) {
      change({connection("x" + number, "n2")});
      fire.go_on();
      change({mb::change::Disconnect{"x" + number, "n2"}});
    }
  }
  for (int i = 0; i < 10; ++i) publish(i % 2 == 0 ? "c1" : "c3", ports_from(10'000 + 20 * i, 20));
  EXPECT_EQ(crossed(), 0U);
  for (int i = 0; i < 10; ++i) unpublish(i % 2 == 0 ? "c1" : "c3", ports_from(10'000 + 20 * i, 20));
  for (int i = 0; i < 50; ++i) {
    const auto number = std::to_string(i);
    change({mb::change::RemoveContainer{"x" + number}});
    change({mb::change::RemoveNetwork{"x" + number}});
    if (i % 10 == 0) fire.go_on();
  }
  EXPECT_EQ(crossed(), 0U);
  iptables("-I FORWARD -j ACCEPT");
  EXPECT_GT(crossed(), 0U) << "this test could not have told";
}

// Whoever is taken away goes on sending to the last, and his rules go with him: his link has to go first.
TEST_P(Isolation, LetsNothingCrossOutOfAContainerThatIsBeingRemovedWithItsNetwork) {
  const auto c3 = at("c3");
  Capture at_c3(c3, "eth0", Direction::incoming);
  const auto crossed = [&] {
    expect_an_answer_of("c3");
    return count(at_c3.drain(), is_flood);
  };
  const auto add = [&] { change({passing("x", "0"), container("x", {"x"})}); };
  for (int i = 0; i < 20; ++i) {
    add();
    const auto sender = at("x");
    const Flood flood(sender, ip("c3"), 4000);
    flood.wait_for(200);
    change({mb::change::RemoveContainer{"x"}, mb::change::RemoveNetwork{"x"}});
  }
  EXPECT_EQ(crossed(), 0U);

  add();
  const auto sender = at("x");
  const Flood flood(sender, ip("c3"), 4000);
  iptables("-F FORWARD");  // the rules first, the link still there
  flood.wait_for(200);
  EXPECT_GT(crossed(), 0U) << "this test could not have told";
}

// The last one takes every rule along, and the policy of FORWARD is ACCEPT.
TEST_P(Isolation, LetsNothingInFromOutsideWhileEverythingIsTakenDown) {
  const auto c1 = at("c1");
  Capture at_c1(c1, "eth0", Direction::incoming);
  const Flood flood(world().outside(), ip("c1"), 4000);
  const auto come_in = [&] {
    flood.wait_for(200);
    expect_an_answer_of("c1");
    return count(at_c1.drain(), is_flood);
  };
  ASSERT_EQ(come_in(), 0U);
  iptables("-F FORWARD");  // the rules first, the link still there
  EXPECT_GT(come_in(), 0U) << "this test could not have told";
  engine().repair();
  come_in();
  ASSERT_EQ(come_in(), 0U);
  engine().take_down();
  flood.wait_for(200);
  EXPECT_EQ(count(at_c1.drain(), is_flood), 0U);
}

// As long as it is in a network it reaches it, and then no longer.
TEST_P(Isolation, LetsNothingCrossOutOfAContainerThatHasLeftANetwork) {
  change({container("guest", {"n1"})});
  const auto c3 = at("c3");
  const auto guest = at("guest");
  Capture at_c3(c3, "eth0", Direction::incoming);
  const Flood flood(guest, ip("c3"), 4000);  // under its address in n1
  const auto crossed = [&] {
    flood.wait_for(200);
    expect_an_answer_of("c3");
    return count(at_c3.drain(), is_flood);
  };
  EXPECT_EQ(crossed(), 0U);
  for (int i = 0; i < 5; ++i) {
    change({connection("guest", "n2")});
    // A container has no fe80:: address, and without one it does not ask n2 for a neighbour in the name of n1.
    must(guest, "ip neigh replace " + ip("c3") + " dev eth1 lladdr " + mac_of(c3, "eth0"));
    EXPECT_GT(crossed(), 0U) << "this test could not tell";
    change({mb::change::Disconnect{"guest", "n2"}});
    crossed();  // what was on its way
    EXPECT_EQ(crossed(), 0U);
  }
}

// ------------------------------------------------------------------ ports that move

using MovingPorts = ChangingIn;
INSTANTIATE_TEST_SUITE_P(In, MovingPorts, testing::Values(Family::v4, Family::v6), name_of);

// New connections one after another until told to stop; what went wrong.
class Callers {
 public:
  Callers(const Namespace& from, const std::string& address, std::uint16_t port)
      : done_(std::async(std::launch::async, [this, &from, address, port] {
          while (!stop_) {
            const Outcome outcome = tcp_talk(from, address, port);
            ++calls_;
            if (!outcome.reached()) lost_.push_back(outcome);
          }
        })) {}
  ~Callers() {
    stop_ = true;
    if (done_.valid()) done_.wait();
  }
  Callers(const Callers&) = delete;
  Callers& operator=(const Callers&) = delete;

  void wait_for(int more) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (const int until = calls_ + more; calls_ < until && std::chrono::steady_clock::now() < end;) {
      std::this_thread::yield();
    }
  }
  std::vector<Outcome> stop() {
    stop_ = true;
    done_.get();
    return lost_;
  }
  [[nodiscard]] int calls() const { return calls_; }

 private:
  std::atomic<bool> stop_ = false;
  std::atomic<int> calls_ = 0;
  std::vector<Outcome> lost_;
  std::future<void> done_;
};

TEST_P(MovingPorts, LoseNoNewConnection) {
  const TcpServer first(at("c1"), ip("c1"), 80);
  const TcpServer second(at("c2"), ip("c2"), 80);
  const TcpServer third(at("c3"), ip("c3"), 80);
  Callers callers(world().outside(), ip("host"), 8080);
  const std::vector<std::string> turns{"c2", "c3", "c1"};
  for (std::size_t i = 0; i < 20; ++i) {
    callers.wait_for(10);
    publish(turns.at(i % 3), {"8080:80"}, true);
  }
  callers.wait_for(10);
  const auto lost = callers.stop();
  EXPECT_TRUE(lost.empty()) << lost.size() << " of " << callers.calls() << ", the first: " << lost.front();
  for (const auto* server : {&first, &second, &third}) EXPECT_GT(server->seen().size(), 20U);
}

// The same, done in two: what the test above would look like if a move had a gap.
TEST_P(MovingPorts, LoseConnectionsWhereTheyAreTakenBackFirst) {
  const TcpServer first(at("c1"), ip("c1"), 80);
  Callers callers(world().outside(), ip("host"), 8080);
  callers.wait_for(10);
  unpublish("c1", {"8080:80"});
  callers.wait_for(10);
  EXPECT_FALSE(callers.stop().empty());
}

// Flows that begin while the port is being published know the old way: they have to be forgotten, and are no failure.
TEST_P(MovingPorts, ComeAndGoWhileNewDatagramFlowsBeginAllTheTime) {
  const UdpServer server(at("c1"), ip("c1"), 53);
  std::atomic<bool> stop = false;
  std::atomic<int> asked = 0;
  auto asking = std::async(std::launch::async, [&] {
    for (; !stop; ++asked) udp_talk(world().outside(), ip("host"), 5353, {.deadline = std::chrono::milliseconds(1)});
  });
  for (int i = 0; i < 10; ++i) {
    const int until = asked + 5;
    while (asked < until) std::this_thread::yield();
    EXPECT_NO_THROW(publish("c1", {"5353:53/udp"}));
    EXPECT_NO_THROW(unpublish("c1", {"5353:53/udp"}));
  }
  stop = true;
  asking.get();
}

TEST_P(MovingPorts, TakeADatagramFlowAlongAtItsNextPacket) {
  const UdpServer first(at("c1"), ip("c1"), 53);
  const UdpServer second(at("c3"), ip("c3"), 53);
  const TalkOptions same_flow{.from_port = 40003};
  const auto ask = [&] { return udp_talk(world().outside(), ip("host"), 5353, same_flow); };
  publish("c1", {"5353:53/udp"});
  ASSERT_TRUE(ask().reached());
  for (std::size_t i = 1; i <= 5; ++i) {
    publish("c3", {"5353:53/udp"}, true);
    EXPECT_TRUE(ask().reached());
    EXPECT_EQ(second.seen().size(), i);
    publish("c1", {"5353:53/udp"}, true);
    EXPECT_TRUE(ask().reached());
    EXPECT_EQ(first.seen().size(), i + 1);
  }
}

// ------------------------------------------------------------------ flows that stay

// Flows of both families to published ports, from wherever one may come.
class Flows : public Changing {
 protected:
  Flows() {
    change({network("six", "10.6.0.0/24", "fd00:6::/64"), container("c6", {"six"}, {"8086:80"}),
            container("c7", {"six"})});
    for (const std::string address : {"172.18.0.2", "10.6.0.2", "fd00:6::2"}) {
      servers_.emplace_back(at(address == "172.18.0.2" ? "c1" : "c6"), address, 80);
    }
    begin("outside", world().outside(), "198.51.100.1", 8080);
    begin("the host", world().host(), "127.0.0.1", 8080);
    begin("another network", at("c3"), "198.51.100.1", 8080);
    begin("outside, IPv6", world().outside(), "2001:db8:100::1", 8086);
    begin("the host, IPv6", world().host(), "2001:db8:100::1", 8086);
    begin("its network, IPv6", at("c7"), "2001:db8:100::1", 8086);
    expect_alive("nothing");
  }

  void expect_alive(const std::string& after) { expect_answers(true, after); }
  // What the test for those that stay would look like if one did not.
  void expect_lost(const std::string& after) { expect_answers(false, after); }

 private:
  void expect_answers(bool expected, const std::string& after) {
    for (auto& [from, conversation] : conversations_) {
      const Outcome outcome = conversation.say();
      EXPECT_EQ(outcome.reached(), expected) << "from " << from << " after " << after << ": " << outcome;
    }
  }
  void begin(const std::string& name, const Namespace& from, const std::string& address, std::uint16_t port) {
    conversations_.emplace_back(name, Conversation(from, address, port));
  }

  std::vector<TcpServer> servers_;
  std::vector<std::pair<std::string, Conversation>> conversations_;
};

TEST_F(Flows, SurviveWhateverHappensToOtherContainers) {
  change({network("n4", "172.21.0.0/16"), container("c4", {"n1", "n4"}, {"8081:80", "8082:80/udp"}),
          container("c8", {"six"}, {"8087:80"})});
  expect_alive("containers more");
  publish("c2", {"8083:80"});
  publish("c4", {"8083:80"}, true);
  publish("c7", {"8087:80"}, true);
  expect_alive("ports that moved");
  change({connection("c4", "six"), connection("c2", "n4")});
  expect_alive("connecting");
  change({mb::change::Disconnect{"c4", "n1"}, mb::change::Disconnect{"c2", "n4"}});
  expect_alive("disconnecting");
  change({mb::change::RemoveContainer{"c4"}, mb::change::RemoveNetwork{"n4"}, mb::change::RemoveContainer{"c8"}});
  expect_alive("containers less");
  change({mb::change::RemoveContainer{"c2"}});
  expect_alive("all the others of its network gone");
}

TEST_F(Flows, GoOnWithTheContainerTheyBeganWithWhenTheirPortMoves) {
  const TcpServer heir(at("c2"), "172.18.0.3", 80);
  publish("c2", {"8080:80"}, true);
  publish("c7", {"8086:80"}, true);
  expect_alive("their ports moved");
  EXPECT_TRUE(tcp_talk(world().outside(), "198.51.100.1", 8080).reached());
  EXPECT_EQ(heir.seen().size(), 1U) << "only who comes afterwards";
  change({mb::change::RemoveContainer{"c1"}, mb::change::RemoveContainer{"c6"}});
  expect_lost("their containers are gone");
}

TEST_F(Flows, SurviveAThousandPublishesAndRepair) {
  for (int i = 0; i < 2; ++i) publish("c7", ports_from(10'000 + 500 * i, 500));
  expect_alive("1000 publishes");
  engine().repair();
  for (const std::string tool : {"iptables-legacy", "ip6tables-legacy"}) {
    must(tool + " -t nat -F MINIBRIDGE-PUBLISH && " + tool + " -F MINIBRIDGE-FORWARD");
  }
  engine().repair();
  expect_alive("repair");
  unpublish("c7", ports_from(10'000, 250));
  expect_alive("ports taken back");
  change({mb::change::Unpublish{"c1", {PublishSpec::parse("8080:80")}},
          mb::change::Unpublish{"c6", {PublishSpec::parse("8086:80")}}});
  expect_lost("their own ports were taken back");
}

// ------------------------------------------------------------------ limits

TEST_F(Changing, MoreContainersThanABridgeHasPortsAreRefusedBeforeAnythingChanges) {
  std::string names;
  for (int i = 1; i <= 1022; ++i) names += " m" + std::to_string(i);  // c1 and c2 are there already
  const auto before = look();
  const auto refused = Program::mb("create --network n1" + names);
  EXPECT_EQ(refused.status, 4);
  EXPECT_THAT(refused.err, HasSubstr("1023"));
  EXPECT_EQ(look(), before);
  EXPECT_EQ(Program::json("ps -a").size(), 3U);
}

TEST_F(Changing, ThePoolsHoldThirtyOneNetworksAndThenSayThatTheyAreUsedUp) {
  // n1 and n2 hold two of them; a route of the host takes its subnet away as well, even one through a gateway.
  std::vector<Change> all;
  for (int i = 0; i < 29; ++i) {
    auto more = network("p" + std::to_string(i), "10.0.0.0/24");
    more.v4.subnet.reset();
    all.emplace_back(more);
  }
  change(all);
  const auto before = look();
  const auto refused = Program::mb("network create onemore");
  EXPECT_EQ(refused.status, 4);
  EXPECT_THAT(refused.err, HasSubstr("--subnet"));
  EXPECT_EQ(look(), before);
  Program::must_mb("network rm p7");
  Program::must_mb("network create onemore");
}

}  // namespace
}  // namespace mb::test
