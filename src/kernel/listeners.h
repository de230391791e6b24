// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which ports of the host are held by processes (NETLINK_SOCK_DIAG), and by whom.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/model/facts.h"

namespace mb::kernel {

// TCP and SCTP sockets that listen, UDP sockets that are bound and not connected, in the calling thread's namespace.
// Those that only hold a published port for its container (src/model/host_ports.h) are left out.
// An IPv6 socket on :: that also takes IPv4 counts once more as one on 0.0.0.0. A protocol the kernel lacks has none.
std::vector<Listener> find_listeners(Protocol protocol);

// "nginx (pid 812)": searched for in /proc, so only what the caller may see there; nothing otherwise.
std::optional<std::string> find_holder(std::uint64_t inode);

}  // namespace mb::kernel
