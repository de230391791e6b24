// SPDX-License-Identifier: GPL-2.0-or-later
//
// Rules in the kernel's binary form (struct ipt_entry or ip6t_entry with its matches and target, as setsockopt takes it).
//
// encode and decode are each other's inverse for everything that minibridge writes; what is not understood becomes an
// opaque match or target that keeps its bytes, so that decode never fails on a foreign rule and never loses a difference.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "src/model/rule.h"

namespace mb::kernel {

// Throws Error(failed) for a rule that has no binary form (an opaque match).
std::vector<std::uint8_t> encode(const Rule& rule);

// `target` is the target's name as libiptc tells it (for jumps, the chain's).
Rule decode(Family family, std::span<const std::uint8_t> entry, std::string_view target);

// A match by itself, as nf_tables carries those that iptables wrote there.
Match decode_match(Family family, std::string_view name, std::uint8_t revision, std::span<const std::uint8_t> data);

// The text of the comment match of an entry without decoding the rest; empty if there is none.
std::string_view comment_of(Family family, std::span<const std::uint8_t> entry);

}  // namespace mb::kernel
