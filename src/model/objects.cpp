// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/objects.h"

#include <algorithm>

#include "src/base/error.h"

namespace mb {

std::string_view to_string(NetworkMode mode) {
  switch (mode) {
    case NetworkMode::nat: return "nat";
  }
  return "nat";
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

MacAddress Endpoint::mac() const {
  if (fixed_mac) return *fixed_mac;
  for (const auto& held : addresses) {
    if (held.address) return MacAddress::derived_from(*held.address);
  }
  throw Error(ErrorKind::failed, "an endpoint without an address has no MAC address");
}

}  // namespace mb
