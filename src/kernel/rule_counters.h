// SPDX-License-Identifier: GPL-2.0-or-later
//
// How many packets the rules of a legacy table have counted, whoever wrote them. Only looks.
//
// Looking at a table makes the kernel create it, empty, in the namespace if it was not there (and a nat table switches connection
// tracking on): so only tables are looked at that somebody asks about.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "src/model/address.h"

namespace mb::kernel {

struct ChainCounters {
  std::uint64_t policy = 0;  // of a built-in chain
  std::vector<std::uint64_t> rules;
};

// By chain, in the calling thread's namespace. Throws Error when the kernel has no such table.
std::map<std::string, ChainCounters> count_packets(Family family, const std::string& table);

}  // namespace mb::kernel
