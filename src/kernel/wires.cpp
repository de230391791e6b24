// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/wires.h"

#include <net/if.h>

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include <fmt/format.h>

namespace mb::kernel {
namespace {

constexpr int kLoopback = 1;  // in every namespace

unsigned char family_of(const IpAddress& address) { return address.family() == Family::v4 ? AF_INET : AF_INET6; }

void put_address(Message& message, int attribute, const IpAddress& address) {
  message.put(attribute, address.bytes().data(), address.size());
}

ifinfomsg header_for(int index, bool up = true) {
  ifinfomsg header{};
  header.ifi_index = index;
  if (!up) return header;
  header.ifi_flags = IFF_UP;
  header.ifi_change = IFF_UP;
  return header;
}

void put_end(Message& message, const WireEnd& end, std::uint32_t mtu) {
  message.put(IFLA_IFNAME, end.name.str());
  message.put(IFLA_ADDRESS, end.mac.bytes().data(), end.mac.bytes().size());
  if (mtu != 0) message.put_u32(IFLA_MTU, mtu);
  // One queue at each end: the kernel would make one per processor, and memory for each.
  message.put_u32(IFLA_NUM_TX_QUEUES, 1);
  message.put_u32(IFLA_NUM_RX_QUEUES, 1);
}

Message address_message(const NumberedAddress& wanted) {
  ifaddrmsg header{};
  header.ifa_family = family_of(wanted.address.address);
  header.ifa_prefixlen = static_cast<unsigned char>(wanted.address.prefix);
  header.ifa_index = static_cast<std::uint32_t>(wanted.index);
  if (header.ifa_family == AF_INET6) header.ifa_flags = IFA_F_NODAD;
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, header);
  put_address(message, IFA_LOCAL, wanted.address.address);
  put_address(message, IFA_ADDRESS, wanted.address.address);
  return message;
}

Message route_message(const NumberedRoute& wanted) {
  rtmsg header{};
  header.rtm_family = family_of(wanted.to.base());
  header.rtm_dst_len = static_cast<unsigned char>(wanted.to.prefix());
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_type = RTN_UNICAST;
  header.rtm_scope = wanted.via || header.rtm_family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  Message message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, header);
  if (wanted.to.prefix() > 0) put_address(message, RTA_DST, wanted.to.base());
  if (wanted.via) put_address(message, RTA_GATEWAY, *wanted.via);
  if (wanted.index != 0) message.put_u32(RTA_OIF, static_cast<std::uint32_t>(wanted.index));
  if (wanted.source) put_address(message, RTA_PREFSRC, *wanted.source);
  return message;
}

}  // namespace

void add_wire(Socket& socket, const WireEnd& near, int master, const WireEnd& far, int far_namespace,
              std::uint32_t mtu) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, header_for(near.index));
  put_end(message, near, mtu);
  if (master != 0) message.put_u32(IFLA_MASTER, static_cast<std::uint32_t>(master));
  message.nest(IFLA_LINKINFO, [&] {
    message.put(IFLA_INFO_KIND, "veth");
    message.nest(IFLA_INFO_DATA, [&] {
      // Not up: the kernel sets flags of the far end before it knows its peer, and a veth without one does not go up.
      message.nest(VETH_INFO_PEER, header_for(far.index, false), [&] {
        put_end(message, far, mtu);
        message.put_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(far_namespace));
      });
    });
  });
  socket.request(message, fmt::format("cannot connect '{}' with '{}'", near.name.str(), far.name.str()));
}

void add_switch(Socket& socket, const InterfaceName& name, int index) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, header_for(index));
  message.put(IFLA_IFNAME, name.str());
  message.nest(IFLA_LINKINFO, [&] {
    message.put(IFLA_INFO_KIND, "bridge");
    message.nest(IFLA_INFO_DATA, [&] {
      message.put_u32(IFLA_BR_FORWARD_DELAY, 0);
      message.put_u8(IFLA_BR_MCAST_SNOOPING, 0);  // a switch that asks nobody and floods
    });
  });
  socket.request(message, fmt::format("cannot add switch '{}'", name.str()));
}

void set_up_namespace(Socket& socket, const std::vector<int>& links, const std::vector<NumberedAddress>& addresses,
                      const std::vector<NumberedRoute>& routes, std::string_view attempt) {
  std::vector<Message> messages;
  messages.reserve(1 + links.size() + addresses.size() + routes.size());
  messages.emplace_back(RTM_NEWLINK, 0, header_for(kLoopback));
  for (const int link : links) messages.emplace_back(RTM_NEWLINK, 0, header_for(link));
  for (const auto& address : addresses) messages.push_back(address_message(address));
  for (const auto& route : routes) messages.push_back(route_message(route));
  socket.request_all(messages, attempt, 0);
}

}  // namespace mb::kernel
