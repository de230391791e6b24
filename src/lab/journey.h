// SPDX-License-Identifier: GPL-2.0-or-later
//
// A packet's journey: where it was seen on its way, with which addresses, and what remembered the change. One value, whatever it was
// learned from; drawing it is another matter (journey_draw.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "src/container/echo_format.h"
#include "src/lab/observation.h"
#include "src/lab/scenario.h"

namespace mb::lab {

// Where in a node a change took place: the built-in chain whose nat rules did it.
enum class Hook : std::uint8_t { prerouting, input, forward, output, postrouting };
std::string_view to_string(Hook hook);  // "PREROUTING"

// One stop of a packet.
struct Hop {
  enum Kind : std::uint8_t {
    at_socket,     // a program's socket: the journey begins or ends here
    at_interface,  // an interface, as seen on the wire
  };
  Kind kind = at_interface;
  Place place;
  std::string interface;                // of an interface
  Direction direction = Direction::in;  // of an interface, as the node sees it
  SocketAddress source;                 // as the packet was here
  SocketAddress dest;
  std::optional<Hook> source_changed_in;  // since the hop before
  std::optional<Hook> dest_changed_in;

  bool operator==(const Hop&) const = default;
};

// One entry of a connection table that took part.
struct Memory {
  Place place;
  SocketAddress original_source;
  SocketAddress original_dest;
  SocketAddress reply_source;
  SocketAddress reply_dest;

  bool operator==(const Memory&) const = default;
};

struct Journey {
  std::uint8_t protocol = 0;  // of IP
  Outcome outcome;
  std::vector<Hop> request;
  std::vector<Hop> reply;
  std::vector<Memory> memories;

  bool operator==(const Journey&) const = default;
};

// From what was observed of one request: its first packet in each direction, from socket to socket.
Journey journey_of(const Request& request, const Observation& observation);

// The same with every port that is not in `keep` (those that the scenario names) replaced by 50001, 50002 … in the order in
// which they appear: what the kernel draws at random then looks the same in every run.
Journey with_stable_ports(Journey journey, const std::vector<std::uint16_t>& keep);
// The same with the names that minibridge draws for its interfaces ("mb" and twelve hexadecimal digits) replaced by
// mb000000000001, mb000000000002 … in the order in which they appear.
Journey with_stable_interfaces(Journey journey);

}  // namespace mb::lab
