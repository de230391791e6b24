// SPDX-License-Identifier: GPL-2.0-or-later
//
// The steps of a plan: the only ways in which minibridge changes the kernel.
//
// Every step can be printed, and every step that adds can be inverted; what the inverse needs is in the step.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "src/model/kernel_state.h"

namespace mb {

// A link: in a container's namespace, or (container empty) on the host.
struct LinkRef {
  Id container;
  InterfaceName name;
  bool operator==(const LinkRef&) const = default;
};

namespace step {

struct PinNamespace {
  Id container;
  std::string source;  // empty: make a new one, with lo up
  bool operator==(const PinNamespace&) const = default;
};
// All that are to go, at once: letting go of one waits for the kernel.
struct UnpinNamespaces {
  std::vector<Id> containers;
  bool operator==(const UnpinNamespaces&) const = default;
};
// The symlink /run/netns/LINK_NAME.
struct LinkNamespace {
  Id container;
  std::string link_name;
  bool operator==(const LinkNamespace&) const = default;
};
struct UnlinkNamespace {
  Id container;
  std::string link_name;
  bool operator==(const UnlinkNamespace&) const = default;
};

// A bridge with its group and MAC, down and without addresses; multicast snooping off.
struct AddBridge {
  BridgeState bridge;
  bool operator==(const AddBridge&) const = default;
};
// A veth pair in one message: host end with group, master, up; peer in the namespace with name, MAC, MTU.
struct AddVeth {
  VethState veth;
  bool operator==(const AddVeth&) const = default;
};

// The attributes that are set; the others stay.
struct LinkChange {
  std::optional<bool> up;
  std::optional<InterfaceName> master;  // of a port; only on the host
  std::optional<bool> hairpin;          // of a port
  std::optional<bool> isolated;         // of a port
  std::optional<bool> filters_frames;   // of a bridge: both of nf_call_iptables and nf_call_ip6tables
  std::optional<bool> route_localnet;
  std::optional<std::uint32_t> accept_ra;  // net.ipv6.conf.LINK.accept_ra; only on the host
  std::optional<MacAddress> mac;
  std::optional<std::uint32_t> mtu;
  std::optional<std::string> alias;
  bool operator==(const LinkChange&) const = default;
  bool empty() const { return *this == LinkChange{}; }
};
struct ChangeLink {
  LinkRef link;
  LinkChange to;
  LinkChange before;  // the same attributes as they were; empty for a link made by this plan
  bool operator==(const ChangeLink&) const = default;
};

struct AddAddress {
  LinkRef link;
  InterfaceAddress address;
  bool operator==(const AddAddress&) const = default;
};
struct DeleteAddress {
  LinkRef link;
  InterfaceAddress address;
  bool operator==(const DeleteAddress&) const = default;
};
// default via GATEWAY dev LINK
struct AddDefaultRoute {
  LinkRef link;
  IpAddress gateway;
  bool operator==(const AddDefaultRoute&) const = default;
};
struct DeleteDefaultRoute {
  LinkRef link;
  IpAddress gateway;
  bool operator==(const DeleteDefaultRoute&) const = default;
};

// Tells the neighbours of a container that it has the addresses, under its MAC: an ARP request that nobody asked for, and a
// neighbour advertisement.
struct Announce {
  LinkRef link;
  InterfaceName host_link;  // the other end
  MacAddress mac;
  std::vector<IpAddress> addresses;
  bool operator==(const Announce&) const = default;
};

// Links that are to go, taken down first (nothing may cross while rules go), deleted at the end, all in one message.
struct TakeLinksDown {
  std::vector<InterfaceName> links;
  bool operator==(const TakeLinksDown&) const = default;
};
struct DeleteLinks {
  std::vector<InterfaceName> links;
  bool operator==(const DeleteLinks&) const = default;
};

struct SetSysctl {
  SysctlKey key;
  SysctlState to;
  SysctlState before;
  bool operator==(const SetSysctl&) const = default;
};

// One commit of one table.
struct RuleEdit {
  enum class Kind : std::uint8_t { add_chain, remove_chain, insert, remove } kind = Kind::insert;
  std::string chain;
  Rule rule;  // insert, remove
  std::size_t position =
      0;  // from 0; insert: before the rule that is there, kEnd appends; remove: where the rule was seen
  static constexpr std::size_t kEnd = SIZE_MAX;
  bool operator==(const RuleEdit&) const = default;
};
struct CommitRules {
  TableKey table;
  std::vector<RuleEdit> edits;
  bool operator==(const CommitRules&) const = default;
};

// A file below the state directory.
struct WriteFile {
  std::string path;
  std::string content;
  std::optional<std::string> before;  // none: it did not exist
  bool operator==(const WriteFile&) const = default;
};
struct RemoveFile {
  std::string path;
  std::string content;
  bool operator==(const RemoveFile&) const = default;
};
struct MakeDirectory {
  Id container;
  bool operator==(const MakeDirectory&) const = default;
};
// A container's directory with everything in it.
struct RemoveDirectory {
  Id container;
  bool operator==(const RemoveDirectory&) const = default;
};

struct DeleteFlows {
  std::vector<Flow> flows;
  bool operator==(const DeleteFlows&) const = default;
};

// A process that serves the names of a network. The only step that starts one.
struct StartNameServer {
  Id network;
  bool operator==(const StartNameServer&) const = default;
};
struct StopNameServer {
  Id network;
  bool operator==(const StopNameServer&) const = default;
};

}  // namespace step

using Step =
    std::variant<step::PinNamespace, step::UnpinNamespaces, step::LinkNamespace, step::UnlinkNamespace, step::AddBridge,
                 step::AddVeth, step::ChangeLink, step::AddAddress, step::DeleteAddress, step::AddDefaultRoute,
                 step::DeleteDefaultRoute, step::Announce, step::TakeLinksDown, step::DeleteLinks, step::SetSysctl,
                 step::CommitRules, step::WriteFile, step::RemoveFile, step::MakeDirectory, step::RemoveDirectory,
                 step::DeleteFlows, step::StartNameServer, step::StopNameServer>;

using Plan = std::vector<Step>;

// One line for people: "add veth mb3f… in minibridge0, eth0 02:6d:… in 'web'". CommitRules: "commit nat: +2 rules".
// `name_of` turns ids of containers and networks into names.
using NameOf = std::function<std::string(const Id&)>;
std::string print(const Step& step, const NameOf& name_of = {});
// The rules of a commit in the form iptables-restore --noflush reads; empty for other steps.
std::string print_rules(const Step& step);
// The step's kind as JSON output names it: "add_veth".
std::string_view kind_name(const Step& step);

// The step that takes this one back; none for steps that remove (they roll forward), but for those that make room for
// what is added.
std::optional<Step> inverse(const Step& step);

}  // namespace mb
