// SPDX-License-Identifier: GPL-2.0-or-later
//
// "The host is as it was before": everything that must compare equal, as one text.
#pragma once

#include <string>

namespace mb::test {

struct SnapshotOptions {
  /// Counters of built-in chains' policies. They count every packet, so they can stay equal only
  /// while nothing is sent. Counters of rules are always in.
  bool policy_counters = true;
};

/// Rules of both families (legacy tables that hold something, with counters), links, addresses,
/// routes, policy rules and sysctls of the present namespace. Left out: comments, empty tables,
/// timers, lifetimes, and sysctls that change by themselves. One fact per line, for EXPECT_EQ.
std::string snapshot_host(const SnapshotOptions& options = {});

/// The part for one dump of iptables-save -c, pure: for a test of its own.
std::string normalise_rules(const std::string& dump, const SnapshotOptions& options = {});

/// Asking for a link makes the kernel settle its carrier, which it otherwise does up to a second later; twice, because that
/// of a bridge follows that of its ports.
void settle_carriers();

}  // namespace mb::test
