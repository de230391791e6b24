// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel should look like (desired) and what it looks like (actual): one type for both, so that a
// difference is a comparison. It holds only what minibridge owns, and only what the scope of a change covers.
//
// Equal means, kind by kind:
//   links       attributes that are set here; addresses and routes of ours are present (further ones are not ours to judge)
//   rules       our chains in full and in order (MINIBRIDGE-USER: that it exists); our jumps present
//   sysctls     only the keys named here
//   namespaces  pinned, and linked to by name
//   files       content byte for byte
//   name servers  that a supervisor looks after one
//   flows       connection tracking entries that contradict what is published: desired has none
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/model/address.h"
#include "src/model/names.h"
#include "src/model/objects.h"
#include "src/model/rule.h"

namespace mb {

// Who is the owner of the objects in the kernel: one state directory in one network namespace of one boot.
struct Identity {
  std::string state_id;     // 8 hexadecimal digits, drawn at random
  std::uint32_t group = 0;  // the group number of our links, derived from state_id
  std::uint32_t trash = 0;  // the group that links about to be deleted are moved to

  static Identity from_state_id(std::string state_id);
  // "minibridge:3fa2c19b", for people who look at `ip link`.
  std::string alias() const { return "minibridge:" + state_id; }
  // The origin (IFA_PROTO) of our addresses, by which they are known on a bridge of somebody else. The kernel has one byte
  // for it, so states are told apart as far as that goes.
  std::uint8_t address_mark() const { return static_cast<std::uint8_t>(0x80U | (group & 0x7fU)); }
  bool operator==(const Identity&) const = default;
};

// Whether a group number is that of some state directory of minibridge (ours or another's).
bool is_minibridge_group(std::uint32_t group);

struct BridgeState {
  InterfaceName name;
  std::uint32_t group = 0;
  MacAddress
      mac;  // fixed: a bridge otherwise takes its lowest port's, and neighbours' entries for the gateway go stale
  std::uint32_t mtu = 0;  // 0: as it is
  bool up = true;
  bool route_localnet = true;   // so that 127.0.0.1:published reaches the container
  std::uint32_t accept_ra = 0;  // a container's router advertisements could give the host a default route
  // iptables sees what its ports say to each other, whatever bridge-nf-call-iptables says of all bridges; none: only one of
  // the two families' tables does
  std::optional<bool> filters_frames = false;
  bool adopted = false;  // desired: somebody else's; of it only the addresses with our mark are ours
  std::string alias;
  std::vector<InterfaceAddress> addresses;
  std::vector<InterfaceAddress> marked;  // actual: those of the addresses that carry our mark
  bool operator==(const BridgeState&) const = default;
};

struct VethState {
  // the host's end
  InterfaceName host;
  std::uint32_t group = 0;
  InterfaceName bridge;  // its master; empty: none
  bool up = true;
  bool hairpin = true;    // a container may reach itself through the host
  bool isolated = false;  // the bridge passes nothing between two isolated ports
  std::string alias;
  // the container's end
  Id container;
  InterfaceName peer;
  MacAddress mac;
  std::uint32_t mtu = 0;  // 0: as it is
  bool peer_up = true;
  std::vector<InterfaceAddress> addresses;
  std::vector<IpAddress> gateways;  // a default route through each
  std::vector<IpAddress> rested;    // desired: those of the addresses that somebody had before
  bool operator==(const VethState&) const = default;
};

struct NamespaceState {
  Id container;
  std::string source;       // where to take it from: empty = make a new one, else a path such as /proc/PID/ns/net
  bool loopback_up = true;  // not asked of namespaces made by others
  std::string link_name;    // mb-NAME in /run/netns; empty: none wanted
  bool pinned = true;       // false: only its name is left
  bool operator==(const NamespaceState&) const = default;
};

struct SysctlKey {
  Id container;  // empty: the host
  std::string name;
  auto operator<=>(const SysctlKey&) const = default;
};

struct SysctlState {
  std::string value;
  // Keys that the kernel changes together with this one, with their values now (actual), or to be rewritten
  // after it (desired). ip_forward drags every interface's forwarding along.
  std::map<std::string, std::string> related;
  bool put_back = false;  // desired: as it was before minibridge; written once nothing needs it any more
  bool operator==(const SysctlState&) const = default;
};

// An entry of connection tracking, as far as it is needed to find it again.
struct Flow {
  Protocol protocol = Protocol::udp;
  IpAddress source;  // of the original direction
  std::uint16_t source_port = 0;
  IpAddress destination;
  std::uint16_t destination_port = 0;
  IpAddress reply_source;  // who answers
  auto operator<=>(const Flow&) const = default;
};

// Which entries must not exist.
struct FlowQuery {
  // Either: flows of `protocol` to a host port of `published` that are answered by somebody else than `expected` …
  std::optional<PublishedPort> published;
  std::optional<IpAddress> expected;  // none: that are answered by anybody
  // … or: flows in which this address (of a container that is gone) takes part. Both: those to the port that it answers.
  std::optional<IpAddress> gone;
  bool operator==(const FlowQuery&) const = default;
};

struct KernelState {
  std::map<InterfaceName, BridgeState> bridges;
  std::map<InterfaceName, VethState> veths;  // by the host's end
  std::map<Id, NamespaceState> namespaces;
  std::map<SysctlKey, SysctlState> sysctls;
  Ruleset rules;
  std::map<std::string, std::string> files;  // "containers/ID/hosts" below the state directory -> content
  std::set<Id> name_servers;                 // networks whose name server runs
  std::set<Id> directories;                  // containers/ID
  std::set<Flow> flows;                      // that should not be
  bool operator==(const KernelState&) const = default;
};

using Desired = KernelState;
using Actual = KernelState;

// What of the kernel to look at.
struct Scope {
  bool everything = false;  // all that carries our mark, besides what is named below
  std::set<InterfaceName> bridges;
  std::map<InterfaceName, Id> veths;             // host end -> the container it belongs to (empty: not known)
  std::map<InterfaceName, InterfaceName> peers;  // host end -> name in the container
  std::map<Id, std::string> namespaces;          // container -> its link name
  std::set<SysctlKey> sysctls;
  std::set<std::string> owners;  // container names (and "network NAME") whose publish rules are looked at
  std::set<Id> directories;      // containers whose files are looked at
  std::set<std::string> files;   // further files
  std::set<Id> name_servers;     // networks
  std::set<Id> going;            // of all these, those of which only matters whether they are still there
  std::vector<FlowQuery> flows;
  bool ipv6 = false;  // in use: look at ip6tables and default routes too (with `everything`: at what there is anyway)
  std::set<TableKey> settled;  // tables not to be looked at again: nothing was changed in them
};

}  // namespace mb
