// SPDX-License-Identifier: GPL-2.0-or-later
//
// The nouns of the program as values: what the user asked for. No behaviour beyond what a value can answer about itself.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/model/address.h"
#include "src/model/names.h"
#include "src/model/port.h"

namespace mb {

// 12 hexadecimal digits, drawn at random by a front end.
using Id = std::string;

// What a network gives its containers towards the world outside (docker's gateway modes). Later modes join here.
enum class NetworkMode : std::uint8_t { nat };
std::string_view to_string(NetworkMode mode);

// One subnet of a network and what may be given out of it.
struct AddressPool {
  Subnet subnet;
  IpAddress gateway;                // the bridge's own address
  std::optional<Subnet> range;      // give out only from here (--ip-range)
  std::vector<IpAddress> reserved;  // never given out (--aux-address)
  bool operator==(const AddressPool&) const = default;
};

struct Network {
  Id id;
  Name name;
  InterfaceName bridge;
  std::vector<AddressPool> pools;  // one per address family, IPv4 first
  NetworkMode mode = NetworkMode::nat;
  std::uint32_t mtu = 0;  // 0: the kernel's default
  std::map<std::string, std::string> labels;
  std::int64_t created_at = 0;       // seconds since 1970
  bool internal = false;             // nothing passes between it and the rest of the world
  bool masquerade = true;            // containers go out under an address of the host; false: under their own
  std::optional<IpAddress> snat_to;  // under this one, instead of that of the interface by which a packet leaves

  const AddressPool* pool(Family family) const;
  bool operator==(const Network&) const = default;
};

// The address of an endpoint in one family.
struct EndpointAddress {
  Family family = Family::v4;
  bool fixed = false;                // asked for by the user: kept while the container is stopped
  std::optional<IpAddress> address;  // none while stopped, unless fixed
  bool operator==(const EndpointAddress&) const = default;
};

// A container's place in a network: one veth pair.
struct Endpoint {
  Id network;
  InterfaceName host_link;  // the end in the bridge
  InterfaceName name;       // the end in the container: eth0, eth1 …
  std::vector<EndpointAddress> addresses;
  std::optional<MacAddress> fixed_mac;
  bool default_route = true;  // the container's way to everywhere else goes through this endpoint

  const EndpointAddress* address(Family family) const;
  // The fixed MAC, or the one derived from the IPv4 address. Needs an address.
  MacAddress mac() const;
  bool operator==(const Endpoint&) const = default;
};

enum class ContainerKind : std::uint8_t {
  process,        // `run`: lives and dies with its supervisor
  netns,          // `create`: a namespace of its own and no process
  foreign_netns,  // `create --netns`: a namespace made by somebody else, never deleted
};

enum class ContainerStatus : std::uint8_t { created, running, exited };
std::string_view to_string(ContainerStatus status);

struct Volume {
  std::string host_path;
  std::string container_path;
  bool read_only = false;
  bool operator==(const Volume&) const = default;
};

// What to run and how. Paths are absolute.
struct ProcessSpec {
  std::vector<std::string> argv;         // empty: the built-in test server on every published container port
  std::vector<std::string> environment;  // "K=V", complete
  std::string working_directory = "/";
  std::string user;    // "name|uid[:group|gid]"; empty: as the caller
  std::string rootfs;  // empty: the host's files
  std::vector<Volume> volumes;
  std::vector<std::string> cap_add;  // names without CAP_, or ALL
  std::vector<std::string> cap_drop;
  bool privileged = false;
  bool terminal = false;     // -t
  bool interactive = false;  // -i
  bool operator==(const ProcessSpec&) const = default;
};

// How a container sees the network besides its endpoints.
enum class Attachment : std::uint8_t { networks, none, host };

struct HostEntry {
  std::string name;
  IpAddress address;
  bool operator==(const HostEntry&) const = default;
};

struct Container {
  Id id;
  Name name;
  ContainerKind kind = ContainerKind::process;
  ContainerStatus status = ContainerStatus::created;
  Attachment attachment = Attachment::networks;
  std::vector<Endpoint> endpoints;
  std::vector<PublishSpec> publish;            // as asked for
  std::vector<PublishedPort> ports;            // as settled; empty while stopped
  std::map<std::string, std::string> sysctls;  // net.* of its namespace
  std::string hostname;
  std::string resolv_conf;  // the text of its /etc/resolv.conf
  std::vector<HostEntry> extra_hosts;
  bool remove_when_ended = false;
  std::string namespace_source;  // foreign_netns: the path that was given; process: /proc/PID/ns/net while running
  ProcessSpec process;
  std::int32_t supervisor_pid = 0;
  std::int32_t init_pid = 0;
  std::optional<int> exit_status;  // of the last run
  std::int64_t created_at = 0;     // seconds since 1970
  std::int64_t started_at = 0;
  std::int64_t finished_at = 0;

  // Whether it wants anything of the kernel at present.
  bool wants_network() const { return kind != ContainerKind::process || status == ContainerStatus::running; }
  bool operator==(const Container&) const = default;
};

}  // namespace mb
