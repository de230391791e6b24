// SPDX-License-Identifier: GPL-2.0-or-later
//
// Rule sets as other tools leave them on a host: the shape of theirs, in our own words. Their bridges and subnets are not
// ours. Counters are in them, so that a test sees whether they survive.
#pragma once

#include <string>

namespace mb::test {

struct ForeignRules {
  std::string name;
  std::string legacy;  // for iptables-legacy-restore -c; empty: none
};

/// Chains of docker's bridge driver: FORWARD policy DROP, published ports, isolation in two stages, masquerading.
ForeignRules docker_rules();
/// A desktop firewall on iptables: INPUT and FORWARD policy DROP, many chains that hand on to each other.
ForeignRules ufw_rules();
/// A zone firewall with its backend for iptables: INPUT and FORWARD end with REJECT.
ForeignRules firewalld_rules();
/// The rules around the bridge of virtual machines.
ForeignRules libvirt_rules();

/// Restores a set as a whole, as its tool would: what was in these tables before is gone.
void restore(const ForeignRules& rules);

/// The same zone firewall in nf_tables, for `nft -f -`: what comes from an unknown interface is rejected.
std::string firewalld_nf_tables();

/// Everything in the legacy tables but what is minibridge's, with counters of rules. Policies are in it, their counters
/// not: those count every packet.
std::string foreign_rules_now();

}  // namespace mb::test
