// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/objects.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb {

std::string_view to_string(NetworkMode mode) {
  switch (mode) {
    case NetworkMode::nat: return "nat";
    case NetworkMode::routed: return "routed";
    case NetworkMode::unprotected: return "unprotected";
  }
  return "nat";
}

NetworkMode parse_network_mode(std::string_view text) {
  for (const auto mode : {NetworkMode::nat, NetworkMode::routed, NetworkMode::unprotected}) {
    if (to_string(mode) == text) return mode;
  }
  throw Error(ErrorKind::usage, fmt::format("'{}' is not a mode of a network", printable(text)),
              "there are nat, routed and unprotected");
}

std::string_view to_string(ContainerStatus status) {
  switch (status) {
    case ContainerStatus::created: return "created";
    case ContainerStatus::running: return "running";
    case ContainerStatus::exited: return "exited";
  }
  return "created";
}

const AddressPool* Network::pool(Family family) const {
  const auto found = std::find_if(pools.begin(), pools.end(),
                                  [family](const AddressPool& pool) { return pool.subnet.family() == family; });
  return found == pools.end() ? nullptr : &*found;
}

const EndpointAddress* Endpoint::address(Family family) const {
  const auto found = std::find_if(addresses.begin(), addresses.end(),
                                  [family](const EndpointAddress& address) { return address.family == family; });
  return found == addresses.end() ? nullptr : &*found;
}

std::string sysctl_of(const Endpoint& endpoint, std::string_view key) {
  std::string name(key);
  if (const auto at = name.find(kInterfacePlaceholder); at != std::string::npos) {
    name.replace(at, kInterfacePlaceholder.size(), endpoint.name.str());
  }
  return name;
}

MacAddress Endpoint::mac() const {
  if (fixed_mac) return *fixed_mac;
  for (const auto& held : addresses) {
    if (held.address) return MacAddress::derived_from(*held.address);
  }
  throw Error(ErrorKind::failed, "an endpoint without an address has no MAC address");
}

}  // namespace mb
