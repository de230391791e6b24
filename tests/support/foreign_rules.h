// SPDX-License-Identifier: GPL-2.0-or-later
//
// Rule sets as other tools leave them on a host: the shape of theirs, in our own words. Their bridges and subnets are not
// ours. Counters are in them, so that a test sees whether they survive.
#pragma once

#include <iosfwd>
#include <string>

namespace mb::test {

struct ForeignRules {
  std::string name;
  std::string v4;    // for iptables-legacy-restore -c
  std::string v6{};  // for ip6tables-legacy-restore -c; empty: none
};

std::ostream& operator<<(std::ostream& stream, const ForeignRules& rules);

/// Chains of docker's bridge driver: FORWARD policy DROP, published ports, isolation in two stages, masquerading.
ForeignRules docker_rules();
/// A desktop firewall on iptables: INPUT and FORWARD policy DROP, many chains that hand on to each other.
ForeignRules ufw_rules();
/// A zone firewall with its backend for iptables: INPUT and FORWARD end with REJECT. In IPv6 it looks at the way back.
ForeignRules firewalld_rules();
/// The rules around the bridge of virtual machines.
ForeignRules libvirt_rules();

/// Restores a set as a whole in both families, as its tool would: what was in these tables before is gone.
void restore(const ForeignRules& rules);

/// The same zone firewall in nf_tables, for `nft -f -`: what comes from an unknown interface is rejected.
std::string firewalld_nf_tables();

/// As long as it lives no ICMPv6 gets as far as iptables: what links and containers say of their own accord when they come
/// up (group memberships, solicitations) moves counters of foreign rules that look at everything.
class SilentIcmpv6 {
 public:
  SilentIcmpv6();
  ~SilentIcmpv6();
  SilentIcmpv6(const SilentIcmpv6&) = delete;
  SilentIcmpv6& operator=(const SilentIcmpv6&) = delete;
};

/// Everything in the legacy tables of both families but what is minibridge's, with counters of rules. Policies are in it, their counters
/// not: those count every packet.
std::string foreign_rules_now();

}  // namespace mb::test
