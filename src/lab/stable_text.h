// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a run printed, without what differs from run to run: ports that the kernel drew, names and ids that minibridge drew,
// times, dates and the counts of TCP packets. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "src/lab/journey.h"

namespace mb::lab {

class StableText {
 public:
  // `keep`: the ports that the scenario names itself.
  explicit StableText(const std::vector<std::uint16_t>& keep) : keep_(keep.begin(), keep.end()) {}

  // From here on ports are called as in the drawing of this journey (with_stable_ports).
  void follow(const Journey& journey);

  // Ports become 50001, 50002 … and drawn names 000000000001 … in the order in which they appear in all texts; what else
  // differs becomes "…".
  std::string of(const std::string& text);

 private:
  std::string port(const std::string& digits);
  std::string name(const std::string& drawn);

  std::set<std::uint16_t> keep_;
  std::map<unsigned long, std::size_t> ports_;
  std::map<std::string, std::size_t> names_;
};

}  // namespace mb::lab
