// SPDX-License-Identifier: GPL-2.0-or-later
//
// A topology: the nodes of a lab and what connects them, as a value read from a YAML file. docs/lab.md has the words.
//
// Promises: parse_topology() throws Error(usage) "FILE:LINE: SENTENCE" for everything that would fail later for a reason
// that can be seen here (unknown node, name, address or MAC address given twice, an address outside its link's subnet, a
// gateway on no link …), so that nothing is started from a wrong file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/lab/document.h"
#include "src/model/address.h"
#include "src/model/names.h"
#include "src/model/port.h"

namespace mb::lab {

enum class NodeKind : std::uint8_t {
  host,    // a machine; every verb of minibridge works in it
  router,  // forwards IPv4 and IPv6, may translate addresses
};
std::string_view to_string(NodeKind kind);

struct Route {
  Subnet to;
  std::optional<IpAddress> via;
  std::optional<InterfaceName> interface;
  std::optional<IpAddress> source;
};

// The places ("FILE:LINE") are for what goes wrong only when a lab is built.
struct Sysctl {
  std::string name;
  std::string value;
  std::string where;
};

// An address, port and protocol on which the test server listens. `address` any: on all of the node's.
struct Listen {
  IpAddress address;
  std::uint16_t port = 0;
  Protocol protocol = Protocol::tcp;
  bool operator==(const Listen&) const = default;
};

// What runs in a node from the start: the test server (`echo` not empty) or a command.
struct Service {
  std::string name;
  std::vector<Listen> echo;
  std::vector<std::string> command;
  std::string where;
};

struct SetupCommand {
  std::string line;
  std::string where;
};

// What comes from `source` and leaves through `out` gets that interface's address.
struct Nat {
  Subnet source;
  InterfaceName out;
};

struct Node {
  Name name;
  std::string about;
  NodeKind kind = NodeKind::host;
  std::vector<Route> routes;
  std::vector<Sysctl> sysctls;
  std::vector<Service> services;
  std::vector<Nat> nat;
  std::vector<std::string> aliases;  // further names in everybody's /etc/hosts
  std::vector<SetupCommand> setup;   // shell commands that run once, when everything else stands
};

struct End {
  Name node;
  InterfaceName interface;
  MacAddress mac;
  std::vector<InterfaceAddress> addresses;
};

// Two ends: a veth pair. More, or `is_switch`: a bridge of the lab's own with a port for each.
struct Link {
  std::string name;
  bool is_switch = false;
  std::uint32_t mtu = 0;  // 0: the kernel's default
  std::vector<Subnet> subnets;
  std::vector<End> ends;
};

struct Topology {
  std::string name;
  std::string about;
  std::string source;  // the text it was read from; empty: none
  std::vector<Node> nodes;
  std::vector<Link> links;

  const Node* find(std::string_view node) const;  // nullptr: there is none
  // Throws Error(not_found), with the nearest name as a hint.
  const Node& node(std::string_view node) const;
  // Every address of a node, in the order of the file.
  std::vector<InterfaceAddress> addresses_of(std::string_view node) const;
  std::vector<std::string> node_names() const;
};

// The value of a whole file; `name` is the topology's, unless the file gives one.
Topology parse_topology(const Value& file, const std::string& name);
// The text of one; `file` stands for it in sentences.
Topology read_topology(std::string_view text, const std::string& file, const std::string& name);

// "80", "80/udp", "10.0.0.1:80", "[2001:db8::1]:53/udp".
Listen parse_listen(std::string_view text);

// ---- finding them

// A name ("article") is looked for among the topologies of this program, anything with a '/' or ".yaml" is a path. Throws
// Error(not_found) with the names there are.
Topology load_topology(const std::string& name_or_path);
// Whether it is taken for a path.
bool is_path(std::string_view name_or_path);
inline constexpr std::string_view kDefaultTopology = "article";
std::vector<std::string> topology_names();

// What /etc/hosts says in a node: one address of each family for every node, the one on a common link where there is one.
std::string hosts_file(const Topology& topology, const Name& reader);

}  // namespace mb::lab
