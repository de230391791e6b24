// SPDX-License-Identifier: GPL-2.0-or-later
//
// Gathers what `doctor` judges: everybody's rules, switches, links, routes, programs on ports. Changes nothing, not even which
// legacy tables exist: looking at one makes it appear, so only those are read that are there already or are ours anyway.
#pragma once

#include "src/kernel/iptables.h"
#include "src/kernel/netlink.h"
#include "src/model/host_report.h"

namespace mb::kernel {

HostReport gather_report(const ReportScope& scope, Socket& host, const Iptables& iptables);

}  // namespace mb::kernel
