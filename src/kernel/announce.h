// SPDX-License-Identifier: GPL-2.0-or-later
//
// Telling neighbours where an address is, before they ask.
//
// MAC addresses are made from IPv4 addresses, so an address that comes to another container mostly stays where neighbours
// remember it. With a MAC of the user's choice, and for IPv6, they would go on sending to one that is gone until they notice:
// half a minute. The kernel would announce by itself (arp_notify, ndisc_notify), but only at the moment the link comes up,
// when the bridge does not let anything through yet.
#pragma once

#include <vector>

#include "netns/namespace.h"
#include "src/model/address.h"

namespace mb::kernel {

// From the link in the namespace: a gratuitous ARP request (RFC 5227, 3) for each IPv4 address, an unsolicited neighbour
// advertisement (RFC 4861, 7.2.6) for each IPv6 address.
void announce(const netns::Namespace& where, int link, const MacAddress& mac, const std::vector<IpAddress>& addresses);

}  // namespace mb::kernel
