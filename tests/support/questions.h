// SPDX-License-Identifier: GPL-2.0-or-later
//
// Questions for names, as a program in a container asks them: one packet to one server.
#pragma once

#include <chrono>
#include <ostream>
#include <string>
#include <vector>

#include "netns/netns.h"

namespace mb::test {

struct Answer {
  enum Kind { kNone, kFound, kNoSuchName, kNoData, kRefused, kOther } kind = kNone;
  std::vector<std::string> records;  ///< addresses or names, sorted

  bool operator==(const Answer&) const = default;
};
std::ostream& operator<<(std::ostream& stream, const Answer& answer);

enum class Over { kUdp, kTcp };

/// `type`: "A", "AAAA" or "PTR" (then `name` is an address). kNone: nothing came back (or the port is closed).
Answer ask(const netns::Namespace& from, const std::string& server, const std::string& name,
           const std::string& type = "A", Over over = Over::kUdp,
           std::chrono::milliseconds deadline = std::chrono::seconds(10));

/// What is to be expected.
Answer found(std::vector<std::string> records);
Answer no_such_name();

}  // namespace mb::test
