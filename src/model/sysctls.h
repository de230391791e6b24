// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sysctls of the host that more than one part of the program has to know by name.
#pragma once

#include <string_view>

namespace mb {

// Whether the host passes on packets that are not for itself. The kernel changes other settings together with these.
inline constexpr std::string_view kForwarding = "net.ipv4.ip_forward";
inline constexpr std::string_view kForwardingV6 = "net.ipv6.conf.all.forwarding";

inline bool is_forwarding_switch(std::string_view key) { return key == kForwarding || key == kForwardingV6; }

}  // namespace mb
