// SPDX-License-Identifier: GPL-2.0-or-later
//
// Frames made by hand, for what no socket would send: forged sources, ARP and router advertisements of an impostor,
// source routes, redirects.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "netns/netns.h"

namespace mb::test {

/// RFC 1071, over bytes in network order.
std::uint16_t internet_checksum(const std::string& bytes);

/// Ethernet around a payload.
std::string ethernet(const std::string& target_mac, const std::string& source_mac, std::uint16_t ethertype,
                     const std::string& payload);

struct IpOptions {
  std::vector<std::string> source_route{};  ///< the further addresses of a source route (IPv6: of segment routing)
  std::uint8_t hop_limit = 64;
};

/// An IP packet of either family (that of the addresses), without Ethernet.
std::string ip_packet(const std::string& source, const std::string& target, std::uint8_t protocol,
                      const std::string& body, const IpOptions& options = {});

/// A UDP datagram in an IP packet.
std::string udp_packet(const std::string& source, std::uint16_t source_port, const std::string& target,
                       std::uint16_t target_port, const std::string& text, const IpOptions& options = {});

/// A TCP segment with SYN in an IP packet.
std::string syn_packet(const std::string& source, std::uint16_t source_port, const std::string& target,
                       std::uint16_t target_port, const IpOptions& options = {});

/// An SCTP packet with INIT, the first of an association (RFC 9260), in an IP packet.
std::string init_packet(const std::string& source, std::uint16_t source_port, const std::string& target,
                        std::uint16_t target_port);

/// ARP: "sender_ip is at sender_mac", an answer nobody asked for.
std::string arp_reply(const std::string& sender_mac, const std::string& sender_ip, const std::string& target_mac,
                      const std::string& target_ip);

/// An ICMP redirect of `router`: "to `target` by way of `gateway`", about a packet from `victim`.
std::string redirect_packet(const std::string& router, const std::string& victim, const std::string& target,
                            const std::string& gateway);

/// A router advertisement with a default route, an address prefix (/64) and the sender's MAC, from a link-local address.
std::string router_advertisement(const std::string& source, const std::string& prefix);

/// A neighbour advertisement: "`address` is at `mac`", with the override flag.
std::string neighbour_advertisement(const std::string& address, const std::string& mac);

/// Puts a frame onto the wire.
void send_frame(const netns::Namespace& where, const std::string& interface, const std::string& frame);

/// The MAC address of an interface.
std::string mac_of(const netns::Namespace& where, const std::string& interface);

}  // namespace mb::test
