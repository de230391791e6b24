// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/sort_packets.h"

#include <algorithm>

namespace mb::lab {
namespace {

constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kIcmpv6 = 58;

bool is_icmp(const IpPacket& packet) { return packet.protocol == kIcmp || packet.protocol == kIcmpv6; }

// The request itself, or an ICMP message about it.
bool concerns(const IpPacket& packet, RequestProtocol protocol) {
  if (is_housekeeping(packet)) return false;
  switch (protocol) {
    case RequestProtocol::tcp: return packet.protocol == kTcp || is_icmp(packet);
    case RequestProtocol::udp: return packet.protocol == kUdp || is_icmp(packet);
    case RequestProtocol::icmp: return is_icmp(packet);
  }
  return false;
}

bool asks(const IpPacket& packet) {
  constexpr std::uint8_t kEcho = 8;
  constexpr std::uint8_t kTimestamp = 13;
  constexpr std::uint8_t kEchoV6 = 128;
  if (packet.protocol == kIcmpv6) return packet.icmp_type == kEchoV6;
  return packet.icmp_type == kEcho || packet.icmp_type == kTimestamp;
}

Packet packet_of(const Captured& captured, const IpPacket& ip, bool reply) {
  return {captured.time, captured.at, captured.direction, reply,        ip.protocol,
          ip.source,     ip.dest,     ip.tcp_flags,       ip.icmp_type, ip.icmp_code};
}

}  // namespace

PacketSorter::Way PacketSorter::way_of(const IpPacket& packet) {
  return {packet.source.address, packet.source.port, packet.dest.address, packet.dest.port};
}

PacketSorter::Way PacketSorter::back(const IpPacket& packet) {
  return {packet.dest.address, packet.dest.port, packet.source.address, packet.source.port};
}

void PacketSorter::learn_beginnings(const std::vector<Captured>& captured) {
  begun_.clear();
  for (const auto& each : captured) {
    const auto ip = parse_ip(each.bytes);
    if (!ip) continue;
    if (ip->is_first_of_tcp()) {
      begun_.insert(way_of(*ip));
      over_.erase(way_of(*ip));
      over_.erase(back(*ip));
    } else if (ip->is_answer_to_first_of_tcp() && !over_.contains(way_of(*ip))) {
      // On a loopback device the answer is already what the client expects, and not the reverse of the request there.
      begun_.insert(back(*ip));
    }
  }
}

void PacketSorter::renew(std::uint16_t port) {
  std::erase_if(over_, [port](const Way& way) { return std::get<1>(way) == port || std::get<3>(way) == port; });
}

bool PacketSorter::is_reply(const IpPacket& packet, const std::string& sent) {
  if (is_icmp(packet)) return !asks(packet);
  if (packet.protocol == kUdp) return packet.payload != sent;
  if (begun_.contains(way_of(packet))) return false;
  if (begun_.contains(back(packet))) return true;
  begun_.insert(way_of(packet));  // a single packet that begins nothing, or its first rewritten form
  return false;
}

std::vector<Packet> PacketSorter::sort(std::vector<Captured> captured, RequestProtocol protocol,
                                       const std::string& sent) {
  std::stable_sort(captured.begin(), captured.end(),
                   [](const Captured& a, const Captured& b) { return a.time < b.time; });
  learn_beginnings(captured);
  std::vector<Packet> packets;
  for (const auto& each : captured) {
    const auto ip = parse_ip(each.bytes);
    if (!ip || !concerns(*ip, protocol)) continue;
    if (ip->protocol == kTcp && over_.contains(way_of(*ip))) continue;
    packets.push_back(packet_of(each, *ip, is_reply(*ip, sent)));
  }
  for (const Way& way : begun_) {
    over_.insert(way);
    over_.emplace(std::get<2>(way), std::get<3>(way), std::get<0>(way), std::get<1>(way));
  }
  return packets;
}

}  // namespace mb::lab
