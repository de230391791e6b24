// SPDX-License-Identifier: GPL-2.0-or-later
//
// What must hold for every state and every accident: hundreds of seeds each. A failure names its seed.
#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "src/plan/desired.h"
#include "src/plan/diff.h"
#include "src/plan/resolve.h"
#include "tests/support/fake_state.h"
#include "tests/support/random_state.h"
#include "tests/support/simulate.h"
#include "tests/unit/make.h"

namespace mb::plan {
namespace {

using test::apply_all;
using test::apply_step;
using test::FakeState;
using test::kIdentity;
using test::observe;
using test::Random;
using test::strangers_of;

// Those that hear of a change without being changed.
std::vector<Container> others_with_files(std::vector<Container> all, const std::vector<Container>& changed) {
  std::erase_if(all, [&](const Container& container) {
    return !container.wants_network() || container.attachment == Attachment::host ||
           container.kind == ContainerKind::foreign_netns ||
           std::any_of(changed.begin(), changed.end(), [&](const Container& c) { return c.id == container.id; });
  });
  return all;
}

std::string text_of(const Plan& plan) {
  std::string text;
  for (const auto& step : plan) text += print(step) + "\n" + print_rules(step);
  return text;
}

// A random state, and a kernel in which strangers live and in which the state has been made real.
struct Case {
  explicit Case(std::uint64_t seed) : random(seed) {
    test::grow(state, random, 25);
    devgroup = random.chance(70);
    name_servers = random.chance(70);
    input = test::whole_input(state, kIdentity, devgroup, name_servers);
    scope = test::whole_scope(input);
    bare = test::random_strangers(random);
    first = plan(bare);
    world = apply_all(bare, first);
  }
  Plan plan(const KernelState& actual) const {
    return diff(desired(input), observe(actual, kIdentity, scope), kIdentity, scope);
  }

  FakeState state;
  Random random;
  bool devgroup = true;
  bool name_servers = true;
  DesiredInput input;
  Scope scope;
  KernelState bare;  // only strangers
  Plan first;        // makes the state real on the bare kernel
  KernelState world;
};

// MINIBRIDGE_SEEDS=5000 looks longer.
std::uint64_t seeds() {
  const char* wanted = std::getenv("MINIBRIDGE_SEEDS");
  return wanted == nullptr ? 20 : std::strtoull(wanted, nullptr, 10);
}

TEST(Property, NothingDiffersAfterThePlan) {
  for (std::uint64_t seed = 0; seed < seeds(); ++seed) {
    const Case c(seed);
    const auto rest = c.plan(c.world);
    ASSERT_TRUE(rest.empty()) << "seed " << seed << ":\n" << text_of(rest);
  }
}

TEST(Property, NothingDiffersAfterTheRepairOfAnyAccidents) {
  for (std::uint64_t seed = 0; seed < seeds(); ++seed) {
    Case c(seed);
    for (int accident = 0; accident < 10; ++accident) {
      auto broken = c.world;
      for (auto count = 1 + c.random.below(5); count > 0; --count) test::damage(broken, c.random, kIdentity);
      const auto repair = c.plan(broken);
      const auto mended = apply_all(broken, repair);
      const auto rest = c.plan(mended);
      ASSERT_TRUE(rest.empty()) << "seed " << seed << ", accident " << accident << ":\n"
                                << text_of(repair) << "then\n"
                                << text_of(rest);
      ASSERT_TRUE(strangers_of(mended) == strangers_of(broken)) << "seed " << seed << ", accident " << accident << ":\n"
                                                                << text_of(repair);
    }
  }
}

TEST(Property, APlanForTheTouchedPartLeavesNothingToDoForTheWhole) {
  int changed = 0;
  for (std::uint64_t seed = 0; seed < seeds(); ++seed) {
    Case c(seed);
    for (int i = 0; i < 6; ++i) {
      Delta delta;
      try {
        delta = resolve({test::random_change(c.random, c.state)}, c.state, HostFacts{});
      } catch (const Error&) {
        continue;
      }
      c.state.write(delta);
      c.input = test::whole_input(c.state, kIdentity, c.devgroup, c.name_servers);
      DesiredInput part = c.input;
      part.bridges_of.clear();
      part.containers.clear();
      for (const auto& network : delta.added_networks) part.bridges_of.insert(network.id);
      for (const auto& change : delta.containers) {
        if (change.after) part.containers.push_back(*change.after);
        for (const auto& container : {change.before, change.after}) {
          if (!container) continue;
          for (const auto& endpoint : container->endpoints) part.bridges_of.insert(endpoint.network);
        }
      }
      part.readers = others_with_files(c.input.containers, part.containers);
      const auto scope = scope_of(delta, part);
      const auto plan = diff(desired(part), observe(c.world, kIdentity, scope), kIdentity, scope);
      c.world = apply_all(c.world, plan);
      c.scope = test::whole_scope(c.input);
      const auto rest = c.plan(c.world);
      ASSERT_TRUE(rest.empty()) << "seed " << seed << ", change " << i << ":\n"
                                << text_of(plan) << "then\n"
                                << text_of(rest);
      changed += plan.empty() ? 0 : 1;
    }
  }
  EXPECT_GT(changed, 30);
}

TEST(Property, EveryPrefixOfAPlanThatAddsCanBeTakenBack) {
  for (std::uint64_t seed = 0; seed < seeds(); ++seed) {
    Case c(seed);
    const auto upto = c.random.below(c.first.size() + 1);
    auto world = c.bare;
    for (std::size_t i = 0; i < upto; ++i) world = apply_step(std::move(world), c.first[i]);
    for (std::size_t i = upto; i-- > 0;) {
      if (const auto back = inverse(c.first[i])) world = apply_step(std::move(world), *back);
    }
    ASSERT_TRUE(world == c.bare) << "seed " << seed << ", " << upto << " steps of:\n" << text_of(c.first);
  }
}

TEST(Property, WhenAllIsGoneOnlyStrangersAreLeft) {
  for (std::uint64_t seed = 0; seed < seeds(); ++seed) {
    Case c(seed);
    auto nothing = c.input;
    nothing.networks.clear();
    nothing.bridges_of.clear();
    nothing.containers.clear();
    nothing.give_back = true;
    nothing.sysctls_before = {{"net.ipv4.ip_forward", {"0", {{"net.ipv4.conf.all.forwarding", "0"}}}},
                              {"net.ipv6.conf.all.forwarding", {"0", {{"net.ipv6.conf.default.forwarding", "0"}}}}};
    const auto plan = diff(desired(nothing), observe(c.world, kIdentity, c.scope), kIdentity, c.scope);
    const auto left = apply_all(c.world, plan);
    ASSERT_TRUE(left == c.bare) << "seed " << seed << ":\n" << text_of(plan);
  }
}

}  // namespace
}  // namespace mb::plan
