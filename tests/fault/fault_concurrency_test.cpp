// SPDX-License-Identifier: GPL-2.0-or-later
//
// Many at once: the final set of addresses and rules is what counts, not the order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <regex>
#include <set>
#include <sstream>

#include <fmt/format.h>

#include "netns/unique_fd.h"
#include "tests/support/fault_cli.h"

namespace mb::test {
namespace {

constexpr int kMany = 32;

// A verb that runs, and the file its words go to.
class Running {
 public:
  Running(const CliHost& host, const std::string& words)
      : words_(words), file_(::memfd_create("output", MFD_CLOEXEC)), child_(host.start(words, file_.get())) {}

  int wait() { return child_.wait(); }
  const std::string& words() const { return words_; }
  std::string output() const {
    std::string text(1 << 16, '\0');
    const ssize_t got = ::pread(file_.get(), text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
  }

 private:
  std::string words_;
  netns::UniqueFd file_;
  netns::Child child_;
};

std::string run_words(int number, int port) {
  return fmt::format("run -d --name w{} --publish {}:80 -- sleep 1000", number, port);
}

std::vector<std::string> publish_rules() {
  std::istringstream dump(must("iptables-legacy-save -t nat"));
  std::vector<std::string> rules;
  for (std::string line; std::getline(dump, line);) {
    if (line.find("-j DNAT") != std::string::npos) rules.push_back(line);
  }
  return rules;
}

std::multiset<std::string> addresses(const CliHost& host) {
  std::multiset<std::string> found;
  for (const auto& container : host.containers()) {
    for (const auto& endpoint : container.endpoints) {
      if (const auto* held = endpoint.address(Family::v4); held != nullptr && held->address)
        found.insert(held->address->str());
    }
  }
  return found;
}

template <class T>
std::size_t different(const T& values) {
  return std::set<typename T::value_type>(values.begin(), values.end()).size();
}

// Somebody else who changes the same tables under the same lock: adds a rule, deletes it, so many times, and leaves the
// last. Its own exit status says whether each of its rules was there when it came back for it.
class Neighbour {
 public:
  explicit Neighbour(int rounds) : child_({"/bin/sh", "-c", script(rounds)}) {}

  int wait() { return child_.wait(); }

 private:
  static std::string script(int rounds) {
    return fmt::format(
        "i=0; while [ $i -lt {} ]; do i=$((i+1));"
        " iptables-legacy -w -A FORWARD -s 203.0.113.$i -j DROP || exit 1;"
        " iptables-legacy -w -t nat -A POSTROUTING -s 203.0.113.$i -j RETURN || exit 2;"
        " [ $i -gt 1 ] || continue; j=$((i-1));"
        " iptables-legacy -w -D FORWARD -s 203.0.113.$j -j DROP || exit 3;"
        " iptables-legacy -w -t nat -D POSTROUTING -s 203.0.113.$j -j RETURN || exit 4; done",
        rounds);
  }
  netns::Child child_;
};

int count_in(const std::string& text, const std::string& word) {
  int count = 0;
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

// "1: -> FLOCK  ADVISORY  WRITE 4711 …": the arrow is a process that waits (proc_locks(5)).
bool waits_for_a_lock(pid_t pid) {
  std::ifstream locks("/proc/locks");
  const std::regex waiter(fmt::format(R"(-> FLOCK +\w+ +\w+ {} )", pid));
  for (std::string line; std::getline(locks, line);) {
    if (std::regex_search(line, waiter)) return true;
  }
  return false;
}

void expect_all_is_well(const CliHost& host) {
  EXPECT_EQ(host.settle(), "");
  EXPECT_EQ(host.complaints(), "");
  EXPECT_EQ(host.mb("repair --check").status, 0);
}

TEST(Concurrency, ThirtyTwoRunsWithPortsOfTheirOwnAllSucceedOnAFreshHost) {
  const CliHost host;
  const auto foreign = foreign_rules();
  Neighbour neighbour(60);
  std::vector<Running> runs;
  for (int i = 0; i < kMany; ++i) runs.emplace_back(host, run_words(i, 8000 + i));
  for (auto& run : runs) EXPECT_EQ(run.wait(), 0) << run.words() << "\n" << run.output();
  EXPECT_EQ(neighbour.wait(), 0) << "a rule of somebody else was lost";
  EXPECT_EQ(addresses(host).size(), std::size_t{kMany});
  EXPECT_EQ(different(addresses(host)), std::size_t{kMany});
  EXPECT_EQ(publish_rules().size(), std::size_t{kMany});
  EXPECT_EQ(different(publish_rules()), std::size_t{kMany});
  expect_all_is_well(host);
  const auto last = must("iptables-legacy-save");
  EXPECT_EQ(count_in(last, "203.0.113.60/32"), 2) << "its last two rules stay";
  EXPECT_EQ(count_in(last, "-s 203.0.113."), 4) << "and no others of its own but the two from before";
  must(
      "iptables-legacy -D FORWARD -s 203.0.113.60 -j DROP; iptables-legacy -t nat -D POSTROUTING -s 203.0.113.60 -j "
      "RETURN");
  EXPECT_EQ(foreign_rules(), foreign);
}

TEST(Concurrency, OfThirtyTwoRunsWithTheSamePortOneSucceedsAndTheOthersNameIt) {
  const CliHost host;
  std::vector<Running> runs;
  for (int i = 0; i < kMany; ++i) runs.emplace_back(host, run_words(i, 8080));
  std::vector<int> status;
  for (auto& run : runs) status.push_back(run.wait());
  ASSERT_EQ(std::count(status.begin(), status.end(), 0), 1);
  const auto holder = std::find(status.begin(), status.end(), 0) - status.begin();
  for (int i = 0; i < kMany; ++i) {
    if (i == holder) continue;
    EXPECT_EQ(status[static_cast<std::size_t>(i)], 125);
    EXPECT_THAT(runs[static_cast<std::size_t>(i)].output(), testing::HasSubstr(fmt::format("'w{}'", holder)));
    EXPECT_THAT(runs[static_cast<std::size_t>(i)].output(), testing::HasSubstr("8080"));
  }
  EXPECT_EQ(addresses(host).size(), 1U);
  EXPECT_EQ(publish_rules().size(), 1U);
  expect_all_is_well(host);
}

// While somebody else holds the lock of iptables, no table changes. Lost rules alone would show that too seldom.
TEST(Concurrency, AVerbWaitsForTheLockOfIptables) {
  const CliHost host;
  ASSERT_EQ(host.mb("create box").status, 0);
  const netns::UniqueFd lock(::open(std::getenv("XTABLES_LOCKFILE"), O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
  for (const std::string verb : {"publish box 8443:443", "unpublish box 443", "down"}) {
    SCOPED_TRACE(verb);
    ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
    const auto before = must("iptables-legacy-save | grep -v '^#'");
    netns::Child child = host.start(verb);
    // The lock between our own verbs is free, so this is the only one to wait for.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!waits_for_a_lock(child.pid()) && std::chrono::steady_clock::now() < deadline) {
      ASSERT_EQ(child.wait_for(std::chrono::milliseconds(1)), std::nullopt) << "it did not wait";
    }
    ASSERT_TRUE(waits_for_a_lock(child.pid()));
    EXPECT_EQ(must("iptables-legacy-save | grep -v '^#'"), before);
    ASSERT_EQ(::flock(lock.get(), LOCK_UN), 0);
    EXPECT_EQ(child.wait(), 0);
  }
  EXPECT_EQ(host.settle(), "");
}

// Verbs of all kinds on few names: each works, or says that what it wanted is taken, gone, or not running.
TEST(Concurrency, AStormOfVerbsEndsWithRulesAndAddressesThatAreRight) {
  const CliHost host;
  const auto foreign = foreign_rules();
  std::mt19937 random(20240607);
  const auto draw = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
  const auto verb = [&]() -> std::string {
    const int name = draw(6);
    switch (draw(6)) {
      case 0: return fmt::format("rm -f w{}", name);
      case 1: return fmt::format("publish w{} 90{}:80", name, draw(8));
      case 2: return fmt::format("create --publish 90{}:80 w{}", draw(8), name);
      case 3: return fmt::format("stop -t 0 w{}", name);
      case 4: return draw(4) == 0 ? "repair" : fmt::format("start w{}", name);
      default: return run_words(name, 9000 + draw(8));
    }
  };
  Neighbour neighbour(60);
  for (int wave = 0; wave < 4; ++wave) {
    std::vector<Running> storm;
    for (int i = 0; i < 16; ++i) storm.emplace_back(host, verb());
    for (auto& one : storm) {
      const int status = one.wait();
      const bool refused = status == 4 || status == 1 || (status == 125 && one.words().starts_with("run"));
      EXPECT_TRUE(status == 0 || refused) << one.words() << ": " << status << "\n" << one.output();
      static const std::regex kReasons(
          "already|is taken|in use|published|there is no container|is not running|is running|a network namespace "
          "without a process|supervisor");
      EXPECT_TRUE(!refused || std::regex_search(one.output(), kReasons)) << one.words() << "\n" << one.output();
    }
    EXPECT_EQ(different(addresses(host)), addresses(host).size());
    EXPECT_EQ(different(publish_rules()), publish_rules().size());
    expect_all_is_well(host);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_EQ(neighbour.wait(), 0) << "a rule of somebody else was lost";
  must(
      "iptables-legacy -D FORWARD -s 203.0.113.60 -j DROP; iptables-legacy -t nat -D POSTROUTING -s 203.0.113.60 -j "
      "RETURN");
  EXPECT_EQ(foreign_rules(), foreign);
}

// Whoever begins while `down` is at work meets the old state, or none; never half of one.
TEST(Concurrency, DownAndRunAtTheSameTimeLeaveAllOrNothing) {
  const CliHost host;
  for (int round = 0; round < 6; ++round) {
    std::vector<Running> verbs;
    for (int i = 0; i < 4; ++i) verbs.emplace_back(host, run_words(i, 8000 + i));
    verbs.emplace_back(host, "down");
    for (int i = 4; i < 8; ++i) verbs.emplace_back(host, run_words(i, 8000 + i));
    for (auto& verb : verbs) {
      const int status = verb.wait();
      EXPECT_EQ(status, 0) << verb.words() << "\n" << verb.output();
    }
    expect_all_is_well(host);
    EXPECT_EQ(host.mb("down").status, 0);
    EXPECT_EQ(host.settle(), "");
    EXPECT_FALSE(std::filesystem::exists(host.state_dir()));
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace mb::test
