// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which captured packets belong to a request, and which way they go. Pure, but it remembers: a TCP connection of an earlier request
// may still say something, and that must not count for a later one.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "src/lab/frame.h"
#include "src/lab/observation.h"

namespace mb::lab {

// One IP packet at one interface.
struct Captured {
  std::int64_t time = 0;
  InterfacePlace at;
  Direction direction = Direction::in;
  std::string bytes;  // from the IP header on
};

class PacketSorter {
 public:
  // `sent` is what a datagram of the request carries. The result is in the order of time.
  std::vector<Packet> sort(std::vector<Captured> captured, RequestProtocol protocol, const std::string& sent);

  // From now on packets from and to this port of the client belong to the request again. For a single packet: it need not
  // begin a connection, which is how the others are known to be new.
  void renew(std::uint16_t port);

 private:
  using Way = std::tuple<IpAddress, std::uint16_t, IpAddress, std::uint16_t>;
  static Way way_of(const IpPacket& packet);
  static Way back(const IpPacket& packet);

  void learn_beginnings(const std::vector<Captured>& captured);
  bool is_reply(const IpPacket& packet, const std::string& sent);

  std::set<Way> over_;   // connections of earlier requests, both ways
  std::set<Way> begun_;  // what goes the way of this request
};

}  // namespace mb::lab
