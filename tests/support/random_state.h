// SPDX-License-Identifier: GPL-2.0-or-later
//
// Random values for properties. Everything comes out of one seed, so that a failure can be had again.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "src/model/change.h"
#include "src/model/facts.h"
#include "src/model/kernel_state.h"
#include "src/model/rule.h"
#include "src/plan/desired.h"
#include "tests/support/fake_state.h"

namespace mb::test {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  // 0 to below - 1; the same on every machine, unlike the distributions of the standard library.
  std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
  bool chance(unsigned percent) { return below(100) < percent; }
  std::string hex(std::size_t digits);
  std::string text(std::string_view letters, std::size_t most);
  template <class T>
  const T& one_of(const std::vector<T>& values) {
    return values[below(values.size())];
  }

 private:
  std::mt19937_64 engine_;
};

// Any rule that the parser of iptables-save text understands.
Rule random_rule(Random& random);

// One change that may or may not be possible in this state.
Change random_change(Random& random, const StateView& state);

// Carries out `count` random changes, those that are possible.
void grow(FakeState& state, Random& random, int count);

// Everything that the state holds, in scope.
plan::DesiredInput whole_input(const StateView& state, const Identity& identity, bool devgroup,
                               bool name_servers = true);
Scope whole_scope(const plan::DesiredInput& input);

// A kernel with foreign bridges, veths and rules and nothing of ours; forwarding off.
KernelState random_strangers(Random& random);

// One accident: something of ours deleted, changed, flushed or added. Never touches what is foreign.
void damage(KernelState& world, Random& random, const Identity& identity);

}  // namespace mb::test
