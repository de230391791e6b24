// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a world of many namespaces is built from: veth pairs between any two of them, switches, addresses and routes.
//
// The caller chooses the interface numbers, so nothing has to be looked up again: a pair with both names, MAC addresses and
// flags is one message, and the addresses and routes of a namespace are sent without waiting in between.
// Promises: nothing here deletes or changes a link that was there before.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "src/kernel/netlink.h"
#include "src/model/address.h"
#include "src/model/names.h"

namespace mb::kernel {

struct WireEnd {
  InterfaceName name;
  int index = 0;  // its interface number; must be free
  MacAddress mac;
};

// A veth pair: `near`, up, in the socket's namespace (a port of the bridge number `master` unless that is 0), `far`, still
// down, in the namespace of `far_namespace`. `mtu` 0: the kernel's default.
void add_wire(Socket& socket, const WireEnd& near, int master, const WireEnd& far, int far_namespace,
              std::uint32_t mtu);

// A bridge that is up and forwards from the first frame on.
void add_switch(Socket& socket, const InterfaceName& name, int index);

struct NumberedAddress {
  int index = 0;
  InterfaceAddress address;
};

struct NumberedRoute {
  Subnet to;
  std::optional<IpAddress> via;
  int index = 0;  // 0: the one through which `via` is reached
  std::optional<IpAddress> source;
};

// Loopback and the links up, then the addresses, then the routes. IPv6 addresses are usable at once (no duplicate address detection).
void set_up_namespace(Socket& socket, const std::vector<int>& links, const std::vector<NumberedAddress>& addresses,
                      const std::vector<NumberedRoute>& routes, std::string_view attempt);

}  // namespace mb::kernel
