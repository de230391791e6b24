// SPDX-License-Identifier: GPL-2.0-or-later
//
// The behaviour table as data: who speaks to whom, and what must come of it.
#pragma once

#include <string>
#include <vector>

#include "src/model/address.h"
#include "src/model/port.h"

namespace mb::test {

/// What makes the difference. Each is taken away once, to see that the check can tell.
enum class Guard {
  none,
  forward,         // the end of MINIBRIDGE-ENTER, and the rules of internal networks
  raw,             // MINIBRIDGE-RAW: loopback addresses from containers
  loopback_ports,  // ports published on loopback are not offered to what comes from outside
  localnet,        // the kernel's own: no route_localnet on links that are not ours
  input,           // MINIBRIDGE-INPUT: of the host an internal network sees the gateway only
  isolated,        // icc=false: the flag on the ports of the bridge, or the rule
  source_address,  // MINIBRIDGE-MASQUERADE: under which address packets leave
  no_masquerade,   // that packets of a network that wants none leave as they are
  closed_input,    // the administrator's
};

/// Ordinary, or on a host with a closed INPUT chain.
enum class When { always, input_closed };

enum class Speech { tcp, udp, ping };

struct Row {
  std::string from;
  Speech speech = Speech::tcp;
  std::string to;    // "c1:80"; see Target
  std::string must;  // "reached as c2", "reached" (by a ping), "refused", "unreachable", "dropped"

  // For what must be dropped: something permitted that takes the same way afterwards, and where nothing may come by
  // before it (nobody: the server tells).
  std::string barrier_from{};
  std::string barrier_to{};
  std::string nothing_at{};
  Guard guard = Guard::none;  // without which it is otherwise

  std::vector<Family> families{Family::v4, Family::v6};
  std::string from_address{};  // a forged one
  When when = When::always;
};

const std::vector<Row>& behaviour_rows();

/// "c2 → c1:80 tcp"
std::string title(const Row& row);

}  // namespace mb::test
