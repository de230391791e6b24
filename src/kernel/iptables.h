// SPDX-License-Identifier: GPL-2.0-or-later
//
// Legacy iptables and ip6tables through libiptc: read our rules, commit an edit of them.
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

#include <string>
#include <string_view>
#include <vector>

#include "src/model/host_report.h"
#include "src/model/kernel_state.h"
#include "src/model/step.h"

namespace mb::kernel {

class Iptables {
 public:
  // Our chains and jumps of a table. Of the publish chain only rules of owners in scope, unless scope is everything.
  TableRules read(TableKey key, const Scope& scope) const;
  // `undoing`: what the commit would put back may be there still, and is then left alone.
  void commit(const step::CommitRules& commit, bool undoing = false) const;
  // Whether the table is in use in this namespace. Reading one would bring it into being, empty, for good.
  static bool has_table(TableKey key);
  // Everybody's chains and rules of a table, with the policies.
  HostTable read_all(TableKey key) const;
  // Whether the kernel knows a match in this revision.
  bool has_match(Family family, std::string_view name, std::uint8_t revision) const;
  // Whether the first rule of a built-in chain is one of ours.
  bool is_first(Table table, const std::string& chain) const;
  // What our rules are made of and this kernel does not have: "addrtype match", "DNAT target".
  std::vector<std::string> missing_extensions(Family family) const;
};

}  // namespace mb::kernel
