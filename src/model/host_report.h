// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a host does to packets besides what minibridge asks of it: everybody's rules in both of the kernel's firewalls,
// switches, links, routes, programs on ports. Gathered at the edge, judged by plan/diagnose, which asks nobody.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/model/facts.h"
#include "src/model/rule.h"

namespace mb {

// Where in its way through the kernel a packet is looked at.
enum class Hook : std::uint8_t { prerouting, input, forward, output, postrouting };
std::string_view to_string(Hook hook);

// legacy: ip_tables and ip6_tables, where our rules are. nf_tables: the other firewall of the same kernel. A packet passes both,
// and a drop in either is final.
enum class Backend : std::uint8_t { legacy, nf_tables };

// A rule of anybody. What is not understood of it is an opaque match or target.
struct HostRule {
  Rule rule;
  std::uint64_t handle = 0;  // nf_tables: its handle; legacy: its place in the chain, from 1
  // In a table of both families: the one that the rule is about. None: both.
  std::optional<Family> only = std::nullopt;
};

struct HostChain {
  std::string name;
  std::optional<Hook> hook;  // none: only reached by a jump
  int priority = 0;          // of those at one hook the lowest is asked first
  bool drops = false;        // what reaches its end
  std::vector<HostRule> rules;
};

struct HostTable {
  Backend backend = Backend::legacy;
  std::string family;  // nf_tables' word: "ip", "ip6", "inet" or "bridge"
  std::string name;
  std::vector<HostChain> chains;

  const HostChain* chain(std::string_view wanted) const;
};

struct HostLink {
  std::string name;
  std::uint32_t group = 0;
  std::uint32_t mtu = 0;
  bool up = false;
  std::vector<InterfaceAddress> addresses;
};

struct HostReport {
  std::vector<HostTable> tables;  // both backends; those of minibridge are in them
  // Tables of iptables that cannot be read, with the kernel's answer.
  struct Unreadable {
    TableKey table;
    std::string message;
    std::string hint;
  };
  std::vector<Unreadable> unreadable;
  std::set<std::string> missing_extensions;    // of iptables, that our rules are made of: "addrtype match"
  std::map<std::string, std::string> sysctls;  // only those that exist; slashes between the parts
  std::vector<HostLink> links;
  std::set<IpAddress> local_addresses;
  std::vector<Route> routes;                        // default routes and the host's own addresses left out
  std::map<Family, std::set<std::string>> uplinks;  // the interfaces of the default routes
  struct Held {
    Listener listener;
    std::string holder;  // "nginx (pid 812)", empty if it cannot be found out
  };
  std::vector<Held> held;  // of the published ports
  bool has_dnsmasq = true;
};

// What to look at.
struct ReportScope {
  bool everything =
      true;  // false: only what is needed to follow packets through the rules, where any could be in the way
  std::set<std::string> links;       // of which sysctls are read, besides the uplinks
  std::vector<PublishedPort> ports;  // whose listeners are looked for
  bool ipv6 = false;
};

// One thing that stops packets, or that is good to know.
enum class Weight : std::uint8_t {
  stops,     // packets of ours are stopped
  may_stop,  // a rule that is not fully understood may stop them
  remark,    // nothing is stopped
};
std::string_view to_string(Weight weight);

struct Finding {
  Weight weight = Weight::stops;
  std::string kind;  // a stable word: "nft_drop", "ip_forward" …
  std::string seen;  // what was seen, one sentence
  std::string why;   // what it means for our packets
  std::string mend;  // a command, or several joined by "&&"; empty where there is nothing to do
  bool operator==(const Finding&) const = default;
};

}  // namespace mb
