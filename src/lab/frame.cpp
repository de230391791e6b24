// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/frame.h"

#include <array>

namespace mb::lab {
namespace {

constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kIgmp = 2;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kIcmpv6 = 58;

// Beyond the end everything is 0.
std::uint8_t u8(std::string_view bytes, std::size_t at) {
  return at < bytes.size() ? static_cast<std::uint8_t>(bytes[at]) : std::uint8_t{0};
}
std::uint16_t u16(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(u8(bytes, at) << 8 | u8(bytes, at + 1));
}
std::uint32_t u32(std::string_view bytes, std::size_t at) {
  return std::uint32_t{u16(bytes, at)} << 16 | u16(bytes, at + 2);
}
std::string_view from(std::string_view bytes, std::size_t at) {
  return at < bytes.size() ? bytes.substr(at) : std::string_view();
}

IpAddress v6_at(std::string_view bytes, std::size_t at) {
  std::array<std::uint8_t, 16> all{};
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = u8(bytes, at + i);
  return IpAddress::v6(all);
}

void parse_transport(IpPacket& packet, std::string_view body) {
  switch (packet.protocol) {
    case kTcp:
      packet.tcp_sequence = u32(body, 4);
      packet.tcp_flags = u8(body, 13) & 0x3f;
      packet.payload = from(body, std::size_t{u8(body, 12)} / 16 * 4);
      break;
    case kUdp: packet.payload = from(body, 8); break;
    case kIcmp:
    case kIcmpv6:
      packet.icmp_type = u8(body, 0);
      packet.icmp_code = u8(body, 1);
      packet.payload = from(body, 8);
      return;  // has no ports
    default: return;
  }
  packet.source.port = u16(body, 0);
  packet.dest.port = u16(body, 2);
}

// The length field cuts off what was padded; it is 0 in the huge packets that segmentation offload makes.
std::string_view without_padding(std::string_view body, std::size_t length) {
  return length == 0 || length >= body.size() ? body : body.substr(0, length);
}

std::optional<IpPacket> parse_v4(std::string_view bytes) {
  if (bytes.size() < 20) return std::nullopt;
  IpPacket packet;
  packet.protocol = u8(bytes, 9);
  packet.source.address = IpAddress::v4(u32(bytes, 12));
  packet.dest.address = IpAddress::v4(u32(bytes, 16));
  const bool first_fragment = (u16(bytes, 6) & 0x1fff) == 0;
  const std::size_t header = std::size_t{u8(bytes, 0)} % 16 * 4;
  if (first_fragment) parse_transport(packet, from(without_padding(bytes, u16(bytes, 2)), header));
  return packet;
}

std::optional<IpPacket> parse_v6(std::string_view bytes) {
  if (bytes.size() < 40) return std::nullopt;
  IpPacket packet;
  packet.protocol = u8(bytes, 6);
  packet.source.address = v6_at(bytes, 8);
  packet.dest.address = v6_at(bytes, 24);
  parse_transport(packet, without_padding(from(bytes, 40), u16(bytes, 4)));
  return packet;
}

}  // namespace

std::optional<IpPacket> parse_ip(std::string_view bytes) {
  switch (u8(bytes, 0) >> 4) {
    case 4: return parse_v4(bytes);
    case 6: return parse_v6(bytes);
    default: return std::nullopt;
  }
}

std::optional<Frame> parse_frame(std::string_view bytes) {
  if (bytes.size() < 14) return std::nullopt;
  return Frame{u16(bytes, 12), bytes.substr(14)};
}

bool is_housekeeping(const IpPacket& packet) {
  constexpr std::uint8_t kFirstListenerQuery = 130;  // RFC 2710
  constexpr std::uint8_t kRedirect = 137;            // RFC 4861
  if (packet.protocol == kIgmp || packet.protocol == kHopByHop) return true;
  return packet.protocol == kIcmpv6 && packet.icmp_type >= kFirstListenerQuery && packet.icmp_type <= kRedirect;
}

}  // namespace mb::lab
