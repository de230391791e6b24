// SPDX-License-Identifier: GPL-2.0-or-later
//
// Links, their addresses and routes: one function per step that changes them, and what is needed to look at them.
//
// Promises: every function acts in the namespace of the socket it is given; a link is made in one message, so a
// failure leaves none behind; links that are not in a group of ours are never deleted.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "src/kernel/netlink.h"
#include "src/model/kernel_state.h"
#include "src/model/step.h"

namespace mb::kernel {

// A link as the kernel describes it.
struct Link {
  int index = 0;
  std::string name;
  std::string kind;  // "bridge", "veth" …; empty for real devices
  std::string alias;
  MacAddress mac;
  std::uint32_t mtu = 0;
  std::uint32_t group = 0;
  bool up = false;
  int master = 0;                // its index; 0: none
  int peer_index = 0;            // of a veth: the other end, in the namespace peer_nsid
  std::optional<int> peer_nsid;  // none: the same namespace
  bool hairpin = false;
  bool isolated = false;
  bool route_localnet = false;
  std::optional<bool> filters_frames = false;  // of a bridge; none: in one family only
  std::uint32_t accept_ra = 0;
};

// ---- looking

// Nothing if there is no such link. Asking for a link also makes the kernel settle its carrier state (see observe.h).
std::optional<Link> find_link(Socket& socket, std::string_view name);
std::optional<Link> find_link(Socket& socket, int index);
std::vector<Link> all_links(Socket& socket);
// Those that there are. Unlike the above this may leave a carrier state as it is.
std::map<InterfaceName, Link> find_links(Socket& socket, const std::set<InterfaceName>& names);

// Addresses of a link, of both families.
std::vector<InterfaceAddress> addresses_of(Socket& socket, int index);
// Those of them that we have added (Identity::address_mark; Linux 5.18).
std::vector<InterfaceAddress> marked_addresses_of(Socket& socket, int index, std::uint8_t mark);
// The links that have such an address.
std::set<int> links_with_marked_addresses(Socket& socket, std::uint8_t mark);
// Gateways of the default routes through a link that carry our protocol number.
std::vector<IpAddress> gateways_of(Socket& socket, int index, Family family);

struct RouteEntry {
  Subnet destination;
  int interface = 0;  // 0: none
  std::uint32_t table = 0;
  bool advertised = false;  // a router advertisement brought it
  bool ours = false;        // it carries our protocol number
};
// The routes of all tables.
std::vector<RouteEntry> all_routes(Socket& socket, Family family);
std::vector<IpAddress> all_addresses(Socket& socket, Family family);

// The number by which the socket's namespace knows the namespace of `namespace_fd`; none if it does not know it.
std::optional<int> namespace_number(Socket& socket, int namespace_fd);

// ---- changing

void add_bridge(Socket& socket, const BridgeState& bridge);
// The peer goes into the namespace of `namespace_fd`.
void add_veth(Socket& host, int namespace_fd, const VethState& veth);
// No fe80:: address by itself, with its duplicate address detection and multicast reports: with hundreds of ports in a
// bridge that is half of the time an attach takes. The kernel ignores it in the message that makes the pair. It works
// as long as there is no carrier, that is until the peer is up.
void keep_free_of_addresses(Socket& socket, const InterfaceName& link);
// `where` follows the link's name in an error: " in namespace '3fa2…'", or nothing.
void change_link(Socket& socket, const InterfaceName& link, const step::LinkChange& to, std::string_view where = {});
void add_address(Socket& socket, const InterfaceName& link, const InterfaceAddress& address, std::uint8_t mark,
                 std::string_view where = {});
void delete_address(Socket& socket, const InterfaceName& link, const InterfaceAddress& address,
                    std::string_view where = {});
void add_default_route(Socket& socket, const InterfaceName& link, const IpAddress& gateway,
                       std::string_view where = {});
void delete_default_route(Socket& socket, const InterfaceName& link, const IpAddress& gateway,
                          std::string_view where = {});
// Links that are gone already are left out.
void take_links_down(Socket& socket, const std::vector<InterfaceName>& links);
// Throws, before anything is deleted, if one of them is not ours.
void delete_links(Socket& socket, const std::vector<InterfaceName>& links, const Identity& identity);

// Whether the kernel has asked for the link address of some neighbour and neither got an answer nor given up yet.
bool looks_for_neighbour(Socket& socket);

}  // namespace mb::kernel
