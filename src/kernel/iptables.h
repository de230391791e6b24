// SPDX-License-Identifier: GPL-2.0-or-later
//
// Legacy iptables through libiptc: read our rules, commit an edit of them.
//
// Promises
//   * one commit per call, under the lock that iptables itself takes (/run/xtables.lock or XTABLES_LOCKFILE), held from reading
//     the table to the commit. Without it libiptc loses updates silently: when the number of rules happens to be the same, the kernel accepts a
//     commit that was made from an old reading, and the other writer's rule is gone.
//   * foreign rules, their counters and the policies with their counters are kept. (A commit zeroes the policy counters of
//     built-in chains: they are read and set again in the same commit.)
//   * edits say what should be there, not what to do blindly: a rule that is already gone or a chain that is already
//     there is no error.
// It does not load kernel modules and starts no process.
#pragma once

#include <string_view>

#include "src/model/kernel_state.h"
#include "src/model/step.h"

namespace mb::kernel {

class Iptables {
 public:
  // Our chains and jumps of a table. Of the publish chain only rules of owners in scope, unless scope is everything.
  TableRules read(TableKey key, const Scope& scope) const;
  void commit(const step::CommitRules& commit) const;
  // Whether the kernel knows a match in this revision.
  bool has_match(Family family, std::string_view name, std::uint8_t revision) const;
};

}  // namespace mb::kernel
