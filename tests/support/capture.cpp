// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/capture.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace mb::test {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

// The lab has a reader of frames too (src/lab/frame). This one shares nothing with it: what judges the program does not
// repeat its mistakes.

// Reads from a frame; beyond its end everything is 0.
class Bytes {
 public:
  explicit Bytes(std::string_view data) : data_(data) {}

  [[nodiscard]] std::uint8_t u8(std::size_t at) const {
    return at < data_.size() ? static_cast<std::uint8_t>(data_[at]) : std::uint8_t{0};
  }
  [[nodiscard]] std::uint16_t u16(std::size_t at) const { return static_cast<std::uint16_t>(u8(at) << 8 | u8(at + 1)); }
  [[nodiscard]] Bytes from(std::size_t at) const {
    return Bytes(at < data_.size() ? data_.substr(at) : std::string_view());
  }
  [[nodiscard]] Bytes first(std::size_t size) const { return Bytes(data_.substr(0, size)); }
  [[nodiscard]] std::string text() const { return std::string(data_); }
  [[nodiscard]] bool has(std::size_t size) const { return data_.size() >= size; }

  [[nodiscard]] std::string mac(std::size_t at) const {
    char text[18];
    std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", u8(at), u8(at + 1), u8(at + 2), u8(at + 3),
                  u8(at + 4), u8(at + 5));
    return text;
  }
  [[nodiscard]] std::string ip(int family, std::size_t at) const {
    const std::size_t size = family == AF_INET ? 4 : 16;
    if (data_.size() < at + size) return {};
    char text[INET6_ADDRSTRLEN] = "";
    ::inet_ntop(family, data_.data() + at, text, sizeof text);
    return text;
  }

 private:
  std::string_view data_;
};

Arp parse_arp(const Bytes& body) { return {body.u16(6), body.mac(8), body.ip(AF_INET, 14), body.ip(AF_INET, 24)}; }

void parse_transport(Packet& packet, const Bytes& body) {
  switch (packet.protocol) {
    case IPPROTO_TCP:
      packet.tcp_flags = body.u8(13);
      packet.payload = body.from(std::size_t{body.u8(12)} / 16 * 4).text();
      break;
    case IPPROTO_UDP: packet.payload = body.from(8).text(); break;
    case IPPROTO_SCTP: break;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      packet.icmp_type = body.u8(0);
      packet.payload = body.from(8).text();
      return;  // has no ports
    default: return;
  }
  packet.source_port = body.u16(0);
  packet.target_port = body.u16(2);
}

// The length field cuts off what the sender's Ethernet card padded. It is 0 in the huge packets
// that segmentation offload makes of TCP.
Bytes without_padding(const Bytes& body, std::size_t length) { return length == 0 ? body : body.first(length); }

void parse_ipv4(Packet& packet, const Bytes& body) {
  if (!body.has(20)) return;
  packet.source = body.ip(AF_INET, 12);
  packet.target = body.ip(AF_INET, 16);
  packet.protocol = body.u8(9);
  const bool first_fragment = (body.u16(6) & 0x1fff) == 0;
  const std::size_t header = std::size_t{body.u8(0)} % 16 * 4;
  if (first_fragment) parse_transport(packet, without_padding(body, body.u16(2)).from(header));
}

// Of the extension headers only a routing header is followed: tests send no other.
void parse_ipv6(Packet& packet, const Bytes& body) {
  if (!body.has(40)) return;
  packet.source = body.ip(AF_INET6, 8);
  packet.target = body.ip(AF_INET6, 24);
  packet.protocol = body.u8(6);
  auto rest = without_padding(body.from(40), body.u16(4));
  if (packet.protocol == IPPROTO_ROUTING) {
    packet.protocol = rest.u8(0);
    rest = rest.from(8 + std::size_t{rest.u8(1)} * 8);
  }
  parse_transport(packet, rest);
}

netns::UniqueFd open_capture(const std::string& interface, Direction direction) {
  // Protocol 0 hears nothing until bind(): no packet of another interface slips in before.
  netns::UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) fail("cannot open a packet socket");
  const int ignored = direction == Direction::incoming ? 1 : 0;
  if (::setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &ignored, sizeof ignored) != 0) {
    fail("cannot restrict a packet socket");
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
  if (address.sll_ifindex == 0) fail("cannot capture on '" + interface + "'");
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    fail("cannot capture on '" + interface + "'");
  }
  return fd;
}

[[noreturn]] void throw_missing(const std::vector<Packet>& seen) {
  std::ostringstream text;
  text << "the packet waited for did not come; what came:\n";
  for (const Packet& packet : seen) text << "  " << packet << '\n';
  throw std::runtime_error(text.str());
}

}  // namespace

Packet parse_frame(const std::string& frame) {
  const Bytes bytes{frame};
  Packet packet;
  if (!bytes.has(14)) return packet;
  packet.target_mac = bytes.mac(0);
  packet.source_mac = bytes.mac(6);
  packet.ethertype = bytes.u16(12);
  const Bytes body = bytes.from(14);
  if (packet.ethertype == ETHERTYPE_ARP && body.has(28)) packet.arp = parse_arp(body);
  if (packet.ethertype == ETHERTYPE_IP) parse_ipv4(packet, body);
  if (packet.ethertype == ETHERTYPE_IPV6) parse_ipv6(packet, body);
  return packet;
}

std::ostream& operator<<(std::ostream& stream, const Packet& packet) {
  stream << (packet.outgoing ? "out " : "in ");
  if (packet.arp) {
    return stream << "arp " << (packet.arp->operation == 1 ? "who has " : "reply to ") << packet.arp->target_ip
                  << " from " << packet.arp->sender_ip;
  }
  if (packet.source.empty()) return stream << "ethertype " << packet.ethertype;
  stream << packet.source << ':' << packet.source_port << " > " << packet.target << ':' << packet.target_port
         << " protocol " << unsigned{packet.protocol};
  if (packet.protocol == IPPROTO_TCP) stream << " flags " << unsigned{packet.tcp_flags};
  return stream << " payload " << packet.payload.size();
}

Capture::Capture(const netns::Namespace& where, const std::string& interface, Direction direction)
    : socket_(netns::run_in(where, [&] { return open_capture(interface, direction); })) {}

std::optional<Packet> Capture::next() {
  std::string frame(70'000, '\0');  // offloaded TCP comes in packets of up to 64 KiB
  sockaddr_ll from{};
  socklen_t size = sizeof from;
  const auto receive = [&] {
    return ::recvfrom(socket_.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
  };
  ssize_t got = receive();
  if (got < 0 && errno == ENETDOWN) got = receive();  // said once, of a link that went; what came before is still there
  if (got < 0 && errno == EAGAIN) return std::nullopt;
  if (got < 0) fail("cannot read a captured packet");
  frame.resize(static_cast<std::size_t>(got));
  Packet packet = parse_frame(frame);
  packet.outgoing = from.sll_pkttype == PACKET_OUTGOING;
  return packet;
}

std::vector<Packet> Capture::drain() {
  std::vector<Packet> packets;
  while (auto packet = next()) packets.push_back(std::move(*packet));
  return packets;
}

std::vector<Packet> Capture::until(const PacketTest& last, std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  std::vector<Packet> packets;
  while (true) {
    if (auto packet = next()) {
      packets.push_back(std::move(*packet));
      if (last(packets.back())) return packets;
      continue;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd entry{socket_.get(), POLLIN, 0};
    if (left.count() <= 0) throw_missing(packets);
    if (::poll(&entry, 1, static_cast<int>(left.count())) < 0 && errno != EINTR) {
      fail("cannot wait for packets");
    }
  }
}

std::size_t count(const std::vector<Packet>& packets, const PacketTest& test) {
  return static_cast<std::size_t>(std::count_if(packets.begin(), packets.end(), test));
}

}  // namespace mb::test
