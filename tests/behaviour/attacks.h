// SPDX-License-Identifier: GPL-2.0-or-later
//
// Attacks, each really tried with frames made by hand. What is stopped ends in nothing received, and the test goes on to
// take away what stops it and to see the attack succeed: so it could have told. What is open is said in docs/security.md in
// the words that stand in the test, and is tried as well: the day it is stopped, the page has to say so.
//
// Whatever is stopped has to be stopped in all circumstances, and is tried in all of them, one after the other.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "tests/behaviour/setting.h"
#include "tests/support/frames.h"

namespace mb::test {

/// By family: a fact holds in both, or there is one for each.
class Attacks : public testing::TestWithParam<Family> {
 protected:
  using Barrier = std::function<Outcome(const TalkOptions&)>;

  [[nodiscard]] static Family family() { return GetParam(); }
  [[nodiscard]] static bool is_v4() { return family() == Family::v4; }
  /// What is written differently in the two.
  [[nodiscard]] static std::string either(const std::string& v4, const std::string& v6) { return is_v4() ? v4 : v6; }
  /// "iptables-legacy WORDS" of the family.
  static void iptables(const std::string& words);

  [[nodiscard]] const netns::Namespace& at(const std::string& place) const { return setting_.at(place); }
  /// The address of a place.
  [[nodiscard]] std::string ip(const std::string& place) const { return setting_.address(place, family()); }
  [[nodiscard]] std::string mac(const std::string& place) const;
  [[nodiscard]] std::string bridge(const std::string& network) const { return setting_.bridge_of(network); }
  [[nodiscard]] std::string bridge_mac(const std::string& network) const;

  /// What an attempt comes to, as it must be in all circumstances alike. Afterwards they are the usual ones.
  template <typename Attempt>
  static auto in_all_circumstances(const Attempt& attempt) {
    std::optional<decltype(attempt())> first;
    for (const auto& circumstances : all_circumstances()) {
      Setting::become(circumstances);
      const auto outcome = attempt();
      if (!first) first = outcome;
      EXPECT_EQ(outcome, *first) << circumstances;
    }
    return *first;
  }

  /// From a place to the host that forwards for it: a forged datagram. Each is the first of a flow. Returns the port it
  /// comes from.
  std::uint16_t forge(const std::string& from, const std::string& source, const std::string& target, std::uint16_t port,
                      const IpOptions& options = {});
  /// A packet in a frame with the sender's own MAC address.
  void send(const std::string& from, const std::string& target_mac, const std::string& packet) const;

  /// How many forged datagrams came by at a place before `barrier`, a permitted conversation of it with somebody: in all
  /// circumstances.
  std::size_t come_by(const std::string& place, const std::function<void()>& attack, const Barrier& barrier);
  /// A conversation that passes the host as the forged datagram would.
  [[nodiscard]] Barrier talk(const std::string& from, const std::string& place, std::uint16_t port) const;
  /// Whether the host's server on the gateway of n1 heard a datagram of a container with this source, once it has heard a
  /// permitted one: in all circumstances.
  bool host_hears(const std::string& source);

  static void expect_in_docs(const std::string& words);

  Setting setting_{{}, {"n1", "n2"}};

 private:
  std::size_t come_by_now(const std::string& place, const std::function<void()>& attack, const Barrier& barrier);
  bool host_hears_now(const std::string& source);

  std::uint16_t next_port_ = 20000;
  std::uint16_t next_forged_port_ = 4000;
};

}  // namespace mb::test
