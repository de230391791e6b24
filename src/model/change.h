// SPDX-License-Identifier: GPL-2.0-or-later
//
// Changes of state: what the verbs ask for, as values. Ids, clock readings and random draws are in them already, so that
// what follows is repeatable.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "src/model/objects.h"

namespace mb {

namespace change {

struct AddNetwork {
  Id id;
  Name name;
  InterfaceName bridge;
  std::optional<Subnet> subnet;  // none: the first free one of the pools
  std::optional<IpAddress> gateway;
  std::optional<Subnet> range;
  std::vector<IpAddress> reserved;
  std::uint32_t mtu = 0;
  std::map<std::string, std::string> labels;
  std::int64_t created_at = 0;
  bool internal = false;
  bool masquerade = true;
  std::optional<IpAddress> snat_to;  // an address of the host
  bool if_absent = false;            // an existing network of this name is fine (the default network on first use)
};

struct RemoveNetwork {
  std::string network;  // name or id
};

struct EndpointRequest {
  std::string network;      // name or id
  InterfaceName host_link;  // drawn
  std::optional<IpAddress> address;
  std::optional<MacAddress> mac;
};

struct AddContainer {
  Container container;  // without endpoints and settled ports
  std::vector<EndpointRequest> endpoints;
  std::uint64_t draw = 0;                // where to begin looking for a free host port
  std::vector<std::string> taken_links;  // interfaces that the namespace has already
  bool has_default_route = false;        // the namespace has one already
};

// A stopped container runs again.
struct StartContainer {
  Id container;
  std::int32_t supervisor_pid = 0;
  std::int32_t init_pid = 0;
  std::string namespace_source;
  std::string resolv_conf;
  std::int64_t started_at = 0;
  std::uint64_t draw = 0;
};

// Its process is gone. One that was to be removed then is removed.
struct EndContainer {
  Id container;
  std::optional<int> exit_status;  // none: not known (the supervisor was killed)
  std::int64_t finished_at = 0;
};

struct RemoveContainer {
  std::string container;  // name or id
};

struct Publish {
  std::string container;
  std::vector<PublishSpec> ports;
  std::uint64_t draw = 0;
};

struct Unpublish {
  std::string container;
  std::vector<PublishSpec> ports;
};

}  // namespace change

using Change = std::variant<change::AddNetwork, change::RemoveNetwork, change::AddContainer, change::StartContainer,
                            change::EndContainer, change::RemoveContainer, change::Publish, change::Unpublish>;

// Whether the change takes something away (and so rolls forward) instead of adding (and so can be undone).
bool removes(const Change& change);

// A change of state, worked out: the objects before and after.
struct Delta {
  std::vector<Network> added_networks;
  std::vector<Network> dropped_networks;
  struct ContainerChange {
    std::optional<Container> before;
    std::optional<Container> after;
  };
  std::vector<ContainerChange> containers;  // each container once

  bool empty() const { return added_networks.empty() && dropped_networks.empty() && containers.empty(); }
};

}  // namespace mb
