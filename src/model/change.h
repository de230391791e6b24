// SPDX-License-Identifier: GPL-2.0-or-later
//
// Changes of state: what the verbs ask for, as values. Ids, clock readings and random draws are in them already, so that
// what follows is repeatable.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "src/model/objects.h"

namespace mb {

namespace change {

// The addresses of one family that a network asks for.
struct PoolRequest {
  std::optional<Subnet> subnet;  // none: the first free one of the pools
  std::optional<IpAddress> gateway;
  std::optional<Subnet> range;
  std::vector<IpAddress> reserved;
};

struct AddNetwork {
  Id id;
  Name name;
  InterfaceName bridge;
  PoolRequest v4;
  std::optional<PoolRequest> v6;  // none: IPv4 only
  NetworkMode mode = NetworkMode::nat;
  std::uint32_t mtu = 0;  // 0: the uplink's
  std::map<std::string, std::string> labels;
  std::int64_t created_at = 0;
  bool internal = false;
  bool masquerade = true;
  std::optional<IpAddress> snat_to;  // an address of the host
  bool icc = true;
  bool if_absent = false;  // an existing network of this name is fine (the default network on first use)
  bool adopt = false;      // a bridge of somebody else under this name is used
};

struct RemoveNetwork {
  std::string network;  // name or id
};

struct EndpointRequest {
  std::string network;               // name or id
  InterfaceName host_link;           // drawn
  std::vector<IpAddress> addresses;  // fixed ones, at most one of each family
  std::optional<MacAddress> mac;
  std::vector<std::string> aliases;
  std::int32_t gateway_priority = 0;
  std::map<std::string, std::string> sysctls;  // as in Endpoint
};

struct AddContainer {
  Container container;  // without endpoints and settled ports
  std::vector<EndpointRequest> endpoints;
  std::uint64_t draw = 0;                // where to begin looking for a free host port
  std::vector<std::string> taken_links;  // interfaces that the namespace has already
  std::set<Family> default_routes;       // the families in which the namespace has one already
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
  bool remove_when_ended = false;  // from now on; false: as it was
};

// Its process is about to end, and will be started again: it is not removed then, even if it was to be.
struct KeepContainer {
  Id container;
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

// A further network for a container.
struct Connect {
  std::string container;
  EndpointRequest endpoint;
  std::vector<std::string> taken_links;  // as in AddContainer
  std::set<Family> default_routes;       // the families in which somebody else has set one there
  std::uint64_t draw = 0;
};

struct Disconnect {
  std::string container;
  std::string network;
  bool if_connected = false;  // that it is not in the network is fine
};

struct Publish {
  std::string container;
  std::vector<PublishSpec> ports;
  std::uint64_t draw = 0;
  bool take_over = false;  // a port that another container has published is taken from it, in the same commit
};

struct Unpublish {
  std::string container;
  std::vector<PublishSpec> ports;
};

}  // namespace change

using Change = std::variant<change::AddNetwork, change::RemoveNetwork, change::AddContainer, change::StartContainer,
                            change::KeepContainer, change::EndContainer, change::RemoveContainer, change::Connect,
                            change::Disconnect, change::Publish, change::Unpublish>;

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
  // Addresses that others had before, by the container that has one now: neighbours may still know them under another MAC.
  std::set<std::pair<Id, IpAddress>> rested = {};

  bool empty() const { return added_networks.empty() && dropped_networks.empty() && containers.empty(); }
};

}  // namespace mb
