// SPDX-License-Identifier: GPL-2.0-or-later
//
// The IPv6 half of rule_counters.h: the headers of both families of libiptc do not fit into one file.
#pragma once

#include "src/kernel/rule_counters.h"

namespace mb::kernel {

std::map<std::string, ChainCounters> count_packets_v6(const std::string& table);

}  // namespace mb::kernel
