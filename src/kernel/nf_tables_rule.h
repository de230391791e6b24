// SPDX-License-Identifier: GPL-2.0-or-later
//
// One rule of nf_tables, from its program to values (nf_tables.h says how much is understood).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/kernel/netlink.h"
#include "src/model/host_report.h"

namespace mb::kernel {

// An element of a set or a map of verdicts.
struct SetElement {
  std::vector<std::uint8_t> key;
  std::optional<Target> verdict;
};

struct RuleSurroundings {
  // The elements of a set of the rule's table; none if it is one whose elements cannot be enumerated (ranges …).
  std::function<std::optional<std::vector<SetElement>>(const std::string& name)> elements;
  Family family = Family::v4;                                        // of the table's matches of iptables
  const std::map<std::uint32_t, std::string>* interfaces = nullptr;  // by their index
};

// One rule of nf_tables may come to several of ours: one for each element of a set. `expressions`: what is in NFTA_RULE_EXPRESSIONS.
std::vector<HostRule> translate_rule(const Attributes& expressions, std::uint64_t handle,
                                     const RuleSurroundings& around);

// NFTA_DATA_VERDICT as a target; none if the packet just goes on.
std::optional<Target> verdict_of(const Attributes& data);

// Numbers in nf_tables' attributes are in network order.
std::optional<std::uint32_t> big_u32(const Attributes& attributes, int attribute);
std::optional<std::uint64_t> big_u64(const Attributes& attributes, int attribute);

}  // namespace mb::kernel
