// SPDX-License-Identifier: GPL-2.0-or-later
//
// The sysctls of a network namespace: everything under /proc/sys/net.
//
// Keys are written as sysctl(8) takes them: the first separator decides. "net.ipv4.ip_forward"
// and "net/ipv4/ip_forward" are the same; an interface name with a dot in it is
// "net/ipv4/conf/eth0.1/forwarding" or "net.ipv4.conf.eth0/1.forwarding".
// Keys outside net are refused (EINVAL): the others belong to no network namespace.
#pragma once

#include <string>

#include "netns/namespace.h"

namespace netns {

/// The value without its newline.
std::string read_sysctl(const Namespace& target, const std::string& key);

void write_sysctl(const Namespace& target, const std::string& key, const std::string& value);

/// The file behind a key: "net.ipv4.ip_forward" -> "/proc/sys/net/ipv4/ip_forward".
std::string sysctl_path(const std::string& key);

}  // namespace netns
