// SPDX-License-Identifier: GPL-2.0-or-later
//
// The nouns of the program as values: what the user asked for. No behaviour beyond what a value can answer about itself.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/model/address.h"
#include "src/model/names.h"
#include "src/model/port.h"

namespace mb {

// The network of containers that name none. It comes with the first of them.
constexpr std::string_view kDefaultNetwork = "default";

// 12 hexadecimal digits, drawn at random by a front end.
using Id = std::string;

// What a network gives its containers towards the world outside (docker's gateway modes).
enum class NetworkMode : std::uint8_t {
  nat,          // out under an address of the host, in through published ports
  routed,       // out and in under the container's own address; in to published ports only, and ping
  unprotected,  // as nat, and in to every port under the container's own address
};
std::string_view to_string(NetworkMode mode);
// "nat", "routed" or "unprotected". Throws Error(usage).
NetworkMode parse_network_mode(std::string_view text);

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
  bool icc = true;  // its containers reach each other directly (docker's inter-container communication)
  // The bridge was there before: it is never deleted, and of its settings nothing but our addresses is changed.
  bool adopted_bridge = false;
  std::vector<IpAddress> found_addresses;  // gateways that an adopted bridge had already, and keeps

  const AddressPool* pool(Family family) const;
  bool operator==(const Network&) const = default;
};

// The address of an endpoint in one family.
struct EndpointAddress {
  Family family = Family::v4;
  bool fixed = false;                // asked for by the user: kept while the container is stopped
  std::optional<IpAddress> address;  // none while stopped, unless fixed
  bool default_route = false;        // the container's way to everywhere else, in this family, goes through here
  bool operator==(const EndpointAddress&) const = default;
};

// A container's place in a network: one veth pair.
struct Endpoint {
  Id network;
  InterfaceName host_link;  // the end in the bridge
  InterfaceName name;       // the end in the container: eth0, eth1 …
  std::vector<EndpointAddress> addresses;
  std::optional<MacAddress> fixed_mac;
  std::vector<std::string> aliases;   // further names in this network
  std::int32_t gateway_priority = 0;  // of a container's endpoints the highest one gets the default route
  // Of its interface, "IFNAME" standing for its name: "net.ipv6.conf.IFNAME.accept_ra".
  std::map<std::string, std::string> sysctls;

  const EndpointAddress* address(Family family) const;
  // The fixed MAC, or the one derived from the IPv4 address. Needs an address.
  MacAddress mac() const;
  bool operator==(const Endpoint&) const = default;
};

// Stands for the name of an endpoint's interface in its sysctls.
inline constexpr std::string_view kInterfacePlaceholder = "IFNAME";

// The name of one of the endpoint's sysctls in the kernel.
std::string sysctl_of(const Endpoint& endpoint, std::string_view key);

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
  std::vector<std::string> argv;         // empty: the built-in test server on every port published or exposed
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
  std::vector<PublishSpec> exposed;            // ports of the container, without a host's side
  std::vector<PublishedPort> ports;            // as settled; empty while stopped
  std::map<std::string, std::string> sysctls;  // net.* of its namespace
  std::string hostname;
  std::string resolv_conf;                  // the text of its /etc/resolv.conf, as long as it asks no server of ours
  bool own_resolvers = false;               // they were given by the user (--dns): it asks no server of ours
  std::vector<std::string> search_domains;  // given by the user (--dns-search); none: the host's
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
  // Whether names of others may have to stand in its /etc/hosts even where name servers run: see plan/names.h.
  bool reads_names_from_hosts() const { return own_resolvers || endpoints.size() > 1; }
  bool operator==(const Container&) const = default;
};

}  // namespace mb
