// SPDX-License-Identifier: GPL-2.0-or-later
//
// Bytes from the wire as values. Pure; nothing throws, and what is cut short stays empty.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "src/lab/observation.h"

namespace mb::lab {

// An IP packet, as far as the first bytes tell.
struct IpPacket {
  std::uint8_t protocol = 0;
  SocketAddress source;
  SocketAddress dest;
  std::uint8_t tcp_flags = 0;
  std::uint32_t tcp_sequence = 0;
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
  std::string_view payload;  // after the TCP or UDP header, or the 8 bytes of ICMP; views the bytes that were parsed

  bool is_first_of_tcp() const { return protocol == 6 && (tcp_flags & 0x12) == 0x02; }            // SYN without ACK
  bool is_answer_to_first_of_tcp() const { return protocol == 6 && (tcp_flags & 0x12) == 0x12; }  // SYN with ACK
};

// From the IP header on. Extension headers of IPv6 are not followed.
std::optional<IpPacket> parse_ip(std::string_view bytes);

struct Frame {
  std::uint16_t ethertype = 0;
  std::string_view body;
};
// An Ethernet frame.
std::optional<Frame> parse_frame(std::string_view bytes);

// Part of the network's own housekeeping: neighbour and router discovery, group memberships.
bool is_housekeeping(const IpPacket& packet);

}  // namespace mb::lab
