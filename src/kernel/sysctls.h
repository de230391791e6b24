// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sysctls of the host's network namespace and of containers'.
//
// Switching net.ipv4.ip_forward overwrites every interface's own forwarding and accept_redirects along with it
// (inet_forward_change in the kernel's net/ipv4/devinet.c). So what it overwrites is read before (`related`) and
// written back after it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "src/kernel/namespaces.h"
#include "src/model/kernel_state.h"

namespace mb::kernel {

// The host's is the namespace of the calling thread. Keys that do not exist are left out.
std::map<SysctlKey, SysctlState> read_sysctls(Namespaces& namespaces, const std::set<SysctlKey>& keys);

// Writes `to.value`, then those of `to.related` that differ. A related key whose interface is gone is no error.
void set_sysctl(Namespaces& namespaces, const SysctlKey& key, const SysctlState& to);

// Whether the interface of the host listens to router advertisements as a host does, and would not as a router.
bool is_following_advertisements(const std::string& link);

// Why this host can have no IPv6; none if it can.
std::optional<std::string> ipv6_obstacle();

// The host's value: nothing, or an Error, if there is no such key.
std::optional<std::string> find_host_sysctl(const std::string& name);
std::string read_host_sysctl(const std::string& name);

}  // namespace mb::kernel
