// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/links.h"

#include <net/if.h>  // before libnl's headers, which would bring in linux/if.h

#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>

#include <fmt/format.h>
#include <netlink/addr.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/route.h>

namespace mb::kernel {
namespace {

// The origin of our routes (rtm_protocol): 'm'. Numbers above 4 are free for routing programs (linux/rtnetlink.h).
constexpr std::uint8_t kRouteProtocol = 109;

template <auto free>
struct Freer {
  template <class T>
  void operator()(T* object) const noexcept {
    free(object);
  }
};
using NlAddress = std::unique_ptr<nl_addr, Freer<nl_addr_put>>;
using NlLink = std::unique_ptr<rtnl_link, Freer<rtnl_link_put>>;
using NlLinkAddress = std::unique_ptr<rtnl_addr, Freer<rtnl_addr_put>>;
using NlRoute = std::unique_ptr<rtnl_route, Freer<rtnl_route_put>>;

template <class Owner>
Owner made(typename Owner::pointer object) {
  if (object == nullptr) throw std::bad_alloc();
  return Owner(object);
}

// libnl's build functions answer with a number of their own when they find a request incomplete: a mistake of ours.
Message built(int result, nl_msg* message, std::string_view attempt) {
  if (result < 0) throw Error(ErrorKind::failed, fmt::format("{}: libnl refuses the request ({})", attempt, result));
  return Message(message);
}

int number_of(Family family) { return family == Family::v4 ? AF_INET : AF_INET6; }

NlAddress to_nl(const IpAddress& address) {
  return made<NlAddress>(nl_addr_build(number_of(address.family()), address.bytes().data(), address.size()));
}

NlAddress to_nl(const MacAddress& mac) {
  return made<NlAddress>(nl_addr_build(AF_LLC, mac.bytes().data(), mac.bytes().size()));
}

std::optional<IpAddress> to_address(int family, std::span<const std::uint8_t> bytes) {
  if (family == AF_INET && bytes.size() >= 4) {
    return IpAddress::v4(std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
                         bytes[3]);
  }
  if (family == AF_INET6 && bytes.size() >= 16) {
    std::array<std::uint8_t, 16> all{};
    std::copy_n(bytes.begin(), all.size(), all.begin());
    return IpAddress::v6(all);
  }
  return std::nullopt;
}

// ---- looking

// The configuration of a family on a link is an array of 32-bit numbers.
std::uint32_t number_at(std::span<const std::uint8_t> values, std::size_t index) {
  const std::size_t at = index * sizeof(std::uint32_t);
  std::uint32_t value = 0;
  if (values.size() >= at + sizeof value) std::memcpy(&value, values.data() + at, sizeof value);
  return value;
}

// The first one is number 1.
bool route_localnet_in(const Attributes& link) {
  const auto values = link.nested(IFLA_AF_SPEC).nested(AF_INET).bytes(IFLA_INET_CONF);
  return number_at(values, IPV4_DEVCONF_ROUTE_LOCALNET - 1) != 0;
}

// The first one is number 0. A kernel without IPv6 has none of them.
std::uint32_t accept_ra_in(const Attributes& link) {
  return number_at(link.nested(IFLA_AF_SPEC).nested(AF_INET6).bytes(IFLA_INET6_CONF), DEVCONF_ACCEPT_RA);
}

std::optional<bool> filters_frames_in(const Attributes& bridge) {
  const bool v4 = bridge.u8(IFLA_BR_NF_CALL_IPTABLES).value_or(0) != 0;
  const bool v6 = bridge.u8(IFLA_BR_NF_CALL_IP6TABLES).value_or(0) != 0;
  return v4 == v6 ? std::optional(v4) : std::nullopt;
}

MacAddress mac_in(const Attributes& link) {
  const auto bytes = link.bytes(IFLA_ADDRESS);
  std::array<std::uint8_t, 6> mac{};
  if (bytes.size() == mac.size()) std::copy(bytes.begin(), bytes.end(), mac.begin());
  return MacAddress(mac);
}

std::optional<Link> parse_link(const nlmsghdr& reply) {
  if (reply.nlmsg_type != RTM_NEWLINK) return std::nullopt;
  const auto& header = header_of<ifinfomsg>(reply);
  const Attributes attributes(reply, sizeof header);
  const Attributes info = attributes.nested(IFLA_LINKINFO);
  Link link;
  link.index = header.ifi_index;
  link.up = (header.ifi_flags & IFF_UP) != 0;
  link.name = attributes.text(IFLA_IFNAME);
  link.kind = info.text(IFLA_INFO_KIND);
  link.alias = attributes.text(IFLA_IFALIAS);
  link.mac = mac_in(attributes);
  link.mtu = attributes.u32(IFLA_MTU).value_or(0);
  link.group = attributes.u32(IFLA_GROUP).value_or(0);
  link.master = static_cast<int>(attributes.u32(IFLA_MASTER).value_or(0));
  link.peer_index = static_cast<int>(attributes.u32(IFLA_LINK).value_or(0));
  if (const auto nsid = attributes.u32(IFLA_LINK_NETNSID)) link.peer_nsid = static_cast<int>(*nsid);
  if (info.text(IFLA_INFO_SLAVE_KIND) == "bridge") {
    const Attributes port = info.nested(IFLA_INFO_SLAVE_DATA);
    link.hairpin = port.u8(IFLA_BRPORT_MODE).value_or(0) != 0;
    link.isolated = port.u8(IFLA_BRPORT_ISOLATED).value_or(0) != 0;
  }
  if (link.kind == "bridge") link.filters_frames = filters_frames_in(info.nested(IFLA_INFO_DATA));
  link.route_localnet = route_localnet_in(attributes);
  link.accept_ra = accept_ra_in(attributes);
  return link;
}

Message link_query(int index) {
  ifinfomsg header{};
  header.ifi_index = index;
  Message query(RTM_GETLINK, 0, header);
  query.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return query;
}

std::optional<Link> ask_for_link(Socket& socket, const Message& query, std::string_view what) {
  std::optional<Link> link;
  try {
    socket.ask(query, fmt::format("cannot look at link {}", what),
               [&](const nlmsghdr& reply) { link = parse_link(reply); });
  } catch (const Error& e) {
    if (e.error_number() != ENODEV) throw;
  }
  return link;
}

std::optional<RouteEntry> parse_route(const nlmsghdr& reply, int family) {
  if (reply.nlmsg_type != RTM_NEWROUTE) return std::nullopt;
  const auto& header = header_of<rtmsg>(reply);
  // A kernel without this address family answers for all of them.
  if (header.rtm_family != family || (header.rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;
  const Attributes attributes(reply, sizeof header);
  RouteEntry route;
  const auto base = to_address(family, attributes.bytes(RTA_DST))
                        .value_or(IpAddress::any(family == AF_INET ? Family::v4 : Family::v6));
  route.destination = Subnet::containing(base, header.rtm_dst_len);
  route.table = attributes.u32(RTA_TABLE).value_or(header.rtm_table);
  route.ours = header.rtm_protocol == kRouteProtocol;
  // The router itself, or a prefix on the link: those that the kernel made for as long as the router says.
  rta_cacheinfo cache{};
  const auto lifetime = attributes.bytes(RTA_CACHEINFO);
  if (lifetime.size() >= sizeof cache) std::memcpy(&cache, lifetime.data(), sizeof cache);
  route.advertised =
      header.rtm_protocol == RTPROT_RA || (header.rtm_protocol == RTPROT_KERNEL && cache.rta_expires != 0);
  route.interface = static_cast<int>(attributes.u32(RTA_OIF).value_or(0));
  const auto hops = attributes.bytes(RTA_MULTIPATH);
  if (route.interface == 0 && hops.size() >= sizeof(rtnexthop)) {
    rtnexthop first;
    std::memcpy(&first, hops.data(), sizeof first);
    route.interface = first.rtnh_ifindex;
  }
  return route;
}

std::optional<IpAddress> parse_gateway(const nlmsghdr& reply, int family, int index) {
  if (reply.nlmsg_type != RTM_NEWROUTE) return std::nullopt;
  const auto& header = header_of<rtmsg>(reply);
  const Attributes attributes(reply, sizeof header);
  // The kernel has filtered already, unless it is older than 4.20.
  const bool ours = header.rtm_family == family && header.rtm_protocol == kRouteProtocol && header.rtm_dst_len == 0 &&
                    attributes.u32(RTA_OIF) == static_cast<std::uint32_t>(index);
  return ours ? to_address(family, attributes.bytes(RTA_GATEWAY)) : std::nullopt;
}

std::optional<InterfaceAddress> parse_address(const nlmsghdr& reply) {
  if (reply.nlmsg_type != RTM_NEWADDR) return std::nullopt;
  const auto& header = header_of<ifaddrmsg>(reply);
  const Attributes attributes(reply, sizeof header);
  // IFA_ADDRESS is the far end of a point-to-point link; IPv6 has no IFA_LOCAL otherwise.
  const auto bytes = attributes.has(IFA_LOCAL) ? attributes.bytes(IFA_LOCAL) : attributes.bytes(IFA_ADDRESS);
  const auto address = to_address(header.ifa_family, bytes);
  if (!address) return std::nullopt;
  return InterfaceAddress{*address, header.ifa_prefixlen};
}

bool is_marked(const nlmsghdr& reply, std::uint8_t mark) {
  return Attributes(reply, sizeof(ifaddrmsg)).u8(IFA_PROTO) == mark;
}

// ---- changing

int index_of(Socket& socket, const InterfaceName& name, std::string_view attempt) {
  if (const auto index = socket.link_index(name.str())) return *index;
  throw netlink_failure(attempt, ENODEV, fmt::format("there is no link '{}'", name.str()));
}

Message new_link(const InterfaceName& name, int flags, bool up) {
  ifinfomsg header{};
  header.ifi_flags = up ? IFF_UP : 0;
  header.ifi_change = header.ifi_flags;
  Message message(RTM_NEWLINK, flags, header);
  message.put(IFLA_IFNAME, name.str());
  return message;
}

// A message about an existing link, by name.
Message link_change(const InterfaceName& name, std::optional<bool> up) {
  ifinfomsg header{};
  header.ifi_change = up ? IFF_UP : 0;
  header.ifi_flags = up.value_or(false) ? IFF_UP : 0;
  Message message(RTM_NEWLINK, 0, header);
  message.put(IFLA_IFNAME, name.str());
  return message;
}

// A bridge that was given no MAC takes the lowest of its ports', and one of somebody else must not get another because of us:
// as high as there are, and never the container's own.
MacAddress host_end_of(const MacAddress& container) {
  auto bytes = container.bytes();
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(~byte);
  bytes[0] = 0xfe;
  return MacAddress(bytes);
}

NlLink veth_pair(const VethState& veth, int bridge, int namespace_fd) {
  auto host = made<NlLink>(rtnl_link_veth_alloc());
  rtnl_link_set_name(host.get(), veth.host.str().c_str());
  rtnl_link_set_addr(host.get(), to_nl(host_end_of(veth.mac)).get());
  rtnl_link_set_group(host.get(), veth.group);
  if (bridge != 0) rtnl_link_set_master(host.get(), bridge);
  if (veth.up) rtnl_link_set_flags(host.get(), IFF_UP);
  // One queue: the default of one per processor costs 0.4 of the whole creation, and a container's traffic is
  // spread by RPS if at all.
  rtnl_link_set_num_tx_queues(host.get(), 1);
  rtnl_link_set_num_rx_queues(host.get(), 1);

  const auto peer = made<NlLink>(rtnl_link_veth_get_peer(host.get()));
  rtnl_link_set_name(peer.get(), veth.peer.str().c_str());
  rtnl_link_set_addr(peer.get(), to_nl(veth.mac).get());
  if (veth.mtu != 0) {
    rtnl_link_set_mtu(peer.get(), veth.mtu);
    rtnl_link_set_mtu(host.get(), veth.mtu);
  }
  rtnl_link_set_ns_fd(peer.get(), namespace_fd);
  rtnl_link_set_num_tx_queues(peer.get(), 1);
  rtnl_link_set_num_rx_queues(peer.get(), 1);
  return host;
}

NlLinkAddress link_address(int index, const InterfaceAddress& address) {
  const auto local = to_nl(address.address);
  nl_addr_set_prefixlen(local.get(), address.prefix);
  auto result = made<NlLinkAddress>(rtnl_addr_alloc());
  rtnl_addr_set_ifindex(result.get(), index);
  rtnl_addr_set_local(result.get(), local.get());
  // Duplicate address detection would keep an IPv6 address unusable for a second; the addresses are given out by us.
  if (address.address.family() == Family::v6) rtnl_addr_set_flags(result.get(), IFA_F_NODAD);
  return result;
}

NlRoute default_route(int index, const IpAddress& gateway) {
  const int family = number_of(gateway.family());
  const auto everywhere = made<NlAddress>(nl_addr_build(family, nullptr, 0));
  auto route = made<NlRoute>(rtnl_route_alloc());
  rtnl_route_set_family(route.get(), static_cast<std::uint8_t>(family));
  rtnl_route_set_table(route.get(), RT_TABLE_MAIN);
  rtnl_route_set_scope(route.get(), RT_SCOPE_UNIVERSE);
  rtnl_route_set_protocol(route.get(), kRouteProtocol);
  rtnl_route_set_type(route.get(), RTN_UNICAST);
  rtnl_route_set_dst(route.get(), everywhere.get());
  rtnl_nexthop* hop = rtnl_route_nh_alloc();
  if (hop == nullptr) throw std::bad_alloc();
  rtnl_route_add_nexthop(route.get(), hop);  // the route owns it from here on
  rtnl_route_nh_set_ifindex(hop, index);
  rtnl_route_nh_set_gateway(hop, to_nl(gateway).get());
  return route;
}

void put_ipv4_option(Message& message, int option, std::uint32_t value) {
  message.nest(IFLA_AF_SPEC, [&] {
    message.nest(AF_INET, [&] { message.nest(IFLA_INET_CONF, [&] { message.put_u32(option, value); }); });
  });
}

void put_frame_filter(Message& message, bool on) {
  message.nest(IFLA_LINKINFO, [&] {
    message.put(IFLA_INFO_KIND, "bridge");
    message.nest(IFLA_INFO_DATA, [&] {
      message.put_u8(IFLA_BR_NF_CALL_IPTABLES, on ? 1 : 0);
      message.put_u8(IFLA_BR_NF_CALL_IP6TABLES, on ? 1 : 0);
    });
  });
}

// libnl has no words for `isolated`.
void put_port_options(Message& message, std::optional<bool> hairpin, std::optional<bool> isolated) {
  message.nest(IFLA_LINKINFO, [&] {
    message.put(IFLA_INFO_SLAVE_KIND, "bridge");
    message.nest(IFLA_INFO_SLAVE_DATA, [&] {
      if (hairpin) message.put_u8(IFLA_BRPORT_MODE, *hairpin ? 1 : 0);
      if (isolated) message.put_u8(IFLA_BRPORT_ISOLATED, *isolated ? 1 : 0);
    });
  });
}

void put_no_generated_address(Message& message) {
  message.nest(IFLA_AF_SPEC, [&] {
    message.nest(AF_INET6, [&] { message.put_u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE); });
  });
}

std::string master_clause(const step::LinkChange& to) {
  if (!to.master) return {};
  return to.master->str().empty() ? " (no master)" : fmt::format(" to bridge '{}'", to.master->str());
}

void refuse_if_foreign(const Link& link, const Identity& identity) {
  if (link.group == identity.group || link.group == identity.trash) return;
  throw Error(
      ErrorKind::conflict,
      fmt::format("refusing to delete link '{}': it is not one of minibridge's (its group is {:#x}, ours {:#x})",
                  link.name, link.group, identity.group));
}

// One RTM_DELLINK blocks for 22–27 ms (the kernel waits for all CPUs' callbacks); a whole group costs that once.
void delete_one(Socket& socket, const Link& link) {
  ifinfomsg header{};
  header.ifi_index = link.index;
  try {
    socket.request(Message(RTM_DELLINK, 0, header), fmt::format("cannot delete link '{}'", link.name));
  } catch (const Error& e) {
    if (e.error_number() != ENODEV) throw;
  }
}

// The links leave our group only when they are down: as long as one is up, the rules for the group must see it.
void delete_as_group(Socket& socket, const std::vector<Link>& links, std::uint32_t trash) {
  std::vector<Message> down;
  std::vector<Message> move;
  for (const auto& link : links) {
    ifinfomsg header{};
    header.ifi_index = link.index;
    move.emplace_back(RTM_SETLINK, 0, header).put_u32(IFLA_GROUP, trash);
    header.ifi_change = IFF_UP;
    if (link.up) down.emplace_back(RTM_SETLINK, 0, header);
  }
  socket.request_all(down, "cannot take links down", ENODEV);
  socket.request_all(move, "cannot move links to the group that is to be deleted", ENODEV);
  // By hand: libnl's rtnl_link_build_delete_request wants an index or a name.
  Message remove(RTM_DELLINK, 0, ifinfomsg{});
  remove.put_u32(IFLA_GROUP, trash);
  try {
    socket.request(remove, fmt::format("cannot delete {} links", links.size()));
  } catch (const Error& e) {
    if (e.error_number() != ENODEV) throw;  // all of them went by themselves meanwhile
  }
}

}  // namespace

std::optional<Link> find_link(Socket& socket, std::string_view name) {
  Message query = link_query(0);
  query.put(IFLA_IFNAME, name);
  return ask_for_link(socket, query, fmt::format("'{}'", name));
}

std::optional<Link> find_link(Socket& socket, int index) {
  return ask_for_link(socket, link_query(index), fmt::format("number {}", index));
}

std::vector<Link> all_links(Socket& socket) {
  return socket.collect<Link>(link_query(0), "cannot list links", parse_link);
}

std::map<InterfaceName, Link> find_links(Socket& socket, const std::set<InterfaceName>& names) {
  constexpr std::size_t kMany = 16;  // from so many on, one list of all is cheaper than asking for each
  std::map<InterfaceName, Link> found;
  if (names.size() < kMany) {
    for (const auto& name : names) {
      if (auto link = find_link(socket, name.str())) found.emplace(name, std::move(*link));
    }
    return found;
  }
  std::map<std::string_view, const InterfaceName*> wanted;
  for (const auto& name : names) wanted.emplace(name.str(), &name);
  for (auto& link : all_links(socket)) {
    const auto match = wanted.find(link.name);
    if (match != wanted.end()) found.emplace(*match->second, std::move(link));
  }
  return found;
}

namespace {

std::vector<InterfaceAddress> addresses_where(Socket& socket, int index,
                                              const std::function<bool(const nlmsghdr&)>& test) {
  ifaddrmsg header{};
  header.ifa_index = static_cast<std::uint32_t>(index);
  const Message query(RTM_GETADDR, 0, header);
  return socket.collect<InterfaceAddress>(
      query, "cannot list addresses", [&](const nlmsghdr& reply) -> std::optional<InterfaceAddress> {
        const bool asked_for = header_of<ifaddrmsg>(reply).ifa_index == static_cast<std::uint32_t>(index);
        return asked_for && test(reply) ? parse_address(reply) : std::nullopt;
      });
}

}  // namespace

std::vector<InterfaceAddress> addresses_of(Socket& socket, int index) {
  return addresses_where(socket, index, [](const nlmsghdr&) { return true; });
}

std::vector<InterfaceAddress> marked_addresses_of(Socket& socket, int index, std::uint8_t mark) {
  return addresses_where(socket, index, [mark](const nlmsghdr& reply) { return is_marked(reply, mark); });
}

std::set<int> links_with_marked_addresses(Socket& socket, std::uint8_t mark) {
  const auto found =
      socket.collect<int>(Message(RTM_GETADDR, 0, ifaddrmsg{}), "cannot list addresses", [mark](const nlmsghdr& reply) {
        return is_marked(reply, mark) ? std::optional(static_cast<int>(header_of<ifaddrmsg>(reply).ifa_index))
                                      : std::nullopt;
      });
  return {found.begin(), found.end()};
}

std::vector<IpAddress> gateways_of(Socket& socket, int index, Family family) {
  const int number = number_of(family);
  rtmsg header{};
  header.rtm_family = static_cast<unsigned char>(number);
  header.rtm_protocol = kRouteProtocol;
  Message query(RTM_GETROUTE, 0, header);
  query.put_u32(RTA_OIF, static_cast<std::uint32_t>(index));
  query.put_u32(RTA_TABLE, RT_TABLE_MAIN);
  return socket.collect<IpAddress>(query, "cannot list default routes",
                                   [&](const nlmsghdr& reply) { return parse_gateway(reply, number, index); });
}

std::vector<RouteEntry> all_routes(Socket& socket, Family family) {
  rtmsg header{};
  header.rtm_family = static_cast<unsigned char>(number_of(family));
  return socket.collect<RouteEntry>(Message(RTM_GETROUTE, 0, header), "cannot list routes",
                                    [&](const nlmsghdr& reply) { return parse_route(reply, header.rtm_family); });
}

std::vector<IpAddress> all_addresses(Socket& socket, Family family) {
  ifaddrmsg header{};
  header.ifa_family = static_cast<std::uint8_t>(number_of(family));
  return socket.collect<IpAddress>(Message(RTM_GETADDR, 0, header), "cannot list addresses",
                                   [&](const nlmsghdr& reply) -> std::optional<IpAddress> {
                                     const auto found = parse_address(reply);
                                     if (!found || found->address.family() != family) return std::nullopt;
                                     return found->address;
                                   });
}

std::optional<int> namespace_number(Socket& socket, int namespace_fd) {
  Message query(RTM_GETNSID, 0, rtgenmsg{});
  query.put_u32(NETNSA_FD, static_cast<std::uint32_t>(namespace_fd));
  std::optional<int> number;
  socket.ask(query, "cannot ask for the number of a namespace", [&](const nlmsghdr& reply) {
    const auto found = Attributes(reply, sizeof(rtgenmsg)).u32(NETNSA_NSID);
    if (found && static_cast<int>(*found) >= 0) number = static_cast<int>(*found);
  });
  return number;
}

void keep_free_of_addresses(Socket& socket, const InterfaceName& link) {
  Message message = link_change(link, std::nullopt);
  put_no_generated_address(message);
  try {
    socket.request(message, "cannot set the address generation mode");
  } catch (const Error&) {
    // Ignored: a kernel without IPv6, or an MTU too small for it. Nothing depends on it but speed.
  }
}

void add_bridge(Socket& socket, const BridgeState& bridge) {
  Message message = new_link(bridge.name, NLM_F_CREATE | NLM_F_EXCL, false);
  message.put_u32(IFLA_GROUP, bridge.group);
  message.put(IFLA_ADDRESS, bridge.mac.bytes().data(), bridge.mac.bytes().size());
  message.nest(IFLA_LINKINFO, [&] {
    message.put(IFLA_INFO_KIND, "bridge");
    // Snooping costs every port half as much again when it is added, and nobody here asks for multicast routing.
    message.nest(IFLA_INFO_DATA, [&] { message.put_u8(IFLA_BR_MCAST_SNOOPING, 0); });
  });
  socket.request(message, fmt::format("cannot add bridge '{}'", bridge.name.str()));
  keep_free_of_addresses(socket, bridge.name);
  if (bridge.mtu == 0) return;
  // A bridge takes the MTU of its smallest port, and 1500 when the last one leaves, unless somebody has changed it.
  // One given with the new link does not count as changed (br_mtu_auto_adjust in net/bridge/br_if.c).
  Message with_mtu = link_change(bridge.name, std::nullopt);
  with_mtu.put_u32(IFLA_MTU, bridge.mtu);
  socket.request(with_mtu, fmt::format("cannot set the MTU of bridge '{}' to {}", bridge.name.str(), bridge.mtu));
}

void add_veth(Socket& host, int namespace_fd, const VethState& veth) {
  const std::string attempt = veth.bridge.str().empty() ? fmt::format("cannot add veth '{}'", veth.host.str())
                                                        : fmt::format("cannot add veth '{}' to bridge '{}'",
                                                                      veth.host.str(), veth.bridge.str());
  const int bridge = veth.bridge.str().empty() ? 0 : index_of(host, veth.bridge, attempt);
  const NlLink pair = veth_pair(veth, bridge, namespace_fd);
  nl_msg* message = nullptr;
  const int result = rtnl_link_build_add_request(pair.get(), NLM_F_CREATE | NLM_F_EXCL, &message);
  host.request(built(result, message, attempt), attempt);
  // The kernel takes none of these in the message that makes the pair.
  const auto set_up = [&](bool with_generation_mode) {
    Message settings = link_change(veth.host, std::nullopt);
    if (!veth.alias.empty()) settings.put(IFLA_IFALIAS, veth.alias.data(), veth.alias.size());
    if (!veth.bridge.str().empty()) put_port_options(settings, veth.hairpin, veth.isolated);
    if (with_generation_mode) put_no_generated_address(settings);
    host.request(settings, fmt::format("cannot set up veth '{}'", veth.host.str()));
  };
  try {
    set_up(true);
  } catch (const Error&) {
    set_up(false);  // see keep_free_of_addresses()
  }
}

void change_link(Socket& socket, const InterfaceName& link, const step::LinkChange& to, std::string_view where) {
  const std::string attempt = to.master ? fmt::format("cannot add '{}'{}{}", link.str(), where, master_clause(to))
                                        : fmt::format("cannot change link '{}'{}", link.str(), where);
  Message message = link_change(link, to.up);
  if (to.mac) message.put(IFLA_ADDRESS, to.mac->bytes().data(), to.mac->bytes().size());
  if (to.mtu) message.put_u32(IFLA_MTU, *to.mtu);
  if (to.alias) message.put(IFLA_IFALIAS, to.alias->data(), to.alias->size());  // an empty one takes it away
  if (to.filters_frames) put_frame_filter(message, *to.filters_frames);
  if (to.route_localnet) put_ipv4_option(message, IPV4_DEVCONF_ROUTE_LOCALNET, *to.route_localnet ? 1 : 0);
  if (to.master) {
    const int master = to.master->str().empty() ? 0 : index_of(socket, *to.master, attempt);
    message.put_u32(IFLA_MASTER, static_cast<std::uint32_t>(master));
  }
  // The kernel looks at a port's options before it looks at the new master, so with a new one they take a second message.
  const bool has_port_options = to.hairpin || to.isolated;
  if (has_port_options && !to.master) put_port_options(message, to.hairpin, to.isolated);
  socket.request(message, attempt);
  if (has_port_options && to.master) {
    Message port = link_change(link, std::nullopt);
    put_port_options(port, to.hairpin, to.isolated);
    socket.request(port, attempt);
  }
}

void add_address(Socket& socket, const InterfaceName& link, const InterfaceAddress& address, std::uint8_t mark,
                 std::string_view where) {
  const auto attempt = fmt::format("cannot add address '{}' to '{}'{}", address.str(), link.str(), where);
  const auto wanted = link_address(index_of(socket, link, attempt), address);
  nl_msg* message = nullptr;
  const int result = rtnl_addr_build_add_request(wanted.get(), NLM_F_CREATE | NLM_F_EXCL, &message);
  Message request = built(result, message, attempt);
  request.put_u8(IFA_PROTO, mark);
  socket.request(request, attempt);
}

void delete_address(Socket& socket, const InterfaceName& link, const InterfaceAddress& address,
                    std::string_view where) {
  const auto attempt = fmt::format("cannot delete address '{}' from '{}'{}", address.str(), link.str(), where);
  const auto unwanted = link_address(index_of(socket, link, attempt), address);
  nl_msg* message = nullptr;
  const int result = rtnl_addr_build_delete_request(unwanted.get(), 0, &message);
  socket.request(built(result, message, attempt), attempt);
}

void add_default_route(Socket& socket, const InterfaceName& link, const IpAddress& gateway, std::string_view where) {
  const auto attempt = fmt::format("cannot add a default route via '{}' to '{}'{}", gateway.str(), link.str(), where);
  const auto route = default_route(index_of(socket, link, attempt), gateway);
  nl_msg* message = nullptr;
  const int result = rtnl_route_build_add_request(route.get(), NLM_F_CREATE | NLM_F_EXCL, &message);
  socket.request(built(result, message, attempt), attempt);
}

void delete_default_route(Socket& socket, const InterfaceName& link, const IpAddress& gateway, std::string_view where) {
  const auto attempt =
      fmt::format("cannot delete the default route via '{}' from '{}'{}", gateway.str(), link.str(), where);
  const auto route = default_route(index_of(socket, link, attempt), gateway);
  nl_msg* message = nullptr;
  const int result = rtnl_route_build_del_request(route.get(), 0, &message);
  socket.request(built(result, message, attempt), attempt);
}

void take_links_down(Socket& socket, const std::vector<InterfaceName>& links) {
  std::vector<Message> messages;
  messages.reserve(links.size());
  for (const auto& link : links) messages.push_back(link_change(link, false));
  socket.request_all(messages, "cannot take links down", ENODEV);
}

void delete_links(Socket& socket, const std::vector<InterfaceName>& links, const Identity& identity) {
  std::vector<Link> found;
  for (auto& [name, link] : find_links(socket, {links.begin(), links.end()})) found.push_back(std::move(link));
  for (const auto& link : found) refuse_if_foreign(link, identity);
  if (found.size() == 1) delete_one(socket, found.front());
  if (found.size() > 1) delete_as_group(socket, found, identity.trash);
}

bool looks_for_neighbour(Socket& socket) {
  const auto states = socket.collect<std::uint16_t>(Message(RTM_GETNEIGH, 0, ndmsg{}), "cannot list neighbours",
                                                    [](const nlmsghdr& reply) -> std::optional<std::uint16_t> {
                                                      if (reply.nlmsg_type != RTM_NEWNEIGH) return std::nullopt;
                                                      return header_of<ndmsg>(reply).ndm_state;
                                                    });
  return std::any_of(states.begin(), states.end(),
                     [](std::uint16_t state) { return (state & (NUD_INCOMPLETE | NUD_PROBE)) != 0; });
}

}  // namespace mb::kernel
