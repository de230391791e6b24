// SPDX-License-Identifier: GPL-2.0-or-later
//
// What really came by: packets on an interface, seen from inside a namespace.
//
// To prove that something is dropped, without a timeout as proof:
//
//     Capture at_receiver(container, "eth0");             // before anything is sent
//     send_what_must_be_dropped();
//     send_a_permitted_barrier_on_the_same_path();
//     auto seen = at_receiver.until(is_barrier);          // the path keeps the order, so whatever
//     EXPECT_EQ(count(seen, is_forbidden), 0);            // was let through has come by then
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "netns/netns.h"

namespace mb::test {

struct Arp {
  std::uint16_t operation = 0;  ///< 1 request, 2 reply
  std::string sender_mac;
  std::string sender_ip;
  std::string target_ip;
};

/// Fields of layers that a packet does not have are empty or 0.
struct Packet {
  bool outgoing = false;  ///< sent by this interface, as opposed to received
  std::string source_mac;
  std::string target_mac;
  std::uint16_t ethertype = 0;  ///< 0x0800 IPv4, 0x0806 ARP, 0x86dd IPv6
  std::optional<Arp> arp;
  std::string source;         ///< IP address
  std::string target;         ///< IP address
  std::uint8_t protocol = 0;  ///< 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6, 132 SCTP
  std::uint16_t source_port = 0;
  std::uint16_t target_port = 0;
  std::uint8_t tcp_flags = 0;  ///< FIN 1, SYN 2, RST 4, PSH 8, ACK 16
  std::uint8_t icmp_type = 0;
  std::string payload;  ///< what follows the TCP, UDP or 8-byte ICMP header

  [[nodiscard]] bool is_syn() const { return protocol == 6 && (tcp_flags & 0x12) == 0x02; }
};

std::ostream& operator<<(std::ostream& stream, const Packet& packet);

/// One Ethernet frame. Never throws: what is cut short stays empty.
Packet parse_frame(const std::string& frame);

using PacketTest = std::function<bool(const Packet&)>;

enum class Direction { both, incoming };

class Capture {
 public:
  /// Sees everything that passes `interface` from now on, or only what comes in.
  Capture(const netns::Namespace& where, const std::string& interface, Direction direction = Direction::both);

  /// What came by since the last call. Does not wait.
  std::vector<Packet> drain();

  /// Everything since the last call up to and with the first packet that `last` recognises.
  /// Throws with a list of what came instead when it does not come.
  std::vector<Packet> until(const PacketTest& last, std::chrono::milliseconds deadline = std::chrono::seconds(10));

 private:
  std::optional<Packet> next();

  netns::UniqueFd socket_;
};

std::size_t count(const std::vector<Packet>& packets, const PacketTest& test);

}  // namespace mb::test
