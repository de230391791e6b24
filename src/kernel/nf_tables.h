// SPDX-License-Identifier: GPL-2.0-or-later
//
// The other firewall of the kernel, read only: everybody's nf_tables chains and rules, in the type that our own have.
//
// A rule of nf_tables is a small program that loads values into registers and compares them. What iptables could
// say as well (interfaces, addresses, ports, states of connection tracking, verdicts) is understood, also where it comes from a
// constant set or a map of verdicts; the rest becomes an opaque match, so that nothing is taken for more certain than it is.
// Priorities and policies are kept; tables that nothing hooks into are left out.
#pragma once

#include <vector>

#include "src/model/host_report.h"

namespace mb::kernel {

// Whether anybody has hooked a chain there: one question.
bool has_nf_tables();

// Of the families that see IP packets ("ip", "ip6", "inet"). Empty where nobody has hooked a chain, which costs one question.
std::vector<HostTable> read_nf_tables();

}  // namespace mb::kernel
