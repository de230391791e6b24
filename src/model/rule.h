// SPDX-License-Identifier: GPL-2.0-or-later
//
// iptables rules as typed values. iptables-save text and the kernel's binary form are two readers of them.
//
// A rule holds exactly what it says: printing a rule gives the line that iptables-save would print for it, and
// parsing that line gives the rule back. What is not understood is kept as opaque bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "src/model/address.h"
#include "src/model/port.h"

namespace mb {

enum class Table : std::uint8_t { raw, mangle, nat, filter, security };
std::string_view to_string(Table table);

// A value that a rule asks for, or (negated) asks to differ from: "! -d 127.0.0.0/8".
template <class T>
struct Negatable {
  T value{};
  bool negated = false;
  auto operator<=>(const Negatable&) const = default;
};

namespace match {

// -m tcp/udp/sctp --sport/--dport. The protocol is that of the rule.
struct Ports {
  Protocol protocol = Protocol::tcp;
  std::optional<Negatable<PortRange>> source;
  std::optional<Negatable<PortRange>> destination;
  auto operator<=>(const Ports&) const = default;
};

enum class AddressType : std::uint16_t { unicast = 1 << 1, local = 1 << 2, broadcast = 1 << 3, multicast = 1 << 5 };

// -m addrtype --src-type/--dst-type TYPE: what the routing table of the host says about the address.
struct AddrType {
  std::optional<Negatable<AddressType>> source;
  std::optional<Negatable<AddressType>> destination;
  auto operator<=>(const AddrType&) const = default;
};

// -m devgroup --src-group/--dst-group: the group number of the interface the packet comes from or goes to.
struct DevGroup {
  std::optional<Negatable<std::uint32_t>> source;
  std::optional<Negatable<std::uint32_t>> destination;
  auto operator<=>(const DevGroup&) const = default;
};

// Bits of --ctstate.
enum ConnState : std::uint16_t {
  kInvalid = 1 << 0,
  kEstablished = 1 << 1,
  kRelated = 1 << 2,
  kNew = 1 << 3,
  kSnat = 1 << 4,
  kDnat = 1 << 5,
  kUntracked = 1 << 6,
};

// -m conntrack --ctstate STATES
struct ConnTrack {
  std::uint16_t states = 0;  // ConnState bits
  bool negated = false;
  auto operator<=>(const ConnTrack&) const = default;
};

// -m icmp --icmp-type TYPE (any code); in an IPv6 rule -m icmp6 --icmpv6-type TYPE
struct IcmpType {
  std::uint8_t type = 0;
  auto operator<=>(const IcmpType&) const = default;
};

// -m comment --comment TEXT, up to 255 bytes
struct Comment {
  std::string text;
  auto operator<=>(const Comment&) const = default;
};

// A match this program does not know: its name, revision and data as the kernel gave them.
struct Opaque {
  std::string name;
  std::uint8_t revision = 0;
  std::vector<std::uint8_t> data;
  auto operator<=>(const Opaque&) const = default;
};

}  // namespace match

using Match = std::variant<match::Ports, match::AddrType, match::DevGroup, match::ConnTrack, match::IcmpType,
                           match::Comment, match::Opaque>;

namespace target {

struct Accept {
  auto operator<=>(const Accept&) const = default;
};
struct Drop {
  auto operator<=>(const Drop&) const = default;
};
struct Return {
  auto operator<=>(const Return&) const = default;
};
struct Jump {
  std::string chain;
  auto operator<=>(const Jump&) const = default;
};
// -g CHAIN: as a jump, but its end is the end of the chain that was left.
struct Goto {
  std::string chain;
  auto operator<=>(const Goto&) const = default;
};
// A rule without a target: counts only.
struct None {
  auto operator<=>(const None&) const = default;
};

// -j DNAT --to-destination ADDRESS[:first[-last[/base]]]. With a base port, packet port p becomes first + (p - base):
// one rule shifts a whole range (revision 2 of the target).
struct Dnat {
  IpAddress address;
  std::optional<PortRange> ports;
  std::optional<std::uint16_t> base;
  auto operator<=>(const Dnat&) const = default;
};

// -j SNAT --to-source ADDRESS
struct Snat {
  IpAddress address;
  auto operator<=>(const Snat&) const = default;
};

struct Masquerade {
  auto operator<=>(const Masquerade&) const = default;
};

struct Opaque {
  std::string name;
  std::uint8_t revision = 0;
  std::vector<std::uint8_t> data;
  auto operator<=>(const Opaque&) const = default;
};

}  // namespace target

using Target = std::variant<target::None, target::Accept, target::Drop, target::Return, target::Jump, target::Goto,
                            target::Dnat, target::Snat, target::Masquerade, target::Opaque>;

struct Rule {
  Family family = Family::v4;
  std::optional<Negatable<Subnet>> source;
  std::optional<Negatable<Subnet>> destination;
  std::optional<Negatable<std::string>> in;  // interface name; a trailing '+' means "beginning with"
  std::optional<Negatable<std::string>> out;
  std::optional<Negatable<std::uint8_t>> protocol;  // IP protocol number
  std::vector<Match> matches;
  Target target;
  std::string why;  // for people; not part of what the kernel knows

  // Equal when the kernel would do the same: everything but `why`.
  friend bool operator==(const Rule& a, const Rule& b) {
    return a.family == b.family && a.source == b.source && a.destination == b.destination && a.in == b.in &&
           a.out == b.out && a.protocol == b.protocol && a.matches == b.matches && a.target == b.target;
  }

  // The text of its comment match, empty if there is none.
  std::string_view comment() const;
};

// "-s 172.18.0.0/16 -j MASQUERADE": what follows "-A CHAIN" in iptables-save.
std::string print(const Rule& rule);
// "-A CHAIN " and the rule.
std::string print(std::string_view chain, const Rule& rule);

// Chains and rules that belong to minibridge in one table: its own chains, and its jumps to them from built-in chains.
struct TableRules {
  std::map<std::string, std::vector<Rule>> chains;  // our chains, every one of them, in full
  std::map<std::string, std::vector<Rule>> hooks;   // built-in chain -> our jumps in it, in our order
  bool operator==(const TableRules&) const = default;
  bool empty() const { return chains.empty() && hooks.empty(); }
};

struct TableKey {
  Family family = Family::v4;
  Table table = Table::filter;
  auto operator<=>(const TableKey&) const = default;
};

using Ruleset = std::map<TableKey, TableRules>;

// The tables as iptables-save prints them, ours only. (`*nat`, `:CHAIN - [0:0]`, `-A …`, `COMMIT`)
std::string print(const Ruleset& rules, Family family);

// One line of iptables-save, "-A CHAIN …". Throws Error(usage) with position and reason for what it does not know.
struct ChainedRule {
  std::string chain;
  Rule rule;
  bool operator==(const ChainedRule&) const = default;
};
ChainedRule parse_rule(std::string_view line, Family family = Family::v4);

// A whole iptables-save dump. Chains whose names begin with `own_prefix` are ours; of other chains only jumps to those are kept.
Ruleset parse_dump(std::string_view text, Family family = Family::v4, std::string_view own_prefix = "MINIBRIDGE");

}  // namespace mb
