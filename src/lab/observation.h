// SPDX-License-Identifier: GPL-2.0-or-later
//
// What was observed of one request, as values: the client's own result, what the server said, every packet on every
// interface, and the parts of the kernel's state that the scenario asks about. The runner fills them; judge.h compares them.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/container/echo_format.h"
#include "src/lab/scenario.h"

namespace mb::lab {

using container::SocketAddress;

// Without a port where there is none, as in ICMP.
inline std::string address_text(const SocketAddress& address) {
  return address.port == 0 ? address.address.str() : address.str();
}

// One packet as it passed one interface.
struct Packet {
  std::int64_t time = 0;  // nanoseconds; the order of packets
  InterfacePlace at;
  Direction direction = Direction::in;
  bool reply = false;         // travels towards the client
  std::uint8_t protocol = 0;  // of IP: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6
  SocketAddress source;       // ports are 0 where there are none
  SocketAddress dest;
  std::uint8_t tcp_flags = 0;
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
};

// An entry of connection tracking, in one node.
struct Tracked {
  Place at;
  std::uint8_t protocol = 0;
  SocketAddress original_source;
  SocketAddress original_dest;
  SocketAddress reply_source;
  SocketAddress reply_dest;
};

// A packet that a rule with NFLOG reported.
struct Logged {
  std::string node;
  std::uint16_t group = 0;
  std::string prefix;
  SocketAddress source;
  SocketAddress dest;
};

struct Observation {
  Outcome outcome;
  std::optional<SocketAddress> client;      // the socket's own end, where it has one
  std::optional<container::Sighting> seen;  // what the test server said
  std::string answer;                       // what came, when it is no test server's line
  std::vector<Packet> packets;              // in the order of time
  std::set<InterfacePlace> interfaces;      // all that were watched
  std::vector<Tracked> tracked;
  std::vector<std::optional<std::uint64_t>> counted;  // as many as the request's counters; nothing: no such rule
  std::vector<Logged> logged;
};

// How a command went.
struct CommandResult {
  int status = 0;
  std::string out;
  std::string err;
  bool timed_out = false;
};

}  // namespace mb::lab
