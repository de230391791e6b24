// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/frames.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace mb::test {
namespace {

constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kRouting = 43;
constexpr std::uint8_t kIcmp6 = 58;
constexpr std::uint8_t kSctp = 132;
constexpr IpOptions kOnLink{{}, 255};  // neighbour discovery believes only what was not forwarded
constexpr const char* kAllNodes = "ff02::1";

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

std::string u8(unsigned value) { return std::string(1, static_cast<char>(value)); }
std::string u16(unsigned value) { return u8(value >> 8 & 0xff) + u8(value & 0xff); }
std::string u32(std::uint32_t value) { return u16(value >> 16) + u16(value & 0xffff); }

std::string mac(const std::string& text) {
  unsigned bytes[6];
  if (std::sscanf(text.c_str(), "%x:%x:%x:%x:%x:%x", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4],
                  &bytes[5]) != 6) {
    throw std::invalid_argument("'" + text + "' is not a MAC address");
  }
  std::string raw;
  for (const unsigned byte : bytes) raw += u8(byte);
  return raw;
}

bool is_v6(const std::string& address) { return address.find(':') != std::string::npos; }

std::string ip(const std::string& text) {
  std::string raw(is_v6(text) ? 16 : 4, '\0');
  if (::inet_pton(is_v6(text) ? AF_INET6 : AF_INET, text.c_str(), raw.data()) != 1) {
    throw std::invalid_argument("'" + text + "' is not an address");
  }
  return raw;
}

// The checksum that TCP, UDP and ICMPv6 make over their own bytes and the addresses, put in place.
std::string summed(const std::string& source, const std::string& target, std::uint8_t protocol, std::string body,
                   std::size_t at) {
  const auto pseudo = ip(source) + ip(target) + u32(static_cast<std::uint32_t>(body.size())) + u32(protocol);
  return body.replace(at, 2, u16(internet_checksum(pseudo + body)));
}

// Loose source and record route (RFC 791, 3.1): type, length, pointer, addresses; ended by a filler of one byte.
std::string loose_route(const std::vector<std::string>& route) {
  if (route.empty()) return {};
  std::string option = u8(131) + u8(static_cast<unsigned>(3 + 4 * route.size())) + u8(4);
  for (const auto& hop : route) option += ip(hop);
  return option + u8(0);
}

std::string v4_packet(const std::string& source, const std::string& target, std::uint8_t protocol,
                      const std::string& body, const IpOptions& options) {
  const std::string route = loose_route(options.source_route);
  const auto words = static_cast<unsigned>(5 + route.size() / 4);
  std::string header = u8(0x40 | words) + u8(0) + u16(static_cast<unsigned>(words * 4 + body.size())) + u16(1) +
                       u16(0) + u8(options.hop_limit) + u8(protocol) + u16(0) + ip(source) + ip(target) + route;
  header.replace(10, 2, u16(internet_checksum(header)));
  return header + body;
}

// Segment routing header (RFC 8754): the addresses last to first, of which the first one is the present target.
std::string segment_route(const std::string& target, const std::vector<std::string>& route, std::uint8_t protocol) {
  if (route.empty()) return {};
  const auto hops = static_cast<unsigned>(route.size());
  std::string header = u8(protocol) + u8(2 * (hops + 1)) + u8(4) + u8(hops) + u8(hops) + u8(0) + u16(0);
  for (auto hop = route.rbegin(); hop != route.rend(); ++hop) header += ip(*hop);
  return header + ip(target);
}

std::string v6_packet(const std::string& source, const std::string& target, std::uint8_t protocol,
                      const std::string& body, const IpOptions& options) {
  const std::string route = segment_route(target, options.source_route, protocol);
  return u32(0x60000000) + u16(static_cast<unsigned>(route.size() + body.size())) +
         u8(route.empty() ? protocol : kRouting) + u8(options.hop_limit) + ip(source) + ip(target) + route + body;
}

// CRC32c (RFC 9260, appendix A), whose bytes stand in the packet with the lowest first.
std::string castagnoli(const std::string& bytes) {
  std::uint32_t sum = 0xffffffff;
  for (const char byte : bytes) {
    sum ^= static_cast<std::uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) sum = (sum & 1) != 0 ? sum >> 1 ^ 0x82f63b78 : sum >> 1;
  }
  sum = ~sum;
  return u8(sum & 0xff) + u8(sum >> 8 & 0xff) + u8(sum >> 16 & 0xff) + u8(sum >> 24);
}

}  // namespace

std::uint16_t internet_checksum(const std::string& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(bytes[i]);
    sum += i % 2 == 0 ? static_cast<std::uint32_t>(byte) << 8 : byte;
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

std::string ethernet(const std::string& target_mac, const std::string& source_mac, std::uint16_t ethertype,
                     const std::string& payload) {
  return mac(target_mac) + mac(source_mac) + u16(ethertype) + payload;
}

std::string ip_packet(const std::string& source, const std::string& target, std::uint8_t protocol,
                      const std::string& body, const IpOptions& options) {
  return is_v6(target) ? v6_packet(source, target, protocol, body, options)
                       : v4_packet(source, target, protocol, body, options);
}

std::string udp_packet(const std::string& source, std::uint16_t source_port, const std::string& target,
                       std::uint16_t target_port, const std::string& text, const IpOptions& options) {
  const auto size = static_cast<unsigned>(8 + text.size());
  // The sum covers the last address of a source route, which is where the datagram ends up.
  const auto& last = options.source_route.empty() ? target : options.source_route.back();
  const auto body = summed(source, last, kUdp, u16(source_port) + u16(target_port) + u16(size) + u16(0) + text, 6);
  return ip_packet(source, target, kUdp, body, options);
}

std::string syn_packet(const std::string& source, std::uint16_t source_port, const std::string& target,
                       std::uint16_t target_port, const IpOptions& options) {
  const auto& last = options.source_route.empty() ? target : options.source_route.back();
  const std::string segment =
      u16(source_port) + u16(target_port) + u32(1) + u32(0) + u8(0x50) + u8(0x02) + u16(64240) + u16(0) + u16(0);
  return ip_packet(source, target, kTcp, summed(source, last, kTcp, segment, 16), options);
}

std::string init_packet(const std::string& source, std::uint16_t source_port, const std::string& target,
                        std::uint16_t target_port) {
  const auto chunk = u8(1) + u8(0) + u16(20) + u32(7) + u32(65535) + u16(1) + u16(1) + u32(1);
  auto packet = u16(source_port) + u16(target_port) + u32(0) + u32(0) + chunk;
  packet.replace(8, 4, castagnoli(packet));
  return ip_packet(source, target, kSctp, packet);
}

std::string arp_reply(const std::string& sender_mac, const std::string& sender_ip, const std::string& target_mac,
                      const std::string& target_ip) {
  const std::string body = u16(1) + u16(ETHERTYPE_IP) + u8(6) + u8(4) + u16(2) + mac(sender_mac) + ip(sender_ip) +
                           mac(target_mac) + ip(target_ip);
  return ethernet(target_mac, sender_mac, ETHERTYPE_ARP, body);
}

std::string redirect_packet(const std::string& router, const std::string& victim, const std::string& target,
                            const std::string& gateway) {
  if (is_v6(router)) {
    const auto body = u8(137) + u8(0) + u16(0) + u32(0) + ip(gateway) + ip(target);
    return ip_packet(router, victim, kIcmp6, summed(router, victim, kIcmp6, body, 2), kOnLink);
  }
  // About an echo reply: of other packets the kernel believes it only while there is a socket that could have sent them.
  const auto quoted = ip_packet(victim, target, kIcmp, u8(0) + u8(0) + u16(0xffff) + u32(0));
  auto body = u8(5) + u8(1) + u16(0) + ip(gateway) + quoted;
  body.replace(2, 2, u16(internet_checksum(body)));
  return ip_packet(router, victim, kIcmp, body);
}

std::string router_advertisement(const std::string& source, const std::string& prefix) {
  const auto prefix_option = u8(3) + u8(4) + u8(64) + u8(0xc0) + u32(86400) + u32(14400) + u32(0) + ip(prefix);
  const auto body = u8(134) + u8(0) + u16(0) + u8(64) + u8(0) + u16(1800) + u32(0) + u32(0) + prefix_option;
  return ip_packet(source, kAllNodes, kIcmp6, summed(source, kAllNodes, kIcmp6, body, 2), kOnLink);
}

std::string neighbour_advertisement(const std::string& address, const std::string& its_mac) {
  const auto body = u8(136) + u8(0) + u16(0) + u32(0x20000000) + ip(address) + u8(2) + u8(1) + mac(its_mac);
  return ip_packet(address, kAllNodes, kIcmp6, summed(address, kAllNodes, kIcmp6, body, 2), kOnLink);
}

void send_frame(const netns::Namespace& where, const std::string& interface, const std::string& frame) {
  netns::run_in(where, [&] {
    const netns::UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!fd) fail("cannot open a packet socket");
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
    address.sll_halen = ETH_ALEN;
    std::memcpy(address.sll_addr, frame.data(), ETH_ALEN);
    if (::sendto(fd.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&address), sizeof address) <
        0) {
      fail("cannot send a frame on '" + interface + "'");
    }
    return 0;
  });
}

std::string mac_of(const netns::Namespace& where, const std::string& interface) {
  return netns::run_in(where, [&] {
    const netns::UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
    if (!fd || ::ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0)
      fail("cannot ask for the MAC address of '" + interface + "'");
    const auto* bytes = reinterpret_cast<const unsigned char*>(request.ifr_hwaddr.sa_data);
    char text[18];
    std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4],
                  bytes[5]);
    return std::string(text);
  });
}

}  // namespace mb::test
