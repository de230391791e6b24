// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/announce.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "netns/unique_fd.h"
#include "src/base/error.h"

namespace mb::kernel {
namespace {

template <class Address>
void send_to(const netns::UniqueFd& socket, const void* data, std::size_t size, const Address& to,
             const std::string& attempt) {
  const auto* address = reinterpret_cast<const sockaddr*>(&to);
  if (!socket || ::sendto(socket.get(), data, size, 0, address, sizeof to) < 0) throw system_failure(attempt, errno);
}

void send_arp(int link, const MacAddress& mac, const IpAddress& address, const std::string& attempt) {
  ether_arp request{};
  request.ea_hdr.ar_hrd = htons(ARPHRD_ETHER);
  request.ea_hdr.ar_pro = htons(ETHERTYPE_IP);
  request.ea_hdr.ar_hln = ETH_ALEN;
  request.ea_hdr.ar_pln = sizeof request.arp_spa;
  request.ea_hdr.ar_op = htons(ARPOP_REQUEST);
  std::memcpy(request.arp_sha, mac.bytes().data(), sizeof request.arp_sha);
  std::memcpy(request.arp_spa, address.bytes().data(), sizeof request.arp_spa);
  std::memcpy(request.arp_tpa, address.bytes().data(), sizeof request.arp_tpa);
  sockaddr_ll everybody{};
  everybody.sll_family = AF_PACKET;
  everybody.sll_protocol = htons(ETHERTYPE_ARP);
  everybody.sll_ifindex = link;
  everybody.sll_halen = ETH_ALEN;
  std::memset(everybody.sll_addr, 0xff, ETH_ALEN);
  // Protocol 0: it sends, and receives nothing.
  const netns::UniqueFd socket(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  send_to(socket, &request, sizeof request, everybody, attempt);
}

struct Advertisement {
  nd_neighbor_advert header;
  nd_opt_hdr option;
  std::uint8_t mac[ETH_ALEN];
};
static_assert(sizeof(Advertisement) == sizeof(nd_neighbor_advert) + 8);

sockaddr_in6 socket_address(const IpAddress& address, int link) {
  sockaddr_in6 result{};
  result.sin6_family = AF_INET6;
  std::memcpy(&result.sin6_addr, address.bytes().data(), sizeof result.sin6_addr);
  result.sin6_scope_id = static_cast<std::uint32_t>(link);
  return result;
}

// The kernel fills in the checksum.
void send_advertisement(int link, const MacAddress& mac, const IpAddress& address, const std::string& attempt) {
  constexpr int kHops = 255;  // what came from farther than a neighbour is not believed
  Advertisement advertisement{};
  advertisement.header.nd_na_type = ND_NEIGHBOR_ADVERT;
  advertisement.header.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE;
  std::memcpy(&advertisement.header.nd_na_target, address.bytes().data(), sizeof(in6_addr));
  advertisement.option.nd_opt_type = ND_OPT_TARGET_LINKADDR;
  advertisement.option.nd_opt_len = 1;
  std::memcpy(advertisement.mac, mac.bytes().data(), sizeof advertisement.mac);
  const netns::UniqueFd socket(::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6));
  const auto source = socket_address(address, link);
  const bool ready = socket &&
                     ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &kHops, sizeof kHops) == 0 &&
                     ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&source), sizeof source) == 0;
  if (!ready) throw system_failure(attempt, errno);
  send_to(socket, &advertisement, sizeof advertisement, socket_address(IpAddress::parse("ff02::1"), link), attempt);
}

}  // namespace

void announce(const netns::Namespace& where, int link, const MacAddress& mac, const std::vector<IpAddress>& addresses) {
  netns::run_in(where, [&] {
    for (const auto& address : addresses) {
      const auto attempt = fmt::format("cannot tell neighbours that {} is at {}", address.str(), mac.str());
      const bool v4 = address.family() == Family::v4;
      (v4 ? send_arp : send_advertisement)(link, mac, address, attempt);
    }
  });
}

}  // namespace mb::kernel
