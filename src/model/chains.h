// SPDX-License-Identifier: GPL-2.0-or-later
//
// The names by which minibridge's rules are known in iptables.
#pragma once

#include <string_view>

#include "src/model/rule.h"

namespace mb {

inline constexpr std::string_view kChainPrefix = "MINIBRIDGE";
inline constexpr std::string_view kRawChain = "MINIBRIDGE-RAW";
inline constexpr std::string_view kPublishChain = "MINIBRIDGE-PUBLISH";
inline constexpr std::string_view kMasqueradeChain = "MINIBRIDGE-MASQUERADE";
inline constexpr std::string_view kForwardChain = "MINIBRIDGE-FORWARD";
inline constexpr std::string_view kEnterChain = "MINIBRIDGE-ENTER";
inline constexpr std::string_view kInputChain = "MINIBRIDGE-INPUT";
// Ports of containers in routed networks.
inline constexpr std::string_view kRoutedChain = "MINIBRIDGE-ROUTED";
// The operator's: made empty, never looked into, removed only while it is empty.
inline constexpr std::string_view kUserChain = "MINIBRIDGE-USER";

// Whether each rule of the chain belongs to a container, and their order does not matter: no two can match one packet.
constexpr bool is_by_owner(std::string_view chain) { return chain == kPublishChain || chain == kRoutedChain; }

// The container that a rule of such a chain belongs to, by its comment; empty if it cannot be told.
std::string_view owner_of(const Rule& rule);

// The same for the text of a comment: "minibridge web: 8080 -> 80/tcp" belongs to 'web'.
std::string_view owner_in_comment(std::string_view comment);

}  // namespace mb
